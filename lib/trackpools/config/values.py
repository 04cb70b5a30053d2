"""The types of single values of the configuration: numbers, names, paths and texts with their limits.

The error for a refused value says what is accepted.
"""

import math
import re
from datetime import date
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
SCHEMES = {"file:": "/", "dbfs:": "/", "hdfs:": "//", "s3:": "//", "s3a:": "//", "abfss:": "//", "gs:": "//"}
# the column names that `ingest.columns` may map: those of plays, of vectors, and of tracks, users and signals
COLUMNS = frozenset(
    {
        "event_id",
        "user_id",
        "profile_id",
        "track_id",
        "played_at",
        "received_at",
        "ms_played",
        "reason_start",
        "reason_end",
        "context_type",
        "private",
        "content_type",
        "plays",
        "title",
        "artist",
        "artist_id",
        "vector",
        "recording_id",
        "artist_ids",
        "artist_names",
        "album_id",
        "original_year",
        "version_kind",
        "duration_ms",
        "explicit",
        "language",
        "tags",
        "tempo",
        "energy",
        "popularity",
        "rights",
        "available",
        "label",
        "market",
        "tier",
        "explicit_policy",
        "birth_band",
        "declared_tags",
        "time_zone",
        "kind",
        "at",
    }
)


def finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("must be letters, digits and _ only, not starting with a digit")
    return value


def _root(value: str) -> str:
    # Quotes would end a path in SQL, wildcards would make Spark read other folders, and ".." would leave the
    # root.
    if (
        not value.strip()
        or len(value) > 1000
        or ".." in PurePosixPath(value).parts
        or not value.isprintable()
        or set(value) & set("`'\"\\*?[]{}")
    ):
        raise ValueError(
            "must be a path without '..', quotes, backslashes, wildcards (*?[]{}) or control characters, at most 1000 long"
        )
    scheme, colon, rest = value.partition(":")
    if (
        colon
        and "/" not in scheme
        and not (rest.startswith(SCHEMES.get(scheme + colon, "\0")) and rest.strip("/"))
    ):
        raise ValueError(
            f"must be a local path or start with one of {', '.join(key + slashes for key, slashes in SCHEMES.items())}"
        )
    if re.search("//[^/]*:[^/]*@", value):
        raise ValueError(
            "must not hold a password, because the configuration is logged; give it to Spark or the environment"
        )
    return value


def text(pattern: str, fits: str) -> AfterValidator:
    """Build a validator of printable text; tabs and U+0001 are accepted too, if the pattern matches them.

    Args:
        pattern: regular expression that the whole text must match.
        fits: what is accepted, in words, for the error message.
    """

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value) or not value.replace("\t", "").replace("\x01", "").isprintable():
            raise ValueError(f"must be {fits}")
        return value

    return AfterValidator(check)


def _day(value: Any) -> date:
    # YAML gives a `date`, or a text if it is quoted. pydantic alone would also accept a number, as seconds
    # since 1970.
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        day = None
    if type(day) is not date or not 1970 <= day.year <= 2100:
        raise ValueError("must be a day such as 2026-01-31, from 1970 to 2100")
    return day


Positive = Annotated[
    float, AfterValidator(finite), Field(ge=1e-9, le=1e9)
]  # the square of such a number fits into float32, in which kernels compute
NonNegative = Annotated[float, AfterValidator(finite), Field(ge=0, le=1e9)]
Share = Annotated[float, Field(ge=0, le=1), AfterValidator(finite)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Name = Annotated[str, AfterValidator(_name)]
Root = Annotated[str, AfterValidator(_root)]
Day = Annotated[date, BeforeValidator(_day)]
ColumnName = Annotated[
    str, text(r"[^`]{1,200}", "a column name of 1 to 200 characters without backquotes or control characters")
]
Uri = Annotated[
    str,
    text(
        r"[A-Za-z0-9_./:@%?&=+~,-]{1,1000}", "an address or path without spaces, quotes or control characters"
    ),
]
Contexts = Annotated[
    list[Annotated[str, text(r"[\w .:-]{1,64}", "a context of 1 to 64 letters, digits, spaces or _.:-")]],
    Field(max_length=100),
]


class Section(BaseModel):
    """A section of the configuration: immutable, without unknown keys, and without conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
