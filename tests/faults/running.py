"""Runs of a scene under a fault and a cancellation, on each loop.

Rules:

* A run ends by itself, or within `PATIENCE` it has hung.
* A cancellation comes in a certain turn of the loop, counted from the start or from the fault.
* What is wrong is told, not raised: one run shows all that is wrong with a scene.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio
from conftest import wait_for_threads
from support.faults import (
    Call,
    Fault,
    FaultyLoop,
    FaultyNoWriterLoop,
    FaultyUVLoop,
    watch_trio,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.scenes import Scene

PATIENCE = 10.0
"""Seconds after which a run has hung; all together they take some milliseconds."""

MOST_TURNS = 400
_SETTLING = 4  # turns that transports take to close a socket, and threads to be heard


@dataclass
class Outcome:
    """What a run has come to.

    Attributes:
        won: what the call gave.
        error: what it raised.
        cancelled: whether it was cancelled before it had ended.
        hung: whether it has not ended.
        calls: its journal.
        calls_before: how many of those came before the cancellation.
        wrong: what else was wrong.
    """

    won: Any = None
    error: BaseException | None = None
    cancelled: bool = False
    hung: bool = False
    calls: list[Call] = field(default_factory=list)
    calls_before: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def code(self) -> Any:
        """The errno of the error; None if there is none."""
        return getattr(self.error, "errno", None)


@dataclass(frozen=True)
class When:
    """When a run is cancelled: ``turns`` turns after its start, or ``after_fault``, the fault."""

    turns: int
    after_fault: bool

    def __str__(self) -> str:
        since = "the fault" if self.after_fault else "the start"
        return f"cancelled {self.turns} turns after {since}"


class OnAsyncio:
    """Runs on a loop of asyncio's kind; one loop for all of them.

    Attributes:
        takes_eagain: whether connecting is the loop's, which takes EAGAIN for "has begun".
    """

    def __init__(self, scene: Scene, new_loop: Any) -> None:
        self._scene = scene
        self._faults = scene.faults
        self._complaints: list[Any] = []
        self._loop = new_loop(scene.faults)
        self.takes_eagain = isinstance(self._loop, FaultyNoWriterLoop)
        self._loop.set_exception_handler(lambda _, context: self._complaints.append(context))
        self._loop.run_until_complete(asyncio.sleep(0))

    def close(self) -> None:
        self._loop.close()

    def run(self, fault: Fault | None, when: When | None) -> Outcome:
        outcome = Outcome()
        self._faults.begin(fault)
        task = self._start()
        if when is None:
            self._loop.run_until_complete(asyncio.wait([task], timeout=PATIENCE))
        else:
            self._cancel(task, when, outcome)
        outcome.calls = list(self._faults.calls)
        if not task.done():
            outcome.hung = True
            task.cancel()
            self._faults.end()
            self._loop.run_until_complete(asyncio.wait([task], timeout=PATIENCE))
        elif task.cancelled():
            if not outcome.cancelled:
                outcome.wrong.append("a cancellation that nobody asked for")
        else:
            outcome.error = task.exception()
            outcome.won = None if outcome.error else task.result()
            if outcome.cancelled:
                outcome.wrong.append(f"the cancellation was lost: {outcome.error!r}")
        return outcome

    def _start(self) -> asyncio.Task[Any]:
        async def begin() -> list[asyncio.Task[Any]]:
            return [asyncio.ensure_future(self._scene.start())]

        [task] = self._loop.run_until_complete(begin())
        return task

    def _cancel(self, task: asyncio.Task[Any], when: When, outcome: Outcome) -> None:
        turns = when.turns
        for _ in range(MOST_TURNS):
            if task.done():
                return
            if self._faults.hit or not when.after_fault:
                if turns == 0:
                    break
                turns -= 1
            self._turn()
        outcome.calls_before = len(self._faults.calls)
        outcome.cancelled = task.cancel()
        for _ in range(MOST_TURNS * 10):
            if task.done():
                return
            self._turn()

    def _turn(self, patient: bool = True) -> None:
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()
        if patient:
            self._loop.pass_time()

    def settle(self) -> list[str]:
        """Let what has been closed go; what is left then."""
        if self._scene.threads:
            wait_for_threads()
        for _ in range(_SETTLING):
            self._turn(patient=False)
        left = [f"left: {task!r}" for task in asyncio.all_tasks(self._loop)]
        left += [f"left: {each}" for each in self._loop.leftovers()]
        return left

    def complaints(self, fault: Fault | None) -> list[str]:
        """What the exception handler was told, but that a close() of asyncio's own has failed."""
        told = [
            f"the loop was told: {context}"
            for context in self._complaints
            if not (
                self._scene.hands_over
                and fault is not None
                and getattr(context.get("exception"), "errno", None) == fault.error
            )
        ]
        self._complaints.clear()
        return told


class _Instrument(trio.abc.Instrument):
    """Cancels a scope in a turn of trio's loop."""

    def __init__(self, scope: trio.CancelScope, when: When, on: OnTrio, outcome: Outcome) -> None:
        self._scope = scope
        self._turns = when.turns
        self._when = when
        self._faults = on.faults
        self._outcome = outcome

    def after_io_wait(self, timeout: float) -> None:
        if self._faults.hit or not self._when.after_fault:
            if self._turns == 0:
                self._outcome.calls_before = len(self._faults.calls)
                self._scope.cancel()
            self._turns -= 1


class OnTrio:
    """Runs of trio, each its own."""

    takes_eagain = False

    def __init__(self, scene: Scene, _: Any = None) -> None:
        self._scene = scene
        self.faults = scene.faults

    def close(self) -> None:
        pass

    def run(self, fault: Fault | None, when: When | None) -> Outcome:
        outcome = Outcome()
        self.faults.begin(fault)
        try:
            trio.run(self._main, when, outcome)
        except Exception as error:
            outcome.error = error
        outcome.calls = list(self.faults.calls)
        return outcome

    async def _main(self, when: When | None, outcome: Outcome) -> None:
        watch_trio(self.faults)
        with trio.move_on_after(PATIENCE) as patience, trio.CancelScope() as scope:
            instrument = None
            if when is not None:
                instrument = _Instrument(scope, when, self, outcome)
                trio.lowlevel.add_instrument(instrument)
            try:
                outcome.won = await self._scene.start()
            finally:
                if instrument is not None:
                    trio.lowlevel.remove_instrument(instrument)
        outcome.cancelled = scope.cancelled_caught
        outcome.hung = patience.cancelled_caught
        io = trio.lowlevel.current_statistics().io_statistics
        if io.tasks_waiting_write:
            outcome.wrong.append("left: a task that waits for a socket")

    def settle(self) -> list[str]:
        if self._scene.threads:
            wait_for_threads()
        return []

    def complaints(self, fault: Fault | None) -> list[str]:
        return []


Runner = OnAsyncio | OnTrio


def _eager(faults: Any) -> Any:
    loop = FaultyLoop(faults)
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    return loop


LOOPS: dict[str, Callable[[Any], Any]] = {
    "asyncio": FaultyLoop,
    "uvloop": FaultyUVLoop,
    "no add_writer": FaultyNoWriterLoop,
}
if sys.version_info >= (3, 12):
    LOOPS["eager"] = _eager


def runner_on(loop: str, scene: Scene) -> Runner:
    return OnTrio(scene) if loop == "trio" else OnAsyncio(scene, LOOPS[loop])
