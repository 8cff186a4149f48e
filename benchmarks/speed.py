"""What connecting costs, next to its peers: ``python speed.py [--check] [--json FILE]``.

Rules:

* The method is that of `harness.py`.
* What is wanted is a ratio of two medians of one run; all of them are in `GOALS`.
* Programs in C and in Go are measured where there is a compiler; where there is none, the end says
  so, and what is compared with them is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from harness import BATCH, ask, peer, run_on, take_turns, tls_peer
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Figures = dict[str, dict[str, list[float]]]

TURNS: Final = 6  # of each loop
ROUNDS: Final = 12  # of each contender, in each turn
IMPORTS: Final = 31  # of each kind
LONGEST_IMPORT: Final = 15.0  # milliseconds, on top of asyncio's
DIALS: Final = 600_000  # as many as a minute of ten thousand a second
MOST_GROWTH: Final = 512  # kilobytes, from a tenth of them to the end

HERE: Final = Path(__file__).parent
LOOPS: Final = ("asyncio", "uvloop", "trio")
COSTS: Final = "dialer"
ANCHORS: Final = "programs"
BLOCKING: Final = "blocking socket.connect"
OURS: Final = "aconnect"
ACCEPTED: Final = "connect, connect_accepted_socket"
GO: Final = "Go, net.Dialer"
C: Final = "C, connect(2)"


class Goal(NamedTuple):
    """How the time of one compares with that of another, at the most; or, of ours, theirs."""

    loop: str
    ours: str
    theirs: str
    most: float | None = None
    """The most that ours may take, of theirs."""
    times: float | None = None
    """How many times as fast ours is, at least."""
    of: str | None = None
    """The loop of theirs, if it is another."""
    floor: str | None = None
    """The least that ours could take; see `contenders`."""

    def found(self, figures: Figures) -> float | None:
        """The ratio; None if one of them was not measured."""
        return self._ratio(figures, self.ours)

    def possible(self, figures: Figures) -> float | None:
        """The ratio that ours would have at its floor."""
        return None if self.floor is None else self._ratio(figures, self.floor)

    def _ratio(self, figures: Figures, ours: str) -> float | None:
        took = figures.get(self.loop, {}).get(ours)
        theirs = figures.get(self.of or self.loop, {}).get(self.theirs)
        if not took or not theirs:
            return None
        ratio = median(took) / median(theirs)
        return ratio if self.times is None else 1 / ratio

    def met(self, ratio: float) -> bool:
        return ratio >= self.times if self.times is not None else ratio <= (self.most or 0)

    def __str__(self) -> str:
        return f"≥ {self.times:g}" if self.times is not None else f"≤ {self.most:g}"


TLS: Final = "create_connection, TLS"
GOALS: Final = [
    *(Goal(loop, OURS, BLOCKING, most=1.18, floor="floor") for loop in ("asyncio", "uvloop")),
    Goal("trio", OURS, BLOCKING, most=1.4, floor="floor"),
    Goal("asyncio", OURS, GO, most=1.0, of=ANCHORS, floor="floor"),
    Goal("asyncio", "create_connection", "loop.create_connection", times=1.35, floor=ACCEPTED),
    Goal(
        "asyncio",
        "open_connection",
        "asyncio.open_connection",
        times=1.3,
        floor="floor of streams",
    ),
    Goal("uvloop", "create_connection", "loop.create_connection", most=1.15, floor=ACCEPTED),
    Goal(
        "uvloop",
        "open_connection",
        "asyncio.open_connection",
        most=1.1,
        floor="floor of streams",
    ),
    *(
        Goal(loop, "loop.create_connection, routed", "create_connection", most=1.15)
        for loop in ("asyncio", "uvloop")
    ),
    *(
        Goal(loop, "open_stream", "anyio.connect_tcp", times=2.2, floor="floor of anyio's streams")
        for loop in LOOPS
    ),
    Goal(
        "trio",
        "open_trio_stream",
        "trio.open_tcp_stream",
        times=3.0,
        floor="floor of trio's streams",
    ),
    Goal(COSTS, "permit=public_only() | ...", "Dialer()", most=1.5),
    Goal(COSTS, "report", "Dialer()", most=2.0),
    Goal(
        "asyncio",
        "open_connection by name",
        "asyncio.open_connection by name",
        times=1.5,
        floor="floor of streams, by name",
    ),
    Goal("asyncio", TLS, "loop.create_connection, TLS", times=1.05, floor="floor of TLS"),
    Goal("asyncio", "create_connection, TLS resumed", TLS, most=0.7),
    Goal(
        "asyncio",
        "a race, the first refuses: aconnect",
        "a race, the first refuses: aiohappyeyeballs",
        times=1.5,
        floor="floor of a race",
    ),
]


# One process: one loop, some rounds


def work(loop: str, port: int, tls_port: int, ca: str) -> None:
    """Measure the contenders of a loop, and print the seconds of every batch as JSON."""
    import contenders

    over_tls = contenders.OverTLS(tls_port, ca)
    costs = loop == COSTS
    found = {name: make() for name, make in contenders.COSTS.items()} if costs else {}
    about: dict[str, Any] = {"": ("127.0.0.1", port)}

    async def measure(pause: Callable[[], Any]) -> dict[str, list[float]]:
        if loop in ("asyncio", "uvloop"):
            await over_tls.get_session()
        return await take_turns(found or contenders.CONTENDERS[loop], about, ROUNDS, pause)

    for name in contenders.SOCKETS:
        if "TLS" in name:
            about[name] = over_tls
    print(json.dumps(run_on("asyncio" if costs else loop, measure)))


def grow(port: int) -> None:
    """Connect so many times, and print the kilobytes of memory after each tenth, as JSON."""
    from aconnect import aconnect

    async def dial(_: Callable[[], Any]) -> list[int]:
        kilobytes = []
        for _ in range(10):
            for _ in range(DIALS // 10):
                (await aconnect(("127.0.0.1", port))).close()
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            kilobytes.append(pages * os.sysconf("SC_PAGESIZE") // 1024)
        return kilobytes

    print(json.dumps(run_on("asyncio", dial)))


# The run


def measure(go: str | None) -> tuple[Figures, list[str]]:
    """Microseconds for one connect, batch by batch; and what is not there."""
    found: Figures = {loop: {} for loop in (*LOOPS, COSTS, ANCHORS)}
    with ExitStack() as stack:
        port = stack.enter_context(peer())
        tls_port, ca = stack.enter_context(tls_peer())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        programs, missing = build(folder, go)
        for _ in range(TURNS):
            for loop in (*LOOPS, COSTS):
                peers = ("--port", str(port), "--tls-port", str(tls_port), "--ca", ca)
                add(found[loop], ask(__file__, "--loop", loop, *peers))
            for name, program in programs.items():
                command = [str(program), str(port), str(ROUNDS), str(BATCH)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                add(found[ANCHORS], {name: json.loads(done.stdout)})
    return found, missing


def add(figures: dict[str, list[float]], seconds: dict[str, list[float]]) -> None:
    for name, batches in seconds.items():
        figures.setdefault(name, []).extend(took * 1e6 for took in batches)


def build(folder: Path, go: str | None) -> tuple[dict[str, Path], list[str]]:
    """The programs that there are compilers for, and what is missing."""
    compilers = {
        C: (shutil.which("cc"), ["-O2", "-o"], "anchor.c"),
        GO: (go or shutil.which("go"), ["build", "-o"], "anchor.go"),
    }
    programs, missing = {}, []
    for name, (compiler, options, source) in compilers.items():
        if compiler is None:
            missing.append(f"{name}: no compiler here")
            continue
        program = folder / Path(source).suffix.strip(".")
        subprocess.run([compiler, *options, program, HERE / source], check=True)
        programs[name] = program
    return programs, missing


def measure_imports() -> dict[str, float]:
    """Milliseconds of processor time to import asyncio, alone and with aconnect, in Pythons just
    started: the least, as a new process waits for much that importing does not cost."""
    code = (
        "from time import process_time; start = process_time(); import {}; "
        "print((process_time() - start) * 1000)"
    )
    found: dict[str, list[float]] = {"asyncio": [], "asyncio, aconnect": []}
    for _ in range(IMPORTS):
        for modules, times in found.items():
            times.append(ask("-I", "-c", code.format(modules)))
    return {modules: min(times) for modules, times in found.items()}


def summary(figures: Figures, go: str | None) -> dict[str, Any]:
    """All that a table or a picture needs."""
    packages = ("aconnect-io", "uvloop", "trio", "anyio", "aiohappyeyeballs")
    with peer() as port:
        memory = ask(__file__, "--grow", "--port", str(port))
    return {
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages} | of_go(go),
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} processors",
        "medians": {
            loop: {name: round(median(times), 1) for name, times in batches.items()}
            for loop, batches in figures.items()
        },
        "best": {
            loop: {name: round(min(times), 1) for name, times in batches.items()}
            for loop, batches in figures.items()
        },
        "imports": {modules: round(took, 1) for modules, took in measure_imports().items()},
        "kilobytes": [memory[0], memory[-1]],
    }


def of_go(go: str | None) -> dict[str, str]:
    compiler = go or shutil.which("go")
    if compiler is None:
        return {}
    said = subprocess.run([compiler, "version"], stdout=subprocess.PIPE, text=True, check=True)
    return {"go": said.stdout.split()[2].removeprefix("go")}


def verdicts(figures: Figures, run: dict[str, Any]) -> Iterator[tuple[str, str, str, str, bool]]:
    """What is compared, what came of it, what the floor would have, what was wanted, and whether
    it is met."""
    for goal in GOALS:
        ratio = goal.found(figures)
        if ratio is not None:
            loop = "" if goal.loop == COSTS else f"{goal.loop}: "
            words = f"{goal.ours} / {goal.theirs}"
            if goal.times is not None:
                words = f"{goal.theirs} / {goal.ours}"
            least = goal.possible(figures)
            possible = "" if least is None else f"{least:.2f}"
            yield f"{loop}{words}", f"{ratio:.2f}", possible, str(goal), goal.met(ratio)
    more = run["imports"]["asyncio, aconnect"] - run["imports"]["asyncio"]
    most = f"≤ {LONGEST_IMPORT:g}"
    yield "import aconnect, ms after asyncio", f"{more:.1f}", "", most, more <= LONGEST_IMPORT
    grown = run["kilobytes"][1] - run["kilobytes"][0]
    words = f"{DIALS:,} dials, KB from a tenth to the end"
    yield words, str(grown), "", f"≤ {MOST_GROWTH}", grown <= MOST_GROWTH


def report(figures: Figures, run: dict[str, Any], missing: list[str]) -> bool:
    """Print the tables, and return whether every goal is met."""
    console = Console(width=118)
    table = Table(title="One connect and close on loopback", box=box.SIMPLE_HEAD)
    table.add_column("", min_width=45)
    for column in ("median µs", "best µs", "× blocking", "× aconnect"):
        table.add_column(column, justify="right")
    for loop, medians in run["medians"].items():
        if not medians:
            continue
        table.add_section()
        table.add_row(f"[bold]{loop}[/]")
        of = run["medians"][loop if loop in LOOPS else "asyncio"]
        for name, took in medians.items():
            best = run["best"][loop][name]
            ratios = (f"{took / of[BLOCKING]:.2f}", f"{took / of[OURS]:.2f}")
            table.add_row(f"  {name}", f"{took:.1f}", f"{best:.1f}", *ratios)
    console.print(table)
    table = Table(title="What was wanted, of medians", box=box.SIMPLE_HEAD)
    for column in ("", "found", "at the floor", "wanted", ""):
        table.add_column(column)
    good = []
    for words, found, possible, wanted, met in verdicts(figures, run):
        good.append(met)
        table.add_row(words, found, possible, wanted, "[green]met[/]" if met else "[red]missed[/]")
    console.print(table)
    versions = ", ".join(f"{name} {each}" for name, each in run["versions"].items())
    print(f"CPython {run['python']}, {versions}\n{run['machine']}")
    for each in missing:
        print(f"not measured: {each}")
    print(f"{sum(good)} of {len(good)} targets are met.")
    return all(good)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure connects against those of peers.")
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep the run, by its Python")
    parser.add_argument("--go", metavar="PATH", help="Go's compiler, if it is not on PATH")
    parser.add_argument("--loop", help=argparse.SUPPRESS)
    parser.add_argument("--grow", action="store_true", help=argparse.SUPPRESS)
    for number in ("--port", "--tls-port"):
        parser.add_argument(number, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ca", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.grow:
        grow(options.port)
    elif options.loop:
        work(options.loop, options.port, options.tls_port, options.ca)
    else:
        figures, missing = measure(options.go)
        run = summary(figures, options.go)
        run["goals"] = list(verdicts(figures, run))
        if options.json:
            runs = json.loads(options.json.read_text()) if options.json.exists() else {}
            runs[run["python"].rpartition(".")[0]] = run
            options.json.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n")
        if not report(figures, run, missing) and options.check:
            sys.exit(1)


if __name__ == "__main__":
    main()
