"""Clients of HTTP that block: requests, urllib3, http.client and urllib.request."""

from __future__ import annotations

import http.client
import importlib
import pickle
import ssl
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3
from support.by_proxy import SCHEMES, by_proxy
from support.clients import dead_addresses_first
from support.http_server import http_server
from support.listeners import refusing, silent
from support.programs import free_port
from support.tls import NAME, Certificates

from aconnect import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    Dialer,
    HandshakeError,
    Report,
    ResolveError,
    StaticResolver,
)
from aconnect.clients.blocking.http_client import AConnectHTTPConnection, AConnectHTTPSConnection
from aconnect.clients.blocking.requests import AConnectAdapter, session
from aconnect.clients.blocking.urllib3 import AConnectPoolManager
from aconnect.clients.blocking.urllib_request import opener
from aconnect.policy import public_only

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OUTSIDE = "127.0.0.2"
RESOLVER = StaticResolver(
    {NAME: ["127.0.0.1"], "outside.example": [OUTSIDE], "innocent.example": ["127.0.0.1"]}
)
HERE = Dialer(resolver=RESOLVER)
"""Knows where the servers are."""
CAREFUL = Dialer(resolver=RESOLVER, permit=lambda endpoint: endpoint.sockaddr[0] == OUTSIDE)
"""Goes to the outside only, as `public_only` would."""


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


class Client:
    """One way to get a page; `cause` is what of ours is in what it raises."""

    failure: Any = Exception

    def __init__(self, dialer: Dialer, authority: Path | None = None) -> None:
        self.dialer = dialer
        self.context = ssl.create_default_context(cafile=authority) if authority else None

    def get(self, url: str, timeout: float = 30) -> str:
        raise NotImplementedError

    def cause(self, error: Any) -> BaseException | None:
        raise NotImplementedError

    def close(self) -> None:
        pass


class OfRequests(Client):
    failure = requests.ConnectionError

    def __init__(self, dialer: Dialer, authority: Path | None = None) -> None:
        self.session = session(dialer=dialer)
        if authority is not None:
            self.session.verify = str(authority)

    def get(self, url: str, timeout: float = 30) -> str:
        return self.session.get(url, timeout=timeout).text

    def cause(self, error: Any) -> BaseException | None:
        found: BaseException | None = error.args[0].reason.__cause__
        return found

    def close(self) -> None:
        self.session.close()


class OfUrllib3(Client):
    failure = urllib3.exceptions.MaxRetryError

    def __init__(self, dialer: Dialer, authority: Path | None = None) -> None:
        super().__init__(dialer, authority)
        self.pool = AConnectPoolManager(dialer=dialer, ssl_context=self.context)

    def get(self, url: str, timeout: float = 30) -> str:
        retries = urllib3.Retry(connect=0, redirect=3)
        answer = self.pool.request("GET", url, timeout=timeout, retries=retries)
        return answer.data.decode()

    def cause(self, error: Any) -> BaseException | None:
        found: BaseException | None = error.reason.__cause__
        return found

    def close(self) -> None:
        self.pool.clear()


class OfUrllib(Client):
    failure = urllib.error.URLError

    def get(self, url: str, timeout: float = 30) -> str:
        opened = opener(dialer=self.dialer, context=self.context)
        with opened.open(url, timeout=timeout) as answer:
            text: str = answer.read().decode()
            return text

    def cause(self, error: Any) -> BaseException | None:
        found: BaseException | None = error.reason
        return found


class OfHTTPClient(Client):
    failure = ConnectError

    def get(self, url: str, timeout: float = 30) -> str:
        scheme, _, rest = url.partition("://")
        host, _, path = rest.partition("/")
        options: dict[str, Any] = {"dialer": self.dialer, "timeout": timeout}
        connection: Any
        if scheme == "https":
            connection = AConnectHTTPSConnection(host, context=self.context, **options)
        else:
            connection = AConnectHTTPConnection(host, **options)
        try:
            connection.request("GET", f"/{path}")
            text: str = connection.getresponse().read().decode()
            return text
        finally:
            connection.close()

    def cause(self, error: Any) -> BaseException | None:
        return error  # type: ignore[no-any-return]


