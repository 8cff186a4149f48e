"""`aconnect demo`: what aconnect is for, beside what asyncio does by itself.

Rules:

* The demo needs nothing but loopback, and its own peers (see `stage`).  Its names are known to
  itself alone: neither call asks anybody else.
* asyncio's own calls are made as most programs make them, with the same names and peers.
* It checks what it claims.  Whatever came out otherwise is listed at the end, and the exit
  status tells.  What cannot be shown on this machine is said to be left out.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aconnect import (
    Dialer,
    Report,
    StaticResolver,
    TCPAddress,
    aconnect,
    open_connection,
)
from aconnect.policy import public_only

from .loops import LOOPS
from .stage import AF_UNIX, Stage, without_certificate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .demo_screen import DemoScreen

__all__ = ["run_demo"]

WATCHED: Final = 3.0
"""Seconds for which asyncio is seen to wait, in vain: long enough to be felt."""

DRAIN_AFTER: Final = 0.7
"""Seconds until the full backlog is drained: long enough to be seen."""

PATIENCE: Final = 20.0
"""Seconds for everything that should take less than one."""

TICK: Final = 0.1
"""Seconds from one picture of what goes on to the next."""

NAMES: Final = ("shop.example", "bank.example", "avatar.example")

_INTRODUCTION: Final = (
    "What aconnect does, beside what asyncio does by itself, with peers on this machine. The "
    "names are known to this demo alone; no name server is asked, and nothing leaves here."
)
_ABOUT_THE_RACE: Final = (
    "asyncio waits until the kernel gives up, which takes two minutes by default, and goes on "
    "with the next address then. (With happy_eyeballs_delay=0.25 it races as well.)"
)
_ABOUT_TLS: Final = (
    "An address has won when its TLS is done. The first of these does not speak it, the second "
    "accepts and says no word, as a load balancer before a dead server does. For asyncio the "
    "first that accepts has won, with happy_eyeballs_delay as well."
)
_NO_TLS: Final = "This is left out: the OpenSSL of this Python has no TLS without a certificate."
_ABOUT_THE_POLICY: Final = (
    "Dialer(permit=public_only()) is asked about what a name resolves to, just before a socket "
    "is opened. So a link from a stranger does not lead into your network."
)
_ABOUT_BACKLOGS: Final = (
    "connect(2) answers EAGAIN here, which means that nothing was started. In Python that is a "
    "BlockingIOError, as EINPROGRESS is, so asyncio, uvloop and trio take a socket without a peer "
    "for a connected one. aconnect tries again until there is room."
)
_SEEN: Final = "All of this was checked as it happened, and everything was as it should be."
_NOT_SEEN: Final = "Not everything was as this demo says it should be:"
_GO_ON: Final = "With addresses of yours:  aconnect check -v example.org:443"


def run_demo(screen: DemoScreen) -> bool:
    """Show everything.

    Returns:
        Whether all of it was as the demo says it should be.

    Raises:
        StageError: the system will not have the peers.
        KeyboardInterrupt: on Ctrl-C; nothing is left open or running.
    """
    screen.paragraph(_INTRODUCTION)
    with Stage() as stage:
        play = _Play(stage, screen)
        LOOPS["asyncio"].run(play.scenes)
    screen.verdict(_NOT_SEEN if play.differences else _SEEN, play.differences, _GO_ON)
    return not play.differences


class _Tried(NamedTuple):
    """What came of one call: ``error``, or else a peer or the lack of one."""

    seconds: float
    error: Exception | None = None
    peer: Any = None
    no_peer: str = ""
    """The errno by which getpeername() said that there is no peer."""

    @property
    def outcome(self) -> tuple[str, str]:
        """In words, and in what style."""
        if isinstance(self.error, _StillWaiting):
            return str(self.error), "red"
        if self.error is not None:
            return f"raises {type(self.error).__name__}", "yellow"
        if self.no_peer:
            return f"returns, but getpeername() says {self.no_peer}", "red"
        if isinstance(self.peer, str):
            return "connected, now that there is room", "green"
        return f"connected to {_text(self.peer)}", "green"

    @property
    def words(self) -> str:
        """What the error says, if there is one."""
        if self.error is None or isinstance(self.error, _StillWaiting):
            return ""
        return getattr(self.error, "strerror", None) or str(self.error)

    def __str__(self) -> str:
        return f"{type(self.error).__name__}: {self.error}" if self.error else self.outcome[0]


class _StillWaiting(Exception):
    """A call that has been watched for long enough."""


class _Play:
    """The scenes, in their order."""

    def __init__(self, stage: Stage, screen: DemoScreen) -> None:
        self._stage = stage
        self._screen = screen
        self._resolver = StaticResolver(
            {
                NAMES[0]: [stage.dead[0], stage.healthy[0]],
                NAMES[1]: [host for host, _ in stage.tls],
                NAMES[2]: [stage.healthy[0]],
            }
        )
        self.differences: list[str] = []

    async def scenes(self) -> None:
        """Play all of them."""
        loop: Any = asyncio.get_running_loop()
        loop.getaddrinfo = self._getaddrinfo  # for asyncio's own calls
        await self._dead_address()
        await self._tls()
        await self._policy()
        await self._full_backlog()

    async def _dead_address(self) -> None:
        host, port = self._stage.dead
        self._screen.scene("A name whose first address is dead")
        without = "" if ":" in host else " (There is no IPv6 here, so both are of IPv4.)"
        self._screen.paragraph(
            f"{NAMES[0]} is {_text(self._stage.dead)}, where nobody answers, and "
            f"{_text(self._stage.healthy)}.{without}"
        )
        report = Report()

        async def ours() -> Any:
            dialer = Dialer(resolver=self._resolver)
            return await dialer.connect((NAMES[0], port), timeout=PATIENCE, report=report)

        async def theirs() -> Any:
            return await asyncio.open_connection(NAMES[0], port)

        calls = {"aconnect": ours, "asyncio.open_connection": theirs}
        tried = await self._side_by_side(calls, "asyncio.open_connection")
        self._promise(tried, "aconnect", "peer", self._stage.healthy)
        self._promise(tried, "asyncio.open_connection", "error", _StillWaiting)
        self._screen.paragraph(_ABOUT_THE_RACE)
        self._screen.paragraph("What happened in aconnect's call, as its report draws it:")
        self._screen.drawing(report)

    async def _tls(self) -> None:
        self._screen.scene("TLS that fails, and moves on")
        contexts = without_certificate()
        if contexts is None:
            self._screen.paragraph(_NO_TLS, "yellow")
            return
        server, client = contexts
        port = self._stage.tls[0][1]
        report = Report()

        async def ours() -> Any:
            dialer = Dialer(resolver=self._resolver)
            # Streams of asyncio, as they are; only the way to them is ours.
            return await open_connection(
                NAMES[1], port, ssl=client, timeout=PATIENCE, dialer=dialer, report=report
            )

        async def theirs() -> Any:
            return await asyncio.open_connection(NAMES[1], port, ssl=client)

        self._screen.paragraph(_ABOUT_TLS)
        async with self._stage.talking(server):
            calls = {"aconnect.open_connection": ours, "asyncio.open_connection": theirs}
            tried = await self._side_by_side(calls)
        self._promise(tried, "aconnect.open_connection", "peer", self._stage.tls[-1])
        self._promise(tried, "asyncio.open_connection", "error", ssl.SSLError)
        self._screen.drawing(report)

    async def _policy(self) -> None:
        self._screen.scene("A name that leads where it may not")
        port = self._stage.healthy[1]

        async def ours() -> Any:
            dialer = Dialer(resolver=self._resolver, permit=public_only())
            return await dialer.connect((NAMES[2], port), timeout=PATIENCE)

        async def theirs() -> Any:
            return await asyncio.open_connection(NAMES[2], port)

        calls = {"aconnect": ours, "asyncio.open_connection": theirs}
        tried = await self._side_by_side(calls)
        self._promise(tried, "aconnect", "error", PermissionError)
        self._promise(tried, "asyncio.open_connection", "peer", self._stage.healthy)
        self._screen.paragraph(_ABOUT_THE_POLICY)

    async def _full_backlog(self) -> None:
        self._screen.scene("A unix listener that is too busy to accept")
        path = self._stage.backlog

        async def theirs() -> Any:
            sock = socket.socket(AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, path)
            except BaseException:
                sock.close()
                raise
            self._stage.drain_after(DRAIN_AFTER)
            return sock

        async def ours() -> Any:
            sock = await aconnect(f"unix:{path}", timeout=PATIENCE)
            has_room.append(self._stage.drained_from is not None)
            return sock

        has_room: list[bool] = []
        tried = await self._side_by_side({"loop.sock_connect": theirs, "aconnect": ours})
        self._promise(tried, "loop.sock_connect", "no_peer", "ENOTCONN")
        self._promise(tried, "aconnect", "peer", path)
        if has_room == [False]:
            self.differences.append("aconnect: connected before there was room")
        self._screen.paragraph(_ABOUT_BACKLOGS)

    async def _side_by_side(
        self, calls: Mapping[str, Callable[[], Awaitable[Any]]], watched: str = ""
    ) -> dict[str, _Tried]:
        """Make the calls at the same time, and show how they go and what came of them.

        Args:
            watched: which of them is seen to wait, and cancelled in the end.
        """
        began = time.monotonic()
        tasks = {asyncio.create_task(_try(call, began)): name for name, call in calls.items()}
        tried: dict[str, _Tried] = {}
        seconds = 0.0
        with self._screen.rows(list(calls), WATCHED) as rows:
            try:
                rows.show(seconds, tried)
                while tasks and seconds < PATIENCE:
                    if seconds >= WATCHED and list(tasks.values()) == [watched]:
                        break
                    await asyncio.wait(tasks, timeout=TICK, return_when=asyncio.FIRST_COMPLETED)
                    for task in [each for each in tasks if each.done()]:
                        tried[tasks.pop(task)] = task.result()
                    seconds = time.monotonic() - began
                    rows.show(seconds, tried)
                still = _Tried(seconds, _StillWaiting("still waits"))
                tried |= dict.fromkeys(tasks.values(), still)
                rows.show(seconds, tried)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return tried

    async def _getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        """What asyncio is to know: the names of this demo, and no others."""
        endpoints = self._resolver.known(TCPAddress(host, port)) or ()
        return [(each.family, each.type, each.proto, "", each.sockaddr) for each in endpoints]

    def _promise(self, tried: dict[str, _Tried], call: str, what: str, promised: Any) -> None:
        """See that a call has had the peer, or an error of the class, that it should have."""
        found = getattr(tried[call], what)
        kept = isinstance(found, promised) if isinstance(promised, type) else found == promised
        if not kept:
            self.differences.append(
                f"{call}: expected {getattr(promised, '__name__', promised)}, but there was: "
                f"{tried[call]}"
            )


async def _try(call: Callable[[], Awaitable[Any]], began: float) -> _Tried:
    """Make a call, say what came of it and close what it has opened."""
    try:
        made = await call()
    except Exception as error:
        # Without the traceback, which leads to this frame.
        return _Tried(time.monotonic() - began, error.with_traceback(None))
    seconds = time.monotonic() - began
    if isinstance(made, socket.socket):
        with made:
            try:
                return _Tried(
                    seconds, peer=made.getpeername()[: 2 if made.family != AF_UNIX else None]
                )
            except OSError as error:
                return _Tried(seconds, no_peer=errno.errorcode.get(error.errno or 0, str(error)))
    _, writer = made
    peer = writer.get_extra_info("peername")[:2]
    writer.close()
    await writer.wait_closed()
    return _Tried(seconds, peer=peer)


def _text(peer: Any) -> str:
    return str(TCPAddress(*peer[:2]))
