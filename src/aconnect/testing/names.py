"""The names of a fake network: a resolver that takes its time.

Rules:

* Names are compared as DNS does it: without regard to case, and to a dot at the end.
* Endpoints come in the order in which the addresses were added: nothing is sorted, which would
  ask this machine for its routes.
"""

from __future__ import annotations

import math
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..addresses.values import TCPAddress, UDPAddress
from ..drivers.select import running_driver
from ..resolvers.answers import refuse_srv
from ..resolvers.base import Batch
from ..sansio.value import plain
from .journal import FakeLookup
from .outcomes import Script, lookup_code, seconds_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from .journal import FakeAttempt

__all__ = ["Names"]

_NO_DATA: int = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)


@dataclass(slots=True)
class _Name:
    """A name.

    Attributes:
        after: seconds to the answer for both families, or for each of them.
        codes: what comes of each lookup: 0, or a code of getaddrinfo(3).
    """

    addresses: list[str] = field(default_factory=list)
    after: float | dict[int, float] = 0.0
    codes: Script[int] = field(default_factory=lambda: Script("answers", lookup_code))


class Names:
    """Resolves the names of a fake network.

    Args:
        journal: where lookups are noted.
    """

    def __init__(self, journal: list[FakeLookup | FakeAttempt]) -> None:
        self._journal = journal
        self._names: dict[str, _Name] = {}

    def __repr__(self) -> str:
        return f"<names of a FakeNetwork: {', '.join(self._names)}>"

    def add(self, name: str, addresses: Iterable[str]) -> None:
        """As `FakeNetwork.add`."""
        self._names.setdefault(_key(name), _Name()).addresses += map(plain, addresses)

    def resolves(
        self,
        name: str,
        after: float,
        ipv6: float | None,
        ipv4: float | None,
        outcome: str | int | Iterable[str | int],
    ) -> None:
        """As `FakeNetwork.resolves`."""
        seconds_of(after, "after", math.inf)
        times: float | dict[int, float] = after
        if ipv6 is not None or ipv4 is not None:
            ipv6, ipv4 = after if ipv6 is None else ipv6, after if ipv4 is None else ipv4
            times = {
                socket.AF_INET6: seconds_of(ipv6, "ipv6", math.inf),
                socket.AF_INET: seconds_of(ipv4, "ipv4", math.inf),
            }
        codes = Script(outcome, lookup_code)
        known = self._names.setdefault(_key(name), _Name())
        known.after, known.codes = times, codes

    async def resolve(self, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
        """The addresses of a name, when their time has come.

        Raises:
            socket.gaierror: there is no such name, or it has no address, or as it was told to.
        """
        refuse_srv(address)
        start = time.monotonic()
        self._journal.append(FakeLookup(start, address.host, address.port))
        name = self._names.get(_key(address.host))
        if name is None:
            raise socket.gaierror(socket.EAI_NONAME, "not a name of the fake network")
        code, after = name.codes.next(), name.after
        kind = UDPAddress if isinstance(address, UDPAddress) else TCPAddress
        made = [kind(host, address.port).endpoint for host in name.addresses]
        endpoints = [endpoint for endpoint in made if endpoint is not None]
        if code or not endpoints:
            last = max(after.values()) if isinstance(after, dict) else after
            await _until(start + last)
            raise socket.gaierror(code or _NO_DATA, "as the fake network was told")
        if not isinstance(after, dict):
            await _until(start + after)
            yield Batch(endpoints, sorted=True)
            return
        for family, seconds in sorted(after.items(), key=lambda item: item[1]):
            await _until(start + seconds)
            theirs = [endpoint for endpoint in endpoints if endpoint.family == family]
            yield Batch(theirs, answered=family, sorted=True)


async def _until(when: float) -> None:
    driver = running_driver()
    while time.monotonic() < when:
        await driver.sleep_until(when)


def _key(name: str) -> str:
    return TCPAddress(name, 0).host.lower().removesuffix(".")
