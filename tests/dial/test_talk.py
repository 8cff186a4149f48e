"""The one route by way of proxies, without a race: it says what the race says, and costs no task.

What is told of a dial goes by the race, so each outcome is looked at twice: with a report, and
without.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from conftest import ASYNCIO_LOOPS, LOOPS_AND_DRIVERS
from support.fake_proxy import (
    CLOSE,
    GREETING,
    HEAD,
    RESET,
    Drip,
    FakeProxy,
    socks5_request,
)
from support.listeners import refusing

import aconnect.blocking
from aconnect import (
    ConnectError,
    Dialer,
    Proxy,
    ProxyHeader,
    Report,
    StaticResolver,
    open_connection,
    open_stream,
)
from aconnect.dial import single
from aconnect.policy import allow

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

LONG = 30  # seconds; what takes as long has failed
TARGET = ("db.example", 5432)
ASK = socks5_request(TARGET[0])
OK = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"
GOOD = [*GREETING, ASK, OK]
HTTP_OK = b"HTTP/1.1 200 OK\r\n\r\n"
SOCKS4_OK = b"\x00\x5a" + bytes(6)


@pytest.fixture(params=LOOPS_AND_DRIVERS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def races(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The targets for which there was a race."""
    found: list[Any] = []
    race = single.race

    async def noted(plan: Any, target: Any, *args: Any, **more: Any) -> Any:
        found.append(target)
        return await race(plan, target, *args, **more)

    monkeypatch.setattr(single, "race", noted)
    return found


CHAINS: dict[str, tuple[Callable[[FakeProxy], Any], list[Any]]] = {
    "SOCKS5": (FakeProxy.url, GOOD),
    "byte by byte": (FakeProxy.url, [*GREETING, ASK, Drip(OK)]),
    "a login": (
        lambda proxy: proxy.url(login="u:p@"),
        [4, b"\x05\x02", 5, b"\x01\x00", ASK, OK],
    ),
    "HTTP": (lambda proxy: proxy.url("http"), [HEAD, HTTP_OK]),
    "a chain": (
        lambda proxy: [proxy.url("http"), "socks5h://second.example:1080"],
        [HEAD, HTTP_OK, *GOOD],
    ),
    "a chain of addresses": (
        lambda proxy: [proxy.url("socks4"), "socks5h://192.0.2.7:1080"],
        [9, SOCKS4_OK, *GOOD],
    ),
    "a header": (
        lambda proxy: [ProxyHeader(version=2), Proxy("socks5h", proxy.address)],
        [28, *GOOD],
    ),
    "who is asked": (lambda proxy: lambda _: proxy.url(), GOOD),
}


@pytest.mark.parametrize("chain", CHAINS)
async def test_one_route_takes_no_race(chain: str, races: list[Any]) -> None:
    chosen, script = CHAINS[chain]
    with FakeProxy(script) as proxy:
        sock = await Dialer(proxy=chosen(proxy)).connect(TARGET, timeout=LONG)
        with sock:
            assert sock.getpeername() == proxy.address
            assert sock.gettimeout() == 0
        assert proxy.connections == 1
    assert not races


async def test_an_address_by_way_of_a_proxy(races: list[Any]) -> None:
    with FakeProxy([*GREETING, 10, OK]) as proxy:
        (await Dialer(proxy=proxy.url("socks5")).connect("192.0.2.1:80", timeout=LONG)).close()
    assert not races
    assert bytes(proxy.heard[0])[3:] == b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"


async def test_a_header_alone(races: list[Any]) -> None:
    with FakeProxy([28, b"x"]) as server:
        dialer = Dialer(proxy=ProxyHeader(version=2))
        with await dialer.connect(server.address, timeout=LONG) as sock:
            sock.settimeout(LONG)
            assert sock.recv(1) == b"x"
    assert not races
    assert len(server.heard[0]) == 28


