"""Run pytest with these arguments; what fails among others is tried once more, alone.

* Six tests at a time share two processors, and a test that fails then may do so because it waited
  too long for its turn. Alone it has no such excuse: what fails twice has failed.
* What passed only alone is named at the end: it is a fault of the test, to be mended.
* More failures than a handful are no bad luck; they are not tried again.
* Coverage, where it is asked for, is that of both runs together.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

MOST = 5
"""Failures that are tried again."""
SOME_FAILED = 1
"""pytest's status if tests failed, and nothing worse happened."""


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as cache:
        status = run_pytest(cache, *arguments)
        failed = last_failed(Path(cache))
        if status != SOME_FAILED or not 0 < len(failed) <= MOST:
            return status
        coverage = ["--cov", "--cov-append"] if "--cov" in arguments else []
        print("==> once more, alone:", *failed, sep="\n    ", flush=True)
        status = run_pytest(cache, *coverage, *failed)
        if status == 0:
            print("==> FAILED AMONG OTHERS, PASSED ALONE:", *failed, sep="\n    ", flush=True)
        return status


def run_pytest(cache: str, *arguments: str) -> int:
    command = (sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *arguments)
    return subprocess.run(command, check=False).returncode


def last_failed(cache: Path) -> list[str]:
    file = cache / "v" / "cache" / "lastfailed"
    return list(json.loads(file.read_text())) if file.exists() else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
