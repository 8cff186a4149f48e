"""What earlier dials have shown of addresses and of families.  Pure.

Rules:

* Round trips: the time to connect, if it is less than a second; a repeated SYN says nothing of the
  path.  Smoothed as TCP does it (RFC 6298, section 2).
* Order: of addresses between which nothing else decides, the quicker first, if both are known and
  differ by more than 10 ms and 20 %; then those that have been connected to before the others.
* Delay: how long an address may be silent before the next starts: its smoothed round trip and four
  times its variation, as TCP waits for an answer.
* An address that fails, or says nothing while another wins, is as if it had never been used.
* A family is avoided for a name if it went first and was silent until the other one won, or had no
  route; after three names, in the whole network.  One success of it clears that.
* All of it ends some time after it was learned, and is not renewed by being used.  Once in that
  time the dial of a name goes as if nothing were known: where all clients go, there each one comes
  back to.
* Of networks the last few are remembered.  Nothing that is known of one counts in another.

Sources: RFC 8305, section 4; RFC 6298; draft-ietf-happy-happyeyeballs-v3, section 5.3; RFC 6555,
section 4.2, for ten minutes.
"""

from __future__ import annotations

from math import inf
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Final

from .memory import Memory, Recent

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from typing import TypeAlias

    _Key: TypeAlias = tuple[Hashable, Hashable]
    """A network, and what is in it."""

__all__ = ["Observed", "RoundTrip", "by_round_trip"]

LONGEST_ROUND_TRIP: Final = 1.0
"""Seconds: TCP repeats its first SYN after one (RFC 6298, section 2)."""
_SHORTEST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 2.0
"""Seconds: RFC 8305's recommended minimum, and its maximum."""
_DIFFERENCE: Final = 0.010
_FACTOR: Final = 1.2
_NAMES_OF_A_NETWORK: Final = 3
_NAMES_KEPT: Final = 16
_ADDRESSES_PER_NAME: Final = 4


class RoundTrip:
    """The round trip to an address, smoothed; nothing is known of it at first."""

    __slots__ = ("_smoothed", "_variation")

    def __init__(self) -> None:
        self._smoothed: float | None = None
        self._variation = 0.0

    def add(self, seconds: float) -> None:
        """One has taken so long."""
        if self._smoothed is None:
            self._smoothed, self._variation = seconds, seconds / 2
        else:
            self._variation += (abs(self._smoothed - seconds) - self._variation) / 4
            self._smoothed += (seconds - self._smoothed) / 8

    @property
    def smoothed(self) -> float | None:
        """Seconds; None as long as nothing is known."""
        return self._smoothed

    @property
    def delay(self) -> float | None:
        """Seconds for which a silence says nothing, from 0.1 to 2; None if nothing is known."""
        if self._smoothed is None:
            return None
        return min(max(_SHORTEST_DELAY, self._smoothed + 4 * self._variation), _LONGEST_DELAY)


def by_round_trip(known: Sequence[RoundTrip | None]) -> list[int]:
    """The place of each address by what is known of it, the lowest first; those between which
    nothing decides have the same.

    Args:
        known: of each address, in their order; None for one that has not been used.
    """
    times = sorted(
        {each.smoothed for each in known if each is not None and each.smoothed is not None}
    )
    places: dict[float | None, int] = {}
    place, first = -1, -inf
    for seconds in times:
        if seconds > first + _DIFFERENCE and seconds > first * _FACTOR:
            place, first = place + 1, seconds
        places[seconds] = place
    used = place + 1  # and its round trip is not known
    return [used + 1 if each is None else places.get(each.smoothed, used) for each in known]


class Observed:
    """What has been observed.

    Args:
        names: how many names are remembered, and four times as many addresses; at least 1.
        expires: seconds after which nothing of it counts.

    Moments are seconds on a clock that never goes back.  Not thread-safe.
    """

    def __init__(self, names: int, expires: float) -> None:
        self._expires = expires
        self._names: Memory[_Key, list[int]] = Memory(names)  # the family to avoid, if any
        self._addresses: Memory[_Key, RoundTrip] = Memory(_ADDRESSES_PER_NAME * names)
        self._families: Memory[_Key, dict[str, float]] = Memory(names)
        self._networks = Recent()

    def clear(self) -> None:
        """Forget everything."""
        for memory in (self._names, self._addresses, self._families):
            memory.clear()

    def begin(self, network: Hashable, name: str, now: float) -> bool:
        """A dial of a name begins.

        Returns:
            Whether it may go by what is known.
        """
        gone = self._networks.see(network)
        if gone:
            for memory in (self._names, self._addresses, self._families):
                memory.forget_all(lambda key: key[0] in gone)
        entry = self._names.get((network, name), now)
        if entry is not None and now < entry.fresh_until:
            return True
        self._names.put((network, name), [], now, self._expires, inf)
        return entry is None

    def avoided(self, network: Hashable, name: str, now: float) -> int | None:
        """The family that comes second for a name, if one is to."""
        entry = self._names.get((network, name), now)
        if entry is not None and entry.value and now < entry.fresh_until:
            return entry.value[0]
        avoided = [
            family
            for family in (AF_INET6, AF_INET)
            if len(self._silent(network, family, now)) >= _NAMES_OF_A_NETWORK
        ]
        return avoided[0] if len(avoided) == 1 else None

    def known(self, network: Hashable, address: Hashable, now: float) -> RoundTrip | None:
        """What is known of an address; None if it has not been used."""
        entry = self._addresses.get((network, address), now)
        return None if entry is None else entry.value

    def connected(self, network: Hashable, address: Hashable, seconds: float, now: float) -> None:
        """An address has been connected to, which has taken so long."""
        known = self.known(network, address, now)
        if known is None:
            known = RoundTrip()
            self._addresses.put((network, address), known, now, self._expires)
        if seconds < LONGEST_ROUND_TRIP:
            known.add(seconds)

    def failed(self, network: Hashable, address: Hashable) -> None:
        """An address could not be connected to, or was silent while another won."""
        self._addresses.forget((network, address))

    def family_works(self, network: Hashable, name: str, family: int, now: float) -> None:
        """An address of a family has been connected to for a name."""
        self._families.forget((network, family))
        entry = self._names.get((network, name), now)
        if entry is not None and family in entry.value:
            entry.value.clear()

    def family_silent(self, network: Hashable, name: str, family: int, now: float) -> None:
        """A family went first for a name, and was of no use, where the other one was."""
        key = (network, name)
        entry = self._names.get(key, now)
        if entry is None:
            self._names.put(key, [family], now, self._expires, inf)
        else:
            entry.value[:] = [family]
        silent = self._silent(network, family, now)
        silent.setdefault(name, now + self._expires)
        if len(silent) > _NAMES_KEPT:
            del silent[next(iter(silent))]
        self._families.put((network, family), silent, now, self._expires)

    def _silent(self, network: Hashable, family: int, now: float) -> dict[str, float]:
        """The names for which a family was of no use, and until when each counts."""
        entry = self._families.get((network, family), now)
        if entry is None:
            return {}
        return {name: until for name, until in entry.value.items() if now < until}
