"""`aconnect.cli.commands`: what the commands have in common, and `aconnect explain`."""

from __future__ import annotations

import errno
import socket
import sys
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
from support.terminals import on_a_terminal

from aconnect import __version__, explain
from aconnect.cli import commands


@pytest.mark.parametrize("name", ["", "check", "watch", "wait-for", "lookup", "explain", "demo"])
def test_every_command_has_a_help_that_fits_80_columns(invoke: Any, name: str) -> None:
    result = invoke(*filter(None, [name]), "-h")
    assert result.exit_code == 0
    assert "\b" not in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    commands = result.output.partition("Commands:")[2]
    assert "..." not in commands


def test_the_group_lists_its_commands_and_examples(invoke: Any) -> None:
    output = invoke("--help").output
    for name in ("check", "demo", "explain", "lookup", "wait-for", "watch"):
        assert f"\n  {name} " in output
    assert "aconnect explain ECONNREFUSED\n" in output


def test_no_such_command(invoke: Any) -> None:
    assert invoke("conect").exit_code == 2


def test_the_versions(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "trio":
            raise PackageNotFoundError
        return "1.2"

    monkeypatch.setattr(commands, "version", version)
    monkeypatch.setattr(commands, "missing", lambda loop: loop.name == "uvloop")
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.output.startswith(f"aconnect {__version__}, CPython 3.")
    assert result.output.endswith(", Linux, trio of unknown version, anyio 1.2\n")


@pytest.mark.parametrize("name", ["ECONNREFUSED", "econnrefused", str(errno.ECONNREFUSED)])
def test_an_errno_is_explained(invoke: Any, name: str) -> None:
    result = invoke("explain", name)
    assert result.exit_code == 0
    assert result.output == f"{explain(errno.ECONNREFUSED)}\n"


@pytest.mark.parametrize("name", ["EAI_NONAME", "eai_noname", str(socket.EAI_NONAME)])
def test_a_code_of_getaddrinfo_is_explained(invoke: Any, name: str) -> None:
    result = invoke("explain", name)
    assert result.exit_code == 0
    assert result.output == f"{explain(socket.gaierror(socket.EAI_NONAME, ''))}\n"


def test_several_are_explained_in_their_order(invoke: Any) -> None:
    result = invoke("explain", "ENOENT", "EAI_AGAIN", "-2", "13")
    names = [line.partition(":")[0] for line in result.output.splitlines()]
    assert names == ["ENOENT", "EAI_AGAIN", "EAI_NONAME", "EACCES"]


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("ECONREFUSED", "did you mean ECONNREFUSED or "),
        ("connrefused", "did you mean ECONNREFUSED"),
        ("EAI_NONAMES", "did you mean EAI_NONAME"),
        ("EAI_SERVICES", "is not the name of a known error"),
    ],
)
def test_an_unknown_name_brings_close_ones(invoke: Any, name: str, suggestion: str) -> None:
    result = invoke("explain", "ENOENT", name)
    assert result.exit_code == 2
    assert f"{name!r} is not the name of a known error" in " ".join(result.output.split())
    assert suggestion in " ".join(result.output.split())
    assert "no socket file" not in result.output


@pytest.mark.parametrize("name", ["ÄÖÜ", "zzz", "--no-such-option", "²", "-"])
def test_a_name_that_is_close_to_none(invoke: Any, name: str) -> None:
    result = invoke("explain", name)
    assert result.exit_code == 2
    assert "is not the name of a known error" in result.output
    assert "did you mean" not in result.output


@pytest.mark.parametrize("number", ["0", "99999", "-99999", "٣", "9" * 5000])
def test_an_unknown_number(invoke: Any, number: str) -> None:
    result = invoke("explain", number)
    assert result.exit_code == 2
    assert f"{number} is not the number of an error on this system" in result.output


def test_every_name_can_be_explained(invoke: Any) -> None:
    names = sorted(errno.errorcode.values())
    result = invoke("explain", *names)
    assert result.exit_code == 0
    assert len(result.output.splitlines()) == len(names)


def test_names_of_errors_are_completed(start: Any) -> None:
    words = {"_ACONNECT_COMPLETE": "bash_complete", "COMP_WORDS": "aconnect explain ECONNR"}
    code = "from aconnect.cli import main; import sys; sys.argv[0] = 'aconnect'; main()"
    program = [sys.executable, "-c", code]
    process = start(program=program, env={**words, "COMP_CWORD": "2"})
    out, _ = process.communicate()
    assert out.splitlines() == ["plain,ECONNREFUSED", "plain,ECONNRESET"]


@pytest.mark.parametrize("width", [20, 60, 80])
def test_usage_errors_wrap_on_a_terminal(width: int) -> None:
    words = "x" * 30 + " is nonsense" * 9
    status, shown = on_a_terminal("check", words, width=width)
    assert status == 2
    lines = shown.decode().splitlines()
    error = lines[[line.startswith("Error: ") for line in lines].index(True) :]
    assert len(error) > 2
    assert max(map(len, error)) <= max(width, 40)
