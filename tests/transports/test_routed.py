"""routed(): a whole event loop through one dialer, with the loop's own arguments and answers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import pickle
import socket
import ssl
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import trio
import uvloop
from conftest import ASYNCIO_LOOPS
from support.clients import for_transports
from support.listeners import LOOPBACK, listening, refusing, silent, unix_listening
from support.loops import NoWriterLoop
from support.programs import free_port
from support.scenarios import ASYNCIO_LOOPS as NEW_LOOPS
from support.scenarios import Scenario, cancel_at_every_step
from support.tls import NAME, Certificates, say, serving

import aconnect
from aconnect import (
    AddressNotPermitted,
    ConnectError,
    Dialer,
    HandshakeError,
    Keepalive,
    Report,
    ResolveError,
    StaticResolver,
    routed,
)
from aconnect.policy import allow, public_only

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aconnect import Endpoint

on_each_loop = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True),
]
METHODS = [
    *("create_connection", "create_unix_connection", "create_datagram_endpoint"),
    *("sock_connect", "sock_sendto"),
]
CALLS = "aconnect.transports.loop_calls"
HERE = StaticResolver({NAME: [LOOPBACK]})
PLAIN = Dialer()


class Told(asyncio.Protocol, asyncio.DatagramProtocol):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.received = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.told.append("made")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.told.append(f"data {data!r}")
        self.received.set()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.told.append(f"datagram {data!r}")
        self.received.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(f"lost {exc!r}")


class Routes:
    """A dialer that keeps its reports."""

    def __init__(self, **options: Any) -> None:
        self.reports: list[Report] = []
        self.dialer = Dialer(on_report=self.reports.append, **options)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listening() as found:
        yield found


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


async def over(transport: Any) -> None:
    """Close it, and wait until it is."""
    transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)


async def received(sock: socket.socket) -> bytes:
    """What has come, or comes next."""
    sock.setblocking(False)
    return await asyncio.get_running_loop().sock_recv(sock, 100)


async def outcome(call: Any, *args: Any, **named: Any) -> dict[str, Any]:
    """What came of a call, as its caller can see it."""
    try:
        transport, protocol = await call(*args, **named)
    except Exception as error:
        return {"error": error}
    sock = transport.get_extra_info("socket")
    internet = sock.family in (socket.AF_INET, socket.AF_INET6)
    found = {
        "peer": transport.get_extra_info("peername"),
        "from": sock.getsockname()[0] if internet else sock.getsockname(),
        "kind": (sock.family, sock.type),
        "nodelay": sock.type == socket.SOCK_STREAM
        and internet
        and sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
        "broadcast": sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST),
        "reuse_port": internet and sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT),
        "told": list(protocol.told),
        "protocol": transport.get_protocol() is protocol
        if hasattr(transport, "get_protocol")
        else None,
    }
    await over(transport)
    return {**found, "in the end": protocol.told}


STREAM: dict[str, Any] = {
    "a host and a port": {"host": LOOPBACK},
    "by name": {"host": "localhost", "family": socket.AF_INET},
    "by name, shouted": {"host": "LOCALHOST", "family": socket.AF_INET},
    "a text for a port": {"host": LOOPBACK, "port": "{port}"},
    "bytes for a port": {"host": LOOPBACK, "port": b"{port}"},
    "bytes for a host": {"host": b"127.0.0.1"},
    "no host": {"host": None, "family": socket.AF_INET},
    "flags": {"host": LOOPBACK, "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV},
    "TCP": {"host": LOOPBACK, "proto": socket.IPPROTO_TCP},
    "a family": {"host": LOOPBACK, "family": socket.AF_INET},
    "from an address": {"host": LOOPBACK, "local_addr": ("127.0.0.7", 0)},
    "from an address, as text": {"host": LOOPBACK, "local_addr": ("127.0.0.7", "0")},
    "from a name": {"host": LOOPBACK, "local_addr": ("localhost", 0)},
    "from no host": {"host": LOOPBACK, "local_addr": (None, 0), "family": socket.AF_INET},
    "no TLS": {"host": LOOPBACK, "ssl": False},
}

BAD_STREAM: dict[str, Any] = {
    "nobody listens": ({"port": "{refused}"}, ConnectionRefusedError, errno.ECONNREFUSED),
    "a host with an empty part": ({"host": "a..b"}, (socket.gaierror, UnicodeError), None),
    "no number": (
        {"host": "localhost", "flags": socket.AI_NUMERICHOST},
        socket.gaierror,
        socket.EAI_NONAME,
    ),
    "a service that there is not": ({"port": "no-such-service"}, socket.gaierror, None),
    "a family that there is not": ({"family": 12345}, (socket.gaierror, OSError), None),
    "not from here": (
        {"local_addr": ("192.0.2.1", 0)},
        OSError,
        errno.EADDRNOTAVAIL,
    ),
    "a family without a local address": ({"local_addr": ("::1", 0)}, OSError, None),
    "nothing at all": ({"host": None, "port": None}, ValueError, None),
    "a name for no TLS": ({"server_hostname": "x.test"}, ValueError, None),
    "a limit for no TLS": ({"ssl_handshake_timeout": 1}, ValueError, None),
    "another limit for no TLS": ({"ssl_shutdown_timeout": 1}, ValueError, None),
    "TLS without a name": ({"host": None, "ssl": True}, ValueError, None),
    "an argument that there is not": ({"tls": True}, TypeError, None),
}


def filled(options: dict[str, Any], **numbers: int) -> dict[str, Any]:
    """The options with the numbers of this run, in the type that they have."""
    found = {"host": LOOPBACK, "port": numbers["port"], **options}
    port = found["port"]
    if isinstance(port, bytes):
        found["port"] = port.decode().format(**numbers).encode()
    elif isinstance(port, str) and "{" in port:
        found["port"] = port.format(**numbers)
    return found


class TestStreams:
    pytestmark = on_each_loop

    @pytest.mark.parametrize("options", STREAM.values(), ids=STREAM)
    async def test_are_as_the_loop_makes_them(
        self, options: dict[str, Any], listener: socket.socket
    ) -> None:
        loop = asyncio.get_running_loop()
        named = filled(options, port=listener.getsockname()[1])
        own = await outcome(loop.create_connection, Told, **named)
        routes = Routes()
        with routed(routes.dialer):
            found = await outcome(loop.create_connection, Told, **named)
        assert "error" not in own, own
        assert found == own
        [report] = routes.reports
        assert "won" in str(report)

    @pytest.mark.parametrize("expected", BAD_STREAM.values(), ids=BAD_STREAM)
    async def test_fail_as_the_loop_fails(self, expected: Any, listener: socket.socket) -> None:
        options, kind, code = expected
        loop = asyncio.get_running_loop()
        with refusing() as (_, refused):
            named = filled(options, port=listener.getsockname()[1], refused=refused)
            own = (await outcome(loop.create_connection, Told, **named))["error"]
            with routed(PLAIN):
                ours = (await outcome(loop.create_connection, Told, **named))["error"]
        assert isinstance(own, kind)
        assert isinstance(ours, kind)
        if code is not None:
            assert ours.errno == code

    async def test_take_the_dialers_options_and_the_calls_on_top(
        self, listener: socket.socket
    ) -> None:
        loop = asyncio.get_running_loop()
        host, port = listener.getsockname()
        routes = Routes(keepalive=Keepalive(77, 5, 3), family=socket.AF_INET6)
        with routed(routes.dialer):
            with pytest.raises(ResolveError):
                await loop.create_connection(Told, host, port)
            transport, _ = await loop.create_connection(Told, host, port, family=socket.AF_INET)
            sock = transport.get_extra_info("socket")
            idle = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            await over(transport)
        assert idle == 77
        assert len(routes.reports) == 2

    async def test_happy_eyeballs_delay_is_the_attempt_delay(self) -> None:
        loop = asyncio.get_running_loop()
        port = free_port()
        with silent(port=port), listening("127.0.0.2", port):
            resolver = StaticResolver({NAME: [LOOPBACK, "127.0.0.2"]})
            routes = Routes(resolver=resolver, attempt_delay=None)
            with routed(routes.dialer):
                transport, _ = await loop.create_connection(
                    Told, NAME, port, happy_eyeballs_delay=0.01
                )
            assert transport.get_extra_info("peername") == ("127.0.0.2", port)
            await over(transport)
        assert len(routes.reports[0].attempts) == 2

    @pytest.mark.parametrize(
        ("interleave", "order"),
        [
            (None, ["127.0.0.1", "::1", "127.0.0.2", "127.0.0.3"]),
            (1, ["127.0.0.1", "::1", "127.0.0.2", "127.0.0.3"]),
            (2, ["127.0.0.1", "127.0.0.2", "::1", "127.0.0.3"]),
            (0, ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"]),
        ],
    )
    async def test_interleave(self, interleave: Any, order: list[str]) -> None:
        asked: list[Any] = []

        def note(endpoint: Endpoint) -> bool:
            asked.append(endpoint.sockaddr[0])
            return False

        addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"]
        dialer = Dialer(resolver=StaticResolver({NAME: addresses}), permit=note)
        loop = asyncio.get_running_loop()
        with routed(dialer), pytest.raises(AddressNotPermitted):
            await loop.create_connection(Told, NAME, 1, interleave=interleave)
        assert asked == order

    async def test_all_errors(self) -> None:
        loop = asyncio.get_running_loop()
        with refusing(port=free_port()) as (_, port):
            addresses = [f"127.0.0.{number}" for number in range(1, 8)]
            dialer = Dialer(resolver=StaticResolver({NAME: addresses}))
            with routed(dialer):
                with pytest.raises(ExceptionGroup, match="create_connection failed") as caught:
                    await loop.create_connection(Told, NAME, port, all_errors=True)
                with pytest.raises(ExceptionGroup) as single:
                    await loop.create_connection(Told, LOOPBACK, port, all_errors=True)
                with pytest.raises(ResolveError):
                    await loop.create_connection(Told, "x.test", port, all_errors=True)
        errors = caught.value.exceptions
        assert [error.attempts[0].sockaddr[0] for error in errors] == addresses  # type: ignore[attr-defined]
        assert all(isinstance(error, ConnectionRefusedError) for error in errors)
        [error] = single.value.exceptions
        assert isinstance(error, ConnectionRefusedError)

    async def test_a_service_by_its_name(self, monkeypatch: Any) -> None:
        """And the dialer's resolver for the host."""
        loop = asyncio.get_running_loop()
        dialer = Dialer(resolver=HERE, permit=allow(LOOPBACK, ports=80), attempt_timeout=30)
        with routed(dialer), pytest.raises(ConnectError) as caught:
            await loop.create_connection(Told, NAME, "http")
        assert "127.0.0.1:80" in str(caught.value)

    async def test_getaddrinfo_that_finds_nothing(self, monkeypatch: Any) -> None:
        loop = asyncio.get_running_loop()

        async def nothing(*_: Any, **__: Any) -> list[Any]:
            return []

        loop.getaddrinfo = nothing  # type: ignore[method-assign]
        with routed(Dialer(permit=allow(LOOPBACK))):
            for options in ({"host": None}, {"host": LOOPBACK, "local_addr": ("localhost", 0)}):
                with pytest.raises(OSError, match="returned empty list"):
                    await loop.create_connection(Told, **options, port=1)
            with socket.socket() as sock:
                sock.setblocking(False)
                with pytest.raises(OSError, match="returned empty list"):
                    await loop.sock_connect(sock, ("localhost", 1))

    @pytest.mark.parametrize("host", ["no host", "a..b", "", "x" * 64, "\u2603\ufffd", b"\xff"])
    async def test_what_can_be_no_host_has_no_address(self, host: Any) -> None:
        loop = asyncio.get_running_loop()
        with routed(PLAIN), pytest.raises(socket.gaierror) as caught:
            await loop.create_connection(Told, host, 1)
        assert isinstance(caught.value, ResolveError)
        assert caught.value.errno == socket.EAI_NONAME

    @pytest.mark.parametrize(("port", "error"), [(65536, ValueError), (1.5, TypeError)])
    async def test_what_can_be_no_port(self, port: Any, error: Any) -> None:
        with routed(PLAIN), pytest.raises(error, match=str(port)):
            await asyncio.get_running_loop().create_connection(Told, "no host", port)

    async def test_no_port_is_port_0(self) -> None:
        loop = asyncio.get_running_loop()
        with routed(PLAIN), pytest.raises(OSError, match=r"127\.0\.0\.1:0"):
            await loop.create_connection(Told, LOOPBACK)

    async def test_streams_of_asyncio_follow(self) -> None:
        routes = Routes(resolver=HERE)
        with serving(None, say(b"hello")) as server, routed(routes.dialer):
            reader, writer = await asyncio.open_connection(NAME, server.address[1])
            assert await reader.readexactly(5) == b"hello"
            writer.close()
            await writer.wait_closed()
        assert "won" in str(routes.reports[0])

    async def test_a_socket_that_is_handed_in_passes_untouched(
        self, listener: socket.socket
    ) -> None:
        loop = asyncio.get_running_loop()
        sock = socket.create_connection(listener.getsockname())
        sock.setblocking(False)
        with routed(Dialer(permit=public_only())):
            transport, _ = await loop.create_connection(Told, sock=sock)
            assert transport.get_extra_info("socket").fileno() == sock.fileno()
            await over(transport)
            with pytest.raises(ValueError, match="sock"):
                await loop.create_connection(Told, LOOPBACK, 1, sock=sock)
        sock.close()

    async def test_cancelling(self) -> None:
        loop = asyncio.get_running_loop()
        with silent() as (host, port), routed(PLAIN), pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.create_connection(Told, host, port), 0.01)


