"""Define the synthetic world: each fact of a user or track is computed from its number and the seed.

Facts are hashes. So two frames that compute the same fact of a track get the same value, without a join.

Four tracks with consecutive numbers are a group, which has one artist. The number of a group is layer · genres
+ genre. The layer is the rank of the group by popularity inside its genre, from 0; so a track can be chosen by
Zipf's law with arithmetic alone. Public ids are scrambled, so that they do not show the rank.
"""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from trackpools.config import SyntheticConfig

# genre: beats per minute, energy, share of explicit recordings, share of artists who sing
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
GROUP = 4  # tracks in a group
BOTS_EVERY = 200  # one user in this many is a bot
COLD = 0.03  # share of users who signed up and never played


def unit(value: Column) -> Column:
    """Convert a 64-bit hash to a double in [0, 1)."""
    return F.shiftrightunsigned(value, 11) * F.lit(2.0**-53)


def pick(values: Iterable[object], index: Column) -> Column:
    """Return the value at a 0-based index, as a string.

    The values are joined to a single literal, which Spark splits once, because Spark takes seconds to plan
    hundreds of literals.
    """
    return F.element_at(F.split(F.lit("\x1f".join(map(str, values))), "\x1f"), (index + 1).cast("int"))


def pick_number(values: Iterable[float], index: Column) -> Column:
    """Return the value at a 0-based index, as a double; built as in `pick`."""
    return F.element_at(
        F.split(F.lit("\x1f".join(map(str, values))), "\x1f").cast("array<double>"), (index + 1).cast("int")
    )


def public(prefix: str, number: Column) -> Column:
    """Format a number as a public id: the prefix and eight digits."""
    return F.concat(F.lit(prefix), F.lpad(number.cast("string"), 8, "0"))


