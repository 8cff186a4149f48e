"""The codes of getaddrinfo(3), and those of name servers, a row for each: data, and nothing else.

Rules: a row is a name; what happened; what to check; whether a later try may succeed.

Sources: getaddrinfo(3) of glibc; RFC 1035 section 4.1.1 and RFC 8914 for name servers.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["RESOLVE_CODES", "RESPONSE_CODES"]

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

RESPONSE_CODES: Final[tuple[tuple[Any, ...], ...]] = (
    (
        "NXDOMAIN",
        "a name server says that there is no such name",
        "the spelling of the name, and the zone that it is in",
        False,
    ),
    (
        "SERVFAIL",
        "a name server could not find out",
        "whether the servers of the name's zone can be reached, and DNSSEC of that zone",
        True,
    ),
    (
        "REFUSED",
        "a name server does not answer such a question, or not to this host",
        "whether it is meant for this network, and whether it serves the name's zone",
        False,
    ),
    (
        "FORMERR",
        "a name server did not understand the question",
        "the version of the name server, and what is on the way to it",
        False,
    ),
    (
        "NOTIMP",
        "a name server does not know such questions",
        "the version of the name server",
        False,
    ),
)
"""Response codes of DNS, by the names that reports have them by."""
