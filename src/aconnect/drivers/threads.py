"""Threads for blocking calls that cannot be cancelled: name lookups.

Rules:

* Daemon threads: a process never waits at exit for a name server.  (That rules out
  `concurrent.futures`, whose threads are joined.)  A subinterpreter that forbids them has
  ordinary ones, and does wait.
* A `SharedCall` is made once for all who wait for it at the same time.  One of them that gives up
  does not end it for the others; when all have, a newcomer has a call of his own.
* At most ``limit`` calls that somebody waits for are made at a time; further ones queue.
* A call that is abandoned before a thread took it is never made.  One that is abandoned later
  goes on, as it must, and leaves its place to another: a thread more, up to ``most`` threads.
* A thread that finds nothing to do rests for a second, and then ends: the next lookup is often
  there by then, and to start a thread takes longer than many a lookup.  While it rests it holds
  nothing, and its name says that it is idle.
* A thread may outlive the loop that wants to know, for as long as a name server is silent.  What
  it is given to deliver with must not keep that loop alive.
"""

from __future__ import annotations

import os
import threading
from _thread import allocate_lock
from collections import OrderedDict
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable, Hashable

__all__ = [
    "LOOKUPS",
    "LOOKUP_LIMIT",
    "REST",
    "THREAD_LIMIT",
    "DaemonThreads",
    "Job",
    "SharedCall",
    "start_lookup",
]

LOOKUP_LIMIT: Final = 32
"""Lookups at a time.  A name server that is down holds a thread for as long as the system's
resolver is patient (10 seconds by default), so this is generous: asyncio's default executor
has as few as 5 threads, trio's limit is 40."""

THREAD_LIMIT: Final = 256
"""Threads at a time, with those of lookups that nobody waits for any more.  A thread that waits
for a name server takes some 50 kB; eight times `LOOKUP_LIMIT` of them are 12 MB."""

REST: Final = 1.0
"""Seconds that a thread waits for its next call.  A start takes 60 us and more of the loop's own
time, as it waits for the thread to run: a name in the hosts file is looked up in 50.  Longer would
only help who does not dial often, and so does not need it; whoever counts threads would see it."""

_BUSY: Final = "aconnect lookup"
_IDLE: Final = "aconnect idle"


class SharedCall:
    """A blocking call that need not be made twice at a time.

    Whoever submits one with the key of another that is queued or under way, and that somebody
    waits for, gets the outcome of that one.
    """

    __slots__ = ("call", "key")

    def __init__(self, key: Hashable, call: Callable[[], Any]) -> None:
        self.key: Hashable = key
        self.call: Callable[[], Any] = call

    def __call__(self) -> Any:
        return self.call()


class Job:
    """Somebody who waits for a blocking call in `DaemonThreads`."""

    __slots__ = ("_deliver", "_threads", "_work")

    def __init__(
        self, deliver: Callable[[Any, BaseException | None], None], threads: DaemonThreads
    ) -> None:
        self._deliver = deliver
        self._threads = threads
        self._work: _Work | None = None

    def abandon(self) -> None:
        """This one waits no more: if nobody does and the call has not been made, it never is."""
        self._threads.forsake(self)

    def tell(self, result: Any, error: BaseException | None) -> None:
        """Deliver an outcome."""
        self._deliver(result, error)


class _Work:
    """A blocking call, and who waits for it."""

    __slots__ = ("call", "jobs", "key")

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call: Callable[[], Any] = call
        self.key = call.key if isinstance(call, SharedCall) else None
        self.jobs: dict[Job, None] = {}


