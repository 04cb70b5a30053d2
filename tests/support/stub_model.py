"""A chat-completions endpoint on loopback that answers well or in any wrong way.

It uses real sockets and raw bytes.
"""

import contextlib
import json
import re
import socket
import socketserver
import struct
import threading
import time


def completion(text, **more):
    """Return the JSON body of a good answer with this text."""
    message = {"role": "assistant", "content": text} | more
    usage = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
    return json.dumps(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "stub",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }
    )


def http(status, body=b"", **headers):
    """Return a complete HTTP answer as bytes."""
    body = body.encode() if isinstance(body, str) else body
    told = {"Content-Type": "application/json", "Content-Length": len(body), "Connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return head.encode() + b"\r\n" + body


def says(text, **more):
    """Return a behaviour that answers every question with this text."""
    return lambda _: http(200, completion(text, **more))


def numbers(*chosen):
    return says(json.dumps({"tracks": list(chosen)}))


def shown(asked):
    """Return how many candidates a question shows."""
    return len(re.findall(r"(?m)^\d+ ", asked["messages"][1]["content"]))


def slowly(data, pause):
    """Return a behaviour that sends the bytes one by one."""

    def write(connection):
        for one in data:
            connection.sendall(bytes([one]))
            time.sleep(pause)

    return write


def reset(data):
    """Return a behaviour that sends the bytes and then resets the connection."""

    def write(connection):
        connection.sendall(data)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return write


def silent(_connection):
    """Send nothing until the other side gives up."""
    with contextlib.suppress(OSError):
        _connection.settimeout(30)
        _connection.recv(1)


class _Handler(socketserver.BaseRequestHandler):
    def handle(self):
        data = b""
        while b"\r\n\r\n" not in data:
            part = self.request.recv(65_536)
            if not part:
                return
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        while len(body) < length:
            body += self.request.recv(65_536)
        asked = json.loads(body)
        self.server.asked.append(asked)
        answer = self.server.behave(asked)
        with contextlib.suppress(OSError):
            if callable(answer):
                answer(self.request)
            else:
                self.request.sendall(answer)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextlib.contextmanager
def stub(behave):
    """Yield a server whose `behave` may be changed while it runs.

    `url` is its address, and `asked` holds the questions that it was asked.
    """
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.behave, server.asked = behave, []
        server.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
