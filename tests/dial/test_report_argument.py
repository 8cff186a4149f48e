"""``report=``: an empty Report, which one call fills."""

from __future__ import annotations

import asyncio
import inspect
import socket
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
from support.listeners import LOOPBACK, listening, refusing, silent

import aconnect as package
from aconnect import (
    AConnectable,
    ConnectError,
    ConnectTimeout,
    Dialer,
    Report,
    StaticResolver,
    aconnect,
    capture,
    connect_socket,
    create_connection,
    create_datagram_endpoint,
    open_connection,
    open_stream,
    open_trio_stream,
    wait_connected,
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
        with pytest.raises(ValueError, match=r"report must be a new Report.*<Report 127\."):
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


class TestOnASocketOfTheCallers:
    """connect_socket() and wait_connected()."""

    async def test_it_is_filled(self, anyio_backend: Any, address: Any) -> None:
        first, second = Report(), Report()
        with new_socket() as sock:
            await connect_socket(sock, address, report=first)
            await wait_connected(sock, report=second)
            local = sock.getsockname()
        for report, peer in (first, "127.0.0.1"), (second, "unknown peer"):
            assert [type(event).__name__ for event in report.events] == [
                "DialStarted",
                "AttemptStarted",
                "AttemptEnded",
                "DialConnected",
            ]
            assert report.winner is not None
            assert report.winner.local_address == local
            assert report.winner.peer.startswith(peer)
            assert "connected, won" in report.draw()
        assert first.address == f"127.0.0.1:{address[1]}"
        assert second.address.startswith("the socket with descriptor ")

    async def test_it_is_the_report_of_the_error(self, anyio_backend: Any) -> None:
        report = Report()
        with refusing() as dead, new_socket() as sock, pytest.raises(ConnectError) as caught:
            await connect_socket(sock, dead, report=report)
        assert caught.value.report is report
        assert report.outcome == "failed"
        [attempt] = caught.value.attempts
        assert (attempt.sockaddr, attempt.errno) == (dead, caught.value.errno)
        assert attempt.closed is None

    async def test_of_one_that_times_out(self, anyio_backend: Any) -> None:
        report = Report()
        with silent() as address, new_socket() as sock, pytest.raises(ConnectTimeout) as caught:
            await connect_socket(sock, address, timeout=0, report=report)
        assert caught.value.report is report
        assert (report.outcome, report.attempts[0].outcome) == ("timed out", "timed out")

    async def test_of_one_that_is_cancelled(self, anyio_backend: Any) -> None:
        report = Report()
        with silent() as address, new_socket() as sock:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: connect_socket(sock, address, report=report))
                while report.outcome == "not started":
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            assert (report.outcome, report.attempts[0].outcome) == ("cancelled", "cancelled")
            again = Report()
            with pytest.raises(ConnectTimeout):
                await wait_connected(sock, timeout=0, report=again)
            assert again.outcome == "timed out"

    async def test_one_that_is_no_good_is_refused_before_anything_is_done(
        self, anyio_backend: Any, address: Any
    ) -> None:
        report = Report()
        with new_socket() as sock:
            with pytest.raises(TypeError, match="report must be a Report or None, not"):
                await connect_socket(sock, address, report=5)  # type: ignore[arg-type]
            await connect_socket(sock, address, report=report)
            for call in (
                connect_socket(sock, address, report=report),
                wait_connected(sock, report=report),
            ):
                with pytest.raises(ValueError, match="report must be a new Report"):
                    await call

    async def test_it_stays_empty_if_nothing_had_begun(self, anyio_backend: Any) -> None:
        report = Report()
        with new_socket() as sock, pytest.raises(ConnectError, match="EAFNOSUPPORT") as caught:
            await connect_socket(sock, "a path", report=report)
        assert caught.value.report is None
        assert report.events == ()

    async def test_it_is_captured(self, anyio_backend: Any, address: Any) -> None:
        report = Report()
        with capture() as reports, new_socket() as sock:
            await connect_socket(sock, address, report=report)
            await wait_connected(sock)
        assert [each.outcome for each in reports] == ["connected", "connected"]
        assert reports[0] is report


async def test_a_connectable_takes_one_for_each_connection(
    anyio_backend: Any, address: Any
) -> None:
    connectable, reports = AConnectable(address), [Report(), Report()]
    for report in reports:
        await (await connectable.connect(report=report)).aclose()
    assert [report.outcome for report in reports] == ["connected", "connected"]
    with refusing() as dead, pytest.raises(anyio.ConnectionFailed) as caught:
        await AConnectable(dead).connect(report=(report := Report()))
    assert caught.value.__cause__.report is report  # type: ignore[union-attr]


def new_socket() -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    return sock


def public_calls() -> Iterator[Any]:
    """Whatever there is to call, here and in what is public beside it."""
    for name in ("", ".blocking", ".clients.asyncssh", ".clients.websockets"):
        module = import_module(f"aconnect{name}")
        for each in module.__all__:
            call = getattr(module, each)
            yield call
            yield from (
                getattr(call, method)
                for method in ("connect",)
                if inspect.isclass(call) and hasattr(call, method)
            )


def test_every_call_with_a_time_limit_takes_one() -> None:
    assert package.aconnect is aconnect
    limited = [
        call
        for call in public_calls()
        if callable(call) and "deadline" in inspect.signature(call).parameters
    ]
    assert {connect_socket, wait_connected, aconnect, open_stream} <= set(limited)
    for call in limited:
        assert "report" in inspect.signature(call).parameters, call
