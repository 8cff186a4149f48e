"""Reports of the dials that a piece of code makes, whoever makes them for it.

Rules:

* What counts is the context (`contextvars`): a dial belongs to the code whose context it runs in,
  and so it does in a task or a pool of a client that took over that context.
* Where nobody captures, nothing is paid but a look at an empty dict.
* A task that outlives the block keeps its context, and adds nothing to it any more.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .report import Report

__all__ = ["OPEN", "capture", "captures"]

OPEN: Final[dict[int, list[Report]]] = {}
"""What is being captured in any context, by identity: lists compare by what is in them."""

_HERE: Final[ContextVar[tuple[list[Report], ...]]] = ContextVar("aconnect.capture", default=())


@contextmanager
def capture() -> Iterator[list[Report]]:
    """Collect the report of every dial that is made in a block of code.

    It is a context manager: ``with capture() as reports``.  The block's are the dials that it
    makes by itself, by a client with an adapter, by a routed loop, and in tasks that are created
    in it.  So the connects of one request can be told apart from those of others.  A client that
    takes a connection from its pool makes none.

    Yields:
        A list, to which each dial's `Report` is added when it starts.  It is complete when the
        dials are over; what starts after the block is not in it.

    Blocks may be nested: each has all that is in it.  One of them is for one use.  A report that
    the call was given anyway (``report=``) is the one that is added.

    Usable on every event loop, and in threads: each has its own context, unless it was given one,
    as `asyncio.to_thread` does.
    """
    reports: list[Report] = []
    OPEN[id(reports)] = reports
    _HERE.set((*_HERE.get(), reports))
    try:
        yield reports
    finally:
        del OPEN[id(reports)]
        # No reset(): the block may end in another context, in a fixture that yields for example.
        _HERE.set(tuple(each for each in _HERE.get() if each is not reports))


def captures() -> list[list[Report]]:
    """Those that this context is within."""
    return [each for each in _HERE.get() if id(each) in OPEN]
