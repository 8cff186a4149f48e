"""Every block of Python on the pages runs, with servers for what it connects to.

`support.pages.run` does it, in a network of a process of its own, where names are answered by a
name server of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.pages import run

if TYPE_CHECKING:
    from pathlib import Path

PLACES = {
    (str(page.relative_to(run.PROJECT)), number)
    for page in [*run.PROJECT.glob("*.md"), *run.PROJECT.glob("docs/**/*.md")]
    if "_build" not in page.parts
    for number, _ in enumerate(re.findall(r"(?m)^ *`{3,}python\b", page.read_text()), 1)
}


@pytest.mark.root
@pytest.mark.slow
def test_every_block_runs(tmp_path: Path) -> None:
    """One process for all of them, which takes ten seconds."""
    command = [sys.executable, run.__file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in (tmp_path / run.RESULTS).read_text().splitlines()]
    wrong = [each for each in told if "wrong" in each]
    assert not wrong, "\n".join(f"{each['page']}: {each['wrong']}" for each in wrong)
    seen = {(each["page"], each["block"]): each["output"] for each in told}
    assert set(seen) == PLACES
    assert {each["page"] for each in told if "missing" in each} <= {"docs/how-to/blocking.md"}
    on_loops = {loop for each in told for loop in each["loops"]}
    assert on_loops == {"asyncio", "uvloop", "trio", "its own"}
    assert "connected to ('127.0.0.1', 8080)" in seen["README.md", 2]
    assert seen["README.md", 1].count("<Response [200 OK]>") == 3  # on each loop
    assert seen["docs/index.md", 1].count("220 mail.example") == 2
    assert seen["docs/index.md", 2].count("220 mail.example") == 3
    assert seen["docs/index.md", 3].count("220 mail.example") == 1


def test_what_is_special_is_there() -> None:
    for places in (run.RAISES, run.CHANGED, run.THEN, run.ELSEWHERE, run.World.of_block):
        assert {place[:2] for place in places} <= PLACES


@pytest.mark.parametrize("place", sorted(run.RAISES), ids=str)
def test_a_page_says_that_a_block_fails(place: tuple[str, int]) -> None:
    page, number = place
    text = (run.PROJECT / page).read_text()
    after = re.split(r"(?ms)^```python\n.*?^```$", text)[number]
    assert re.search(r"fails|error|errno|Errno|raise|left behind", after[:600]), after[:600]


def test_which_loops_a_block_is_for() -> None:
    assert run.loops_of("from aconnect import aconnect") == ["asyncio", "uvloop", "trio"]
    assert run.loops_of("from aconnect import open_connection") == ["asyncio", "uvloop"]
    assert run.loops_of("import trio") == ["trio"]
