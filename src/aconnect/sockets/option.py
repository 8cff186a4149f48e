"""One socket option as a value, and setsockopt(2) with errors that say what was wanted.

Rules:

* Nonsense is a TypeError or ValueError when the value is made.  What only the system can
  know is an OSError when it is set; it names the option, keeps the errno, and says which
  permission is missing.
* A `SocketOption` that does not fit a socket is an error, unless it says for which sockets
  it is or that it is best effort.
* A plain tuple in the form of setsockopt(2)'s arguments is the option that they are.

Sources: socket(7), ip(7), ipv6(7), tcp(7), capabilities(7).
"""

from __future__ import annotations

import errno as errnos
import re
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from ..sansio.value import Value, plain, set_derived

if TYPE_CHECKING:
    from typing import TypeAlias

    from ..addresses.values import Endpoint

__all__ = [
    "INTERNET",
    "LARGEST_INT",
    "MISFITS",
    "Keepalive",
    "SocketOption",
    "SocketOptionLike",
    "check_bool",
    "check_fits",
    "check_int",
    "explained",
    "set_option",
    "socket_option",
]

INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
LARGEST_INT: Final = 2**31 - 1
MISFITS: Final = (TypeError, ValueError, OverflowError)
"""What the socket module raises of what it cannot hand to a socket of that family."""
# What Linux takes, which is less than the others do: net/tcp.h, MAX_TCP_KEEPIDLE and so on.
_MAX_KEEPALIVE_SECONDS: Final = 32767
_MAX_KEEPALIVE_COUNT: Final = 127
_FASTOPEN_CONNECT: Final = 30 if sys.platform == "linux" else None  # linux/tcp.h

_CAPABILITIES: Final = {
    "SO_MARK": "CAP_NET_ADMIN, or from Linux 5.17 on CAP_NET_RAW",
    "SO_BINDTODEVICE": "CAP_NET_RAW",
    "bind": "CAP_NET_BIND_SERVICE for a port below net.ipv4.ip_unprivileged_port_start",
}


class Keepalive(Value):
    """When TCP asks whether a silent peer is still there, and when it gives the peer up.

    Args:
        idle: seconds of silence before the first probe, 1 to 32767.
        interval: seconds between probes, 1 to 32767.
        count: how many probes in a row may go unanswered, 1 to 127.

    Raises:
        TypeError: an argument is not an int.
        ValueError: an argument is out of range.

    Source: tcp(7); the upper limits are those of Linux.
    """

    idle: int
    interval: int
    count: int

    def __post_init__(self) -> None:
        for name, most in (
            ("idle", _MAX_KEEPALIVE_SECONDS),
            ("interval", _MAX_KEEPALIVE_SECONDS),
            ("count", _MAX_KEEPALIVE_COUNT),
        ):
            set_derived(self, name, check_int(getattr(self, name), name, 1, most))


class SocketOption(Value):
    """Any option of setsockopt(2).

    A socket whose family or type is another than the one given here is passed over.  On any
    other the option is set, unless it is plain from the level that the socket cannot have it:
    IPPROTO_IP is IPv4's, IPPROTO_IPV6 is IPv6's, and IPPROTO_TCP and IPPROTO_UDP are those of
    the two's stream and datagram sockets.  That is an error, or passed over if the option is
    best effort.  Who gives the family has decided: an IPPROTO_IP option for AF_INET6 is set,
    and the kernel says what it thinks of it.

    Args:
        level: such as `socket.SOL_SOCKET` or `socket.IPPROTO_TCP`.
        name: such as `socket.SO_RCVBUF`.
        value: an int (a C int), or bytes.
        family: the only family that it is for, such as `socket.AF_INET6`; None for all.
        type: the only type that it is for, such as `socket.SOCK_STREAM`; None for all.
        best_effort: whether a socket that cannot have it is connected without.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument is out of range; or it is TCP_FASTOPEN_CONNECT, with which a
            socket is not connected when connect(2) says so.
    """

    level: int
    name: int
    value: int | bytes
    family: int | None = None
    type: int | None = None
    best_effort: bool = False

    def __init__(
        self,
        level: int,
        name: int,
        value: int | bytes,
        *,
        family: int | None = None,
        type: int | None = None,
        best_effort: bool = False,
    ) -> None:
        check_int(level, "level", 0, LARGEST_INT)
        check_int(name, "name", 0, LARGEST_INT)
        if (level, name) == (socket.IPPROTO_TCP, _FASTOPEN_CONNECT):
            raise ValueError(
                f"name must not be {name!r}, TCP_FASTOPEN_CONNECT: connect(2) would report "
                "success before a packet is sent, even for a port that nothing is listening on"
            )
        if isinstance(value, int):
            if not -LARGEST_INT - 1 <= value <= LARGEST_INT:
                raise ValueError(f"value must fit into a C int, not {value!r}")
        elif not isinstance(value, bytes):
            raise TypeError(f"value must be an int or bytes, not {value!r}")
        if family is not None:
            check_int(family, "family", 0, LARGEST_INT)
        if type is not None:
            check_int(type, "type", 0, LARGEST_INT)
        check_bool(best_effort, "best_effort")
        numbers = map(plain, (level, name, value, family, type))
        super().__init__(*numbers, best_effort)

    def apply(self, sock: socket.socket) -> None:
        """Set the option on ``sock``, or pass the socket over as the class says.

        Raises:
            OSError: it could not be set, or is not for such a socket (ENOPROTOOPT).
        """
        if self.family not in (None, sock.family) or self.type not in (None, sock.type):
            return
        try:
            if not self._fits(sock.family, sock.type):
                what = _describe_socket(sock.family, sock.type)
                text = f"{self._text}: {what} has no such option; give the option a family or type"
                raise OSError(errnos.ENOPROTOOPT, f"{text}, or make it best_effort")
            set_option(sock, self._text, self.level, self.name, self.value)
        except OSError:
            if not self.best_effort:
                raise

    def _fits(self, family: int, type: int) -> bool:
        """Whether the level alone does not rule it out."""
        if self.family is None:
            if self.level == socket.IPPROTO_IP and family != socket.AF_INET:
                return False
            if self.level == socket.IPPROTO_IPV6 and family != socket.AF_INET6:
                return False
            if self.level in _TYPES and family not in INTERNET:
                return False
        return self.type is not None or type == _TYPES.get(self.level, type)

    @property
    def _text(self) -> str:
        """The name that the socket module has for it."""
        prefix = _PREFIXES.get(self.level)
        for name, value in vars(socket).items() if prefix else ():
            if name.startswith(str(prefix)) and value == self.name and not _NOT_OPTIONS(name):
                return name
        return f"socket option {self.name} at level {self.level}"


