"""The example of a fleet: workers that check a list together, one of which is lost."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import aconnect

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs distributed")
def test_no_target_is_lost_and_none_is_told_of_twice(tmp_path: Path) -> None:
    where = [Path(aconnect.__file__).parents[1], ROOT / "examples"]
    path = os.pathsep.join(map(str, where))
    finished = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/lost_worker.py")],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    # The worker that was killed may have connected to some of its batch, but has told of none.
    assert json.loads(finished.stdout) == {"whole": True, "counts": [2000] * 3}
