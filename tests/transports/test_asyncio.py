"""create_connection(), open_connection() and create_datagram_endpoint() on asyncio and uvloop.

What asyncio's own tests ask of the functions of these names is asked here of ours; TLS has a
file of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import gc
import socket
import ssl
import types
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from conftest import ASYNCIO_LOOPS
from support.listeners import LOOPBACK, listening, refusing, silent, unix_full, unix_listening

from aconnect import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    Deadline,
    Dialer,
    HandshakeError,
    Report,
    ResolveError,
    StaticResolver,
    UDPAddress,
    UnixAddress,
    create_connection,
    create_datagram_endpoint,
    open_connection,
)
from aconnect.policy import public_only

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True),
]

_FRAMES_AND_ERRORS = (types.FrameType, ConnectError, ssl.SSLError, ConnectionError)
STREAMS = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")


class Journal(asyncio.Protocol):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.received = b""
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.told.append("made")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()

    def eof_received(self) -> None:
        self.told.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.lost.set_result(exc)

    async def until_received(self, size: int) -> bytes:
        while len(self.received) < size:
            self.changed.clear()
            await self.changed.wait()
        return self.received


class Buffered(Journal, asyncio.BufferedProtocol):
    """Has the loop write into a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = bytearray(100)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.buffer[:nbytes]))


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.received: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()
        self.errors: asyncio.Queue[Exception] = asyncio.Queue()
        self.lost: asyncio.Future[None] = loop.create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.put_nowait((data, addr))

    def error_received(self, exc: Exception) -> None:
        self.errors.put_nowait(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listening() as found:
        yield found


def spell(address: Any) -> dict[str, Any]:
    """Ways to write the address of a listener."""
    host, port = address
    return {
        "a pair": (address,),
        "host and port": (host, port),
        "text": (f"{host}:{port}",),
        "a name": ("localhost", port),
        "a list": ([(*STREAMS, address)],),
    }


class TestCreateConnection:
    @pytest.mark.parametrize("spelling", spell(("", 0)))
    async def test_data_goes_both_ways(self, listener: socket.socket, spelling: str) -> None:
        arguments = spell(listener.getsockname())[spelling]
        transport, protocol = await create_connection(Journal, *arguments)
        assert protocol.transport is transport
        assert transport.get_protocol() is protocol
        assert transport.get_extra_info("peername") == listener.getsockname()
        accepted, peer = listener.accept()
        with accepted:
            assert transport.get_extra_info("sockname") == peer
            transport.write(b"ping")
            assert accepted.recv(10) == b"ping"
            accepted.sendall(b"pong")
            assert await protocol.until_received(4) == b"pong"
        assert await protocol.lost is None
        assert protocol.told == ["made", "eof", "lost"]

    async def test_ipv6(self) -> None:
        with listening("::1") as listener:
            transport, protocol = await create_connection(
                Journal, "::1", listener.getsockname()[1]
            )
            assert transport.get_extra_info("peername") == listener.getsockname()
            transport.close()
            await protocol.lost

    @pytest.mark.parametrize("as_text", [True, False])
    async def test_unix(self, tmp_path: Any, as_text: bool) -> None:
        path = tmp_path / "s"
        with unix_listening(path) as listener:
            _, protocol = await create_connection(Journal, f"unix:{path}" if as_text else path)
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(b"over unix")
                assert await protocol.until_received(9) == b"over unix"
            assert await protocol.lost is None

    async def test_a_full_unix_backlog_is_no_success(self, tmp_path: Any) -> None:
        with unix_full(tmp_path / "s"), pytest.raises(ConnectTimeout, match="backlog"):
            await create_connection(Journal, tmp_path / "s", timeout=0.02)

    async def test_a_buffered_protocol(self, listener: socket.socket) -> None:
        _, protocol = await create_connection(Buffered, listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(b"into a buffer")
            assert await protocol.until_received(13) == b"into a buffer"
        await protocol.lost

    async def test_what_has_arrived_before_the_transport_is_not_lost(
        self, listener: socket.socket
    ) -> None:
        """The peer has sent and closed before the protocol is told of the connection."""
        listener.setblocking(False)  # the loop is running
        calls = []

        def factory() -> Journal:
            calls.append("made")
            accepted, _ = listener.accept()
            with accepted:
                accepted.setblocking(False)
                accepted.send(b"all there is")
            return Journal()

        _, protocol = await create_connection(factory, listener.getsockname())
        assert await protocol.lost is None
        assert protocol.received == b"all there is"
        assert protocol.told == ["made", "eof", "lost"]
        assert calls == ["made"]

    async def test_an_address_that_refuses_comes_before_one_that_does_not(
        self, listener: socket.socket
    ) -> None:
        made = []

        def factory() -> Journal:
            made.append(Journal())
            return made[-1]

        report = Report()
        with refusing() as dead:
            addresses = [(*STREAMS, dead), (*STREAMS, listener.getsockname())]
            transport, protocol = await create_connection(factory, addresses, trace=report)
        assert transport.get_extra_info("peername") == listener.getsockname()
        assert made == [protocol]
        assert [each.won for each in report.attempts] == [False, True]
        transport.close()
        await protocol.lost

    async def test_all_addresses_refuse(self) -> None:
        with refusing() as first, refusing() as second, pytest.raises(ConnectError) as caught:
            await create_connection(Journal, [(*STREAMS, first), (*STREAMS, second)])
        error = caught.value
        assert isinstance(error, ConnectionRefusedError)
        assert error.errno == errno.ECONNREFUSED
        assert [each.sockaddr for each in error.attempts] == [first, second]
        assert isinstance(error.__cause__, ExceptionGroup)

    async def test_a_name_without_addresses(self) -> None:
        with pytest.raises(ResolveError):
            await create_connection(Journal, "no.example", 80, resolver=StaticResolver({}))

    async def test_the_deadline(self) -> None:
        with silent() as address:
            with pytest.raises(ConnectTimeout):
                await create_connection(Journal, address, timeout=0.01)
            with pytest.raises(ConnectTimeout):
                await create_connection(Journal, address, deadline=Deadline.after(0.01))

    async def test_the_dialer_and_its_options(self, listener: socket.socket) -> None:
        dialer = Dialer(permit=public_only())
        with pytest.raises(AddressNotPermitted):
            await create_connection(Journal, listener.getsockname(), dialer=dialer)
        transport, protocol = await create_connection(
            Journal, listener.getsockname(), dialer=dialer, permit=None
        )
        transport.close()
        await protocol.lost

    async def test_local_addr(self, listener: socket.socket) -> None:
        with refusing() as taken:
            free = taken[1]
        transport, protocol = await create_connection(
            Journal, listener.getsockname(), local_addr=(LOOPBACK, free)
        )
        assert transport.get_extra_info("sockname") == (LOOPBACK, free)
        transport.abort()
        await protocol.lost

    async def test_local_addr_in_use(self, listener: socket.socket) -> None:
        with refusing() as taken, pytest.raises(ConnectError, match=str(taken[1])) as caught:
            await create_connection(Journal, listener.getsockname(), local_addr=taken)
        assert caught.value.errno == errno.EADDRINUSE

    @pytest.mark.parametrize("nodelay", [True, False])
    async def test_nodelay(self, listener: socket.socket, nodelay: bool) -> None:
        """Transports set it without being asked."""
        transport, protocol = await create_connection(
            Journal, listener.getsockname(), nodelay=nodelay
        )
        sock = transport.get_extra_info("socket")
        assert bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is nodelay
        transport.close()
        await protocol.lost

    async def test_nodelay_of_one_that_is_closed_already(self, listener: socket.socket) -> None:
        class Shy(Journal):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                transport.abort()

        transport, protocol = await create_connection(Shy, listener.getsockname(), nodelay=False)
        assert transport.is_closing()
        assert await protocol.lost is None
        assert protocol.told == ["made", "lost"]

    async def test_the_factory_runs_in_the_context_of_the_call(
        self, listener: socket.socket
    ) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
        variable.set("the caller's")
        seen = []

        def factory() -> Journal:
            seen.append(variable.get())
            return Journal()

        transport, protocol = await create_connection(factory, listener.getsockname())
        transport.close()
        await protocol.lost
        assert seen == ["the caller's"]

    async def test_nothing_of_ours_is_kept_alive(self, listener: socket.socket) -> None:
        transport, protocol = await create_connection(Journal, listener.getsockname())
        gone = weakref.ref(protocol)
        gc.collect()
        gc.disable()
        try:
            transport.close()
            await protocol.lost
            transport = protocol.transport = None
            await asyncio.sleep(0)
            del protocol
            assert gone() is None
        finally:
            gc.enable()

    @pytest.mark.parametrize(
        ("arguments", "options", "error", "words"),
        [
            ((None, "127.0.0.1:1"), {}, TypeError, "protocol_factory"),
            ((Journal, 5), {}, TypeError, "5"),
            ((Journal, "127.0.0.1"), {}, ValueError, "127.0.0.1"),
            ((Journal, ("127.0.0.1", 1), 1), {}, TypeError, "address"),
            ((Journal, "127.0.0.1", 65536), {}, ValueError, "65536"),
            ((Journal, "udp://127.0.0.1:1"), {}, ValueError, "create_datagram_endpoint"),
            ((Journal, "udp://name.example:1"), {}, ValueError, "udp://name.example:1"),
            ((Journal, "unixgram:/s"), {}, ValueError, "SOCK_STREAM"),
            ((Journal, "unixpacket:/s"), {}, ValueError, "aconnect"),
            (
                (Journal, [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", 1))]),
                {},
                ValueError,
                "create_datagram_endpoint",
            ),
            ((Journal, "127.0.0.1:1"), {"timeout": -1}, ValueError, "timeout"),
            ((Journal, "127.0.0.1:1"), {"dialer": "me"}, TypeError, "dialer"),
            ((Journal, "127.0.0.1:1"), {"tos": "high"}, TypeError, "tos"),
            ((Journal, "127.0.0.1:1"), {"colour": "red"}, TypeError, "colour"),
            ((Journal, "127.0.0.1:1"), {"local_addr": ("nowhere", 0)}, ValueError, "nowhere"),
            (
                (Journal, "127.0.0.1:1"),
                {"local_addr": ("localhost", 0)},
                ValueError,
                r"local_addr must be an IP address, not a name: \('localhost', 0\)",
            ),
            (
                (Journal, "127.0.0.1:1"),
                {"local_addr": ["127.0.0.1", 0]},
                TypeError,
                r"local_addr must be a tuple for a host and a port, \('127.0.0.1', 0\), not \[",
            ),
            (
                (Journal, "127.0.0.1:1"),
                {"local_addr": "127.0.0.1", "local_address": "127.0.0.1"},
                TypeError,
                "local_addr",
            ),
            ((Journal, "127.0.0.1:1"), {"ssl": "yes"}, TypeError, "ssl"),
            ((Journal, "127.0.0.1:1"), {"server_hostname": "a"}, ValueError, "server_hostname"),
            ((Journal, "127.0.0.1:1"), {"ssl_handshake_timeout": 1}, ValueError, "ssl=True"),
            ((Journal, "127.0.0.1:1"), {"ssl_shutdown_timeout": "1"}, TypeError, "ssl_shutdown"),
            (
                (Journal, "127.0.0.1:1"),
                {"ssl": True, "ssl_handshake_timeout": 0},
                ValueError,
                "ssl_handshake_timeout",
            ),
            ((Journal, "unix:/s"), {"ssl": True}, ValueError, "server_hostname"),
        ],
    )
    async def test_nonsense(
        self, arguments: Any, options: Any, error: Any, words: str, monkeypatch: Any
    ) -> None:
        def open_nothing(*_: Any, **__: Any) -> None:
            raise AssertionError("no system call before the arguments are known to be good")

        monkeypatch.setattr(socket.socket, "connect_ex", open_nothing)
        with pytest.raises(error, match=words):
            await create_connection(*arguments, **options)

    @pytest.mark.parametrize("timeout", [None, 30])
    async def test_an_abort_in_the_handshake_is_no_time_limit(
        self, listener: socket.socket, monkeypatch: Any, timeout: float | None
    ) -> None:
        async def begin(self: Any, sock: socket.socket, making: Any) -> None:
            sock.close()
            making.close()
            raise ConnectionAbortedError(errno.ECONNABORTED, "by the kernel")

        monkeypatch.setattr("aconnect.transports.hand_over.HandOver.begin", begin)
        context = ssl.create_default_context()
        with pytest.raises(HandshakeError) as caught:
            address = listener.getsockname()
            await create_connection(Journal, address, ssl=context, timeout=timeout)
        assert caught.value.errno == errno.ECONNABORTED

    async def test_a_handshake_that_fails_leaves_no_cycle(self) -> None:
        """The frames of asyncio's create_connection() hold the future that holds the error."""
        context = ssl.create_default_context()
        for limits in ({"timeout": 0.01}, {"ssl_handshake_timeout": 0.01}):
            with listening() as listener:
                gc.collect()
                gc.disable()
                gc.set_debug(gc.DEBUG_SAVEALL)
                try:
                    with contextlib.suppress(ConnectError):
                        await create_connection(
                            Journal, listener.getsockname(), ssl=context, **limits
                        )
                    gc.collect()
                    kept = [each for each in gc.garbage if isinstance(each, _FRAMES_AND_ERRORS)]
                finally:
                    gc.set_debug(0)
                    gc.garbage.clear()
                    gc.enable()
                assert kept == []

    async def test_a_list_of_both_kinds(self, listener: socket.socket, tmp_path: Any) -> None:
        """Which kind of transport it is shows when one has won."""
        unix = (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", str(tmp_path / "s"))
        inet = (*STREAMS, listener.getsockname())
        transport, _ = await create_connection(asyncio.Protocol, [unix, inet])
        assert transport.get_extra_info("peername") == listener.getsockname()
        transport.abort()
        with unix_listening(tmp_path / "s"):
            transport, _ = await create_connection(asyncio.Protocol, [unix, inet])
        assert transport.get_extra_info("socket").family == socket.AF_UNIX
        transport.abort()
        await asyncio.sleep(0)


class TestOpenConnection:
    async def test_lines(self, listener: socket.socket) -> None:
        reader, writer = await open_connection(*listener.getsockname(), timeout=30)
        accepted, _ = listener.accept()
        with accepted:
            writer.write(b"one\ntwo\n")
            await writer.drain()
            assert accepted.recv(100) == b"one\ntwo\n"
            accepted.sendall(b"three\nfour\nfi")
        assert await reader.readline() == b"three\n"
        assert await reader.readuntil(b"ur\n") == b"four\n"
        assert await reader.read() == b"fi"
        assert reader.at_eof()
        writer.close()
        await writer.wait_closed()

    async def test_unix(self, tmp_path: Any) -> None:
        with unix_listening(tmp_path / "s") as listener:
            reader, writer = await open_connection(UnixAddress(tmp_path / "s"))
            accepted, _ = listener.accept()
            accepted.sendall(b"hello")
            accepted.close()
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()

    async def test_the_limit(self, listener: socket.socket) -> None:
        reader, writer = await open_connection(listener.getsockname(), limit=3)
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(b"longer than that\n")
            with pytest.raises(ValueError, match="limit"):
                await reader.readline()
        writer.close()
        await writer.wait_closed()

    @pytest.mark.parametrize("limit", [0, -1])
    async def test_a_limit_that_cannot_be(self, limit: int) -> None:
        with pytest.raises(ValueError, match="Limit"):
            await open_connection((LOOPBACK, 1), limit=limit)

    async def test_a_reset_reaches_the_reader(self, listener: socket.socket) -> None:
        reader, writer = await open_connection(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        accepted.close()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()

    async def test_the_writer_has_the_transport(self, listener: socket.socket) -> None:
        _, writer = await open_connection(listener.getsockname())
        assert writer.get_extra_info("peername") == listener.getsockname()
        assert writer.transport.get_extra_info("socket").fileno() >= 0
        assert writer.can_write_eof()
        writer.close()
        await writer.wait_closed()

    async def test_failure(self) -> None:
        with refusing() as address, pytest.raises(ConnectionRefusedError) as caught:
            await open_connection(*address)
        assert isinstance(caught.value, ConnectError)
        assert caught.value.report is not None
        with silent() as address, pytest.raises(ConnectTimeout):
            await open_connection(*address, timeout=0.01)

    async def test_nonsense(self) -> None:
        with pytest.raises(TypeError, match="colour"):
            await open_connection((LOOPBACK, 1), colour="red")


class TestCreateDatagramEndpoint:
    @pytest.mark.parametrize("spelling", ["a pair", "bytes and text", "text", "value", "a name"])
    async def test_there_and_back(self, spelling: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((LOOPBACK, 0))
            host, port = address = peer.getsockname()
            arguments: Any = {
                "a pair": (None, address),
                "bytes and text": (None, (host.encode(), str(port))),
                "text": (None, f"udp://{host}:{port}"),
                "value": (None, UDPAddress(host, port)),
                "a name": (None, ("localhost", port)),
            }[spelling]
            transport, protocol = await create_datagram_endpoint(
                Datagrams, *arguments, family=socket.AF_INET
            )
            assert transport.get_extra_info("peername") == address
            transport.sendto(b"ping")
            data, sender = peer.recvfrom(10)
            assert data == b"ping"
            peer.sendto(b"pong", sender)
            assert await protocol.received.get() == (b"pong", address)
            transport.close()
            await protocol.lost

    async def test_unix(self, tmp_path: Any) -> None:
        with unix_listening(tmp_path / "s", socket.SOCK_DGRAM) as peer:
            transport, protocol = await create_datagram_endpoint(
                Datagrams, remote_addr=f"unixgram:{tmp_path / 's'}"
            )
            transport.sendto(b"ping")
            assert peer.recv(10) == b"ping"
            transport.close()
            await protocol.lost

    async def test_a_refusal_comes_with_what_was_sent(self) -> None:
        with refusing() as address:
            transport, protocol = await create_datagram_endpoint(Datagrams, None, address)
            transport.sendto(b"anybody?")
            assert isinstance(await protocol.errors.get(), ConnectionRefusedError)
            transport.close()
            await protocol.lost

    async def test_local_addr(self) -> None:
        transport, protocol = await create_datagram_endpoint(
            Datagrams, ("127.0.0.2", 0), (LOOPBACK, 9)
        )
        assert transport.get_extra_info("sockname")[0] == "127.0.0.2"
        transport.abort()
        await protocol.lost

    @pytest.mark.parametrize(
        ("arguments", "error", "words"),
        [
            ((None, None, "udp://127.0.0.1:1"), TypeError, "protocol_factory"),
            ((Datagrams, None, "127.0.0.1:1"), ValueError, "create_connection"),
            ((Datagrams, None, "unix:/s"), ValueError, "SOCK_DGRAM"),
            ((Datagrams, None, ("127.0.0.1", "domani")), ValueError, "domani"),
            ((Datagrams, None, ("127.0.0.1",)), ValueError, "127.0.0.1"),
            ((Datagrams, "udp://127.0.0.1:1"), ValueError, r"remote_addr=.* the local address"),
        ],
    )
    async def test_nonsense(self, arguments: Any, error: Any, words: str) -> None:
        with pytest.raises(error, match=words):
            await create_datagram_endpoint(*arguments)
