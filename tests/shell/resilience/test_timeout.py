"""Tests of calls with a time limit."""

import contextvars
import socket
import threading
import time

import pytest

from trackpools.shell.resilience.timeout import CallTimedOut, call_with_timeout
from trackpools.shell.tracking import mlflow_server

WHO = contextvars.ContextVar("WHO", default="nobody")


def test_the_result_or_error_of_a_call_is_passed_on():
    assert call_with_timeout(5, lambda: 7) == 7
    assert call_with_timeout(5, lambda: None) is None
    with pytest.raises(KeyError, match="no such"):
        call_with_timeout(5, lambda: {}["no such"])


def test_a_call_that_is_late_is_left_behind_and_keeps_no_process_alive():
    ended = threading.Event()
    began = time.monotonic()
    with pytest.raises(CallTimedOut):
        call_with_timeout(0.1, lambda: ended.wait(30))
    assert time.monotonic() - began < 5
    (left,) = [
        one for one in threading.enumerate() if one.daemon and one.name.startswith("call_with_timeout")
    ]
    ended.set()
    left.join(5)
    assert not left.is_alive()


def test_a_call_sees_the_context_of_its_caller():
    before = WHO.set("me")
    assert call_with_timeout(5, WHO.get) == "me"
    WHO.reset(before)


def serve_once(answer):
    """Return the address of a socket that answers one connection with these bytes."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listening, listening.accept()[0] as connection:
            connection.recv(65_536)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_does_not_speak_http_is_out_of_reach_with_the_reason(capsys):
    """Check the message: it once said that the server did not answer, with a traceback on stderr."""
    assert "SSH" in mlflow_server.probe(serve_once(b"SSH-2.0-OpenSSH_9.6\r\n"), 5)
    assert capsys.readouterr().err == ""


def test_a_server_with_any_http_answer_is_reachable():
    assert mlflow_server.probe(serve_once(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), 5) is None
    assert mlflow_server.probe("sqlite:///any.db", 5) is None


def test_a_server_that_is_silent_is_waited_for_no_longer_than_said():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert mlflow_server.probe(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.3)
        assert time.monotonic() - began < 3
