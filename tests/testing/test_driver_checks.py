"""The checks of drivers: aconnect's own pass, and each defect is found by the rule it breaks."""

from __future__ import annotations

import asyncio
import errno
import math
import re
import socket
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import uvloop
from support.loops import NoWriterLoop
from support.stepping import CountingLoop

from aconnect.drivers.anyio_generic import AnyioDriver
from aconnect.drivers.asyncio_proactor import AsyncioProactorDriver
from aconnect.drivers.asyncio_selector import AsyncioSelectorDriver
from aconnect.drivers.asyncio_watch import AsyncioWatch, wake
from aconnect.drivers.threads import DaemonThreads
from aconnect.sockets.syscalls import poll_now, ready_now
from aconnect.testing.conformance import (
    DRIVER_RULES,
    RESOLVER_RULES,
    NotConformant,
    check_driver,
)
from aconnect.testing.conformance import blocking as blocking_checks
from aconnect.testing.conformance import conversing as conversing_checks
from aconnect.testing.conformance import driver as driver_checks
from aconnect.testing.conformance import readable as readable_checks
from aconnect.testing.conformance import watch as watch_checks
from aconnect.testing.conformance.bench import Rules

LIMIT = 10.0  # seconds, for what is quick when all is well
HANGING = 1.0  # for what is meant to take longer

WAITING = Rules(
    [
        *driver_checks.RULES,
        *readable_checks.RULES,
        *conversing_checks.RULES,
        *watch_checks.RULES,
    ]
)
NAMES = {rule.name for rule in DRIVER_RULES}

COMPLETING = {name for name in NAMES if name.startswith("sock_connect")}
CHECKPOINTS = {"checkpoint.yields", "checkpoint.cancelled"}


def on_asyncio(function: Any, *args: Any, loop: Any = CountingLoop) -> Any:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(function(*args))


def eager_loop() -> asyncio.AbstractEventLoop:
    loop = CountingLoop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    return loop


RUNS = [
    pytest.param(on_asyncio, AsyncioSelectorDriver, COMPLETING | CHECKPOINTS, id="asyncio"),
    pytest.param(
        partial(on_asyncio, loop=eager_loop),
        AsyncioSelectorDriver,
        COMPLETING | CHECKPOINTS,
        id="eager",
        marks=pytest.mark.skipif(
            not hasattr(asyncio, "eager_task_factory"), reason="eager tasks: Python 3.12"
        ),
    ),
    pytest.param(
        partial(on_asyncio, loop=uvloop.new_event_loop),
        AsyncioSelectorDriver,
        COMPLETING | CHECKPOINTS,
        id="uvloop",
    ),
    pytest.param(
        partial(on_asyncio, loop=NoWriterLoop),
        AsyncioProactorDriver,
        CHECKPOINTS | {"wait_writable.busy"},
        id="no add_writer",
    ),
    pytest.param(trio.run, AnyioDriver, COMPLETING, id="trio"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("run", "kind", "silent_rules"), RUNS)
def test_a_driver_of_aconnects_conforms(run: Any, kind: Any, silent_rules: set[str]) -> None:
    ran = run(partial(check_driver, kind(), limit=LIMIT))
    assert set(ran) == NAMES - silent_rules
    assert list(ran) == [rule.name for rule in DRIVER_RULES if rule.name in ran]


@pytest.mark.slow
def test_the_driver_of_trios_on_asyncio() -> None:
    ran = on_asyncio(partial(check_driver, AnyioDriver(), limit=LIMIT))
    assert set(ran) == NAMES - COMPLETING


def test_the_reference_has_every_rule_and_its_words() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "conformance.md").read_text()
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(rule.name, rule.words) for rule in [*RESOLVER_RULES, *DRIVER_RULES]]


def test_every_rule_has_a_name_of_its_own_and_words() -> None:
    assert len(NAMES) == len(DRIVER_RULES)
    assert all(rule.words.endswith((".", ".)")) for rule in DRIVER_RULES)


# ------------------------------------------------------------------- drivers with a defect


def leave_a_timer() -> None:
    asyncio.get_running_loop().call_later(1000, int)


class Waiting(AsyncioSelectorDriver):
    """A defect in `wait_writable`: what is made of what is returned."""

    async def wait_writable(self, sock: Any, until: float) -> Any:
        now = time.monotonic()
        was_ready = sock.fileno() >= 0 and poll_now(sock).writable
        try:
            result = await super().wait_writable(sock, until)
        except asyncio.CancelledError:
            return self.cancelled()
        return self.made_of(result, sock, until - now, was_ready)

    def cancelled(self) -> Any:
        raise

    def made_of(self, result: Any, sock: Any, seconds: float, was_ready: bool) -> Any:
        return result


class SaysNothingOfAReadyOne(Waiting):
    def made_of(self, result: Any, sock: Any, seconds: float, was_ready: bool) -> Any:
        return errno.EIO if result == 0 and was_ready else result


