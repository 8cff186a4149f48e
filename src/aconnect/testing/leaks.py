"""What is open and what runs, looked at twice; the difference is what was left.

Rules:

* Looking changes nothing, and keeps nothing alive.
* What has gone is looked for as well as what has come: a descriptor that somebody else had open
  and that was closed under it is worse than one that was left open.
* A thread may need a moment to end, and what it holds ends with it: threads come first, and then
  descriptors.
* A thread that its library keeps for the next call is nobody's leak.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from .descriptors import describe_descriptor, open_descriptors
from .loop_contents import Leak, LoopContents, Seen
from .process_contents import (
    children,
    describe_child,
    describe_handler,
    raw_threads,
    signal_handlers,
    threads_outside_python,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from types import FrameType

__all__ = ["Leak", "Snapshot", "leaks_since", "snapshot"]

_KEPT: Final = re.compile(r"Trio thread \d+|aconnect idle")
"""Trio keeps a thread for ten seconds after its last call, aconnect for one after a lookup; it has
this name then, and another while it makes a call."""


class Snapshot:
    """What was open and what ran at one moment.  Keeps nothing of it open or alive."""

    def __init__(self, contents: LoopContents | None) -> None:
        self._contents = contents
        self._threads = Seen(threading.enumerate())
        self._raw_threads = set(raw_threads())
        self._outside = threads_outside_python()
        self._children = children()
        self._handlers = signal_handlers()
        self._descriptors = {
            number: (identity, describe_descriptor(number))
            for number, identity in open_descriptors().items()
        }

    def left(self, grace: float = 0.0, kept: Container[threading.Thread] = ()) -> list[Leak]:
        """What has come since and is still there, and what has gone.

        Args:
            grace: seconds that threads have to end.
            kept: threads that are not counted.
        """
        leaks = [] if self._contents is None else self._contents.left()
        until = monotonic() + grace  # not the module's: a VirtualClock may stand still there
        leaks += [Leak("thread", text) for text in self._new_threads(until, kept)]
        leaks += [Leak("thread", text) for text in self._new_raw_threads(until)]
        leaks += [
            Leak("process", describe_child(each)) for each in sorted(children() - self._children)
        ]
        leaks += [
            Leak("signal handler", describe_handler(number))
            for number, handler in signal_handlers().items()
            if self._handlers[number] != handler
        ]
        leaks += [Leak("descriptor", text) for text in self._other_descriptors()]
        return leaks

    @contextmanager
    def closing(self) -> Iterator[None]:
        """While somebody closes what is his: it may have been open before."""
        before = open_descriptors()
        yield
        for number in before.keys() - open_descriptors().keys():
            self._descriptors.pop(number, None)

    def _other_descriptors(self) -> Iterator[str]:
        now, before = open_descriptors(), self._descriptors
        if self._contents is not None and self._contents.closed:
            before = {number: before[number] for number in before.keys() & now.keys()}
        for number in sorted(now.keys() | before.keys()):
            identity, was = before.get(number, (None, None))
            if now.get(number) != identity:
                yield describe_descriptor(number) + (f", in place of {was}" if was else "")

    def _new_raw_threads(self, until: float) -> Iterator[str]:
        while True:
            threads = raw_threads()
            new = [number for number in threads if number not in self._raw_threads]
            outside = threads_outside_python() - self._outside
            if monotonic() >= until or not (new or outside > 0):
                break
            sleep(_LOOK_AGAIN)
        for number in new:
            yield _describe_frames(f"{number}, which is not of threading", threads[number])
        yield from ["which is not of threading, in no Python code"] * outside

    def _new_threads(self, until: float, kept: Container[threading.Thread]) -> Iterator[str]:
        for thread in threading.enumerate():
            if thread in self._threads or isinstance(thread, threading._DummyThread):
                continue
            while thread.is_alive() and not _is_kept(thread, kept):
                left = until - monotonic()
                if left <= 0:
                    yield _describe_thread(thread)
                    break
                thread.join(min(_LOOK_AGAIN, left))


_LOOK_AGAIN: Final = 0.05
"""Seconds: how soon it is seen that a thread has become one that its library keeps."""


def snapshot(loop: asyncio.AbstractEventLoop | None = None) -> Snapshot:
    """What is open and what runs now: descriptors, threads, child processes, signal handlers, and
    what an event loop has.

    Args:
        loop: a loop of asyncio's kind that is not closed and not running in another thread.
            By default the one that is running here, or the run of trio; if none is, no loop
            is looked at.

    Raises:
        TypeError: ``loop`` is not an event loop.

    It starts nothing and waits for nothing.  It reads in ``/proc/self``, which blockbuster, if it
    watches the loop, has to be told to allow: ``can_block_in("aconnect/testing/leaks.py",
    {"__init__", "left"})`` for ``os.listdir`` and ``os.readlink``.
    """
    if loop is not None and not isinstance(loop, asyncio.AbstractEventLoop):
        raise TypeError(f"loop must be an event loop of asyncio's kind, not {loop!r}")
    if loop is None:
        trio: Any = sys.modules.get("trio.lowlevel")
        if trio is not None and trio.in_trio_task():
            return Snapshot(LoopContents(None))
        loop = asyncio._get_running_loop()
    return Snapshot(None if loop is None else LoopContents(loop))


def leaks_since(before: Snapshot, *, grace: float = 0.0) -> list[Leak]:
    """What has come since ``before`` and is still there, and what has gone: the loop's first,
    threads, child processes, signal handlers, descriptors.

    It is to be called where ``before`` was taken: a run of trio's in that run.

    Args:
        grace: seconds that threads have to end, during which this blocks.

    Raises:
        TypeError, ValueError: ``before`` is not a snapshot, or ``grace`` not a number of
            seconds.

    A descriptor that was open before and has been closed is reported, and so is one whose number
    belongs to something else now: somebody may still use it.  Who has opened one closes it after
    this.  Not counted: the threads that trio and aconnect keep for their next call, those that run
    no Python code, and what a loop has that has been closed since; as it may have been the loop's,
    nor what has been closed when that has.  Nothing is collected first: call `gc.collect` to have
    only what is still in use reported.
    """
    if not isinstance(before, Snapshot):
        raise TypeError(f"before must be what snapshot() returned, not {before!r}")
    if isinstance(grace, bool) or not isinstance(grace, (int, float)):
        raise TypeError(f"grace must be a number of seconds, not {grace!r}")
    if not 0 <= grace < threading.TIMEOUT_MAX:
        raise ValueError(f"grace must be a finite number of seconds, 0 or more, not {grace!r}")
    return before.left(grace)


def _is_kept(thread: threading.Thread, kept: Container[threading.Thread]) -> bool:
    return thread in kept or _KEPT.fullmatch(thread.name) is not None


def _describe_thread(thread: threading.Thread) -> str:
    return _describe_frames(repr(thread.name), sys._current_frames().get(thread.ident or 0))


def _describe_frames(name: str, frame: FrameType | None) -> str:
    frames: list[FrameType] = []
    while frame is not None:
        frames.insert(0, frame)
        frame = frame.f_back
    # How it was started, and that it waits for an event, is told only if there is nothing else.
    told = [each for each in frames if each.f_code.co_filename != threading.__file__] or frames
    ends = told[:1] + told[1:][-1:]
    return ", in ".join([name, *map(_place, ends)])


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_name} at {frame.f_code.co_filename}:{frame.f_lineno}"
