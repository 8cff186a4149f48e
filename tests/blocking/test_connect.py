"""connect() and create_connection() without an event loop."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from support.clients import dead_addresses_first
from support.listeners import listening, refusing, silent, unix_full, unix_listening
from support.programs import free_port

import aconnect
from aconnect import (
    AddressNotPermitted,
    Batch,
    ConnectError,
    ConnectTimeout,
    Deadline,
    Dialer,
    Report,
    ResolveError,
    StaticResolver,
    TCPAddress,
    blocking,
)
from aconnect.blocking import calls
from aconnect.drivers import private_loop
from aconnect.policy import public_only

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAME = "server.example"
HERE = Dialer(resolver=StaticResolver({NAME: ["127.0.0.1"]}))


@pytest.fixture
def no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """No event loop can be made."""

    def refuse() -> Any:
        raise AssertionError("a loop was made")

    monkeypatch.setattr(private_loop, "PrivateLoop", refuse)


def talks(sock: socket.socket, listener: socket.socket) -> bool:
    peer, _ = listener.accept()
    with peer:
        peer.sendall(b"hello")
        return sock.recv(5) == b"hello"


# One literal address: no loop


@pytest.mark.usefixtures("no_loop")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_literal_address_takes_no_loop(host: str) -> None:
    with listening(host) as listener:
        port = listener.getsockname()[1]
        with blocking.connect((host, port)) as sock:
            assert sock.getpeername()[:2] == (host, port)
            assert sock.gettimeout() is None
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not sock.get_inheritable()
            assert talks(sock, listener)


@pytest.mark.usefixtures("no_loop")
def test_a_port_of_its_own() -> None:
    with listening() as listener:
        blocking.connect("127.0.0.1", listener.getsockname()[1]).close()


@pytest.mark.usefixtures("no_loop")
def test_a_refusal() -> None:
    with refusing() as address, pytest.raises(ConnectionRefusedError) as caught:
        blocking.connect(address)
    error: Any = caught.value
    assert [record.outcome for record in error.attempts] == ["failed"]
    assert error.report.outcome == "failed"


@pytest.mark.usefixtures("no_loop")
@pytest.mark.parametrize(
    "limit", [{"timeout": 0.05}, {"deadline": 0.05}, {"attempt_timeout": 0.05}]
)
def test_an_address_that_is_silent(limit: dict[str, Any]) -> None:
    if "deadline" in limit:
        limit = {"deadline": Deadline.after(limit["deadline"])}
    with silent() as address, pytest.raises(ConnectTimeout) as caught:
        blocking.connect(address, **limit)
    assert [record.outcome for record in caught.value.attempts] == ["timed out"]


@pytest.mark.slow
@pytest.mark.usefixtures("no_loop")
def test_what_takes_a_while() -> None:
    """The kernel of the peer drops the first SYN, and the second comes a second later."""
    with listening(backlog=0) as listener, ExitStack() as stack:
        stack.enter_context(socket.create_connection(listener.getsockname()))
        accepting = threading.Timer(0.05, lambda: listener.accept()[0].close())
        accepting.start()
        started = time.monotonic()
        with blocking.connect(listener.getsockname(), timeout=30) as sock:
            assert sock.getpeername() == listener.getsockname()
        assert time.monotonic() - started < 29
        accepting.join()


@pytest.mark.usefixtures("no_loop")
def test_unix_sockets(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with unix_listening(path) as listener, blocking.connect(path) as sock:
        assert talks(sock, listener)
    with pytest.raises(FileNotFoundError):
        blocking.connect(tmp_path / "nothing")


@pytest.mark.usefixtures("no_loop")
def test_a_full_backlog_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with unix_full(path) as listener:
        with pytest.raises(ConnectTimeout) as caught:
            blocking.connect(path, timeout=0.02)
        assert caught.value.attempts[0].errno == errno.EAGAIN
        listener.accept()[0].close()
        blocking.connect(path, timeout=10).close()


@pytest.mark.usefixtures("no_loop")
def test_udp() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with blocking.connect(f"udp://127.0.0.1:{port}") as sock:
            sock.send(b"x")
            assert bound.recv(1) == b"x"


@pytest.mark.usefixtures("no_loop")
def test_several_literal_addresses_race_without_a_loop() -> None:
    with silent() as dead, listening("127.0.0.2") as listener:
        addresses = [dead, listener.getsockname()]
        with blocking.connect(addresses, attempt_delay=0.01) as sock:
            assert sock.getpeername() == listener.getsockname()


@pytest.mark.usefixtures("no_loop")
def test_the_timeout_is_that_of_the_socket() -> None:
    with listening() as listener:
        for timeout in (None, 7.5):
            with blocking.connect(listener.getsockname(), timeout=timeout) as sock:
                assert sock.gettimeout() == timeout
        with blocking.connect(listener.getsockname(), deadline=Deadline.after(9)) as sock:
            assert sock.gettimeout() is None


@pytest.mark.usefixtures("no_loop")
def test_a_hook_and_a_trace() -> None:
    hooked: list[Any] = []
    told: list[Any] = []
    reports: list[Report] = []
    dialer = Dialer(
        on_socket=lambda *given: hooked.append(given), trace=told.append, on_report=reports.append
    )
    with listening() as listener, blocking.connect(listener.getsockname(), dialer=dialer) as sock:
        assert hooked[0][0] is sock
    assert [report.outcome for report in reports] == ["connected"]
    assert len(told) == 4


@pytest.mark.usefixtures("no_loop")
def test_bad_arguments() -> None:
    for arguments, kind in [
        ({"address": 7}, TypeError),
        ({"address": "127.0.0.1"}, ValueError),
        ({"address": "127.0.0.1:1", "timeout": -1}, ValueError),
        ({"address": "127.0.0.1:1", "deadline": 5}, TypeError),
        ({"address": "127.0.0.1:1", "dialer": 5}, TypeError),
        ({"address": "127.0.0.1:1", "attempt_delay": "x"}, TypeError),
        ({"address": "127.0.0.1:1", "happy_eyeballs_delay": 1}, TypeError),
    ]:
        with pytest.raises(kind):
            blocking.connect(**arguments)  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_loop")
def test_the_socket_is_closed_if_it_cannot_have_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[socket.socket] = []

    class Odd(socket.socket):
        def settimeout(self, value: float | None) -> None:
            raise OSError(errno.EIO, "no")

    def factory(endpoint: Any) -> socket.socket:
        opened.append(Odd(endpoint.family, endpoint.type, endpoint.proto))
        opened[-1].setblocking(False)
        return opened[-1]

    with listening() as listener, pytest.raises(OSError, match="no"):
        blocking.connect(listener.getsockname(), socket_factory=factory)
    assert opened[0].fileno() < 0


def test_a_dial_that_suspends_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        calls._run(asyncio.sleep(0))


# What takes tasks: the thread's own loop


def test_a_name() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        with blocking.connect((NAME, port), dialer=HERE) as sock:
            assert talks(sock, listener)
        with blocking.connect(("localhost", port), family=socket.AF_INET) as sock:
            assert sock.getpeername()[1] == port


def test_a_name_that_is_not_known() -> None:
    with pytest.raises(ResolveError) as caught:
        blocking.connect(("other.example", 1), dialer=HERE)
    assert isinstance(caught.value, socket.gaierror)


def test_dead_addresses_first() -> None:
    port = free_port()
    with listening(port=port), dead_addresses_first(NAME, port) as resolver:
        dialer = Dialer(resolver=resolver, attempt_delay=0.01)
        with blocking.connect((NAME, port), dialer=dialer) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)


def test_the_deadline_covers_the_lookup() -> None:
    class Silent:
        async def resolve(self, address: Any) -> AsyncIterator[Batch]:
            await asyncio.Event().wait()
            yield Batch([])

    with pytest.raises(ConnectTimeout) as caught:
        blocking.connect((NAME, 1), timeout=0.02, resolver=Silent())
    assert caught.value.phase == "resolve"


def test_a_policy() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        for address in [("127.0.0.1", port), (NAME, port)]:
            with pytest.raises(AddressNotPermitted):
                blocking.connect(address, dialer=HERE, permit=public_only())
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_hook_that_is_asynchronous() -> None:
    async def hook(sock: socket.socket, endpoint: Any) -> None:
        await asyncio.sleep(0)
        hooked.append(endpoint)

    hooked: list[Any] = []
    with silent() as dead, listening("127.0.0.2") as listener:
        addresses = [dead, listener.getsockname()]
        with blocking.connect(addresses, on_socket=hook, attempt_delay=0.01) as sock:
            assert sock.getpeername() == listener.getsockname()
    assert [endpoint.sockaddr for endpoint in hooked] == addresses


def test_a_hook_that_takes_its_time_to_clean_up_is_waited_for() -> None:
    """Nobody would run it later."""
    done: list[str] = []

    async def hook(sock: socket.socket, endpoint: Any) -> None:
        if endpoint.sockaddr[0] == "127.0.0.3":
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.1)
                done.append("cleaned up")

    with listening() as listener:
        addresses = [("127.0.0.3", 1), listener.getsockname()]
        blocking.connect(addresses, on_socket=hook, attempt_delay=0.01).close()
    assert done == ["cleaned up"]


def test_the_loop_is_kept_and_is_nobodys_running_loop() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        blocking.connect((NAME, port), dialer=HERE).close()
        kept = private_loop.private_loop()
        blocking.connect((NAME, port), dialer=HERE).close()
        assert private_loop.private_loop() is kept
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        blocking.connect(listener.getsockname()).close()
        assert asyncio.run(self_made()) == "run"


async def self_made() -> str:
    return "run"


# Where an event loop runs


async def calls_it() -> str:
    with pytest.raises(RuntimeError, match=r"await aconnect\(\)") as caught:
        blocking.connect("127.0.0.1:1")
    return str(caught.value)


@pytest.mark.anyio
async def test_a_running_loop_is_not_held_up(anyio_backend: Any) -> None:
    assert "another thread" in await calls_it()


def test_another_thread_may_call_it() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]

        async def main() -> Any:
            sock = await asyncio.to_thread(blocking.connect, (NAME, port), dialer=HERE)
            with sock:
                return sock.getpeername()

        assert asyncio.run(main()) == ("127.0.0.1", port)


# Threads and forks


def test_many_threads_at_once() -> None:
    """They do not wait for each other: all wait for one event, in a hook."""
    together = threading.Barrier(8, timeout=30)
    found: list[Any] = []

    def hook(sock: socket.socket, endpoint: Any) -> None:
        together.wait()

    dialer = HERE.replace(on_socket=hook)

    def call(port: int) -> None:
        for _ in range(5):
            with blocking.connect((NAME, port), dialer=dialer) as sock:
                found.append(sock.getpeername())

    with listening() as listener:
        port = listener.getsockname()[1]
        threads = [threading.Thread(target=call, args=(port,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [("127.0.0.1", port)] * 40


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it is multi-threaded
def test_a_child_of_a_fork_makes_a_loop_of_its_own() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        blocking.connect((NAME, port), dialer=HERE).close()
        kept = private_loop.private_loop()
        child = os.fork()
        if not child:
            status = 1
            try:
                blocking.connect((NAME, port), dialer=HERE).close()
                status = 0 if private_loop.private_loop() is not kept else 2
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert private_loop.private_loop() is kept
        blocking.connect((NAME, port), dialer=HERE).close()


# create_connection()


def test_create_connection_is_like_that_of_socket() -> None:
    with listening() as listener:
        address = listener.getsockname()
        with blocking.create_connection(address, 5, ("127.0.0.3", 0)) as sock:
            assert sock.getsockname()[0] == "127.0.0.3"
            assert sock.gettimeout() == 5
        with blocking.create_connection(address, timeout=None) as sock:
            assert sock.gettimeout() is None


@pytest.mark.parametrize("default", [None, 12.5])
def test_the_default_timeout(default: float | None) -> None:
    before = socket.getdefaulttimeout()
    with listening() as listener:
        socket.setdefaulttimeout(default)
        try:
            for arguments in ((), (socket._GLOBAL_DEFAULT_TIMEOUT,)):  # type: ignore[attr-defined]
                with blocking.create_connection(listener.getsockname(), *arguments) as sock:
                    assert sock.gettimeout() == default
        finally:
            socket.setdefaulttimeout(before)


def test_all_errors() -> None:
    with refusing() as one, refusing("127.0.0.2") as other:
        for addresses in ([one], [one, other]):
            with pytest.raises(ExceptionGroup, match="create_connection failed") as caught:
                blocking.create_connection(addresses, all_errors=True)
            found = [each.attempts[0].sockaddr for each in caught.value.exceptions]  # type: ignore[attr-defined]
            assert found == addresses
        with pytest.raises(ConnectError):
            blocking.create_connection([one, other])
    with pytest.raises(ResolveError):
        blocking.create_connection(("other.example", 1), dialer=HERE, all_errors=True)


def test_no_host_is_this_machine() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        with blocking.create_connection((None, port)) as sock:  # type: ignore[arg-type]
            assert sock.getpeername() == ("127.0.0.1", port)


def test_a_report_is_filled() -> None:
    with listening() as listener:
        report = Report()
        blocking.connect(listener.getsockname(), report=report).close()
        assert report.outcome == "connected"
        report = Report()
        port = listener.getsockname()[1]
        blocking.create_connection((NAME, port), dialer=HERE, report=report).close()
        assert report.outcome == "connected"


def test_create_connection_is_for_streams() -> None:
    with pytest.raises(ValueError, match=r"create_connection\(\) needs the address of a SOCK_ST"):
        blocking.create_connection("udp://127.0.0.1:1")
    with pytest.raises(TypeError, match="local_addr"):
        blocking.create_connection("127.0.0.1:1", 1, "x", local_address="y")
    with pytest.raises(TypeError, match="did you mean 'attempt_delay'"):
        blocking.create_connection("127.0.0.1:1", happy_eyeballs_delay=1)  # type: ignore[call-arg]


def test_it_can_stand_for_that_of_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    import http.client

    monkeypatch.setattr(socket, "create_connection", blocking.create_connection)
    with listening() as listener:
        client = http.client.HTTPConnection(*listener.getsockname())
        client.connect()
        client.close()
    assert TCPAddress("a.example", 1)  # what is public is as it was
    assert aconnect.blocking is blocking
