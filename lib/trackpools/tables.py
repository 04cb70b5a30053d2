"""THE MAP: every Delta table in flow order, with its grain, key, columns and meaning.

`_id` is a public string, `_idx` a dense int32 that never changes. Raw user ids stand only in `plays`, `signals`,
`plays_rejected`, `users` and `user_ids`. A `recording` is the grain of taste; a `track` is one playable instance.
"""

from pyspark.sql import types as T

from trackpools.table import (
    BINARY,
    BOOL,
    BYTE,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    LONG,
    SHORT,
    STRING,
    TIME,
    Table,
    array,
    col,
    struct,
)
from trackpools.tables_serving import EXPOSURES, FILLS, SWITCHES

FEED = {"delta.enableChangeDataFeed": "true"}  # who changed since a version, without comparing two of them
PLAYS = Table(
    "plays",
    "one play (or one user × track total, where a log holds only counts or ratings)",
    ("play_key",),
    "merge",
    (
        col(
            "play_key!",
            STRING,
            "event id if the log has one, else user, track and time; what makes a play a duplicate",
        ),
        col("user_id!", STRING, "raw user id"),
        col("track_id!", STRING, "raw track id"),
        col("played_at", TIME, "UTC start of the play; null in logs that hold only counts"),
        col("received_at", TIME, "UTC time at which the service learned of the play"),
        col("ms_played", LONG, "milliseconds listened"),
        col("reason_start", STRING, "why it started: clickrow, autoplay, …"),
        col("reason_end", STRING, "why it ended: trackdone, fwdbtn, …"),
        col("context_type", STRING, "playlist, album, radio, …; lean-back contexts give negative evidence"),
        col("private", BOOL, "played in a private session"),
        col("content_type", STRING, "music unless said otherwise"),
        col("kind!", STRING, "play | count | rating: which evidence the row is, and so how it is weighted"),
        col(
            "plays!",
            INT,
            "1 for a play; the total in a count log; 1 or 0 for a rating above or below the threshold",
        ),
    ),
    cluster_by=("played_at",),
    checks={"plays_not_negative": "plays >= 0"},
    properties=FEED,
)
SIGNALS = Table(
    "signals",
    "one explicit act of a user on a track",
    ("user_id", "track_id", "kind", "at"),
    "merge",
    (
        col("user_id!", STRING, "raw user id"),
        col("track_id!", STRING, "raw track id; an artist as artist:<id>"),
        col("kind!", STRING, "like | dislike | save | block | undo"),
        col("at!", TIME, "UTC"),
    ),
    properties=FEED,
)
PLAYS_REJECTED = Table(
    "plays_rejected",
    "one refused input row",
    ("reject_key",),
    "merge",
    (
        col("reject_key!", STRING, "hash of source, row text and which occurrence of that text it is"),
        col("source!", STRING, "importer and file name"),
        col("row_text!", STRING, "the row as read, cut at 10,000 characters"),
        col("reasons!", array(STRING), "every reason, sorted"),
    ),
)
TRACKS = Table(
    "tracks",
    "one playable track",
    ("track_id",),
    "upsert",
    (
        col("track_id!", STRING, "raw track id"),
        col("recording_id", STRING, "recording it is an instance of; the track id if null"),
        col("title", STRING, "untrusted text"),
        col("artist_ids", array(STRING), "main artist first"),
        col("artist_names", array(STRING), "in the order of artist_ids"),
        col("album_id", STRING, "raw album id"),
        col("original_year", INT, "year of first release"),
        col("version_kind", STRING, "original, remaster, live, …"),
        col("duration_ms", LONG, "milliseconds"),
        col("explicit", BOOL, "null is unknown, and is kept from minors and from who wants clean tracks"),
        col("language", STRING, "ISO 639"),
        col("tags", array(STRING), "lower case"),
        col("tempo", FLOAT, "beats per minute"),
        col("energy", FLOAT, "0 to 1"),
        col("popularity", FLOAT, "the catalogue's own figure, 0 to 1"),
        col(
            "rights",
            array(
                T.StructType(
                    [
                        T.StructField("market", STRING),
                        T.StructField("from", DATE),
                        T.StructField("until", DATE),
                    ]
                )
            ),
            "where and when it may be played, until exclusive; null or empty is everywhere",
        ),
        col("available!", BOOL, "false once taken down"),
        col("label", STRING, "who owns the recording, as the switch `label` names it"),
    ),
)
USERS = Table(
    "users",
    "one user profile",
    ("user_id",),
    "upsert",
    (
        col("user_id!", STRING, "raw user id"),
        col("market", STRING, "ISO 3166 country; null is unknown"),
        col("tier", STRING, "free, premium, …"),
        col("explicit_policy!", STRING, "allow | clean"),
        col("birth_band", STRING, "e.g. 18-24"),
        col("declared_tags", array(STRING), "tastes told at sign-up"),
        col("time_zone", STRING, "IANA name"),
    ),
    checks={"explicit_policy_known": "explicit_policy IN ('allow', 'clean')"},
)
VECTORS = Table(
    "vectors",
    "one user or track: a vector of your own",
    ("of", "id"),
    "overwrite",
    (
        col("of!", STRING, "user | track"),
        col("id!", STRING, "raw user or track id"),
        col("vector!", array(FLOAT), "as long as sources.vectors.length says"),
    ),
    checks={"of_known": "of IN ('user', 'track')"},
)
USER_IDS = Table(
    "user_ids",
    "one user",
    ("user_id",),
    "merge",
    (col("user_id!", STRING, "raw user id"), col("user_idx!", INT, "dense, never renumbered")),
    checks={"idx_not_negative": "user_idx >= 0"},
)
RECORDING_IDS = Table(
    "recording_ids",
    "one recording",
    ("recording_id",),
    "merge",
    (col("recording_id!", STRING, "recording id"), col("recording_idx!", INT, "dense, never renumbered")),
    checks={"idx_not_negative": "recording_idx >= 0"},
)
PLAYS_DAILY = Table(
    "plays_daily",
    "one user × recording × UTC day",
    ("user_idx", "recording_idx", "day"),
    "replace_days",
    (
        col("user_idx!", INT, ""),
        col("recording_idx!", INT, ""),
        col("day!", DATE, "UTC day of the plays"),
        col("plays!", INT, "after the bot caps"),
        col("completions!", INT, "plays heard to the end, or of unknown length"),
        col("early_skips!", INT, "left within the skip window in a lean-back context"),
        col("ms!", LONG, "milliseconds listened"),
        col("masked!", INT, "of completions, those that are no taste: of a loop, or in an excluded context"),
        col(
            "masked_as",
            STRING,
            "where half the completions or more are masked: loop, or the excluded context; null is taste",
        ),
    ),
    cluster_by=("day",),
    checks={"plays_positive": "plays > 0", "masked_is_a_part": "masked BETWEEN 0 AND completions"},
)
NOT_TASTE = Table(
    "not_taste",
    "one recording recognised as audio that is no taste",
    ("recording_idx",),
    "overwrite",
    (
        col("recording_idx!", INT, ""),
        col("kind!", STRING, "sleep | kids | noise | functional"),
        col("why!", STRING, "tag | context | loop: what told it"),
        col("share", FLOAT, "of its user-days, those masked for the most part; null where nobody played it"),
    ),
    checks={
        "kind_known": "kind IN ('sleep', 'kids', 'noise', 'functional')",
        "why_known": "why IN ('tag', 'context', 'loop')",
    },
)
INTERACTIONS = Table(
    "interactions",
    "one user × recording ever met",
    ("user_idx", "recording_idx"),
    "overwrite",
    (
        col("user_idx!", INT, ""),
        col("recording_idx!", INT, ""),
        col(
            "mass!",
            DOUBLE,
            "Σ (completions − masked) · 2^((day − landmark)/half-life): forward decay, so it is final per day",
        ),
        col("skip_mass!", DOUBLE, "the same sum over early skips"),
        col("counted!", LONG, "plays known only as a total"),
        col("rated", BYTE, "1 liked, 0 rated below the threshold; null is unrated"),
        col("plays!", INT, "timed plays"),
        col("skips!", INT, "early skips"),
        col("first_day", DATE, ""),
        col("last_day", DATE, "null in logs without times"),
        col("likes!", INT, "1 liked, −1 disliked, 0 neither, after undo"),
        col("blocked!", BOOL, "the user asked never to hear it"),
    ),
    cluster_by=("user_idx",),
    properties=FEED,
)
PROFILE = T.StructType(
    [
        T.StructField("artists_28d", array(STRING)),
        T.StructField("artists_180d", array(STRING)),
        T.StructField("artists_life", array(STRING)),
        T.StructField("tags_28d", array(STRING)),
        T.StructField("tags_180d", array(STRING)),
        T.StructField("tags_life", array(STRING)),
        T.StructField("decades", array(INT)),
        T.StructField("languages", array(STRING)),
        T.StructField("novelty", FLOAT),
    ]
)
USER_FEATURES = Table(
    "user_features",
    "one user with any interaction",
    ("user_idx",),
    "overwrite",
    (
        col("user_idx!", INT, ""),
        col("recordings!", INT, "distinct recordings met"),
        col("plays!", LONG, "plays, totals and ratings"),
        col("plays_28d!", LONG, "plays in the 28 days before as_of"),
        col("active_days!", INT, ""),
        col("skip_rate", FLOAT, "early skips / plays"),
        col("activity_decile!", BYTE, "1 (least) to 10, by plays"),
        col(
            "profile!",
            PROFILE,
            "top artists and tags by window, eras, languages, share of last 28 days first heard then",
        ),
    ),
)
RECORDING_FEATURES = Table(
    "recording_features",
    "one recording with any interaction",
    ("recording_idx",),
    "overwrite",
    (
        col("recording_idx!", INT, ""),
        col("listeners!", INT, "distinct users"),
        col("plays!", LONG, "plays, totals and ratings"),
        col("plays_28d!", LONG, ""),
        col("weight!", DOUBLE, "Σ w⁺ at as_of; 0 where it is no taste"),
        col("skip_rate", FLOAT, ""),
        col("first_day", DATE, ""),
        col("last_day", DATE, ""),
    ),
)
TRACK_CARDS = Table(
    "track_cards",
    "one recording × market group",
    ("recording_idx", "market"),
    "overwrite",
    (
        col("recording_idx!", INT, ""),
        col("market!", STRING, "market group; * where the market is unknown"),
        col("track_id", STRING, "the track to play; null if none may be played here"),
        col("clean_track_id", STRING, "the same for users who refuse explicit tracks"),
        col("available!", BOOL, "some track of it is not taken down"),
        col("recording_id!", STRING, ""),
        col("title", STRING, ""),
        col("artist_ids", array(STRING), ""),
        col("artist_names", array(STRING), ""),
        col("original_year", INT, ""),
        col("duration_ms", LONG, ""),
        col("tempo", FLOAT, ""),
        col("energy", FLOAT, ""),
        col("explicit", BOOL, ""),
        col("language", STRING, ""),
        col("version_kind", STRING, ""),
        col("tags", array(STRING), ""),
        col(
            "listeners!",
            INT,
            "distinct listeners in the market to whom it is a taste; in all markets where it is *",
        ),
        col("popularity!", FLOAT, "percentile of listeners in the market, 1 is the most heard"),
        col("artist_rank", INT, "1 is the artist's most heard"),
    ),
)
RECORDING_FACTS = Table(
    "recording_facts",
    "one recording: what sources and blend look up by its number",
    ("recording_idx",),
    "overwrite",
    (
        col("recording_idx!", INT, ""),
        col(
            "song!",
            INT,
            "recording_idx of the version that stands for all of the same song; its own where it is the only one",
        ),
        col("artist!", INT, "least recording_idx of its main artist; its own where the artist is unknown"),
        col("album!", INT, "least recording_idx of its album; its own where the album is unknown"),
        col("decade", SHORT, "of first release, e.g. 1970"),
        col("tempo_band", BYTE, "0 below 100 beats a minute, 1 to 130, 2 above"),
        col(
            "popularity_band",
            BYTE,
            "0 deep cut, 1 known, 2 hit: percentile of listeners everywhere below 0.7, below 0.95, above; null where nobody listened",
        ),
        col(
            "tag_group",
            BYTE,
            "1 to 31: place of its most common tag among the catalogue's most common; null where it has none",
        ),
        col("group_name", STRING, "that tag"),
        col("tags", array(STRING), "four at most"),
        col("released", DATE, "the earliest day it may be played, else its first play"),
        col("listeners!", INT, "distinct users"),
        col("functional", STRING, "sleep, kids, noise …: audio that is no taste; null is music"),
        col("inflated!", BOOL, "its plays look bought"),
        col(
            "sketch",
            BINARY,
            "int8: its factors on the 16 main axes of all, as a unit vector there, × 127; null where it has no factors",
        ),
    ),
)
FACTORS = (
    col("idx!", INT, ""),
    col("factors!", array(FLOAT), "length = rank"),
    col("model_version!", STRING, "run key of the training"),
    col("id_version!", LONG, "version of the id table the idx belong to"),
)
USER_FACTORS = Table(
    "user_factors", "one trained user", ("idx",), "overwrite", FACTORS, ("model_version", "id_version")
)
RECORDING_FACTORS = Table(
    "recording_factors",
    "one trained recording",
    ("idx",),
    "overwrite",
    FACTORS,
    ("model_version", "id_version"),
)
FRESH_FACTORS = Table(
    "fresh_factors", "one new release", ("idx",), "overwrite", FACTORS, ("model_version", "id_version")
)
USER_VECTORS = Table("user_vectors", "one user with a vector of your own", ("idx",), "overwrite", FACTORS[:2])
RECORDING_VECTORS = Table(
    "recording_vectors", "one recording with a vector of your own", ("idx",), "overwrite", FACTORS[:2]
)
SOURCE_LISTS = Table(
    "source_lists",
    "one list that a source looks up",
    ("source", "key"),
    "overwrite",
    (
        col("source!", BYTE, "bit of the source"),
        col("key!", LONG, "of what the list is: a recording, an artist, a tag, a chart"),
        col("recordings!", BINARY, "int32 recording_idx, best first"),
        col("scores!", BINARY, "float32, as many"),
    ),
    cluster_by=("source", "key"),
)
CANDIDATES = Table(
    "candidates",
    "one user × source; only where candidates.keep is set",
    ("user_idx", "source"),
    "overwrite",
    (
        col("user_idx!", INT, ""),
        col("source!", BYTE, "bit of the source"),
        col("items!", array(struct(recording=INT, score=FLOAT)), "best first"),
        col("masked!", INT, "kept back as heard or blocked"),
    ),
)
CANDIDATE = T.StructType(
    [
        T.StructField("recording", INT),
        T.StructField("score", FLOAT),
        T.StructField("sources", INT),
        T.StructField("reason", BYTE),
        T.StructField("reason_arg", INT),
        T.StructField("plays", SHORT),
        T.StructField("last_day", INT),
        T.StructField("propensity", FLOAT),
    ]
)
AUDIT = T.ArrayType(struct(recording=INT, source=BYTE, rank=INT, place=SHORT, rule=STRING))
SHORTFALL = struct(wanted=INT, got=INT, rule=STRING)
POOLS = Table(
    "pools",
    "one user",
    ("user_idx",),
    "overwrite",
    (
        col("bucket!", INT, "hash of user_idx"),
        col("user_idx!", INT, ""),
        col(
            "candidates!",
            array(CANDIDATE),
            "in the order of choice, what was only explored last; sources is a bitmap, last_day days since 1970",
        ),
        col(
            "reserve",
            array(CANDIDATE),
            "the next of the order, to stand in for who is taken down; counted as below_cut",
        ),
        col("drops!", T.MapType(STRING, INT), "removed candidates by rule; Σ + pool size = emitted"),
        col("emitted!", INT, "distinct recordings that any source proposed"),
        col("shortfall", SHORTFALL, "null when the pool is full; else the rule that bound"),
        col("profile", PROFILE, "what the listener is like; null for one without plays"),
        col("as_of!", TIME, "when it was made"),
        col("valid_until!", TIME, ""),
        col("model_version!", STRING, ""),
        col(
            "audit",
            AUDIT,
            "of pools.audit_share of the users all that was proposed: by which source at which rank, its place in the pool, the rule that kept it out; null for the others",
        ),
    ),
    unhashed=("as_of", "valid_until", "model_version"),
    partitioned_by=("bucket",),
)
REFRESH = col(
    "refresh!", INT, "which refresh since the last full run wrote it; of a user's the greatest is in force"
)
POOLS_HOT = Table(
    "pools_hot",
    "one user × refresh: stands in for the user's row of pools until that bucket is rewritten",
    ("user_idx", "refresh"),
    "hot",
    (*POOLS.columns, REFRESH),
    (*POOLS.unhashed, "refresh"),
    ("bucket",),
)
USER_FACTORS_HOT = Table(
    "user_factors_hot",
    "one user × refresh, folded in; as pools_hot",
    ("idx", "refresh"),
    "hot",
    (*FACTORS, REFRESH),
    ("model_version", "id_version", "refresh"),
)
OVERLAYS = {POOLS.name: POOLS_HOT, USER_FACTORS.name: USER_FACTORS_HOT}  # readers take the newest row of both
POOL_METRICS = Table(
    "pool_metrics",
    "one run × metric × slice",
    ("run_key", "metric", "slice"),
    "upsert",
    (
        col("run_key!", STRING, "of the pools that were measured"),
        col(
            "metric!",
            STRING,
            "such as new_28d_recall@500; champion:… and gain:… of a promotion; watch:… of a watch",
        ),
        col("slice!", STRING, "all, or name=value"),
        col("value", DOUBLE, "mean over users; null where nobody has a value"),
        col(
            "low",
            DOUBLE,
            "lower end of its interval; null where it is no mean; of watch:… the least that is right",
        ),
        col("high", DOUBLE, "upper end"),
        col("users", LONG, "with a value"),
        col("as_of!", TIME, "of the pools"),
    ),
    ("run_key", "as_of"),
)
RELEASES = Table(
    "releases",
    "one published release",
    ("seq",),
    "merge",
    (
        col("seq!", LONG, "1, 2, 3, …"),
        col("release_id!", STRING, ""),
        col("run_key!", STRING, "what was run on which input; equal keys are equal work"),
        col(
            "tables!", array(struct(name=STRING, version=LONG, rows=LONG, hash=STRING)), "every pinned table"
        ),
        col("model_version!", STRING, ""),
        col("mlflow_run_id", STRING, "null while the tracking server is out of reach"),
        col(
            "dictionary!",
            T.MapType(STRING, STRING),
            "bits of `sources` and codes of `reason` in this release",
        ),
        col("as_of!", TIME, ""),
        col("created_at!", TIME, ""),
        col("valid_until!", TIME, ""),
        col("channel", STRING, "prod, canary, shadow or backfill; null is prod, which readers follow"),
        col(
            "share", DOUBLE, "of a canary: of the buckets, those whose readers follow it; 0 once it has ended"
        ),
    ),
)

TRUTH = Table(
    "synthetic_truth",
    "one user × tag of a synthetic world",
    ("user_id", "tag"),
    "overwrite",
    (
        col("user_id!", STRING, ""),
        col("tag!", STRING, ""),
        col("genre!", STRING, ""),
        col("affinity!", FLOAT, "0 to 1; of a track: the greatest over its tags"),
    ),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        PLAYS,
        SIGNALS,
        PLAYS_REJECTED,
        TRACKS,
        USERS,
        VECTORS,
        USER_IDS,
        RECORDING_IDS,
        PLAYS_DAILY,
        NOT_TASTE,
        INTERACTIONS,
        USER_FEATURES,
        RECORDING_FEATURES,
        TRACK_CARDS,
        USER_FACTORS,
        RECORDING_FACTORS,
        RECORDING_FACTS,
        FRESH_FACTORS,
        USER_VECTORS,
        RECORDING_VECTORS,
        SOURCE_LISTS,
        CANDIDATES,
        POOLS,
        POOLS_HOT,
        USER_FACTORS_HOT,
        POOL_METRICS,
        SWITCHES,
        FILLS,
        EXPOSURES,
        RELEASES,
        TRUTH,
    )
}
