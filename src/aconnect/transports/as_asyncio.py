"""The arguments of asyncio's own calls, and what each of them is here.

Rules:

* Each is taken as asyncio takes it, or refused with what there is in its place.  None is ignored.
* None, and 0 where that is asyncio's default, is as good as not given, as it is there.
* What is translated is refused under the name that it was given by.

| asyncio's | here |
| --- | --- |
| host, port | the address; without a host, the loopback addresses of this machine |
| path | a `UnixAddress`: "@" is a character like others, and NUL begins an abstract name |
| local_addr, remote_addr | ``local_address``, the address |
| happy_eyeballs_delay | ``attempt_delay`` |
| interleave | ``first_family_count``; 0 is for all of the first family before the other |
| family | ``family``; AF_UNIX is for paths |
| proto | that of the address, or 0 |
| flags | those of the `SystemResolver` |
| reuse_port, allow_broadcast | ``socket_options`` |
| all_errors | the errors of the attempts, in a group |
| sock | refused: it is connected already |

Source: `asyncio.loop.create_connection`, `create_unix_connection` and `create_datagram_endpoint`.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final

from ..addresses.redacting import shown
from ..addresses.target import loopback, target_of
from ..addresses.text import is_path, of_parts
from ..addresses.values import UDPAddress, UnixAddress
from ..dial.dialer import DEFAULT
from ..resolvers.system import SystemResolver
from ..sockets.option import SocketOption
from .calls import DialerOptions, checked

if TYPE_CHECKING:
    import ssl as ssl_module

    from ..addresses.target import Target
    from ..addresses.text import AddressLike, Host, Port
    from ..deadline import Deadline
    from ..dial.dialer import Dialer
    from ..report.report import Report

__all__ = [
    "ConnectionArguments",
    "ConnectionOptions",
    "DatagramOptions",
    "UnixArguments",
    "check_factory",
    "datagram_target",
    "paths",
    "stream_target",
    "to_dialer",
    "unix_address",
]

_ALL: Final = 2**31 - 1
"""More addresses than any name has."""
_AF_UNIX: Final[int] = getattr(socket, "AF_UNIX", -1)
_V4MAPPED: Final[int] = getattr(socket, "AI_V4MAPPED", 0)
_PROTOCOLS: Final[dict[int, int]] = {
    socket.SOCK_STREAM: socket.IPPROTO_TCP,
    socket.SOCK_DGRAM: socket.IPPROTO_UDP,
}


class ConnectionOptions(DialerOptions, total=False):
    """The further arguments of create_connection()."""

    host: Host | None
    happy_eyeballs_delay: float | None
    interleave: int | None
    all_errors: bool
    proto: int
    flags: int
    sock: None


class ConnectionArguments(ConnectionOptions, total=False):
    """The arguments of create_connection() that open_connection() hands on."""

    ssl: ssl_module.SSLContext | bool | None
    server_hostname: str | bytes | None
    ssl_session: ssl_module.SSLSession | None
    ssl_handshake_timeout: float | None
    ssl_shutdown_timeout: float | None
    local_addr: Any
    timeout: float | None
    deadline: Deadline | None
    dialer: Dialer | None
    report: Report | None


class UnixArguments(DialerOptions, total=False):
    """The arguments of create_connection() that those for unix sockets hand on."""

    ssl: ssl_module.SSLContext | bool | None
    server_hostname: str | bytes | None
    ssl_session: ssl_module.SSLSession | None
    ssl_handshake_timeout: float | None
    ssl_shutdown_timeout: float | None
    sock: None
    timeout: float | None
    deadline: Deadline | None
    dialer: Dialer | None
    report: Report | None


class DatagramOptions(DialerOptions, total=False):
    """The further arguments of create_datagram_endpoint()."""

    proto: int
    flags: int
    reuse_port: bool | None
    allow_broadcast: bool | None
    sock: None


def stream_target(
    address: AddressLike | list[Any] | bytes | None,
    port: Port | None,
    host: Host | None,
    call: str,
) -> Target:
    """What a stream is to be connected to.

    Args:
        address: an address, or a host if there is a ``port``; None if it is ``host``, or if the
            port is one of this machine.
        port: the port.
        host: the same as ``address``, as asyncio calls it.
        call: who asks.

    Raises:
        TypeError, ValueError: it is not an address, or one for a socket of another type.
    """
    if host is not None:
        if address is not None:
            raise TypeError(
                f"{call}(): give host or address, not both: {shown(host)}, {shown(address)}"
            )
        address = host
    if address is not None:
        target = target_of(address, port)
    elif port is not None:
        target = loopback(port)
    else:
        raise ValueError(f"{call}() needs an address, or a host and a port")
    return checked(target, socket.SOCK_STREAM, call)


def datagram_target(address: AddressLike | list[Any] | None, call: str) -> Target:
    """What a datagram socket is to be connected to; a host and a port are a UDP address.

    Raises:
        TypeError, ValueError: it is not an address, or one for a socket of another type.
    """
    target: Target | None = None
    if address is None:
        raise ValueError(
            f"{call}() needs remote_addr=: as in asyncio, its first argument is the local "
            "address. For a socket without a peer, use loop.create_datagram_endpoint()"
        )
    if isinstance(address, os.PathLike) or (isinstance(address, str) and is_path(address)):
        address = UnixAddress(address, socket.SOCK_DGRAM)
    elif isinstance(address, tuple) and len(address) in (2, 4):
        host, *rest = address
        if host is None and len(rest) == 1:
            target = loopback(rest[0], UDPAddress)
        else:
            address = of_parts(UDPAddress, *address)
    return checked(target or target_of(address), socket.SOCK_DGRAM, call)


def check_factory(protocol_factory: object) -> None:
    """See that it can be called.

    Raises:
        TypeError: it cannot.
    """
    if not callable(protocol_factory):
        raise TypeError(f"protocol_factory must be callable, not {protocol_factory!r}")


def paths(*addresses: Any) -> tuple[Any, ...]:
    """Addresses of datagram sockets, of which those that are paths may be written as such."""
    return tuple(
        unix_address(each, socket.SOCK_DGRAM)
        if isinstance(each, (str, bytes, os.PathLike))
        else each
        for each in addresses
    )


def unix_address(
    path: str | bytes | os.PathLike[Any], type: int = socket.SOCK_STREAM
) -> UnixAddress:
    """The address of a path, as asyncio takes it.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"path must be a str, bytes or a path object, not {path!r}")
    text = os.fsdecode(path)
    if text.startswith("\0"):
        text = f"@{text[1:]}"
    elif text.startswith("@"):
        text = f"./{text}"
    return UnixAddress(text, type)


