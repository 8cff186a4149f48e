"""urllib.request over connections of a dialer's.

Rules:

* urllib.request does all of HTTP.  What is here has it connect with a dialer.
* An opener has handlers for http and https, and for no other scheme: one for ftp would connect in
  a way of its own, and one for files read them, wherever a URL came from.

Source: `urllib.request.build_opener`, `AbstractHTTPHandler.do_open`.
"""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

from ...transports.calls import dialer_of
from .http_client import AConnectHTTPConnection, AConnectHTTPSConnection

if TYPE_CHECKING:
    import ssl

    from ...dial.dialer import Dialer

__all__ = ["AConnectHTTPHandler", "AConnectHTTPSHandler", "opener"]


class AConnectHTTPHandler(urllib.request.HTTPHandler):
    """Opens ``http:`` URLs with a `Dialer`, in an opener that you build.

    Args:
        dialer: what to dial with; by default a `Dialer` without options.

    Raises:
        TypeError: the dialer is none.
    """

    def __init__(self, *, dialer: Dialer | None = None) -> None:
        super().__init__()
        self._dialer = dialer_of(dialer, {})

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(AConnectHTTPConnection, req, dialer=self._dialer)


class AConnectHTTPSHandler(urllib.request.HTTPSHandler):
    """The same for ``https:``.

    Args:
        dialer: as above.
        context: for TLS; by default one that verifies the certificate and the host name.
    """

    def __init__(
        self, *, dialer: Dialer | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(context=context)
        self._dialer = dialer_of(dialer, {})
        self._for_tls = context

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(
            AConnectHTTPSConnection, req, dialer=self._dialer, context=self._for_tls
        )


def opener(
    *handlers: urllib.request.BaseHandler,
    dialer: Dialer | None = None,
    context: ssl.SSLContext | None = None,
) -> urllib.request.OpenerDirector:
    """An opener for http and https, whose ``open`` is `urllib.request.urlopen` with a `Dialer`.

    It follows redirects, whose addresses are dialled in the same way, and uses no proxy.  It
    opens no other scheme, such as ftp and file: of these it raises a `urllib.error.URLError`.

    Args:
        handlers: more of them, such as an `urllib.request.HTTPCookieProcessor`.
        dialer: what to dial with; by default a `Dialer` without options.
        context: for TLS; by default one that verifies the certificate and the host name.

    Raises:
        TypeError: the dialer is none.

    When there is no connection, ``open`` raises a `urllib.error.URLError` whose ``reason`` is the
    `ConnectError`.
    """
    made = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.UnknownHandler(),
        AConnectHTTPHandler(dialer=dialer),
        AConnectHTTPSHandler(dialer=dialer, context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        *handlers,
    ):
        made.add_handler(handler)
    return made
