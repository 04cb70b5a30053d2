"""The pages of the docs that are made of code: tables, configuration, pictures.

`python -m trackpools.shell.reference` writes them; a test holds them current.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trackpools.config import Config
from trackpools.fill.phrases import GRAMMAR
from trackpools.fill.words import tidy
from trackpools.shell.pictures import PICTURES
from trackpools.shell.settings import conf_dir
from trackpools.stages import STAGES
from trackpools.table import Table
from trackpools.tables import TABLES

DOCS = Path(__file__).resolve().parents[1] / "docs"
LINE = re.compile(r"( *)(\w+):(?: +([^ #].*?))?(?: +# ?(.*)|\s*)")
LARGEST = 2**31 - 1  # what a number of Spark holds; no bound that anybody meets
MADE = "<!-- made by python -m trackpools.shell.reference: change its source, not this page -->"
KINDS = {
    "refused": "What no track may be, read before all else",
    "lengths": "Lengths of tracks",
    "whole": "The playlist as a whole",
    "track": "What every track, or every track of a part, must be",
    "mood": "What people do meanwhile: sorts, and nothing is unmet where it fails",
}
SLOT_NAMES = {
    "count": "N",
    "song": "songs",
    "of": "artist/album",
    "met": "heard",
    "had": "heard",
    "never": "haven't",
    "no": "no",
    "kept": "",
    "kept_song": "songs",
    "any": "ANYTHING",
    "amount": "about/at most/at least/more than",
    "most": "at most",
    "least": "at least",
    "since": "since",
    "onwards": "onwards",
    "one": "year",
    "last": "last year",
    "upto": "to today",
    "now": "now",
    "till": "to",
    "dash": "-",
    "length_of": "N minutes",
    "more": "more than",
    "below": "under/no longer than",
    "decade2": "DECADE",
    "year2": "YEAR",
    "language2": "LANGUAGE",
    "unit": "minutes/hours",
    "calm": "slow/calm",
    "wild": "fast/energetic",
    "partof": "first half/beginning/end",
}  # others in capitals
WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "array": "list",
    "object": "names and values",
}


def _cell(text: str) -> str:
    return re.sub(r"([|*<])", r"\\\1", text)


def _kind(column: Any) -> str:
    kind: str = column.dataType.simpleString()
    return kind.replace(",", ", ").replace(":", ": ")


def tables_page() -> str:
    """Every table of `tables.py`: grain, key, who writes and reads it, and its columns."""
    head = [
        MADE,
        "",
        "# Tables",
        "",
        "Every table in flow order; `trackpools tables` prints the same. `_id` is a public string, `_idx` a dense number that never changes.",
        "Raw user ids stand only in `plays`, `signals`, `plays_rejected`, `users` and `user_ids`. Columns of published tables are added to and never renamed,",
        "retyped or removed.",
        "",
        "How a table is written: *merge* inserts rows whose key is new, *upsert* also updates, *overwrite* replaces all in one commit, *replace_days* the",
        "days that a run recomputes.",
    ]
    return "\n".join([*head, *(line for table in TABLES.values() for line in _table(table)), ""])


def _table(table: Table) -> Iterator[str]:
    by = [f"`{stage.name}`" for stage in STAGES if table in stage.writes]
    to = [f"`{stage.name}`" for stage in STAGES if table in stage.reads and table not in stage.writes]
    facts = [f"key {', '.join(f'`{name}`' for name in table.key)}", f"*{table.mode}*"]
    facts += [f"written by {', '.join(by)}"] if by else []
    facts += [f"read by {', '.join(to)}"] if to else []
    facts += (
        [f"clustered by {', '.join(f'`{name}`' for name in table.cluster_by)}"] if table.cluster_by else []
    )
    facts += (
        [f"partitioned by {', '.join(f'`{name}`' for name in table.partitioned_by)}"]
        if table.partitioned_by
        else []
    )
    yield from ("", f"## {table.name}", "", f"One row is {_cell(table.grain)}: {'; '.join(facts)}.", "")
    yield from (f"Delta refuses a row that breaks `{rule}`.\n" for rule in table.checks.values())
    yield from ("| column | type | null | meaning |", "| --- | --- | --- | --- |")
    for column in table.columns:
        yield f"| `{column.name}` | {_cell(_kind(column))} | {'may be' if column.nullable else 'never'} | {_cell(column.metadata['comment'])} |"


def keys_of(text: str) -> Iterator[tuple[str, str, str]]:
    """`section.key`, its value as written and its comment, of `base.yml`; a section alone has the value ""."""
    path: list[str] = []
    found: list[tuple[str, str, str]] = []
    for line in text.splitlines():
        more = re.fullmatch(r" +# (.*)", line)
        if more and found:  # a comment that goes on
            key, value, comment = found.pop()
            found.append((key, value, f"{comment} {more[1]}"))
        elif match := LINE.fullmatch(line):
            path = [*path[: len(match[1]) // 2], match[2]]
            found.append((".".join(path), match[3] or "", match[4] or ""))
    yield from found


def _fits(spec: Mapping[str, Any]) -> str:
    """What a value may be, of its JSON Schema."""
    if "anyOf" in spec:
        return " or ".join(_fits(one) for one in spec["anyOf"])
    if spec.get("type") == "null":
        return "null"
    if "enum" in spec or "const" in spec:
        return ", ".join(f"`{value}`" for value in spec.get("enum", [spec.get("const")]))
    least, most = spec.get("minimum", spec.get("ge")), spec.get("maximum", spec.get("le"))
    above, below = spec.get("exclusiveMinimum"), spec.get("exclusiveMaximum")
    bounds = (("from", least), ("above", above), ("to", None if most == LARGEST else most), ("below", below))
    parts = [
        f"{word} {value:,}" if isinstance(value, int) else f"{word} {value:,.10g}"
        for word, value in bounds
        if value is not None
    ]
    kind = "day" if spec.get("format") == "date" else WORDS.get(spec.get("type", ""), "")
    return " ".join([kind, *parts]).strip() or "see below"


def _spec(schema: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """The JSON Schema of a key; None where what is below is anybody's."""
    found: Any = schema
    for part in key.split("."):
        found = found.get("properties", {}).get(part)
        if found is None:
            return None
        if "$ref" in found:
            found = schema["$defs"][found["$ref"].rpartition("/")[2]]
    return found  # type: ignore[no-any-return]


