"""The handshakes of one attempt, one after the other, and where they have got to.

Rules:

* All are carried out in one task.  Whoever waits for it is told of the first one's start, and of
  the last one's end; of all between, here.
* Nobody is told of anything when the attempt is over.
* What a layer gave is kept until the last has given something: whatever comes next, it can be
  disposed of.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..trace import HandshakeEnded, HandshakeStarted

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ..handshakes.base import Handshake
    from ..trace import Event

__all__ = ["Layers"]


class Layers:
    """The handshakes of one attempt.

    Args:
        handshakes: in their order; at least one.

    Attributes:
        at: the number of the one that has begun last.
        began: when each did, if nobody has been told of it yet.
        given: what one before it gave; None if none has, or gave nothing.
    """

    __slots__ = ("_handshakes", "at", "began", "given")

    def __init__(self, handshakes: tuple[Handshake[Any], ...]) -> None:
        self._handshakes = handshakes
        self.at: int = 0
        self.began: list[float] = []
        self.given: Any = None

    @property
    def current(self) -> Handshake[Any]:
        """The one that has begun last."""
        return self._handshakes[self.at]

    def started(self, now: float, number: int) -> list[Event]:
        """The event of its start, of the attempt with a ``number``; and before it, those of what
        has been carried out with nobody told."""
        moments = self.began or [now]
        events: list[Event] = []
        for at, began in enumerate(moments, self.at + 1 - len(moments)):
            if events:
                events.append(HandshakeEnded(began, number, "done", layer=at - 1))
            each = self._handshakes[at]
            events.append(HandshakeStarted(began, number, each.name, at, each.phase, each.proxy))
        return events

    async def carry_out(
        self,
        sock: socket.socket,
        number: int,
        goes_on: Callable[[], bool],
        emit: Callable[[Event], None],
    ) -> Any:
        """Await them.

        Args:
            sock: is connected.
            number: that of the attempt.
            goes_on: whether it is in flight still.
            emit: is told of events; it raises nothing.

        Returns:
            What the last gave; of an attempt that is over, what some one did.
        """
        while True:
            handshake, given = self.current, self.given
            result = await handshake(sock if given is None else given)
            if self.at == len(self._handshakes) - 1 or not goes_on():
                return result
            if result is not None:
                self.given = given = result
            details = handshake.details(given)
            now = time.monotonic()
            emit(HandshakeEnded(now, number, "done", None, details, self.at))
            self.at += 1
            for event in self.started(now, number):
                emit(event)
