"""aiohttp over connections of a dialer's, on asyncio and uvloop.

Rules:

* aiohttp does all of HTTP.  What is here finds it connections.
* TLS is part of the race: an address whose handshake fails loses, and the next may win.
* Errors are aiohttp's own, with the `ConnectError` as their ``__cause__``.

Source: `aiohttp.BaseConnector`, and what `aiohttp.TCPConnector` makes of ``ssl``.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl as ssl_module
from functools import lru_cache
from socket import AF_UNSPEC
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final

from ..addresses.target import target_of
from ..addresses.text import host_of_url
from ..addresses.values import TCPAddress, UnixAddress
from ..errors.errors import (
    ConnectError,
    ConnectTimeout,
    HandshakeError,
    ProxyError,
    ResolveError,
)
from ..explanations.extras import not_installed
from ..handshakes.contexts import default_context
from ..proxies.environment import from_environment
from ..proxies.values import DEFAULT_PORTS, Proxy
from ..resolvers.base import Batch
from ..transports.as_asyncio import to_dialer
from ..transports.asyncio import create_connection
from ..transports.calls import dialer_of
from .generic.pooled import POOLED, pooled

try:
    import aiohttp
    from aiohttp.abc import AbstractResolver
    from aiohttp.client_proto import ResponseHandler
except ImportError as _error:
    raise ImportError(not_installed("aiohttp", "aiohttp")) from _error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from typing import TypeAlias

    from ..addresses.values import UDPAddress
    from ..dial.dialer import Dialer
    from ..sockets.option import Keepalive

    SSL: TypeAlias = SSLContext | bool | aiohttp.Fingerprint

__all__ = ["AConnectConnector"]

_OF_TCP: Final = (
    *("family", "local_addr", "happy_eyeballs_delay", "interleave", "resolver", "socket_factory"),
)
"""What a TCPConnector has for its dials."""
_HTTP: Final = "http/1.1"  # the protocol of ALPN; aiohttp speaks no other


class AConnectConnector(aiohttp.BaseConnector):
    """Makes the connections of an `aiohttp.ClientSession`: ``ClientSession(connector=...)``.

    Args:
        dialer: what to dial with; by default a `Dialer` without options.
        ssl: for requests that do not say it themselves.  A context for TLS; True for one that
            verifies the certificate and the host name, False for one that does not; a
            `aiohttp.Fingerprint` for one that wants this very certificate, which is looked at
            when the race has been won.
        path: a unix socket to connect to, whatever the host of a URL.
        keepalive: TCP's keepalive; by default that of the dialer, or else after 60 seconds of
            silence, each 60 seconds, five times.  None for the system's default, which is none.
        options: those of `aiohttp.BaseConnector`, such as ``limit``; and of `aiohttp.TCPConnector`
            these, in place of the dialer's own options: ``family``, ``local_addr``,
            ``interleave``, ``happy_eyeballs_delay`` (None for one address at a time),
            ``socket_factory``, which is given the five-tuple of an address, and ``resolver``,
            which is one of aiohttp's or of ours, and is not closed.

    Raises:
        TypeError, ValueError: an argument is invalid.

    The ``sock_connect`` of a `aiohttp.ClientTimeout` is the seconds for the name, all addresses
    and TLS.  The ``connect`` is aiohttp's own, and covers the wait for a free place as well; when
    that one ends the dial, there is a `TimeoutError` of aiohttp's in place of a `ConnectError`.

    What a request raises when there is no connection is aiohttp's:

    * `aiohttp.ConnectionTimeoutError` if there was none in time,
    * `aiohttp.ClientProxyConnectionError` if a proxy was reached, and does not do its part,
    * `aiohttp.ClientConnectorDNSError` if the name could not be resolved,
    * `aiohttp.ClientConnectorCertificateError` if a certificate is not accepted,
    * `aiohttp.ClientConnectorSSLError` if TLS failed for another reason,
    * `aiohttp.ClientConnectorError` for any other `ConnectError`,
    * `aiohttp.ServerFingerprintMismatch` if a certificate is not the very one,
    * `aiohttp.InvalidUrlClientError` if the host cannot be one;

    where there is a `ConnectError`, it is the ``__cause__``, and ``os_error`` of all these but of
    a ClientConnectorCertificateError.

    A dialer with a proxy goes through that, whatever is requested.  A ``proxy`` of a request, or
    of the environment (``trust_env``), takes its place for "https": it is asked by CONNECT, with
    its ``proxy_auth`` and ``proxy_headers``; over TLS if its scheme is "https", with the ``ssl``
    of the request.  For "http" it is a ValueError: such requests would have to be made of the
    proxy, and not of the host.  aiohttp leaves out what the environment has of proxies with TLS,
    and warns of it; this connector takes them all the same.

    aiohttp's tracing gets no events for lookups; use a `Report`.

    When a request is cancelled while it connects, all is closed before the cancellation leaves it.
    """

    def __init__(
        self,
        *,
        dialer: Dialer | None = None,
        ssl: SSL = True,
        path: str | os.PathLike[str] | None = None,
        keepalive: Keepalive | None = POOLED,
        **options: Any,
    ) -> None:
        if not isinstance(ssl, (SSLContext, bool, aiohttp.Fingerprint)):
            raise TypeError(f"ssl must be a context, a bool or a Fingerprint, not {ssl!r}")
        dialer = pooled(dialer, keepalive)
        theirs: dict[str, Any] = {name: options.pop(name) for name in _OF_TCP if name in options}
        self._dialer = _with_theirs(dialer, theirs) if theirs else dialer
        self._tls = ssl
        self._unix = None if path is None else UnixAddress(path)
        super().__init__(**options)

    def close(self, *, abort_ssl: bool = True) -> Awaitable[None]:
        """Close all connections.

        Args:
            abort_ssl: whether to skip TLS's goodbye, which waits for peers that are gone.
        """
        return super().close(abort_ssl=abort_ssl)

    # Despite its name it is for subclasses: aiohttp documents it as the method to override.
    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: object,  # noqa: ARG002  # for lookups
        timeout: aiohttp.ClientTimeout,
    ) -> ResponseHandler:
        wanted: SSL | None = None
        if req.is_ssl():
            wanted = self._tls if req.ssl is True else req.ssl  # a request may know better
        try:
            address = self._unix or TCPAddress(host_of_url(req.host), req.port or 0)
        except ValueError as error:  # it may come from a redirect
            raise aiohttp.InvalidUrlClientError(req.url, str(error)) from error
        dialer, proxy = self._dialer, _proxy_of(req, address)
        if proxy is not None:
            dialer = _by_proxy(dialer, proxy, req, wanted)
        context = None if wanted is None else _context_for(wanted)
        # By default it is the host that is connected to.  A unix socket has none.
        name = req.server_hostname or (req.host if self._unix else None)
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await create_connection(
                lambda: ResponseHandler(loop),
                address,
                ssl=context,
                server_hostname=name if context else None,
                timeout=timeout.sock_connect or None,  # 0 is no limit to aiohttp
                dialer=dialer,
            )
        except ConnectTimeout:
            raise  # the session makes a ConnectionTimeoutError of it
        except ConnectError as error:
            raise _as_aiohttp(error, req.connection_key) from error
        if isinstance(wanted, aiohttp.Fingerprint):
            certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            found = hashlib.sha256(certificate).digest()
            if found != wanted.fingerprint:
                transport.abort()
                raise aiohttp.ServerFingerprintMismatch(
                    wanted.fingerprint, found, req.host, req.port or 0
                )
        return protocol


def _with_theirs(dialer: Dialer, theirs: dict[str, Any]) -> Dialer:
    """A dialer with options of a `aiohttp.TCPConnector`, by their names there."""
    local_addr = theirs.pop("local_addr", None)
    resolver = theirs.get("resolver")
    if isinstance(resolver, AbstractResolver):
        theirs["resolver"] = _Lookup(resolver)
    elif "resolver" in theirs and resolver is None:
        del theirs["resolver"]  # which is as good as not given
    make = theirs.pop("socket_factory", None)
    if callable(make):
        theirs["socket_factory"] = lambda endpoint: make((*endpoint[:3], "", endpoint.sockaddr))
    elif make is not None:
        raise TypeError(f"socket_factory must be callable or None, not {make!r}")
    if theirs.get("happy_eyeballs_delay", 0) is None:
        theirs["attempt_delay"] = theirs.pop("happy_eyeballs_delay")
    to_dialer(theirs, dialer, _ANY, "AConnectConnector")
    return dialer_of(dialer, theirs, local_addr)


_ANY: Final = target_of(TCPAddress("any.example", 0))
"""Where connections of a connector lead to, as far as that matters to its options."""


class _Lookup:
    """A resolver of aiohttp's, as one of ours."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(self, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
        found = await self._resolver.resolve(address.host, address.port, AF_UNSPEC)
        endpoints = [TCPAddress(each["host"], each["port"]).endpoint for each in found]
        yield Batch([each for each in endpoints if each is not None], sorted=True)