class DaemonThreads:
    """A bounded set of threads that are there only while there is something to do.

    Thread-safe, and usable in a process that was forked.

    Args:
        limit: how many calls that somebody waits for are made at a time.
        most: how many threads there are at a time, whatever they do.
        rest: seconds that a thread waits for its next call before it ends.
    """

    def __init__(
        self, limit: int = LOOKUP_LIMIT, most: int = THREAD_LIMIT, rest: float = REST
    ) -> None:
        self._limit = limit
        self._most = most
        self._rest_for = rest
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        # Reentrant, for the garbage collector may abandon a job in the middle of anything.
        self._lock = threading.RLock()
        self._queue: OrderedDict[_Work, None] = OrderedDict()
        self._made: set[_Work] = set()  # the calls that are being made and waited for
        self._shared: dict[Hashable, _Work] = {}  # what a newcomer may wait for as well
        # A thread is known by the lock that wakes it, whatever has interrupted its start.
        self._starting: set[LockType] = set()  # on their way to the first call, or the next
        self._threads: set[LockType] = set()  # all
        self._resting: list[LockType] = []

    def submit(
        self, call: Callable[[], Any], deliver: Callable[[Any, BaseException | None], None]
    ) -> Job:
        """Have ``call`` made in a thread, and ``deliver`` called there with what it returned,
        or with None and what it raised.

        Raises:
            RuntimeError: no thread is running and none can be started.
        """
        if self._pid != os.getpid():
            self._reset()  # the parent's threads, and perhaps a held lock, stayed behind
        job = Job(deliver, self)
        with self._lock:
            work = self._shared.get(call.key) if isinstance(call, SharedCall) else None
            known = work is not None
            if work is None:
                work = _Work(call)
                self._queue[work] = None
                if work.key is not None:
                    self._shared[work.key] = work
            work.jobs[job] = None
            job._work = work
        if not known:
            try:
                self._add_thread()
            except RuntimeError:
                self._no_thread_for(work)
        return job

    def forsake(self, job: Job) -> None:
        """Somebody waits for a call no more, if he did."""
        if self._pid != os.getpid():
            return  # it is the parent's
        with self._lock:
            work, job._work = job._work, None
            if work is None:
                return
            work.jobs.pop(job, None)
            if work.jobs:
                return
            self._close(work)
            self._queue.pop(work, None)
            self._made.discard(work)
        try:
            self._add_thread()
        except RuntimeError:  # then what waits has to wait for a thread that runs
            pass

    def _close(self, work: _Work) -> list[Job]:
        """Nobody more may wait for a call; with the lock.

        Returns:
            Who does, in the order in which they came.
        """
        if work.key is not None and self._shared.get(work.key) is work:
            del self._shared[work.key]
        jobs = list(work.jobs)
        work.jobs.clear()
        for job in jobs:
            job._work = None
        return jobs

    def _add_thread(self) -> None:
        """Have a thread more at work, if there is a call for it to make.

        Raises:
            RuntimeError: it cannot be started.
        """
        with self._lock:
            if (
                len(self._starting) >= len(self._queue)
                or len(self._starting) + len(self._made) >= self._limit
                or (len(self._threads) >= self._most and not self._resting)
            ):
                return
            if self._resting:
                wake = self._resting.pop()
                self._starting.add(wake)
                wake.release()
                return
            wake = allocate_lock()
            wake.acquire()  # who releases it has something to do
            self._starting.add(wake)
            self._threads.add(wake)
        try:
            _thread(partial(self._work, wake)).start()
        except BaseException:
            # It may run all the same, if a signal handler has raised this: then it comes back.
            with self._lock:
                self._starting.discard(wake)
                self._threads.discard(wake)
            raise

    def _no_thread_for(self, work: _Work) -> None:
        """Leave the call to the threads that run; if there are none, say so to all who wait.

        Called while the error is handled that says that a thread could not be started.
        """
        with self._lock:
            if self._threads:
                return
            own = next(iter(work.jobs), None)
            stranded = [job for each in self._queue for job in self._close(each)]
            self._queue.clear()
        for job in stranded:  # submitted meanwhile, counting on this thread
            if job is not own:
                job.tell(None, RuntimeError("can't start new thread"))
        raise

    def _make(self, work: _Work) -> None:
        """Make a call, and deliver what came of it to all who wait for it."""
        try:
            result, error = work.call(), None
        except BaseException as caught:
            result, error = None, caught
        with self._lock:
            jobs = self._close(work)
        # An error that several raise would have the tracebacks of them all.
        errors = [error, *(copy(error) for _ in jobs[1:])]
        raised: BaseException | None = None
        try:
            for job, own in zip(jobs, errors, strict=False):
                try:
                    job.tell(result, own)
                except BaseException as caught:
                    raised = raised or caught
            if raised is not None:
                raise raised
        finally:
            errors.clear()
            error = own = raised = None  # their tracebacks lead to this frame

    def _work(self, wake: LockType) -> None:
        thread = threading.current_thread()
        rest = self._rest_for if thread.daemon else 0  # others hold up the end of an interpreter
        while True:
            with self._lock:
                self._starting.discard(wake)
                self._threads.add(wake)
                work = self._next(wake)
            while work is not None:
                try:
                    self._make(work)
                except BaseException:
                    with self._lock:
                        self._made.discard(work)
                        self._threads.discard(wake)
                    raise
                with self._lock:
                    self._made.discard(work)
                    work = self._next(wake)
            thread.name = _IDLE
            if not wake.acquire(timeout=rest) and self._has_ended(wake):
                return
            thread.name = _BUSY

    def _next(self, wake: LockType) -> _Work | None:
        """The next call for a thread to make; None if it is to rest, until ``wake`` is free."""
        if not self._queue or len(self._starting) + len(self._made) >= self._limit:
            self._resting.append(wake)
            return None
        work, _ = self._queue.popitem(last=False)
        self._made.add(work)
        return work

    def _has_ended(self, wake: LockType) -> bool:
        """Whether a thread is to end after its rest; if so, it counts no more."""
        with self._lock:
            if wake not in self._resting:  # it is waked in this very moment
                wake.acquire()
                return False
            self._resting.remove(wake)
            self._threads.discard(wake)
            return True


def _thread(work: Callable[[], None]) -> threading.Thread:
    try:
        return threading.Thread(target=work, name=_BUSY, daemon=True)
    except RuntimeError:  # a subinterpreter may forbid daemon threads
        return threading.Thread(target=work, name=_BUSY, daemon=False)


LOOKUPS: Final = DaemonThreads()
"""Shared by all loops of the process, so that the bound is one on the process."""


def start_lookup(
    call: Callable[[], Any],
    deliver: Callable[[Any, BaseException | None], None],
    call_soon: Callable[..., object],
) -> Job:
    """Have ``call`` made in a thread, and ``deliver`` called with its result by an event loop.

    Args:
        call_soon: has that loop call a function with arguments, soon.  It may be called in any
            thread, must not wait, and raises RuntimeError when there is no such loop any more:
            nobody wants to know the result then.

    Raises:
        RuntimeError: no thread is running and none can be started.
    """

    def post(result: Any, error: BaseException | None) -> None:
        try:
            call_soon(deliver, result, error)
        except RuntimeError:
            pass

    return LOOKUPS.submit(call, post)
