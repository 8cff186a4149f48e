"""Threads for blocking calls that cannot be cancelled: name lookups.

Rules:

* Daemon threads: a process never waits at exit for a name server.  (That rules out
  `concurrent.futures`, whose threads are joined.)
* At most ``limit`` at a time; further calls queue.
* No idle threads: one that finds the queue empty ends.  Starting one costs tens of
  microseconds, a lookup hundreds, so keeping them would gain nothing.
* A call that is abandoned before a thread took it is never made.
* A thread may outlive the loop that wants to know, for as long as a name server is silent.  What
  it is given to deliver with must not keep that loop alive.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LOOKUPS", "LOOKUP_LIMIT", "DaemonThreads", "Job", "start_lookup"]

LOOKUP_LIMIT: Final = 32
"""Lookups at a time.  A name server that is down holds a thread for as long as the system's
resolver is patient (10 seconds by default), so this is generous: asyncio's default executor
has as few as 5 threads, trio's limit is 40."""


class Job:
    """A blocking call on its way through `DaemonThreads`."""

    __slots__ = ("_call", "_deliver")

    def __init__(
        self, call: Callable[[], Any], deliver: Callable[[Any, BaseException | None], None]
    ) -> None:
        self._call: Callable[[], Any] | None = call
        self._deliver = deliver

    def abandon(self) -> None:
        """Do not make the call, if it has not been made yet."""
        self._call = None

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
    """

    def __init__(self, limit: int = LOOKUP_LIMIT) -> None:
        self._limit = limit
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._queue: deque[Job] = deque()
        self._running = 0

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
        job = Job(call, deliver)
        with self._lock:
            self._queue.append(job)
            if self._running == self._limit:
                return job
            self._running += 1
        try:
            threading.Thread(target=self._work, name="aconnect lookup", daemon=True).start()
        except RuntimeError:
            self._no_thread_for(job)
        return job

    def _no_thread_for(self, job: Job) -> None:
        """Leave the job to the threads that run; if there are none, say so to all who wait.

        Called while the error is handled that says that a thread could not be started.
        """
        with self._lock:
            self._running -= 1
            if self._running:
                return
            stranded = [other for other in self._queue if other is not job]
            self._queue.clear()
        for other in stranded:  # submitted meanwhile, counting on this thread
            other.fail(RuntimeError("can't start new thread"))
        raise

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._running -= 1
                    return
                job = self._queue.popleft()
            try:
                job.run()
            except BaseException:
                with self._lock:
                    self._running -= 1
                raise
            del job


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
