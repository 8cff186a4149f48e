"""Keepalive for clients that keep connections in a pool.

Rules:

* Nobody would notice that the peer of a connection in a pool is gone.  So TCP asks.
* What a dialer says counts, and what a call says counts more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...sockets.option import Keepalive
from ...transports.calls import dialer_of

if TYPE_CHECKING:
    from ...dial.dialer import Dialer

__all__ = ["POOLED", "pooled"]

POOLED: Final = Keepalive(idle=60, interval=60, count=5)
"""A peer that is gone without a word is noticed after six minutes, and a firewall in between is
kept from forgetting the connection, for which many take five.  Linux itself asks after two hours
(tcp(7)).  Go asks after 15 seconds, which wakes a telephone more often than need be."""


def pooled(dialer: Dialer | None, keepalive: Keepalive | None) -> Dialer:
    """What a pool dials with.

    Args:
        dialer: what it was given.
        keepalive: likewise; `POOLED` if it was not given.

    Raises:
        TypeError: an argument has the wrong type.
    """
    dialer = dialer_of(dialer, {})
    if keepalive is POOLED and dialer.keepalive is not None:
        return dialer
    return dialer.replace(keepalive=keepalive)
