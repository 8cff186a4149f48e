"""The codes of getaddrinfo(3), a row for each: data, and nothing else.

Rules: a row is a name; what happened; what to check; whether a later try may succeed.

Source: getaddrinfo(3) of glibc.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["RESOLVE_CODES"]

RESOLVE_CODES: Final[tuple[tuple[Any, ...], ...]] = (
    (
        "EAI_NONAME",
        "no such name is known",
        "the spelling of the name, /etc/hosts and the name servers in /etc/resolv.conf",
        False,
    ),
    (
        "EAI_NODATA",
        "the name is known but has no address",
        "the name's address records",
        False,
    ),
    (
        "EAI_AGAIN",
        "no name server gave a usable answer this time",
        "whether the name servers in /etc/resolv.conf can be reached",
        True,
    ),
    (
        "EAI_FAIL",
        "the name server failed, and asking again will not help",
        "the name server's log, and DNSSEC of the name's zone",
        False,
    ),
    (
        "EAI_MEMORY",
        "there was no memory, or no thread, for the lookup",
        "the memory and thread limits of this host",
        True,
    ),
    (
        "EAI_SYSTEM",
        "the system failed while looking the name up",
        "the system's log and limits",
        False,
    ),
    (
        "EAI_SERVICE",
        "this type of socket cannot have that port",
        "the port and the type of the address",
        False,
    ),
    (
        "EAI_FAMILY",
        "the system does not support the address family",
        "whether the kernel was built with it (IPv6)",
        False,
    ),
    (
        "EAI_SOCKTYPE",
        "the system does not support this type of socket",
        "the type of the address",
        False,
    ),
    (
        "EAI_BADFLAGS",
        "the system does not know one of the lookup's flags",
        "no argument of yours can cause this: please report it",
        False,
    ),
    (
        "EAI_OVERFLOW",
        "the answer was too long",
        "the name's records",
        False,
    ),
    (
        "EAI_ADDRFAMILY",
        "the name has no address of that family",
        "the name's address records",
        False,
    ),
)
