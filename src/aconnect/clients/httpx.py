"""httpx over connections of a dialer's, on asyncio, uvloop and trio.

Rules: see `aconnect.clients.generic.transport`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..explanations.extras import not_installed

if TYPE_CHECKING:
    from .generic.pool import Pool

try:
    import httpx

    from .generic.transport import Body, Transport
    from .httpcore import AConnectPool
except ImportError as _error:
    raise ImportError(not_installed("httpx", "httpx")) from _error

__all__ = ["AConnectTransport"]


class _Body(Body, httpx.AsyncByteStream):
    pass


class AConnectTransport(Transport, httpx.AsyncBaseTransport):
    """Makes the connections of an `httpx.AsyncClient`: ``AsyncClient(transport=...)``.

    Pass ``verify``, ``http2``, ``limits``, ``proxy`` and the like here: with a transport, a client
    ignores its own.  A proxy from the environment is not used.

    Args:
        dialer: what to dial with; by default a `Dialer` without options.
        keepalive: TCP's keepalive; by default that of the dialer, or else after 60 seconds of
            silence, each 60 seconds, five times.  None for the system's default, which is none.
        verify: a context for TLS; True for httpx's default one, which verifies the certificate
            and the host name, False for one that does not.  httpcore sets its ALPN protocols.
        cert, trust_env: as for `httpx.create_ssl_context`.
        http1, http2: whether to speak HTTP/1.1, HTTP/2; for the latter httpx needs h2.
        limits: how many connections there may be, and for how long one is kept; by default
            httpx's own.
        proxy: a URL or a `httpx.Proxy` to go through.  It is what is dialled, and what a policy
            is asked about; aconnect cannot see past it.
        forward: a proxy that requests for ``http://`` are sent to, as many proxies want it, while
            ``https://`` goes the dialer's way, such as through a tunnel: a `Proxy` of the scheme
            "http" or "https", or its text.  It is dialled directly, and is what the dialer's
            ``permit_proxy`` is asked about.
        uds: the path of a unix socket to connect to, whatever the host of a URL.
        local_address: what to bind to, in place of the dialer's own.
        retries: how often to dial again after a failure to connect.
        socket_options: tuples of setsockopt(2), after the dialer's own and like its
            `SocketOption`.

    Raises:
        TypeError, ValueError: an argument is invalid; or one is not for a proxy: ``uds``,
            ``retries``; of ``forward`` also ``proxy``, and a dialer with a policy for targets,
            which could not judge what the proxy connects to.
        ImportError: what httpx needs for HTTP/2, or for a proxy that speaks SOCKS, is missing.

    The ``connect`` of a `httpx.Timeout` is the seconds for the name, all addresses and TLS.  TLS
    is part of the race: an address whose handshake fails, or is silent, loses.  With ``proxy``,
    TLS does not race, and has as many seconds of its own.

    If there is no connection, a request raises:

    * `httpx.ConnectTimeout` if there was none in time, also for TLS,
    * `httpx.ConnectError` if there is none, also if TLS failed or the host cannot be one,

    with the `ConnectError` as its ``__cause__``; in the last case, a ValueError.

    When a request is cancelled, its connection is closed before the cancellation leaves it.
    """

    package: ClassVar[Any] = httpx
    pool: ClassVar[type[Pool]] = AConnectPool
    body: ClassVar[type[Body]] = _Body
