"""The calling thread as a driver, and the loop that it keeps."""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import ref

import pytest
from support.listeners import listening

from aconnect.drivers import polling, private_loop
from aconnect.drivers.blocking import BlockingDriver
from aconnect.drivers.polling import wait_for
from aconnect.drivers.private_loop import PrivateLoop
from aconnect.testing.pairs import fill

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")
DRIVER = BlockingDriver()


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """What it returns, in one step."""
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    result: T = stopped.value.value
    return result


@pytest.fixture
def pair() -> Any:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


def test_it_is_a_driver_that_watches() -> None:
    assert not DRIVER.completes
    assert DRIVER.checkpoint is None
    with socket.socket() as sock, pytest.raises(NotImplementedError):
        DRIVER.sock_connect(sock, ("127.0.0.1", 1), math.inf).send(None)


def test_a_socket_is_waited_for(pair: Any) -> None:
    one, other = pair
    assert now(DRIVER.wait_writable(one, math.inf)) == 0
    fill(one)
    assert now(DRIVER.wait_writable(one, time.monotonic() + 0.01)) is None
    assert now(DRIVER.wait_writable(one, time.monotonic() - 5)) is None
    other.close()
    assert now(DRIVER.wait_writable(one, math.inf)) in (0, errno.EPIPE, errno.ECONNRESET)
    one.close()
    assert now(DRIVER.wait_writable(one, math.inf)) == errno.EBADF


def test_reading_is_waited_for(pair: Any) -> None:
    one, other = pair
    assert not wait_for(one, True, time.monotonic() + 0.01)
    other.send(b"x")
    assert wait_for(one, True, math.inf)
    assert wait_for(one, False, math.inf)


def test_several_are_waited_for(pair: Any) -> None:
    one, other = pair
    assert now(DRIVER.wait_readable([one], time.monotonic() + 0.01)) == []
    assert now(DRIVER.wait_readable([one], math.inf, writable=[other])) == [other]
    assert now(DRIVER.wait_readable([one], math.inf, writable=[one])) == [one]
    other.send(b"x")
    assert now(DRIVER.wait_readable([one, other], math.inf)) == [one]
    assert now(DRIVER.wait_readable([one, other], math.inf, writable=[other])) == [one, other]
    other.close()
    assert now(DRIVER.wait_readable([one, other], math.inf)) == [other]


def test_a_function_goes_on_when_the_socket_is_ready(pair: Any) -> None:
    one, other = pair
    steps = iter((True, False, None))
    assert not now(DRIVER.converse(one, time.monotonic() + 0.01, steps.__next__))
    other.send(b"x")
    assert now(DRIVER.converse(one, math.inf, steps.__next__))


def test_a_wait_is_never_longer_than_what_poll_can_count(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = pair
    fill(one)
    monkeypatch.setattr(polling, "_LONGEST", 0.01)
    assert now(DRIVER.wait_writable(one, time.monotonic() + 1e12)) is None


def test_a_watch_without_tasks(pair: Any) -> None:
    one, other = pair
    watch = DRIVER.watch()
    now(watch.__aenter__())
    assert now(watch.wait(time.monotonic() + 0.01)) == []
    watch.notify()
    assert now(watch.wait(math.inf)) == []
    watch.add(one)
    watch.add(other)
    watch.discard(other)
    assert now(watch.wait(math.inf)) == [(one, 0)]
    assert now(watch.wait(time.monotonic())) == []  # it is not watched any more
    watch.add(other)
    other.close()
    assert now(watch.wait(math.inf)) == [(other, errno.EBADF)]
    now(watch.__aexit__(None, None, None))


def test_a_watch_with_tasks(pair: Any) -> None:
    one, other = pair
    done: list[str] = []

    async def work(word: str) -> None:
        await asyncio.sleep(0)
        done.append(word)
        watch.notify()

    watch = DRIVER.watch()
    fill(one)
    watch.add(one)
    watch.spawn(work, "one")
    watch.spawn(work, "other")
    while len(done) < 2:
        assert now(watch.wait(math.inf)) == []
    watch.add(other)
    watch.discard(one)
    assert now(watch.wait(math.inf)) == [(other, 0)]
    now(watch.__aexit__(None, None, None))


def test_a_task_that_waits_for_a_socket(pair: Any) -> None:
    one, other = pair
    done: list[bool] = []

    async def work() -> None:
        for write in (True, False):
            await watch.ready(one, write)
            done.append(write)
        watch.notify()

    watch = DRIVER.watch()
    watch.spawn(work)
    other.send(b"x")
    now(watch.wait(math.inf))
    assert done == [True, False]
    now(watch.__aexit__(None, None, None))


def test_a_task_that_raises() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise RuntimeError("no good")

    watch = DRIVER.watch()
    watch.spawn(work)
    with pytest.raises(RuntimeError, match="no good"):
        watch.wait(math.inf).send(None)
    now(watch.__aexit__(None, None, None))
    assert private_loop.private_loop().usable  # it is none of the loop's faults


def test_the_loop_is_closed_when_its_thread_ends() -> None:
    kept: list[Any] = []

    def work() -> None:
        kept.append(private_loop.private_loop().loop)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert kept[0].is_closed()


def test_each_thread_has_its_own() -> None:
    found: list[PrivateLoop] = []
    both = threading.Barrier(2)

    def work() -> None:
        found.append(private_loop.private_loop())
        both.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] is not found[1]


def test_giving_up_twice_is_once() -> None:
    private = PrivateLoop()
    private.give_up()
    private.give_up()
    private.close()
    assert not private.usable
    kept = private_loop.private_loop()
    kept.give_up()
    assert private_loop.private_loop() is not kept


def test_a_loop_that_runs_is_not_closed_under_its_thread() -> None:
    private = PrivateLoop()

    async def close() -> None:
        private.close()

    private.run(close())
    assert private.usable
    private.loop.close()


def test_nothing_is_kept_that_was_forgotten() -> None:
    kept = ref(private_loop.private_loop())
    private_loop.forget_private_loop()
    private_loop.forget_private_loop()
    assert kept() is None


def test_the_tasks_of_others_are_left_alone() -> None:
    """A resolver may keep one that refreshes what it knows."""
    private = private_loop.private_loop()

    async def refresh() -> None:
        await asyncio.Event().wait()

    async def start() -> Any:
        return asyncio.create_task(refresh())

    task = private.run(start())
    with listening() as listener:
        watch = DRIVER.watch()
        watch.spawn(asyncio.sleep, 0)
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            watch.add(sock)
            assert now(watch.wait(math.inf)) == [(sock, 0)]
            now(watch.__aexit__(None, None, None))
    assert not task.done()
    private_loop.forget_private_loop()
    assert task.cancelled()
