"""What is done to datagram sockets alone: have them choose an address, and take their peer away.

Rules:

* Neither sends anything: connect(2) of a datagram socket is the kernel's own affair.

Source: connect(2), connect(3p), ip(7).
"""

from __future__ import annotations

import errno as errnos
import socket
import sys
from typing import TYPE_CHECKING, Final

from ..addresses.values import UDPAddress
from .syscalls import probe

if TYPE_CHECKING:
    from ..addresses.values import Endpoint

__all__ = ["dissolve", "source_address", "source_addresses"]

_SIZEOF_SOCKADDR: Final = 16
_PORT: Final = 9  # discard
_SOMEWHERE: Final = ("192.0.2.1", "2001:db8::1")  # for documentation: nobody has them


def source_address(endpoint: Endpoint) -> str | None:
    """The local address from which the kernel would send to ``endpoint``; None without a route.

    Asks by connecting a datagram socket, which sends nothing.
    """
    try:
        with socket.socket(endpoint.family, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            if sock.connect_ex(endpoint.sockaddr):
                return None
            return str(sock.getsockname()[0])
    except OSError:
        return None


def source_addresses() -> tuple[str | None, ...]:
    """The source addresses of IPv4 and of IPv6 towards the internet; None where there is no route.

    They tell one network from another.
    """
    endpoints = [UDPAddress(host, _PORT).endpoint for host in _SOMEWHERE]
    return tuple(source_address(each) for each in endpoints if each is not None)


def dissolve(sock: socket.socket) -> int:
    """Connect a datagram socket to AF_UNSPEC, which leaves it without a peer.

    Returns:
        0 or an errno; EOPNOTSUPP where the platform has no such call.
    """
    if sys.platform == "win32":
        return errnos.EOPNOTSUPP
    try:
        import ctypes  # only here, and slow to import
    except OSError as error:  # no descriptor is left to read it by
        return error.errno or errnos.EIO
    libc = ctypes.CDLL(None, use_errno=True)
    # A struct sockaddr of zeros: AF_UNSPEC is 0, and so it is wherever the family stands.
    if libc.connect(sock.fileno(), bytes(_SIZEOF_SOCKADDR), _SIZEOF_SOCKADDR) == 0:
        return 0
    errno = ctypes.get_errno()
    # macOS and the BSDs dissolve the association and complain of the address.
    if errno == errnos.EAFNOSUPPORT and probe(sock, False)[0]:
        return 0
    return errno
