"""What a program learns of a proxy's refusal, and what a dial does next."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.fake_proxy import CLOSE, GREETING, HEAD, FakeProxy, Secure, socks5_request
from support.programs import free_port
from support.tls import NAME, Certificates

from aconnect import ConnectTimeout, Dialer, Proxy, ProxyError, StaticResolver, open_stream
from aconnect.sansio.negotiation import Refusal
from aconnect.testing import FakeNetwork
from aconnect.testing import FakeProxy as ProxyOfAFakeNetwork
from aconnect.trace import AttemptStarted, HandshakeEnded

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

LONG = 30  # seconds; what takes as long has failed
TARGET = ("db.example", 5432)
OK = b"HTTP/1.1 200 OK\r\n\r\n"


def status(code: int) -> bytes:
    return b"HTTP/1.1 %d What\r\nX: y\r\n\r\n" % code


def socks4(code: int) -> bytes:
    return bytes([0, code]) + bytes(6)


def socks5(code: int) -> bytes:
    return b"\x05\x00\x05" + bytes([code]) + b"\x00\x01" + bytes(6)


@pytest.mark.parametrize(
    ("scheme", "answer", "reply", "transient"),
    [
        *(("http", status(code), code, False) for code in (400, 403, 405, 407, 501, 302, 101)),
        *(("http", status(code), code, True) for code in (500, 502, 503, 504)),
        *(("socks5h", socks5(code), code, True) for code in (1, 3, 4, 5, 6, 9)),
        *(("socks5h", socks5(code), code, False) for code in (2, 7, 8)),
        ("socks5h", b"\x05\xff", 255, False),
        ("socks4a", socks4(91), 91, True),
        ("socks4a", socks4(92), 92, False),
        ("socks4a", socks4(93), 93, False),
    ],
)
async def test_u1_what_a_later_try_may_change(
    scheme: str, answer: bytes, reply: int, transient: bool
) -> None:
    with FakeNetwork() as network:
        proxy = ProxyOfAFakeNetwork(network, answer, scheme=scheme)
        with pytest.raises(ProxyError) as caught:
            await network.dialer(proxy=proxy.url).connect(TARGET, timeout=LONG)
    assert (caught.value.reply, caught.value.transient) == (reply, transient)


@pytest.mark.parametrize("code", [403, 407, 502])
async def test_h3_what_a_proxy_says_besides_is_kept(code: int) -> None:
    with FakeProxy([HEAD, status(code) + b"<p>ask the desk", CLOSE]) as proxy:
        with pytest.raises(ProxyError) as caught:
            await Dialer(proxy=proxy.url("http")).connect(TARGET, timeout=LONG)
    cause = caught.value.__cause__
    assert isinstance(cause, Refusal)
    assert cause.body == b"<p>ask the desk"


ENDS = [400, 404, 405, 407, 501, 301, 302, 101]
GOES_ON = [403, 500, 502, 503, 504]


@pytest.mark.parametrize("code", [*ENDS, *GOES_ON])
async def test_u_two_targets(code: int) -> None:
    with FakeProxy([HEAD, status(code), CLOSE], [HEAD, OK]) as proxy:
        dialer = Dialer(proxy=proxy.url("http"), attempt_delay=None)
        dial = dialer.connect(["one.example:1", "two.example:2"], timeout=LONG)
        if code in GOES_ON:
            with await dial:
                assert proxy.connections == 2
            assert proxy.heard[1].startswith(b"CONNECT two.example:2 ")
            return
        with pytest.raises(ProxyError) as caught:
            await dial
        assert (caught.value.reply, caught.value.about) == (code, "proxy")
        assert proxy.connections == 1


@pytest.mark.parametrize("code", [*ENDS, *GOES_ON])
async def test_u_two_addresses_of_a_proxy(code: int) -> None:
    """No answer of a proxy's sends anybody to another address of the same."""
    port = free_port()
    with FakeProxy([HEAD, status(code), CLOSE], port=port) as one:
        with FakeProxy([HEAD, OK], host="127.0.0.2", port=port) as other:
            dialer = Dialer(
                proxy=f"http://proxy.example:{port}",
                resolver=StaticResolver({"proxy.example": ["127.0.0.1", "127.0.0.2"]}),
                attempt_delay=None,
            )
            with pytest.raises(ProxyError) as caught:
                await dialer.connect(TARGET, timeout=LONG)
            assert caught.value.reply == code
            assert (one.connections, other.connections) == (1, 0)


