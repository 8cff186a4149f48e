"""httpx, with connections of a dialer's, against a real nginx."""

from __future__ import annotations

import importlib
import ssl
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio
import httpcore
import httpx
import pytest
from support.canaries import Canaries
from support.clients import dead_addresses_first, for_transports
from support.listeners import listening, refusing, silent
from support.nginx import BIG, NAME, Nginx, nginx
from support.scenarios import ASYNCIO_LOOPS as NEW_LOOPS
from support.scenarios import Scenario, cancel_at_every_step, cancel_at_every_step_of_trio

import aconnect
from aconnect import (
    AddressNotPermitted,
    Batch,
    Dialer,
    HandshakeError,
    Report,
    ResolveError,
    StaticResolver,
    TCPAddress,
    UDPAddress,
)
from aconnect.clients.httpx import AConnectTransport
from aconnect.policy import allow, public_only

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.server]

HERE = StaticResolver({NAME: ["127.0.0.1"]})
INSIDE = StaticResolver({"innocent.example": ["127.0.0.1", "::1"]})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx")) as running:
        yield running


def client(dialer: Dialer | None = None, **options: Any) -> httpx.AsyncClient:
    options.setdefault("verify", False)  # for most it does not matter, and takes no time
    transport = AConnectTransport(dialer=dialer, **options)
    return httpx.AsyncClient(transport=transport, timeout=30, follow_redirects=True)


# What a client can do


async def test_requests_share_a_connection(server: Nginx) -> None:
    reports: list[Report] = []
    async with client(Dialer(on_report=reports.append)) as http:
        url = f"http://127.0.0.1:{server.port}/connection"
        first = (await http.get(url)).text.split()
        second = (await http.get(url)).text.split()
    assert first[0] == second[0]
    assert int(second[1]) == int(first[1]) + 1
    assert [report.outcome for report in reports] == ["connected"]


async def test_bodies_are_streamed_both_ways(server: Nginx) -> None:
    async def body() -> AsyncIterator[bytes]:
        for part in (b"one ", b"two ", b"three"):
            yield part

    async with client() as http:
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


async def test_a_body_need_not_be_read_to_its_end(server: Nginx) -> None:
    reports: list[Report] = []
    async with client(Dialer(on_report=reports.append)) as http:
        for _ in range(2):
            request = http.build_request("GET", f"http://127.0.0.1:{server.port}/big")
            response = await http.send(request, stream=True)
            await response.aclose()
    assert [report.outcome for report in reports] == ["connected", "connected"]


async def test_a_unix_socket_takes_the_place_of_a_host(server: Nginx) -> None:
    reports: list[Report] = []
    async with client(Dialer(on_report=reports.append), uds=server.path) as http:
        assert (await http.get("http://anything.example/")).text == "hello"
    assert [report.address for report in reports] == [f"unix:{server.path}"]


async def test_the_local_address_is_bound_to(server: Nginx) -> None:
    async with client(local_address="127.0.0.9") as http:
        assert (await http.get(f"http://127.0.0.1:{server.port}/from")).text == "127.0.0.9"


async def test_it_tries_again() -> None:
    reports: list[Report] = []
    with refusing() as (host, port):
        async with client(Dialer(on_report=reports.append), retries=1) as http:
            with pytest.raises(httpx.ConnectError):
                await http.get(f"http://{host}:{port}/")
    assert [report.outcome for report in reports] == ["failed", "failed"]


async def test_it_has_limits(server: Nginx) -> None:
    limits = httpx.Limits(max_connections=1)
    url = f"http://127.0.0.1:{server.port}/big"
    async with client(limits=limits) as http, http.stream("GET", url):
        with pytest.raises(httpx.PoolTimeout):
            await http.get(url, timeout=httpx.Timeout(30, pool=0.01))


