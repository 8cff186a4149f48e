"""What a driver must do with calls that block, rule by rule.

Rules:

* Each check is of one rule of `aconnect.drivers.base.Driver`, and looks at nothing else.
* How many calls are made at a time is the driver's.  What is said of calls that queue is checked
  where 40 do.
"""

from __future__ import annotations

import threading
from math import inf
from typing import TYPE_CHECKING, Any, Final

from .bench import SHORT, NotApplicable, Rules, expect, moment, not_before

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...drivers.base import Driver
    from .bench import Bench

__all__ = ["RULES"]

RULES = Rules()

_MANY: Final = 40
"""More calls than are made at a time.  aconnect's own drivers make 32."""

_QUIET: Final = 0.3
"""Seconds in which no further call is taken up when there is no thread for it."""


@RULES.add("run_blocking.result", "What the call returns is returned.")
async def _result(_bench: Bench, driver: Driver) -> None:
    result = await driver.run_blocking(lambda: "a result", inf)
    expect(result == "a result", f"{result!r} was returned")


@RULES.add("run_blocking.error", "What the call raises is raised.")
async def _error(bench: Bench, driver: Driver) -> None:
    raised = LookupError("by the check")

    def fail() -> None:
        raise raised

    task = bench.start(driver.run_blocking, fail, inf)
    expect(await bench.ended(task), "it did not end")
    expect(task.error is raised, task.outcome)


@RULES.add("run_blocking.thread", "The call is made in a daemon thread, not in the loop's.")
async def _thread(_bench: Bench, driver: Driver) -> None:
    threads: list[threading.Thread] = []
    await driver.run_blocking(lambda: threads.append(threading.current_thread()), inf)
    _is_daemon(threads)


@RULES.add("run_blocking.deadline", "None is returned when the moment comes first.")
async def _deadline(bench: Bench, driver: Driver) -> None:
    call = _Calls(bench, 1)
    try:
        until = moment(SHORT)
        result = await driver.run_blocking(call.number(0), until)
        expect(result is None, f"{result!r} was returned")
        not_before(until)
    finally:
        call.release_all()


@RULES.add("run_blocking.cancelled", "A cancellation ends the wait though the call goes on.")
async def _cancelled(bench: Bench, driver: Driver) -> None:
    call = _Calls(bench, 1)
    try:
        task = bench.start(driver.run_blocking, call.number(0), inf)
        expect(await bench.until(lambda: call.taken), "the call was not made")
        await bench.stopped(task)
    finally:
        call.release_all()


@RULES.add("run_blocking.abandoned", "A call that nobody waits for any more is not started.")
async def _abandoned(bench: Bench, driver: Driver) -> None:
    calls = _Calls(bench, _MANY)
    try:
        tasks = [
            bench.start(driver.run_blocking, calls.number(each), inf) for each in range(_MANY)
        ]
        await calls.queue()
        abandoned = calls.not_taken()
        await bench.stopped(tasks[abandoned])
    finally:
        calls.release_all()
    for task in tasks:
        expect(await bench.ended(task), "a call that was waited for was not made")
    await driver.run_blocking(int, inf)  # whatever was in the queue before this, was made
    expect(abandoned not in calls.taken, "it was started")


@RULES.add("start_blocking.result", "`deliver` is called with what the call returned, and None.")
async def _delivers(bench: Bench, driver: Driver) -> None:
    [outcome, _] = await _delivered(bench, driver, lambda: "a result")
    expect(outcome == ("a result", None), f"it was called with {outcome!r}")


@RULES.add("start_blocking.error", "`deliver` is called with None and what the call raised.")
async def _delivers_error(bench: Bench, driver: Driver) -> None:
    raised = LookupError("by the check")

    def fail() -> None:
        raise raised

    [outcome, _] = await _delivered(bench, driver, fail)
    expect(outcome == (None, raised), f"it was called with {outcome!r}")


@RULES.add("start_blocking.loop", "`deliver` is called in the loop's thread.")
async def _delivers_in_loop(bench: Bench, driver: Driver) -> None:
    [_, thread] = await _delivered(bench, driver, int)
    expect(thread is threading.current_thread(), f"it was called in {thread!r}")


@RULES.add("start_blocking.thread", "The call is made in a daemon thread, not in the loop's.")
async def _started_thread(bench: Bench, driver: Driver) -> None:
    threads: list[threading.Thread] = []
    await _delivered(bench, driver, lambda: threads.append(threading.current_thread()))
    _is_daemon(threads)


@RULES.add("start_blocking.order", "Calls are taken up in the order in which they were started.")
async def _order(bench: Bench, driver: Driver) -> None:
    calls = _Calls(bench, _MANY)
    try:
        for each in range(_MANY):
            driver.start_blocking(calls.number(each), lambda *_outcome: None)
        at_once = await calls.queue()
        for each in range(at_once, _MANY):  # one thread becomes free, for one more call
            calls.release(calls.taken[each - at_once])
            expect(await bench.until(lambda: len(calls.taken) > each), "a call was not made")  # noqa: B023
            taken = calls.taken[each]
            expect(taken == each, f"call {taken} was taken up before call {each}")
    finally:
        calls.release_all()


@RULES.add("start_blocking.abandoned", "A call that is abandoned in the queue is not made.")
async def _started_abandoned(bench: Bench, driver: Driver) -> None:
    calls = _Calls(bench, _MANY)
    try:
        jobs = [
            driver.start_blocking(calls.number(each), lambda *_outcome: None)
            for each in range(_MANY)
        ]
        await calls.queue()
        abandoned = calls.not_taken()
        jobs[abandoned].abandon()
    finally:
        calls.release_all()
    expect(await bench.until(lambda: len(calls.taken) >= _MANY - 1), "another call was not made")
    await _delivered(bench, driver, int)  # whatever was in the queue before this, was made
    expect(abandoned not in calls.taken, "it was made")


class _Calls:
    """Calls that block until they are released."""

    def __init__(self, bench: Bench, number: int) -> None:
        self.taken: list[int] = []
        self._bench = bench
        self._released = [threading.Event() for _ in range(number)]

    def number(self, each: int) -> Callable[[], str]:
        def call() -> str:
            self.taken.append(each)
            self._released[each].wait(10 * self._bench.limit)
            return "released"

        return call

    async def queue(self) -> int:
        """Wait until no further call is taken up, although there are more.

        Returns:
            How many have been.

        Raises:
            NotApplicable: all have been.
        """
        before = -1
        while len(self.taken) != before:
            before = len(self.taken)
            await self._bench.sleep(_QUIET)
        if before == len(self._released):
            raise NotApplicable
        return before

    def not_taken(self) -> int:
        """A call that has not been taken up."""
        return next(each for each in range(len(self._released)) if each not in self.taken)

    def release(self, each: int) -> None:
        self._released[each].set()

    def release_all(self) -> None:
        for event in self._released:
            event.set()


async def _delivered(bench: Bench, driver: Driver, call: Callable[[], Any]) -> Any:
    """What a call's `deliver` is called with, and in which thread."""
    delivered: list[Any] = []
    driver.start_blocking(
        call, lambda *outcome: delivered.append((outcome, threading.current_thread()))
    )
    expect(await bench.until(lambda: delivered), "`deliver` was not called")
    return delivered[0]


def _is_daemon(threads: list[threading.Thread]) -> None:
    [thread] = threads
    expect(thread is not threading.current_thread(), "it was made in the loop's thread")
    expect(thread.daemon, f"it was made in {thread!r}, which is no daemon")
