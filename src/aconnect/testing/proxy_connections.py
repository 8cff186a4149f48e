"""The connections that a fake proxy has, plain or with TLS.

Rules:

* What was heard stays, when the network drops a connection that is aborted.
* None has a reference to the network, which closes what it holds when nobody has one.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from .network import FakeNetwork

__all__ = ["Plain", "Secure"]

_MOST: Final = 1 << 20


class _Connection:
    """One that has been made.

    Args:
        network: holds the far end until it is taken.
        far: that.
    """

    def __init__(self, network: FakeNetwork, far: socket.socket) -> None:
        self.far = far
        self.cancel: Callable[[], object] | None = None
        """The timer of what is said next."""
        network.hold(far, self.stop)

    def stop(self) -> None:
        """It is closed, and nothing more is said."""
        if self.cancel is not None:
            self.cancel()
            self.cancel = None


class Plain(_Connection):
    """One without TLS.

    Args:
        listens: whether it is of interest what is said.

    Attributes:
        is_up: whether the target can be spoken to.
    """

    is_up = True

    def __init__(self, network: FakeNetwork, far: socket.socket, *, listens: bool) -> None:
        super().__init__(network, far)
        self._talk: bytes | None = None
        self._ear: socket.socket | None = None
        if listens:
            self._ear = socket.socket(fileno=os.dup(far.fileno()))
            self._ear.setblocking(False)
            network.hold(self._ear)

    def heard(self) -> bytes:
        """What has been said to the proxy so far."""
        if self._talk is not None or self._ear is None:
            return self._talk or b""
        try:
            return self._ear.recv(_MOST, socket.MSG_PEEK)
        except OSError:  # nothing, or the network is closed
            return b""

    def say(self, network: FakeNetwork, piece: bytes) -> bool:
        """Say something, or goodbye; whether there is somebody who may hear more."""
        if not piece:
            network.take(self.far)
            self.far.close()
            return False
        try:
            self.far.send(piece)
        except OSError:
            return False  # who has connected is gone
        return True

    def target(self, network: FakeNetwork, length: int) -> socket.socket:
        """The target's end; so much of what was heard is for the proxy."""
        self._talk = self.far.recv(length)
        assert self._ear is not None
        network.take(self._ear)
        self._ear.close()
        return self.far


class Secure(_Connection):
    """The same with TLS, by a context for a server."""

    def __init__(self, network: FakeNetwork, far: socket.socket, context: ssl.SSLContext) -> None:
        from .secured import Secured  # and with it, ssl

        self._secured = Secured(cast("Any", far), context)
        super().__init__(network, far)
        network.attend(far, self._secured.came)

    @property
    def is_up(self) -> bool:
        return self._secured.is_open

    def stop(self) -> None:
        super().stop()
        self._secured.close()

    def heard(self) -> bytes:
        return self._secured.heard

    def say(self, _: FakeNetwork, piece: bytes) -> bool:
        self._secured.say(piece)
        return self._secured.is_open

    def target(self, _: FakeNetwork, length: int) -> socket.socket:
        return self._secured.target(length)
