"""What is open and what runs: each kind of thing is found, described, and gone when it is gone."""

from __future__ import annotations

import _thread
import asyncio
import gc
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
import uvloop
from blockbuster import blockbuster as blocking

from aconnect.drivers.threads import DaemonThreads
from aconnect.testing import VirtualClock, descriptors, process_contents
from aconnect.testing.descriptors import describe_descriptor, open_descriptors
from aconnect.testing.leaks import Leak, leaks_since, snapshot
from aconnect.testing.loop_contents import LoopContents, Seen, pool_threads
from aconnect.testing.process_contents import describe_child

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPS = [
    pytest.param(asyncio.SelectorEventLoop, id="asyncio"),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
]
every_loop = pytest.mark.parametrize("new_loop", LOOPS)
PATIENCE = 10.0


@pytest.fixture(autouse=True)
def it_may_be_looked_at_from_inside(monkeypatch: Any) -> None:
    """Listing /proc/self/fd does not block, whatever is said of listing a directory."""
    monkeypatch.setattr(blocking._skip, "value", True)


def run(new_loop: Any, function: Any) -> Any:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(function())


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        for sock in (left, right):
            sock.setblocking(False)
        yield left, right


# ------------------------------------------------------------------------- descriptors


def test_a_pipe() -> None:
    before = snapshot()
    reader, writer = os.pipe()
    try:
        name = os.readlink(f"/proc/self/fd/{reader}")
        assert leaks_since(before) == [
            Leak("descriptor", f"{reader} ({name})"),
            Leak("descriptor", f"{writer} ({name})"),
        ]
        assert str(leaks_since(before)[0]) == f"descriptor {reader} ({name})"
    finally:
        os.close(reader)
        os.close(writer)
    assert leaks_since(before) == []


def test_what_was_open_before_does_not_count() -> None:
    with pair():
        assert leaks_since(snapshot()) == []


def test_a_number_that_belongs_to_another_file() -> None:
    with socket.socket() as other, socket.socket() as sock:
        before = snapshot()
        os.dup2(other.fileno(), sock.fileno())
        [leak] = leaks_since(before)
        assert leak.text.startswith(f"{sock.fileno()} (socket AF_INET")
        assert f", in place of {sock.fileno()} (socket AF_INET" in leak.text


def test_one_that_was_open_before_and_was_closed() -> None:
    """By its number, under whoever has it."""
    with pair() as (sock, _):
        before = snapshot()
        number = sock.fileno()
        other = os.dup(number)
        os.close(number)
        closed, copy = leaks_since(before)
        os.dup2(other, number)
        os.close(other)
        what = "(socket AF_UNIX unnamed to unnamed)"
        assert closed == Leak("descriptor", f"{number} (closed), in place of {number} {what}")
        assert copy == Leak("descriptor", f"{other} {what}")
        assert leaks_since(before) == []


@every_loop
def test_those_of_a_loop_that_is_closed(new_loop: Any) -> None:
    """They are its own; what has the number of one is there all the same."""
    loop = new_loop()
    before = snapshot(loop)
    loop.close()
    assert leaks_since(before) == []
    reader, writer = os.pipe()
    try:
        assert [leak.kind for leak in leaks_since(before)] == ["descriptor"] * 2
    finally:
        os.close(reader)
        os.close(writer)


def test_what_is_closed_by_whom_it_belongs_to() -> None:
    with pair() as (left, right):
        before = snapshot()
        with before.closing():
            left.close()
        assert leaks_since(before) == []
        right.close()
        [leak] = leaks_since(before)
        assert "(closed), in place of " in leak.text


def test_sockets_are_described_by_their_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as sock:
        port = listener.getsockname()[1]
        sock.connect(("127.0.0.1", port))
        own = sock.getsockname()[1]
        assert describe_descriptor(listener.fileno()) == (
            f"{listener.fileno()} (socket AF_INET 127.0.0.1:{port} to nobody)"
        )
        assert describe_descriptor(sock.fileno()) == (
            f"{sock.fileno()} (socket AF_INET 127.0.0.1:{own} to 127.0.0.1:{port})"
        )


def test_unix_sockets_are_described_by_their_names() -> None:
    with socket.socket(socket.AF_UNIX) as sock, pair() as (left, _):
        sock.bind("\0aconnect of test_leaks")
        assert "AF_UNIX b'\\x00aconnect of test_leaks' to nobody" in describe_descriptor(
            sock.fileno()
        )
        assert "AF_UNIX unnamed to unnamed" in describe_descriptor(left.fileno())


