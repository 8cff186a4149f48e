"""The command, in this process and in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import aconnect
from aconnect.cli.commands import command
from aconnect.cli.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from click.testing import Result

    Invoke: TypeAlias = Callable[..., Result]
    Start: TypeAlias = Callable[..., subprocess.Popen[str]]

COMMAND = [sys.executable, "-W", "error", "-m", "aconnect"]


@pytest.fixture
def invoke() -> Invoke:
    """Run the command in this process; what it writes to both streams is ``output``."""

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(command, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result

    return invoke


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process, by default of the command, that is gone when the test is over."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, program: list[str] = COMMAND, **options: Any) -> Any:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        options["env"] = {**environment(), **options.get("env", {})}
        process = subprocess.Popen([*program, *arguments], text=True, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            if process.poll() is None:
                process.kill()


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


def environment() -> dict[str, str]:
    """The environment, without what decides on colours and widths."""
    where = str(Path(aconnect.__file__).parents[1])
    decides = ("COLOR", "COLUMNS", "LINES", "TERM", "TTY_")
    kept = {name: value for name, value in os.environ.items() if not any(map(name.count, decides))}
    return {**kept, "PYTHONPATH": where, "TERM": "xterm-256color"}