def to_dialer(options: Any, dialer: Dialer | None, target: Target, call: str) -> bool:
    """Make options of a `Dialer` of what asyncio calls otherwise.

    Args:
        options: what the call was given; changed in place.
        dialer: what it is to dial with.
        target: where to.
        call: who asks.

    Returns:
        Whether ``all_errors`` is wanted.

    Raises:
        TypeError, ValueError: one is invalid.
    """
    if options.pop("sock", None) is not None:
        raise ValueError(
            f"{call}(): sock is already connected, so there is nothing to dial: use asyncio's "
            "function of the same name"
        )
    delay = options.pop("happy_eyeballs_delay", None)
    if delay is not None:
        _put(options, "happy_eyeballs_delay", "attempt_delay", _seconds(delay))
    interleave = options.pop("interleave", None)
    if interleave is not None:
        count = _int("interleave", interleave) or _ALL
        _put(options, "interleave", "first_family_count", count)
    proto = _int("proto", options.pop("proto", 0))
    if proto not in (0, _PROTOCOLS[target.type]):
        raise ValueError(
            f"proto must be 0 or {_PROTOCOLS[target.type]}, the one there is for "
            f"{target.text}, not {proto!r}"
        )
    flags = _int("flags", options.pop("flags", 0))
    if flags:
        resolver = options.get("resolver", (dialer or DEFAULT).resolver)
        if not isinstance(resolver, SystemResolver):
            raise ValueError(f"flags {flags!r} are for a SystemResolver, not for {resolver!r}")
        if flags & _V4MAPPED and options.get("family") == socket.AF_INET6:
            raise ValueError(f"flags must not have AI_V4MAPPED for AF_INET6: {flags!r}")
        options["resolver"] = resolver.replace(flags=flags)
    family = options.get("family", 0)
    if not family or (family == _AF_UNIX and target.only and target.only.family == family):
        options.pop("family", None)
    for name, number in _SWITCHES.items():
        if options.pop(name, None):
            if number is None:
                raise ValueError(f"{name} is not available on this platform")
            given = options.get("socket_options", (dialer or DEFAULT).socket_options)
            options["socket_options"] = (*given, SocketOption(socket.SOL_SOCKET, number, 1))
    return bool(options.pop("all_errors", False))


_SWITCHES: Final[dict[str, int | None]] = {
    "allow_broadcast": socket.SO_BROADCAST,
    "reuse_port": getattr(socket, "SO_REUSEPORT", None),
}


def _put(options: dict[str, Any], theirs: str, ours: str, value: Any) -> None:
    if ours in options:
        raise TypeError(f"{theirs} and {ours} mean the same: give only one of them")
    options[ours] = value


def _int(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        kind = ValueError if isinstance(value, int) and not isinstance(value, bool) else TypeError
        raise kind(f"{name} must be an int, 0 or more, not {value!r}")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"happy_eyeballs_delay must be seconds or None, not {value!r}")
    if not 0 <= value < float("inf"):
        raise ValueError(f"happy_eyeballs_delay must be 0 or more seconds, not {value!r}")
    return value
