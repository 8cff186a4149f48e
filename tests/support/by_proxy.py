"""Dialers by way of a proxy that leads to one place, whatever it is asked for."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import trustme

from aconnect import Dialer, Proxy
from support.fake_proxy import BOUND, GREETING, HEAD, FakeProxy, Forward, Secure, socks5_request
from support.tls import Certificates

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HTTP_OK", "SCHEMES", "by_proxy"]

SCHEMES = ["socks5h", "http", "https"]
HTTP_OK = b"HTTP/1.1 200 OK\r\n\r\n"


@contextmanager
def by_proxy(scheme: str, target: Any, name: str) -> Iterator[tuple[Dialer, FakeProxy]]:
    """Such a dialer, and its proxy.

    Args:
        scheme: "socks5h", "http" or "https".
        target: where the proxy leads to.
        name: what it is asked for; of SOCKS, which counts its bytes.
    """
    with ExitStack() as stack:
        script: list[Any] = [HEAD, HTTP_OK]
        context = None
        if scheme == "socks5h":
            script = [*GREETING, socks5_request(name), BOUND]
        elif scheme == "https":
            certificates = Certificates()
            context = certificates.client()
            blob = trustme.Blob(certificates.of())
            script = [Secure(stack.enter_context(blob.tempfile())), *script]
        proxy = stack.enter_context(FakeProxy([*script, Forward(target[:2])]))
        yield Dialer(proxy=Proxy(scheme, proxy.address, ssl=context)), proxy
