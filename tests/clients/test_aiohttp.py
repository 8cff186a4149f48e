"""aiohttp, with connections of a dialer's, against a real nginx."""

from __future__ import annotations

import importlib
import socket
import ssl
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver
from conftest import ASYNCIO_LOOPS
from support.canaries import Canaries
from support.clients import dead_addresses_first, for_transports, keepalive_of
from support.listeners import listening, refusing, silent
from support.nginx import BIG, NAME, NOT_TLS, Nginx, nginx
from support.scenarios import ASYNCIO_LOOPS as NEW_LOOPS
from support.scenarios import Scenario, cancel_at_every_step
from yarl import URL

import aconnect
from aconnect import (
    AddressNotPermitted,
    Dialer,
    HandshakeError,
    Keepalive,
    Report,
    ResolveError,
    StaticResolver,
)
from aconnect.clients.aiohttp import AConnectConnector
from aconnect.policy import allow, public_only

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.server]

HERE = StaticResolver({NAME: ["127.0.0.1"]})
INSIDE = StaticResolver({"innocent.example": ["127.0.0.1", "::1"]})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx")) as running:
        yield running


@pytest.fixture(params=ASYNCIO_LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def client(dialer: Dialer | None = None, **options: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=AConnectConnector(dialer=dialer, **options))


async def get(http: aiohttp.ClientSession, url: str | URL, **options: Any) -> str:
    async with http.get(url, **options) as response:
        return await response.text()


# What a client can do


async def test_requests_share_a_connection(server: Nginx) -> None:
    reports: list[Report] = []
    async with client(Dialer(on_report=reports.append)) as http:
        url = f"http://127.0.0.1:{server.port}/connection"
        first = (await get(http, url)).split()
        second = (await get(http, url)).split()
    assert first[0] == second[0]
    assert int(second[1]) == int(first[1]) + 1
    assert [report.outcome for report in reports] == ["connected"]


async def test_bodies_are_streamed_both_ways(server: Nginx) -> None:
    async def body() -> AsyncIterator[bytes]:
        for part in (b"one ", b"two ", b"three"):
            yield part

    async with client() as http:
        async with http.post(f"http://127.0.0.1:{server.port}/echo", data=body()) as response:
            assert await response.text() == "one two three"
        received = b""
        async with http.get(f"http://127.0.0.1:{server.port}/big") as response:
            async for part in response.content.iter_any():
                assert len(part) < len(BIG)
                received += part
        assert received == BIG


async def test_a_unix_socket_takes_the_place_of_a_host(server: Nginx) -> None:
    reports: list[Report] = []
    async with client(Dialer(on_report=reports.append), path=server.path) as http:
        assert await get(http, "http://anything.example/") == "hello"
    assert [report.address for report in reports] == [f"unix:{server.path}"]


@pytest.mark.parametrize(
    ("dialer", "options", "expected"),
    [
        (None, {}, (1, 60, 60, 5)),
        (Dialer(keepalive=Keepalive(77, 5, 3)), {}, (1, 77, 5, 3)),
        (None, {"keepalive": Keepalive(9, 8, 7)}, (1, 9, 8, 7)),
        (Dialer(keepalive=Keepalive(77, 5, 3)), {"keepalive": None}, (0,)),
    ],
    ids=["default", "dialer", "another", "none"],
)
async def test_keepalive(
    server: Nginx, dialer: Any, options: Any, expected: tuple[int, ...]
) -> None:
    url = f"http://127.0.0.1:{server.port}/big"
    async with client(dialer, **options) as http, http.get(url) as response:
        assert response.connection is not None
        assert response.connection.transport is not None
        sock = response.connection.transport.get_extra_info("socket")
        assert keepalive_of(sock)[: len(expected)] == expected


async def test_options_of_a_tcp_connector(server: Nginx) -> None:
    made = []

    def make(info: Any) -> socket.socket:
        made.append(info)
        return socket.socket(*info[:3])

    class Resolver(AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
            return await ThreadedResolver().resolve("127.0.0.1", port, family)

        async def close(self) -> None:
            raise AssertionError("it is not the connector's")

    reports: list[Report] = []
    options = {
        "family": socket.AF_INET,
        "local_addr": ("127.0.0.9", 0),
        "happy_eyeballs_delay": 0.5,
        "interleave": 2,
        "resolver": Resolver(),
        "socket_factory": make,
    }
    async with client(Dialer(on_report=reports.append), **options) as http:
        assert await get(http, f"http://anything.example:{server.port}/from") == "127.0.0.9"
        dialer = http.connector._dialer
    assert (dialer.attempt_delay, dialer.first_family_count) == (0.5, 2)
    assert [info[0] for info in made] == [socket.AF_INET]
    assert made[0][3:] == ("", ("127.0.0.1", server.port))
    assert [report.outcome for report in reports] == ["connected"]


async def test_options_that_say_nothing() -> None:
    ours = Dialer(resolver=StaticResolver({}), attempt_delay=0.5)
    connector = AConnectConnector(
        dialer=ours,
        family=socket.AF_UNSPEC,
        local_addr=None,
        interleave=None,
        resolver=None,
        socket_factory=None,
        keepalive=None,
    )
    assert connector._dialer == ours
    await connector.close()
    one_by_one = AConnectConnector(happy_eyeballs_delay=None, resolver=ours.resolver)
    assert one_by_one._dialer.attempt_delay is None
    assert one_by_one._dialer.resolver is ours.resolver
    await one_by_one.close()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"family": 77}, ValueError, "family"),
        ({"local_addr": ("localhost", 0)}, ValueError, "local_addr"),
        ({"happy_eyeballs_delay": "x"}, TypeError, "happy_eyeballs_delay"),
        ({"interleave": -1}, ValueError, "interleave"),
        ({"resolver": 5}, TypeError, "resolver"),
        ({"socket_factory": 5}, TypeError, "socket_factory must be callable or None, not 5"),
        ({"use_dns_cache": False}, TypeError, "use_dns_cache"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_options_that_are_no_good(options: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        AConnectConnector(**options)


async def test_the_options_of_a_connector_are_its_own(server: Nginx) -> None:
    url = f"http://127.0.0.1:{server.port}/connection"
    async with client(limit=7, force_close=True) as http:
        assert http.connector is not None
        assert http.connector.limit == 7
        first, second = [(await get(http, url)).split()[0] for _ in range(2)]
    assert first != second


# TLS


@pytest.mark.parametrize("of", ["the connector", "the request"])
@pytest.mark.parametrize(
    "kind", ["a context", "nothing is verified", "a fingerprint", "what both say"]
)
async def test_it_speaks_tls(server: Nginx, kind: str, of: str) -> None:
    says: Any = {
        "a context": server.context(),
        "nothing is verified": False,
        "a fingerprint": aiohttp.Fingerprint(server.fingerprint),
    }
    url = f"https://{NAME}:{server.tls_port}/name"
    connector: Any = {"ssl": says[kind]} if of == "the connector" and kind in says else {}
    request: Any = {"ssl": says[kind]} if of == "the request" and kind in says else {}
    if kind == "what both say":  # the request goes before
        wrong = aiohttp.Fingerprint(bytes(32))
        connector, request = {"ssl": wrong}, {"ssl": says["a context"]}
    async with client(Dialer(resolver=HERE), **connector) as http:
        assert await get(http, url, **request) == NAME


async def test_it_says_by_tls_what_it_speaks(server: Nginx) -> None:
    async with client(Dialer(resolver=HERE), ssl=False) as http:
        assert await get(http, f"https://{NAME}:{server.tls_port}/protocol") == "http/1.1"


async def test_the_name_for_tls_can_be_another(server: Nginx) -> None:
    url = f"https://127.0.0.1:{server.tls_port}/name"
    async with client(ssl=server.context()) as http:
        assert await get(http, url, server_hostname=NAME) == NAME


async def test_a_name_for_tls_does_not_harm_without_it(server: Nginx) -> None:
    async with client() as http:
        url = f"http://127.0.0.1:{server.port}/"
        assert await get(http, url, server_hostname=NAME) == "hello"


async def test_tls_over_a_unix_socket_is_for_the_host_of_the_url(server: Nginx) -> None:
    async with client(path=server.tls_path, ssl=server.context()) as http:
        assert await get(http, f"https://{NAME}/name") == NAME
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await get(http, "https://wrong.example/name")


@pytest.mark.parametrize("where", ["host", "path", "server_hostname"])
async def test_the_dot_of_the_root_is_not_part_of_the_name(server: Nginx, where: str) -> None:
    path = server.tls_path if where == "path" else None
    name = f"{NAME}." if where == "server_hostname" else None
    host = "127.0.0.1" if where == "server_hostname" else f"{NAME}."
    url = f"https://{host}:{server.tls_port}/name"
    async with client(Dialer(resolver=HERE), path=path, ssl=server.context()) as http:
        assert await get(http, url, server_hostname=name) == NAME


async def test_certificates_are_verified_by_default(server: Nginx) -> None:
    async with client(Dialer(resolver=HERE)) as http:
        with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
            await get(http, f"https://{NAME}:{server.tls_port}/")
    assert isinstance(caught.value.certificate_error, ssl.SSLCertVerificationError)
    assert isinstance(caught.value.__cause__, HandshakeError)


async def test_the_default_is_as_it_would_be_made_now(
    server: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, trusting = f"https://{NAME}:{server.tls_port}/name", server.context()
    with monkeypatch.context() as patch:
        patch.setattr(ssl, "create_default_context", lambda: trusting)
        async with client(Dialer(resolver=HERE)) as http:
            assert await get(http, url) == NAME
    async with client(Dialer(resolver=HERE)) as http:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await get(http, url)


async def test_a_certificate_for_another_host(server: Nginx) -> None:
    resolver = StaticResolver({"wrong.example": ["127.0.0.1"]})
    async with client(Dialer(resolver=resolver), ssl=server.context()) as http:
        with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
            await get(http, f"https://wrong.example:{server.tls_port}/")
    assert "not for wrong.example" in str(caught.value.__cause__)
    assert caught.value.host == "wrong.example"


async def test_a_certificate_is_found_among_several_failures(server: Nginx) -> None:
    resolver = StaticResolver({NAME: ["127.0.0.4", "127.0.0.1"]})
    async with client(Dialer(resolver=resolver)) as http:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await get(http, f"https://{NAME}:{server.tls_port}/")


async def test_a_server_that_does_not_speak_tls(server: Nginx) -> None:
    async with client() as http:
        with pytest.raises(aiohttp.ClientConnectorSSLError, match="not speak TLS") as caught:
            await get(http, f"https://{NOT_TLS}:{server.tls_port}/")
    assert isinstance(caught.value.os_error, HandshakeError)
    assert caught.value.__cause__ is caught.value.os_error


async def test_tls_is_part_of_the_race(server: Nginx) -> None:
    reports: list[Report] = []
    resolver = StaticResolver({NAME: [NOT_TLS, "127.0.0.1"]})
    dialer = Dialer(resolver=resolver, on_report=reports.append)
    async with client(dialer, ssl=server.context()) as http:
        assert await get(http, f"https://{NAME}:{server.tls_port}/") == "hello"
    [report] = reports
    shakes = [attempt.handshake and attempt.handshake.outcome for attempt in report.attempts]
    assert shakes == ["failed", "done"]


async def test_a_fingerprint_that_is_another(server: Nginx) -> None:
    wrong = aiohttp.Fingerprint(bytes(32))
    url = f"https://{NAME}:{server.tls_port}/"
    async with client(Dialer(resolver=HERE), ssl=wrong) as http:
        with pytest.raises(aiohttp.ServerFingerprintMismatch) as caught:
            await get(http, url)
    assert caught.value.args == (bytes(32), server.fingerprint, NAME, server.tls_port)


@pytest.mark.parametrize(
    ("options", "how"),
    [({}, "cut off"), ({"abort_ssl": False}, "goodbye")],
    ids=["by default", "no"],
)
async def test_it_is_closed_without_a_goodbye(
    server: Nginx, options: dict[str, bool], how: str
) -> None:
    ended: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.authority.issue_cert(NAME).configure_cert(context)

    def answer_once(listener: socket.socket) -> None:
        accepted = listener.accept()[0]
        with context.wrap_socket(accepted, server_side=True, suppress_ragged_eofs=False) as peer:
            peer.recv(2**16)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            try:
                peer.recv(1)
                ended.append("goodbye")
            except OSError:
                ended.append("cut off")

    with listening() as listener:
        listener.settimeout(30)
        thread = threading.Thread(target=answer_once, args=[listener])
        thread.start()
        connector = AConnectConnector(dialer=Dialer(resolver=HERE), ssl=server.context())
        async with aiohttp.ClientSession(connector=connector, connector_owner=False) as http:
            await get(http, f"https://{NAME}:{listener.getsockname()[1]}/")
            await connector.close(**options)
        await anyio.to_thread.run_sync(thread.join)
    assert ended == [how]


# The dialer


async def test_the_addresses_of_a_name_race(server: Nginx) -> None:
    reports: list[Report] = []
    with dead_addresses_first(NAME, server.port) as resolver:
        dialer = Dialer(resolver=resolver, attempt_delay=0.01, on_report=reports.append)
        async with client(dialer) as http:
            assert await get(http, f"http://{NAME}:{server.port}/") == "hello"
    [report] = reports
    assert [attempt.won for attempt in report.attempts] == [False, False, True]


async def test_sock_connect_is_a_deadline() -> None:
    reports: list[Report] = []
    with silent() as (host, port):
        async with client(Dialer(on_report=reports.append)) as http:
            with pytest.raises(aiohttp.ConnectionTimeoutError) as caught:
                timeout = aiohttp.ClientTimeout(sock_connect=0.05)
                await get(http, f"http://{host}:{port}/", timeout=timeout)
    cause = caught.value.__cause__
    assert isinstance(cause, aconnect.ConnectTimeout)
    assert [cause.report] == reports
    assert [report.outcome for report in reports] == ["timed out"]


async def test_sock_connect_is_the_deadline_for_tls_as_well() -> None:
    with listening() as listener:
        host, port = listener.getsockname()
        async with client() as http:
            with pytest.raises(aiohttp.ConnectionTimeoutError) as caught:
                timeout = aiohttp.ClientTimeout(sock_connect=0.05)
                await get(http, f"https://{host}:{port}/", timeout=timeout)
    assert isinstance(caught.value.__cause__, aconnect.ConnectTimeout)
    assert caught.value.__cause__.phase == "handshake"


async def test_connect_is_a_deadline() -> None:
    reports: list[Report] = []
    with silent() as (host, port):
        async with client(Dialer(on_report=reports.append)) as http:
            with pytest.raises(aiohttp.ConnectionTimeoutError):
                timeout = aiohttp.ClientTimeout(connect=0.05)
                await get(http, f"http://{host}:{port}/", timeout=timeout)
    assert [report.outcome for report in reports] == ["cancelled"]


async def test_a_deadline_of_nought_is_none(server: Nginx) -> None:
    timeout = aiohttp.ClientTimeout(sock_connect=0)
    async with client(Dialer(resolver=HERE)) as http:
        url = f"http://{NAME}:{server.port}/"
        assert await get(http, url, timeout=timeout) == "hello"


async def test_a_failure_has_ours() -> None:
    with refusing() as (host, port):
        async with client() as http:
            with pytest.raises(
                aiohttp.ClientConnectorError, match="nothing is listening there"
            ) as caught:
                await get(http, f"http://{host}:{port}/")
    error = caught.value.os_error
    assert caught.value.__cause__ is error
    assert type(caught.value) is aiohttp.ClientConnectorError
    assert isinstance(error, aconnect.ConnectError)
    assert isinstance(error, ConnectionRefusedError)
    assert error.transient
    assert error.report is not None
    assert error.report.outcome == "failed"


async def test_a_name_that_does_not_exist() -> None:
    async with client(Dialer(resolver=StaticResolver({}))) as http:
        with pytest.raises(aiohttp.ClientConnectorDNSError) as caught:
            await get(http, "http://nowhere.example/")
    assert isinstance(caught.value.os_error, ResolveError)


async def test_a_proxy_for_http_is_refused() -> None:
    async with client() as http:
        with pytest.raises(
            ValueError, match=r"through http://\*\*\*@proxy\.example:3128: "
        ) as caught:
            await get(http, "http://127.0.0.1/", proxy="http://me:secret@proxy.example:3128")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"ssl": "yes"}, "ssl .*'yes'"), ({"dialer": 5}, "dialer .*5"), ({"path": 5}, "path .*5")],
    ids=["ssl", "dialer", "path"],
)
def test_nonsense_is_refused(wrong: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        AConnectConnector(**wrong)


def test_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "aconnect.clients.aiohttp")
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(
        ImportError, match=r"is not installed: install it, or aconnect-io\[aiohttp\]"
    ):
        importlib.import_module("aconnect.clients.aiohttp")


