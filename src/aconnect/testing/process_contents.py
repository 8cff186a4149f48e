"""What a process has beside descriptors and threads of `threading`: children, signal handlers, and
threads that were started by `_thread`.

Rules:

* Looking changes nothing: no child is waited for, and no handler is set.
* Nothing is kept alive.
* What the platform does not list is not seen: children anywhere but on Linux.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

if TYPE_CHECKING:
    from types import FrameType

__all__ = [
    "children",
    "describe_child",
    "describe_handler",
    "raw_threads",
    "signal_handlers",
    "threads_outside_python",
]

_SIGNALS: Final = sorted(map(int, signal.valid_signals()))
_TASKS: Final = "/proc/self/task"


def children() -> set[int]:
    """The child processes, those included that have ended and were not waited for."""
    found: set[int] = set()
    try:
        threads = os.listdir(_TASKS)
    except OSError:
        return found
    for thread in threads:
        found.update(map(int, _read(f"{_TASKS}/{thread}/children").split()))
    return found


def describe_child(number: int) -> str:
    """A child process in words: its number, its command, and whether it has ended."""
    command = _read(f"/proc/{number}/cmdline").rstrip("\0").replace("\0", " ")
    name, _, state = _read(f"/proc/{number}/stat").partition("(")[2].rpartition(") ")
    ended = ", which has ended and was not waited for" if state.startswith("Z") else ""
    return f"{number} ({command or name or 'gone'}){ended}"


def _read(path: str) -> str:
    try:
        with Path(path).open("rb", buffering=0) as file:
            return os.fsdecode(file.read())
    except OSError:
        return ""  # it has ended


def signal_handlers() -> dict[int, Any]:
    """What the handler of each signal is known again by."""
    return {number: _known_by(signal.getsignal(number)) for number in _SIGNALS}


def _known_by(handler: Any) -> Any:
    try:
        return ref(handler)
    except TypeError:  # SIG_DFL and the like
        return id(handler)


def describe_handler(number: int) -> str:
    """A signal and its handler in words."""
    try:
        name = signal.Signals(number).name
    except ValueError:  # a real-time one
        name = f"signal {number}"
    return f"of {name}: {signal.getsignal(number)!r}"


def raw_threads() -> dict[int, FrameType]:
    """The threads that `threading` has not started and that run Python code, each by its number,
    and where it is."""
    known = _of_threading()
    return {
        number: frame
        for number, frame in sys._current_frames().items()
        if number not in known and not _is_ending(frame)
    }


def threads_outside_python() -> int:
    """How many threads that `_thread` has started run no Python code, but wait for a lock, say."""
    others = (_of_threading() | sys._current_frames().keys()) - {threading.main_thread().ident}
    return max(0, _thread._count() - len(others))


def _of_threading() -> set[int | None]:
    return {
        each.ident
        for each in threading.enumerate()
        if not isinstance(each, threading._DummyThread)
    }


def _is_ending(frame: FrameType) -> bool:
    """Whether this is a thread of `threading` that is not listed yet, or not any more."""
    at: FrameType | None = frame
    while at is not None:
        first, at = at, at.f_back
    return (first.f_code.co_filename, first.f_code.co_name) == (threading.__file__, "_bootstrap")
