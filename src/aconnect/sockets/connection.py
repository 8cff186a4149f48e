"""What the system says of a socket's connection: whom it is with.

Rule: nothing is raised; what cannot be known is not so.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..addresses.values import SockAddr

__all__ = ["is_peer"]


def is_peer(sock: socket.socket, sockaddr: SockAddr) -> bool:
    """Whether a socket is connected to ``sockaddr``, as far as names can tell.

    A unix path is compared as text: by another path to the same listener it is another.
    """
    try:
        peer: SockAddr = sock.getpeername()
        if isinstance(peer, (str, bytes)) and isinstance(sockaddr, (str, bytes)):
            return os.fsencode(peer) == os.fsencode(sockaddr)
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return peer == sockaddr
        hosts = (str(each[0]).partition("%")[0] for each in (sockaddr, peer))
        here, there = (socket.inet_pton(sock.family, host) for host in hosts)
    except OSError:
        return False
    # The unspecified address is this host's; a scope may be left open.
    same_host = here == there or not any(here)
    same_scope = not any(sockaddr[3:]) or sockaddr[3:] == peer[3:]
    return same_host and same_scope and sockaddr[1] == peer[1]
