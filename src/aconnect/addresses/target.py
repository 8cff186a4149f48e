"""What a call is to connect to, as one value that is carried whole.

Rules:

* It is made once, where the call's arguments are looked at, and from nothing but them.
* Its text is made when the first message needs it, and never again.
* Nothing is looked up that waits.  The name of an IPv6 zone is looked up in the kernel, anew for
  each dial: interfaces come and go.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, cast

from ..sansio.value import Value
from .literal import endpoints_of_results, has_named_zone, numbered, zoned_endpoint
from .redacting import shown
from .text import format_sockaddr, of_parts, parse_address, printable
from .values import TCPAddress

if TYPE_CHECKING:
    from .text import Address, AddressLike, Port
    from .values import Endpoint, SockAddr, UDPAddress

__all__ = ["Target", "loopback", "target_of"]

_REMEMBERED: Final = 256  # a program connects to a few addresses again and again


class Target:
    """What is to be connected to.

    Args:
        address: the address; or the caller's list of getaddrinfo() results, as a tuple; or what
            a socket of the caller's is connected to, in the form of the socket module.
        endpoints: what it stands for, if that needs no resolver; of a list, some may have zones
            that have names.
        text: as messages show it; None for the address's own.
        parts: what it consists of, if that is several addresses, in the order of preference.
        host: the host that handshakes are with; None for the address's own.
        refused: why it is not to be dialled; empty if it may be.

    Attributes:
        only: the endpoint, if there is but one, and it needs no look at the interfaces.
        listed: all endpoints of a list of results, likewise.
        is_name: whether it is one name, for a resolver.
    """

    __slots__ = (
        "_host",
        "_parts",
        "_text",
        "address",
        "endpoints",
        "is_name",
        "listed",
        "only",
        "refused",
    )

    def __init__(
        self,
        address: Address | SockAddr | None,
        endpoints: tuple[Endpoint, ...] | None,
        text: str | None = None,
        parts: tuple[Target, ...] = (),
        *,
        host: str | None = None,
        refused: str = "",
    ) -> None:
        self.address: Final = address
        self.endpoints: Final = endpoints
        quick = endpoints is not None and not any(map(has_named_zone, endpoints))
        alone = endpoints is not None and len(endpoints) == 1
        self.only: Final = endpoints[0] if endpoints and quick and alone else None
        self.listed: Final = endpoints if quick and not alone else None
        self._parts: Final = parts
        own = getattr(address, "host", ":")
        self.is_name: Final = endpoints is None and ":" not in own
        self._host = host
        self.refused: Final = refused
        self._text = text

    def __repr__(self) -> str:
        return f"<Target {self.text}>"

    def refused_for(self, reason: str) -> Target:
        """The same, which is not to be dialled."""
        return Target(self.address, None, self.text, host=self._host, refused=reason)

    @property
    def parts(self) -> tuple[Target, ...]:
        """What it consists of; itself, if it is one address, or one list of results."""
        return self._parts or (self,)

    @property
    def text(self) -> str:
        """As messages show it."""
        if self._text is None:
            self._text = self._describe()
        return self._text

    def _describe(self) -> str:
        if self._parts:
            return f"{self._parts[0].text} and {len(self._parts) - 1} more"
        if not isinstance(self.address, tuple):
            return printable(str(self.address))
        assert self.endpoints is not None  # as of every list
        first, more = self.endpoints[0], len(self.address) - 1
        return format_sockaddr(first.family, first.sockaddr) + (
            f" and {more} more" if more else ""
        )

    @property
    def name(self) -> TCPAddress | UDPAddress:
        """The name and the port, for a resolver; of one that has no endpoints."""
        return cast("TCPAddress | UDPAddress", self.address)

    @property
    def type(self) -> int:
        """The type of socket that it takes."""
        if self._parts:
            return self._parts[0].type
        if self.endpoints is not None:
            return self.endpoints[0].type  # of a list, all are of one type
        return self.name.type

    @property
    def host(self) -> str | None:
        """The host, if it has one."""
        return self._host or getattr(self.address, "host", None)

    def known(self) -> tuple[Endpoint, ...] | None:
        """The endpoints, if no resolver is needed to know them, as the interfaces are now.

        Raises:
            OSError: the name of an IPv6 zone is that of no network interface.
        """
        if self.endpoints is not None:
            return tuple(map(numbered, self.endpoints))
        return (zoned_endpoint(self.name),) if ":" in self.name.host else None


def target_of(address: AddressLike | list[Any] | bytes, port: Port | None = None) -> Target:
    """What the address stands for.

    Args:
        address: as `parse_address` takes it; or a list of such, in the order of preference, and
            of getaddrinfo() results.  A host, if there is a ``port``.
        port: the port of the host.

    Raises:
        TypeError, ValueError: it is not an address.
    """
    if port is not None:
        if not isinstance(address, (str, bytes)):
            raise TypeError(
                f"address must be a host as a str where a port is given, not {shown(address)}"
            )
        address = (address, port)
    if isinstance(address, tuple):
        try:
            return _of_parts(*address)
        except TypeError:
            pass  # a part cannot be hashed: have the parser say what is wrong
    elif isinstance(address, list):
        return _of_list(address)
    elif isinstance(address, (str, Value)):
        return _of_one(address)
    return _target(parse_address(cast("AddressLike", address)))


def loopback(port: Port, kind: type[TCPAddress | UDPAddress] = TCPAddress) -> Target:
    """What no host at all stands for, to the socket module: this machine, over IPv6 or IPv4.

    Raises:
        TypeError, ValueError: the port is none.
    """
    results: list[Any] = []
    for host in ("::1", "127.0.0.1"):  # the order of RFC 6724
        endpoint = of_parts(kind, host, port).endpoint
        assert endpoint is not None  # they are literal
        results.append((*endpoint[:3], "", endpoint.sockaddr))
    return target_of(results)


def _of_list(entries: list[Any]) -> Target:
    """What a list stands for: results that follow one another are one part of it."""
    if entries and all(map(_is_result, entries)):
        results = tuple(entries)
        return Target(results, endpoints_of_results(results))
    parts: list[Target] = []
    for alike, group in groupby(entries, _is_result):
        if alike:
            results = tuple(group)
            parts.append(Target(results, endpoints_of_results(results)))
        else:
            parts += map(_of_entry, group)
    if not parts:
        raise ValueError("address must not be an empty list: there is nothing to connect to")
    first = parts[0]
    for part in parts:
        if part.type != first.type:
            raise ValueError(
                f"address must not mix types of sockets: {first.text} and {part.text}"
            )
    if len(parts) == 1:
        return first
    return Target(tuple(part.address for part in parts), None, None, tuple(parts))


def _of_entry(entry: Any) -> Target:
    if isinstance(entry, list):
        raise TypeError(f"address must be a list of addresses, not of lists: {shown(entry)}")
    return target_of(entry)


def _is_result(entry: Any) -> bool:
    """Whether it is an entry of getaddrinfo() results, rather than an address."""
    return isinstance(entry, tuple) and len(entry) == 5


def _target(address: Address) -> Target:
    endpoint = address.endpoint
    return Target(address, None if endpoint is None else (endpoint,))


# Targets do not change, so equal arguments may share one; `typed` keeps True from being 1.
@lru_cache(_REMEMBERED, typed=True)
def _of_parts(*parts: Any) -> Target:
    return _target(parse_address(parts))


@lru_cache(_REMEMBERED, typed=True)
def _of_one(address: Any) -> Target:
    return _target(parse_address(address))
