"""A timer of the event loop that is running.

Rules:

* It needs a loop: what is called outside of one cannot take time.
* Once it is cancelled, nothing is called; and nothing of it is left when the loop has made another
  turn.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..drivers.running import in_trio

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call_later"]


def call_later(seconds: float, function: Callable[[], object]) -> Callable[[], object]:
    """Have the running loop call ``function``, which must raise nothing.

    Returns:
        What cancels it, at any time.

    Raises:
        RuntimeError: no event loop is running.
    """
    if in_trio():
        return _call_later_in_trio(seconds, function)
    return asyncio.get_running_loop().call_later(seconds, function).cancel


def _call_later_in_trio(seconds: float, function: Callable[[], object]) -> Callable[[], object]:
    import trio

    when = trio.current_time() + seconds
    scope = trio.CancelScope()

    async def wait() -> None:
        with scope:
            await trio.sleep_until(
                when
            )  # raises Cancelled even if it is due, if cancelled as well
            function()

    trio.lowlevel.spawn_system_task(wait, name="a timer of the fake network")
    return scope.cancel
