"""The flow: every stage in order, with the tables that it reads and writes, and its body.

The body of a stage is a function. It gets frames at pinned versions and returns lazy frames by table name.
`shell/pipeline/runner.py` pins the inputs, and writes, hashes and tracks the results. It skips a stage whose
tables already hold the result of the same inputs, settings, code, `as_of` and `known_as_of`. The stage `ids`
always runs, and the stage `pools` runs again after a refresh.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.core.catalogue import external_vectors, features, track_cards
from trackpools.core.catalogue.recording_facts import recording_facts
from trackpools.core.contracts import ids
from trackpools.core.log import confidence, interactions, non_taste
from trackpools.core.log.audience import audience, eligible_users
from trackpools.core.log.bought_plays import inflated_recordings
from trackpools.core.pools import batch
from trackpools.core.proposals.pool_inputs import PoolInputs
from trackpools.core.rules import eligibility
from trackpools.core.sources import active_sources, configured_sources, fresh
from trackpools.core.sources.packed_items import unpack_items
from trackpools.core.sources.source_inputs import ListInputs
from trackpools.core.sources.source_lists import all_lists
from trackpools.stage import Context, Frames, Stage


def _known(read: Frames, c: Context) -> DataFrame:
    """Return the plays that happened before `as_of` and were received before `known_as_of`."""
    return read["plays"].where(interactions.is_known_by(c.as_of, c.known_as_of))


def _acts(read: Frames, c: Context) -> DataFrame:
    """Return the signals before `as_of`; one signal on each track of an artist replaces one on the artist."""
    return interactions.spread_artist_signals(
        read["signals"].where(F.col("at") < F.lit(c.as_of)), read["tracks"]
    )


def assign_ids(read: Frames, c: Context) -> dict[str, DataFrame]:
    """Give each new user and each new recording the next free integer, which never changes later."""
    plays, acts = _known(read, c), _acts(read, c)
    recordings = ids.recording_of(read["tracks"])
    met = (
        plays.where(interactions.is_music())
        .select("track_id")
        .union(acts.select("track_id"))
        .distinct()
        .join(recordings, "track_id", "left")
    )
    users = (
        plays.select("user_id")
        .union(read["signals"].where(F.col("at") < F.lit(c.as_of)).select("user_id"))
        .union(read["users"].select("user_id"))
    )
    seen = met.select(F.coalesce("recording_id", "track_id").alias("recording_id")).union(
        recordings.select("recording_id")
    )
    return {
        "user_ids": ids.new_ids(users, read["user_ids"], "user_id", "user_idx"),
        "recording_ids": ids.new_ids(seen, read["recording_ids"], "recording_id", "recording_idx"),
    }


def aggregate_daily(read: Frames, c: Context) -> dict[str, DataFrame]:
    """Count plays by user, recording and UTC day, on all days from `Context.since` on.

    Plays beyond the daily caps against bots are not counted. Completions that show no taste are counted in
    `masked` too.
    """
    plays = interactions.with_idx(_known(read, c), read["tracks"], read["user_ids"], read["recording_ids"])
    return {"plays_daily": interactions.plays_daily(plays, c.config.daily, c.config.taste, c.since)}


def mark_non_taste(read: Frames, c: Context) -> dict[str, DataFrame]:
    """Recognise non-taste recordings: sleep sounds, children's audio, noise and functional audio."""
    return {
        "not_taste": non_taste.non_taste_recordings(
            read["plays_daily"],
            features.catalogue_facts(read["tracks"], read["recording_ids"]),
            c.config.taste,
        )
    }


def build_interactions(read: Frames, c: Context) -> dict[str, DataFrame]:
    """Fold days, totals, ratings and explicit acts into one row for each user × recording.

    Plays are weighted by forward decay: the weight of a day grows with the time since a fixed day, and so it
    never changes later.
    """

    def indexed(rows: DataFrame) -> DataFrame:
        return interactions.with_idx(rows, read["tracks"], read["user_ids"], read["recording_ids"])

    of_taste = interactions.is_music() & interactions.is_public()
    untimed = indexed(_known(read, c).where("kind <> 'play' OR played_at IS NULL").where(of_taste))
    acts = interactions.explicit_acts(indexed(_acts(read, c)))
    return {"interactions": interactions.interactions(read["plays_daily"], untimed, acts, c.config.weights)}


def build_features(read: Frames, c: Context) -> dict[str, DataFrame]:
    """Describe users and recordings, and build the cards that prompts and people read.

    Profiles, weights of recordings, and the popularity on cards leave out non-taste.
    """
    known = features.catalogue_facts(read["tracks"], read["recording_ids"])
    groups = c.config.cards.market_groups
    everybody = audience(read["user_ids"], read["users"], groups, c.config.taste.minor_bands)
    met, days, odd = read["interactions"], read["plays_daily"], read["not_taste"]
    return {
        "user_features": features.user_features(met, days, known, odd, c.as_of),
        "recording_features": features.recording_features(met, days, odd, c.config.weights, c.as_of),
        "track_cards": track_cards.build_cards(
            read["tracks"],
            read["recording_ids"],
            everybody,
            non_taste.taste_interactions(met, odd),
            as_of=c.as_of,
            groups=groups,
        ),
    }


