"""What models are told before all else, in MLflow's prompt registry: registered from the package, read back by alias or version."""

import re
from typing import Any

from trackpools import __version__
from trackpools.config import Config
from trackpools.errors import ConfigError, InputError
from trackpools.fill.pack import CANDIDATES, PACKAGED, WANTED, Instructions, tokens_of
from trackpools.shell.command import Answer
from trackpools.shell.fluent import fluent
from trackpools.shell.mlflow_client import Server, experiment_id, sqlite_file

NAME, ALIAS = "trackpools-fill", "packaged"
MOST = 8_000  # characters
MISSING = {
    "RESOURCE_DOES_NOT_EXIST",
    "INVALID_PARAMETER_VALUE",
    "NOT_FOUND",
}  # the second is what sqlite says of an alias
# what code fills; registered beside the text so that who rewrites that sees what it speaks of
FRAME = "\n\n".join(
    (
        CANDIDATES.format(candidates="{{candidates}}"),
        WANTED.format(understood="{{understood}}", words="{{words}}"),
    )
)
_READ: dict[tuple[str, str | None, str], tuple[Instructions, str]] = {}


def instructions(config: Config) -> tuple[Instructions, str]:
    """What models are told, and why it is the package's text where `llm.prompt` names another; read once a process. Raises nothing.

    Waits for a server that is out of reach as long as tracking does, `mlflow.timeout_s`.
    """
    uri = config.llm.prompt
    if uri is None:
        return PACKAGED, ""
    key = (Server(config.mlflow, config.store.root).uri, config.mlflow.registry_uri, uri)
    if key not in _READ:
        _READ[key] = _read(config, uri)
    return _READ[key]


def _read(config: Config, uri: str) -> tuple[Instructions, str]:
    server = Server(config.mlflow, config.store.root)
    path = sqlite_file(server.uri)
    found = (
        [] if path is not None and not path.exists() else server.attempt(lambda client: _found(client, uri))
    )
    if found is None:
        why = server.down or "mlflow.enabled is false"
    elif not found:
        why = "there is no such prompt"
    else:
        text, why = text_of(found[0].template, config.llm.pack_tokens // 2)
        if not why:
            return Instructions(text, f"prompts:/{found[0].name}/{found[0].version}"), ""
    return PACKAGED, f"{uri} is not used, the packaged text is: {why}"


def _found(client: Any, uri: str) -> list[Any]:
    """The version, or nothing. Asked without MLflow's `load_prompt`, which marks it as used by whatever experiment the process is in."""
    name, alias, version = _parts(uri)
    try:
        found = (
            client.get_prompt_version_by_alias(name, alias)
            if alias
            else client.get_prompt_version(name, version)
        )
    except Exception as error:
        if getattr(error, "error_code", None) in MISSING:
            return []
        raise
    return [found] if found is not None else []


def _parts(uri: str) -> tuple[str, str, str]:
    """Name and alias, or name and version, of an address that the configuration has let in."""
    path = uri.removeprefix("prompts:/")
    name, alias = path.partition("@")[::2]
    return (name, alias, "") if alias else (path.partition("/")[0], "", path.partition("/")[2])


def text_of(template: Any, most: int) -> tuple[str, str]:
    """The system text of a registered prompt, and why it cannot be used.

    Args:
        template: a text, or messages of a chat: one of the system, and if there is one of the user, our frame of it.
        most: tokens, estimated.
    """
    text = template
    if isinstance(template, list):
        if [one.get("role") for one in template] not in (["system"], ["system", "user"]):
            return "", "it must be one message of the system, before the user's if there is one"
        if len(template) == 2 and template[1].get("content") != FRAME:
            return (
                "",
                "its user message is not the one that this version of trackpools fills; `trackpools prompt register` shows that",
            )
        text = template[0].get("content")
    if not isinstance(text, str) or not text.strip():
        return "", "it has no text"
    if len(text) > MOST or tokens_of(text) > most:
        return "", f"it is {len(text):,} characters long; at most {MOST:,}, and half of llm.pack_tokens"
    if "{{" in text or not text.replace("\n", "").isprintable():
        return "", "it must be plain text, without {{variables}} and control characters"
    return text, ""


def register(config: Config, alias: str | None) -> Answer:
    """The packaged text as a version of its prompt, under the alias `packaged` and another; a text that is there already is no new version.

    Raises:
        ConfigError: for an alias that is none.
        InputError: where the registry is out of reach.
    """
    if alias is not None and not re.fullmatch(r"[\w-]{1,100}", alias):
        raise ConfigError(f"an alias is 1 to 100 letters, digits, _ and -; got {alias!r:.120}")
    server = Server(config.mlflow, config.store.root)
    name = _parts(config.llm.prompt)[0] if config.llm.prompt else NAME
    aliases = list(dict.fromkeys([ALIAS, alias or ALIAS]))

    def send(client: Any) -> tuple[int, bool]:
        with fluent(
            server.uri, experiment_id(client, config.mlflow, server.uri), {}
        ):  # the prompt is shown in our experiment
            return _register(client, name, aliases)

    done = server.attempt(send)
    if done is None:
        raise InputError(
            f"the prompt cannot be registered: {server.down or 'mlflow.enabled is false'}; look at mlflow.tracking_uri"
        )
    version, new = done
    line = f"prompts:/{name}/{version}, {'new' if new else 'as it was'}; {', '.join(f'@{one}' for one in aliases)}"
    return Answer(lines=[line], more={"prompt": name, "version": version, "new": new, "aliases": aliases})


def _register(client: Any, name: str, aliases: list[str]) -> tuple[int, bool]:
    template = [{"role": "system", "content": PACKAGED.text}, {"role": "user", "content": FRAME}]
    same = next((one for one in _versions(client, name) if one.template == template), None)
    made = same or client.register_prompt(name, template, commit_message=f"trackpools {__version__}")
    for alias in aliases:
        client.set_prompt_alias(name, alias, made.version)
    return int(made.version), same is None


def _versions(client: Any, name: str) -> list[Any]:
    """The latest hundred versions; none of a prompt that is not there."""
    try:
        return list(client.search_prompt_versions(name))
    except Exception as error:
        if getattr(error, "error_code", None) in MISSING:
            return []
        raise


def show(config: Config) -> Answer:
    """The text that models are told now, and its version."""
    chosen, why = instructions(config)
    return Answer(
        lines=[chosen.version, "", chosen.text],
        warnings=[why] if why else [],
        more={"instructions": chosen.version, "text": chosen.text},
    )
