"""How a machine looks up names: resolv.conf(5), nsswitch.conf(5) and hosts(5), read.

Rules:

* What makes no sense is passed over, as the C library does: one word, or one line.
* All servers count, not three of them.
* The environment has its say: LOCALDOMAIN, RES_OPTIONS.
* Nothing is opened here: text comes in, values go out.

Sources: resolv.conf(5), nsswitch.conf(5), hosts(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ...addresses.redirects import canonical
from ...addresses.values import TCPAddress, literal_family
from ...sansio.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DNS_PORT", "Settings", "read_hosts", "read_nsswitch", "read_resolv_conf"]

DNS_PORT: Final = 53
_NUMBERS: Final = {"ndots": 15, "timeout": 30, "attempts": 5}
_FLAGS: Final = {
    "rotate": "rotate",
    "use-vc": "use_tcp",
    "trust-ad": "trust_ad",
    "no-aaaa": "no_aaaa",
    "single-request": "one_by_one",
    "single-request-reopen": "one_by_one",
    "no-reload": "no_reload",
}
_LONGEST_LABEL: Final = 63
_PLAIN: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII | re.IGNORECASE).fullmatch
_DEFAULT_SOURCES: Final = ("files", "dns")


class Settings(Value, kw_only=True):
    """What resolv.conf(5) says; the names are its own, but for those of flags.

    Attributes:
        servers: IP address, with its zone, and port of each.
        search: domains, without a dot at the end.
    """

    servers: tuple[tuple[str, int], ...] = (("127.0.0.1", DNS_PORT), ("::1", DNS_PORT))
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout: float = 5.0
    attempts: int = 2
    rotate: bool = False
    use_tcp: bool = False
    trust_ad: bool = False
    no_aaaa: bool = False
    one_by_one: bool = False
    no_reload: bool = False


def read_resolv_conf(text: str, environment: Mapping[str, str]) -> Settings:
    """The settings that a resolv.conf(5) has."""
    found: dict[str, Any] = {}
    servers: list[tuple[str, int]] = []
    for line in text.splitlines():
        key, *values = line.split("#")[0].split(";")[0].split() or [""]
        if key == "nameserver" and values and _is_address(values[0]):
            servers.append((values[0], DNS_PORT))
        elif key in ("search", "domain") and values:
            found["search"] = _domains(values if key == "search" else values[:1])
        elif key == "options":
            found |= _options(values)
    if "LOCALDOMAIN" in environment:
        found["search"] = _domains(environment["LOCALDOMAIN"].split())
    found |= _options(environment.get("RES_OPTIONS", "").split())
    if servers:
        found["servers"] = tuple(dict.fromkeys(servers))
    return Settings(**found)


def _is_address(text: str) -> bool:
    return literal_family(text.partition("%")[0]) is not None


def _domains(words: list[str]) -> tuple[str, ...]:
    domains = []
    for word in words:
        try:
            domains.append(canonical(TCPAddress(word, 0).host))
        except ValueError:
            pass
    return tuple(domains)


def _options(words: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition(":")
        if name in _NUMBERS and value.isascii() and value.isdecimal():
            digits = value.lstrip("0") or "0"  # of which int() does not take thousands
            number = min(int(digits[:3]), _NUMBERS[name])
            found[name] = number if name == "ndots" else max(number, 1)
        elif word in _FLAGS:
            found[_FLAGS[word]] = True
    return found


def read_nsswitch(text: str) -> tuple[str, ...]:
    """The sources of hosts, in their order, without what to do when one of them has answered."""
    for line in text.splitlines():
        key, colon, rest = line.split("#")[0].partition(":")
        if colon and key.strip() == "hosts":
            outside = "".join(each.partition("]")[2] or "" for each in rest.split("["))
            return tuple((rest.split("[")[0] + " " + outside).split())
    return _DEFAULT_SOURCES


def read_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """The addresses of each name, in the order of the lines."""
    found: dict[str, dict[str, None]] = {}
    for address, names in _lines_of_hosts(text):
        for name in names:
            key = _plain(name).lower()
            if not key:
                try:
                    key = canonical(TCPAddress(name, 0).host)
                except ValueError:
                    continue
            found.setdefault(key, {})[address] = None
    return {name: tuple(addresses) for name, addresses in found.items()}


def _plain(name: str) -> str:
    """A name of which nothing has to be checked; else nothing.  A file may have very many."""
    return name if len(name) <= _LONGEST_LABEL and _PLAIN(name) is not None else ""


def _lines_of_hosts(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in text.splitlines():
        address, *names = line.split("#")[0].split() or [""]
        if _is_address(address):
            yield address, names
