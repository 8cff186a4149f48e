"""`aconnect demo`: what it shows, and that it notices when that is not so."""

from __future__ import annotations

import asyncio
import errno
import io
import platform
import re
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from aconnect import Dialer
from aconnect.cli import demo
from aconnect.cli import stage as stages
from aconnect.cli.demo_screen import WIDEST, DemoScreen
from aconnect.cli.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def no_time_is_wasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "DRAIN_AFTER", 0.01)
    monkeypatch.setattr(demo, "WATCHED", 0.05)
    monkeypatch.setattr(demo, "TICK", 0.01)
    monkeypatch.setattr(demo, "PATIENCE", 60.0)
    monkeypatch.setattr(demo, "Dialer", partial(Dialer, attempt_delay=0.01))


def words(output: str) -> str:
    return " ".join(output.split())


def row(call: str, outcome: str) -> str:
    return rf"^  {re.escape(call)} +[\d.]+ m?s  {outcome}"


SHOWN = [
    row("aconnect", r"connected to 127\.0\.0\.1:\d+$"),
    row("asyncio.open_connection", "still waits$"),
    r"^  0 \S+ +[\d.]+ +[\d.]+  cancelled",
    r"^  1 127\.0\.0\.1:\d+ +[\d.]+ +[\d.]+  connected",
    row("aconnect.open_connection", r"connected to 127\.0\.0\.3:\d+$"),
    row("asyncio.open_connection", "raises SSLError$"),
    r"^    TLS +[\d.]+ +[\d.]+  failed",
    r"^    TLS +[\d.]+ +[\d.]+  cancelled",
    r"^    TLS +[\d.]+ +[\d.]+  done",
    row("aconnect", "raises AddressNotPermitted$"),
    row("asyncio.open_connection", r"connected to 127\.0\.0\.1:\d+$"),
    row("loop.sock_connect", r"returns, but getpeername\(\) says ENOTCONN$"),
    row("aconnect", "connected, now that there is room$"),
]


def test_it_shows_what_it_promises(invoke: Any) -> None:
    result = invoke("demo")
    assert result.exit_code == 0, result.output
    for each in SHOWN:
        assert re.search(each, result.output, re.MULTILINE), (each, result.output)
    assert "\n1. A name whose first address is dead" in result.output
    assert "the address policy does not permit it" in words(result.output)
    assert words(result.output).endswith(
        "everything was as it should be. With addresses of yours: aconnect check -v "
        "example.org:443"
    )


@pytest.mark.parametrize(("columns", "widest"), [(80, 80), (120, WIDEST), (40, 80)])
def test_it_fits(columns: int, widest: int) -> None:
    output = io.StringIO()
    assert demo.run_demo(DemoScreen(Console(file=output, width=columns)))
    lines = output.getvalue().splitlines()
    assert widest - 20 < max(map(len, lines)) <= widest
    assert not [line for line in lines if line != line.rstrip()]


def test_on_a_terminal_the_rows_grow() -> None:
    output = io.StringIO()
    console = Console(file=output, width=80, force_terminal=True, _environ={"TERM": "xterm"})
    assert demo.run_demo(DemoScreen(console))
    written = output.getvalue()
    bars = re.findall(r"  asyncio\.open_connection +[\d.]+ m?s  \x1b\[33m(\u2501+)", written)
    assert len(set(bars)) > 1
    last = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", written.rpartition("\x1b[2K")[2])
    assert "now that there is room" in last
    assert written.count("now that there is room") == 1  # and not once for each picture


def test_what_has_no_ipv6_says_so(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_other_loopback", lambda: "127.0.0.2")
    result = invoke("demo")
    assert result.exit_code == 0, result.output
    assert "shop.example is 127.0.0.2:" in result.output
    assert "(There is no IPv6 here, so both are of IPv4.)" in words(result.output)


def test_an_openssl_without_anonymous_ciphers(
    invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "without_certificate", lambda: None)
    result = invoke("demo")
    assert result.exit_code == 0, result.output
    assert "This is left out: the OpenSSL of this Python" in words(result.output)
    assert "SSLError" not in result.output


# What is not as it should be


def raising(error: BaseException) -> Callable[..., Any]:
    async def connect(*_: object, **__: object) -> None:
        raise error

    return connect


def complaints(result: Any) -> str:
    assert result.exit_code == 1, result.output
    return words(result.output).split("as this demo says it should be: ")[1]


def test_an_asyncio_that_does_better(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(errno.ENETUNREACH, "try another")
    monkeypatch.setattr(asyncio, "open_connection", raising(error))
    monkeypatch.setattr(
        asyncio.SelectorEventLoop, "sock_connect", raising(BlockingIOError(errno.EAGAIN, "full"))
    )
    monkeypatch.setattr(demo, "PATIENCE", 0.3)  # nobody drains the backlog
    result = invoke("demo")
    assert "raises OSError\n    try another\n" in result.output
    assert "raises BlockingIOError\n    full\n" in result.output
    said = complaints(result)
    assert said.count("asyncio.open_connection: expected ") == 3
    assert "expected _StillWaiting, but there was: OSError: [Errno" in said
    assert "loop.sock_connect: expected ENOTCONN, but there was: BlockingIOError" in said


def test_an_asyncio_that_does_not_come_back(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "open_connection", connect)
    monkeypatch.setattr(demo, "PATIENCE", 0.1)
    assert (
        "asyncio.open_connection: expected SSLError, but there was: _StillWaiting"
        in complaints(invoke("demo"))
    )


def test_an_aconnect_that_does_not_connect(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(*_: object, **__: object) -> socket.socket:
        return socket.socket()

    monkeypatch.setattr(demo, "aconnect", connect)
    monkeypatch.setattr(demo, "Dialer", lambda **_: type("", (), {"connect": connect}))
    said = complaints(invoke("demo"))
    assert "aconnect: expected ('127.0.0.1', " in said
    assert "aconnect: expected PermissionError, but there was: returns, but getpeername()" in said
    assert "aconnect: connected before there was room" in said


def test_an_interruption(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "open_connection", raising(KeyboardInterrupt()))
    assert invoke("demo").exit_code == 130
    output = io.StringIO()
    console = Console(file=output, width=80, force_terminal=True, _environ={"TERM": "xterm"})
    with pytest.raises(KeyboardInterrupt):
        demo.run_demo(DemoScreen(console))
    assert output.getvalue().rindex("\x1b[?25h") > output.getvalue().rindex("\x1b[?25l")


def test_a_backlog_that_is_drained_too_early(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def drain(stage: Stage, _: float) -> None:
        stage._drain(0)
        stage.drained_from = None

    monkeypatch.setattr(Stage, "drain_after", drain)
    assert complaints(invoke("demo")).startswith("aconnect: connected before there was room")


def test_it_is_about_linux(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    result = invoke("demo")
    assert result.exit_code == 1
    assert "runs on Linux only" in result.output
