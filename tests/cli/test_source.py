"""Where addresses come from, and what a run has left to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from aconnect.cli.loops import LOOPS
from aconnect.cli.resume import NotResumable, take_up
from aconnect.cli.source import (
    Item,
    _Lines,
    count_items,
    from_file,
    from_stream,
    from_texts,
    is_file,
    shuffled_file,
)

if TYPE_CHECKING:
    from pathlib import Path

TEXT = b"a:1\n\n  # none\n b:2 \r\nc\xff:3\na:1\n" + b"x" * 9000 + b"\nlast:4"
ITEMS = [
    Item(0, 1, "a:1"),
    Item(1, 4, "b:2"),
    Item(2, 5, "c\udcff:3"),
    Item(3, 6, "a:1"),
    Item(4, 7, "x" * 4096),
    Item(5, 8, "last:4"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 5000, 100_000])
def test_lines_are_the_same_however_they_come(size: int) -> None:
    lines = _Lines(Counter())
    blocks = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    items = [item for block in [*blocks, b""] for item in lines.feed(block)]
    assert [(item.place, item.line) for item in items] == [each[:2] for each in ITEMS]
    assert [item.text[:4096] for item in items if item.line != 7] == [
        item.text for item in ITEMS if item.line != 7
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "list").write_bytes(TEXT)
    return tmp_path / "list"


def test_a_file_and_what_is_done_of_it(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        assert is_file(fd)
        assert count_items(fd) == 6
        done = Counter(["a:1", "last:4", "other:1"])
        found = [item.place for item, _ in from_file(fd, done)]
        assert found == [1, 2, 3, 4]
    finally:
        os.close(fd)


def test_a_byte_order_mark_is_no_part_of_an_address(tmp_path: Path) -> None:
    path = tmp_path / "list"
    for text, lines in ((b"\xef\xbb\xbfa:1\r\nb:2\r\n", [1, 2]), (b"\xef\xbb\xbf\nb:2", [2])):
        path.write_bytes(text)
        fd = os.open(path, os.O_RDONLY)
        try:
            items = [item for item, _ in from_file(fd, Counter())]
            shuffled = [item for item, _ in shuffled_file(fd, Counter(), 1)]
        finally:
            os.close(fd)
        assert [item.line for item in items] == lines
        assert [item.text for item in items] == ["a:1", "b:2"][-len(lines) :]
        assert sorted(shuffled) == items


def test_addresses_of_the_command_line() -> None:
    done = Counter(["a:1"])
    assert list(from_texts(["a:1", "b:2", "a:1"], done)) == [
        (Item(1, None, "b:2"), "b:2"),
        (Item(2, None, "a:1"), "a:1"),
    ]


def test_an_order_by_chance_is_the_same_for_the_same_seed(path: Path) -> None:
    def found(seed: int, *done: str) -> list[Item]:
        fd = os.open(path, os.O_RDONLY)
        try:
            items = [item for item, text in shuffled_file(fd, Counter(done), seed)]
        finally:
            os.close(fd)
        return items

    assert [item.place for item in found(7)] == [3, 5, 4, 2, 0, 1]  # on every Python
    assert [item.place for item in found(8)] != [item.place for item in found(7)]
    assert sorted(found(7)) == ITEMS
    assert [item.place for item in found(7, "a:1", "c\udcff:3")] == [5, 4, 0, 1]


def test_addresses_of_the_command_line_by_chance() -> None:
    texts = [f"{name}:1" for name in "abcdef"]
    items = [item for item, _ in from_texts(texts, Counter(), 7)]
    assert [item.place for item in items] == [3, 5, 4, 2, 0, 1]
    assert sorted(item.text for item in items) == texts
    assert list(from_texts([], Counter(), 7)) == []


@pytest.mark.parametrize("loop", LOOPS.values(), ids=list(LOOPS))
@pytest.mark.parametrize("kind", ["pipe", "null", "file"])
def test_a_stream_is_read_as_it_comes(loop: Any, kind: str, path: Path) -> None:
    found = []

    async def main() -> None:
        if kind == "pipe":
            reading, writing = os.pipe()
            os.set_blocking(writing, False)
        else:
            writing = None
            reading = os.open("/dev/null" if kind == "null" else path, os.O_RDONLY)
        try:
            if writing is not None:
                os.write(writing, b"a:1\nb:")
            async for item, text in from_stream(reading, Counter(), loop):
                found.append((item.line, text))
                if writing is not None:
                    os.write(writing, b"2")
                    os.close(writing)
                    writing = None
        finally:
            os.close(reading)

    loop.run(main)
    if kind == "pipe":
        assert found == [(1, "a:1"), (2, "b:2")]
    else:
        assert len(found) == {"null": 0, "file": 6}[kind]


def line(address: str, outcome: str = "connected") -> bytes:
    return json.dumps({"address": address, "outcome": outcome}).encode() + b"\n"


def test_a_run_may_be_killed_at_any_byte(tmp_path: Path) -> None:
    """And then it is taken up where the last whole line ends."""
    lines = [line("a:1"), line("b:2", "failed"), line("a:1", "not tried"), line("a:1")]
    whole = b"".join(lines)
    path = tmp_path / "results"
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        done, file = take_up(path)
        with file:
            file.write(line("c:3"))
        complete = whole[:cut].count(b"\n")
        assert path.read_bytes() == b"".join(lines[:complete]) + line("c:3")
        expected = [["a:1"], ["b:2"], [], ["a:1"]]
        assert done == Counter(text for each in expected[:complete] for text in each)


@pytest.mark.parametrize("bad", [b"nonsense\n", b"5\n", b"{}\n", b"[]\n", b"\n"])
def test_what_is_none_of_ours_is_left_as_it_is(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "results"
    path.write_bytes(line("a:1") + bad + b"half")
    with pytest.raises(NotResumable, match="line 2, is no result of aconnect check"):
        take_up(path)
    assert path.read_bytes() == line("a:1") + bad + b"half"


@pytest.mark.slow
@pytest.mark.parametrize("kills", [4])
def test_killed_again_and_again_each_has_one_line(
    start: Any, stage: Any, tmp_path: Path, kills: int
) -> None:
    port = stage.healthy[1]
    addresses = [f"127.0.0.{1 + number % 250}:{port}" for number in range(600)]
    (tmp_path / "list").write_text("\n".join(addresses))
    results = tmp_path / "results"
    arguments = ["check", "-f", str(tmp_path / "list"), "--rate", "400", "--resume", str(results)]
    for number in range(kills):
        process = start(*arguments)
        enough = (number + 1) * 60
        while process.poll() is None and _lines(results) < enough:
            pass
        process.kill()
        process.wait()
    assert start(*arguments).wait() in (0, 1)
    written = [json.loads(each)["address"] for each in results.read_text().splitlines()]
    assert Counter(written) == Counter(addresses)


KILLING = """
import os, random, signal, sys, time
from aconnect.cli.commands import command

