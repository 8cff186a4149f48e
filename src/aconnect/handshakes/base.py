"""The handshake: what makes a connected socket ready for use, inside the race.

Rules:

* A handshake owns the socket while it runs, and raises if it fails.  Who keeps the descriptor
  for good, also beyond a failure or a cancellation, detaches it from the socket.
* Any async callable of a socket is a handshake.  One that has something to tell of itself is a
  `Handshake`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from ..errors.foreign import words
from ..report.attempt import kind_of_handshake

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["BoundedHandshake", "Handshake", "OutOfTime"]

T = TypeVar("T")


class Handshake(Generic[T]):
    """A handshake, with the name that traces, reports and errors have for it.

    Args:
        function: is awaited with the connected socket; what it returns is the result.  A
            subclass may define ``__call__`` instead.
        name: what kind of handshake it is, in a word.

    Attributes:
        phase: "handshake"; of one with a proxy, or about one, "proxy".
        proxy: the proxy that it is with, as text; empty if it is with none.
        tunnels: whether it can be carried out on a `Tunnel` in place of a socket.
    """

    phase: Literal["proxy", "handshake"] = "handshake"
    proxy: str = ""
    tunnels: bool = False

    def __init__(
        self, function: Callable[[socket.socket], Awaitable[T]], *, name: str = "handshake"
    ) -> None:
        self._function: Callable[[socket.socket], Awaitable[T]] = function
        self.name: str = name

    @property
    def kind(self) -> str:
        """The name, for a sentence."""
        return kind_of_handshake(self.name)

    @property
    def unfinished(self) -> str:
        """What there is to be said of it when its time is up, as in "connected, and ..."; empty if
        that is no more than that it was not done."""
        return ""

    @property
    def layers(self) -> tuple[Handshake[Any], ...]:
        """What it consists of; itself, unless it is a `Sequence`."""
        return (self,)

    async def __call__(self, sock: socket.socket) -> T:
        """Carry it out on a connected socket."""
        return await self._function(sock)

    def towards(self, host: str | None) -> Handshake[T]:  # noqa: ARG002  # TLS needs it
        """The same with one host of several that are dialled; None for one that has no name.

        Itself, if it does not depend on the host: an address that two hosts share is tried once
        then, and else once with each.
        """
        return self

    def details(self, result: T) -> Mapping[str, Any]:  # noqa: ARG002  # a subclass may need it
        """What was agreed upon, such as the version of TLS."""
        return {}

    def reason(self, error: Exception) -> str:
        """Why it failed, in words, given what it or `details` raised.  Must not raise."""
        return words(error)

    def is_final(self, error: Exception) -> bool:  # noqa: ARG002  # a subclass may need it
        """Whether no other address can do better, given what it raised: then the dial is over.
        Must not raise."""
        return False


class OutOfTime(Exception):
    """A handshake was not done by the moment that it was given."""


class BoundedHandshake(Handshake[T]):
    """One that can keep to a moment by itself, so that it needs no task to be cancelled in.

    Attributes:
        progress: if it consists of several, how far they have come.
    """

    progress: Any = None

    async def within(self, sock: socket.socket, until: float) -> T:
        """Carry it out by a moment, in seconds of `time.monotonic`, without being cancelled.

        Raises:
            OutOfTime: the moment came first.
            Exception: it has failed.

            The socket is closed then; it was not the caller's any more.
        """
        raise NotImplementedError
