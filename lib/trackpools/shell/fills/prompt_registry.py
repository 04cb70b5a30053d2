"""Keep the instructions for language models in MLflow's prompt registry.

Instructions are the system message of a request. The text of the package can be registered as a prompt;
`llm.prompt` names the registered prompt to use, by alias or version.
"""

import re
from threading import Lock
from typing import Any

from cachetools import TTLCache

from trackpools import __version__
from trackpools.config import Config
from trackpools.errors import ConfigError, InputError
from trackpools.fill.contract.instructions import PACKAGED, Instructions
from trackpools.fill.llm.choice_prompt import CANDIDATES, WANTED, tokens_of
from trackpools.shell.command import CommandResult
from trackpools.shell.tracking.mlflow_globals import mlflow_target
from trackpools.shell.tracking.mlflow_server import Server, experiment_id, sqlite_file

NAME, ALIAS = "trackpools-fill", "packaged"
MAX_INSTRUCTIONS_CHARS = 8_000
# error codes of MLflow for a prompt, version or alias that does not exist; sqlite has the second for an alias
MISSING = {
    "RESOURCE_DOES_NOT_EXIST",
    "INVALID_PARAMETER_VALUE",
    "NOT_FOUND",
}
# The user message with placeholders, which code replaces. It is registered together with the instructions, so
# that their authors see it.
FRAME = "\n\n".join(
    (
        CANDIDATES.format(candidates="{{candidates}}"),
        WANTED.format(understood="{{understood}}", words="{{words}}"),
    )
)
# how long a process uses the instructions that it read; a moved alias has effect after this time
KEEP_INSTRUCTIONS_S = 600
_READ: TTLCache[tuple[str, str | None, str], tuple[Instructions, str]] = TTLCache(64, KEEP_INSTRUCTIONS_S)
_LAST_GOOD: dict[
    tuple[str, str | None, str], tuple[Instructions, str]
] = {}  # what a failed reading leaves in use
_LOCK = Lock()  # of both


def instructions(config: Config) -> tuple[Instructions, str]:
    """Return the instructions for language models; never raises.

    A process reads the registry at most once in ten minutes. If the server does not answer, this waits for
    `mlflow.timeout_s`; then the instructions that were read before stay in use.

    Returns:
        The instructions; and the reason if the packaged ones are used although `llm.prompt` names others,
        otherwise an empty text.
    """
    uri = config.llm.prompt
    if uri is None:
        return PACKAGED, ""
    key = (Server(config.mlflow, config.store.root).uri, config.mlflow.registry_uri, uri)
    with _LOCK:
        found = _READ.get(key)
    if found is None:
        found = _read(config, uri)
        with _LOCK:
            if not found[1]:
                _LAST_GOOD[key] = found
            found = _READ[key] = _LAST_GOOD.get(key, found)
    return found


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
    return PACKAGED, f"the prompt {uri} is not used, and the packaged text is used instead: {why}"


def _found(client: Any, uri: str) -> list[Any]:
    """Return a list with the one version that `uri` names; empty if there is no such version.

    MLflow's `load_prompt` is avoided, because it links the prompt to the current experiment of the process.
    """
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
    """Split a valid address of a prompt into name, alias and version; alias or version is empty."""
    path = uri.removeprefix("prompts:/")
    name, alias = path.partition("@")[::2]
    return (name, alias, "") if alias else (path.partition("/")[0], "", path.partition("/")[2])


def text_of(template: object, most: int) -> tuple[str, str]:
    """Return the instructions in a registered prompt, and why it cannot be used; one of the two is empty.

    Args:
        template: a text, or chat messages: one system message, then optionally a user message equal to FRAME.
        most: greatest number of tokens of the text, as `tokens_of` estimates them.
    """
    text = template
    if isinstance(template, list):
        if [one.get("role") for one in template] not in (["system"], ["system", "user"]):
            return "", "it must be one system message, which a user message may follow"
        if len(template) == 2 and template[1].get("content") != FRAME:
            return (
                "",
                "its user message is not the one that this version of trackpools fills; "
                "`trackpools prompt register` registers a prompt that has the right one",
            )
        text = template[0].get("content")
    if not isinstance(text, str) or not text.strip():
        return "", "it has no text"
    if len(text) > MAX_INSTRUCTIONS_CHARS or tokens_of(text) > most:
        return (
            "",
            f"it has {len(text):,} characters; at most {MAX_INSTRUCTIONS_CHARS:,} and half of llm.pack_tokens are allowed",
        )
    if "{{" in text or not text.replace("\n", "").isprintable():
        return "", "it must be plain text, without {{variables}} or control characters"
    return text, ""


def register(config: Config, alias: str | None) -> CommandResult:
    """Register the packaged text as a version of a prompt, and set the alias `packaged` on it.

    The prompt is the one that `llm.prompt` names, else `trackpools-fill`. If one of its latest hundred versions
    has this text already, no new version is created.

    Args:
        config: the configuration.
        alias: a further alias to set; None for no other.

    Raises:
        ConfigError: if the alias is not valid.
        InputError: if the registry cannot be reached, or tracking is disabled.
    """
    if alias is not None and not re.fullmatch(r"[\w-]{1,100}", alias):
        raise ConfigError(f"an alias must be 1 to 100 letters, digits, _ and -; got {alias!r:.120}")
    server = Server(config.mlflow, config.store.root)
    name = _parts(config.llm.prompt)[0] if config.llm.prompt else NAME
    aliases = list(dict.fromkeys([ALIAS, alias or ALIAS]))

    def send(client: Any) -> tuple[int, bool]:
        with mlflow_target(
            server.uri, experiment_id(client, config.mlflow, server.uri), {}
        ):  # so that MLflow shows the prompt in the configured experiment
            return _register(client, name, aliases)

    done = server.attempt(send)
    if done is None:
        raise InputError(
            f"the prompt cannot be registered: {server.down or 'mlflow.enabled is false'}; check mlflow.tracking_uri"
        )
    version, new = done
    line = f"prompts:/{name}/{version}, {'new' if new else 'unchanged'}; {', '.join(f'@{one}' for one in aliases)}"
    return CommandResult(
        lines=[line], more={"prompt": name, "version": version, "new": new, "aliases": aliases}
    )


def _register(client: Any, name: str, aliases: list[str]) -> tuple[int, bool]:
    template = [{"role": "system", "content": PACKAGED.text}, {"role": "user", "content": FRAME}]
    same = next((one for one in _versions(client, name) if one.template == template), None)
    made = same or client.register_prompt(name, template, commit_message=f"trackpools {__version__}")
    for alias in aliases:
        client.set_prompt_alias(name, alias, made.version)
    return int(made.version), same is None


def _versions(client: Any, name: str) -> list[Any]:
    """Return the latest hundred versions of a prompt; empty if there is no such prompt."""
    try:
        return list(client.search_prompt_versions(name))
    except Exception as error:
        if getattr(error, "error_code", None) in MISSING:
            return []
        raise


def show(config: Config) -> CommandResult:
    """Report the instructions that language models get at present, and their version."""
    chosen, why = instructions(config)
    return CommandResult(
        lines=[chosen.version, "", chosen.text],
        warnings=[why] if why else [],
        more={"instructions": chosen.version, "text": chosen.text},
    )
