"""The header of the PROXY protocol, as a value."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from ..addresses.text import AddressLike, parse_address
from ..addresses.values import TCPAddress, UnixAddress, literal_family
from ..sansio.proxy_header import encode_v1, encode_v2
from ..sansio.value import Value, plain
from .values import pairs_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ProxyHeader"]


class ProxyHeader(Value):
    """The header of the PROXY protocol, which tells the next host who the client is.

    It is one of the things that ``Dialer(proxy=...)`` may have in its sequence: where it stands
    there says who gets it, the proxy behind it, or behind the last one the target.  It is the
    first that is sent there, and nothing is waited for.

    Frozen, hashable, and compared by its fields.

    Args:
        version: 1 for a line of text, 2 for bytes.
        source, destination: the client's address, and the one that it has connected to, both of
            one family: IPv4 or IPv6, or for version 2 unix paths.  None for the socket's ends.
        local: that there is no client, and the connection is the sender's own (LOCAL, and UNKNOWN
            in version 1).
        authority: of version 2, the name that the client has asked for.
        unique_id: of version 2, what names the connection; at most 128 bytes.
        tlvs: of version 2, further values, as pairs of a type and bytes.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value, or is not for this version.

    Source: the specification of the PROXY protocol of HAProxy.
    """

    version: int
    source: TCPAddress | UnixAddress | None
    destination: TCPAddress | UnixAddress | None
    local: bool
    authority: str | None
    unique_id: bytes | None
    tlvs: tuple[tuple[int, bytes], ...]

    def __init__(
        self,
        version: int = 2,
        *,
        source: AddressLike | None = None,
        destination: AddressLike | None = None,
        local: bool = False,
        authority: str | None = None,
        unique_id: bytes | None = None,
        tlvs: Iterable[tuple[int, bytes]] = (),
    ) -> None:
        if isinstance(version, bool) or not isinstance(version, int):
            raise TypeError(f"version must be 1 or 2, not {version!r}")
        if version not in (1, 2):
            raise ValueError(f"version must be 1 or 2, not {version!r}")
        if not isinstance(local, bool):
            raise TypeError(f"local must be a bool, not {local!r}")
        kept = _check_tlvs(tlvs)
        if authority is not None and not isinstance(authority, str):
            raise TypeError(f"authority must be a str or None, not {authority!r}")
        if unique_id is not None and not isinstance(unique_id, bytes):
            raise TypeError(f"unique_id must be bytes or None, not {unique_id!r}")
        if version == 1 and (authority is not None or unique_id is not None or kept):
            raise ValueError("authority, unique_id and tlvs need version 2")
        ends = [
            _end(each, name) for each, name in ((source, "source"), (destination, "destination"))
        ]
        if local and any(each is not None for each in ends):
            raise ValueError("source and destination must be None where local is True")
        super().__init__(
            plain(version), ends[0], ends[1], local, plain(authority), plain(unique_id), kept
        )
        self.encode(("192.0.2.1", 1), ("192.0.2.1", 1), check=True)

    def encode(self, local_end: Any, remote_end: Any, *, check: bool = False) -> bytes:
        """The bytes to send on a connection.

        Args:
            local_end, remote_end: of the connection, in the form of the socket module.
            check: whether only what is the header's own is to be looked at.

        Raises:
            ValueError: the ends of the connection cannot be written so.
        """
        ends: tuple[Any, Any] | None = None
        if not self.local:
            given = (self.source, self.destination)
            known = [_raw(each) for each in given if each is not None]
            if check and len(known) == 1:
                local_end = remote_end = known[0]
            ends = (
                _raw(self.source or local_end),
                _raw(self.destination or remote_end),
            )
        if self.version == 1:
            return encode_v1(ends)
        return encode_v2(ends, self.authority, self.unique_id, self.tlvs)

    def __str__(self) -> str:
        return f"PROXY v{self.version}"


ProxyHeader.__module__ = "aconnect"  # where users import it from


def _end(given: Any, name: str) -> TCPAddress | UnixAddress | None:
    if given is None:
        return None
    try:
        address = parse_address(given)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {error}") from None
    if isinstance(address, TCPAddress) and literal_family(address.host.partition("%")[0]):
        return address
    if isinstance(address, UnixAddress) and address.type == socket.SOCK_STREAM:
        return address
    raise ValueError(f"{name} must be an IP address with a port, or a unix path, not {given!r}")


def _raw(end: Any) -> Any:
    """An end as it is written: (host, port), or the bytes of a path."""
    if isinstance(end, UnixAddress):
        return (
            os.fsencode(str(end.path))
            if not end.is_abstract
            else b"\0" + os.fsencode(end.path[1:])
        )
    if isinstance(end, TCPAddress):
        return end.host, end.port
    if isinstance(end, (str, bytes)):
        return os.fsencode(end)
    return end[:2]


def _check_tlvs(tlvs: Any) -> Any:
    kept = pairs_of(tlvs, "tlvs", "a type and bytes")
    for kind, value in kept:
        if isinstance(kind, bool) or not isinstance(kind, int) or not isinstance(value, bytes):
            raise TypeError("tlvs must be pairs of a type and bytes")
        if not 0 <= kind <= 0xFF:
            raise ValueError(f"tlvs must have types from 0 to 255, not {kind!r}")
    return kept
