"""Names without an event loop: looked up by the system, and dialled without one."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from support.listeners import LOOPBACK, listening, refusing

from aconnect import (
    ConnectError,
    ConnectTimeout,
    Deadline,
    Dialer,
    Report,
    ResolveError,
    SystemResolver,
    blocking,
)
from aconnect.drivers import private_loop
from aconnect.drivers.threads import LOOKUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "db.example"
TIMEOUTS = [pytest.param(None, id="for ever"), pytest.param(60, id="60 s")]


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


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch, timeout: float | None) -> None:
    asked: list[Any] = []

    def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "scripted")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(ResolveError) as caught:
        blocking.connect(NAME, 1, timeout=timeout)
    assert asked == [NAME]
    assert caught.value.errno == socket.EAI_NONAME
    assert caught.value.report is not None
    [lookup] = caught.value.report.resolutions
    assert lookup.outcome == "failed"


TOO_LONG = UnicodeError("label too long")


@pytest.mark.parametrize(
    ("raised", "timeout", "code"),
    [
        (TOO_LONG, 60, socket.EAI_NONAME),
        (TOO_LONG, None, socket.EAI_NONAME),
        (None, 60, socket.EAI_MEMORY),
    ],
)
def test_a_lookup_that_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, raised: Exception | None, timeout: float | None, code: int
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
        blocking.connect(NAME, 1, timeout=timeout)
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


def test_the_calling_thread_looks_up_what_nothing_could_end_early(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    """And another does, where there is a deadline to keep to."""
    threads: list[int] = []
    answers(monkeypatch, LOOPBACK, after=lambda: threads.append(threading.get_ident()))
    port = listener.getsockname()[1]
    for limit in (
        {},
        {"timeout": 60},
        {"deadline": Deadline.after(60)},
        {"deadline": Deadline(inf)},
    ):
        blocking.connect(NAME, port, **limit).close()
    here = threading.get_ident()
    assert [each == here for each in threads] == [True, False, False, True]


def test_threads_that_look_up_by_themselves_do_not_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    together = threading.Barrier(8, timeout=60)
    asked = answers(monkeypatch, LOOPBACK, after=together.wait)
    assert in_threads(8, None, listener) == [listener.getsockname()] * 8
    assert len(asked) == 8


def test_threads_with_a_deadline_share_a_lookup(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    all_wait = threading.Event()
    waiting = threading.Semaphore(0)
    submit = LOOKUPS.submit

    def submitted(*arguments: Any) -> Any:
        job = submit(*arguments)
        waiting.release()
        return job

    def release() -> None:
        for _ in range(8):
            assert waiting.acquire(timeout=60)
        all_wait.set()

    monkeypatch.setattr(LOOKUPS, "submit", submitted)
    asked = answers(monkeypatch, LOOPBACK, after=lambda: all_wait.wait(60))
    releasing = threading.Thread(target=release)
    releasing.start()
    assert in_threads(8, 60, listener) == [listener.getsockname()] * 8
    releasing.join()
    assert len(asked) == 1


def in_threads(count: int, timeout: float | None, listener: socket.socket) -> list[Any]:
    """Connect to the name from as many threads; whom each has reached."""
    peers: list[Any] = []

    def call() -> None:
        with blocking.connect(NAME, listener.getsockname()[1], timeout=timeout) as sock:
            peers.append(sock.getpeername())

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return peers


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it is multi-threaded
@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_a_child_of_a_fork_looks_up(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket, timeout: float | None
) -> None:
    """The thread for lookups that rests in the parent is not there in the child."""
    answers(monkeypatch, LOOPBACK)
    port = listener.getsockname()[1]
    blocking.connect(NAME, port, timeout=60).close()
    child = os.fork()
    if not child:
        status = 1
        try:
            blocking.connect(NAME, port, timeout=timeout).close()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_an_interrupt_in_the_calling_thread(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    """It comes when getaddrinfo(3) returns, and nothing is connected to."""
    answers(monkeypatch, LOOPBACK, after=lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        blocking.connect(NAME, listener.getsockname()[1])
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


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
