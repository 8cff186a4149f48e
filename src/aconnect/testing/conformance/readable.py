"""What a driver's `wait_readable` must do: rule by rule.

Rules:

* Each check is of one rule of `aconnect.drivers.base`, and looks at nothing else.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

from ..pairs import empty
from .bench import SHORT, Rules, expect, moment, not_before, nothing_left
from .sockets import full, ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...drivers.base import Driver
    from .bench import Bench

__all__ = ["RULES"]

RULES = Rules()


@contextmanager
def quiet() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket with nothing to read, and its peer."""
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


@RULES.add("wait_readable.ready", "A socket with something to read ends the wait at once.")
async def _ready(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, peer):
        peer.send(b"x")
        found = await driver.wait_readable([sock], moment(bench.limit))
        expect(found == [sock], f"{found!r} was returned")


@RULES.add("wait_readable.named", "Those that are ready are returned, and no others.")
async def _named(bench: Bench, driver: Driver) -> None:
    with quiet() as (one, peer), quiet() as (other, _):
        peer.send(b"x")
        found = await driver.wait_readable([other, one], moment(bench.limit))
        expect(found == [one], f"{found!r} was returned, where one of two was ready")


@RULES.add("wait_readable.later", "The wait ends when a socket has something to read.")
async def _later(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, peer):
        wait = bench.start(driver.wait_readable, [sock], inf)
        await bench.turns()
        expect(not wait.done, f"it ended while there was nothing to read: {wait.outcome}")
        peer.send(b"x")
        expect(await bench.ended(wait), "it did not end")
        expect(wait.result == [sock], wait.outcome)


@RULES.add("wait_readable.end", "A peer that hangs up ends the wait: its end is there to read.")
async def _end(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, peer):
        wait = bench.start(driver.wait_readable, [sock], moment(10 * bench.limit))
        await bench.turns()
        peer.close()
        expect(await bench.ended(wait), "it did not end")
        expect(wait.result == [sock], wait.outcome)


@RULES.add("wait_readable.writable", "Of ``writable``, one that takes something ends the wait.")
async def _writable(bench: Bench, driver: Driver) -> None:
    with quiet() as (silent, _), ready() as sock, full() as (later, its_peer):
        until = moment(bench.limit)
        found = await driver.wait_readable([silent], until, writable=[sock])
        expect(found == [sock], f"{found!r} was returned")
        wait = bench.start(_wait_for_either, driver, silent, later)
        await bench.turns()
        expect(not wait.done, f"it ended while neither was ready: {wait.outcome}")
        empty(its_peer)
        expect(await bench.ended(wait), "it did not end")
        expect(wait.result == [later], wait.outcome)


async def _wait_for_either(
    driver: Driver, readable: socket.socket, writable: socket.socket
) -> list[socket.socket]:
    return await driver.wait_readable([readable], inf, writable=[writable])


@RULES.add("wait_readable.deadline", "When the moment comes first, none is returned.")
async def _deadline(_bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, _):
        until = moment(SHORT)
        found = await driver.wait_readable([sock], until)
        expect(found == [], f"{found!r} was returned")
        not_before(until)


@RULES.add("wait_readable.past", "A moment that has passed ends the wait.")
async def _past(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, _):
        wait = bench.start(driver.wait_readable, [sock], moment(-1))
        expect(await bench.ended(wait), "it did not end")
        expect(wait.result == [], wait.outcome)


@RULES.add(
    "wait_readable.leaves_nothing", "When a wait is over, nothing of it is registered any more."
)
async def _leaves_nothing(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, peer), quiet() as (never, _):
        peer.send(b"x")
        before = bench.contents()
        for socks, until in (([sock, never], moment(10 * bench.limit)), ([never], moment(SHORT))):
            await driver.wait_readable(socks, until)
            nothing_left(before)


@RULES.add(
    "wait_readable.cancelled", "A cancellation ends the wait, is passed on, and leaves nothing."
)
async def _cancelled(bench: Bench, driver: Driver) -> None:
    with quiet() as (sock, _), full() as (other, _):
        before = bench.contents()
        wait = bench.start(_wait_for_either, driver, sock, other)
        await bench.turns()
        await bench.stopped(wait)
        nothing_left(before)
