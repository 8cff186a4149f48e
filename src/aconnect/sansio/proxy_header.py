"""The header of the PROXY protocol, versions 1 and 2, as bytes.

Rules:

* An address is written in its canonical form.
* Version 1 says UNKNOWN only if that is asked for.

Source: the specification of the PROXY protocol of HAProxy, sections 2.1 and 2.2.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from .asked import check_port

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["encode_v1", "encode_v2"]

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_UNSPEC: Final = 0x00
_FAMILIES: Final[dict[int, int]] = {socket.AF_INET: 0x11, socket.AF_INET6: 0x21}
_UNIX: Final = 0x31
_LONGEST: Final = 0xFFFF
_SUN_PATH: Final = 108
_AUTHORITY: Final = 0x02
_UNIQUE_ID: Final = 0x05
_LONGEST_ID: Final = 128


def encode_v1(ends: tuple[Any, Any] | None) -> bytes:
    """The line of version 1.

    Args:
        ends: source and destination, each as (host, port), addresses of one family; None for
            UNKNOWN.

    Raises:
        TypeError, ValueError: they cannot be written so.
    """
    if ends is None:
        return b"PROXY UNKNOWN\r\n"
    source, destination = ends
    family, hosts = _hosts(source, destination)
    kind = "TCP4" if family == socket.AF_INET else "TCP6"
    return f"PROXY {kind} {hosts[0]} {hosts[1]} {source[1]} {destination[1]}\r\n".encode("ascii")


def encode_v2(
    ends: tuple[Any, Any] | None,
    authority: str | None = None,
    unique_id: bytes | None = None,
    tlvs: Iterable[tuple[int, bytes]] = (),
) -> bytes:
    """The header of version 2.

    Args:
        ends: source and destination, each as (host, port), addresses of one family; or each as
            bytes, the path of a unix socket; None for LOCAL.
        authority: the name that the client has asked for.
        unique_id: names the connection; at most 128 bytes.
        tlvs: further values, as pairs of a type and bytes.

    Raises:
        TypeError, ValueError: they cannot be written so.
    """
    command, family, addresses = _PROXY, _UNSPEC, b""
    if ends is None:
        command = _LOCAL
    elif all(isinstance(end, bytes) for end in ends):
        family = _UNIX
        for end in ends:
            if len(end) > _SUN_PATH:
                raise ValueError(f"a unix path has at most {_SUN_PATH} bytes here, not {len(end)}")
            addresses += end.ljust(_SUN_PATH, b"\x00")
    else:
        source, destination = ends
        of, hosts = _hosts(source, destination)
        family = _FAMILIES[of]
        addresses = b"".join(socket.inet_pton(of, host) for host in hosts)
        addresses += source[1].to_bytes(2, "big") + destination[1].to_bytes(2, "big")
    values = list(tlvs)
    if authority is not None:
        values.append((_AUTHORITY, _ascii_name(authority)))
    if unique_id is not None:
        if len(unique_id) > _LONGEST_ID:
            raise ValueError(
                f"unique_id must have at most {_LONGEST_ID} bytes, not {len(unique_id)}"
            )
        values.append((_UNIQUE_ID, unique_id))
    for kind, data in values:
        if len(data) > _LONGEST:
            raise ValueError(
                f"the value of type {kind} must have at most {_LONGEST} bytes, not {len(data)}"
            )
    rest = b"".join(bytes([kind]) + len(data).to_bytes(2, "big") + data for kind, data in values)
    length = len(addresses) + len(rest)
    if length > _LONGEST:
        raise ValueError(
            f"a header has at most {_LONGEST} bytes behind its first 16, not {length}"
        )
    return _SIGNATURE + bytes([command, family]) + length.to_bytes(2, "big") + addresses + rest


def _ascii_name(authority: str) -> bytes:
    try:
        return authority.encode("ascii" if authority.isascii() else "idna")
    except UnicodeError:
        raise ValueError(f"authority must be a name, not {authority!r}") from None


def _hosts(source: Any, destination: Any) -> tuple[int, tuple[str, str]]:
    """The family, and both hosts in their canonical form."""
    if isinstance(source, bytes) or isinstance(destination, bytes):
        raise ValueError("source and destination must both be internet addresses for this")
    for end in (source, destination):
        check_port(end[1])
    hosts = [str(end[0]).partition("%")[0] for end in (source, destination)]
    families = {socket.AF_INET6 if ":" in host else socket.AF_INET for host in hosts}
    if len(families) > 1:
        raise ValueError(f"source and destination must be of one family, not {hosts}")
    [family] = families
    try:
        first, second = (
            socket.inet_ntop(family, socket.inet_pton(family, each)) for each in hosts
        )
    except OSError:
        raise ValueError(f"source and destination must be addresses, not {hosts}") from None
    return family, (first, second)