def _context_for(wanted: SSL) -> SSLContext:
    if isinstance(wanted, SSLContext):
        return wanted
    return default_context(_HTTP) if wanted is True else _unverifying(ssl_module.SSLContext)


@lru_cache(1)
def _unverifying(kind: type[SSLContext]) -> SSLContext:
    """A context that verifies nothing, so that it is made from nothing but its class."""
    context = kind(ssl_module.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl_module.CERT_NONE
    context.set_alpn_protocols([_HTTP])
    return context


def _proxy_of(req: aiohttp.ClientRequest, address: TCPAddress | UnixAddress) -> Proxy | None:
    """The proxy that a request names; or that the environment does, if it speaks TLS: aiohttp has
    left those out.

    Raises:
        ValueError: what is named is no proxy.
    """
    url, login = req.proxy, req.proxy_auth
    if url is not None:
        port = url.port or DEFAULT_PORTS.get(url.scheme, 0)  # yarl knows no SOCKS
        return Proxy(
            url.scheme,
            (url.host or "", port),
            username=url.user if login is None else login.login,
            password=url.password if login is None else login.password,
        )
    session: Any = getattr(req, "session", None) or getattr(req, "_session", None)
    if session is None or not session.trust_env:
        return None
    scheme = req.url.scheme
    counts = (f"{scheme}_proxy", "no_proxy", "request_method")  # "all_proxy" is none of aiohttp's
    environ = {name: value for name, value in os.environ.items() if name.lower() in counts}
    found = from_environment(scheme, environ)(address)
    return found if found is not None and found.scheme == "https" else None


def _by_proxy(
    dialer: Dialer, proxy: Proxy, req: aiohttp.ClientRequest, wanted: SSL | None
) -> Dialer:
    """The dialer for a request that goes by a proxy.

    Args:
        wanted: what the request wants of TLS, which is wanted of a proxy with TLS as well; but
            for a Fingerprint, which is that of the host.

    Raises:
        ValueError: connections cannot be made through it, or not for this request.
    """
    if not req.is_ssl():
        raise ValueError(
            f"this connector cannot send an http:// request through {proxy}: plain HTTP is sent "
            "to the proxy itself, not through a tunnel. Use Dialer(proxy=...), which tunnels "
            "everything, or a TCPConnector"
        )
    context = None
    if proxy.scheme == "https" and isinstance(wanted, (SSLContext, bool)):
        context = _context_for(wanted)
    headers = [(str(name), str(value)) for name, value in (req.proxy_headers or {}).items()]
    return dialer.replace(proxy=proxy.replace(ssl=context, headers=headers))


def _as_aiohttp(error: ConnectError, key: Any) -> aiohttp.ClientConnectorError:
    """The error of aiohttp's that it is.

    Args:
        key: what aiohttp calls the connection key of a request; it is in the error's ``args``,
            where no login of a proxy's is to be.
    """
    if key.proxy is not None:
        key = key._replace(proxy=key.proxy.with_user(None), proxy_auth=None)
    if isinstance(error, ResolveError):
        return aiohttp.ClientConnectorDNSError(key, error)
    if isinstance(error, ProxyError):
        return aiohttp.ClientProxyConnectionError(key, error)
    if isinstance(error, HandshakeError):
        cause = error.__cause__
        each = cause.exceptions if isinstance(cause, ExceptionGroup) else [error]
        for one in each:
            if isinstance(one.__cause__, ssl_module.SSLCertVerificationError):
                return aiohttp.ClientConnectorCertificateError(key, one.__cause__)
        return aiohttp.ClientConnectorSSLError(key, error)
    return aiohttp.ClientConnectorError(key, error)
