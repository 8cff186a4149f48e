"""The watches, each on every loop that it is for: what they report, run, and leave behind."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import select
import socket
import sys
import time
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
import uvloop
from conftest import LOOPS
from support.listeners import LOOPBACK, listening, refusing, silent
from support.loops import NoWriterLoop
from support.scenarios import ASYNCIO_LOOPS, eager_loop, new_runnable
from support.stepping import CountingLoop, one_turn

from aconnect.drivers.anyio_generic import AnyioDriver
from aconnect.drivers.anyio_watch import AnyioWatch
from aconnect.drivers.asyncio_proactor import AsyncioProactorDriver, _PollingWatch
from aconnect.drivers.asyncio_selector import AsyncioSelectorDriver
from aconnect.drivers.asyncio_watch import AsyncioWatch
from aconnect.drivers.base import Watch
from aconnect.drivers.select import running_driver
from aconnect.testing.conformance.sockets import full
from aconnect.testing.pairs import empty, fill

pytestmark = pytest.mark.anyio

COUNTING = ("asyncio", {"debug": True, "loop_factory": CountingLoop})
NO_WRITER = ("asyncio", {"debug": True, "loop_factory": NoWriterLoop})

NATIVE = [
    pytest.param((COUNTING, AsyncioSelectorDriver), id="asyncio"),
    *(
        pytest.param((loop.values[0], AsyncioSelectorDriver), id=loop.id)
        for loop in LOOPS
        if loop.id in ("eager", "uvloop")
    ),
]
POLLING = [pytest.param((NO_WRITER, AsyncioProactorDriver), id="no add_writer")]
if sys.version_info >= (3, 12):
    EAGER = ("asyncio", {"loop_factory": eager_loop})
    POLLING.append(pytest.param((EAGER, AsyncioProactorDriver), id="polling eagerly"))
ANYIO = [
    pytest.param((("trio", {}), AnyioDriver), id="trio"),
    pytest.param((COUNTING, AnyioDriver), id="anyio on asyncio"),
]

native = pytest.mark.parametrize("pair", NATIVE, indirect=True)
on_asyncio = pytest.mark.parametrize("pair", NATIVE + POLLING, indirect=True)
with_anyio = pytest.mark.parametrize("pair", ANYIO, indirect=True)


@pytest.fixture(params=NATIVE + POLLING + ANYIO)
def pair(request: pytest.FixtureRequest) -> Any:
    """A loop, and a driver that works on it."""
    return request.param


@pytest.fixture
def anyio_backend(pair: Any) -> Any:
    return pair[0]


@pytest.fixture
def driver(pair: Any) -> Any:
    return pair[1]()


LONG = 10  # seconds; what takes as long has failed


def soon(seconds: float = 0.02) -> float:
    return time.monotonic() + seconds


async def turns(number: int = 5) -> None:
    """Let the loop turn."""
    for _ in range(number):
        await anyio.lowlevel.checkpoint()


def begun(address: Any) -> socket.socket:
    """A socket with an attempt that has been begun."""
    sock = socket.socket()
    sock.setblocking(False)
    assert sock.connect_ex(address) == errno.EINPROGRESS
    return sock


def ended(address: Any) -> socket.socket:
    """A socket with an attempt that has ended, which nobody has looked at."""
    sock = begun(address)
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    assert poller.poll(10_000)
    return sock


def left_over(*socks: socket.socket) -> list[str]:
    """What the kernel watches for the loops of this process, and the timers of this loop."""
    watched = [f"writer of descriptor {sock.fileno()}" for sock in socks if is_watched(sock)]
    if trio.lowlevel.in_trio_task():
        statistics = trio.lowlevel.current_statistics()
        if statistics.seconds_to_next_deadline < math.inf:
            watched.append("a deadline")
        return watched
    loop = asyncio.get_running_loop()
    return watched + (loop.leftovers() if isinstance(loop, CountingLoop) else [])


def is_watched(sock: socket.socket) -> bool:
    """Whether an epoll of this process waits for it to be writable."""
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}") != "anon_inode:[eventpoll]":
                continue
        except FileNotFoundError:
            continue  # it was that of the listing
        with open(f"/proc/self/fdinfo/{fd}") as info:
            for line in info:
                words = line.split()  # tfd: 5 events: 4 data: ...
                if words[0] == "tfd:" and int(words[1]) == sock.fileno():
                    return bool(int(words[3], 16) & select.EPOLLOUT)
    return False


class Work:
    """What a task does: it waits until it is cancelled, and then takes its time to clean up."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.began = anyio.Event()
        self.cleaning = anyio.Event()
        self.clean = anyio.Event()
        self.clean.set()

    async def __call__(self) -> None:
        self.journal.append("began")
        self.began.set()
        try:
            await anyio.Event().wait()
        finally:
            self.cleaning.set()
            with anyio.CancelScope(shield=True):
                await turns(3)
                await self.clean.wait()
            self.journal.append("ended")


