"""The peers that `aconnect demo` connects to.

Rules:

* All of them are on loopback or in a temporary directory; no port and no path is fixed.
* Nothing here knows of aconnect.
* When the stage is left, its sockets are closed, its directory is removed and its thread has
  ended.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

__all__ = ["AF_UNIX", "Stage", "StageError"]

AF_UNIX: Final[int] = getattr(socket, "AF_UNIX", -1)
"""The demo is for Linux; its types are checked for every platform."""

_LONGEST_BACKLOG: Final = 16
"""Linux takes one connection more than listen() was told; a backlog of 0 that has taken this
many will never be full."""


class StageError(Exception):
    """The system will not have it."""


class Stage:
    """Four peers, to be used as a context manager.

    Attributes:
        healthy: the address of a TCP listener.
        refused: an address on which nobody listens, and nobody else can.
        silent: the address of a TCP listener that does not answer: its backlog is full.
        backlog: the path of a unix listener whose backlog is full.
        drained_from: when the draining of ``backlog`` began, in seconds of `time.monotonic`;
            None before.

    Raises:
        StageError: on entering: the system will not have it; nothing is left.
    """

    healthy: tuple[str, int]
    refused: tuple[str, int]
    silent: tuple[str, int]
    backlog: str
    drained_from: float | None = None

    def __init__(self) -> None:
        self._over = threading.Event()

    def __enter__(self) -> Self:
        try:
            with ExitStack() as self._cleanup:
                self._set_up()
                self._cleanup = self._cleanup.pop_all()
        except OSError as error:
            raise StageError(f"the demo's listeners cannot be set up: {error}") from error
        return self

    def _set_up(self) -> None:
        directory = self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="aconnect-"))
        self.backlog = os.path.join(directory, "full")
        self._listener = self._socket(AF_UNIX)
        self._listener.bind(self.backlog)
        self._listener.listen(0)
        self._waiting = self._fill(AF_UNIX, self.backlog)
        self.healthy = self._port(backlog=16)
        self.refused = self._port(backlog=None)
        self.silent = self._port(backlog=0)
        self._fill(socket.AF_INET, self.silent)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def drain_after(self, seconds: float) -> None:
        """Accept, ``seconds`` from now, all that waits in the full backlog now; in a thread."""
        thread = threading.Thread(target=self._drain, args=(seconds,), name="demo listener")
        thread.start()
        self._cleanup.callback(thread.join)
        self._cleanup.callback(self._over.set)

    def _drain(self, seconds: float) -> None:
        self._over.wait(seconds)
        self.drained_from = time.monotonic()
        for _ in range(self._waiting):
            accepted, _ = self._listener.accept()
            accepted.close()

    def _socket(self, family: int) -> socket.socket:
        sock = self._cleanup.enter_context(socket.socket(family, socket.SOCK_STREAM))
        sock.setblocking(False)
        return sock

    def _port(self, backlog: int | None) -> tuple[str, int]:
        sock = self._socket(socket.AF_INET)
        sock.bind(("127.0.0.1", 0))
        if backlog is not None:
            sock.listen(backlog)
        host, port = sock.getsockname()
        return host, port

    def _fill(self, family: int, address: Any) -> int:
        """Connect until a connect is not done at once, which on loopback means a full backlog.

        Returns:
            How many connections wait in it.
        """
        for waiting in range(_LONGEST_BACKLOG):
            sock = self._socket(family)
            sock.connect_ex(address)
            try:
                sock.getpeername()
            except OSError:
                return waiting
        raise OSError("a backlog of 0 does not get full on this system")
