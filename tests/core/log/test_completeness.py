"""Tests that hours and columns with less data than promised are found, against counts by hand."""

import datetime as dt

from trackpools.config.data import Complete
from trackpools.core.log.completeness import filled_shares, thin_hours

AS_OF = dt.datetime(2025, 6, 10, 12, 30, tzinfo=dt.UTC)
END = dt.datetime(2025, 6, 10, 12, tzinfo=dt.UTC)
ASKED = Complete(days=4, least_share=0.5, least_plays=10)


def find_thin_hours(spark, counts):
    """Return {(market, hour): (plays, usual)} for {(user, hours before END): plays}."""
    rows = [(user, END - dt.timedelta(hours=back), n) for (user, back), n in counts.items()]
    plays = spark.createDataFrame(rows, "user_id string, played_at timestamp, plays int")
    users = spark.createDataFrame([("s", "SE"), ("d", "DE")], "user_id string, market string")
    return {
        (row["market"], row["hour"]): (row["plays"], row["usual"])
        for row in thin_hours(plays, users, AS_OF, ASKED).collect()
    }


def test_an_hour_below_half_of_its_usual_number_is_thin_and_one_without_plays_has_none(spark):
    usual = {("s", 24 * day + back): 20 for day in range(1, 5) for back in (1, 2, 3)}
    assert find_thin_hours(spark, usual | {("s", 1): 9, ("s", 2): 10}) == {
        ("SE", 11): (9, 20.0),
        ("SE", 9): (0, 20.0),
    }


def test_each_market_is_judged_and_users_without_one_are_a_market(spark):
    usual = {(user, 24 * day + 1): 20 for day in range(1, 5) for user in ("s", "d", "x")}
    assert find_thin_hours(spark, usual | {("s", 1): 20}) == {("DE", 11): (0, 20.0), ("*", 11): (0, 20.0)}


def test_rare_or_small_hours_are_not_judged_and_plays_outside_the_window_not_counted(spark):
    assert find_thin_hours(spark, {("s", 24 * day + 1): 20 for day in (1, 2)}) == {}, (
        "two days of four are no habit"
    )
    assert find_thin_hours(spark, {("s", 24 * day + 1): 9 for day in range(1, 5)}) == {}, "too few to judge"
    assert find_thin_hours(spark, {("s", 24 * day + 1): 20 for day in (5, 6, 7, 8)} | {("s", 0): 99}) == {}, (
        "before the window, and in the hour that still runs"
    )


def test_shares_of_filled_columns(spark):
    rows = spark.createDataFrame([(1, None), (2, "x"), (None, "y"), (4, None)], "a int, `b c` string")
    assert filled_shares(rows, ["a", "b c"]).first().asDict() == {"rows": 4, "a": 0.75, "b c": 0.5}
    assert filled_shares(rows.limit(0), ["a"]).first().asDict() == {"rows": 0, "a": None}
