"""httpcore and httpcore2, with connections of a dialer's, against a real nginx."""

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
import pytest
from support.canaries import Canaries
from support.clients import SILENT, accepting, dead_addresses_first, for_transports
from support.listeners import listening, refusing, silent, unix_listening
from support.nginx import NAME, NOT_TLS, Nginx, nginx
from support.packages import CORES, Core, core_of
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
from aconnect.policy import public_only

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.server]

LIMIT = 30.0
"""Seconds; more than any of this takes."""
HERE = StaticResolver({NAME: ["127.0.0.1"]})


@pytest.fixture(params=CORES)
def lib(request: pytest.FixtureRequest) -> Core:
    return core_of(request.param)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx")) as running:
        yield running


async def connected(lib: Core, listener: socket.socket) -> tuple[Any, socket.socket]:
    """A stream, and the other end of it."""
    stream = await lib.AConnectBackend().connect_tcp(*listener.getsockname()[:2], timeout=LIMIT)
    return stream, listener.accept()[0]


def pool(lib: Core, dialer: Dialer, **options: Any) -> Any:
    return lib.AConnectPool(dialer=dialer, **options)


async def test_the_zone_of_a_url(lib: Core) -> None:
    name = socket.if_nameindex()[0][1]
    with listening("::1") as listener:
        for host in (f"::1%{name}", f"::1%25{name}"):
            stream = await lib.AConnectBackend().connect_tcp(host, listener.getsockname()[1])
            listener.accept()[0].close()
            await stream.aclose()


# The pool


async def test_requests_share_a_connection(lib: Core, server: Nginx) -> None:
    reports: list[Report] = []
    async with pool(lib, Dialer(on_report=reports.append)) as http:
        url = f"http://127.0.0.1:{server.port}/connection"
        first = (await http.request("GET", url)).content.split()
        second = (await http.request("GET", url)).content.split()
    assert first[0] == second[0]
    assert int(second[1]) == int(first[1]) + 1
    assert [report.outcome for report in reports] == ["connected"]


async def test_a_connection_that_the_server_has_ended_is_not_used_again(lib: Core) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with listening() as listener:
        listener.settimeout(LIMIT)
        url = "http://{}:{}/".format(*listener.getsockname())
        async with pool(lib, Dialer()) as http, anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(http.request, "GET", url)
                await anyio.wait_all_tasks_blocked()
                with listener.accept()[0] as accepted:
                    accepted.sendall(answer)
                    await anyio.wait_all_tasks_blocked()


async def test_the_addresses_of_a_name_race(lib: Core, server: Nginx) -> None:
    reports: list[Report] = []
    with dead_addresses_first(NAME, server.port) as resolver:
        dialer = Dialer(resolver=resolver, attempt_delay=0.01, on_report=reports.append)
        async with pool(lib, dialer) as http:
            response = await http.request("GET", f"http://{NAME}:{server.port}/")
    assert response.content == b"hello"
    [report] = reports
    assert [attempt.won for attempt in report.attempts] == [False, False, True]


async def test_a_policy_counts(lib: Core, server: Nginx) -> None:
    dialer = Dialer(permit=public_only(), resolver=HERE)
    async with pool(lib, dialer) as http:
        with pytest.raises(lib.core.ConnectError) as caught:
            await http.request("GET", f"http://{NAME}:{server.port}/")
    # A pool takes the cause from an error, but leaves the argument.
    assert isinstance(caught.value.args[0], AddressNotPermitted)


async def test_it_speaks_tls(lib: Core, server: Nginx) -> None:
    async with pool(lib, Dialer(resolver=HERE), ssl_context=server.context()) as http:
        response = await http.request("GET", f"https://{NAME}:{server.tls_port}/name")
    assert response.content == NAME.encode()


async def test_it_tries_again(lib: Core, server: Nginx) -> None:
    reports: list[Report] = []
    with refusing() as (host, port):
        async with pool(lib, Dialer(on_report=reports.append), retries=1) as http:
            with pytest.raises(lib.core.ConnectError):
                await http.request("GET", f"http://{host}:{port}/")
    assert [report.outcome for report in reports] == ["failed", "failed"]


