"""Names without an event loop: looked up by the system, and dialled without one."""

from __future__ import annotations

import errno
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.listeners import LOOPBACK, listening, refusing

from aconnect import (
    ConnectError,
    ConnectTimeout,
    Dialer,
    Report,
    ResolveError,
    SystemResolver,
    blocking,
)
from aconnect.drivers import private_loop

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "db.example"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listening() as sock:
        yield sock


@pytest.fixture
def no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise AssertionError("an event loop was made")

    monkeypatch.setattr(private_loop, "PrivateLoop", refuse)


def answers(monkeypatch: pytest.MonkeyPatch, *hosts: str, after: Any = None) -> list[Any]:
    """Have getaddrinfo(3) know a name; what it was asked."""
    asked: list[Any] = []

    def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        asked.append((host, port))
        if after is not None:
            after()
        assert host == NAME
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in hosts]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.usefixtures("no_loop")
class TestWithoutALoop:
    def test_a_name(self, monkeypatch: pytest.MonkeyPatch, listener: socket.socket) -> None:
        asked = answers(monkeypatch, LOOPBACK)
        port = listener.getsockname()[1]
        with blocking.connect(NAME, port, timeout=60) as sock:
            assert sock.getpeername() == listener.getsockname()
        assert asked == [(NAME, port)]

    def test_the_first_address_refuses(
        self, monkeypatch: pytest.MonkeyPatch, listener: socket.socket
    ) -> None:
        answers(monkeypatch, "127.0.0.9", LOOPBACK)
        with blocking.connect(NAME, listener.getsockname()[1], timeout=60) as sock:
            assert sock.getpeername() == listener.getsockname()

    def test_all_addresses_refuse(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = answers(monkeypatch, LOOPBACK, "127.0.0.9")
        with refusing() as address, pytest.raises(ConnectionRefusedError) as caught:
            blocking.connect(NAME, address[1], timeout=60)
        error = caught.value
        assert isinstance(error, ConnectError)
        assert len(error.attempts) == 2
        assert len(asked) == 1
        assert error.report is not None
        [lookup] = error.report.resolutions
        assert lookup.outcome == "done"
        assert not lookup.remembered
        assert lookup.end is not None
        assert 0 <= lookup.start <= lookup.end <= error.attempts[0].start

    def test_a_report(self, monkeypatch: pytest.MonkeyPatch, listener: socket.socket) -> None:
        answers(monkeypatch, LOOPBACK)
        report = Report()
        blocking.connect(NAME, listener.getsockname()[1], report=report).close()
        [lookup] = report.resolutions
        assert (lookup.outcome, lookup.remembered) == ("done", False)
        assert report.winner is not None
        assert lookup.end is not None
        assert lookup.start <= lookup.end <= report.winner.start

    def test_the_time_is_up_in_the_lookup(self, monkeypatch: pytest.MonkeyPatch) -> None:
        released = threading.Event()
        answers(monkeypatch, LOOPBACK, after=lambda: released.wait(60))
        try:
            with pytest.raises(ConnectTimeout) as caught:
                blocking.connect(NAME, 1, timeout=0.05)
        finally:
            released.set()
        assert caught.value.phase == "resolve"
        assert caught.value.errno == errno.ETIMEDOUT
        assert caught.value.elapsed >= 0.05


def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "scripted")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(ResolveError) as caught:
        blocking.connect(NAME, 1, timeout=60)
    assert asked == [NAME]
    assert caught.value.errno == socket.EAI_NONAME
    assert caught.value.report is not None
    [lookup] = caught.value.report.resolutions
    assert lookup.outcome == "failed"


@pytest.mark.parametrize(
    ("raised", "code"),
    [(UnicodeError("label too long"), socket.EAI_NONAME), (None, socket.EAI_MEMORY)],
)
def test_a_lookup_that_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, raised: Exception | None, code: int
) -> None:
    def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        assert raised is not None
        raise raised

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    if raised is None:
        monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(ResolveError) as caught:
        blocking.connect(NAME, 1, timeout=60)
    assert caught.value.errno == code


def test_no_address_of_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """The race says so, and asks again for it: the lookup is over by then."""
    answers(monkeypatch, LOOPBACK)
    with pytest.raises(ConnectError, match="EAI_ADDRFAMILY"):
        blocking.connect(NAME, 1, timeout=60, family=socket.AF_INET6)


def test_other_resolvers_are_asked_as_ever(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    asked = answers(monkeypatch, LOOPBACK)
    apart = Dialer(resolver=SystemResolver(by_family=True))
    blocking.connect(NAME, listener.getsockname()[1], dialer=apart).close()
    assert len(asked) == 2


def test_an_interrupt_ends_the_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        signal.pthread_kill(main, signal.SIGINT)
        released.wait(60)

    answers(monkeypatch, LOOPBACK, after=interrupt)
    with pytest.raises(KeyboardInterrupt):
        blocking.connect(NAME, 1, timeout=60)
    released.set()
