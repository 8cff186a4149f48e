"""Local addresses: what a socket is bound to before it connects.

Rules:

* What cannot be a local address is a TypeError or ValueError when it is parsed.  What only
  the system can know (an interface, an address of this host, a permission) is an OSError
  when it is bound; it names the address and keeps the errno.
* Nothing is looked up: a host is an IP address.  The zone of one becomes a number when it is
  bound, for interfaces come and go.
* There is at most one address of each family.
* Port 0 is chosen when the socket connects, if the system can do that: any port that is free
  for the peer will do, not only one that is free for everybody.

Sources: bind(2), ip(7), ipv6(7), unix(7), capabilities(7).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from ..addresses.literal import interface_index
from ..addresses.redacting import shown
from ..addresses.text import parse_address
from ..addresses.values import TCPAddress, UDPAddress, UnixAddress, literal_family
from .option import MISFITS, explained

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["LocalAddress", "bind", "check_local_address"]

LocalAddress: TypeAlias = TCPAddress | UnixAddress
"""A local address as it is kept."""

# The number is that of the system's header, for Pythons whose socket module has no name for it.
_BIND_ADDRESS_NO_PORT: int | None = 24 if sys.platform == "linux" else None
_ADDRESSES: Final = (TCPAddress, UDPAddress, UnixAddress)


def check_local_address(value: Any, name: str = "local_address") -> dict[int, LocalAddress]:
    """The addresses of ``value`` by their family; those that `SocketSettings` takes.

    Args:
        value: as there.
        name: what the argument is called.

    Raises:
        TypeError: it is of another type.
        ValueError: it cannot be a local address, or two are of one family.
    """
    if value is None:
        return {}
    entries = (value,)
    if isinstance(value, tuple):
        # (host, port) is one address; (host, host) is two, and so is a pair of pairs.
        if len(value) != 2 or isinstance(value[1], (str, tuple, *_ADDRESSES)):
            entries = value
    elif not isinstance(value, (str, *_ADDRESSES)):
        if not isinstance(value, Iterable):
            raise TypeError(
                f"{name} must be an address or an iterable of addresses, not {shown(value)}"
            )
        entries = tuple(value)
    if not entries:
        raise ValueError(f"{name} must not be empty: use None for no local address")
    if entries is not value and len(entries) == 2 and isinstance(entries[1], int):
        raise TypeError(
            f"{name} must be a tuple for a host and a port, {shown(entries)}, not {shown(value)}"
        )
    local: dict[int, LocalAddress] = {}
    for entry in entries:
        family, address = _check_one_local_address(entry, name)
        if family in local:
            raise ValueError(
                f"{name} must have one address of each family at most, not "
                f"{local[family]} and {address}"
            )
        local[family] = address
    return local


def _check_one_local_address(value: Any, name: str) -> tuple[int, LocalAddress]:
    host, port, address = value, 0, None
    if isinstance(value, UnixAddress):
        return value.endpoint.family, value
    if isinstance(value, (TCPAddress, UDPAddress)):
        address = TCPAddress(value.host, value.port, scope_id=value.scope_id)
    elif isinstance(value, tuple):
        if len(value) != 2:
            raise ValueError(f"{name} must be (host, port), not {shown(value)}")
        host, port = value
    elif not isinstance(value, str):
        raise TypeError(f"{name} must be a host or (host, port), not {shown(value)}")
    elif literal_family(value.partition("%")[0]) is None:
        host, port = _split_local_text(value, name)
    try:
        address = address or TCPAddress(host, port)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
    family = literal_family(address.host.partition("%")[0])
    if family is None:
        raise ValueError(f"{name} must be an IP address, not a name: {shown(value)}")
    return family, address


def _split_local_text(value: str, name: str) -> tuple[str, int]:
    """The host and port of ``host:port``, ``[v6]:port`` or ``[v6]``."""
    if value.startswith("[") and value.endswith("]"):
        value += ":0"
    elif ":" not in value:
        return value, 0
    try:
        address = parse_address(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if not isinstance(address, TCPAddress):
        raise ValueError(f"{name} must be host:port or a UnixAddress, not {shown(value)}")
    return (
        f"{address.host}%{address.scope_id}" if address.scope_id else address.host,
        address.port,
    )


def bind(sock: socket.socket, local: LocalAddress) -> None:
    """Bind ``sock``.

    Raises:
        OSError: it could not be bound; the text names the address.
    """
    text = f"bind to local_address {local}"
    if isinstance(local, UnixAddress):
        try:
            sock.bind(local.endpoint.sockaddr)
        except (OSError, *MISFITS) as error:
            raise explained(error, text) from None
        return
    try:
        endpoint = _with_scope(local).endpoint
        assert endpoint is not None  # it was a literal, and its zone has a number now
        if local.port == 0 and _BIND_ADDRESS_NO_PORT is not None:
            try:
                # connect(2) then picks a port that is free for the peer, not for everybody.
                sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            except OSError:
                pass
        sock.bind(endpoint.sockaddr)
    except (OSError, *MISFITS) as error:
        raise explained(error, text, "bind") from None


def _with_scope(local: TCPAddress) -> TCPAddress:
    """The address with the number of its zone instead of the name."""
    host, _, zone = local.host.partition("%")
    if not zone:
        return local
    return TCPAddress(host, local.port, scope_id=interface_index(zone))
