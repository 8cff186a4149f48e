"""Names of services as ports: "https" for 443.

Rules:

* The system's table is asked, which is /etc/services as a rule; no name server is.
* Where the system has no such table, as in small containers, the few that everybody knows are
  known.
* What looks like no name of a service is not asked for.

Source: services(5), RFC 6335 section 5.1 (names), and the registry of IANA for the few.
"""

from __future__ import annotations

import re
import socket
from typing import Final

__all__ = ["may_be_service", "service_port"]

_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9+._-]{0,31}", re.ASCII).fullmatch
"""What names there are in services(5) files; the registry's have 15 characters at the most."""

_SOCKETS: Final = {
    socket.IPPROTO_TCP: socket.SOCK_STREAM,
    socket.IPPROTO_UDP: socket.SOCK_DGRAM,
}

_KNOWN: Final = {
    (service, protocol): port
    for service, port, *protocols in (
        ("ssh", 22, socket.IPPROTO_TCP),
        ("smtp", 25, socket.IPPROTO_TCP),
        ("domain", 53, socket.IPPROTO_TCP, socket.IPPROTO_UDP),
        ("http", 80, socket.IPPROTO_TCP),
        ("pop3", 110, socket.IPPROTO_TCP),
        ("ntp", 123, socket.IPPROTO_UDP),
        ("imap", 143, socket.IPPROTO_TCP),
        ("ldap", 389, socket.IPPROTO_TCP),
        ("https", 443, socket.IPPROTO_TCP, socket.IPPROTO_UDP),
        ("submission", 587, socket.IPPROTO_TCP),
        ("ldaps", 636, socket.IPPROTO_TCP),
        ("imaps", 993, socket.IPPROTO_TCP),
        ("pop3s", 995, socket.IPPROTO_TCP),
        ("postgresql", 5432, socket.IPPROTO_TCP),
    )
    for protocol in protocols
}


def may_be_service(text: str) -> bool:
    """Whether it has the form of a name."""
    return _NAME(text) is not None


def service_port(name: str, protocol: int) -> int | None:
    """The port of a service.

    Args:
        name: what may be its name.
        protocol: IPPROTO_TCP or IPPROTO_UDP.

    Returns:
        None if none that is known has the name.

    Thread-safe, which getservbyname(3) is not.
    """
    try:
        found = socket.getaddrinfo(
            "127.0.0.1",
            name,
            family=socket.AF_INET,
            type=_SOCKETS[protocol],
            proto=protocol,
            flags=socket.AI_NUMERICHOST,  # or it would be a name
        )
    except OSError:
        return _KNOWN.get((name, protocol))
    port: int = found[0][4][1]  # type: ignore[assignment]  # of AF_INET
    return port
