"""P8: proxies that break off after each byte of their answers: reset, at an end, or silent."""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trustme
from conftest import LOOPS_AND_DRIVERS
from support.fake_proxy import (
    BOUND,
    CLOSE,
    HEAD,
    HOLD,
    RESET,
    FakeProxy,
    Secure,
    socks5_request,
)
from support.listeners import listening
from support.tls import Certificates

from aconnect import ConnectTimeout, Dialer, Proxy, ProxyError, open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", LOOPS_AND_DRIVERS, indirect=True),
]

LONG = 30  # seconds; what takes as long has failed
SHORT = 0.01  # seconds for what waits in vain
TARGET = ("db.example", 5432)
ASK = socks5_request(TARGET[0])
LOGIN = {"username": "u", "password": "p"}

TALKS: dict[str, list[Any]] = {
    "socks4a": [9 + len(TARGET[0]) + 1, b"\x00\x5a" + bytes(6)],
    "socks5h": [4, b"\x05\x02", 5, b"\x01\x00", ASK, BOUND],
    "http": [HEAD, b"HTTP/1.1 200 OK\r\nVia: me\r\n\r\n"],
    "https": [HEAD, b"HTTP/1.1 200 OK\r\nVia: me\r\n\r\n"],
}


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(scope="module")
def pem(certificates: Certificates) -> Iterator[str]:
    with trustme.Blob(certificates.of()).tempfile() as path:
        yield path


def broken_off(scheme: str, end: str, pem: str) -> list[list[Any]]:
    """The talk, broken off before each byte of each answer."""
    scripts = []
    before: list[Any] = [Secure(pem)] if scheme == "https" else []
    for step in TALKS[scheme]:
        if isinstance(step, bytes):
            scripts += [[*before, step[:count], end] for count in range(len(step))]
        before = [*before, step]
    return scripts


def by(scheme: str, proxy: FakeProxy, certificates: Certificates) -> Dialer:
    login: dict[str, Any] = {} if scheme == "socks4a" else LOGIN
    context = certificates.client() if scheme == "https" else None
    return Dialer(proxy=Proxy(scheme, proxy.address, ssl=context, **login))


@pytest.mark.parametrize("end", [CLOSE, RESET])
@pytest.mark.parametrize("scheme", TALKS)
async def test_it_breaks_off(scheme: str, end: str, certificates: Certificates, pem: str) -> None:
    scripts = broken_off(scheme, end, pem)
    with FakeProxy(*scripts) as proxy:
        dialer = by(scheme, proxy, certificates)
        for _ in scripts:
            with pytest.raises(ProxyError, match="has hung up") as caught:
                await open_stream(TARGET, dialer=dialer, timeout=LONG)
            assert caught.value.errno == errno.ECONNRESET
        assert proxy.connections == len(scripts)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", TALKS)
async def test_the_time_is_up(scheme: str, certificates: Certificates, pem: str) -> None:
    scripts = broken_off(scheme, HOLD, pem)
    with FakeProxy(*scripts) as proxy:
        dialer = by(scheme, proxy, certificates)
        for _ in scripts:
            with pytest.raises(ConnectTimeout):
                await open_stream(TARGET, dialer=dialer, timeout=SHORT)
        assert proxy.connections <= len(scripts)


MUCH = [("X-Much", "x" * 8_000_000)]
HEAD_OF_MUCH = "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\nX-Much: \r\n\r\n"


async def test_what_does_not_fit_at_once_is_written_when_there_is_room() -> None:
    size = len(HEAD_OF_MUCH) + 8_000_000
    with FakeProxy([size, b"HTTP/1.1 200 OK\r\n\r\n"]) as proxy:
        dialer = Dialer(proxy=Proxy("http", proxy.address, headers=MUCH))
        async with await open_stream(TARGET, dialer=dialer, timeout=LONG):
            assert len(proxy.heard[0]) == size


async def test_what_is_half_written_when_the_time_is_up() -> None:
    with listening() as nobody:  # who reads
        dialer = Dialer(proxy=Proxy("http", nobody.getsockname(), headers=MUCH))
        with pytest.raises(ConnectTimeout):
            await open_stream(TARGET, dialer=dialer, timeout=0.1)


@pytest.mark.parametrize("scheme", ["http", pytest.param("https", marks=pytest.mark.slow)])
@pytest.mark.parametrize("end", [CLOSE, RESET])
async def test_what_is_half_written_when_it_breaks_off(
    scheme: str, end: str, certificates: Certificates, pem: str
) -> None:
    before: list[Any] = [Secure(pem)] if scheme == "https" else []
    with FakeProxy([*before, 1000, end]) as proxy:
        dialer = by(scheme, proxy, certificates)
        much = dialer.replace(proxy=dialer.proxy.replace(headers=MUCH))  # type: ignore[union-attr]
        with pytest.raises(ProxyError, match="has hung up"):
            await open_stream(TARGET, dialer=much, timeout=LONG)


async def test_what_is_half_written_when_it_is_cancelled() -> None:
    with listening() as nobody:
        nobody.setblocking(False)
        dialer = Dialer(proxy=Proxy("http", nobody.getsockname(), headers=MUCH))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(open_stream, TARGET, dialer=dialer, timeout=LONG))
            await anyio.wait_readable(nobody)
            with nobody.accept()[0] as conn:
                await anyio.wait_readable(conn)  # not all of it has room
                tasks.cancel_scope.cancel()


async def test_what_has_been_asked_when_it_is_cancelled() -> None:
    """Behind the last byte, and before the answer."""
    with listening() as nobody:
        nobody.setblocking(False)
        dialer = Dialer(proxy=Proxy("http", nobody.getsockname()))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(open_stream, TARGET, dialer=dialer, timeout=LONG))
            await anyio.wait_readable(nobody)
            with nobody.accept()[0] as conn:
                await anyio.wait_readable(conn)
                assert conn.recv(1000).endswith(b"\r\n\r\n")
                tasks.cancel_scope.cancel()
