"""A resolver that knows its answers.

Rules:

* Names are compared as DNS does it: without regard to case, and to a dot at the end;
  international ones by their A-labels.
* A name that it does not know does not exist, unless there is another resolver to ask.
"""

from __future__ import annotations

import socket
from copy import copy
from typing import TYPE_CHECKING, Any

from ..addresses.literal import zoned_endpoint
from ..addresses.redacting import shown
from ..addresses.redirects import canonical
from ..addresses.service_addresses import SRVAddress
from ..addresses.values import Endpoint, TCPAddress, UDPAddress, literal_family
from ..sansio.value import plain
from .answers import refuse_srv
from .base import Batch, for_family, translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from .base import Resolver

__all__ = ["StaticResolver"]


class StaticResolver:
    """Resolves names from a mapping.

    Args:
        addresses: IP addresses for each name, in the order in which they are to be tried; an
            IPv6 address may have a zone.  No address means that the name has none.
        otherwise: the resolver to ask for names that are not in the mapping; None for none.

    Raises:
        TypeError: a name or an address is not a str.
        ValueError: a name or an address is not valid.

    Immutable, equal to another with the same answers, and usable from several loops and threads
    at once.
    """

    def __init__(
        self, addresses: Mapping[str, Iterable[str]], *, otherwise: Resolver | None = None
    ) -> None:
        self._addresses = {
            _key(name): tuple(map(_literal, hosts)) for name, hosts in addresses.items()
        }
        self._otherwise = otherwise
        self._quick = {name: _quick(hosts) for name, hosts in self._addresses.items()}

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self._addresses, self._otherwise) == (other._addresses, other._otherwise)

    def __hash__(self) -> int:
        return hash((frozenset(self._addresses.items()), self._otherwise))

    def __repr__(self) -> str:
        addresses = {name: list(hosts) for name, hosts in self._addresses.items()}
        otherwise = "" if self._otherwise is None else f", otherwise={self._otherwise!r}"
        return f"{type(self).__name__}({addresses!r}{otherwise})"

    def known(self, address: TCPAddress | UDPAddress) -> list[Endpoint] | None:
        """The endpoints of a name in the mapping; else what the other resolver knows.

        None if it takes `resolve` to know, or to say why there are none.
        """
        host = address.host  # here, and not in a function, as most are plain
        key = host.lower().removesuffix(".") if host.isascii() else canonical(host)
        hosts = self._quick.get(key)
        if hosts and not isinstance(address, SRVAddress):
            kind, proto, port = address.type, address.proto, address.port
            return [
                Endpoint(family, kind, proto, (host, port, *rest)) for family, host, rest in hosts
            ]
        ask: Any = getattr(self._otherwise, "known", None)
        return ask(address) if ask is not None and key not in self._addresses else None

    def forget(self, address: TCPAddress | UDPAddress) -> None:
        """Have the other resolver forget a name; those in the mapping stay."""
        tell: Any = getattr(self._otherwise, "forget", None)
        if tell is not None:
            tell(address)

    async def translate(self, endpoint: Endpoint) -> Endpoint | None:
        """What the other resolver says of an IPv4 endpoint without a route."""
        return await translated(self._otherwise, endpoint)

    def for_family(self, family: int) -> Resolver:
        """The same names, and for the others the other resolver for who keeps to a family.

        Args:
            family: `socket.AF_INET` or `socket.AF_INET6`.
        """
        if self._otherwise is None:
            return self
        kept = copy(self)
        kept._otherwise = for_family(self._otherwise, family)
        return kept

    async def resolve(self, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
        """One batch, at once.

        Raises:
            socket.gaierror: EAI_NONAME, the name is not in the mapping; EAI_NODATA (where the
                platform has it), it is, and has no address.
            OSError: an IPv6 zone is not an interface of this machine.
        """
        hosts = self._addresses.get(_key(address.host))
        if hosts is None and self._otherwise is not None:
            async for batch in self._otherwise.resolve(address):
                yield batch
            return
        refuse_srv(address)
        if not hosts:
            known = hosts is not None
            code = getattr(socket, "EAI_NODATA", socket.EAI_NONAME) if known else socket.EAI_NONAME
            raise socket.gaierror(code, "not in the mapping" if not known else "no address")
        kind = UDPAddress if isinstance(address, UDPAddress) else TCPAddress
        targets = [kind(host, address.port) for host in hosts]
        yield Batch([each.endpoint or zoned_endpoint(each) for each in targets], sorted=True)


def _key(name: str) -> str:
    return canonical(TCPAddress(name, 0).host)


def _quick(hosts: tuple[str, ...]) -> list[tuple[int, str, tuple[int, ...]]]:
    """Family, address and rest of the socket address of each; none if one has a zone by name."""
    endpoints = [TCPAddress(host, 0).endpoint for host in hosts]
    return [
        (each.family, str(each.sockaddr[0]), tuple(map(int, each.sockaddr[2:])))
        for each in endpoints
        if each is not None and None not in endpoints
    ]


def _literal(host: str) -> str:
    if literal_family(TCPAddress(host, 0).host.partition("%")[0]) is None:
        raise ValueError(f"addresses must be IP addresses, not {shown(host)}")
    return plain(host)
