"""TLS to a proxy: what is said, refused and told.  It makes no socket, so streams are opened."""

from __future__ import annotations

import errno
import ssl
import struct
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.fake_proxy import (
    CLOSE,
    GREETING,
    HEAD,
    HOLD,
    RESET,
    Drip,
    FakeProxy,
    Forward,
    Secure,
    socks5_request,
)
from support.programs import free_port
from support.tls import BAD, NAME, Certificates, say, serving

from aconnect import (
    ConnectTimeout,
    Dialer,
    HandshakeError,
    Proxy,
    ProxyError,
    ProxyHeader,
    Report,
    Sequence,
    StaticResolver,
    open_stream,
)
from aconnect.many import connect_many

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

LONG = 30  # seconds; what takes as long has failed
TARGET = ("db.example", 5432)
BANNER = b"SSH-2.0-banner\r\n"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"
SOCKS_OK = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(scope="module")
def trusting(certificates: Certificates) -> ssl.SSLContext:
    return certificates.client()


@pytest.fixture(scope="module")
def secure(certificates: Certificates, tmp_path_factory: Any) -> Secure:
    return secured(certificates, tmp_path_factory.mktemp("tls"))


def secured(certificates: Certificates, path: Path, kind: str = "good") -> Secure:
    pem = path / f"{kind}.pem"
    pem.write_bytes(certificates.of(kind))
    return Secure(str(pem))


def to(proxy: FakeProxy, trusting: ssl.SSLContext, **options: Any) -> Proxy:
    return Proxy("https", proxy.address, ssl=trusting, **options)


