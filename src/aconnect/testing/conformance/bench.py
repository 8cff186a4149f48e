"""What the conformance checks run on: rules, and tasks beside a check, on asyncio and trio.

Rules:

* A rule has a name and the words of the protocol; its check says what was seen instead.
* A check has a limited time, and what it started ends with it.
* Nothing of aconnect's is used to wait: it may be what is checked.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from ..loop_contents import LoopContents

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from typing import Self

__all__ = [
    "SHORT", "Bench", "Broken", "NotApplicable", "NotConformant", "Rule", "Rules", "Task",
    "expect", "moment", "not_before", "nothing_left",
]  # fmt: skip

T = TypeVar("T")

SHORT: Final = 0.05
"""Seconds: a wait that is over soon, and longer than any clock is coarse."""

_EARLY: Final = 0.02
"""Seconds that a wait may end before its moment: a tick of the coarsest clock is 16 ms."""

_PAUSE: Final = 0.001
"""Seconds between two looks at something that a thread does."""


class Broken(NamedTuple):
    """A rule that was not kept.

    Attributes:
        rule: its name.
        words: what it says.
        seen: what was seen instead.
    """

    rule: str
    words: str
    seen: str


class NotConformant(AssertionError):
    """Rules of a protocol were not kept.

    Attributes:
        broken: each of them, with what was seen.
        ran: the names of all rules that were checked, these included.
    """

    def __init__(self, what: object, broken: Sequence[Broken], ran: Sequence[str]) -> None:
        self.broken: tuple[Broken, ...] = tuple(broken)
        self.ran: tuple[str, ...] = tuple(ran)
        lines = [f"  {each.rule}: {each.words}\n    Seen: {each.seen}" for each in broken]
        super().__init__(f"{what!r} does not conform:\n" + "\n".join(lines))


class NotApplicable(Exception):
    """A rule says nothing of what is being checked."""


class _Seen(Exception):
    """What was seen, which is not what the rule says."""


def expect(condition: object, seen: str) -> None:
    """Have the rule be broken unless the condition holds; ``seen`` is what was seen."""
    if not condition:
        raise _Seen(seen)


def moment(seconds: float) -> float:
    """The moment that comes in so many seconds."""
    return time.monotonic() + seconds


def not_before(when: float) -> None:
    """Have the rule be broken if a moment has not come yet."""
    early = when - time.monotonic()
    expect(early <= _EARLY, f"it ended {early:.3f} s before the moment")


def nothing_left(before: LoopContents) -> None:
    """Have the rule be broken if the loop has more than it had."""
    left = before.left()
    expect(not left, f"left behind: {'; '.join(map(str, left))}")


class Rule(NamedTuple):
    """One rule, and what checks it.

    Attributes:
        first: whether nothing else can be checked where it is broken.
    """

    name: str
    words: str
    check: Callable[..., Coroutine[Any, Any, None]]
    first: bool


class Rules(list[Rule]):
    """The rules of one protocol, in the order in which they are checked."""

    def add(
        self, name: str, words: str, *, first: bool = False
    ) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], None]:
        """Have the decorated function check a rule."""

        def add(check: Callable[..., Coroutine[Any, Any, None]]) -> None:
            self.append(Rule(name, words, check, first))

        return add

    async def check(self, what: object, limit: float, *args: Any) -> tuple[str, ...]:
        """Check all rules, one after the other.

        Args:
            what: is checked.
            limit: seconds for what must happen; a check may take twice as long.
            args: what each check is called with, after its bench and ``what``.

        Returns:
            The names of those that were checked.

        Raises:
            NotConformant: some were broken.
        """
        ran: list[str] = []
        broken: list[Broken] = []
        for rule in self:
            async with Bench(limit) as bench:
                task = bench.start(_begin, rule.check, bench, what, *args)
                seen = await _seen(bench, task)
            if isinstance(task.error, NotApplicable):
                continue
            ran.append(rule.name)
            if seen is not None:
                broken.append(Broken(rule.name, rule.words, seen))
                if rule.first:
                    break
        if broken:
            raise NotConformant(what, broken, ran)
        return tuple(ran)


async def _begin(check: Callable[..., Awaitable[None]], bench: Bench, *args: Any) -> None:
    await bench.sleep(0)  # until there is the timer that limits it, where tasks are eager
    await check(bench, *args)


async def _seen(bench: Bench, task: Task) -> str | None:
    await task.wait(2 * bench.limit)
    if not task.done:
        return f"it took longer than {2 * bench.limit:g} s"
    if task.cancelled:
        return "it was cancelled, though nobody had asked for that"
    if task.error is None or isinstance(task.error, _Seen):
        return None if task.error is None else str(task.error)
    return f"{type(task.error).__name__} was raised: {task.error}"


class Task:
    """A coroutine that runs beside a check.

    Attributes:
        done: whether it has ended.
        cancelled: whether it has ended by a cancellation.
        result: what it returned.
        error: what it raised.
    """

    def __init__(self) -> None:
        self.done: bool = False
        self.cancelled: bool = False
        self.result: Any = None
        self.error: Exception | None = None
        self.cancel: Callable[[], object]
        self.wait: Callable[[float], Awaitable[object]]

    @property
    def outcome(self) -> str:
        """What became of it, in words."""
        if not self.done:
            return "it has not ended"
        if self.cancelled:
            return "it was cancelled"
        if self.error is not None:
            return f"{self.error!r} was raised"
        return f"{self.result!r} was returned"

    async def run(
        self, kind: type[BaseException], function: Callable[..., Awaitable[Any]], args: Any
    ) -> None:
        """Run it; ``kind`` is what a cancellation raises."""
        try:
            self.result = await function(*args)
        except Exception as error:
            self.error = error
        except kind:
            self.cancelled = True
            raise
        finally:
            self.done = True

    def over(self, running: asyncio.Task[None]) -> None:
        """It has ended; one of asyncio's that was cancelled at once has never run."""
        self.done = True
        self.cancelled = running.cancelled()


