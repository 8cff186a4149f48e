"""Which resolved addresses may be dialled at all: protection against forged requests.

A policy is any callable that takes an `Endpoint` and answers True (it may be dialled) or
False.  It is asked with each resolved endpoint just before its socket is opened, so what is
dialled is what was checked: neither the spelling of a host nor a second answer of a name
server gets around it.  Those made here can be combined with ``&``, ``|`` and ``~``.

Rules:

* What is not understood is refused: a host that is no literal address, an unknown family,
  a unix or a VSOCK address.  Every policy made here answers False to those, and so does its
  complement: ``~`` is the complement among internet addresses.
* An address is allowed in its own form only, and denied in every form in which it can be
  recognised.  An IPv4-mapped IPv6 address *is* the IPv4 address: IPv4 is what the kernel
  sends.
* What is public is looked up in `SPECIAL_NETWORKS`, never in the standard library's tables,
  which differ from one Python to the next (3.11.7, 3.12.1 and 3.13 do).  The most specific
  row decides; "not applicable" in a registry counts as no.

IPv4 addresses hidden in IPv6, and what `public_only` makes of them:

* IPv4-mapped, ::ffff:0:0/96 (RFC 4291): judged by the IPv4 address, which is what is dialled.
* NAT64, 64:ff9b::/96 (RFC 6052): judged by it.  On a network with IPv6 alone this is how
  every public IPv4 host looks.
* ISATAP, interface identifiers ::0:5efe:a.b.c.d and ::200:5efe:a.b.c.d (RFC 5214): judged by
  the IPv4 address and by the prefix, for the prefix may be anybody's.
* Local-use NAT64, 64:ff9b:1::/48 (RFC 8215): refused; it is not globally reachable, and where
  in it the IPv4 address stands is the operator's choice.
* 6to4, 2002::/16 (RFC 3056) and Teredo, 2001::/32 (RFC 4380): refused; the packet goes to
  whoever relays it, to a second address that the first one names, and nobody serves the
  public there.
* IPv4-compatible, ::/96 (RFC 4291), and SIIT, ::ffff:0:0:0/96 (RFC 2765): refused; both were
  withdrawn, and neither was ever routed.

What no table can know: this host's own public addresses, the translation prefixes that an
operator chose for itself (RFC 6052 section 2.2, RFC 5969), and what a public host does with
what it is sent.  Add ``& deny(...)`` for the first two.

Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190; as of
October 2025), the IANA IPv6 Address Space registry (RFC 4291 section 2.4), RFC 5771.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .addresses import MAX_PORT, Endpoint
from .special_networks import (
    MAPPED,
    MAPPED_PREFIX,
    REACHABLE,
    SPECIAL_NETWORKS,
    Lookup,
    SpecialNetwork,
    hidden,
)

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = [
    "SPECIAL_NETWORKS",
    "AddressPolicy",
    "Policy",
    "SpecialNetwork",
    "allow",
    "deny",
    "permits",
    "public_only",
]

Policy: TypeAlias = Callable[[Endpoint], bool]
"""Anything that says of an endpoint whether it may be dialled."""

Network: TypeAlias = "str | IPv4Network | IPv6Network | IPv4Address | IPv6Address"
Ports: TypeAlias = "int | range | Iterable[int | range]"


class AddressPolicy:
    """A policy that can be combined: ``a & b``, ``a | b``, ``~a``.

    Immutable, hashable if what it is made of is, safe to share between threads, and cheap to
    ask.  The other operand may be any callable; its answers must be True or False.

    ``~a`` is the complement among internet addresses: what ``a`` refuses of them.  It lets no
    unix or VSOCK address through, nor anything that is not understood.
    """

    __slots__ = ()

    def __call__(self, endpoint: Endpoint) -> bool:
        """Whether ``endpoint`` may be dialled.

        Raises:
            TypeError: it is not an `Endpoint`; or a callable that is part of this policy
                answered neither True nor False.
        """
        raise NotImplementedError

    def __and__(self, other: Policy) -> AddressPolicy:
        return _combine("&", self, other)

    def __rand__(self, other: Policy) -> AddressPolicy:
        return _combine("&", other, self)

    def __or__(self, other: Policy) -> AddressPolicy:
        return _combine("|", self, other)

    def __ror__(self, other: Policy) -> AddressPolicy:
        return _combine("|", other, self)

    def __invert__(self) -> AddressPolicy:
        return _Complement(self)


def public_only() -> AddressPolicy:
    """Let through only what is reachable from everywhere on the internet.

    Refused are private, loopback, link-local, multicast, reserved, unspecified, shared,
    benchmarking, documentation and broadcast addresses, and whatever else is not globally
    reachable by `SPECIAL_NETWORKS`; an IPv4 address of that kind that is hidden in an
    IPv6 address; an address with a zone; and every unix and VSOCK address.
    """
    return _PUBLIC_ONLY


def allow(*networks: Network, ports: Ports | None = None) -> AddressPolicy:
    """Let through the addresses of ``networks`` on ``ports``, and nothing else.

    A unix or VSOCK address is never let through: it is in no network.  An IPv4 network covers
    the IPv4-mapped form of its addresses and no other; an IPv6 network covers no IPv4-mapped
    address, unless it lies in ::ffff:0:0/96.  Zones do not matter.

    Args:
        networks: at least one, such as ``"10.0.0.0/8"``, ``"2001:db8::/32"``, ``"192.0.2.1"``,
            or an object of `ipaddress`; ``"0.0.0.0/0", "::/0"`` are all addresses.
        ports: a port, a range, or an iterable of those; None for every port.

    Raises:
        TypeError: an argument is of another type.
        ValueError: an argument has a value that cannot be, or there is no network.
    """
    return _Allow(_check_networks(networks), _check_ports(ports))


def deny(*networks: Network, ports: Ports | None = None) -> AddressPolicy:
    """Let through every internet address but those of ``networks`` on ``ports``.

    A unix or VSOCK address is not let through either: a list of networks says nothing about
    them, and most who write one have not thought of them.  An IPv4 network covers every form
    in which its addresses can be recognised in IPv6: IPv4-mapped, IPv4-compatible, NAT64, SIIT,
    6to4, Teredo (the server's and the client's) and ISATAP.  Zones do not matter.

    An address is all that is compared: ``deny("127.0.0.0/8")`` lets ``0.0.0.0`` and ``::1``
    through, which lead to this host as well.  To keep to the public internet, use
    `public_only`.

    Args:
        networks: as for `allow`.
        ports: as for `allow`.

    Raises:
        TypeError: an argument is of another type.
        ValueError: an argument has a value that cannot be, or there is no network.
    """
    return _Deny(_check_networks(networks), _check_ports(ports))


def permits(policy: Policy, endpoint: Endpoint) -> bool:
    """What ``policy`` answers, which must be True or False.

    An answer that merely counts as true, such as the coroutine of an ``async def``, must not
    let everything through.

    Raises:
        TypeError: it answered something else.
    """
    answer = policy(endpoint)
    if answer is True or answer is False:
        return answer
    raise TypeError(f"policy {_name(policy)} must answer True or False, not {answer!r}")


class _Peer(NamedTuple):
    """An internet endpoint as it is judged."""

    version: int
    number: int
    port: int
    has_zone: bool


def _read(endpoint: Endpoint) -> _Peer | None:
    """What the endpoint leads to; None for what is not an internet address.

    The host must be what inet_pton(3) takes, because that is all the socket module does not
    look up.
    """
    if not isinstance(endpoint, Endpoint):
        raise TypeError(f"endpoint must be an Endpoint, not {endpoint!r}")
    family, sockaddr = endpoint.family, endpoint.sockaddr
    lengths = _SOCKADDR_LENGTHS.get(family)
    if lengths is None or not isinstance(sockaddr, tuple) or len(sockaddr) not in lengths:
        return None
    host, port, *rest = sockaddr
    if not isinstance(host, str) or not _is_u32(port) or port > MAX_PORT:
        return None
    if not all(map(_is_u32, rest)):
        return None
    zone = ""
    if family == socket.AF_INET6:
        host, zone, _ = host.partition("%")
    try:
        packed = socket.inet_pton(family, host)
    except (OSError, ValueError):
        return None
    has_zone = bool(zone) or (len(rest) == 2 and rest[1] != 0)
    if packed.startswith(MAPPED_PREFIX):
        packed = packed[12:]
    version = 4 if len(packed) == 4 else 6
    return _Peer(version, int.from_bytes(packed, "big"), port, has_zone)


_SOCKADDR_LENGTHS: Final[dict[int, tuple[int, ...]]] = {
    socket.AF_INET: (2,),
    socket.AF_INET6: (2, 3, 4),
}


def _is_u32(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32


@dataclass(frozen=True, slots=True, repr=False)
class _PublicOnly(AddressPolicy):
    def __call__(self, endpoint: Endpoint) -> bool:
        peer = _read(endpoint)
        if peer is None or peer.has_zone or not REACHABLE.find(peer.version, peer.number):
            return False
        return peer.version == 4 or all(REACHABLE.find(4, each) for each in hidden(peer.number))

    def __repr__(self) -> str:
        return "public_only()"


_PUBLIC_ONLY: Final = _PublicOnly()


@dataclass(frozen=True, slots=True, repr=False)
class _Networks(AddressPolicy):
    """What `allow` and `deny` have in common."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    ports: tuple[tuple[int, int], ...] | None
    """The first and the last of each run; None for every port."""
    _lookup: Lookup = field(init=False, compare=False)

    def __post_init__(self) -> None:
        lookup = Lookup((network, True) for network in self.networks)
        object.__setattr__(self, "_lookup", lookup)

    def _has_port(self, port: int) -> bool:
        return self.ports is None or any(first <= port <= last for first, last in self.ports)

    def _arguments(self) -> str:
        arguments = [repr(str(network)) for network in self.networks]
        if self.ports is not None:
            ports = [
                str(first) if first == last else f"range({first}, {last + 1})"
                for first, last in self.ports
            ]
            text = ", ".join(ports)
            arguments.append(f"ports={text}" if len(ports) == 1 else f"ports=({text})")
        return ", ".join(arguments)


