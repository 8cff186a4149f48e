"""Addresses: what can be connected to, as values.

Rules:

* An address is checked once, when it is made, before any system call.  Nonsense is a
  ValueError (a wrong value) or TypeError (a wrong type) that shows the value.
* ``str(address)`` is the canonical text, and ``parse_address(str(address)) == address``.
* What is kept is a plain str or int, whatever subclass of it (a member of an enum) was given.
* The zone of an IPv6 address is kept.  A numeric zone is its scope id.
* Nothing is looked up here: no name, no zone, no path.

Sources: RFC 4007 section 11 (zones), RFC 1035 section 2.3.4 (lengths of names), RFC 8200
section 3 (flow labels), unix(7), vsock(7).
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from ..sansio.value import Value, derived, plain, set_derived
from .redacting import shown

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = [
    "TCPAddress",
    "UDPAddress",
    "UnixAddress",
    "VsockAddress",
]

SockAddr: TypeAlias = "tuple[Any, ...] | str | bytes"
"""A socket address as the socket module takes and gives it."""


class Endpoint(NamedTuple):
    """A resolved address: what a socket is opened with and connected to."""

    family: int
    type: int
    proto: int
    sockaddr: SockAddr


# Characters that delimit addresses and URLs.  None can be part of a host name, and letting
# one through would only move the error to the name server.
_NOT_IN_HOSTS: Final = frozenset(' "#%/:<>?@[\\]^`{|}')
# "*" is no host at all to glibc, which takes it for loopback.
_NOT_IN_NAMES: Final = _NOT_IN_HOSTS | {"*"}
# Sharp s and final sigma, which the codec of getaddrinfo() replaces (IDNA 2003, RFC 3490), and
# browsers do not (IDNA 2008, RFC 5891): to each, the host of the other is a stranger.  The same is
# true of the two joiners, which are not printable, and so refused.
DEVIATIONS: Final = frozenset("\u00df\u1e9e\u03c2")
_LONGEST_NAME: Final = 253  # RFC 1035: 255 octets on the wire
_LONGEST_LABEL: Final = 63
MAX_PORT: Final = 0xFFFF
MAX_FLOWINFO: Final = 0xFFFFF  # a flow label has 20 bits
MAX_U32: Final = 0xFFFFFFFF
# Where the platform lacks a family, socket() is asked for one that no platform has, and
# answers EAFNOSUPPORT.
_NO_FAMILY: Final = 0xFFFF
_AF_UNIX: Final[int] = getattr(socket, "AF_UNIX", _NO_FAMILY)
_AF_VSOCK: Final[int] = getattr(socket, "AF_VSOCK", _NO_FAMILY)
_LONGEST_ABSTRACT: Final = 107  # sun_path has 108 bytes, one of them the leading NUL


class InternetAddress(Value):
    """What TCP and UDP addresses have in common."""

    host: str
    port: int
    flowinfo: int = 0
    scope_id: int = 0

    _kind: ClassVar[tuple[int, int]]
    _scheme: ClassVar[str]
    _family: int | None = derived()
    """AF_INET or AF_INET6, if this stands for an address without any lookup."""

    def __post_init__(self) -> None:
        set_derived(self, "port", check_int(self.port, "port", MAX_PORT))
        set_derived(self, "flowinfo", check_int(self.flowinfo, "flowinfo", MAX_FLOWINFO))
        set_derived(self, "scope_id", check_int(self.scope_id, "scope_id", MAX_U32))
        family, host, zone = _split_host(self.host)
        if (self.flowinfo or self.scope_id) and family != socket.AF_INET6:
            raise ValueError(
                f"flowinfo and scope_id belong to IPv6 addresses only, not {shown(self.host)}"
            )
        if zone and self.scope_id:
            raise ValueError(f"scope_id {self.scope_id} beside the zone in {shown(self.host)}")
        if zone.isascii() and zone.isdecimal():
            set_derived(self, "scope_id", int(zone))
            zone = ""
        set_derived(self, "host", f"{host}%{zone}" if zone else host)
        set_derived(self, "_family", None if zone else family)

    def __hash__(self) -> int:
        return hash((self.host, self.port))  # a race asks for it several times

    @property
    def type(self) -> int:
        """The type of socket that it takes."""
        return self._kind[0]

    @property
    def proto(self) -> int:
        """The protocol of that socket."""
        return self._kind[1]

    @property
    def endpoint(self) -> Endpoint | None:
        """What the address stands for without any lookup; None for a name, and for a zone that
        has a name."""
        if self._family == socket.AF_INET:
            return Endpoint(self._family, *self._kind, (self.host, self.port))
        if self._family is None:
            return None
        sockaddr = (self.host, self.port, self.flowinfo, self.scope_id)
        return Endpoint(self._family, *self._kind, sockaddr)

    def __str__(self) -> str:
        host = self.host
        if ":" in host:
            host = f"[{host}%{self.scope_id}]" if self.scope_id else f"[{host}]"
        query = f"?flowinfo={self.flowinfo}" if self.flowinfo else ""
        return f"{self._scheme}{host}:{self.port}{query}"


class TCPAddress(InternetAddress):
    """A host and a TCP port.

    Frozen and hashable; ``str()`` gives `host:port`, with brackets around IPv6.

    Args:
        host: a name, or an IPv4 or IPv6 address without brackets; IPv6 may have a
            ``%zone``.
        port: 0 to 65535.
        flowinfo: the IPv6 flow label; IPv6 addresses only.
        scope_id: the number of the IPv6 zone; a ``%2`` in the host is the same as 2 here.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: an argument has an invalid value, or both a zone and a scope id are given.
    """

    _kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP)
    _scheme = ""

    def __str__(self) -> str:
        text = super().__str__()
        # A host may be called like a scheme.
        return f"tcp://{text}" if self.host.lower() in _PLAIN_SCHEMES else text


class UDPAddress(InternetAddress):
    """A host and a UDP port.

    As `TCPAddress`; ``str()`` gives `udp://host:port`.
    """

    _kind = (socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    _scheme = "udp://"


class UnixAddress(Value):
    """A unix socket: a path, or a Linux abstract name.

    Frozen and hashable; ``str()`` gives `unix:PATH`, `unixgram:PATH` or `unixpacket:PATH`
    (the names of Go's net package for the three types).

    Args:
        path: the path; ``@name`` is an abstract name (a file called that is ``./@name``).
            A `pathlib.Path` is always a path.  May be longer than sun_path.
        type: `socket.SOCK_STREAM`, `socket.SOCK_DGRAM` or `socket.SOCK_SEQPACKET`.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: the path is empty or has a NUL, an abstract name is longer than 107
            bytes, or the type is another.
    """

    path: str
    type: socket.SocketKind

    def __init__(
        self,
        path: str | os.PathLike[str],
        type: int = socket.SOCK_STREAM,
    ) -> None:
        text = plain(path if isinstance(path, str) else _file_path(path))
        if not text or text == "@":
            raise ValueError(f"path must not be empty: {path!r}")
        if "\0" in text:
            abstract = f": an abstract name is {'@' + text[1:]!r}" if text[0] == "\0" else ""
            raise ValueError(f"path must not contain a NUL character: {path!r}{abstract}")
        try:
            encoded = os.fsencode(text)
        except UnicodeEncodeError:
            raise ValueError(f"path cannot be encoded for the file system: {path!r}") from None
        if text[0] == "@" and len(encoded) - 1 > _LONGEST_ABSTRACT:
            raise ValueError(
                f"path: an abstract name has at most {_LONGEST_ABSTRACT} bytes: {path!r}"
            )
        if isinstance(type, bool) or not isinstance(type, int):
            raise TypeError(f"type must be an int, not {type!r}")
        if type not in _UNIX_SCHEMES:
            raise ValueError(
                f"type must be SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET, not {type!r}"
            )
        super().__init__(text, socket.SocketKind(type))

    @property
    def is_abstract(self) -> bool:
        """Whether this is a Linux abstract name rather than a path."""
        return self.path[0] == "@"

    @property
    def endpoint(self) -> Endpoint:
        """What the address stands for."""
        sockaddr = b"\0" + os.fsencode(self.path[1:]) if self.is_abstract else self.path
        return Endpoint(_AF_UNIX, self.type, 0, sockaddr)

    def __str__(self) -> str:
        return f"{_UNIX_SCHEMES[self.type]}:{self.path}"


class VsockAddress(Value):
    """A stream socket between a virtual machine and its host.

    Frozen and hashable; ``str()`` gives `vsock:cid:port`.

    Args:
        cid: the context id, 0 to 2**32 - 1; 2 is the host.
        port: 0 to 2**32 - 1.

    Raises:
        TypeError: an argument is not an int.
        ValueError: an argument is out of range.
    """

    cid: int
    port: int

    def __post_init__(self) -> None:
        set_derived(self, "cid", check_int(self.cid, "cid", MAX_U32))
        set_derived(self, "port", check_int(self.port, "port", MAX_U32))

    @property
    def endpoint(self) -> Endpoint:
        """What the address stands for."""
        return Endpoint(_AF_VSOCK, socket.SOCK_STREAM, 0, (self.cid, self.port))

    def __str__(self) -> str:
        return f"vsock:{self.cid}:{self.port}"


_UNIX_SCHEMES: Final[dict[int, str]] = {
    socket.SOCK_STREAM: "unix",
    socket.SOCK_DGRAM: "unixgram",
    socket.SOCK_SEQPACKET: "unixpacket",
}
UNIX_TYPES: Final = {scheme: type for type, scheme in _UNIX_SCHEMES.items()}
_PLAIN_SCHEMES: Final = frozenset({*UNIX_TYPES, "vsock"})


def literal_family(host: str) -> int | None:
    """AF_INET or AF_INET6 if ``host`` is an address without a zone, None for a name."""
    try:
        if ":" in host:
            socket.inet_pton(socket.AF_INET6, host)
            return socket.AF_INET6
        socket.inet_pton(socket.AF_INET, host)
        return socket.AF_INET
    except (OSError, ValueError):  # not an address; a NUL or another non-ASCII character
        return None


def check_path(path: str | bytes, name: str) -> str | bytes:
    """A unix address in the socket module's form: neither empty nor with a NUL, but for
    the one that an abstract name begins with.

    Raises:
        ValueError: it is; the message names the argument ``name``.
    """
    text = os.fsdecode(path)
    if not text:
        raise ValueError(f"{name} must not be empty: {path!r}")
    if "\0" in text.removeprefix("\0"):
        raise ValueError(f"{name} must not contain a NUL character: {path!r}")
    return plain(path)


def check_int(value: int, name: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {shown(value)}")
    if not 0 <= value <= most:
        raise ValueError(f"{name} must be from 0 to {most}, not {shown(value)}")
    return plain(value)


def _split_host(host: str) -> tuple[int | None, str, str]:
    """The family of a literal address (None for a name), the host without zone, the zone."""
    if not isinstance(host, str):
        raise TypeError(f"host must be a str, not {shown(host)}")
    host = plain(host)
    family = literal_family(host)
    if family is not None:
        return family, host, ""
    bare, percent, zone = host.partition("%")
    if percent and literal_family(bare) == socket.AF_INET6:
        if not zone or not zone.isprintable() or not _NOT_IN_HOSTS.isdisjoint(zone):
            raise ValueError(f"host has an invalid zone: {shown(host)}")
        if zone.isascii() and zone.isdecimal() and (len(zone) > 10 or int(zone) > MAX_U32):
            raise ValueError(f"host has a zone that is no valid interface index: {shown(host)}")
        return socket.AF_INET6, bare, zone
    _check_name(host)
    return None, host, ""


def _check_name(host: str) -> None:
    if not host:
        raise ValueError(f"host must not be empty: {host!r}")
    if not host.isprintable() or not _NOT_IN_NAMES.isdisjoint(host):
        raise ValueError(f"host is neither a name nor an IPv4 or IPv6 address: {shown(host)}")
    name = host
    if not DEVIATIONS.isdisjoint(host):
        raise ValueError(
            f"host is ambiguous, as IDNA 2003 and IDNA 2008 encode it differently: "
            f"{shown(host)}; use its xn-- form"
        )
    if not host.isascii() and len(host) <= _LONGEST_NAME:  # its ASCII form is longer yet
        name = _ascii_form(host)
        # Wide forms of delimiters become delimiters, those of digits become digits.
        if not name or not _NOT_IN_NAMES.isdisjoint(name) or literal_family(name) is not None:
            raise ValueError(f"host is not a valid international name: {shown(host)}")
    labels = name.removesuffix(".").split(".")
    if len(name) > _LONGEST_NAME + name.endswith("."):
        raise ValueError(f"host is longer than {_LONGEST_NAME} characters: {shown(host)}")
    if not all(0 < len(label) <= _LONGEST_LABEL for label in labels):
        raise ValueError(
            f"host has a label that is empty or longer than {_LONGEST_LABEL} characters: "
            f"{shown(host)}"
        )


def _ascii_form(host: str) -> str:
    """That of an international name; empty if it has none."""
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:  # which has the text, and is not to be an error's context
        return ""


def _file_path(path: os.PathLike[str]) -> str:
    if not isinstance(path, os.PathLike):
        raise TypeError(f"path must be a str or a path object, not {shown(path)}")
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"path must be a path of str, not {shown(path)}")
    return f"./{text}" if text.startswith("@") else text
