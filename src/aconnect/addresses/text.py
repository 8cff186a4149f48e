"""Addresses as text: parse them and format them.

Rules:

* Text is `host:port`, `[v6]:port`, `[v6%zone]:port`, `tcp://host:port`,
  `udp://host:port`, `unix:PATH`, `unixgram:PATH`, `unixpacket:PATH`, `vsock:cid:port`,
  `https://host`, `svcb://host:port?scheme=NAME`, `srv:_service._proto.domain`.
  A PATH that begins with `@` is a Linux abstract name.  `/PATH`, `./PATH` and `../PATH` can be
  nothing else, and are `unix:PATH`.
* A port is a number, or the name of a service, for which no name server is asked.
* Brackets are for IPv6 addresses, and IPv6 addresses are in brackets.
* Whatever is no address is a ValueError that shows the whole text and says what is wrong; but for
  a user and a password, which no address has.

Sources: RFC 3986 section 3.2.2 and RFC 4007 section 11 (text of IPv6 addresses and zones).
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from ..sansio.value import plain
from .redacting import address_shown, shown
from .service_addresses import HTTPS_PORT, HTTPS_PROTOCOLS, ServiceAddress, SRVAddress
from .services import may_be_service, service_port
from .values import (
    MAX_FLOWINFO,
    MAX_PORT,
    MAX_U32,
    UNIX_TYPES,
    InternetAddress,
    SockAddr,
    TCPAddress,
    UDPAddress,
    UnixAddress,
    VsockAddress,
    literal_family,
)

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = [
    "Address",
    "AddressLike",
    "Host",
    "Port",
    "clipped",
    "format_sockaddr",
    "host_of_url",
    "is_path",
    "of_parts",
    "parse_address",
    "printable",
    "shortened",
]

Host: TypeAlias = "str | bytes"
"""A host beside a port."""
Port: TypeAlias = "int | str | bytes"
"""A port beside a host."""
Address: TypeAlias = TCPAddress | UDPAddress | UnixAddress | VsockAddress | SRVAddress
"""Any address value."""
AddressLike: TypeAlias = (
    "str | tuple[Host, Port] | tuple[Host, Port, int, int] | os.PathLike[str] | Address"
)
"""Anything that `parse_address` makes an `Address` of."""

InternetAddressT = TypeVar("InternetAddressT", bound=InternetAddress)

_FORMS: Final = (
    'use "host:port", "[v6]:port", "tcp://host:port", "udp://host:port", "unix:/path", '
    '"unix:@abstract" or "vsock:cid:port"'
)

_PROXIES: Final = 'a proxy is for Dialer(proxy="..."), or for --proxy of the command'


def parse_address(address: AddressLike) -> Address:
    """The address that a text, a tuple or a path stands for.

    Args:
        address: ``"host:port"``, ``"[v6]:port"``, ``"[v6%zone]:port"``,
            ``"tcp://host:port"``, ``"udp://host:port"``, ``"unix:/path"``,
            ``"unix:@abstract"`` (also ``unixgram:`` and ``unixpacket:`` for datagrams and
            seqpacket), ``"vsock:cid:port"``, ``"/path"``, ``"./path"``, ``(host, port)``,
            ``(host, port, flowinfo, scope_id)``, a path object, or an address, which is
            returned as it is.  In a tuple, the host may be bytes, and the port text.
            A port may be the name of a service, such as ``"https"``.  ``"https://host"`` and
            ``"https://host:port"`` are a `ServiceAddress`, as is
            ``"svcb://host:port?scheme=NAME&alpn=A,B"``; ``"srv:_service._proto.domain"`` is an
            `SRVAddress`, with ``:port`` to fall back on.

    Raises:
        TypeError: the argument, or a part of the tuple, is of another type.
        ValueError: the text or a value is not an address.  No text raises anything else.

    Thread-safe; looks up nothing but the name of a service, in the table of the system.
    """
    if isinstance(address, tuple):
        if len(address) not in (2, 4):
            raise ValueError(
                "address must be (host, port) or (host, port, flowinfo, scope_id), "
                f"not {shown(address)}"
            )
        return of_parts(TCPAddress, *address)
    if isinstance(address, str):
        return _parse_text(plain(address))
    if isinstance(address, (InternetAddress, UnixAddress, VsockAddress, SRVAddress)):
        return address
    if isinstance(address, os.PathLike):
        return UnixAddress(address)
    raise TypeError(f"address must be a str, a tuple, a path or an address, not {shown(address)}")


def of_parts(kind: type[InternetAddressT], host: Any, port: Any, *more: Any) -> InternetAddressT:
    """The address of a host and a port, in the forms that the socket module takes.

    Args:
        kind: what to make of them.
        host: text, or ASCII bytes.
        port: a number, the same as text, or the name of a service.
        more: the flow label and the scope id, if they are given.

    Raises:
        TypeError, ValueError: one is invalid.
    """
    if isinstance(host, bytes):
        host = _ascii(host, "host")
    if isinstance(port, bytes):
        port = _ascii(port, "port")
    if isinstance(port, str):
        port = _parse_port(port, kind)
    return kind(host, port, *more)


def _ascii(value: bytes, name: str) -> str:
    if not value.isascii():
        raise ValueError(f"{name} must be ASCII if it is bytes, not {shown(value)}")
    return value.decode("ascii")


def _parse_port(text: str, kind: type[InternetAddress]) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= MAX_PORT:
        return int(text)
    wanted = f"port must be a number from 0 to {MAX_PORT}, not {shown(text)}"
    if not may_be_service(text):
        raise ValueError(wanted)
    port = service_port(text, kind._kind[1])
    if port is None:
        raise ValueError(f"{wanted}, and no service has that name")
    return port


def is_path(text: str) -> bool:
    """Whether it is the path of a unix socket, for no host has a slash in it.

    Two slashes at the beginning are what is left of a URL.
    """
    return text.startswith(("/", "./", "../")) and not text.startswith("//")


def host_of_url(host: str) -> str:
    """The host of a URL, in which the ``%`` of an IPv6 zone is written ``%25`` (RFC 6874)."""
    bare, _, zone = host.partition("%25")
    return f"{bare}%{zone}" if zone and ":" in bare else host


def format_sockaddr(family: int, sockaddr: SockAddr | None) -> str:
    """A resolved address as text for people, in the same forms.

    What is not printable is escaped, so that no path can forge a line of a log.
    """
    return printable(_format(family, sockaddr))


def printable(text: str) -> str:
    """The text, with escapes for what is not printable."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def shortened(text: str, most: int) -> str:
    """``text`` without its middle if it is too long: both ends tell addresses apart."""
    tail = (most - 3) // 2
    return text if len(text) <= most else f"{text[: most - 3 - tail]}...{text[len(text) - tail :]}"


