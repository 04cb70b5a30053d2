"""Redis or Valkey: the connection, the names of keys, and the manifest by which readers find an export."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trackpools import extras
from trackpools.config_kv import KvConfig
from trackpools.core.known import FORMAT
from trackpools.errors import ConfigError

# the one key that readers follow goes to what is newer and never back, whoever comes last: its value begins with the number of the release
SWITCH = """
local there = redis.call('GET', KEYS[1])
if there and tonumber(string.match(there, '^%d+')) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EXAT', ARGV[3])
return 1
"""


def library() -> Any:
    """The package redis.

    Raises:
        ConfigError: where it is not installed.
    """
    return extras.library(
        "redis", "Redis and Valkey are asked by the package redis; install it: pip install 'trackpools[kv]'"
    )


def trouble() -> tuple[type[Exception], ...]:
    """What a store that does not do as asked raises."""
    redis = library()
    return (OSError, redis.RedisError, redis.exceptions.RedisClusterException)


def client(config: KvConfig, seconds: float) -> Any:
    """A client that waits so long for an answer, and tries nothing twice. It connects when first asked.

    Raises:
        ConfigError: where no address is set, the password's variable is empty, or the package is missing.
    """
    redis = library()
    if config.url is None:
        raise ConfigError(
            "no key-value store is set; set kv.url, such as --set kv.url=redis://127.0.0.1:6379/0"
        )
    password = os.environ.get(config.password_env or "", "") or None
    if config.password_env is not None and password is None:
        raise ConfigError(
            f"the environment has no {config.password_env}, which kv.password_env names as the password's place"
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
    """The key that readers follow."""
    return f"{config.prefix}:current"


@dataclass(frozen=True)
class Keys:
    """Names of what an export of a release writes."""

    prefix: str
    release_id: str

    def record(self, key: bytes) -> bytes:
        """Of a listener, see `known.key_of`."""
        return self._named("u").encode() + key

    def chunk(self, table: str, name: str) -> str:
        """A part of a table."""
        return self._named(f"t:{table}:{name}")

    @property
    def schema(self) -> str:
        """Of records."""
        return self._named("schema")

    @property
    def done(self) -> str:
        """Buckets and tables that are whole, and when all of it expires."""
        return self._named("done")

    def _named(self, what: str) -> str:
        return f"{self.prefix}:{self.release_id}:{what}:"


@dataclass(frozen=True)
class Manifest:
    """What is exported.

    Attributes:
        tables: names of the chunks of each.
        rows: of each table.
        users, size: records and the bytes they take, without keys.
        expires_at: seconds since 1970, of all of it.
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
        """As the key `current` holds it."""
        return f"{self.seq} {json.dumps(asdict(self))}"

    @staticmethod
    def read(text: bytes | None) -> "Manifest | None":
        """The same back; None where there is none, or one that this version does not know."""
        if text is None:
            return None
        try:
            made = Manifest(**json.loads(text.partition(b" ")[2]))
        except (ValueError, TypeError):
            return None
        return made if made.format == FORMAT else None
