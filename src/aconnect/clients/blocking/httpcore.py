"""httpcore over connections of a dialer's, without an event loop.

Rules: see `aconnect.clients.generic.blocking`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ...explanations.extras import not_installed

try:
    import httpcore

    from ..generic.blocking import (
        BlockingBackend,
        BlockingPool,
        BlockingStream,
        BlockingUnconnected,
    )
except ImportError as _error:
    raise ImportError(not_installed("httpcore or anyio", "httpcore")) from _error

__all__ = ["AConnectBackend", "AConnectPool"]


class _Stream(BlockingStream, httpcore.NetworkStream):
    core: ClassVar[Any] = httpcore


class _Unconnected(BlockingUnconnected, httpcore.NetworkStream):
    connected: ClassVar[type[BlockingStream]] = _Stream


class AConnectBackend(BlockingBackend, httpcore.NetworkBackend):
    """Makes httpcore's connections with a `Dialer`, without an event loop.

    For the ``network_backend`` of its connections, and of pools other than an `AConnectPool`.

    Args:
        dialer, keepalive, tls: as for `aconnect.clients.httpcore.AConnectBackend`.

    Raises:
        TypeError: an argument has the wrong type.
    """

    core: ClassVar[Any] = httpcore
    connected: ClassVar[type[BlockingStream]] = _Stream
    unconnected: ClassVar[type[BlockingUnconnected]] = _Unconnected


class AConnectPool(BlockingPool, httpcore.ConnectionPool):
    """A `httpcore.ConnectionPool` whose connections are made with a `Dialer`.

    TLS is part of the race: an address whose handshake fails, or is silent, loses.

    Args:
        options: as of `aconnect.clients.httpcore.AConnectPool`.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Through a proxy that itself speaks TLS, there is no TLS to what is behind it; a dialer with a
    ``proxy`` has it.
    """

    backend: ClassVar[Any] = AConnectBackend
