"""Other people's tests of event loops, with each loop as it is and with each loop routed.

    python tests/loops/run.py asyncio             CPython's test_asyncio, of this Python
    python tests/loops/run.py uvloop DIRECTORY    uvloop's tests, from its sdist

* Every loop that a test makes is routed through a dialer without options as soon as it is made.
* A test whose outcome differs must be among the `EXPLAINED`; or it is run again, alone, as often
  as `AGAIN`, for some fail now and then by themselves.
* Both are run at the same time: the tests wait more than they do.
* The status is not 0 if there is a difference that nobody has explained.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from explained import EXPLAINED

AGAIN = 2
"""How often a test that differs is run again."""
LONGEST = 900
"""Seconds for one run of a suite; each takes one to three minutes."""
LONGEST_TEST = 20
"""Seconds for a test: one that has put something in the place of a socket waits for good."""

ASYNCIO = "test.test_asyncio"
"""A package of CPython's own tests; Debian has them in libpython3.x-testsuite."""


# One process: some tests, with the loops as they are or routed.


def route_every_loop(suite: str) -> None:
    import asyncio

    import aconnect

    DIALER = aconnect.Dialer()
    kind: Any = asyncio.BaseEventLoop
    if suite == "uvloop":
        import uvloop

        kind = uvloop.Loop
    init = kind.__init__

    def routed_init(self: Any, *args: Any, **named: Any) -> None:
        init(self, *args, **named)
        self.route = aconnect.routed(DIALER, self)  # kept, or it would be left at once
        self.route.__enter__()

    kind.__init__ = routed_init


def too_long(*_: object) -> None:
    raise TimeoutError(f"timed out after {LONGEST_TEST} seconds")


class Outcomes(unittest.TextTestResult):
    """Keeps what became of each test."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.outcomes: dict[str, str] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.outcomes.setdefault(test.id(), "passed")
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(LONGEST_TEST)

    def stopTest(self, test: unittest.TestCase) -> None:
        signal.alarm(0)
        super().stopTest(test)

    def _note(self, test: Any, outcome: str) -> None:
        self.outcomes[getattr(test, "test_case", test).id()] = outcome

    def addError(self, test: Any, error: Any) -> None:
        super().addError(test, error)
        self._note(test, "failed")

    def addFailure(self, test: Any, error: Any) -> None:
        super().addFailure(test, error)
        self._note(test, "failed")

    def addSubTest(self, test: Any, subtest: Any, error: Any) -> None:
        super().addSubTest(test, subtest, error)
        if error is not None:
            self._note(test, "failed")

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self._note(test, "skipped")


def work(suite: str, directory: str, out: str, is_routed: bool, names: list[str]) -> None:
    """Run the tests, and write down what became of them."""
    if is_routed:
        route_every_loop(suite)
    loader = unittest.defaultTestLoader
    if suite == "asyncio":
        from test import support

        support.use_resources = ()  # nothing leaves this machine
        import test.test_asyncio as package

        found = sorted(Path(package.__file__).parent.glob("test_*.py"))
        modules = [f"{ASYNCIO}.{each.stem}" for each in found]
    else:
        import uvloop  # noqa: F401  # the sdist has its source, under the same name

        sys.path.insert(0, directory)
        modules = [
            f"tests.{each.stem}" for each in sorted(Path(directory, "tests").glob("test_*.py"))
        ]
    tests = unittest.TestSuite()
    for name in names or modules:
        with suppress(unittest.SkipTest):  # those of another platform
            tests.addTests(loader.loadTestsFromName(name))
    with open(os.devnull if not names else out + ".log", "w") as log:
        runner = unittest.TextTestRunner(log, resultclass=Outcomes, verbosity=0)
        result: Any = runner.run(tests)
    Path(out).write_text(json.dumps(result.outcomes))
    os._exit(0)  # whatever threads a test has left


# The comparison.


def run(suite: str, directory: str, is_routed: bool, names: list[str] | None = None) -> Any:
    with tempfile.TemporaryDirectory() as here:
        out = Path(here, "out")
        command = [sys.executable, "-W", "ignore", __file__, suite, directory, "--out", str(out)]
        command += ["--routed"] if is_routed else []
        for name in names or ():
            command += ["--test", name]
        with open(Path(here, "printed"), "w") as printed:
            done = subprocess.run(
                command, stdout=printed, stderr=printed, timeout=LONGEST, check=False, cwd=here
            )
        if not out.exists():
            print(Path(here, "printed").read_text()[-4000:])
            raise SystemExit(f"the tests of {suite} have ended with the status {done.returncode}")
        if names and os.environ.get("VERBOSE"):
            print(Path(str(out) + ".log").read_text())
        return json.loads(out.read_text())


def compare(suite: str, directory: str) -> bool:
    """Print the counts and the differences; return whether all is explained."""
    with ThreadPoolExecutor(2) as pool:
        own, routed = pool.map(partial(run, suite, directory), (False, True))
    for what, outcomes in (("as it is", own), ("routed", routed)):
        counts = Counter(outcomes.values())
        said = ", ".join(f"{counts[each]} {each}" for each in ("passed", "failed", "skipped"))
        print(f"{suite}, every loop {what}: {said}", flush=True)
    differing = [name for name in {**own, **routed} if own.get(name) != routed.get(name)]
    explained: dict[str, list[str]] = {reason: [] for reason in EXPLAINED}
    unexplained = []
    for name in differing:
        for reason, patterns in EXPLAINED.items():
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                explained[reason].append(name)
                break
        else:
            if all(differs(suite, directory, name) for _ in range(AGAIN)):
                unexplained.append(name)
            else:
                print(f"  now and then: {name}")
    for reason, names in explained.items():
        if names:
            print(f"  {len(names)} differ: {reason}")
    for name in unexplained:
        print(f"  NOT EXPLAINED: {name}: {own.get(name)}, routed {routed.get(name)}")
    return not unexplained


def differs(suite: str, directory: str, name: str) -> bool:
    return bool(run(suite, directory, False, [name]) != run(suite, directory, True, [name]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Run others' tests with every loop routed.")
    parser.add_argument("suite", choices=("asyncio", "uvloop"))
    parser.add_argument("directory", nargs="?", default="", help="where uvloop's sdist is")
    parser.add_argument("--out", help=argparse.SUPPRESS)
    parser.add_argument("--routed", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--test", action="append", default=[], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.out:
        work(given.suite, given.directory, given.out, given.routed, given.test)
    elif not compare(given.suite, given.directory):
        sys.exit(1)


if __name__ == "__main__":
    main()
