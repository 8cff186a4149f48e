"""httpx2 over connections of a dialer's, without an event loop.

Rules: see `aconnect.clients.generic.blocking`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ...explanations.extras import not_installed

if TYPE_CHECKING:
    from ..generic.pool import Pool
    from ..generic.transport import Body

try:
    import httpx2

    from ..generic.blocking import BlockingBody, BlockingTransport
    from .httpcore2 import AConnectPool
except ImportError as _error:
    raise ImportError(not_installed("httpx2", "httpx2")) from _error

__all__ = ["AConnectTransport"]


class _Body(BlockingBody, httpx2.SyncByteStream):
    pass


class AConnectTransport(BlockingTransport, httpx2.BaseTransport):
    """As `aconnect.clients.blocking.httpx.AConnectTransport`, for a `httpx2.Client`."""

    package: ClassVar[Any] = httpx2
    pool: ClassVar[type[Pool]] = AConnectPool
    body: ClassVar[type[Body]] = _Body
