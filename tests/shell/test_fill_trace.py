"""Fills as traces on a real sqlite MLflow: what happened is in them, words of listeners are not, and no playlist waits for them."""

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
from trackpools.fill.contract import FillRequest
from trackpools.shell import command, fill_command, mlflow_client
from trackpools.shell.fill_trace import sampled
from trackpools.shell.settings import load_config

PROMPT = '12 songs, nothing I have heard this month, "A Title Of Theirs", for grandma\'s xylophone recital'
SAID = "Zounds! I pick the finest: "


@pytest.fixture
def traced(released, tmp_path, migrated, monkeypatch):
    """Build a configuration with MLflow in which every fill is traced."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow_client.forget_down()
    shutil.copy(migrated, Path(released.store.root) / "mlflow.db")
    yield lambda *settings: load_config(
        settings=[*SMALL, f"store.root={released.store.root}", "fill.trace=1.0", *settings]
    )
    mlflow_client.forget_down()


def filled(config, model=None, **asked):
    return fill_command.fill(
        config, FillRequest(user_id="u001", prompt=PROMPT, **asked), model=model, explain=True
    )


def test_the_lot_is_of_the_request_alone_and_of_the_share():
    ids = [str(uuid.UUID(int=number)) for number in range(4000)]
    some, more = ({one for one in ids if sampled(one, share)} for share in (0.1, 0.3))
    assert some < more
    assert 300 < len(some) < 500
    assert (any(sampled(one, 0.0) for one in ids), all(sampled(one, 1.0) for one in ids)) == (False, True)


def test_a_trace_tells_what_happened_and_no_word_of_anybody(traced):
    answers = says(SAID + json.dumps({"tracks": [*range(1, 9), 5000]}))
    with stub(answers) as server:
        config = traced(
            f"llm.base_url={server.url}",
            "llm.model=stub",
            "llm.private=true",
            "llm.price_in=1.0",
            "fill.artist_cap=20",
        )
        answer = filled(config)
        assert "xylophone" in server.asked[0]["messages"][1]["content"]
    made = answer.more["playlist"]
    assert answer.then() is True
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_client.tracking_uri(config.mlflow, config.store.root))
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


def test_what_is_not_drawn_or_not_tracked_leaves_nothing(traced):
    assert filled(traced("fill.trace=0.0")).then is None
    assert filled(traced("mlflow.enabled=false")).then is None


@pytest.mark.parametrize("silent", [True, False])
def test_a_playlist_comes_in_time_where_nobody_takes_its_trace_and_that_is_said(traced, caplog, silent):
    filled(traced("fill.trace=0.0"))  # cards are kept, as in any process but the first
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections and says nothing
        port = server.getsockname()[1]
        if not silent:
            server.close()
        config = traced(f"mlflow.tracking_uri=http://127.0.0.1:{port}", "mlflow.timeout_s=1")
        began = time.monotonic()
        answer = filled(config, deadline_s=1.0)
        assert time.monotonic() - began < 1.25
        assert len(answer.more["playlist"]["tracks"]) > 0
        began = time.monotonic()
        assert answer.then() is False
        assert time.monotonic() - began < 5
    assert f"the trace of fill {answer.more['playlist']['request_id']} is lost" in caplog.text
    assert "out of reach" in caplog.text
    assert "xylophone" not in caplog.text


@pytest.mark.parametrize("as_json", [True, False])
def test_what_is_left_to_do_is_done_once_the_answer_is_told(capfd, as_json):
    told = []
    answer = command.Answer(
        lines=["the playlist"],
        more={"said": "the playlist"},
        then=lambda: told.append(capfd.readouterr().out),
    )
    assert command.perform("fill", command.Options(json=as_json), lambda _: answer) == 0
    assert "the playlist" in told[0]
