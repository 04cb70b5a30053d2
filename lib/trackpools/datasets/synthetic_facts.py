"""The laws of the synthetic world: everything about a listener or a track as an expression of its number and the seed.

Nothing is looked up and nothing is drawn: two frames that ask for the fact of one track get one answer, without a join.
Tracks are numbered in groups of four by one artist: group = layer · genres + genre, and the layer is the rank of
popularity inside the genre, so that Zipf choices are arithmetic. Public ids are scrambled: no rank shows in them.
"""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from trackpools.config import SyntheticConfig

# genre: beats per minute, energy, share of explicit recordings, share sung
GENRES = {
    "pop": (116, 0.70, 0.10, 1.0),
    "hip hop": (94, 0.68, 0.42, 1.0),
    "rock": (124, 0.78, 0.08, 1.0),
    "electronic": (126, 0.82, 0.04, 0.5),
    "latin": (100, 0.74, 0.14, 1.0),
    "r&b": (92, 0.52, 0.22, 1.0),
    "country": (112, 0.60, 0.04, 1.0),
    "metal": (138, 0.94, 0.18, 1.0),
    "jazz": (110, 0.36, 0.0, 0.3),
    "folk": (104, 0.34, 0.02, 1.0),
    "punk": (164, 0.92, 0.24, 1.0),
    "classical": (88, 0.20, 0.0, 0.0),
}
SCENES = ("classic", "indie", "dream")
MARKETS = {
    "US": "America/New_York",
    "GB": "Europe/London",
    "DE": "Europe/Berlin",
    "BR": "America/Sao_Paulo",
    "JP": "Asia/Tokyo",
    "MX": "America/Mexico_City",
}
GROUP = 4
BOTS_EVERY = 200  # one listener in so many is a bot
COLD = 0.03  # share of listeners who signed up and never played


def unit(value: Column) -> Column:
    """A 64-bit hash as a number in [0, 1)."""
    return F.shiftrightunsigned(value, 11) * F.lit(2.0**-53)


def pick(values: Iterable[object], index: Column) -> Column:
    """The value at a 0-based index, as a string; one literal that folds into an array, for hundreds of them take seconds to plan."""
    return F.element_at(F.split(F.lit("\x1f".join(map(str, values))), "\x1f"), (index + 1).cast("int"))


def pick_number(values: Iterable[float], index: Column) -> Column:
    return F.element_at(
        F.split(F.lit("\x1f".join(map(str, values))), "\x1f").cast("array<double>"), (index + 1).cast("int")
    )


def public(prefix: str, number: Column) -> Column:
    """A number as a public id."""
    return F.concat(F.lit(prefix), F.lpad(number.cast("string"), 8, "0"))


