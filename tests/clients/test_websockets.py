"""Websockets by the websockets package, over our connections, against a server of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trio
import trustme
import uvloop
from conftest import ASYNCIO_LOOPS
from support import websocket_server
from support.by_proxy import SCHEMES, by_proxy
from support.canaries import Canaries
from support.clients import (
    REFUSED,
    SILENT,
    TURNS,
    accepting,
    dead_addresses_first,
    for_transports,
    full_report,
)
from support.listeners import listening, refusing, silent
from support.loops import ForgetfulLoop
from support.programs import free_port, running
from support.scenarios import ASYNCIO_LOOPS as NEW_LOOPS
from support.scenarios import Scenario, cancel_at_every_step, new_runnable
from support.stepping import one_turn
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException

from aconnect import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    Deadline,
    Dialer,
    HandshakeError,
    Report,
    StaticResolver,
)
from aconnect.clients.websockets import connect
from aconnect.policy import public_only

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.server  # of the websockets package, in a process of its own

on_each_loop = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True),
]

NAME = "echo.test"
HERE = Dialer(resolver=StaticResolver({NAME: ["127.0.0.1"]}))


class Server(NamedTuple):
    port: int
    path: str
    tls_port: int
    certificate: Path
    trusting: ssl.SSLContext

    @property
    def uri(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    here = tmp_path_factory.mktemp("websockets")
    authority = trustme.CA()
    certificate = here / "certificate.pem"
    authority.issue_cert(NAME).private_key_and_cert_chain_pem.write_to_path(certificate)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    found = Server(free_port(), str(here / "socket"), free_port(), certificate, trusting)
    command = [sys.executable, Path(websocket_server.__file__), *found[:4]]
    addresses = [("127.0.0.1", found.port), found.path, ("127.0.0.1", found.tls_port)]
    with running(list(map(str, command)), here / "log", *addresses):
        yield found


async def opened(opening: connect) -> Any:
    return await opening


async def echoed(opening: connect) -> Any:
    async with opening as websocket:
        await websocket.send("hello")
        return await websocket.recv()


class TestAnExchange:
    pytestmark = on_each_loop

    async def test_over_tcp(self, server: Server) -> None:
        assert await echoed(connect(server.uri)) == "hello"

    async def test_over_unix(self, server: Server) -> None:
        opening = connect("ws://localhost/", address=f"unix:{server.path}", timeout=30)
        assert await echoed(opening) == "hello"

    async def test_over_tls(self, server: Server) -> None:
        uri = f"wss://{NAME}:{server.tls_port}/"
        opening = connect(uri, dialer=HERE, ssl=server.trusting, timeout=30)
        assert await echoed(opening) == "hello"

    async def test_tls_may_have_limits_of_its_own(self, server: Server) -> None:
        with listening() as listener:
            host, port = listener.getsockname()
            with pytest.raises(HandshakeError, match=r"timed out after 0\.05 seconds"):
                await connect(f"wss://{host}:{port}/", ssl_handshake_timeout=0.05, timeout=30)
        uri = f"wss://{NAME}:{server.tls_port}/"
        opening = connect(uri, dialer=HERE, ssl=server.trusting, ssl_shutdown_timeout=20)
        assert await echoed(opening) == "hello"

    @pytest.mark.parametrize("name", [None, f"{NAME}.", f"{NAME}.".encode()])
    async def test_the_dot_of_the_root_is_not_part_of_the_name(
        self, server: Server, name: Any
    ) -> None:
        uri = f"wss://{NAME}.:{server.tls_port}/"
        opening = connect(uri, dialer=HERE, ssl=server.trusting, server_hostname=name, timeout=30)
        assert await echoed(opening) == "hello"

    @pytest.mark.parametrize("name", ["", b""])
    async def test_without_a_name(self, server: Server, name: Any) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        uri = f"wss://127.0.0.1:{server.tls_port}/"
        assert await echoed(connect(uri, ssl=context, server_hostname=name)) == "hello"

    async def test_awaited(self, server: Server) -> None:
        websocket = await connect(server.uri, deadline=Deadline.after(30))
        await websocket.send(b"hello")
        assert await websocket.recv() == b"hello"
        await websocket.close()

    async def test_what_the_block_raises_is_told_to_the_server(self, server: Server) -> None:
        with pytest.raises(LookupError):
            async with connect(server.uri) as websocket:
                raise LookupError
        assert websocket.protocol.close_code == 1011

    async def test_one_object_connects_any_number_of_times(self, server: Server) -> None:
        opening = connect(server.uri, timeout=30)
        assert [await echoed(opening) for _ in range(2)] == ["hello", "hello"]

    async def test_options_of_the_dial(self, server: Server) -> None:
        opening = connect(
            f"ws://elsewhere.example:{server.port}/",
            host="127.0.0.1",
            local_addr=("127.0.0.9", 0),
            family=socket.AF_INET,
            proto=socket.IPPROTO_TCP,
            flags=socket.AI_ADDRCONFIG,
            happy_eyeballs_delay=0.5,
            interleave=2,
            proxy=None,
            timeout=30,
        )
        assert (opening._dialer.attempt_delay, opening._dialer.first_family_count) == (0.5, 2)
        async with opening as websocket:
            assert websocket.local_address[0] == "127.0.0.9"
        opening = connect("ws://127.0.0.1:1/", port=server.port, timeout=30)
        assert await echoed(opening) == "hello"

    async def test_the_zone_of_a_url(self) -> None:
        assert str(connect("ws://[fe80::1%25lo]:80")._to) == "[fe80::1%lo]:80"

    async def test_the_default_ports_are_those_of_the_scheme(self) -> None:
        asked = []

        def refuse(endpoint: Any) -> bool:
            asked.append(endpoint.sockaddr)
            return False

        for scheme in ("ws", "wss"):
            with pytest.raises(AddressNotPermitted):
                await connect(f"{scheme}://127.0.0.1/", dialer=Dialer(permit=refuse))
        assert asked == [("127.0.0.1", 80), ("127.0.0.1", 443)]

    async def test_nodelay_is_the_dialers(self, server: Server) -> None:
        nagle: list[Any] = []
        for nodelay in (True, False):
            async with connect(server.uri, dialer=Dialer(nodelay=nodelay)) as websocket:
                sock = websocket.transport.get_extra_info("socket")
                nagle.append(not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        assert nagle == [False, True]


class TestTheDeadline:
    pytestmark = on_each_loop

    async def test_a_listener_that_never_answers(self) -> None:
        with silent() as (host, port), pytest.raises(ConnectTimeout) as caught:
            await connect(f"ws://{host}:{port}/", timeout=0.05)
        assert caught.value.phase == "connect"
        assert caught.value.report is not None

    @pytest.mark.parametrize("scheme", ["ws", "wss"])
    @pytest.mark.parametrize("kind", ["timeout", "deadline"])
    async def test_one_that_accepts_and_says_nothing(self, scheme: str, kind: str) -> None:
        with listening() as listener, Canaries() as canaries:
            host, port = listener.getsockname()
            limit: Any = {"timeout": 0.05} if kind == "timeout" else {}
            limit = limit or {"deadline": Deadline.after(0.05)}
            what = "websocket" if scheme == "ws" else "its"
            with pytest.raises(ConnectTimeout, match=f"{what} handshake had not") as caught:
                await connect(f"{scheme}://{host}:{port}/", **limit)
            accepted, _ = listener.accept()
            with accepted:
                while accepted.recv(4096):
                    pass  # what it had sent, and then the end
            await canaries.settle()
        assert caught.value.phase == "handshake"
        assert str(caught.value.address) == f"{host}:{port}"
        assert f"{host}:{port}" in str(caught.value)
        assert caught.value.elapsed > 0

    @pytest.mark.parametrize("limits", [{}, {"timeout": 30}, {"deadline": Deadline.after(900)}])
    async def test_the_limit_that_websockets_has_is_the_same(self, limits: Any) -> None:
        with listening() as listener:
            host, port = listener.getsockname()
            with pytest.raises(ConnectTimeout, match="websocket handshake had not"):
                await connect(f"ws://{host}:{port}/", open_timeout=0.05, **limits)

    @pytest.mark.parametrize(
        ("limits", "expected"),
        [
            ({}, 10),
            ({"open_timeout": None}, None),
            ({"timeout": 30}, 30),
            ({"deadline": 900}, 900),
            ({"timeout": 30, "open_timeout": 20}, 20),
        ],
    )
    async def test_without_one_there_is_its_default(
        self, server: Server, limits: Any, expected: Any, monkeypatch: Any
    ) -> None:
        if "deadline" in limits:  # which counts from now
            limits = {"deadline": Deadline.after(limits["deadline"])}
        given = []
        real = asyncio.timeout

        def note(seconds: float | None) -> Any:
            given.append(seconds)
            return real(seconds)

        monkeypatch.setattr(asyncio, "timeout", note)
        assert await echoed(connect(server.uri, **limits, close_timeout=30)) == "hello"
        assert given[0] == (expected and pytest.approx(expected, abs=60 if expected > 99 else 9))


class TestTheDial:
    pytestmark = on_each_loop

    async def test_dead_addresses_cost_little(self, server: Server) -> None:
        reports: list[Report] = []
        with dead_addresses_first(NAME, server.port) as resolver:
            dialer = Dialer(resolver=resolver, attempt_delay=0.01, on_report=reports.append)
            opening = connect(f"ws://{NAME}:{server.port}/", dialer=dialer, timeout=30)
            assert await echoed(opening) == "hello"
        [report] = reports
        text = str(report)
        assert all(host in text for host in (REFUSED, SILENT, f"127.0.0.1:{server.port}"))
        assert "won" in text

    async def test_an_address_that_is_silent_in_tls_costs_a_delay(self, server: Server) -> None:
        reports: list[Report] = []
        resolver = StaticResolver({NAME: [SILENT, "127.0.0.1"]})
        dialer = Dialer(resolver=resolver, attempt_delay=0.01, on_report=reports.append)
        uri = f"wss://{NAME}:{server.tls_port}/"
        with accepting(SILENT, server.tls_port):
            opening = connect(uri, dialer=dialer, ssl=server.trusting, timeout=30)
            assert await echoed(opening) == "hello"
        [report] = reports
        assert [attempt.won for attempt in report.attempts] == [False, True]

    async def test_there_is_a_report_of_a_failure(self) -> None:
        reports: list[Report] = []
        with refusing() as (host, port), pytest.raises(ConnectionRefusedError) as caught:
            await connect(f"ws://{host}:{port}/", dialer=Dialer(on_report=reports.append))
        assert isinstance(caught.value, ConnectError)
        assert reports == [caught.value.report]

    async def test_its_own_report(self, server: Server) -> None:
        report = Report()
        uri = f"wss://{NAME}:{server.tls_port}/"
        opening = connect(uri, dialer=HERE, ssl=server.trusting, timeout=30, report=report)
        assert await echoed(opening) == "hello"
        assert [shake.name for shake in report.attempts[0].handshakes] == ["TLS"]
        assert report.outcome == "connected"
        with refusing() as (host, port), pytest.raises(ConnectError) as caught:
            await connect(f"ws://{host}:{port}/", report=(report := Report()))
        assert caught.value.report is report

    @pytest.mark.parametrize(
        ("value", "error", "words"),
        [(5, TypeError, "must be a Report"), (full_report(), ValueError, "must be a new Report")],
    )
    async def test_what_can_be_no_report(self, value: Any, error: Any, words: str) -> None:
        with pytest.raises(error, match=words):
            connect("ws://a.example/", report=value)

    async def test_the_policy(self, server: Server) -> None:
        dialer = Dialer(permit=public_only(), resolver=HERE.resolver)
        with pytest.raises(AddressNotPermitted):
            await connect(f"ws://{NAME}:{server.port}/", dialer=dialer)


class TestWhatFails:
    pytestmark = on_each_loop

    async def test_the_server_refuses(self, server: Server) -> None:
        with Canaries() as canaries:
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"{server.uri}refused", timeout=30)
            await canaries.settle()
        assert caught.value.response.status_code == 403

    async def test_a_redirect_is_not_followed(self, server: Server) -> None:
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{server.uri}moved", timeout=30)
        assert caught.value.response.status_code == 302

    async def test_a_certificate_that_is_not_trusted(self, server: Server) -> None:
        uri = f"wss://{NAME}:{server.tls_port}/"
        with Canaries() as canaries:
            with pytest.raises(HandshakeError, match="issuer") as caught:
                await connect(uri, dialer=HERE, timeout=30)
            await canaries.settle()
        assert isinstance(caught.value, ssl.SSLCertVerificationError)
        assert caught.value.report is not None

    async def test_a_certificate_for_another_name(self, server: Server) -> None:
        uri = f"wss://127.0.0.1:{server.tls_port}/"
        with pytest.raises(HandshakeError, match=r"not for 127\.0\.0\.1"):
            await connect(uri, ssl=server.trusting, timeout=30)

    async def test_it_hangs_up(self) -> None:
        with listening() as listener, Canaries() as canaries:
            host, port = listener.getsockname()
            task = asyncio.ensure_future(opened(connect(f"ws://{host}:{port}/", timeout=30)))
            loop = asyncio.get_running_loop()
            listener.setblocking(False)
            accepted, _ = await loop.sock_accept(listener)
            accepted.close()
            with pytest.raises((WebSocketException, ConnectionResetError, EOFError)):
                await task
            await canaries.settle()

    async def test_what_makes_the_connection(self, server: Server) -> None:
        def refuse(*args: Any, **options: Any) -> Any:
            raise LookupError

        with Canaries() as canaries:
            with pytest.raises(LookupError):
                await connect(server.uri, create_connection=refuse)
            await canaries.settle()


class TestNonsense:
    @pytest.mark.parametrize(
        ("arguments", "error", "words"),
        [
            ({"uri": "http://127.0.0.1/"}, InvalidURI, "scheme"),
            ({"address": "nonsense"}, ValueError, "nonsense"),
            ({"address": "udp://127.0.0.1:1"}, ValueError, "SOCK_STREAM"),
            ({"timeout": -1}, ValueError, "timeout"),
            ({"deadline": 5}, TypeError, "Deadline"),
            ({"dialer": "mine"}, TypeError, "Dialer"),
            ({"sock": None}, TypeError, "sock"),
            ({"colour": "red"}, TypeError, "colour"),
            ({"compression": "zip"}, ValueError, "compression must be .*'zip'"),
            ({"subprotocols": "chat"}, TypeError, "subprotocols"),
            ({"open_timeout": -1}, ValueError, "timeout"),
            ({"ssl": True}, ValueError, "ssl True does not go with the URI 'ws:"),
            ({"ssl_handshake_timeout": 5}, ValueError, "ssl_handshake_timeout 5"),
            ({"server_hostname": "a"}, ValueError, "server_hostname 'a' is for TLS only"),
            (
                {"uri": "wss://a/", "ssl": False},
                ValueError,
                ("ssl False does not go with the URI 'wss:"),
            ),
            (
                {"uri": "ws://me:s3cret@a/", "ssl": True},
                ValueError,
                r"with the URI 'ws://\*\*\*@a/'$",
            ),
            (
                {"uri": "ws://me:s3cret@a/", "ssl_shutdown_timeout": 5},
                ValueError,
                r"with the URI 'ws://\*\*\*@a/', which",
            ),
            ({"uri": "wss://a/", "ssl": "yes"}, TypeError, "ssl must be .*'yes'"),
            ({"uri": "wss://a/", "server_hostname": ""}, ValueError, "check_hostname.*''"),
            ({"uri": "wss://a/", "server_hostname": 5}, TypeError, "server_hostname must be"),
            ({"address": "a:1", "host": "127.0.0.1"}, TypeError, "address, or host and port"),
            ({"address": "a:1", "port": 5}, TypeError, "address, or host and port"),
            ({"local_addr": ("localhost", 0)}, ValueError, "local_addr"),
            ({"family": 77}, ValueError, "family"),
            ({"interleave": -1}, ValueError, "interleave"),
            ({"proto": 17}, ValueError, "proto"),
            ({"happy_eyeballs_delay": "x"}, TypeError, "happy_eyeballs_delay"),
            ({"proxy": "http://a:1"}, ValueError, "proxy must be None: use Dialer"),
            ({"process_exception": repr}, TypeError, "process_exception"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_is_refused_before_anything_is_done(
        self, arguments: Any, error: Any, words: str
    ) -> None:
        with pytest.raises(error, match=words):
            connect(**{"uri": "ws://127.0.0.1:1/", **arguments})

    def test_trio(self) -> None:
        async def main() -> None:
            await connect("ws://127.0.0.1:1/")

        with pytest.raises(RuntimeError, match="trio"):
            trio.run(main)

    def test_websockets_is_missing(self, monkeypatch: Any) -> None:
        monkeypatch.setitem(sys.modules, "websockets.asyncio", None)
        monkeypatch.delitem(sys.modules, "aconnect.clients.websockets")
        with pytest.raises(
            ImportError,
            match=r"is not installed: install it, or aconnect-io\[websockets\]",
        ):
            import aconnect.clients.websockets  # noqa: F401


class Hasty(ClientConnection):
    """Cancels the task that makes it as soon as TLS is done."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.task: Any = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.number = transport.get_extra_info("socket").fileno()
        self.task.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
