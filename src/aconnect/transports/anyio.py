"""From an address to a stream of anyio's, on asyncio, uvloop and trio.

Rules:

* TLS is part of the race: an address whose handshake fails loses, and the next may win.
* Whatever is raised or cancelled before the caller has the stream, nothing is left of it.
* anyio is needed when something is called, not before.

Source: `anyio.connect_tcp`, `anyio.connect_unix`, `anyio.as_connectable`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final, overload

from ..drivers.running import in_trio
from ..errors.errors import ConnectError
from ..explanations.extras import not_installed
from ..handshakes.base import OutOfTime
from ..handshakes.tls import TLSHandshake, settings_of
from ..sansio.naming import check_names, spelled_out
from .anyio_streams import abandoned, close_now, gone, stream_over
from .calls import (
    OF_A_DIALER,
    DialerOptions,
    dialer_of,
    left_quietly,
    stream_target,
)
from .hand_over import take_over

if TYPE_CHECKING:
    import ssl as ssl_module
    from typing import Literal, Unpack

    from anyio.abc import ByteStreamConnectable as Connectable
    from anyio.abc import SocketStream
    from anyio.streams.tls import TLSStream

    from ..addresses.text import AddressLike, Port
    from ..deadline import Deadline
    from ..dial.dialer import Dialer
    from ..handshakes.tls import TLS
    from ..report.report import Report
else:
    try:
        # All of anyio that a call may need, so that none has to wait for it.
        import anyio._backends._asyncio
        import anyio.streams.tls  # noqa: F401
        from anyio.abc import ByteStreamConnectable as Connectable
    except ImportError:
        Connectable = object  # an AConnectable can be made, and says what is missing

__all__ = ["AConnectable", "open_stream"]

_AF_UNIX: Final = getattr(socket, "AF_UNIX", -1)


@overload
async def open_stream(
    address: AddressLike | list[Any] | bytes,
    port: Port | None = None,
    *,
    ssl: Literal[False] | None = None,
    server_hostname: str | bytes | None = None,
    ssl_session: ssl_module.SSLSession | None = None,
    tls_standard_compatible: bool = True,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[DialerOptions],
) -> SocketStream: ...


@overload
async def open_stream(
    address: AddressLike | list[Any] | bytes,
    port: Port | None = None,
    *,
    ssl: ssl_module.SSLContext | Literal[True],
    server_hostname: str | bytes | None = None,
    ssl_session: ssl_module.SSLSession | None = None,
    tls_standard_compatible: bool = True,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[DialerOptions],
) -> TLSStream: ...


@overload
async def open_stream(
    address: AddressLike | list[Any] | bytes,
    port: Port | None = None,
    *,
    ssl: ssl_module.SSLContext | bool | None,
    server_hostname: str | bytes | None = None,
    ssl_session: ssl_module.SSLSession | None = None,
    tls_standard_compatible: bool = True,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[DialerOptions],
) -> SocketStream | TLSStream: ...


@spelled_out(DialerOptions, OF_A_DIALER)
async def open_stream(
    address: AddressLike | list[Any] | bytes,
    port: Port | None = None,
    *,
    ssl: ssl_module.SSLContext | bool | None = None,
    server_hostname: str | bytes | None = None,
    ssl_session: ssl_module.SSLSession | None = None,
    tls_standard_compatible: bool = True,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[DialerOptions],
) -> SocketStream | TLSStream:
    """Return a stream connected to ``address``; with TLS, once the handshake is done.

    For asyncio, uvloop and trio, by way of anyio, which the extra ``anyio`` brings.

    Args:
        address: as for `aconnect`; of a stream socket.
        port: the port, if ``address`` is a host alone.
        ssl: a context for TLS; True for the default one, which verifies the certificate and the
            host name.  A context is not changed.
        server_hostname: the name in the certificate, which the server is also told (SNI); by
            default the host of the address.  Empty for none, if the context checks none.
        ssl_session: a session of an earlier connection with the same context, to be resumed.
        tls_standard_compatible: whether the end of the stream must be TLS's goodbye, as in
            `anyio.connect_tcp`.
        timeout: seconds from now for everything; None for no limit but the kernel's.
        deadline: the same limit as a `Deadline`.  The earlier of the two counts.
        dialer: what to dial with; by default a `Dialer` without options.
        report: an empty `Report`, which is filled while the call runs.
        options: options of a `Dialer`, for this call.

    Returns:
        A `anyio.abc.SocketStream`, or a `anyio.abc.UNIXSocketStream`, which is one; with TLS a
        `anyio.streams.tls.TLSStream` around it.  By way of TLS to a proxy it has no half-close.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing was done.
        ImportError: anyio is not installed.
        RuntimeError: no event loop is running.
        HandshakeError: a peer was reached, and TLS failed.
        ConnectError, ConnectTimeout, ResolveError, AddressNotPermitted: as `Dialer.connect`.

        After any of these, no socket is open.

    When cancelled, all is closed before the cancellation leaves this call.
    """
    _need_anyio()
    if options:
        check_names(open_stream, options)
    target = stream_target(address, port, "open_stream")
    tls = settings_of(ssl, server_hostname, ssl_session, target)
    dialer = dialer_of(dialer, options)
    if tls is None:
        got = await dialer.dial(target, timeout, deadline, report=report, streams=True)
        return await stream_over(got, dialer)
    handshake = _AnyioTLS(tls, dialer, tls_standard_compatible)
    wrapped: TLSStream
    try:
        wrapped = await dialer.dial(target, timeout, deadline, handshake, None, report)
        await handshake.abandon(wrapped)
    except BaseException as error:
        await handshake.abandon(None, error)
        raise
    return wrapped


@dataclass(frozen=True, slots=True)
class AConnectable(Connectable):
    """An address and how to connect to it, wherever `anyio.abc.ByteStreamConnectable` is taken.

    Immutable, and may be used any number of times.

    Args:
        address, port, ssl, server_hostname, timeout, dialer: as for `open_stream`; the timeout is
            for each connection.
        tls_standard_compatible: as for `open_stream`.
    """

    address: AddressLike | list[Any] | bytes
    port: Port | None = None
    ssl: ssl_module.SSLContext | bool | None = None
    server_hostname: str | bytes | None = None
    tls_standard_compatible: bool = True
    timeout: float | None = None
    dialer: Dialer | None = None

    async def connect(self, *, report: Report | None = None) -> SocketStream | TLSStream:
        """Connect.

        Args:
            report: as for `open_stream`; for this connection alone.

        Returns:
            As `open_stream`.

        Raises:
            anyio.ConnectionFailed: there is no connection; the `ConnectError` is its
                ``__cause__``.
            TypeError, ValueError, ImportError, RuntimeError: as `open_stream`.
        """
        _need_anyio()
        from anyio import ConnectionFailed

        try:
            return await open_stream(
                self.address,
                self.port,
                ssl=self.ssl,
                server_hostname=self.server_hostname,
                tls_standard_compatible=self.tls_standard_compatible,
                timeout=self.timeout,
                dialer=self.dialer,
                report=report,
            )
        except ConnectError as error:
            raise ConnectionFailed(error.errno, error.strerror) from error


class _AnyioTLS(TLSHandshake["TLSStream"]):
    """TLS by anyio.

    One that is done in the moment when its time is up, or the call is cancelled, gives a stream
    that nobody gets.

    Attributes:
        made: what came of it at each address, with the socket.
    """

    def __init__(self, tls: TLS, dialer: Dialer, standard_compatible: bool) -> None:
        super().__init__(tls)
        self.made: list[tuple[TLSStream, socket.socket]] = []
        self._dialer = dialer
        self._standard_compatible = standard_compatible

    async def shake(self, sock: socket.socket) -> TLSStream:
        from anyio.streams.tls import TLSStream

        own = take_over(self.over(sock)[0])
        stream = await stream_over(sock, self._dialer, own)
        try:
            wrapped = await TLSStream.wrap(
                stream,
                server_side=False,
                hostname=self.tls.server_hostname,
                ssl_context=self.tls.wrapper,
                standard_compatible=self._standard_compatible,
            )
        except BaseException as error:
            await abandoned(stream, own, error)
            raise
        self.made.append((wrapped, own))
        return wrapped

    async def within(self, sock: socket.socket, until: float) -> TLSStream:
        seconds = max(0, until - time.monotonic())
        if in_trio():
            from anyio import move_on_after

            with left_quietly(move_on_after(seconds)):
                return await self(sock)
        else:
            # A scope of anyio's would keep the task if its loop is closed now.
            limit = asyncio.timeout(seconds if seconds < inf else None)
            try:
                async with limit:
                    return await self(sock)
            except TimeoutError:
                if not limit.expired():
                    raise
        raise OutOfTime

    async def abandon(self, kept: TLSStream | None, error: BaseException | None = None) -> None:
        """Close what was made, because of ``error``, but for the one that is ``kept``."""
        lost = [each for each in self.made if each[0] is not kept]
        for stream, sock in lost:
            close_now(stream, sock)
        for _, sock in lost:
            if not isinstance(error, GeneratorExit):  # nothing can be waited for
                await gone(sock)

    def ssl_object(self, result: TLSStream) -> Any:
        from anyio.streams.tls import TLSAttribute

        return result.extra(TLSAttribute.ssl_object)


def _need_anyio() -> None:
    """See that anyio is there.

    Raises:
        ImportError: it is not.
    """
    if sys.modules.get("anyio") is not None and "anyio.streams.tls" in sys.modules:
        return  # quicker than to import it once more
    try:
        import anyio.streams.tls  # noqa: F401
    except ImportError as error:
        raise ImportError(not_installed("anyio", "anyio")) from error
