"""What a playlist must be, as types: the one language that the rules' parser, the model and a caller all speak.

Every fact of a track may be unknown. An unknown fact passes no filter that asks for it; how many tracks that cost is counted.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from trackpools.config_values import finite

MOST_TRACKS = 500
MOST_SECONDS = 24 * 3600
MOST_DAYS = 36_500
MOST_BANDS = 10
MOST_LETTERS = 200  # of a name
Name = Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)]
Names = Annotated[tuple[Name, ...], Field(max_length=50)]
Number = Annotated[float, AfterValidator(finite)]


class Strict(BaseModel):
    """Unknown keys are refused, nothing changes; lists become tuples, which JSON has not."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Band(Strict):
    """Numbers from `low` to `high`, both in it; None is open."""

    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "Band":
        if self.low is None and self.high is None:
            raise ValueError("a band needs low or high")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"a band goes upwards; got {self.low:g} to {self.high:g}")
        return self


class Top(Strict):
    """The listener's most heard artists, of so many last days or of all time (None)."""

    count: Annotated[int, Field(ge=1, le=50)] = 10
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)] | None = None


class Filter(Strict):
    """What a single track must be: all that is set at once; of several names any.

    Attributes:
        artists, no_artists, tags, no_tags, no_titles, languages, no_languages, no_versions: names, compared as `words.plain` writes them.
        years, no_years: of the original release, in any of the bands; in none of them.
        tempo: beats a minute.
        energy: 0 to 1.
        popularity: percentile of listeners in the market, 0 to 1.
        artist_rank: 1 is the artist's most heard.
        heard: whether the listener ever heard it; `artist_heard` anything by its artist.
        quiet_days: not heard within so many days; never heard passes.
        clean: true is without explicit words.
        seconds: length of a track.
        top: by one of the listener's top artists.
    """

    artists: Names = ()
    no_artists: Names = ()
    tags: Names = ()
    no_tags: Names = ()
    years: Annotated[tuple[Band, ...], Field(max_length=MOST_BANDS)] = ()
    no_years: Annotated[tuple[Band, ...], Field(max_length=MOST_BANDS)] = ()
    tempo: Band | None = None
    energy: Band | None = None
    popularity: Band | None = None
    artist_rank: Band | None = None
    heard: bool | None = None
    artist_heard: bool | None = None
    quiet_days: Annotated[int, Field(ge=1, le=MOST_DAYS)] | None = None
    clean: Literal[True] | None = None
    languages: Names = ()
    no_languages: Names = ()
    no_versions: Names = ()
    no_titles: Names = ()
    seconds: Band | None = None
    top: Top | None = None

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of what is set."""
        return tuple(name for name in Filter.model_fields if getattr(self, name) not in ((), None))


class Part(Strict):
    """At least this share of the tracks must pass a filter of their own."""

    of: Filter
    share: Annotated[float, Field(gt=0, le=1)]


Arc = Literal["rising", "falling", "peak"]


class Constraints(Strict):
    """What a playlist must be.

    Attributes:
        tracks: how many.
        seconds: how long in all, give or take `tolerance` of it.
        every: what all tracks must be.
        parts: what shares of them must be.
        closed: every track must pass one of the parts.
        prefer: what is nice to have: it sorts, and nothing is unmet where it fails.
        seeds: titles or track ids that must be in it.
        artist_cap, album_cap: tracks of an artist or album at most.
        apart: no two tracks of an artist side by side.
        arc: how energy (tempo where it is unknown) goes: rising, falling, or up to a peak and down.
    """

    tracks: Annotated[int, Field(ge=1, le=MOST_TRACKS)] | None = None
    seconds: Annotated[int, Field(ge=60, le=MOST_SECONDS)] | None = None
    tolerance: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    every: Filter = Filter()
    parts: Annotated[tuple[Part, ...], Field(max_length=5)] = ()
    closed: bool = False
    prefer: Filter = Filter()
    seeds: Names = ()
    artist_cap: Annotated[int, Field(ge=1, le=MOST_TRACKS)] | None = None
    album_cap: Annotated[int, Field(ge=1, le=MOST_TRACKS)] | None = None
    apart: bool = False
    arc: Arc | None = None

    @property
    def span(self) -> tuple[float, float]:
        """Least and most seconds that count as the length asked for; (0, inf) where none was."""
        if self.seconds is None:
            return (0.0, float("inf"))
        return (self.seconds * (1 - self.tolerance), self.seconds * (1 + self.tolerance))


def both(read: Constraints, given: Constraints | None) -> Constraints:
    """The constraints of a prompt, and over them those that a caller set."""
    if given is None:
        return read
    every = {name: getattr(given.every, name) for name in given.every.asked}
    own = {name: getattr(given, name) for name in given.model_fields_set if name != "every"}
    return read.model_copy(update=own | {"every": read.every.model_copy(update=every)})