# Requests that strangers have a say in


@pytest.mark.parametrize("host", ["innocent.example", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_nobody_gets_inside(host: str) -> None:
    dialer = Dialer(permit=public_only(), resolver=INSIDE)
    with listening() as listener, listening("::1") as listener6:
        for each in (listener, listener6):
            each.setblocking(False)
            async with client(dialer) as http:
                with pytest.raises(aiohttp.ClientConnectorError, match="not permit") as caught:
                    await get(http, f"http://{host}:{each.getsockname()[1]}/")
            assert isinstance(caught.value.os_error, AddressNotPermitted)
        for each in (listener, listener6):
            with pytest.raises(BlockingIOError):
                each.accept()


@pytest.mark.parametrize("host", ["innocent.example", "127.0.0.1", "[::1]"])
async def test_nor_by_a_redirect(server: Nginx, host: str) -> None:
    reports: list[Report] = []
    dialer = Dialer(
        permit=allow("127.0.0.1", ports=server.port), resolver=INSIDE, on_report=reports.append
    )
    with listening("::1" if ":" in host else "127.0.0.1") as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{server.port}/moved?to="
        target = f"http://{host}:{listener.getsockname()[1]}/"
        async with client(dialer) as http:
            with pytest.raises(aiohttp.ClientConnectorError, match="not permit"):
                await get(http, URL(url + target, encoded=True))
            assert await get(http, f"{url}/") == "hello"
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert [report.outcome for report in reports] == ["connected", "failed"]


async def test_a_redirect_to_a_host_that_cannot_be_one(server: Nginx) -> None:
    async with client() as http:
        with pytest.raises(aiohttp.InvalidUrlClientError, match="label that is empty"):
            await get(http, f"http://127.0.0.1:{server.port}/moved?to=http://a..b/")


# Cancellation


async def test_a_dial_that_is_cancelled_leaves_nothing() -> None:
    reports: list[Report] = []
    with silent() as (host, port):
        async with client(Dialer(on_report=reports.append)) as http:
            await cancelled(http, f"http://{host}:{port}/")
    assert [report.outcome for report in reports] == ["cancelled"]


async def test_tls_that_is_cancelled_leaves_nothing() -> None:
    with listening() as listener:
        host, port = listener.getsockname()
        async with client() as http:
            await cancelled(http, f"https://{host}:{port}/")
            with listener.accept()[0] as peer:
                peer.settimeout(30)
                assert peer.recv(100)
                while peer.recv(2**16):
                    pass  # up to the end, which comes while the client is open


async def test_a_body_that_is_cancelled_leaves_nothing(server: Nginx) -> None:
    async with client() as http:
        await cancelled(http, f"http://127.0.0.1:{server.port}/slow")


async def cancelled(http: aiohttp.ClientSession, url: str) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(get, http, url)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["a whole request", "waiting for TLS"])
@pytest.mark.parametrize("new_loop", NEW_LOOPS)
def test_it_can_be_cancelled_at_every_step(
    server: Nginx,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with ExitStack() as stack, Canaries():
        url = f"http://{NAME}:{server.port}/"
        if kind == "waiting for TLS":
            listener = stack.enter_context(listening(backlog=2000))
            url = f"https://{NAME}:{listener.getsockname()[1]}/"

        async def start() -> None:
            timeout = aiohttp.ClientTimeout(sock_connect=0.01 if "TLS" in kind else 30)
            async with client(Dialer(resolver=HERE)) as http:
                try:
                    await get(http, url, timeout=timeout)
                except aiohttp.ConnectionTimeoutError:
                    assert kind == "waiting for TLS"

        scene = Scenario(stack, monkeypatch, tmp_path)
        scene.start = start
        cancel_at_every_step(for_transports(new_loop), scene)
