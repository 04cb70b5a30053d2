"""Make untrusted text (titles, names, prompts) safe for a prompt to a language model.

The result is one line of visible characters, cut to a length and quoted as data.
"""

import json
import unicodedata

MAX_TITLE_CHARS = 80  # greatest length of a title or a name; a longer one is cut
# Unicode categories: Cc control, Cf format (bidi, zero-width, tags), Cs surrogates, Co private use,
# Cn unassigned, Zl and Zp line ends.
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Letters and marks without a visible form.
FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")
MARKS = 3  # combining marks in a row that are kept; no writing system needs more


def sanitise_text(text: str, most: int = MAX_TITLE_CHARS) -> str:
    """Return the text in Unicode form NFC, on one line and without invisible characters.

    Args:
        text: any text.
        most: greatest number of characters of the result; a longer text is cut and ends with an ellipsis.
    """
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


def quote_as_data(text: str | None, most: int = MAX_TITLE_CHARS) -> str:
    """Return the sanitised text as a JSON string, so that no character of it ends the quotation.

    If there is no text, the result is `?`.
    """
    return json.dumps(sanitise_text(text, most), ensure_ascii=False) if text else "?"
