"""httpx and httpx2, with connections of a dialer's, against a real nginx."""

from __future__ import annotations

import importlib
import socket
import ssl
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.canaries import Canaries
from support.clients import (
    SILENT,
    accepting,
    dead_addresses_first,
    for_transports,
    keepalive_of,
)
from support.fake_proxy import HEAD, FakeProxy
from support.listeners import listening, refusing, silent
from support.nginx import BIG, NAME, Nginx, nginx
from support.packages import HTTPX, Httpx, httpx_of
from support.proxies import connect_proxy, serving, socks_proxy
from support.scenarios import ASYNCIO_LOOPS as NEW_LOOPS
from support.scenarios import Scenario, cancel_at_every_step, cancel_at_every_step_of_trio

import aconnect
from aconnect import (
    AddressNotPermitted,
    Batch,
    Dialer,
    HandshakeError,
    Keepalive,
    Proxy,
    Report,
    ResolveError,
    StaticResolver,
    TCPAddress,
    UDPAddress,
)
from aconnect.policy import allow, public_only

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.server]

HERE = StaticResolver({NAME: ["127.0.0.1"]})
INSIDE = StaticResolver({"innocent.example": ["127.0.0.1", "::1"]})


@pytest.fixture(params=HTTPX)
def lib(request: pytest.FixtureRequest) -> Httpx:
    return httpx_of(request.param)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx")) as running:
        yield running


def client(lib: Httpx, dialer: Dialer | None = None, **options: Any) -> Any:
    options.setdefault("verify", False)  # for most it does not matter, and takes no time
    transport = lib.AConnectTransport(dialer=dialer, **options)
    return lib.httpx.AsyncClient(transport=transport, timeout=30, follow_redirects=True)


# What a client can do


async def test_requests_share_a_connection(lib: Httpx, server: Nginx) -> None:
    reports: list[Report] = []
    async with client(lib, Dialer(on_report=reports.append)) as http:
        url = f"http://127.0.0.1:{server.port}/connection"
        first = (await http.get(url)).text.split()
        second = (await http.get(url)).text.split()
    assert first[0] == second[0]
    assert int(second[1]) == int(first[1]) + 1
    assert [report.outcome for report in reports] == ["connected"]


async def test_bodies_are_streamed_both_ways(lib: Httpx, server: Nginx) -> None:
    async def body() -> AsyncIterator[bytes]:
        for part in (b"one ", b"two ", b"three"):
            yield part

    async with client(lib) as http:
        answer = await http.post(f"http://127.0.0.1:{server.port}/echo", content=body())
        assert answer.text == "one two three"
        received = b""
        async with http.stream("GET", f"http://127.0.0.1:{server.port}/big") as response:
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("server_addr") == ("127.0.0.1", server.port)
            async for part in response.aiter_raw():
                assert len(part) < len(BIG)
                received += part
        assert received == BIG


async def test_a_body_need_not_be_read_to_its_end(lib: Httpx, server: Nginx) -> None:
    reports: list[Report] = []
    async with client(lib, Dialer(on_report=reports.append)) as http:
        for _ in range(2):
            request = http.build_request("GET", f"http://127.0.0.1:{server.port}/big")
            response = await http.send(request, stream=True)
            await response.aclose()
    assert [report.outcome for report in reports] == ["connected", "connected"]


async def test_a_unix_socket_takes_the_place_of_a_host(lib: Httpx, server: Nginx) -> None:
    reports: list[Report] = []
    async with client(lib, Dialer(on_report=reports.append), uds=server.path) as http:
        assert (await http.get("http://anything.example/")).text == "hello"
    assert [report.address for report in reports] == [f"unix:{server.path}"]


async def test_the_local_address_is_bound_to(lib: Httpx, server: Nginx) -> None:
    async with client(lib, local_address="127.0.0.9") as http:
        assert (await http.get(f"http://127.0.0.1:{server.port}/from")).text == "127.0.0.9"


async def test_it_tries_again(lib: Httpx) -> None:
    reports: list[Report] = []
    with refusing() as (host, port):
        async with client(lib, Dialer(on_report=reports.append), retries=1) as http:
            with pytest.raises(lib.httpx.ConnectError):
                await http.get(f"http://{host}:{port}/")
    assert [report.outcome for report in reports] == ["failed", "failed"]


