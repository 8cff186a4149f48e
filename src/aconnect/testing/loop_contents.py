"""What an event loop has: tasks, timers, readers and writers; and what of it is new.

Rules:

* Looking changes nothing: nothing is run, cancelled or unregistered.
* Nothing is kept alive: what was there before is known by weak references, and what is new is
  told as text.
* What a loop does not tell is not guessed.

asyncio's own loops tell all four: tasks by `asyncio.all_tasks`, timers by the loop's heap, readers
and writers by its selector.  uvloop tells of tasks, and CPython's garbage collector of the objects
that its loop holds: its timers and its polls.  A loop of another kind tells of its tasks only.  A
run of trio tells of its tasks; there, a deadline and a wait for a descriptor are a task's, and end
with it.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import ref

from .descriptors import describe_descriptor, descriptor_identity

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator

__all__ = ["Leak", "LoopContents", "Seen", "describe_task", "pool_threads", "tasks_of_trio"]

_OF_TEST_RUNNERS: Final = ("TestRunner._run_tests_and_fixtures",)
"""Coroutines that are no test's: anyio's plugin runs all tests of a loop in one task."""


class Leak(NamedTuple):
    """One thing that was left.

    Attributes:
        kind: "descriptor", "reader", "writer", "timer", "task", "thread", "process", "signal
            handler", or "object" for one that was never closed.
        text: which one, and where it comes from.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind} {self.text}"


class Seen:
    """Objects, known again by their identity and not kept alive."""

    def __init__(self, objects: Iterable[Any] = ()) -> None:
        self._references = {id(each): ref(each) for each in objects}

    def __contains__(self, thing: object) -> bool:
        reference = self._references.get(id(thing))
        return reference is not None and reference() is thing


class LoopContents:
    """What one loop has now, to be compared with what it has later.

    Args:
        loop: a loop of asyncio's kind that is not closed; None for the run of trio that is
            running here.
        empty: take it that there is nothing yet, as in a loop that was just made.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None, *, empty: bool = False) -> None:
        self._loop = None if loop is None else ref(loop)
        self._tasks = Seen(() if empty else _tasks(loop))
        self._timers = Seen(() if empty else _timers(loop))
        self._registered = set() if empty else {each.identity for each in _registered(loop)}

    @property
    def closed(self) -> bool:
        """Whether the loop has been closed since, or is gone."""
        if self._loop is None:
            return False
        loop = self._loop()
        return loop is None or loop.is_closed()

    def left(self) -> list[Leak]:
        """What has come since and is still there; nothing if the loop has been closed.

        It must not be called while the loop runs in another thread.
        """
        if self.closed:
            return []
        loop = None if self._loop is None else self._loop()
        leaks = [
            Leak(each.kind, each.text)
            for each in _registered(loop)
            if each.identity not in self._registered
        ]
        for timer in _timers(loop):
            if timer not in self._timers:
                due = timer.when() - loop.time()  # type: ignore[union-attr]  # trio has no timers
                leaks.append(Leak("timer", f"that is due in {due:.3f} s: {timer!r}"))
        new = [task for task in _tasks(loop) if task not in self._tasks]
        leaks += [Leak("task", text) for text in sorted(map(describe_task, new))]
        return leaks


class _Registered(NamedTuple):
    """A reader or a writer."""

    kind: str
    fd: int
    handle: object

    @property
    def identity(self) -> tuple[Any, ...]:
        """Which descriptor it is for: one and the same may be registered with another callback."""
        return self.kind, self.fd, descriptor_identity(self.fd)

    @property
    def text(self) -> str:
        return f"of descriptor {describe_descriptor(self.fd)}: {self.handle!r}"


def _tasks(loop: asyncio.AbstractEventLoop | None) -> Iterable[Any]:
    if loop is None:
        return tasks_of_trio()
    return [
        task
        for task in asyncio.all_tasks(loop)
        if getattr(task.get_coro(), "__qualname__", "") not in _OF_TEST_RUNNERS
    ]


def tasks_of_trio() -> list[Any]:
    """The tasks of the run of trio that is running in this thread."""
    trio: Any = sys.modules["trio.lowlevel"]
    tasks = [trio.current_root_task()]
    for task in tasks:  # which grows
        for nursery in task.child_nurseries:
            tasks += nursery.child_tasks
    return tasks


def _timers(loop: Any) -> list[Any]:
    timers = getattr(loop, "_scheduled", None)
    if timers is None:
        sets = (each for each in _held_by(loop) if isinstance(each, set))
        timers = [each for held in sets for each in held if type(each).__name__ == "TimerHandle"]
    return [timer for timer in timers if not timer.cancelled()]


def _registered(loop: Any) -> list[_Registered]:
    selector = getattr(loop, "_selector", None)
    found = _of_polls(loop) if selector is None else _of_selector(loop, selector)
    return [_Registered(kind, fd, handle) for kind, fd, handle in found if handle is not None]


def _of_selector(loop: Any, selector: Any) -> Iterator[tuple[str, int, Any]]:
    own = getattr(loop, "_ssock", None)  # what wakes it up
    keys = selector.get_map() if isinstance(selector, selectors.BaseSelector) else None
    for key in list((keys or {}).values()):
        if own is None or key.fd != own.fileno():
            reader, writer = key.data
            yield "reader", key.fd, reader
            yield "writer", key.fd, writer


def _of_polls(loop: Any) -> Iterator[tuple[str, int, Any]]:
    for held in _held_by(loop):
        for fd, poll in held.items() if isinstance(held, dict) else ():
            if type(poll).__name__ == "UVPoll":
                reader, writer = gc.get_referents(poll)[-2:]
                if "_read_from_self" not in repr(reader):  # what wakes it up
                    yield "reader", fd, reader
                    yield "writer", fd, writer


def pool_threads(loop: Any) -> set[threading.Thread]:
    """The threads of a loop's default executor, which are its own until it is closed."""
    own = getattr(loop, "_default_executor", None)
    pools = [own] if own is not None else _held_by(loop)
    return {
        thread
        for pool in pools
        if isinstance(pool, ThreadPoolExecutor)
        for thread in pool._threads
    }


def _held_by(loop: Any) -> list[Any]:
    """The objects that a loop of uvloop's holds."""
    return gc.get_referents(loop) if type(loop).__module__.startswith("uvloop") else []


def describe_task(task: Any) -> str:
    """A task of asyncio's or trio's: its name, and where its coroutine is."""
    if isinstance(task, asyncio.Future):
        name, coroutine = task.get_name(), task.get_coro()  # type: ignore[attr-defined]
    else:
        name, coroutine = task.name, task.coro
    what = getattr(coroutine, "__qualname__", repr(coroutine))
    frame = getattr(coroutine, "cr_frame", None)
    where = f" at {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""
    return f"{name!r}: {what}{where}"
