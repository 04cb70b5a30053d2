"""Tests of `import events`: its file formats, the mapping of columns, and refused input."""

import datetime as dt
import json

import pytest
from pyspark.sql import functions as F

from trackpools.core.log.quarantine import judge
from trackpools.datasets import IMPORTERS
from trackpools.errors import InputError

NOW = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)
HEADER = "user_id,track_id,played_at,ms_played,private"
LINES = [
    "u1,t1,2025-05-01T10:00:00Z,1000,true",
    'u2,"t,2",2025-05-01T11:00:00Z,,false',
    '"u""3",t3,2025-05-01T12:00:00.5Z,30,',
]


@pytest.fixture
def write(tmp_path):
    def _write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return _write


def import_plays(spark, config, path, *settings):
    return IMPORTERS["events"](spark, path, config(*settings))


def judge_file(spark, config, path, *settings):
    conf = config(*settings)
    return judge(IMPORTERS["events"](spark, path, conf).plays, conf.ingest, NOW)


def test_broken_lines_are_reported_and_good_ones_survive_bom_crlf_quotes_and_odd_lines(spark, config, write):
    odd = [
        "u4,t4",
        "u5,t5,2025-05-01T10:00:00Z,1,true,more",
        "",
        '"u6,t6,2025-05-01T10:00:00Z,1,true',
        "," * 30_000,
        ",,,,",
    ]
    text = "\ufeff" + "\r\n".join([HEADER, *LINES, *odd])
    rows = judge_file(spark, config, write("a b/log.csv", text)).collect()
    assert sorted(row["user_id"] for row in rows if not row["reasons"]) == ['u"3', "u1", "u2"]
    refused = {row["row_text"][:12]: row["reasons"] for row in rows if row["reasons"]}
    broken = ["broken_line"]
    missing = ["time_missing", "track_id_null", "user_id_null"]
    assert refused == {
        "u4,t4": broken,
        "u5,t5,2025-0": broken,
        '"u6,t6,2025-': broken,
        "," * 12: broken,
        ",,,,": missing,
    }
    assert {row["source"] for row in rows} == {"events:log.csv"}


def test_the_same_rows_as_csv_json_parquet_and_delta_are_the_same_plays(spark, config, write, tmp_path):
    log = write("log.csv", "\n".join([HEADER, *LINES]))
    typed = spark.read.csv(log, header=True, escape='"').selectExpr(
        "user_id",
        "track_id",
        "timestamp(played_at) AS played_at",
        "bigint(ms_played) AS ms_played",
        "boolean(private) AS private",
    )
    typed.write.parquet(str(tmp_path / "parquet"))
    typed.write.format("delta").save(str(tmp_path / "delta"))
    typed.withColumn("played_at", F.unix_millis("played_at")).write.json(str(tmp_path / "json"))
    paths = [log, *(str(tmp_path / kind) for kind in ("json", "parquet", "delta"))]
    found = [
        sorted(tuple(row)[:-2] for row in judge_file(spark, config, path).drop("reasons").collect())
        for path in paths
    ]
    assert len(found[0]) == 3
    assert found[1:] == found[:1] * 3


def test_columns_are_mapped_extra_ones_counted_and_clashing_names_harmless(spark, config, write):
    path = write("log.csv", "uid;song;ts;source;broken;row_text;a.b`c\nu;t;1746093600;x;y;z;w\n")
    settings = (
        "ingest.separator=;",
        "ingest.columns.user_id=uid",
        "ingest.columns.track_id=song",
        "ingest.columns.played_at=ts",
        "ingest.columns.title=a.b`c",
    )
    with pytest.raises(Exception, match="backquote"):
        config(*settings)
    found = import_plays(spark, config, path, *settings[:-1], "ingest.columns.title=row_text")
    assert found.notes == ("ignored 3 extra columns: a.b`c, broken, source",)
    row = judge_file(spark, config, path, *settings[:-1], "ingest.columns.title=row_text").first()
    assert (row["user_id"], row["track_id"], row["played_at"], row["reasons"]) == (
        "u",
        "t",
        dt.datetime(2025, 5, 1, 10),
        [],
    )
    assert (row["track"]["title"], row["source"]) == ("z", "events:log.csv")


def test_every_missing_column_is_listed_with_what_is_there(spark, config, write):
    with pytest.raises(InputError) as refused:
        import_plays(
            spark,
            config,
            write("log.csv", "uid,played\n1,2\n"),
            "ingest.columns.ms_played=length",
            "ingest.rating_column=stars",
        )
    assert refused.value.exit_code == 2
    assert "columns are: played, uid" in refused.value.message
    assert refused.value.problems == [
        "ingest.columns maps ms_played to 'length', but the input has no such column",
        "ingest.rating_column is 'stars', but the input has no such column",
        "column user_id is missing",
        "column track_id is missing",
        "column played_at is missing; a log that holds only counts needs the column plays instead",
    ]