async def test_a_connection_need_not_be_kept(server: Nginx) -> None:
    url = f"http://127.0.0.1:{server.port}/connection"
    limits = httpx.Limits(max_keepalive_connections=0)
    async with client(limits=limits) as http:
        assert (await http.get(url)).text != (await http.get(url)).text
    limits = httpx.Limits(keepalive_expiry=0)
    async with client(limits=limits) as http:
        numbers = {(await http.get(url)).text.split()[0] for _ in range(2)}
    assert len(numbers) == 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "http1": False,
            "http2": True,
            "limits": httpx.Limits(max_connections=7, max_keepalive_connections=6),
            "retries": 5,
            "uds": "/nowhere",
            "local_address": "127.0.0.9",
        },
    ],
    ids=["default", "changed"],
)
def test_its_options_are_those_of_the_transport_of_httpx(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    class Pool(httpcore.AsyncConnectionPool):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(options)

    monkeypatch.setattr(httpcore, "AsyncConnectionPool", Pool)
    AConnectTransport(**options)
    httpx.AsyncHTTPTransport(**options)
    ours, theirs = made
    only_ours, only_theirs = {"network_backend"}, {"socket_options"}
    assert ours.keys() ^ theirs.keys() == only_ours | only_theirs
    for name in theirs.keys() - only_theirs - {"ssl_context"}:
        assert ours[name] == theirs[name], name


# TLS


async def test_it_speaks_tls(server: Nginx) -> None:
    async with client(Dialer(resolver=HERE), verify=server.context()) as http:
        assert (await http.get(f"https://{NAME}:{server.tls_port}/name")).text == NAME


async def test_the_name_for_tls_can_be_another(server: Nginx) -> None:
    url = f"https://127.0.0.1:{server.tls_port}/name"
    async with client(verify=server.context()) as http:
        assert (await http.get(url, extensions={"sni_hostname": NAME})).text == NAME


async def test_tls_over_a_unix_socket_is_for_the_host_of_the_url(server: Nginx) -> None:
    async with client(uds=server.tls_path, verify=server.context()) as http:
        assert (await http.get(f"https://{NAME}/name")).text == NAME
        with pytest.raises(httpx.ConnectError, match=r"not for wrong\.example") as caught:
            await http.get("https://wrong.example/")
    assert server.tls_path in str(caught.value)


async def test_tls_for_another_host_says_so(server: Nginx) -> None:
    resolver = StaticResolver({"wrong.example": ["127.0.0.1"]})
    async with client(Dialer(resolver=resolver), verify=server.context()) as http:
        with pytest.raises(httpx.ConnectError, match=r"not for wrong\.example") as caught:
            await http.get(f"https://wrong.example:{server.tls_port}/")
    assert isinstance(caught.value.__cause__, HandshakeError)
    assert isinstance(caught.value.__cause__.__cause__, ssl.SSLCertVerificationError)


async def test_certificates_are_verified_by_default(server: Nginx) -> None:
    dialer = Dialer(resolver=HERE)
    async with httpx.AsyncClient(transport=AConnectTransport(dialer=dialer)) as http:
        with pytest.raises(httpx.ConnectError, match="issuer"):
            await http.get(f"https://{NAME}:{server.tls_port}/")
    async with client(dialer, verify=False) as http:
        assert (await http.get(f"https://{NAME}:{server.tls_port}/name")).text == NAME


# The dialer


async def test_the_addresses_of_a_name_race(server: Nginx) -> None:
    reports: list[Report] = []
    with dead_addresses_first(NAME, server.port) as resolver:
        dialer = Dialer(resolver=resolver, attempt_delay=0.01, on_report=reports.append)
        async with client(dialer) as http:
            assert (await http.get(f"http://{NAME}:{server.port}/")).text == "hello"
    [report] = reports
    assert [attempt.won for attempt in report.attempts] == [False, False, True]


async def test_the_timeout_is_a_deadline() -> None:
    reports: list[Report] = []
    with silent() as (host, port):
        async with client(Dialer(on_report=reports.append)) as http:
            with pytest.raises(httpx.ConnectTimeout) as caught:
                timeout = httpx.Timeout(30, connect=0.05)
                await http.get(f"http://{host}:{port}/", timeout=timeout)
    cause = caught.value.__cause__
    assert isinstance(cause, aconnect.ConnectTimeout)
    assert [cause.report] == reports
    assert [report.outcome for report in reports] == ["timed out"]
    assert caught.value.request.url.port == port


async def test_a_failure_has_ours_as_its_cause() -> None:
    with refusing() as (host, port):
        async with client() as http:
            with pytest.raises(httpx.ConnectError, match="nobody listens there") as caught:
                await http.get(f"http://{host}:{port}/")
    cause = caught.value.__cause__
    assert isinstance(cause, aconnect.ConnectError)
    assert isinstance(cause, ConnectionRefusedError)
    assert cause.transient
    assert cause.report is not None
    assert cause.report.outcome == "failed"


async def test_a_name_that_does_not_exist() -> None:
    async with client(Dialer(resolver=StaticResolver({}))) as http:
        with pytest.raises(httpx.ConnectError) as caught:
            await http.get("http://nowhere.example/")
    assert isinstance(caught.value.__cause__, ResolveError)


async def test_other_errors_are_those_of_httpx(server: Nginx) -> None:
    url = f"http://127.0.0.1:{server.port}/slow"
    async with client() as http:
        with pytest.raises(httpx.ReadTimeout, match=r"longer than 0\.05 seconds") as caught:
            await http.get(url, timeout=httpx.Timeout(30, read=0.05))
        assert isinstance(caught.value.__cause__, httpcore.ReadTimeout)
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get("gopher://127.0.0.1/")


async def test_an_error_of_a_kind_of_its_own_is_of_the_kind_that_it_extends() -> None:
    class Odd(httpcore.WriteError):
        """What nobody has heard of."""

    async def trace(event: str, info: object) -> None:
        raise Odd

    async with client() as http:
        with pytest.raises(httpx.WriteError) as caught:
            await http.get("http://127.0.0.1/", extensions={"trace": trace})
    assert isinstance(caught.value.__cause__, Odd)


@pytest.mark.parametrize("missing", ["httpcore", "httpx"])
def test_it_says_what_is_missing(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "aconnect.clients.httpx")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        ImportError, match=r"is not installed: install it, or the extra 'httpx' of aconnect-io"
    ):
        importlib.import_module("aconnect.clients.httpx")


