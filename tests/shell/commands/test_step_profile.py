"""Tests of the profile of a flow: every step has its seconds and its Spark jobs."""

import time
from types import SimpleNamespace

from trackpools.shell.commands.step_profile import StepProfile


def test_each_line_of_progress_begins_a_step(spark):
    shown = []
    flow = SimpleNamespace(spark=spark, progress=shown.append)
    profile = StepProfile()
    profile.follow(flow)
    flow.progress("import: read a file")
    spark.range(3).collect()
    spark.range(3).collect()
    flow.progress("pools: build them")
    time.sleep(0.2)
    profile.end(spark)
    assert shown == ["import: read a file", "pools: build them"]
    told = {step["step"]: step for step in profile.as_json()}
    assert list(told) == ["start", "import", "pools"]
    assert (told["import"]["jobs"], told["pools"]["jobs"]) == (2, 0)
    assert told["pools"]["seconds"] >= 0.2
    rows = profile.table().rows
    assert [row[0] for row in rows] == ["start", "import", "pools", "all"]
    assert sum(float(row[1]) for row in rows[:3]) - float(rows[3][1]) < 0.2
    assert rows[3][3] == "100%"
