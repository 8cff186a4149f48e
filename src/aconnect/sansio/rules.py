"""How a race of connection attempts is run: its rules as values, checked once.

Rules:

* Nonsense is a TypeError or ValueError when the value is made; a race need not look again.
* A delay between starts that RFC 8305 does not allow is moved to the next that it does.

Source: RFC 8305 section 8.
"""

from __future__ import annotations

from math import isfinite
from socket import AF_INET, AF_INET6
from typing import Final

from .value import Value, set_derived

__all__ = [
    "LONGEST_DELAY",
    "MAKES_ROOM_AFTER",
    "SHORTEST_DELAY",
    "SHORTEST_OWN_DELAY",
    "Rules",
]

SHORTEST_DELAY: Final = 0.010
"""Seconds at the least between two starts of which the second is due to the first one's silence:
RFC 8305's minimum.  Its recommended minimum is 0.1; delays below that are impolite, but on a fast
network of one's own they are nobody else's business.  After a failure there is no delay: it has
taken its round trip, and what fails in the system call has sent nothing."""

SHORTEST_OWN_DELAY: Final = 0.1
"""The same of an address of which something is known: that is no reason to be impolite."""

LONGEST_DELAY: Final = 2.0
"""Seconds between two starts at the most, while there is room: RFC 8305's maximum."""

MAKES_ROOM_AFTER: Final = 2.0
"""Seconds that an attempt has to connect before it makes room for another address: enough for a
lost SYN, which is sent again after one second, and a slow path.  As `LEAST_SHARE`."""


class Rules(Value):
    """How a race is run.  Times are in seconds.

    Args:
        attempt_delay: from one start to the next; moved into the range from `SHORTEST_DELAY` to
            `LONGEST_DELAY`.  None for one by one: each ends before the next begins.
        resolution_delay: how long IPv4 addresses that are known first wait for IPv6's.
        first_family_count: how many of the first address's family are tried before the families
            take turns.
        max_in_flight: how many attempts may be in flight; one by one, it is one.  When another
            address is due, the one that has been connecting the longest makes room for it, if
            it has had `MAKES_ROOM_AFTER`.
        attempt_timeout: for each attempt to connect, and again for its handshake; None for no
            limit.
        handshake: whether an attempt that has connected has a handshake to do before it wins.
        prefer: `socket.AF_INET` or `socket.AF_INET6` for the family that comes first; None for
            that of the first address.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value.
    """

    attempt_delay: float | None = 0.25
    resolution_delay: float = 0.05
    first_family_count: int = 1
    max_in_flight: int = 6
    attempt_timeout: float | None = None
    handshake: bool = False
    prefer: int | None = None

    def __post_init__(self) -> None:
        if self.attempt_delay is not None:
            _check_seconds("attempt_delay", self.attempt_delay)
            delay = min(max(SHORTEST_DELAY, self.attempt_delay), LONGEST_DELAY)
            set_derived(self, "attempt_delay", delay)
        _check_seconds("resolution_delay", self.resolution_delay)
        if self.attempt_timeout is not None:
            _check_seconds("attempt_timeout", self.attempt_timeout)
            if self.attempt_timeout == 0:
                raise ValueError("attempt_timeout must be more than 0, or None for no limit")
        _check_count("first_family_count", self.first_family_count)
        _check_count("max_in_flight", self.max_in_flight)
        if not isinstance(self.handshake, bool):
            raise TypeError(f"handshake must be a bool, not {self.handshake!r}")
        if self.prefer is not None:
            if isinstance(self.prefer, bool) or not isinstance(self.prefer, int):
                raise TypeError(f"prefer must be an address family or None, not {self.prefer!r}")
            if self.prefer not in (AF_INET, AF_INET6):
                raise ValueError(f"prefer must be AF_INET, AF_INET6 or None, not {self.prefer!r}")

    @property
    def one_by_one(self) -> bool:
        """Whether each attempt ends before the next begins."""
        return self.attempt_delay is None


def _check_seconds(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not (isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be finite and not negative, not {value!r}")


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}")
