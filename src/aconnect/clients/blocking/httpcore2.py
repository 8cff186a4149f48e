"""httpcore2 over connections of a dialer's, without an event loop.

Rules: see `aconnect.clients.generic.blocking`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ...explanations.extras import not_installed

try:
    import httpcore2

    from ..generic.blocking import (
        BlockingBackend,
        BlockingPool,
        BlockingStream,
        BlockingUnconnected,
    )
except ImportError as _error:
    raise ImportError(not_installed("httpcore2 or anyio", "httpcore2")) from _error

__all__ = ["AConnectBackend", "AConnectPool"]


class _Stream(BlockingStream, httpcore2.NetworkStream):
    core: ClassVar[Any] = httpcore2


class _Unconnected(BlockingUnconnected, httpcore2.NetworkStream):
    connected: ClassVar[type[BlockingStream]] = _Stream


class AConnectBackend(BlockingBackend, httpcore2.NetworkBackend):
    """As `aconnect.clients.blocking.httpcore.AConnectBackend`."""

    core: ClassVar[Any] = httpcore2
    connected: ClassVar[type[BlockingStream]] = _Stream
    unconnected: ClassVar[type[BlockingUnconnected]] = _Unconnected


class AConnectPool(BlockingPool, httpcore2.ConnectionPool):
    """As `aconnect.clients.blocking.httpcore.AConnectPool`, for httpcore2."""

    backend: ClassVar[Any] = AConnectBackend