class TestTLS:
    pytestmark = on_each_loop

    async def test_in_the_race(self, certificates: Certificates) -> None:
        routes = Routes(resolver=HERE)
        loop = asyncio.get_running_loop()
        with serving(certificates.server(), say(b"hello")) as server, routed(routes.dialer):
            transport, protocol = await loop.create_connection(
                Told, NAME, server.address[1], ssl=certificates.client()
            )
            await protocol.received.wait()
            assert transport.get_extra_info("ssl_object") is not None
            await over(transport)
            assert server.names == [NAME]
        assert "TLS" in str(routes.reports[0])

    async def test_later_by_start_tls(self, certificates: Certificates) -> None:
        loop = asyncio.get_running_loop()
        with serving(certificates.server(), say(b"hello")) as server:
            with routed(Dialer(resolver=HERE)):
                transport, protocol = await loop.create_connection(Told, NAME, server.address[1])
                secured = await loop.start_tls(
                    transport, protocol, certificates.client(), server_hostname=NAME
                )
            await protocol.received.wait()
            await over(secured)

    @pytest.mark.parametrize("kind", ["another host", "self-signed"])
    async def test_a_certificate_that_is_not_accepted(
        self, kind: str, certificates: Certificates
    ) -> None:
        loop = asyncio.get_running_loop()
        context = certificates.client()
        found = []
        for route in (contextlib.nullcontext(), routed(PLAIN)):
            with (
                serving(certificates.server(kind), say(b"hello")) as server,
                route,
                pytest.raises(ssl.SSLCertVerificationError) as caught,
            ):
                await loop.create_connection(
                    Told, *server.address, ssl=context, server_hostname=NAME
                )
            found.append((caught.value.verify_code, caught.value.reason))
        assert found[0] == found[1]

    async def test_an_error_of_it_is_in_no_group(self, certificates: Certificates) -> None:
        """As in asyncio, where it comes after the attempts."""
        loop = asyncio.get_running_loop()
        with (
            serving(certificates.server("self-signed"), say(b"")) as server,
            routed(PLAIN),
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            await loop.create_connection(
                Told, *server.address, ssl=certificates.client(), all_errors=True
            )

    async def test_the_limit_of_the_handshake_is_the_loops(
        self, certificates: Certificates, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(f"{CALLS}.SSL_HANDSHAKE_TIMEOUT", 0.02)
        loop = asyncio.get_running_loop()
        context = certificates.client()
        with listening() as listener, routed(PLAIN):
            for limit in ({}, {"ssl_handshake_timeout": 0.02}):
                with pytest.raises(ConnectionAbortedError) as caught:
                    await loop.create_connection(
                        Told, *listener.getsockname(), ssl=context, server_hostname=NAME, **limit
                    )
                assert isinstance(caught.value, HandshakeError)

    async def test_a_default_context(self, certificates: Certificates, monkeypatch: Any) -> None:
        """Which checks no name, if an empty one is given, as in asyncio."""
        for module in (
            "aconnect.handshakes.tls.default_context",
            f"{CALLS}.create_default_context",
        ):
            monkeypatch.setattr(module, certificates.client)
        loop = asyncio.get_running_loop()
        with serving(certificates.server("another host"), say(b"hello")) as server, routed(PLAIN):
            with pytest.raises(ssl.SSLCertVerificationError):
                await loop.create_connection(Told, *server.address, ssl=True)
            transport, protocol = await loop.create_connection(
                Told, *server.address, ssl=True, server_hostname=""
            )
            await protocol.received.wait()
            await over(transport)


class TestUnixStreams:
    pytestmark = on_each_loop

    @pytest.mark.parametrize("form", ["text", "bytes", "a path", "abstract", "an @"])
    async def test_are_as_the_loop_makes_them(
        self, form: str, tmp_path: Path, monkeypatch: Any, anyio_backend: Any
    ) -> None:
        if form == "abstract" and anyio_backend[1].get("use_uvloop"):
            pytest.skip("uvloop takes no abstract names")
        loop = asyncio.get_running_loop()
        monkeypatch.chdir(tmp_path)
        path = tmp_path / "s"
        forms: dict[str, Any] = {
            "text": str(path),
            "bytes": bytes(path),
            "a path": path,
            "abstract": f"\0{path}",
            "an @": "@file",
        }
        asked = forms[form]
        routes = Routes()
        with unix_listening(asked):
            own = await outcome(loop.create_unix_connection, Told, asked)
            with routed(routes.dialer):
                found = await outcome(loop.create_unix_connection, Told, asked)
                reader, writer = await asyncio.open_unix_connection(asked)
                await over(writer.transport)
                del reader
        assert "error" not in own, own
        found["peer"] = str(found["peer"]).removeprefix("./")
        assert found == {**own, "peer": str(own["peer"])}
        assert len(routes.reports) == 2

    async def test_a_socket_that_is_handed_in(self) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs, routed(Dialer(permit=public_only())):
            transport, _ = await loop.create_unix_connection(Told, sock=ours)
            await over(transport)

    async def test_errors(self, tmp_path: Path) -> None:
        loop = asyncio.get_running_loop()
        path = str(tmp_path / "s")
        with routed(PLAIN):
            with pytest.raises(FileNotFoundError) as caught:
                await loop.create_unix_connection(Told, path)
            assert caught.value.errno == errno.ENOENT
            with pytest.raises(ValueError, match="server_hostname"):
                await loop.create_unix_connection(Told, path, ssl=True)
            with pytest.raises(ValueError, match="path"):
                await loop.create_unix_connection(Told)
        with routed(Dialer(permit=public_only())), pytest.raises(AddressNotPermitted):
            await loop.create_unix_connection(Told, path)


DATAGRAMS: dict[str, Any] = {
    "a host and a port": {},
    "by name": {"host": "localhost", "family": socket.AF_INET},
    "no host": {"host": None, "family": socket.AF_INET},
    "from an address": {"local_addr": ("127.0.0.7", 0)},
    "flags": {"flags": socket.AI_NUMERICHOST},
    "the port by others too": {"reuse_port": True},
    "UDP": {"proto": socket.IPPROTO_UDP},
    "to everybody": {"allow_broadcast": True},
}


class TestDatagrams:
    pytestmark = on_each_loop

    @pytest.mark.parametrize("options", DATAGRAMS.values(), ids=DATAGRAMS)
    async def test_are_as_the_loop_makes_them(
        self, options: dict[str, Any], anyio_backend: Any
    ) -> None:
        named = dict(options)
        if named.get("flags") and anyio_backend[1].get("use_uvloop"):
            pytest.skip("uvloop takes no flags here")
        loop = asyncio.get_running_loop()
        routes = Routes()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((LOOPBACK, 0))
            host = named.pop("host", LOOPBACK)
            remote = (host, peer.getsockname()[1])
            own = await outcome(loop.create_datagram_endpoint, Told, remote_addr=remote, **named)
            with routed(routes.dialer):
                found = await outcome(
                    loop.create_datagram_endpoint, Told, remote_addr=remote, **named
                )
        assert "error" not in own, own
        assert found == own
        assert len(routes.reports) == (0 if named.get("allow_broadcast") else 1)

    async def test_there_and_back(self) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer, routed(PLAIN):
            peer.bind((LOOPBACK, 0))
            address = peer.getsockname()
            transport, protocol = await loop.create_datagram_endpoint(
                Told, remote_addr=address, reuse_address=False
            )
            transport.sendto(b"hello")
            assert await received(peer) == b"hello"
            peer.sendto(b"yourself", transport.get_extra_info("sockname"))
            await protocol.received.wait()
            assert protocol.told == ["made", "datagram b'yourself'"]
            await over(transport)

    async def test_without_a_peer_it_is_the_loops(self) -> None:
        loop = asyncio.get_running_loop()
        routes = Routes()
        with routed(routes.dialer):
            transport, _ = await loop.create_datagram_endpoint(Told, (LOOPBACK, 0))
            await over(transport)
        assert not routes.reports

    async def test_unix(self, tmp_path: Path, anyio_backend: Any) -> None:
        loop = asyncio.get_running_loop()
        if anyio_backend[1].get("use_uvloop"):
            pytest.skip("uvloop has no unix datagrams")
        theirs = str(tmp_path / "theirs")
        ours = f"\0{theirs}"
        routes = Routes()
        with unix_listening(theirs, socket.SOCK_DGRAM) as peer, routed(routes.dialer):
            for local in (None, ours):  # the loop removes a path that is in the way
                transport, _ = await loop.create_datagram_endpoint(
                    Told, local, theirs, family=socket.AF_UNIX
                )
                transport.sendto(b"hello")
                assert await received(peer) == b"hello"
                await over(transport)
        assert len(routes.reports) == 1

    @pytest.mark.parametrize(
        ("options", "kind"),
        [
            ({"remote_addr": "127.0.0.1:1"}, TypeError),
            ({"remote_addr": (LOOPBACK, 1, 2)}, TypeError),
            ({"remote_addr": (LOOPBACK, 1), "reuse_address": True}, (TypeError, ValueError)),
            ({"remote_addr": (LOOPBACK, 1), "broadcast": True}, TypeError),
            ({"remote_addr": (LOOPBACK, 1), "local_addr": ("::1", 0)}, ValueError),
        ],
    )
    async def test_nonsense(self, options: dict[str, Any], kind: Any) -> None:
        with routed(PLAIN), pytest.raises(kind):
            await asyncio.get_running_loop().create_datagram_endpoint(Told, **options)


class TestThePolicy:
    pytestmark = on_each_loop

    async def test_every_way_is_asked(self, tmp_path: Path, anyio_backend: Any) -> None:
        loop = asyncio.get_running_loop()
        with listening() as listener, routed(Dialer(resolver=HERE, permit=public_only())):
            address = host, port = listener.getsockname()
            ways: list[Any] = [
                lambda: loop.create_connection(Told, host, port),
                lambda: loop.create_connection(Told, NAME, port),
                lambda: loop.create_connection(Told, "127.1", port),
                lambda: loop.create_connection(Told, None, port),
                lambda: loop.create_connection(Told, host, port, flags=socket.AI_PASSIVE),
                lambda: loop.create_unix_connection(Told, str(tmp_path / "s")),
                lambda: loop.create_datagram_endpoint(Told, remote_addr=address),
                lambda: loop.create_datagram_endpoint(
                    Told, remote_addr=address, allow_broadcast=True
                ),
                lambda: loop.create_datagram_endpoint(
                    Told, remote_addr=("localhost", 1), allow_broadcast=True
                ),
                lambda: loop.create_datagram_endpoint(
                    Told, str(tmp_path / "o"), str(tmp_path / "s"), family=socket.AF_UNIX
                ),
            ]
            for number, way in enumerate(ways):
                kind = socket.gaierror if number == 2 else AddressNotPermitted  # or no name
                with pytest.raises(kind):
                    await way()

    @pytest.mark.parametrize("address", [LOOPBACK, "localhost", "127.1", b"127.0.0.1"])
    async def test_of_sockets_that_others_made(self, address: Any) -> None:
        loop = asyncio.get_running_loop()
        asked: list[Any] = []

        def note(endpoint: Endpoint) -> bool:
            asked.append(endpoint)
            return len(asked) == 1

        with listening() as listener, routed(Dialer(permit=note)):
            port = listener.getsockname()[1]
            for number in range(2):
                with socket.socket() as sock:
                    sock.setblocking(False)
                    if number:
                        with pytest.raises(AddressNotPermitted, match=f"127.0.0.1:{port}"):
                            await loop.sock_connect(sock, (address, port))
                    else:
                        await loop.sock_connect(sock, (address, port))
                        assert sock.getpeername() == (LOOPBACK, port)
        assert [endpoint.sockaddr for endpoint in asked] == [(LOOPBACK, port)] * 2
        assert asked[0].family == socket.AF_INET

    async def test_of_datagrams_on_sockets_that_others_made(self, anyio_backend: Any) -> None:
        if anyio_backend[1].get("use_uvloop"):
            pytest.skip("uvloop has no sock_sendto()")
        loop = asyncio.get_running_loop()
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        ):
            peer.bind((LOOPBACK, 0))
            sock.setblocking(False)
            with routed(Dialer(permit=allow(LOOPBACK))):
                assert await loop.sock_sendto(sock, b"hello", peer.getsockname()) == 5
                with pytest.raises(AddressNotPermitted):
                    await loop.sock_sendto(sock, b"hello", ("127.0.0.2", 1))
            with routed(PLAIN):
                assert await loop.sock_sendto(sock, b"you", peer.getsockname()) == 3
            assert [peer.recv(10), peer.recv(10)] == [b"hello", b"you"]

    async def test_of_unix_sockets_that_others_made(self, tmp_path: Path) -> None:
        loop = asyncio.get_running_loop()
        path = str(tmp_path / "s")
        with unix_listening(path), socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            with routed(Dialer(permit=public_only())), pytest.raises(AddressNotPermitted):
                await loop.sock_connect(sock, path)
            with routed(PLAIN):
                await loop.sock_connect(sock, path)
            assert sock.getpeername() == path

    async def test_one_that_fails_permits_nothing(self) -> None:
        def broken(endpoint: Endpoint) -> bool:
            raise LookupError("no list")

        with socket.socket() as sock, routed(Dialer(permit=broken)):
            sock.setblocking(False)
            with pytest.raises(AddressNotPermitted, match="LookupError: no list"):
                await asyncio.get_running_loop().sock_connect(sock, (LOOPBACK, 1))

    async def test_the_error_can_be_pickled(self) -> None:
        with socket.socket() as sock, routed(Dialer(permit=public_only())):
            sock.setblocking(False)
            with pytest.raises(AddressNotPermitted) as caught:
                await asyncio.get_running_loop().sock_connect(sock, (LOOPBACK, 1))
        assert pickle.loads(pickle.dumps(caught.value)).address == (LOOPBACK, 1)

    async def test_broadcast_that_it_permits(self, anyio_backend: Any) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((LOOPBACK, 0))
            with routed(Dialer(permit=allow(LOOPBACK))):
                transport, _ = await loop.create_datagram_endpoint(
                    Told, remote_addr=peer.getsockname(), allow_broadcast=True
                )
            transport.sendto(b"hello")
            assert await received(peer) == b"hello"
            await over(transport)


class TestTheBlock:
    pytestmark = on_each_loop

    async def test_puts_back_what_was_there(self) -> None:
        loop = asyncio.get_running_loop()
        own = [getattr(loop, name) for name in METHODS]
        attributes = set(vars(loop))
        for error in (None, KeyError, asyncio.CancelledError, KeyboardInterrupt):
            with contextlib.suppress(BaseException), routed(PLAIN):
                assert [getattr(loop, name) for name in METHODS] != own
                if error is not None:
                    raise error
            assert [getattr(loop, name) for name in METHODS] == own
            assert set(vars(loop)) == attributes

    async def test_puts_back_what_others_had_put_there(self) -> None:
        loop: Any = asyncio.get_running_loop()
        loop.sock_connect = theirs = lambda *_: None
        with routed(PLAIN):
            assert loop.sock_connect != theirs
        assert loop.sock_connect is theirs
        del loop.sock_connect

    async def test_leaves_what_others_have_put_there_since(self) -> None:
        loop: Any = asyncio.get_running_loop()
        with routed(PLAIN):
            loop.sock_connect = theirs = lambda *_: None
        assert loop.sock_connect is theirs
        del loop.sock_connect

    async def test_what_was_taken_in_it_is_the_loops_own_later(
        self, listener: socket.socket
    ) -> None:
        loop = asyncio.get_running_loop()
        routes = Routes()
        with routed(routes.dialer):
            taken = {name: getattr(loop, name) for name in METHODS}
        transport, _ = await taken["create_connection"](Told, *listener.getsockname())
        await over(transport)
        with pytest.raises(FileNotFoundError):
            await taken["create_unix_connection"](Told, "/nonexistent/s")
        transport, _ = await taken["create_datagram_endpoint"](
            Told, remote_addr=listener.getsockname()
        )
        await over(transport)
        assert not routes.reports

    async def test_nested_the_inner_one_counts(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        outer, inner = Routes(), Routes()

        async def connect() -> tuple[int, int]:
            transport, _ = await loop.create_connection(Told, *listener.getsockname())
            await over(transport)
            return len(outer.reports), len(inner.reports)

        with routed(outer.dialer):
            with routed(inner.dialer):
                assert await connect() == (0, 1)
            assert await connect() == (1, 1)
        assert await connect() == (1, 1)

    async def test_left_in_another_order(self, listener: socket.socket) -> None:
        """By tasks that overlap: each takes away its own."""
        loop = asyncio.get_running_loop()
        first, second = Routes(), Routes()
        own = loop.create_connection
        one, other = routed(first.dialer), routed(second.dialer)
        one.__enter__()
        other.__enter__()
        one.__exit__(None, None, None)
        transport, _ = await loop.create_connection(Told, *listener.getsockname())
        await over(transport)
        assert (len(first.reports), len(second.reports)) == (0, 1)
        other.__exit__(None, None, None)
        assert loop.create_connection == own

    async def test_the_same_dialer_twice(self) -> None:
        loop = asyncio.get_running_loop()
        own = loop.create_connection
        with routed(PLAIN), routed(PLAIN):
            pass
        assert loop.create_connection == own

    async def test_a_dial_that_is_under_way_goes_on(self) -> None:
        routes = Routes(resolver=StaticResolver({NAME: [LOOPBACK, "127.0.0.2"]}))
        port = free_port()
        with silent(port=port), listening("127.0.0.2", port):
            with routed(routes.dialer):
                task = asyncio.ensure_future(asyncio.open_connection(NAME, port))
                await asyncio.sleep(0)
                assert not task.done()
            _, writer = await task
            await over(writer.transport)
        assert len(routes.reports[0].attempts) == 2

    async def test_other_tasks_are_routed_as_well(self, listener: socket.socket) -> None:
        routes = Routes()
        may = asyncio.Event()

        async def somebody() -> None:
            await may.wait()
            _, writer = await asyncio.open_connection(*listener.getsockname())
            await over(writer.transport)

        task = asyncio.ensure_future(somebody())
        with routed(routes.dialer):
            may.set()
            await task
        assert len(routes.reports) == 1


class TestLoops:
    def test_two_in_two_threads_do_not_see_each_other(self) -> None:
        routes = {"asyncio": Routes(), "uvloop": Routes()}
        barrier = threading.Barrier(2, timeout=30)

        async def main(name: str, address: Any) -> None:
            with routed(routes[name].dialer):
                await asyncio.to_thread(barrier.wait)
                _, writer = await asyncio.open_connection(*address)
                await over(writer.transport)
                await asyncio.to_thread(barrier.wait)

        with listening() as listener:
            address = listener.getsockname()
            thread = threading.Thread(target=lambda: uvloop.run(main("uvloop", address)))
            thread.start()
            asyncio.run(main("asyncio", address))
            thread.join()
        assert [len(each.reports) for each in routes.values()] == [1, 1]

    @pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
    def test_one_that_does_not_run_yet(self, new_loop: Any) -> None:
        loop = new_loop()
        routes = Routes()
        with listening() as listener, routed(routes.dialer, loop):
            making = loop.create_connection(asyncio.Protocol, *listener.getsockname())
            transport, _ = loop.run_until_complete(making)
            loop.run_until_complete(over(transport))
        loop.close()
        assert len(routes.reports) == 1

    def test_one_without_add_writer(self) -> None:
        loop = NoWriterLoop()
        routes = Routes()
        with refusing() as address, routed(routes.dialer, loop):
            making = loop.create_connection(asyncio.Protocol, *address)
            with pytest.raises(ConnectionRefusedError):
                loop.run_until_complete(making)
        loop.close()
        assert len(routes.reports) == 1

    def test_one_that_is_closed(self) -> None:
        loop = asyncio.new_event_loop()
        with routed(PLAIN, loop):
            loop.close()
        assert "create_connection" not in vars(loop)

    @pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
    def test_one_that_nobody_has_any_more(self, new_loop: Any) -> None:
        loop = new_loop()
        with routed(PLAIN, loop):
            pass
        route = routed(PLAIN, loop)
        route.__enter__()
        loop.close()
        gone = weakref.ref(loop)
        del loop, route
        gc.collect()
        assert gone() is None

    def test_one_that_lets_nothing_be_replaced(self) -> None:
        class Frozen(asyncio.SelectorEventLoop):
            frozen = False

            def __setattr__(self, name: str, value: object) -> None:
                if self.frozen and name == "create_datagram_endpoint":
                    raise AttributeError(f"{name} is read-only")
                super().__setattr__(name, value)

        loop = Frozen()
        loop.frozen = True
        with pytest.raises(RuntimeError, match="does not let it: create_datagram_endpoint is"):
            routed(PLAIN, loop).__enter__()
        assert not set(METHODS) & set(vars(loop))
        loop.close()

    def test_one_that_goes_on_as_if_nothing_were(self) -> None:
        class Deaf(asyncio.SelectorEventLoop):
            def __getattribute__(self, name: str) -> Any:
                if name == "create_connection":
                    return asyncio.SelectorEventLoop.create_connection.__get__(self)
                return super().__getattribute__(name)

        loop = Deaf()
        with pytest.raises(RuntimeError, match="create_connection is what it was"):
            routed(PLAIN, loop).__enter__()
        assert not set(METHODS) & set(vars(loop))
        loop.close()


class TestNonsense:
    def test_no_dialer(self) -> None:
        with pytest.raises(TypeError, match="dialer must be a Dialer, not 'mine'"):
            routed("mine")  # type: ignore[arg-type]

    def test_no_loop(self) -> None:
        with pytest.raises(TypeError, match="loop must be an event loop of asyncio or uvloop"):
            routed(PLAIN, trio)  # type: ignore[arg-type]
        with pytest.raises(RuntimeError, match="none is running here"):
            routed(PLAIN)

    def test_on_trio(self) -> None:
        async def main() -> None:
            with pytest.raises(RuntimeError, match=r"set_custom_hostname_resolver\(\) has your"):
                routed(PLAIN)

        trio.run(main)

    def test_it_is_a_name_of_the_package(self) -> None:
        assert "routed" in aconnect.__all__
        assert aconnect.routed is routed


@pytest.mark.slow
@pytest.mark.parametrize("new_loop", NEW_LOOPS)
@pytest.mark.parametrize("kind", ["a name", "silent", "unix", "from a name", "datagrams"])
def test_cancelled_at_every_step(
    new_loop: Any, kind: str, monkeypatch: Any, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        scene = Scenario(stack, monkeypatch, tmp_path)
        listener = stack.enter_context(listening())
        port = listener.getsockname()[1]
        stack.enter_context(unix_listening(scene.path, backlog=400))
        dead = stack.enter_context(silent()) if kind == "silent" else None
        dialer = Dialer(resolver=HERE, attempt_timeout=0.05)

        async def start() -> Any:
            loop = asyncio.get_running_loop()
            with routed(dialer):
                if kind == "a name":
                    making = loop.create_connection(asyncio.Protocol, NAME, port)
                elif kind == "silent":
                    assert dead is not None
                    with contextlib.suppress(ConnectError):
                        await loop.create_connection(asyncio.Protocol, *dead)
                    return None
                elif kind == "unix":
                    making = loop.create_unix_connection(asyncio.Protocol, scene.path)
                elif kind == "from a name":
                    making = loop.create_connection(
                        asyncio.Protocol, NAME, port, local_addr=(LOOPBACK, 0)
                    )
                else:
                    making = loop.create_datagram_endpoint(
                        asyncio.DatagramProtocol, remote_addr=(NAME, port)
                    )
                transport, _ = await making
            return loop, transport

        scene.start = start
        scene.close = lambda won: won[0].run_until_complete(over(won[1]))
        cancel_at_every_step(for_transports(new_loop), scene)
