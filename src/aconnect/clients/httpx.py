"""httpx over connections of a dialer's, on asyncio, uvloop and trio.

Rules:

* httpcore does all of HTTP, as it does for httpx's own transports.  What is here hands it requests
  and takes its answers.
* Errors are httpx's own, of the same name as httpcore's.  Where no connection was to be had, the
  `ConnectError` is their ``__cause__``.

Source: the custom transports of httpx.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..explanations.extras import not_installed

try:
    import httpcore
    import httpx

    from .httpcore import AConnectBackend
except ImportError as _error:
    raise ImportError(not_installed("httpx", "httpx")) from _error

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator

    from ..dial.dialer import Dialer

__all__ = ["AConnectTransport"]

_LIMITS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=20)
"""Those of a client with a transport of httpx's own."""

_ERRORS: Final[dict[type[Exception], type[httpx.TransportError]]] = {
    getattr(httpcore, name): getattr(httpx, name)
    for name in (
        *("TimeoutException", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout"),
        *("NetworkError", "ConnectError", "ReadError", "WriteError"),
        *("ProtocolError", "LocalProtocolError", "RemoteProtocolError"),
        *("ProxyError", "UnsupportedProtocol"),
    )
}


class AConnectTransport(httpx.AsyncBaseTransport):
    """Has a `httpx.AsyncClient` connect with a `Dialer`: ``AsyncClient(transport=...)``.

    What a client is told of ``verify``, ``http2``, ``limits`` and the like is for transports of
    its own; with this one, it is said here.  It uses no proxy.

    Args:
        dialer: what to dial with; by default a `Dialer` without options.
        verify: a context for TLS; True for httpx's default one, which verifies the certificate
            and the host name, False for one that does not.  httpcore sets its ALPN protocols.
        http1, http2: whether to speak HTTP/1.1, HTTP/2; for the latter httpx needs h2.
        limits: how many connections there may be, and for how long one is kept; by default
            httpx's own.
        retries: how often to dial again when no connection was to be had.
        uds: the path of a unix socket to connect to, whatever the host of a URL.
        local_address: what to bind to, in place of the dialer's own.

    Raises:
        TypeError: the dialer is none.

    The ``connect`` of a `httpx.Timeout` is the seconds for the name and all addresses, and again
    for TLS.

    What a request raises is httpx's, for want of a connection:

    * `httpx.ConnectTimeout` if there was none in time, also for TLS,
    * `httpx.ConnectError` if there is none, also if TLS failed or the host cannot be one,

    with the `ConnectError` as its ``__cause__``; in the last case, a ValueError.

    When a request is cancelled, its connection is closed before the cancellation leaves it.
    """

    def __init__(
        self,
        *,
        dialer: Dialer | None = None,
        verify: ssl.SSLContext | bool = True,
        http1: bool = True,
        http2: bool = False,
        limits: httpx.Limits = _LIMITS,
        retries: int = 0,
        uds: str | None = None,
        local_address: str | None = None,
    ) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(verify=verify),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            http1=http1,
            http2=http2,
            retries=retries,
            uds=uds,
            local_address=local_address,
            network_backend=AConnectBackend(dialer=dialer),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the body of the response comes as it is read."""
        to_send = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx():
            response = await self._pool.handle_async_request(to_send)
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of a response."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Raise an error of httpcore's as httpx's of the same name."""
    try:
        yield
    except tuple(_ERRORS) as error:
        kind = next(kind for kind in type(error).__mro__ if kind in _ERRORS)
        cause = error.args[0] if error.args else None
        raise _ERRORS[kind](str(error)) from cause if isinstance(cause, Exception) else error
