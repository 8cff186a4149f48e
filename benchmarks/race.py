"""What the machinery of a race costs: CPU time for each address, on a virtual clock.

Rules:

* No network and no waiting: every address fails or stays silent when the table says so, and the
  clock jumps to the next moment at which something happens.
* The cost of an address must not depend on how many there are: 100, 1,000 and 10,000 of them
  are measured, and the ratio to the smallest is printed.
* The best of several runs counts, as in `connect.py`.
"""

from __future__ import annotations

import argparse
import sys
from socket import AF_INET, AF_INET6
from time import process_time
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from aconnect.sansio.race import Race, Rules, Start

COUNTS = (100, 1_000, 10_000)
RUNS = 5
MOST_MICROSECONDS = 30.0
"""For each of 1,000 addresses."""


class Address(NamedTuple):
    family: int
    host: int


def all_refuse(count: int) -> None:
    """Every attempt fails a millisecond after its start; the next begins."""
    race: Race[Address] = Race(Rules())
    now = 0.0
    commands = race.addresses_added(now, addresses(count)) + race.resolution_finished(now)
    while not race.over:
        if commands and isinstance(commands[0], Start):
            now += 0.001
            commands = race.attempt_failed(now, commands[0].attempt)
        else:
            now = race.wake_at or now
            commands = race.time_passed(now)


def all_stay_silent(count: int) -> None:
    """Nobody answers; attempts time out one after the other while others are in flight."""
    race: Race[Address] = Race(Rules(attempt_timeout=1.0))
    race.addresses_added(0.0, addresses(count))
    race.resolution_finished(0.0)
    while not race.over:
        race.time_passed(race.wake_at or 0.0)


def trickle(count: int) -> None:
    """Addresses come one by one, while attempts run."""
    race: Race[Address] = Race(Rules(max_in_flight=count))
    now = 0.0
    for address in addresses(count):
        race.addresses_added(now, [address])
        now += 0.010
        race.time_passed(now)
    race.resolution_finished(now)


def addresses(count: int) -> list[Address]:
    return [Address(AF_INET6 if number % 3 else AF_INET, number) for number in range(count)]


SCENARIOS = (all_refuse, all_stay_silent, trickle)


def measure() -> bool:
    table = Table(title="A race, CPU for each address", box=box.SIMPLE_HEAD)
    table.add_column("")
    for count in COUNTS:
        table.add_column(f"{count:,} addresses", justify="right")
    table.add_column(f"{COUNTS[-1]:,} / {COUNTS[0]:,}", justify="right")
    table.add_column(f"≤ {MOST_MICROSECONDS:g} µs for 1,000")
    good = True
    for scenario in SCENARIOS:
        costs = []
        for count in COUNTS:
            best = min(timed(scenario, count) for _ in range(RUNS))
            costs.append(best / count * 1e6)
        met = costs[1] <= MOST_MICROSECONDS
        good = good and met
        table.add_row(
            scenario.__name__.replace("_", " "),
            *(f"{cost:.1f} µs" for cost in costs),
            f"{costs[-1] / costs[0]:.2f}",
            "[green]met[/]" if met else "[red]missed[/]",
        )
    Console(width=100).print(table)
    return good


def timed(scenario: object, count: int) -> float:
    start = process_time()
    scenario(count)  # type: ignore[operator]
    return process_time() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the machinery of a race.")
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    if not measure() and parser.parse_args().check:
        sys.exit(1)
