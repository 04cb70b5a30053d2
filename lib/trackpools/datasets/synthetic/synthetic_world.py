"""Generate the tables of a synthetic music service, in Spark; the true tastes of its users are known.

The rows depend only on the configuration and its seed, not on partitions.
"""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.config import SyntheticConfig
from trackpools.core.contracts.conform import conform
from trackpools.datasets.synthetic.synthetic_catalogue import affinities, artist_id, tracks, user_id, users
from trackpools.datasets.synthetic.synthetic_facts import GROUP, MARKETS, Laws, pick
from trackpools.tables import SIGNALS

DAY_S = 86_400
STEP_S = 300  # greatest time between the starts of two plays of a session; no track is longer
SESSION_S = 5 * 3600  # longest session; with many plays, they follow each other faster
BOT_PLAYS = 1500  # plays of a bot on each of about three days
SLOTS = 8  # tracks for which a user may give a signal; the last two are not in the user's library
# contexts in which the user did not choose the track, and contexts in which the user did
LEAN_BACK = ("radio", "autoplay", "playlist")
LEAN_FORWARD = ("album", "search", "library")
START_REASONS = {
    "radio": "autoplay",
    "autoplay": "autoplay",
    "playlist": "trackdone",
    "album": "trackdone",
    "search": "clickrow",
    "library": "clickrow",
}


@dataclass(frozen=True)
class SyntheticWorld:
    """The lazy frames of one synthetic world.

    Attributes:
        plays: raw rows as an importer returns them, one for each event; about 0.5 % occur twice with the same
            event id.
        tracks: the catalogue, with the columns of `tables.TRACKS`.
        users: all users who signed up, with the columns of `tables.USERS`; about 3 % never played.
        signals: likes, saves, dislikes, blocks (also of `artist:<id>`) and undos, with the columns of
            `tables.SIGNALS`.
        affinities: the true tastes, `user_id, tag, genre, affinity`, one row for each user × tag of a cell; the
            affinity is 0 to 1. A user's affinity for a track is the greatest over the track's tags.
    """

    plays: DataFrame
    tracks: DataFrame
    users: DataFrame
    signals: DataFrame
    affinities: DataFrame


def world(spark: SparkSession, config: SyntheticConfig, *, partitions: int | None = None) -> SyntheticWorld:
    """Build the world of a configuration: a log of `config.days` days that ends before `config.until`.

    Args:
        spark: the session.
        config: sizes, days and seed of the world.
        partitions: number of tasks that generate the world; it does not change the rows.
    """
    laws = Laws(config)
    return SyntheticWorld(
        plays=_plays(spark, laws, partitions),
        tracks=tracks(spark, laws, partitions),
        users=users(spark, laws, partitions),
        signals=_signals(spark, laws, partitions),
        affinities=affinities(spark, laws, partitions),
    )


def _fence(df: DataFrame) -> DataFrame:
    """Return the same rows, but let Spark compile the steps before and after separately.

    Spark fuses consecutive steps into one Java method, and the JVM never compiles a method above 8000 bytes. If
    all steps of this module were fused, they would run ten times slower. Spark does not fuse a `coalesce`, and
    a coalesce to more partitions than exist moves no rows.
    """
    return df.coalesce(2**31 - 1)


# --- from a wish to a track ---------------------------------------------------------------------------------


def _choose(df: DataFrame, laws: Laws) -> DataFrame:
    """Add the track `t` that fulfils the wish of a user, and its `role`.

    A wish is a number: a slot of the user's library, or a random number for a discovery. The same wish of a
    user always gives the same track, with one exception: if this track is not released yet, or not licensed in
    the market on that day, the first track of its group replaces it.

    Args:
        df: rows with `user, wish, wander, utc_day, market_no` and the columns of `Laws.loves`; `wander` is
            the probability that the genre is drawn from all genres, and not from the user's favourites.
        laws: the laws of the world.
    """
    ids = ("user", "wish")
    total = 1.0 + F.col("a2") + F.col("a3")
    r = laws.u("taste", *ids) * total
    wanders = laws.u("wander", *ids) < F.col("wander")
    loved = F.when(r < 1.0, F.col("g1")).when(r < 1.0 + F.col("a2"), F.col("g2")).otherwise(F.col("g3"))
    drawn = df.withColumns(
        {
            "genre": F.when(wanders, laws.any_genre(laws.u("any genre", *ids))).otherwise(loved),
            "layer": laws.zipf(laws.layers, laws.u("layer", *ids)),
            "in_scene": ~wanders & (laws.u("in scene", *ids) < 0.6),
            "place": F.least(laws.zipf(GROUP + 2, laws.u("place", *ids)), F.lit(GROUP - 1)),
        }
    )
    own = F.col("layer") - F.col("layer") % laws.scenes + laws.scene(F.col("user"), F.col("genre"))
    number = (
        F.when(F.col("in_scene"), own).otherwise(F.col("layer")) * laws.genres + F.col("genre")
    ) * GROUP + F.col("place")
    w, above = F.col("wished"), F.col("number") - GROUP * laws.genres * laws.scenes
    # The last layer may be partial. A number beyond the catalogue becomes the track of the same genre and
    # scene in the previous round of scenes.
    numbered = drawn.withColumn("number", number).withColumn(
        "wished", F.when(F.col("number") < laws.config.tracks, F.col("number")).otherwise(above)
    )
    out = _fence(numbered).withColumns({"wished_role": laws.role(w), "restricted": laws.restricted(w)})
    new = F.col("wished_role") == "new"
    unreleased = new & (laws.release_day(w) > F.col("utc_day"))
    expired = ~new & (F.coalesce(laws.until_day(w), F.lit(laws.end_day + 1)) <= F.col("utc_day"))
    barred = unreleased | (F.col("restricted") & (expired | ~laws.licensed(w, F.col("market_no"))))
    return out.withColumn("barred", barred).withColumns(
        {
            "t": F.when(F.col("barred"), laws.base(w)).otherwise(w),
            "role": F.when(F.col("barred"), "original").otherwise(F.col("wished_role")),
        }
    )


