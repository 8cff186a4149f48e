"""The page of what it works with, held against the program whose output it shows.

The program itself has a session of nox: it needs twenty libraries.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = (REFERENCE / "works-with.md").read_text()
SHOWN = (REFERENCE / "_works-with.txt").read_text().splitlines()
DISTRIBUTIONS = {"redis-py": "redis", "motor": "pymongo", "boto3": "aiobotocore"}
"""Those of another name, or of which another is shown."""

ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")][2:]


def tried() -> list[tuple[str, str]]:
    """What the program tries, and by what way, as its text has it."""
    tree = ast.parse((HERE / "works_with.py").read_text())
    return [
        ast.literal_eval(f"({ast.unparse(each.args[0])}, {ast.unparse(each.args[1])})")
        for function in tree.body
        if isinstance(function, ast.AsyncFunctionDef)
        for each in function.decorator_list
        if isinstance(each, ast.Call)
    ]


def shown() -> list[tuple[str, str]]:
    return [(name, way) for name, _, way, _ in (line.split(maxsplit=3) for line in SHOWN)]


def test_what_is_shown_is_what_is_tried() -> None:
    assert shown() == tried()


@pytest.mark.parametrize("line", SHOWN)
def test_each_has_worked(line: str) -> None:
    came = line.split(maxsplit=3)[3]
    assert re.fullmatch(
        r"127\.0\.0\.4 failed, 127\.0\.0\.1 connected(, then by itself)?"
        r"|127\.0\.0\.1 not permitted",
        came,
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_each_row_has_been_tried(row: list[str]) -> None:
    library = row[0].split(",")[0]
    distribution = DISTRIBUTIONS.get(library, library)
    ways = {way for name, way in shown() if name.lower() == distribution.lower()}
    said = set(re.findall(r"adapter|routed|sock=|address|policy", row[1]))
    assert ways
    assert ways <= said


def test_there_are_twenty() -> None:
    assert len(ROWS) == 20
