"""Addresses that need no name server.

Rules:

* A literal IP address, a unix path and a VSOCK address resolve to themselves, at once.
* The name of an IPv6 zone is looked up in the kernel (if_nametoindex), which does not wait.  An
  endpoint may have one in its host until then: no system call is given it.
* Entries of getaddrinfo results are checked like any other argument, before any socket is
  opened.
"""

from __future__ import annotations

import errno as errnos
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ..sansio.value import plain
from .redacting import shown
from .values import Endpoint, TCPAddress, UDPAddress, VsockAddress, check_path, literal_family

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .values import SockAddr

__all__ = [
    "endpoints_of_results",
    "has_named_zone",
    "interface_index",
    "numbered",
    "zoned_endpoint",
]

# getaddrinfo() without a type lists raw sockets too; they are left out like other types.
_TYPES = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW)
_PROTOCOLS = {socket.SOCK_STREAM: socket.IPPROTO_TCP, socket.SOCK_DGRAM: socket.IPPROTO_UDP}

_LARGEST_INT = 2**31 - 1
_REMEMBERED: Final = 256


def zoned_endpoint(address: TCPAddress | UDPAddress) -> Endpoint:
    """The endpoint of a literal IPv6 address whose zone has a name.

    Raises:
        OSError: no network interface has that name (ENODEV).
    """
    host, _, zone = address.host.partition("%")
    kind = type(address)
    endpoint = kind(host, address.port, address.flowinfo, interface_index(zone)).endpoint
    assert endpoint is not None  # without the name there is nothing left to look up
    return endpoint


def interface_index(name: str) -> int:
    """The number of a network interface.

    Raises:
        OSError: none has the name (ENODEV).
    """
    try:
        return socket.if_nametoindex(name)
    except OSError:
        # Its own error has no errno on some Pythons.
        raise OSError(errnos.ENODEV, f"no network interface is called {name!r}") from None


def has_named_zone(endpoint: Endpoint) -> bool:
    """Whether its host has the name of an IPv6 zone, which connect(2) cannot be given."""
    return endpoint.family == socket.AF_INET6 and "%" in str(endpoint.sockaddr[0])


def numbered(endpoint: Endpoint) -> Endpoint:
    """The endpoint with the number of its zone; unchanged if no network interface has the name."""
    if not has_named_zone(endpoint):
        return endpoint
    sockaddr: Any = endpoint.sockaddr
    host, _, zone = sockaddr[0].partition("%")
    try:
        return endpoint._replace(sockaddr=(host, *sockaddr[1:3], interface_index(zone)))
    except OSError:
        return endpoint


def endpoints_of_results(results: Sequence[Any]) -> tuple[Endpoint, ...]:
    """The endpoints of a list that getaddrinfo() returned.

    Entries of another socket type than the first are left out: they are other ways to use
    the same addresses.

    Raises:
        TypeError: an entry is not a 5-tuple of the right types.
        ValueError: the list is empty, or an entry has values that cannot be.
    """
    if not results:
        raise ValueError("address must not be an empty list: there is nothing to connect to")
    endpoints = [check_result(entry) for entry in results]
    if endpoints[0].type == socket.SOCK_RAW:
        raise ValueError(
            "address must be getaddrinfo() results for a socket that can connect, not SOCK_RAW: "
            f"{shown(results[0])}"
        )
    return tuple(endpoint for endpoint in endpoints if endpoint.type == endpoints[0].type)


def check_result(entry: Any) -> Endpoint:
    """The endpoint of one entry of getaddrinfo results.

    Raises:
        TypeError, ValueError: it is none; the message shows what is wrong with it.
    """
    if not isinstance(entry, tuple) or len(entry) != 5:
        raise TypeError(
            "address must be a list of (family, type, proto, canonname, sockaddr) as "
            f"getaddrinfo() returns it, but has {shown(entry)}"
        )
    family, type, proto, _, sockaddr = entry
    if isinstance(sockaddr, tuple):
        try:
            return _remembered(family, type, proto, *sockaddr)
        except (TypeError, ValueError):
            pass  # have what is wrong be said of the entry
    return _endpoint(entry)


def _endpoint(entry: Any) -> Endpoint:
    family, type, proto, _, sockaddr = entry
    if any(isinstance(n, bool) or not isinstance(n, int) for n in (family, type, proto)):
        raise TypeError(f"family, type and proto must be ints, not {shown(entry)}")
    if not all(0 <= n <= _LARGEST_INT for n in (family, proto)):
        raise ValueError(f"family and proto must be from 0 to {_LARGEST_INT}, not {shown(entry)}")
    if type not in _TYPES:
        raise ValueError(
            f"type must be SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET, not {shown(entry)}"
        )
    if family in (socket.AF_INET, socket.AF_INET6):
        sockaddr = _check_internet(family, sockaddr)
        proto = proto or _PROTOCOLS.get(type, 0)
    elif family == getattr(socket, "AF_UNIX", None):
        if not isinstance(sockaddr, (str, bytes)):
            raise TypeError(f"sockaddr must be a str or bytes, not {shown(sockaddr)}")
        sockaddr = check_path(sockaddr, "sockaddr")
    elif not isinstance(sockaddr, tuple):
        raise TypeError(f"sockaddr must be a tuple, not {shown(sockaddr)}")
    elif family == getattr(socket, "AF_VSOCK", None):
        sockaddr = VsockAddress(*sockaddr).endpoint.sockaddr
    return Endpoint(family, type, proto, sockaddr)


def _check_internet(family: int, sockaddr: Any) -> SockAddr:
    lengths = (2,) if family == socket.AF_INET else (2, 4)
    if not isinstance(sockaddr, tuple) or len(sockaddr) not in lengths:
        raise TypeError(
            "sockaddr must be (host, port), or (host, port, flowinfo, scope_id) for IPv6, not "
            f"{shown(sockaddr)}"
        )
    address = TCPAddress(*sockaddr)
    if literal_family(address.host.partition("%")[0]) != family:
        raise ValueError(
            f"sockaddr must have an IP address of the entry's family, not {shown(sockaddr)}"
        )
    if "%" not in sockaddr[0]:
        return (address.host, address.port, *map(plain, sockaddr[2:]))
    return (address.host, address.port, address.flowinfo, address.scope_id)


# Results of a name that is dialled again are the same; `typed` keeps True from being 1.
@lru_cache(_REMEMBERED, typed=True)
def _remembered(family: Any, type: Any, proto: Any, *sockaddr: Any) -> Endpoint:
    return _endpoint((family, type, proto, "", sockaddr))
