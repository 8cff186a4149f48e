"""httpx, httpcore and their successors, without an event loop."""

from __future__ import annotations

import importlib
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.by_proxy import SCHEMES, by_proxy
from support.clients import dead_addresses_first
from support.http_server import http_server
from support.listeners import listening, refusing, silent
from support.packages import CORES, HTTPX
from support.programs import free_port
from support.tls import NAME, Certificates, serving

from aconnect import (
    AddressNotPermitted,
    ConnectTimeout,
    Dialer,
    HandshakeError,
    Keepalive,
    Report,
    ResolveError,
    StaticResolver,
)

if TYPE_CHECKING:
    from pathlib import Path

OUTSIDE = "127.0.0.2"
RESOLVER = StaticResolver(
    {NAME: ["127.0.0.1"], "outside.example": [OUTSIDE], "innocent.example": ["127.0.0.1"]}
)
HERE = Dialer(resolver=RESOLVER)
CAREFUL = Dialer(resolver=RESOLVER, permit=lambda endpoint: endpoint.sockaddr[0] == OUTSIDE)


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(params=HTTPX)
def httpx(request: pytest.FixtureRequest) -> Any:
    """The package, with a ``client`` that connects with a dialer."""
    package = importlib.import_module(request.param)
    ours = importlib.import_module(f"aconnect.clients.blocking.{request.param}")

    class Package:
        errors = package

        @staticmethod
        def client(dialer: Dialer = HERE, **options: Any) -> Any:
            options.setdefault("verify", False)
            transport = ours.AConnectTransport(dialer=dialer, **options)
            return package.Client(transport=transport, timeout=30, follow_redirects=True)

    return Package


@pytest.fixture(params=CORES)
def core(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_backend_that_connects_first(
    core: Any, ours: Any, scheme: str, certificates: Certificates
) -> None:
    with (
        http_server(context=certificates.server()) as port,
        by_proxy(scheme, ("127.0.0.1", port), NAME) as (dialer, _),
    ):
        stream = ours.AConnectBackend(dialer=dialer).connect_tcp(NAME, port, 30)
        assert stream.get_extra_info("ssl_object") is None
        stream = stream.start_tls(certificates.client(), NAME, 30)
        assert stream.get_extra_info("ssl_object").version() == "TLSv1.3"
        stream.write(b"GET / HTTP/1.0\r\n\r\n", 30)
        assert stream.read(4, 30) == b"HTTP"
        stream.close()


@pytest.fixture
def ours(core: Any) -> Any:
    return importlib.import_module(f"aconnect.clients.blocking.{core.__name__}")


# What a client can do


def test_a_connection_is_kept(httpx: Any) -> None:
    reports: list[Report] = []
    with http_server() as port, httpx.client(HERE.replace(on_report=reports.append)) as http:
        url = f"http://{NAME}:{port}/connection"
        assert http.get(url).text == http.get(url).text
    assert [report.outcome for report in reports] == ["connected"]


def test_tls_is_part_of_the_race(httpx: Any, certificates: Certificates) -> None:
    port = free_port()
    context = certificates.server()
    with http_server(port=port, context=context), listening("127.0.0.3", port):
        dialer = Dialer(
            resolver=StaticResolver({NAME: ["127.0.0.3", "127.0.0.1"]}), attempt_delay=0.01
        )
        with httpx.client(dialer, verify=certificates.client()) as http:
            assert http.get(f"https://{NAME}:{port}/").text == "hello"


def test_dead_addresses_first(httpx: Any) -> None:
    with (
        http_server(port=free_port()) as port,
        dead_addresses_first(NAME, port) as resolver,
    ):
        with httpx.client(Dialer(resolver=resolver, attempt_delay=0.01)) as http:
            assert http.get(f"http://{NAME}:{port}/").text == "hello"


def test_a_unix_socket(httpx: Any, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with http_server(path=path), httpx.client(uds=str(path)) as http:
        assert http.get("http://whatever.example/").text == "hello"


def test_through_a_proxy(httpx: Any) -> None:
    with http_server() as port, httpx.client(proxy=f"http://{NAME}:{port}") as http:
        assert http.get("http://unknown.example/").text == "hello"


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_by_way_of_a_proxy(httpx: Any, scheme: str, tls: bool, certificates: Certificates) -> None:
    with (
        http_server(context=certificates.server() if tls else None) as port,
        by_proxy(scheme, ("127.0.0.1", port), NAME) as (dialer, proxy),
        httpx.client(dialer, verify=certificates.client()) as http,
    ):
        assert http.get(f"{'https' if tls else 'http'}://{NAME}:{port}/").text == "hello"
        assert proxy.connections == 1


def test_what_is_forwarded(httpx: Any) -> None:
    dialer = HERE.replace(proxy="http://127.0.0.1:1")
    with http_server() as port, httpx.client(dialer, forward=f"http://{NAME}:{port}") as http:
        assert http.get("http://unknown.example/").text == "hello"


def test_what_is_raised(httpx: Any, certificates: Certificates) -> None:
    with httpx.client() as http:
        with pytest.raises(httpx.errors.ConnectError) as caught:
            http.get("http://unknown.example/")
        assert isinstance(caught.value.__cause__, ResolveError)
        with refusing() as (_, port), pytest.raises(httpx.errors.ConnectError) as caught:
            http.get(f"http://127.0.0.1:{port}/")
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)
        with silent() as (_, port), pytest.raises(httpx.errors.ConnectTimeout) as caught:
            http.get(f"http://127.0.0.1:{port}/", timeout=0.05)
        assert isinstance(caught.value.__cause__, ConnectTimeout)
        with listening() as listener, pytest.raises(httpx.errors.ReadTimeout):
            http.get(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.05)
    with http_server(context=certificates.server()) as port, httpx.client(verify=True) as http:
        with pytest.raises(httpx.errors.ConnectError) as caught:
            http.get(f"https://{NAME}:{port}/")
        assert isinstance(caught.value.__cause__, HandshakeError)


# Where strangers have a say


def test_a_name_that_leads_inside(httpx: Any) -> None:
    with http_server() as port, httpx.client(CAREFUL) as http:
        for host in ("innocent.example", "127.0.0.1"):
            with pytest.raises(httpx.errors.ConnectError) as caught:
                http.get(f"http://{host}:{port}/")
            assert isinstance(caught.value.__cause__, AddressNotPermitted)


@pytest.mark.parametrize("host", ["127.0.0.1", "innocent.example"])
def test_a_redirect_that_leads_inside(httpx: Any, host: str) -> None:
    with http_server() as inside, http_server(OUTSIDE) as outside:
        start = f"http://outside.example:{outside}/to?"
        with httpx.client(CAREFUL) as http:
            assert http.get(f"{start}http://outside.example:{outside}/").text == "hello"
            for scheme in ("http", "https"):
                with pytest.raises(httpx.errors.ConnectError) as caught:
                    http.get(f"{start}{scheme}://{host}:{inside}/")
                assert isinstance(caught.value.__cause__, AddressNotPermitted)


# httpcore


def test_a_pool(core: Any, ours: Any) -> None:
    with http_server() as port, ours.AConnectPool(dialer=HERE) as pool:
        assert pool.request("GET", f"http://{NAME}:{port}/").content == b"hello"


def test_a_backend_for_a_pool_of_its_own(core: Any, ours: Any, certificates: Certificates) -> None:
    with http_server(context=certificates.server()) as port:
        for tls in (False, True):
            backend = ours.AConnectBackend(dialer=HERE, tls=tls)
            trusting = certificates.client()
            with core.ConnectionPool(network_backend=backend, ssl_context=trusting) as pool:
                assert pool.request("GET", f"https://{NAME}:{port}/").content == b"hello"


def test_a_stream(core: Any, ours: Any, certificates: Certificates) -> None:
    with serving(certificates.server()) as server:
        backend = ours.AConnectBackend(dialer=HERE)
        options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 5000)]
        plain = backend.connect_tcp(NAME, server.address[1], 30, "127.0.0.3", options)
        assert plain.get_extra_info("client_addr")[0] == "127.0.0.3"
        assert plain.get_extra_info("server_addr") == server.address
        assert plain.get_extra_info("ssl_object") is None
        assert plain.get_extra_info("other") is None
        assert plain.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        stream = plain.start_tls(certificates.client(), NAME, 30)
        stream.write(b"")
        stream.write(b"hello", 30)
        assert stream.read(5, 30) == b"hello"
        assert stream.get_extra_info("ssl_object").version()
        assert not stream.get_extra_info("is_readable")
        with pytest.raises(core.ReadTimeout):
            stream.read(5, 0.01)
        with pytest.raises(ValueError, match="there is TLS already"):
            stream.start_tls(certificates.client(), NAME)
        for use, error in (
            (lambda: stream.read(5), core.ReadError),
            (lambda: stream.write(b"x"), core.WriteError),
        ):
            with pytest.raises(error):
                use()
        assert stream.get_extra_info("is_readable")
    backend.sleep(0)


