"""The arguments of `allow` and `deny`, checked when a policy is made."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING

from ..addresses.redacting import shown
from ..addresses.values import MAX_PORT
from ..sansio.value import plain
from .special_networks import MAPPED

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["Network", "Ports", "check_networks", "check_ports"]

Network: TypeAlias = "str | IPv4Network | IPv6Network | IPv4Address | IPv6Address"
Ports: TypeAlias = "int | range | Iterable[int | range]"


def check_networks(networks: tuple[Network, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    """The networks as objects."""
    if not networks:
        raise ValueError('networks must not be empty: use "0.0.0.0/0", "::/0" for all addresses')
    return tuple(map(_check_network, networks))


def _check_network(value: Network) -> IPv4Network | IPv6Network:
    if not isinstance(value, (str, IPv4Network, IPv6Network, IPv4Address, IPv6Address)):
        raise TypeError(f"networks must be str or objects of ipaddress, not {shown(value)}")
    text = str(plain(value))
    if "%" in text:
        raise ValueError(f"networks must have no zone, but {shown(text)} has one")
    network, why = None, ""
    try:
        network = ip_network(text)
    except ValueError as error:  # which has the text, and whatever is in it
        why = str(error).replace(repr(text), shown(text))
    if network is None:
        raise ValueError(f"networks: {shown(text)} is not a network: {why}")
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        first = int(network.network_address) & 0xFFFFFFFF
        return IPv4Network((first, network.prefixlen - 96))
    return network


def check_ports(ports: Ports | None) -> tuple[tuple[int, int], ...] | None:
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
        wanted.update(map(plain, numbers))
    if not wanted:
        raise ValueError("ports must not be empty: use None for every port")
    runs: list[tuple[int, int]] = []
    for port in sorted(wanted):
        if runs and runs[-1][1] == port - 1:
            runs[-1] = (runs[-1][0], port)
        else:
            runs.append((port, port))
    return tuple(runs)
