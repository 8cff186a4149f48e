"""aconnect and its peers, each behind the same few calls, for `conformance.py`.

Rules:

* A peer is called as its documentation has it, with the options that a careful user would choose.
  `CALLS` says which calls those are.
* What a peer cannot be told it is not told.  An option that it does not know is its TypeError.
* Nothing here judges.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

import aiohappyeyeballs
import anyio
import trio
import uvloop
from anyio.abc import SocketAttribute

import aconnect

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["CALLS", "PEERS", "Connection", "Peer"]

CALLS: Final = {
    "asyncio": "`asyncio.open_connection` with `happy_eyeballs_delay=0.25`, "
    "`open_unix_connection`, `loop.create_datagram_endpoint`, `loop.create_connection`",
    "uvloop": "the same calls; `happy_eyeballs_delay` is an argument that it does not take",
    "trio": "`open_tcp_stream`, `open_ssl_over_tcp_stream` with `do_handshake`, "
    "`open_unix_socket`; `socket.connect` for UDP",
    "anyio": "`connect_tcp` (one by one: an infinite `happy_eyeballs_delay`), `connect_unix`, "
    "`create_connected_udp_socket`",
    "aiohappyeyeballs": "`loop.getaddrinfo`, then `start_connection` with "
    "`happy_eyeballs_delay=0.25`, then, for TLS, `asyncio.open_connection(sock=...)`",
    "aconnect": "`aconnect`, `Dialer(...).connect`, for TLS `open_connection` and "
    "`open_trio_stream`, for protocols `create_connection`",
}


class Connection:
    """What a peer has opened: its descriptor, and how to close it at once."""

    def __init__(self, sock: Any, close: Callable[[], Awaitable[Any]]) -> None:
        self.sock = sock
        self.close = close

    def names(self) -> tuple[Any, Any]:
        """What getsockname(2) and getpeername(2) say; None where that is an error."""
        with self.raw() as sock:
            try:
                return sock.getsockname(), sock.getpeername()
            except OSError:
                return sock.getsockname(), None

    def raw(self) -> socket.socket:
        """Another socket object for the same connection, to be closed."""
        return socket.socket(fileno=os.dup(self.sock.fileno()))


class Peer:
    """One library on one loop."""

    library: ClassVar[str]
    on_trio: ClassVar[bool] = False

    def run(self, program: Callable[[Peer], Awaitable[Any]]) -> Any:
        return asyncio.run(program(self))  # type: ignore[arg-type]

    async def tcp(self, host: str, port: int, **options: Any) -> Connection:
        """Connect over TCP.

        Args:
            options: ``delay`` between attempts, None for one by one; ``tls``, a context;
                ``local``, an address to bind to; others are handed over as they are.
        """
        raise NotImplementedError

    async def unix(self, path: str) -> Connection:
        raise NotImplementedError

    async def udp(self, host: str, port: int) -> Connection:
        raise NotImplementedError

    def limit(self, seconds: float) -> Any:
        """A block that is cancelled after so long, and then left without an error."""
        return _asyncio_limit(seconds)

    async def tick(self) -> None:
        await asyncio.sleep(0)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, call)

    async def fill_thread_pool(self, wait: Callable[[], object]) -> None:
        """Have every thread of the loop's default pool wait."""
        loop = asyncio.get_running_loop()
        for _ in range(min(32, (os.cpu_count() or 1) + 4)):
            loop.run_in_executor(None, wait)


@contextmanager
def _asyncio_limit(seconds: float) -> Iterator[None]:
    # asyncio.timeout() is an asynchronous context manager; this does what it does.
    task = asyncio.current_task()
    assert task is not None
    handle = asyncio.get_running_loop().call_later(seconds, task.cancel)
    try:
        yield
    except asyncio.CancelledError:
        task.uncancel()
    finally:
        handle.cancel()


def _of_writer(writer: asyncio.StreamWriter) -> Connection:
    async def close() -> None:
        writer.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)

    return Connection(writer.get_extra_info("socket"), close)


def _of_socket(sock: socket.socket) -> Connection:
    async def close() -> None:
        sock.close()

    return Connection(sock, close)


class Asyncio(Peer):
    library = "asyncio"

    async def tcp(self, host: str, port: int, **options: Any) -> Connection:
        if "local" in options:
            options["local_addr"] = (options.pop("local"), 0)
        options = self.race(**options)
        if "tls" in options:
            options["ssl"] = options.pop("tls")
        _, writer = await asyncio.open_connection(host, port, **options)
        return _of_writer(writer)

    def race(self, **options: Any) -> dict[str, Any]:
        return {"happy_eyeballs_delay": options.pop("delay", 0.25), **options}

    async def unix(self, path: str) -> Connection:
        _, writer = await asyncio.open_unix_connection(path)
        return _of_writer(writer)

    async def udp(self, host: str, port: int) -> Connection:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(host, port)
        )

        async def close() -> None:
            transport.abort()
            await asyncio.sleep(0)

        return Connection(transport.get_extra_info("socket"), close)


class Uvloop(Asyncio):
    library = "uvloop"

    def run(self, program: Callable[[Peer], Awaitable[Any]]) -> Any:
        return uvloop.run(program(self))  # type: ignore[arg-type]

    def race(self, **options: Any) -> dict[str, Any]:
        options.pop("delay", None)
        return options


