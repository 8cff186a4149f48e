"""What a driver's watch must do, rule by rule.

Rules:

* Each check is of one rule of `aconnect.drivers.base.Watch`, and looks at nothing else.
"""

from __future__ import annotations

import errno
from math import inf
from typing import TYPE_CHECKING, Any

from ..pairs import empty
from .bench import SHORT, Rules, expect, moment, not_before, nothing_left
from .sockets import begun, full, ready, refusing

if TYPE_CHECKING:
    from ...drivers.base import Driver
    from .bench import Bench

__all__ = ["RULES"]

RULES = Rules()


@RULES.add("watch.ready", "`wait` reports a socket that is writable, with 0.")
async def _ready(_bench: Bench, driver: Driver) -> None:
    with ready() as sock:
        async with driver.watch() as watch:
            watch.add(sock)
            _reports(await watch.wait(inf), [(sock, 0)])


@RULES.add("watch.later", "`wait` reports a socket when it becomes writable, and not before.")
async def _later(bench: Bench, driver: Driver) -> None:
    with full() as (sock, peer):
        async with driver.watch() as watch:
            watch.add(sock)
            wait = bench.start(watch.wait, inf)
            await bench.turns()
            expect(not wait.done, f"while it was not writable: {wait.outcome}")
            empty(peer)
            expect(await bench.ended(wait), "the wait did not end")
            _reports(wait.result, [(sock, 0)])


@RULES.add("watch.refused", "`wait` reports a socket with its SO_ERROR.")
async def _refused(_bench: Bench, driver: Driver) -> None:
    with refusing() as address, begun(address) as sock:
        async with driver.watch() as watch:
            watch.add(sock)
            _reports(await watch.wait(inf), [(sock, errno.ECONNREFUSED)])


@RULES.add("watch.awaited_write", "`ready` returns when a socket takes more, and not before.")
async def _awaited_write(bench: Bench, driver: Driver) -> None:
    with full() as (sock, peer):
        async with driver.watch() as watch:
            before = bench.contents()
            wait = bench.start(watch.ready, sock, True)
            await bench.turns()
            expect(not wait.done, f"while it took no more: {wait.outcome}")
            empty(peer)
            expect(await bench.ended(wait), "the wait did not end")
            nothing_left(before)


@RULES.add("watch.awaited_read", "`ready` returns when there is something to read, or its end.")
async def _awaited_read(bench: Bench, driver: Driver) -> None:
    with full() as (peer, sock):
        empty(sock)
        async with driver.watch() as watch:
            before = bench.contents()
            for act in (lambda: peer.send(b"x"), peer.close):
                wait = bench.start(watch.ready, sock, False)
                await bench.turns()
                expect(not wait.done, f"while there was nothing to read: {wait.outcome}")
                act()
                expect(await bench.ended(wait), "the wait did not end")
                sock.recv(9)
            nothing_left(before)


@RULES.add("watch.awaited_closed", "`ready` fails with EBADF for a socket that is closed.")
async def _awaited_closed(_bench: Bench, driver: Driver) -> None:
    with ready() as sock:
        sock.close()
        async with driver.watch() as watch:
            try:
                await watch.ready(sock, False)
            except OSError as error:
                expect(error.errno == errno.EBADF, f"it raised {error!r}")
            else:
                expect(False, "it returned")


@RULES.add("watch.hang_up", "`wait` reports a socket that is hung up.")
async def _hang_up(bench: Bench, driver: Driver) -> None:
    with full() as (sock, peer):
        async with driver.watch() as watch:
            watch.add(sock)
            wait = bench.start(watch.wait, moment(bench.limit))
            await bench.turns()
            peer.close()
            expect(await bench.ended(wait), "the wait did not end")
            reported = [each for each, _ in wait.result or ()]
            expect(reported == [sock], wait.outcome)


