"""Connect to Redis or Valkey; define the keys and the manifest by which readers find an export."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

from trackpools import optional_packages
from trackpools.config.fills import KvConfig
from trackpools.core.serving.user_record import FORMAT
from trackpools.errors import ConfigError
from trackpools.shell.resilience.timeout import CallTimedOut

# This Lua script sets the one key that readers follow. The value begins with the number of the release, and
# the script never replaces it by an older release, even if the export of an older release ends last.
SWITCH = """
local there = redis.call('GET', KEYS[1])
if there and tonumber(string.match(there, '^%d+')) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EXAT', ARGV[3])
return 1
"""


def library() -> ModuleType:
    """Import the package redis.

    Raises:
        ConfigError: if it is not installed.
    """
    return optional_packages.import_optional(
        "redis",
        "the package redis, which reads and writes Redis and Valkey, is missing; install it: pip install 'trackpools[kv]'",
    )


def redis_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that a client raises if the key-value store fails."""
    redis = library()
    return (OSError, redis.RedisError, redis.exceptions.RedisClusterException)


def timeouts() -> tuple[type[Exception], ...]:
    """Return the exceptions of a key-value store that does not answer in time.

    The client and `call_with_timeout` wait equally long, so either may give up first.
    """
    return (CallTimedOut, TimeoutError, library().exceptions.TimeoutError)


def client(config: KvConfig, seconds: float) -> Any:
    """Return a client that does not retry; it connects at its first command.

    Args:
        config: the configuration of the key-value store.
        seconds: how long the client waits for a connection and for each answer.

    Raises:
        ConfigError: if no address is set, the password's variable is empty, or the package is missing.
    """
    redis = library()
    if config.url is None:
        raise ConfigError(
            "no key-value store is set; set kv.url, such as --set kv.url=redis://127.0.0.1:6379/0"
        )
    password = os.environ.get(config.password_env or "", "") or None
    if config.password_env is not None and password is None:
        raise ConfigError(
            f"the environment variable {config.password_env} is not set; kv.password_env names it as the place of the password"
        )
    told = {
        "username": config.user,
        "password": password,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
    }
    kind = redis.RedisCluster if config.cluster else redis.Redis
    return kind.from_url(config.url, **told, retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0))


def current(config: KvConfig) -> str:
    """Return the key whose value, a manifest, says which export readers use."""
    return f"{config.prefix}:current"


@dataclass(frozen=True)
class Keys:
    """The keys that an export of one release writes; all begin with `prefix:release_id`."""

    prefix: str
    release_id: str

    def record(self, key: bytes) -> bytes:
        """Return the key of a user's record; `key` is the result of `user_record.record_key`."""
        return self._named("u").encode() + key

    def chunk(self, table: str, name: str) -> str:
        """Return the key of one chunk of a table."""
        return self._named(f"t:{table}:{name}")

    @property
    def schema(self) -> str:
        """The key of the Arrow schema of the records."""
        return self._named("schema")

    @property
    def done(self) -> str:
        """The key of a hash with the buckets and tables that are complete and the expiry of the export."""
        return self._named("done")

    def _named(self, what: str) -> str:
        return f"{self.prefix}:{self.release_id}:{what}:"


@dataclass(frozen=True)
class Manifest:
    """What an export contains.

    Attributes:
        format: the version of the format of records.
        seq: the number of the release.
        release_id: the id of the release.
        tables: name of the table → names of its chunks.
        rows: name of the table → number of its rows.
        users: the number of users, each with one record.
        size: the bytes of all records, without keys.
        expires_at: when the whole export expires, in seconds since 1970.
    """

    format: int
    seq: int
    release_id: str
    tables: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, int]
    users: int
    size: int
    expires_at: int

    def text(self) -> str:
        """Format the manifest as the value of the key `current`: the number of the release, then JSON."""
        return f"{self.seq} {json.dumps(asdict(self))}"

    @staticmethod
    def read(text: bytes | None) -> "Manifest | None":
        """Parse a manifest; return None if there is none, or if this version does not know its format."""
        if text is None:
            return None
        try:
            made = Manifest(**json.loads(text.partition(b" ")[2]))
        except (ValueError, TypeError):
            return None
        return made if made.format == FORMAT else None