async def test_it_waits_for_as_long_as_it_is_told(lib: Core) -> None:
    with anyio.move_on_after(0.01) as scope:
        await lib.AConnectBackend().sleep(LIMIT)
    assert scope.cancelled_caught


async def test_it_connects_to_a_proxy(lib: Core, server: Nginx) -> None:
    reports: list[Report] = []
    dialer = Dialer(resolver=HERE, on_report=reports.append)
    async with lib.core.AsyncHTTPProxy(
        f"http://{NAME}:{server.port}", network_backend=lib.AConnectBackend(dialer=dialer)
    ) as http:
        response = await http.request("GET", "http://elsewhere.example/")
    assert response.content == b"hello"
    assert [report.address for report in reports] == [f"{NAME}:{server.port}"]


async def test_a_pool_goes_through_a_proxy(lib: Core, server: Nginx) -> None:
    reports: list[Report] = []
    dialer = Dialer(resolver=HERE, on_report=reports.append)
    proxy = lib.core.Proxy(f"http://{NAME}:{server.port}")
    async with pool(lib, dialer, proxy=proxy) as http:
        response = await http.request("GET", "http://elsewhere.example/")
    assert response.content == b"hello"
    assert [report.address for report in reports] == [f"{NAME}:{server.port}"]


async def test_options_of_a_pool(lib: Core, server: Nginx) -> None:
    option = (socket.SOL_SOCKET, socket.SO_PRIORITY, 3)
    own = SocketOption(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 2)
    dialer = Dialer(socket_options=[own])
    options = {"local_address": "127.0.0.9", "socket_options": iter([option])}
    async with pool(lib, dialer, **options) as http:
        url = f"http://127.0.0.1:{server.port}/from"
        for _ in range(2):
            async with http.stream("GET", url, headers={"Connection": "close"}) as response:
                sock = response.extensions["network_stream"].get_extra_info("socket")
                assert sock.getsockopt(*option[:2]) == 3
                assert sock.getsockopt(own.level, own.name) == 2
                assert await response.aread() == b"127.0.0.9"


# Connecting


async def test_a_failure_has_ours_as_its_cause(lib: Core) -> None:
    with refusing() as (host, port), pytest.raises(lib.core.ConnectError) as caught:
        await lib.AConnectBackend().connect_tcp(host, port, timeout=LIMIT)
    cause = caught.value.__cause__
    assert isinstance(cause, aconnect.ConnectError)
    assert isinstance(cause, ConnectionRefusedError)
    assert caught.value.args == (cause,)
    assert "nothing is listening there" in str(caught.value)
    assert cause.transient
    assert cause.report is not None
    assert cause.report.outcome == "failed"


async def test_the_timeout_is_a_deadline(lib: Core) -> None:
    with silent() as (host, port), pytest.raises(lib.core.ConnectTimeout) as caught:
        await lib.AConnectBackend().connect_tcp(host, port, timeout=0.05)
    cause = caught.value.__cause__
    assert isinstance(cause, aconnect.ConnectTimeout)
    assert cause.report is not None
    assert cause.report.outcome == "timed out"


async def test_a_unix_socket_that_is_not_there(lib: Core, tmp_path: Path) -> None:
    with pytest.raises(lib.core.ConnectError) as caught:
        await lib.AConnectBackend().connect_unix_socket(str(tmp_path / "nothing"))
    assert isinstance(caught.value.__cause__, FileNotFoundError)


async def test_a_host_that_cannot_be_one_is_no_connection(lib: Core) -> None:
    with pytest.raises(lib.core.ConnectError, match="label that is empty") as caught:
        await lib.AConnectBackend().connect_tcp("a..b", 80)
    assert isinstance(caught.value.__cause__, ValueError)


async def test_the_local_address_is_bound_to(lib: Core) -> None:
    backend = lib.AConnectBackend(dialer=Dialer(local_address="127.0.0.9"))
    with listening() as listener:
        for asked, bound in ((None, "127.0.0.9"), ("127.0.0.8", "127.0.0.8")):
            host, port = listener.getsockname()
            stream = await backend.connect_tcp(host, port, LIMIT, asked)
            assert stream.get_extra_info("client_addr")[0] == bound
            await stream.aclose()


