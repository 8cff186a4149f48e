"""All that dials, by way of a proxy: transports, streams, clients, routed loops, threads."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
import trustme
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSAttribute
from conftest import ASYNCIO_LOOPS, LOOPS
from support.fake_proxy import (
    CLOSE,
    GREETING,
    HEAD,
    FakeProxy,
    Forward,
    Secure,
    fake_elsewhere,
    socks5_request,
)
from support.tls import NAME, Certificates, serving

import aconnect
from aconnect import Dialer, Proxy, ProxyError, Report, StaticResolver, blocking, routed
from aconnect.proxies import from_environment

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

aiohttp = pytest.importorskip("aiohttp", reason="needs aiohttp, and httpx: install their extras")
httpx = pytest.importorskip("httpx", reason="needs httpx: install the extra 'httpx'")
pytest.importorskip("h11", reason="needs h11: install the extra 'proxy'")

from aconnect.clients.aiohttp import AConnectConnector  # noqa: E402
from aconnect.clients.httpx import AConnectTransport  # noqa: E402

LONG = 30
SOCKS_OK = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"
HTTP_OK = b"HTTP/1.1 200 OK\r\n\r\n"
on_asyncio = pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
on_trio = pytest.mark.parametrize("anyio_backend", LOOPS[-1:], indirect=True)


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(scope="module")
def trusting(certificates: Certificates) -> ssl.SSLContext:
    return certificates.client()


@contextmanager
def by(scheme: str, target: Any, certificates: Certificates) -> Iterator[Dialer]:
    """A dialer by way of a proxy that leads to the target, whatever it is asked for."""
    script: list[Any] = [HEAD, HTTP_OK]
    if scheme == "socks5h":
        script = [*GREETING, socks5_request(NAME), SOCKS_OK]
    with ExitStack() as stack:
        if scheme == "https":
            blob = trustme.Blob(certificates.of())
            script = [Secure(stack.enter_context(blob.tempfile())), *script]
        port = stack.enter_context(fake_elsewhere([*script, Forward(target[:2])]))
        context = certificates.client() if scheme == "https" else None
        yield Dialer(proxy=Proxy(scheme, ("127.0.0.1", port), ssl=context))


@contextmanager
def echoing(certificates: Certificates, scheme: str, tls: bool = True) -> Iterator[Dialer]:
    """The same, to an echo over TLS."""
    context = certificates.server() if tls else None
    with serving(context) as server, by(scheme, server.address, certificates) as dialer:
        yield dialer


SCHEMES = pytest.mark.parametrize("scheme", ["socks5h", "http", "https"])
SOCKETS = pytest.mark.parametrize("scheme", ["socks5h", "http"])
BIG = bytes(range(256)) * 4000


@SCHEMES
@on_asyncio
@pytest.mark.anyio
async def test_streams_of_asyncio(
    scheme: str, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    with echoing(certificates, scheme) as dialer:
        reader, writer = await aconnect.open_connection(
            NAME, 443, ssl=trusting, dialer=dialer, timeout=LONG
        )
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        writer.close()
        await writer.wait_closed()


@SCHEMES
@pytest.mark.anyio
async def test_streams_of_anyio(
    scheme: str, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    with echoing(certificates, scheme) as dialer:
        async with await aconnect.open_stream(
            NAME, 443, ssl=trusting, dialer=dialer, timeout=LONG
        ) as stream:
            await stream.send(b"ping")
            assert await stream.receive() == b"ping"


@SCHEMES
@on_trio
@pytest.mark.anyio
async def test_streams_of_trio(
    scheme: str, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    with echoing(certificates, scheme) as dialer:
        async with await aconnect.open_trio_stream(
            NAME, 443, ssl=trusting, dialer=dialer, timeout=LONG
        ) as stream:
            await stream.send_all(b"ping")
            assert await stream.receive_some(4) == b"ping"
    assert trio.__version__


# Over TLS to the proxy, there and back as much as no buffer holds; with TLS to the target, and
# without.
TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])


@TLS
@on_asyncio
@pytest.mark.anyio
async def test_much_by_streams_of_asyncio(
    tls: bool, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    with echoing(certificates, "https", tls) as dialer:
        reader, writer = await aconnect.open_connection(
            NAME, 443, ssl=trusting if tls else None, dialer=dialer, timeout=LONG
        )
        writer.write(BIG)
        assert await reader.readexactly(len(BIG)) == BIG
        agreed = writer.get_extra_info("ssl_object")
        assert agreed.version() == "TLSv1.3"  # of the target; or else of the proxy
        writer.close()
        await writer.wait_closed()


@TLS
@pytest.mark.anyio
async def test_much_by_streams_of_anyio(
    tls: bool, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    with echoing(certificates, "https", tls) as dialer:
        async with (
            await aconnect.open_stream(
                NAME, 443, ssl=trusting if tls else None, dialer=dialer, timeout=LONG
            ) as stream,
            anyio.create_task_group() as group,
        ):
            group.start_soon(stream.send, BIG)
            found = bytearray()
            while len(found) < len(BIG):
                found += await stream.receive()
            assert found == BIG
            assert isinstance(stream, anyio.abc.SocketStream) is not tls
            assert (stream.extra(TLSAttribute.tls_version, None) is None) is not tls
            assert stream.extra(SocketAttribute.remote_address)[0] == "127.0.0.1"


@TLS
@on_trio
@pytest.mark.anyio
async def test_much_by_streams_of_trio(
    tls: bool, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    with echoing(certificates, "https", tls) as dialer:
        stream: Any = await aconnect.open_trio_stream(
            NAME, 443, ssl=trusting if tls else None, dialer=dialer, timeout=LONG
        )
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, BIG)
            found = bytearray()
            while len(found) < len(BIG):
                found += await stream.receive_some()
            assert found == BIG
            assert isinstance(stream, trio.SSLStream)


@SCHEMES
@on_asyncio
@pytest.mark.anyio
async def test_a_routed_loop(
    scheme: str, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    with echoing(certificates, scheme) as dialer:
        async with asyncio.timeout(LONG):
            with routed(dialer):
                reader, writer = await asyncio.open_connection(NAME, 443, ssl=trusting)
            writer.write(b"ping")
            assert await reader.readexactly(4) == b"ping"
            writer.close()
            await writer.wait_closed()


@SOCKETS
def test_without_an_event_loop(
    scheme: str, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    with echoing(certificates, scheme) as dialer:
        with blocking.open_tls(NAME, 443, ssl=trusting, dialer=dialer, timeout=LONG) as sock:
            sock.settimeout(LONG)
            sock.sendall(b"ping")
            assert sock.recv(4) == b"ping"


def answer(sock: socket.socket) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(9999)
    body = b"GET / HTTP/1.1" in head and b"here"
    sock.sendall(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n" + (body or b"????")
    )


@SCHEMES
@pytest.mark.parametrize("url", [f"https://{NAME}/", f"http://{NAME}/"])
@pytest.mark.anyio
async def test_httpx(
    scheme: str, url: str, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    context = certificates.server() if url.startswith("https") else None
    with serving(context, answer) as server, by(scheme, server.address, certificates) as dialer:
        transport = AConnectTransport(dialer=dialer, verify=trusting)
        async with httpx.AsyncClient(transport=transport, timeout=LONG) as client:
            assert (await client.get(url)).text == "here"


@pytest.mark.anyio
async def test_httpx_and_the_proxies_of_the_environment(
    certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    """One transport for each scheme, and NO_PROXY for both."""
    with ExitStack() as stack:
        secure = stack.enter_context(serving(certificates.server(), answer))
        plain = stack.enter_context(serving(None, answer))
        first = stack.enter_context(FakeProxy([HEAD, HTTP_OK, Forward(secure.address[:2])]))
        second = stack.enter_context(FakeProxy([HEAD, HTTP_OK, Forward(plain.address[:2])]))
        environ = {
            "https_proxy": first.url("http"),
            "http_proxy": second.url("http"),
            "no_proxy": "direct.example",
        }
        resolver = StaticResolver({"direct.example": ["127.0.0.1"]})
        mounts = {
            f"{scheme}://": AConnectTransport(
                dialer=Dialer(proxy=from_environment(scheme, environ), resolver=resolver),
                verify=trusting,
            )
            for scheme in ("https", "http")
        }
        async with httpx.AsyncClient(mounts=mounts, trust_env=False, timeout=LONG) as client:
            for url in (f"https://{NAME}/", f"http://{NAME}/"):
                assert (await client.get(url)).text == "here"
            direct = f"http://direct.example:{plain.address[1]}/"
            assert (await client.get(direct)).text == "here"
        assert first.heard[0].startswith(f"CONNECT {NAME}:443 ".encode())
        assert second.heard[0].startswith(f"CONNECT {NAME}:80 ".encode())
        assert (first.connections, second.connections) == (1, 1)


@pytest.mark.anyio
async def test_httpx_has_http_requests_made_of_a_proxy() -> None:
    """As for a proxy that lets nobody CONNECT to port 80: that of the transport, by httpcore."""
    said = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nhere"
    with FakeProxy([HEAD, said, CLOSE]) as proxy:
        transport = AConnectTransport(proxy=proxy.url("http"))
        async with httpx.AsyncClient(transport=transport, timeout=LONG) as client:
            assert (await client.get(f"http://{NAME}/")).text == "here"
    assert proxy.heard[0].startswith(f"GET http://{NAME}/ HTTP/1.1\r\n".encode())


@SCHEMES
@pytest.mark.parametrize("url", [f"https://{NAME}/", f"http://{NAME}/"])
@on_asyncio
@pytest.mark.anyio
async def test_aiohttp(
    scheme: str, url: str, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    context = certificates.server() if url.startswith("https") else None
    with serving(context, answer) as server, by(scheme, server.address, certificates) as dialer:
        connector = AConnectConnector(dialer=dialer, ssl=trusting)
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.get(url) as response:
                assert await response.text() == "here"


@pytest.mark.parametrize("scheme", ["http", "https"])
@on_asyncio
@pytest.mark.anyio
async def test_aiohttps_own_proxy_of_a_request(
    scheme: str, certificates: Certificates, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    pem = tmp_path / "both.pem"
    pem.write_bytes(certificates.of())
    secure = [Secure(str(pem))] if scheme == "https" else []
    with serving(certificates.server(), answer) as server:
        with fake_elsewhere([*secure, HEAD, HTTP_OK, Forward(server.address[:2])]) as port:
            connector = AConnectConnector(ssl=trusting)
            async with aiohttp.ClientSession(connector=connector) as session:
                async with session.get(
                    f"https://{NAME}/",
                    proxy=f"{scheme}://alice:s3cret@127.0.0.1:{port}",
                    proxy_headers={"X-A": "b"},
                ) as response:
                    assert await response.text() == "here"


@on_asyncio
@pytest.mark.anyio
async def test_aiohttps_proxy_of_the_environment(
    certificates: Certificates,
    trusting: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also the one that aiohttp leaves out, for it speaks TLS."""
    pem = tmp_path / "both.pem"
    pem.write_bytes(certificates.of())
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    script = [Secure(str(pem)), HEAD, HTTP_OK]
    reports: list[Report] = []
    with serving(certificates.server(), answer) as server:
        with FakeProxy([*script, Forward(server.address[:2])]) as proxy:
            port = server.address[1]
            here = StaticResolver({"direct.example": ["127.0.0.1"], NAME: ["127.0.0.1"]})
            dialer = Dialer(resolver=here, on_report=reports.append)
            for variable in ("https_proxy", "http_proxy"):
                monkeypatch.setenv(variable, proxy.url("https", "alice:s%40crt@"))
            monkeypatch.setenv("no_proxy", "direct.example")
            connector = AConnectConnector(dialer=dialer, ssl=trusting)
            async with aiohttp.ClientSession(connector=connector, trust_env=True) as session:
                async with session.get(f"https://{NAME}:{port}/") as response:
                    assert await response.text() == "here"
                with pytest.raises(ValueError, match=r"http:// request through https://\*\*\*@"):
                    await session.get(f"http://{NAME}:{port}/")
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await session.get(f"https://direct.example:{port}/")
                monkeypatch.setenv("https_proxy", "https://a:secret@b/path")
                with pytest.raises(
                    ValueError, match=r"^https_proxy does not name a prox"
                ) as caught:
                    await session.get("https://another.example/")
                assert "secret" not in str(caught.value)
                monkeypatch.delenv("https_proxy")
                monkeypatch.setenv("all_proxy", proxy.url("https"))
                with pytest.raises(aiohttp.ClientConnectorError):
                    await session.get("https://another.example/")
            async with aiohttp.ClientSession(connector=AConnectConnector(ssl=trusting)) as session:
                with pytest.raises(aiohttp.ClientConnectorError):  # nothing of it is read
                    await session.get("https://127.0.0.1:1/")
    assert b"Proxy-Authorization: Basic YWxpY2U6c0BjcnQ=" in bytes(proxy.heard[0])
    assert proxy.connections == 1
    assert [bool(report.to_dict()["via"]) for report in reports] == [True, False, False]