def _true_affinity(laws: Laws) -> Column:
    """Return the affinity of `user` for the artist of `t`: the greater over the artist's one or two cells."""
    user, t = F.col("user"), F.col("t")
    return F.greatest(
        laws.affinity(user, laws.cell(t)), laws.affinity(user, laws.second_cell(laws.artist(t)))
    )


# --- plays --------------------------------------------------------------------------------------------------


def _plays(spark: SparkSession, laws: Laws, partitions: int | None) -> DataFrame:
    """Generate `SyntheticWorld.plays`."""
    days = spark.range(0, laws.config.users * (laws.config.days + 1), 1, partitions)
    sessions = _fence(_sessions(days, laws))
    wishes = _fence(_wishes(sessions, laws))
    heard = _fence(_heard(_fence(_choose(wishes, laws)), laws))
    row = F.struct(
        F.concat_ws("-", F.lit("e"), F.col("user"), F.col("day"), F.col("i")).alias("event_id"),
        user_id(F.col("user")).alias("user_id"),
        laws.track_id(F.col("t")).alias("track_id"),
        F.timestamp_millis(F.col("at_ms")).alias("played_at"),
        F.timestamp_millis(F.col("received_ms")).alias("received_at"),
        F.col("ms_played"),
        F.col("reason_start"),
        F.col("reason_end"),
        F.col("context_type"),
        F.col("private"),
    )
    # One generator (`inline`) returns every column. So Spark cannot push a filter of a reader below the
    # generator, where the filter would compute every step again.
    rows = heard.select(F.inline(F.array_repeat(row, F.col("copies"))))
    text = F.concat_ws(
        ",",
        "event_id",
        "user_id",
        "track_id",
        F.unix_millis("played_at").cast("string"),
        F.col("ms_played").cast("string"),
    )
    return rows.withColumns(
        {
            "content_type": F.lit("music"),
            "kind": F.lit("play"),
            "plays": F.lit(1),
            "row_text": text,
            "source": F.lit("synthetic"),
        }
    )


