"""How far the quick way has come, for the race to take it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket

    from ..addresses.values import Endpoint, SockAddr
    from .preparation import Prepared

__all__ = ["Begun", "Shaken"]


class Shaken(NamedTuple):
    """A handshake that came to nothing, and closed the socket."""

    connected: float
    """When the socket was."""
    local: SockAddr | None
    note: str
    """What there was to be said of the connection."""
    error: Exception | None
    """Why; None if its time was up."""


class Begun(NamedTuple):
    """An attempt."""

    endpoint: Endpoint
    start: float
    sock: socket.socket | None
    answer: int = 0
    """What connect(2) has answered."""
    so_error: int | None = None
    """SO_ERROR when the socket had been waited for; None if it has not been."""
    prepared: Prepared | None = None
    """How far it had come, if connect(2) has not been called."""
    shaken: Shaken | None = None
    """What came of the handshake, if there was one."""
