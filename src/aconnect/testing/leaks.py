"""What is open and what runs, looked at twice; the difference is what was left.

Rules:

* Looking changes nothing, and keeps nothing alive.
* A thread may need a moment to end, and what it holds ends with it: threads come first, and then
  descriptors.
* A thread that its library keeps for the next call is nobody's leak.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from .descriptors import describe_descriptor, open_descriptors
from .loop_contents import Leak, LoopContents, Seen

if TYPE_CHECKING:
    from collections.abc import Container
    from types import FrameType

__all__ = ["Leak", "Snapshot", "leaks_since", "snapshot"]

_KEPT: Final = re.compile(r"Trio thread \d+")
"""Trio keeps a thread for ten seconds after its last call; it has this name then, and the name of
the call while it makes one."""


class Snapshot:
    """What was open and what ran at one moment.  Keeps nothing of it open or alive."""

    def __init__(self, contents: LoopContents | None) -> None:
        self._contents = contents
        self._threads = Seen(threading.enumerate())
        self._descriptors = open_descriptors()

    def left(self, grace: float = 0.0, kept: Container[threading.Thread] = ()) -> list[Leak]:
        """What has come since and is still there.

        Args:
            grace: seconds that threads have to end.
            kept: threads that are not counted.
        """
        leaks = [] if self._contents is None else self._contents.left()
        leaks += [
            Leak("thread", _describe_thread(each)) for each in self._new_threads(grace, kept)
        ]
        leaks += [
            Leak("descriptor", describe_descriptor(number))
            for number, identity in open_descriptors().items()
            if self._descriptors.get(number) != identity
        ]
        return leaks

    def _new_threads(
        self, grace: float, kept: Container[threading.Thread]
    ) -> list[threading.Thread]:
        until = monotonic() + grace  # not the module's: a VirtualClock may stand still there
        left = []
        for thread in threading.enumerate():
            # Nobody can tell when a thread that is not Python's own has ended.
            if thread in self._threads or isinstance(thread, threading._DummyThread):
                continue
            while thread.is_alive() and not _is_kept(thread, kept):
                if monotonic() >= until:
                    left.append(thread)
                    break
                thread.join(min(_LOOK_AGAIN, grace))
        return left


_LOOK_AGAIN: Final = 0.05
"""Seconds: how soon it is seen that a thread has become one that its library keeps."""


def snapshot(loop: asyncio.AbstractEventLoop | None = None) -> Snapshot:
    """What is open and what runs now: descriptors, threads, and what an event loop has.

    Args:
        loop: a loop of asyncio's kind that is not closed and not running in another thread.
            By default the one that is running here, or the run of trio; if none is, no loop
            is looked at.

    Raises:
        TypeError: ``loop`` is no event loop.

    It starts nothing and waits for nothing.  It lists ``/proc/self/fd``, which blockbuster, if it
    watches the loop, has to be told to allow: ``can_block_in("aconnect/testing/descriptors.py",
    "open_descriptors")`` for ``os.listdir``.
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
    """What has come since ``before`` and is still there: the loop's first, threads, descriptors.

    It is to be called where ``before`` was taken: a run of trio's in that run.

    Args:
        grace: seconds that threads have to end, during which this blocks.

    Raises:
        TypeError, ValueError: ``before`` is no snapshot, or ``grace`` no number of seconds.

    Not counted: the threads that trio keeps for its next call, those that are not Python's, and a
    loop that has been closed since.  Nothing is collected first: call `gc.collect` to have only
    what is still in use reported.
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
    frames: list[FrameType] = []
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        frames.insert(0, frame)
        frame = frame.f_back
    # How it was started, and that it waits for an event, is told only if there is nothing else.
    told = [each for each in frames if each.f_code.co_filename != threading.__file__] or frames
    ends = told[:1] + told[1:][-1:]
    return ", in ".join([repr(thread.name), *map(_place, ends)])


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_name} at {frame.f_code.co_filename}:{frame.f_lineno}"
