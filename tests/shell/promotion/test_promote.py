"""Tests of promotion with real tables and a real MLflow.

A worse challenger is refused, a better one is published, and the registry names champion and challenger.
"""

import datetime as dt
import json
import random
import shutil

import mlflow
import pytest

import flows
from trackpools.cli import invoke
from trackpools.config.loading import load_config
from trackpools.shell.releases import releases
from trackpools.shell.store.store import Store

POOR = (
    "sources.als.enabled=false",
    "sources.familiar.enabled=false",
    "sources.popular.weight=0.001",
)  # uses charts only
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
    return invoke(
        [
            name,
            "--root",
            str(root),
            "--quiet",
            *(("--as-of", flows.AS_OF) if name != "promote" else ()),
            *told,
        ]
    )


def play_log():
    """Return the plays of users of three kinds, who play only their kind, and all of its recordings alike.

    So charts say little of a user, and neighbours say much.
    """
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


def publish_champion(root, *settings):
    """Publish a champion under the root."""
    config = load_config(settings=["mlflow.enabled=false", *flows.SMALL], root=str(root))
    flows.import_events(config, root.parent, play_log())
    assert command("run", root, "mlflow.enabled=false", *settings) == 0


def train_challenger(root, *settings):
    for name in ("train", "pools"):
        assert command(name, root, *settings) == 0


def run_promote(capsys, root, *settings):
    told = [argument for setting in (*flows.SMALL, *GATES, *settings) for argument in ("--set", setting)]
    capsys.readouterr()
    code = invoke(["promote", "--root", str(root), "--json", "--quiet", *told])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def stored_metrics(spark, root):
    rows = Store(spark, load_config(root=str(root)).store).read("pool_metrics").collect()
    return {(row["metric"], row["slice"]): row for row in rows}


@pytest.fixture(scope="module")
def poor(spark, tmp_path_factory):
    """Return a root with a champion that knows charts only."""
    root = tmp_path_factory.mktemp("poor") / "root"
    publish_champion(root, *POOR)
    return root


@pytest.mark.soak
def test_a_better_challenger_is_published_and_recorded(spark, capsys, tmp_path, poor):
    root = shutil.copytree(poor, tmp_path / "root")
    train_challenger(root)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{root / 'mlflow.db'}")
    mine = client.get_model_version_by_alias("trackpools", "challenger")
    code, answer = run_promote(capsys, root)
    assert code == 0, answer["error"]
    assert {gate["name"]: gate["passed"] for gate in answer["gates"]} == dict.fromkeys(
        ("effect", "worst_slice", "coverage_ratio", "overlap", "rights_violations"), True
    )
    now = releases.latest(Store(spark, load_config(root=str(root)).store))
    assert (now.seq, now.release_id) == (2, answer["release_id"])
    champion = client.get_model_version_by_alias("trackpools", "champion")
    assert (champion.version, champion.tags["trackpools.model_version"]) == (mine.version, now.model_version)
    rows = stored_metrics(spark, root)
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
    code, again = run_promote(capsys, root)  # the same command again changes nothing
    assert (code, again["release_id"]) == (0, answer["release_id"])
    assert len(releases.releases(Store(spark, load_config(root=str(root)).store))) == 2


@pytest.mark.soak
def test_a_worse_challenger_is_refused_with_every_number(spark, capsys, tmp_path):
    root = tmp_path / "root"
    publish_champion(root)
    before = releases.latest(Store(spark, load_config(root=str(root)).store))
    train_challenger(root, "mlflow.enabled=false", *POOR)
    code, answer = run_promote(capsys, root, "mlflow.enabled=false")
    assert (code, answer["error"]["code"]) == (4, "model")
    assert any(line.startswith("REFUSED  effect") for line in answer["error"]["problems"])
    assert any(line.startswith("holds  rights_violations") for line in answer["error"]["problems"])
    assert releases.latest(Store(spark, load_config(root=str(root)).store)) == before
    assert stored_metrics(spark, root)["gain:new_recall@all", "all"]["high"] < 0
    assert ("gate:effect", "refused") in stored_metrics(spark, root)
    # `publish` does not let it in either where promotions are required.
    assert command("publish", root, "mlflow.enabled=false", "promote.required=true", *POOR) == 4
    assert releases.latest(Store(spark, load_config(root=str(root)).store)) == before
    assert command("publish", root, "mlflow.enabled=false", *POOR) == 0


@pytest.mark.soak
def test_without_days_after_it_there_is_no_verdict(spark, capsys, tmp_path, poor):
    root = shutil.copytree(poor, tmp_path / "root")
    train_challenger(root, "mlflow.enabled=false")
    code, answer = run_promote(capsys, root, "mlflow.enabled=false", "holdout.days=28")
    assert (code, answer["error"]["code"]) == (2, "input")
    assert "the 28 days" in answer["error"]["message"]


def test_without_a_release_there_is_no_champion(spark, capsys, tmp_path):
    code, answer = run_promote(capsys, tmp_path / "empty", "mlflow.enabled=false")
    assert code == 2
    assert "nothing is published" in answer["error"]["message"]