def test_every_watch_has_what_a_watch_has() -> None:
    members = {name for name in vars(Watch) if not name.startswith("_")}
    assert members == {"add", "discard", "notify", "ready", "spawn", "wait"}
    for kind in (AsyncioWatch, _PollingWatch, AnyioWatch):
        assert members | {"__aenter__", "__aexit__"} <= set(dir(kind))


async def test_every_driver_has_its_watch(driver: Any) -> None:
    kinds = {
        AnyioDriver: AnyioWatch,
        AsyncioSelectorDriver: AsyncioWatch,
        AsyncioProactorDriver: _PollingWatch,
    }
    async with driver.watch() as watch:
        assert type(watch) is kinds[type(driver)]


class TestSockets:
    async def test_one_that_becomes_writable(self, driver: Any) -> None:
        with full() as (sock, peer):
            async with driver.watch() as watch:

                async def make_room() -> None:
                    await turns()
                    assert is_watched(sock) is not isinstance(watch, _PollingWatch)
                    empty(peer)

                async with anyio.create_task_group() as group:
                    group.start_soon(make_room)
                    watch.add(sock)
                    assert await watch.wait(math.inf) == [(sock, 0)]
                    assert not left_over(sock)

    async def test_one_that_is_connected(self, driver: Any) -> None:
        with listening() as listener, begun(listener.getsockname()) as sock:
            async with driver.watch() as watch:
                watch.add(sock)
                assert await watch.wait(math.inf) == [(sock, 0)]
                assert not left_over(sock)

    async def test_one_that_is_refused(self, driver: Any) -> None:
        with refusing() as address, begun(address) as sock:
            async with driver.watch() as watch:
                watch.add(sock)
                assert await watch.wait(math.inf) == [(sock, errno.ECONNREFUSED)]
                assert not left_over(sock)

    async def test_two_that_are_ready_in_one_turn(self, driver: Any) -> None:
        with (
            listening() as listener,
            refusing() as address,
            ended(listener.getsockname()) as one,
            silent() as nobody,
            begun(nobody) as other,
            ended(address) as two,
        ):
            async with driver.watch() as watch:
                for sock in (one, other, two):
                    watch.add(sock)
                ready = await watch.wait(math.inf)
                assert dict(ready) == {one: 0, two: errno.ECONNREFUSED}
                assert not is_watched(one)
                assert not is_watched(two)

    async def test_one_is_reported_once(self, driver: Any) -> None:
        with listening() as listener, ended(listener.getsockname()) as sock:
            async with driver.watch() as watch:
                watch.add(sock)
                await turns()  # in each of which it is found to be ready
                assert await watch.wait(math.inf) == [(sock, 0)]
                until = soon()
                assert await watch.wait(until) == []
                assert time.monotonic() >= until - 0.002

    async def test_one_that_is_added_again_is_reported_again(self, driver: Any) -> None:
        with listening() as listener, ended(listener.getsockname()) as sock:
            async with driver.watch() as watch:
                for _ in range(2):
                    watch.add(sock)
                    assert await watch.wait(math.inf) == [(sock, 0)]

    async def test_one_that_is_added_again_has_to_become_ready_again(self, driver: Any) -> None:
        with full() as (sock, peer):
            async with driver.watch() as watch:
                watch.add(sock)
                empty(peer)
                assert await watch.wait(math.inf) == [(sock, 0)]
                fill(sock)
                watch.add(sock)
                watch.notify()
                assert await watch.wait(math.inf) == []
                assert await watch.wait(soon()) == []
                empty(peer)
                assert await watch.wait(math.inf) == [(sock, 0)]

    async def test_one_that_is_ready_while_nobody_waits_is_kept(self, driver: Any) -> None:
        with full() as (sock, peer):
            async with driver.watch() as watch:
                watch.add(sock)
                assert await watch.wait(soon()) == []
                empty(peer)
                await turns()
                assert await watch.wait(math.inf) == [(sock, 0)]

    async def test_a_wait_without_any_ends_in_time(self, driver: Any) -> None:
        async with driver.watch() as watch:
            until = soon()
            assert await watch.wait(until) == []
            assert time.monotonic() >= until - 0.002
            assert await watch.wait(soon(-1)) == []
            assert not left_over()

    async def test_a_wait_for_a_silent_one_ends_in_time(self, driver: Any) -> None:
        with silent() as address, begun(address) as sock:
            async with driver.watch() as watch:
                watch.add(sock)
                until = soon()
                assert await watch.wait(until) == []
                assert time.monotonic() >= until - 0.002
                assert await watch.wait(soon(-1)) == []
            assert not left_over(sock)

    @pytest.mark.parametrize("pair", POLLING, indirect=True)
    async def test_one_is_looked_at_again_and_again(self, driver: Any) -> None:
        with full() as (sock, peer):
            async with driver.watch() as watch:
                watch.add(sock)
                assert await watch.wait(soon(0.12)) == []
                empty(peer)
                assert await watch.wait(math.inf) == [(sock, 0)]

    async def test_one_that_has_been_discarded(self, driver: Any) -> None:
        with full() as (sock, peer):
            async with driver.watch() as watch:
                watch.add(sock)
                assert await watch.wait(soon()) == []
                watch.discard(sock)
                await turns()
                assert not left_over(sock)
                empty(peer)
                assert await watch.wait(soon()) == []

    async def test_one_that_was_ready_before_it_was_discarded(self, driver: Any) -> None:
        with (
            listening() as listener,
            ended(listener.getsockname()) as sock,
            ended(listener.getsockname()) as other,
        ):
            async with driver.watch() as watch:
                watch.add(sock)
                watch.add(other)
                await turns()
                watch.discard(sock)
                assert await watch.wait(math.inf) == [(other, 0)]
                assert await watch.wait(soon()) == []

    async def test_one_that_is_discarded_while_it_is_waited_for(self, driver: Any) -> None:
        with full() as (sock, peer):
            async with driver.watch() as watch:

                async def discard() -> None:
                    await turns()
                    watch.discard(sock)
                    empty(peer)
                    await turns()
                    watch.notify()

                watch.add(sock)
                watch.spawn(discard)
                assert await watch.wait(math.inf) == []
                assert await watch.wait(soon()) == []
                assert not left_over(sock)

    async def test_one_that_is_not_watched_can_be_discarded(self, driver: Any) -> None:
        with (
            socket.socket() as sock,
            listening() as listener,
            ended(listener.getsockname()) as other,
        ):
            async with driver.watch() as watch:
                watch.add(other)
                watch.discard(sock)
                assert await watch.wait(math.inf) == [(other, 0)]
                watch.discard(other)

    async def test_one_that_is_closed_while_it_is_waited_for(self, driver: Any) -> None:
        """Only a watch that looks can tell; to the others, it has nothing more to say."""
        with silent() as address, begun(address) as sock:
            async with driver.watch() as watch:

                async def close() -> None:
                    await turns()
                    sock.close()

                watch.add(sock)
                watch.spawn(close)
                if isinstance(watch, _PollingWatch):
                    assert await watch.wait(math.inf) == [(sock, errno.EBADF)]
                else:
                    assert await watch.wait(soon()) == []
                watch.discard(sock)
                assert not left_over()

    async def test_one_that_is_closed_between_two_waits(self, driver: Any) -> None:
        with silent() as address, begun(address) as sock:
            async with driver.watch() as watch:
                watch.add(sock)
                sock.close()
                # asyncio's loops are never told, unless they look for themselves.
                ready = await watch.wait(soon(0.2))
                assert ready in ([], [(sock, errno.EBADF)])
                assert ready or not isinstance(watch, (AnyioWatch, _PollingWatch))

    async def test_one_that_is_closed_already(self, driver: Any) -> None:
        with socket.socket() as sock:
            sock.close()
            async with driver.watch() as watch:
                watch.add(sock)
                assert await watch.wait(soon(LONG)) == [(sock, errno.EBADF)]

    async def test_one_that_has_the_number_of_another(self, driver: Any) -> None:
        with silent() as address, listening() as listener, begun(address) as old:
            number = old.fileno()
            async with driver.watch() as watch:
                watch.add(old)
                old.close()
                with begun(listener.getsockname()) as new:
                    if not isinstance(getattr(watch, "_loop", None), uvloop.Loop):
                        assert new.fileno() == number  # uvloop holds it open
                    watch.add(new)
                    watch.discard(old)
                    assert await watch.wait(soon(LONG)) == [(new, 0)]

    @with_anyio
    async def test_one_that_is_closed_with_notice(self, driver: Any) -> None:
        """Who tells anyio (and so trio) before closing is heard at once."""
        with silent() as address, begun(address) as sock:
            async with driver.watch() as watch:

                async def close() -> None:
                    await turns()
                    anyio.notify_closing(sock)
                    sock.close()

                watch.add(sock)
                watch.spawn(close)
                assert await watch.wait(math.inf) == [(sock, errno.EBADF)]
                assert not left_over()

    @with_anyio
    async def test_one_that_another_task_waits_for(self, driver: Any) -> None:
        with silent() as address, begun(address) as sock:
            async with driver.watch() as watch:
                cancel = watch.spawn(driver.wait_writable, sock, math.inf)
                await turns()
                watch.add(sock)
                assert await watch.wait(math.inf) == [(sock, errno.EALREADY)]
                assert is_watched(sock)
                cancel()
                await turns()
                assert not left_over(sock)

    @pytest.mark.parametrize(
        "pair", [each for each in NATIVE if each.id != "uvloop"], indirect=True
    )
    async def test_a_descriptor_that_was_closed_without_a_word(self, driver: Any) -> None:
        """The loop takes the new socket for the old one, which it believes to be watching."""
        with silent() as address, listening() as listener:
            old = begun(address)
            number = old.fileno()
            asyncio.get_running_loop().add_writer(number, pytest.fail, "the old one is gone")
            with ended(listener.getsockname()) as other:
                os.dup2(other.fileno(), number, inheritable=False)
            old.detach()
            with socket.socket(fileno=number) as sock:
                async with driver.watch() as watch:
                    watch.add(sock)
                    assert await watch.wait(soon(30)) == [(sock, 0)]


