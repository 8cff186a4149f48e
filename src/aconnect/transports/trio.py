"""From an address to a stream of trio's own.

Rules:

* TLS is part of the race: an address whose handshake fails loses, and the next may win.
* Whatever is raised or cancelled before the caller has the stream, nothing is left of it.

Source: the functions of the same kind in trio, `open_tcp_stream` and `open_ssl_over_tcp_stream`.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from ..handshakes.base import OutOfTime
from ..handshakes.tls import TLSHandshake, settings_of
from ..sansio.naming import check_names, spelled_out
from ..sockets.syscalls import abort, close
from .calls import (
    OF_A_DIALER,
    DialerOptions,
    check_trio,
    dialer_of,
    keep_nagle,
    left_quietly,
    stream_target,
)
from .hand_over import plain

if TYPE_CHECKING:
    import ssl as ssl_module
    from typing import Literal, Unpack

    import trio

    from ..addresses.text import AddressLike, Port
    from ..deadline import Deadline
    from ..dial.dialer import Dialer
    from ..handshakes.proxies.tunnel import Tunnel
    from ..handshakes.tls import TLS
    from ..report.report import Report

    TLSStream: TypeAlias = trio.SSLStream[trio.SocketStream]

__all__ = ["open_trio_stream"]


@overload
async def open_trio_stream(
    address: AddressLike | list[Any] | bytes,
    port: Port | None = None,
    *,
    ssl: Literal[False] | None = None,
    server_hostname: str | bytes | None = None,
    ssl_session: ssl_module.SSLSession | None = None,
    https_compatible: bool = False,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[DialerOptions],
) -> trio.SocketStream: ...


@overload
async def open_trio_stream(
    address: AddressLike | list[Any] | bytes,
    port: Port | None = None,
    *,
    ssl: ssl_module.SSLContext | Literal[True],
    server_hostname: str | bytes | None = None,
    ssl_session: ssl_module.SSLSession | None = None,
    https_compatible: bool = False,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[DialerOptions],
) -> TLSStream: ...


@overload
async def open_trio_stream(
    address: AddressLike | list[Any] | bytes,
    port: Port | None = None,
    *,
    ssl: ssl_module.SSLContext | bool | None,
    server_hostname: str | bytes | None = None,
    ssl_session: ssl_module.SSLSession | None = None,
    https_compatible: bool = False,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[DialerOptions],
) -> trio.SocketStream | TLSStream: ...


@spelled_out(DialerOptions, OF_A_DIALER)
async def open_trio_stream(
    address: AddressLike | list[Any] | bytes,
    port: Port | None = None,
    *,
    ssl: ssl_module.SSLContext | bool | None = None,
    server_hostname: str | bytes | None = None,
    ssl_session: ssl_module.SSLSession | None = None,
    https_compatible: bool = False,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[DialerOptions],
) -> trio.SocketStream | TLSStream:
    """Return a stream connected to ``address``; with TLS, once the handshake is done.

    For trio.

    Args:
        address: as for `aconnect`; of a stream socket.
        port: the port, if ``address`` is a host alone.
        ssl: a context for TLS; True for the default one, which verifies the certificate and the
            host name.  A context is not changed.
        server_hostname: the name in the certificate, which the server is also told (SNI); by
            default the host of the address.  Empty for none, if the context checks none.
        ssl_session: a session of an earlier connection with the same context, to be resumed.
        https_compatible: whether an end without TLS's goodbye will do, as in `trio.SSLStream`.
        timeout: seconds from now for everything; None for no limit but the kernel's.
        deadline: the same limit as a `Deadline`.  The earlier of the two counts.
        dialer: what to dial with; by default a `Dialer` without options.
        report: an empty `Report`, which is filled while the call runs.
        options: options of a `Dialer`, for this call.

    Returns:
        A `trio.SocketStream`; with TLS a `trio.SSLStream` around one.  By way of TLS to a proxy
        it is a `trio.SSLStream` as well.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing was done.
        RuntimeError: trio is not running.
        HandshakeError: a peer was reached, and TLS failed.
        ConnectError, ConnectTimeout, ResolveError, AddressNotPermitted: as `Dialer.connect`.

        After any of these, no socket is open.

    When cancelled, all is closed before the cancellation leaves this call.
    """
    check_trio("open_trio_stream")
    if options:
        check_names(open_trio_stream, options)
    target = stream_target(address, port, "open_trio_stream")
    tls = settings_of(ssl, server_hostname, ssl_session, target)
    dialer = dialer_of(dialer, options)
    if tls is None:
        got = await dialer.dial(target, timeout, deadline, report=report, streams=True)
        tunnel = None if isinstance(got, socket.socket) else got
        sock = plain(got if tunnel is None else tunnel.sock)
        try:
            plainly = _stream(sock, dialer)
            return plainly if tunnel is None else await _through(plainly, tunnel)
        except BaseException:
            close(sock)
            raise
    handshake = _TrioTLS(tls, dialer, https_compatible)
    stream: TLSStream | None = None
    try:
        stream = await dialer.dial(target, timeout, deadline, handshake, None, report)
        return stream
    finally:
        handshake.abandon(stream)


def _stream(sock: socket.socket, dialer: Dialer) -> trio.SocketStream:
    """A stream of trio's that owns the socket."""
    import trio

    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    if not dialer.nodelay:
        keep_nagle(sock)
    return stream


async def _through(stream: trio.SocketStream, tunnel: Tunnel) -> TLSStream:
    """What goes on with TLS to a proxy, whose target has none."""
    import trio

    through = trio.SSLStream(stream, tunnel.wrapper(), https_compatible=True)
    await through.do_handshake()  # which is done
    return through


class _TrioTLS(TLSHandshake["TLSStream"]):
    """TLS by trio.

    Attributes:
        made: the sockets that are not the dial's, of what came of it at each address.
    """

    def __init__(self, tls: TLS, dialer: Dialer, https_compatible: bool) -> None:
        super().__init__(tls)
        self.made: list[tuple[TLSStream, socket.socket]] = []
        self._dialer = dialer
        self._https_compatible = https_compatible

    async def shake(self, sock: socket.socket) -> TLSStream:
        import trio

        sock, wrapper = self.over(sock)
        own = plain(sock)
        try:
            stream = trio.SSLStream(
                _stream(own, self._dialer),
                wrapper,
                server_hostname=self.tls.server_hostname,
                https_compatible=self._https_compatible,
            )
            await stream.do_handshake()
        except BaseException:
            if own is not sock:  # else the dial closes it
                abort(own)
            raise
        if own is not sock:
            self.made.append((stream, own))
        return stream

    async def within(self, sock: socket.socket, until: float) -> TLSStream:
        import trio

        try:
            with left_quietly(trio.move_on_after(max(0, until - time.monotonic()))):
                return await self(sock)
            raise OutOfTime
        except BaseException:
            abort(sock)
            raise

    def abandon(self, kept: TLSStream | None) -> None:
        """Close what was made, but for the one that is ``kept``."""
        for stream, sock in self.made:
            if stream is not kept:
                abort(sock)

    def ssl_object(self, result: TLSStream) -> Any:
        return result