@RULES.add("watch.several", "Of several sockets, those that are ready are reported, each once.")
async def _several(_bench: Bench, driver: Driver) -> None:
    with ready() as one, full() as (never, _), ready() as other:
        async with driver.watch() as watch:
            for sock in (one, never, other):
                watch.add(sock)
            reported: list[Any] = []
            while len(reported) < 2:
                reported += [sock for sock, _ in await watch.wait(inf)]
            reported += [sock for sock, _ in await watch.wait(moment(SHORT))]
            expect(
                len(reported) == 2 and {*reported} == {one, other},
                f"of {[one, never, other]!r}, of which the second was not ready: {reported!r}",
            )


@RULES.add("watch.once", "A socket that was reported is not watched any more.")
async def _once(bench: Bench, driver: Driver) -> None:
    with ready() as sock:
        async with driver.watch() as watch:
            before = bench.contents()
            watch.add(sock)
            await watch.wait(inf)
            nothing_left(before)
            _reports(await watch.wait(moment(SHORT)), [])


@RULES.add("watch.again", "A socket that was reported can be added again.")
async def _again(bench: Bench, driver: Driver) -> None:
    with ready() as sock:
        async with driver.watch() as watch:
            for _ in range(2):
                watch.add(sock)
                reported = await watch.wait(moment(bench.limit / 2))
            expect([each for each, _ in reported] == [sock], f"{reported!r} was returned")


@RULES.add("watch.discarded", "A socket that was discarded is not reported, ready or not.")
async def _discarded(bench: Bench, driver: Driver) -> None:
    with ready() as sock, full() as (later, peer):
        async with driver.watch() as watch:
            before = bench.contents()
            watch.add(sock)
            watch.add(later)
            await bench.turns()
            watch.discard(sock)
            watch.discard(later)
            empty(peer)
            await bench.turns()
            reported = [*await watch.wait(moment(SHORT)), *await watch.wait(moment(SHORT))]
            _reports(reported, [])
            nothing_left(before)


@RULES.add("watch.deadline", "`wait` returns nothing when the moment comes first.")
async def _deadline(_bench: Bench, driver: Driver) -> None:
    with full() as (sock, _):
        async with driver.watch() as watch:
            watch.add(sock)
            until = moment(SHORT)
            _reports(await watch.wait(until), [])
            not_before(until)


@RULES.add("watch.past", "A moment that has passed ends `wait`.")
async def _past(bench: Bench, driver: Driver) -> None:
    async with driver.watch() as watch:
        wait = bench.start(watch.wait, moment(-1))
        expect(await bench.ended(wait), "the wait did not end")
        expect(wait.error is None, wait.outcome)


@RULES.add("watch.notified_before", "A notification ends the next `wait`, and no other.")
async def _notified_before(bench: Bench, driver: Driver) -> None:
    async with driver.watch() as watch:
        watch.notify()
        watch.notify()
        wait = bench.start(watch.wait, inf)
        expect(await bench.ended(wait), "the wait did not end")
        until = moment(SHORT)
        await watch.wait(until)
        not_before(until)


@RULES.add("watch.notified", "A notification ends the `wait` that is going on.")
async def _notified(bench: Bench, driver: Driver) -> None:
    async with driver.watch() as watch:
        wait = bench.start(watch.wait, inf)
        await bench.turns()
        expect(not wait.done, f"before the notification: {wait.outcome}")
        watch.notify()
        expect(await bench.ended(wait), "the wait did not end")
        expect(wait.error is None, wait.outcome)


@RULES.add("watch.not_entered", "Without sockets and tasks, a watch need not be entered.")
async def _not_entered(bench: Bench, driver: Driver) -> None:
    watch = driver.watch()
    watch.notify()
    wait = bench.start(watch.wait, inf)
    expect(await bench.ended(wait), "the wait did not end")
    expect(wait.error is None, wait.outcome)


@RULES.add("watch.cancelled", "A cancellation of `wait` is passed on, and leaves nothing.")
async def _cancelled(bench: Bench, driver: Driver) -> None:
    with full() as (sock, _):

        async def wait() -> None:
            async with driver.watch() as watch:
                watch.add(sock)
                await watch.wait(moment(10 * bench.limit))

        before = bench.contents()
        waiting = bench.start(wait)
        await bench.turns()
        await bench.stopped(waiting)
        nothing_left(before)


