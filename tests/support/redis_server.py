"""A Redis server from Debian's package, on a socket or a port of this test's own."""

import contextlib
import shutil
import socket
import subprocess
import time

import pytest
import redis

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
MISSING = "no redis-server; on Debian type: apt-get install -y redis-server"


@contextlib.contextmanager
def redis_server(folder, *more, port=0):
    """Yield the address of a server that ends with the block, and its process."""
    if SERVER is None:
        pytest.skip(MISSING)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "s"
    command = [
        SERVER,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--unixsocket",
        path,
        "--dir",
        folder,
        "--save",
        "",
        "--appendonly",
        "no",
        *more,
    ]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while not answers(path):
            assert process.poll() is None, "redis-server ended"
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.05)
        yield f"unix://{path}", process
    finally:
        process.kill()
        process.wait()


def answers(path):
    try:
        return redis.Redis(unix_socket_path=str(path)).ping()
    except redis.AuthenticationError:
        return True
    except (OSError, redis.RedisError):
        return False


def free_port(most=55_000):
    """Return a free port of at most `most`; a Redis cluster also uses the port 10,000 above it."""
    while True:
        with socket.socket() as some:
            some.bind(("127.0.0.1", 0))
            port = some.getsockname()[1]
        if port <= most:
            return port
