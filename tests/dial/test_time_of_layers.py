"""What `attempt_timeout` and a deadline are for, by proxies, in time that takes no time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aconnect import ConnectTimeout, Sequence
from aconnect.testing import Answer, FakeNetwork, FakeProxy, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = ("db.example", 5432)
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    with FakeNetwork() as network:
        yield network


async def for_three_seconds(sock: Any) -> None:
    await anyio.sleep(3)


async def for_three_more(sock: Any) -> str:
    await anyio.sleep(3)
    sock.close()
    return "done"


@BACKENDS
@pytest.mark.parametrize(
    ("limit", "phase"),
    [
        (2.5, "connect"),  # of 3 seconds
        (3.5, "handshake"),  # the proxy takes 3 as well, and what comes next has half a second
        (8.5, "handshake"),  # two handshakes and the proxy take 9
        (9.5, None),  # all together take 12
    ],
)
def test_p4_an_attempt_timeout_is_for_connect_and_again_for_all_layers(
    limit: float, phase: str | None, backend: str, network: FakeNetwork
) -> None:
    proxy = FakeProxy(network, Answer("connects", after=3))
    proxy.host.becomes("connects", after=3)
    dialer = network.dialer(proxy=proxy.url, attempt_timeout=limit)

    async def main() -> float:
        began = time.monotonic()
        handshake = Sequence(for_three_seconds, for_three_more)
        dial = dialer.connect(TARGET, timeout=60, handshake=handshake)
        if phase is None:
            assert await dial == "done"
        else:
            with pytest.raises(ConnectTimeout) as caught:
                await dial
            assert caught.value.phase == phase
        return time.monotonic() - began

    seconds = {2.5: 2.5, 3.5: 3 + 3.5, 8.5: 3 + 8.5, 9.5: 12}[limit]
    assert VirtualClock().run(main, backend=backend) == pytest.approx(seconds, abs=0.01)


HTTP = b"HTTP/1.1 200 OK\r\n\r\n"


@BACKENDS
@pytest.mark.parametrize("limit", ["timeout", "attempt_timeout"])
@pytest.mark.parametrize("count", [0, 1, 8, len(HTTP) - 1])
def test_p8_a_deadline_within_an_answer_of_http(
    count: int, limit: str, backend: str, network: FakeNetwork
) -> None:
    proxy = FakeProxy(network, HTTP[:count] if count else "silent")

    async def main() -> float:
        began = time.monotonic()
        own = {"attempt_timeout": 5.0} if limit == "attempt_timeout" else {}
        dialer = network.dialer(proxy=proxy.url, **own)
        with pytest.raises(ConnectTimeout, match="no answer to the CONNECT request") as caught:
            await dialer.connect(TARGET, timeout=60 if own else 5)
        assert caught.value.phase == "proxy"
        return time.monotonic() - began

    assert VirtualClock().run(main, backend=backend) == pytest.approx(5, abs=0.01)
