"""`aconnect wait-for` and `aconnect watch`."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from support.terminals import on_a_terminal

from aconnect.cli.loops import LOOPS
from aconnect.cli.watch_command import on_enter
from aconnect.cli.watching import Row, sparkline, table
from aconnect.many import Result

if TYPE_CHECKING:
    from pathlib import Path

ALL_LOOPS = list(LOOPS)


def text(address: tuple[str, int]) -> str:
    return "{}:{}".format(*address)


# wait-for


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_what_is_up_is_not_waited_for(invoke: Any, stage: Any, loop: str) -> None:
    healthy = text(stage.healthy)
    result = invoke("wait-for", "--loop", loop, healthy)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith(f"{healthy} is up (in ")
    assert invoke("wait-for", "-q", healthy).stderr == ""


def test_a_command_takes_over(start: Any, stage: Any) -> None:
    code = "import sys; print(sys.argv[1:]); sys.exit(7)"
    command = ("--", sys.executable, "-c", code, "--", "-x")
    process = start("wait-for", "-q", text(stage.healthy), *command)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (7, "['--', '-x']\n", "")


@pytest.mark.parametrize(("what", "status"), [("no-such-command", 127), ("/", 126)])
def test_a_command_that_cannot_be_run(start: Any, stage: Any, what: str, status: int) -> None:
    process = start("wait-for", "-q", text(stage.healthy), "--", what)
    _, err = process.communicate()
    assert process.returncode == status
    assert err.startswith(f"aconnect: {what}: ")


@pytest.mark.parametrize("options", [("--timeout", "0"), ("--timeout", "0.3")])
def test_in_vain(invoke: Any, stage: Any, options: Any) -> None:
    refused = text(stage.refused)
    result = invoke("wait-for", *options, text(stage.healthy), refused, "--", "false")
    assert result.exit_code == 1
    said = "ECONNREFUSED: nothing is listening there"
    assert f"{refused} is down: {said}\n" in result.stderr
    assert result.stderr.endswith(f"gave up waiting: {refused} is down: {said}\n")
    assert result.stderr.count(f"{refused} is down") == 2  # nothing has changed
    assert invoke("wait-for", "-q", *options, refused).stderr == ""


def test_any_and_down_and_steady(invoke: Any, stage: Any) -> None:
    healthy, refused = text(stage.healthy), text(stage.refused)
    assert invoke("wait-for", "--any", healthy, refused).exit_code == 0
    assert invoke("wait-for", "--down", refused).exit_code == 0
    assert invoke("wait-for", "--down", "--timeout", "0", refused).exit_code == 0
    assert invoke("wait-for", "--down", "--timeout", "0.2", healthy).exit_code == 1
    assert invoke("wait-for", "--steady", "2", "--timeout", "5", healthy).exit_code == 0


def test_tls_is_waited_for(invoke: Any, stage: Any) -> None:
    result = invoke("wait-for", "--tls", "--timeout", "0.2", text(stage.healthy))
    assert result.exit_code == 1
    assert "is down: ETIMEDOUT" in result.stderr


def test_it_comes_up(start: Any) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        process = start("wait-for", text(listener.getsockname()))
        assert "is down: ECONNREFUSED" in process.stderr.readline()
        listener.listen()
        assert " is up (in " in process.stderr.readline()
        assert process.wait() == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_signals_end_the_wait(start: Any, stage: Any, number: int, status: int) -> None:
    process = start("wait-for", "--timeout", "inf", text(stage.refused), "--", "true")
    process.stderr.readline()
    process.send_signal(number)
    _, err = process.communicate()
    assert (process.returncode, err) == (status, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("wait-for", "a:1", "--"), "there must be a command after --"),
        (("wait-for", "--", "true"), "Missing argument"),
        (("wait-for", "nonsense"), "not an address: 'nonsense'"),
        (
            ("wait-for", "--proxy", "socks5h://h", "udp://127.0.0.1:1"),
            "a proxy can reach TCP addresses only",
        ),
        (("watch", "--interval", "0", "a:1"), "--interval must be 0.01 or more seconds"),
        (("watch", "--count", "0", "a:1"), "0 is not in the range"),
    ],
)
def test_what_makes_no_sense(invoke: Any, arguments: Any, said: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


# watch


def test_enter_shows_all_so_far_until_there_is_no_more(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    shown: list[int] = []
    os.write(writing, b"\n")
    os.close(writing)
    on_enter(reading, lambda: shown.append(1))
    os.close(reading)
    on_enter(reading, lambda: shown.append(1))  # nor is it an error
    assert shown == [1]


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_a_line_for_each_try_and_a_table(invoke: Any, stage: Any, loop: str) -> None:
    healthy, refused = text(stage.healthy), text(stage.refused)
    options = ("--interval", "0.01", "--count", "3", "--loop", loop)
    result = invoke("watch", *options, healthy, refused)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert sum(line.startswith(f"connected  to {healthy} in ") for line in lines) == 3
    assert sum(line.startswith("failed     could not connect to") for line in lines) == 3
    assert lines[6].split()[:5] == ["address", "state", "for", "tries", "loss"]
    assert invoke("watch", *options, healthy).exit_code == 0


def test_what_was_skipped_is_said(invoke: Any, stage: Any) -> None:
    options = ("--interval", "0.05", "--count", "2", "--timeout", "0.18")
    result = invoke("watch", *options, text(stage.silent))
    assert "intervals skipped before" in result.stdout


def test_for_programs(invoke: Any, stage: Any) -> None:
    options = ("--interval", "0.01", "--count", "2", text(stage.healthy))
    lines = invoke("watch", "--format", "json", *options).stdout.splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == ["connected"] * 2
    rows = list(csv.DictReader(io.StringIO(invoke("watch", "--format", "csv", *options).stdout)))
    assert next(row["index"] for row in rows) == "0"


def test_tls_is_watched(invoke: Any, stage: Any) -> None:
    options = ("--tls", "--count", "1", "--timeout", "0.2")
    assert "handshake had not finished" in invoke("watch", *options, text(stage.healthy)).stdout


def test_a_signal_shows_all_so_far(start: Any, stage: Any) -> None:
    process = start("watch", "--interval", "0.05", text(stage.healthy))
    assert process.stdout.readline().startswith("connected")
    process.send_signal(signal.SIGUSR1)
    while not process.stdout.readline().startswith("address"):
        pass
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 130
    assert "address" in out


def result(index: int, seconds: float | None, time: float) -> Result:
    if seconds is None:
        return Result("x:1", index, "failed", seconds=0.5, time=time)
    return Result("x:1", index, "connected", seconds=seconds, time=time)


def test_a_row_says_how_long_it_was_down() -> None:
    row = Row("x:1")
    assert (row.loss, row.lasting) == (0, 0)
    assert row.add(result(0, 0.25, 100.0)) == 0
    assert row.add(result(1, None, 101.0)) == 0
    assert row.add(result(4, None, 104.0)) == 2
    assert row.lasting == 3.5
    assert row.add(result(5, 0.5, 105.0)) == 0
    assert (row.skipped, row.longest_outage, row.loss) == (2, 3.5, 50)
    assert list(row.recent) == [0.25, None, None, 0.5]


def test_a_sparkline() -> None:
    assert sparkline([0.1, None, 0.8, 0.4], unicode=False) == ".x^-"
    assert sparkline([0.1, 0.8], unicode=True) == "▂█"
    assert sparkline([], unicode=True) == ""
    assert sparkline([None, 0.0], unicode=False) == "x."


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_a_table_is_no_wider_than_the_terminal(width: int) -> None:
    row = Row("unix:/a/very/long/path/" + "x" * 90)
    for index in range(80):
        row.add(result(index, None if index % 7 == 6 else index / 100, 100.0 + index))
    console = Console(width=width, file=io.StringIO())
    console.print(table([row, Row("never:1")], width, unicode=True))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_on_a_terminal_there_is_one_table(stage: Any, loop: str, tmp_path: Path) -> None:
    arguments = ("watch", "--interval", "0.05", "--count", "3", "--loop", loop)

    def enter(shown: bytes) -> bytes:
        return b"\n" if b"lately" in shown else b""

    status, shown = on_a_terminal(*arguments, text(stage.healthy), answer=enter)
    assert status == 0
    assert b"lately" in shown
    assert b"connected  to" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("width", [20, 80, 200])
def test_a_wait_has_whole_lines_without_colours_on_any_terminal(stage: Any, width: int) -> None:
    addresses = text(stage.healthy), text(stage.refused)
    status, shown = on_a_terminal("wait-for", *addresses, "--timeout", "0", width=width)
    assert status == 1
    assert b"\x1b" not in shown
    lines = shown.decode().splitlines()
    assert len(lines) == 3
    said = f"{text(stage.refused)} is down: ECONNREFUSED"
    assert any(line.startswith(said) for line in lines)
    assert said in lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
def test_a_live_table_fits_terminals_of_any_width(stage: Any, width: int) -> None:
    addresses = text(stage.healthy), text(stage.refused)
    arguments = ("watch", "--interval", "0.02", "--count", "3", *addresses)
    status, shown = on_a_terminal(*arguments, width=width)
    assert status == 1
    lines = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.decode().replace("\r", "\n")).splitlines()
    assert max(map(len, lines)) <= width
    for word in ("address", "state", "up", "down"):
        assert any(word in line for line in lines), (word, lines)
