"""urllib3 over connections of a dialer's.

Rules:

* urllib3 does all of HTTP, and of TLS.  What is here connects for it, where it connects itself.
* Its pools pass on what they are given to their connections: that is how a dialer gets there.
* Errors are urllib3's own, of the kinds that its own connections raise.  Ours are their
  ``__cause__``.

Source: `urllib3.connection.HTTPConnection._new_conn`, `urllib3.PoolManager`.
"""

from __future__ import annotations

import sys
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from ...addresses.text import host_of_url
from ...addresses.values import UnixAddress
from ...blocking.calls import connect
from ...blocking.tunnels import ThroughTunnels, TunnelSocket
from ...errors.errors import ConnectError, ConnectTimeout, ResolveError
from ...explanations.extras import not_installed
from ..generic.pooled import POOLED, pooled

try:
    from urllib3 import PoolManager, ProxyManager, Timeout
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
    from urllib3.util.ssl_ import (
        create_urllib3_context,
        resolve_cert_reqs,
        resolve_ssl_version,
    )
except ImportError as _error:
    raise ImportError(not_installed("urllib3", "urllib3")) from _error

if TYPE_CHECKING:
    import os
    import socket
    from collections.abc import Mapping
    from ssl import SSLContext

    from ...dial.dialer import Dialer
    from ...sockets.option import Keepalive

__all__ = ["AConnectPoolManager", "AConnectProxyManager", "pool_classes"]

_USUAL: Final = HTTPConnection.default_socket_options
"""TCP_NODELAY, which a dialer sets too, unless it is told not to."""


class AConnectPoolManager(PoolManager):
    """A `urllib3.PoolManager` whose connections a `Dialer` makes.

    Args:
        dialer: what to dial with; by default a `Dialer` without options.
        keepalive: TCP's keepalive; by default that of the dialer, or else after 60 seconds of
            silence, each 60 seconds, five times.  None for the system's default, which is none.
        uds: the path of a unix socket to connect to, whatever the host of a URL.
        options: all others of urllib3's own.  The ``connect`` of a ``timeout`` is the seconds for
            the name and all addresses, and again for TLS.

    Raises:
        TypeError, ValueError: an argument is invalid.

    What a request raises when there is no connection is urllib3's, or in a `MaxRetryError` as its
    ``reason``, with the `ConnectError` as its ``__cause__``:

    * `urllib3.exceptions.ConnectTimeoutError` for a `ConnectTimeout`,
    * `urllib3.exceptions.NameResolutionError` for a `ResolveError`,
    * `urllib3.exceptions.NewConnectionError` for any other; also for a host that cannot be one,
      and then with a ValueError.
    """

    def __init__(
        self,
        *,
        dialer: Dialer | None = None,
        keepalive: Keepalive | None = POOLED,
        uds: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        classes = pool_classes(dialer, keepalive, uds)
        super().__init__(**options)
        self.pool_classes_by_scheme: Any = classes


class AConnectProxyManager(ProxyManager):
    """A `urllib3.ProxyManager` whose connections to the proxy a `Dialer` makes.

    A policy is asked about the proxy, which looks up by itself where a URL leads to.

    Args:
        proxy_url: where the proxy is.
        dialer, keepalive: as for `AConnectPoolManager`.
        options: all others of urllib3's own.
    """

    def __init__(
        self,
        proxy_url: str,
        *,
        dialer: Dialer | None = None,
        keepalive: Keepalive | None = POOLED,
        **options: Any,
    ) -> None:
        classes = pool_classes(dialer, keepalive)
        super().__init__(proxy_url, **options)
        self.pool_classes_by_scheme: Any = classes


def pool_classes(
    dialer: Dialer | None = None,
    keepalive: Keepalive | None = POOLED,
    uds: str | os.PathLike[str] | None = None,
) -> Mapping[str, Any]:
    """For the ``pool_classes_by_scheme`` of any `urllib3.PoolManager`.

    Args:
        dialer, keepalive, uds: as for `AConnectPoolManager`.
    """
    given: dict[str, Any] = {
        "dialer": pooled(dialer, keepalive),
        "path": None if uds is None else UnixAddress(uds),
    }
    return {
        "http": partial(AConnectHTTPConnectionPool, **given),
        "https": partial(AConnectHTTPSConnectionPool, **given),
    }


class AConnectHTTPConnection(HTTPConnection):
    """A connection that a dialer makes."""

    def __init__(
        self, *args: Any, dialer: Dialer, path: UnixAddress | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._dialer = dialer
        self._path = path

    def _new_conn(self) -> socket.socket:
        seconds: Any = Timeout.resolve_default_timeout(self.timeout)
        try:
            address = self._path or (host_of_url(self._dns_host.strip("[]")), self.port)
            dialer = self._dialer
            if self.source_address is not None or self.socket_options != _USUAL:
                dialer = _with(dialer, tuple(self.socket_options or ()), self.source_address)
            sock = connect(address, timeout=seconds, dialer=dialer)
        except ResolveError as error:
            raise NameResolutionError(self.host, self, error) from error
        except ConnectTimeout as error:
            raise ConnectTimeoutError(self, str(error)) from error
        except (ConnectError, ValueError) as error:  # a host may come from a redirect
            raise NewConnectionError(self, str(error)) from error
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock


class AConnectHTTPSConnection(AConnectHTTPConnection, HTTPSConnection):
    """The same with TLS, which urllib3 starts once it has the socket."""

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        if isinstance(sock, TunnelSocket) and not isinstance(self.ssl_context, ThroughTunnels):
            context: Any = ThroughTunnels(self.ssl_context or self._default())
            self.ssl_context: SSLContext | None = context
        return sock

    def _default(self) -> SSLContext:
        """The context that urllib3 would make where it was given none."""
        context = create_urllib3_context(
            ssl_version=resolve_ssl_version(self.ssl_version),
            ssl_minimum_version=self.ssl_minimum_version,
            ssl_maximum_version=self.ssl_maximum_version,
            cert_reqs=resolve_cert_reqs(self.cert_reqs),
        )
        if not (self.ca_certs or self.ca_cert_dir or self.ca_cert_data):
            context.load_default_certs()
        return context


class AConnectHTTPConnectionPool(HTTPConnectionPool):
    ConnectionCls = AConnectHTTPConnection


class AConnectHTTPSConnectionPool(HTTPSConnectionPool):
    ConnectionCls = AConnectHTTPSConnection


@lru_cache(64)
def _with(dialer: Dialer, options: tuple[Any, ...], source_address: Any) -> Dialer:
    """The dialer, with what urllib3 has been told as well."""
    if options:
        dialer = dialer.replace(socket_options=(*dialer.socket_options, *options))
    return dialer if source_address is None else dialer.replace(local_address=source_address)