@dataclass(frozen=True, slots=True, repr=False)
class _Allow(_Networks):
    def __call__(self, endpoint: Endpoint) -> bool:
        peer = _read(endpoint)
        if peer is None or not self._has_port(peer.port):
            return False
        return self._lookup.find(peer.version, peer.number)

    def __repr__(self) -> str:
        return f"allow({self._arguments()})"


@dataclass(frozen=True, slots=True, repr=False)
class _Deny(_Networks):
    def __call__(self, endpoint: Endpoint) -> bool:
        peer = _read(endpoint)
        if peer is None:
            return False
        if not self._has_port(peer.port):
            return True
        if self._lookup.find(peer.version, peer.number):
            return False
        return peer.version == 4 or not any(
            self._lookup.find(4, each) for each in hidden(peer.number)
        )

    def __repr__(self) -> str:
        return f"deny({self._arguments()})"


@dataclass(frozen=True, slots=True, repr=False)
class _Combined(AddressPolicy):
    operator: str
    policies: tuple[Policy, ...]

    def __call__(self, endpoint: Endpoint) -> bool:
        if self.operator == "&":
            return all(permits(policy, endpoint) for policy in self.policies)
        return any(permits(policy, endpoint) for policy in self.policies)

    def __repr__(self) -> str:
        return f" {self.operator} ".join(map(_operand, self.policies))