def test_a_dialer_must_be_one() -> None:
    with pytest.raises(TypeError, match="dialer must be a Dialer or None, not 5"):
        AConnectTransport(dialer=5)  # type: ignore[arg-type]  # on purpose


# Requests that strangers have a say in


@pytest.mark.parametrize("host", ["innocent.example", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_nobody_gets_inside(host: str) -> None:
    dialer = Dialer(permit=public_only(), resolver=INSIDE)
    with listening() as listener, listening("::1") as listener6:
        for each in (listener, listener6):
            each.setblocking(False)
            async with client(dialer) as http:
                with pytest.raises(httpx.ConnectError, match="does not permit") as caught:
                    await http.get(f"http://{host}:{each.getsockname()[1]}/")
            assert isinstance(caught.value.__cause__, AddressNotPermitted)
        for each in (listener, listener6):
            with pytest.raises(BlockingIOError):
                each.accept()


async def test_nor_by_a_unix_socket(server: Nginx) -> None:
    async with client(Dialer(permit=public_only()), uds=server.path) as http:
        with pytest.raises(httpx.ConnectError, match="does not permit"):
            await http.get("http://innocent.example/")


async def test_a_proxy_from_the_environment_is_not_used(
    server: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    reports: list[Report] = []
    with refusing() as (host, port):
        monkeypatch.setenv("http_proxy", f"http://{host}:{port}")
        url = f"http://127.0.0.1:{server.port}/"
        async with httpx.AsyncClient(verify=False) as http:
            with pytest.raises(httpx.ConnectError):
                await http.get(url)
        async with client(Dialer(on_report=reports.append)) as http:
            assert (await http.get(url)).text == "hello"
    assert [report.address for report in reports] == [f"127.0.0.1:{server.port}"]


@pytest.mark.parametrize("host", ["innocent.example", "127.0.0.1", "[::1]"])
async def test_nor_by_a_redirect(server: Nginx, host: str) -> None:
    reports: list[Report] = []
    dialer = Dialer(
        permit=allow("127.0.0.1", ports=server.port), resolver=INSIDE, on_report=reports.append
    )
    with listening("::1" if ":" in host else "127.0.0.1") as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{server.port}/moved"
        target = f"http://{host}:{listener.getsockname()[1]}/"
        async with client(dialer) as http:
            with pytest.raises(httpx.ConnectError, match="does not permit") as caught:
                await http.get(f"{url}?to={target}")
            assert str(caught.value.request.url) == target
            assert (await http.get(f"{url}?to=/")).text == "hello"
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert [report.outcome for report in reports] == ["connected", "failed"]


async def test_a_redirect_to_a_host_that_cannot_be_one(server: Nginx) -> None:
    async with client() as http:
        with pytest.raises(httpx.ConnectError, match="part that is empty"):
            await http.get(f"http://127.0.0.1:{server.port}/moved?to=http://a..b/")


async def test_nor_by_a_name_that_changes_its_mind(server: Nginx) -> None:
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
    async with client(Dialer(permit=allow("127.0.0.1"), resolver=resolver)) as http:
        assert (await http.get(url, headers={"Connection": "close"})).text == "hello"
        assert resolver.asked == 1
        with pytest.raises(httpx.ConnectError, match="does not permit"):
            await http.get(url)
        assert resolver.asked == 2


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


async def cancelled(http: httpx.AsyncClient, url: str) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(http.get, url)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


class TestCancelledAtEveryStep:
    def scene(self, server: Nginx, *setup: Any) -> Scenario:
        context = server.context()

        async def start() -> None:
            async with client(Dialer(resolver=HERE), verify=context) as http:
                await http.get(f"https://{NAME}:{server.tls_port}/")

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
