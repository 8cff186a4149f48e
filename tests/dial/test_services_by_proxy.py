"""Services dialled by way of a proxy: what is told of the attempts."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from support.fake_proxy import FakeProxy

from aconnect import Batch, ConnectError, Dialer, Endpoint, Report, Service, ServiceAddress

pytestmark = pytest.mark.anyio

PORT = 8443
REFUSED = b"\x05\x05\x00\x01" + bytes(6)
SCRIPT = [3, b"\x05\x00", 10, REFUSED]


class Offering:
    """Two services, of two ranks."""

    async def resolve(self, address: Any) -> Any:
        for rank in (0, 1):
            sockaddr = (f"192.0.2.{1 + rank}", PORT)
            endpoint = Endpoint(socket.AF_INET, socket.SOCK_STREAM, 0, sockaddr)
            yield Batch([endpoint], rank=rank, service=Service(f"s{rank}.test", 1 + rank, PORT))


async def test_rank_and_service_are_told() -> None:
    report = Report()
    with FakeProxy(SCRIPT) as proxy:
        dialer = Dialer(proxy=proxy.url("socks5"), resolver=Offering())
        with pytest.raises(ConnectError) as caught:
            await dialer.connect(ServiceAddress("h.test", 443, scheme="https"), report=report)
    offered = [(0, "s0.test:8443"), (1, "s1.test:8443")]
    assert [(each.rank, each.service) for each in report.attempts] == offered
    assert [(each.rank, each.service) for each in caught.value.attempts] == offered
