"""httpcore, with connections of a dialer's, against a real nginx."""

from __future__ import annotations

import importlib
import select
import socket
import ssl
import struct
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio
import httpcore
import pytest
from support.canaries import Canaries
from support.clients import dead_addresses_first, for_transports
from support.listeners import listening, refusing, silent, unix_listening
from support.nginx import NAME, NOT_TLS, Nginx, nginx
from support.scenarios import ASYNCIO_LOOPS as NEW_LOOPS
from support.scenarios import Scenario, cancel_at_every_step, cancel_at_every_step_of_trio

import aconnect
from aconnect import (
    AddressNotPermitted,
    Dialer,
    HandshakeError,
    Report,
    SocketOption,
    StaticResolver,
)
from aconnect.clients.httpcore import AConnectBackend
from aconnect.policy import public_only

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.server]

LIMIT = 30.0
"""Seconds; more than any of this takes."""
HERE = StaticResolver({NAME: ["127.0.0.1"]})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx")) as running:
        yield running


async def connected(listener: socket.socket) -> tuple[httpcore.AsyncNetworkStream, socket.socket]:
    """A stream, and the other end of it."""
    stream = await AConnectBackend().connect_tcp(*listener.getsockname()[:2], timeout=LIMIT)
    return stream, listener.accept()[0]


def pool(dialer: Dialer, **options: Any) -> httpcore.AsyncConnectionPool:
    return httpcore.AsyncConnectionPool(network_backend=AConnectBackend(dialer=dialer), **options)


async def test_the_zone_of_a_url() -> None:
    name = socket.if_nameindex()[0][1]
    with listening("::1") as listener:
        for host in (f"::1%{name}", f"::1%25{name}"):
            stream = await AConnectBackend().connect_tcp(host, listener.getsockname()[1])
            listener.accept()[0].close()
            await stream.aclose()


# The pool


async def test_requests_share_a_connection(server: Nginx) -> None:
    reports: list[Report] = []
    async with pool(Dialer(on_report=reports.append)) as http:
        url = f"http://127.0.0.1:{server.port}/connection"
        first = (await http.request("GET", url)).content.split()
        second = (await http.request("GET", url)).content.split()
    assert first[0] == second[0]
    assert int(second[1]) == int(first[1]) + 1
    assert [report.outcome for report in reports] == ["connected"]


async def test_a_connection_that_the_server_has_ended_is_not_used_again() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with listening() as listener:
        listener.settimeout(LIMIT)
        url = "http://{}:{}/".format(*listener.getsockname())
        async with pool(Dialer()) as http, anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(http.request, "GET", url)
                await anyio.wait_all_tasks_blocked()
                with listener.accept()[0] as accepted:
                    accepted.sendall(answer)
                    await anyio.wait_all_tasks_blocked()


async def test_the_addresses_of_a_name_race(server: Nginx) -> None:
    reports: list[Report] = []
    with dead_addresses_first(NAME, server.port) as resolver:
        dialer = Dialer(resolver=resolver, attempt_delay=0.01, on_report=reports.append)
        async with pool(dialer) as http:
            response = await http.request("GET", f"http://{NAME}:{server.port}/")
    assert response.content == b"hello"
    [report] = reports
    assert [attempt.won for attempt in report.attempts] == [False, False, True]


async def test_a_policy_counts(server: Nginx) -> None:
    dialer = Dialer(permit=public_only(), resolver=HERE)
    async with pool(dialer) as http:
        with pytest.raises(httpcore.ConnectError) as caught:
            await http.request("GET", f"http://{NAME}:{server.port}/")
    # A pool takes the cause from an error, but leaves the argument.
    assert isinstance(caught.value.args[0], AddressNotPermitted)


async def test_it_speaks_tls(server: Nginx) -> None:
    async with pool(Dialer(resolver=HERE), ssl_context=server.context()) as http:
        response = await http.request("GET", f"https://{NAME}:{server.tls_port}/name")
    assert response.content == NAME.encode()


async def test_it_tries_again(server: Nginx) -> None:
    reports: list[Report] = []
    with refusing() as (host, port):
        async with pool(Dialer(on_report=reports.append), retries=1) as http:
            with pytest.raises(httpcore.ConnectError):
                await http.request("GET", f"http://{host}:{port}/")
    assert [report.outcome for report in reports] == ["failed", "failed"]


