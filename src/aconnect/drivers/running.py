"""What is running in this thread.

Rules:

* Trio is asked first: in guest mode it runs on top of another loop.
* Trio is not imported: where it is running, it has been.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

__all__ = ["anything_runs", "in_trio", "running_asyncio"]

_MODULES: Final[dict[str, Any]] = sys.modules


def in_trio() -> bool:
    """Whether this is a task of trio's."""
    trio = _MODULES.get("trio.lowlevel")
    return trio is not None and bool(trio.in_trio_task())


def anything_runs() -> bool:
    """Whether any event loop is running in this thread."""
    return asyncio._get_running_loop() is not None or in_trio()


def running_asyncio() -> asyncio.AbstractEventLoop:
    """The loop of asyncio, or uvloop, that is running in this thread.

    Raises:
        RuntimeError: none is.
    """
    loop = asyncio._get_running_loop()
    if loop is None:
        raise RuntimeError(
            "no event loop is running here: await this inside asyncio.run(main()), "
            "uvloop.run(main()) or trio.run(main)"
        )
    return loop
