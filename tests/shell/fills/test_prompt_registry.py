"""Tests of the instructions for models on a real prompt registry.

Each text is registered once and read by alias or version, and a failure never costs a playlist.
"""

import json
import shutil
from pathlib import Path

import pytest
from cachetools import TTLCache
from mlflow import MlflowClient
from typer.testing import CliRunner

from flows import SMALL
from stub_model import numbers, stub
from trackpools.cli import whole
from trackpools.config.loading import load_config
from trackpools.errors import ConfigError
from trackpools.fill.contract.instructions import PACKAGED
from trackpools.shell.fills import prompt_registry
from trackpools.shell.tracking import mlflow_server

PRODUCTION = "llm.prompt=prompts:/trackpools-fill@production"
OURS = 'Choose tracks that my grandmother would dance to. Answer with {"tracks": [numbers]}.'


def forget():
    prompt_registry._READ.clear()
    prompt_registry._LAST_GOOD.clear()


@pytest.fixture(autouse=True)
def forgotten():
    forget()
    yield
    forget()


@pytest.fixture
def client(root):
    return MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db")


def instructions_of(root, *settings):
    return prompt_registry.instructions(load_config(settings=settings, root=root))


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
    assert instructions_of(root, PRODUCTION) == (
        prompt_registry.Instructions(PACKAGED.text, "prompts:/trackpools-fill/1"),
        "",
    )


def test_a_text_of_the_users_own_is_read_by_alias_or_version_and_kept(root, client):
    for text in (OURS, OURS + " Twice."):
        client.set_prompt_alias(
            "trackpools-fill", "production", client.register_prompt("trackpools-fill", text).version
        )
    assert instructions_of(root, PRODUCTION) == (
        prompt_registry.Instructions(OURS + " Twice.", "prompts:/trackpools-fill/2"),
        "",
    )
    client.set_prompt_alias("trackpools-fill", "production", 1)
    assert instructions_of(root, PRODUCTION)[0].version == "prompts:/trackpools-fill/2", (
        "kept for ten minutes"
    )
    assert instructions_of(root, "llm.prompt=prompts:/trackpools-fill/1")[0].text == OURS
    code, shown = call("prompt", "--root", root, "--set", PRODUCTION, "--json")
    assert (code, shown["text"]) == (0, OURS + " Twice.")


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("Be {{mood}}.", "plain text"),
        ("a\u202eb", "plain text"),
        ("x" * 8_001, "8,001 characters"),
        (" \n ", "no text"),
        ([{"role": "user", "content": "hello"}], "one system message"),
        ([{"role": "system", "content": "a"}, {"role": "assistant", "content": "b"}], "one system message"),
        (
            [{"role": "system", "content": "a"}, {"role": "user", "content": "{{candidates}}!"}],
            "user message",
        ),
        ([{"role": "system", "content": None}], "no text"),
    ],
)
def test_a_template_that_is_not_a_plain_short_text_is_refused(template, why):
    text, said = prompt_registry.text_of(template, 3000)
    assert (text, why in said) == ("", True), said


def test_a_text_that_would_leave_no_room_for_candidates_is_refused():
    assert prompt_registry.text_of(OURS, 3000) == (OURS, "")
    assert "llm.pack_tokens" in prompt_registry.text_of(OURS, 20)[1]


def test_without_the_prompt_or_the_registry_the_packaged_text_is_used_with_a_warning(root, tmp_path):
    for settings, why in (
        ((PRODUCTION,), "no such prompt"),
        ((PRODUCTION, "mlflow.enabled=false"), "mlflow.enabled"),
        ((PRODUCTION, "mlflow.tracking_uri=http://127.0.0.1:9"), "refused"),
    ):
        forget()
        used, said = instructions_of(root, *settings)
        assert (used, why in said) == (PACKAGED, True), said
    prompt_registry.register(load_config(root=root), None)
    assert "no such prompt" in instructions_of(root, PRODUCTION)[1]
    assert instructions_of(root) == (PACKAGED, "")
    assert "no such prompt" in instructions_of(str(tmp_path / "new"), PRODUCTION)[1]
    assert not (tmp_path / "new").exists()


def test_invalid_settings_are_refused(root):
    with pytest.raises(ConfigError, match="alias"):
        prompt_registry.register(load_config(root=root), "a b")
    code, answer = call("prompt", "register", "--root", root, "--set", "mlflow.enabled=false", "--json")
    assert (code, "mlflow.enabled is false" in answer["error"]["message"]) == (2, True)


def test_a_fill_tells_the_model_the_registered_text_and_its_version(
    released, migrated, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow_server.forget_down()
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
        forget()
        code, answer = call(*words)
        assert (code, answer["playlist"]["instructions"], answer["warnings"]) == (
            0,
            "prompts:/trackpools-fill/1",
            [],
        )
        assert [one["messages"][0]["content"] for one in server.asked] == [PACKAGED.text, OURS]
        assert server.asked[0]["messages"][1] == server.asked[1]["messages"][1]
        forget()
        code, answer = call(*words, "--model", "none")
        assert (answer["playlist"]["instructions"], prompt_registry._READ) == ("", {})


def test_an_alias_that_moves_counts_after_ten_minutes_and_a_failed_reading_changes_nothing(
    root, client, monkeypatch
):
    now = [0.0]
    cache = TTLCache(64, prompt_registry.KEEP_INSTRUCTIONS_S, timer=lambda: now[0])
    monkeypatch.setattr(prompt_registry, "_READ", cache)
    for text in (OURS, OURS + " Play no ballads."):
        version = client.register_prompt("trackpools-fill", text).version
        client.set_prompt_alias("trackpools-fill", "production", version)
        assert instructions_of(root, PRODUCTION)[0].text == OURS
    now[0] += prompt_registry.KEEP_INSTRUCTIONS_S
    assert instructions_of(root, PRODUCTION)[0].text == OURS + " Play no ballads."
    monkeypatch.setattr(prompt_registry, "_found", lambda *_: [])
    now[0] += prompt_registry.KEEP_INSTRUCTIONS_S
    assert instructions_of(root, PRODUCTION) == (
        prompt_registry.Instructions(OURS + " Play no ballads.", "prompts:/trackpools-fill/2"),
        "",
    )