class SaysSomethingElseLater(Waiting):
    def made_of(self, result: Any, sock: Any, seconds: float, was_ready: bool) -> Any:
        return errno.EIO if result == 0 and not was_ready and seconds < math.inf else result


class DoesNotWait(AsyncioSelectorDriver):
    async def wait_writable(self, sock: Any, until: float) -> Any:
        if until == math.inf:
            return 0
        return await super().wait_writable(sock, until)


class RefusesInfinity(AsyncioSelectorDriver):
    async def wait_writable(self, sock: Any, until: float) -> Any:
        if until == math.inf:
            raise OverflowError("cannot convert float infinity to integer")
        return await super().wait_writable(sock, until)


class TimesOutWithAnErrno(Waiting):
    def made_of(self, result: Any, sock: Any, seconds: float, was_ready: bool) -> Any:
        return errno.ETIMEDOUT if result is None and seconds > 0 else result


class IsEarly(AsyncioSelectorDriver):
    async def wait_writable(self, sock: Any, until: float) -> Any:
        return await super().wait_writable(sock, until - 0.045)


class RefusesThePast(AsyncioSelectorDriver):
    async def wait_writable(self, sock: Any, until: float) -> Any:
        if until < time.monotonic():
            raise ValueError("negative timeout")
        return await super().wait_writable(sock, until)


class TakesThePastForReady(Waiting):
    def made_of(self, result: Any, sock: Any, seconds: float, was_ready: bool) -> Any:
        return 0 if seconds < 0 else result


class DoesNotReadSoError(Waiting):
    def made_of(self, result: Any, sock: Any, seconds: float, was_ready: bool) -> Any:
        return 0 if result == errno.ECONNREFUSED else result


class TakesAHangUpForTheEnd(Waiting):
    def made_of(self, result: Any, sock: Any, seconds: float, was_ready: bool) -> Any:
        hung_up = sock.family == socket.AF_UNIX and poll_now(sock).hung_up
        return None if hung_up else result


class ServesTheSecond(AsyncioSelectorDriver):
    async def wait_writable(self, sock: Any, until: float) -> Any:
        try:
            return await super().wait_writable(sock, until)
        except BlockingIOError:
            return 0


class SendsTheFirstAway(AsyncioSelectorDriver):
    async def wait_writable(self, sock: Any, until: float) -> Any:
        try:
            return await super().wait_writable(sock, until)
        except BlockingIOError:
            wake(self._waiters[sock.fileno()][1](), True)
            await asyncio.sleep(0)
            raise


class WakesAll(Waiting):
    def made_of(self, result: Any, sock: Any, seconds: float, was_ready: bool) -> Any:
        for _, waiter in self._waiters.values():
            wake(waiter(), True)
        return result


class HasRoomForOne(AsyncioSelectorDriver):
    async def wait_writable(self, sock: Any, until: float) -> Any:
        for fd, (_, waiter) in self._waiters.items():
            if fd != sock.fileno():
                wake(waiter(), True)
        return await super().wait_writable(sock, until)


class SaysNothingOfAClosedOne(AsyncioSelectorDriver):
    async def wait_writable(self, sock: Any, until: float) -> Any:
        return await super().wait_writable(sock, until) if sock.fileno() >= 0 else None


class LeavesATimer(Waiting):
    def made_of(self, result: Any, sock: Any, seconds: float, was_ready: bool) -> Any:
        leave_a_timer()
        return result


class LeavesATimerWhenCancelled(Waiting):
    def cancelled(self) -> Any:
        leave_a_timer()
        raise


class SwallowsACancellation(Waiting):
    def cancelled(self) -> Any:
        return None


class TurnsACancellationIntoAnError(Waiting):
    def cancelled(self) -> Any:
        raise OSError(errno.ECANCELED, "cancelled")


class Reading(AsyncioSelectorDriver):
    """A defect in `wait_readable`: what is made of what is returned."""

    async def wait_readable(self, socks: Any, until: float, *, writable: Any = ()) -> Any:
        now = time.monotonic()
        was_ready = any(ready_now(each, write=False) for each in socks)
        try:
            found = await super().wait_readable(socks, until, writable=writable)
        except asyncio.CancelledError:
            return self.cancelled()
        return self.made_of(found, socks, until - now, was_ready)

    def cancelled(self) -> Any:
        raise

    def made_of(self, found: Any, socks: Any, seconds: float, was_ready: bool) -> Any:
        return found


class HasNotReadIt(Reading):
    def made_of(self, found: Any, socks: Any, seconds: float, was_ready: bool) -> Any:
        return [] if was_ready and len(socks) == 1 else found


class NamesAll(Reading):
    def made_of(self, found: Any, socks: Any, seconds: float, was_ready: bool) -> Any:
        return socks if was_ready else found


class EndsEarly(AsyncioSelectorDriver):
    async def wait_readable(self, socks: Any, until: float, *, writable: Any = ()) -> Any:
        if until == math.inf and not writable:
            return socks
        return await super().wait_readable(socks, until, writable=writable)


