"""Connections for redis-py's asyncio client, on asyncio and uvloop.

Rules:

* redis-py speaks Redis: pools, retries, the login.  What is here finds it a connection.
* TLS is part of the race: an address whose handshake fails loses, and the next may win.
* Errors become redis-py's own where its own become so.  Ours are their ``__context__``.

Source: `redis.asyncio.connection.AbstractConnection`.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from ..addresses.redacting import shown
from ..addresses.values import UnixAddress
from ..explanations.extras import not_installed
from ..sansio.value import plain
from ..sockets.option import INTERNET, SocketOption
from ..transports.asyncio import open_connection
from .generic.pooled import POOLED, pooled

try:
    from redis.asyncio.connection import AbstractConnection
except ImportError as _error:
    raise ImportError(not_installed("redis", "redis")) from _error

if TYPE_CHECKING:
    import os
    import ssl as ssl_module
    from collections.abc import Mapping

    from ..dial.dialer import Dialer
    from ..sockets.option import Keepalive

__all__ = ["AConnectConnection"]


class AConnectConnection(AbstractConnection):
    """A connection to a Redis server, made by a `Dialer`.

    For the ``connection_class`` of a `redis.asyncio.ConnectionPool`, which has all these
    arguments and hands them on.

    Args:
        host: a name or an IP address; by default "localhost".
        port: its port.
        path: the server's unix socket, in place of a host.
        ssl: a context for TLS; True for the default one, which verifies the certificate and the
            host name.  It stands for all of redis-py's ``ssl_...`` options.
        server_hostname: the name in the certificate; by default the host.
        dialer: what to dial with; by default a `Dialer` without options.
        keepalive: TCP's keepalive; by default that of the dialer, or else after 60 seconds of
            silence, each 60 seconds, five times.  None for the system's default, which is none.
        socket_keepalive, socket_keepalive_options: the same as redis-py has it: False for none,
            and a mapping of options, such as ``{socket.TCP_KEEPIDLE: 30}``, which are set after
            those.
        options: all others of redis-py's connections.  ``socket_connect_timeout`` is the seconds
            for the name, all addresses and TLS; None for ``socket_timeout``.  The latter is also
            the limit for each answer, and so for those of the login.

    Raises:
        TypeError, ValueError: an argument is invalid.
        redis.RedisError: one of redis-py's own is invalid.

    What a command raises when there is no connection is redis-py's:

    * `redis.TimeoutError` for a `ConnectTimeout`,
    * `redis.ConnectionError` for any other `ConnectError`,

    with ours as its ``__context__``, and no socket is open.

    When a command is cancelled while it connects, all is closed before the cancellation leaves it;
    while it logs in, redis-py closes the connection, and does not wait for that.
    """

    def __init__(
        self,
        *,
        host: str | None = None,
        port: int | str = 6379,
        path: str | os.PathLike[str] | None = None,
        ssl: ssl_module.SSLContext | bool | None = None,
        server_hostname: str | bytes | None = None,
        dialer: Dialer | None = None,
        keepalive: Keepalive | None = POOLED,
        socket_keepalive: bool = True,
        socket_keepalive_options: Mapping[int, int | bytes] | None = None,
        **options: Any,
    ) -> None:
        for name in options:
            if name.startswith("ssl_"):
                raise TypeError(
                    f"AConnectConnection does not take {name}: pass an ssl.SSLContext as ssl="
                )
        if host is not None and path is not None:
            raise ValueError(f"give host or path, not both: {shown(host)}, {shown(path)}")
        if path is None:
            # redis-py looks at these two, and puts another host here when the server moves.
            self.host: str = "localhost" if host is None else plain(host)
            self.port: int = int(port)
        self._path = None if path is None else UnixAddress(path)
        self._ssl = ssl
        self._server_hostname = server_hostname
        self._dialer = pooled(dialer, keepalive if socket_keepalive else None)
        if socket_keepalive and socket_keepalive_options:
            more = [
                SocketOption(socket.IPPROTO_TCP, option, value, family=family)
                for option, value in socket_keepalive_options.items()
                for family in INTERNET  # a unix socket has none of them
            ]
            before = self._dialer.socket_options
            self._dialer = self._dialer.replace(socket_options=(*before, *more))
        super().__init__(**options)

    # What follows are the abstract methods of redis-py's connections, which a class of one's own
    # has to define.  They leave the streams in these two attributes.

    async def _connect(self) -> None:
        self._reader, self._writer = await open_connection(
            self._path or (self.host, self.port),
            ssl=self._ssl,
            server_hostname=self._server_hostname,
            timeout=self.socket_connect_timeout,
            dialer=self._dialer,
        )

    def _host_error(self) -> str:
        return str(self._path or f"{self.host}:{self.port}")

    def repr_pieces(self) -> list[tuple[str, Any]]:
        where = {"path": self._path.path} if self._path else {"host": self.host, "port": self.port}
        named = {"client_name": self.client_name} if self.client_name else {}
        return [*where.items(), ("db", self.db), *named.items()]
