"""D1: nobody asks the environment for a proxy, unless somebody says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.fake_proxy import FakeProxy
from support.listeners import listening

from aconnect import Dialer, aconnect, blocking, open_stream, parse_address
from aconnect.proxies import from_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 30  # seconds; what takes as long has failed
VARIABLES = ["http_proxy", "https_proxy", "ws_proxy", "wss_proxy", "tcp_proxy", "all_proxy"]


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProxy]:
    """One that each variable names; and no address is left out of it."""
    with FakeProxy([]) as proxy:
        for name in VARIABLES:
            monkeypatch.setenv(name, proxy.url("http"))
            monkeypatch.setenv(name.upper(), proxy.url("http"))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield proxy


@pytest.fixture
def address() -> Iterator[Any]:
    with listening() as listener:
        yield listener.getsockname()


@pytest.mark.anyio
async def test_d1_not_of_an_event_loop(proxy: FakeProxy, address: Any) -> None:
    with await aconnect(address, timeout=LONG) as sock:
        assert sock.getpeername() == address
    with await Dialer().connect(address, timeout=LONG) as sock:
        assert sock.getpeername() == address
    async with await open_stream(address, timeout=LONG):
        pass
    assert proxy.connections == 0


def test_d1_nor_without_one(proxy: FakeProxy, address: Any) -> None:
    for dialer in (None, Dialer()):
        with blocking.connect(address, timeout=LONG, dialer=dialer) as sock:
            assert sock.getpeername() == address
    assert proxy.connections == 0


def test_and_it_is_there_to_be_asked(proxy: FakeProxy) -> None:
    """What the two tests above set is what counts."""
    chosen: Any = from_environment("https")(parse_address("db.example:443"))
    assert str(chosen) == proxy.url("http")
