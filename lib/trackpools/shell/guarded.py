"""An HTTP transport for untrusted servers: no private addresses unless allowed, no body beyond a size or a deadline, nothing compressed.

Redirects are never followed, by the client that uses it: where one leads is an address that nobody has configured.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import httpcore2
import httpx2

UNTIL: ContextVar[float] = ContextVar(
    "until", default=float("inf")
)  # time.monotonic() at which a body is cut off
MOST_BYTES = 2_000_000


class Blocked(Exception):  # noqa: N818 - told on as what the model failed of
    """An address that may not be asked, or a body that may not be read."""


class PublicOnly(httpcore2.NetworkBackend):
    """Connects to the address that was checked, so that a name cannot mean another one a moment later."""

    def __init__(self, *, private: bool) -> None:
        self.private = private
        self._plain = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            found = {str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError("the host's name is not known") from error
        barred = [one for one in found if not self.private and not is_public(one)]
        if barred or not found:
            raise Blocked("the address is not public; llm.private allows it")
        return self._plain.connect_tcp(min(found), port, timeout, local_address, socket_options)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet: not loopback, link-local, private, shared or mapped to such a one."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    return found.is_global and not found.is_multicast and (mapped is None or mapped.is_global)


class _Capped(httpx2.SyncByteStream):
    """A body of so many bytes at most, read before the deadline."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self._most = stream, most

    def __iter__(self) -> Iterator[bytes]:
        read = 0
        for part in self._stream:
            read += len(part)
            if read > self._most:
                raise Blocked(f"the answer is larger than {self._most:,} bytes")
            if time.monotonic() > UNTIL.get():
                raise httpcore2.ReadTimeout("the answer takes longer than there is time")
            yield part

    def close(self) -> None:
        if hasattr(self._stream, "close"):
            self._stream.close()


class Guarded(httpx2.BaseTransport):
    """See the module."""

    def __init__(self, *, private: bool, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._pool = httpcore2.ConnectionPool(
            ssl_context=ssl.create_default_context(),
            network_backend=PublicOnly(private=private),
            max_connections=20,
            keepalive_expiry=30.0,
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        headers = [
            (name, value) for name, value in request.headers.raw if name.lower() != b"accept-encoding"
        ] + [(b"Accept-Encoding", b"identity")]
        answer = self._pool.handle_request(
            httpcore2.Request(
                method=request.method,
                url=url,
                headers=headers,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        if any(
            name.lower() == b"content-encoding" and value.strip().lower() != b"identity"
            for name, value in answer.headers
        ):
            answer.close()
            raise Blocked("the answer is compressed, which was not asked for")
        return httpx2.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Capped(answer.stream, self._most),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        self._pool.close()


def guarded_client(*, private: bool) -> httpx2.Client:
    """A client that follows no redirect and no proxy of the environment.

    Args:
        private: whether addresses that are not public may be asked.
    """
    return httpx2.Client(transport=Guarded(private=private), follow_redirects=False, trust_env=False)