def test_a_descriptor_that_is_closed() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    assert describe_descriptor(reader) == f"{reader} (closed)"


def test_where_nothing_lists_the_descriptors(monkeypatch: Any) -> None:
    listed = open_descriptors()
    monkeypatch.setattr(descriptors, "_LISTING", "/nowhere")
    assert open_descriptors() == listed
    reader, writer = os.pipe()
    try:
        assert describe_descriptor(reader) == f"{reader} (prw-------)"
    finally:
        os.close(reader)
        os.close(writer)


# ----------------------------------------------------------------------------- threads


def test_a_thread() -> None:
    before = snapshot()
    release = threading.Event()
    thread = threading.Thread(target=partial(release.wait, PATIENCE), name="a waiting one")
    thread.start()
    try:
        [leak] = leaks_since(before)
        assert leak.kind == "thread"
        assert leak.text.startswith("'a waiting one', in ")
    finally:
        release.set()
        thread.join()
    assert leaks_since(before) == []


def test_where_a_thread_is() -> None:
    release = threading.Event()

    def stay_here() -> None:
        release.wait(PATIENCE)

    before = snapshot()
    thread = threading.Thread(target=stay_here)
    thread.start()
    try:
        [leak] = leaks_since(before)
        assert f", in stay_here at {__file__}:" in leak.text
    finally:
        release.set()
        thread.join()


def test_a_thread_that_is_as_good_as_gone(monkeypatch: Any) -> None:
    before = snapshot()
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="going")
    thread.start()
    try:
        frames = {k: v for k, v in sys._current_frames().items() if k != thread.ident}
        monkeypatch.setattr("sys._current_frames", lambda: frames)
        assert leaks_since(before) == [Leak("thread", "'going'")]
    finally:
        release.set()
        thread.join()


def test_a_thread_has_time_to_end() -> None:
    before = snapshot()
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    timer = threading.Timer(0.1, release.set)
    timer.start()
    assert leaks_since(before, grace=PATIENCE) == []
    assert not thread.is_alive()


def test_the_threads_that_trio_keeps_do_not_count() -> None:
    before = snapshot()
    # One that is kept from an earlier test is taken again, and counts while it works.
    others = [each for each in threading.enumerate() if not each.name.startswith("Trio")]
    before._threads = Seen(others)
    begun, released = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        released.wait(PATIENCE)

    async def main() -> list[Leak]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, work)
            await trio.testing.wait_all_tasks_blocked()
            begun.wait(PATIENCE)
            seen = leaks_since(before)
            released.set()
        return seen

    [leak] = [leak for leak in trio.run(main) if leak.kind == "thread"]
    assert "work at " in leak.text
    # The descriptors of the run are gone, and the thread waits for another call.
    assert any(thread.name.startswith("Trio thread") for thread in threading.enumerate())
    assert leaks_since(before, grace=PATIENCE) == []


def test_a_thread_that_waits_for_the_next_lookup_does_not_count() -> None:
    before = snapshot()
    begun, released = threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        released.wait(PATIENCE)

    DaemonThreads(rest=PATIENCE).submit(call, lambda *outcome: None)
    begun.wait(PATIENCE)
    [leak] = leaks_since(before)
    assert "'aconnect lookup', in " in leak.text
    released.set()
    assert leaks_since(before, grace=PATIENCE) == []
    assert any(thread.name == "aconnect idle" for thread in threading.enumerate())


@pytest.mark.parametrize("known", [False, True])
def test_a_thread_that_threading_has_not_started(known: bool) -> None:
    before = snapshot()
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        if known:
            threading.current_thread()  # which makes an object for a thread that has none
        begun.set()
        release.wait(PATIENCE)

    number = _thread.start_new_thread(work, ())
    assert begun.wait(PATIENCE)
    try:
        [leak] = leaks_since(before)
        assert leak.kind == "thread"
        assert leak.text.startswith(f"{number}, which is not of threading, in work at {__file__}:")
        assert leaks_since(snapshot()) == []
    finally:
        release.set()
    assert leaks_since(before, grace=PATIENCE) == []


def test_such_a_thread_has_time_to_end() -> None:
    before = snapshot()
    _thread.start_new_thread(threading.Event().wait, (0.1,))
    assert [leak.kind for leak in wait_for_leaks(before)] == ["thread"]
    assert leaks_since(before, grace=PATIENCE) == []