async def test_it_waits_for_as_long_as_it_is_told() -> None:
    with anyio.move_on_after(0.01) as scope:
        await AConnectBackend().sleep(LIMIT)
    assert scope.cancelled_caught


async def test_it_connects_to_a_proxy(server: Nginx) -> None:
    reports: list[Report] = []
    dialer = Dialer(resolver=HERE, on_report=reports.append)
    async with httpcore.AsyncHTTPProxy(
        f"http://{NAME}:{server.port}", network_backend=AConnectBackend(dialer=dialer)
    ) as http:
        response = await http.request("GET", "http://elsewhere.example/")
    assert response.content == b"hello"
    assert [report.address for report in reports] == [f"{NAME}:{server.port}"]


# Connecting


async def test_a_failure_has_ours_as_its_cause() -> None:
    with refusing() as (host, port), pytest.raises(httpcore.ConnectError) as caught:
        await AConnectBackend().connect_tcp(host, port, timeout=LIMIT)
    cause = caught.value.__cause__
    assert isinstance(cause, aconnect.ConnectError)
    assert isinstance(cause, ConnectionRefusedError)
    assert caught.value.args == (cause,)
    assert "nobody listens there" in str(caught.value)
    assert cause.transient
    assert cause.report is not None
    assert cause.report.outcome == "failed"


async def test_the_timeout_is_a_deadline() -> None:
    with silent() as (host, port), pytest.raises(httpcore.ConnectTimeout) as caught:
        await AConnectBackend().connect_tcp(host, port, timeout=0.05)
    cause = caught.value.__cause__
    assert isinstance(cause, aconnect.ConnectTimeout)
    assert cause.report is not None
    assert cause.report.outcome == "timed out"


async def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(httpcore.ConnectError) as caught:
        await AConnectBackend().connect_unix_socket(str(tmp_path / "nothing"))
    assert isinstance(caught.value.__cause__, FileNotFoundError)


async def test_a_host_that_cannot_be_one_is_no_connection() -> None:
    with pytest.raises(httpcore.ConnectError, match="part that is empty") as caught:
        await AConnectBackend().connect_tcp("a..b", 80)
    assert isinstance(caught.value.__cause__, ValueError)


async def test_the_local_address_is_bound_to() -> None:
    backend = AConnectBackend(dialer=Dialer(local_address="127.0.0.9"))
    with listening() as listener:
        for asked, bound in ((None, "127.0.0.9"), ("127.0.0.8", "127.0.0.8")):
            host, port = listener.getsockname()
            stream = await backend.connect_tcp(host, port, LIMIT, asked)
            assert stream.get_extra_info("client_addr")[0] == bound
            await stream.aclose()


async def test_options_of_sockets_are_set_beside_those_of_the_dialer(tmp_path: Path) -> None:
    own = SocketOption(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    backend = AConnectBackend(dialer=Dialer(socket_options=[own]))
    linger = struct.pack("ii", 1, 7)
    options = [
        (socket.SOL_SOCKET, socket.SO_PRIORITY, 3),
        (socket.SOL_SOCKET, socket.SO_LINGER, bytearray(linger)),
    ]
    path = str(tmp_path / "s")
    with listening() as listener, unix_listening(path):
        for stream in (
            await backend.connect_tcp(*listener.getsockname(), socket_options=options),
            await backend.connect_unix_socket(path, socket_options=iter(options)),
        ):
            sock = stream.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 3
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == linger
            await stream.aclose()


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"socket_options": [(1, 2, None, 4)]}, TypeError, r"socket_options .*\(1, 2, None, 4\)"),
        ({"socket_options": [(1, 2, "x")]}, TypeError, "str"),
        ({"socket_options": [(-1, 2, 3)]}, ValueError, "level"),
        ({"local_address": "localhost"}, ValueError, "local_address .*'localhost'"),
        ({"timeout": -1}, ValueError, "timeout .*-1"),
    ],
    ids=["no value", "text", "negative", "name", "timeout"],
)
async def test_nonsense_is_refused(wrong: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        await AConnectBackend().connect_tcp("127.0.0.1", 1, **wrong)


def test_a_dialer_must_be_one() -> None:
    with pytest.raises(TypeError, match="dialer must be a Dialer or None, not 5"):
        AConnectBackend(dialer=5)  # type: ignore[arg-type]  # on purpose


async def test_a_dial_that_is_cancelled_leaves_nothing() -> None:
    reports: list[Report] = []
    backend = AConnectBackend(dialer=Dialer(on_report=reports.append))
    with silent() as (host, port):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(backend.connect_tcp, host, port)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert [report.outcome for report in reports] == ["cancelled"]


@pytest.mark.parametrize("missing", ["anyio", "httpcore"])
def test_it_says_what_is_missing(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "aconnect.clients.httpcore")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        ImportError, match=r"is not installed: install it, or the extra 'httpx' of aconnect-io"
    ):
        importlib.import_module("aconnect.clients.httpcore")


