"""How far the quick way has come, for the race to take it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

if TYPE_CHECKING:
    import socket

    from ..addresses.values import Endpoint, SockAddr
    from .layers import Layers
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
    layers: Layers | None = None
    """If it consisted of several, how far they have come."""


@final
class Begun:
    """An attempt.

    Made in the middle of every dial that has to wait: a tuple with names would take three times as
    long.

    Args:
        endpoint: where to.
        start: when it began.
        sock: its socket; None if there is none to be had.
        answer: what connect(2) has answered.
        prepared: how far it had come, if connect(2) has not been called.
        shaken: what came of the handshake, if there was one.

    Attributes:
        so_error: SO_ERROR when the socket had been waited for; None if it has not been.
    """

    __slots__ = ("answer", "endpoint", "prepared", "shaken", "so_error", "sock", "start")

    def __init__(
        self,
        endpoint: Endpoint,
        start: float,
        sock: socket.socket | None,
        answer: int = 0,
        prepared: Prepared | None = None,
        shaken: Shaken | None = None,
    ) -> None:
        self.endpoint: Endpoint = endpoint
        self.start: float = start
        self.sock: socket.socket | None = sock
        self.answer: int = answer
        self.so_error: int | None = None
        self.prepared: Prepared | None = prepared
        self.shaken: Shaken | None = shaken
