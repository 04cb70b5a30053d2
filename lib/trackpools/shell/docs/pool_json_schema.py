"""Build the JSON Schema of a decoded pool, that is, of one line of `trackpools show pools --json`.

The types are taken from the declarations of the tables. The result is stored as `docs/pool.schema.json`.
"""

from typing import Any

from pyspark.sql import types as T

from trackpools.tables import CANDIDATE, POOLS, SHORTFALL, TRACK_CARDS

JSON = {  # Spark type → type of JSON Schema
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
    """Build the schema of one decoded pool, in JSON Schema 2020-12.

    Readers must ignore keys that the schema does not name, because keys may be added later. Keys are never
    renamed or retyped.
    """
    card, candidate = TRACK_CARDS.schema, CANDIDATE
    one = {
        "rank": _of(T.IntegerType(), "place in the pool, from 1, best first"),
        "track_id": _of(card["track_id"].dataType, "the track to play in the user's market"),
        "recording_id": _of(card["recording_id"].dataType, ""),
        "title": _of(card["title"].dataType, "untrusted text"),
        "artists": _of(card["artist_names"].dataType, "main artist first; untrusted text"),
        "original_year": _of(card["original_year"].dataType, ""),
        "score": _of(candidate["score"].dataType, "score of the blend; comparable within this pool only"),
        "sources": {
            "type": "array",
            "items": {"type": "string"},
            "description": "the sources that proposed it",
        },
        "reason": _of(T.StringType(), "why it is in the pool, as a sentence"),
        "plays": _of(candidate["plays"].dataType, "plays by this user; 0 if it is new to the user"),
        "last_day": _of(T.DateType(), "day of the user's last play"),
    }
    short = {field.name: _of(field.dataType, "") for field in SHORTFALL}
    pool = {
        "user_id": {"type": "string"},
        "k": {"type": "integer", "description": "number of candidates in the pool"},
        "shortfall": {
            "type": ["object", "null"],
            "properties": short,
            "description": "null if the pool is full; else the rule that made it smaller",
        },
        "emitted": _of(
            POOLS.schema["emitted"].dataType, "distinct recordings that any source proposed: k plus all drops"
        ),
        "drops": {
            "type": "object",
            "additionalProperties": {"type": "integer"},
            "description": "number of removed candidates by rule",
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
    """Return the schema of a nullable value of a Spark type, with `meaning` as its description."""
    told: dict[str, Any] = {"description": meaning} if meaning else {}
    if isinstance(kind, T.ArrayType):
        return told | {"type": ["array", "null"], "items": {"type": JSON[type(kind.elementType)]}}
    day = {"format": "date"} if isinstance(kind, T.DateType) else {}
    return told | {"type": [JSON[type(kind)], "null"]} | day
