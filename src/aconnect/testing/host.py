"""A host of a network that is not there: what becomes of attempts to connect to it.

Rules:

* It is at one or more addresses, and listens on one port or on all.
* What becomes of attempts is a script; the connections that are made are taken by `accept`, in
  their order, or given to a handler.
"""

from __future__ import annotations

import errno as errnos
import weakref
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ..trace import guarded
from .outcomes import Outcome, Script, outcome_of, seconds_of
from .sockaddrs import INTERNET, error, unmapped

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from ..addresses.values import Endpoint
    from .outcomes import OutcomeLike

__all__ = ["FakeHost"]


class Network(Protocol):
    """What a host asks of its network."""

    def take(self, far: socket.socket) -> bool:
        """Hand the far end of a connection over; whether it is still there."""


class FakeHost:
    """A host of a `FakeNetwork`, which `FakeNetwork.add` gives."""

    def __init__(
        self,
        network: Network,
        places: list[tuple[int, Any]],
        port: int | None,
        on_connection: Callable[[socket.socket], object] | None,
    ) -> None:
        self.script: Script[Outcome]
        self._network = weakref.ref(network)
        self._places = places
        self._port = port
        self._on_connection = on_connection
        self._met: deque[socket.socket] = deque()

    def becomes(self, outcome: OutcomeLike | Iterable[OutcomeLike], *, after: float = 0.0) -> None:
        """Change what becomes of attempts from now on.

        Args:
            outcome, after: as for `FakeNetwork.add`.

        Raises:
            TypeError, ValueError: as there.
        """
        seconds_of(after, "after")
        unix = any(family not in INTERNET for family, _ in self._places)

        def make(given: OutcomeLike) -> Outcome:
            made = outcome_of(given, after)
            if unix and (made.after or made.what in ("silent", "itself")):
                raise ValueError(f"a unix socket connects at once or not at all, not {given!r}")
            return made

        self.script = Script(outcome, make)

    def accept(self) -> socket.socket:
        """The host's end of the oldest connection not yet taken: a non-blocking socket
        with the names of both ends, which the caller closes.

        Connections that have been aborted meanwhile are left out; one that was merely closed is
        not.

        Raises:
            BlockingIOError: there is none.
        """
        network = self._network()
        while self._met:
            far = self._met.popleft()
            if network is not None and network.take(far):
                return far
        raise error(errnos.EAGAIN)

    # For the network.

    def is_at(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint is one of this host's, whatever its port; not for users."""
        sockaddr = endpoint.sockaddr
        if isinstance(sockaddr, tuple):
            return unmapped(endpoint.family, str(sockaddr[0])) in self._places
        return (endpoint.family, sockaddr) in self._places

    def listens(self, endpoint: Endpoint, exactly: bool) -> bool:
        """Whether it listens on this port, or on all, at its endpoint; not for users."""
        port = endpoint.sockaddr[1] if endpoint.family in INTERNET else None
        return self._port == (port if exactly else None)

    def meet(self, network: Network, far: socket.socket) -> None:
        """A connection has been made; raises nothing.  Not for users."""
        if self._on_connection is None:
            self._met.append(far)
        else:
            network.take(far)
            handler = guarded(partial(_call, self._on_connection), "on_connection")
            assert handler is not None
            handler(far)


def _call(handler: Callable[[socket.socket], object], far: socket.socket) -> None:
    """Call it; what `pytest.fail` raises is no Exception, and would be the end of trio's run."""
    try:
        handler(far)
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as outcome:
        raise RuntimeError(f"{type(outcome).__name__}: {outcome}") from outcome
