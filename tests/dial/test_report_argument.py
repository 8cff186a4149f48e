"""``report=``: an empty Report, which one call fills."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
from support.listeners import LOOPBACK, listening, refusing

from aconnect import (
    ConnectError,
    Dialer,
    Report,
    StaticResolver,
    aconnect,
    create_connection,
    create_datagram_endpoint,
    open_connection,
    open_stream,
    open_trio_stream,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio


@pytest.fixture
def address() -> Iterator[Any]:
    with listening() as listener:
        yield listener.getsockname()


@pytest.mark.parametrize("call", [aconnect, Dialer().connect])
@pytest.mark.parametrize("name", [False, True])
async def test_it_is_filled(anyio_backend: Any, address: Any, call: Any, name: bool) -> None:
    report = Report()
    with await call("localhost" if name else LOOPBACK, address[1], report=report) as sock:
        assert sock.getpeername() == address
    assert report.outcome == "connected"
    assert report.winner is not None
    assert (report.resolution is not None) is name


@pytest.mark.parametrize("call", [aconnect, Dialer().connect])
async def test_it_is_the_report_of_the_error(anyio_backend: Any, call: Any) -> None:
    report = Report()
    with refusing() as dead, pytest.raises(ConnectError) as caught:
        await call(dead, report=report)
    assert caught.value.report is report
    assert report.outcome == "failed"


async def test_it_is_told_beside_the_others(anyio_backend: Any, address: Any) -> None:
    report, trace, reports = Report(), Report(), []
    dialer = Dialer(trace=trace, on_report=reports.append)
    (await dialer.connect(address, report=report)).close()
    assert reports == [report]
    assert report.events == trace.events


async def test_it_may_be_the_trace_as_well(anyio_backend: Any, address: Any) -> None:
    report = Report()
    (await Dialer(trace=report).connect(address, report=report)).close()
    assert [type(event).__name__ for event in report.events] == [
        "DialStarted",
        "AttemptStarted",
        "AttemptEnded",
        "DialConnected",
    ]


async def test_a_dialer_is_left_as_it_was(anyio_backend: Any, address: Any) -> None:
    dialer, first, second = Dialer(), Report(), Report()
    (await dialer.connect(address, report=first)).close()
    (await dialer.connect(address)).close()
    (await dialer.connect(address, report=second)).close()
    assert len(first.events) == len(second.events)
    assert dialer == Dialer()


async def test_one_that_is_not_empty_is_refused(anyio_backend: Any, address: Any) -> None:
    report = Report()
    (await aconnect(address, report=report)).close()
    events = report.events
    for call in (aconnect, Dialer().connect):
        with pytest.raises(ValueError, match=r"report must be empty.*<Report 127\."):
            await call(address, report=report)  # type: ignore[operator]
    assert report.events == events


@pytest.mark.parametrize("value", [5, [], print])
async def test_what_is_no_report_is_refused(anyio_backend: Any, address: Any, value: Any) -> None:
    with pytest.raises(TypeError, match="report must be a Report or None, not"):
        await aconnect(address, report=value)


async def test_of_two_calls_that_share_one_the_second_is_refused(
    anyio_backend: Any, address: Any
) -> None:
    """On trio, both look at it before either begins."""
    report, refused = Report(), []

    async def dial() -> None:
        try:
            (await aconnect(address, report=report)).close()
        except ValueError as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dial)
        tasks.start_soon(dial)
    assert len(refused) == 1
    assert report.outcome == "connected"


@pytest.mark.parametrize("tls", [False, True])
def test_calls_of_asyncio(address: Any, tls: bool) -> None:
    async def main() -> None:
        for call, first in (
            (create_connection, (asyncio.Protocol,)),
            (open_connection, ()),
            (open_stream, ()),
        ):
            report = Report()
            with pytest.raises(ConnectError) as caught:
                await call(  # type: ignore[operator]
                    *first,
                    "nowhere.example" if tls else "a.example",
                    1,
                    report=report,
                    resolver=StaticResolver({}),
                    **({"ssl": True} if tls else {}),
                )
            assert caught.value.report is report
        report = Report()
        transport, _ = await create_datagram_endpoint(
            asyncio.DatagramProtocol, None, (LOOPBACK, 9), report=report
        )
        transport.abort()
        await asyncio.sleep(0)
        assert report.outcome == "connected"

    asyncio.run(main())


@pytest.mark.parametrize("tls", [False, True])
def test_the_call_of_trio(tls: bool) -> None:
    async def main() -> None:
        report = Report()
        with pytest.raises(ConnectError) as caught:
            await open_trio_stream(
                "a.example", 1, ssl=tls, report=report, resolver=StaticResolver({})
            )
        assert caught.value.report is report

    trio.run(main)
