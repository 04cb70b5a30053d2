"""Untrusted text (titles, names, prompts) made fit to stand in a prompt: one line of visible characters, cut, and quoted as data."""

import json
import unicodedata

MOST = 80  # characters of a title or a name
# Cc control, Cf format (bidi, zero-width, tags), Cs surrogates, Co private use, Cn unassigned, Zl and Zp line ends
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")  # letters and marks that show nothing
MARKS = 3  # combining marks in a row: more are no writing


def clean(text: str, most: int = MOST) -> str:
    """NFC text on one line without what cannot be seen, at most so many characters; an ellipsis tells that it was cut."""
    kept: list[str] = []
    marks = 0
    for one in unicodedata.normalize("NFC", text[: 20 * most]):
        kind = unicodedata.category(one)
        if one in FILLERS or (kind in UNSEEN and not one.isspace()):
            continue
        marks = marks + 1 if kind in {"Mn", "Me"} else 0
        if marks <= MARKS:
            kept.append(one)
    line = unicodedata.normalize("NFC", " ".join("".join(kept).split()))
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def quoted(text: str | None, most: int = MOST) -> str:
    """The clean text as a JSON string, in which nothing can end the string or the line; `?` where there is none."""
    return json.dumps(clean(text, most), ensure_ascii=False) if text else "?"
