"""What the calls of all adapters have in common: their arguments.

Rules:

* An argument that is no good is refused before any system call.
* A call dials with the `Dialer` it is given.  Options of its own apply on top of that one's.
"""

from __future__ import annotations

import asyncio
import errno as errnos
import socket
import time
from typing import TYPE_CHECKING, Any, Final, TypedDict

from ..addresses import TCPAddress, UDPAddress
from ..connecting import target_of
from ..dialer import DEFAULT, Dialer
from ..drivers.select import in_trio
from ..errors import ConnectTimeout, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..address_text import AddressLike
    from ..addresses import Address, Endpoint
    from ..options import Keepalive, LocalAddressLike, SocketOption
    from ..policy import Policy
    from ..report import Report
    from ..resolvers.base import Resolver
    from ..trace import Trace

__all__ = [
    "DialerOptions",
    "asyncio_loop",
    "check_trio",
    "dialer_of",
    "host_of",
    "keep_nagle",
    "not_done",
    "target",
]


class DialerOptions(TypedDict, total=False):
    """The options of a `Dialer`, as keyword arguments of a call."""

    attempt_delay: float | None
    resolution_delay: float
    first_family_count: int
    max_in_flight: int
    attempt_timeout: float | None
    family: int
    local_address: LocalAddressLike | Iterable[LocalAddressLike] | None
    interface: str | None
    socket_options: Iterable[SocketOption]
    keepalive: Keepalive | None
    user_timeout: float | None
    nodelay: bool
    mptcp: bool
    mark: int | None
    tos: int | None
    on_socket: Callable[[socket.socket, Endpoint], object] | None
    socket_factory: Callable[[Endpoint], socket.socket] | None
    permit: Policy | None
    resolver: Resolver
    trace: Trace | None
    on_report: Callable[[Report], object] | None


def dialer_of(dialer: Dialer | None, options: Any, local_addr: object = None) -> Dialer:
    """What a call dials with.

    Args:
        dialer: None for one without options.
        options: `DialerOptions`.
        local_addr: what asyncio calls ``local_address``.

    Raises:
        TypeError, ValueError: as on construction of a `Dialer`; or one is given twice.
    """
    if dialer is None:
        if not options and local_addr is None:
            return DEFAULT
        dialer = DEFAULT
    elif not isinstance(dialer, Dialer):
        raise TypeError(f"dialer must be a Dialer or None, not {dialer!r}")
    if local_addr is not None:
        if "local_address" in options:
            raise TypeError("local_addr and local_address are the same: give one of them")
        options["local_address"] = local_addr
    return dialer.replace(**options) if options else dialer


def asyncio_loop(call: str) -> asyncio.AbstractEventLoop:
    """The running loop of asyncio, or uvloop.

    Raises:
        RuntimeError: none is running here.
    """
    if in_trio():
        raise RuntimeError(
            f"{call}() is for asyncio and uvloop, and trio is running: "
            "use open_stream() or open_trio_stream()"
        )
    return asyncio.get_running_loop()


def check_trio(call: str) -> None:
    """See that trio is running.

    Raises:
        RuntimeError: it is not.
    """
    if not in_trio():
        raise RuntimeError(
            f"{call}() is for trio, which is not running here: "
            "use open_stream(), or open_connection() on asyncio"
        )


def keep_nagle(sock: socket.socket) -> None:
    """Undo what transports and streams do to a TCP socket, for a dialer without ``nodelay``.

    They set TCP_NODELAY without being asked.
    """
    if sock.fileno() < 0:
        return
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        except OSError:
            pass  # the peer has hung up, which some systems tell in this way


def not_done(address: Address, what: str, started: float, family: int) -> ConnectTimeout:
    """The error for a deadline that has passed in somebody else's handshake.

    Args:
        address: what was connected to.
        what: the kind of handshake.
        started: when the call began.
        family: of the socket.
    """
    elapsed = time.monotonic() - started
    return ConnectTimeout(
        errnos.ETIMEDOUT,
        f"could not connect to {address} in {elapsed:.3f} s: deadline passed: "
        f"connected, and the {what} handshake was not done",
        address=address,
        phase="handshake",
        elapsed=elapsed,
        family=family,
    )


def target(
    address: AddressLike | list[Any], port: int | None, type: int, call: str
) -> tuple[Address | tuple[Any, ...], list[Endpoint] | None]:
    """What is to be connected to, as a dialer's `dial` takes it.

    Args:
        address: an address, or a host if there is a ``port``.
        port: the port of the host.
        type: SOCK_STREAM; or SOCK_DGRAM, for which a host and a port are a UDP address.
        call: who asks.

    Raises:
        TypeError, ValueError: it is no address, or one for a socket of another type.
    """
    if port is not None:
        if not isinstance(address, str):
            raise TypeError(f"address must be a host, as a string, beside a port: {address!r}")
        address = (address, port)
    if type == socket.SOCK_DGRAM and isinstance(address, tuple):
        address = UDPAddress(*address)
    known, endpoints = target_of(address)
    if isinstance(known, TCPAddress) and type == socket.SOCK_STREAM:
        return known, endpoints
    if endpoints is not None:
        kinds = [each.type for each in endpoints]
    else:
        kinds = [socket.SOCK_DGRAM if isinstance(known, UDPAddress) else socket.SOCK_STREAM]
    for kind in kinds:
        if kind != type:
            text = describe(known, endpoints or ())
            raise ValueError(
                f"{call}() needs the address of a {socket.SocketKind(type).name} socket, "
                f"not {text}: use {_CALLS.get(kind, 'aconnect')}() for that"
            )
    return known, endpoints


def host_of(address: Address | tuple[Any, ...]) -> str | None:
    """The host of an address; None if it has none."""
    return address.host if isinstance(address, TCPAddress) else None


_CALLS: Final[dict[int, str]] = {
    socket.SOCK_DGRAM: "create_datagram_endpoint",
    socket.SOCK_STREAM: "create_connection",
}
