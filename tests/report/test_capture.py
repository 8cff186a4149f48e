"""Whose dials a capture has: those of its context, in tasks and clients too, and no others."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import httpx
import pytest
from redis.asyncio import ConnectionPool
from support.listeners import listening, refusing

from aconnect import ConnectError, Dialer, Report, aconnect, capture, routed
from aconnect.clients.aiohttp import AConnectConnector
from aconnect.clients.httpx import AConnectTransport
from aconnect.clients.redis import AConnectConnection
from aconnect.report.capture import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio


@pytest.fixture
def address() -> Iterator[Any]:
    with listening() as listener:
        yield listener.getsockname()


@pytest.fixture(autouse=True)
def none_is_open() -> Iterator[None]:
    yield
    assert OPEN == {}


def text(address: Any) -> str:
    return f"{address[0]}:{address[1]}"


async def aconnect_by_httpx(address: Any) -> None:
    limits = httpx.Timeout(None, read=0.01)  # nobody answers
    async with httpx.AsyncClient(transport=AConnectTransport(), timeout=limits) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(f"http://{text(address)}/")


async def aconnect_by_aiohttp(address: Any) -> None:
    limits = aiohttp.ClientTimeout(sock_read=0.01)
    async with aiohttp.ClientSession(connector=AConnectConnector(), timeout=limits) as client:
        with pytest.raises(aiohttp.ServerTimeoutError):
            await client.get(f"http://{text(address)}/")


async def aconnect_by_redis(address: Any) -> None:
    host, port = address
    silent: Any = {"protocol": 2, "driver_info": None}  # it has nothing to say at first
    pool: Any = ConnectionPool(AConnectConnection, host=host, port=port, **silent)
    await pool.release(await pool.get_connection())
    await pool.aclose()


async def aconnect_by_a_loop(address: Any) -> None:
    with routed(Dialer()):
        _, writer = await asyncio.open_connection(*address[:2])
        writer.close()


async def test_every_dial_of_the_block(anyio_backend: Any, address: Any) -> None:
    (await aconnect(address)).close()
    with capture() as reports:
        (await aconnect(address)).close()
        (await Dialer(attempt_delay=0.1).connect([address, address])).close()
        with refusing() as refused, pytest.raises(ConnectError) as caught:
            await aconnect(refused)
    (await aconnect(address)).close()
    assert [each.outcome for each in reports] == ["connected", "connected", "failed"]
    assert reports[0].address == text(address)
    assert reports[0].winner is not None
    assert caught.value.report is reports[2]


async def test_a_dial_that_runs_is_there(anyio_backend: Any, address: Any) -> None:
    seen: list[str] = []

    async def hook(sock: Any, endpoint: Any) -> None:
        seen.append(reports[0].outcome)

    with capture() as reports:
        (await Dialer(on_socket=hook).connect(address)).close()
    assert seen == ["running"]


async def test_who_is_told_anyway_is_told_of_the_same_report(
    anyio_backend: Any, address: Any
) -> None:
    told: list[Report] = []
    given, events = Report(), Report()
    with capture() as reports:
        dialer = Dialer(on_report=told.append, trace=events)
        (await dialer.connect(address, report=given)).close()
        (await Dialer(on_report=told.append).connect(address)).close()
    assert reports == told
    assert reports[0] is given
    assert events.events == given.events


async def test_nested(anyio_backend: Any, address: Any) -> None:
    with capture() as outer:
        (await aconnect(address)).close()
        with capture() as inner:
            (await aconnect(address)).close()
        (await aconnect(address)).close()
    assert len(outer) == 3
    assert inner == [outer[1]]


async def test_tasks(anyio_backend: Any, address: Any) -> None:
    """A task has the context that it was created in."""
    begun, over, ended, gone = anyio.Event(), anyio.Event(), anyio.Event(), anyio.Event()

    async def elsewhere() -> None:
        await begun.wait()
        (await aconnect(address)).close()
        ended.set()

    async def late() -> None:
        await over.wait()
        (await aconnect(address)).close()
        gone.set()

    async def connect() -> None:
        (await aconnect(address)).close()

    async with anyio.create_task_group() as outside:
        outside.start_soon(elsewhere)
        with capture() as reports:
            outside.start_soon(late)
            async with anyio.create_task_group() as inside:
                inside.start_soon(connect)
                inside.start_soon(connect)
                begun.set()
                await ended.wait()
        with capture() as others:  # or nobody would look
            over.set()
            await gone.wait()
    assert len(reports) == 2
    assert others == []


@pytest.mark.parametrize(
    "client", [aconnect_by_httpx, aconnect_by_aiohttp, aconnect_by_redis, aconnect_by_a_loop]
)
async def test_clients(anyio_backend: Any, address: Any, client: Any) -> None:
    if client is not aconnect_by_httpx and anyio_backend[0] == "trio":
        pytest.skip("of asyncio")
    (await aconnect(address)).close()
    with capture() as reports:
        await client(address)
    assert [each.address for each in reports] == [text(address)]


async def test_it_may_end_in_another_context(anyio_backend: Any, address: Any) -> None:
    block = capture()
    here = contextvars.copy_context()
    reports = here.run(block.__enter__)
    (await aconnect(address)).close()
    assert reports == []
    block.__exit__(None, None, None)


def test_threads_have_contexts_of_their_own(address: Any) -> None:
    async def connect() -> None:
        (await aconnect(address)).close()

    async def main() -> None:
        await asyncio.to_thread(asyncio.run, connect())

    with capture() as reports:
        thread = threading.Thread(target=asyncio.run, args=(connect(),))
        thread.start()
        thread.join()
        mine = len(reports)
        asyncio.run(main())
    assert mine in (0, 1)  # Python 3.14 may have threads take over the context
    assert len(reports) == mine + 1


async def test_a_failure_of_an_argument_is_no_dial(anyio_backend: Any, address: Any) -> None:
    used = Report()
    (await aconnect(address, report=used)).close()
    with capture() as reports, pytest.raises(ValueError, match="report must be a new Report"):
        await aconnect(address, report=used)
    assert reports == []
