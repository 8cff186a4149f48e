"""Websockets over connections of a dialer's, by the websockets package, on asyncio and uvloop.

Rules:

* websockets does its own handshake and all that follows.  What is here connects, with TLS, and
  hands the connection over; of the package it uses what its own `connect` is made of.
* TLS is part of the race: an address whose handshake fails loses, and the next may win.
* One deadline covers the dial, TLS and the websocket handshake.
* Whatever is raised or cancelled before the caller has the connection, its socket is closed.

Source: `websockets.asyncio.client.connect`; RFC 6455 section 3 for the URI.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..addresses.redacting import shown
from ..addresses.target import target_of
from ..addresses.text import host_of_url, parse_address
from ..deadline import Deadline, earliest
from ..dial.plan import check_report
from ..explanations.extras import not_installed
from ..handshakes.tls import settings
from ..transports.as_asyncio import to_dialer
from ..transports.asyncio import create_connection
from ..transports.calls import asyncio_loop, checked, dialer_of, not_done
from ..transports.hand_over import aborted

try:
    from websockets.asyncio import client
    from websockets.client import ClientProtocol
    from websockets.extensions.permessage_deflate import enable_client_permessage_deflate
    from websockets.headers import validate_subprotocols
    from websockets.http11 import USER_AGENT
    from websockets.uri import parse_uri
except ImportError as _error:
    raise ImportError(not_installed("websockets", "websockets")) from _error

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Callable, Generator, Sequence

    from websockets.datastructures import HeadersLike
    from websockets.extensions import ClientExtensionFactory
    from websockets.typing import LoggerLike, Origin, Subprotocol

    from ..addresses.text import AddressLike
    from ..dial.dialer import Dialer
    from ..report.report import Report

__all__ = ["connect"]

_OPEN_TIMEOUT: Final = 10.0
"""Seconds that websockets has by default."""


class connect:
    """Open a websocket with a dialer: await it, or use it in ``async with``.

    For asyncio and uvloop.  As `websockets.asyncio.client.connect`, but that it neither follows
    redirects nor reconnects (``async for``), and uses no proxy but the dialer's.

    Args:
        uri: of the scheme "ws" or "wss".  For "wss", the certificate must have its host name.
        address: where to connect to, as for `aconnect`, such as a unix socket; by default the
            host and port of the URI.
        timeout: seconds for everything up to the end of the websocket handshake, from when this
            is awaited; None for no limit but the kernel's.
        deadline: the same limit as a `Deadline`.  The earlier of the two counts.
        open_timeout: the same as ``timeout``, by the name that it has in websockets.  Without
            any of the three it is 10 seconds, as there.
        dialer: what to dial with; by default a `Dialer` without options.
        report: an empty `Report`, which is filled while the dial runs, TLS included; the handshake
            of websockets is not.
        host, port: the same for TCP, as websockets has it; of each, by default that of the URI.
        family, flags, interleave, proto: as for `create_connection`.
        happy_eyeballs_delay, local_addr: likewise.
        proxy: None.  The dialer may have one; the environment is not asked.
        ssl: a context for TLS; True for the default one, which verifies the certificate and the
            host name; None for what the scheme says.
        server_hostname: the name in the certificate; by default the host of the URI.
        ssl_handshake_timeout, ssl_shutdown_timeout: as for `create_connection`.
        origin, extensions, subprotocols, compression: as for the connect of websockets.
        additional_headers, user_agent_header, logger: likewise.
        ping_interval, ping_timeout, close_timeout: likewise.
        max_size, max_queue, write_limit: likewise.
        create_connection: likewise: makes the connection, by default a ``ClientConnection``.

    Returns:
        A `websockets.asyncio.client.ClientConnection`; ``async with`` closes it at the end.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing was done.
        websockets.exceptions.InvalidURI: the URI is invalid; nothing was done.
        RuntimeError: no event loop is running, or trio is.
        HandshakeError: a peer was reached, and TLS failed.
        ConnectTimeout: the deadline has passed; its phase is "handshake" if only TLS or the
            websocket handshake was not done.
        ConnectError, ResolveError, AddressNotPermitted: as `Dialer.connect`.
        websockets.exceptions.InvalidHandshake: the server refuses; for a redirect it is an
            ``InvalidStatus``.

        After any of these, no socket is open.

    When cancelled, at any ``await``, all is closed before the cancellation leaves this call.
    """

    def __init__(
        self,
        uri: str,
        *,
        address: AddressLike | None = None,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        open_timeout: float | None = _OPEN_TIMEOUT,
        dialer: Dialer | None = None,
        report: Report | None = None,
        host: str | None = None,
        port: int | None = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        local_addr: Any = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        proxy: None = None,
        ssl: ssl_module.SSLContext | bool | None = None,
        server_hostname: str | bytes | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        origin: Origin | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        compression: str | None = "deflate",
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_size: Any = 2**20,
        max_queue: Any = 16,
        write_limit: Any = 2**15,
        logger: LoggerLike | None = None,
        create_connection: Callable[..., client.ClientConnection] | None = None,
    ) -> None:
        # Nonsense is refused at once.
        if open_timeout is _OPEN_TIMEOUT and earliest(timeout, deadline) < inf:
            open_timeout = None
        earliest(open_timeout, deadline)
        if subprotocols is not None:
            validate_subprotocols(subprotocols)
        if compression == "deflate":
            extensions = enable_client_permessage_deflate(extensions)
        if compression not in ("deflate", None):
            raise ValueError(f"compression must be 'deflate' or None, not {compression!r}")
        if proxy is not None:
            # Without its value, which may have a password in it.
            raise ValueError("proxy must be None: use Dialer(proxy=...) instead")
        parsed = parse_uri(uri)
        name = host_of_url(parsed.host)
        if address is None:
            at = name if host is None else host, parsed.port if port is None else port
            self._to = parse_address(at)
        elif host is not None or port is not None:
            raise TypeError(f"give address, or host and port, not both: {shown(address)}")
        else:
            self._to = parse_address(address)
        target = checked(target_of(self._to), socket.SOCK_STREAM, "connect")
        if ssl is None:
            ssl = parsed.secure
        if parsed.secure is not (settings(ssl, server_hostname, None, name) is not None):
            raise ValueError(f"ssl {ssl!r} does not go with the URI {shown(uri)}")
        self._tls: dict[str, Any] = {}
        if parsed.secure:
            self._tls = {
                "ssl": ssl,
                "server_hostname": name if server_hostname is None else server_hostname,
            }
        for argument, seconds in (
            ("ssl_handshake_timeout", ssl_handshake_timeout),
            ("ssl_shutdown_timeout", ssl_shutdown_timeout),
        ):
            if seconds is None:
                continue
            if not parsed.secure:
                raise ValueError(
                    f"{argument} {seconds!r} does not go with the URI {shown(uri)}, which has "
                    "no TLS"
                )
            self._tls[argument] = seconds
        of_the_dial: dict[str, Any] = {
            "family": family,
            "proto": proto,
            "flags": flags,
            "happy_eyeballs_delay": happy_eyeballs_delay,
            "interleave": interleave,
        }
        to_dialer(of_the_dial, dialer, target, "connect")
        self._dialer = dialer_of(dialer, of_the_dial, local_addr)
        self._limits = timeout, deadline, open_timeout
        check_report(report)
        self._report = report
        self._headers = additional_headers, user_agent_header
        make: Any = client.ClientConnection if create_connection is None else create_connection
        logger = logging.getLogger("websockets.client") if logger is None else logger

        def new() -> client.ClientConnection:
            protocol = ClientProtocol(
                parsed,
                origin=origin,
                extensions=extensions,
                subprotocols=subprotocols,
                max_size=max_size,
                logger=logger,
            )
            made: client.ClientConnection = make(
                protocol,
                ping_interval=ping_interval,
                ping_timeout=ping_timeout,
                close_timeout=close_timeout,
                max_queue=max_queue,
                write_limit=write_limit,
            )
            return made

        self._new = new

    def __await__(self) -> Generator[Any, None, client.ClientConnection]:
        return self._connect().__await__()

    async def __aenter__(self) -> client.ClientConnection:
        self._connection = await self
        return self._connection

    async def __aexit__(self, *error: object) -> None:
        await self._connection.__aexit__(*error)  # type: ignore[arg-type]

    async def _connect(self) -> client.ClientConnection:
        asyncio_loop("connect")
        started = time.monotonic()
        timeout, deadline, open_timeout = self._limits
        until = Deadline(min(earliest(timeout, deadline), earliest(open_timeout, None)))
        transport, connection = await create_connection(
            self._new,
            self._to,
            deadline=until,
            dialer=self._dialer,
            report=self._report,
            **self._tls,
        )
        limit = asyncio.timeout(until.remaining() if until.when < inf else None)
        try:
            async with limit:
                await connection.handshake(*self._headers)
            connection.start_keepalive()
        except BaseException as error:
            sock = transport.get_extra_info("socket")  # None from uvloop when it is closed
            if isinstance(error, GeneratorExit):  # which cannot wait
                transport.abort()
            else:
                await aborted(transport)
            if not limit.expired() or not isinstance(error, TimeoutError):
                raise
            family = getattr(sock, "family", socket.AF_UNSPEC)
            raise not_done(self._to, "websocket", started, family) from error
        return connection
