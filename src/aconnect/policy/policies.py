"""The policies, and how they are combined; the rules are those of the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..addresses.values import Endpoint
from ..sansio.value import Value, derived, set_derived
from .arguments import check_networks, check_ports
from .peer import read
from .special_networks import REACHABLE, Lookup, hidden

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network
    from typing import TypeAlias

    from .arguments import Network, Ports

__all__ = [
    "AddressPolicy",
    "Policy",
    "allow",
    "check_policy",
    "deny",
    "permits",
    "public_only",
]

Policy: TypeAlias = Callable[[Endpoint], bool]
"""Anything that says of an endpoint whether it may be dialled."""


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
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value, or there is no network.
    """
    return _Allow(check_networks(networks), check_ports(ports))


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
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value, or there is no network.
    """
    return _Deny(check_networks(networks), check_ports(ports))


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


def check_policy(policy: Any, name: str) -> None:
    """See that a policy is not one of the functions that make policies.

    Raises:
        TypeError: it is: somebody has forgotten to call it.
    """
    if policy in (public_only, allow, deny):
        made = "public_only()" if policy is public_only else f'{policy.__name__}("10.0.0.0/8")'
        raise TypeError(f"{name} must be a policy, such as {made}, not the function that makes it")


class _PublicOnly(Value, AddressPolicy):
    def __call__(self, endpoint: Endpoint) -> bool:
        peer = read(endpoint)
        if peer is None or peer.has_zone or not REACHABLE.find(peer.version, peer.number):
            return False
        return peer.version == 4 or all(REACHABLE.find(4, each) for each in hidden(peer.number))

    def __repr__(self) -> str:
        return "public_only()"


_PUBLIC_ONLY: Final = _PublicOnly()


class _Networks(Value, AddressPolicy):
    """What `allow` and `deny` have in common."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    ports: tuple[tuple[int, int], ...] | None
    """The first and the last of each run; None for every port."""
    _lookup: Lookup = derived()

    def __post_init__(self) -> None:
        set_derived(self, "_lookup", Lookup((network, True) for network in self.networks))

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


class _Allow(_Networks):
    def __call__(self, endpoint: Endpoint) -> bool:
        peer = read(endpoint)
        if peer is None or not self._has_port(peer.port):
            return False
        return self._lookup.find(peer.version, peer.number)

    def __repr__(self) -> str:
        return f"allow({self._arguments()})"


class _Deny(_Networks):
    def __call__(self, endpoint: Endpoint) -> bool:
        peer = read(endpoint)
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


class _Combined(Value, AddressPolicy):
    operator: str
    policies: tuple[Policy, ...]

    def __call__(self, endpoint: Endpoint) -> bool:
        if self.operator == "&":
            return all(permits(policy, endpoint) for policy in self.policies)
        return any(permits(policy, endpoint) for policy in self.policies)

    def __repr__(self) -> str:
        return f" {self.operator} ".join(map(_operand, self.policies))


class _Complement(Value, AddressPolicy):
    policy: AddressPolicy

    def __call__(self, endpoint: Endpoint) -> bool:
        return read(endpoint) is not None and not permits(self.policy, endpoint)

    def __repr__(self) -> str:
        return f"~{_operand(self.policy)}"


def _combine(operator: str, left: Policy, right: Policy) -> AddressPolicy:
    policies: list[Policy] = []
    for policy in (left, right):
        if isinstance(policy, _Combined) and policy.operator == operator:
            policies += policy.policies
            continue
        check_policy(policy, f"what {operator} combines")
        if callable(policy):
            policies.append(policy)
        else:
            return NotImplemented
    return _Combined(operator, tuple(policies))


def _operand(policy: Policy) -> str:
    return f"({policy!r})" if isinstance(policy, _Combined) else _name(policy)


def _name(policy: Any) -> str:
    name = getattr(policy, "__qualname__", None)
    return name if isinstance(name, str) else repr(policy)