def _sessions(user_days: DataFrame, laws: Laws) -> DataFrame:
    """Generate one row for each play, numbered `i` within the user's local day.

    The activity of users is log-normal. Most plays of a day are in one session in the evening, the others in
    one session earlier in the day.
    """
    users, user, day, ids = laws.config.users, F.col("user"), F.col("day"), ("user", "day")
    # Begin one day early, because the local day before the log begins may reach into its first UTC day.
    numbered = user_days.select(
        (F.col("id") % users).alias("user"), (F.floor(F.col("id") / users) + laws.first_day - 1).alias("day")
    )
    sigma = 1.0
    normal = (sum((laws.u(f"activity {k}", user) for k in range(4)), F.lit(0.0)) - 2.0) * 3**0.5
    rate = laws.config.plays_per_user_day * F.exp(sigma * normal - sigma**2 / 2)
    zone = pick(MARKETS.values(), laws.market(user))
    evening = 18 * 3600 + F.floor(laws.u("evening start", *ids) * 4 * 3600)
    morning = 7 * 3600 + F.floor(laws.u("day start", *ids) * 9 * 3600)
    people = numbered.withColumns(
        {
            "rate": rate,
            "bot": laws.bot(user),
            "cold": laws.cold(user),
            "market_no": laws.market(user),
            "clean": laws.clean(user),
            **laws.loves(user),
            "slots": 20 + F.floor(280 * F.pow(laws.u("library", user), F.lit(2.0))),
            "offset": day * DAY_S
            - F.unix_seconds(F.to_utc_timestamp(F.timestamp_seconds(day * DAY_S + 12 * 3600), zone))
            + 12 * 3600,
        }
    )
    # Days without music are common. An active day has rate + 4 plays on average, exponentially distributed.
    active = laws.u("active", *ids) < F.col("rate") / (F.col("rate") + 4.0)
    drawn = F.floor(laws.u("rounding", *ids) - (F.col("rate") + 4.0) * F.log(1.0 - laws.u("plays", *ids)))
    bot_day = (day + laws.die(1000, "bot day", user)) % max(1, laws.config.days // 3) == 0
    n = (
        F.when(F.col("bot"), F.when(bot_day, BOT_PLAYS))
        .when(~F.col("cold") & active, F.least(drawn, F.lit(5000)))
        .cast("long")
    )
    days = (
        _fence(people)
        .withColumns(
            {
                "n": n,
                "evening_at": day * DAY_S - F.col("offset") + evening,
                "morning_at": day * DAY_S - F.col("offset") + morning,
            }
        )
        .withColumn("n1", F.floor(F.col("n") * (1.0 - 0.45 * laws.u("split", *ids))))
    )
    return days.select(
        "*", F.explode(F.when(F.col("n") > 0, F.sequence(F.lit(0).cast("long"), F.col("n") - 1))).alias("i")
    )


def _wishes(plays: DataFrame, laws: Laws) -> DataFrame:
    """Add time, context and wish to plays.

    A wish is a slot of the user's library, drawn by Zipf's law, or a discovery; see `_choose`.
    """
    ids, session = ("user", "day", "i"), ("user", "day", "sitting")
    bot, forward, evening = F.col("bot"), F.col("forward"), F.col("evening")
    seated = plays.withColumns(
        {"evening": F.col("i") < F.col("n1"), "sitting": (F.col("i") < F.col("n1")).cast("long")}
    )
    seat = F.when(evening, F.col("i")).otherwise(F.col("i") - F.col("n1"))
    size = F.greatest(F.when(evening, F.col("n1")).otherwise(F.col("n") - F.col("n1")), F.lit(1))
    begins = F.when(evening, F.col("evening_at")).otherwise(F.col("morning_at"))
    at = F.when(bot, F.col("day") * DAY_S + F.col("i") * (DAY_S / BOT_PLAYS)).otherwise(
        begins + seat * F.least(F.lit(STEP_S), SESSION_S / size)
    )
    timed = seated.withColumns(
        {
            "at_ms": F.floor((at + 4.0 * laws.u("jitter", *ids)) * 1000).cast("long"),
            "forward": ~bot & (laws.u("forward", *session) < 0.45),
            "context": laws.die(3, "context", *session),
            "private": laws.u("private", *session) < 0.02,
        }
    )
    slot = F.floor(F.exp(laws.u("slot", *ids) * F.log(F.col("slots") + 1.0))) - 1
    repeats = laws.u("repeats", *ids) < F.when(forward, 0.85).otherwise(0.5)
    discovery = F.shiftright(F.xxhash64("user", "day", F.col("i").cast("int")), 8) + 2**56
    context = F.when(forward, pick(LEAN_FORWARD, F.col("context"))).otherwise(
        pick(LEAN_BACK, F.col("context"))
    )
    return timed.withColumns(
        {
            "utc_day": F.floor(F.col("at_ms") / (DAY_S * 1000)),
            "context_type": context,
            "wish": F.when(bot, F.col("i") % 3).when(repeats, slot).otherwise(discovery),
            "wander": F.when(repeats, 0.03).when(forward, 0.15).otherwise(0.4),
        }
    )


def _heard(plays: DataFrame, laws: Laws) -> DataFrame:
    """Add the length of each play, the time when the service received it, and its number of rows (`copies`)."""
    ids, recording = ("user", "day", "i"), F.col("recording")
    known = plays.withColumn("recording", laws.recording(F.col("t"), F.col("role"))).withColumns(
        {
            "affinity": _true_affinity(laws),
            "duration_ms": laws.duration_ms(recording),
            "refused": F.col("clean") & F.coalesce(laws.explicit(recording, F.col("role")), F.lit(True)),
        }
    )
    # The less a track fits, the more often the user skips it; if the user did not choose it, four times as
    # often.
    tired = (0.04 + 0.6 * F.pow(1.0 - F.col("affinity"), F.lit(1.5))) * F.when(
        F.col("forward"), 0.25
    ).otherwise(1.0)
    end = (
        F.when(F.col("bot"), "bot")
        .when(laws.u("skip", *ids) < tired, "skip")
        .when(laws.u("stop", *ids) < 0.06, "stop")
        .otherwise("done")
    )
    ended = _fence(known).withColumn("end", end)
    part = laws.u("part", *ids)
    listened = ended.withColumns(
        {
            "ms_played": (
                F.when(F.col("end") == "bot", 31_000 + F.floor(part * 3000))
                .when(F.col("end") == "skip", 1500 + F.floor(part * 26_000))
                .when(F.col("end") == "stop", F.floor(F.col("duration_ms") * (0.4 + 0.6 * part)))
                .otherwise(F.col("duration_ms"))
            ).cast("long"),
            "reason_start": F.element_at(
                F.create_map(*(F.lit(word) for pair in START_REASONS.items() for word in pair)),
                F.col("context_type"),
            ),
            "reason_end": F.when(F.col("end") == "skip", "fwdbtn")
            .when(F.col("end") == "done", "trackdone")
            .otherwise("endplay"),
            "delay_s": F.when(
                laws.u("late", *ids) < 0.01, DAY_S * (1.0 + 20.0 * laws.u("how late", *ids))
            ).otherwise(1.0 + 5.0 * laws.u("delay", *ids)),
        }
    )
    received = listened.withColumn(
        "received_ms", F.col("at_ms") + F.col("ms_played") + F.floor(F.col("delay_s") * 1000)
    )
    # The log has only plays that were received before its end. Users with the policy `clean` play no track that
    # may be explicit.
    outside = (F.col("at_ms") < laws.first_day * DAY_S * 1000) | (
        F.col("received_ms") >= laws.end_day * DAY_S * 1000
    )
    return received.withColumn(
        "copies", F.when(outside | F.col("refused"), 0).when(laws.u("twice", *ids) < 0.005, 2).otherwise(1)
    )


# --- signals ------------------------------------------------------------------------------------------------


def _signals(spark: SparkSession, laws: Laws, partitions: int | None) -> DataFrame:
    """Generate `SyntheticWorld.signals`.

    Users like and save tracks of their library that fit well, dislike and block tracks that fit badly, and undo
    some of these signals. Bots and users who never played give no signals.
    """
    user, i, ids = F.col("user"), F.col("i"), ("user", "i")
    rows = spark.range(0, laws.config.users * SLOTS, 1, partitions).select(
        F.floor(F.col("id") / SLOTS).alias("user"), (F.col("id") % SLOTS).alias("i")
    )
    minding = i >= SLOTS - 2
    # No signal is in the last two days, so that there is time for an undo.
    at = laws.first_day * DAY_S + F.floor(laws.u("signal at", *ids) * max(1, laws.config.days - 2) * DAY_S)
    wishes = rows.withColumns(
        {
            "at": at,
            "utc_day": F.floor(at / DAY_S),
            "market_no": laws.market(user),
            **laws.loves(user),
            "wish": F.when(minding, 1000 + i).otherwise(i),
            "wander": F.when(minding, 1.0).otherwise(0.03),
        }
    )
    minds = F.when(i == SLOTS - 2, F.when(laws.u("dislike", *ids) < 0.3, "dislike")).when(
        laws.u("block", *ids) < 0.12,
        F.when(laws.u("whole artist", *ids) < 0.5, "block artist").otherwise("block"),
    )
    likes = F.when(laws.u("like", *ids) < 0.5, F.when(laws.u("save", *ids) < 0.3, "save").otherwise("like"))
    kind = F.when(minding & (F.col("affinity") < 0.5), minds).when(
        ~minding & (F.col("affinity") > 0.4), likes
    )
    chosen = _choose(wishes, laws).withColumn("affinity", _true_affinity(laws))
    said = chosen.withColumn("said", F.when(~laws.bot(user) & ~laws.cold(user), kind))
    whole_artist = F.concat(F.lit("artist:"), artist_id(laws.artist(F.col("t"))))
    target = F.when(F.col("said") == "block artist", whole_artist).otherwise(laws.track_id(F.col("t")))

    def signal(name: Column, when: Column) -> Column:
        return F.struct(
            user_id(user).alias("user_id"),
            target.alias("track_id"),
            name.alias("kind"),
            F.timestamp_seconds(when).alias("at"),
        )

    act = signal(F.regexp_replace("said", " artist$", ""), F.col("at"))
    undo = signal(F.lit("undo"), F.col("at") + 60 + F.floor(laws.u("undo at", *ids) * DAY_S))
    acts = F.array_compact(F.array(act, F.when(laws.u("undo", *ids) < 0.06, undo)))
    return conform(said.select(F.inline(F.when(F.col("said").isNotNull(), acts))), SIGNALS)