# A stream


async def test_a_stream_reads_and_writes() -> None:
    with listening() as listener:
        stream, peer = await connected(listener)
        with peer:
            await stream.write(b"", LIMIT)
            await stream.write(b"hello", LIMIT)
            assert peer.recv(100) == b"hello"
            peer.sendall(b"hello yourself")
            assert await stream.read(5, LIMIT) == b"hello"
            assert await stream.read(100, LIMIT) == b" yourself"
        assert await stream.read(100, LIMIT) == b""
        await stream.aclose()


async def test_it_does_not_wait_for_ever() -> None:
    with listening() as listener:
        stream, peer = await connected(listener)
        with peer:
            with pytest.raises(httpcore.ReadTimeout, match=r"longer than 0\.01 seconds"):
                await stream.read(100, 0.01)
            with pytest.raises(httpcore.WriteTimeout, match=r"longer than 0\.01 seconds"):
                await stream.write(bytes(2**26), 0.01)
            await stream.aclose()


async def test_a_connection_that_is_broken_says_why() -> None:
    with listening() as listener:
        stream, peer = await connected(listener)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()  # with a reset
        with pytest.raises(httpcore.ReadError, match=r"[Cc]onnection reset by peer"):
            await stream.read(100, LIMIT)
        await stream.aclose()


async def test_a_stream_that_is_closed() -> None:
    with listening() as listener:
        stream, peer = await connected(listener)
        peer.close()
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(httpcore.ReadError, match="ClosedResourceError"):
            await stream.read(100, LIMIT)
        with pytest.raises(httpcore.WriteError, match="ClosedResourceError"):
            await stream.write(b"x", LIMIT)
        await stream.write(b"", LIMIT)
        assert stream.get_extra_info("is_readable") is True
        assert stream.get_extra_info("server_addr") == listener.getsockname()


async def test_what_is_known_of_a_stream() -> None:
    with listening() as listener:
        stream, peer = await connected(listener)
        with peer:
            assert stream.get_extra_info("client_addr") == peer.getpeername()
            assert stream.get_extra_info("server_addr") == peer.getsockname()
            assert stream.get_extra_info("socket").getpeername() == peer.getsockname()
            assert stream.get_extra_info("ssl_object") is None
            assert stream.get_extra_info("the weather") is None
            assert stream.get_extra_info("is_readable") is False
            peer.sendall(b"x")
            select.select([stream.get_extra_info("socket")], [], [], LIMIT)
            assert stream.get_extra_info("is_readable") is True
        await stream.aclose()


async def test_closing_is_not_cut_short() -> None:
    with listening() as listener:
        stream, peer = await connected(listener)
        closed = False
        with peer, anyio.CancelScope() as scope:
            scope.cancel()
            await stream.aclose()
            closed = stream.get_extra_info("socket").fileno() < 0
            await anyio.lowlevel.checkpoint()
        assert closed
        assert scope.cancelled_caught


# TLS


async def test_a_stream_gets_tls(server: Nginx) -> None:
    plain = await AConnectBackend().connect_tcp("127.0.0.1", server.tls_port, timeout=LIMIT)
    stream = await plain.start_tls(server.context(), f"{NAME}.", LIMIT)
    assert stream.get_extra_info("ssl_object").version().startswith("TLS")
    assert stream.get_extra_info("server_addr") == ("127.0.0.1", server.tls_port)
    await stream.write(b"", LIMIT)
    await stream.write(b"GET / HTTP/1.0\r\n\r\n", LIMIT)
    answer = b""
    while part := await stream.read(100, LIMIT):
        answer += part
    assert answer.endswith(b"\r\n\r\nhello")
    await stream.aclose()


