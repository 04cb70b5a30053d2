"""The map, second part: tables that releases do not pin, written while pools are served."""

from trackpools.table import BOOL, DATE, DOUBLE, FLOAT, INT, LONG, SHORT, STRING, TIME, Table, array, col

SWITCHES = Table(
    "switches",
    "one thing that may be withheld while pools are served; outside of releases, and looked at within 30 s by every reader",
    ("kind", "value"),
    "upsert",
    (
        col("kind!", STRING, "all | market | model | source | label | artist | track"),
        col("value!", STRING, "which; * of all"),
        col("off!", BOOL, "true while it is withheld"),
        col("why", STRING, "for whoever asks"),
        col("at!", TIME, "when it was switched"),
    ),
    checks={"switch_known": "kind IN ('all', 'market', 'model', 'source', 'label', 'artist', 'track')"},
)
FILLS = Table(
    "fills",
    "one filled playlist, where fill.keep is set; no prompt, no raw id",
    ("request_id",),
    "append",
    (
        col("request_id", STRING, "of the playlist"),
        col("user_idx", INT, ""),
        col("release_id", STRING, "that it was filled from"),
        col("model", STRING, "none is code alone"),
        col("tracks", SHORT, "how many"),
        col("chosen_by_model", FLOAT, "share of them"),
        col(
            "degraded", STRING, "why the model had less part in it than was asked for; empty where it had all"
        ),
        col("met", array(STRING), "names of constraints that hold"),
        col("unmet", array(STRING), "and of those that do not"),
        col("not_applied", SHORT, "pieces of the prompt that nothing was made of"),
        col("pool", INT, "candidates of the pool"),
        col("retrieved", INT, "candidates retrieved for it"),
        col("tokens", LONG, "asked and answered"),
        col("cost", DOUBLE, "in the currency of llm.price_in"),
        col("ms", FLOAT, "for all of it"),
        col("at", TIME, "UTC"),
        col("day", DATE, "of at"),
    ),
    partitioned_by=("day",),
)
EXPOSURES = Table(
    "exposures",
    "one track of a filled playlist, where fill.keep is set",
    ("request_id", "place"),
    "append",
    (
        col("request_id", STRING, "see fills"),
        col("place", SHORT, "from 1"),
        col("user_idx", INT, ""),
        col("recording_idx", INT, ""),
        col("origin", STRING, "pool | retrieval | explore"),
        col(
            "propensity",
            FLOAT,
            "of what was drawn by lot its probability, given pool and playlist; null is no lot",
        ),
        col("release_id", STRING, ""),
        col("at", TIME, "UTC"),
        col("day", DATE, "of at"),
    ),
    partitioned_by=("day",),
)
