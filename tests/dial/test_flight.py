"""What the parts of a race do by themselves: what a handshake gave, and what an error says."""

from __future__ import annotations

import errno
import gc
import socket
import ssl
import sys
from typing import Any

import pytest

from aconnect import HandshakeError
from aconnect.dial.flight import dispose
from aconnect.errors.foreign import has_errno, words


class Result:
    """What a handshake may give; it knows how often it was closed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.closes = 0

    def close(self) -> None:
        self.closes += 1
        if self.error is not None:
            raise self.error


class Later(Result):
    """One whose close() is a coroutine function."""

    begun = False

    async def close(self) -> None:  # type: ignore[override]  # what people do
        self.begun = True


class Closable:
    """One with a close that is no method."""

    def __init__(self, close: Any) -> None:
        self.close = close


class TestDispose:
    def test_it_is_closed_once(self) -> None:
        result = Result()
        dispose(result)
        assert result.closes == 1

    @pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), ValueError("own bug")])
    def test_what_close_raises_is_nobodys_business(self, error: Exception) -> None:
        result = Result(error)
        dispose(result)
        assert result.closes == 1

    def test_a_coroutine_is_not_left_behind(self) -> None:
        """It would be complained of as never awaited, which is an error here."""
        result = Later()
        dispose(result)
        gc.collect()
        assert not result.begun

    @pytest.mark.parametrize("result", [None, 5, "text", object(), Closable(5), Closable(None)])
    def test_what_cannot_be_closed_is_left_alone(self, result: Any) -> None:
        dispose(result)

    def test_what_close_returns_is_left_alone(self) -> None:
        given: list[Any] = []
        dispose(Closable(lambda: given))
        assert given == []

    def test_a_socket(self) -> None:
        sock = socket.socket()
        dispose(sock)
        assert sock.fileno() == -1


class TestHasErrno:
    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (OSError(errno.ECONNRESET, "reset"), True),
            (ConnectionResetError(errno.ECONNRESET, "reset"), True),
            (OSError("no number"), False),
            (OSError(), False),
            (OSError(0, "nothing"), False),
            (ConnectionResetError(), False),
            (ValueError(5, "no OSError"), False),
            (ssl.SSLError(1, "OpenSSL's"), False),
            (ssl.SSLEOFError(8, "OpenSSL's"), False),
            (ssl.SSLCertVerificationError(1, "OpenSSL's"), False),
            (HandshakeError(errno.EPROTO, "ours", cause=ssl.SSLError(1, "OpenSSL's")), True),
        ],
        ids=repr,
    )
    def test_whether_it_is_the_systems(self, error: Exception, expected: bool) -> None:
        assert has_errno(error) is expected

    def test_without_ssl_there_is_no_error_of_ssl(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "ssl")
        assert has_errno(OSError(errno.EPERM, "no"))
        assert not has_errno(OSError("no number"))
        assert "ssl" not in sys.modules


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EIO, "broken"), "broken"),
        (OSError("no number"), "no number"),
        (ssl.SSLError(1, "bad certificate"), "bad certificate"),
        (ValueError("not this one"), "not this one"),
        (EOFError(), "EOFError"),
        (ValueError(""), "ValueError"),
        (KeyError("key"), "'key'"),
    ],
    ids=repr,
)
def test_what_an_error_says(error: Exception, text: str) -> None:
    assert words(error) == text
