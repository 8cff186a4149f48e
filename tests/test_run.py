"""tests/run.py: what failed among others is tried alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "run.py"

pytestmark = pytest.mark.slow


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as if nobody measured what these tests cover."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, str(RUN), *arguments]
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False
    )


UNLUCKY = """
    from pathlib import Path
    def test_unlucky():
        marks = Path("marks")
        first = not marks.exists()
        marks.touch()
        assert not first
"""


@pytest.mark.parametrize(
    ("code", "status", "runs", "words"),
    [
        pytest.param("def test(): pass", 0, 1, "1 passed", id="passes"),
        pytest.param(UNLUCKY, 0, 2, "PASSED ALONE:\n    test_it.py::test_unlucky\n", id="unlucky"),
        pytest.param("def test(): assert 0", 1, 2, "once more, alone:", id="fails"),
        pytest.param(
            "import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test(n): assert 0",
            1,
            1,
            "6 failed",
            id="many",
        ),
        pytest.param("this is no Python", 2, 1, "SyntaxError", id="cannot be collected"),
        pytest.param("", 5, 1, "no tests ran", id="nothing"),
    ],
)
def test_run(tmp_path: Path, code: str, status: int, runs: int, words: str) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    lines = [line.removeprefix("    ") for line in code.splitlines()]
    (tmp_path / "test_it.py").write_text("\n".join(lines))
    ran = run(tmp_path, "test_it.py")
    assert ran.returncode == status, ran.stdout
    assert words in ran.stdout
    assert ran.stdout.count("test session starts") == runs


def test_coverage_is_of_both_runs(tmp_path: Path) -> None:
    """Lines that only a test runs that failed at first are covered in the end."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / ".coveragerc").write_text("[run]\nsource=it\n[report]\nfail_under=100\n")
    (tmp_path / "it.py").write_text("def one():\n    return 1\ndef two():\n    return 2\n")
    (tmp_path / "test_it.py").write_text(
        "import it\ndef test_one():\n    assert it.one() == 1\n"
        "from pathlib import Path\ndef test_two():\n    first = not Path('marks').exists()\n"
        "    Path('marks').touch()\n    assert not first\n    assert it.two() == 2\n"
    )
    ran = run(tmp_path, "test_it.py", "--cov")
    assert ran.returncode == 0, ran.stdout
    assert "PASSED ALONE" in ran.stdout
    assert "100%" in ran.stdout
