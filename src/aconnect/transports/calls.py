"""What the calls of all transports and clients have in common: their arguments.

Rules:

* An argument that is no good is refused before any system call.
* A call dials with the `Dialer` it is given.  Options of its own apply on top of that one's.
"""

from __future__ import annotations

import asyncio
import errno as errnos
import socket
import time
from contextlib import contextmanager, suppress
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypedDict

from ..addresses.target import target_of
from ..addresses.text import printable, shortened
from ..dial.dialer import DEFAULT, Dialer
from ..drivers.running import in_trio
from ..errors.errors import ConnectTimeout
from ..report.attempt import LONGEST_ADDRESS
from ..sockets.local_address import check_local_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ..addresses.target import Target
    from ..addresses.text import Address, AddressLike, Port
    from ..addresses.values import Endpoint
    from ..dial.history import History
    from ..policy import NamePolicy, Policy
    from ..report.report import Report
    from ..resolvers.base import Resolver
    from ..sockets.option import Keepalive, SocketOptionLike
    from ..sockets.settings import LocalAddressLike
    from ..sockets.syscalls import SystemCalls
    from ..trace import Trace

__all__ = [
    "OF_A_DIALER",
    "DialerOptions",
    "asyncio_loop",
    "check_trio",
    "checked",
    "dialer_of",
    "keep_nagle",
    "left_quietly",
    "not_done",
    "stream_target",
]


class DialerOptions(TypedDict, total=False):
    """The options of a `Dialer`, as keyword arguments of a call."""

    attempt_delay: float | None
    resolution_delay: float
    first_family_count: int
    max_in_flight: int
    attempt_timeout: float | None
    prefer: int | None
    family: int
    local_address: LocalAddressLike | Iterable[LocalAddressLike] | None
    interface: str | None
    socket_options: Iterable[SocketOptionLike]
    keepalive: Keepalive | None
    user_timeout: float | None
    nodelay: bool
    mptcp: bool
    mark: int | None
    tos: int | None
    on_socket: Callable[[socket.socket, Endpoint], object] | None
    socket_factory: Callable[[Endpoint], socket.socket] | None
    permit: Policy | None
    proxy: Any
    permit_proxy: Policy | None
    permit_name: NamePolicy | None
    connect_to: Mapping[str, str] | None
    resolver: Resolver
    history: History | None
    trace: Trace | None
    on_report: Callable[[Report], object] | None
    system_calls: SystemCalls


_LIGHT: Final = (int, float, type(None))
"""Values that lead nowhere; a str may be a proxy's URL, with a password."""

OF_A_DIALER: Final = DEFAULT._defaults
"""The defaults of `DialerOptions`, to show."""


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
            raise TypeError("local_addr and local_address mean the same: give only one of them")
        # Checked under the name that it was given by.
        options["local_address"] = tuple(check_local_address(local_addr, "local_addr").values())
    if not options:
        return dialer
    if dialer is DEFAULT and all(isinstance(value, _LIGHT) for value in options.values()):
        return _default_with(**options)
    return dialer.replace(**options)


@lru_cache(64, typed=True)
def _default_with(**options: Any) -> Dialer:
    """A `Dialer` with options that keep nothing alive, for the calls that will have the same."""
    return DEFAULT.replace(**options)


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


@contextmanager
def left_quietly(scope: Any) -> Iterator[None]:
    """Enter a cancel scope of anyio's or trio's, and leave it quietly if the coroutine is closed.

    That may be done anywhere, and a scope can be left in its own task alone: what it raises
    elsewhere would take the place of the GeneratorExit, as if the handshake had failed.
    """
    closed: GeneratorExit | None = None
    try:
        with scope:
            try:
                yield
            except GeneratorExit as error:
                closed = error
                with suppress(Exception):  # trio, when it does not run any more
                    scope.deadline = inf  # no timer is left
                raise
    except RuntimeError:
        if closed is None:
            raise
        raise closed from None
    finally:
        del closed  # its traceback leads to this frame


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
        f"could not connect to {shortened(printable(str(address)), LONGEST_ADDRESS)} in "
        f"{elapsed:.3f} s: deadline passed: connected, but the {what} handshake had not finished",
        address=address,
        phase="handshake",
        elapsed=elapsed,
        family=family,
    )


def stream_target(
    address: AddressLike | list[Any] | bytes, port: Port | None, call: str
) -> Target:
    """What a stream is to be connected to.

    Args:
        address: an address, or a host if there is a ``port``.
        port: the port of the host.
        call: who asks.

    Raises:
        TypeError, ValueError: it is not an address, or one for a socket of another type.
    """
    return checked(target_of(address, port), socket.SOCK_STREAM, call)


def checked(target: Target, type: int, call: str) -> Target:
    """The target, which is for a socket of the type.

    Raises:
        ValueError: it is not.
    """
    only = target.only
    if (target.type if only is None else only.type) != type:
        raise ValueError(
            f"{call}() needs the address of a {socket.SocketKind(type).name} socket, "
            f"not {target.text}: use {_CALLS.get(target.type, 'aconnect')}() for that"
        )
    return target


_CALLS: Final[dict[int, str]] = {
    socket.SOCK_DGRAM: "create_datagram_endpoint",
    socket.SOCK_STREAM: "create_connection",
}