class KnowsNoEnd(Reading):
    def made_of(self, found: Any, socks: Any, seconds: float, was_ready: bool) -> Any:
        ended = found and not was_ready and seconds < math.inf and found == [*socks]
        return [] if ended and not found[0].recv(1, socket.MSG_PEEK) else found


class ForgetsWriters(AsyncioSelectorDriver):
    async def wait_readable(self, socks: Any, until: float, *, writable: Any = ()) -> Any:
        found = await super().wait_readable(socks, until, writable=writable)
        return [each for each in found if each not in writable]


class ReadsTooShort(AsyncioSelectorDriver):
    async def wait_readable(self, socks: Any, until: float, *, writable: Any = ()) -> Any:
        return await super().wait_readable(socks, until - 0.045, writable=writable)


class CannotReadInThePast(AsyncioSelectorDriver):
    async def wait_readable(self, socks: Any, until: float, *, writable: Any = ()) -> Any:
        if until < time.monotonic():
            raise ValueError("negative timeout")
        return await super().wait_readable(socks, until, writable=writable)


class ReadingLeavesATimer(Reading):
    def made_of(self, found: Any, socks: Any, seconds: float, was_ready: bool) -> Any:
        leave_a_timer()
        return found


class ReadsOn(Reading):
    def cancelled(self) -> Any:
        leave_a_timer()
        raise


class Conversing(AsyncioSelectorDriver):
    """A defect in `converse`: what is made of a step, and of what is returned."""

    async def converse(self, sock: Any, until: float, step: Any) -> Any:
        try:
            found = await super().converse(sock, until, self.made_of_step(step, until))
        except asyncio.CancelledError:
            return self.cancelled(step)
        return self.made_of(found, sock, until)

    def made_of_step(self, step: Any, until: float) -> Any:
        return step

    def made_of(self, found: Any, sock: Any, until: float) -> Any:
        return found

    def cancelled(self, step: Any) -> Any:
        raise


class AsksOnceMore(Conversing):
    def made_of_step(self, step: Any, until: float) -> Any:
        if step.__class__ is conversing_checks.Steps and not step.wanted:
            return lambda: step() or step()
        return step


class AsksBeforeThereIsAnything(Conversing):
    def made_of_step(self, step: Any, until: float) -> Any:
        if (
            step.__class__ is conversing_checks.Steps
            and step.wanted == (False,)
            and until == math.inf
        ):
            step()
        return step


class TakesReadingForWriting(Conversing):
    def made_of_step(self, step: Any, until: float) -> Any:
        only_writes = step.__class__ is conversing_checks.Steps and step.wanted == (True,)
        return (lambda: None if step() is None else False) if only_writes else step


class WaitsForTheSameAgain(Conversing):
    def made_of_step(self, step: Any, until: float) -> Any:
        first: list[Any] = []

        def same() -> Any:
            wanted = step()
            first.append(wanted)
            return None if wanted is None else first[0]

        return same


class KnowsNoHangUp(Conversing):
    def made_of(self, found: Any, sock: Any, until: float) -> Any:
        if found and until < math.inf and ready_now(sock, write=False):
            return bool(sock.recv(1, socket.MSG_PEEK))
        return found


class SwallowsARefusal(AsyncioSelectorDriver):
    async def converse(self, sock: Any, until: float, step: Any) -> Any:
        try:
            return await super().converse(sock, until, step)
        except Exception:
            return False


class IsDoneWhenItIsLate(Conversing):
    def made_of(self, found: Any, sock: Any, until: float) -> Any:
        return True


class TalkingLeavesATimer(Conversing):
    def made_of(self, found: Any, sock: Any, until: float) -> Any:
        leave_a_timer()
        return found


class TalksOn(Conversing):
    def cancelled(self, step: Any) -> Any:
        step()
        raise


class IsDoneWhenCancelled(Conversing):
    def cancelled(self, step: Any) -> Any:
        return True


class SleepsTooShort(AsyncioSelectorDriver):
    async def sleep_until(self, when: float) -> None:
        await super().sleep_until(when - 0.045)


class CannotSleepInThePast(AsyncioSelectorDriver):
    async def sleep_until(self, when: float) -> None:
        if when < time.monotonic():
            raise ValueError("negative delay")
        await super().sleep_until(when)


class NeverIsNow(AsyncioSelectorDriver):
    async def sleep_until(self, when: float) -> None:
        if when < math.inf:
            await super().sleep_until(when)


class SleepsOn(AsyncioSelectorDriver):
    async def sleep_until(self, when: float) -> None:
        try:
            await super().sleep_until(when)
        except asyncio.CancelledError:
            pass


class SleepLeavesATimer(AsyncioSelectorDriver):
    async def sleep_until(self, when: float) -> None:
        try:
            await super().sleep_until(when)
        except asyncio.CancelledError:
            leave_a_timer()
            raise


class NoCheckpoint(AsyncioSelectorDriver):
    checkpoint: Any = "none"


class DoesNotYield(AnyioDriver):
    def __init__(self) -> None:
        super().__init__(trio.lowlevel.checkpoint_if_cancelled)


