"""An HTTP client for untrusted servers.

It refuses addresses that are not public (unless they are allowed), bodies beyond a size or a deadline, and
compressed bodies. It follows no redirects, because they lead to addresses that nobody has configured.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore2
import httpx2

MAX_BODY_BYTES = 2_000_000


class BlockedRequest(Exception):  # noqa: N818 - reported as a reason why the model failed
    """Raised for a request to an address that is not allowed, and for a body that must not be read."""


class PublicOnly(httpcore2.NetworkBackend):
    """A network backend that connects only to IP addresses that it checked.

    It connects to the checked address and not to the host name, because the name could resolve to another
    address a moment later.
    """

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
            raise httpcore2.ConnectError("the host name cannot be resolved") from error
        barred = [one for one in found if not self.private and not is_public(one)]
        if barred or not found:
            raise BlockedRequest("the address is not public; set llm.private to allow it")
        return self._plain.connect_tcp(min(found), port, timeout, local_address, socket_options)


def is_public(address: str) -> bool:
    """Whether an IP address is public.

    A public address is not loopback, link-local, private, shared or multicast, and not an IPv6 form of such an
    IPv4 address.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    return found.is_global and not found.is_multicast and (mapped is None or mapped.is_global)


class _Capped(httpx2.SyncByteStream):
    """A body whose reading raises an error beyond a number of bytes or a deadline.

    Args:
        stream: the body.
        most: greatest number of bytes of the body.
        until: the deadline, in seconds of time.monotonic().
    """

    def __init__(self, stream: Any, most: int, until: float) -> None:
        self._stream, self._most, self._until = stream, most, until

    def __iter__(self) -> Iterator[bytes]:
        read = 0
        for part in self._stream:
            read += len(part)
            if read > self._most:
                raise BlockedRequest(f"the answer is larger than {self._most:,} bytes")
            if time.monotonic() > self._until:
                raise httpcore2.ReadTimeout("the answer did not end in time")
            yield part

    def close(self) -> None:
        if hasattr(self._stream, "close"):
            self._stream.close()


class Guarded(httpx2.BaseTransport):
    """A transport with the checks of this module.

    The read timeout of a request limits the time for each part of the answer's body, as usual, and also the
    time for the whole body.
    """

    def __init__(self, *, private: bool, most_bytes: int = MAX_BODY_BYTES) -> None:
        self._most = most_bytes
        self._pool = httpcore2.ConnectionPool(
            ssl_context=ssl.create_default_context(),
            network_backend=PublicOnly(private=private),
            max_connections=20,
            keepalive_expiry=30.0,
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        wait = request.extensions.get("timeout", {}).get("read")
        until = float("inf") if wait is None else time.monotonic() + wait
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
            raise BlockedRequest("the answer is compressed, although compression was not requested")
        body = _Capped(answer.stream, self._most, until)
        return httpx2.Response(
            status_code=answer.status, headers=answer.headers, stream=body, extensions=answer.extensions
        )

    def close(self) -> None:
        self._pool.close()


def guarded_client(*, private: bool) -> httpx2.Client:
    """Return a client that follows no redirects and uses no proxy of the environment.

    Args:
        private: whether addresses that are not public are allowed.
    """
    return httpx2.Client(transport=Guarded(private=private), follow_redirects=False, trust_env=False)
