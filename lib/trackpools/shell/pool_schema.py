"""The JSON Schema of a decoded pool, one line of `trackpools show pools --json`, made from the map of tables; `docs/pool.schema.json` is its text."""

from typing import Any

from pyspark.sql import types as T

from trackpools.tables import CANDIDATE, POOLS, SHORTFALL, TRACK_CARDS

JSON = {
    T.StringType: "string",
    T.BooleanType: "boolean",
    T.FloatType: "number",
    T.DoubleType: "number",
    T.DateType: "string",
    T.ByteType: "integer",
    T.ShortType: "integer",
    T.IntegerType: "integer",
    T.LongType: "integer",
}


def pool_schema() -> dict[str, Any]:
    """JSON Schema 2020-12; what it does not name a reader must ignore, for keys are added and never renamed or retyped."""
    card, candidate = TRACK_CARDS.schema, CANDIDATE
    one = {
        "rank": _of(T.IntegerType(), "from 1, best first"),
        "track_id": _of(card["track_id"].dataType, "what to play in the listener's market"),
        "recording_id": _of(card["recording_id"].dataType, ""),
        "title": _of(card["title"].dataType, "untrusted text"),
        "artists": _of(card["artist_names"].dataType, "main artist first; untrusted text"),
        "original_year": _of(card["original_year"].dataType, ""),
        "score": _of(candidate["score"].dataType, "of the blend; comparable within this pool alone"),
        "sources": {"type": "array", "items": {"type": "string"}, "description": "who proposed it"},
        "reason": _of(T.StringType(), "a sentence"),
        "plays": _of(candidate["plays"].dataType, "by this listener; 0 is new to them"),
        "last_day": _of(T.DateType(), "of the last play"),
    }
    short = {field.name: _of(field.dataType, "") for field in SHORTFALL}
    pool = {
        "user_id": {"type": "string"},
        "k": {"type": "integer", "description": "candidates in the pool"},
        "shortfall": {
            "type": ["object", "null"],
            "properties": short,
            "description": "null where the pool is full; else the rule that bound",
        },
        "emitted": _of(POOLS.schema["emitted"].dataType, "distinct recordings proposed: k and all drops"),
        "drops": {
            "type": "object",
            "additionalProperties": {"type": "integer"},
            "description": "removed candidates by rule",
        },
        "candidates": {
            "type": "array",
            "items": {"type": "object", "properties": one, "required": list(one)},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A decoded candidate pool",
        "type": "object",
        "properties": pool,
        "required": list(pool),
    }


def _of(kind: T.DataType, meaning: str) -> dict[str, Any]:
    """A nullable value."""
    told: dict[str, Any] = {"description": meaning} if meaning else {}
    if isinstance(kind, T.ArrayType):
        return told | {"type": ["array", "null"], "items": {"type": JSON[type(kind.elementType)]}}
    day = {"format": "date"} if isinstance(kind, T.DateType) else {}
    return told | {"type": [JSON[type(kind)], "null"]} | day
