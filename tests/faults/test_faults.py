"""The layer that has calls fail, and the runs under it: they notice what they are to notice."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import trio
from faults import running
from faults.judging import Matrix
from faults.running import LOOPS, When, runner_on
from faults.scenes import Scene
from faults.tables import BEGUN, FAILS, SAYS, faults_of, selection
from support.faults import Call, Fault, Faults, FaultyLoop, watch_trio

from aconnect import ConnectError
from aconnect.dial import primitives
from aconnect.drivers import threads as lookup_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.faults

EVERYWHERE = [*LOOPS, "trio"]


@pytest.fixture
def faults(monkeypatch: Any) -> Iterator[Faults]:
    faults = Faults()
    faults.install(monkeypatch)
    monkeypatch.setattr(socket, "socket", faults.socket)  # for the calls of these tests
    yield faults
    faults.end()


def fault(kind: str, number: int = 0, error: Any = errno.EIO, how: str = "fails") -> Fault:
    return Fault(Call(kind, number), error, how)


def test_calls_are_written_down_in_their_order(faults: Faults) -> None:
    faults.begin()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))
        sock.getsockname()
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        sock.connect_ex(sock.getsockname())
    assert [(call.kind, call.number, call.detail) for call in faults.calls] == [
        ("socket", 0, ""),
        ("ioctl", 0, ""),
        ("bind", 0, ""),
        ("setsockopt", 0, "SO_LINGER"),
        ("getsockname", 0, ""),
        ("getsockopt", 0, "SO_ERROR"),
        ("getsockname", 1, ""),
        ("connect", 0, "SOCK_STREAM"),
        ("close", 0, ""),
    ]


def test_only_the_named_call_fails(faults: Faults) -> None:
    faults.begin(fault("getsockname", 1, errno.ENOBUFS))
    with socket.socket() as sock:
        sock.getsockname()
        assert not faults.hit
        with pytest.raises(OSError, match="injected") as caught:
            sock.getsockname()
        assert caught.value.errno == errno.ENOBUFS
        assert faults.hit
        sock.getsockname()


def test_a_connect_that_fails_is_not_made_and_one_that_has_begun_is(faults: Faults) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        for how, made in [("fails", False), ("begun", True)]:
            for connect in ("connect_ex", "connect"):
                faults.begin(fault("connect", 0, errno.EINTR, how))
                with socket.socket() as sock:
                    if connect == "connect_ex":
                        assert sock.connect_ex(listener.getsockname()) == errno.EINTR
                    else:
                        with pytest.raises(InterruptedError):
                            sock.connect(listener.getsockname())
                    if made:
                        assert sock.getpeername() == listener.getsockname()
                    else:
                        with pytest.raises(OSError, match=r"not connected"):
                            sock.getpeername()
                faults.end()


def test_a_close_that_fails_has_closed(faults: Faults) -> None:
    faults.begin(fault("close"))
    sock = socket.socket()
    with pytest.raises(OSError, match="injected"):
        sock.close()
    assert sock.fileno() == -1
    assert [each.closes for each in faults.opened] == [1]
    sock.close()
    assert [call.kind for call in faults.calls] == ["socket", "close"]


def test_an_error_can_be_what_so_error_says(faults: Faults) -> None:
    faults.begin(fault("getsockopt", 0, errno.ECONNREFUSED, "says"))
    with socket.socket() as sock:
        for said in (errno.ECONNREFUSED, 0):
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == said


def test_a_socket_that_cannot_be_had_is_not_there(faults: Faults) -> None:
    faults.begin(fault("socket", 0, errno.EMFILE))
    with pytest.raises(OSError, match="injected"):
        socket.socket()
    assert not faults.opened


def test_nobody_elses_calls_count(faults: Faults) -> None:
    faults.begin()
    with faults.off(), socket.socket() as sock:
        sock.getsockname()
    for each in socket.socketpair():  # made from descriptors that were there before
        with each:
            each.getpeername()
    assert not faults.calls
    faults.end()
    with socket.socket() as sock:
        sock.getsockname()
    assert not faults.calls


def test_the_calls_that_its_repr_makes_do_not_count(faults: Faults) -> None:
    faults.begin(fault("getsockname"))
    with socket.socket() as sock:
        assert "laddr" in repr(sock)
    assert [call.kind for call in faults.calls] == ["socket", "close"]


def test_a_script_answers_the_first_calls_unless_a_fault_does(faults: Faults) -> None:
    faults.script = {"getpeername": [errno.ENOTCONN] * 2}
    faults.begin(fault("getpeername", 1, errno.EBADF))
    with socket.socket() as sock:
        for expected in (errno.ENOTCONN, errno.EBADF, errno.ENOTCONN):
            with pytest.raises(OSError, match=r".") as caught:
                sock.getpeername()
            assert caught.value.errno == expected


def test_names_files_polls_and_threads_fail(faults: Faults, tmp_path: Any) -> None:
    calls: list[tuple[str, Any, Callable[[], Any]]] = [
        ("getaddrinfo", socket.EAI_AGAIN, lambda: socket.getaddrinfo("db.example", 1)),
        ("open", errno.EMFILE, lambda: faults.system_calls.open(tmp_path, os.O_RDONLY)),
        ("poll", errno.ENOMEM, lambda: faults.system_calls.poll().poll(0)),
        ("fcntl", errno.EBADF, lambda: primitives.os.get_blocking(0)),
        ("clone", RuntimeError, lookup_threads.threading.Thread(target=int).start),
    ]
    threads = threading.active_count()  # those of others may end meanwhile
    for kind, error, call in calls:
        faults.begin(fault(kind, 0, error))
        with pytest.raises((OSError, RuntimeError), match="injected") as caught:
            call()
        assert faults.hit
        assert getattr(caught.value, "errno", RuntimeError) == error
    assert threading.active_count() <= threads


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_may_refuse_to_watch_a_socket(loop: str, faults: Faults) -> None:
    new_loop: Any = LOOPS[loop](faults)
    add_writer = new_loop.add_writer if loop != "no add_writer" else new_loop._add_writer
    with contextlib.closing(new_loop):
        faults.begin(fault("epoll_ctl", 0, errno.ENOSPC))
        with socket.socket() as sock:
            with pytest.raises(OSError, match="injected"):
                add_writer(sock, print)
            assert not new_loop.leftovers()
            add_writer(sock, print)
            assert new_loop.leftovers() == [f"writer of descriptor {sock.fileno()}"]
            new_loop._remove_writer(sock) if loop == "no add_writer" else new_loop.remove_writer(
                sock
            )
            assert not new_loop.leftovers()


def test_trio_may_refuse_to_watch_a_socket(faults: Faults) -> None:
    async def main() -> None:
        watch_trio(faults)
        faults.begin(fault("epoll_ctl", 0, errno.ENOSPC))
        with socket.socket() as sock:
            with pytest.raises(OSError, match="injected"):
                await trio.lowlevel.wait_writable(sock)
            await trio.lowlevel.wait_writable(sock)

    trio.run(main)


def test_every_number_has_its_name() -> None:
    for kind in FAILS:
        for each in faults_of(Call(kind, 3, "SO_ERROR" if kind == "getsockopt" else "")):
            assert f"#3 {each.how} {each.name}" in str(each)
    assert str(fault("getaddrinfo", 0, socket.EAI_AGAIN)) == "getaddrinfo #0 fails EAI_AGAIN"


def test_what_a_call_can_come_to() -> None:
    connect = faults_of(Call("connect", 0, "SOCK_STREAM"))
    assert len(connect) == len(FAILS["connect"]) + len(BEGUN)
    assert [each.how for each in connect].count("begun") == len(BEGUN)
    datagram = faults_of(Call("connect", 0, "SOCK_DGRAM"))
    assert {each.name for each in datagram if each.how == "fails"}.isdisjoint(BEGUN)
    so_error = faults_of(Call("getsockopt", 0, "SO_ERROR"))
    assert len(so_error) == len(FAILS["getsockopt"]) + len(SAYS)


def test_a_selection_has_each_kind_of_call() -> None:
    calls = [Call("socket", 0), Call("connect", 0), Call("connect", 1), Call("close", 0)]
    assert [str(each) for each in selection(calls)] == [
        "socket #0 fails EACCES",
        "connect #0 fails ECONNREFUSED",
        "connect #0 fails EAGAIN",
        "connect #0 begun EINTR",
        "close #0 fails EIO",
    ]


# What the runs notice: calls that do what aconnect must not.


@pytest.fixture
def wrong_of(monkeypatch: Any, tmp_path: Any) -> Iterator[Any]:
    """What is wrong with a call, under a fault of its getsockname() and maybe a cancellation."""
    with contextlib.ExitStack() as stack:

        def wrong_of(call: Any, loop: str, when: When | None = None, spare: bool = False) -> str:
            faults = Faults()
            with pytest.MonkeyPatch.context() as patch:
                scene = Scene(stack, faults, tmp_path, lambda scene: call)
                scene.spare = spare
                runner = runner_on(loop, scene)
                stack.callback(runner.close)
                faults.install(patch)
                patch.setattr(socket, "socket", faults.socket)
                matrix = Matrix(scene, runner)
                [found] = [call for call in matrix.calls if call.kind == "getsockname"]
                outcome = matrix.try_it(Fault(found, errno.ENOBUFS), when)
                return "; ".join(outcome.wrong)

        yield wrong_of


def refusal(error: OSError) -> ConnectError:
    return ConnectError(error.errno or 0, "refused")


@pytest.mark.parametrize("loop", EVERYWHERE)
def test_a_leak_is_noticed(loop: str, wrong_of: Any) -> None:
    async def leaks() -> None:
        sock = socket.socket()
        try:
            sock.getsockname()
        except OSError as error:
            raise refusal(error) from None
        sock.close()

    assert "still open: " in wrong_of(leaks, loop)


@pytest.mark.parametrize("loop", EVERYWHERE)
def test_a_bare_error_is_noticed(loop: str, wrong_of: Any) -> None:
    async def raises() -> None:
        with socket.socket() as sock:
            sock.getsockname()

    assert "raised OSError" in wrong_of(raises, loop)
    assert "one fault has spoilt it all" in wrong_of(raises, loop, spare=True)


@pytest.mark.parametrize("loop", EVERYWHERE)
def test_another_errno_is_noticed(loop: str, wrong_of: Any) -> None:
    async def misleads() -> None:
        with socket.socket() as sock:
            try:
                sock.getsockname()
            except OSError:
                raise ConnectError(errno.EPERM, "something else") from None

    assert "another errno" in wrong_of(misleads, loop)


@pytest.mark.parametrize("loop", EVERYWHERE)
def test_a_socket_that_is_closed_twice_is_noticed(loop: str, wrong_of: Any) -> None:
    async def closes_twice() -> None:
        sock = socket.socket()
        try:
            sock.getsockname()
        except OSError:
            sock.close()
        sock.close()

    assert "closed 2 times" in wrong_of(closes_twice, loop)


@pytest.mark.parametrize("loop", EVERYWHERE)
def test_a_socket_without_a_peer_is_noticed(loop: str, wrong_of: Any) -> None:
    async def pretends() -> Any:
        sock = socket.socket()
        try:
            sock.getsockname()
        except OSError:
            return sock
        sock.close()
        return None

    assert "not connected: " in wrong_of(pretends, loop)


@pytest.mark.parametrize("loop", EVERYWHERE)
def test_a_hang_is_noticed(loop: str, wrong_of: Any, monkeypatch: Any) -> None:
    async def hangs() -> None:
        with socket.socket() as sock:
            try:
                sock.getsockname()
            except OSError:
                await (trio.sleep_forever() if loop == "trio" else asyncio.Event().wait())

    monkeypatch.setattr(running, "PATIENCE", 0.05)
    assert "it hangs" in wrong_of(hangs, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_cancellation_that_is_lost_is_noticed(loop: str, wrong_of: Any) -> None:
    async def ignores() -> None:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.getsockname()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)

    assert "the cancellation was lost" in wrong_of(ignores, loop, When(0, after_fault=True))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_is_left_with_the_loop_is_noticed(loop: str, wrong_of: Any) -> None:
    tasks = []

    async def leaves() -> None:
        with socket.socket() as sock:
            try:
                sock.getsockname()
            except OSError:
                running_loop = asyncio.get_running_loop()
                tasks.append(running_loop.create_task(asyncio.sleep(0.05)))
                running_loop.call_soon(select.epoll, -2)

    said = wrong_of(leaves, loop)
    assert "left: <Task " in said
    assert "the loop was told: " in said


def test_a_call_that_is_not_made_is_noticed(monkeypatch: Any, tmp_path: Any) -> None:
    async def opens() -> None:
        socket.socket().close()

    faults = Faults()
    faults.install(monkeypatch)
    monkeypatch.setattr(socket, "socket", faults.socket)
    with contextlib.ExitStack() as stack:
        scene = Scene(stack, faults, tmp_path, lambda scene: opens)
        runner = runner_on("asyncio", scene)
        stack.callback(runner.close)
        matrix = Matrix(scene, runner)
        assert "not hit" in matrix.try_it(fault("bind")).wrong[0]
        assert matrix.ran == 0
        assert matrix.try_it(fault("socket")).wrong
        assert matrix.ran == 1


def test_a_loop_of_this_kind_is_one_of_asyncio(faults: Faults) -> None:
    with contextlib.closing(FaultyLoop(faults)) as loop:
        loop.run_until_complete(asyncio.sleep(0))
        loop.call_later(0.001, lambda: None)
        loop.pass_time()  # until the timer is due
        assert loop.leftovers()
