"""Rows that must be refused, each with its one reason, and a good row of each kind.

A bad row takes the rest of its columns from the good row.
"""

import datetime as dt
import json

NOW = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)
GOOD = {
    "user_id": "u",
    "track_id": "t",
    "played_at": "2025-05-01T10:00:00Z",
    "kind": "play",
    "broken": False,
    "source": "events:f",
}
COUNT = {"played_at": None, "kind": "count", "plays": "3"}
RATING = {"kind": "rating", "rating": "4.5"}

BAD = [
    ({"user_id": None}, "user_id_null"),
    ({"user_id": ""}, "user_id_empty"),
    ({"user_id": "  \u00a0"}, "user_id_blank"),
    ({"user_id": "u" * 257}, "user_id_too_long"),
    ({"user_id": "u\x00"}, "user_id_control_characters"),
    ({"user_id": "u\x9f"}, "user_id_control_characters"),
    ({"track_id": None}, "track_id_null"),
    ({"track_id": ""}, "track_id_empty"),
    ({"track_id": " "}, "track_id_blank"),
    ({"track_id": "t" * 257}, "track_id_too_long"),
    ({"track_id": "t\nt"}, "track_id_control_characters"),
    ({"event_id": ""}, "event_id_empty"),
    ({"event_id": "e" * 257}, "event_id_too_long"),
    ({"event_id": "\x1f"}, "event_id_control_characters"),
    ({"played_at": None}, "time_missing"),
    ({"played_at": "  "}, "time_missing"),
    ({"played_at": "yesterday"}, "time_unparsable"),
    ({"played_at": "2025-02-30T00:00:00Z"}, "time_unparsable"),
    ({"played_at": "2025-05-01"}, "time_unparsable"),
    ({"played_at": "12:30:00"}, "time_unparsable"),
    ({"played_at": "123456-01-01T00:00:00Z"}, "time_unparsable"),
    ({"played_at": "2025-05-01T25:00:00Z"}, "time_unparsable"),
    ({"played_at": "NaN"}, "time_unparsable"),
    ({"played_at": "1969-12-31T23:59:59Z"}, "time_before_1970"),
    ({"played_at": "-1"}, "time_before_1970"),
    ({"played_at": "-1e300"}, "time_before_1970"),
    ({"played_at": "2025-06-01T00:05:01Z"}, "time_in_future"),
    ({"played_at": "1e300"}, "time_in_future"),
    ({"played_at": "9999-12-31T23:59:59Z"}, "time_in_future"),
    ({"played_at": "99999999999999999999"}, "time_in_future"),
    ({"received_at": "2025-05-01T09:54:59Z"}, "time_in_future"),
    ({"received_at": "soon"}, "received_at_wrong_type"),
    ({"received_at": "-5"}, "received_at_wrong_type"),
    ({"received_at": "1e300"}, "received_at_wrong_type"),
    ({"received_at": "2099-01-01T00:00:00Z"}, "received_at_in_future"),
    ({**COUNT, "received_at": "2099-01-01T00:00:00Z"}, "received_at_in_future"),
    ({"ms_played": "-1"}, "ms_played_negative"),
    ({"ms_played": "NaN"}, "ms_played_nan"),
    ({"ms_played": "long"}, "ms_played_wrong_type"),
    ({"ms_played": "1e40"}, "ms_played_wrong_type"),
    ({"ms_played": "Infinity"}, "ms_played_wrong_type"),
    ({"ms_played": "0x10"}, "ms_played_wrong_type"),
    ({"ms_played": "1d"}, "ms_played_wrong_type"),
    ({"private": "perhaps"}, "private_wrong_type"),
    ({**COUNT, "plays": None}, "plays_missing"),
    ({**COUNT, "plays": "0"}, "plays_not_positive"),
    ({**COUNT, "plays": "-2"}, "plays_not_positive"),
    ({**COUNT, "plays": "1.5"}, "plays_not_integer"),
    ({**COUNT, "plays": "2147483648"}, "plays_too_large"),
    ({**COUNT, "plays": "many"}, "plays_wrong_type"),
    ({**COUNT, "plays": "NaN"}, "plays_wrong_type"),
    ({**RATING, "rating": None}, "rating_missing"),
    ({**RATING, "rating": "NaN"}, "rating_nan"),
    ({**RATING, "rating": "good"}, "rating_wrong_type"),
    ({"profile_id": " "}, "profile_id_blank"),
    ({"profile_id": "p" * 257}, "profile_id_too_long"),
    ({"profile_id": "p\n"}, "profile_id_control_characters"),
    ({"profile_id": "a/b"}, "profile_id_has_slash"),
    ({"profile_id": "p", "user_id": "a/b"}, "user_id_has_slash"),
    ({"profile_id": "p" * 200, "user_id": "u" * 200}, "user_id_too_long"),
    ({"profile_id": "p", "user_id": None}, "user_id_null"),
    ({"broken": True, "user_id": None}, "broken_line"),
    ({"kind": "wish"}, "kind_unknown"),
]


def bad_lines(kind="play"):
    """Return the bad rows of one kind as JSON lines, received at NOW.

    A log holds plays, counts or ratings, so each kind has its own log.
    """
    columns = {
        "play": ("played_at", "ms_played", "private"),
        "count": ("plays",),
        "rating": ("played_at", "rating"),
    }[kind]
    given = [row for row, reason in BAD if row.get("kind", "play") == kind and reason != "broken_line"]
    whole = [GOOD | {"received_at": NOW.isoformat()} | row for row in given]
    lines = [
        json.dumps(
            {
                name: row.get(name)
                for name in ("event_id", "user_id", "profile_id", "track_id", "received_at", *columns)
            }
        )
        for row in whole
    ]
    return [*lines, '{"user_id": "u", "track']
