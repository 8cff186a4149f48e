"""httpcore over connections of a dialer's, on asyncio, uvloop and trio.

Rules: see `aconnect.clients.generic.pool` and `aconnect.clients.generic.stream`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ..explanations.extras import not_installed

try:
    import httpcore

    from .generic.pool import Backend, Pool
    from .generic.stream import Stream, Unconnected
except ImportError as _error:
    raise ImportError(not_installed("httpcore or anyio", "httpcore")) from _error

__all__ = ["AConnectBackend", "AConnectPool"]


class _Stream(Stream, httpcore.AsyncNetworkStream):
    core: ClassVar[Any] = httpcore


class _Unconnected(Unconnected, httpcore.AsyncNetworkStream):
    connected: ClassVar[type[Stream]] = _Stream


class AConnectBackend(Backend, httpcore.AsyncNetworkBackend):
    """Makes httpcore's connections with a `Dialer`.

    For the ``network_backend`` of its connections, and of pools other than an `AConnectPool`.
    Immutable, and may be shared.

    Args:
        dialer: what to dial with; by default a `Dialer` without options.
        keepalive: TCP's keepalive; by default that of the dialer, or else after 60 seconds of
            silence, each 60 seconds, five times.  None for the system's default, which is none.
        tls: whether to make TLS part of the race.  For those who speak TLS, and nothing else,
            over all of the connections: one is made when TLS is to be started on it, with its
            time limit for all of that.  Otherwise TLS comes after the race, with a time limit of
            its own: of two addresses, the first of which accepts and stays silent, the second
            does not help.

    Raises:
        TypeError: an argument has the wrong type.
    """

    core: ClassVar[Any] = httpcore
    connected: ClassVar[type[Stream]] = _Stream
    unconnected: ClassVar[type[Unconnected]] = _Unconnected


class AConnectPool(Pool, httpcore.AsyncConnectionPool):
    """A `httpcore.AsyncConnectionPool` whose connections are made with a `Dialer`.

    TLS is part of the race: an address whose handshake fails, or is silent, loses.

    Args:
        dialer, keepalive: as for `AConnectBackend`.
        ssl_context, http1, http2, retries, uds: as for the pool of httpcore.
        max_connections, max_keepalive_connections, keepalive_expiry: likewise.
        proxy: a `httpcore.Proxy` to go through; it is what is dialled, and what a policy is asked
            about.  With TLS to the proxy, that is part of the race; what is behind it never is.
        forward: as of `aconnect.clients.httpx.AConnectTransport`.
        local_address: what to bind to, in place of the dialer's own.
        socket_options: tuples of setsockopt(2), after the dialer's own and like its
            `SocketOption`.

    Raises:
        TypeError, ValueError: an argument is invalid; or one is not for a proxy: ``uds``,
            ``retries``.

    The ``connect`` of the timeouts of a request is the seconds for the name, all addresses and
    TLS.

    What a request raises when there is no connection:

    * `httpcore.ConnectTimeout` if there was none in time; ``args[0]`` is the `ConnectTimeout`,
    * `httpcore.ConnectError` if there is none, also if TLS failed; ``args[0]`` is the
      `ConnectError`, or a ValueError if the host cannot be one.

    The trace of a request (``extensions={"trace": ...}``) has the events of httpcore's own pool.
    With TLS, "connect_tcp" is over at once, and "start_tls" is all of it.

    When a request is cancelled, its connection is closed before the cancellation leaves it.
    """

    backend: ClassVar[type[Backend]] = AConnectBackend
