"""The calls of an event loop that connect, carried out by a dialer.

Rules:

* Arguments are the loop's own, all of them, and so are results and errors.
* What a dialer cannot do goes to the loop's own method, after the policy has been asked.
* A name that is looked up here is looked up once: what the policy is asked about is what the
  system is given.

Source: the methods of the same names in asyncio.
"""

from __future__ import annotations

import errno as errnos
import socket
from asyncio.constants import SSL_HANDSHAKE_TIMEOUT
from ssl import create_default_context
from typing import TYPE_CHECKING, Any, Final

from ..addresses.redacting import shown
from ..addresses.text import format_sockaddr
from ..addresses.values import Endpoint, literal_family
from ..dial.preparation import refusal
from ..errors.errors import AddressNotPermitted, HandshakeError
from . import asyncio as ours
from .as_asyncio import unix_address
from .host_and_port import checked, internet_address, local_addresses

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ..dial.dialer import Dialer

__all__ = ["create_connection", "create_datagram_endpoint", "create_unix_connection", "permitted"]

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_AF_UNIX: Final = getattr(socket, "AF_UNIX", -1)


async def create_connection(
    loop: asyncio.AbstractEventLoop,
    dialer: Dialer,
    protocol_factory: Callable[[], Any],
    host: Any = None,
    port: Any = None,
    *,
    ssl: Any = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    sock: None = None,  # noqa: ARG001  # it has none, or it would not be here
    local_addr: Any = None,
    server_hostname: Any = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
    all_errors: bool = False,
) -> Any:
    """What the loop's method of this name does, by ``dialer``.

    Raises:
        TypeError, ValueError, OSError: as the `create_connection` of this package.
        ExceptionGroup: of the errors of the attempts, if all are asked for.
    """
    if ssl and server_hostname is None:
        if not host:
            raise ValueError("You must set server_hostname when using ssl without a host")
        server_hostname = host
    options = _tls(ssl, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
    address: Any
    if type(host) is str and type(port) is int and not (family or proto or flags):
        address = checked(host, port)  # as most do
    else:
        address = await internet_address(
            loop, socket.SOCK_STREAM, host, port, family, proto, flags
        )
    if local_addr:
        options["local_addr"] = await local_addresses(
            loop, socket.SOCK_STREAM, local_addr, family, proto, flags
        )
    if family:
        options["family"] = family
    if happy_eyeballs_delay is not None:
        options["happy_eyeballs_delay"] = happy_eyeballs_delay
    if interleave is not None:
        options["interleave"] = interleave
    if all_errors:
        options["all_errors"] = True
    try:
        return await ours.create_connection(protocol_factory, address, dialer=dialer, **options)
    except ExceptionGroup as group:
        failed = [each for each in group.exceptions if isinstance(each, HandshakeError)]
        if not failed:
            raise
    # TLS comes after the attempts there, and an error of it is nobody's but its own.
    try:
        raise failed[0]
    finally:
        del failed  # its traceback leads to this frame


async def create_unix_connection(
    dialer: Dialer,
    protocol_factory: Callable[[], Any],
    path: Any = None,
    *,
    ssl: Any = None,
    sock: None = None,  # noqa: ARG001
    server_hostname: Any = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> Any:
    """The same for unix sockets."""
    if ssl and server_hostname is None:
        raise ValueError("you have to pass server_hostname when using ssl")
    tls = _tls(ssl, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
    return await ours.create_connection(protocol_factory, unix_address(path), dialer=dialer, **tls)


async def create_datagram_endpoint(
    loop: asyncio.AbstractEventLoop,
    dialer: Dialer,
    own: Callable[..., Any],
    protocol_factory: Callable[[], Any],
    local_addr: Any = None,
    remote_addr: Any = None,
    *,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    reuse_port: bool | None = None,
    allow_broadcast: bool | None = None,
    sock: None = None,  # noqa: ARG001
) -> Any:
    """The same for datagrams, to a ``remote_addr``.

    Args:
        own: the loop's method, for what no dialer does.
    """
    of_unix = family == _AF_UNIX
    if allow_broadcast or (of_unix and local_addr):
        # The loop does not connect such a socket, but sends; or removes a path that is in the way.
        if dialer.permit is not None:
            remote_addr = await permitted(
                loop, dialer, remote_addr, family, socket.SOCK_DGRAM, proto, flags
            )
            remote_addr = remote_addr if of_unix else tuple(remote_addr[:2])
        return await own(
            protocol_factory,
            local_addr,
            remote_addr,
            family=family,
            proto=proto,
            flags=flags,
            reuse_port=reuse_port,
            allow_broadcast=allow_broadcast,
        )
    options: dict[str, Any] = {"reuse_port": True} if reuse_port else {}
    address: Any
    if of_unix:
        address = unix_address(remote_addr, socket.SOCK_DGRAM)
    else:
        if not isinstance(remote_addr, (tuple, list)) or len(remote_addr) != 2:
            raise TypeError(f"remote_addr must be (host, port), not {shown(remote_addr)}")
        host, port = remote_addr
        address = await internet_address(loop, socket.SOCK_DGRAM, host, port, family, proto, flags)
        if family:
            options["family"] = family
        if local_addr:
            local_addr = await local_addresses(
                loop, socket.SOCK_DGRAM, local_addr, family, proto, flags
            )
            peer = getattr(address, "endpoint", None)
            if peer and peer.family not in [literal_family(each.host) for each in local_addr]:
                raise ValueError("can not get address information")
    return await ours.create_datagram_endpoint(
        protocol_factory, local_addr, address, dialer=dialer, **options
    )


def _tls(
    ssl: Any,
    server_hostname: Any,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
) -> dict[str, Any]:
    """What the arguments about TLS are to `create_connection` of ours.

    The loop's own has a limit for the handshake that nobody asks for, and so has this.
    """
    given = {
        "server_hostname": server_hostname,
        "ssl_handshake_timeout": handshake_timeout,
        "ssl_shutdown_timeout": shutdown_timeout,
    }
    if not ssl:
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"{name} is only meaningful with ssl")
        return {}
    if handshake_timeout is None:
        given["ssl_handshake_timeout"] = SSL_HANDSHAKE_TIMEOUT
    if ssl is True and not server_hostname:
        ssl = create_default_context()
        ssl.check_hostname = False
    return {"ssl": ssl, **given}


async def permitted(
    loop: asyncio.AbstractEventLoop,
    dialer: Dialer,
    address: Any,
    family: int,
    type: int,
    proto: int,
    flags: int = 0,
) -> Any:
    """An address as it is resolved, if the policy permits it.

    A name is looked up here, so that what is asked about is what the system is given.

    Raises:
        AddressNotPermitted: it does not.
        OSError: the name has no address.
    """
    if isinstance(address, (tuple, list)) and family in (socket.AF_UNSPEC, *_INTERNET):
        address = tuple(address)
        host, port = address[:2]
        literal = isinstance(host, str) and literal_family(host.partition("%")[0])
        if not literal or not isinstance(port, int):
            results = await loop.getaddrinfo(
                host, port, family=family, type=type, proto=proto, flags=flags
            )
            if not results:
                raise OSError("getaddrinfo() returned empty list")
            family, _, _, _, address = results[0]
        else:
            family = family or literal
    endpoint = Endpoint(family, type, proto, address)
    lost = refusal(dialer._plan, endpoint)
    if lost is None:
        return address
    text = format_sockaddr(family, address)
    raise AddressNotPermitted(
        errnos.EPERM,
        f"could not connect to {text}: EPERM: {lost.note}",
        address=address,
        family=family,
    )