def test_the_calling_thread_makes_no_loop(
    races: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Any:
        raise AssertionError("there is no need of a loop")

    monkeypatch.setattr(asyncio, "new_event_loop", refuse)
    with FakeProxy([*GREETING, ASK, Drip(OK)]) as proxy:
        aconnect.blocking.connect(TARGET, proxy=proxy.url(), timeout=LONG).close()
    assert not races


@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
async def test_it_makes_no_task() -> None:
    loop, made = asyncio.get_running_loop(), []
    before = loop.get_task_factory()

    def count(loop: Any, coroutine: Any, **more: Any) -> Any:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **more)

    loop.set_task_factory(count)
    with FakeProxy([*GREETING, ASK, Drip(OK)]) as proxy:
        (await Dialer(proxy=proxy.url()).connect(TARGET, timeout=LONG)).close()
    loop.set_task_factory(before)
    assert not made


NAMES = StaticResolver({"proxy.example": ["127.0.0.1"], "db.example": ["192.0.2.1"]})


@pytest.mark.parametrize(
    "options",
    [
        {"resolver": NAMES, "proxy": "socks5h://proxy.example:{port}"},
        {"resolver": NAMES, "proxy": "socks5://127.0.0.1:{port}"},
        {"permit": allow("0.0.0.0/0")},
        {"permit_proxy": allow("127.0.0.0/8")},
        {"on_report": print},
    ],
    ids=["proxy's name", "target's name", "permit", "permit_proxy", "on_report"],
)
async def test_what_takes_a_race(options: dict[str, Any], races: list[Any]) -> None:
    url = str(options.get("proxy", "socks5h://127.0.0.1:{port}"))
    by_address = "permit" in options or url.startswith("socks5:")
    with FakeProxy([*GREETING, 10 if by_address else ASK, OK]) as proxy:
        dialer = Dialer(**{**options, "proxy": url.format(port=proxy.port)})
        target = ("192.0.2.1", 80) if "permit" in options else TARGET
        (await dialer.connect(target, timeout=LONG)).close()
    assert len(races) == 1


async def test_what_cannot_keep_to_a_moment_takes_a_race(races: list[Any]) -> None:
    async def shake(sock: socket.socket) -> socket.socket:
        return sock

    with FakeProxy(GOOD) as proxy:
        dialer = Dialer(proxy=proxy.url())
        (await dialer.connect(TARGET, timeout=LONG, handshake=shake)).close()
    assert len(races) == 1


@pytest.mark.parametrize(
    ("options", "target", "code"),
    [
        ({"proxy": "socks4://127.0.0.1:9"}, ("2001:db8::1", 80), errno.EAFNOSUPPORT),
        (
            {"proxy": "socks5h://127.0.0.1:9", "family": socket.AF_INET6},
            TARGET,
            errno.EAFNOSUPPORT,
        ),
    ],
    ids=["IPv6 by SOCKS4", "family"],
)
async def test_what_there_is_no_way_for(options: Any, target: Any, code: int) -> None:
    with pytest.raises(ConnectError) as caught:
        await Dialer(**options).connect(target, timeout=LONG)
    assert caught.value.errno == code