class CannotBeCancelled(AnyioDriver):
    def __init__(self) -> None:
        super().__init__(trio.lowlevel.cancel_shielded_checkpoint)


class CompletesPerhaps(AsyncioSelectorDriver):
    completes: Any = 0


class Completing(AsyncioProactorDriver):
    async def sock_connect(self, sock: Any, sockaddr: Any, until: float) -> Any:
        result = await super().sock_connect(sock, sockaddr, until)
        return self.made_of(result)

    def made_of(self, result: Any) -> Any:
        raise NotImplementedError


class SaysThatItWasConnected(Completing):
    def made_of(self, result: Any) -> Any:
        return errno.EISCONN if result == 0 else result


class ForgetsTheErrno(Completing):
    def made_of(self, result: Any) -> Any:
        return errno.EIO if result == errno.ECONNREFUSED else result


class CompletesLate(Completing):
    def made_of(self, result: Any) -> Any:
        return errno.ETIMEDOUT if result is None else result


class CompletesNever(AsyncioProactorDriver):
    async def sock_connect(self, sock: Any, sockaddr: Any, until: float) -> Any:
        try:
            return await super().sock_connect(sock, sockaddr, until)
        except asyncio.CancelledError:
            leave_a_timer()
            raise


# -------------------------------------------------------------------- watches with a defect


class OddWatch(AsyncioWatch):
    """A defect in a watch."""

    def __init__(self) -> None:
        super().__init__()
        self.added: list[Any] = []
        self.ready_at_once: list[Any] = []
        self.inside = 0

    async def __aenter__(self) -> Any:
        self.entered = True
        return await super().__aenter__()

    def add(self, sock: Any) -> None:
        self.added.append(sock)
        if poll_now(sock).writable:
            self.ready_at_once.append(sock)
        super().add(sock)

    async def wait(self, until: float) -> Any:
        self.inside += 1
        ready = await super().wait(until)
        self.inside -= 1
        return self.made_of(ready)

    def made_of(self, ready: Any) -> Any:
        return ready


class ReadyIsWrong(OddWatch):
    def made_of(self, ready: Any) -> Any:
        return [(s, 5 if e == 0 and s in self.ready_at_once else e) for s, e in ready]


class LaterIsWrong(OddWatch):
    def made_of(self, ready: Any) -> Any:
        return [(s, 5 if e == 0 and s not in self.ready_at_once else e) for s, e in ready]


class NoSoError(OddWatch):
    def made_of(self, ready: Any) -> Any:
        return [(s, 0 if e == errno.ECONNREFUSED else e) for s, e in ready]


class NoHangUp(OddWatch):
    def made_of(self, ready: Any) -> Any:
        return [(s, e) for s, e in ready if s.family != socket.AF_UNIX or not poll_now(s).hung_up]


class NeverWaits(OddWatch):
    async def ready(self, sock: Any, write: bool) -> None:
        if not write or sock.fileno() < 0:
            await super().ready(sock, write)


class ReadsForWriting(OddWatch):
    async def ready(self, sock: Any, write: bool) -> None:
        await super().ready(sock, True)


class LeavesAwaited(OddWatch):
    async def ready(self, sock: Any, write: bool) -> None:
        await super().ready(sock, write)
        if write:
            leave_a_timer()


class WaitsForTheClosed(OddWatch):
    async def ready(self, sock: Any, write: bool) -> None:
        if sock.fileno() >= 0:
            await super().ready(sock, write)


class ReportsAll(OddWatch):
    def made_of(self, ready: Any) -> Any:
        return [*ready, *((sock, 0) for sock in self._watched if ready)]


class WatchesOn(OddWatch):
    def made_of(self, ready: Any) -> Any:
        if len(self.added) == 1:
            for sock, _ in ready:
                AsyncioWatch.add(self, sock)
        return ready


class ReportsTwice(OddWatch):
    def __init__(self) -> None:
        super().__init__()
        self.last: Any = []

    def made_of(self, ready: Any) -> Any:
        if len(self.added) == 1:
            self.last, ready = ready, ready or self.last
        return ready


class AddsOnce(OddWatch):
    def add(self, sock: Any) -> None:
        if sock not in self.added:
            super().add(sock)


class ReportsTheDiscarded(OddWatch):
    def __init__(self) -> None:
        super().__init__()
        self.gone: list[Any] = []

    def discard(self, sock: Any) -> None:
        super().discard(sock)
        if not self.inside:
            self.gone.append((sock, 0))

    def made_of(self, ready: Any) -> Any:
        return ready or self.gone


class DiscardLeavesATimer(OddWatch):
    async def __aexit__(self, *exception: object) -> None:
        self.inside += 1
        await super().__aexit__(*exception)

    def discard(self, sock: Any) -> None:
        super().discard(sock)
        if not self.inside:
            leave_a_timer()


class WaitsTooShort(OddWatch):
    async def wait(self, until: float) -> Any:
        return await super().wait(until - 0.045 if self._watched else until)


