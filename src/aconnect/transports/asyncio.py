"""From an address to a transport and its protocol, or to streams, on asyncio and uvloop.

Rules:

* The loop makes the transports: what is here finds the connection and hands it over.
* TLS is part of the race: an address whose handshake fails loses, and the next may win.
* The protocol's factory is called once, when the connection is there and TLS is done.
* Whatever is raised or cancelled before the caller has the transport, nothing is left of it.

Source: the functions of the same names in asyncio.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..errors.errors import ConnectError
from ..errors.making import each_error
from ..handshakes.tls import settings_of
from ..sansio.naming import check_names, spelled_out
from .as_asyncio import (
    ConnectionArguments,
    ConnectionOptions,
    DatagramOptions,
    UnixArguments,
    check_factory,
    datagram_target,
    paths,
    stream_target,
    to_dialer,
    unix_address,
)
from .calls import OF_A_DIALER, asyncio_loop, dialer_of, keep_nagle
from .hand_over import HandOver
from .loop_tls import LoopTLS, time_limits, tunnelled

if TYPE_CHECKING:
    import os
    import ssl as ssl_module
    from collections.abc import Callable
    from typing import Unpack

    from ..addresses.text import AddressLike, Port
    from ..deadline import Deadline
    from ..dial.dialer import Dialer
    from ..report.report import Report

__all__ = [
    "create_connection",
    "create_datagram_endpoint",
    "create_unix_connection",
    "open_connection",
    "open_unix_connection",
]

P = TypeVar("P", bound=asyncio.BaseProtocol)

_DEFAULT_LIMIT: Final = 2**16  # asyncio's own
_AF_UNIX: Final = getattr(socket, "AF_UNIX", -1)
_NOTHING: Final = (None,) * 5


@spelled_out(ConnectionOptions, OF_A_DIALER)
async def create_connection(
    protocol_factory: Callable[[], P],
    address: AddressLike | list[Any] | bytes | None = None,
    port: Port | None = None,
    *,
    ssl: ssl_module.SSLContext | bool | None = None,
    server_hostname: str | bytes | None = None,
    ssl_session: ssl_module.SSLSession | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    local_addr: Any = None,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[ConnectionOptions],
) -> tuple[asyncio.Transport, P]:
    """Return a transport connected to ``address``, and its protocol.

    For asyncio and uvloop.  As `asyncio.loop.create_connection`, with one deadline for all of it;
    and with unix addresses, for which asyncio has a function of its own.

    Args:
        protocol_factory: makes the protocol.  It is called once, without arguments, when the
            connection is there and TLS is done; ``connection_made`` of what it gives is called
            next.
        address: as for `aconnect`; of a stream socket.
        port: if this is given, ``address`` is a host; None is this machine then, over IPv6 or
            IPv4.
        ssl: a context for TLS; True for the default one, which verifies the certificate and the
            host name.  A context is not changed.
        server_hostname: the name in the certificate, which the server is also told (SNI); by
            default the host of the address.  Empty for none, if the context checks none.
        ssl_session: a session of an earlier connection with the same context, to be resumed.
        ssl_handshake_timeout: seconds for each address's TLS handshake; None for no limit but
            those of the dialer and the deadline.  When they are over, the HandshakeError is a
            ConnectionAbortedError, as in asyncio, and a TimeoutError.
        ssl_shutdown_timeout: seconds for TLS to end, when the transport is closed; None for the
            loop's default, which is 30.
        local_addr: what to bind to, a host and a port; see ``local_address`` of `Dialer`.
        timeout: seconds from now for everything; None for no limit but the kernel's.
        deadline: the same limit as a `Deadline`.  The earlier of the two counts.
        dialer: what to dial with; by default a `Dialer` without options.
        report: an empty `Report`, which is filled while the call runs.
        host, happy_eyeballs_delay, interleave, all_errors, proto, flags, sock: as asyncio has
            them.  The first three are ``address``, ``attempt_delay`` and ``first_family_count``
            of a `Dialer`; ``flags`` are for the lookup; ``sock`` can be None only.
        options: options of a `Dialer`, for this call; a `Dialer` that is made once is quicker.

    Returns:
        The transport, and what the factory gave.  By way of TLS to a proxy the transport has TLS,
        and so no half-close, whether the target has TLS or not.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing was done.
        RuntimeError: no event loop is running, or trio is.
        HandshakeError: a peer was reached, and TLS failed.
        ConnectError, ConnectTimeout, ResolveError, AddressNotPermitted: as `Dialer.connect`.
        ExceptionGroup: with ``all_errors``, of the errors of all attempts, when all have come to
            their ends; the error that there would be without it is its ``__cause__``.
        Exception: what the factory or ``connection_made`` raised.

        After any of these, no socket is open.

    When cancelled, at any ``await``, all is closed before the cancellation leaves this call; the
    protocol is told by ``connection_lost`` if it had been told of the connection.

    Safe to call from any number of tasks, loops and threads.
    """
    loop = asyncio_loop("create_connection")
    check_factory(protocol_factory)
    host, all_errors = None, False
    if options:
        check_names(create_connection, options)
        host = options.pop("host", None)
    target = stream_target(address, port, host, "create_connection")
    if options:
        all_errors = to_dialer(options, dialer, target, "create_connection")
    tls, limits = None, {}
    about_tls = (ssl, server_hostname, ssl_session, ssl_handshake_timeout, ssl_shutdown_timeout)
    if about_tls != _NOTHING:
        tls = settings_of(ssl, server_hostname, ssl_session, target)
        limits = time_limits(tls, ssl_handshake_timeout, ssl_shutdown_timeout)
    dialer = dialer_of(dialer, options, local_addr)
    try:
        if tls is None:
            got = await dialer.dial(target, timeout, deadline, None, loop, report, streams=True)
            if isinstance(got, socket.socket):
                hand_over = HandOver(protocol_factory, loop)
                await hand_over.begin(got, loop.connect_accepted_socket(hand_over, got))
            else:
                hand_over = await tunnelled(loop, protocol_factory, got)
        else:
            handshake = LoopTLS(tls, protocol_factory, loop, limits)
            try:
                hand_over = await dialer.dial(target, timeout, deadline, handshake, loop, report)
            except BaseException as error:
                await handshake.abandon(error)  # it was done when this was cancelled
                raise
    except ConnectError as error:
        group = each_error(error, target, "create_connection") if all_errors else None
        if group is None:
            raise
        try:
            raise group from None
        finally:
            del group  # its traceback leads to this frame
    if hand_over.error is not None:
        await hand_over.raise_error()
    if not dialer.nodelay:
        keep_nagle(hand_over.sock)
    return hand_over.transport, hand_over.protocol


@spelled_out(ConnectionArguments, OF_A_DIALER)
async def open_connection(
    address: AddressLike | list[Any] | bytes | None = None,
    port: Port | None = None,
    *,
    limit: int = _DEFAULT_LIMIT,
    **arguments: Unpack[ConnectionArguments],
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a reader and a writer connected to ``address``.

    For asyncio and uvloop.  As `asyncio.open_connection`, with one deadline for all of it; and
    with unix addresses, for which asyncio has a function of its own.

    Args:
        address, port: as for `create_connection`.
        limit: how many bytes the reader may hold, at the most, and how far it looks for the end
            of a line.
        arguments: all others of `create_connection`.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing was done.
        ConnectError: as `create_connection`.

    For cancellation and threads, see `create_connection`.
    """
    loop = asyncio_loop("open_connection")
    check_names(open_connection, arguments)
    reader = asyncio.StreamReader(limit, loop)
    protocol = asyncio.StreamReaderProtocol(reader, None, loop)
    transport, _ = await create_connection(lambda: protocol, address, port, **arguments)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


