"""Ten thousand connects at once, next to the peers': ``python load.py [--check]``.

Rules:

* The connects go over a path with a round trip of 100 ms, so that all of them are pending; see
  `networks.py`.  Memory is measured while they are pending to an address that never answers.
* Processor time is the client's own: the server and the path are other processes.  What the kernel
  does in the client's system calls is the client's too, for all alike, and for the floor, a C
  program.
* Every figure comes from a process of its own.  The contenders of a loop take turns.
* Noise only adds, so the best round is what counts.  The median is shown.
* The targets are for what a connect takes on top of its task, which has a row of its own and is
  subtracted on both sides.  Beside what is found stands what the floor would have: the system
  calls, a future, and the loop's `add_writer`, with no error looked at and nobody cancelled.
* All connects must succeed, and none may have lost a packet on the way, or there is no figure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import load_client as clients
import networks
from rich import box
from rich.console import Console
from rich.table import Table

CONNECTS = 10_000
ROUNDS = 5
ROUND_TRIP = 0.1  # seconds
CLIENT = Path(__file__).with_name("load_client.py")
FLOOR = "C, epoll(7)"
SPARE = 200  # descriptors besides the connects': the warm-up's, and the loop's own
MOST_HEAP = 3072  # bytes


class Target(NamedTuple):
    """How much processor time one contender may take, in that of another."""

    ours: str
    most: float
    theirs: str


def targets(socket_call: str | None, *streams: str, most: float = 1.0) -> list[Target]:
    """So much of what a call takes that connects a socket, and half of what makes a stream."""
    theirs = {socket_call: most} if socket_call else {}
    theirs |= dict.fromkeys(streams, 0.5)
    ours = (clients.OURS, clients.DIALER)
    return [Target(each, most, name) for each in ours for name, most in theirs.items()]


TARGETS: dict[str, list[Target]] = {
    "asyncio": targets(clients.SOCK_CONNECT, clients.STREAMS, clients.ANYIO, most=0.8),
    # uvloop's streams are connected in C, and take less than twice what the floor takes.
    "uvloop": targets(clients.SOCK_CONNECT, clients.ANYIO),
    # trio has no call like sock_connect(); its own sockets' is there to be compared with.
    "trio": targets(None, clients.TRIO, clients.ANYIO),
}
HELD_TO_HEAP = (clients.OURS, clients.DIALER)


class Found:
    """What was measured of one contender on one loop."""

    def __init__(self) -> None:
        self.cpu: list[float] = []  # microseconds for each connect
        self.wall: list[float] = []  # seconds for all
        self.heap: float | None = None  # bytes for each connect
        self.resident: float | None = None  # bytes for each connect


Results = dict[str, dict[str, Found]]


# Measuring.


def measure(loops: list[str], connects: int, rounds: int, floor: Path) -> Results:
    """What was found of each contender, by loop.

    Raises:
        SystemExit: not all connects have succeeded, or a packet was lost.
    """
    found: Results = {
        loop: {name: Found() for name in (FLOOR, *clients.CONTENDERS[loop])} for loop in loops
    }
    networks.enter_private_network()
    networks.make_silence()
    with networks.delayed_path(ROUND_TRIP / 2) as path:
        for number in range(rounds):
            for loop, contenders in found.items():
                names = list(contenders)
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    command = command_of(loop, name, "time", path.listen(), connects, floor)
                    answer = take_time(path, command, 0 if name == clients.WAIT else connects)
                    contenders[name].cpu.append(answer["cpu"] / connects * 1e6)
                    contenders[name].wall.append(answer["wall"])
    for loop, contenders in found.items():
        for name, each in contenders.items():
            command = command_of(loop, name, "resident", 80, connects, floor)
            if name == FLOOR:
                each.resident = ask(command)["rss"] / connects
            else:
                each.resident = ask(command)["bytes"] / connects
                command = command_of(loop, name, "heap", 80, connects, floor)
                each.heap = ask(command)["bytes"] / connects
    return found


def command_of(
    loop: str, name: str, what: str, port: int, connects: int, floor: Path
) -> list[str]:
    if name != FLOOR:
        numbers = (str(port), str(connects), str(ROUND_TRIP))
        return [sys.executable, str(CLIENT), loop, name, what, *numbers]
    if what == "time":
        return [str(floor), networks.SERVER, str(port), str(connects)]
    return [str(floor), networks.SILENT, str(port), str(connects), "1"]


def ask(command: list[str]) -> dict[str, Any]:
    """What a client prints."""
    finished = subprocess.run(
        command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    return dict(json.loads(finished.stdout))


def take_time(path: networks.Path, command: list[str], connects: int) -> dict[str, Any]:
    """What a client prints that has connected over the path, all of its connects at once."""
    before = path.losses()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        line = client.stdout.readline()
        client.stdin.close()
    path.forget()
    if client.returncode != 0:
        sys.exit(f"{command} has failed")
    answer = dict(json.loads(line))
    if answer["connected"] != connects:
        sys.exit(f"only {answer['connected']} connected: {command}")
    if answer.get("peak", connects) < connects:
        sys.exit(f"only {answer['peak']} were pending at once: {command}")
    if path.losses() != before:
        sys.exit(f"lost, or sent twice, since {before}: {path.losses()}: {command}")
    return answer


# Telling.


def report(found: Results, connects: int) -> bool:
    """Print the table and the targets, and return whether every target is met."""
    table = Table(
        title=f"{connects:,} connects at once, round trip {ROUND_TRIP * 1000:g} ms",
        caption="CPU, heap and RSS are for each connect, its task included; "
        "heap is what Python has allocated, RSS what has become resident",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("", min_width=26)
    for column in ("CPU µs, best", "median", "× C", "all in s", "heap B", "RSS B"):
        table.add_column(column, justify="right")
    for loop, contenders in found.items():
        table.add_section()
        table.add_row(f"[bold]{loop}[/]")
        floor = min(contenders[FLOOR].cpu)
        for name, each in contenders.items():
            table.add_row(
                f"  {name}",
                f"{min(each.cpu):.1f}",
                f"{median(each.cpu):.1f}",
                f"{min(each.cpu) / floor:.2f}",
                f"{min(each.wall):.2f}",
                "" if each.heap is None else f"{each.heap:.0f}",
                f"{each.resident:.0f}",
            )
    Console(width=118).print(table)
    met = verdicts(found)
    packages = ("aconnect-io", "uvloop", "trio", "anyio")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    print(f"{platform.python_implementation()} {platform.python_version()}, {versions}")
    print(f"{platform.system()} {platform.release()} on {platform.machine()}")
    print("All connects have succeeded, all were pending at once, and no packet was lost.")
    print(f"{sum(met)} of {len(met)} targets are met.")
    return all(met)


def verdicts(found: Results) -> list[bool]:
    """Print each target, and return whether it is met."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "", "target", "found", "at the floor", ""):
        table.add_column(column)
    met: list[bool] = []

    def row(loop: str, ours: str, target: str, value: str, good: bool, possible: str = "") -> None:
        met.append(good)
        table.add_row(
            loop, ours, target, value, possible, "[green]met[/]" if good else "[red]missed[/]"
        )

    for loop, contenders in found.items():
        task = contenders[clients.WAIT]
        for ours, most, theirs in TARGETS[loop]:
            floor = clients.ADD_WRITER if clients.ADD_WRITER in contenders else ours
            cpu, other, least = (
                min(contenders[each].cpu) - min(task.cpu) for each in (ours, theirs, floor)
            )
            ratio = cpu / other
            possible = "" if floor == ours else f"{least / other:.2f}"
            words = f"CPU ≤ {most:g} × {theirs}"
            row(loop, ours, words, f"{ratio:.2f}", ratio <= most, possible)
        for ours in HELD_TO_HEAP:
            taken = contenders[ours].heap
            assert taken is not None
            assert task.heap is not None
            heap = taken - task.heap
            row(loop, ours, f"heap ≤ {MOST_HEAP} B", f"{heap:.0f}", heap <= MOST_HEAP)
    Console(width=118).print(table)
    print("Targets are for what a connect takes beside a task that only waits.")
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure many connects at once.")
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    parser.add_argument("--connects", type=int, default=CONNECTS, help="at once (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each (%(default)s)")
    loops = list(clients.CONTENDERS)
    parser.add_argument("--loop", choices=loops, action="append", help="only this one")
    arguments = parser.parse_args()
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if arguments.connects > room - SPARE:
        parser.error(f"a process may have {room} descriptors here: see ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, room))
    with tempfile.TemporaryDirectory() as directory:
        floor = Path(directory, "load_floor")
        source = Path(__file__).with_name("load_floor.c")
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", floor, source], check=True)
        found = measure(arguments.loop or loops, arguments.connects, arguments.rounds, floor)
    if not report(found, arguments.connects) and arguments.check:
        sys.exit(1)


if __name__ == "__main__":
    main()