class WaitRefusesThePast(OddWatch):
    async def wait(self, until: float) -> Any:
        if until < time.monotonic():
            raise ValueError("negative timeout")
        return await super().wait(until)


class RemembersNotifications(OddWatch):
    again = False

    def notify(self) -> None:
        self.again = self._waiter is None
        super().notify()

    def made_of(self, ready: Any) -> Any:
        self._notified, self.again = self.again, False
        return ready


class CannotBeNotified(OddWatch):
    refused = False

    def notify(self) -> None:
        self.refused = self._waiter is not None and not self._watched
        super().notify()

    def made_of(self, ready: Any) -> Any:
        if self.refused:
            raise RuntimeError("not here")
        return ready


class HasToBeEntered(OddWatch):
    entered = False

    async def wait(self, until: float) -> Any:
        if not self.entered:
            raise RuntimeError("not entered")
        return await super().wait(until)


class WaitLeavesATimer(OddWatch):
    async def wait(self, until: float) -> Any:
        try:
            return await super().wait(until)
        except asyncio.CancelledError:
            leave_a_timer()
            raise


class DropsArguments(OddWatch):
    def spawn(self, function: Any, *args: Any) -> Any:
        return super().spawn(function)


class CancelsAll(OddWatch):
    def spawn(self, function: Any, *args: Any) -> Any:
        super().spawn(function, *args)

        def cancel() -> None:
            for task in self._tasks:
                self._cancel_soon(task)

        return cancel


class DoesNotWaitForTasks(OddWatch):
    async def __aexit__(self, kind: object, *more: object) -> None:
        await super().__aexit__(kind if len(self._tasks) < 2 else GeneratorExit, *more)


class LeavingLeavesATimer(OddWatch):
    async def __aexit__(self, *exception: object) -> None:
        if len(self._watched) == 2:
            leave_a_timer()
        await super().__aexit__(*exception)


class SwallowsAnError(OddWatch):
    async def __aexit__(self, kind: object, *more: object) -> Any:
        await super().__aexit__(kind, *more)
        return kind is LookupError


class SwallowsALateCancellation(OddWatch):
    async def __aexit__(self, *exception: object) -> None:
        try:
            await super().__aexit__(*exception)
        except asyncio.CancelledError:
            pass


class LeavesWhenCancelled(OddWatch):
    async def __aexit__(self, *exception: object) -> None:
        await super().__aexit__(GeneratorExit)
        if self._tasks:
            await asyncio.wait(list(self._tasks))


