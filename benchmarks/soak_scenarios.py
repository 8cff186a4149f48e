"""What `soak.py` dials: listeners that accept, refuse or are silent, and ways to connect to them.

Rules:

* Everything is on loopback, in a directory, or in what `networks.make_silence` has made.
* A scenario says which outcomes it may have.  Any other is a failure of the soak.
* A scenario closes what it gets in the step in which it gets it, so that no cancellation comes
  between.
"""

from __future__ import annotations

import errno
import socket
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import networks

from aconnect import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    Dialer,
    HandshakeError,
    ResolveError,
    StaticResolver,
    aconnect,
    connect_socket,
    open_connection,
    open_trio_stream,
)
from aconnect.policy import allow, deny

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random
    from typing import Self

LONG = 30.0  # seconds; a connect that should succeed may take as long
BACKLOG = 1024
SOON = 0.002  # seconds between the starts of a race
BRIEFLY = -1.0  # a few milliseconds


class Scenario(NamedTuple):
    """A way to connect, how often it is taken, and what may come of it besides a cancellation."""

    name: str
    weight: int
    dial: Callable[[], Awaitable[object]]
    outcomes: frozenset[str]


class Places(ExitStack):
    """What there is to connect to, for as long as it is open.

    Args:
        random: what decides.
        loop: the name of the event loop.
        sleep: its sleep.
        silence: whether there is the network of `networks.make_silence`.
    """

    def __init__(
        self, random: Random, loop: str, sleep: Callable[[float], Any], *, silence: bool
    ) -> None:
        super().__init__()
        self._random, self._loop, self._sleep = random, loop, sleep
        self._has_silence = silence
        self._listeners: list[socket.socket] = []

    def __enter__(self) -> Self:
        directory = Path(self.enter_context(tempfile.TemporaryDirectory()))
        self.v4 = self._listen(socket.AF_INET, ("127.0.0.1", 0))
        self.port = self.v4[1]
        self.good = [self.v4, f"127.0.0.1:{self.port}"]
        self.name_has = ["127.0.0.1"]
        try:
            self.good.append(self._listen(socket.AF_INET6, ("::1", self.port))[:2])
            self.name_has.append("::1")
        except OSError:
            pass  # no IPv6 here
        self.refusing = self._bound().getsockname()
        self.silent = [self._full_tcp()]
        if self._has_silence:
            self.silent += [(networks.SILENT, 80), (networks.SILENT_6, 80)]
        self.unix = directory / "listening"
        self._listen(socket.AF_UNIX, str(self.unix))
        self.unix_full = directory / "full"
        self._full_unix()
        self.unix_absent = directory / "absent"
        # The machine's own resolver is nobody's business here.
        self.callback(setattr, socket, "getaddrinfo", socket.getaddrinfo)
        socket.getaddrinfo = self._getaddrinfo  # type: ignore[assignment]
        self.static = StaticResolver(
            {"here.example": self.name_has, "there.example": ["127.0.0.2", *self.name_has]}
        )
        return self

    def drain(self) -> None:
        """Accept and reset, so that no port is taken by TIME_WAIT."""
        for listener in self._listeners:
            try:
                while True:
                    networks.reset(listener.accept()[0])
            except BlockingIOError:
                pass

    def rest(self) -> None:
        """Everything has come to an end, and is to be looked at."""
        self.drain()

    def _socket(self, family: int) -> socket.socket:
        sock = self.enter_context(socket.socket(family))
        sock.setblocking(False)
        return sock

    def _listen(self, family: int, address: Any) -> Any:
        listener = self._socket(family)
        listener.bind(address)
        listener.listen(BACKLOG)
        self._listeners.append(listener)
        return listener.getsockname()

    def _bound(self) -> socket.socket:
        sock = self._socket(socket.AF_INET)
        sock.bind(("127.0.0.1", 0))
        return sock

    def _full_tcp(self) -> Any:
        """A listener whose queue is full leaves a SYN without an answer."""
        listener = self._bound()
        listener.listen(0)
        for _ in range(4):
            self._socket(socket.AF_INET).connect_ex(listener.getsockname())
        return listener.getsockname()

    def _full_unix(self) -> None:
        listener = self._socket(socket.AF_UNIX)
        listener.bind(str(self.unix_full))
        listener.listen(0)
        while self._socket(socket.AF_UNIX).connect_ex(str(self.unix_full)) != errno.EAGAIN:
            pass

    def _getaddrinfo(self, host: str, *_: object, **__: object) -> list[Any]:
        """Stands in for the system's, and takes its time; called in aconnect's threads."""
        time.sleep(self._random.uniform(0, 0.003))
        if host != "here.example":
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return results(self.refusing, self.v4)

    # The ways to connect.

    def scenarios(self) -> list[Scenario]:
        """All of them."""
        ways: list[Scenario] = []

        def way(
            weight: int,
            name: str,
            outcomes: str,
            call: Callable[..., Any],
            address: Callable[[], Any],
            timeout: float | None = LONG,
            **options: Any,
        ) -> None:
            dial = partial(self._to_socket, call, address, timeout, options)
            ways.append(Scenario(name, weight, dial, frozenset(outcomes.split("|"))))

        random, v4, refusing, full = self._random, self.v4, self.refusing, self.silent[0]

        def good() -> Any:
            return random.choice(self.good)

        def silent() -> Any:
            return random.choice(self.silent)

        def two() -> list[Any]:
            return results(random.choice([refusing, full]), v4)

        def three() -> list[Any]:
            return results(full, refusing, v4)

        def all_silent() -> list[Any]:
            return results(full, *(peer for peer in self.silent[1:] if ":" not in peer[0]))

        here, there, in_thread = (
            ("here.example", self.port),
            ("there.example", self.port),
            "here.example:1",
        )
        plain, racing = Dialer().connect, Dialer(attempt_delay=SOON).connect
        named = Dialer(attempt_delay=SOON, resolver=self.static).connect
        way(20, "literal", "connected", aconnect, good, None)
        way(8, "literal, timeout", "connected", aconnect, good)
        way(5, "dialer", "connected", plain, good)
        way(3, "options", "connected", Dialer(tos=8, user_timeout=5).connect, good)
        way(8, "refused", "refused", aconnect, lambda: refusing)
        way(8, "silent", "timed out", aconnect, silent, BRIEFLY)
        way(2, "no time", "timed out", aconnect, silent, 0)
        way(8, "two addresses", "connected", racing, two)
        way(6, "three addresses", "connected", racing, three)
        way(3, "three, briefly", "connected|timed out", racing, three, BRIEFLY)
        way(2, "all silent", "timed out", racing, all_silent, BRIEFLY)
        way(
            2,
            "one by one",
            "connected",
            Dialer(attempt_delay=None).connect,
            lambda: results(refusing, v4),
        )
        way(4, "name", "connected", named, lambda: here)
        way(3, "name, first refuses", "connected", named, lambda: there)
        way(1, "no such name", "not found", named, lambda: "nowhere.example:1")
        way(3, "name in a thread", "connected", racing, lambda: in_thread)
        way(5, "unix", "connected", aconnect, lambda: self.unix)
        way(3, "unix, full", "timed out", plain, lambda: self.unix_full, BRIEFLY)
        way(2, "unix, absent", "ENOENT", plain, lambda: self.unix_absent)
        way(4, "UDP", "connected", aconnect, lambda: "udp://127.0.0.1:9")
        way(4, "handshake", "connected", plain, good, handshake=self._greet)
        way(2, "handshake fails", "handshake failed", racing, good, handshake=self._sulk)
        way(2, "handshake hangs", "timed out", racing, two, BRIEFLY, handshake=self._hang)
        way(3, "policy", "connected", Dialer(permit=allow("127.0.0.0/8", "::1")).connect, good)
        way(
            2, "forbidden", "not permitted", Dialer(permit=deny("127.0.0.0/8")).connect, lambda: v4
        )
        way(3, "hook", "connected", Dialer(on_socket=self._hook).connect, good)
        way(1, "hook raises", "EPERM", Dialer(on_socket=self._veto).connect, good)
        told = Dialer(trace=repr, on_report=id, attempt_delay=SOON).connect
        way(2, "trace, report", "connected", told, two)
        ways.append(Scenario("own socket", 3, self._own_socket, frozenset({"connected"})))
        ways.append(Scenario("stream", 3, self._stream, frozenset({"connected"})))
        return ways

    async def _to_socket(
        self,
        call: Callable[..., Any],
        address: Callable[[], Any],
        timeout: float | None,
        options: Any,
    ) -> None:
        if timeout == BRIEFLY:
            timeout = self._random.uniform(0.002, 0.03)
        sock = await call(address(), timeout=timeout, **options)
        if sock.fileno() < 0 or sock.gettimeout() != 0:
            raise AssertionError(f"not as promised: {sock}")
        sock.close()

    async def _greet(self, sock: socket.socket) -> socket.socket:
        await self._sleep(self._random.uniform(0, 0.003))
        return sock

    async def _sulk(self, _: socket.socket) -> socket.socket:
        await self._sleep(0)
        raise ValueError("no")

    async def _hang(self, sock: socket.socket) -> socket.socket:
        await self._sleep(LONG)
        return sock

    async def _hook(self, *_: object) -> None:
        await self._sleep(self._random.uniform(0, 0.003))

    def _veto(self, *_: object) -> None:
        raise ValueError("not this one")

    async def _own_socket(self) -> None:
        with socket.socket(socket.AF_INET) as sock:
            sock.setblocking(False)
            await connect_socket(sock, self.v4, timeout=LONG)

    async def _stream(self) -> None:
        if self._loop == "trio":
            (await open_trio_stream(self.v4, timeout=LONG)).socket.close()
        else:
            _, writer = await open_connection(self.v4, timeout=LONG)
            writer.transport.abort()


def results(*addresses: Any) -> list[Any]:
    """What getaddrinfo() would have returned."""
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    return [(*kind, address) for address in addresses]


def outcome_of(error: ConnectError) -> str:
    """In a word or two."""
    kinds = {
        ConnectTimeout: "timed out",
        AddressNotPermitted: "not permitted",
        HandshakeError: "handshake failed",
        ResolveError: "not found",
        ConnectionRefusedError: "refused",
    }
    for kind, word in kinds.items():
        if isinstance(error, kind):
            return word
    return errno.errorcode.get(error.errno or 0, str(error))