async def test_cancelled_when_tls_has_just_been_done(server: Server) -> None:
    """The server never says goodbye: it must not be waited for."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server.certificate)
    made: list[Hasty] = []

    def make(*args: Any, **options: Any) -> Hasty:
        made.append(Hasty(*args, **options))
        made[0].task = task
        return made[0]

    with listening() as listener:
        accepted = asyncio.ensure_future(asyncio.to_thread(accept_tls, listener, context))
        uri = f"wss://{NAME}:{listener.getsockname()[1]}/"
        opening = connect(uri, dialer=HERE, ssl=server.trusting, create_connection=make)
        task = asyncio.ensure_future(opened(opening))
        await asyncio.wait([task])
        assert task.cancelled()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(made[0].number)
        if not isinstance(asyncio.get_running_loop(), uvloop.Loop):  # which does not always tell
            async with asyncio.timeout(10):
                await made[0].connection_lost_waiter
        (await accepted).close()


def accept_tls(listener: socket.socket, context: ssl.SSLContext) -> socket.socket:
    accepted, _ = listener.accept()
    accepted.settimeout(10)
    try:
        return context.wrap_socket(accepted, server_side=True)
    except OSError:  # the client has gone by then
        return accepted


@pytest.mark.parametrize("new_loop", NEW_LOOPS[:3])
class TestCancellation:
    @pytest.mark.parametrize("kind", ["tcp", "unix", "tls", "silent", "waiting", "refused"])
    def test_at_every_step(
        self, new_loop: Any, kind: str, server: Server, monkeypatch: Any, tmp_path: Any
    ) -> None:
        with contextlib.ExitStack() as stack:
            scene = Scenario(stack, monkeypatch, tmp_path)
            arguments: dict[str, Any] = {
                "tcp": {"uri": server.uri},
                "unix": {"uri": "ws://localhost/", "address": f"unix:{server.path}"},
                "tls": {
                    "uri": f"wss://{NAME}:{server.tls_port}/",
                    "dialer": HERE,
                    "ssl": server.trusting,
                },
                "refused": {"uri": f"{server.uri}refused"},
            }.get(kind, {})
            if kind == "silent":
                host, port = stack.enter_context(silent())
                arguments = {"uri": f"ws://{host}:{port}/", "timeout": 0.01}
            if kind == "waiting":
                host, port = stack.enter_context(listening(backlog=2000)).getsockname()
                arguments = {"uri": f"ws://{host}:{port}/", "timeout": 0.01}

            async def start() -> Any:
                try:
                    return await connect(**arguments)
                except InvalidStatus:
                    assert kind == "refused"

            scene.start = start
            scene.close = lambda won: won.loop.run_until_complete(won.close())
            with Canaries():
                cancel_at_every_step(for_transports(new_loop), scene)

    @pytest.mark.parametrize("turns", range(TURNS))
    def test_the_coroutine_is_closed(self, new_loop: Any, turns: int) -> None:
        """It cannot wait for anything then; the socket is closed all the same."""
        loop, _ = new_runnable(new_loop)
        with listening() as listener, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the loop's transport says of being left behind
            host, port = listener.getsockname()
            coroutine = opened(connect(f"ws://{host}:{port}/"))
            task = loop.create_task(coroutine)
            for _ in range(turns):
                one_turn(loop)
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with contextlib.suppress(RuntimeError):
                coroutine.close()
            del task, coroutine
            loop.close()
            gc.collect()
            if turns:
                accepted, _ = listener.accept()
                with accepted:
                    while accepted.recv(4096):
                        pass


def test_a_loop_that_closes_the_number_and_not_the_socket() -> None:
    with listening() as listener, ForgetfulLoop() as loop:
        host, port = listener.getsockname()
        loop.run_cancelled(lambda: opened(connect(f"wss://{host}:{port}/")))


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_by_way_of_a_proxy(scheme: str, tls: bool, server: Server) -> None:
    port = server.tls_port if tls else server.port
    with by_proxy(scheme, ("127.0.0.1", port), NAME) as (dialer, proxy):
        uri = f"{'wss' if tls else 'ws'}://{NAME}:{port}/"
        context = server.trusting if tls else None
        assert await echoed(connect(uri, dialer=dialer, ssl=context, timeout=30)) == "hello"
        assert proxy.connections == 1
