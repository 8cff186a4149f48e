"""The translator of this network (NAT64), and what is dialled by way of it.

Rules:

* Only where IPv6 has a route and IPv4 has none the name servers are asked, for the IPv6 addresses
  of ``ipv4only.arpa``: once for each network, for as long as the answer is good.  That there is
  none, or no answer within a second, counts for a minute.
* An address under a prefix stands for an IPv4 address, and is taken as that.
* An IPv4 address to which there is no route is dialled by way of the first prefix, if anybody can
  be there.
* A prefix that a name server has said may be a lie: a policy is asked about both addresses then.

Sources: RFC 6052, RFC 7050.
"""

from __future__ import annotations

import socket
import threading
import time
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from ...addresses.translated import Translated
from ...addresses.values import Endpoint
from ...sansio.nat64 import parse_prefix, prefixes_in
from ...sockets.datagrams import source_address
from ..clock import uptime
from .lookup import Lookup
from .wire import AAAA, Question

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from ...drivers.base import Driver
    from ...sansio.asking import Servers
    from ...sansio.nat64 import Prefix
    from ..base import Batch
    from .settings import Settings

__all__ = ["Translation", "Translator", "prefixes_of"]

_QUESTION: Final = Question("ipv4only.arpa", AAAA)
_NOBODY: Final = "0.0.0.0"  # to the kernel, this host
_PATIENCE: Final = 1.0
_AGAIN: Final = 60.0
_NETWORKS: Final = 4


def prefixes_of(given: Any) -> tuple[Prefix, ...] | None:
    """The prefixes that a resolver is given; None for those of the network.

    Raises:
        TypeError, ValueError: one is none.
    """
    if given is None:
        return ()
    if isinstance(given, str):
        if given == "auto":
            return None
        raise ValueError(f"nat64 must be 'auto', prefixes or None, not {given!r}")
    prefixes = []
    for each in given:
        if not isinstance(each, str):
            raise TypeError(f"nat64 must have prefixes as str, not {each!r}")
        try:
            prefixes.append(parse_prefix(each))
        except ValueError as error:
            raise ValueError(f"nat64: {error}") from None
    return tuple(prefixes)


class Translation:
    """What becomes of addresses.

    Args:
        prefixes: the first is that which addresses are translated by.
        trusted: whether they are the user's own.
    """

    def __init__(self, prefixes: tuple[Prefix, ...], trusted: bool) -> None:
        self._prefixes = prefixes
        self._trusted = trusted

    def of(self, endpoints: Iterable[Endpoint]) -> list[Endpoint]:
        """The endpoints to connect to; without duplicates."""
        return list(dict.fromkeys(map(self._of_one, endpoints)))

    def of_batch(self, batch: Batch) -> Batch:
        """The same of what a resolver says."""
        endpoints, withdrawn = self.of(batch.endpoints), self.of(batch.withdrawn)
        return batch._replace(endpoints=endpoints, withdrawn=withdrawn)

    def _of_one(self, endpoint: Endpoint) -> Endpoint:
        ipv4 = self._ipv4_of(endpoint)
        return endpoint if ipv4 is None else self.by(ipv4) or ipv4

    def by(self, ipv4: Endpoint) -> Translated | None:
        """What leads to an IPv4 endpoint; None if there is a route, or nobody can be there."""
        host, port = str(ipv4.sockaddr[0]), ipv4.sockaddr[1]
        first = self._prefixes[0]
        if not first.translates(host) or source_address(ipv4) is not None:
            return None
        sockaddr = (first.embed(host), port, 0, 0)
        made = Endpoint(socket.AF_INET6, ipv4.type, ipv4.proto, sockaddr)
        return Translated(made, ipv4, self._trusted)

    def _ipv4_of(self, endpoint: Endpoint) -> Endpoint | None:
        if endpoint.family == socket.AF_INET:
            return endpoint
        host = str(endpoint.sockaddr[0])
        for prefix in self._prefixes if "%" not in host else ():
            ipv4 = prefix.extract(host)
            if ipv4 is not None and ipv4 != _NOBODY:
                sockaddr = (ipv4, endpoint.sockaddr[1])
                return endpoint._replace(family=socket.AF_INET, sockaddr=sockaddr)
        return None


class Translator:
    """What a resolver knows of translators.

    Args:
        prefixes: the user's; None for those of the network.
    """

    def __init__(self, prefixes: tuple[Prefix, ...] | None) -> None:
        self._own = prefixes
        self._given = Translation(prefixes, trusted=True) if prefixes else None
        self._lock = Lock()
        self._found: dict[Hashable, tuple[float, Translation | None]] = {}
        # Who waits for one keeps it: if his loop is closed under him, it goes with him.
        self._lookups: WeakValueDictionary[Hashable, Lookup] = WeakValueDictionary()

    def known(
        self, network: Hashable, sources: tuple[str | None, ...]
    ) -> tuple[bool, Translation | None]:
        """Whether it is known what becomes of addresses; and that, None for nothing.

        Args:
            network: which one this is.
            sources: the source addresses of IPv4 and of IPv6.
        """
        ipv4, ipv6 = sources
        if self._own is not None or ipv4 is not None or ipv6 is None:
            return True, self._given
        until, found = self._found.get(network, (0.0, None))
        return uptime() < until, found

    async def find(
        self, driver: Driver, network: Hashable, settings: Settings, servers: Servers
    ) -> Translation | None:
        """Ask the name servers.

        When cancelled, the question is not waited for any more, unless somebody else does.
        """
        key = (threading.get_ident(), driver, network)
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = Lookup([_QUESTION], settings, servers, lambda _: None)
            self._lookups[key] = lookup
        until = time.monotonic() + _PATIENCE
        watch = lookup.join(driver)
        try:
            while not lookup.over and time.monotonic() < until:
                await lookup.go_on(driver, watch, until)
        finally:
            ends = lookup.over or len(lookup.waiting) == 1
            if ends and self._lookups.get(key) is lookup:  # or those who come now have another
                del self._lookups[key]
            lookup.leave(watch)
        replies = [each.outcome.reply for each in lookup.found]
        reply = replies[0] if replies else None
        prefixes = prefixes_in(reply.addresses) if reply is not None else ()
        fresh_for, translation = _AGAIN, None
        if prefixes and reply is not None:
            fresh_for, translation = reply.ttl, Translation(prefixes, trusted=False)
        with self._lock:
            while len(self._found) >= _NETWORKS:
                del self._found[next(iter(self._found))]
            self._found[network] = (uptime() + fresh_for, translation)
        return translation