def test_a_thread_that_runs_no_python_code() -> None:
    with pair() as (left, right):
        poller = select.poll()
        poller.register(left, select.POLLIN)
        before = snapshot()
        _thread.start_new_thread(poller.poll, ())
        try:
            [leak] = wait_for_leaks(before)
            assert leak == Leak("thread", "which is not of threading, in no Python code")
            assert leaks_since(snapshot()) == []
        finally:
            right.send(b"x")
        assert leaks_since(before, grace=PATIENCE) == []


def wait_for_leaks(before: Any) -> list[Leak]:
    """What is left, as soon as it is there: nobody tells that such a thread has begun."""
    until = time.monotonic() + PATIENCE
    while not (leaks := leaks_since(before)) and time.monotonic() < until:
        time.sleep(0.001)
    return leaks


def test_a_thread_that_begins_or_ends_is_of_threading(monkeypatch: Any) -> None:
    before = snapshot()
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        monkeypatch.setattr(threading, "enumerate", lambda: [threading.main_thread()])
        assert leaks_since(before) == []
    finally:
        release.set()
        thread.join()


@every_loop
def test_the_threads_of_a_loops_own_pool(new_loop: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert pool_threads(loop) == set()
        thread = await asyncio.to_thread(threading.current_thread)
        assert pool_threads(loop) == {thread}

    run(new_loop, main)


# --------------------------------------------------------- child processes, signal handlers


def test_a_child_process() -> None:
    before = snapshot()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()  # it is there
        leaks = [leak for leak in leaks_since(before) if leak.kind != "descriptor"]
        assert leaks == [Leak("process", f"{child.pid} (cat)")]
        assert leaks_since(snapshot()) == []
        child.stdin.close()
        child.stdout.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        ended = f"{child.pid} (cat), which has ended and was not waited for"
        assert leaks_since(before) == [Leak("process", ended)]
    assert leaks_since(before) == []
    assert describe_child(child.pid) == f"{child.pid} (gone)"


def test_where_nothing_lists_the_children(monkeypatch: Any) -> None:
    monkeypatch.setattr(process_contents, "_TASKS", "/nowhere")
    before = snapshot()
    with subprocess.Popen(["true"]):
        assert leaks_since(before) == []


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGRTMIN + 1])
def test_a_signal_handler(number: int) -> None:
    def handler(*_: Any) -> None: ...

    before = snapshot()
    others = signal.signal(number, handler)
    try:
        name = "SIGUSR1" if number == signal.SIGUSR1 else f"signal {number}"
        [leak] = leaks_since(before)
        assert leak.kind == "signal handler"
        assert leak.text.startswith(f"of {name}: <function ")
        assert leaks_since(snapshot()) == []
        again = snapshot()
        signal.signal(number, signal.SIG_IGN)
        assert leaks_since(again) == [Leak("signal handler", f"of {name}: {signal.SIG_IGN!r}")]
    finally:
        signal.signal(number, others)
    assert leaks_since(before) == []


# ------------------------------------------------------------------------ what a loop has


