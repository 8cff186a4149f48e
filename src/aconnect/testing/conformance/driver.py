"""What a driver must do, but for its watch and its threads: rule by rule.

Rules:

* Each check is of one rule of `aconnect.drivers.base`, and looks at nothing else.
* Times are looked at from below only: a busy machine is late, never early.
"""

from __future__ import annotations

import errno
from math import inf
from typing import TYPE_CHECKING

from ..pairs import empty
from .bench import SHORT, NotApplicable, Rules, expect, moment, not_before, nothing_left
from .sockets import begun, fresh, full, listening, ready, refusing, silent

if TYPE_CHECKING:
    from ...drivers.base import Driver
    from .bench import Bench

__all__ = ["RULES"]

RULES = Rules()

# ------------------------------------------------------------------------- wait_writable


@RULES.add("wait_writable.ready", "A socket that is writable ends the wait at once, with 0.")
async def _ready(bench: Bench, driver: Driver) -> None:
    with ready() as sock:
        result = await driver.wait_writable(sock, moment(bench.limit))
        expect(result == 0, f"{result!r} was returned")


@RULES.add("wait_writable.later", "The wait ends with 0 when the socket becomes writable.")
async def _later(bench: Bench, driver: Driver) -> None:
    with full() as (sock, peer):
        wait = bench.start(driver.wait_writable, sock, moment(bench.limit))
        await bench.turns()
        expect(not wait.done, f"it ended while the socket was not writable: {wait.outcome}")
        empty(peer)
        expect(await bench.ended(wait), "it did not end")
        expect(wait.result == 0, wait.outcome)


@RULES.add("wait_writable.infinity", "Infinity means that there is no limit.")
async def _infinity(bench: Bench, driver: Driver) -> None:
    with full() as (sock, peer):
        wait = bench.start(driver.wait_writable, sock, inf)
        await bench.sleep(SHORT)
        expect(not wait.done, f"it ended while the socket was not writable: {wait.outcome}")
        empty(peer)
        expect(await bench.ended(wait), "it did not end")
        expect(wait.error is None, wait.outcome)


@RULES.add("wait_writable.deadline", "The wait ends with None when the moment comes first.")
async def _deadline(_bench: Bench, driver: Driver) -> None:
    with full() as (sock, _):
        until = moment(SHORT)
        result = await driver.wait_writable(sock, until)
        expect(result is None, f"{result!r} was returned")
        not_before(until)


@RULES.add("wait_writable.past", "A moment that has passed ends the wait with None.")
async def _past(_bench: Bench, driver: Driver) -> None:
    with full() as (sock, _):
        result = await driver.wait_writable(sock, moment(-1))
        expect(result is None, f"{result!r} was returned")


@RULES.add("wait_writable.refused", "What is returned is the socket's SO_ERROR.")
async def _refused(bench: Bench, driver: Driver) -> None:
    with refusing() as address, begun(address) as sock:
        result = await driver.wait_writable(sock, moment(bench.limit))
        expect(
            result == errno.ECONNREFUSED,
            f"{result!r} was returned of a connect that was refused, not {errno.ECONNREFUSED}",
        )


@RULES.add("wait_writable.hang_up", "A socket that is hung up ends the wait.")
async def _hang_up(bench: Bench, driver: Driver) -> None:
    with full() as (sock, peer):
        wait = bench.start(driver.wait_writable, sock, moment(bench.limit))
        await bench.turns()
        peer.close()
        expect(await bench.ended(wait), "it did not end")
        expect(isinstance(wait.result, int), wait.outcome)


@RULES.add(
    "wait_writable.busy",
    "A second task that waits for a socket gets BlockingIOError, EALREADY; the first waits on. "
    "(Not where the driver completes: it need not have the loop watch.)",
)
async def _busy(bench: Bench, driver: Driver) -> None:
    if driver.completes:
        raise NotApplicable
    with full() as (sock, peer):
        first = bench.start(driver.wait_writable, sock, moment(bench.limit))
        await bench.turns()
        second = bench.start(driver.wait_writable, sock, moment(bench.limit))
        expect(await bench.ended(second), "the second wait did not end")
        expect(
            isinstance(second.error, BlockingIOError) and second.error.errno == errno.EALREADY,
            f"of the second wait: {second.outcome}",
        )
        expect(not first.done, f"of the first wait: {first.outcome}")
        empty(peer)
        expect(await bench.ended(first), "the first wait did not end")


@RULES.add(
    "wait_writable.several", "Tasks that wait for different sockets each learn of their own."
)
async def _several(bench: Bench, driver: Driver) -> None:
    with full() as (one, its_peer), full() as (other, _):
        until = moment(bench.limit)
        waits = [bench.start(driver.wait_writable, sock, until) for sock in (one, other)]
        await bench.turns()
        expect(not waits[0].done, f"while no socket was writable: {waits[0].outcome}")
        empty(its_peer)
        expect(await bench.ended(waits[0]), "the wait for the socket that was ready did not end")
        expect(waits[0].error is None, waits[0].outcome)
        await bench.turns()
        expect(not waits[1].done, f"of the wait for the other socket: {waits[1].outcome}")


@RULES.add(
    "wait_writable.closed", "A closed socket cannot be waited for: EBADF, or an OSError is raised."
)
async def _closed(bench: Bench, driver: Driver) -> None:
    with ready() as sock:
        sock.close()
        try:
            result = await driver.wait_writable(sock, moment(bench.limit))
        except OSError:
            return
        expect(result == errno.EBADF, f"{result!r} was returned")


