"""The table of peers: aconnect does all that is in it, and the documentation has all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aconnect

if TYPE_CHECKING:
    from collections.abc import Iterator

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    before = set(sys.modules)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import conformance

        yield conformance
    for name in set(sys.modules) - before:
        if name.startswith("conformance"):
            del sys.modules[name]


@pytest.fixture
def page(script: Any) -> str:
    text: str = script.PAGE.read_text()
    return text


# ------------------------------------------------------------------------ the table itself


@pytest.mark.lab
@pytest.mark.root
@pytest.mark.timeout(400)
def test_aconnect_passes_every_row(script: Any) -> None:
    where = str(Path(aconnect.__file__).parents[1])
    finished = subprocess.run(
        [sys.executable, script.__file__, "--only", "aconnect", "--json"],
        env={**os.environ, "PYTHONPATH": where},
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    found = json.loads(finished.stdout)
    assert list(found) == list(script.ROWS)
    failed = {
        (row, name): seen
        for row, cells in found.items()
        for name, (verdict, seen) in cells.items()
        if verdict != "yes" and (row, name) != ("factory-raises", "aconnect, trio")
    }
    assert failed == {}


def test_the_documentation_has_every_row_and_every_peer(script: Any, page: str) -> None:
    verdicts = script.committed(page)
    assert list(verdicts) == [row.words for row in script.ROWS.values()]
    for row, cells in verdicts.items():
        assert list(cells) == list(script.PEERS), row
        assert set(cells.values()) <= {"yes", "no", "n/a"}, row
        assert "no" not in {cells[name] for name in script.OURS}, row
    assert all(f"- {library}: {calls}." in page for library, calls in script.CALLS.items())
    assert all(f"- **{row.words}.** {row.note}" in page for row in script.ROWS.values())


def test_the_page_takes_the_table_in(script: Any) -> None:
    text = script.PAGE.with_name("peers.md").read_text()
    assert f"```{{include}} {script.PAGE.name}\n" in text


# ----------------------------------------------------------------------- how it is judged


def cells_of(script: Any, verdict: str) -> Any:
    cell = script.Cell(verdict, "what | was <seen>")
    return {row: dict.fromkeys(script.PEERS, cell) for row in script.ROWS}


def test_what_is_written_is_what_is_read(script: Any) -> None:
    found = cells_of(script, "yes")
    found["zone"]["trio"] = script.Cell("no", "what | was <seen>")
    text = script.markdown(found, list(script.PEERS))
    verdicts = script.committed(text)
    assert verdicts[script.ROWS["zone"].words]["trio"] == "no"
    assert sum(cells["trio"] == "no" for cells in verdicts.values()) == 1
    assert r"    - trio: no: what \| was \<seen>." in text.splitlines()
    assert script.stale(found, text) == []


def test_a_check_complains_of_aconnect_alone(
    script: Any, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tmp_path / "table.inc"
    written.write_text(page)
    monkeypatch.setattr(script, "PAGE", written)
    good = script.committed(page)
    found = {
        name: {peer: script.Cell(good[row.words][peer], "") for peer in script.PEERS}
        for name, row in script.ROWS.items()
    }
    assert script.complaints(found) is None
    found["zone"]["trio"] = script.Cell("no", "")
    assert script.complaints(found) is None
    found["zone"]["aconnect, trio"] = script.Cell("no", "what was seen")
    words = script.ROWS["zone"].words
    assert script.complaints(found).splitlines() == [
        f"aconnect, trio fails: {words}: what was seen",
        f"{words}: aconnect, trio is no, and yes in table.inc",
    ]
    written.unlink()
    assert "asyncio is yes, and None in table.inc" in script.complaints(found)


class APeer:
    """Runs no program, but comes to an end."""

    library = "a peer"

    def __init__(self, end: BaseException | None) -> None:
        self.end = end

    def run(self, program: object) -> str:
        if self.end is not None:
            raise self.end
        return "what was seen"


def test_a_cell_is_what_the_program_comes_to(script: Any) -> None:
    fault = script.Fault("a fault")
    group = BaseExceptionGroup("", [ValueError("x"), ExceptionGroup("", [fault])])
    for end, cell in [
        (None, ("yes", "what was seen")),
        (fault, ("no", "a fault")),
        (group, ("no", "a fault")),
        (KeyError("x"), ("no", "raises KeyError: 'x'")),
    ]:
        assert script.judge("zone", APeer(end)) == cell


def test_who_lacks_a_function_is_excused_with_the_reason(script: Any) -> None:
    assert script.decide("factory-raises", "trio") == ("n/a", "has no protocols")
    assert script.decide("factory-raises", "aconnect, trio") == ("n/a", "has no protocols")
    assert script.decide("scope-id", "anyio, trio") == ("n/a", "takes no resolved addresses")


@pytest.mark.root
def test_a_program_that_does_not_end_is_ended(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "LIMIT", 0.01)
    assert script.decide("zone", "trio") == ("no", "is not done in 0.01 s")


def test_the_end_of_a_process_in_words(script: Any) -> None:
    assert script.ending(-6) == "SIGABRT"
    assert script.ending(1) == "exit status 1"