ALL = [OfRequests, OfUrllib3, OfUrllib, OfHTTPClient]
every_client = pytest.mark.parametrize("kind", ALL)
that_follow_redirects = pytest.mark.parametrize("kind", ALL[:3])


@contextmanager
def client(
    kind: type[Client], dialer: Dialer = HERE, authority: Path | None = None
) -> Iterator[Client]:
    made = kind(dialer, authority)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def fails(one: Client, kind: type[BaseException]) -> Iterator[None]:
    """With an error of the client's, for ours."""
    with pytest.raises(one.failure) as caught:
        yield
    assert isinstance(one.cause(caught.value), kind)


# What they can do


@every_client
def test_a_page(kind: type[Client]) -> None:
    with http_server() as port, client(kind) as one:
        assert one.get(f"http://{NAME}:{port}/") == "hello"
        assert one.get(f"http://127.0.0.1:{port}/") == "hello"


@every_client
def test_a_page_over_tls(kind: type[Client], certificates: Certificates, tmp_path: Path) -> None:
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificates.authority)
    with http_server(context=certificates.server()) as port, client(kind, HERE, authority) as one:
        assert one.get(f"https://{NAME}:{port}/") == "hello"


@every_client
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_by_way_of_a_proxy(
    kind: type[Client], scheme: str, tls: bool, certificates: Certificates, tmp_path: Path
) -> None:
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificates.authority)
    with (
        http_server(context=certificates.server() if tls else None) as port,
        by_proxy(scheme, ("127.0.0.1", port), NAME) as (dialer, proxy),
        client(kind, dialer, authority) as one,
    ):
        assert one.get(f"{'https' if tls else 'http'}://{NAME}:{port}/") == "hello"
        assert proxy.connections == 1


@pytest.mark.parametrize("kind", ALL[:2])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_page_that_is_not_to_be_trusted(
    kind: type[Client], scheme: str, certificates: Certificates
) -> None:
    with (
        http_server(context=certificates.server()) as port,
        by_proxy(scheme, ("127.0.0.1", port), NAME) as (dialer, _),
        client(kind, dialer) as one,
        pytest.raises(
            (requests.exceptions.SSLError, urllib3.exceptions.MaxRetryError), match="verify failed"
        ),
    ):
        one.get(f"https://{NAME}:{port}/")


@every_client
def test_dead_addresses_first(kind: type[Client]) -> None:
    with (
        http_server(port=free_port()) as port,
        dead_addresses_first(NAME, port) as resolver,
    ):
        dialer = Dialer(resolver=resolver, attempt_delay=0.01)
        with client(kind, dialer) as one:
            assert one.get(f"http://{NAME}:{port}/") == "hello"


@every_client
def test_what_is_raised(kind: type[Client]) -> None:
    with refusing() as (_, port), client(kind) as one, fails(one, ConnectionRefusedError):
        one.get(f"http://{NAME}:{port}/")
    with client(kind) as one, fails(one, ResolveError):
        one.get("http://unknown.example/")
    with silent() as (_, port), client(kind) as one, fails(one, ConnectTimeout):
        one.get(f"http://127.0.0.1:{port}/", 0.05)


@pytest.mark.parametrize("kind", ALL[:2])
def test_a_connection_is_kept(kind: type[Client]) -> None:
    reports: list[Report] = []
    with http_server() as port, client(kind, HERE.replace(on_report=reports.append)) as one:
        url = f"http://{NAME}:{port}/connection"
        assert one.get(url) == one.get(url)
    assert [report.outcome for report in reports] == ["connected"]


# Where strangers have a say: what a name, and what a redirect, leads to


@every_client
def test_a_name_that_leads_inside(kind: type[Client]) -> None:
    with http_server() as port:
        for dialer in (CAREFUL, Dialer(resolver=RESOLVER, permit=public_only())):
            with client(kind, dialer) as one, fails(one, AddressNotPermitted):
                one.get(f"http://innocent.example:{port}/")
            with client(kind, dialer) as one, fails(one, AddressNotPermitted):
                one.get(f"http://127.0.0.1:{port}/")


