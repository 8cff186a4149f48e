"""httpcore2 over connections of a dialer's, on asyncio, uvloop and trio.

Rules: see `aconnect.clients.generic.pool` and `aconnect.clients.generic.stream`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ..explanations.extras import not_installed

try:
    import httpcore2

    from .generic.pool import Backend, Pool
    from .generic.stream import Stream, Unconnected
except ImportError as _error:
    raise ImportError(not_installed("httpcore2 or anyio", "httpcore2")) from _error

__all__ = ["AConnectBackend", "AConnectPool"]


class _Stream(Stream, httpcore2.AsyncNetworkStream):
    core: ClassVar[Any] = httpcore2


class _Unconnected(Unconnected, httpcore2.AsyncNetworkStream):
    connected: ClassVar[type[Stream]] = _Stream


class AConnectBackend(Backend, httpcore2.AsyncNetworkBackend):
    """As `aconnect.clients.httpcore.AConnectBackend`, for httpcore2."""

    core: ClassVar[Any] = httpcore2
    connected: ClassVar[type[Stream]] = _Stream
    unconnected: ClassVar[type[Unconnected]] = _Unconnected


class AConnectPool(Pool, httpcore2.AsyncConnectionPool):
    """As `aconnect.clients.httpcore.AConnectPool`, for httpcore2."""

    backend: ClassVar[type[Backend]] = AConnectBackend
