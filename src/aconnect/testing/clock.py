"""Time for tests that takes no time.

Rules:

* All of aconnect, and asyncio's loops, read `time.monotonic` through the module.  While the clock
  is on, that is the clock's.
* It begins at the next whole second of the real clock: deadlines made before still mean something,
  and sums with fractions of a second are exact.
* Time passes only when the loop has nothing else to do; then it passes to the next timer at once.
* A loop that keeps time by itself is refused.  Were it not, each would wait for the other.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..drivers.running import in_trio
from .outcomes import seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Self

    import trio

__all__ = ["VirtualClock"]

T = TypeVar("T")

_LOCK: Final = threading.Lock()


class VirtualClock:
    """A clock that replaces `time.monotonic` and jumps to the next timer instead of waiting.

    A context manager: it is on from ``with`` to the end of it, for the whole process, but for
    threads that have an event loop of another's running.  Only one can be on at a time.  `run`
    turns it on by itself.

    What it drives are loops of `new_event_loop`, and trio by `new_trio_clock`; one at a time.
    uvloop has its clock in C, and is refused: what asks for the time there gets a RuntimeError,
    and so does what asks in an asyncio loop that is not from here.

    It sees timers and no more.  A worker thread, another process or a real network takes real
    time, for which a loop with a timer does not wait: the clock passes to the timer.  So names are
    to be resolved without threads (by a `FakeNetwork`, a `StaticResolver`).  A loop without any
    timer does wait.

    Raises:
        RuntimeError: on entering, another one is on.
    """

    def __init__(self) -> None:
        self._on = False
        self._real: Callable[[], float] = time.monotonic
        self._start = 0.0
        self._now = 0.0
        self._thread = 0
        self._trio: trio.testing.MockClock | None = None

    def __enter__(self) -> Self:
        with _LOCK:
            if isinstance(getattr(time.monotonic, "__self__", None), VirtualClock):
                raise RuntimeError("a VirtualClock is already on, and there can only be one")
            self._real = time.monotonic
            self._start = self._now = float(math.ceil(self._real()))
            self._thread = threading.get_ident()
            self._trio = None
            self._on = True
            time.monotonic = self._read
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop_trio()
        self._on = False
        time.monotonic = self._real

    @property
    def now(self) -> float:
        """The time in seconds, which `time.monotonic` returns while the clock is on."""
        if self._trio is not None:
            return self._now + self._trio.current_time()  # that begins at 0
        return self._now

    @property
    def elapsed(self) -> float:
        """Seconds since it was turned on; once it is off, the seconds that it was on.

        To the microsecond: the clock goes on from where the system's was.
        """
        return round(self.now - self._start, 6)

    def advance(self, seconds: float) -> None:
        """Advance the time by hand.

        Args:
            seconds: at least 0, finite.

        Raises:
            TypeError, ValueError: it is not.
            RuntimeError: the clock is not on.
        """
        seconds_of(seconds, "seconds")
        self._check_on()
        if self._trio is not None:
            self._trio.jump(seconds)
        else:
            self._now += seconds

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """A new asyncio loop that runs by this clock, for a ``loop_factory``.

        Raises:
            RuntimeError: the clock is not on.
        """
        self._check_on()
        self._stop_trio()
        return _Loop(self)

    def new_trio_clock(self) -> trio.testing.MockClock:
        """A new clock for ``trio.run(..., clock=)``, which makes trio run by this one.

        Raises:
            RuntimeError: this clock is not on.
            ImportError: trio is not installed.
        """
        self._check_on()
        import trio.testing

        self._stop_trio()
        self._trio = trio.testing.MockClock(autojump_threshold=0)
        return self._trio

    def run(
        self,
        main: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        backend: str = "asyncio",
    ) -> T:
        """Run a coroutine function in a new event loop by this clock, turning the clock on if it
        is off.

        Args:
            main: is called with ``args``.
            backend: ``"asyncio"`` or ``"trio"``.

        Returns:
            What it returned.

        Raises:
            ValueError: there is no such backend, or it is uvloop's, whose clock is in C.
            ImportError: trio is not installed.
            BaseException: what ``main`` raised.
        """
        if backend not in ("asyncio", "trio"):
            why = ": its clock is in C" if backend == "uvloop" else ""
            raise ValueError(f"backend must be 'asyncio' or 'trio', not {backend!r}{why}")
        if not self._on:
            with self:
                return self._run(main, args, backend)
        return self._run(main, args, backend)

    def _run(
        self, main: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...], backend: str
    ) -> T:
        if backend == "asyncio":
            with asyncio.Runner(loop_factory=self.new_event_loop) as runner:
                return runner.run(main(*args))
        clock = self.new_trio_clock()
        import trio

        async def begin() -> T:  # trio.run() takes functions whose awaitables it can name
            return await main(*args)

        result: T = trio.run(begin, clock=clock)
        return result

    def _stop_trio(self) -> None:
        self._now, self._trio = self.now, None

    def _check_on(self) -> None:
        if not self._on:
            raise RuntimeError("the VirtualClock is not on: use it in a with statement")

    def _read(self) -> float:
        """What `time.monotonic` is while the clock is on."""
        if not self._drives_what_runs():
            if threading.get_ident() != self._thread:
                return self._real()
            raise RuntimeError(
                "a VirtualClock is on, and the event loop that is running keeps time by itself "
                "(as uvloop does): run clock.new_event_loop(), or trio by clock.new_trio_clock()"
            )
        return self.now

    def _drives_what_runs(self) -> bool:
        """Whether what runs in this thread, if anything, goes by this clock."""
        if in_trio():
            import trio

            return trio.lowlevel.current_clock() is self._trio
        loop = asyncio._get_running_loop()
        return loop is None or (isinstance(loop, _Loop) and loop.clock is self)

    def _passes(self, seconds: float) -> None:
        self._now += seconds


class _Loop(asyncio.SelectorEventLoop):
    """An asyncio loop for which time passes to the next timer when nothing else is to be done."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        super().__init__(_Selector(clock))

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002
        """Wait for its threads without a limit: they take real time, and a timer would not."""
        await super().shutdown_default_executor()


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type,misc,unused-ignore]
    """Waits for a timeout by letting the clock pass it."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self._clock._passes(timeout)
        return ready
