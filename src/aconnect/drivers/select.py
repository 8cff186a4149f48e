"""Which driver goes with what is running.

Rules:

* What runs decides, never a setting.
* The drivers of asyncio are imported with this module, so that no dial has to wait for that.  Of
  no other event loop anything is imported before it is known to be running.
* Trio's driver has no state, and there is one.
* An asyncio loop keeps its driver for as long as it lives: the driver knows who waits for
  which socket there.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from ..explanations.extras import not_installed
from .asyncio_proactor import AsyncioProactorDriver
from .asyncio_selector import AsyncioSelectorDriver
from .running import in_trio, running_asyncio

if TYPE_CHECKING:
    import asyncio

    from .base import Driver

__all__ = ["driver_of", "running_driver"]

_DRIVERS: Final[dict[ref[asyncio.AbstractEventLoop], Driver]] = {}
# What weakref.WeakKeyDictionary does, without its Python code on every connect.


def running_driver() -> Driver:
    """The driver of the event loop that is running in this thread.

    Raises:
        RuntimeError: none is.
        ImportError: trio is, but anyio is not installed.
    """
    return _trio_driver() if in_trio() else driver_of(running_asyncio())


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
        return AsyncioProactorDriver()
    except (OSError, ValueError):
        pass
    return AsyncioSelectorDriver()


@cache
def _trio_driver() -> Driver:
    try:
        import anyio

        from .anyio_generic import AnyioDriver
    except ImportError as error:
        raise ImportError(not_installed("anyio", "trio")) from error
    anyio.get_cancelled_exc_class()  # it imports what it needs under trio
    return AnyioDriver()
