"""Every input that was ever worth keeping, and how the fuzzers are run."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fuzz import run
from fuzz.reader import Reader
from fuzz.targets import CORPUS, TARGETS, corpus

import aconnect

if TYPE_CHECKING:
    from collections.abc import Callable

INPUTS = [
    pytest.param(TARGETS[name], path, id=f"{name}-{path.name}")
    for name in TARGETS
    for path in corpus(name)
]


@pytest.mark.parametrize(("target", "path"), INPUTS)
def test_an_input_of_the_corpus(target: Callable[[bytes], None], path: Path) -> None:
    target(path.read_bytes())


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert sorted(directory.name for directory in CORPUS.iterdir()) == sorted(TARGETS)
    assert tuple(TARGETS) == run.NAMES
    assert all(len(corpus(name)) >= 20 for name in TARGETS)


def test_a_reader_runs_dry() -> None:
    reader = Reader(b"\x05ab")
    assert reader.choice("xyz") == "z"
    assert reader.more
    assert reader.taken(9) == b"ab"
    assert not reader.more
    assert (reader.byte(), reader.choice("xyz")) == (0, "x")


# ------------------------------------------------------------------------- the fuzzers


def fails_on(marked: bytes) -> Any:
    def target(data: bytes) -> None:
        assert marked not in data, "found"

    return target


def test_chance_finds_what_is_there_to_find_and_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run.by_chance(fails_on(b"ab"), [b"xay", b"zbz"], seconds=60, seed=0)
    assert found is not None
    assert b"ab" in found
    assert "AssertionError: found" in capsys.readouterr().err
    path = run.kept(found, tmp_path)
    assert path.name.startswith("crash-")
    assert path.read_bytes() == found


def test_the_same_seed_makes_the_same_inputs() -> None:
    seeds = [path.read_bytes() for path in corpus("race")]
    first, second = random.Random(7), random.Random(7)
    inputs = [run.mutated(first, seeds) for _ in range(100)]
    assert inputs == [run.mutated(second, seeds) for _ in range(100)]
    assert len(set(inputs)) > 50
    assert max(map(len, inputs)) <= run.LONGEST


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, run.__file__, *arguments],
        env={"PYTHONPATH": str(Path(aconnect.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_run_says_what_it_did() -> None:
    finished = fuzz("attempt", "--seconds", "0", "--fuzzer", "chance", "--seed", "3")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.splitlines() == [
        "attempt: 0 s, by chance",
        "0 inputs in 0 s, seed 3",
        "nothing was found",
    ]


def test_an_unknown_target_is_refused() -> None:
    finished = fuzz("adress")
    assert finished.returncode == 2
    assert "no such target: adress" in finished.stderr
