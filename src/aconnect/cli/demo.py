"""`aconnect demo`: what aconnect does with four peers, on every event loop there is.

Rules:

* The demo needs nothing but loopback, and its own peers (see `stage`).
* It checks what it claims.  Whatever came out otherwise is listed at the end, and the exit
  status tells.
* The loops run one after another, each with fresh peers.
"""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from aconnect import ConnectTimeout, aconnect

from .loops import LOOPS, advice, missing
from .screen import duration
from .stage import AF_UNIX, Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .demo_screen import DemoScreen
    from .loops import EventLoop

__all__ = ["run_demo"]

DRAIN_AFTER: Final = 1.0
"""Seconds until the full backlog is drained: long enough to be seen."""

SILENCE: Final = 0.3
"""Seconds for which the silent listener is waited for: it would be minutes otherwise."""

PATIENCE: Final = 10.0
"""Seconds for everything that should not take any time."""

_INTRODUCTION: Final = (
    "Four peers on loopback, and what aconnect(peer) does with them on each event loop that is "
    "installed. For the full backlog, what the loop's own connect says stands above it."
)
_ABOUT_BACKLOGS: Final = (
    "Why the loops' own connect is wrong about a full backlog: connect(2) answers EAGAIN, which "
    "means that nothing was started. In Python that is a BlockingIOError, as EINPROGRESS is, so "
    "they wait until the socket is writable. It is at once; it has no error either; it just has "
    "no peer. aconnect goes by the errno, and tries again until there is room or the deadline "
    "passes."
)
_SEEN: Final = "All of this was checked as it happened, and everything was as it should be."
_NOT_SEEN: Final = "Not everything was as this demo says it should be:"


def run_demo(screen: DemoScreen) -> bool:
    """Show everything.

    Returns:
        Whether all of it was as the demo says it should be.

    Raises:
        StageError: the system will not have the peers.
        KeyboardInterrupt: on Ctrl-C; nothing is left open or running.
    """
    screen.paragraph(_INTRODUCTION)
    differences: list[str] = []
    for loop in LOOPS.values():
        screen.loop(loop.name)
        if missing(loop):
            screen.paragraph(advice(loop), "yellow")
            continue
        with Stage() as stage:
            play = _Play(loop, stage, screen)
            loop.run(play.scenes)
        differences += play.differences
        screen.space()
    screen.paragraph(_ABOUT_BACKLOGS)
    screen.verdict(_NOT_SEEN if differences else _SEEN, differences)
    return not differences


class _Tried(NamedTuple):
    """What came of one call: ``error``, or else a socket with or without a peer."""

    seconds: float
    ended: float
    error: OSError | None = None
    peer: object = None
    no_peer: str = ""
    """The errno by which getpeername() said that there is no peer."""

    def __str__(self) -> str:
        after = f"after {duration(self.seconds)}"
        if self.error is not None:
            return f"{type(self.error).__name__} {after}: {self.error}".rstrip(": ")
        if self.no_peer:
            return f"success {after}, and {self.no_peer} from getpeername()"
        return f"a connection to {self.peer} {after}"


class _Play:
    """The scenes on one event loop."""

    def __init__(self, loop: EventLoop, stage: Stage, screen: DemoScreen) -> None:
        self._loop = loop
        self._stage = stage
        self._screen = screen
        self.differences: list[str] = []

    async def scenes(self) -> None:
        """Play all of them."""
        await self._healthy()
        await self._refused()
        await self._full_backlog()
        await self._silent()

    async def _healthy(self) -> None:
        self._screen.scene("A healthy TCP listener")
        tried = await self._aconnect(self._stage.healthy)
        self._promise(tried.peer == self._stage.healthy, "a connection to the listener", tried)

    async def _refused(self) -> None:
        self._screen.scene("A port on which nobody listens")
        tried = await self._aconnect(self._stage.refused)
        promised = isinstance(tried.error, ConnectionRefusedError)
        self._promise(promised, "a ConnectionRefusedError", tried)

    async def _full_backlog(self) -> None:
        self._screen.scene(
            f"A unix listener with a full backlog, which is drained after {DRAIN_AFTER:g} s"
        )
        path, own_name = self._stage.backlog, self._loop.own_connect_name
        tried = await self._own_connect(path)
        self._promise(tried.no_peer == "ENOTCONN", "success without a connection", tried, own_name)

        self._stage.drain_after(DRAIN_AFTER)
        tried = await self._aconnect(
            f"unix:{path}", words="returns a connected socket, once there is room"
        )
        drained = self._stage.drained_from
        promised = tried.peer == path and drained is not None and tried.ended >= drained
        self._promise(promised, "a connection, once the backlog is drained", tried)

    async def _silent(self) -> None:
        self._screen.scene(f"A TCP listener that never answers, with timeout={SILENCE}")
        tried = await self._aconnect(self._stage.silent, timeout=SILENCE)
        promised = isinstance(tried.error, ConnectTimeout) and tried.seconds >= SILENCE
        self._promise(promised, f"a ConnectTimeout after {duration(SILENCE)}", tried)

    async def _aconnect(
        self,
        address: str | tuple[str, int],
        *,
        timeout: float = PATIENCE,
        words: str = "returns a connected socket",
    ) -> _Tried:
        return await self._try("aconnect", words, lambda: aconnect(address, timeout=timeout))

    async def _own_connect(self, path: str) -> _Tried:
        async def connect() -> socket.socket:
            sock = socket.socket(AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                await self._loop.own_connect(sock, path, PATIENCE)
            except BaseException:
                sock.close()
                raise
            return sock

        return await self._try(self._loop.own_connect_name, "returns a connected socket", connect)

    async def _try(
        self, call: str, words: str, connect: Callable[[], Awaitable[socket.socket]]
    ) -> _Tried:
        """Make the call, show what came of it and close the socket."""
        begun = time.monotonic()
        try:
            sock = await connect()
        except OSError as error:
            ended = time.monotonic()
            # Without the traceback, which leads to this frame.
            tried = _Tried(ended - begun, ended, error.with_traceback(None))
            self._screen.row(call, tried.seconds, _raises(error), "yellow", error.strerror or "")
            return tried
        ended = time.monotonic()
        with sock:
            try:
                tried = _Tried(ended - begun, ended, peer=sock.getpeername())
            except OSError as error:
                name = errno.errorcode.get(error.errno or 0, str(error))
                tried = _Tried(ended - begun, ended, no_peer=name)
        if tried.no_peer:
            words = f"returns, but getpeername() says {tried.no_peer}"
        self._screen.row(call, tried.seconds, words, "red" if tried.no_peer else "green")
        return tried

    def _promise(self, kept: bool, promise: str, tried: _Tried, call: str = "aconnect") -> None:
        if not kept:
            self.differences.append(
                f"{self._loop.name}: expected of {call} {promise}, but there was {tried}"
            )


def _raises(error: OSError) -> str:
    """The class of the error, and that of Python's own which it is as well."""
    name = type(error).__name__
    builtin = next(k.__name__ for k in type(error).__mro__ if k.__module__ == "builtins")
    return f"raises {name}" if builtin == name else f"raises {name}, a {builtin}"
