"""Tests of fills as traces on a real sqlite MLflow.

A trace holds what happened but no words of users, and no playlist waits for its trace.
"""

import json
import shutil
import socket
import sqlite3
import time
import uuid
from pathlib import Path

import pytest

from flows import SMALL
from stub_model import says, stub
from trackpools.config.loading import load_config
from trackpools.fill.contract.messages import FillRequest
from trackpools.shell import console
from trackpools.shell.fills import fill_command
from trackpools.shell.fills.traces import sampled
from trackpools.shell.tracking import mlflow_server

PROMPT = '12 songs, nothing I have heard this month, "A Title Of Theirs", for grandma\'s xylophone recital'
SAID = "Zounds! I pick the finest: "


@pytest.fixture
def traced(released, tmp_path, migrated, monkeypatch):
    """Return a function that builds a configuration with MLflow in which every fill is traced."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow_server.forget_down()
    shutil.copy(migrated, Path(released.store.root) / "mlflow.db")
    yield lambda *settings: load_config(
        settings=[*SMALL, f"store.root={released.store.root}", "fill.trace=1.0", *settings]
    )
    mlflow_server.forget_down()


def run_fill(config, model=None, **asked):
    return fill_command.fill(
        config, FillRequest(user_id="u001", prompt=PROMPT, **asked), model=model, explain=True
    )


def test_the_draw_depends_on_the_request_and_the_share_only():
    ids = [str(uuid.UUID(int=number)) for number in range(4000)]
    some, more = ({one for one in ids if sampled(one, share)} for share in (0.1, 0.3))
    assert some < more
    assert 300 < len(some) < 500
    assert (any(sampled(one, 0.0) for one in ids), all(sampled(one, 1.0) for one in ids)) == (False, True)


def test_a_trace_holds_what_happened_and_no_words_of_users(traced):
    answers = says(SAID + json.dumps({"tracks": [*range(1, 9), 5000]}))
    with stub(answers) as server:
        config = traced(
            f"llm.base_url={server.url}",
            "llm.model=stub",
            "llm.private=true",
            "llm.price_in=1.0",
            "fill.artist_cap=20",
        )
        answer = run_fill(config)
        assert "xylophone" in server.asked[0]["messages"][1]["content"]
    made = answer.more["playlist"]
    assert answer.then() is True
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_server.tracking_uri(config.mlflow, config.store.root))
    (experiment,) = [one for one in client.search_experiments() if one.name == config.mlflow.experiment]
    (trace,) = client.search_traces(locations=[experiment.experiment_id])
    whole, *steps = trace.data.spans
    assert trace.info.trace_id == "tr-" + made["request_id"].replace("-", "")
    assert (trace.info.client_request_id, trace.info.tags["trackpools.release_id"]) == (
        made["request_id"],
        made["release"],
    )
    assert (trace.info.tags["trackpools.degraded"], trace.info.tags["trackpools.instructions"]) == (
        "false",
        made["instructions"],
    )
    assert (
        [one.name for one in steps]
        == list(made["milliseconds"])
        == ["read", "understand", "read by model", "candidates", "compose", "model", "repair", "explore"]
    )
    assert [round((one.end_time_ns - one.start_time_ns) / 1e6, 2) for one in steps] == pytest.approx(
        list(made["milliseconds"].values()), abs=0.02
    )
    assert all(
        whole.start_time_ns <= one.start_time_ns <= one.end_time_ns <= whole.end_time_ns for one in steps
    )
    told = whole.attributes
    assert (told["model"], told["tokens"], told["cost"], told["candidates"]) == (
        "stub",
        made["tokens"],
        made["cost"],
        made["candidates"],
    )
    assert set(told["met"]) | set(told["unmet"]) == {one["name"] for one in made["told"]}
    assert "seed" in told["unmet"]
    assert told["not_applied"] == len(made["not_applied"]) > 0
    assert {one.name: one for one in steps}["model"].attributes["dropped"] != {}
    with sqlite3.connect(Path(config.store.root) / "mlflow.db") as database:
        kept = "\n".join(database.iterdump())
    assert made["request_id"] in kept
    words = [PROMPT, "xylophone", "grandma", "A Title Of Theirs", "u001", SAID, "Zounds"]
    words += [one[key] for one in made["tracks"] for key in ("track_id", "recording_id")]
    assert [one for one in words if one in kept] == []
    assert not (Path(config.store.root) / "mlartifacts").exists()


def test_fills_that_are_not_drawn_or_not_tracked_leave_no_trace(traced):
    assert run_fill(traced("fill.trace=0.0")).then is None
    assert run_fill(traced("mlflow.enabled=false")).then is None


@pytest.mark.parametrize("silent", [True, False])
def test_a_playlist_is_in_time_where_its_trace_cannot_be_sent_and_that_is_logged(traced, caplog, silent):
    run_fill(traced("fill.trace=0.0"))  # the cards are cached now, as in any process but the first
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts connections and answers nothing
        port = server.getsockname()[1]
        if not silent:
            server.close()
        config = traced(f"mlflow.tracking_uri=http://127.0.0.1:{port}", "mlflow.timeout_s=1")
        began = time.monotonic()
        answer = run_fill(config, deadline_s=1.0)
        assert time.monotonic() - began < 1.25
        assert len(answer.more["playlist"]["tracks"]) > 0
        began = time.monotonic()
        assert answer.then() is False
        assert time.monotonic() - began < 5
    assert f"the trace of fill {answer.more['playlist']['request_id']} is lost" in caplog.text
    assert "cannot be reached" in caplog.text
    assert "xylophone" not in caplog.text


@pytest.mark.parametrize("as_json", [True, False])
def test_remaining_work_is_done_after_the_answer_is_printed(capfd, as_json):
    told = []
    answer = console.CommandResult(
        lines=["the playlist"],
        more={"said": "the playlist"},
        then=lambda: told.append(capfd.readouterr().out),
    )
    assert console.perform("fill", console.Options(json=as_json), lambda _: answer) == 0
    assert "the playlist" in told[0]