async def test_options_of_sockets_are_set_beside_those_of_the_dialer(
    lib: Core, tmp_path: Path
) -> None:
    own = SocketOption(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    backend = lib.AConnectBackend(dialer=Dialer(socket_options=[own]))
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
        ({"socket_options": [(1, 2, "x")]}, TypeError, "an int or bytes, not 'x'"),
        ({"socket_options": [(-1, 2, 3)]}, ValueError, "level"),
        ({"local_address": "localhost"}, ValueError, "local_address .*'localhost'"),
        ({"timeout": -1}, ValueError, "timeout .*-1"),
    ],
    ids=["no value", "text", "negative", "name", "timeout"],
)
async def test_nonsense_is_refused(
    lib: Core, wrong: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await lib.AConnectBackend().connect_tcp("127.0.0.1", 1, **wrong)


def test_a_dialer_must_be_one(lib: Core) -> None:
    with pytest.raises(TypeError, match="dialer must be a Dialer or None, not 5"):
        lib.AConnectBackend(dialer=5)  # type: ignore[arg-type]  # on purpose


async def test_a_dial_that_is_cancelled_leaves_nothing(lib: Core) -> None:
    reports: list[Report] = []
    backend = lib.AConnectBackend(dialer=Dialer(on_report=reports.append))
    with silent() as (host, port):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(backend.connect_tcp, host, port)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert [report.outcome for report in reports] == ["cancelled"]


@pytest.mark.parametrize("missing", ["anyio", "it"])
def test_it_says_what_is_missing(lib: Core, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("aconnect.clients.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, lib.name if missing == "it" else missing, None)
    says = rf"is not installed: install it, or aconnect-io\[{lib.name}\]"
    with pytest.raises(ImportError, match=says):
        importlib.import_module(f"aconnect.clients.{lib.name}")


# A stream


async def test_a_stream_reads_and_writes(lib: Core) -> None:
    with listening() as listener:
        stream, peer = await connected(lib, listener)
        with peer:
            await stream.write(b"", LIMIT)
            await stream.write(b"hello", LIMIT)
            assert peer.recv(100) == b"hello"
            peer.sendall(b"hello yourself")
            assert await stream.read(5, LIMIT) == b"hello"
            assert await stream.read(100, LIMIT) == b" yourself"
        assert await stream.read(100, LIMIT) == b""
        await stream.aclose()


async def test_it_does_not_wait_for_ever(lib: Core) -> None:
    with listening() as listener:
        stream, peer = await connected(lib, listener)
        with peer:
            with pytest.raises(lib.core.ReadTimeout, match=r"timed out after 0\.01 seconds"):
                await stream.read(100, 0.01)
            with pytest.raises(lib.core.WriteTimeout, match=r"timed out after 0\.01 seconds"):
                await stream.write(bytes(2**26), 0.01)
            await stream.aclose()


async def test_a_connection_that_is_broken_says_why(lib: Core) -> None:
    with listening() as listener:
        stream, peer = await connected(lib, listener)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()  # with a reset
        with pytest.raises(lib.core.ReadError, match=r"[Cc]onnection reset by peer"):
            await stream.read(100, LIMIT)
        await stream.aclose()


async def test_a_stream_that_is_closed(lib: Core) -> None:
    with listening() as listener:
        stream, peer = await connected(lib, listener)
        peer.close()
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(lib.core.ReadError, match="ClosedResourceError"):
            await stream.read(100, LIMIT)
        with pytest.raises(lib.core.WriteError, match="ClosedResourceError"):
            await stream.write(b"x", LIMIT)
        await stream.write(b"", LIMIT)
        assert stream.get_extra_info("is_readable") is True
        assert stream.get_extra_info("server_addr") == listener.getsockname()


async def test_what_is_known_of_a_stream(lib: Core) -> None:
    with listening() as listener:
        stream, peer = await connected(lib, listener)
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


async def test_closing_is_not_cut_short(lib: Core) -> None:
    with listening() as listener:
        stream, peer = await connected(lib, listener)
        closed = False
        with peer, anyio.CancelScope() as scope:
            scope.cancel()
            await stream.aclose()
            closed = stream.get_extra_info("socket").fileno() < 0
            await anyio.lowlevel.checkpoint()
        assert closed
        assert scope.cancelled_caught


# TLS


async def test_a_backend_may_be_told_of_tls(lib: Core, server: Nginx) -> None:
    reports: list[Report] = []
    resolver = StaticResolver({NAME: [SILENT, "127.0.0.1"]})
    dialer = Dialer(resolver=resolver, attempt_delay=0.01, on_report=reports.append)
    backend = lib.AConnectBackend(dialer=dialer, tls=True)
    with accepting(SILENT, server.tls_port):
        async with lib.core.AsyncConnectionPool(
            network_backend=backend, ssl_context=server.context()
        ) as http:
            response = await http.request("GET", f"https://{NAME}:{server.tls_port}/name")
    assert response.content == NAME.encode()
    [report] = reports
    assert [attempt.won for attempt in report.attempts] == [False, True]


async def test_which_comes_first_then(lib: Core) -> None:
    stream = await lib.AConnectBackend(tls=True).connect_tcp("127.0.0.1", 1)
    with pytest.raises(lib.core.WriteError, match=r"start_tls\(\) connects"):
        await stream.write(b"x")
    with pytest.raises(lib.core.ReadError, match=r"start_tls\(\) connects"):
        await stream.read(1)
    await stream.aclose()


async def test_a_stream_gets_tls(lib: Core, server: Nginx) -> None:
    plain = await lib.AConnectBackend().connect_tcp("127.0.0.1", server.tls_port, timeout=LIMIT)
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
    lib: Core, server: Nginx, address: str, name: str, trusted: bool, says: str
) -> None:
    stream = await lib.AConnectBackend().connect_tcp(address, server.tls_port, timeout=LIMIT)
    context = server.context() if trusted else ssl.create_default_context()
    with pytest.raises(lib.core.ConnectError, match=says) as caught:
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


async def test_tls_has_a_time_limit(lib: Core) -> None:
    with listening() as listener:
        stream, peer = await connected(lib, listener)
        with peer:
            with pytest.raises(lib.core.ConnectTimeout, match="had not finished") as caught:
                await stream.start_tls(ssl.create_default_context(), NAME, 0.05)
            cause = caught.value.__cause__
            assert isinstance(cause, aconnect.ConnectTimeout)
            assert cause.phase == "handshake"
            assert cause.transient
            assert stream.get_extra_info("socket").fileno() < 0


async def test_a_peer_that_hangs_up_in_the_middle_of_tls(lib: Core) -> None:
    with listening() as listener:
        stream, peer = await connected(lib, listener)
        peer.close()
        with pytest.raises(lib.core.ConnectError, match="the peer closed the connection"):
            await stream.start_tls(ssl.create_default_context(), NAME, LIMIT)
        assert stream.get_extra_info("socket").fileno() < 0


async def test_a_name_that_is_none_is_refused(lib: Core) -> None:
    with listening() as listener:
        stream, peer = await connected(lib, listener)
        with peer, pytest.raises(ValueError, match=r"server_hostname .*''"):
            await stream.start_tls(ssl.create_default_context(), "", LIMIT)
        assert stream.get_extra_info("socket").fileno() < 0


async def test_tls_that_is_cancelled_leaves_nothing(lib: Core) -> None:
    with listening() as listener:
        stream, peer = await connected(lib, listener)
        with peer:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stream.start_tls, ssl.create_default_context(), NAME)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            assert stream.get_extra_info("socket").fileno() < 0


class TestCancelledAtEveryStep:
    def scene(self, lib: Core, server: Nginx, *setup: Any) -> Scenario:
        backend = lib.AConnectBackend(dialer=Dialer(resolver=HERE))
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
        self,
        lib: Core,
        server: Nginx,
        new_loop: Any,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        with ExitStack() as stack, Canaries():
            scene = self.scene(lib, server, stack, monkeypatch, tmp_path)
            cancel_at_every_step(for_transports(new_loop), scene)

    def test_on_trio(
        self, lib: Core, server: Nginx, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with ExitStack() as stack:
            cancel_at_every_step_of_trio(self.scene(lib, server, stack, monkeypatch, tmp_path))