class TestNotify:
    async def test_before_anybody_waits(self, driver: Any) -> None:
        async with driver.watch() as watch:
            watch.notify()
            watch.notify()
            assert await watch.wait(math.inf) == []
            until = soon()
            assert await watch.wait(until) == []
            assert time.monotonic() >= until - 0.002

    async def test_while_somebody_waits(self, driver: Any) -> None:
        with silent() as address, begun(address) as sock:
            async with driver.watch() as watch:

                async def notify() -> None:
                    await turns()
                    watch.notify()
                    watch.notify()

                watch.add(sock)
                watch.spawn(notify)
                assert await watch.wait(math.inf) == []
                until = soon()
                assert await watch.wait(until) == []
                assert time.monotonic() >= until - 0.002
            assert not left_over(sock)

    async def test_a_wait_that_is_woken_leaves_no_timer(self, driver: Any) -> None:
        async with driver.watch() as watch:

            async def notify() -> None:
                await turns()
                watch.notify()

            watch.spawn(notify)
            assert await watch.wait(soon(30)) == []
            assert not left_over()


class TestTasks:
    async def test_a_task_runs(self, driver: Any) -> None:
        given: list[Any] = []

        async def work(*args: Any) -> None:
            given.extend(args)
            watch.notify()

        async with driver.watch() as watch:
            watch.spawn(work, 1, "two")
            assert await watch.wait(math.inf) == []
            assert given == [1, "two"]

    async def test_a_task_is_cancelled(self, driver: Any) -> None:
        one, other = Work(), Work()
        async with driver.watch() as watch:
            cancel = watch.spawn(one)
            watch.spawn(other)
            await one.began.wait()
            await other.began.wait()
            cancel()
            await one.cleaning.wait()
            await turns(10)
            assert one.journal == ["began", "ended"]
            assert other.journal == ["began"]
            watch.notify()
            assert await watch.wait(math.inf) == []
            cancel()  # it has ended, and nothing happens
            await turns()
            assert other.journal == ["began"]

    async def test_a_task_that_is_cancelled_before_it_began_begins(self, driver: Any) -> None:
        work = Work()
        async with driver.watch() as watch:
            watch.spawn(work)()
            await work.cleaning.wait()
            await turns(10)
            assert work.journal == ["began", "ended"]

    async def test_a_task_that_ends_before_it_is_cancelled(self, driver: Any) -> None:
        began = []

        async def work() -> None:
            began.append(True)

        async with driver.watch() as watch:
            watch.spawn(work)()
            await turns()
            assert began == [True]

    @native
    async def test_a_task_that_has_ended_when_it_is_made(self, driver: Any) -> None:
        """As an eager one may have, which Python 3.11 does not know."""

        class Ended(asyncio.Future[None]):
            def set_name(self, name: Any) -> None: ...

        def run_at_once(loop: Any, work: Any, **_: Any) -> Any:
            with pytest.raises(StopIteration):
                work.send(None)
            ended = Ended(loop=loop)
            ended.set_result(None)
            return ended

        async def work() -> None:
            watch.notify()

        loop = asyncio.get_running_loop()
        factory = loop.get_task_factory()
        async with driver.watch() as watch:
            loop.set_task_factory(run_at_once)
            try:
                cancel = watch.spawn(work)
            finally:
                loop.set_task_factory(factory)
            assert await watch.wait(math.inf) == []
            cancel()