@dataclass(frozen=True)
class Laws:
    """The sizes and the random laws of one world.

    In the arguments of its methods, `t` is the number of a track. `recording` and `song` are the number of the
    track that stands for the recording or song. `user`, `artist` and `market` are numbers too. A scene is a
    style inside a genre, and a cell is one genre × scene.

    Attributes:
        config: sizes, days and seed.
    """

    config: SyntheticConfig

    @property
    def genres(self) -> int:
        """Number of genres."""
        return min(len(GENRES), self.config.tracks // GROUP)

    @property
    def layers(self) -> int:
        """Number of groups of the largest genre; the last layer may lack some genres."""
        return math.ceil(math.ceil(self.config.tracks / GROUP) / self.genres)

    @property
    def scenes(self) -> int:
        """Number of scenes of each genre."""
        return min(len(SCENES), self.config.tracks // (GROUP * self.genres))

    @property
    def artists_per_scene(self) -> int:
        """Number of artists of each cell."""
        return max(1, self.config.tracks // (10 * self.genres * self.scenes))

    @property
    def first(self) -> date:
        """First day of the log."""
        return self.config.until - timedelta(days=self.config.days)

    @property
    def first_day(self) -> int:
        """First day of the log, in days since 1970."""
        return (self.first - date(1970, 1, 1)).days

    @property
    def end_day(self) -> int:
        """First day after the log, in days since 1970."""
        return self.first_day + self.config.days

    def u(self, purpose: str, *ids: Column | str) -> Column:
        """Return a uniform number in [0, 1), which depends only on the seed, the purpose and the ids.

        Ids that are numbers must be long, because an int of the same value has another hash.
        """
        # The salt is a number, because hashing a text for each play and purpose would take half of all time.
        salt = int.from_bytes(
            hashlib.blake2b(f"{self.config.seed}/{purpose}".encode(), digest_size=8).digest(),
            "big",
            signed=True,
        )
        return unit(F.xxhash64(F.lit(salt), *ids))

    def die(self, sides: int, purpose: str, *ids: Column | str) -> Column:
        """Return one of 0 … sides − 1, each with equal probability."""
        return F.floor(self.u(purpose, *ids) * sides)

    def zipf(self, sides: int, u: Column) -> Column:
        """Return one of 0 … sides − 1 by Zipf's law with exponent 1, from a uniform number `u`.

        The probability of i is proportional to ln((i + 2)/(i + 1)), which is close to 1/(i + 1) and can be
        drawn by a formula.
        """
        return F.least(F.floor(F.exp(u * math.log(sides + 1))) - 1, F.lit(sides - 1)).cast("long")

    # --- tracks ---------------------------------------------------------------------------------------------

    def track_id(self, t: Column) -> Column:
        """Return the public id of a track; ids are scrambled, so that they do not reveal the rank."""
        n = self.config.tracks
        step = next(s for s in range(int(n * 0.618) + 1, 2 * n + 2) if math.gcd(s, n) == 1)
        return public("t", (t * step + self.config.seed % n) % n)

    def base(self, t: Column) -> Column:
        """Return the first track of the group; the other tracks may be versions of it.

        The first track is licensed everywhere, and was released before the log begins.
        """
        return t - t % GROUP

    def genre(self, t: Column) -> Column:
        """Return the number of the track's genre."""
        return F.shiftright(t, 2) % self.genres

    def layer(self, t: Column) -> Column:
        """Return the popularity rank, from 0, of the track's group inside its genre."""
        return F.floor(F.shiftright(t, 2) / self.genres)

    def cell(self, t: Column) -> Column:
        """Return the number of the track's cell (genre × scene); users have one affinity for each cell."""
        return self.genre(t) * self.scenes + self.layer(t) % self.scenes

    def artist(self, t: Column) -> Column:
        """Return the number of the main artist; few artists of a scene have most of its groups."""
        rank = F.floor(F.pow(self.u("artist", F.shiftright(t, 2)), F.lit(1.7)) * self.artists_per_scene)
        return rank * (self.genres * self.scenes) + self.cell(t)

    def second_cell(self, artist: Column) -> Column:
        """Return the second cell of an artist.

        One artist in four has a second cell; for the others it is the artist's own cell.
        """
        cells = self.genres * self.scenes
        return F.when(self.u("two homes", artist) < 0.25, self.die(cells, "second home", artist)).otherwise(
            artist % cells
        )

    def rude(self, recording: Column) -> Column:
        """Return whether the recording is explicit; the probability depends on the genre."""
        shares = [genre[2] for genre in GENRES.values()]
        return self.u("explicit", recording) < pick_number(shares[: self.genres], self.genre(recording))

    def role(self, t: Column) -> Column:
        """Return the role of a track in its group.

        The roles are: `original`, a song of its own; `remaster`, `single` or `clean`, a version of the first
        track's recording; `live`, another recording of the first track's song; and `new`, a song of its own
        that is released during the log.
        """
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
        """Return the song of a track, as the number of the track that stands for it."""
        return F.when(role.isin("remaster", "single", "clean", "live"), self.base(t)).otherwise(t)

    def recording(self, t: Column, role: Column) -> Column:
        """Return the recording of a track, as the number of the track that stands for it."""
        return F.when(role.isin("remaster", "single", "clean"), self.base(t)).otherwise(t)

    def explicit(self, recording: Column, role: Column) -> Column:
        """Return whether the catalogue marks a version as explicit; null if the mark is missing."""
        told = F.when(self.u("told", recording) >= 0.01, self.rude(recording))
        return F.when(role == "clean", F.lit(False)).otherwise(told)

    def duration_ms(self, recording: Column) -> Column:
        """Return the length in milliseconds; it is 90 to 294 seconds."""
        return (90_000 + F.floor((self.u("long", recording) + self.u("longer", recording)) * 102_000)).cast(
            "long"
        )

    def release_day(self, t: Column) -> Column:
        """Return the day of release of a track whose role is `new`, in days since 1970."""
        return self.first_day + self.die(self.config.days, "release", t)

    def restricted(self, t: Column) -> Column:
        """Return whether the track is licensed in some markets only; the first track of a group never is."""
        return (t % GROUP > 0) & (self.u("restricted", t) < 0.135)

    def licensed(self, t: Column, market: Column) -> Column:
        """Return whether a restricted track is licensed in a market.

        It is licensed in its home market, and in each other market with probability ½.
        """
        return (self.die(len(MARKETS), "home market", t) == market) | (self.u("licence", t, market) < 0.5)

    def until_day(self, t: Column) -> Column:
        """Return the first day without the licence, in days since 1970; null if the licence does not end.

        The value has a meaning only for a restricted track that is not `new`.
        """
        return F.when(self.u("expires", t) < 0.3, self.first_day + self.die(self.config.days, "expiry", t))

    # --- users ----------------------------------------------------------------------------------------------

    def bot(self, user: Column) -> Column:
        """Return whether the user is a bot."""
        return user % BOTS_EVERY == BOTS_EVERY - 1

    def cold(self, user: Column) -> Column:
        """Return whether the user signed up and never played."""
        return (self.u("cold", user) < COLD) & ~self.bot(user)

    def market(self, user: Column) -> Column:
        """Return the number of the user's market in `MARKETS`; the first markets have more users."""
        return F.least(
            F.floor(F.pow(self.u("market", user), F.lit(1.5)) * len(MARKETS)), F.lit(len(MARKETS) - 1)
        )

    def clean(self, user: Column) -> Column:
        """Return whether the user wants no explicit tracks."""
        return (self.u("policy", user) < 0.08) & ~self.bot(user)

    def loves(self, user: Column) -> dict[str, Column]:
        """Return the columns of the user's three favourite genres.

        `g1`, `g2` and `g3` are the genres. `a2` and `a3` are the affinities for the second and the third; the
        affinity for the first is 1.
        """
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
        """Return a genre from a uniform number `u`; genres differ in popularity by about a factor of three."""
        return F.floor(F.pow(u, F.lit(1.4)) * self.genres)

    def scene(self, user: Column, genre: Column) -> Column:
        """Return the scene of a genre that the user prefers."""
        return self.die(self.scenes, "scene", user, genre)

    def affinity(self, user: Column, cell: Column) -> Column:
        """Return the user's true affinity for a cell, from 0 to 1; needs the columns of `loves`.

        It is the affinity for the cell's genre; in a scene that the user does not prefer, it is 0.45 of that.
        """
        genre = F.floor(cell / self.scenes)
        love = (
            F.when(genre == F.col("g1"), F.lit(1.0))
            .when(genre == F.col("g2"), F.col("a2"))
            .when(genre == F.col("g3"), F.col("a3"))
        )
        love = F.coalesce(love, 0.05 + 0.05 * self.u("love", user, genre))
        return love * F.when(self.scene(user, genre) == cell % self.scenes, 1.0).otherwise(0.45)

    def tag(self, cell: Column) -> Column:
        """Return the name of a cell, e.g. `indie rock`."""
        tags = [
            f"{scene} {genre}" for genre in list(GENRES)[: self.genres] for scene in SCENES[: self.scenes]
        ]
        return pick(tags, cell)