def configuration_page() -> str:
    """Every key of `base.yml` with its default, what it may be by `config.py`, and why."""
    schema = Config.model_json_schema(by_alias=True)
    lines = [
        MADE,
        "",
        "# Configuration",
        "",
        "Every key with its default, what it may be, and why. An overlay (`--config local`, `cluster`, `databricks`, or a file of yours) holds only what",
        "differs; `--set section.key=value` wins over all files, `--root` over `store.root`. `trackpools run --dry-run` prints what is merged. Unknown keys,",
        "wrong types and values out of range are refused, all at once.",
    ]
    for key, value, comment in keys_of((conf_dir() / "base.yml").read_text(encoding="utf-8")):
        spec = _spec(schema, key)
        if "." not in key:
            told = [f"{_cell(comment[:1].upper() + comment[1:])}.", ""] if comment else []
            lines += [
                "",
                f"## {key}",
                "",
                *told,
                "| key | default | may be | meaning |",
                "| --- | --- | --- | --- |",
            ]
            continue
        fits = "a section" if not value else _fits(spec) if spec else "as the default"
        shown = f"`{value.replace('|', chr(92) + '|')}`" if value else ""
        lines.append(f"| `{key.partition('.')[2]}` | {shown} | {_cell(fits)} | {_cell(comment)} |")
    return "\n".join([*lines, ""])


def _said(template: str) -> str:
    """A template as people read it: what may be left out in brackets, choices with a slash."""
    return (
        re.sub(r"<(\w+)>", lambda slot: SLOT_NAMES.get(slot[1], slot[1].upper()), template)
        .replace("|", "/")
        .replace(",?", ",")
    )


