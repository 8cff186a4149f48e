"""Which driver goes with what is running.

Rules:

* What runs decides, never a setting.
* Trio is asked first: in guest mode it runs on top of another loop.
* No event loop library is imported here before it is known to be running.
* An asyncio loop keeps its driver for as long as it lives: the driver knows who waits for
  which socket there.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

if TYPE_CHECKING:
    import asyncio

    from .base import Driver

__all__ = ["driver_of", "in_trio", "running_driver"]

_MODULES: Final[dict[str, Any]] = sys.modules

_DRIVERS: Final[dict[ref[asyncio.AbstractEventLoop], Driver]] = {}
# What weakref.WeakKeyDictionary does, without its Python code on every connect.


def in_trio() -> bool:
    """Whether this is a task of trio's."""
    trio = _MODULES.get("trio.lowlevel")
    return trio is not None and bool(trio.in_trio_task())


def running_driver() -> Driver:
    """The driver of the event loop that is running in this thread.

    Raises:
        RuntimeError: none is.
        ImportError: trio is, but anyio is not installed.
    """
    if in_trio():
        return _trio_driver()
    asyncio = _MODULES.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()
    if loop is None:
        raise RuntimeError(
            "no event loop is running here: await this inside asyncio.run(main()), "
            "uvloop.run(main()) or trio.run(main)"
        )
    return driver_of(loop)


def driver_of(loop: asyncio.AbstractEventLoop) -> Driver:
    """The driver of a loop of asyncio that is running in this thread."""
    driver = _DRIVERS.get(ref(loop))
    if driver is None:
        driver = _DRIVERS[ref(loop, _DRIVERS.pop)] = _asyncio_driver(loop)
    return driver


def _asyncio_driver(loop: Any) -> Driver:
    # The only way to know what a loop can do is to have it do it.  No descriptor is -1, so
    # nothing is registered.
    try:
        loop.add_writer(-1, lambda: None)
    except NotImplementedError:
        from .asyncio_proactor import AsyncioProactorDriver

        return AsyncioProactorDriver()
    except (OSError, ValueError):
        pass
    from .asyncio_selector import AsyncioSelectorDriver

    return AsyncioSelectorDriver()


def _trio_driver() -> Driver:
    try:
        from .anyio_generic import AnyioDriver
    except ImportError as error:
        raise ImportError(
            "aconnect needs anyio to run under trio: pip install 'aconnect[trio]'"
        ) from error
    return AnyioDriver()
