"""Promotion with real tables and a real MLflow: a worse challenger is refused, a better one is published, and the registry says who is who."""

import datetime as dt
import json
import random
import shutil

import mlflow
import pytest

import flows
from trackpools.cli import _run
from trackpools.shell import releases
from trackpools.shell.settings import load_config
from trackpools.shell.store import Store

POOR = (
    "sources.als.enabled=false",
    "sources.familiar.enabled=false",
    "sources.popular.weight=0.001",
)  # nothing but charts
GATES = (
    "holdout.days=20",
    "holdout.short_days=7",
    "promote.min_users=10",
    "promote.slice_margin=0.5",
    "promote.min_overlap=0.05",
    "promote.metric=new_recall@all",
)


def command(name, root, *settings):
    told = [argument for setting in (*flows.SMALL, *GATES, *settings) for argument in ("--set", setting)]
    return _run(
        [
            name,
            "--root",
            str(root),
            "--quiet",
            *(("--as-of", flows.AS_OF) if name != "promote" else ()),
            *told,
        ]
    )


def log():
    """Listeners of three kinds, who play nothing else and every recording of it alike: charts tell them little, neighbours much."""
    rng = random.Random(2)
    rows = []
    for user in range(90):
        for n in range(60):
            at, recording = (
                flows.START + dt.timedelta(minutes=rng.randrange(60 * 1440)),
                user % 3 * 60 + rng.randrange(60),
            )
            rows.append(
                {
                    "event_id": f"{user}-{n}",
                    "user_id": f"u{user:03}",
                    "track_id": f"t{recording:04}",
                    "played_at": at.isoformat(),
                    "ms_played": 200_000,
                }
            )
    return rows


def made(root, *settings):
    """A published champion."""
    config = load_config(settings=["mlflow.enabled=false", *flows.SMALL], root=str(root))
    flows.import_events(config, root.parent, log())
    assert command("run", root, "mlflow.enabled=false", *settings) == 0


def challenged(root, *settings):
    for name in ("train", "pools"):
        assert command(name, root, *settings) == 0


def verdict(capsys, root, *settings):
    told = [argument for setting in (*flows.SMALL, *GATES, *settings) for argument in ("--set", setting)]
    capsys.readouterr()
    code = _run(["promote", "--root", str(root), "--json", "--quiet", *told])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def kept(spark, root):
    rows = Store(spark, load_config(root=str(root)).store).read("pool_metrics").collect()
    return {(row["metric"], row["slice"]): row for row in rows}


@pytest.fixture(scope="module")
def poor(spark, tmp_path_factory):
    """A champion that knows charts only."""
    root = tmp_path_factory.mktemp("poor") / "root"
    made(root, *POOR)
    return root


@pytest.mark.soak
def test_a_better_challenger_is_published_and_told(spark, capsys, tmp_path, poor):
    root = shutil.copytree(poor, tmp_path / "root")
    challenged(root)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{root / 'mlflow.db'}")
    mine = client.get_model_version_by_alias("trackpools", "challenger")
    code, answer = verdict(capsys, root)
    assert code == 0, answer["error"]
    assert {gate["name"]: gate["passed"] for gate in answer["gates"]} == dict.fromkeys(
        ("effect", "worst_slice", "coverage_ratio", "overlap", "rights_violations"), True
    )
    now = releases.latest(Store(spark, load_config(root=str(root)).store))
    assert (now.seq, now.release_id) == (2, answer["release_id"])
    champion = client.get_model_version_by_alias("trackpools", "champion")
    assert (champion.version, champion.tags["trackpools.model_version"]) == (mine.version, now.model_version)
    rows = kept(spark, root)
    gain = rows["gain:new_recall@all", "all"]
    assert gain["low"] > 0
    assert gain["value"] == pytest.approx(
        rows["new_recall@all", "all"]["value"] - rows["champion:new_recall@all", "all"]["value"]
    )
    assert rows["gate:effect", "passed"]["value"] == gain["low"]
    run = client.search_runs(
        [client.get_experiment_by_name("trackpools").experiment_id], "tags.`trackpools.verdict` = 'promoted'"
    )
    assert run[0].data.metrics["gain/new_recall_at_all/all"] == pytest.approx(gain["value"])
    code, again = verdict(capsys, root)  # the same once more changes nothing
    assert (code, again["release_id"]) == (0, answer["release_id"])
    assert len(releases.releases(Store(spark, load_config(root=str(root)).store))) == 2


@pytest.mark.soak
def test_a_worse_challenger_is_refused_with_every_number(spark, capsys, tmp_path):
    root = tmp_path / "root"
    made(root)
    before = releases.latest(Store(spark, load_config(root=str(root)).store))
    challenged(root, "mlflow.enabled=false", *POOR)
    code, answer = verdict(capsys, root, "mlflow.enabled=false")
    assert (code, answer["error"]["code"]) == (4, "model")
    assert any(line.startswith("REFUSED  effect") for line in answer["error"]["problems"])
    assert any(line.startswith("holds  rights_violations") for line in answer["error"]["problems"])
    assert releases.latest(Store(spark, load_config(root=str(root)).store)) == before
    assert kept(spark, root)["gain:new_recall@all", "all"]["high"] < 0
    assert ("gate:effect", "refused") in kept(spark, root)
    # nor does it slip in by the other door, where promotions are required
    assert command("publish", root, "mlflow.enabled=false", "promote.required=true", *POOR) == 4
    assert releases.latest(Store(spark, load_config(root=str(root)).store)) == before
    assert command("publish", root, "mlflow.enabled=false", *POOR) == 0


@pytest.mark.soak
def test_without_days_after_it_there_is_no_verdict(spark, capsys, tmp_path, poor):
    root = shutil.copytree(poor, tmp_path / "root")
    challenged(root, "mlflow.enabled=false")
    code, answer = verdict(capsys, root, "mlflow.enabled=false", "holdout.days=28")
    assert (code, answer["error"]["code"]) == (2, "input")
    assert "the 28 days" in answer["error"]["message"]


def test_nothing_published_is_no_champion(spark, capsys, tmp_path):
    code, answer = verdict(capsys, tmp_path / "empty", "mlflow.enabled=false")
    assert code == 2
    assert "nothing is published" in answer["error"]["message"]