def prompts_page() -> str:
    """The grammar of prompts: what each phrase means, how it may be said, and examples that the tests read."""
    lines = [
        MADE,
        "",
        "# What prompts are understood",
        "",
        "What the rules read of a prompt, in English: offline, the same every time. Words that no rule reads are asked of the model where there is one",
        "([fill](fill.md)); what is left comes back as *not applied* and changes nothing.",
        "",
        "Names of artists and tags are those of the released catalogue, however they are written (case, accents, `&` and *and*). A tag counts anywhere; an",
        "artist of one word only after a word such as *by*, *from*, *of* or *without*, before *songs*, or where nothing else is said. What the catalogue",
        "calls a tag is read as the tag, also where it is a mood here (*chill*).",
        "",
        "A comma or *but* ends a clause. *Plus*, *with some*, *a mix of … and …*, *half … half …*, *mostly …* and *30 % …* make parts, each with a least",
        "share of the tracks; *10 rock songs and 5 jazz songs*, *20 songs, 5 of them jazz* parts of so many. What is refused is refused in all of them. A",
        "title in quotes must be in the playlist, behind *not* or *without* it must not; titles without quotes are not looked for.",
        "",
        "**What is denied is never wanted.** *No*, *not*, *without*, *hate*, *tired of*, *anything but*, *pop? hate it*, *-pop* … refuse a name, each of a",
        "list (*no 80s, rap or hits*), and turn round what has an opposite (*no fast songs*: up to 120 bpm). Where words stand between that no rule reads",
        "(*no heavy rock*), where only part of a thing is denied (*no 80s pop*, *no hits from the 80s*, *not only jazz*, *less jazz*, *no pop except by",
        "Queen*), where two denials meet (*I don't hate jazz*), what follows is not applied. So is what stands behind a denial of another language",
        "(*kein*, *sin*, *sans* …), the less liked of two (*I like rock more than pop*), what cannot be beside what was said before (*fast songs slower",
        "than 60 bpm*), bounds of parts (*at most 3 by Queen*, *at most 20 % pop*), and numbers that no playlist has (*0 songs*).",
        "",
        "How a playlist begins or ends is its arc and no wish for all of it (*start with something calm*, *end with high energy*). An artist and a tag",
        "side by side are some of each (*jazz and Radiohead*). *Like Radiohead*, *Radiohead and similar*, *I heard Radiohead a lot, something else* ask",
        "for others, which no rule can find: they are told as not applied.",
        "",
        "`[x]` may be left out, `(x/y)` is either.",
    ]
    for kind, phrases in GRAMMAR.items():
        lines += ["", f"## {KINDS[kind]}", "", "| meaning | said as | examples |", "| --- | --- | --- |"]
        for one in phrases:
            found = one.find(tidy(one.examples[0]))
            means = one.means(found) if found else {}
            told = (
                "nothing: told as not applied"
                if means is None
                else ", ".join(f"{name} {_meant(value)}" for name, value in means.items())
            )
            says = "<br>".join(_cell(_said(template)) for template in one.templates)
            lines.append(
                f"| {_cell(told) or 'nothing: it is only recognised'} | {says} | {_cell('; '.join(one.examples))} |"
            )
    return "\n".join([*lines, ""])


def _meant(value: Any) -> str:
    if isinstance(value, tuple):
        return " or ".join(_meant(one) for one in value)
    if isinstance(value, BaseModel):
        return " ".join(f"{name} {end:g}" for name, end in value.model_dump(exclude_none=True).items())
    return str(value)


def pages() -> dict[str, str]:
    """File below `docs` → its text."""
    from trackpools.shell.pool_schema import pool_schema

    drawn = {f"pictures/{name}.svg": draw() for name, draw in PICTURES.items()}
    schema = json.dumps(pool_schema(), indent=2, ensure_ascii=False) + "\n"
    return drawn | {
        "tables.md": tables_page(),
        "configuration.md": configuration_page(),
        "prompts.md": prompts_page(),
        "pool.schema.json": schema,
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(text, encoding="utf-8")
