"""THE FLOW: every stage in order: what it reads, what it writes, which functions it calls.

A body takes frames at pinned versions and returns lazy frames by table name; `shell/flow.py` pins, writes, hashes and
tracks. A stage whose inputs, configuration, code and as_of are those of its last run does nothing.
"""

from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.core import assemble, cards, features, ids, interactions, rules, taste, vectors, weights
from trackpools.core.audience import audience, eligible
from trackpools.core.facts import recording_facts
from trackpools.core.inflation import inflated
from trackpools.core.shelf import packed_shelf
from trackpools.core.sources import als, fresh, lookups, switched_on
from trackpools.core.sources.inputs import ListInputs, SourceInputs, Vectors
from trackpools.core.sources.items import unpacked
from trackpools.stage import Context, Frames, Stage


def _known(read: Frames, c: Context) -> DataFrame:
    return read["plays"].where(interactions.known_by(c.as_of, c.known_as_of))


def _acts(read: Frames, c: Context) -> DataFrame:
    return interactions.on_tracks(read["signals"].where(F.col("at") < F.lit(c.as_of)), read["tracks"])


def number_ids(read: Frames, c: Context) -> dict[str, DataFrame]:
    """New users and recordings get the next ints; nobody is ever renumbered."""
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


def count_days(read: Frames, c: Context) -> dict[str, DataFrame]:
    """Plays by user, recording and UTC day, bots capped, what is no taste masked; only days that may have changed."""
    plays = interactions.with_idx(_known(read, c), read["tracks"], read["user_ids"], read["recording_ids"])
    return {"plays_daily": interactions.plays_daily(plays, c.config.daily, c.config.taste, c.since)}


def tell_taste(read: Frames, c: Context) -> dict[str, DataFrame]:
    """Recordings that are nobody's taste: sleep, kids, noise, functional audio."""
    return {
        "not_taste": taste.not_taste(
            read["plays_daily"], features.facts(read["tracks"], read["recording_ids"]), c.config.taste
        )
    }


def fold_interactions(read: Frames, c: Context) -> dict[str, DataFrame]:
    """One row a user × recording with forward decay, from days, totals, ratings and explicit acts."""

    def indexed(rows: DataFrame) -> DataFrame:
        return interactions.with_idx(rows, read["tracks"], read["user_ids"], read["recording_ids"])

    of_taste = interactions.is_music() & interactions.is_public()
    untimed = indexed(_known(read, c).where("kind <> 'play' OR played_at IS NULL").where(of_taste))
    acts = interactions.explicit_acts(indexed(_acts(read, c)))
    return {"interactions": interactions.interactions(read["plays_daily"], untimed, acts, c.config.weights)}


def describe(read: Frames, c: Context) -> dict[str, DataFrame]:
    """What listeners and recordings are like, and the cards that prompts and people read; charts count taste only."""
    known = features.facts(read["tracks"], read["recording_ids"])
    groups = c.config.cards.market_groups
    everybody = audience(read["user_ids"], read["users"], groups, c.config.taste.minor_bands)
    met, days, odd = read["interactions"], read["plays_daily"], read["not_taste"]
    return {
        "user_features": features.user_features(met, days, known, odd, c.as_of),
        "recording_features": features.recording_features(met, days, odd, c.config.weights, c.as_of),
        "track_cards": cards.cards(
            read["tracks"],
            read["recording_ids"],
            everybody,
            taste.of_taste(met, odd),
            as_of=c.as_of,
            groups=groups,
        ),
    }


def training_set(read: Frames, c: Context) -> DataFrame:
    """`user_idx, recording_idx, positive, negative` doubles: rows with evidence of taste at as_of."""
    weighed = taste.without(read["interactions"], read["not_taste"]).select(
        "user_idx",
        "recording_idx",
        weights.positive_weight(c.as_of, c.config.weights).alias("positive"),
        weights.negative_weight(c.as_of, c.config.weights).alias("negative"),
    )
    evidence = F.col("positive") > 0
    return weighed.where(evidence | (F.col("negative") > 0) if c.config.train.beta > 0 else evidence)


def fit_factors(read: Frames, c: Context) -> dict[str, DataFrame]:
    """ALS factors of users and recordings by the configured engine."""
    # here, not above: engines act and load heavy libraries; reading the map of the flow must not
    from trackpools.shell.engines import train

    settings = c.config.train
    if settings.checkpoint_dir is None and c.config.store.root is not None:
        # executors must see it, and they see the root; without one MLlib's lineage overflows the stack at 8 to 10 sweeps
        settings = settings.model_copy(
            update={"checkpoint_dir": f"{c.config.store.root.rstrip('/')}/checkpoints"}
        )
    artists = (
        features.facts(read["tracks"], read["recording_ids"]).select("recording_idx", "artist")
        if settings.artist_prior
        else None
    )
    fit = train(training_set(read, c), settings, artists, c.keep)
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


def tell_facts(read: Frames, c: Context) -> dict[str, DataFrame]:
    """What is to be known of a recording by its number."""
    return {
        "recording_facts": recording_facts(
            read["tracks"],
            read["recording_ids"],
            cards=read["track_cards"],
            features=read["recording_features"],
            factors=read["recording_factors"].select("idx", "factors"),
            functional=read["not_taste"],
            inflated=inflated(read["interactions"], c.config.taste),
        )
    }