# --------------------------------------------------------------------------------- tasks


@RULES.add("watch.spawn", "A coroutine function is run in a task, with its arguments.")
async def _spawn(bench: Bench, driver: Driver) -> None:
    given: list[Any] = []

    async def work(*args: Any) -> None:
        given.append(args)

    async with driver.watch() as watch:
        watch.spawn(work, 1, "two")
        expect(await bench.until(lambda: given), "it has not run")
        expect(given == [(1, "two")], f"it was called with {given!r}")


@RULES.add("watch.spawn_cancels", "What `spawn` returns cancels that task, and no other.")
async def _spawn_cancels(bench: Bench, driver: Driver) -> None:
    one, other = _Work(bench), _Work(bench)
    async with driver.watch() as watch:
        cancel = watch.spawn(one)
        watch.spawn(other)
        await bench.until(lambda: one.began and other.began)
        cancel()
        expect(await bench.until(lambda: one.ended), "the task has not ended")
        await bench.turns()
        expect(not other.cancelled, "another task was cancelled as well")
        cancel()  # it has ended: nothing happens


@RULES.add("watch.leaves_no_task", "When the watch has been left, no task of it runs.")
async def _leaves_no_task(bench: Bench, driver: Driver) -> None:
    works = [_Work(bench), _Work(bench)]
    async with driver.watch() as watch:
        for work in works:
            watch.spawn(work)
        await bench.until(lambda: all(work.began for work in works))
    ended = sum(work.ended for work in works)
    expect(ended == len(works), f"{ended} of {len(works)} tasks had ended")


@RULES.add("watch.leaves_no_socket", "When the watch has been left, nothing is registered.")
async def _leaves_no_socket(bench: Bench, driver: Driver) -> None:
    with full() as (sock, _), full() as (never_waited_for, _):
        before = bench.contents()
        async with driver.watch() as watch:
            watch.add(sock)
            await watch.wait(moment(SHORT))
            watch.add(never_waited_for)
        nothing_left(before)


@RULES.add("watch.leaving_passes_on", "What was raised inside is raised when the watch is left.")
async def _leaving_passes_on(bench: Bench, driver: Driver) -> None:
    raised = LookupError("by the check")

    async def leave() -> None:
        async with driver.watch():
            raise raised

    leaving = bench.start(leave)
    expect(await bench.ended(leaving), "it did not end")
    expect(leaving.error is raised, leaving.outcome)


@RULES.add("watch.leaving_cancelled", "A cancellation while tasks end is raised when they have.")
async def _leaving_cancelled(bench: Bench, driver: Driver) -> None:
    work = _Work(bench)
    work.may_end = False
    watched: list[Any] = []

    async def leave() -> None:
        async with driver.watch() as watch:
            watched.append(watch.spawn(work))
            await bench.until(lambda: work.began)

    leaving = bench.start(leave)
    try:
        await bench.until(lambda: work.cancelled)
        leaving.cancel()
        await bench.turns()
        expect(not leaving.done, "the watch was left while a task of it was still running")
    finally:
        work.may_end = True
    expect(await bench.ended(leaving), "it did not end")
    expect(leaving.cancelled, f"a cancellation was not passed on: {leaving.outcome}")


class _Work:
    """What a task does: it waits until it is cancelled, and takes its time to end."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.began = self.cancelled = self.ended = False
        self.may_end = True

    async def __call__(self) -> None:
        self.began = True
        try:
            await self._bench.sleep(1000 * self._bench.limit)
        finally:
            self.cancelled = True
            await self._bench.linger(lambda: self.may_end)
            self.ended = True


def _reports(reported: Any, expected: list[Any]) -> None:
    expect(reported == expected, f"{reported!r} was returned, not {expected!r}")
