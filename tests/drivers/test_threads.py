"""The threads for lookups: bounded, daemonic, idle for a moment; and what becomes of each call."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import warnings
import weakref
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from aconnect.drivers.threads import LOOKUP_LIMIT, THREAD_LIMIT, DaemonThreads, SharedCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 10.0  # seconds; for what must happen, and does at once


class Inbox:
    """Where results are delivered, by the thread that made the call."""

    def __init__(self) -> None:
        self._results: SimpleQueue[tuple[Any, BaseException | None, Thread]] = SimpleQueue()

    def deliver(self, result: Any, error: BaseException | None) -> None:
        self._results.put((result, error, threading.current_thread()))

    def get(self) -> Any:
        """The next result; raises what was delivered instead of one."""
        result, error, _ = self._results.get(timeout=PATIENCE)
        if error is not None:
            raise error
        return result

    def get_thread(self) -> Thread:
        """The thread that delivered the next result."""
        return self._results.get(timeout=PATIENCE)[2]

    def is_empty(self) -> bool:
        return self._results.empty()


class Gates:
    """Calls that are made and do not return before they are let."""

    def __init__(self) -> None:
        self._gates: dict[Any, Event] = {}
        self._made: SimpleQueue[Any] = SimpleQueue()

    def call(self, name: Any) -> Callable[[], Any]:
        gate = self._gates[name] = Event()

        def wait() -> Any:
            self._made.put(name)
            assert gate.wait(PATIENCE)
            return name

        return wait

    def next_made(self) -> Any:
        """The name of the next call that is made."""
        return self._made.get(timeout=PATIENCE)

    def none_made(self) -> bool:
        return self._made.empty()

    def open(self, name: Any) -> None:
        self._gates[name].set()

    def open_all(self) -> None:
        for gate in self._gates.values():
            gate.set()


@pytest.fixture
def gates() -> Iterator[Gates]:
    gates = Gates()
    yield gates
    gates.open_all()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def lookup_threads() -> list[Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "aconnect lookup"]


def refuse_to_start(thread: Thread) -> None:
    raise RuntimeError("can't start new thread")


# -------------------------------------------------------------------------------- one call


def test_a_call_is_made_and_delivered_in_a_daemon_thread(inbox: Inbox) -> None:
    made_in: list[Thread] = []
    names: list[str] = []

    def call() -> None:
        made_in.append(threading.current_thread())
        names.append(made_in[0].name)

    DaemonThreads().submit(call, inbox.deliver)
    thread = inbox.get_thread()
    assert made_in == [thread]
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert names == ["aconnect lookup"]


@pytest.mark.parametrize(
    "error", [OSError(5, "x"), ValueError("x"), SystemExit(1), KeyboardInterrupt()], ids=repr
)
def test_what_a_call_raises_is_delivered(inbox: Inbox, error: BaseException) -> None:
    def fail() -> None:
        raise error

    DaemonThreads().submit(fail, inbox.deliver)
    with pytest.raises(type(error)) as caught:
        inbox.get()
    assert caught.value is error


def test_a_thread_ends_when_there_is_nothing_to_do(inbox: Inbox) -> None:
    threads = DaemonThreads(rest=0)
    seen = []
    for _ in range(3):
        threads.submit(lambda: None, inbox.deliver)
        seen.append(inbox.get_thread())
        seen[-1].join(PATIENCE)
        assert not seen[-1].is_alive()
    assert len(set(seen)) == 3


def test_a_process_does_not_wait_at_exit_for_a_call() -> None:
    program = (
        "from threading import Event\n"
        "from aconnect.drivers.threads import DaemonThreads\n"
        "made = Event()\n"
        "DaemonThreads().submit(lambda: (made.set(), Event().wait()), print)\n"
        "assert made.wait(10)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_an_error_goes_with_the_last_reference_to_it() -> None:
    class Resource:
        """Stands for what a frame of the call holds."""

    def fail() -> None:
        held = Resource()
        watched.append(weakref.ref(held))
        raise ValueError

    def deliver(result: Any, error: BaseException | None) -> None:
        assert isinstance(error, ValueError)
        delivered_in.append(threading.current_thread())

    watched: list[weakref.ref[Resource]] = []
    delivered_in: list[Thread] = []
    gc.disable()
    try:
        DaemonThreads(rest=0).submit(fail, deliver)
        for thread in lookup_threads():
            thread.join(PATIENCE)
        assert len(delivered_in) == 1
        assert watched[0]() is None
    finally:
        gc.enable()


# --------------------------------------------------------------------------------- a rest


def wait_until_idle(thread: Thread) -> None:
    deadline = time.monotonic() + PATIENCE
    while thread.name != "aconnect idle":
        assert time.monotonic() < deadline
        time.sleep(0)


def test_a_thread_that_rests_makes_the_next_call(inbox: Inbox) -> None:
    threads = DaemonThreads(rest=PATIENCE)
    seen = set()
    for _ in range(3):
        threads.submit(lambda: None, inbox.deliver)
        seen.add(thread := inbox.get_thread())
        wait_until_idle(thread)
    assert len(seen) == 1


def test_threads_that_rest_are_waked_before_others_start(gates: Gates, inbox: Inbox) -> None:
    threads = DaemonThreads(rest=PATIENCE)
    rested = set()
    for name in range(2):
        threads.submit(gates.call(name), inbox.deliver)
    gates.open_all()
    for _ in range(2):
        rested.add(thread := inbox.get_thread())
        wait_until_idle(thread)
    for name in range(3):
        threads.submit(gates.call(name), inbox.deliver)
    gates.open_all()
    assert len({inbox.get_thread() for _ in range(3)} - rested) == 1


def test_a_thread_that_rests_has_its_place_among_the_most(inbox: Inbox) -> None:
    threads = DaemonThreads(most=1, rest=PATIENCE)
    threads.submit(lambda: None, inbox.deliver)
    wait_until_idle(thread := inbox.get_thread())
    threads.submit(lambda: None, inbox.deliver)
    assert inbox.get_thread() is thread


def test_a_thread_that_rests_holds_nothing() -> None:
    class Resource:
        """Stands for what a call, its result and its delivery hold."""

    def submit() -> weakref.ref[Resource]:
        resource = Resource()

        def deliver(result: Resource, error: BaseException | None) -> None:
            assert result is resource
            delivered_in.put(threading.current_thread())

        threads.submit(lambda: resource, deliver)
        return weakref.ref(resource)

    threads = DaemonThreads(rest=PATIENCE)
    delivered_in: SimpleQueue[Thread] = SimpleQueue()
    gc.disable()
    try:
        watched = submit()
        wait_until_idle(delivered_in.get(timeout=PATIENCE))
        assert watched() is None
    finally:
        gc.enable()


def test_a_call_that_comes_when_a_rest_is_over_is_made(
    monkeypatch: pytest.MonkeyPatch, inbox: Inbox
) -> None:
    has_ended = DaemonThreads._has_ended
    late = [lambda: "late"]

    def submit_first(threads: DaemonThreads, wake: Any) -> bool:
        while late:
            threads.submit(late.pop(), inbox.deliver)
        return has_ended(threads, wake)

    monkeypatch.setattr(DaemonThreads, "_has_ended", submit_first)
    threads = DaemonThreads(rest=0)
    threads.submit(lambda: "first", inbox.deliver)
    thread = inbox.get_thread()
    assert inbox.get_thread() is thread
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_what_interrupts_the_start_of_a_thread_does_not_lose_count(
    monkeypatch: pytest.MonkeyPatch, gates: Gates, inbox: Inbox
) -> None:
    """A signal handler may raise when the thread runs already."""
    start = Thread.start

    def interrupted(thread: Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    threads = DaemonThreads(limit=1, rest=0)
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", interrupted)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                threads.submit(lambda: None, inbox.deliver)
            inbox.get_thread().join(PATIENCE)
    threads.submit(gates.call("first"), inbox.deliver)
    threads.submit(gates.call("second"), inbox.deliver)
    assert gates.next_made() == "first"
    assert len(lookup_threads()) == 1
    assert gates.none_made()
    gates.open_all()
    assert [inbox.get(), inbox.get()] == ["first", "second"]
    inbox.is_empty()
    for thread in lookup_threads():
        thread.join(PATIENCE)
    monkeypatch.setattr(Thread, "start", refuse_to_start)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        threads.submit(lambda: None, inbox.deliver)


# -------------------------------------------------------------------------------- the bound


def test_no_more_calls_are_made_at_a_time_than_the_limit(gates: Gates, inbox: Inbox) -> None:
    threads = DaemonThreads(limit=2)
    for name in range(5):
        threads.submit(gates.call(name), inbox.deliver)
    assert len(lookup_threads()) == 2
    assert {gates.next_made(), gates.next_made()} == {0, 1}
    for name in (1, 0, 2, 3, 4):
        assert inbox.is_empty()
        assert gates.none_made()
        gates.open(name)
        assert inbox.get() == name
        if name in (1, 0, 2):
            assert gates.next_made() == {1: 2, 0: 3, 2: 4}[name]
    assert gates.none_made()


def test_threads_that_have_ended_count_no_more_and_no_less(gates: Gates, inbox: Inbox) -> None:
    threads = DaemonThreads(limit=2, rest=0)
    for _ in range(5):
        threads.submit(lambda: None, inbox.deliver)
        inbox.get_thread().join(PATIENCE)
    for name in range(4):
        threads.submit(gates.call(name), inbox.deliver)
    assert len(lookup_threads()) == 2
    gates.open_all()
    assert {inbox.get() for _ in range(4)} == {0, 1, 2, 3}


def test_one_thread_takes_call_after_call(gates: Gates, inbox: Inbox) -> None:
    threads = DaemonThreads(limit=1)
    for name in range(3):
        threads.submit(gates.call(name), inbox.deliver)
    gates.open_all()
    assert len({inbox.get_thread() for _ in range(3)}) == 1
    assert [gates.next_made() for _ in range(3)] == [0, 1, 2]


def test_a_call_that_failed_does_not_take_its_thread_with_it(gates: Gates, inbox: Inbox) -> None:
    threads = DaemonThreads(limit=1)
    threads.submit(gates.call("first"), inbox.deliver)
    for _ in range(3):
        threads.submit(sys.exit, inbox.deliver)
    threads.submit(lambda: "last", inbox.deliver)
    gates.open("first")
    assert inbox.get() == "first"
    for _ in range(3):
        with pytest.raises(SystemExit):
            inbox.get()
    assert inbox.get() == "last"


def test_the_default_limit(gates: Gates, inbox: Inbox) -> None:
    assert LOOKUP_LIMIT == 32
    threads = DaemonThreads()
    for name in range(LOOKUP_LIMIT + 1):
        threads.submit(gates.call(name), inbox.deliver)
    assert len(lookup_threads()) == LOOKUP_LIMIT
    gates.open_all()
    assert {inbox.get() for _ in range(LOOKUP_LIMIT + 1)} == {*range(LOOKUP_LIMIT + 1)}


def test_calls_from_many_threads_are_all_made(inbox: Inbox) -> None:
    threads = DaemonThreads(limit=3)
    lock = threading.Lock()
    running = most = 0

    def call() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1

    def submit_many() -> None:
        for _ in range(50):
            threads.submit(call, inbox.deliver)

    submitters = [Thread(target=submit_many) for _ in range(4)]
    for submitter in submitters:
        submitter.start()
    for submitter in submitters:
        submitter.join(PATIENCE)
    for _ in range(200):
        assert inbox.get() is None
    assert inbox.is_empty()
    assert 1 <= most <= 3


# ----------------------------------------------------------------------------- abandoned


def test_a_call_that_is_abandoned_before_it_was_made_is_never_made(
    gates: Gates, inbox: Inbox
) -> None:
    threads = DaemonThreads(limit=1)
    threads.submit(gates.call("first"), inbox.deliver)
    abandoned = threads.submit(gates.call("abandoned"), inbox.deliver)
    threads.submit(gates.call("last"), inbox.deliver)
    abandoned.abandon()
    gates.open_all()
    assert [inbox.get(), inbox.get()] == ["first", "last"]
    assert [gates.next_made(), gates.next_made()] == ["first", "last"]
    assert gates.none_made()
    assert inbox.is_empty()


def test_a_call_that_is_abandoned_while_it_is_made_is_not_delivered(
    gates: Gates, inbox: Inbox
) -> None:
    threads = DaemonThreads(limit=1, most=1)
    job = threads.submit(gates.call("a"), inbox.deliver)
    assert gates.next_made() == "a"
    for _ in range(2):
        job.abandon()
    threads.submit(lambda: "b", inbox.deliver)
    gates.open("a")
    assert inbox.get() == "b"
    job.abandon()
    assert gates.none_made()
    assert inbox.is_empty()


def test_a_call_that_is_abandoned_while_it_is_made_leaves_its_place_to_another(
    gates: Gates, inbox: Inbox
) -> None:
    threads = DaemonThreads(limit=1)
    for name in ("hangs", "hangs too"):
        job = threads.submit(gates.call(name), inbox.deliver)
        assert gates.next_made() == name
        job.abandon()
    threads.submit(gates.call("next"), inbox.deliver)
    threads.submit(gates.call("last"), inbox.deliver)
    assert gates.next_made() == "next"
    assert gates.none_made()
    gates.open("hangs")  # its thread is one too many, and takes nothing
    gates.open("next")
    assert inbox.get() == "next"
    assert gates.next_made() == "last"


def test_a_call_that_waits_takes_the_place_of_one_that_is_abandoned(
    gates: Gates, inbox: Inbox
) -> None:
    threads = DaemonThreads(limit=1)
    job = threads.submit(gates.call("hangs"), inbox.deliver)
    threads.submit(gates.call("next"), inbox.deliver)
    threads.submit(gates.call("last"), inbox.deliver)
    assert gates.next_made() == "hangs"
    for _ in range(2):  # it makes room once
        job.abandon()
    assert gates.next_made() == "next"
    assert len(lookup_threads()) == 2
    assert gates.none_made()


def test_no_more_threads_run_than_the_second_limit(gates: Gates, inbox: Inbox) -> None:
    threads = DaemonThreads(limit=1, most=3)
    for name in range(3):
        job = threads.submit(gates.call(name), inbox.deliver)
        assert gates.next_made() == name
        job.abandon()
    threads.submit(gates.call("next"), inbox.deliver)
    threads.submit(gates.call("last"), inbox.deliver)
    assert len(lookup_threads()) == 3
    assert gates.none_made()
    gates.open(1)
    assert gates.next_made() == "next"
    assert gates.none_made()


def test_the_default_of_the_second_limit(gates: Gates, inbox: Inbox) -> None:
    assert THREAD_LIMIT == 256
    threads = DaemonThreads()
    for name in range(THREAD_LIMIT):
        job = threads.submit(gates.call(name), inbox.deliver)
        assert gates.next_made() == name
        job.abandon()
    threads.submit(gates.call("one more"), inbox.deliver)
    assert len(lookup_threads()) == THREAD_LIMIT
    assert gates.none_made()


def test_a_call_that_is_abandoned_where_no_thread_can_start(
    monkeypatch: pytest.MonkeyPatch, gates: Gates, inbox: Inbox
) -> None:
    """What waits has to wait for a thread that runs."""
    threads = DaemonThreads(limit=1)
    job = threads.submit(gates.call("first"), inbox.deliver)
    threads.submit(gates.call("next"), inbox.deliver)
    assert gates.next_made() == "first"
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse_to_start)
        job.abandon()
    assert gates.none_made()
    gates.open_all()
    assert inbox.get() == "next"


def test_the_garbage_collector_may_abandon_a_call_at_any_moment(
    gates: Gates, inbox: Inbox
) -> None:
    threads = DaemonThreads()
    job = threads.submit(gates.call("first"), inbox.deliver)
    with threads._lock:
        job.abandon()


# -------------------------------------------------------------------------------- shared


def test_a_shared_call_is_made_once_for_all_who_wait(gates: Gates, inbox: Inbox) -> None:
    threads = DaemonThreads()
    call = SharedCall("key", gates.call("a"))
    for _ in range(3):
        threads.submit(call, inbox.deliver)
    other = SharedCall("another key", gates.call("b"))
    threads.submit(other, inbox.deliver)
    assert {gates.next_made(), gates.next_made()} == {"a", "b"}
    gates.open("a")
    assert [inbox.get() for _ in range(3)] == ["a", "a", "a"]
    gates.open("b")
    assert inbox.get() == "b"
    assert gates.none_made()


def test_one_that_waits_in_the_queue_is_shared_too(gates: Gates, inbox: Inbox) -> None:
    threads = DaemonThreads(limit=1)
    threads.submit(gates.call("first"), inbox.deliver)
    call = SharedCall("key", gates.call("a"))
    jobs = [threads.submit(call, inbox.deliver) for _ in range(3)]
    jobs[0].abandon()
    gates.open_all()
    assert [inbox.get() for _ in range(3)] == ["first", "a", "a"]
    assert [gates.next_made(), gates.next_made()] == ["first", "a"]
    assert gates.none_made()


def test_a_shared_call_that_has_ended_is_made_again(inbox: Inbox) -> None:
    threads = DaemonThreads()
    made: list[int] = []
    call = SharedCall("key", lambda: made.append(1))
    for _ in range(3):
        threads.submit(call, inbox.deliver)
        inbox.get()
    assert len(made) == 3


def test_who_gives_up_a_shared_call_does_not_end_it_for_others(gates: Gates, inbox: Inbox) -> None:
    threads = DaemonThreads(limit=1)
    call = SharedCall("key", gates.call("a"))
    first, second = (threads.submit(call, inbox.deliver) for _ in range(2))
    assert gates.next_made() == "a"
    for _ in range(2):
        first.abandon()
    threads.submit(gates.call("next"), inbox.deliver)
    assert gates.none_made()  # it has its place as long as anybody waits
    gates.open("a")
    assert inbox.get() == "a"
    second.abandon()
    assert gates.next_made() == "next"
    assert inbox.is_empty()


def test_a_shared_call_that_all_have_given_up_is_not_waited_for_again(
    gates: Gates, inbox: Inbox
) -> None:
    """It may hang for a reason that is none any more."""
    threads = DaemonThreads()
    threads.submit(SharedCall("key", gates.call("hangs")), inbox.deliver).abandon()
    threads.submit(SharedCall("key", lambda: "made"), inbox.deliver)
    assert inbox.get() == "made"


def test_errors_of_a_shared_call_are_each_ones_own(gates: Gates, inbox: Inbox) -> None:
    def fail() -> None:
        wait()
        raise error

    threads = DaemonThreads()
    wait = gates.call("a")
    error = OSError(5, "words")
    for _ in range(2):
        threads.submit(SharedCall("key", fail), inbox.deliver)
    gates.open("a")
    caught = []
    for _ in range(2):
        with pytest.raises(OSError, match="words") as info:
            inbox.get()
        caught.append(info.value)
    assert caught[0] is error
    assert caught[1] is not error
    assert caught[1].args == error.args


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_delivery_that_raises_does_not_keep_it_from_others(gates: Gates, inbox: Inbox) -> None:
    def fail(result: Any, error: BaseException | None) -> None:
        raise LookupError("nobody is there to take it")

    threads = DaemonThreads()
    call = SharedCall("key", gates.call("a"))
    for deliver in (fail, inbox.deliver, fail):
        threads.submit(call, deliver)
    gates.open("a")
    assert inbox.get() == "a"
    for thread in lookup_threads():
        thread.join(PATIENCE)


def test_a_shared_call_may_be_made_by_who_does_not_share() -> None:
    assert SharedCall("key", lambda: "made")() == "made"


# -------------------------------------------------------------- a thread that cannot start


def test_where_daemon_threads_are_forbidden_the_threads_are_ordinary_ones(
    monkeypatch: pytest.MonkeyPatch, inbox: Inbox
) -> None:
    init = Thread.__init__

    def forbid(thread: Thread, *args: Any, daemon: bool, **kwargs: Any) -> None:
        if daemon:
            raise RuntimeError("daemon threads are disabled in this (sub)interpreter")
        init(thread, *args, daemon=daemon, **kwargs)

    monkeypatch.setattr(Thread, "__init__", forbid)
    DaemonThreads().submit(lambda: "made", inbox.deliver)
    thread = inbox.get_thread()
    assert not thread.daemon
    thread.join(PATIENCE)  # the interpreter waits for it at its end: it does not rest
    assert not thread.is_alive()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="they forbid nothing before Python 3.12")
def test_names_are_looked_up_in_a_subinterpreter() -> None:
    """It ends when the lookup has."""
    program = """
