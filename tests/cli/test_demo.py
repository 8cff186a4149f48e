"""`aconnect demo`: what it shows, and that it notices when that is not so."""

from __future__ import annotations

import errno
import io
import platform
import socket
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from aconnect.cli import demo
from aconnect.cli.demo_screen import WIDEST, DemoScreen
from aconnect.cli.loops import LOOPS

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def no_time_is_wasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "DRAIN_AFTER", 0.05)
    monkeypatch.setattr(demo, "SILENCE", 0.05)
    monkeypatch.setattr(demo, "PATIENCE", 60.0)


@pytest.fixture
def asyncio_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "LOOPS", {"asyncio": LOOPS["asyncio"]})


def words(output: str) -> str:
    return " ".join(output.split())


def test_it_shows_what_it_promises_on_every_loop(invoke: Any) -> None:
    result = invoke("demo")
    assert result.exit_code == 0, result.output
    assert result.output.endswith("and everything was as it should be.\n")
    for loop in LOOPS.values():
        _, found, shown = result.output.partition(f"{loop.name} ──")
        assert found
        calls = [line.split() for line in shown.splitlines() if line.startswith("  ")][:20]
        assert ["aconnect", "raises", "ConnectError,", "a", "ConnectionRefusedError"] in [
            [line[0], *line[3:]] for line in calls
        ]
        assert loop.own_connect_name in shown
    assert result.output.count("returns, but getpeername() says ENOTCONN") == len(LOOPS)
    assert result.output.count("returns a connected socket, once there is room") == len(LOOPS)
    assert words(result.output).count("ECONNREFUSED: nobody listens there") == len(LOOPS)
    assert words(result.output).count("deadline passed: still no answer") == len(LOOPS)


@pytest.mark.usefixtures("asyncio_only")
@pytest.mark.parametrize(("columns", "widest"), [(80, 80), (120, WIDEST), (40, 80)])
def test_it_fits(columns: int, widest: int) -> None:
    output = io.StringIO()
    assert demo.run_demo(DemoScreen(Console(file=output, width=columns)))
    lines = output.getvalue().splitlines()
    assert widest - 20 < max(map(len, lines)) <= widest
    assert not [line for line in lines if line != line.rstrip()]


def test_loops_that_are_not_installed_are_listed_with_their_extra(
    invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "missing", lambda loop: loop.name != "asyncio")
    result = invoke("demo")
    assert result.exit_code == 0
    for name in ("uvloop", "trio"):
        assert (
            f"\n{name} is not installed: install it, or the extra '{name}' of aconnect-io\n"
            in result.output
        )
    assert result.output.count("ENOTCONN") == 1


def raising(error: BaseException) -> Callable[..., Any]:
    async def connect(*_: object, **__: object) -> None:
        raise error

    return connect


@pytest.mark.usefixtures("asyncio_only")
def test_a_loop_that_does_better_is_noticed(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = raising(BlockingIOError(errno.EAGAIN, "try again"))
    monkeypatch.setattr(LOOPS["asyncio"], "own_connect", fake)
    result = invoke("demo")
    assert result.exit_code == 1
    assert "raises BlockingIOError\n    try again\n" in result.output
    assert (
        words(result.output)
        .split("as this demo says it should be: ")[1]
        .startswith(
            "asyncio: expected of loop.sock_connect success without a connection, but there was "
            "BlockingIOError after "
        )
    )


@pytest.mark.usefixtures("asyncio_only")
def test_a_loop_that_does_not_come_back_is_noticed(
    invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOOPS["asyncio"], "own_connect", raising(TimeoutError()))
    result = invoke("demo")
    assert result.exit_code == 1
    assert "raises TimeoutError\n" in result.output
    assert words(result.output).endswith(" ms")


@pytest.mark.usefixtures("asyncio_only")
def test_a_loop_that_is_interrupted(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOOPS["asyncio"], "own_connect", raising(KeyboardInterrupt()))
    assert invoke("demo").exit_code == 130


@pytest.mark.usefixtures("asyncio_only")
def test_an_aconnect_that_does_not_connect_is_noticed(
    invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(address: object, *, timeout: float) -> socket.socket:
        return socket.socket()

    monkeypatch.setattr(demo, "aconnect", connect)
    result = invoke("demo")
    assert result.exit_code == 1
    assert result.output.count("expected of aconnect") == 4
    assert "success after " in words(result.output)
    assert "and ENOTCONN from getpeername()" in words(result.output)


@pytest.mark.usefixtures("asyncio_only")
def test_an_aconnect_that_connects_to_somebody_else_is_noticed(
    invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(address: object, *, timeout: float) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.close()
        return ours

    monkeypatch.setattr(demo, "aconnect", connect)
    result = invoke("demo")
    assert result.exit_code == 1
    assert words(result.output).count("but there was a connection to") == 4


def test_it_is_about_linux(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    result = invoke("demo")
    assert result.exit_code == 1
    assert "runs on Linux only" in result.output
