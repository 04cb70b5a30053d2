"""The types of constraints on a playlist; the parser, the language model and callers share them.

Every fact of a track may be unknown. A track with an unknown fact does not pass a filter on this fact; the
tracks that are lost in this way are counted.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from trackpools.config.values import finite

MAX_PROMPT_CHARS = 2_000
MAX_TRACKS = 500
MAX_PLAYLIST_S = 24 * 3600
MAX_DAYS = 36_500
MAX_BANDS = 10
MAX_NAME_CHARS = 200  # of an artist, tag, title or language
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]
Names = Annotated[tuple[Name, ...], Field(max_length=50)]
Number = Annotated[float, AfterValidator(finite)]


class Strict(BaseModel):
    """A pydantic model that is immutable and refuses unknown keys; JSON lists become tuples."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Band(Strict):
    """The numbers from `low` to `high`, including both; None is no limit. One of the two must be set."""

    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "Band":
        if self.low is None and self.high is None:
            raise ValueError("a band needs low, high or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low must not be above high; got {self.low:g} to {self.high:g}")
        return self


class Top(Strict):
    """The `count` artists that the user heard most in the last `days` days; None is all time."""

    count: Annotated[int, Field(ge=1, le=50)] = 10
    days: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None = None


class Filter(Strict):
    """The conditions on a single track; a track passes if it satisfies every condition that is set.

    Attributes:
        artists, tags, languages: names, of which the track must have at least one.
        no_artists, no_tags, no_titles, no_languages, no_versions: names, of which the track must have none.
            All names are compared in the form of `normalise.plain`.
        years: bands of the year of original release; the year must be in one of them.
        no_years: bands that the year of original release must not be in.
        tempo: band of beats per minute.
        energy: band of the energy, 0 to 1.
        popularity: band of the percentile of listeners in the market, 0 to 1.
        artist_rank: band of the rank among the recordings of the artist; 1 is the most heard.
        heard: whether the user must have heard the track; false demands that it was never heard.
        artist_heard: whether the user must have heard any recording of the artist; false demands none.
        quiet_days: the user must not have heard the track in this many days; a track never heard passes.
        clean: true demands a track without explicit words.
        seconds: band of the length in seconds.
        top: the track must be by one of these top artists of the user.
    """

    artists: Names = ()
    no_artists: Names = ()
    tags: Names = ()
    no_tags: Names = ()
    years: Annotated[tuple[Band, ...], Field(max_length=MAX_BANDS)] = ()
    no_years: Annotated[tuple[Band, ...], Field(max_length=MAX_BANDS)] = ()
    tempo: Band | None = None
    energy: Band | None = None
    popularity: Band | None = None
    artist_rank: Band | None = None
    heard: bool | None = None
    artist_heard: bool | None = None
    quiet_days: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None = None
    clean: Literal[True] | None = None
    languages: Names = ()
    no_languages: Names = ()
    no_versions: Names = ()
    no_titles: Names = ()
    seconds: Band | None = None
    top: Top | None = None

    @property
    def set_fields(self) -> tuple[str, ...]:
        """The names of the conditions that are set."""
        return tuple(name for name in Filter.model_fields if getattr(self, name) not in ((), None))


class Part(Strict):
    """A condition on some tracks: at least the share `share` of the tracks must pass the filter `of`."""

    of: Filter
    share: Annotated[float, Field(gt=0, le=1)]


Arc = Literal["rising", "falling", "peak"]


class Constraints(Strict):
    """The constraints on a playlist.

    Attributes:
        tracks: the number of tracks.
        seconds: the length of the playlist in seconds.
        tolerance: the share of `seconds` by which the length may differ.
        every: the filter that all tracks must pass.
        parts: filters that at least a share of the tracks must pass.
        closed: whether every track must pass the filter of one of the parts.
        prefer: a filter that tracks should pass; it only sorts candidates, and is never unmet.
        seeds: titles or track ids that the playlist must contain.
        artist_cap: the largest number of tracks by one artist.
        album_cap: the largest number of tracks from one album.
        apart: whether no two tracks of one artist may be side by side.
        arc: the course of the energy, or of the tempo where the energy is unknown: rising, falling, or rising
            to a peak and then falling.
    """

    tracks: Annotated[int, Field(ge=1, le=MAX_TRACKS)] | None = None
    seconds: Annotated[int, Field(ge=60, le=MAX_PLAYLIST_S)] | None = None
    tolerance: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    every: Filter = Filter()
    parts: Annotated[tuple[Part, ...], Field(max_length=5)] = ()
    closed: bool = False
    prefer: Filter = Filter()
    seeds: Names = ()
    artist_cap: Annotated[int, Field(ge=1, le=MAX_TRACKS)] | None = None
    album_cap: Annotated[int, Field(ge=1, le=MAX_TRACKS)] | None = None
    apart: bool = False
    arc: Arc | None = None

    @property
    def span(self) -> tuple[float, float]:
        """The least and most seconds that count as the wanted length; (0, inf) if no length is wanted."""
        if self.seconds is None:
            return (0.0, float("inf"))
        return (self.seconds * (1 - self.tolerance), self.seconds * (1 + self.tolerance))


def merge_constraints(read: Constraints, given: Constraints | None) -> Constraints:
    """Merge two sets of constraints.

    Args:
        read: the constraints of a prompt.
        given: the constraints that a caller set, which replace those of the prompt; None changes nothing.
    """
    if given is None:
        return read
    every = {name: getattr(given.every, name) for name in given.every.set_fields}
    own = {name: getattr(given, name) for name in given.model_fields_set if name != "every"}
    return read.model_copy(update=own | {"every": read.every.model_copy(update=every)})