@that_follow_redirects
@pytest.mark.parametrize("host", ["127.0.0.1", "innocent.example"])
def test_a_redirect_that_leads_inside(kind: type[Client], host: str) -> None:
    with http_server() as inside, http_server(OUTSIDE) as outside, client(kind, CAREFUL) as one:
        start = f"http://outside.example:{outside}/to?"
        assert one.get(f"{start}http://outside.example:{outside}/") == "hello"
        for scheme in ("http", "https"):
            with fails(one, AddressNotPermitted):
                one.get(f"{start}{scheme}://{host}:{inside}/")


@that_follow_redirects
def test_a_redirect_to_a_host_that_is_none(kind: type[Client]) -> None:
    with (
        http_server(OUTSIDE) as outside,
        client(kind, CAREFUL) as one,
        pytest.raises(
            (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)
        ),
    ):
        one.get(f"http://outside.example:{outside}/to?http://a..b/")


# requests


def test_requests_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with http_server(path=path), session(uds=path) as http:
        assert http.get("http://whatever.example/").text == "hello"


def test_requests_kinds_of_errors() -> None:
    with (
        session(dialer=HERE) as http,
        silent() as (_, port),
        pytest.raises(requests.ConnectTimeout),
    ):
        http.get(f"http://127.0.0.1:{port}/", timeout=0.05)


def test_requests_does_not_trust(certificates: Certificates) -> None:
    with (
        http_server(context=certificates.server()) as port,
        session(dialer=HERE) as http,
        pytest.raises(requests.exceptions.SSLError),
    ):
        http.get(f"https://{NAME}:{port}/")


def test_requests_through_a_proxy() -> None:
    with http_server() as port, session(dialer=HERE) as http:
        proxies = {"http": f"http://{NAME}:{port}"}
        assert http.get("http://unknown.example/", proxies=proxies).text == "hello"
        with pytest.raises(requests.exceptions.InvalidProxyURL, match="Dialer") as caught:
            http.get("http://unknown.example/", proxies={"http": "socks5://u:secret@127.0.0.1:1"})
        assert "secret" not in str(caught.value)


def test_an_adapter_can_be_pickled() -> None:
    adapter = pickle.loads(pickle.dumps(AConnectAdapter(keepalive=None, uds="/run/a.sock")))
    assert adapter._dialer == Dialer()
    assert adapter._uds == "/run/a.sock"
    assert adapter.poolmanager.pool_classes_by_scheme["http"].keywords["dialer"] == Dialer()


# urllib.request, http.client


def test_an_opener_opens_nothing_else(tmp_path: Path) -> None:
    opened = opener()
    for url in (f"file://{tmp_path}", "ftp://127.0.0.1/", "data:,hello"):
        with pytest.raises(urllib.error.URLError, match="unknown url type"):
            opened.open(url)
    with http_server(OUTSIDE) as port, pytest.raises(urllib.error.URLError):
        opened.open(f"http://{OUTSIDE}:{port}/to?ftp://{OUTSIDE}/")


def test_an_opener_takes_more_handlers() -> None:
    opened = opener(urllib.request.HTTPCookieProcessor())
    assert any(isinstance(each, urllib.request.HTTPCookieProcessor) for each in opened.handlers)


def test_http_client_through_a_tunnel() -> None:
    with http_server() as port:
        connection = AConnectHTTPConnection(NAME, port, dialer=HERE)
        connection.set_tunnel("unknown.example", 80)
        with pytest.raises(OSError, match="Tunnel connection failed"):
            connection.request("GET", "/")
        connection.close()
    assert isinstance(connection, http.client.HTTPConnection)


def test_tls_that_fails_is_the_clients(certificates: Certificates) -> None:
    with (
        http_server(context=certificates.server()) as port,
        client(OfHTTPClient) as one,
        pytest.raises(ssl.SSLCertVerificationError) as caught,
    ):
        one.get(f"https://{NAME}:{port}/")
    assert not isinstance(caught.value, HandshakeError)


@pytest.mark.parametrize(("name", "library"), [("urllib3", "urllib3"), ("requests", "requests")])
def test_it_says_what_is_missing(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"aconnect.clients.blocking.{name}")
    with pytest.raises(ImportError, match=rf"aconnect-io\[{name}\]"):
        importlib.import_module(f"aconnect.clients.blocking.{name}")
