"""httpx2 over connections of a dialer's, on asyncio, uvloop and trio.

Rules: see `aconnect.clients.generic.transport`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..explanations.extras import not_installed

if TYPE_CHECKING:
    from .generic.pool import Pool

try:
    import httpx2

    from .generic.transport import Body, Transport
    from .httpcore2 import AConnectPool
except ImportError as _error:
    raise ImportError(not_installed("httpx2", "httpx2")) from _error

__all__ = ["AConnectTransport"]


class _Body(Body, httpx2.AsyncByteStream):
    pass


class AConnectTransport(Transport, httpx2.AsyncBaseTransport):
    """As `aconnect.clients.httpx.AConnectTransport`, for a `httpx2.AsyncClient`."""

    package: ClassVar[Any] = httpx2
    pool: ClassVar[type[Pool]] = AConnectPool
    body: ClassVar[type[Body]] = _Body
