"""TLS to a target, behind what a proxy has said too much of, and behind a header."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from support.fake_proxy import BOUND, GREETING, HEAD, FakeProxy, Forward, socks5_request
from support.tls import NAME, Certificates, say, serving

from aconnect import Dialer, HandshakeError, ProxyHeader, Report, StaticResolver, open_stream

pytestmark = pytest.mark.anyio

LONG = 30  # seconds; what takes as long has failed
BANNER = b"SSH-2.0-banner\r\n"
OK = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


TALKS: dict[str, list[Any]] = {
    "socks4a": [8 + 1 + len(NAME) + 1, b"\x00\x5a" + bytes(6)],
    "socks5h": [*GREETING, socks5_request(NAME), BOUND],
    "http": [HEAD, OK],
}


@pytest.mark.parametrize("scheme", TALKS)
async def test_p6_surplus_is_no_tls(scheme: str, certificates: Certificates) -> None:
    *before, last = TALKS[scheme]
    with FakeProxy([*before, last + BANNER]) as proxy:
        report = Report()
        with pytest.raises(HandshakeError, match="does not speak TLS") as caught:
            await open_stream(
                NAME,
                443,
                ssl=certificates.client(),
                dialer=Dialer(proxy=proxy.url(scheme)),
                timeout=LONG,
                report=report,
            )
    assert (caught.value.errno, caught.value.phase) == (errno.EPROTO, "handshake")
    [attempt] = report.attempts
    assert [each.outcome for each in attempt.handshakes] == ["done", "failed"]


async def received(stream: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive(count - len(data))
    return data


@pytest.mark.parametrize("version", [1, 2])
async def test_p5_a_header_comes_before_tls(version: int, certificates: Certificates) -> None:
    header = ProxyHeader(version, source="192.0.2.1:1", destination="192.0.2.2:2")
    line = header.encode(None, None)
    with (
        serving(certificates.server(), say(BANNER)) as server,
        FakeProxy([len(line), Forward(server.address[:2])]) as target,
    ):
        report = Report()
        dialer = Dialer(proxy=header, resolver=StaticResolver({NAME: ["127.0.0.1"]}))
        async with await open_stream(
            NAME,
            target.port,
            ssl=certificates.client(),
            dialer=dialer,
            timeout=LONG,
            report=report,
        ) as stream:
            assert await received(stream, len(BANNER)) == BANNER
    assert bytes(target.heard[0]) == line
    names = [(each.name, each.phase) for each in report.attempts[0].handshakes]
    assert names == [(f"PROXY v{version}", "proxy"), ("TLS", "handshake")]


async def test_p5_and_behind_a_proxy(certificates: Certificates) -> None:
    header = ProxyHeader(2, source="192.0.2.1:1", destination="192.0.2.2:2")
    line = header.encode(None, None)
    with (
        serving(certificates.server(), say(BANNER)) as server,
        FakeProxy([HEAD, OK, len(line), Forward(server.address[:2])]) as proxy,
    ):
        dialer = Dialer(proxy=[proxy.url("http"), header])
        async with await open_stream(
            NAME, 443, ssl=certificates.client(), dialer=dialer, timeout=LONG
        ) as stream:
            assert await received(stream, len(BANNER)) == BANNER
    assert proxy.heard[0].endswith(b"\r\n\r\n" + line)