@dataclass(frozen=True, slots=True, repr=False)
class _Complement(AddressPolicy):
    policy: AddressPolicy

    def __call__(self, endpoint: Endpoint) -> bool:
        return _read(endpoint) is not None and not permits(self.policy, endpoint)

    def __repr__(self) -> str:
        return f"~{_operand(self.policy)}"


def _combine(operator: str, left: Policy, right: Policy) -> AddressPolicy:
    policies: list[Policy] = []
    for policy in (left, right):
        if isinstance(policy, _Combined) and policy.operator == operator:
            policies += policy.policies
        elif callable(policy):
            policies.append(policy)
        else:
            return NotImplemented
    return _Combined(operator, tuple(policies))


def _operand(policy: Policy) -> str:
    return f"({policy!r})" if isinstance(policy, _Combined) else _name(policy)


def _name(policy: Any) -> str:
    name = getattr(policy, "__qualname__", None)
    return name if isinstance(name, str) else repr(policy)


def _check_networks(networks: tuple[Network, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    if not networks:
        raise ValueError('networks must not be empty: "0.0.0.0/0", "::/0" are all addresses')
    return tuple(map(_check_network, networks))


def _check_network(value: Network) -> IPv4Network | IPv6Network:
    if not isinstance(value, (str, IPv4Network, IPv6Network, IPv4Address, IPv6Address)):
        raise TypeError(f"networks must be str or objects of ipaddress, not {value!r}")
    text = str(value)
    if "%" in text:
        raise ValueError(f"networks must have no zone, but {text!r} has one")
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"networks: {text!r} is not a network: {error}") from None
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        first = int(network.network_address) & 0xFFFFFFFF
        return IPv4Network((first, network.prefixlen - 96))
    return network


def _check_ports(ports: Ports | None) -> tuple[tuple[int, int], ...] | None:
    """Sorted runs of ports; None for every port."""
    if ports is None:
        return None
    if isinstance(ports, (int, range)):
        ports = (ports,)
    if isinstance(ports, (str, bytes)) or not isinstance(ports, Iterable):
        raise TypeError(f"ports must be an int, a range or an iterable of those, not {ports!r}")
    wanted: set[int] = set()
    for each in ports:
        numbers = each if isinstance(each, range) else (each,)
        for port in (*numbers[:1], *numbers[-1:]):
            if not isinstance(port, int) or isinstance(port, bool):
                raise TypeError(f"ports must be ints or ranges, not {port!r}")
            if not 0 <= port <= MAX_PORT:
                raise ValueError(f"ports must be from 0 to {MAX_PORT}, not {each!r}")
        wanted.update(numbers)
    if not wanted:
        raise ValueError("ports must not be empty: None is every port")
    runs: list[tuple[int, int]] = []
    for port in sorted(wanted):
        if runs and runs[-1][1] == port - 1:
            runs[-1] = (runs[-1][0], port)
        else:
            runs.append((port, port))
    return tuple(runs)
