"""Addresses of sockets on a fake network, as the kernel would have them.

Rules:

* Nothing is looked up.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..addresses.values import SockAddr

__all__ = [
    "ANY",
    "INTERNET",
    "LOOPBACK",
    "MAPPED",
    "error",
    "full_sockaddr",
    "is_loopback",
    "plain",
    "unmapped",
]

INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
ANY: Final[dict[int, str]] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
LOOPBACK: Final[dict[int, str]] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
MAPPED: Final = "::ffff:"
_AF_INET: Final[int] = socket.AF_INET
_LAST_PORT: Final = 65535


def full_sockaddr(family: int, address: Any) -> SockAddr:
    """A socket address as the kernel would give it back.

    Raises:
        TypeError: it is none.
        OverflowError: its port is none.
        socket.gaierror: it has a name where an IP address should be; nothing is looked up here.
    """
    if family not in INTERNET:
        if not isinstance(address, (str, bytes)):
            raise TypeError(f"a unix address must be a str or bytes, not {address!r}")
        packed = os.fsencode(address)
        return packed if packed[:1] == b"\0" else os.fsdecode(packed)
    if not isinstance(address, tuple) or not 2 <= len(address) <= (2 if family == _AF_INET else 4):
        raise TypeError(f"an address must be (host, port), not {address!r}")
    host, port, *more = address
    if not isinstance(port, int):
        raise TypeError(f"port must be an int, not {port!r}")
    if not 0 <= port <= _LAST_PORT:
        raise OverflowError(f"port must be 0-65535, not {port!r}")
    try:
        packed = socket.inet_pton(family, host or ANY[family])
    except OSError:
        said = f"not an address of the family: {host!r}"
        raise socket.gaierror(socket.EAI_NONAME, said) from None
    rest = () if family == _AF_INET else (*more, 0, 0)[:2]
    return (socket.inet_ntop(family, packed), port, *rest)


def unmapped(family: int, host: str) -> tuple[int, str]:
    """The family and the address that an IPv4-mapped one stands for; of any other, its own."""
    if family == socket.AF_INET6 and host.startswith(MAPPED) and "." in host:
        return socket.AF_INET, host.removeprefix(MAPPED)
    return family, host


def plain(family: int, name: SockAddr) -> tuple[Any, ...]:
    """The name of an end as the other one has it."""
    assert isinstance(name, tuple)
    plain, host = unmapped(family, str(name[0]))
    return name if plain == family else (host, name[1])


def is_loopback(host: str) -> bool:
    """Whether it is this machine by any account."""
    return host == "::1" or host.startswith("127.")


def error(errno: int) -> OSError:
    """The exception for an errno."""
    return OSError(errno, os.strerror(errno))
