"""Handshakes one after the other, as the layers of one connection.

Rules:

* The first gets the socket, each other what the one before it gave; after one that gave None, the
  same once more.
* Each keeps its name, its part in a trace, its row in a report and its words in an error.
"""

from __future__ import annotations

from itertools import chain
from operator import is_
from typing import TYPE_CHECKING, Any

from .base import Handshake

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["Sequence"]


class Sequence(Handshake[Any]):
    """Several handshakes, one after the other, as one.

    Each is told of, timed and reported by its own name; the first that fails ends the attempt,
    with its own error.  ``attempt_timeout`` is for all of them together.

    Args:
        handshakes: at least one: a `Handshake`, or any async callable.  The first is awaited with
            the socket, each other with what the one before it gave; after one that gave None, with
            the same once more.  A `Sequence` among them stands for its own.

    What one gives belongs to the next.  If the attempt comes to nothing there, it is closed by its
    method ``close()``, if it has one, and then the socket is.

    Raises:
        TypeError: a handshake is not callable.
        ValueError: there is none.
    """

    def __init__(self, *handshakes: Callable[[Any], Awaitable[Any]]) -> None:
        if not handshakes:
            raise ValueError("handshakes must not be empty: there is nothing to do")
        for each in handshakes:
            if not callable(each):
                raise TypeError(f"handshakes must be callable, not {each!r}")
        made = (each if isinstance(each, Handshake) else Handshake(each) for each in handshakes)
        self._layers = tuple(chain.from_iterable(each.layers for each in made))
        self.name: str = ", ".join(each.name for each in self._layers)
        self.tunnels: bool = self._layers[0].tunnels

    @property
    def layers(self) -> tuple[Handshake[Any], ...]:
        return self._layers

    async def __call__(self, sock: socket.socket) -> Any:
        """Carry all of them out; what the last gave."""
        given: Any = sock
        for layer in self._layers:
            result = await layer(given)
            given = given if result is None else result
        return result

    def towards(self, host: str | None) -> Sequence:
        layers = [layer.towards(host) for layer in self._layers]
        same = all(map(is_, layers, self._layers))
        return self if same else Sequence(*layers)

    def details(self, result: Any) -> Mapping[str, Any]:
        return self._layers[-1].details(result)
