"""What models are told, on a real prompt registry: registered once a text, read by alias or version, and never the cause of a playlist less."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from flows import SMALL
from stub_model import numbers, stub
from trackpools.cli import whole
from trackpools.errors import ConfigError
from trackpools.fill.pack import PACKAGED
from trackpools.shell import mlflow_client, prompts
from trackpools.shell.settings import load_config

PRODUCTION = "llm.prompt=prompts:/trackpools-fill@production"
OURS = 'Choose tracks that my grandmother would dance to. Answer with {"tracks": [numbers]}.'


@pytest.fixture(autouse=True)
def forgotten():
    prompts._READ.clear()
    yield
    prompts._READ.clear()


@pytest.fixture
def client(root):
    return MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db")


def told(root, *settings):
    return prompts.instructions(load_config(settings=settings, root=root))


def call(*words):
    done = CliRunner().invoke(whole(), [str(word) for word in words])
    return done.exit_code, json.loads(done.stdout)


def test_the_packaged_text_is_registered_once_and_aliases_point_at_it(root, client):
    code, first = call("prompt", "register", "--root", root, "--json")
    assert (code, first["version"], first["new"], first["aliases"]) == (0, 1, True, ["packaged"])
    code, again = call("prompt", "register", "--alias", "production", "--root", root, "--json")
    assert (code, again["version"], again["new"], again["aliases"]) == (
        0,
        1,
        False,
        ["packaged", "production"],
    )
    version = client.get_prompt_version_by_alias("trackpools-fill", "packaged")
    assert [one["role"] for one in version.template] == ["system", "user"]
    assert {"candidates", "understood", "words"} == set(version.variables)
    client.set_prompt_alias(
        "trackpools-fill", "packaged", client.register_prompt("trackpools-fill", OURS).version
    )
    assert call("prompt", "register", "--root", root, "--json")[1]["version"] == 1
    assert client.get_prompt_version_by_alias("trackpools-fill", "packaged").version == 1
    assert told(root, PRODUCTION) == (prompts.Instructions(PACKAGED.text, "prompts:/trackpools-fill/1"), "")


def test_a_text_of_ones_own_is_read_once_a_process_by_alias_or_version(root, client):
    for text in (OURS, OURS + " Twice."):
        client.set_prompt_alias(
            "trackpools-fill", "production", client.register_prompt("trackpools-fill", text).version
        )
    assert told(root, PRODUCTION) == (
        prompts.Instructions(OURS + " Twice.", "prompts:/trackpools-fill/2"),
        "",
    )
    client.set_prompt_alias("trackpools-fill", "production", 1)
    assert told(root, PRODUCTION)[0].version == "prompts:/trackpools-fill/2", "once a process"
    assert told(root, "llm.prompt=prompts:/trackpools-fill/1")[0].text == OURS
    code, shown = call("prompt", "--root", root, "--set", PRODUCTION, "--json")
    assert (code, shown["text"]) == (0, OURS + " Twice.")


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("Be {{mood}}.", "plain text"),
        ("a\u202eb", "plain text"),
        ("x" * 8_001, "8,001 characters"),
        (" \n ", "no text"),
        ([{"role": "user", "content": "hello"}], "one message of the system"),
        ([{"role": "system", "content": "a"}, {"role": "assistant", "content": "b"}], "one message"),
        (
            [{"role": "system", "content": "a"}, {"role": "user", "content": "{{candidates}}!"}],
            "user message",
        ),
        ([{"role": "system", "content": None}], "no text"),
    ],
)
def test_what_is_no_plain_text_of_some_length_is_refused(template, why):
    text, said = prompts.text_of(template, 3000)
    assert (text, why in said) == ("", True), said


def test_a_text_that_would_leave_no_room_for_candidates_is_refused():
    assert prompts.text_of(OURS, 3000) == (OURS, "")
    assert "llm.pack_tokens" in prompts.text_of(OURS, 20)[1]


def test_where_there_is_no_such_prompt_or_registry_the_packaged_text_is_used_and_that_is_said(root, tmp_path):
    for settings, why in (
        ((PRODUCTION,), "no such prompt"),
        ((PRODUCTION, "mlflow.enabled=false"), "mlflow.enabled"),
        ((PRODUCTION, "mlflow.tracking_uri=http://127.0.0.1:9"), "refused"),
    ):
        prompts._READ.clear()
        used, said = told(root, *settings)
        assert (used, why in said) == (PACKAGED, True), said
    prompts.register(load_config(root=root), None)
    assert "no such prompt" in told(root, PRODUCTION)[1]
    assert told(root) == (PACKAGED, "")
    assert "no such prompt" in told(str(tmp_path / "new"), PRODUCTION)[1]
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_meant_is_refused(root):
    with pytest.raises(ConfigError, match="alias"):
        prompts.register(load_config(root=root), "a b")
    code, answer = call("prompt", "delete", "--root", root, "--json")
    assert (code, "show and register" in answer["error"]["message"]) == (2, True)
    code, answer = call("prompt", "register", "--root", root, "--set", "mlflow.enabled=false", "--json")
    assert (code, "mlflow.enabled is false" in answer["error"]["message"]) == (2, True)


def test_a_fill_tells_the_model_the_registered_text_and_its_version(
    released, migrated, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow_client.forget_down()
    place = shutil.copy(migrated, Path(released.store.root) / "mlflow.db")
    client = MlflowClient(tracking_uri=f"sqlite:///{place}")
    with stub(numbers(*range(1, 11))) as server:
        settings = [*SMALL, f"llm.base_url={server.url}", "llm.model=stub", "llm.private=true", PRODUCTION]
        words = [
            "fill",
            "10 songs",
            "--user",
            "u001",
            "--root",
            released.store.root,
            "--json",
            *(part for one in settings for part in ("--set", one)),
        ]
        code, without = call(*words)
        assert (code, without["playlist"]["instructions"], without["playlist"]["degraded"]) == (
            0,
            PACKAGED.version,
            "",
        )
        assert "no such prompt" in without["warnings"][0]
        client.set_prompt_alias(
            "trackpools-fill", "production", client.register_prompt("trackpools-fill", OURS).version
        )
        prompts._READ.clear()
        code, answer = call(*words)
        assert (code, answer["playlist"]["instructions"], answer["warnings"]) == (
            0,
            "prompts:/trackpools-fill/1",
            [],
        )
        assert [one["messages"][0]["content"] for one in server.asked] == [PACKAGED.text, OURS]
        assert server.asked[0]["messages"][1] == server.asked[1]["messages"][1]
        prompts._READ.clear()
        code, answer = call(*words, "--model", "none")
        assert (answer["playlist"]["instructions"], prompts._READ) == ("", {})