def test_every_retyped_column_is_listed(spark, config, tmp_path):
    path = str(tmp_path / "p")
    spark.sql(
        "SELECT 1.5D AS user_id, array('t') AS track_id, true AS played_at, 'x' AS ms_played, current_date() AS received_at"
    ).write.parquet(path)
    with pytest.raises(InputError) as refused:
        import_plays(spark, config, path)
    assert [problem.split(" ")[0] for problem in refused.value.problems] == [
        "user_id",
        "track_id",
        "played_at",
        "received_at",
    ]
    assert "user_id (column 'user_id') is double; it must be a string or an integer" in refused.value.problems


def test_json_lines_that_are_broken_or_of_a_wrong_shape_are_reported(spark, config, write):
    good = {"user_id": 7, "track_id": "[x]", "played_at": 1746093600}
    lines = [
        json.dumps(good),
        '{"user_id": "u", "track',
        "[1, 2]",
        json.dumps(good | {"user_id": {"id": 1}}),
        json.dumps(good | {"track_id": None}),
        "",
        json.dumps(good | {"user_id": "8", "ms_played": -5}),
    ]
    rows = judge_file(spark, config, write("log.jsonl", "\n".join(lines))).collect()
    assert [(row["user_id"], row["track_id"]) for row in rows if not row["reasons"]] == [("7", "[x]")]
    assert sorted(row["reasons"] for row in rows if row["reasons"]) == [["broken_line"]] * 3 + [
        ["ms_played_negative"],
        ["track_id_null"],
    ]


@pytest.mark.parametrize(
    ("name", "text", "say"),
    [
        ("x.csv", "", "no files in"),
        ("x.csv", "\n", "no usable header"),
        ("x.csv", "user_id,user_id,track_id\n", "more than once"),
        ("x.json", "[\n{}\n]", "no JSON lines"),
        ("x.bin", "?", "the format of"),
        ("x.parquet", "no parquet", "cannot be read as parquet"),
    ],
)
def test_input_of_another_format_is_refused_with_advice(spark, config, write, name, text, say):
    with pytest.raises(InputError, match=say):
        import_plays(spark, config, write(name, text))


def test_a_missing_path_is_refused(spark, config):
    with pytest.raises(InputError, match="no input at /no/such"):
        import_plays(spark, config, "/no/such/path")


def test_counts_and_ratings_enter_without_code(spark, config, write):
    counts = judge_file(spark, config, write("c.csv", "user_id,track_id,plays\nu,t,5\n")).first()
    assert (counts["kind"], counts["plays"], counts["played_at"], counts["reasons"]) == ("count", 5, None, [])
    rated = (
        judge_file(
            spark,
            config,
            write("r.csv", "user_id,track_id,stars\nu,t,4\nu,s,x\n"),
            "ingest.rating_column=stars",
        )
        .orderBy("track_id")
        .collect()
    )
    assert [(row["kind"], row["plays"], row["reasons"]) for row in rated] == [
        ("rating", 0, ["rating_wrong_type"]),
        ("rating", 1, []),
    ]


def test_a_profile_is_a_user_of_its_own_and_an_empty_one_is_the_account(spark, config, write):
    """Check that equal plays of two profiles are two plays.

    Without the column, and in rows without a profile, the user is the account.
    """
    lines = [
        "acc,kid,t,2025-05-01T10:00:00Z",
        "acc,mum,t,2025-05-01T10:00:00Z",
        "acc,,t,2025-05-01T10:00:00Z",
        "a/b,,t,2025-05-01T10:00:00Z",
        "a,b/c,t,2025-05-01T10:00:00Z",
    ]
    rows = judge_file(
        spark,
        config,
        write("p.csv", "\n".join(["uid,who,track_id,played_at", *lines])),
        "ingest.columns={user_id: uid, profile_id: who}",
    ).collect()
    good = [row for row in rows if not row["reasons"]]
    assert sorted(row["user_id"] for row in good) == ["a/b", "acc", "acc/kid", "acc/mum"]
    assert len({row["play_key"] for row in good}) == 4
    assert [row["reasons"] for row in rows if row["reasons"]] == [["profile_id_has_slash"]]
    late = ['{"user_id": "u", "track_id": "t", "played_at": "2025-05-01T10:00:00Z"}'] * 201 + [
        '{"user_id": "u", "profile_id": 7, "track_id": "t", "played_at": "2025-05-01T10:00:00Z"}'
    ]
    assert {
        row["user_id"] for row in judge_file(spark, config, write("p.json", "\n".join(late))).collect()
    } == {
        "u",
        "u/7",
    }
