"""`aconnect.cli` and `aconnect.__main__`: how the command is entered and left."""

from __future__ import annotations

import os
import re
import runpy
import signal
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from aconnect.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from aconnect.cli.stage import Stage

pytestmark = pytest.mark.slow  # most start an interpreter or two

LOOPS = ("asyncio", "uvloop", "trio")
BLOCKED = "import sys; sys.modules[{!r}] = None; from aconnect.cli import main; main()"


def text(address: tuple[str, int]) -> str:
    return "{}:{}".format(*address)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["aconnect", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_main_runs_the_command_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "explain", "ECONNREFUSED") == 0
    assert capsys.readouterr().out.startswith("ECONNREFUSED: ")


def test_python_m_aconnect_is_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["aconnect", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("aconnect", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("aconnect ")


def test_importing_the_module_main_runs_nothing() -> None:
    runpy.run_module("aconnect.__main__", run_name="aconnect.__main__")


@pytest.mark.parametrize("module", ["click", "rich"])
def test_a_missing_extra_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    for name in list(sys.modules):
        if name.startswith(("aconnect.cli.", f"{module}.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert run(monkeypatch, "demo") == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err == f"aconnect: {module} is not installed: install it, or aconnect-io[cli]\n"


@pytest.mark.parametrize("module", ["click", "rich"])
def test_a_missing_extra_in_a_process_of_its_own(start: Any, module: str) -> None:
    process = start(program=[sys.executable, "-W", "error", "-c", BLOCKED.format(module)])
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert error == f"aconnect: {module} is not installed: install it, or aconnect-io[cli]\n"


@pytest.mark.parametrize("name", ["somebody.else", None])
def test_any_other_module_that_is_missing_is_a_defect_and_is_raised(
    monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    def fail() -> None:
        raise ModuleNotFoundError("missing", name=name)

    monkeypatch.setitem(sys.modules, "aconnect.cli.commands", SimpleNamespace(command=fail))
    with pytest.raises(ModuleNotFoundError, match="missing"):
        main()


def test_an_interrupted_import_ends_in_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "aconnect.cli.commands", SimpleNamespace(command=interrupt))
    assert run(monkeypatch) == 130


def test_exit_statuses_of_a_process(start: Any, stage: Stage) -> None:
    processes = [
        start("check", text(stage.healthy)),
        start("check", text(stage.refused)),
        start("check", text(stage.healthy), "nonsense"),
    ]
    for status, process in enumerate(processes):
        _, error = process.communicate(timeout=60)
        assert process.returncode == status
        assert "Traceback" not in error


@pytest.mark.parametrize("loop", LOOPS)
def test_ctrl_c_ends_a_check_in_130_without_a_traceback(
    start: Any, stage: Stage, loop: str
) -> None:
    addresses = [text(stage.healthy), text(stage.silent)]
    process = start("check", "--loop", loop, "--timeout", "inf", *addresses)
    assert process.stdout.readline().startswith("connected")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "\n")
    assert process.returncode == 130


def test_ctrl_c_ends_the_demo_and_nothing_is_left(start: Any, tmp_path: Path) -> None:
    process = start("demo", env={"TMPDIR": str(tmp_path)})
    for line in process.stdout:
        if "connected to 127.0.0.1:" in line:  # and asyncio's own call waits
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [[], ["--json"], ["--loop", "uvloop"], ["--loop", "trio"]])
def test_a_reader_that_goes_away_is_no_traceback(
    start: Any, stage: Stage, options: list[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start("check", *options, text(stage.healthy), text(stage.silent), stdout=writing)
    os.close(writing)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
class TestAFullDisk:
    @pytest.mark.parametrize(
        "arguments",
        [
            *(["check", "--loop", loop] for loop in LOOPS),
            *(["check", "--json"], ["explain", "EIO"], ["--help"], ["--version"]),
        ],
    )
    def test_is_one_line_and_a_status(
        self, start: Any, stage: Stage, arguments: list[str]
    ) -> None:
        addresses = [text(stage.healthy), text(stage.silent)] if "check" in arguments else []
        with open("/dev/full", "w") as full:
            process = start(*arguments, *addresses, stdout=full)
            _, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (1, "aconnect: No space left on device\n")

    def test_of_both_streams(self, start: Any, stage: Stage) -> None:
        with open("/dev/full", "w") as full:
            process = start("check", text(stage.healthy), stdout=full, stderr=full)
            process.communicate(timeout=60)
        assert process.returncode == 1

    def test_in_this_process(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with open("/dev/full", "w") as full:
            monkeypatch.setattr(sys, "stdout", full)
            assert run(monkeypatch, "explain", "EIO") == 1
        assert capsys.readouterr().err == "aconnect: No space left on device\n"


@pytest.mark.slow
def test_the_demo_in_a_process_of_its_own(start: Any, tmp_path: Path) -> None:
    process = start("demo", env={"TMPDIR": str(tmp_path)})
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, ""), out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert not [line for line in out.splitlines() if line != line.rstrip()]
    assert not list(tmp_path.iterdir())


def read_terminal(start: Any, columns: int, *arguments: str) -> str:
    """What the command writes to a terminal."""
    ours, theirs = os.openpty()
    process = start(*arguments, stdout=theirs, env={"COLUMNS": str(columns)})
    os.close(theirs)
    written = b""
    try:
        while some := os.read(ours, 65536):
            written += some
    except OSError:  # EIO: nobody holds the other end any more
        pass
    os.close(ours)
    process.communicate(timeout=60)
    return written.decode().replace("\r\n", "\n")


@pytest.mark.slow
def test_the_demo_on_a_terminal(start: Any) -> None:
    written = read_terminal(start, 80, "demo")
    bars = re.findall(r"  asyncio\.open_connection +[\d.]+ m?s  \x1b\[33m(\u2501+)", written)
    assert len(set(bars)) > 3  # it is seen to grow
    assert "still waits" in written.split("\u2501" * 36)[-1]
    assert "everything was as it should be" in written


def test_there_are_colours_on_a_terminal_and_none_in_a_pipe(start: Any, stage: Stage) -> None:
    addresses = [text(stage.healthy), text(stage.refused)]
    written = read_terminal(start, 80, "check", *addresses)
    assert "\x1b[32mconnected" in written
    assert "\x1b[31mfailed" in written
    piped, _ = start("check", *addresses).communicate(timeout=60)
    assert "\x1b" not in piped


def test_an_explanation_is_wrapped_on_a_terminal(start: Any) -> None:
    lines = read_terminal(start, 40, "explain", "ETIMEDOUT").splitlines()
    assert lines[0].startswith("\x1b[1mETIMEDOUT\x1b[0m: ")
    assert len(lines) > 2


def test_a_check_is_a_line_on_a_narrow_terminal_too(start: Any, stage: Stage) -> None:
    written = read_terminal(start, 20, "check", text(stage.healthy), text(stage.refused))
    assert len(written.splitlines()) == 2


def test_what_standard_output_cannot_encode_is_escaped(start: Any) -> None:
    address = os.fsdecode(b"unix:/nowhere/\xff\xc3\xa4\n\x1b[31m")
    process = start("check", address, env={"PYTHONIOENCODING": "ascii"})
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (1, "")
    assert r"unix:/nowhere/\udcff\xe4\n\x1b[31m" in out
    assert len(out.splitlines()) == 1