@spelled_out(UnixArguments, OF_A_DIALER)
async def create_unix_connection(
    protocol_factory: Callable[[], P],
    path: str | bytes | os.PathLike[Any],
    **arguments: Unpack[UnixArguments],
) -> tuple[asyncio.Transport, P]:
    """Return a transport connected to a unix socket, and its protocol.

    For asyncio and uvloop.  As `asyncio.loop.create_unix_connection`; what `create_connection`
    does with a `UnixAddress`.

    Args:
        protocol_factory: as for `create_connection`.
        path: the path as asyncio takes it: one that begins with a NUL is an abstract name, and
            ``@`` is a character like others.
        arguments: those of `create_connection`, but for what only TCP has.  For TLS,
            ``server_hostname`` is needed.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing was done.
        ConnectError: as `create_connection`.

    For cancellation and threads, see `create_connection`.
    """
    asyncio_loop("create_unix_connection")
    check_names(create_unix_connection, arguments)
    return await create_connection(protocol_factory, unix_address(path), **arguments)


@spelled_out(UnixArguments, OF_A_DIALER)
async def open_unix_connection(
    path: str | bytes | os.PathLike[Any],
    *,
    limit: int = _DEFAULT_LIMIT,
    **arguments: Unpack[UnixArguments],
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a reader and a writer connected to a unix socket.

    For asyncio and uvloop.  As `asyncio.open_unix_connection`; what `open_connection` does with a
    `UnixAddress`.

    Args:
        path, arguments: as for `create_unix_connection`.
        limit: as for `open_connection`.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing was done.
        ConnectError: as `create_connection`.

    For cancellation and threads, see `create_connection`.
    """
    asyncio_loop("open_unix_connection")
    check_names(open_unix_connection, arguments)
    return await open_connection(unix_address(path), limit=limit, **arguments)


@spelled_out(DatagramOptions, OF_A_DIALER)
async def create_datagram_endpoint(
    protocol_factory: Callable[[], P],
    local_addr: Any = None,
    remote_addr: AddressLike | list[Any] | None = None,
    *,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[DatagramOptions],
) -> tuple[asyncio.DatagramTransport, P]:
    """Return a datagram transport whose peer is ``remote_addr``, and its protocol.

    For asyncio and uvloop.  As `asyncio.loop.create_datagram_endpoint` with a ``remote_addr``:
    nothing is sent, and what others send is not received.

    Args:
        protocol_factory: as for `create_connection`.
        local_addr: what to bind to, a host and a port; see ``local_address`` of `Dialer`.
        remote_addr: the peer: an address as for `aconnect`, of a datagram socket; a host and a
            port are a UDP address.
        timeout, deadline, dialer, report: as for `create_connection`.
        family, proto, flags, reuse_port, allow_broadcast, sock: as asyncio has them; with the
            family AF_UNIX, both addresses may be paths.  ``sock`` can be None only.
        options: options of a `Dialer`, for this call.

    Raises:
        As `create_connection`.

    For cancellation and threads, see `create_connection`.
    """
    loop = asyncio_loop("create_datagram_endpoint")
    check_factory(protocol_factory)
    if options:
        check_names(create_datagram_endpoint, options)
        if options.get("family") == _AF_UNIX:
            local_addr, remote_addr = paths(local_addr, remote_addr)
    target = datagram_target(remote_addr, "create_datagram_endpoint")
    if options:
        to_dialer(options, dialer, target, "create_datagram_endpoint")
    dialer = dialer_of(dialer, options, local_addr)
    sock = await dialer.dial(target, timeout, deadline, report=report)
    hand_over = HandOver(protocol_factory, loop)
    await hand_over.begin(sock, loop.create_datagram_endpoint(hand_over, sock=sock))
    if hand_over.error is not None:
        await hand_over.raise_error()
    return hand_over.transport, hand_over.protocol
