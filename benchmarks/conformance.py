"""Who handles the corners of connect(2): ``python conformance.py [--only aconnect] [--check]``.

Rules:

* Every cell of the table is decided by a program that has just run, in a process of its own with
  namespaces of its own and a time limit.  The rows are in `conformance_sockets` and
  `conformance_race`.
* A peer is called as its documentation has it; the calls are in `conformance_peers`.
* What was seen is printed below the table, so that nobody has to believe it.

Needs Linux and root, for the namespaces.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import conformance_race
import conformance_sockets
from conformance_peers import CALLS, PEERS, Peer
from conformance_stage import Fault, enter_namespaces
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

ROWS: Final = {**conformance_sockets.ROWS, **conformance_race.ROWS}
LIMIT: Final = 30  # seconds for a cell
PAGE: Final = Path(__file__).parents[1] / "docs" / "explanation" / "_peers-table.inc"
OURS: Final = tuple(name for name, peer in PEERS.items() if peer.library == "aconnect")
PACKAGES: Final = ("uvloop", "trio", "anyio", "aiohappyeyeballs")


class Cell(NamedTuple):
    """What came of one row for one peer: ``yes``, ``no`` or ``n/a``, and what was seen."""

    verdict: str
    seen: str


Found = dict[str, dict[str, Cell]]
"""By row and peer."""


# One cell, in a process of its own


def work(row: str, name: str) -> None:
    """Run the program of a row on a peer, and print the outcome as JSON."""
    logging.disable()  # what a peer logs is not asked for
    with tempfile.TemporaryDirectory() as directory:
        with enter_namespaces(Path(directory)):
            cell = judge(row, PEERS[name])
        print(json.dumps(cell), flush=True)


def judge(row: str, peer: Peer) -> Cell:
    try:
        return Cell("yes", peer.run(ROWS[row].program))
    except Fault as fault:
        return Cell("no", str(fault))
    except BaseException as error:
        inner = list(faults_in(error))
        return Cell("no", inner[0] if inner else f"raises {type(error).__name__}: {error}")


def faults_in(error: BaseException) -> Iterable[str]:
    if isinstance(error, Fault):
        yield str(error)
    for each in getattr(error, "exceptions", ()):
        yield from faults_in(each)


# All cells


def decide(row: str, name: str) -> Cell:
    absent = ROWS[row].absent
    reason = absent.get(name) or absent.get(PEERS[name].library)
    if reason is not None:
        return Cell("n/a", reason)
    command = [sys.executable, __file__, "--cell", row, name]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Cell("no", f"is not done in {LIMIT} s")
    try:
        return Cell(*json.loads(output))
    except ValueError:
        return Cell("no", f"ends with {ending(process.returncode)}")


def ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def find_out(rows: Iterable[str], names: Iterable[str], jobs: int) -> Found:
    pairs = [(row, name) for row in rows for name in names]
    with ThreadPoolExecutor(jobs) as pool:
        cells = pool.map(decide, *zip(*pairs, strict=True))
        found: Found = {}
        for (row, name), cell in zip(pairs, cells, strict=True):
            found.setdefault(row, {})[name] = cell
    return found


# What is printed


def versions() -> str:
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    kernel = re.match(r"\d+\.\d+", platform.release())
    return (
        f"CPython {platform.python_version()}, {packages}; "
        f"{platform.system()} {kernel[0] if kernel else platform.release()}"
    )


def show(found: Found, names: list[str]) -> None:
    styles = {"yes": "[green]yes[/]", "no": "[red]no[/]", "n/a": "n/a"}
    table = Table(title="Who does what", box=box.SIMPLE_HEAD)
    table.add_column("")
    for name in names:
        table.add_column(name.replace(", ", "\n"), justify="center")
    for row, cells in found.items():
        verdicts = [styles[cells[name].verdict] for name in names]
        table.add_row(ROWS[row].words, *verdicts)
    console = Console(width=140)
    console.print(table)
    for row, cells in found.items():
        console.print(f"[bold]{ROWS[row].words}[/]", highlight=False)
        for name in names:
            console.print(f"  {name}: {cells[name].seen}", highlight=False, markup=False)
    print(versions())


def markdown(found: Found, names: list[str]) -> str:
    """The table and its notes, for the documentation."""
    lines = [
        f"{versions()}.",
        "",
        "| | " + " | ".join(name.replace(", ", " on ") for name in names) + " |",
        "| --- |" + " --- |" * len(names),
    ]
    for row, cells in found.items():
        verdicts = (cells[name].verdict for name in names)
        lines.append(f"| {ROWS[row].words} | " + " | ".join(verdicts) + " |")
    lines += ["", "How each is found out, and what is seen where the answer is no:", ""]
    for row, cells in found.items():
        lines.append(f"- **{ROWS[row].words}.** {ROWS[row].note}")
        lines.extend(f"    - {line}" for line in told(cells, names))
    lines += ["", "What is called:", ""]
    lines.extend(f"- {library}: {calls}." for library, calls in CALLS.items())
    return "\n".join(lines) + "\n"


def told(cells: dict[str, Cell], names: list[str]) -> Iterable[str]:
    """What is seen where the answer is no, and why it is n/a, once for all who share it."""
    by_words: dict[str, list[str]] = {}
    for name in names:
        if cells[name].verdict != "yes":
            words = cells[name].seen.replace("<", "\\<").replace("|", "\\|")
            by_words.setdefault(f"{cells[name].verdict}: {words}", []).append(name)
    for words, who in by_words.items():
        yield f"{'; '.join(name.replace(', ', ' on ') for name in who)}: {words}."


def committed(text: str) -> dict[str, dict[str, str]]:
    """The verdicts in a table that was written before, by the words of the rows."""
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    names = [name.strip().replace(" on ", ", ") for name in table[0]]
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in table[2:]}


def stale(found: Found, text: str) -> list[str]:
    """In which rows the committed table says something else of aconnect."""
    verdicts = committed(text)
    wrong: list[str] = []
    for row, cells in found.items():
        before = verdicts.get(ROWS[row].words, {})
        ours = {name: cell.verdict for name, cell in cells.items() if name in OURS}
        wrong.extend(
            f"{ROWS[row].words}: {name} is {verdict}, and {before.get(name)} in {PAGE.name}"
            for name, verdict in ours.items()
            if before.get(name) != verdict
        )
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description="Who handles the corners of connect(2).")
    libraries = sorted({peer.library for peer in PEERS.values()})
    parser.add_argument("--only", action="append", choices=libraries, help="these libraries")
    parser.add_argument("--row", action="append", choices=ROWS, help="these rows")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cells at a time")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.add_argument("--markdown", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail if aconnect fails a row, or if the documentation says something else of it",
    )
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        work(*arguments.cell)
        return
    if sys.platform != "linux" or os.geteuid() != 0:
        parser.exit(2, "needs Linux and root, for network namespaces\n")
    if arguments.markdown and (arguments.only or arguments.row):
        parser.error("the documentation has all rows and all peers")
    names = [
        name
        for name, peer in PEERS.items()
        if not arguments.only or peer.library in arguments.only
    ]
    found = find_out(arguments.row or ROWS, names, arguments.jobs)
    if arguments.json:
        print(json.dumps(found))
    else:
        show(found, names)
    if arguments.markdown:
        PAGE.write_text(markdown(found, names))
    if arguments.check:
        sys.exit(complaints(found))


def complaints(found: Found) -> Any:
    """What is wrong, for sys.exit(); None if nothing is."""
    failed = [
        f"{name} fails: {ROWS[row].words}: {cell.seen}"
        for row, cells in found.items()
        for name, cell in cells.items()
        if name in OURS and cell.verdict == "no"
    ]
    text = PAGE.read_text() if PAGE.exists() else "| |\n"
    return "\n".join(failed + stale(found, text)) or None


if __name__ == "__main__":
    main()