def lay_out(read: Frames, c: Context) -> dict[str, DataFrame]:
    """What sources look up: vectors of new releases, ranked lists."""
    config, factors = c.config, read["recording_factors"].select("idx", "factors")
    met = taste.without(read["interactions"], read["not_taste"])
    heard = met.select(
        "user_idx",
        "recording_idx",
        "plays",
        "last_day",
        weights.positive_weight(c.as_of, config.weights).alias("weight"),
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
        "source_lists": lookups.all_lists(inputs, switched_on(config)),
    } | _own_vectors(read, c, inputs.interactions)


def _own_vectors(read: Frames, c: Context, taste_of: DataFrame) -> dict[str, DataFrame]:
    """Somebody's own vectors by our numbers; none where the source is off."""
    if not c.config.sources.vectors.enabled:
        none = read["recording_factors"].select("idx", "factors").limit(0)
        return {"recording_vectors": none, "user_vectors": none}
    recordings = vectors.recording_vectors(
        read["vectors"], read["tracks"], read["recording_ids"], c.config.sources.vectors
    )
    return {
        "recording_vectors": recordings,
        "user_vectors": vectors.user_vectors(read["vectors"], read["user_ids"], recordings, taste_of),
    }


def source_inputs(read: Frames, c: Context) -> SourceInputs:
    """What candidate sources are given of the tables that the stage `pools` reads."""
    config = c.config
    history = rules.history(
        read["interactions"],
        heard=config.pools.heard,
        rules=config.rules,
        weights=config.weights,
        as_of=c.as_of,
    )
    everybody = audience(
        read["user_ids"], read["users"], config.cards.market_groups, config.taste.minor_bands
    )
    own = None
    if config.sources.vectors.enabled:
        own = Vectors(
            users=read["user_vectors"],
            recordings=read["recording_vectors"],
            count=c.rows["recording_vectors"],
        )
    return SourceInputs(
        users=eligible(everybody, read["user_features"], history, config.pools.active_days, c.as_of),
        history=history,
        cards=read["track_cards"],
        user_factors=read["user_factors"].select("idx", "factors"),
        recording_factors=read["recording_factors"].select("idx", "factors"),
        recordings=c.rows["recording_factors"],
        rank=config.train.rank,
        config=config,
        as_of=c.as_of,
        shelf=packed_shelf(read["recording_facts"]),
        lists=read["source_lists"],
        few=c.few,
        fresh_factors=read["fresh_factors"].select("idx", "factors"),
        vectors=own,
    )


def fill_pools(read: Frames, c: Context) -> dict[str, DataFrame]:
    """Candidates of every source, rules, blend, exactly K or a shortfall."""
    inputs = source_inputs(read, c)
    if c.config.sources.als.enabled and als.is_approximate(inputs):
        from trackpools.shell.recall import told

        inputs = replace(inputs, stripes=c.keep(als.stripes(inputs)))
        metrics, warnings = told(inputs)
        c.notes.metrics |= metrics
        c.notes.warnings.extend(warnings)
    proposed = assemble.candidates(inputs)
    kept = {"candidates": unpacked(proposed)} if c.config.candidates.keep else {}
    return kept | {"pools": assemble.pools(inputs, proposed, c.as_of, c.model_version)}


STAGES = (
    Stage(
        "ids",
        "number new users and recordings",
        (t.PLAYS, t.SIGNALS, t.TRACKS, t.USERS, t.USER_IDS, t.RECORDING_IDS),
        (t.USER_IDS, t.RECORDING_IDS),
        (),
        number_ids,
    ),
    Stage(
        "daily",
        "count plays by day",
        (t.PLAYS, t.TRACKS, t.USER_IDS, t.RECORDING_IDS),
        (t.PLAYS_DAILY,),
        ("daily", "taste"),
        count_days,
    ),
    Stage(
        "taste",
        "recognise audio that is no taste",
        (t.TRACKS, t.RECORDING_IDS, t.PLAYS_DAILY),
        (t.NOT_TASTE,),
        ("taste",),
        tell_taste,
    ),
    Stage(
        "interactions",
        "fold days, totals and acts",
        (t.PLAYS, t.SIGNALS, t.TRACKS, t.USER_IDS, t.RECORDING_IDS, t.PLAYS_DAILY),
        (t.INTERACTIONS,),
        ("weights",),
        fold_interactions,
    ),
    Stage(
        "features",
        "describe users and recordings",
        (t.TRACKS, t.USERS, t.USER_IDS, t.RECORDING_IDS, t.PLAYS_DAILY, t.NOT_TASTE, t.INTERACTIONS),
        (t.USER_FEATURES, t.RECORDING_FEATURES, t.TRACK_CARDS),
        ("taste", "weights", "cards"),
        describe,
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
        "tell what is to be known of recordings",
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
        tell_facts,
    ),
    Stage(
        "index",
        "lay out what sources look up",
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
        lay_out,
    ),
    Stage(
        "pools",
        "propose, rule, blend, cut",
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
        fill_pools,
    ),
)
BY_NAME = {stage.name: stage for stage in STAGES}
