"""Threads for blocking calls that cannot be cancelled: name lookups.

Rules:

* Daemon threads: a process never waits at exit for a name server.  (That rules out
  `concurrent.futures`, whose threads are joined.)  A subinterpreter that forbids them has
  ordinary ones, and does wait.
* At most ``limit`` calls that somebody waits for are made at a time; further ones queue.
* A call that is abandoned before a thread took it is never made.  One that is abandoned later
  goes on, as it must, and leaves its place to another: a thread more, up to ``most`` threads.
* No idle threads: one that finds the queue empty ends.  Starting one costs tens of
  microseconds, a lookup hundreds, so keeping them would gain nothing.
* A thread may outlive the loop that wants to know, for as long as a name server is silent.  What
  it is given to deliver with must not keep that loop alive.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LOOKUPS", "LOOKUP_LIMIT", "THREAD_LIMIT", "DaemonThreads", "Job", "start_lookup"]

LOOKUP_LIMIT: Final = 32
"""Lookups at a time.  A name server that is down holds a thread for as long as the system's
resolver is patient (10 seconds by default), so this is generous: asyncio's default executor
has as few as 5 threads, trio's limit is 40."""

THREAD_LIMIT: Final = 256
"""Threads at a time, with those of lookups that nobody waits for any more.  A thread that waits
for a name server takes some 50 kB; eight times `LOOKUP_LIMIT` of them are 12 MB."""


class Job:
    """A blocking call on its way through `DaemonThreads`."""

    __slots__ = ("_call", "_deliver", "_threads")

    def __init__(
        self,
        call: Callable[[], Any],
        deliver: Callable[[Any, BaseException | None], None],
        threads: DaemonThreads,
    ) -> None:
        self._call: Callable[[], Any] | None = call
        self._deliver = deliver
        self._threads = threads

    def abandon(self) -> None:
        """Nobody waits for it any more: if the call has not been made yet, it never is."""
        self._call = None
        self._threads.forsake(self)

    def fail(self, error: BaseException) -> None:
        """Deliver the reason why the call is not made, unless it was abandoned."""
        if self._call is not None:
            self._deliver(None, error)

    def run(self) -> None:
        """Make the call and deliver its result; in the thread."""
        call = self._call
        if call is None:
            return
        try:
            result, error = call(), None
        except BaseException as caught:
            result, error = None, caught
        try:
            self._deliver(result, error)
        finally:
            del error  # its traceback leads to this frame


class DaemonThreads:
    """A bounded set of threads that are there only while there is something to do.

    Thread-safe, and usable in a process that was forked.

    Args:
        limit: how many calls that somebody waits for are made at a time.
        most: how many threads there are at a time, whatever they do.
    """

    def __init__(self, limit: int = LOOKUP_LIMIT, most: int = THREAD_LIMIT) -> None:
        self._limit = limit
        self._most = most
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        # Reentrant, for the garbage collector may abandon a job in the middle of anything.
        self._lock = threading.RLock()
        self._queue: OrderedDict[Job, None] = OrderedDict()
        self._made: set[Job] = set()  # the calls that are being made and waited for
        self._starting = 0  # threads on their way to their first call
        self._threads = 0  # in all

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
        job = Job(call, deliver, self)
        with self._lock:
            self._queue[job] = None
        try:
            self._add_thread()
        except RuntimeError:
            self._no_thread_for(job)
        return job

    def forsake(self, job: Job) -> None:
        """Nobody waits for a job any more, if anybody did."""
        if self._pid != os.getpid():
            return  # it is the parent's
        with self._lock:
            self._queue.pop(job, None)
            self._made.discard(job)
        try:
            self._add_thread()
        except RuntimeError:  # then what waits has to wait for a thread that runs
            pass

    def _add_thread(self) -> None:
        """Start a thread, if there is a call for it to make.

        Raises:
            RuntimeError: it cannot be started.
        """
        with self._lock:
            if (
                self._starting >= len(self._queue)
                or self._starting + len(self._made) >= self._limit
                or self._threads >= self._most
            ):
                return
            self._starting += 1
            self._threads += 1
        try:
            _thread(self._work).start()
        except BaseException:
            with self._lock:
                self._starting -= 1
                self._threads -= 1
            raise

    def _no_thread_for(self, job: Job) -> None:
        """Leave the job to the threads that run; if there are none, say so to all who wait.

        Called while the error is handled that says that a thread could not be started.
        """
        with self._lock:
            if self._threads:
                return
            stranded = [other for other in self._queue if other is not job]
            self._queue.clear()
        for other in stranded:  # submitted meanwhile, counting on this thread
            other.fail(RuntimeError("can't start new thread"))
        raise

    def _work(self) -> None:
        with self._lock:
            self._starting -= 1
            job = self._next()
        while job is not None:
            try:
                job.run()
            except BaseException:
                with self._lock:
                    self._made.discard(job)
                    self._threads -= 1
                raise
            with self._lock:
                self._made.discard(job)
                job = self._next()

    def _next(self) -> Job | None:
        """The next call for a thread to make; None if it is to end."""
        if not self._queue or self._starting + len(self._made) >= self._limit:
            self._threads -= 1
            return None
        job, _ = self._queue.popitem(last=False)
        self._made.add(job)
        return job


def _thread(work: Callable[[], None]) -> threading.Thread:
    try:
        return threading.Thread(target=work, name="aconnect lookup", daemon=True)
    except RuntimeError:  # a subinterpreter may forbid daemon threads
        return threading.Thread(target=work, name="aconnect lookup", daemon=False)


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