async def test_it_has_limits(lib: Httpx, server: Nginx) -> None:
    limits = lib.httpx.Limits(max_connections=1)
    url = f"http://127.0.0.1:{server.port}/big"
    async with client(lib, limits=limits) as http, http.stream("GET", url):
        with pytest.raises(lib.httpx.PoolTimeout):
            await http.get(url, timeout=lib.httpx.Timeout(30, pool=0.01))


async def test_a_connection_need_not_be_kept(lib: Httpx, server: Nginx) -> None:
    url = f"http://127.0.0.1:{server.port}/connection"
    limits = lib.httpx.Limits(max_keepalive_connections=0)
    async with client(lib, limits=limits) as http:
        assert (await http.get(url)).text != (await http.get(url)).text
    limits = lib.httpx.Limits(keepalive_expiry=0)
    async with client(lib, limits=limits) as http:
        numbers = {(await http.get(url)).text.split()[0] for _ in range(2)}
    assert len(numbers) == 2


CHANGED: dict[str, Any] = {
    "http1": False,
    "http2": True,
    "limits": {"max_connections": 7, "max_keepalive_connections": 6, "keepalive_expiry": 9},
    "retries": 5,
    "uds": "/nowhere",
}


@pytest.mark.parametrize("options", [{}, CHANGED], ids=["default", "changed"])
def test_its_options_are_those_of_the_transport_of_httpx(
    lib: Httpx, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    init = lib.core.AsyncConnectionPool.__init__

    def note(self: Any, **options: Any) -> None:
        made.append(options)
        init(self, **options)

    monkeypatch.setattr(lib.core.AsyncConnectionPool, "__init__", note)
    if "limits" in options:
        options = {**options, "limits": lib.httpx.Limits(**options["limits"])}
    lib.AConnectTransport(**options)
    lib.httpx.AsyncHTTPTransport(**options)
    ours, theirs = made
    assert ours.keys() - theirs.keys() == {"network_backend", "proxy"}
    assert theirs.keys() - ours.keys() == {"local_address", "socket_options"}  # on the dialer
    for name in theirs.keys() & ours.keys() - {"ssl_context"}:
        assert ours[name] == theirs[name], name


# TLS


async def test_it_speaks_tls(lib: Httpx, server: Nginx) -> None:
    async with client(lib, Dialer(resolver=HERE), verify=server.context()) as http:
        assert (await http.get(f"https://{NAME}:{server.tls_port}/name")).text == NAME


async def test_the_name_for_tls_can_be_another(lib: Httpx, server: Nginx) -> None:
    url = f"https://127.0.0.1:{server.tls_port}/name"
    async with client(lib, verify=server.context()) as http:
        assert (await http.get(url, extensions={"sni_hostname": NAME})).text == NAME


async def test_tls_over_a_unix_socket_is_for_the_host_of_the_url(
    lib: Httpx, server: Nginx
) -> None:
    async with client(lib, uds=server.tls_path, verify=server.context()) as http:
        assert (await http.get(f"https://{NAME}/name")).text == NAME
        with pytest.raises(lib.httpx.ConnectError, match=r"not for wrong\.example") as caught:
            await http.get("https://wrong.example/")
    assert server.tls_path in str(caught.value)


async def test_tls_for_another_host_says_so(lib: Httpx, server: Nginx) -> None:
    resolver = StaticResolver({"wrong.example": ["127.0.0.1"]})
    async with client(lib, Dialer(resolver=resolver), verify=server.context()) as http:
        with pytest.raises(lib.httpx.ConnectError, match=r"not for wrong\.example") as caught:
            await http.get(f"https://wrong.example:{server.tls_port}/")
    assert isinstance(caught.value.__cause__, HandshakeError)
    assert isinstance(caught.value.__cause__.__cause__, ssl.SSLCertVerificationError)


async def test_certificates_are_verified_by_default(lib: Httpx, server: Nginx) -> None:
    dialer = Dialer(resolver=HERE)
    async with lib.httpx.AsyncClient(transport=lib.AConnectTransport(dialer=dialer)) as http:
        with pytest.raises(lib.httpx.ConnectError, match="issuer"):
            await http.get(f"https://{NAME}:{server.tls_port}/")
    async with client(lib, dialer, verify=False) as http:
        assert (await http.get(f"https://{NAME}:{server.tls_port}/name")).text == NAME


async def test_an_address_that_is_silent_in_tls_costs_a_delay(lib: Httpx, server: Nginx) -> None:
    reports: list[Report] = []
    resolver = StaticResolver({NAME: [SILENT, "127.0.0.1"]})
    dialer = Dialer(resolver=resolver, attempt_delay=0.01, on_report=reports.append)
    with accepting(SILENT, server.tls_port):
        async with client(lib, dialer, verify=server.context()) as http:
            assert (await http.get(f"https://{NAME}:{server.tls_port}/name")).text == NAME
    [report] = reports
    assert [attempt.won for attempt in report.attempts] == [False, True]


async def test_the_time_limit_is_one_for_the_connection_and_tls(lib: Httpx) -> None:
    reports: list[Report] = []
    with listening() as listener:
        host, port = listener.getsockname()
        async with client(lib, Dialer(on_report=reports.append)) as http:
            with pytest.raises(lib.httpx.ConnectTimeout, match="had not finished") as caught:
                timeout = lib.httpx.Timeout(30, connect=0.05)
                await http.get(f"https://{host}:{port}/", timeout=timeout)
    cause = caught.value.__cause__
    assert isinstance(cause, aconnect.ConnectTimeout)
    assert cause.phase == "handshake"
    assert [report.outcome for report in reports] == ["timed out"]


async def test_tls_that_fails_is_tried_again(lib: Httpx, server: Nginx) -> None:
    reports: list[Report] = []
    dialer = Dialer(resolver=HERE, on_report=reports.append)
    async with client(lib, dialer, verify=ssl.create_default_context(), retries=1) as http:
        with pytest.raises(lib.httpx.ConnectError, match="issuer"):
            await http.get(f"https://{NAME}:{server.tls_port}/")
    assert [report.outcome for report in reports] == ["failed", "failed"]


@pytest.mark.parametrize(
    ("http2", "version", "protocol"), [(True, "HTTP/2", "h2"), (False, "HTTP/1.1", "http/1.1")]
)
async def test_the_protocol_is_agreed_upon(
    lib: Httpx, server: Nginx, http2: bool, version: str, protocol: str
) -> None:
    async with client(lib, Dialer(resolver=HERE), verify=server.context(), http2=http2) as http:
        answer = await http.get(f"https://{NAME}:{server.tls_port}/protocol")
    assert (answer.http_version, answer.text) == (version, protocol)


async def test_the_trace_is_that_of_httpx(lib: Httpx, server: Nginx) -> None:
    events = []

    async def trace(event: str, info: dict[str, Any]) -> None:
        events.append(event)
        if event == "connection.connect_tcp.complete":
            assert info["return_value"].get_extra_info("server_addr") is None
            await info["return_value"].aclose()  # there is nothing to close
        elif event == "connection.start_tls.complete":
            assert info["return_value"].get_extra_info("server_addr")[1] == server.tls_port

    async with client(lib, Dialer(resolver=HERE), verify=server.context()) as http:
        await http.get(f"https://{NAME}:{server.tls_port}/", extensions={"trace": trace})
    assert [event for event in events if event.startswith("connection.")] == [
        f"connection.{call}.{step}"
        for call in ("connect_tcp", "start_tls")
        for step in ("started", "complete")
    ]


# Proxies


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
async def test_what_is_behind_a_proxy(lib: Httpx, server: Nginx, kind: str) -> None:
    reports: list[Report] = []
    dialer = Dialer(resolver=HERE, on_report=reports.append)
    serve = socks_proxy if kind == "socks5" else connect_proxy
    context = server.for_servers() if kind == "https" else None
    async with anyio.create_task_group() as tasks:
        port, asked = await serving(tasks, serve, ("127.0.0.1", server.tls_port), context)
        trusting = server.context()
        proxy = lib.httpx.Proxy(
            f"{kind}://{NAME}:{port}", ssl_context=trusting if kind == "https" else None
        )
        async with client(lib, dialer, proxy=proxy, verify=trusting) as http:
            assert (await http.get(f"https://{NAME}/name")).text == NAME
        tasks.cancel_scope.cancel()
    assert asked == [f"{NAME}:443"]
    assert [report.address for report in reports] == [f"{NAME}:{port}"]


async def test_a_proxy_that_is_silent_in_tls_costs_a_delay(lib: Httpx, server: Nginx) -> None:
    reports: list[Report] = []
    resolver = StaticResolver({NAME: [SILENT, "127.0.0.1"]})
    dialer = Dialer(resolver=resolver, attempt_delay=0.01, on_report=reports.append)
    proxy = lib.httpx.Proxy(f"https://{NAME}:{server.tls_port}", ssl_context=server.context())
    with accepting(SILENT, server.tls_port):
        async with client(lib, dialer, proxy=proxy) as http:
            assert (await http.get("http://elsewhere.example/")).text == "hello"
    [report] = reports
    assert [attempt.won for attempt in report.attempts] == [False, True]


async def test_how_a_proxy_is_reached_is_said_as_for_a_host(lib: Httpx, server: Nginx) -> None:
    async with (
        client(
            lib,
            proxy=f"http://127.0.0.1:{server.port}",
            local_address="127.0.0.9",
            socket_options=[(socket.SOL_SOCKET, socket.SO_PRIORITY, 3)],
        ) as http,
        http.stream("GET", "http://elsewhere.example/from") as response,
    ):
        sock = response.extensions["network_stream"].get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 3
        assert await response.aread() == b"127.0.0.9"


@pytest.mark.parametrize("other", [{"uds": "/run/x"}, {"retries": 1}], ids=["uds", "retries"])
def test_what_is_not_for_a_proxy_is_refused(lib: Httpx, other: dict[str, Any]) -> None:
    [name] = other
    with pytest.raises(ValueError, match=f"{name} .* cannot be combined with proxy"):
        client(lib, proxy="http://127.0.0.1:1", **other)
    with pytest.raises(ValueError, match=f"{name} .* cannot be combined with forward"):
        client(lib, forward="http://127.0.0.1:1", **other)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_what_is_forwarded_and_what_is_tunnelled(
    lib: Httpx, server: Nginx, scheme: str
) -> None:
    port = server.tls_port if scheme == "https" else server.port
    context = server.context() if scheme == "https" else None
    reports: list[Report] = []
    async with anyio.create_task_group() as tasks:
        tunnel, asked = await serving(tasks, connect_proxy, ("127.0.0.1", server.tls_port))
        dialer = Dialer(
            resolver=HERE, proxy=f"http://127.0.0.1:{tunnel}", on_report=reports.append
        )
        forward = Proxy(scheme, (NAME, port), username="u", password="p", ssl=context)
        async with client(lib, dialer, forward=forward, verify=server.context()) as http:
            assert (await http.get("http://elsewhere.example/")).text == "hello"
            assert (await http.get(f"https://{NAME}/name")).text == NAME
        tasks.cancel_scope.cancel()
    assert asked == [f"{NAME}:443"]
    assert [report.address for report in reports] == [f"{NAME}:{port}", f"{NAME}:443"]


async def test_who_forwards_is_told_the_whole_url(lib: Httpx) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    with FakeProxy([HEAD, answer]) as proxy:
        async with client(lib, forward=proxy.url("http", "alice:s%40crt@")) as http:
            assert (await http.get("http://elsewhere.example/a")).text == "hello"
    head = bytes(proxy.heard[0])
    assert head.startswith(b"GET http://elsewhere.example/a HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic YWxpY2U6c0BjcnQ=\r\n" in head


async def test_who_forwards_is_what_the_policy_for_proxies_is_asked_about(lib: Httpx) -> None:
    dialer = Dialer(proxy="http://127.0.0.1:1", permit_proxy=lambda _: False)
    async with client(lib, dialer, forward="http://127.0.0.2:1") as http:
        with pytest.raises(lib.httpx.ConnectError) as caught:
            await http.get("http://elsewhere.example/")
    assert isinstance(caught.value.__cause__, AddressNotPermitted)


@pytest.mark.parametrize(
    ("forward", "options", "wrong"),
    [
        (1, {}, "forward must be a str or a Proxy, not int"),
        ("socks5h://p", {}, "forward must be an http:// or https:// proxy"),
        ("http+unix:/run/x", {}, "forward must be a proxy at a TCP address"),
        (Proxy("https", "p:1", server_hostname="q"), {}, "without a server_hostname"),
        ("http://p", {"proxy": "http://p"}, "forward cannot be combined with proxy"),
        ("http://p", {"dialer": Dialer(permit=lambda _: True)}, "dialer that has permit, which"),
        (
            "http://p",
            {"dialer": Dialer(permit_name=lambda _: True)},
            "dialer that has permit_name, which",
        ),
    ],
)
def test_what_cannot_forward(lib: Httpx, forward: Any, options: Any, wrong: str) -> None:
    with pytest.raises((TypeError, ValueError), match=wrong):
        lib.AConnectTransport(forward=forward, **options)


def test_who_forwards_over_tls_and_ipv6(lib: Httpx) -> None:
    lib.AConnectTransport(forward="https://[::1]:8443")


def test_a_proxy_that_is_none_is_refused(lib: Httpx) -> None:
    with pytest.raises(ValueError, match="gopher"):
        client(lib, proxy="gopher://127.0.0.1:1")


def test_socks_needs_a_package(lib: Httpx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(ImportError, match=f"^{lib.name} needs socksio for a SOCKS proxy"):
        client(lib, proxy="socks5h://127.0.0.1:1")


# The dialer


@pytest.mark.parametrize(
    ("dialer", "given", "expected"),
    [
        (None, {}, (1, 60, 60, 5)),
        (Dialer(keepalive=Keepalive(9, 8, 7)), {}, (1, 9, 8, 7)),
        (Dialer(keepalive=Keepalive(9, 8, 7)), {"keepalive": Keepalive(6, 5, 4)}, (1, 6, 5, 4)),
        (None, {"keepalive": None}, (0,)),
        (Dialer(keepalive=Keepalive(9, 8, 7)), {"keepalive": None}, (0,)),
    ],
    ids=["default", "dialer", "both", "none", "none after all"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_keepalive(
    lib: Httpx, server: Nginx, dialer: Any, given: Any, expected: tuple[int, ...], scheme: str
) -> None:
    port = server.port if scheme == "http" else server.tls_port
    url = f"{scheme}://127.0.0.1:{port}/"
    async with client(lib, dialer, **given) as http, http.stream("GET", url) as response:
        sock = response.extensions["network_stream"].get_extra_info("socket")
        assert keepalive_of(sock)[: len(expected)] == expected


async def test_the_addresses_of_a_name_race(lib: Httpx, server: Nginx) -> None:
    reports: list[Report] = []
    with dead_addresses_first(NAME, server.port) as resolver:
        dialer = Dialer(resolver=resolver, attempt_delay=0.01, on_report=reports.append)
        async with client(lib, dialer) as http:
            assert (await http.get(f"http://{NAME}:{server.port}/")).text == "hello"
    [report] = reports
    assert [attempt.won for attempt in report.attempts] == [False, False, True]


async def test_the_timeout_is_a_deadline(lib: Httpx) -> None:
    reports: list[Report] = []
    with silent() as (host, port):
        async with client(lib, Dialer(on_report=reports.append)) as http:
            with pytest.raises(lib.httpx.ConnectTimeout) as caught:
                timeout = lib.httpx.Timeout(30, connect=0.05)
                await http.get(f"http://{host}:{port}/", timeout=timeout)
    cause = caught.value.__cause__
    assert isinstance(cause, aconnect.ConnectTimeout)
    assert [cause.report] == reports
    assert [report.outcome for report in reports] == ["timed out"]
    assert caught.value.request.url.port == port


async def test_a_failure_has_ours_as_its_cause(lib: Httpx) -> None:
    with refusing() as (host, port):
        async with client(lib) as http:
            with pytest.raises(
                lib.httpx.ConnectError, match="nothing is listening there"
            ) as caught:
                await http.get(f"http://{host}:{port}/")
    cause = caught.value.__cause__
    assert isinstance(cause, aconnect.ConnectError)
    assert isinstance(cause, ConnectionRefusedError)
    assert cause.transient
    assert cause.report is not None
    assert cause.report.outcome == "failed"


async def test_a_name_that_does_not_exist(lib: Httpx) -> None:
    async with client(lib, Dialer(resolver=StaticResolver({}))) as http:
        with pytest.raises(lib.httpx.ConnectError) as caught:
            await http.get("http://nowhere.example/")
    assert isinstance(caught.value.__cause__, ResolveError)


async def test_other_errors_are_those_of_httpx(lib: Httpx, server: Nginx) -> None:
    url = f"http://127.0.0.1:{server.port}/slow"
    async with client(lib) as http:
        with pytest.raises(
            lib.httpx.ReadTimeout, match=r"timed out after 0\.05 seconds"
        ) as caught:
            await http.get(url, timeout=lib.httpx.Timeout(30, read=0.05))
        assert isinstance(caught.value.__cause__, lib.core.ReadTimeout)
        with pytest.raises(lib.httpx.UnsupportedProtocol):
            await http.get("gopher://127.0.0.1/")


async def test_an_error_of_a_kind_of_its_own_is_of_the_kind_that_it_extends(lib: Httpx) -> None:
    class Odd(lib.core.WriteError):
        """What nobody has heard of."""

    async def trace(event: str, info: object) -> None:
        raise Odd

    async with client(lib) as http:
        with pytest.raises(lib.httpx.WriteError) as caught:
            await http.get("http://127.0.0.1/", extensions={"trace": trace})
    assert isinstance(caught.value.__cause__, Odd)


@pytest.mark.parametrize("missing", ["httpcore", "httpx"])
def test_it_says_what_is_missing(
    lib: Httpx, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each.startswith("aconnect.clients.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, lib.name.replace("httpx", missing), None)
    says = rf"is not installed: install it, or aconnect-io\[{lib.name}\]"
    with pytest.raises(ImportError, match=says):
        importlib.import_module(f"aconnect.clients.{lib.name}")


def test_a_dialer_must_be_one(lib: Httpx) -> None:
    with pytest.raises(TypeError, match="dialer must be a Dialer or None, not 5"):
        lib.AConnectTransport(dialer=5)


# Requests that strangers have a say in


@pytest.mark.parametrize("host", ["innocent.example", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_nobody_gets_inside(lib: Httpx, host: str) -> None:
    dialer = Dialer(permit=public_only(), resolver=INSIDE)
    with listening() as listener, listening("::1") as listener6:
        for each in (listener, listener6):
            each.setblocking(False)
            async with client(lib, dialer) as http:
                with pytest.raises(lib.httpx.ConnectError, match="does not permit") as caught:
                    await http.get(f"http://{host}:{each.getsockname()[1]}/")
            assert isinstance(caught.value.__cause__, AddressNotPermitted)
        for each in (listener, listener6):
            with pytest.raises(BlockingIOError):
                each.accept()


async def test_nor_by_a_unix_socket(lib: Httpx, server: Nginx) -> None:
    async with client(lib, Dialer(permit=public_only()), uds=server.path) as http:
        with pytest.raises(lib.httpx.ConnectError, match="does not permit"):
            await http.get("http://innocent.example/")


async def test_a_proxy_from_the_environment_is_not_used(
    lib: Httpx, server: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    reports: list[Report] = []
    with refusing() as (host, port):
        monkeypatch.setenv("http_proxy", f"http://{host}:{port}")
        url = f"http://127.0.0.1:{server.port}/"
        async with lib.httpx.AsyncClient(verify=False) as http:
            with pytest.raises(lib.httpx.ConnectError):
                await http.get(url)
        async with client(lib, Dialer(on_report=reports.append)) as http:
            assert (await http.get(url)).text == "hello"
    assert [report.address for report in reports] == [f"127.0.0.1:{server.port}"]


@pytest.mark.parametrize("host", ["innocent.example", "127.0.0.1", "[::1]"])
async def test_nor_by_a_redirect(lib: Httpx, server: Nginx, host: str) -> None:
    reports: list[Report] = []
    dialer = Dialer(
        permit=allow("127.0.0.1", ports=server.port), resolver=INSIDE, on_report=reports.append
    )
    with listening("::1" if ":" in host else "127.0.0.1") as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{server.port}/moved"
        target = f"http://{host}:{listener.getsockname()[1]}/"
        async with client(lib, dialer) as http:
            with pytest.raises(lib.httpx.ConnectError, match="does not permit") as caught:
                await http.get(f"{url}?to={target}")
            assert str(caught.value.request.url) == target
            assert (await http.get(f"{url}?to=/")).text == "hello"
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert [report.outcome for report in reports] == ["connected", "failed"]


async def test_a_redirect_to_a_host_that_cannot_be_one(lib: Httpx, server: Nginx) -> None:
    async with client(lib) as http:
        with pytest.raises(lib.httpx.ConnectError, match="label that is empty"):
            await http.get(f"http://127.0.0.1:{server.port}/moved?to=http://a..b/")


async def test_nor_by_a_name_that_changes_its_mind(lib: Httpx, server: Nginx) -> None:
    """DNS rebinding: what is checked is what is dialled, and nothing is looked up in between."""

    class Rebinding:
        asked = 0

        async def resolve(self, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
            self.asked += 1
            host = "127.0.0.1" if self.asked == 1 else "127.0.0.2"
            endpoint = TCPAddress(host, address.port).endpoint
            assert endpoint is not None
            yield Batch([endpoint], sorted=True)

    resolver = Rebinding()
    url = f"http://innocent.example:{server.port}/"
    async with client(lib, Dialer(permit=allow("127.0.0.1"), resolver=resolver)) as http:
        assert (await http.get(url, headers={"Connection": "close"})).text == "hello"
        assert resolver.asked == 1
        with pytest.raises(lib.httpx.ConnectError, match="does not permit"):
            await http.get(url)
        assert resolver.asked == 2


# Cancellation


async def test_a_dial_that_is_cancelled_leaves_nothing(lib: Httpx) -> None:
    reports: list[Report] = []
    with silent() as (host, port):
        async with client(lib, Dialer(on_report=reports.append)) as http:
            await cancelled(http, f"http://{host}:{port}/")
    assert [report.outcome for report in reports] == ["cancelled"]


async def test_tls_that_is_cancelled_leaves_nothing(lib: Httpx) -> None:
    with listening() as listener:
        host, port = listener.getsockname()
        async with client(lib) as http, anyio.create_task_group() as tasks:
            tasks.start_soon(http.get, f"https://{host}:{port}/")
            await anyio.wait_readable(listener)
            with listener.accept()[0] as peer:
                await anyio.wait_readable(peer)
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    while peer.recv(2**16):
                        await anyio.wait_readable(peer)  # up to the end


async def test_a_body_that_is_cancelled_leaves_nothing(lib: Httpx, server: Nginx) -> None:
    async with client(lib) as http:
        await cancelled(http, f"http://127.0.0.1:{server.port}/slow")


async def cancelled(http: Any, url: str) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(http.get, url)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


class TestCancelledAtEveryStep:
    def scene(self, lib: Httpx, server: Nginx, *setup: Any) -> Scenario:
        context = server.context()

        async def start() -> None:
            async with client(lib, Dialer(resolver=HERE), verify=context) as http:
                await http.get(f"https://{NAME}:{server.tls_port}/")

        scene = Scenario(*setup)
        scene.start = start
        return scene

    @pytest.mark.parametrize("new_loop", NEW_LOOPS)
    def test_on_asyncio(
        self,
        lib: Httpx,
        server: Nginx,
        new_loop: Any,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        with ExitStack() as stack, Canaries():
            scene = self.scene(lib, server, stack, monkeypatch, tmp_path)
            cancel_at_every_step(for_transports(new_loop), scene)

    def test_on_trio(
        self, lib: Httpx, server: Nginx, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with ExitStack() as stack:
            cancel_at_every_step_of_trio(self.scene(lib, server, stack, monkeypatch, tmp_path))
