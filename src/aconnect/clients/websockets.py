"""Websockets over connections of a dialer's, by the websockets package, on asyncio and uvloop.

Rules:

* websockets does TLS and its own handshake.  What is here dials, and hands the socket over.
* What TLS is done with, and the name in it, is as in all other calls.
* One deadline covers the dial, TLS and the websocket handshake.
* Whatever is raised or cancelled before the caller has the connection, its socket is closed once:
  by the transport that has taken it, or here if none has.

Source: `websockets.asyncio.client.connect`; RFC 6455 section 3 for the URI.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from ..addresses.text import host_of_url, parse_address
from ..deadline import Deadline, earliest
from ..explanations.extras import not_installed
from ..handshakes.tls import settings
from ..sockets.syscalls import close
from ..transports.calls import asyncio_loop, dialer_of, keep_nagle, not_done, stream_target
from ..transports.hand_over import closed, lent

try:
    from websockets.asyncio import client
    from websockets.uri import parse_uri
except ImportError as _error:
    raise ImportError(not_installed("websockets", "websockets")) from _error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..addresses.text import AddressLike
    from ..dial.dialer import Dialer

__all__ = ["connect"]

_AF_UNIX: Final = getattr(socket, "AF_UNIX", -1)

_OF_THE_DIAL: Final = frozenset(
    {
        *("all_errors", "family", "flags", "happy_eyeballs_delay", "host", "interleave"),
        *("local_addr", "path", "port", "proto", "proxy", "sock", "unix"),
    }
)
_OF_RECONNECTING: Final = frozenset({"process_exception", "reconnect_delays"})


class connect:
    """Open a websocket with a dialer: await it, or use it in ``async with``.

    For asyncio and uvloop.  As `websockets.asyncio.client.connect`, but that it neither follows
    redirects nor reconnects (``async for``), and uses no proxy, not even one from the environment.

    Args:
        uri: of the scheme "ws" or "wss".  For "wss", the certificate must have its host name.
        address: where to connect to, as for `aconnect`, such as a unix socket; by default the
            host and port of the URI.
        timeout: seconds for everything up to the end of the websocket handshake, from when this
            is awaited; None for no limit of ours, which leaves websockets with its own of 10
            seconds for TLS and the handshake.
        deadline: the same as a `Deadline`.  Of both, the earlier counts.
        dialer: what to dial with; by default a `Dialer` without options.
        options: those of `websockets.asyncio.client.connect`, such as ``ssl`` and
            ``additional_headers``, but for the ones that say how to connect or reconnect.

    Returns:
        A `websockets.asyncio.client.ClientConnection`; ``async with`` closes it at the end.

    Raises:
        TypeError, ValueError: an argument is no good; nothing was done.
        websockets.exceptions.InvalidURI: the URI is no good; nothing was done.
        RuntimeError: no event loop is running, or trio is.
        ConnectTimeout: the deadline has passed; its phase is "handshake" if only TLS or the
            websocket handshake was not done.
        ConnectError, ResolveError, AddressNotPermitted: as `Dialer.connect`.
        Exception: what `websockets.asyncio.client.connect` raises when there is a connection;
            for a redirect, a ValueError.

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
        dialer: Dialer | None = None,
        **options: Any,
    ) -> None:
        for name in sorted(_OF_THE_DIAL & options.keys()):
            raise TypeError(f"{name} is not for connect() with a dialer: use address=")
        for name in sorted(_OF_RECONNECTING & options.keys()):
            raise TypeError(f"{name} is not for connect() with a dialer, which connects once")
        if earliest(timeout, deadline) < float("inf"):
            options.setdefault("open_timeout", None)  # ours takes its place
        self._uri = parsed = parse_uri(uri)
        host = host_of_url(parsed.host)
        self._to = parse_address((host, parsed.port) if address is None else address)
        stream_target(self._to, None, "connect")  # or it is refused
        self._limits = (timeout, deadline)
        self._dialer = dialer_of(dialer, {})
        self._options = {"uri": uri, **options}
        self._tls()  # nonsense is refused at once

    def __await__(self) -> Generator[Any, None, client.ClientConnection]:
        return self._connect().__await__()

    async def __aenter__(self) -> client.ClientConnection:
        self._connection = await self
        return self._connection

    async def __aexit__(self, *error: object) -> None:
        await self._connection.__aexit__(*error)  # type: ignore[arg-type]

    def _tls(self) -> dict[str, Any]:
        """What the loop is to do TLS with, as its create_connection() takes it.

        Raises:
            TypeError, ValueError: the options are no good, or not for the URI.
        """
        ssl = self._options.get("ssl", self._uri.secure)
        name = self._options.get("server_hostname")
        tls = settings(ssl, name, None, self._uri.host)
        if self._uri.secure is not (tls is not None):
            raise ValueError(f"ssl {ssl!r} is not for the URI {self._options['uri']!r}")
        if tls is None:
            return {}
        return {"ssl": tls.context, "server_hostname": tls.server_hostname or ""}

    async def _connect(self) -> client.ClientConnection:
        asyncio_loop("connect")
        started = time.monotonic()
        until = Deadline(earliest(*self._limits))
        tls = self._tls()
        sock = await self._dialer.connect(self._to, deadline=until)
        open_on = client.unix_connect if sock.family == _AF_UNIX else client.connect
        made = _Made(self._options.get("create_connection") or client.ClientConnection)
        limit = asyncio.timeout(until.remaining())
        try:
            async with limit:
                options = {**self._options, **tls, "create_connection": made}
                with lent(sock):
                    connection = await open_on(sock=sock, **options)
        except BaseException as error:
            if isinstance(error, GeneratorExit):  # which cannot wait
                close(sock)
            else:
                made.abort()
                await closed(sock)
            if not limit.expired() or not isinstance(error, TimeoutError):
                raise
            raise not_done(self._to, "websocket", started, sock.family) from error
        if not self._dialer.nodelay:
            keep_nagle(sock)
        return connection


class _Made:
    """Makes the connection, and can end it while nobody has it yet.

    A loop that is cancelled when TLS has just been done closes the transport, and that waits for
    the server's goodbye.

    Args:
        kind: what it is made with.
    """

    def __init__(self, kind: Callable[..., client.ClientConnection]) -> None:
        self._kind = kind
        self._connection: client.ClientConnection | None = None

    def __call__(self, *args: Any, **options: Any) -> client.ClientConnection:
        self._connection = self._kind(*args, **options)
        return self._connection

    def abort(self) -> None:
        """Have the transport close the socket, soon, if there is one."""
        transport = getattr(self._connection, "transport", None)
        if transport is not None:
            transport.abort()