class Watched(AsyncioSelectorDriver):
    """A driver with a watch of its own."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self._kind = kind

    def watch(self) -> Any:
        return self._kind()


WAITING_DEFECTS: list[tuple[str, Any]] = [
    ("wait_writable.ready", SaysNothingOfAReadyOne),
    ("wait_writable.later", SaysSomethingElseLater),
    ("wait_writable.infinity", DoesNotWait),
    ("wait_writable.infinity", RefusesInfinity),
    ("wait_writable.deadline", TimesOutWithAnErrno),
    ("wait_writable.deadline", IsEarly),
    ("wait_writable.past", RefusesThePast),
    ("wait_writable.past", TakesThePastForReady),
    ("wait_writable.refused", DoesNotReadSoError),
    ("wait_writable.hang_up", TakesAHangUpForTheEnd),
    ("wait_writable.busy", ServesTheSecond),
    ("wait_writable.busy", SendsTheFirstAway),
    ("wait_writable.several", WakesAll),
    ("wait_writable.several", HasRoomForOne),
    ("wait_writable.closed", SaysNothingOfAClosedOne),
    ("wait_writable.leaves_nothing", LeavesATimer),
    ("wait_writable.cancelled", LeavesATimerWhenCancelled),
    ("wait_writable.cancelled", SwallowsACancellation),
    ("wait_writable.cancelled", TurnsACancellationIntoAnError),
    ("wait_readable.ready", HasNotReadIt),
    ("wait_readable.named", NamesAll),
    ("wait_readable.later", EndsEarly),
    ("wait_readable.end", KnowsNoEnd),
    ("wait_readable.writable", ForgetsWriters),
    ("wait_readable.deadline", ReadsTooShort),
    ("wait_readable.past", CannotReadInThePast),
    ("wait_readable.leaves_nothing", ReadingLeavesATimer),
    ("wait_readable.cancelled", ReadsOn),
    ("converse.at_once", AsksOnceMore),
    ("converse.reads", AsksBeforeThereIsAnything),
    ("converse.writes", TakesReadingForWriting),
    ("converse.turns", WaitsForTheSameAgain),
    ("converse.end", KnowsNoHangUp),
    ("converse.raises", SwallowsARefusal),
    ("converse.deadline", IsDoneWhenItIsLate),
    ("converse.leaves_nothing", TalkingLeavesATimer),
    ("converse.cancelled", TalksOn),
    ("converse.cancelled", IsDoneWhenCancelled),
    ("sleep_until.moment", SleepsTooShort),
    ("sleep_until.past", CannotSleepInThePast),
    ("sleep_until.infinity", NeverIsNow),
    ("sleep_until.cancelled", SleepsOn),
    ("sleep_until.cancelled", SleepLeavesATimer),
    ("checkpoint.none", NoCheckpoint),
    ("checkpoint.yields", DoesNotYield),
    ("checkpoint.cancelled", CannotBeCancelled),
    ("completes.bool", CompletesPerhaps),
    ("sock_connect.connects", SaysThatItWasConnected),
    ("sock_connect.refused", ForgetsTheErrno),
    ("sock_connect.deadline", CompletesLate),
    ("sock_connect.cancelled", CompletesNever),
    ("watch.ready", ReadyIsWrong),
    ("watch.later", LaterIsWrong),
    ("watch.refused", NoSoError),
    ("watch.awaited_write", NeverWaits),
    ("watch.awaited_write", LeavesAwaited),
    ("watch.awaited_read", ReadsForWriting),
    ("watch.awaited_closed", WaitsForTheClosed),
    ("watch.hang_up", NoHangUp),
    ("watch.several", ReportsAll),
    ("watch.once", WatchesOn),
    ("watch.once", ReportsTwice),
    ("watch.again", AddsOnce),
    ("watch.discarded", ReportsTheDiscarded),
    ("watch.discarded", DiscardLeavesATimer),
    ("watch.deadline", WaitsTooShort),
    ("watch.past", WaitRefusesThePast),
    ("watch.notified_before", RemembersNotifications),
    ("watch.notified", CannotBeNotified),
    ("watch.not_entered", HasToBeEntered),
    ("watch.cancelled", WaitLeavesATimer),
    ("watch.spawn", DropsArguments),
    ("watch.spawn_cancels", CancelsAll),
    ("watch.leaves_no_task", DoesNotWaitForTasks),
    ("watch.leaves_no_socket", LeavingLeavesATimer),
    ("watch.leaving_passes_on", SwallowsAnError),
    ("watch.leaving_cancelled", SwallowsALateCancellation),
    ("watch.leaving_cancelled", LeavesWhenCancelled),
]


def broken_by(driver: Any, rules: Rules, limit: float = LIMIT) -> list[str]:
    run: Any = on_asyncio
    if isinstance(driver, AnyioDriver):
        run = trio.run
    elif driver.completes:
        run = partial(on_asyncio, loop=NoWriterLoop)
    with pytest.raises(NotConformant) as caught:
        run(partial(rules.check, driver, limit))
    assert all(each.seen for each in caught.value.broken)
    return [each.rule for each in caught.value.broken]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "defect"), WAITING_DEFECTS, ids=lambda each: str(getattr(each, "__name__", each))
)
def test_a_defect_is_found_by_the_rule_it_breaks(rule: str, defect: Any) -> None:
    driver = Watched(defect) if issubclass(defect, AsyncioWatch) else defect()
    assert broken_by(driver, WAITING, 4.0 if defect is AddsOnce else LIMIT) == [rule]


# -------------------------------------------------------------------- threads with a defect


class Result(AsyncioSelectorDriver):
    async def run_blocking(self, call: Any, until: float) -> Any:
        result: Any = await super().run_blocking(call, until)
        return "another" if result == "a result" else result


class Error(AsyncioSelectorDriver):
    async def run_blocking(self, call: Any, until: float) -> Any:
        try:
            return await super().run_blocking(call, until)
        except LookupError as error:
            raise RuntimeError("it failed") from error


class LoopsOwnPool(AsyncioSelectorDriver):
    async def run_blocking(self, call: Any, until: float) -> Any:
        seconds = until - time.monotonic()
        try:
            async with asyncio.timeout(seconds if seconds < 1000 else None):
                return await asyncio.to_thread(call)
        except TimeoutError:
            return None


class NoThread(AsyncioSelectorDriver):
    async def run_blocking(self, call: Any, until: float) -> Any:
        if call.__name__ == "<lambda>":
            return call()
        return await super().run_blocking(call, until)


class LateResult(AsyncioSelectorDriver):
    async def run_blocking(self, call: Any, until: float) -> Any:
        result: Any = await super().run_blocking(call, until)
        return "late" if result is None and until < math.inf else result


class SwallowsAtWork(AsyncioSelectorDriver):
    async def run_blocking(self, call: Any, until: float) -> Any:
        made: list[Any] = []
        try:
            return await super().run_blocking(lambda: (made.append(1), call())[1], until)
        except asyncio.CancelledError:
            if not made:
                raise


class NeverAbandons(AsyncioSelectorDriver):
    def start_blocking(self, call: Any, deliver: Any) -> Any:
        super().start_blocking(call, deliver)
        return NoJob()


class NoJob:
    def abandon(self) -> None:
        """It is made all the same."""


class OddStart(AsyncioSelectorDriver):
    """A defect in `start_blocking`; `run_blocking` has none."""

    async def run_blocking(self, call: Any, until: float) -> Any:
        return await AsyncioSelectorDriver().run_blocking(call, until)


class RunNeverAbandons(NeverAbandons):
    async def run_blocking(self, call: Any, until: float) -> Any:
        return await super().run_blocking(call, until)

    def start_blocking(self, call: Any, deliver: Any) -> Any:
        # What `run_blocking` has called is made by partial(); what the checks call is a function.
        if isinstance(deliver, partial):
            return super().start_blocking(call, deliver)
        return AsyncioSelectorDriver.start_blocking(self, call, deliver)


class StartResult(OddStart):
    def start_blocking(self, call: Any, deliver: Any) -> Any:
        def other(result: Any, error: Any) -> None:
            deliver("another" if result == "a result" else result, error)

        return super().start_blocking(call, other)


class StartError(OddStart):
    def start_blocking(self, call: Any, deliver: Any) -> Any:
        return super().start_blocking(
            call, lambda result, error: deliver(result, error and RuntimeError("it failed"))
        )


class DeliversInTheThread(OddStart):
    def start_blocking(self, call: Any, deliver: Any) -> Any:
        return DaemonThreads().submit(call, deliver)


class DeliversNothing(OddStart):
    def start_blocking(self, call: Any, deliver: Any) -> Any:
        return super().start_blocking(call, lambda *outcome: None)


class PoolJob:
    def __init__(self, future: Any) -> None:
        self.abandon = future.cancel


class NoDaemons(OddStart):
    def __init__(self) -> None:
        super().__init__()
        self.pool = ThreadPoolExecutor(4)

    def start_blocking(self, call: Any, deliver: Any) -> Any:
        loop = asyncio.get_running_loop()

        def make() -> None:
            try:
                outcome = call(), None
            except LookupError as error:
                outcome = None, error
            loop.call_soon_threadsafe(deliver, *outcome)

        return PoolJob(self.pool.submit(make))


class Stack(OrderedDict[Any, Any]):
    def popitem(self, last: bool = True) -> Any:
        return super().popitem(not last)


class Backwards(OddStart):
    def __init__(self, limit: int = 4) -> None:
        super().__init__()
        self.threads = DaemonThreads(limit)
        self.threads._queue = Stack()

    def start_blocking(self, call: Any, deliver: Any) -> Any:
        loop = asyncio.get_running_loop()

        def post(*outcome: Any) -> None:
            try:
                loop.call_soon_threadsafe(deliver, *outcome)
            except RuntimeError:
                pass  # the loop has been closed

        return self.threads.submit(call, post)


class StartNeverAbandons(NeverAbandons):
    async def run_blocking(self, call: Any, until: float) -> Any:
        return await AsyncioSelectorDriver().run_blocking(call, until)


BLOCKING_DEFECTS: list[tuple[str, Any]] = [
    ("run_blocking.result", Result),
    ("run_blocking.error", Error),
    ("run_blocking.thread", LoopsOwnPool),
    ("run_blocking.thread", NoThread),
    ("run_blocking.deadline", LateResult),
    ("run_blocking.cancelled", SwallowsAtWork),
    ("run_blocking.abandoned", RunNeverAbandons),
    ("start_blocking.result", StartResult),
    ("start_blocking.error", StartError),
    ("start_blocking.loop", DeliversInTheThread),
    ("start_blocking.thread", NoDaemons),
    ("start_blocking.order", Backwards),
    ("start_blocking.abandoned", StartNeverAbandons),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "defect"), BLOCKING_DEFECTS, ids=lambda each: str(getattr(each, "__name__", each))
)
def test_a_defect_of_the_threads_is_found_by_the_rule_it_breaks(rule: str, defect: Any) -> None:
    driver = defect()
    assert broken_by(driver, blocking_checks.RULES) == [rule]
    if isinstance(driver, NoDaemons):
        driver.pool.shutdown()


def test_there_is_a_defect_for_every_rule() -> None:
    assert {rule for rule, _ in WAITING_DEFECTS + BLOCKING_DEFECTS} == NAMES


def test_what_is_said_of_a_queue_is_not_checked_where_there_is_none() -> None:
    class EveryCallAtOnce(Backwards):
        async def run_blocking(self, call: Any, until: float) -> Any:
            waiter = asyncio.get_running_loop().create_future()
            self.start_blocking(call, lambda *outcome: wake(waiter, outcome))
            try:
                async with asyncio.timeout(until - time.monotonic() if until < math.inf else None):
                    result, error = await waiter
            except TimeoutError:
                return None
            if error is not None:
                raise error
            return result

    ran = on_asyncio(blocking_checks.RULES.check, EveryCallAtOnce(1000), LIMIT)
    assert {rule.name for rule in blocking_checks.RULES} - set(ran) == {
        "run_blocking.abandoned",
        "start_blocking.order",
        "start_blocking.abandoned",
    }


# -------------------------------------------------------------------- what goes wrong altogether


def only(*names: str) -> Rules:
    return Rules(rule for rule in DRIVER_RULES if rule.name in names)


def seen_of(driver: Any, *names: str, limit: float = HANGING) -> list[str]:
    with pytest.raises(NotConformant) as caught:
        on_asyncio(only(*names).check, driver, limit)
    assert [each.rule for each in caught.value.broken] == list(names)
    return [each.seen for each in caught.value.broken]


class Hangs(AsyncioSelectorDriver):
    async def wait_writable(self, sock: Any, until: float) -> Any:
        await asyncio.Event().wait()


class WatchHangs(OddWatch):
    async def wait(self, until: float) -> Any:
        await asyncio.Event().wait()

    def spawn(self, function: Any, *args: Any) -> Any:
        return lambda: None


@pytest.mark.slow
def test_what_hangs_is_given_up() -> None:
    assert seen_of(Hangs(), "wait_writable.ready", "wait_writable.later") == [
        "it took longer than 2 s",
        "it did not end",
    ]
    assert seen_of(Watched(WatchHangs), "watch.several", "watch.notified", "watch.spawn") == [
        "it took longer than 2 s",
        "the wait did not end",
        "it has not run",
    ]
    assert seen_of(DeliversNothing(), "start_blocking.result") == ["`deliver` was not called"]


@pytest.mark.slow
def test_what_does_not_heed_a_cancellation_is_left_behind_when_it_ends_late() -> None:
    class Slow(AsyncioSelectorDriver):
        async def sleep_until(self, when: float) -> None:
            until = time.monotonic() + 3 * HANGING
            while time.monotonic() < until:
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    pass

    [seen] = seen_of(Slow(), "sleep_until.cancelled")
    assert seen == "a cancellation did not end it"


def test_what_cancels_itself() -> None:
    class Cancels(AsyncioSelectorDriver):
        async def wait_writable(self, sock: Any, until: float) -> Any:
            raise asyncio.CancelledError

    assert seen_of(Cancels(), "wait_writable.ready", "wait_writable.later") == [
        "it was cancelled, though nobody had asked for that",
        "it ended while the socket was not writable: it was cancelled",
    ]


def test_an_error_lists_every_rule_that_is_broken() -> None:
    class Wrong(AsyncioSelectorDriver):
        async def wait_writable(self, sock: Any, until: float) -> Any:
            raise LookupError("no such socket")

        def __repr__(self) -> str:
            return "Wrong()"

    with pytest.raises(NotConformant) as caught:
        on_asyncio(
            only("wait_writable.ready", "completes.bool", "wait_writable.past").check,
            Wrong(),
            LIMIT,
        )
    assert isinstance(caught.value, AssertionError)
    assert caught.value.ran == ("wait_writable.ready", "wait_writable.past", "completes.bool")
    assert str(caught.value) == (
        "Wrong() does not conform:\n"
        "  wait_writable.ready: A socket that is writable ends the wait at once, with 0.\n"
        "    Seen: LookupError was raised: no such socket\n"
        "  wait_writable.past: A moment that has passed ends the wait with None.\n"
        "    Seen: LookupError was raised: no such socket"
    )


def test_a_driver_may_raise_where_a_descriptor_is_closed() -> None:
    class Raises(AsyncioSelectorDriver):
        async def wait_writable(self, sock: Any, until: float) -> Any:
            raise OSError(errno.EBADF, "closed")

    assert on_asyncio(only("wait_writable.closed").check, Raises(), LIMIT) == (
        "wait_writable.closed",
    )


@pytest.mark.parametrize("run", [on_asyncio, partial(on_asyncio, loop=uvloop.new_event_loop)])
def test_cancelled_on_asyncio(run: Any) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        task = asyncio.ensure_future(check_driver(Hangs(), limit=1000))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.all_tasks() == before

    run(main)


def test_cancelled_on_trio() -> None:
    async def main() -> None:
        with trio.move_on_after(0.05) as scope:
            await check_driver(AnyioDriver(), limit=LIMIT)
        assert scope.cancelled_caught

    trio.run(main)


@pytest.mark.parametrize("limit", [0, -1.0, math.inf, math.nan])
def test_a_limit_that_is_none(limit: float) -> None:
    with pytest.raises(ValueError, match="limit must be a finite number of seconds above 0"):
        on_asyncio(partial(check_driver, AsyncioSelectorDriver(), limit=limit))


@pytest.mark.parametrize("limit", [True, "1", None])
def test_a_limit_of_another_type(limit: Any) -> None:
    with pytest.raises(TypeError, match="limit must be a number of seconds"):
        on_asyncio(partial(check_driver, AsyncioSelectorDriver(), limit=limit))


def test_no_event_loop() -> None:
    check = check_driver(AsyncioSelectorDriver())
    with pytest.raises(RuntimeError, match="no running event loop"):
        check.send(None)


@pytest.mark.slow
def test_no_thread_is_left() -> None:
    on_asyncio(partial(check_driver, AsyncioSelectorDriver(), limit=LIMIT))
    for thread in threading.enumerate():
        if thread.name == "aconnect lookup":
            thread.join(LIMIT)
            assert not thread.is_alive()