import os, sys, textwrap
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

interpreter = interpreters.create()
failed = interpreters.run_string(interpreter, textwrap.dedent('''
    import asyncio, socket, sys, time
    sys.path[:0] = PATH
    from aconnect import Dialer, SystemResolver, aconnect

    getaddrinfo = socket.getaddrinfo

    def hang(host, *args, **options):
        if host == "hangs.example":
            time.sleep(0.2)
            print("ended", flush=True)
        return getaddrinfo("127.0.0.1", *args, **options)

    socket.getaddrinfo = hang

    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = ("localhost", listener.getsockname()[1])
            apart = Dialer(resolver=SystemResolver(by_family=True))
            for dial in (aconnect, apart.connect):
                (await dial(address, timeout=10)).close()
                print("connected", flush=True)
        try:
            await aconnect(("hangs.example", 1), timeout=0.01)
        except TimeoutError:
            print("timed out", flush=True)

    asyncio.run(main())
''').replace("PATH", repr(sys.path)))
assert failed is None, failed
interpreters.destroy(interpreter)
print("destroyed", flush=True)
os._exit(0)  # Python 3.13.0 may abort when it has had a subinterpreter
"""
    path = f"import sys; sys.path[:0] = {sys.path!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", path + program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    words = ["connected", "connected", "timed", "out", "ended", "destroyed"]
    assert done.stdout.split() == words, done.stderr


def test_where_no_thread_can_start_the_call_is_refused(
    monkeypatch: pytest.MonkeyPatch, inbox: Inbox
) -> None:
    threads = DaemonThreads(limit=1)
    made = []
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse_to_start)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                threads.submit(lambda: made.append("refused"), inbox.deliver)
    threads.submit(lambda: made.append("made"), inbox.deliver)
    assert inbox.get() is None
    assert made == ["made"]


def test_where_another_thread_runs_the_call_waits_for_that_one(
    monkeypatch: pytest.MonkeyPatch, gates: Gates, inbox: Inbox
) -> None:
    threads = DaemonThreads(limit=2)
    threads.submit(gates.call("first"), inbox.deliver)
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse_to_start)
        for name in ("second", "third"):
            threads.submit(gates.call(name), inbox.deliver)
    gates.open_all()
    assert [inbox.get() for _ in range(3)] == ["first", "second", "third"]
    assert len({gates.next_made() for _ in range(3)}) == 3


def test_a_call_that_waits_for_a_thread_that_cannot_start_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch, inbox: Inbox
) -> None:
    """Two event loops submit at a time: the second counts on the thread of the first."""
    threads = DaemonThreads()

    def submit_another_meanwhile(thread: Thread) -> None:
        patch.setattr(Thread, "start", refuse_to_start)
        threads.submit(lambda: "second", inbox.deliver)
        refuse_to_start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", submit_another_meanwhile)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threads.submit(lambda: "first", inbox.deliver)
    assert not inbox.is_empty(), "nobody will ever tell the second that its call is not made"
    with pytest.raises(RuntimeError, match="can't start new thread"):
        inbox.get()


def test_an_abandoned_call_that_waits_for_such_a_thread_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, inbox: Inbox
) -> None:
    threads = DaemonThreads()

    def submit_and_abandon_another(thread: Thread) -> None:
        patch.setattr(Thread, "start", refuse_to_start)
        threads.submit(lambda: "second", inbox.deliver).abandon()
        refuse_to_start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", submit_and_abandon_another)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threads.submit(lambda: "first", inbox.deliver)
    assert inbox.is_empty()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_whose_delivery_raises_gives_its_place_back(inbox: Inbox) -> None:
    def fail(result: Any, error: BaseException | None) -> None:
        raise LookupError("nobody is there to take it")

    threads = DaemonThreads(limit=1)
    threads.submit(lambda: "first", fail)
    for thread in lookup_threads():
        thread.join(PATIENCE)
    threads.submit(lambda: "second", inbox.deliver)
    assert inbox.get() == "second"


# ------------------------------------------------------------------------------- forked


def test_in_another_process_there_are_none_of_these_threads(
    monkeypatch: pytest.MonkeyPatch, gates: Gates, inbox: Inbox
) -> None:
    threads = DaemonThreads(limit=1)
    parents = threads.submit(gates.call("parent's"), inbox.deliver)
    threads.submit(gates.call("parent's, waiting"), inbox.deliver)
    assert gates.next_made() == "parent's"
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 0)
        parents.abandon()  # which is none of the child's business
        threads.submit(lambda: "child's", inbox.deliver)
        assert inbox.get() == "child's"
        threads.submit(lambda: "child's too", inbox.deliver)
        assert inbox.get() == "child's too"
    assert gates.none_made()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork(2)")
def test_a_forked_process_makes_its_own_calls_and_no_others(gates: Gates, inbox: Inbox) -> None:
    threads = DaemonThreads(limit=1)
    threads.submit(gates.call("parent's"), inbox.deliver)
    threads.submit(gates.call("parent's, waiting"), inbox.deliver)
    assert gates.next_made() == "parent's"
    with warnings.catch_warnings():
        # Python 3.12 warns of forking where there are threads; that is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        with threads._lock:  # as if a third thread were about to submit a call
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    threads.submit(lambda: "child's", inbox.deliver)
                    status = 0 if (inbox.get(), gates.none_made()) == ("child's", True) else 2
                finally:
                    os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert inbox.is_empty()
    gates.open_all()
    assert [inbox.get(), inbox.get()] == ["parent's", "parent's, waiting"]


def test_a_forked_process_does_not_count_on_a_thread_that_rests(inbox: Inbox) -> None:
    threads = DaemonThreads(limit=1, rest=PATIENCE)
    threads.submit(lambda: None, inbox.deliver)
    wait_until_idle(inbox.get_thread())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                threads.submit(lambda: "child's", inbox.deliver)
                status = 0 if inbox.get() == "child's" else 2
            finally:
                os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