class Stop(BaseException):
    """What stops a program."""


class TestWhatTasksRaise:
    async def stop(self) -> None:
        raise Stop

    async def test_is_raised_by_the_next_wait(self, driver: Any) -> None:
        work = Work()
        with pytest.raises(Stop) as caught:
            async with driver.watch() as watch:
                watch.spawn(work)
                watch.spawn(self.stop)
                await watch.wait(soon(30))
                raise AssertionError("the wait has ended as if nothing had happened")
        assert work.journal == ["began", "ended"]
        assert caught.value.__context__ is None or not isinstance(
            caught.value.__context__, BaseExceptionGroup
        )

    async def test_is_raised_by_the_end(self, driver: Any) -> None:
        with pytest.raises(Stop):
            async with driver.watch() as watch:
                watch.spawn(self.stop)

    @on_asyncio
    async def test_is_the_tasks_own_when_nobody_has_the_watch(self, driver: Any) -> None:
        async def wait() -> None:
            async with driver.watch() as watch:
                watch.spawn(work)
                await watch.wait(soon(30))

        async def work() -> None:
            tasks.append(asyncio.current_task())
            try:
                await asyncio.sleep(30)
            finally:
                raise Stop

        tasks: list[Any] = []
        waiting = wait()
        waiting.send(None)
        await turns()
        waiting.close()
        await asyncio.wait(tasks)
        assert isinstance(tasks.pop().exception(), Stop)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_what_a_wait_of_anyios_raises_is_in_no_group(monkeypatch: Any) -> None:
    async def fail(_: socket.socket) -> int:
        raise LookupError("a bug")

    monkeypatch.setattr("aconnect.drivers.anyio_watch.wait_writable", fail)
    with socket.socket() as sock, pytest.raises(LookupError, match="a bug"):
        async with AnyioWatch() as watch:
            watch.add(sock)
            await watch.wait(soon(30))


