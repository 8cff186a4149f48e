"""Transports for httpx, and for what goes on with its interface.

Rules:

* httpcore does all of HTTP, as it does for httpx's own transports.  What is here hands it requests
  and takes its answers.
* Errors are httpx's own, of the same name as httpcore's.  Where no connection was to be had, the
  `ConnectError` is their ``__cause__``.

Source: the custom transports of httpx.
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from .pooled import POOLED

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable, Iterator

    from ...dial.dialer import Dialer
    from ...proxies.values import Proxy
    from ...sockets.option import Keepalive
    from .pool import Pool

__all__ = ["Body", "Transport"]

_ERRORS: Final = (
    *("TimeoutException", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout"),
    *("NetworkError", "ConnectError", "ReadError", "WriteError"),
    *("ProtocolError", "LocalProtocolError", "RemoteProtocolError"),
    *("ProxyError", "UnsupportedProtocol"),
)
"""What both have, by the same name."""


class Limits(Protocol):
    """How many connections there may be: a ``Limits`` of the package."""

    max_connections: int | None
    max_keepalive_connections: int | None
    keepalive_expiry: float | None


class Transport:
    """What is said of `aconnect.clients.httpx.AConnectTransport`.

    Attributes:
        package: httpx, by any name; a subclass says which.
        pool: the kind of pool for its httpcore.
        body: the kind of a response's body.
    """

    package: ClassVar[Any]
    pool: ClassVar[type[Pool]]
    body: ClassVar[type[Body]]

    def __init__(
        self,
        *,
        dialer: Dialer | None = None,
        keepalive: Keepalive | None = POOLED,
        verify: ssl.SSLContext | str | bool = True,
        cert: Any = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = False,
        limits: Limits | None = None,
        proxy: Any = None,
        forward: Proxy | str | None = None,
        uds: str | None = None,
        local_address: str | None = None,
        retries: int = 0,
        socket_options: Iterable[Any] | None = None,
    ) -> None:
        if limits is None:  # those of a client with a transport of its own
            limits = self.package.Limits(max_connections=100, max_keepalive_connections=20)
        assert limits is not None
        self._pool: Any = self.pool(
            dialer=dialer,
            keepalive=keepalive,
            ssl_context=self.package.create_ssl_context(verify, cert, trust_env),
            proxy=self._proxy(proxy),
            forward=forward,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            http1=http1,
            http2=http2,
            retries=retries,
            uds=uds,
            local_address=local_address,
            socket_options=socket_options,
        )
        self._errors: dict[type[Exception], type[Exception]] = {
            getattr(self.pool.backend.core, name): getattr(self.package, name) for name in _ERRORS
        }

    def _proxy(self, proxy: Any) -> Any:
        """What a pool is told of a proxy; None for none.

        Raises:
            ValueError: it is of a scheme that is none of a proxy.
            ImportError: it speaks SOCKS, for which the package needs another.
        """
        if proxy is None:
            return None
        if not isinstance(proxy, self.package.Proxy):
            proxy = self.package.Proxy(url=proxy)
        if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
            raise ImportError(
                f"{self.package.__name__} needs socksio for a SOCKS proxy, and it is not "
                "installed: pip install socksio"
            )
        return self.pool.backend.core.Proxy(
            self._url(proxy.url),
            auth=proxy.raw_auth,
            headers=proxy.headers.raw,
            ssl_context=proxy.ssl_context,
        )

    def _url(self, url: Any) -> Any:
        return self.pool.backend.core.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request; the body of the response comes as it is read."""
        to_send = self._to_send(request)
        with raised_as(self._errors):
            response = await self._pool.handle_async_request(to_send)
        return self._answer(response)

    def _to_send(self, request: Any) -> Any:
        """A request, as the pool takes it."""
        return self.pool.backend.core.Request(
            method=request.method,
            url=self._url(request.url),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )

    def _answer(self, response: Any) -> Any:
        """A response of the pool's, as a client takes it."""
        return self.package.Response(
            status_code=response.status,
            headers=response.headers,
            stream=self.body(response, self._errors),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class Body:
    """The body of a response.

    Args:
        response: of httpcore.
        errors: which error of httpcore's is which of httpx's.
    """

    def __init__(self, response: Any, errors: dict[type[Exception], type[Exception]]) -> None:
        self._response = response
        self._errors = errors

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with raised_as(self._errors):
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def raised_as(errors: dict[type[Exception], type[Exception]]) -> Iterator[None]:
    """Raise an error of httpcore's as httpx's of the same name."""
    try:
        yield
    except tuple(errors) as error:
        kind = next(kind for kind in type(error).__mro__ if kind in errors)
        cause = error.args[0] if error.args else None
        raise errors[kind](str(error)) from cause if isinstance(cause, Exception) else error
