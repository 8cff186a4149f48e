"""What a `DnsResolver` is given, checked."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from ...addresses.redacting import shown
from ...addresses.redirects import canonical
from ...addresses.text import parse_address
from ...addresses.values import TCPAddress, literal_family
from ...sansio.value import plain
from .settings import DNS_PORT

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_count", "check_others", "check_seconds", "preferences_of", "settings_of"]


def _each(name: str, of: str, given: Any) -> Iterable[Any]:
    """What there is in an iterable.

    Raises:
        TypeError: it is none.
    """
    try:
        return tuple(given)
    except TypeError:
        raise TypeError(f"{name} must be an iterable of {of}, not {shown(given)}") from None


def check_count(name: str, value: int, least: int) -> int:
    """A count.

    Raises:
        TypeError, ValueError: it is none, or less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    return plain(value)


def check_others(hosts: object, ports: object, system: object, network: object) -> None:
    """Arguments of which only the type can be looked at.

    Raises:
        TypeError: one is of another.
    """
    if not isinstance(hosts, bool):
        raise TypeError(f"hosts must be a bool, not {hosts!r}")
    if not callable(ports):
        raise TypeError(f"ports must be callable, not {ports!r}")
    if system is not None and not callable(getattr(system, "resolve", None)):
        raise TypeError(f"system must have a resolve() method or be None, not {system!r}")
    if network is not None and not callable(network):
        raise TypeError(f"network must be callable or None, not {network!r}")


def check_seconds(name: str, value: float, least: float | None = None) -> float:
    """A number of seconds, more than 0 unless ``least`` is given.

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not (isfinite(value) and (value > 0 if least is None else value >= least)):
        bound = "more than" if least is None else "at least"
        raise ValueError(f"{name} must be finite and {bound} 0, not {value!r}")
    return plain(value)


def _servers_of(servers: Iterable[Any]) -> tuple[tuple[str, int], ...]:
    """Host and port of each name server.

    Raises:
        TypeError, ValueError: one is no IP address with a port, or there is none.
    """
    if isinstance(servers, str):
        raise TypeError(f"servers must be an iterable of servers, not the str {shown(servers)}")
    found = tuple(map(_server, _each("servers", "servers", servers)))
    if not found:
        raise ValueError("servers must have a name server at least")
    return found


def _server(given: Any) -> tuple[str, int]:
    address = _address(given)
    host = getattr(address, "host", "")
    if type(address) is not TCPAddress or literal_family(host.partition("%")[0]) is None:
        raise ValueError(f"servers must be IP addresses, not {shown(given)}")
    if address.port == 0:
        raise ValueError(f"servers must have a port that is not 0, not {shown(given)}")
    return (f"{host}%{address.scope_id}" if address.scope_id else host), address.port


def _address(given: Any) -> Any:
    if isinstance(given, str):
        bare = given.removeprefix("[").removesuffix("]") if given.endswith("]") else given
        if literal_family(bare.partition("%")[0]) is not None:
            return TCPAddress(bare, DNS_PORT)
    try:
        return parse_address(given)
    except (TypeError, ValueError) as error:
        raise type(error)(f"servers must be IP addresses: {error}") from None


def domains_of(domains: Iterable[str]) -> tuple[str, ...]:
    """Domains, as `canonical` has them.

    Raises:
        TypeError, ValueError: one is not a name.
    """
    if isinstance(domains, str):
        raise TypeError(f"search must be an iterable of domains, not the str {shown(domains)}")
    return tuple(map(_domain, _each("search", "domains", domains)))


def _domain(given: Any) -> str:
    try:
        return canonical(TCPAddress(given, 0).host)
    except (TypeError, ValueError) as error:
        raise type(error)(f"search must have domains, not {shown(given)}: {error}") from None


def preferences_of(prefer: Iterable[Any]) -> tuple[Any, ...]:
    """Which services come first: groups of protocols, or "ech".

    Raises:
        TypeError, ValueError: one is neither.
    """
    if isinstance(prefer, str):
        raise TypeError(
            f"prefer must be an iterable of groups of protocols, not the str {prefer!r}"
        )
    groups: list[Any] = []
    for each in _each("prefer", "groups of protocols", prefer):
        if isinstance(each, str):
            if each != "ech":
                raise ValueError(f"prefer must have tuples of protocols, or 'ech', not {each!r}")
            groups.append("ech")
            continue
        group = tuple(_each("prefer", "tuples of protocols", each))
        if not group or not all(isinstance(one, str) and one for one in group):
            raise TypeError(f"prefer must have tuples of protocols as str, not {each!r}")
        groups.append(tuple(map(plain, group)))
    return tuple(groups)


def settings_of(
    servers: Iterable[Any] | None,
    search: Iterable[str] | None,
    ndots: int | None,
    timeout: float | None,
    attempts: int | None,
) -> dict[str, Any]:
    """Those of `Settings` that are given, and not left to the machine.

    Raises:
        TypeError, ValueError: one is not what it has to be.
    """
    own: dict[str, Any] = {}
    if servers is not None:
        own["servers"] = _servers_of(servers)
    if search is not None:
        own["search"] = domains_of(search)
    if ndots is not None:
        own["ndots"] = check_count("ndots", ndots, 0)
    if timeout is not None:
        own["timeout"] = check_seconds("timeout", timeout)
    if attempts is not None:
        own["attempts"] = check_count("attempts", attempts, 1)
    return own