async def received(stream: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive(count - len(data))
    return data


@pytest.mark.parametrize(
    "answer", [OK + BANNER, Drip(OK + BANNER), b"HTTP/1.1 100 C\r\n\r\n" + OK + BANNER]
)
async def test_p6_what_the_target_says_comes_first(
    answer: bytes, secure: Secure, trusting: ssl.SSLContext
) -> None:
    with FakeProxy([secure, HEAD, answer]) as proxy:
        report = Report()
        dialer = Dialer(proxy=to(proxy, trusting, username="u", password="p"))
        async with await open_stream(TARGET, dialer=dialer, timeout=LONG, report=report) as stream:
            assert await received(stream, len(BANNER)) == BANNER
    head = bytes(proxy.heard[0])
    assert head.startswith(b"CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n")
    assert b"Proxy-Authorization: Basic dTpw\r\n" in head
    (attempt,) = report.attempts
    told = [(each.name, each.phase, each.layer) for each in attempt.handshakes]
    assert told == [("TLS to proxy", "proxy", 0), ("HTTP CONNECT", "proxy", 1)]
    assert attempt.handshakes[0].details["version"] == "TLSv1.3"


async def test_t1_the_default_is_verification_and_http11(
    certificates: Certificates, secure: Secure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(*_: Any, **__: Any) -> ssl.SSLContext:
        return certificates.client()

    monkeypatch.setattr(ssl, "create_default_context", make)
    with FakeProxy([secure, HEAD, OK]) as proxy:
        report = Report()
        dialer = Dialer(proxy=f"https://127.0.0.1:{proxy.port}")
        async with await open_stream(TARGET, dialer=dialer, timeout=LONG, report=report):
            pass
    assert report.attempts[0].handshakes[0].details["ALPN"] == "http/1.1"


@pytest.mark.parametrize("kind", ["expired", "another host", "self-signed"])
async def test_t1_a_certificate_that_is_no_good(
    kind: str, certificates: Certificates, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    with FakeProxy([secured(certificates, tmp_path, kind)]) as proxy:
        dialer = Dialer(proxy=to(proxy, trusting, server_hostname=NAME))
        with pytest.raises(ProxyError, match="TLS to the proxy failed: the certificate") as caught:
            await open_stream(TARGET, dialer=dialer, timeout=LONG)
    error = caught.value
    assert (error.about, error.phase, error.layer) == ("proxy", "proxy", 0)
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
    assert error.__cause__.verify_code == BAD[kind][0]


async def test_t1_the_name_may_be_another(
    certificates: Certificates, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    script = [secured(certificates, tmp_path, "another host"), HEAD, OK]
    with FakeProxy(script) as proxy:
        dialer = Dialer(proxy=to(proxy, trusting, server_hostname="another.example"))
        async with await open_stream(TARGET, dialer=dialer, timeout=LONG):
            pass


ENDS = {
    "no TLS": ([b"HTTP/1.1 400 Bad\r\n\r\n", HOLD], errno.EPROTO, "does not speak TLS here"),
    "hung up": ([1, CLOSE], errno.ECONNRESET, "closed the connection in the middle"),
    "reset": ([1, RESET], errno.ECONNRESET, "closed the connection in the middle"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_u_a_proxy_that_does_not_do_tls(end: str, trusting: ssl.SSLContext) -> None:
    script, code, said = ENDS[end]
    with FakeProxy(script) as proxy:
        dialer = Dialer(proxy=to(proxy, trusting))
        with pytest.raises(ProxyError, match=said) as caught:
            await open_stream(TARGET, dialer=dialer, timeout=LONG)
    assert (caught.value.errno, caught.value.about) == (code, "proxy")


@pytest.mark.parametrize(
    ("answer", "code", "about", "said"),
    [
        (b"HTTP/1.1 503 Down\r\n\r\n", errno.EHOSTUNREACH, "target", "the proxy says 503 Down"),
        (b"HTTP/1.1 407 A\r\n\r\n", errno.EACCES, "proxy", "wants a login"),
        (b"\x05\xff", errno.EPROTO, "proxy", "a server of SOCKS5"),
        (b"", errno.ECONNRESET, "proxy", "has hung up"),
    ],
)
async def test_u_refusals(
    answer: bytes, code: int, about: str, said: str, secure: Secure, trusting: ssl.SSLContext
) -> None:
    with FakeProxy([secure, HEAD, answer, CLOSE]) as proxy:
        dialer = Dialer(proxy=to(proxy, trusting))
        with pytest.raises(ProxyError, match=said) as caught:
            await open_stream(TARGET, dialer=dialer, timeout=LONG)
    error = caught.value
    assert (error.errno, error.about, error.layer) == (code, about, 1)


async def test_u_silence(trusting: ssl.SSLContext) -> None:
    with FakeProxy([HOLD]) as proxy:
        dialer = Dialer(proxy=to(proxy, trusting))
        with pytest.raises(ConnectTimeout, match=r"is https://.* a proxy with TLS") as caught:
            await open_stream(TARGET, dialer=dialer, timeout=0.25)
    assert caught.value.phase == "proxy"


async def test_d3_one_that_is_silent_loses_to_the_next(
    secure: Secure, trusting: ssl.SSLContext
) -> None:
    with ExitStack() as stack:
        port = free_port()
        good = stack.enter_context(FakeProxy([secure, HEAD, OK + BANNER], port=port))
        stack.enter_context(FakeProxy([HOLD], host="127.0.0.2", port=port))
        dialer = Dialer(
            proxy=Proxy("https", f"proxy.example:{good.port}", ssl=trusting, server_hostname=NAME),
            resolver=StaticResolver({"proxy.example": ["127.0.0.2", "127.0.0.1"]}),
            attempt_delay=0.01,
        )
        async with await open_stream(TARGET, dialer=dialer, timeout=LONG) as stream:
            assert await received(stream, len(BANNER)) == BANNER


async def test_u_one_that_does_no_tls_loses_to_the_next(
    secure: Secure, trusting: ssl.SSLContext
) -> None:
    with ExitStack() as stack:
        port = free_port()
        good = stack.enter_context(FakeProxy([secure, HEAD, OK], port=port))
        bad = stack.enter_context(FakeProxy([1, CLOSE], host="127.0.0.2", port=port))
        dialer = Dialer(
            proxy=Proxy("https", f"proxy.example:{good.port}", ssl=trusting, server_hostname=NAME),
            resolver=StaticResolver({"proxy.example": ["127.0.0.2", "127.0.0.1"]}),
            attempt_delay=None,
        )
        async with await open_stream(TARGET, dialer=dialer, timeout=LONG):
            assert (bad.connections, good.connections) == (1, 1)


class TestTLSWithin:
    async def test_the_target_proves_its_own_name(
        self, certificates: Certificates, secure: Secure, trusting: ssl.SSLContext
    ) -> None:
        with serving(certificates.server(), say(BANNER)) as server:
            with FakeProxy([secure, HEAD, OK, Forward(server.address[:2])]) as proxy:
                report = Report()
                async with await open_stream(
                    NAME,
                    443,
                    ssl=trusting,
                    dialer=Dialer(proxy=to(proxy, trusting)),
                    timeout=LONG,
                    report=report,
                ) as stream:
                    assert await received(stream, len(BANNER)) == BANNER
            assert server.names == [NAME]
        names = [each.name for each in report.attempts[0].handshakes]
        assert names == ["TLS to proxy", "HTTP CONNECT", "TLS"]

    async def test_p6_surplus_is_no_tls(self, secure: Secure, trusting: ssl.SSLContext) -> None:
        with FakeProxy([secure, HEAD, OK + BANNER]) as proxy:
            with pytest.raises(HandshakeError, match="does not speak TLS") as caught:
                await open_stream(
                    NAME, 443, ssl=trusting, dialer=Dialer(proxy=to(proxy, trusting)), timeout=LONG
                )
        assert (caught.value.errno, caught.value.phase) == (errno.EPROTO, "handshake")


@pytest.mark.parametrize("scheme", ["socks5", "https"])
async def test_two_hosts_that_share_an_address_prove_each_its_own_name(
    scheme: str, certificates: Certificates, secure: Secure, trusting: ssl.SSLContext
) -> None:
    """With local DNS, the proxy is asked for the same address twice."""
    shared = {"first.example": ["192.0.2.7"], NAME: ["192.0.2.7"]}
    with serving(certificates.server(), say(BANNER)) as server:
        talk = [*GREETING, 10, SOCKS_OK] if scheme == "socks5" else [secure, HEAD, OK]
        with FakeProxy([*talk, Forward(server.address[:2])]) as proxy:
            context = trusting if scheme == "https" else None
            dialer = Dialer(
                proxy=Proxy(scheme, proxy.address, ssl=context, dns="local"),
                resolver=StaticResolver(shared),
            )
            hosts: Any = [f"first.example:{443}", f"{NAME}:{443}"]
            async with await open_stream(
                hosts, ssl=trusting, dialer=dialer, timeout=LONG
            ) as stream:
                assert await received(stream, len(BANNER)) == BANNER
            assert proxy.connections == 2
        assert server.names == ["first.example", NAME]


class TestChains:
    async def test_behind_socks(self, secure: Secure, trusting: ssl.SSLContext) -> None:
        asked = socks5_request("second.example")
        with FakeProxy([secure, HEAD, OK + BANNER]) as second:
            forward = Forward(second.address)
            with FakeProxy([*GREETING, asked, SOCKS_OK, forward]) as first:
                last = Proxy("https", "second.example:1", ssl=trusting, server_hostname=NAME)
                dialer = Dialer(proxy=[first.url(), last])
                async with await open_stream(TARGET, dialer=dialer, timeout=LONG) as stream:
                    assert await received(stream, len(BANNER)) == BANNER

    async def test_before_socks_and_a_header(
        self, secure: Secure, trusting: ssl.SSLContext
    ) -> None:
        header = ProxyHeader(1, source="192.0.2.1:1", destination="192.0.2.2:2")
        line = header.encode(None, None)
        script = [secure, HEAD, OK, *GREETING, socks5_request("db.example"), SOCKS_OK, len(line)]
        with FakeProxy([*script, BANNER]) as proxy:
            chain = [to(proxy, trusting), "socks5h://second.example", header]
            dialer = Dialer(proxy=chain)
            async with await open_stream(TARGET, dialer=dialer, timeout=LONG) as stream:
                assert await received(stream, len(BANNER)) == BANNER
        assert bytes(proxy.heard[0]).endswith(line)

    async def test_one_behind_another(self, secure: Secure, trusting: ssl.SSLContext) -> None:
        """TLS to the second, within TLS to the first; and TLS to the target in both."""
        with FakeProxy([secure, HEAD, OK + BANNER]) as second:
            with FakeProxy([secure, HEAD, OK, Forward(second.address)]) as first:
                chain = [to(first, trusting), to(second, trusting)]
                report = Report()
                async with await open_stream(
                    TARGET, dialer=Dialer(proxy=chain), timeout=LONG, report=report
                ) as stream:
                    assert await received(stream, len(BANNER)) == BANNER
        names = [each.name for each in report.attempts[0].handshakes]
        assert names == ["TLS to proxy", "HTTP CONNECT"] * 2

    async def test_the_second_fails_as_the_second(
        self, secure: Secure, trusting: ssl.SSLContext
    ) -> None:
        with FakeProxy([1, CLOSE]) as second:
            with FakeProxy([secure, HEAD, OK, Forward(second.address)]) as first:
                chain = [to(first, trusting), to(second, trusting)]
                with pytest.raises(ProxyError) as caught:
                    await open_stream(TARGET, dialer=Dialer(proxy=chain), timeout=LONG)
                assert (caught.value.layer, caught.value.proxy) == (2, str(chain[1]))


async def test_a_stream_that_breaks(secure: Secure, trusting: ssl.SSLContext) -> None:
    """What is encrypted and not sent is lost to the peer, and so is all that follows."""
    with FakeProxy([secure, HEAD, OK, HOLD]) as proxy:
        dialer = Dialer(proxy=to(proxy, trusting))
        stream = await open_stream(TARGET, dialer=dialer, timeout=LONG)
        async with stream:
            with pytest.raises(NotImplementedError, match="no half-close"):
                await stream.send_eof()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await stream.send(bytes(65536))
            assert scope.cancelled_caught
            with pytest.raises(anyio.BrokenResourceError):
                await stream.send(b"more")


@pytest.mark.parametrize("end", [CLOSE, RESET])
async def test_how_a_stream_ends(end: str, secure: Secure, trusting: ssl.SSLContext) -> None:
    with FakeProxy([secure, HEAD, OK + BANNER, 1, end]) as proxy:
        dialer = Dialer(proxy=to(proxy, trusting))
        async with await open_stream(TARGET, dialer=dialer, timeout=LONG) as stream:
            assert await received(stream, len(BANNER)) == BANNER
            await stream.send(b"x")
            with pytest.raises(anyio.EndOfStream if end == CLOSE else anyio.BrokenResourceError):
                await stream.receive()


async def test_a_stream_whose_tls_breaks(trusting: ssl.SSLContext, secure: Secure) -> None:
    """What comes is no TLS any more."""
    with FakeProxy([secure, HEAD, OK, 1, HOLD]) as proxy:
        dialer = Dialer(proxy=to(proxy, trusting))
        async with await open_stream(TARGET, dialer=dialer, timeout=LONG) as stream:
            tunnel: Any = stream._tunnel  # type: ignore[attr-defined]
            tunnel._bottom.came(struct.pack("!BHH", 23, 0x0303, 32) + bytes(32))
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()
            with pytest.raises(anyio.BrokenResourceError):
                await stream.send(b"x")


class TestSockets:
    """D5: who wants a socket is refused, before anything is done."""

    @contextmanager
    def refused(self, trusting: ssl.SSLContext) -> Iterator[Dialer]:
        def never(_: Any) -> Any:
            raise AssertionError

        proxy = Proxy("https", "127.0.0.1:1", ssl=trusting)
        with pytest.raises(
            ValueError, match=r"https://127.0.0.1:1 cannot be used here: .*open_stream"
        ):
            yield Dialer(proxy=proxy, socket_factory=never)

    async def test_of_a_dial(self, trusting: ssl.SSLContext) -> None:
        with self.refused(trusting) as dialer:
            await dialer.connect(TARGET)

    async def test_of_a_handshake_of_the_users(self, trusting: ssl.SSLContext) -> None:
        async def mine(sock: socket.socket) -> None:
            raise AssertionError

        with self.refused(trusting) as dialer:
            await dialer.connect(TARGET, handshake=Sequence(mine))

    async def test_of_many_that_are_kept(self, trusting: ssl.SSLContext) -> None:
        with self.refused(trusting) as dialer:
            async with connect_many([TARGET], dialer=dialer, keep=True) as results:
                async for result in results:
                    assert result.error is not None
                    raise result.error

    async def test_one_that_is_asked_for(self, trusting: ssl.SSLContext) -> None:
        proxy = Proxy("https", "127.0.0.1:1", ssl=trusting)
        with pytest.raises(ValueError, match="is not a socket"):
            await Dialer(proxy=lambda _: proxy).connect(TARGET)


async def test_many_that_are_closed(secure: Secure, trusting: ssl.SSLContext) -> None:
    with FakeProxy([secure, HEAD, OK]) as proxy:
        dialer = Dialer(proxy=to(proxy, trusting))
        async with connect_many([TARGET] * 2, dialer=dialer) as results:
            assert [each.outcome async for each in results] == ["connected"] * 2
