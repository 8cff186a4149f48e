"""A million connects, many at a time, some of them cancelled: ``python soak.py [--connects N]``;
or, with ``--names``, a hundred thousand that look a name up.

Rules:

* What is dialled is drawn at random, and so is whether and when it is cancelled.  The seed is
  printed.
* Now and then everything comes to an end.  Descriptors, tasks, timers, threads, sockets and memory
  must be what they were after the warm-up then.
* An outcome that a scenario cannot have is a failure too.
* Each loop has a process of its own; for root, with a network of its own.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import resource
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import networks
import soak_loops
from soak_loops import Cancellation
from soak_names import Names
from soak_scenarios import Places, outcome_of

from aconnect import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPS = ("asyncio", "uvloop", "trio")
CONNECTS = 1_000_000
LOOKUPS = 100_000
WARM_UP = 10_000
EVERY = 100_000
TASKS = 100  # at a time
CANCELLED = 0.25  # of all
LATEST_CANCELLATION = 0.02  # seconds
MOST_STEPS = 8  # of the loop, before a cancellation
DRAIN = 64  # connects
PATIENCE = 10.0  # seconds for what has ended to be gone

MOST_BLOCKS = 300
"""Blocks of the allocator, more than after the warm-up: what the interpreter and the loop keep for
themselves.  An object that stays behind is one at least; one that one connect in fifty
leaves, 400 in 20,000."""

MOST_RESIDENT = 8 << 20
"""Bytes, more than after the warm-up.  The allocator gives back whole arenas, of a megabyte."""


class Left(NamedTuple):
    """What there is between two dials: the same at any time."""

    descriptors: int
    tasks: int
    timers: int
    threads: int
    sockets: int


class Memory(NamedTuple):
    """What is in use, after a garbage collection."""

    blocks: int
    resident: int


class Soak:
    """One soak on one loop.

    Args:
        loop: one of `LOOPS`.
        connects: how many, besides the warm-up.
        seed: what decides what is dialled and cancelled.
        every: after how many everything comes to an end, and is looked at.
        warm_up: how many come before the memory counts.
        seconds: after which no more are begun.
        places: what there is to connect to, and how.
        silence: whether there is the network of `networks.make_silence`.
        patience: seconds to wait for what is left to go.
        tell: is called with each line for people.

    Attributes:
        outcomes: how many connects had which, after the warm-up.
        complaints: what is wrong, and how often it was seen.
    """

    def __init__(
        self,
        loop: str,
        connects: int,
        seed: int,
        *,
        every: int = EVERY,
        warm_up: int = WARM_UP,
        seconds: float = inf,
        places: type[Places] = Places,
        silence: bool = False,
        patience: float = PATIENCE,
        tell: Callable[[str], object] = print,
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self.complaints: Counter[str] = Counter()
        self._loop, self._connects, self._every, self._warm_up = loop, connects, every, warm_up
        self._random, self._seconds, self._silence = Random(seed), seconds, silence
        self._patience, self._tell = patience, tell
        self._make_places = places

    def run(self) -> bool:
        """Do it, and return whether there is nothing to complain of."""
        soak_loops.run(self._loop, self._main)
        return not self.complaints

    async def _main(self, calls: Any) -> None:
        self._calls = calls
        self._until = inf
        told = self._random, self._loop, calls.sleep
        with self._make_places(*told, silence=self._silence) as self._places:
            self._scenarios = self._places.scenarios()
            self._weights = [scenario.weight for scenario in self._scenarios]
            await self._leg(self._warm_up)
            start, first = await self._settle(None), memory()
            self.outcomes.clear()
            self._tell(
                " connects  seconds  open  tasks  timers  threads  sockets  blocks   RSS KiB"
            )
            self._tell_of(0, 0.0, start, first)
            begun, done, now = time.monotonic(), 0, first
            self._until = begun + self._seconds
            while done < self._connects and time.monotonic() < self._until:
                done += await self._leg(min(self._every, self._connects - done))
                took = time.monotonic() - begun
                found = await self._settle(start)
                now = memory()
                self._tell_of(done, took, found, now)
                self._compare(f"after {done:,} connects", start, found, first, now)
        grown = [(new - old) * 100_000 / max(done, 1) for new, old in zip(now, first, strict=True)]
        self._tell(f"per 100,000 connects: {grown[0]:+.0f} blocks, {grown[1] / 1024:+.0f} KiB")
        self._tell(", ".join(f"{number:,} {word}" for word, number in self.outcomes.most_common()))

    async def _leg(self, count: int) -> int:
        """Dial as often as that, with many tasks at a time; how often it was."""
        self._begun, self._count = 0, count
        await self._calls.together(self._work, TASKS)
        self._places.rest()
        return self._begun

    async def _work(self) -> None:
        while self._begun < self._count and time.monotonic() < self._until:
            self._begun += 1
            (scenario,) = self._random.choices(self._scenarios, self._weights)
            when = self._draw_cancellation()
            try:
                ended = await self._calls.cancelling(scenario.dial, when)
                outcome = "connected" if ended else "cancelled"
            except ConnectError as error:
                outcome = outcome_of(error)
            except Exception as error:
                outcome = repr(error)
            self.outcomes[outcome] += 1
            if outcome not in scenario.outcomes and (outcome != "cancelled" or when is None):
                self.complaints[f"{scenario.name}: {outcome}"] += 1
            if self._begun % DRAIN == 0:
                self._places.drain()

    def _draw_cancellation(self) -> Cancellation | None:
        if self._random.random() >= CANCELLED:
            return None
        if self._random.random() < 0.5:
            return Cancellation(self._random.randrange(MOST_STEPS), 0.0)
        return Cancellation(None, self._random.uniform(0, LATEST_CANCELLATION))

    async def _settle(self, expected: Left | None) -> Left:
        """What is left when that is as expected, or has had time to go."""
        until = time.monotonic() + self._patience
        while True:
            await self._calls.settle()
            found = left(self._calls)
            if found == expected or time.monotonic() > until:
                return found
            if expected is None:
                expected = found  # until it is the same twice

    def _compare(self, when: str, start: Left, found: Left, first: Memory, now: Memory) -> None:
        for name, before, after in zip(Left._fields, start, found, strict=True):
            if after != before:
                self.complaints[f"{when}: {after} {name}, after the warm-up {before}"] += 1
        for name, before, after, most in zip(
            Memory._fields, first, now, (MOST_BLOCKS, MOST_RESIDENT), strict=True
        ):
            if after - before > most:
                self.complaints[f"{when}: {after - before:+,} {name}, allowed are {most:,}"] += 1

    def _tell_of(self, done: int, took: float, found: Left, now: Memory) -> None:
        open_, tasks, timers, threads, sockets = found
        self._tell(
            f"{done:9,} {took:8.1f} {open_:5} {tasks:6} {timers:7} {threads:8} {sockets:8} "
            f"{now.blocks:7,} {now.resident // 1024:9,}"
        )


def left(calls: Any) -> Left:
    """What there is now."""
    gc.collect()
    sockets = sum(isinstance(each, socket.socket) for each in gc.get_objects())
    return Left(
        descriptors=len(os.listdir("/proc/self/fd")),
        tasks=calls.tasks(),
        timers=calls.timers(),
        threads=threading.active_count(),
        sockets=sockets,
    )


def memory() -> Memory:
    gc.collect()
    blocks = sys.getallocatedblocks()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return Memory(blocks, pages * resource.getpagesize())


def main() -> None:
    parser = argparse.ArgumentParser(description="Connect very often, and look at what is left.")
    parser.add_argument("--names", action="store_true", help="have each connect look a name up")
    often = f"{CONNECTS}, or {LOOKUPS} with --names, on each loop"
    parser.add_argument("--connects", type=int, default=None, help=often)
    parser.add_argument("--seconds", type=float, default=inf, help="to stop after, on each loop")
    parser.add_argument("--every", type=int, default=EVERY, help="connects between two looks")
    parser.add_argument("--loop", choices=LOOPS, help="only this one")
    parser.add_argument("--seed", type=int, default=None, help="that of another run")
    arguments = parser.parse_args()
    seed = Random().randrange(1 << 32) if arguments.seed is None else arguments.seed
    if arguments.loop is None:
        again = [sys.executable, __file__, *sys.argv[1:], "--seed", str(seed), "--loop"]
        sys.exit(max(subprocess.run([*again, loop], check=False).returncode for loop in LOOPS))
    private = os.geteuid() == 0
    if private:
        networks.enter_private_network()
        networks.make_silence()
    where = "a network of its own" if private else "loopback"
    print(f"{arguments.loop}, Python {platform.python_version()}, in {where}, --seed {seed}")
    soak = Soak(
        arguments.loop,
        arguments.connects or (LOOKUPS if arguments.names else CONNECTS),
        seed,
        every=arguments.every,
        seconds=arguments.seconds,
        places=Names if arguments.names else Places,
        silence=private,
    )
    good = soak.run()
    for complaint, times in soak.complaints.items():
        print(f"WRONG: {complaint} ({times} times)")
    print("Nothing is left." if good else "Something is left, or went wrong.", flush=True)
    sys.exit(not good)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