@on_asyncio
@pytest.mark.anyio
async def test_what_aiohttp_raises_of_a_proxy() -> None:
    with fake_elsewhere([3, b"\x05\xff"]) as port:
        connector = AConnectConnector(dialer=Dialer(proxy=f"socks5h://127.0.0.1:{port}"))
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(aiohttp.ClientProxyConnectionError) as caught:
                await session.get(f"http://{NAME}/")
    assert isinstance(caught.value.__cause__, ProxyError)


@pytest.mark.parametrize("given", ["in the URL", "apart", "as a header"])
@on_asyncio
@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore:.*(BasicAuth|proxy_auth):DeprecationWarning")
async def test_n4_what_aiohttp_raises_of_a_requests_own_proxy_has_no_login(given: str) -> None:
    said = b"c4n4ry " + b64encode(b"c4n4ry:c4n4ry")
    with FakeProxy([HEAD, b"HTTP/1.1 502 %b\r\n\r\n" % said]) as proxy:
        how: dict[str, Any] = {"proxy": proxy.url("http")}
        if given == "in the URL":
            how["proxy"] = proxy.url("http", "c4n4ry:c4n4ry@")
        elif given == "apart":
            how["proxy_auth"] = aiohttp.BasicAuth("c4n4ry", "c4n4ry")
        else:
            how["proxy_headers"] = {"Proxy-Authorization": f"Basic {said.split()[1].decode()}"}
        async with aiohttp.ClientSession(connector=AConnectConnector()) as session:
            with pytest.raises(aiohttp.ClientProxyConnectionError) as caught:
                await session.get(f"https://{NAME}/", **how)
    assert said.split()[1] in proxy.heard[0]
    error = caught.value
    told = f"{error!r} {error} {error.args!r} {vars(error)!r} {error.__cause__!r}"
    assert "502 *** ***" in told
    assert not any(each.decode() in told for each in said.split())


@on_asyncio
@pytest.mark.anyio
async def test_aiohttps_own_proxy_of_a_request_has_the_port_of_its_scheme() -> None:
    reports: list[Report] = []
    resolver = StaticResolver({"proxy.example": []})
    connector = AConnectConnector(dialer=Dialer(resolver=resolver, on_report=reports.append))
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"https://{NAME}/", proxy="socks5h://proxy.example")
    assert [report.to_dict()["via"] for report in reports] == [["socks5h://proxy.example:1080"]]