class AioHappyEyeballs(Asyncio):
    library = "aiohappyeyeballs"

    async def tcp(self, host: str, port: int, **options: Any) -> Connection:
        loop = asyncio.get_running_loop()
        tls = options.pop("tls", None)
        options["happy_eyeballs_delay"] = options.pop("delay", 0.25)
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if "local" in options:
            local = await loop.getaddrinfo(options.pop("local"), 0, type=socket.SOCK_STREAM)
            options["local_addr_infos"] = local
        sock = await aiohappyeyeballs.start_connection(infos, **options)
        if tls is None:
            return _of_socket(sock)
        try:
            _, writer = await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=host)
        except BaseException:
            sock.close()
            raise
        return _of_writer(writer)


class _OnTrio(Peer):
    on_trio = True

    def run(self, program: Callable[[Peer], Awaitable[Any]]) -> Any:
        return trio.run(program, self)

    def limit(self, seconds: float) -> Any:
        return trio.move_on_after(seconds)

    async def tick(self) -> None:
        await trio.lowlevel.checkpoint()

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        async def wait() -> None:
            await trio.sleep(seconds)
            call()

        trio.lowlevel.spawn_system_task(wait)

    async def fill_thread_pool(self, wait: Callable[[], object]) -> None:
        async def occupy() -> None:
            await trio.to_thread.run_sync(wait)

        limiter = trio.to_thread.current_default_thread_limiter()
        for _ in range(int(limiter.total_tokens)):
            trio.lowlevel.spawn_system_task(occupy)
        while limiter.available_tokens:
            await trio.lowlevel.checkpoint()


def _of_trio(stream: Any) -> Connection:
    bare = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    return Connection(bare.socket, lambda: trio.aclose_forcefully(stream))


class Trio(_OnTrio):
    library = "trio"

    async def tcp(self, host: str, port: int, **options: Any) -> Connection:
        tls = options.pop("tls", None)
        if "delay" in options:
            options["happy_eyeballs_delay"] = options.pop("delay")
        if "local" in options:
            options["local_address"] = options.pop("local")
        if tls is None:
            return _of_trio(await trio.open_tcp_stream(host, port, **options))
        stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=tls, **options)
        try:
            await stream.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return _of_trio(stream)

    async def unix(self, path: str) -> Connection:
        return _of_trio(await trio.open_unix_socket(path))

    async def udp(self, host: str, port: int) -> Connection:
        sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        async def close() -> None:
            sock.close()

        try:
            await sock.connect((host, port))
        except BaseException:
            sock.close()
            raise
        return Connection(sock, close)


def _of_anyio(stream: Any) -> Connection:
    raw = stream.extra(SocketAttribute.raw_socket)
    return Connection(raw, lambda: anyio.aclose_forcefully(stream))


class _AnyioCalls(Peer):
    library = "anyio"

    def limit(self, seconds: float) -> Any:
        return anyio.move_on_after(seconds)

    async def tcp(self, host: str, port: int, **options: Any) -> Connection:
        if "delay" in options:
            delay = options.pop("delay")
            options["happy_eyeballs_delay"] = math.inf if delay is None else delay
        if "local" in options:
            options["local_host"] = options.pop("local")
        if "tls" in options:
            options["ssl_context"] = options.pop("tls")
        return _of_anyio(await anyio.connect_tcp(host, port, **options))

    async def unix(self, path: str) -> Connection:
        return _of_anyio(await anyio.connect_unix(path))

    async def udp(self, host: str, port: int) -> Connection:
        return _of_anyio(await anyio.create_connected_udp_socket(host, port))


class AnyioOnAsyncio(_AnyioCalls):
    pass


class AnyioOnTrio(_AnyioCalls, _OnTrio):
    pass


class AConnect(Peer):
    library = "aconnect"

    async def tcp(self, host: str, port: int, **options: Any) -> Connection:
        limits = {name: options.pop(name) for name in ("timeout", "deadline") if name in options}
        tls: ssl.SSLContext | None = options.pop("tls", None)
        if "delay" in options:
            options["attempt_delay"] = options.pop("delay")
        if "local" in options:
            options["local_address"] = options.pop("local")
        dialer = aconnect.Dialer(**options)
        if tls is None:
            return _of_socket(await dialer.connect((host, port), **limits))
        return await self.tls(host, port, tls, dialer, limits)

    async def tls(
        self, host: str, port: int, tls: ssl.SSLContext, dialer: aconnect.Dialer, limits: Any
    ) -> Connection:
        if self.on_trio:
            stream = await aconnect.open_trio_stream(host, port, ssl=tls, dialer=dialer, **limits)
            return _of_trio(stream)
        _, writer = await aconnect.open_connection(host, port, ssl=tls, dialer=dialer, **limits)
        return _of_writer(writer)

    async def unix(self, path: str) -> Connection:
        return _of_socket(await aconnect.aconnect(f"unix:{path}"))

    async def udp(self, host: str, port: int) -> Connection:
        return _of_socket(await aconnect.aconnect(f"udp://{host}:{port}"))


class AConnectOnUvloop(AConnect, Uvloop):
    library = "aconnect"


class AConnectOnTrio(AConnect, _OnTrio):
    pass


PEERS: Final[dict[str, Peer]] = {
    "asyncio": Asyncio(),
    "uvloop": Uvloop(),
    "trio": Trio(),
    "anyio, asyncio": AnyioOnAsyncio(),
    "anyio, trio": AnyioOnTrio(),
    "aiohappyeyeballs": AioHappyEyeballs(),
    "aconnect, asyncio": AConnect(),
    "aconnect, uvloop": AConnectOnUvloop(),
    "aconnect, trio": AConnectOnTrio(),
}