@every_loop
def test_a_writer_and_a_reader(new_loop: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (left, right):
            before = snapshot()
            loop.add_writer(left, print)
            loop.add_reader(right, print)
            leaks = leaks_since(before)
            assert [leak.kind for leak in leaks] == ["writer", "reader"]
            for leak, sock in zip(leaks, (left, right), strict=True):
                assert leak.text.startswith(f"of descriptor {sock.fileno()} (socket AF_UNIX")
                assert "<Handle print" in leak.text
            again = snapshot()
            loop.add_writer(left, len)  # another callback is not another writer
            assert leaks_since(again) == []
            loop.remove_writer(left)
            assert [leak.kind for leak in leaks_since(before)] == ["reader"]
            loop.remove_reader(right)
            assert leaks_since(before) == []

    run(new_loop, main)


@every_loop
def test_a_timer(new_loop: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1000, print)
        before = snapshot()
        timer = loop.call_later(1000, len)
        [leak] = leaks_since(before)
        assert leak.kind == "timer"
        assert leak.text.startswith(("that is due in 1000.0", "that is due in 999."))
        assert "len" in leak.text
        timer.cancel()
        assert leaks_since(before) == []

    run(new_loop, main)


async def stay() -> None:
    await asyncio.Event().wait()


@every_loop
def test_a_task(new_loop: Any) -> None:
    async def main() -> None:
        other = asyncio.create_task(stay())
        before = snapshot()
        task = asyncio.create_task(stay(), name="the one")
        await asyncio.sleep(0)
        [leak] = leaks_since(before)
        assert leak.kind == "task"
        assert leak.text.startswith(f"'the one': stay at {__file__}:")
        task.cancel()
        await asyncio.wait([task])
        assert leaks_since(before) == []
        other.cancel()

    run(new_loop, main)


def test_a_task_of_a_coroutine_that_tells_little() -> None:
    class Awaitable:
        def send(self, value: Any) -> Any:
            raise StopIteration

        def throw(self, error: Any) -> Any:
            raise error

        def close(self) -> None: ...

        def __await__(self) -> Any:
            return self

        __iter__ = __await__

        def __next__(self) -> Any:
            return self.send(None)

        def __repr__(self) -> str:
            return "an awaitable"

    import collections.abc

    collections.abc.Coroutine.register(Awaitable)

    async def main() -> None:
        before = snapshot()
        task: Any = asyncio.create_task(Awaitable(), name="odd")  # type: ignore[arg-type]
        assert leaks_since(before) == [Leak("task", "'odd': an awaitable")]
        await task

    asyncio.run(main())


def test_a_task_of_trios() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            before = snapshot()
            nursery.start_soon(trio.sleep_forever, name="the one")
            await trio.testing.wait_all_tasks_blocked()
            [leak] = leaks_since(before)
            assert leak.kind == "task"
            assert leak.text.startswith("'the one': sleep_forever at ")
            assert leaks_since(snapshot()) == []
            nursery.cancel_scope.cancel()
        assert leaks_since(before) == []

    trio.run(main)


def test_a_loop_that_is_given() -> None:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        before = snapshot(loop)
        timer = loop.call_later(1000, print)
        [leak] = leaks_since(before)
        assert leak.kind == "timer"
        timer.cancel()
        assert leaks_since(before) == []
        loop.call_later(1000, print)
    assert leaks_since(before) == []


def test_a_loop_that_is_gone() -> None:
    loop = asyncio.new_event_loop()
    contents = LoopContents(loop)
    loop.close()
    assert contents.left() == []
    watched = weakref.ref(loop)
    del loop
    gc.collect()
    assert watched() is None
    assert contents.left() == []


def test_a_loop_of_another_kind_tells_of_its_tasks() -> None:
    class Other(asyncio.AbstractEventLoop):
        def is_closed(self) -> bool:
            return False

    loop = Other()
    assert LoopContents(loop).left() == []
    assert pool_threads(loop) == set()


def test_a_selector_of_another_kind_tells_nothing() -> None:
    """As the proactor's, which is none."""
    with asyncio.Runner() as runner, pair() as (sock, _):
        loop: Any = runner.get_loop()
        contents = LoopContents(loop, empty=True)
        loop.add_writer(sock, print)
        assert [leak.kind for leak in contents.left()] == ["writer"]
        selector, loop._selector = loop._selector, object()
        try:
            assert contents.left() == []
        finally:
            loop._selector = selector
        loop.remove_writer(sock)


def test_nothing_is_kept_alive() -> None:
    class Thing:
        """One that can be watched."""

    thing = Thing()
    seen = Seen([thing])
    assert thing in seen
    assert Thing() not in seen
    watched = weakref.ref(thing)
    number = id(thing)
    del thing
    assert watched() is None
    assert number in seen._references


def test_the_grace_is_real_time() -> None:
    free = threading.Event()
    with VirtualClock():
        before = snapshot()
        thread = threading.Thread(target=free.wait, name="left", daemon=True)
        thread.start()
        try:
            (leak,) = leaks_since(before, grace=0.01)
            assert leak.kind == "thread"
        finally:
            free.set()
            thread.join()


@pytest.mark.parametrize("grace", [-1, float("inf"), float("nan")])
def test_a_grace_that_is_none(grace: float) -> None:
    with pytest.raises(ValueError, match="grace must be a finite number of seconds"):
        leaks_since(snapshot(), grace=grace)


@pytest.mark.parametrize("grace", [True, "1", None])
def test_a_grace_of_another_type(grace: Any) -> None:
    with pytest.raises(TypeError, match="grace must be a number of seconds"):
        leaks_since(snapshot(), grace=grace)


def test_what_is_no_loop_and_no_snapshot() -> None:
    with pytest.raises(TypeError, match="loop must be an event loop of asyncio's kind, not 5"):
        snapshot(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="before must be what snapshot"):
        leaks_since(None)  # type: ignore[arg-type]