class TestLeaving:
    async def test_nothing_is_registered(self, driver: Any) -> None:
        with silent() as address, begun(address) as one, full() as (two, _):
            async with driver.watch() as watch:
                for sock in (one, two):
                    watch.add(sock)
                assert await watch.wait(soon()) == []
            assert not left_over(one, two)

    async def test_a_socket_that_was_never_waited_for(self, driver: Any) -> None:
        with silent() as address, begun(address) as sock:
            async with driver.watch() as watch:
                watch.add(sock)
            assert not left_over(sock)

    async def test_tasks_are_cancelled_and_waited_for(self, driver: Any) -> None:
        works = [Work(), Work()]
        async with driver.watch() as watch:
            for work in works:
                watch.spawn(work)
                await work.began.wait()
        assert [work.journal for work in works] == [["began", "ended"]] * 2

    async def test_a_task_that_has_not_begun_begins(self, driver: Any) -> None:
        work = Work()
        async with driver.watch() as watch:
            watch.spawn(work)
        assert work.journal == ["began", "ended"]

    async def test_an_error_goes_through_when_the_tasks_have_ended(self, driver: Any) -> None:
        work = Work()
        with silent() as address, begun(address) as sock:
            with pytest.raises(LookupError, match="scripted"):
                async with driver.watch() as watch:
                    watch.add(sock)
                    watch.spawn(work)
                    await work.began.wait()
                    raise LookupError("scripted")
            assert work.journal == ["began", "ended"]
            assert not left_over(sock)

    async def test_a_wait_is_cancelled(self, driver: Any) -> None:
        work = Work()
        with silent() as address, begun(address) as sock:

            async def wait() -> None:
                try:
                    async with driver.watch() as watch:
                        watch.add(sock)
                        watch.spawn(work)
                        await watch.wait(soon(30))
                except anyio.get_cancelled_exc_class():
                    work.journal.append("cancelled")
                    raise

            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await work.began.wait()
                await turns()
                group.cancel_scope.cancel()
            assert work.journal == ["began", "ended", "cancelled"]
            assert not left_over(sock)

    async def test_a_cancellation_while_tasks_are_waited_for(self, driver: Any) -> None:
        """It is raised, and when they have ended."""
        work = Work()
        work.clean = anyio.Event()

        async def leave() -> None:
            try:
                async with driver.watch() as watch:
                    watch.spawn(work)
                    await work.began.wait()
            except anyio.get_cancelled_exc_class():
                work.journal.append("cancelled")
                raise

        async with anyio.create_task_group() as group:
            group.start_soon(leave)
            await work.cleaning.wait()
            await turns()
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await turns()
                assert work.journal == ["began"]
                work.clean.set()
        assert work.journal == ["began", "ended", "cancelled"]

    @on_asyncio
    async def test_cancellations_of_asyncio_while_tasks_are_waited_for(self, driver: Any) -> None:
        work = Work()
        work.clean = anyio.Event()

        async def leave() -> None:
            async with driver.watch() as watch:
                watch.spawn(work)
                await work.began.wait()

        leaving = asyncio.ensure_future(leave())
        await work.cleaning.wait()
        for _ in range(3):
            await turns()
            assert leaving.cancel()
        await turns()
        assert not leaving.done()
        work.clean.set()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        assert work.journal == ["began", "ended"]

    @on_asyncio
    @pytest.mark.parametrize("has_begun", [True, False])
    async def test_a_coroutine_that_is_closed(self, driver: Any, has_begun: bool) -> None:
        """It cannot wait; its socket can be closed next, and its tasks end later."""
        work = Work()
        before = asyncio.all_tasks()
        with silent() as address, begun(address) as sock:

            async def wait() -> None:
                async with driver.watch() as watch:
                    watch.add(sock)
                    watch.spawn(work)
                    await watch.wait(soon(30))

            waiting = wait()
            waiting.send(None)
            if has_begun:
                await turns()
                assert work.journal == ["began"]
            waiting.close()
            assert "ended" not in work.journal
            assert not is_watched(sock)
        await turns(20)
        assert work.journal == ["began", "ended"]
        assert asyncio.all_tasks() == before
        assert not left_over()

    @pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
    def test_the_loop_is_closed(self, new_loop: Any) -> None:
        """There is nothing to be unregistered, and nobody to wait for."""
        loop, complaints = new_runnable(new_loop)
        tasks: list[Any] = []

        async def work() -> None:
            tasks.append(asyncio.current_task())
            await asyncio.Event().wait()

        async def wait() -> None:
            async with running_driver().watch() as watch:
                watch.add(sock)
                watch.spawn(work)
                await watch.wait(soon(30))

        with silent() as address, begun(address) as sock:
            waiting = wait()
            task = loop.create_task(waiting)
            for _ in range(3):
                one_turn(loop)
            assert len(tasks) == 1
            tasks = list(asyncio.all_tasks(loop))
            assert task in tasks
            loop.close()
            waiting.close()
            for each in tasks:
                each._log_destroy_pending = False  # that it is pending is what this is about
                each.get_coro().close()
        assert not complaints


