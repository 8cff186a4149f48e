"""The three drivers, each on every loop that it is for: they wait, and leave nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import math
import os
import socket
import threading
import time
import weakref
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import uvloop
from conftest import LOOPS
from support.listeners import LOOPBACK, listening, refusing, silent
from support.loops import NoWriterLoop
from support.stepping import CountingLoop

from aconnect.drivers import asyncio_selector
from aconnect.drivers.anyio_generic import AnyioDriver
from aconnect.drivers.asyncio_proactor import AsyncioProactorDriver
from aconnect.drivers.asyncio_selector import AsyncioSelectorDriver
from aconnect.drivers.asyncio_watch import wake
from aconnect.drivers.base import DialDriver, Driver
from aconnect.drivers.threads import LOOKUPS
from aconnect.testing.pairs import empty, fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.anyio


EVERY_PAIR = [
    pytest.param((loop.values[0], kind), id=f"{loop.id}-{kind.__name__}")
    for loop in LOOPS
    for kind in (AnyioDriver, AsyncioSelectorDriver, AsyncioProactorDriver)
    if loop.id != "trio" or kind is AnyioDriver
]
WATCHING = [pair for pair in EVERY_PAIR if pair.values[0][1] is not AsyncioProactorDriver]
NATIVE = [pair for pair in EVERY_PAIR if pair.values[0][1] is AsyncioSelectorDriver]
ON_ASYNCIO = [pair for pair in NATIVE if "use_uvloop" not in pair.values[0][0][1]]
ON_TRIO = [pair for pair in EVERY_PAIR if pair.values[0][0][0] == "trio"]

watching = pytest.mark.parametrize("pair", WATCHING, indirect=True)
"""The drivers that have the event loop watch a socket."""


@pytest.fixture(params=EVERY_PAIR)
def pair(request: pytest.FixtureRequest) -> Any:
    """A loop, and a driver that works on it."""
    return request.param


@pytest.fixture
def anyio_backend(pair: Any) -> Any:
    return pair[0]


@pytest.fixture
def driver(pair: Any) -> Any:
    return pair[1]()


def soon(seconds: float = 0.02) -> float:
    return time.monotonic() + seconds


def pending(address: Any) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    assert sock.connect_ex(address) == errno.EINPROGRESS
    return sock


def full_pair(number: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection, of which the first is not writable.

    Args:
        number: the descriptor that the first is to have; one that is closed.
    """
    near, far = socket.socketpair()
    if far.fileno() == number:
        near, far = far, near
    if number is not None and near.fileno() != number:
        os.dup2(near.fileno(), number)
        near.close()
        near = socket.socket(fileno=number)
    near.setblocking(False)
    far.setblocking(False)
    fill(near)
    return near, far


def test_every_driver_has_what_a_driver_has() -> None:
    both = {**vars(DialDriver), **vars(Driver)}
    members = {name for name in both if not name.startswith("_")}
    assert members == {
        "completes", "checkpoint", "wait_writable", "sock_connect", "sleep_until", "run_blocking",
        "start_blocking", "wait_readable", "converse", "watch",
    }  # fmt: skip
    for kind in (AnyioDriver, AsyncioSelectorDriver, AsyncioProactorDriver):
        assert members <= set(dir(kind()))


class TestWaitReadable:
    async def test_those_with_something_to_read_are_named(self, driver: Any) -> None:
        with connected_pair() as (one, peer), connected_pair() as (other, other_peer):
            peer.send(b"x")
            assert await driver.wait_readable([other, one], math.inf) == [one]
            other_peer.close()
            assert set(await driver.wait_readable([other, one], soon(30))) == {one, other}

    async def test_what_comes_while_it_waits(self, driver: Any) -> None:
        with connected_pair() as (one, peer), connected_pair() as (other, _):
            async with anyio.create_task_group() as group:

                async def send() -> None:
                    await anyio.wait_all_tasks_blocked()
                    peer.send(b"x")

                group.start_soon(send)
                assert await driver.wait_readable([one, other], math.inf) == [one]

    async def test_those_that_take_something(self, driver: Any) -> None:
        with connected_pair() as (one, _), connected_pair() as (other, _):
            assert await driver.wait_readable([one], math.inf, writable=[other]) == [other]
            assert await driver.wait_readable([], math.inf, writable=[other]) == [other]

    async def test_a_moment(self, driver: Any) -> None:
        with connected_pair() as (one, _):
            for until in (soon(), time.monotonic() - 1):
                assert await driver.wait_readable([one], until) == []
            assert time.monotonic() >= until

    @pytest.mark.parametrize("pair", NATIVE, indirect=True)
    @pytest.mark.parametrize("writes", [False, True])
    async def test_a_number_that_was_closed_without_a_word(
        self, driver: Any, writes: bool
    ) -> None:
        """Its registration is not taken for that of the next socket with the number."""
        async with taken_over(writes) as (bare, wake):
            asyncio.get_running_loop().call_later(0.001, wake)
            ways = {"writable": [bare]} if writes else {}
            assert await driver.wait_readable([] if writes else [bare], soon(5), **ways) == [bare]

    async def test_a_cancelled_one_leaves_nothing(self, driver: Any) -> None:
        with connected_pair() as (one, peer):
            with anyio.move_on_after(0.01) as scope:
                await driver.wait_readable([one], math.inf, writable=[])
            assert scope.cancelled_caught
            peer.send(b"x")
            assert await driver.wait_readable([one], math.inf) == [one]


