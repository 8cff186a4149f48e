"""The figures in benchmarks/README.md are those of the run that is kept."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "readme.py"


@pytest.fixture
def script() -> Any:
    spec = importlib.util.spec_from_file_location("benchmarks_readme", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_figures_of_the_run(script: Any) -> None:
    page = script.PAGE.read_text()
    assert script.filled(page) == page


def test_the_figures_are_between_two_marks_and_nothing_else_is_touched(script: Any) -> None:
    filled = script.filled("before\n<!-- run -->\nold\n<!-- end of run -->\nafter\n")
    assert filled.startswith("before\n<!-- run -->\nCPython 3.")
    assert filled.endswith("<!-- end of run -->\nafter\n")
    assert "old" not in filled
