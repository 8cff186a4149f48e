"""What a host and a port are to an event loop, as what a `Dialer` dials.

Rules:

* A host and a port of the usual kind go to the dialer as they are, and its resolver looks the name
  up.
* What only getaddrinfo(3) can answer is put to the loop's own `getaddrinfo`, and what it answers
  is dialled: no host at all, flags, another protocol.  The name of a service becomes a number.
* What can be no name has no address: that is an error of the lookup, as it is to getaddrinfo(3),
  and no ValueError.  Who connects to what strangers name catches OSError.
* Nothing here is connected to, and nothing is asked of a policy.

Source: `create_connection` and `create_datagram_endpoint` of asyncio's event loops.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from ..addresses.redacting import shown
from ..addresses.target import target_of
from ..addresses.values import TCPAddress, UDPAddress, literal_family
from ..errors.errors import ResolveError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

__all__ = ["checked", "internet_address", "local_addresses"]

_USUAL_PROTOCOLS: Final[dict[int, tuple[int, int]]] = {
    socket.SOCK_STREAM: (0, socket.IPPROTO_TCP),
    socket.SOCK_DGRAM: (0, socket.IPPROTO_UDP),
}
_FAMILIES: Final = (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6)


async def internet_address(
    loop: asyncio.AbstractEventLoop,
    type: int,
    host: str | bytes | None,
    port: int | str | bytes | None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> tuple[str, int] | UDPAddress | list[Any]:
    """What a host and a port are the address of.

    Args:
        loop: the running loop.
        type: SOCK_STREAM or SOCK_DGRAM.
        host: a name or an IP address; None for this machine, as getaddrinfo(3) has it.
        port: a number, as text too, or the name of a service; None for 0.
        family, proto, flags: as for getaddrinfo(3).

    Returns:
        An address; or getaddrinfo() results, if only that could tell.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: the port is not valid.
        ResolveError: the host can be no host.
        OSError: getaddrinfo(3) has no answer.
    """
    if isinstance(host, bytes):
        host = host.decode("ascii", "backslashreplace")  # which no name has
    number = _number(port)
    if host is None or flags or proto not in _USUAL_PROTOCOLS[type] or family not in _FAMILIES:
        service = port if number is None else number
        results: list[Any] = await loop.getaddrinfo(
            host, service, family=family, type=type, proto=proto, flags=flags
        )
        if not results:
            raise OSError("getaddrinfo() returned empty list")
        return results
    if number is None:
        found = await loop.getaddrinfo(None, port, type=type, proto=proto)
        number = found[0][4][1]
    checked(host, number)
    return (host, number) if type == socket.SOCK_STREAM else UDPAddress(host, number)


def checked(host: str, port: int) -> tuple[str, int]:
    """A host and a port, if a dialer can be asked for them as they are.

    Raises:
        TypeError: one is of another type.
        ValueError: the port is not valid.
        ResolveError: the host can be no host.
    """
    try:
        target_of((host, port))
    except ValueError as error:
        target_of(("localhost", port))  # or it is not the host that is wrong
        raise ResolveError(
            socket.EAI_NONAME, f"could not resolve {shown(host)}: {error}", phase="resolve"
        ) from None
    return host, port


def _number(port: int | str | bytes | None) -> Any:
    """The port as a number, or whatever else it is; None for the name of a service."""
    if port is None or port in ("", b""):
        return 0
    if isinstance(port, (str, bytes)):
        return int(port) if port.isdigit() else None
    return port


async def local_addresses(
    loop: asyncio.AbstractEventLoop,
    type: int,
    local_addr: Sequence[Any],
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> tuple[TCPAddress, ...]:
    """What ``local_addr`` binds to: the first address of each family, as asyncio looks them up.

    Raises:
        TypeError, ValueError: it is not a local address.
        OSError: getaddrinfo(3) has no answer.
    """
    host, port, *more = local_addr
    number = _number(port)
    literal = isinstance(host, str) and literal_family(host.partition("%")[0]) is not None
    if literal and number is not None:
        return (TCPAddress(host, number, *more),)
    results = await loop.getaddrinfo(
        host, port, family=family, type=type, proto=proto, flags=flags
    )
    first = {result[0]: result[4] for result in reversed(results)}
    if not first:
        raise OSError("getaddrinfo() returned empty list")
    return tuple(TCPAddress(*sockaddr) for sockaddr in first.values())