async def test_u_two_targets_of_two_addresses_of_a_proxy_by_local_dns() -> None:
    """A target that cannot be reached takes back its routes by all addresses of the proxy."""
    port = free_port()
    with FakeProxy([HEAD, status(502), CLOSE], [HEAD, OK], port=port) as one:
        with FakeProxy([HEAD, status(502), CLOSE], host="127.0.0.2", port=port) as other:
            dialer = Dialer(
                proxy=Proxy("http", f"proxy.example:{port}", dns="local"),
                resolver=StaticResolver(
                    {
                        "proxy.example": ["127.0.0.1", "127.0.0.2"],
                        "db.example": ["192.0.2.1", "192.0.2.2"],
                    }
                ),
                attempt_delay=None,
            )
            with await dialer.connect(TARGET, timeout=LONG):
                pass
            assert (one.connections, other.connections) == (2, 0)
            assert b"CONNECT 192.0.2.2:5432 " in one.heard[1]


@pytest.mark.parametrize(
    ("outcome", "kind"), [("closes", HandshakeEnded), ("refused", AttemptStarted)]
)
async def test_a_proxy_that_fails_as_time_runs_out(outcome: str, kind: type[Any]) -> None:
    """What the failure takes back and the end of the dial come at the same moment."""
    end = time.monotonic() + 0.3

    def trace(event: Any) -> None:
        if isinstance(event, kind):
            while time.monotonic() < end:
                pass

    with FakeNetwork() as network:
        first, second = (
            ProxyOfAFakeNetwork(network, "closes", address=f"192.0.2.{last}") for last in (80, 81)
        )
        if outcome == "refused":
            first.host.becomes("refused")
        dialer = network.dialer(proxy=first.url, trace=trace, attempt_delay=None)
        with pytest.raises(ConnectTimeout, match="1 of 2 addresses tried") as caught:
            await dialer.connect(TARGET, timeout=0.25)
        assert [each.outcome for each in caught.value.attempts] == ["failed"]
        assert not second.heard


@pytest.mark.parametrize("kind", ["expired", "another host", "self-signed"])
async def test_u_a_bad_certificate_and_another_address_with_a_good_one(
    kind: str, tmp_path: Path
) -> None:
    certificates = Certificates()
    pems = {}
    for each in (kind, "good"):
        path = tmp_path / each
        path.write_bytes(certificates.of(each))
        pems[each] = Secure(str(path))
    port = free_port()
    with FakeProxy([pems[kind]], port=port) as bad:
        script: list[Any] = [pems["good"], HEAD, OK]
        with FakeProxy(script, host="127.0.0.2", port=port) as good:
            proxy = Proxy(
                "https",
                f"proxy.example:{port}",
                ssl=certificates.client(),
                server_hostname=NAME,
            )
            dialer = Dialer(
                proxy=proxy,
                resolver=StaticResolver({"proxy.example": ["127.0.0.1", "127.0.0.2"]}),
                attempt_delay=None,
            )
            async with await open_stream(TARGET, dialer=dialer, timeout=LONG):
                assert (bad.connections, good.connections) == (1, 1)
        assert not bad.heard[0]


async def test_u_a_refusal_of_the_second_proxy_says_what_it_is_about() -> None:
    script = [*GREETING, socks5_request("second.example"), socks5(0)[2:], HEAD, status(502), CLOSE]
    with FakeProxy(script) as proxy:
        dialer = Dialer(proxy=[proxy.url(), "http://second.example"])
        with pytest.raises(ProxyError, match="502 What") as caught:
            await dialer.connect(TARGET, timeout=LONG)
    error = caught.value
    assert (error.errno, error.layer, error.about) == (errno.EHOSTUNREACH, 1, "target")
