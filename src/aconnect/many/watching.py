"""One target, tried again and again on a fixed grid.

Rules:

* A try starts at a whole number of intervals after the first.  One that takes longer than an
  interval has those moments skipped that it took: tries never queue, and the grid does not move.
* A name is looked up for each try.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from ..addresses.target import target_of
from ..deadline import earliest
from ..dial.dialer import DEFAULT, Dialer
from ..drivers.select import running_driver
from .dialling import How, result_of
from .waiting import check_interval

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable
    from typing import Self

    from ..addresses.target import Target
    from ..addresses.text import AddressLike
    from ..drivers.base import Driver
    from .result import Result

__all__ = ["Ticks", "watch"]


def watch(
    target: AddressLike | list[Any],
    *,
    interval: float = 1.0,
    count: int | None = None,
    timeout: float | None = 3.0,
    dialer: Dialer = DEFAULT,
    handshake: Callable[[socket.socket], Awaitable[Any]] | None = None,
    reports: bool = False,
) -> Ticks:
    """Connect at regular intervals, close each connection, and yield a `Result` for each.

    ::

        async with watch("db:5432", interval=1) as ticks:
            async for result in ticks:
                print(result.outcome, result.seconds)

    Args:
        target: an address as for `aconnect`.
        interval: seconds from the start of a try to that of the next, at least 0.01.
        count: how many tries; None for no end.
        timeout: seconds for each; None for no limit but the kernel's.
        dialer: how connections are made.
        handshake: as for `Dialer.connect`.
        reports: give a `Report` with each result.

    Returns:
        An asynchronous context manager, and in its block an asynchronous iterator, of `Ticks`.
        The ``index`` of a result is the number of the interval: where a try took longer than one,
        numbers are missing.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing was done.

    A try is made while the next result is waited for, and a cancellation leaves nothing of it.
    If results are taken too late, intervals are skipped.  To be used in one task, on asyncio,
    uvloop or trio.
    """
    asked = target_of(target)
    check_interval(interval)
    if count is not None:
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"count must be a whole number or None, not {count!r}")
        if count < 1:
            raise ValueError(f"count must be 1 or more, or None, not {count!r}")
    earliest(timeout, None)
    if not isinstance(dialer, Dialer):
        raise TypeError(f"dialer must be a Dialer, not {dialer!r}")
    if handshake is not None and not callable(handshake):
        raise TypeError(f"handshake must be callable or None, not {handshake!r}")
    how = How(timeout, None, handshake, reports=bool(reports))
    return Ticks(target, asked, interval, count, dialer, how)


class Ticks:
    """The results of `watch`: a context manager, and an iterator in its block."""

    def __init__(
        self,
        address: Any,
        target: Target,
        interval: float,
        count: int | None,
        dialer: Dialer,
        how: How,
    ) -> None:
        self._address = address
        self._target = target
        self._interval = interval
        self._left = math.inf if count is None else count
        self._dialer = dialer
        self._how = how
        self._start: float | None = None
        self._next = 0
        self._open = False

    async def __aenter__(self) -> Self:
        self._driver: Driver = running_driver()
        self._open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        """Wait for the next interval, try, and give the result.

        Raises:
            StopAsyncIteration: that many tries have been made.
            RuntimeError: this is not inside the ``async with``.
        """
        if not self._open:
            raise RuntimeError("results are available only inside `async with watch(...)`")
        if self._left <= 0:
            raise StopAsyncIteration
        now = time.monotonic()
        if self._start is None:
            self._start = now
        # The intervals that have gone by are skipped; but for the one that is on.
        tick = max(self._next, math.floor((now - self._start) / self._interval))
        await self._driver.sleep_until(self._start + tick * self._interval)
        self._next = tick + 1
        self._left -= 1
        dial = (tick, self._address, self._address, self._target)
        return await result_of(self._dialer, dial, self._how)
