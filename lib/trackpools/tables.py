"""Every Delta table: what a row is, the key, and the type and meaning of each column.

A name that ends in `_id` is a public string; one that ends in `_idx` is a dense int32 number that never
changes. Only `plays`, `signals`, `plays_rejected`, `users`, `user_ids` and `vectors` hold raw ids of real
users. Taste is kept by recording; a track is one playable version of a recording.
"""

from pyspark.sql import types as T

from trackpools.schema import (
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

FEED = {"delta.enableChangeDataFeed": "true"}  # lets a refresh find the users whose rows changed
PLAYS = Table(
    "plays",
    "one play; in a log without single plays, one user × track with a total or a rating",
    ("play_key",),
    "merge",
    (
        col(
            "play_key!",
            STRING,
            "made of the event id if the log has one, else of user, track and time; plays with equal keys are duplicates",
        ),
        col("user_id!", STRING, "raw user id"),
        col("track_id!", STRING, "raw track id"),
        col("played_at", TIME, "start of the play in UTC; null in logs that hold only counts"),
        col("received_at", TIME, "UTC time at which the service received the play"),
        col("ms_played", LONG, "duration listened, in milliseconds"),
        col("reason_start", STRING, "why the play started: clickrow, autoplay, …"),
        col("reason_end", STRING, "why the play ended: trackdone, fwdbtn, …"),
        col("context_type", STRING, "playlist, album, radio, …; lean-back contexts give negative evidence"),
        col("private", BOOL, "whether the play was in a private session"),
        col("content_type", STRING, "kind of content; null counts as music"),
        col(
            "kind!",
            STRING,
            "play | count (a total) | rating: the kind of evidence, which decides how the row is weighted",
        ),
        col(
            "plays!",
            INT,
            "1 for a play; the total for a count; for a rating, 1 if it reaches ingest.min_rating, else 0",
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
        col("track_id!", STRING, "raw track id, or artist:<id> for an act on an artist"),
        col("kind!", STRING, "like | dislike | save | block | undo"),
        col("at!", TIME, "time in UTC"),
    ),
    properties=FEED,
)
PLAYS_REJECTED = Table(
    "plays_rejected",
    "one refused input row",
    ("reject_key",),
    "merge",
    (
        col(
            "reject_key!",
            STRING,
            "hash of the source, the row text and the number of this occurrence of the text",
        ),
        col("source!", STRING, "importer and file name"),
        col("row_text!", STRING, "the row as it was read, cut at 10,000 characters"),
        col("reasons!", array(STRING), "every reason why the row was refused, sorted"),
    ),
)
TRACKS = Table(
    "tracks",
    "one playable track",
    ("track_id",),
    "upsert",
    (
        col("track_id!", STRING, "raw track id"),
        col(
            "recording_id",
            STRING,
            "recording that the track belongs to; null means a recording of its own, with the id of the track",
        ),
        col("title", STRING, "untrusted text"),
        col("artist_ids", array(STRING), "ids of the artists, main artist first"),
        col("artist_names", array(STRING), "names of the artists, in the order of artist_ids"),
        col("album_id", STRING, "raw album id"),
        col("original_year", INT, "year of first release"),
        col("version_kind", STRING, "original, remaster, live, …"),
        col("duration_ms", LONG, "length of the track, in milliseconds"),
        col(
            "explicit",
            BOOL,
            "whether it has explicit words; null is unknown. Minors and users with the policy clean get only tracks with false",
        ),
        col("language", STRING, "ISO 639 code of the language"),
        col("tags", array(STRING), "tags in lower case"),
        col("tempo", FLOAT, "tempo in beats per minute"),
        col("energy", FLOAT, "energy, from 0 to 1"),
        col("popularity", FLOAT, "popularity according to the imported catalogue, from 0 to 1"),
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
            "markets and periods in which the track may be played (until is exclusive); null or empty means everywhere",
        ),
        col("available!", BOOL, "false if the track was taken down"),
        col("label", STRING, "owner of the recording, as the switch `label` names it"),
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
        col("birth_band", STRING, "band of ages, such as 18-24"),
        col("declared_tags", array(STRING), "tags that the user chose at sign-up"),
        col("time_zone", STRING, "IANA name of the time zone"),
    ),
    checks={"explicit_policy_known": "explicit_policy IN ('allow', 'clean')"},
)
VECTORS = Table(
    "vectors",
    "one user or track with an imported vector",
    ("of", "id"),
    "overwrite",
    (
        col("of!", STRING, "user | track"),
        col("id!", STRING, "raw user or track id"),
        col("vector!", array(FLOAT), "the vector; its length is sources.vectors.length"),
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
    number="user_idx",
)
RECORDING_IDS = Table(
    "recording_ids",
    "one recording",
    ("recording_id",),
    "merge",
    (col("recording_id!", STRING, "recording id"), col("recording_idx!", INT, "dense, never renumbered")),
    checks={"idx_not_negative": "recording_idx >= 0"},
    number="recording_idx",
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
        col("plays!", INT, "number of plays, after the caps for bots"),
        col("completions!", INT, "plays that are not early skips"),
        col("early_skips!", INT, "plays that the user left within the skip window in a lean-back context"),
        col("ms!", LONG, "duration listened, in milliseconds"),
        col("masked!", INT, "completions that are non-taste: played in a loop, or in an excluded context"),
        col(
            "masked_as",
            STRING,
            "why at least half of the completions are masked: loop, or the name of the excluded context; null if fewer are masked",
        ),
    ),
    cluster_by=("day",),
    checks={"plays_positive": "plays > 0", "masked_is_a_part": "masked BETWEEN 0 AND completions"},
)
NOT_TASTE = Table(
    "not_taste",
    "one recording that is recognised as non-taste",
    ("recording_idx",),
    "overwrite",
    (
        col("recording_idx!", INT, ""),
        col("kind!", STRING, "sleep | kids | noise | functional"),
        col("why!", STRING, "tag | context | loop: the evidence"),
        col(
            "share",
            FLOAT,
            "share of the rows of plays_daily of the recording that have a masked_as; null if nobody played it",
        ),
    ),
    checks={
        "kind_known": "kind IN ('sleep', 'kids', 'noise', 'functional')",
        "why_known": "why IN ('tag', 'context', 'loop')",
    },
)
INTERACTIONS = Table(
    "interactions",
    "one user × recording that the user ever heard or acted on",
    ("user_idx", "recording_idx"),
    "overwrite",
    (
        col("user_idx!", INT, ""),
        col("recording_idx!", INT, ""),
        col(
            "mass!",
            DOUBLE,
            "Σ (completions − masked) · 2^((day − landmark)/half-life): forward decay, so the term of a day never changes",
        ),
        col("skip_mass!", DOUBLE, "the same sum over early skips"),
        col("counted!", LONG, "number of plays that the log gives only as a total"),
        col(
            "rated", BYTE, "1 if the rating counts as liked, 0 if it is below the threshold; null if unrated"
        ),
        col("plays!", INT, "number of plays with a time"),
        col("skips!", INT, "number of early skips"),
        col("first_day", DATE, "day of the first play or rating; null if none has a time"),
        col("last_day", DATE, "day of the last play or rating; null if none has a time"),
        col("likes!", INT, "1 if the last act is a like or a save, −1 if it is a dislike, else 0"),
        col("blocked!", BOOL, "whether the user asked never to hear the recording"),
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
    "one user who has heard any recording",
    ("user_idx",),
    "overwrite",
    (
        col("user_idx!", INT, ""),
        col("recordings!", INT, "number of distinct recordings that the user has heard"),
        col("plays!", LONG, "number of plays, totals and ratings"),
        col("plays_28d!", LONG, "number of plays in the 28 days before as_of"),
        col("active_days!", INT, "number of UTC days with plays"),
        col("skip_rate", FLOAT, "early skips divided by plays"),
        col("activity_decile!", BYTE, "decile of the number of plays, from 1 (least) to 10"),
        col(
            "profile!",
            PROFILE,
            "top artists and tags by window, decades and languages; novelty: of the plays in the last 28 days, the share that is of recordings first heard in these days",
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
        col("listeners!", INT, "number of distinct users who have heard it"),
        col("plays!", LONG, "number of plays, totals and ratings"),
        col("plays_28d!", LONG, "number of plays in the 28 days before as_of"),
        col("weight!", DOUBLE, "Σ w⁺ (positive weights) at as_of; 0 for non-taste"),
        col("skip_rate", FLOAT, "early skips divided by plays"),
        col("first_day", DATE, "day of the first play; null in logs without times"),
        col("last_day", DATE, "day of the last play; null in logs without times"),
    ),
)
TRACK_CARDS = Table(
    "track_cards",
    "one recording × market group",
    ("recording_idx", "market"),
    "overwrite",
    (
        col("recording_idx!", INT, ""),
        col("market!", STRING, "market group; * is for users whose market is unknown"),
        col("track_id", STRING, "the track to play in the market; null if none may be played"),
        col(
            "clean_track_id",
            STRING,
            "the track to play for users who get no explicit tracks; null if none may be played",
        ),
        col("available!", BOOL, "whether any track of the recording is not taken down"),
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
            "number of distinct users in the market for whom it counts as taste; for *, in all markets",
        ),
        col(
            "popularity!",
            FLOAT,
            "share (0 to 1) of the other recordings that have fewer listeners in the market",
        ),
        col(
            "artist_rank",
            INT,
            "rank among the recordings of its main artist, 1 for the most heard; null if the artist is unknown",
        ),
    ),
)
RECORDING_FACTS = Table(
    "recording_facts",
    "one recording, with the facts that sources and the blend look up by its number",
    ("recording_idx",),
    "overwrite",
    (
        col("recording_idx!", INT, ""),
        col(
            "song!",
            INT,
            "recording_idx of the version that represents all versions of the song; its own if it is the only one",
        ),
        col(
            "artist!",
            INT,
            "least recording_idx among the recordings of its main artist; its own if the artist is unknown",
        ),
        col(
            "album!",
            INT,
            "least recording_idx among the recordings of its album; its own if the album is unknown",
        ),
        col("decade", SHORT, "decade of first release, such as 1970"),
        col("tempo_band", BYTE, "0 below 100 beats per minute, 1 up to 130, 2 above"),
        col(
            "popularity_band",
            BYTE,
            "0 deep cut, 1 known, 2 hit: percentile of listeners in all markets below 0.7, below 0.95, above; null if nobody listened",
        ),
        col(
            "tag_group",
            BYTE,
            "1 to 31: place of its most common tag among the most common tags of the catalogue; null if it has none of them",
        ),
        col("group_name", STRING, "the tag of tag_group"),
        col("tags", array(STRING), "its tags, at most four"),
        col(
            "released",
            DATE,
            "day of release: first day of its rights, else day of its first play if that is not after its original year; else null",
        ),
        col("listeners!", INT, "listeners in the market * of track_cards"),
        col("functional", STRING, "kind of non-taste: sleep, kids, noise …; null is music"),
        col("inflated!", BOOL, "whether its plays look bought"),
        col(
            "sketch",
            BINARY,
            "16 × int8: its factors, compressed to the 16 main axes of all recordings' factors, as a unit vector × 127; null if it has no factors",
        ),
    ),
)
FACTORS = (
    col("idx!", INT, "user_idx or recording_idx"),
    col("factors!", array(FLOAT), "the factors; their length is the rank"),
    col("model_version!", STRING, "run key of the training"),
    col("id_version!", LONG, "version of the id table that idx belongs to"),
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
    "fresh_factors",
    "one recently released recording",
    ("idx",),
    "overwrite",
    FACTORS,
    ("model_version", "id_version"),
)
USER_VECTORS = Table("user_vectors", "one user with an imported vector", ("idx",), "overwrite", FACTORS[:2])
RECORDING_VECTORS = Table(
    "recording_vectors", "one recording with an imported vector", ("idx",), "overwrite", FACTORS[:2]
)
SOURCE_LISTS = Table(
    "source_lists",
    "one list that a source looks up",
    ("source", "key"),
    "overwrite",
    (
        col("source!", BYTE, "bit of the source"),
        col("key!", LONG, "number of what the list is about: a recording, an artist, a tag or a chart"),
        col("recordings!", BINARY, "int32 recording_idx, best first"),
        col("scores!", BINARY, "float32 scores, one for each recording"),
    ),
    cluster_by=("source", "key"),
)
CANDIDATES = Table(
    "candidates",
    "one user × source; the table is written only if candidates.keep is set",
    ("user_idx", "source"),
    "overwrite",
    (
        col("user_idx!", INT, ""),
        col("source!", BYTE, "bit of the source"),
        col("items!", array(struct(recording=INT, score=FLOAT)), "recordings with their scores, best first"),
        col("masked!", INT, "number of recordings that were kept back because they are heard or blocked"),
        col(
            "lot_size",
            INT,
            "number of recordings from which the items were drawn at random; 0 if the items were ranked",
        ),
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
        col("bucket!", INT, "number of the bucket of the user, by a hash of user_idx"),
        col("user_idx!", INT, ""),
        col(
            "candidates!",
            array(CANDIDATE),
            "best first; candidates that only the source explore proposed are at the end; sources is a bitmap, last_day is in days since 1970",
        ),
        col(
            "reserve",
            array(CANDIDATE),
            "the next candidates after the pool, which replace those that are taken down later; drops counts them as below_cut",
        ),
        col(
            "drops!",
            T.MapType(STRING, INT),
            "rule → number of candidates that it removed; these numbers plus the size of the pool add up to emitted",
        ),
        col("emitted!", INT, "number of distinct recordings that any source proposed"),
        col(
            "shortfall",
            SHORTFALL,
            "null if the pool is full; else the rule that left it short, with the wanted and the actual size",
        ),
        col(
            "profile", PROFILE, "the profile of the user, as in user_features; null for a user without plays"
        ),
        col("as_of!", TIME, "the moment that the pool is computed for"),
        col("valid_until!", TIME, "time until which it is valid"),
        col("model_version!", STRING, "version of the model: the run key of its training"),
        col(
            "audit",
            AUDIT,
            "every proposal: source, rank, place in the pool, and the rule that kept it out; only for the share pools.audit_share of the users, else null",
        ),
    ),
    unhashed=("as_of", "valid_until", "model_version"),
    partitioned_by=("bucket",),
)
REFRESH = col(
    "refresh!",
    INT,
    "number of the refresh that wrote the row, counted from the last full run; the row of a user with the greatest number is in force",
)
POOLS_HOT = Table(
    "pools_hot",
    "one user × refresh; it replaces the user's row of pools until that bucket is rewritten",
    ("user_idx", "refresh"),
    "hot",
    (*POOLS.columns, REFRESH),
    (*POOLS.unhashed, "refresh"),
    ("bucket",),
)
USER_FACTORS_HOT = Table(
    "user_factors_hot",
    "one user × refresh, with factors from a fold-in; it replaces the user's row of user_factors",
    ("idx", "refresh"),
    "hot",
    (*FACTORS, REFRESH),
    ("model_version", "id_version", "refresh"),
)
OVERLAYS = {
    POOLS.name: POOLS_HOT,
    USER_FACTORS.name: USER_FACTORS_HOT,
}  # readers take the newest row of each user from a table and its overlay
POOL_METRICS = Table(
    "pool_metrics",
    "one run × metric × slice",
    ("run_key", "metric", "slice"),
    "upsert",
    (
        col("run_key!", STRING, "run key of the pools that were measured"),
        col(
            "metric!",
            STRING,
            "such as new_28d_recall@500; champion:… and gain:… of a promotion; watch:… of a watch",
        ),
        col("slice!", STRING, "all, or name=value"),
        col("value", DOUBLE, "mean over users; null if no user has a value"),
        col(
            "low",
            DOUBLE,
            "lower end of the confidence interval; null if the value is not a mean; for watch:… the least value that is allowed",
        ),
        col("high", DOUBLE, "upper end of the interval; for watch:… the greatest value that is allowed"),
        col("users", LONG, "number of users with a value"),
        col("as_of!", TIME, "as_of of the pools"),
    ),
    ("run_key", "as_of"),
)
SWITCHES = Table(
    "switches",
    "one thing that may be withheld while pools are served; no release pins the table, and every reader reads it again within 30 s",
    ("kind", "value"),
    "upsert",
    (
        col("kind!", STRING, "all | market | model | source | label | artist | track"),
        col("value!", STRING, "which one of the kind; * for the kind all"),
        col("off!", BOOL, "whether it is withheld"),
        col("why", STRING, "the reason, for people"),
        col("at!", TIME, "when it was switched"),
    ),
    checks={"switch_known": "kind IN ('all', 'market', 'model', 'source', 'label', 'artist', 'track')"},
)
SWITCH_RECORDS = Table(
    "switch_records",
    "one version of switches and a digest of what was off; readers refuse to serve if switches does not agree with the row of the greatest version",
    ("version",),
    "merge",
    (
        col("version!", LONG, "version of switches"),
        col("digest!", STRING, "SHA-256 of the kinds and values that were off"),
        col("at!", TIME, "when it was switched"),
    ),
)
FILLS = Table(
    "fills",
    "one filled playlist, without its prompt and without raw ids; the table is written only if fill.keep is set",
    ("request_id",),
    "append",
    (
        col("request_id", STRING, "id of the playlist"),
        col("user_idx", INT, ""),
        col("release_id", STRING, "the release that it was filled from"),
        col("model", STRING, "name of the language model; none if code chose alone"),
        col("tracks", SHORT, "number of tracks"),
        col("chosen_by_model", FLOAT, "share of the tracks that the model chose"),
        col(
            "degraded",
            STRING,
            "why the model contributed less than was asked for; empty if it contributed everything",
        ),
        col("met", array(STRING), "names of the constraints that are satisfied"),
        col("unmet", array(STRING), "names of the constraints that are not satisfied"),
        col("not_applied", SHORT, "number of pieces of the prompt that were not understood"),
        col("pool", INT, "number of candidates from the pool"),
        col("retrieved", INT, "number of candidates that were retrieved for the playlist"),
        col("tokens", LONG, "tokens of the messages and the answers"),
        col("cost", DOUBLE, "cost of the model, in the currency of llm.price_in"),
        col("ms", FLOAT, "duration of the whole fill, in milliseconds"),
        col("at", TIME, "time in UTC"),
        col("day", DATE, "UTC day of at"),
    ),
    partitioned_by=("day",),
)
EXPOSURES = Table(
    "exposures",
    "one track of a filled playlist; the table is written only if fill.keep is set",
    ("request_id", "place"),
    "append",
    (
        col("request_id", STRING, "id of the playlist, as in fills"),
        col("place", SHORT, "place in the playlist, from 1"),
        col("user_idx", INT, ""),
        col("recording_idx", INT, ""),
        col("origin", STRING, "pool | retrieval | explore"),
        col(
            "propensity",
            FLOAT,
            "probability with which an explored track was drawn, given pool and playlist; null for tracks that were not drawn",
        ),
        col("release_id", STRING, "id of the release"),
        col("at", TIME, "time in UTC"),
        col("day", DATE, "UTC day of at"),
    ),
    partitioned_by=("day",),
)
RELEASES = Table(
    "releases",
    "one published release",
    ("seq",),
    "merge",
    (
        col("seq!", LONG, "1, 2, 3, …"),
        col("release_id!", STRING, "id of the release"),
        col(
            "run_key!",
            STRING,
            "identity of the work: what was run on which input; equal keys mean equal work",
        ),
        col(
            "tables!",
            array(struct(name=STRING, version=LONG, rows=LONG, hash=STRING)),
            "every pinned table, with its version, rows and content hash",
        ),
        col("model_version!", STRING, "version of the model: the run key of its training"),
        col(
            "mlflow_run_id",
            STRING,
            "id of the MLflow run; null if MLflow was switched off or could not be reached",
        ),
        col(
            "dictionary!",
            T.MapType(STRING, STRING),
            "bits of `sources` and codes of `reason` in this release",
        ),
        col("as_of!", TIME, "only plays before it count"),
        col("created_at!", TIME, "time of publication"),
        col("valid_until!", TIME, "time until which it is valid"),
        col("channel", STRING, "prod, canary, shadow or backfill; null means prod, which readers follow"),
        col(
            "share",
            DOUBLE,
            "for a canary, the share of the buckets whose readers follow it; 0 in the row that ends it",
        ),
        col(
            "files",
            T.MapType(STRING, STRING),
            "pinned table → number of its data files and SHA-256 of their sorted names; null in releases of an older trackpools",
        ),
        col(
            "arrays",
            T.MapType(STRING, STRING),
            "pinned table → folder of its arrays below `arrays/` of the root; null or empty if there are none",
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
        col(
            "affinity!",
            FLOAT,
            "affinity of the user for the tag, 0 to 1; for a track, the greatest over its tags counts",
        ),
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
        SWITCH_RECORDS,
        FILLS,
        EXPOSURES,
        RELEASES,
        TRUTH,
    )
}