def training_set(read: Frames, c: Context) -> DataFrame:
    """Return the interactions that ALS is trained on, without recordings that are non-taste.

    Returns:
        `user_idx, recording_idx, positive, negative`: the weights (double) of the evidence for and against
        taste at `as_of`. Rows without positive evidence are left out, unless `train.beta` is above 0 and they
        have negative evidence.
    """
    weighed = non_taste.without_non_taste(read["interactions"], read["not_taste"]).select(
        "user_idx",
        "recording_idx",
        confidence.positive_weight(c.as_of, c.config.weights).alias("positive"),
        confidence.negative_weight(c.as_of, c.config.weights).alias("negative"),
    )
    evidence = F.col("positive") > 0
    return weighed.where(evidence | (F.col("negative") > 0) if c.config.train.beta > 0 else evidence)


def fit_factors(read: Frames, c: Context) -> dict[str, DataFrame]:
    """Fit ALS factors of users and recordings with the configured engine."""
    settings = c.config.train
    if settings.checkpoint_dir is None and c.config.store.root is not None:
        # Without checkpoints, MLlib's lineage overflows the stack at 8 to 10 iterations. The executors must
        # reach the folder, so it is placed under the root, which they reach.
        settings = settings.model_copy(
            update={"checkpoint_dir": f"{c.config.store.root.rstrip('/')}/checkpoints"}
        )
    artists = (
        features.catalogue_facts(read["tracks"], read["recording_ids"]).select("recording_idx", "artist")
        if settings.artist_prior
        else None
    )
    fit = c.actions.train(training_set(read, c), settings, artists, c.persist)
    c.notes.warnings.extend(fit.warnings)
    c.notes.curve.extend(fit.curve)
    c.notes.metrics |= {
        "rank": fit.rank,
        "trained_rows": fit.trained.rows,
        "trained_users": fit.trained.users,
        "trained_recordings": fit.trained.recordings,
    }
    stamp = {"model_version": F.lit(c.run_key)}
    return {
        "user_factors": fit.users.withColumns(stamp | {"id_version": F.lit(c.versions["user_ids"])}),
        "recording_factors": fit.recordings.withColumns(
            stamp | {"id_version": F.lit(c.versions["recording_ids"])}
        ),
    }


def build_recording_facts(read: Frames, c: Context) -> dict[str, DataFrame]:
    """Collect the facts about each recording that sources and the blend look up by its number."""
    return {
        "recording_facts": recording_facts(
            read["tracks"],
            read["recording_ids"],
            cards=read["track_cards"],
            features=read["recording_features"],
            factors=read["recording_factors"].select("idx", "factors"),
            functional=read["not_taste"],
            inflated=inflated_recordings(read["interactions"], c.config.taste),
        )
    }


def build_source_lists(read: Frames, c: Context) -> dict[str, DataFrame]:
    """Build what candidate sources look up: lists, factors of recent music, imported vectors."""
    config, factors = c.config, read["recording_factors"].select("idx", "factors")
    met = non_taste.without_non_taste(read["interactions"], read["not_taste"])
    heard = met.select(
        "user_idx",
        "recording_idx",
        "plays",
        "last_day",
        confidence.positive_weight(c.as_of, config.weights).alias("weight"),
    )
    inputs = ListInputs(
        interactions=heard.where(F.col("weight") > 0),
        days=read["plays_daily"],
        facts=read["recording_facts"],
        cards=read["track_cards"],
        recording_factors=factors,
        recordings=c.rows["recording_factors"],
        config=config,
        as_of=c.as_of,
    )
    stamp = read["recording_factors"].select("model_version", "id_version").limit(1)
    return {
        "fresh_factors": fresh.vectors(inputs).crossJoin(F.broadcast(stamp)),
        "source_lists": all_lists(inputs, configured_sources(config)),
    } | _own_vectors(read, c, inputs.interactions)


def _own_vectors(read: Frames, c: Context, taste_of: DataFrame) -> dict[str, DataFrame]:
    """Return imported vectors as `idx, factors`; both frames are empty if the source `vectors` is off."""
    if not c.config.sources.vectors.enabled:
        none = read["recording_factors"].select("idx", "factors").limit(0)
        return {"recording_vectors": none, "user_vectors": none}
    recordings = external_vectors.recording_vectors(
        read["vectors"], read["tracks"], read["recording_ids"], c.config.sources.vectors
    )
    return {
        "recording_vectors": recordings,
        "user_vectors": external_vectors.user_vectors(
            read["vectors"], read["user_ids"], recordings, taste_of
        ),
    }