class Bench:
    """Tasks, turns and threads of the event loop that is running: asyncio's kind, or trio.

    When it is left, its tasks are cancelled and have ended.

    Args:
        limit: seconds for what must happen.

    Raises:
        RuntimeError: no loop is running.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        trio: Any = sys.modules.get("trio")
        self._trio = trio if trio is not None and trio.lowlevel.in_trio_task() else None
        self._loop = None if self._trio is not None else asyncio.get_running_loop()
        self._tasks: list[Task] = []

    async def __aenter__(self) -> Self:
        if self._trio is not None:
            self._nursery = self._trio.open_nursery()
            self._soon = (await self._nursery.__aenter__()).start_soon
        return self

    async def __aexit__(self, *exception: object) -> None:
        for task in self._tasks:
            task.cancel()
        if self._trio is not None:
            await self._nursery.__aexit__(None, None, None)
        for task in self._tasks:
            await self.ended(task)

    def contents(self) -> LoopContents:
        """What the loop has now."""
        return LoopContents(self._loop)

    def start(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Task:
        """Start a coroutine function in a task."""
        task = Task()
        if self._trio is not None:
            self._start_in_trio(task, function, args)
        else:
            running = asyncio.ensure_future(task.run(asyncio.CancelledError, function, args))
            running.add_done_callback(task.over)
            task.cancel = running.cancel
            task.wait = lambda limit: asyncio.wait([running], timeout=limit)
        self._tasks.append(task)
        return task

    def _start_in_trio(
        self, task: Task, function: Callable[..., Awaitable[Any]], args: Any
    ) -> None:
        trio: Any = self._trio
        scope = trio.CancelScope()
        over = trio.Event()

        async def run() -> None:
            try:
                with scope:
                    await task.run(trio.Cancelled, function, args)
            finally:
                over.set()

        async def wait(limit: float) -> None:
            with trio.move_on_after(limit):
                await over.wait()

        task.cancel, task.wait = scope.cancel, wait
        self._soon(run)

    async def ended(self, task: Task) -> bool:
        """Wait until a task has ended; whether it has, within the limit."""
        await task.wait(self.limit)
        return task.done

    async def stopped(self, task: Task) -> None:
        """Cancel a task, and have the rule be broken unless that ends it."""
        task.cancel()
        expect(await self.ended(task), "a cancellation did not end it")
        expect(task.error is None, f"a cancellation made it raise {task.error!r}")
        expect(task.cancelled, "a cancellation was not passed on")

    async def sleep(self, seconds: float) -> None:
        """Let the loop run for so long; 0 for one turn."""
        await (self._trio or asyncio).sleep(seconds)

    async def turns(self, number: int = 10) -> None:
        """Let the loop turn, so that everything that need not wait comes to wait."""
        for _ in range(number):
            await self.sleep(0)

    async def until(self, condition: Callable[[], object]) -> bool:
        """Wait until something is so; whether it is, within the limit."""
        end = moment(self.limit)
        while not condition():
            if time.monotonic() >= end:
                return False
            await self.sleep(_PAUSE)
        return True

    async def linger(self, condition: Callable[[], object]) -> None:
        """Wait until something is so, and for ten turns, whatever cancels that."""
        turns = 0
        while turns < 10 or not condition():
            turns += 1
            if self._trio is not None:
                with self._trio.CancelScope(shield=True):
                    await self.sleep(0)
            else:
                try:
                    await self.sleep(0)
                except asyncio.CancelledError:
                    pass

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Make a call that may block."""
        if self._trio is not None:
            return await self._trio.to_thread.run_sync(call)  # type: ignore[no-any-return]
        return await asyncio.to_thread(call)
