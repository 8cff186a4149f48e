"""Where to connect instead: hosts and ports that are others, as with curl's ``--connect-to``.

Rules:

* The most specific key counts: a host before a wildcard, a longer wildcard before a shorter one,
  with a port before without.  ``*.example`` is every name below ``example``, and not that itself;
  ``*`` is every host.
* A key without a port is for all ports; a value without one keeps the port.
* Names are compared as DNS does it, international ones by their A-labels, literal addresses by
  what they stand for.
* A redirect is not followed by another.
* A domain that SRV records are looked up for has no port, and is not redirected.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from ..sansio.value import plain
from .redacting import shown
from .target import Target, target_of
from .values import MAX_PORT, InternetAddress, TCPAddress, UDPAddress, literal_family

__all__ = ["Redirects", "canonical"]

_REMEMBERED: Final = 256


def canonical(host: str) -> str:
    """A host in the form in which it is compared: a name as its A-labels, lowered, without a dot
    at the end; an address as inet_ntop(3) has it, with its zone."""
    bare, percent, zone = host.partition("%")
    family = literal_family(bare)
    if family is not None:
        return socket.inet_ntop(family, socket.inet_pton(family, bare)) + percent + zone
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    return host.lower().removesuffix(".")


class Redirects:
    """Says where to connect instead.

    Args:
        mapping: from ``"host:port"``, ``"host"``, ``"*.domain"``, ``"*.domain:port"``, ``"*"`` or
            ``"*:port"``, with IPv6 addresses in brackets, to ``"host:port"`` or ``"host"``.

    Raises:
        TypeError: it is not a mapping of str to str.
        ValueError: a text is none of these; the message shows it.

    Immutable, and thread-safe.
    """

    def __init__(self, mapping: Mapping[str, str]) -> None:
        if not isinstance(mapping, Mapping):
            raise TypeError(f"connect_to must be a mapping, not {shown(mapping)}")
        self._to = {_key(each): _parsed(to) for each, to in mapping.items()}
        self._of = lru_cache(_REMEMBERED)(self._redirected)

    def of(self, target: Target) -> Target:
        """What to connect to for a target: itself, if it is not in the mapping.

        Another keeps the host, for handshakes, and its text says what it was.
        """
        parts = target.parts
        instead = tuple(map(self._part, parts))
        if all(new is old for new, old in zip(instead, parts, strict=True)):
            return target
        if len(instead) == 1:
            return instead[0]
        return Target(tuple(part.address for part in instead), None, None, instead)

    def _part(self, part: Target) -> Target:
        if not isinstance(part.address, InternetAddress):
            return part
        return self._of(part.address) or part

    def _redirected(self, address: Any) -> Target | None:
        host, port = canonical(_with_zone(address)), address.port
        names = [host]
        if literal_family(host.partition("%")[0]) is None:
            labels = host.split(".")
            names += ["*." + ".".join(labels[skipped:]) for skipped in range(1, len(labels))]
        for name in (*names, "*"):
            for key in ((name, port), (name, None)):
                if key in self._to:
                    return self._instead(address, *self._to[key])
        return None

    def _instead(self, address: TCPAddress | UDPAddress, host: str, port: int | None) -> Target:
        # What is offered elsewhere is not asked for: it is said here where to go.
        kind = UDPAddress if isinstance(address, UDPAddress) else TCPAddress
        new = kind(host, address.port if port is None else port)
        made = target_of(new)
        text = f"{address} (connect_to {new})"
        return Target(made.address, made.endpoints, text, host=address.host)


def _key(text: Any) -> tuple[str, int | None]:
    host, port = _split(text)
    wildcard = "*." if host.startswith("*.") else ""
    if host == "*":
        return host, port
    return wildcard + canonical(_checked(text, host.removeprefix(wildcard))), port


def _parsed(text: Any) -> tuple[str, int | None]:
    host, port = _split(text)
    return _checked(text, host), port


def _checked(text: str, host: str) -> str:
    try:
        return _with_zone(TCPAddress(host, 0))
    except ValueError as error:
        raise ValueError(f"connect_to: {shown(text)}: {error}") from None


def _with_zone(address: InternetAddress) -> str:
    """The host of an address; with its zone, though that be a number."""
    return f"{address.host}%{address.scope_id}" if address.scope_id else address.host


def _split(text: Any) -> tuple[str, int | None]:
    """Host and port of a key or a value."""
    if not isinstance(text, str):
        raise TypeError(f"connect_to must be a mapping of str to str, but has {shown(text)}")
    text = plain(text)
    host, colon, port = text.rpartition(":")
    if text.endswith("]") or not colon:
        host, port = text, ""
    elif not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= MAX_PORT):
        raise ValueError(f"connect_to: {shown(text)} has no port from 0 to {MAX_PORT}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise ValueError(f"connect_to: {shown(text)}: brackets are for IPv6 addresses")
    elif ":" in host:
        raise ValueError(
            f"connect_to: {shown(text)}: an IPv6 address needs brackets, as in [::1]:80"
        )
    return host, int(port) if port else None