def test_tls_afterwards_that_fails(core: Any, ours: Any, certificates: Certificates) -> None:
    backend = ours.AConnectBackend(dialer=HERE, keepalive=Keepalive(5, 5, 2))
    with serving(certificates.server()) as server:
        stream = backend.connect_tcp(NAME, server.address[1])
        with pytest.raises(core.ConnectError) as caught:
            stream.start_tls(ssl.create_default_context(), NAME)
        assert isinstance(caught.value.args[0], HandshakeError)
        assert stream.get_extra_info("socket").fileno() < 0
    with listening() as listener:
        stream = backend.connect_tcp(NAME, listener.getsockname()[1])
        with pytest.raises(core.ConnectTimeout):
            stream.start_tls(certificates.client(), NAME, 0.05)
        stream = backend.connect_tcp(NAME, listener.getsockname()[1])
        with pytest.raises(TypeError):
            stream.start_tls(5, NAME)
        assert stream.get_extra_info("socket").fileno() < 0


def test_a_host_that_cannot_be_one(core: Any, ours: Any) -> None:
    with pytest.raises(core.ConnectError) as caught:
        ours.AConnectBackend().connect_tcp("a..b", 80)
    assert isinstance(caught.value.args[0], ValueError)


def test_nothing_is_there_before_tls(core: Any, ours: Any) -> None:
    stream = ours.AConnectBackend(tls=True).connect_tcp("127.0.0.1", 1)
    assert stream.get_extra_info("socket") is None
    with pytest.raises(core.ReadError, match="start_tls"):
        stream.read(1)
    with pytest.raises(core.WriteError, match="start_tls"):
        stream.write(b"x")
    stream.close()


@pytest.mark.parametrize("library", ["httpcore", "httpcore2", "httpx", "httpx2"])
def test_it_says_what_is_missing(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"aconnect.clients.blocking.{library}", raising=False)
    with pytest.raises(ImportError, match=rf"aconnect-io\[{library}\]"):
        importlib.import_module(f"aconnect.clients.blocking.{library}")