class Refusal(Exception):
    pass


class Interruption(KeyboardInterrupt):
    pass


class TestConverse:
    @pytest.mark.parametrize("pair", NATIVE, indirect=True)
    @pytest.mark.parametrize("write", [False, True])
    async def test_a_number_that_was_closed_without_a_word(self, driver: Any, write: bool) -> None:
        async with taken_over(write) as (bare, wake):
            asyncio.get_running_loop().call_later(0.001, wake)
            assert await driver.converse(bare, soon(5), iter((write, None)).__next__)

    async def test_it_goes_on_as_often_as_it_takes(self, driver: Any) -> None:
        with connected_pair() as (one, peer):
            heard: list[bool] = []
            peer.setblocking(False)

            def step() -> bool | None:
                with contextlib.suppress(BlockingIOError):
                    one.recv(1)
                    heard.append(True)
                    peer.send(b"x")
                return False if len(heard) < 20 else None

            peer.send(b"x")
            assert await driver.converse(one, math.inf, step)
            assert len(heard) == 20

    @pytest.mark.parametrize("waits", [False, True])
    @pytest.mark.parametrize("kind", [Refusal, Interruption])
    async def test_what_a_step_raises_leaves_no_garbage(
        self, driver: Any, kind: Any, waits: bool
    ) -> None:
        def step() -> bool | None:
            if waits and not called:
                called.append(True)
                return True
            raise kind

        with connected_pair() as (one, _):
            called: list[bool] = []
            gc.collect()
            gc.disable()
            try:
                try:
                    await driver.converse(one, math.inf, step)
                except kind as error:
                    raised = weakref.ref(error)
                await anyio.sleep(0)  # the loop has it until the turn is over
                assert raised() is None
            finally:
                gc.enable()

    @pytest.mark.parametrize("pair", ON_ASYNCIO, indirect=True)
    @pytest.mark.parametrize("raises", [False, True])
    async def test_a_step_that_cancels_who_waits(self, driver: Any, raises: bool) -> None:
        def step() -> bool | None:
            if not called:
                called.append(True)
                return True
            task.cancel()
            if raises:
                raise Refusal
            return None

        with connected_pair() as (one, _):
            called: list[bool] = []
            task = asyncio.ensure_future(driver.converse(one, math.inf, step))
            await asyncio.wait([task])
            assert task.cancelled()


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("kind", ["wait_readable", "converse"])
def test_a_wait_that_is_closed_after_its_loop(make: Any, kind: str) -> None:
    driver = AsyncioSelectorDriver()

    async def begin(sock: socket.socket) -> Any:
        waits = (
            driver.wait_readable([sock], math.inf)
            if kind == "wait_readable"
            else driver.converse(sock, math.inf, lambda: False)
        )
        waits.send(None)
        return waits

    with connected_pair() as (one, _):
        with asyncio.Runner(loop_factory=make) as runner:
            waits = runner.run(begin(one))
        waits.close()


@asynccontextmanager
async def taken_over(write: bool) -> AsyncIterator[tuple[socket.socket, Callable[[], object]]]:
    """A socket that is not ready, with the number of one that was closed while it was registered,
    and what makes it ready.  Who registered the other is told of nothing."""
    loop = asyncio.get_running_loop()
    told: list[Any] = []
    old, its_peer = full_pair()
    number = old.fileno()
    (loop.add_writer if write else loop.add_reader)(old, told.append, old)
    for _ in range(3):  # turns, in which uvloop registers it
        await asyncio.sleep(0)
    os.close(old.detach())
    bare, peer = full_pair(number)
    with bare, peer, its_peer:
        yield bare, partial(empty, peer) if write else partial(peer.send, b"x")
    assert not told