results, kills, *arguments = sys.argv[1:]
chance = random.Random(kills)

def size():
    try:
        return os.stat(results).st_size
    except FileNotFoundError:
        return 0

def start():
    child = os.fork()
    if not child:
        status = 9
        try:
            command(arguments)
        except SystemExit as error:
            status = error.code
        finally:
            os._exit(status)
    return child

killed = 0
for _ in range(int(kills)):
    enough = size() + chance.randrange(1, 5000)
    child = start()
    while size() < enough and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG):
        time.sleep(0)
    os.kill(child, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
os.waitpid(start(), 0)
print(killed)
"""


@pytest.mark.slow
def test_killed_fifty_times_each_has_one_line(start: Any, stage: Any, tmp_path: Path) -> None:
    """The same, from a process that has all imported and forks: a start takes no time."""
    port = stage.healthy[1]
    addresses = [f"127.0.{number // 250}.{1 + number % 250}:{port}" for number in range(2000)]
    (tmp_path / "list").write_text("\n".join(addresses))
    results = tmp_path / "results"
    arguments = ["-f", str(tmp_path / "list"), "--shuffle", "1", "--resume", str(results)]
    program = [sys.executable, "-c", KILLING, str(results), "50", "check"]
    process = start(*arguments, program=program)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert int(out) > 10  # others were done before
    written = [json.loads(each)["address"] for each in results.read_text().splitlines()]
    assert Counter(written) == Counter(addresses)


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def test_standard_input_is_read(start: Any, stage: Any) -> None:
    process = start("check", "-f", "-", "--json", stdin=subprocess.PIPE)
    process.stdin.write("{}:{}\n".format(*stage.healthy))
    process.stdin.flush()
    first = json.loads(process.stdout.readline())  # before the end of what is read
    assert (first["outcome"], first["line"]) == ("connected", 1)
    out, _ = process.communicate("nonsense\n")
    assert json.loads(out)["outcome"] == "invalid"
    assert process.returncode == 1
