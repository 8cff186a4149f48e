"""What a driver's `converse` must do: rule by rule.

Rules:

* Each check is of one rule of `aconnect.drivers.base`, and looks at nothing else.
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING

from ..pairs import empty, fill
from .bench import SHORT, Rules, expect, moment, not_before, nothing_left
from .readable import quiet
from .sockets import full

if TYPE_CHECKING:
    from ...drivers.base import Driver
    from .bench import Bench

__all__ = ["RULES"]

RULES = Rules()


class Steps:
    """A step that waits for one thing after the other; then it is done.

    Attributes:
        wanted: what it waits for.
        calls: how often it has been called.
    """

    def __init__(self, *wanted: bool) -> None:
        self.wanted = wanted
        self.calls: int = 0

    def __call__(self) -> bool | None:
        self.calls += 1
        return self.wanted[self.calls - 1] if self.calls <= len(self.wanted) else None


class _Refused(Exception):
    """What a step raises."""


@RULES.add("converse.at_once", "A step that is done at once is called once, and True returned.")
async def _at_once(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, _):
        step = Steps()
        talk = bench.start(driver.converse, sock, moment(bench.limit), step)
        expect(await bench.ended(talk), "it did not end")
        expect((talk.result, step.calls) == (True, 1), f"{talk.outcome}, {step.calls} calls")


@RULES.add("converse.reads", "The step is called when there is something to read, not before.")
async def _reads(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, peer):
        step = Steps(False)
        talk = bench.start(driver.converse, sock, inf, step)
        await bench.turns()
        expect(step.calls == 1, f"{step.calls} calls, where there was nothing to read")
        peer.send(b"x")
        expect(await bench.ended(talk), "it did not end")
        expect((talk.result, step.calls) == (True, 2), f"{talk.outcome}, {step.calls} calls")


@RULES.add("converse.writes", "The step is called when there is room to write, not before.")
async def _writes(bench: Bench, driver: Driver) -> None:
    with full() as (sock, peer):
        peer.send(b"x")  # which is not what is waited for
        step = Steps(True)
        talk = bench.start(driver.converse, sock, inf, step)
        await bench.turns()
        expect(step.calls == 1, f"{step.calls} calls, where there was no room")
        empty(peer)
        expect(await bench.ended(talk), "it did not end")
        expect((talk.result, step.calls) == (True, 2), f"{talk.outcome}, {step.calls} calls")


@RULES.add("converse.turns", "What is waited for is what the last call of the step has told.")
async def _turns(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, peer):

        def step() -> bool | None:
            empty(sock)
            steps.append(None)
            if len(steps) == 2:
                fill(sock)
            return (False, True, False, None)[len(steps) - 1]

        steps: list[None] = []
        talk = bench.start(driver.converse, sock, inf, step)
        for calls in (1, 2, 3):
            await _called(bench, steps, calls)
            if calls == 2:
                empty(peer)
            else:
                peer.send(b"x")
        expect(await bench.ended(talk), "it did not end")
        expect((talk.result, len(steps)) == (True, 4), f"{talk.outcome}, {len(steps)} calls")


async def _called(bench: Bench, steps: list[None], calls: int) -> None:
    """Have the rule be broken unless there come to be so many calls, and no more."""
    await bench.until(lambda: len(steps) >= calls)
    await bench.turns()
    expect(len(steps) == calls, f"{len(steps)} calls, where {calls} were due")


@RULES.add("converse.end", "The step is called when the peer hangs up: its end is there to read.")
async def _end(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, peer):
        step = Steps(False)
        talk = bench.start(driver.converse, sock, moment(10 * bench.limit), step)
        await bench.turns()
        peer.close()
        expect(await bench.ended(talk), "it did not end")
        expect((talk.result, step.calls) == (True, 2), f"{talk.outcome}, {step.calls} calls")


@RULES.add("converse.raises", "What the step raises is raised, and leaves nothing.")
async def _raises(bench: Bench, driver: Driver) -> None:
    for waits in (0, 1):
        with quiet() as (sock, peer):
            before = bench.contents()
            talk = bench.start(driver.converse, sock, inf, _refusing(Steps(*[False] * waits)))
            if waits:
                await bench.turns()
                peer.send(b"x")
            expect(await bench.ended(talk), "it did not end")
            expect(isinstance(talk.error, _Refused), talk.outcome)
            nothing_left(before)


def _refusing(steps: Steps) -> Steps:
    class Refusing(Steps):
        def __call__(self) -> bool | None:
            wanted = steps()
            if wanted is None:
                raise _Refused
            return wanted

    return Refusing()


@RULES.add("converse.deadline", "When the moment comes first, or has come, False is returned.")
async def _deadline(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, _):
        for seconds in (SHORT, -1):
            until = moment(seconds)
            talk = bench.start(driver.converse, sock, until, Steps(False))
            expect(await bench.ended(talk), "it did not end")
            expect(talk.result is False, talk.outcome)
            not_before(until)


@RULES.add("converse.leaves_nothing", "When it is over, nothing of it is registered any more.")
async def _leaves_nothing(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, peer), quiet() as (never, _):
        peer.send(b"x")
        before = bench.contents()
        for each, until in ((sock, moment(10 * bench.limit)), (never, moment(SHORT))):
            await driver.converse(each, until, Steps(False))
            nothing_left(before)


@RULES.add(
    "converse.cancelled",
    "A cancellation ends it, is passed on, leaves nothing, and the step is not called any more.",
)
async def _cancelled(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, peer), full() as (other, its_peer):
        for each, write, wake in (
            (sock, False, partial(peer.send, b"x")),
            (other, True, partial(empty, its_peer)),
        ):
            before, step = bench.contents(), Steps(write, write)
            talk = bench.start(driver.converse, each, inf, step)
            await bench.turns()
            await bench.stopped(talk)
            nothing_left(before)
            wake()
            await bench.turns()
            expect(step.calls == 1, f"{step.calls} calls")
