"""Addresses one after the other: how much of the time each of them gets.

Pure: the time comes in as an argument.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LEAST_SHARE", "share"]

LEAST_SHARE: Final = 2.0
"""Seconds an address gets at the least: enough for a lost SYN (sent again after one second)
and a slow path.  Go's dialer uses the same."""


def share(now: float, until: float, addresses_left: int) -> float:
    """The moment by which the next address must be connected.

    An address gets what is left divided by the addresses left, so that a silent one does not
    use up the time of those behind it; but at least `LEAST_SHARE`, or all that is left.

    Args:
        now: the moment.
        until: the deadline of the whole; infinity if there is none.
        addresses_left: how many have not been tried, this one included; at least 1.
    """
    return min(until, now + max((until - now) / addresses_left, LEAST_SHARE))
