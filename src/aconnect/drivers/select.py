"""Which driver goes with what is running.

Rules:

* What runs decides, never a setting.
* Where nothing runs, the calling thread can be what waits; it is asked for by name, for it blocks.
* The drivers of asyncio are imported with this module, so that no dial has to wait for that, or
  for want of a descriptor cannot.  So is that of trio if trio has been imported; if not, the first
  dial that trio runs imports it.
* Trio's driver has no state, and there is one.
* An asyncio loop keeps its driver for as long as it lives: the driver knows who waits for
  which socket there.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from weakref import finalize

from ..explanations.extras import not_installed
from .asyncio_proactor import AsyncioProactorDriver
from .asyncio_selector import AsyncioSelectorDriver
from .blocking import BlockingDriver
from .running import anything_runs, in_trio, running_asyncio

if TYPE_CHECKING:
    from .base import DialDriver, Driver

__all__ = ["calling_thread", "driver_of", "running_driver"]

_DRIVERS: Final[dict[int, Driver]] = {}
# By the id of the loop: what weakref.WeakKeyDictionary does, without its cost on every connect.
_CALLING_THREAD: Final = BlockingDriver()


def running_driver() -> Driver:
    """The driver of the event loop that is running in this thread.

    Raises:
        RuntimeError: none is.
        ImportError: trio is, but anyio is not installed.
        OSError: trio is, and its driver cannot be imported now.
    """
    if "trio" in sys.modules and in_trio():  # most programs have not imported it
        return _trio_driver()
    driver = _DRIVERS.get(id(asyncio._get_running_loop()))
    return driver_of(running_asyncio()) if driver is None else driver


def driver_of(loop: asyncio.AbstractEventLoop) -> Driver:
    """The driver of a loop of asyncio that is running in this thread."""
    key = id(loop)
    driver = _DRIVERS.get(key)
    if driver is None:
        driver = _DRIVERS[key] = _asyncio_driver(loop)
        # The loop's end comes before another can have its id.
        finalize(loop, _DRIVERS.pop, key).atexit = False
    return driver


def calling_thread() -> DialDriver:
    """The driver that blocks the calling thread.

    Raises:
        RuntimeError: an event loop is running in it.
    """
    if anything_runs():
        raise RuntimeError(
            "an event loop is running in this thread, and this call would block it: await "
            "aconnect() instead, or make this call in another thread"
        )
    return _CALLING_THREAD


def _asyncio_driver(loop: Any) -> Driver:
    # The only way to know what a loop can do is to have it do it.  No descriptor is -1, so
    # nothing is registered.
    try:
        loop.add_writer(-1, lambda: None)
    except NotImplementedError:
        return AsyncioProactorDriver()
    except (OSError, ValueError):
        pass
    return AsyncioSelectorDriver()


@cache
def _trio_driver() -> Driver:
    try:
        # Anyio would import this in the first wait, while a deadline runs.
        import anyio._backends._trio  # noqa: F401
        import trio.lowlevel

        from .anyio_generic import AnyioDriver
    except ImportError as error:
        raise ImportError(not_installed("anyio", "trio")) from error
    return AnyioDriver(trio.lowlevel.checkpoint)


def _prepare() -> None:
    """Import the driver of trio, if it may be needed."""
    if "trio" in sys.modules:
        with suppress(ImportError):
            _trio_driver()


_prepare()
