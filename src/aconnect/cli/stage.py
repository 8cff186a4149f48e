"""The peers that `aconnect demo` connects to.

Rules:

* All of them are on loopback or in a temporary directory; no port and no path is fixed.
* Nothing here knows of aconnect.
* When the stage is left, its sockets are closed, its directory is removed and its thread has
  ended.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import tempfile
import threading
import time
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Any, Self

__all__ = ["AF_UNIX", "Stage", "StageError", "without_certificate"]

AF_UNIX: Final[int] = getattr(socket, "AF_UNIX", -1)
"""The demo is for Linux; its types are checked for every platform."""

_LONGEST_BACKLOG: Final = 16
"""Linux takes one connection more than listen() was told; a backlog of 0 that has taken this
many will never be full."""

_PORTS: Final = 16
"""How many ports are tried for one that is free on each of several addresses."""


class StageError(Exception):
    """The system will not have it."""


class Stage:
    """Peers, to be used as a context manager.

    Attributes:
        healthy: the address of a TCP listener.
        dead: an address with the same port, of IPv6 if this machine has it, whose backlog is full,
            so that nobody answers.
        refused: an address on which nobody listens, and nobody else can.
        silent: the address of another TCP listener that does not answer.
        tls: three addresses with one port, on which there are, while there is `talking`: one who
            does not speak TLS, one who accepts and says no word, and one who speaks TLS.
        backlog: the path of a unix listener whose backlog is full.
        drained_from: when the draining of ``backlog`` began, in seconds of `time.monotonic`;
            None before.

    Raises:
        StageError: on entering: the system will not have it; nothing is left.
    """

    healthy: tuple[str, int]
    dead: tuple[str, int]
    refused: tuple[str, int]
    silent: tuple[str, int]
    tls: list[tuple[str, int]]
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
        self._listen({"127.0.0.1": 16, _other_loopback(): 0})
        [self.healthy, self.dead] = self._addresses
        self._fill(_family(self.dead[0]), self.dead)
        self._listen({"127.0.0.1": None})
        [self.refused] = self._addresses
        self._listen({"127.0.0.1": 0})
        [self.silent] = self._addresses
        self._fill(socket.AF_INET, self.silent)
        self._talkers = self._listen({"127.0.0.1": 16, "127.0.0.2": 16, "127.0.0.3": 16})
        self.tls = self._addresses

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

    @asynccontextmanager
    async def talking(self, context: ssl.SSLContext) -> AsyncIterator[None]:
        """Have the peers of `tls` do what they do, on the running loop of asyncio."""
        loop = asyncio.get_running_loop()
        plain, _, tls = self._talkers
        talkers: list[_Talker] = []

        def talker(says: bytes) -> _Talker:
            talkers.append(_Talker(says))
            return talkers[-1]

        refuses = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        servers = [
            await loop.create_server(lambda: talker(refuses), sock=plain),
            await loop.create_server(lambda: talker(b""), sock=tls, ssl=context),
        ]
        try:
            yield
        finally:
            for server in servers:
                server.close()
            for each in talkers:
                await each.over.wait()

    def _socket(self, family: int) -> socket.socket:
        sock = self._cleanup.enter_context(socket.socket(family, socket.SOCK_STREAM))
        sock.setblocking(False)
        return sock

    def _listen(self, backlogs: dict[str, int | None]) -> list[socket.socket]:
        """Listen with those backlogs at each of some hosts, on one port; None for not at all."""
        for _ in range(_PORTS):
            port, self._addresses, listeners = 0, [], []
            for host, backlog in backlogs.items():
                sock = self._socket(_family(host))
                try:
                    sock.bind((host, port))
                except OSError as error:
                    if port and error.errno == errno.EADDRINUSE:
                        break  # it is free on some of them only
                    raise
                if backlog is not None:
                    sock.listen(backlog)
                port = sock.getsockname()[1]
                listeners.append(sock)
                self._addresses.append((host, port))
            else:
                return listeners
        raise OSError(errno.EADDRINUSE, f"no port is free on all of {', '.join(backlogs)}")

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


class _Talker(asyncio.Protocol):
    """Says something, if there is something to say, and hangs up; else waits for the other to.

    Attributes:
        over: is set when the connection is closed.
    """

    def __init__(self, says: bytes) -> None:
        self.over = asyncio.Event()
        self._says = says

    def connection_made(self, transport: Any) -> None:
        if self._says:
            transport.write(self._says)
            transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self.over.set()


def without_certificate() -> tuple[ssl.SSLContext, ssl.SSLContext] | None:
    """TLS for a server and for a client that know nothing of each other, as a demo has no
    certificate; None if the OpenSSL of this Python will not have that."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    for context in (server, client):
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # later ones always take a certificate
        try:
            context.set_ciphers("aNULL:@SECLEVEL=0")
        except ssl.SSLError:
            return None
    return server, client


def _family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _other_loopback() -> str:
    """That of IPv6, if there is one; or another of IPv4."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return "127.0.0.2"
    return "::1"
