"""What an endpoint leads to, as policies judge it.

Rules:

* What is not understood is nothing: a host that is no literal address, an unknown family, a unix
  or a VSOCK address.
* An IPv4-mapped IPv6 address *is* the IPv4 address: IPv4 is what the kernel sends.
"""

from __future__ import annotations

import socket
from typing import Final, NamedTuple

from ..addresses.values import MAX_PORT, Endpoint
from .special_networks import MAPPED_PREFIX

__all__ = ["Peer", "read"]


class Peer(NamedTuple):
    """An internet endpoint as it is judged."""

    version: int
    number: int
    port: int
    has_zone: bool


def read(endpoint: Endpoint) -> Peer | None:
    """What the endpoint leads to; None for what is not an internet address.

    The host must be what inet_pton(3) takes, because that is all the socket module does not
    look up.
    """
    if not isinstance(endpoint, Endpoint):
        raise TypeError(f"endpoint must be an Endpoint, not {endpoint!r}")
    family, sockaddr = endpoint.family, endpoint.sockaddr
    lengths = _SOCKADDR_LENGTHS.get(family)
    if lengths is None or not isinstance(sockaddr, tuple) or len(sockaddr) not in lengths:
        return None
    host, port, *rest = sockaddr
    if not isinstance(host, str) or not _is_u32(port) or port > MAX_PORT:
        return None
    if not all(map(_is_u32, rest)):
        return None
    zone = ""
    if family == socket.AF_INET6:
        host, zone, _ = host.partition("%")
    try:
        packed = socket.inet_pton(family, host)
    except (OSError, ValueError):
        return None
    has_zone = bool(zone) or (len(rest) == 2 and rest[1] != 0)
    if packed.startswith(MAPPED_PREFIX):
        packed = packed[12:]
    version = 4 if len(packed) == 4 else 6
    return Peer(version, int.from_bytes(packed, "big"), port, has_zone)


_SOCKADDR_LENGTHS: Final[dict[int, tuple[int, ...]]] = {
    socket.AF_INET: (2,),
    socket.AF_INET6: (2, 3, 4),
}


def _is_u32(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32
