"""The declaration of a candidate source."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pyspark.sql import DataFrame

from trackpools.core.sources.source_inputs import ListInputs, UserInputs
from trackpools.core.sources.user_block import Offers, Seeds, UserBlock


@dataclass(frozen=True)
class VectorTables:
    """The tables of a source that ranks recordings by the inner product of vectors.

    Attributes:
        users: table of the users' vectors: `idx int, factors array<float>`.
        recordings: table of the recordings' vectors, with the same columns.
        indexed: whether an index searches the recordings if they are more than `topk.exact_max`.
    """

    users: str
    recordings: str
    indexed: bool = True


@dataclass(frozen=True)
class Source:
    """A candidate source, which works in one of four ways.

    - By lists: `lists` builds ranked lists that are the same for all users, each under an integer key.
      `seeds` selects for each user, by the history or the market, which lists to look up and how much each of
      them counts.
    - From history alone: `offers` ranks recordings of each user's own history.
    - By vectors: `vectors` names the tables whose vectors are compared.
    - In its own way: `candidates` returns a frame with the columns that the package `sources` documents. The
      frame is joined to the users. Pools on demand, which have no Spark, do not use such a source.

    The second argument of each of these functions, `settings`, is the source's section of the configuration.

    Attributes:
        name: the name of the source and of its section in the configuration.
        bit: the position of the source in the bitmap `sources`, and its code in the column `source`. The bit
            of a removed source is never given to another one.
        emits: whether the source proposes recordings that the user has not heard, has heard, or both.
        new_reason, heard_reason: the sentence for a new and for a heard candidate. `{n}` is the rank in this
            source (new) or the number of plays (heard).
        lists, seeds, offers, candidates: the functions described above; None if the source works without
            them.
        vectors: the tables described above; None if the source does not rank by vectors.
        keyed: what a list key stands for in a user's history. `explain` then reports which recording, artist
            or tag led to a candidate. None if the keys say nothing about the user's taste.
        lots: whether a user's items are drawn at random from the lists looked up, instead of ranked.
    """

    name: str
    bit: int
    emits: Literal["new", "heard", "both"]
    new_reason: str
    heard_reason: str
    lists: Callable[[ListInputs, Any], DataFrame] | None = None
    seeds: Callable[[UserBlock, Any], Seeds] | None = None
    offers: Callable[[UserBlock, Any], Offers] | None = None
    candidates: Callable[[UserInputs, Any], DataFrame] | None = None
    vectors: VectorTables | None = None
    keyed: Literal["recording", "artist", "tag"] | None = None
    lots: bool = False
