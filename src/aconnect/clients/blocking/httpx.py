"""httpx over connections of a dialer's, without an event loop.

Rules: see `aconnect.clients.generic.blocking`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ...explanations.extras import not_installed

if TYPE_CHECKING:
    from ..generic.pool import Pool
    from ..generic.transport import Body

try:
    import httpx

    from ..generic.blocking import BlockingBody, BlockingTransport
    from .httpcore import AConnectPool
except ImportError as _error:
    raise ImportError(not_installed("httpx", "httpx")) from _error

__all__ = ["AConnectTransport"]


class _Body(BlockingBody, httpx.SyncByteStream):
    pass


class AConnectTransport(BlockingTransport, httpx.BaseTransport):
    """Makes the connections of an `httpx.Client`: ``Client(transport=...)``.

    TLS is part of the race: an address whose handshake fails, or is silent, loses.

    Args:
        options: as of `aconnect.clients.httpx.AConnectTransport`.

    Raises:
        TypeError, ValueError: an argument is invalid.

    What a request raises when there is no connection is `httpx.ConnectTimeout` or
    `httpx.ConnectError`, with the `ConnectError` as its ``__cause__``.
    """

    package: ClassVar[Any] = httpx
    pool: ClassVar[type[Pool]] = AConnectPool
    body: ClassVar[type[Body]] = _Body
