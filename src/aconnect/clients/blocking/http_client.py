"""http.client over connections of a dialer's.

Rules:

* http.client does all of HTTP, and of TLS.  What is here connects for it.
* Errors are those of the dial, which are OSErrors, as http.client's own are.

Source: `http.client.HTTPConnection.connect`.
"""

from __future__ import annotations

import http.client
from functools import partial
from typing import TYPE_CHECKING, Any

from ...blocking.calls import create_connection
from ...blocking.tunnels import ThroughTunnels
from ...transports.calls import dialer_of

if TYPE_CHECKING:
    import ssl

    from ...dial.dialer import Dialer

__all__ = ["AConnectHTTPConnection", "AConnectHTTPSConnection"]


class AConnectHTTPConnection(http.client.HTTPConnection):
    """An `http.client.HTTPConnection` that a `Dialer` connects.

    Args:
        host, port: of the server.
        dialer: what to dial with; by default a `Dialer` without options.
        options: all others of http.client's own.  ``timeout`` is the seconds for the name and all
            addresses, and again for each wait for an answer.

    Raises:
        TypeError: the dialer is none.

    What ``request`` and ``connect`` raise when there is no connection is a `ConnectError`.
    """

    def __init__(
        self, host: str, port: int | None = None, *, dialer: Dialer | None = None, **options: Any
    ) -> None:
        dialer = dialer_of(dialer, {})
        super().__init__(host, port, **options)
        # This is how http.client lets a connection be made in another way, also to a proxy.
        self._create_connection = partial(create_connection, dialer=dialer)


class AConnectHTTPSConnection(http.client.HTTPSConnection):
    """The same with TLS, which starts once the socket is connected.

    Args:
        host, port, dialer, options: as for `AConnectHTTPConnection`.
        context: for TLS; by default http.client's own, which verifies the certificate and the
            host name.
    """

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        dialer: Dialer | None = None,
        context: ssl.SSLContext | None = None,
        **options: Any,
    ) -> None:
        dialer = dialer_of(dialer, {})
        super().__init__(host, port, context=context, **options)
        self._create_connection = partial(create_connection, dialer=dialer)
        self._context: Any = ThroughTunnels(self._context)  # with which http.client wraps it