@dataclass(frozen=True)
class Laws:
    """Sizes and dice of one world."""

    config: SyntheticConfig

    @property
    def genres(self) -> int:
        return min(len(GENRES), self.config.tracks // GROUP)

    @property
    def layers(self) -> int:
        """Groups of the longest genre; the last layer may be partial."""
        return math.ceil(math.ceil(self.config.tracks / GROUP) / self.genres)

    @property
    def scenes(self) -> int:
        return min(len(SCENES), self.config.tracks // (GROUP * self.genres))

    @property
    def artists_per_scene(self) -> int:
        return max(1, self.config.tracks // (10 * self.genres * self.scenes))

    @property
    def first(self) -> date:
        return self.config.until - timedelta(days=self.config.days)

    @property
    def first_day(self) -> int:
        """The log's first day, in days since 1970."""
        return (self.first - date(1970, 1, 1)).days

    @property
    def end_day(self) -> int:
        return self.first_day + self.config.days

    def u(self, purpose: str, *ids: Column | str) -> Column:
        """Uniform in [0, 1), fixed by seed, purpose and ids; numbers must be long, for an int of the same value hashes to something else."""
        # a number, not the text: hashing a string once a play and purpose would be half of all the work
        salt = int.from_bytes(
            hashlib.blake2b(f"{self.config.seed}/{purpose}".encode(), digest_size=8).digest(),
            "big",
            signed=True,
        )
        return unit(F.xxhash64(F.lit(salt), *ids))

    def die(self, sides: int, purpose: str, *ids: Column | str) -> Column:
        """One of 0 … sides − 1, all alike."""
        return F.floor(self.u(purpose, *ids) * sides)

    def zipf(self, sides: int, u: Column) -> Column:
        """One of 0 … sides − 1 with P(i) ∝ ln((i + 2)/(i + 1)), which is Zipf's law with exponent 1 in closed form."""
        return F.least(F.floor(F.exp(u * math.log(sides + 1))) - 1, F.lit(sides - 1)).cast("long")

    # --- tracks ---------------------------------------------------------------------------------------------------

    def track_id(self, t: Column) -> Column:
        n = self.config.tracks
        step = next(s for s in range(int(n * 0.618) + 1, 2 * n + 2) if math.gcd(s, n) == 1)
        return public("t", (t * step + self.config.seed % n) % n)

    def base(self, t: Column) -> Column:
        """The first track of the group: licensed everywhere, released before the log; what else versions are made of."""
        return t - t % GROUP

    def genre(self, t: Column) -> Column:
        return F.shiftright(t, 2) % self.genres

    def layer(self, t: Column) -> Column:
        return F.floor(F.shiftright(t, 2) / self.genres)

    def cell(self, t: Column) -> Column:
        """Genre × scene, the grain of taste."""
        return self.genre(t) * self.scenes + self.layer(t) % self.scenes

    def artist(self, t: Column) -> Column:
        """Number of the main artist; few artists of a scene have most of its groups."""
        rank = F.floor(F.pow(self.u("artist", F.shiftright(t, 2)), F.lit(1.7)) * self.artists_per_scene)
        return rank * (self.genres * self.scenes) + self.cell(t)

    def second_cell(self, artist: Column) -> Column:
        """One artist in four is also at home in a second cell; the own one for the others."""
        cells = self.genres * self.scenes
        return F.when(self.u("two homes", artist) < 0.25, self.die(cells, "second home", artist)).otherwise(
            artist % cells
        )

    def rude(self, recording: Column) -> Column:
        shares = [genre[2] for genre in GENRES.values()]
        return self.u("explicit", recording) < pick_number(shares[: self.genres], self.genre(recording))

    def role(self, t: Column) -> Column:
        """What the track is: original; remaster, single or clean (of the base's recording); live (of its song); new (own song, released during the log)."""
        r = self.u("role", t)
        return (
            F.when(t % GROUP == 0, "original")
            .when((t % GROUP == GROUP - 1) & self.rude(self.base(t)) & (self.u("clean", t) < 0.5), "clean")
            .when(r < 0.16, "remaster")
            .when(r < 0.28, "single")
            .when(r < 0.38, "live")
            .when(r < 0.48, "new")
            .otherwise("original")
        )

    def song(self, t: Column, role: Column) -> Column:
        return F.when(role.isin("remaster", "single", "clean", "live"), self.base(t)).otherwise(t)

    def recording(self, t: Column, role: Column) -> Column:
        return F.when(role.isin("remaster", "single", "clean"), self.base(t)).otherwise(t)

    def explicit(self, recording: Column, role: Column) -> Column:
        """True, false, or null where nobody told."""
        told = F.when(self.u("told", recording) >= 0.01, self.rude(recording))
        return F.when(role == "clean", F.lit(False)).otherwise(told)

    def duration_ms(self, recording: Column) -> Column:
        return (90_000 + F.floor((self.u("long", recording) + self.u("longer", recording)) * 102_000)).cast(
            "long"
        )

    def release_day(self, t: Column) -> Column:
        """Day of release of a track whose role is new."""
        return self.first_day + self.die(self.config.days, "release", t)

    def restricted(self, t: Column) -> Column:
        return (t % GROUP > 0) & (self.u("restricted", t) < 0.135)

    def licensed(self, t: Column, market: Column) -> Column:
        """For a restricted track: a home market, and each other with probability ½."""
        return (self.die(len(MARKETS), "home market", t) == market) | (self.u("licence", t, market) < 0.5)

    def until_day(self, t: Column) -> Column:
        """First day without the licence, or null; only a restricted track that is not new has one."""
        return F.when(self.u("expires", t) < 0.3, self.first_day + self.die(self.config.days, "expiry", t))

    # --- listeners ------------------------------------------------------------------------------------------------

    def bot(self, user: Column) -> Column:
        return user % BOTS_EVERY == BOTS_EVERY - 1

    def cold(self, user: Column) -> Column:
        return (self.u("cold", user) < COLD) & ~self.bot(user)

    def market(self, user: Column) -> Column:
        return F.least(
            F.floor(F.pow(self.u("market", user), F.lit(1.5)) * len(MARKETS)), F.lit(len(MARKETS) - 1)
        )

    def clean(self, user: Column) -> Column:
        return (self.u("policy", user) < 0.08) & ~self.bot(user)

    def loves(self, user: Column) -> dict[str, Column]:
        """g1, g2, g3: three different genres; a2, a3: how much the second and third are loved where the first is 1."""
        g = self.genres
        first = self.any_genre(self.u("g1", user))
        second = (first + 1 + self.die(g - 1, "g2", user)) % g
        third = (second + 1 + self.die(max(g - 2, 1), "g3", user)) % g
        return {
            "g1": first,
            "g2": second,
            "g3": F.when(third == first, (third + 1) % g).otherwise(third),
            "a2": 0.5 + 0.3 * self.u("a2", user),
            "a3": 0.25 + 0.2 * self.u("a3", user),
        }

    def any_genre(self, u: Column) -> Column:
        """Genres differ in how many love them, by about a factor of three."""
        return F.floor(F.pow(u, F.lit(1.4)) * self.genres)

    def scene(self, user: Column, genre: Column) -> Column:
        return self.die(self.scenes, "scene", user, genre)

    def affinity(self, user: Column, cell: Column) -> Column:
        """The truth, 0 to 1: love of the genre, less than half of it outside the listener's own scene. Needs the columns of `loves`."""
        genre = F.floor(cell / self.scenes)
        love = (
            F.when(genre == F.col("g1"), F.lit(1.0))
            .when(genre == F.col("g2"), F.col("a2"))
            .when(genre == F.col("g3"), F.col("a3"))
        )
        love = F.coalesce(love, 0.05 + 0.05 * self.u("love", user, genre))
        return love * F.when(self.scene(user, genre) == cell % self.scenes, 1.0).otherwise(0.45)

    def tag(self, cell: Column) -> Column:
        """Name of a cell, e.g. `indie rock`."""
        tags = [
            f"{scene} {genre}" for genre in list(GENRES)[: self.genres] for scene in SCENES[: self.scenes]
        ]
        return pick(tags, cell)