class TestSockConnect:
    """Where the loop makes the connection; what tests/drivers/test_waiting.py does not reach."""

    def run(self, loop_factory: Any) -> Any:
        async def body() -> Any:
            with socket.socket() as sock:
                sock.setblocking(False)
                return await AsyncioProactorDriver().sock_connect(sock, (LOOPBACK, 1), math.inf)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(body())

    def test_an_error_without_errno(self) -> None:
        class Odd(NoWriterLoop):
            async def sock_connect(self, sock: Any, address: Any) -> None:
                raise OSError("no errno")

        with pytest.raises(OSError, match="no errno") as caught:
            self.run(Odd)
        assert caught.value.errno is None

    def test_somebody_else_cancels_what_the_loop_does(self) -> None:
        class Odd(NoWriterLoop):
            async def sock_connect(self, sock: Any, address: Any) -> None:
                raise asyncio.CancelledError

        assert self.run(Odd) is None


class TestReady:
    """A wait for one socket, in a task."""

    async def test_a_cancelled_wait_leaves_nothing(self, driver: Any) -> None:
        for write in (False, True):
            with full() as (sock, _):
                async with driver.watch() as watch:
                    ended = False

                    async def wait(
                        watch: Any = watch, sock: Any = sock, write: Any = write
                    ) -> None:
                        nonlocal ended
                        try:
                            await watch.ready(sock, write)
                        finally:
                            ended = True

                    cancel = watch.spawn(wait)
                    await turns(3)
                    cancel()
                    await turns(5)
                    assert ended
                    if write:
                        watch.add(sock)
                        watch.discard(sock)

    async def test_a_closed_socket_is_refused(self, driver: Any) -> None:
        with full() as (sock, _):
            sock.close()
            async with driver.watch() as watch:
                for write in (False, True):
                    with pytest.raises(OSError, match="Bad file descriptor") as caught:
                        await watch.ready(sock, write)
                    assert caught.value.errno == errno.EBADF

    async def test_discarding_it_ends_the_registration(self, driver: Any) -> None:
        with full() as (sock, _):
            async with driver.watch() as watch:
                cancel = watch.spawn(watch.ready, sock, True)
                await turns(3)
                cancel()
                await turns(3)
                watch.discard(sock)
                sock.close()

    @on_asyncio
    async def test_discarding_it_before_it_is_cancelled(self, driver: Any) -> None:
        async def wait() -> None:
            with suppress(OSError):  # it is closed: where it is polled, that may be seen first
                await watch.ready(sock, True)

        with full() as (sock, _):
            async with driver.watch() as watch:
                watch.spawn(wait)
                await turns(3)
                watch.discard(sock)
                sock.close()


def test_the_end_of_the_loop_is_no_time_to_unregister() -> None:
    with full() as (sock, _):
        loop = CountingLoop()

        async def begin() -> Any:
            waiting = AsyncioWatch().ready(sock, True)
            waiting.send(None)
            return waiting

        waiting = loop.run_until_complete(begin())
        loop.close()
        waiting.close()