@contextmanager
def connected_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        yield one, other


class TestWaitWritable:
    async def test_a_writable_socket(self, driver: Any) -> None:
        with listening() as listener, pending(listener.getsockname()) as sock:
            assert await driver.wait_writable(sock, math.inf) == 0

    async def test_a_failed_attempt(self, driver: Any) -> None:
        with refusing() as address, pending(address) as sock:
            assert await driver.wait_writable(sock, soon(30)) == errno.ECONNREFUSED

    async def test_a_moment_that_comes_first(self, driver: Any) -> None:
        with silent() as address, pending(address) as sock:
            until = soon()
            assert await driver.wait_writable(sock, until) is None
            assert time.monotonic() >= until - 0.002

    async def test_a_moment_that_has_passed(self, driver: Any) -> None:
        with silent() as address, pending(address) as sock:
            assert await driver.wait_writable(sock, soon(-1)) is None

    async def test_a_closed_socket(self, driver: Any) -> None:
        sock = socket.socket()
        sock.close()
        assert await driver.wait_writable(sock, soon()) == errno.EBADF

    @watching
    async def test_another_task_waits(self, driver: Any) -> None:
        with silent() as address, pending(address) as sock:
            async with anyio.create_task_group() as group:
                group.start_soon(driver.wait_writable, sock, soon(30))
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(BlockingIOError) as caught:
                    await driver.wait_writable(sock, soon())
                assert caught.value.errno == errno.EALREADY
                group.cancel_scope.cancel()

    @watching
    async def test_a_cancelled_wait_gives_way(self, driver: Any) -> None:
        with silent() as address, pending(address) as sock:
            async with anyio.create_task_group() as group:
                group.start_soon(driver.wait_writable, sock, soon(30))
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    assert await driver.wait_writable(sock, soon()) is None

    @watching
    async def test_a_cancelled_wait_gives_way_to_one_that_succeeds(self, driver: Any) -> None:
        left, right = socket.socketpair()
        with left, right:
            for sock in (left, right):
                sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    left.send(bytes(65536))

            async def make_room() -> None:
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(BlockingIOError):
                    while True:
                        right.recv(65536)

            async with anyio.create_task_group() as group:
                group.start_soon(driver.wait_writable, left, soon(30))
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    async with anyio.create_task_group() as inner:
                        inner.start_soon(make_room)
                        assert await driver.wait_writable(left, soon(30)) == 0

    @pytest.mark.parametrize("pair", ON_ASYNCIO, indirect=True)
    @pytest.mark.parametrize("waited_for", [True, False])
    async def test_a_number_that_was_closed_without_a_word(
        self, driver: Any, waited_for: bool
    ) -> None:
        """Its registration is not taken for that of the next socket with the number."""
        loop = asyncio.get_running_loop()
        old, its_peer = full_pair()
        number = old.fileno()
        waiting = None
        if waited_for:
            waiting = asyncio.ensure_future(driver.wait_writable(old, soon(30)))
            await asyncio.sleep(0)
        else:
            loop.add_writer(old, lambda: None)
        old.close()
        bare, peer = full_pair(number)
        with bare, peer, its_peer:
            loop.call_later(0.001, empty, peer)
            assert await driver.wait_writable(bare, soon(5)) == 0
            if waiting is not None:
                assert await waiting == errno.EBADF

    @pytest.mark.parametrize("pair", ON_ASYNCIO, indirect=True)
    async def test_a_wait_that_gave_way_leaves_nothing(
        self, driver: Any, monkeypatch: Any
    ) -> None:
        """Even if the loop cannot watch the socket that it gave way to."""

        def refuse(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        old, its_peer = full_pair()
        waiting = asyncio.ensure_future(driver.wait_writable(old, soon(30)))
        await asyncio.sleep(0)
        number, gone = old.fileno(), weakref.ref(old)
        old.close()
        bare, peer = full_pair(number)
        with bare, peer, its_peer:
            with monkeypatch.context() as patch:
                patch.setattr(asyncio.get_running_loop(), "add_writer", refuse)
                with pytest.raises(OSError, match="No space left"):
                    await driver.wait_writable(bare, soon(5))
            assert await waiting == errno.EBADF
            del old, waiting
            gc.collect()
            assert gone() is None

    @pytest.mark.parametrize("pair", NATIVE, indirect=True)
    async def test_what_is_writable_is_reported_once(self, driver: Any, monkeypatch: Any) -> None:
        """Not once more by the turn of the loop in which the task goes on."""
        loop = asyncio.get_running_loop()
        registered: list[bool] = []

        def look(waiter: Any, result: Any) -> None:
            registered.append(bool(loop.remove_writer(sock)))
            wake(waiter, result)

        monkeypatch.setattr(asyncio_selector, "wake", look)
        with listening() as listener, pending(listener.getsockname()) as sock:
            assert await driver.wait_writable(sock, soon(30)) == 0
        assert registered == [False]

    @pytest.mark.parametrize("pair", NATIVE, indirect=True)
    async def test_one_that_waited_is_gone(self, driver: Any) -> None:
        """Somebody has unregistered its socket, so that nobody kept its task."""
        with silent() as address, pending(address) as sock:
            task = asyncio.ensure_future(driver.wait_writable(sock, math.inf))
            task.cyclic = task  # type: ignore[attr-defined]
            task.get_loop().set_exception_handler(lambda loop, context: None)
            await asyncio.sleep(0)
            asyncio.get_running_loop().remove_writer(sock)
            gone = weakref.ref(task)
            del task
            gc.collect()
            assert gone() is None
            assert await driver.wait_writable(sock, soon()) is None

    @pytest.mark.parametrize("pair", ON_TRIO, indirect=True)
    async def test_closed_with_notice(self, driver: Any) -> None:
        """Who tells anyio (and so trio) before closing is heard at once."""
        with silent() as address, pending(address) as sock:

            async def close() -> None:
                await anyio.wait_all_tasks_blocked()
                anyio.notify_closing(sock)
                sock.close()

            async with anyio.create_task_group() as group:
                group.start_soon(close)
                assert await driver.wait_writable(sock, soon(30)) == errno.EBADF


class TestSleepUntil:
    @pytest.mark.parametrize("seconds", [-1, 0, 0.0001, 0.01])
    async def test_a_moment(self, driver: Any, seconds: float) -> None:
        when = soon(seconds)
        await driver.sleep_until(when)
        assert time.monotonic() >= when - 0.002

    async def test_never(self, driver: Any) -> None:
        with anyio.move_on_after(0.01) as scope:
            await driver.sleep_until(math.inf)
        assert scope.cancelled_caught


class TestRunBlocking:
    async def test_a_result(self, driver: Any) -> None:
        assert await driver.run_blocking(threading.current_thread, math.inf) is not (
            threading.main_thread()
        )

    async def test_an_error(self, driver: Any) -> None:
        def fail() -> None:
            raise LookupError("scripted")

        with pytest.raises(LookupError, match="scripted"):
            await driver.run_blocking(fail, soon(30))

    async def test_a_moment_that_comes_first(self, driver: Any) -> None:
        released = threading.Event()
        try:
            assert await driver.run_blocking(lambda: released.wait(30), soon()) is None
        finally:
            released.set()

    @pytest.mark.parametrize("pair", NATIVE + ON_TRIO, indirect=True)
    async def test_the_thread_is_a_daemon(self, driver: Any) -> None:
        """A process must not wait at its exit for a name server."""
        assert await driver.run_blocking(lambda: threading.current_thread().daemon, math.inf)

    async def test_the_default_threads_are_left_alone(self, driver: Any) -> None:
        default = anyio.to_thread.current_default_thread_limiter()
        assert await driver.run_blocking(lambda: default.borrowed_tokens + 1, math.inf) == 1


class TestStartBlocking:
    async def outcome(self, driver: Any, call: Any) -> Any:
        """What is delivered, and in which thread."""
        delivered: list[Any] = []
        done = anyio.Event()

        def deliver(*outcome: Any) -> None:
            delivered.append((outcome, threading.current_thread()))
            done.set()

        driver.start_blocking(call, deliver)
        assert not delivered
        await done.wait()
        (result,) = delivered
        return result

    async def test_a_result(self, driver: Any) -> None:
        (thread, error), delivered_in = await self.outcome(driver, threading.current_thread)
        assert error is None
        assert thread.daemon
        assert thread.name in {"aconnect lookup", "aconnect idle"}
        assert delivered_in is threading.current_thread()

    async def test_an_error(self, driver: Any) -> None:
        raised = LookupError("scripted")

        def fail() -> None:
            raise raised

        outcome, delivered_in = await self.outcome(driver, fail)
        assert outcome == (None, raised)
        assert delivered_in is threading.current_thread()
        raised.__traceback__ = None

    async def test_no_thread(self, driver: Any, monkeypatch: Any) -> None:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                driver.start_blocking(lambda: None, print)

    async def test_abandoned_in_the_queue(self, driver: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr(LOOKUPS, "_limit", 1)
        released = threading.Event()
        made: list[str] = []
        driver.start_blocking(lambda: released.wait(30), lambda *outcome: None)
        job = driver.start_blocking(lambda: made.append("abandoned"), made.append)
        job.abandon()
        released.set()
        await self.outcome(driver, lambda: None)
        assert made == []

    def test_a_loop_that_has_ended(self, pair: Any) -> None:
        (backend, options), kind = pair
        released = threading.Event()
        delivered: list[Any] = []

        async def main() -> None:
            kind().start_blocking(lambda: released.wait(30), lambda *outcome: delivered.append(1))

        anyio.run(main, backend=backend, backend_options=options)
        released.set()
        for thread in threading.enumerate():
            if thread.name == "aconnect lookup":
                thread.join(30)
        assert delivered == []


class TestSockConnect:
    """Where the loop makes the connection."""

    @watching
    async def test_drivers_that_do_not(self, driver: Any) -> None:
        assert not driver.completes
        with socket.socket() as sock, pytest.raises(NotImplementedError):
            await driver.sock_connect(sock, (LOOPBACK, 1), math.inf)

    def run(self, body: Any) -> Any:
        with asyncio.Runner(loop_factory=NoWriterLoop) as runner:
            result = runner.run(body(AsyncioProactorDriver()))
            loop = runner.get_loop()
            assert isinstance(loop, CountingLoop)
            assert not loop.leftovers()
            return result

    def test_success(self) -> None:
        async def body(driver: AsyncioProactorDriver) -> None:
            with listening() as listener, socket.socket() as sock:
                sock.setblocking(False)
                assert await driver.sock_connect(sock, listener.getsockname(), math.inf) == 0
                assert sock.getpeername() == listener.getsockname()

        self.run(body)

    def test_failure(self) -> None:
        async def body(driver: AsyncioProactorDriver) -> None:
            with refusing() as address, socket.socket() as sock:
                sock.setblocking(False)
                number = await driver.sock_connect(sock, address, soon(30))
                assert number == errno.ECONNREFUSED

        self.run(body)

    def test_a_moment_that_comes_first(self) -> None:
        async def body(driver: AsyncioProactorDriver) -> None:
            with silent() as address, socket.socket() as sock:
                sock.setblocking(False)
                assert await driver.sock_connect(sock, address, soon()) is None
                assert len(asyncio.all_tasks()) == 1

        self.run(body)

    def test_an_error_of_another_kind(self) -> None:
        async def body(driver: AsyncioProactorDriver) -> None:
            with socket.socket() as sock:
                sock.setblocking(False)
                with pytest.raises(TypeError):
                    await driver.sock_connect(sock, "/not/an/inet/address", soon(30))

        self.run(body)

    def test_cancelled_and_cancelled_again(self) -> None:
        """The wait is over when the loop's own task is; a second cancellation is not lost."""

        async def body(driver: AsyncioProactorDriver) -> None:
            with silent() as address, socket.socket() as sock:
                sock.setblocking(False)
                waiting = asyncio.ensure_future(driver.sock_connect(sock, address, soon(30)))
                await asyncio.sleep(0.01)
                waiting.cancel()
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting])
                assert waiting.cancelled()
                assert len(asyncio.all_tasks()) == 1

        self.run(body)

    def test_cancelled_again_when_time_is_up(self) -> None:
        async def body(driver: AsyncioProactorDriver) -> None:
            cancelled_in_clean_up = 0
            for turns in range(6):
                with silent() as address, socket.socket() as sock:
                    sock.setblocking(False)
                    waiting = asyncio.ensure_future(driver.sock_connect(sock, address, soon(0)))
                    time.sleep(0.003)  # its timer is due in the next turn
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    asked = waiting.cancel()
                    await asyncio.wait([waiting])
                    assert waiting.cancelled() is asked
                    cancelled_in_clean_up += asked
                    assert len(asyncio.all_tasks()) == 1
            assert cancelled_in_clean_up > 2

        self.run(body)


def test_an_outcome_that_nobody_is_left_to_get() -> None:
    async def main() -> None:
        waiter = asyncio.get_running_loop().create_future()
        asyncio_selector._deliver(weakref.ref(waiter), "a result", None)
        assert await waiter == ("a result", None)
        gone = weakref.ref(waiter)
        del waiter
        gc.collect()
        asyncio_selector._deliver(gone, "a result", None)

    asyncio.run(main())