SocketOptionLike: TypeAlias = "SocketOption | tuple[int, int, int | bytes]"
"""A `SocketOption`, or the arguments of setsockopt()."""


def socket_option(value: Any) -> SocketOption:
    """The option that a `SocketOptionLike` is.

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(value, SocketOption):
        return value
    if not isinstance(value, tuple) or len(value) != 3:
        raise TypeError(
            "socket_options must hold SocketOptions, or tuples (level, name, value), "
            f"not {value!r}"
        )
    level, name, wanted = value
    if isinstance(wanted, (bytearray, memoryview)):
        wanted = bytes(wanted)
    return SocketOption(level, name, wanted)


_TYPES: Final[dict[int, int]] = {
    socket.IPPROTO_TCP: socket.SOCK_STREAM,
    socket.IPPROTO_UDP: socket.SOCK_DGRAM,
}
_PREFIXES: Final[dict[int, str]] = {
    socket.SOL_SOCKET: "SO_",
    socket.IPPROTO_IP: "IP_",
    socket.IPPROTO_IPV6: "IPV6_",
    socket.IPPROTO_TCP: "TCP_",
}
# Values of options, and options of other levels, that are named like options.
_NOT_OPTIONS: Final = re.compile(r"IP_(DEFAULT|MAX|PMTUDISC)_|SO_(VM|J1939)_").match


def set_option(
    sock: socket.socket,
    text: str,
    level: int,
    name: int | None,
    value: int | bytes,
    shown: object = None,
) -> None:
    """setsockopt(2), with an error that names the option, and the value as the user gave it."""
    if name is None:
        raise OSError(errnos.ENOPROTOOPT, f"{text}: this platform has no such option")
    try:
        sock.setsockopt(level, name, value)
    except (OSError, *MISFITS) as error:
        shown = value if shown is None else shown
        raise explained(error, f"set {text} to {shown!r}", text) from None


def explained(error: Exception, text: str, option: str = "") -> OSError:
    """The same error, with words of ours; of the class that goes with its errno."""
    if not isinstance(error, OSError):
        return OSError(errnos.EINVAL, f"could not {text}: {type(error).__name__}: {error}")
    code = error.errno
    if code is None:  # the socket module's own "path too long"
        return OSError(errnos.ENAMETOOLONG, f"could not {text}: {error}")
    needed = _CAPABILITIES.get(option) if code in (errnos.EPERM, errnos.EACCES) else None
    needs = f" (it needs {needed})" if needed else ""
    return OSError(code, f"could not {text}: {error.strerror}{needs}")


def _describe_socket(family: int, type: int) -> str:
    names = (getattr(each, "name", str(each)) for each in (family, type))
    return f"a socket of {', '.join(names)}"


def check_fits(sock: socket.socket, endpoint: Endpoint) -> None:
    """See that a socket is for such addresses.

    Raises:
        OSError: it is not: EAFNOSUPPORT if its family, or else EPROTOTYPE if its type is another.
    """
    if (sock.family, sock.type) != endpoint[:2]:
        code = errnos.EPROTOTYPE if sock.family == endpoint.family else errnos.EAFNOSUPPORT
        wanted = _describe_socket(*endpoint[:2])
        given = _describe_socket(sock.family, sock.type)
        raise OSError(code, f"socket_factory must return {wanted}, not {given}")


def check_int(value: int, name: str, least: int, most: int) -> int:
    """The plain int; or a TypeError or ValueError that names the argument, if it is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {value!r}")
    return plain(value)


def check_bool(value: bool, name: str) -> None:
    """Raise a TypeError that names the argument, unless it is a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
