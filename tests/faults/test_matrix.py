"""Every call of every scene fails with every errno it can fail with, on every loop; and the call
is cancelled at every step around it.

After each: it has ended, with a connection or the right kind of error; no descriptor, no
registered writer, no timer, no task is left, and the loop has nothing to complain of; each socket
was closed once.

``ACONNECT_FAULTS=all`` cancels around every fault; else it is a selection.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest
from faults.judging import Matrix
from faults.running import LOOPS, When, runner_on
from faults.scenes import Scene, scenes_on
from faults.tables import faults_of, selection
from support.faults import Call, Fault, Faults

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

ALL = os.environ.get("ACONNECT_FAULTS") == "all"
MOST_STEPS = 300
MOST_TOLD = 40


@pytest.fixture
def matrix(loop: str, make: Any, monkeypatch: Any, tmp_path: Any) -> Iterator[Matrix]:
    faults = Faults()
    # There is much to wait for, and nothing that depends on how long.
    monkeypatch.setattr("aconnect.drivers.asyncio_proactor._LOOK_LONGEST", 0.002)
    for module in ("race", "rules"):
        monkeypatch.setattr(f"aconnect.sansio.{module}.SHORTEST_DELAY", 0.001)
    with contextlib.ExitStack() as stack:
        scene = Scene(stack, faults, tmp_path, make)
        runner = runner_on(loop, scene)
        stack.callback(runner.close)
        faults.install(monkeypatch)
        yield Matrix(scene, runner)
        monkeypatch.undo()


COMBINATIONS = [
    pytest.param(loop, make, id=f"{make.__name__}-{loop}")
    for loop in [*LOOPS, "trio"]
    for make in scenes_on(loop)
]
everywhere = pytest.mark.parametrize(("loop", "make"), COMBINATIONS)


@everywhere
def test_each_call_fails(loop: str, make: Any, matrix: Matrix, record_property: Any) -> None:
    assert matrix.kinds <= {call.kind for call in matrix.calls}
    for call in matrix.calls:
        for fault in faults_of(call):
            matrix.try_it(fault)
    assert matrix.ran > 0
    finish(matrix, record_property)


@everywhere
def test_each_call_fails_and_then_the_task_is_cancelled(
    loop: str, make: Any, matrix: Matrix, record_property: Any
) -> None:
    for fault in faults_around(matrix.calls):
        for turns in range(MOST_STEPS):
            outcome = matrix.try_it(fault, When(turns, after_fault=True))
            if not outcome.cancelled:
                break
        else:
            raise AssertionError(f"{fault}: still not at its end")
    assert matrix.ran > 0
    finish(matrix, record_property)


@everywhere
def test_the_task_is_cancelled_and_then_each_call_fails(
    loop: str, make: Any, matrix: Matrix, record_property: Any
) -> None:
    for turns in range(MOST_STEPS):
        when = When(turns, after_fault=False)
        outcome = matrix.record(when)
        if not outcome.cancelled:
            break
        calls = outcome.calls[outcome.calls_before :]
        for fault in faults_around(calls):
            matrix.try_it(fault, when)
    else:
        raise AssertionError("still not at its end")
    finish(matrix, record_property)


def faults_around(calls: list[Call]) -> list[Fault]:
    return [fault for call in calls for fault in faults_of(call)] if ALL else selection(calls)


def finish(matrix: Matrix, record_property: Any) -> None:
    matrix.look_once_more()
    assert matrix.missed <= 5 + matrix.ran / 10, (matrix.missed, matrix.ran)
    record_property("combinations", matrix.ran)
    record_property("missed", matrix.missed)
    record_property("cancelled", matrix.cancelled)
    record_property("absorbed", matrix.absorbed)
    told = [
        f"{fault or 'no fault'}, {when or 'not cancelled'}: {'; '.join(wrong)}"
        for (fault, when), wrong in matrix.wrong.items()
    ]
    if told:
        more = f"\n... and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
        raise AssertionError("\n".join([f"wrong, of {matrix.ran}:", *told[:MOST_TOLD]]) + more)