FAILURES: dict[str, list[Any]] = {
    "no target": [*GREETING, ASK, b"\x05\x05\x00"],
    "not permitted": [*GREETING, ASK, b"\x05\x02\x00"],
    "no CONNECT": [*GREETING, ASK, b"\x05\x07\x00"],
    "no method": [3, b"\x05\xff"],
    "no SOCKS": [3, b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "hung up": [3, CLOSE],
    "reset": [3, RESET],
    "hung up later": [*GREETING, ASK, OK[:5], CLOSE],
    "no answer": [],
    "no second answer": [*GREETING, ASK],
}


def told(error: ConnectError) -> Any:
    """All that an error tells, but for times and its own port."""
    return (
        type(error),
        error.errno,
        error.phase,
        re.sub(r"[0-9.]+ m?s\b| from [0-9.:]+", "", str(error)),
        type(error.__cause__),
        str(error.__cause__),
        [
            each.replace(
                **dict.fromkeys(
                    ["start", "end", "closed", "connected", "round_trip", "resent"], 0
                ),
                local_address=None,
                handshakes=tuple(hs.replace(start=0, end=0) for hs in each.handshakes),
            )
            for each in error.attempts
        ],
    )


async def error_of(dialer: Dialer, timeout: float, **more: Any) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await dialer.connect(TARGET, timeout=timeout, **more)
    return caught.value


PATIENCE = (0.5, 10.0)  # a slow machine has not got to the answer that is missing by the first


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES)
async def test_it_fails_as_a_race_does(failure: str) -> None:
    script = FAILURES[failure]
    for timeout in PATIENCE if failure.endswith("answer") else (LONG,):
        with FakeProxy(script) as proxy:
            by_race = await error_of(Dialer(proxy=proxy.url(), trace=Report()), timeout)
            quick = await error_of(Dialer(proxy=proxy.url()), timeout)
            assert proxy.connections == 2
        if told(quick) == told(by_race):
            break
    assert told(quick) == told(by_race)
    assert proxy.heard[0] == proxy.heard[1]
    gc.collect()


@pytest.mark.slow
@pytest.mark.parametrize("failure", ["no answer", "hung up later"])
async def test_an_attempts_own_time(failure: str) -> None:
    for seconds in PATIENCE:
        with FakeProxy(FAILURES[failure]) as proxy:
            options: dict[str, Any] = {"proxy": proxy.url(), "attempt_timeout": seconds}
            by_race = await error_of(Dialer(**options, trace=Report()), LONG)
            quick = await error_of(Dialer(**options), LONG)
        if told(quick) == told(by_race):
            break
    assert told(quick) == told(by_race)


async def test_a_proxy_that_refuses_connections() -> None:
    with refusing() as (_, port):
        url = f"socks5h://127.0.0.1:{port}"
        by_race = await error_of(Dialer(proxy=url, trace=Report()), LONG)
        assert told(await error_of(Dialer(proxy=url), LONG)) == told(by_race)


@pytest.mark.parametrize("failure", ["no target", "hung up", "no second answer"])
def test_the_calling_thread_fails_as_a_race_does(failure: str) -> None:
    for timeout in PATIENCE if failure.endswith("answer") else (LONG,):
        errors = []
        with FakeProxy(FAILURES[failure]) as proxy:
            for more in ({"report": Report()}, {}):
                with pytest.raises(ConnectError) as caught:
                    aconnect.blocking.connect(TARGET, proxy=proxy.url(), timeout=timeout, **more)
                errors.append(told(caught.value))
        if errors[0] == errors[1]:
            break
    assert errors[0] == errors[1]


async def test_tls_behind_a_proxy_is_of_the_same_moment(races: list[Any]) -> None:
    """It is the last of the layers, and says by its own name that it was not done."""
    context = ssl.create_default_context()
    for timeout in PATIENCE:
        with FakeProxy(GOOD) as proxy, pytest.raises(ConnectError) as caught:
            dialer = Dialer(proxy=proxy.url())
            await open_stream(TARGET, dialer=dialer, ssl=context, timeout=timeout)
        [attempt] = caught.value.attempts
        if attempt.phase == "handshake":
            break
    assert (attempt.outcome, attempt.phase, attempt.layer) == ("timed out", "handshake", 1)
    assert races  # which were told of it


@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
async def test_tls_that_fails_behind_a_proxy() -> None:
    context = ssl.create_default_context()
    errors = []
    with FakeProxy([*GOOD, b"SSH-2.0-x\r\n"]) as proxy:
        for more in ({"trace": Report()}, {}):
            dialer = Dialer(proxy=proxy.url(), **more)
            with pytest.raises(ConnectError) as caught:
                await open_connection(TARGET, dialer=dialer, ssl=context, timeout=LONG)
            errors.append(told(caught.value))
        assert proxy.connections == 2
    assert errors[0] == errors[1]
    assert errors[0][2] == "handshake"