@RULES.add(
    "wait_writable.leaves_nothing", "When a wait is over, nothing of it is registered any more."
)
async def _leaves_nothing(bench: Bench, driver: Driver) -> None:
    with ready() as sock, full() as (never, _):
        before = bench.contents()
        for each, until in ((sock, moment(10 * bench.limit)), (never, moment(SHORT))):
            await driver.wait_writable(each, until)
            nothing_left(before)


@RULES.add(
    "wait_writable.cancelled", "A cancellation ends the wait, is passed on, and leaves nothing."
)
async def _cancelled(bench: Bench, driver: Driver) -> None:
    with full() as (sock, _):
        before = bench.contents()
        wait = bench.start(driver.wait_writable, sock, moment(10 * bench.limit))
        await bench.turns()
        await bench.stopped(wait)
        nothing_left(before)


# ----------------------------------------------------------------- sleep_until, checkpoint


@RULES.add("sleep_until.moment", "The wait ends when the moment has come.")
async def _sleep(_bench: Bench, driver: Driver) -> None:
    when = moment(SHORT)
    await driver.sleep_until(when)
    not_before(when)


@RULES.add("sleep_until.past", "A moment that has passed ends the wait.")
async def _sleep_past(bench: Bench, driver: Driver) -> None:
    sleep = bench.start(driver.sleep_until, moment(-1))
    expect(await bench.ended(sleep), "it did not end")
    expect(sleep.error is None, sleep.outcome)


@RULES.add("sleep_until.infinity", "Infinity never comes.")
async def _sleep_for_ever(bench: Bench, driver: Driver) -> None:
    sleep = bench.start(driver.sleep_until, inf)
    await bench.sleep(SHORT)
    expect(not sleep.done, f"it ended: {sleep.outcome}")


@RULES.add(
    "sleep_until.cancelled", "A cancellation ends the wait, is passed on, and leaves nothing."
)
async def _sleep_cancelled(bench: Bench, driver: Driver) -> None:
    before = bench.contents()
    sleep = bench.start(driver.sleep_until, moment(10 * bench.limit))
    await bench.turns()
    await bench.stopped(sleep)
    nothing_left(before)


@RULES.add("checkpoint.none", "`checkpoint` is None, or what is called and awaited.")
async def _checkpoint_kind(_bench: Bench, driver: Driver) -> None:
    checkpoint = driver.checkpoint
    expect(checkpoint is None or callable(checkpoint), f"it is {checkpoint!r}")


@RULES.add("checkpoint.yields", "A checkpoint lets others run.")
async def _checkpoint_yields(bench: Bench, driver: Driver) -> None:
    checkpoint = driver.checkpoint
    if not callable(checkpoint):
        raise NotApplicable
    others = bench.start(bench.turns, 1)
    for _ in range(20):
        await checkpoint()
    expect(others.done, "another task has not run in 20 checkpoints")


@RULES.add("checkpoint.cancelled", "A checkpoint is where a task can be cancelled.")
async def _checkpoint_cancelled(bench: Bench, driver: Driver) -> None:
    checkpoint = driver.checkpoint
    if not callable(checkpoint):
        raise NotApplicable
    passed: list[bool] = []

    async def pass_many() -> None:
        task.cancel()
        while len(passed) < 1000:
            await checkpoint()
            passed.append(True)

    task = bench.start(pass_many)
    expect(await bench.ended(task), "it did not end")
    expect(not passed, f"a task that was cancelled has passed {len(passed)} checkpoints")
    expect(task.error is None, task.outcome)


# ------------------------------------------------------------------ completes, sock_connect


@RULES.add("completes.bool", "`completes` is True or False.")
async def _completes(_bench: Bench, driver: Driver) -> None:
    expect(isinstance(driver.completes, bool), f"it is {driver.completes!r}")


@RULES.add("sock_connect.connects", "Where `completes`: 0, and the socket is connected.")
async def _connects(bench: Bench, driver: Driver) -> None:
    _must_complete(driver)
    with listening() as listener, fresh() as sock:
        address = listener.getsockname()
        result = await driver.sock_connect(sock, address, moment(bench.limit))
        expect(result == 0, f"{result!r} was returned")
        expect(sock.getpeername() == address, f"it is connected to {sock.getpeername()!r}")


@RULES.add("sock_connect.refused", "Where `completes`: the errno of what failed.")
async def _connect_refused(bench: Bench, driver: Driver) -> None:
    _must_complete(driver)
    with refusing() as address, fresh() as sock:
        result = await driver.sock_connect(sock, address, moment(bench.limit))
        expect(result == errno.ECONNREFUSED, f"{result!r} was returned")


@RULES.add("sock_connect.deadline", "Where `completes`: None when the moment comes first.")
async def _connect_deadline(_bench: Bench, driver: Driver) -> None:
    _must_complete(driver)
    with silent() as address, fresh() as sock:
        until = moment(SHORT)
        result = await driver.sock_connect(sock, address, until)
        expect(result is None, f"{result!r} was returned")
        not_before(until)


@RULES.add(
    "sock_connect.cancelled",
    "Where `completes`: a cancellation ends it, is passed on, and leaves nothing.",
)
async def _connect_cancelled(bench: Bench, driver: Driver) -> None:
    _must_complete(driver)
    with silent() as address, fresh() as sock:
        before = bench.contents()
        connecting = bench.start(driver.sock_connect, sock, address, moment(10 * bench.limit))
        await bench.turns()
        await bench.stopped(connecting)
        nothing_left(before)


def _must_complete(driver: Driver) -> None:
    if not driver.completes:
        raise NotApplicable
