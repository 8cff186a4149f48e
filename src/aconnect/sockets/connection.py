"""What the system says of a socket's connection: whom it is with, and how its packets fared.

Rule: what the platform does not tell is None.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..addresses.values import SockAddr

__all__ = ["Packets", "family_of", "is_peer", "packets"]

_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
# tcpi_rtt, tcpi_total_retrans and tcpi_segs_out of struct tcp_info (linux/tcp.h), the last of them
# since Linux 4.2.
_FIELDS: Final = struct.Struct("=68xI28xI32xI")
_FAMILY: Final[Callable[[socket.socket], int]] = socket.SocketType.family.__get__


class Packets(NamedTuple):
    """How the packets of a TCP connection, or of an attempt at one, have fared so far."""

    round_trip: float | None = None
    """Seconds, smoothed; None if nothing has been measured, as where only one of several SYNs was
    answered."""
    resent: int | None = None
    """How many were sent again, before there is a connection all of them SYNs; None if nothing has
    been sent."""


def packets(sock: socket.socket) -> Packets:
    """Ask TCP; of anything else, and where the platform does not tell, there is nothing to say.

    Source: TCP_INFO in tcp(7).  Its tcpi_retransmits starts again when there is a connection.
    """
    try:
        if _TCP_INFO is None:
            return Packets()
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _FIELDS.size)
        round_trip, resent, sent = _FIELDS.unpack(info)
    except Exception:  # it is not TCP's, or closed, or too old; or a user's own
        return Packets()
    return Packets(round_trip / 1e6 if round_trip else None, resent if sent else None)


def family_of(sock: socket.socket) -> int:
    """Its address family; the property of a socket makes a member of an enum of it each time."""
    return _FAMILY(sock) if type(sock) is socket.socket else sock.family


def is_peer(sock: socket.socket, sockaddr: SockAddr) -> bool:
    """Whether a socket is connected to ``sockaddr``, as far as names can tell.

    A unix path is compared as text: by another path to the same listener it is another.

    Raises:
        OSError: it is not connected.
    """
    peer: SockAddr = sock.getpeername()
    if isinstance(peer, (str, bytes)) and isinstance(sockaddr, (str, bytes)):
        return os.fsencode(peer) == os.fsencode(sockaddr)
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return peer == sockaddr
    hosts = (str(each[0]).partition("%")[0] for each in (sockaddr, peer))
    try:
        here, there = (socket.inet_pton(sock.family, host) for host in hosts)
    except OSError:  # a name
        return False
    # The unspecified address is this host's; a scope may be left open.
    same_host = here == there or not any(here)
    same_scope = not any(sockaddr[3:]) or sockaddr[3:] == peer[3:]
    return same_host and same_scope and sockaddr[1] == peer[1]
