"""Connections for redis-py's client without an event loop.

Rules:

* redis-py speaks Redis: pools, retries, the login.  What is here finds it a connection.
* TLS is part of the race: an address whose handshake fails loses, and the next may win.
* Errors become redis-py's own where its own become so.  Ours are their ``__context__``.

Source: `redis.connection.AbstractConnection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...addresses.redacting import shown
from ...addresses.values import UnixAddress
from ...blocking.calls import connect, open_tls
from ...explanations.extras import not_installed
from ...sansio.value import plain
from ..generic.pooled import POOLED, pooled

try:
    from redis.connection import AbstractConnection
except ImportError as _error:
    raise ImportError(not_installed("redis", "redis")) from _error

if TYPE_CHECKING:
    import os
    import socket
    import ssl as ssl_module

    from ...dial.dialer import Dialer
    from ...sockets.option import Keepalive

__all__ = ["AConnectConnection"]


class AConnectConnection(AbstractConnection):
    """A connection to a Redis server, made by a `Dialer`.

    For the ``connection_class`` of a `redis.ConnectionPool`, which has all these arguments and
    hands them on.

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
        options: all others of redis-py's connections.  ``socket_connect_timeout`` is the seconds
            for the name, all addresses and TLS; None for no limit.

    Raises:
        TypeError, ValueError: an argument is invalid.
        redis.RedisError: one of redis-py's own is invalid.

    What a command raises when there is no connection is redis-py's:

    * `redis.TimeoutError` for a `ConnectTimeout`,
    * `redis.ConnectionError` for any other `ConnectError`,

    with ours as its ``__context__``, and no socket is open.
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
        **options: Any,
    ) -> None:
        for name in options:
            if name.startswith("ssl_"):
                raise TypeError(
                    f"AConnectConnection does not take {name}: pass an ssl.SSLContext as ssl="
                )
        if host is not None and path is not None:
            raise ValueError(f"give host or path, not both: {shown(host)}, {shown(path)}")
        # redis-py looks at these two, and puts another host here when the server moves.
        self._host: str = "localhost" if host is None else plain(host)
        self.port: int = int(port)
        self._path = None if path is None else UnixAddress(path)
        self._ssl = ssl
        self._server_hostname = server_hostname
        self._dialer = pooled(dialer, keepalive)
        super().__init__(**options)

    # What follows are the abstract methods of redis-py's connections, which a class of one's own
    # has to define.

    @property
    def host(self) -> str:
        return self._host

    @host.setter
    def host(self, value: str) -> None:
        self._host = value

    def _connect(self) -> socket.socket:
        address = self._path or (self.host, self.port)
        how: dict[str, Any] = {"timeout": self.socket_connect_timeout, "dialer": self._dialer}
        if self._ssl:
            sock: socket.socket = open_tls(
                address, ssl=self._ssl, server_hostname=self._server_hostname, **how
            )
        else:
            sock = connect(address, **how)
        sock.settimeout(self.socket_timeout)
        return sock

    def _host_error(self) -> str:
        return str(self._path or f"{self.host}:{self.port}")

    def repr_pieces(self) -> list[tuple[str, Any]]:
        where = {"path": self._path.path} if self._path else {"host": self.host, "port": self.port}
        named = {"client_name": self.client_name} if self.client_name else {}
        return [*where.items(), ("db", self.db), *named.items()]
