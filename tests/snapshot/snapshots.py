"""Stored expectations of `tests/snapshot`: compare with one, or write it anew."""

import difflib
import json
import math
import os
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
WRITE = os.environ.get("TRACKPOOLS_SNAPSHOT") == "write"
TOLERANCE = 1e-4  # relative: processors round sums of floats differently
MOST_LINES = 200  # of a difference that is shown
ACCEPT = (
    "To accept what is there now: TRACKPOOLS_SNAPSHOT=write .venv/bin/python -m pytest tests/snapshot/test_snapshot.py"
    ' -m "soak or not soak"'
)
WIDTH = 160  # characters up to which a JSON value stays on one line

# keys whose values no two runs share, whatever stands in them
VARYING = {
    "release_id": "<release>",
    "release": "<release>",
    "run_key": "<run key>",
    "model_version": "<run key>",
    "mlflow_run_id": "<run>",
    "request_id": "<request>",
    "created_at": "<time>",
    "valid_until": "<time>",
    "milliseconds": "<milliseconds>",
}
RELEASE_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}-[0-9a-f]{6}")
ARRAYS = re.compile(r"\b[a-z_]+-[0-9a-f]{24}\b")  # a folder of arrays; it depends on how factors are rounded
DATA_FILES = re.compile(r"\b\d+:[0-9a-f]{64}\b")  # the data files of a table; their names are random
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")  # a colour of the terminal


def require_same(name, text):
    """Fail where a stored text differs; with TRACKPOOLS_SNAPSHOT=write store this one instead."""
    if found := difference(name, text):
        pytest.fail(found, pytrace=False)


def difference(name, text):
    """A diff from a stored text and how to accept it; empty where they are equal or the text is stored now.

    JSON texts are equal where their values are: the order of keys is ignored, floats may differ slightly.
    """
    path = FOLDER / name
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if before == text or (
        before and name.endswith(".json") and is_close(json.loads(before), json.loads(text))
    ):
        return ""
    if WRITE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return ""
    lines = list(
        difflib.unified_diff(
            before.splitlines(), text.splitlines(), f"stored tests/snapshot/{name}", "now", lineterm=""
        )
    )
    rest = [f"… {len(lines) - MOST_LINES} more lines"] if len(lines) > MOST_LINES else []
    return "\n".join([f"tests/snapshot/{name} differs.", *lines[:MOST_LINES], *rest, ACCEPT])


def stored(name):
    """The JSON value that is stored; None where there is none."""
    path = FOLDER / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def require_files(folder, names):
    """Fail where a folder holds other files than these; with TRACKPOOLS_SNAPSHOT=write delete the others."""
    there = {path.name: path for path in (FOLDER / folder).glob("*") if path.is_file()}
    stale = sorted(set(there) - set(names))
    if WRITE:
        for name in stale:
            there[name].unlink()
        return
    assert (stale, sorted(set(names) - set(there))) == ([], []), (
        f"stale and missing files of tests/snapshot/{folder}. {ACCEPT}"
    )


def is_close(before, now):
    """Whether two JSON values are equal but for rounding."""
    if isinstance(before, dict) and isinstance(now, dict):
        return before.keys() == now.keys() and all(is_close(before[key], now[key]) for key in before)
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(map(is_close, before, now))
    if isinstance(before, float) and isinstance(now, float):
        return math.isclose(before, now, rel_tol=TOLERANCE, abs_tol=1e-9)
    return type(before) is type(now) and before == now


def fixed(value, root=""):
    """A JSON value with placeholders for what no two runs share: ids, clock times, the root folder."""
    if isinstance(value, dict):
        return {
            key: VARYING[key] if key in VARYING and one is not None else fixed(one, root)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [fixed(one, root) for one in value]
    return fixed_text(value, root) if isinstance(value, str) else value


def fixed_text(text, root=""):
    """A text without colours and trailing spaces, with placeholders for release ids and the root folder."""
    text = ARRAYS.sub("<arrays>", text)
    text = DATA_FILES.sub("<data files>", RELEASE_ID.sub("<release>", ESCAPE.sub("", text)))
    text = text.replace(str(root), "<root>") if root else text
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines()) if "\n" in text else text


def layout(value, depth=0):
    """JSON with every value that fits on one line on one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + depth <= WIDTH or not isinstance(value, dict | list):
        return flat
    ends, pad = ("{}" if isinstance(value, dict) else "[]"), " " * (depth + 1)
    if isinstance(value, dict):
        items = [
            f"{json.dumps(key, ensure_ascii=False)}: {layout(one, depth + 1)}" for key, one in value.items()
        ]
    else:
        items = [layout(one, depth + 1) for one in value]
    return ends[0] + "\n" + ",\n".join(pad + item for item in items) + "\n" + " " * depth + ends[1]


def as_text(value):
    """The text that is stored of a JSON value."""
    return layout(value) + "\n"