def clipped(text: str, most: int) -> str:
    """``text`` without its end if it is too long."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _format(family: int, sockaddr: SockAddr | None) -> str:
    if sockaddr is None:
        return "unknown peer"
    if isinstance(sockaddr, tuple) and len(sockaddr) >= 2:
        if family == socket.AF_INET6:
            scope = f"%{sockaddr[3]}" if len(sockaddr) == 4 and sockaddr[3] else ""
            return f"[{sockaddr[0]}{scope}]:{sockaddr[1]}"
        if family == getattr(socket, "AF_VSOCK", None):
            return f"vsock:{sockaddr[0]}:{sockaddr[1]}"
        return f"{sockaddr[0]}:{sockaddr[1]}"
    if isinstance(sockaddr, (str, bytes)) and sockaddr:
        path = os.fsdecode(sockaddr)
        if path[0] == "\0":
            return f"unix:@{path[1:]}"
        return f"unix:./{path}" if path[0] == "@" else f"unix:{path}"
    return repr(sockaddr)


def _parse_text(text: str) -> Address:
    if is_path(text):
        try:
            return UnixAddress(text)
        except ValueError as error:
            return _refuse(text, str(error))
    scheme, colon, rest = text.partition(":")
    without = address_shown(text)
    if without != text:
        use = f"; {_PROXIES}" if scheme.lower().startswith(("socks", "http")) else ""
        _refuse(without, f"an address has no user and no password{use}")
    lowered = scheme.lower() if scheme.isascii() else scheme
    if lowered in UNIX_TYPES and colon:
        try:
            return UnixAddress(rest, UNIX_TYPES[lowered])
        except ValueError as error:
            return _refuse(text, str(error))
    if lowered == "vsock" and colon:
        cid, colon, port = rest.partition(":")
        if not colon:
            _refuse(text, "a VSOCK address is vsock:cid:port")
        return VsockAddress(
            _parse_number(cid, text, "cid", MAX_U32), _parse_number(port, text, "port", MAX_U32)
        )
    if lowered == "srv" and rest.startswith("_"):
        return _parse_srv(rest, text)
    if not rest.startswith("//"):
        return _parse_internet(TCPAddress, text, text)
    if lowered == "tcp":
        return _parse_internet(TCPAddress, rest[2:], text)
    if lowered == "udp":
        return _parse_internet(UDPAddress, rest[2:], text)
    if lowered == "https":
        return _parse_https(rest[2:], text)
    if lowered == "svcb":
        return _parse_svcb(rest[2:], text)
    use = _PROXIES if lowered.startswith("socks") else _FORMS
    return _refuse(text, f"unknown scheme {scheme!r}; {use}")


def _parse_https(authority: str, text: str) -> Address:
    if not set(authority).isdisjoint("/?#"):
        _refuse(text, "https:// takes a host and a port alone, as in https://example.org")
    if _is_unported(authority):
        authority += f":{HTTPS_PORT}"
    found = _parse_internet(TCPAddress, authority, text)
    return ServiceAddress(
        found.host, found.port, 0, found.scope_id, scheme="https", alpn=HTTPS_PROTOCOLS
    )


def _parse_svcb(rest: str, text: str) -> Address:
    authority, _, query = rest.partition("?")
    given = dict(each.partition("=")[::2] for each in query.split("&"))
    if not given.keys() <= {"scheme", "alpn", "flowinfo"} or "scheme" not in given:
        _refuse(
            text, "an address for SVCB is svcb://host:port?scheme=NAME, with &alpn=A,B if need be"
        )
    flow = f"?flowinfo={given['flowinfo']}" if "flowinfo" in given else ""
    found = _parse_internet(TCPAddress, authority + flow, text)
    alpn = tuple(given["alpn"].split(",")) if "alpn" in given else ()
    where = (found.host, found.port, found.flowinfo, found.scope_id)
    try:
        return ServiceAddress(*where, scheme=given["scheme"], alpn=alpn)
    except ValueError as error:
        return _refuse(text, str(error))


def _parse_srv(rest: str, text: str) -> SRVAddress:
    name, colon, port = rest.partition(":")
    service, _, others = name.partition(".")
    proto, dot, host = others.partition(".")
    if not (dot and proto.startswith("_")):
        _refuse(text, "a service with SRV records is srv:_service._tcp.domain, or _udp")
    number = _parse_number(port, text, "port", MAX_PORT) if colon else None
    try:
        return SRVAddress(service, host, proto[1:], number)
    except ValueError as error:
        return _refuse(text, str(error))


def _is_unported(authority: str) -> bool:
    """Whether there is no port behind the host."""
    if authority.startswith("["):
        _, bracket, rest = authority.partition("]")
        return bool(bracket) and ":" not in rest
    return ":" not in authority


def _parse_internet(
    kind: type[TCPAddress | UDPAddress], authority: str, text: str
) -> TCPAddress | UDPAddress:
    authority, question, query = authority.partition("?")
    flowinfo = 0
    if question:
        name, _, value = query.partition("=")
        if name != "flowinfo":
            _refuse(
                text, f"flowinfo is the only parameter that an address can have, not {query!r}"
            )
        flowinfo = _parse_number(value, text, "flowinfo", MAX_FLOWINFO)
    if _is_unported(authority):
        _refuse(text, f"the port is missing; {_FORMS}")
    host, _, port = authority.rpartition(":")
    if host.startswith("["):
        if not host.endswith("]") or literal_family(host[1:-1].partition("%")[0]) is None:
            _refuse(text, "brackets are for an IPv6 address, as in [::1]:80")
        host = host[1:-1]
        if ":" not in host:
            _refuse(text, "brackets are for an IPv6 address, as in [::1]:80")
    elif host.lower().startswith(("tcp:", "udp:")):
        _refuse(text, f"a scheme must be followed by //, as in {host[:3].lower()}://host:port")
    elif ":" in host:
        _refuse(text, "an IPv6 address needs brackets, as in [::1]:80")
    try:
        return kind(host, _parse_port(port, kind), flowinfo)
    except ValueError as error:
        return _refuse(text, str(error))


def _parse_number(digits: str, text: str, name: str, most: int) -> int:
    # The length is checked first: int() of a very long text is slow, and limited.
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 10):
        _refuse(text, f"{name} must be a number from 0 to {most}, not {digits!r}")
    if int(digits) > most:
        _refuse(text, f"{name} must be a number from 0 to {most}, not {digits!r}")
    return int(digits)


def _refuse(text: str, why: str) -> NoReturn:
    raise ValueError(f"not an address: {text!r}: {why}") from None