@pytest.mark.parametrize(
    ("address", "name", "trusted", "says"),
    [
        ("127.0.0.1", "wrong.example", True, "is for another host, not for wrong.example$"),
        ("127.0.0.1", "wrong.example.", True, "is for another host, not for wrong.example$"),
        ("127.0.0.1", NAME, False, "issuer"),
        (NOT_TLS, NAME, True, "the peer does not speak TLS here"),
    ],
    ids=["another host", "with a dot", "unknown issuer", "no TLS"],
)
async def test_tls_that_fails_says_why(
    server: Nginx, address: str, name: str, trusted: bool, says: str
) -> None:
    stream = await AConnectBackend().connect_tcp(address, server.tls_port, timeout=LIMIT)
    context = server.context() if trusted else ssl.create_default_context()
    with pytest.raises(httpcore.ConnectError, match=says) as caught:
        await stream.start_tls(context, name, LIMIT)
    cause = caught.value.__cause__
    assert isinstance(cause, HandshakeError)
    assert isinstance(cause.__cause__, ssl.SSLError)
    assert cause.phase == "handshake"
    assert str(cause.address) == f"{address}:{server.tls_port}"
    assert [(each.outcome, each.peer) for each in cause.attempts] == [
        ("failed", f"{address}:{server.tls_port}")
    ]
    assert not cause.transient
    assert stream.get_extra_info("socket").fileno() < 0


async def test_tls_has_a_time_limit() -> None:
    with listening() as listener:
        stream, peer = await connected(listener)
        with peer:
            with pytest.raises(httpcore.ConnectTimeout, match="handshake was not done") as caught:
                await stream.start_tls(ssl.create_default_context(), NAME, 0.05)
            cause = caught.value.__cause__
            assert isinstance(cause, aconnect.ConnectTimeout)
            assert cause.phase == "handshake"
            assert cause.transient
            assert stream.get_extra_info("socket").fileno() < 0


async def test_a_peer_that_hangs_up_in_the_middle_of_tls() -> None:
    with listening() as listener:
        stream, peer = await connected(listener)
        peer.close()
        with pytest.raises(httpcore.ConnectError, match="the peer has hung up in the middle"):
            await stream.start_tls(ssl.create_default_context(), NAME, LIMIT)
        assert stream.get_extra_info("socket").fileno() < 0


async def test_a_name_that_is_none_is_refused() -> None:
    with listening() as listener:
        stream, peer = await connected(listener)
        with peer, pytest.raises(ValueError, match=r"server_hostname .*''"):
            await stream.start_tls(ssl.create_default_context(), "", LIMIT)
        assert stream.get_extra_info("socket").fileno() < 0


async def test_tls_that_is_cancelled_leaves_nothing() -> None:
    with listening() as listener:
        stream, peer = await connected(listener)
        with peer:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stream.start_tls, ssl.create_default_context(), NAME)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            assert stream.get_extra_info("socket").fileno() < 0


class TestCancelledAtEveryStep:
    def scene(self, server: Nginx, *setup: Any) -> Scenario:
        backend = AConnectBackend(dialer=Dialer(resolver=HERE))
        context = server.context()

        async def start() -> None:
            plain = await backend.connect_tcp(NAME, server.tls_port)
            stream = await plain.start_tls(context, NAME)
            try:
                await stream.write(b"GET / HTTP/1.0\r\n\r\n")
                while await stream.read(100):
                    pass
            finally:
                await stream.aclose()

        scene = Scenario(*setup)
        scene.start = start
        return scene

    @pytest.mark.parametrize("new_loop", NEW_LOOPS)
    def test_on_asyncio(
        self, server: Nginx, new_loop: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with ExitStack() as stack, Canaries():
            scene = self.scene(server, stack, monkeypatch, tmp_path)
            cancel_at_every_step(for_transports(new_loop), scene)

    def test_on_trio(self, server: Nginx, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        with ExitStack() as stack:
            cancel_at_every_step_of_trio(self.scene(server, stack, monkeypatch, tmp_path))
