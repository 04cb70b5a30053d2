"""Tests of `trackpools watch`: exit 0 where all is as usual, and otherwise exit 3 with the findings.

The result is stored in both cases.
"""

import datetime as dt
import json

from flows import AS_OF, SMALL
from trackpools.cli import invoke
from trackpools.shell.monitoring.release_health import ADVICE
from trackpools.shell.store.store import Store

LAST = "2025-04-30T00:00:00Z"


def watch(config, capsys, *settings, now=LAST):
    told = [part for setting in ("mlflow.enabled=false", *SMALL, *settings) for part in ("--set", setting)]
    code = invoke(["watch", "--root", config.store.root, "--json", "--now", now, *told])
    return code, json.loads(capsys.readouterr().out)


def test_usual_figures_are_stored_and_unusual_ones_reported(spark, released, capsys):
    code, said = watch(released, capsys)
    assert code == 0, said
    checks = {(one["name"], one["slice"]): one for one in said["checks"]}
    assert {name for name, _ in checks} <= set(ADVICE)
    assert {"fresh", "volume", "listeners", "nulls", "fill"} <= {name for name, _ in checks}
    assert checks["fill", "all"]["found"] == 1.0

    code, said = watch(
        released, capsys, "watch.volume=0.999", "watch.fresh_hours=1", now="2025-06-01T00:00:00Z"
    )
    assert code == 3
    problems = {problem.split()[0]: problem for problem in said["error"]["problems"]}
    assert {"fresh", "volume"} <= set(problems)
    for name, problem in problems.items():
        assert ADVICE[name] in problem
    kept = Store(spark, released.store).read("pool_metrics").where("metric LIKE 'watch:%'").collect()
    assert {(row["metric"].removeprefix("watch:"), row["slice"]) for row in kept} == set(checks)
    fresh = next(row for row in kept if row["metric"] == "watch:fresh")
    assert fresh["value"] > fresh["high"] == 1.0, "of the last watch of a release"
    assert fresh["as_of"].astimezone(dt.UTC).isoformat() == AS_OF


def test_without_a_release_there_is_nothing_to_watch(config, capsys):
    code, said = watch(config(), capsys)
    assert code == 2
    assert "nothing is published" in said["error"]["message"]
