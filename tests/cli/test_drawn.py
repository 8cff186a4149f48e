"""`aconnect check --report` and `--trace`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from aconnect.cli.drawn import Drawn
from aconnect.cli.loops import LOOPS

if TYPE_CHECKING:
    from pathlib import Path

    from aconnect.cli.stage import Stage


def text(address: tuple[str, int]) -> str:
    return "{}:{}".format(*address)


def test_a_picture(invoke: Any, stage: Stage, tmp_path: Path) -> None:
    file, address = tmp_path / "dial.SVG", text(stage.refused)
    assert invoke("check", "--report", str(file), address).exit_code == 1
    words = "".join(ElementTree.parse(file).getroot().itertext())
    assert f"{address}: failed after " in words
    assert "ECONNREFUSED: nothing is listening there" in words


def test_a_page(invoke: Any, stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "dial.html"
    file.write_text("an old one")
    assert invoke("check", "--report", str(file), text(stage.healthy)).exit_code == 0
    page = file.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert f"{text(stage.healthy)}: connected after " in page
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("loop", list(LOOPS))
def test_trace_events_of_all(invoke: Any, stage: Stage, tmp_path: Path, loop: str) -> None:
    file = tmp_path / "trace.json"
    addresses = [text(stage.healthy), text(stage.refused)]
    result = invoke("check", "--loop", loop, "--trace", str(file), *addresses)
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 2
    events = json.loads(file.read_text())["traceEvents"]
    assert {each["pid"] for each in events} == {1, 2}
    names = [each["args"]["name"] for each in events if each["name"] == "process_name"]
    for address in addresses:
        assert any(name.startswith(f"{address}: ") for name in names)
    assert all(each["dur"] >= 0 for each in events if each["ph"] == "X")


def test_of_a_file_with_addresses(invoke: Any, stage: Stage, tmp_path: Path) -> None:
    listed, file = tmp_path / "list.txt", tmp_path / "trace.json"
    listed.write_text(f"{text(stage.healthy)}\nnonsense\n{text(stage.healthy)}\n")
    result = invoke("check", "--json", "--file", str(listed), "--trace", str(file))
    assert len(result.output.splitlines()) == 3
    events = json.loads(file.read_text())["traceEvents"]
    assert {each["pid"] for each in events} == {1, 2}  # nonsense was not dialled


def test_of_no_dial_the_file_is_one_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    with Drawn(None, file) as drawn:
        drawn.add(None)
    assert json.loads(file.read_text()) == {"traceEvents": []}


def test_it_takes_its_place_however_the_command_ends(tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    with pytest.raises(KeyboardInterrupt), Drawn(None, file):
        assert not file.exists()
        raise KeyboardInterrupt
    assert json.loads(file.read_text()) == {"traceEvents": []}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
def test_where_nothing_can_be_written_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "trace.json"
    file.write_text("an old one")
    drawn = Drawn(None, file)
    (tmp_path / f".trace.json.{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"), drawn:
        pass
    assert file.read_text() == "an old one"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("option", ["--report", "--trace"])
def test_a_file_that_cannot_be_written(
    invoke: Any, stage: Stage, tmp_path: Path, option: str
) -> None:
    file = tmp_path / "nowhere" / "dial.svg"
    result = invoke("check", option, str(file), text(stage.healthy))
    assert result.exit_code == 2
    assert "No such file or directory" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--report", "dial.png", "a:1"], "dial.png: the name must end with .html or .svg"),
        (["--report", "dial.svg", "a:1", "b:2"], "--report draws a single dial: use --trace"),
        (["--report", "dial.svg", "--file", "-"], "--report draws a single dial: use --trace"),
    ],
)
def test_what_makes_no_sense(invoke: Any, arguments: list[str], message: str) -> None:
    result = invoke("check", *arguments)
    assert result.exit_code == 2
    assert message in result.output
