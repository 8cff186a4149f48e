"""Real proxies: what each answers, and that what the target says comes through."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from conftest import open_descriptors
from support.fake_proxy import ECHO, fake_elsewhere
from support.listeners import refusing
from support.proxy_servers import (
    PASSWORD,
    USER,
    danted,
    haproxy,
    haproxy_with_tls,
    microsocks,
    privoxy,
    squid,
    ssh_dynamic,
    tinyproxy,
)
from support.tls import Certificates, serving

from aconnect import (
    Dialer,
    Proxy,
    ProxyError,
    ProxyHeader,
    StaticResolver,
    blocking,
    open_stream,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

pytestmark = [pytest.mark.server, pytest.mark.anyio]

LONG = 30
BANNER = b"220 hello\r\n"
LOGIN = {"username": USER, "password": PASSWORD}


@pytest.fixture(scope="module")
def target() -> Iterator[Any]:
    """The address of what speaks first, and then sends back what it hears."""
    with fake_elsewhere([BANNER, ECHO]) as port:
        yield "127.0.0.1", port


@pytest.fixture(scope="module")
def socks(tmp_path_factory: Any) -> Iterator[int]:
    with danted(tmp_path_factory.mktemp("danted")) as port:
        yield port


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: Any) -> Iterator[int]:
    with ssh_dynamic(tmp_path_factory.mktemp("ssh")) as port:
        yield port


@pytest.fixture(scope="module")
def with_login(tmp_path_factory: Any) -> Iterator[int]:
    with microsocks(tmp_path_factory.mktemp("microsocks")) as port:
        yield port


@pytest.fixture(scope="module")
def http() -> Iterator[int]:
    with squid() as port:
        yield port


@pytest.fixture(scope="module")
def http10(tmp_path_factory: Any, target: Any) -> Iterator[int]:
    with tinyproxy(tmp_path_factory.mktemp("tinyproxy"), target[1]) as port:
        yield port


@pytest.fixture(scope="module")
def http_over_socks(tmp_path_factory: Any, socks: int) -> Iterator[int]:
    with privoxy(tmp_path_factory.mktemp("privoxy"), socks) as port:
        yield port


async def received(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            data += sock.recv(count - len(data))
        except BlockingIOError:
            await anyio.wait_readable(sock)
    return data


async def talk(dialer: Dialer, address: Any) -> None:
    """Hear the banner, and an echo."""
    with await dialer.connect(address, timeout=LONG) as sock:
        assert await received(sock, len(BANNER)) == BANNER
        sock.send(b"ping")
        assert await received(sock, 4) == b"ping"


WAYS = [
    *((scheme, "socks", {}) for scheme in ("socks4", "socks5", "socks5h")),
    *((scheme, "ssh", {}) for scheme in ("socks4", "socks4a", "socks5", "socks5h")),
    ("socks5h", "with_login", LOGIN),
    ("http", "http", LOGIN),
    ("http", "http10", LOGIN),
    ("http", "http_over_socks", {}),
]


@pytest.mark.parametrize(("scheme", "server", "login"), WAYS)
async def test_a_target(scheme: str, server: str, login: Any, target: Any, request: Any) -> None:
    port = request.getfixturevalue(server)
    proxy = Proxy(scheme, ("127.0.0.1", port), **login)
    await talk(Dialer(proxy=proxy), target)


@pytest.mark.parametrize(
    ("scheme", "server"), [("socks5", "socks"), ("socks4", "ssh"), ("http", "http10")]
)
async def test_a_name_that_is_looked_up_here(
    scheme: str, server: str, target: Any, request: Any
) -> None:
    port = request.getfixturevalue(server)
    login = LOGIN if scheme == "http" else {}
    proxy = Proxy(scheme, ("127.0.0.1", port), dns="local", **login)
    dialer = Dialer(proxy=proxy, resolver=StaticResolver({"db.example": ["127.0.0.1"]}))
    await talk(dialer, ("db.example", target[1]))


async def test_a_chain_of_three(ssh: int, socks: int, with_login: int, target: Any) -> None:
    chain = [
        f"socks5h://127.0.0.1:{ssh}",
        f"socks4://127.0.0.1:{socks}",
        f"socks5h://{USER}:{PASSWORD}@127.0.0.1:{with_login}",
    ]
    await talk(Dialer(proxy=chain), target)


@contextmanager
def refused_by(scheme: str, port: int, **login: Any) -> Iterator[Any]:
    with refusing() as address:
        yield Dialer(proxy=Proxy(scheme, ("127.0.0.1", port), **login)), address


@pytest.mark.parametrize(
    ("scheme", "server", "login", "code"),
    [
        ("socks5", "socks", {}, errno.ECONNREFUSED),
        ("socks4", "socks", {}, errno.ECONNREFUSED),
        ("socks5", "ssh", {}, errno.ECONNRESET),
        ("socks4", "ssh", {}, errno.ECONNRESET),
        ("socks5h", "with_login", LOGIN, errno.ECONNREFUSED),
        ("http", "http", LOGIN, errno.EHOSTUNREACH),
        ("http", "http_over_socks", {}, errno.EHOSTUNREACH),
    ],
)
async def test_a_port_that_refuses(
    scheme: str, server: str, login: Any, code: int, request: Any
) -> None:
    port = request.getfixturevalue(server)
    with refused_by(scheme, port, **login) as (dialer, address):
        with pytest.raises(ProxyError) as caught:
            await dialer.connect(address, timeout=LONG)
    assert caught.value.errno == code
    if (scheme, server) != ("socks4", "ssh"):
        assert caught.value.about == "target"


@pytest.mark.parametrize(
    ("scheme", "server", "login", "about"),
    [
        ("socks5", "socks", {}, "target"),
        ("http", "http", LOGIN, "target"),
        ("http", "http10", LOGIN, "target"),
        ("http", "http", {"username": USER, "password": "wrong"}, "proxy"),
        ("http", "http10", {}, "proxy"),
        ("socks5h", "with_login", {"username": USER, "password": "wrong"}, "proxy"),
        ("socks5h", "with_login", {}, "proxy"),
    ],
)
async def test_what_is_not_allowed(
    scheme: str, server: str, login: Any, about: str, request: Any, target: Any
) -> None:
    port = request.getfixturevalue(server)
    proxy = Proxy(scheme, ("127.0.0.1", port), **login)
    address = ("127.0.0.1", 9) if about == "target" else target
    with pytest.raises(PermissionError) as caught:
        await Dialer(proxy=proxy).connect(address, timeout=LONG)
    assert isinstance(caught.value, ProxyError)
    assert caught.value.about == about
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "server", "code"),
    [
        ("http", "with_login", (errno.EPROTO,)),  # 05 FF, and the end
        ("socks4", "with_login", (errno.EPROTO,)),
        ("http", "socks", (errno.ECONNRESET,)),
        ("socks5", "http", (errno.ETIMEDOUT, errno.EPROTO)),  # silence
        ("socks5", "http10", (errno.ETIMEDOUT, errno.EPROTO)),
    ],
)
async def test_a_proxy_of_another_kind(
    scheme: str, server: str, code: Any, request: Any, target: Any
) -> None:
    port = request.getfixturevalue(server)
    dialer = Dialer(proxy=f"{scheme}://127.0.0.1:{port}")
    with pytest.raises(OSError, match="proxy") as caught:
        await dialer.connect(target, timeout=1)
    assert caught.value.errno in code


HEADERS = [
    (
        ProxyHeader(1, source="192.0.2.1:11", destination="192.0.2.2:22"),
        "192.0.2.1:11 192.0.2.2:22",
    ),
    (
        ProxyHeader(2, source="192.0.2.1:11", destination="192.0.2.2:22"),
        "192.0.2.1:11 192.0.2.2:22",
    ),
    (
        ProxyHeader(2, source="[2001:db8::1]:11", destination="[2001:db8::2]:22"),
        "2001:db8::1:11 2001:db8::2:22",
    ),
    (ProxyHeader(2, local=True), "127.0.0.1:"),
    (ProxyHeader(authority="x.example", unique_id=b"id7"), "auth=x.example id=id7"),
]


@pytest.fixture(scope="module")
def header_reader(tmp_path_factory: Any) -> Iterator[int]:
    with haproxy(tmp_path_factory.mktemp("haproxy")) as port:
        yield port


@pytest.mark.parametrize(("header", "said"), HEADERS)
async def test_x1_a_header_is_read(header: ProxyHeader, said: str, header_reader: int) -> None:
    address = ("127.0.0.1", header_reader)
    with await Dialer(proxy=header).connect(address, timeout=LONG) as sock:
        sock.send(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while data := await received_some(sock):
            answer += data
    assert said in answer.decode()


async def received_some(sock: socket.socket) -> bytes:
    while True:
        try:
            return sock.recv(9999)
        except BlockingIOError:
            await anyio.wait_readable(sock)


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(scope="module")
def https(tmp_path_factory: Any, certificates: Certificates, http: int) -> Iterator[int]:
    with haproxy_with_tls(tmp_path_factory.mktemp("haproxy"), certificates.of(), http) as port:
        yield port


@pytest.fixture(scope="module")
def https10(tmp_path_factory: Any, certificates: Certificates, http10: int) -> Iterator[int]:
    with haproxy_with_tls(tmp_path_factory.mktemp("haproxy"), certificates.of(), http10) as port:
        yield port


@pytest.mark.parametrize("server", ["https", "https10"])
async def test_t1_tls_to_a_proxy(
    server: str, certificates: Certificates, target: Any, request: Any
) -> None:
    port = request.getfixturevalue(server)
    proxy = Proxy("https", ("127.0.0.1", port), ssl=certificates.client(), **LOGIN)
    async with await open_stream(target, dialer=Dialer(proxy=proxy), timeout=LONG) as stream:
        data = b""
        while len(data) < len(BANNER):
            data += await stream.receive()
        assert data == BANNER
        await stream.send(b"ping")
        assert await stream.receive() == b"ping"


@pytest.mark.parametrize("server", ["https", "https10"])
def test_t1_tls_to_a_proxy_without_a_loop(
    server: str, certificates: Certificates, target: Any, https: int, https10: int
) -> None:
    port = https if server == "https" else https10
    proxy = Proxy("https", ("127.0.0.1", port), ssl=certificates.client(), **LOGIN)
    with blocking.connect(target, dialer=Dialer(proxy=proxy), timeout=LONG) as sock:
        data = b""
        while len(data) < len(BANNER):
            data += sock.recv(100)
        assert data == BANNER
        sock.sendall(b"ping")
        assert sock.recv(4) == b"ping"


def test_t1_tls_within_tls_to_a_proxy_without_a_loop(
    https: int, certificates: Certificates
) -> None:
    context = certificates.client()
    dialer = Dialer(proxy=Proxy("https", ("127.0.0.1", https), ssl=context, **LOGIN))
    with (
        serving(certificates.server()) as server,
        blocking.open_tls(server.address[:2], ssl=context, dialer=dialer, timeout=LONG) as sock,
    ):
        sock.sendall(b"hello")
        assert sock.recv(5) == b"hello"


async def test_t1_tls_within_tls_to_a_proxy(https: int, certificates: Certificates) -> None:
    context = certificates.client()
    proxy = Proxy("https", ("127.0.0.1", https), ssl=context, **LOGIN)
    big = bytes(range(256)) * 4096
    with serving(certificates.server()) as server:
        async with (
            await open_stream(
                server.address[:2], ssl=context, dialer=Dialer(proxy=proxy), timeout=LONG
            ) as stream,
            anyio.create_task_group() as group,
        ):
            group.start_soon(stream.send, big)
            data = bytearray()
            while len(data) < len(big):
                data += await stream.receive()
            assert data == big


@pytest.mark.parametrize(
    ("address", "login", "code", "about"),
    [
        (("127.0.0.1", 9), LOGIN, errno.EACCES, "target"),
        (("127.0.0.1", 1), {}, errno.EACCES, "proxy"),
    ],
)
async def test_what_is_refused_over_tls(
    address: Any, login: Any, code: int, about: str, https: int, certificates: Certificates
) -> None:
    proxy = Proxy("https", ("127.0.0.1", https), ssl=certificates.client(), **login)
    with pytest.raises(ProxyError) as caught:
        await open_stream(address, dialer=Dialer(proxy=proxy), timeout=LONG)
    assert (caught.value.errno, caught.value.about) == (code, about)


async def test_a_proxy_without_tls_is_none_with_tls(http: int, certificates: Certificates) -> None:
    proxy = Proxy("https", ("127.0.0.1", http), ssl=certificates.client())
    with pytest.raises(ProxyError, match="TLS to the proxy failed") as caught:
        await open_stream(("127.0.0.1", 1), dialer=Dialer(proxy=proxy), timeout=LONG)
    assert caught.value.about == "proxy"


def test_without_an_event_loop(socks: int, target: Any) -> None:
    dialer = Dialer(proxy=f"socks5h://127.0.0.1:{socks}")
    with blocking.connect(target, timeout=LONG, dialer=dialer) as sock:
        sock.settimeout(LONG)
        assert sock.recv(len(BANNER)) == BANNER


@pytest.mark.slow
async def test_a_thousand_dials_leave_nothing(socks: int, target: Any) -> None:
    dialer = Dialer(proxy=f"socks5h://127.0.0.1:{socks}")
    await talk(dialer, target)
    before = open_descriptors()
    for _ in range(20):
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(talk, dialer, target)
    assert len(open_descriptors()) <= len(before)
