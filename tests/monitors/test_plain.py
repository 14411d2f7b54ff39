"""What is said of connections that fail: the system's words, no numbers, no names of Python."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
import trio

from emperor_trio.monitors._plain import explain, without_numbers


def wrap(inner: BaseException) -> OSError:
    outer = OSError("all attempts failed")
    outer.__cause__ = inner
    return outer


REFUSED = OSError(errno.ECONNREFUSED, "Error connecting to ('127.0.0.1', 1): Connection refused")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (REFUSED, "Connection refused"),
        (wrap(REFUSED), "Connection refused"),
        (wrap(ExceptionGroup("", [REFUSED, REFUSED, TimeoutError(errno.ETIMEDOUT, "x")])),
         "Connection refused; Connection timed out"),
        (socket.gaierror(-2, "Name or service not known"), "its name can't be resolved: Name or service not known"),
        (ssl.SSLError(1, "wrong version number"), "wrong version number"),
        (trio.BrokenResourceError(), "BrokenResourceError"),
        (OSError("[Errno 5] odd"), "odd"),
    ],
)  # fmt: skip
def test_words(error: BaseException, words: str) -> None:
    assert explain(error) == words


def test_numbers_are_taken_out() -> None:
    assert without_numbers("a: [Errno -2] Name; b: [Errno 111] Refused") == "a: Name; b: Refused"