def pool_inputs(read: Frames, c: Context) -> PoolInputs:
    """Collect the users of the stage `pools`, and what is known about them and about recordings."""
    config = c.config
    history = eligibility.history(
        read["interactions"],
        heard=config.pools.heard,
        rules=config.rules,
        weights=config.weights,
        as_of=c.as_of,
    )
    everybody = audience(
        read["user_ids"], read["users"], config.cards.market_groups, config.taste.minor_bands
    )
    vectors = {"user_factors": read["user_factors"], "user_vectors": read["user_vectors"]}
    ranking = {source.vectors.users for source in active_sources(config) if source.vectors}
    return PoolInputs(
        users=eligible_users(everybody, read["user_features"], history, config.pools.active_days, c.as_of),
        history=history,
        config=config,
        as_of=c.as_of,
        subset_size=c.subset_size,
        vectors={name: rows for name, rows in vectors.items() if name in ranking},
        arrays=c.arrays(),
    )


def compute_pools(read: Frames, c: Context) -> dict[str, DataFrame]:
    """Propose candidates, apply the rules, and blend a pool of K; a smaller pool records its shortfall."""
    inputs = pool_inputs(read, c)
    if c.config.sources.als.enabled and c.rows["recording_factors"] > c.config.topk.exact_max:
        metrics, warnings = c.actions.measure_recall(inputs)
        c.notes.metrics |= metrics
        c.notes.warnings.extend(warnings)
    kept = {"candidates": unpack_items(batch.candidates(inputs))} if c.config.candidates.keep else {}
    return kept | {"pools": batch.pools(inputs, c.model_version)}


STAGES = (
    Stage(
        "ids",
        "number new users and recordings",
        (t.PLAYS, t.SIGNALS, t.TRACKS, t.USERS, t.USER_IDS, t.RECORDING_IDS),
        (t.USER_IDS, t.RECORDING_IDS),
        (),
        assign_ids,
    ),
    Stage(
        "daily",
        "count plays by day",
        (t.PLAYS, t.TRACKS, t.USER_IDS, t.RECORDING_IDS),
        (t.PLAYS_DAILY,),
        ("daily", "taste"),
        aggregate_daily,
    ),
    Stage(
        "taste",
        "recognise non-taste recordings",
        (t.TRACKS, t.RECORDING_IDS, t.PLAYS_DAILY),
        (t.NOT_TASTE,),
        ("taste",),
        mark_non_taste,
    ),
    Stage(
        "interactions",
        "fold days, totals and acts",
        (t.PLAYS, t.SIGNALS, t.TRACKS, t.USER_IDS, t.RECORDING_IDS, t.PLAYS_DAILY),
        (t.INTERACTIONS,),
        ("weights",),
        build_interactions,
    ),
    Stage(
        "features",
        "describe users and recordings",
        (t.TRACKS, t.USERS, t.USER_IDS, t.RECORDING_IDS, t.PLAYS_DAILY, t.NOT_TASTE, t.INTERACTIONS),
        (t.USER_FEATURES, t.RECORDING_FEATURES, t.TRACK_CARDS),
        ("taste", "weights", "cards"),
        build_features,
    ),
    Stage(
        "train",
        "fit ALS factors",
        (t.TRACKS, t.NOT_TASTE, t.INTERACTIONS, t.USER_IDS, t.RECORDING_IDS),
        (t.USER_FACTORS, t.RECORDING_FACTORS),
        ("weights", "train"),
        fit_factors,
    ),
    Stage(
        "facts",
        "collect the facts of recordings",
        (
            t.TRACKS,
            t.RECORDING_IDS,
            t.NOT_TASTE,
            t.INTERACTIONS,
            t.RECORDING_FEATURES,
            t.TRACK_CARDS,
            t.RECORDING_FACTORS,
        ),
        (t.RECORDING_FACTS,),
        ("taste",),
        build_recording_facts,
    ),
    Stage(
        "index",
        "build what sources look up",
        (
            t.TRACKS,
            t.VECTORS,
            t.USER_IDS,
            t.RECORDING_IDS,
            t.PLAYS_DAILY,
            t.NOT_TASTE,
            t.INTERACTIONS,
            t.TRACK_CARDS,
            t.RECORDING_FACTORS,
            t.RECORDING_FACTS,
        ),
        (t.FRESH_FACTORS, t.USER_VECTORS, t.RECORDING_VECTORS, t.SOURCE_LISTS),
        ("weights", "topk", "sources", "rules"),
        build_source_lists,
    ),
    Stage(
        "pools",
        "propose, apply rules, blend",
        (
            t.USER_IDS,
            t.USERS,
            t.USER_FEATURES,
            t.INTERACTIONS,
            t.TRACK_CARDS,
            t.USER_FACTORS,
            t.RECORDING_FACTORS,
            t.RECORDING_FACTS,
            t.FRESH_FACTORS,
            t.USER_VECTORS,
            t.RECORDING_VECTORS,
            t.SOURCE_LISTS,
        ),
        (t.CANDIDATES, t.POOLS),
        ("weights", "taste", "cards", "topk", "sources", "rules", "pools", "candidates"),
        compute_pools,
    ),
)
BY_NAME = {stage.name: stage for stage in STAGES}
