"""Counts the combinations that the tests have run, and says so in the end.

A plugin that tests/conftest.py names: pytest-xdist reports from a process that collects nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

COUNTED = ("combinations", "cancelled", "absorbed", "missed")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name in COUNTED and report.when == "call":
                    counts[name] += value
    if counts["combinations"]:
        terminalreporter.section("injected faults")
        terminalreporter.write_line(
            f"{counts['combinations']} combinations: {counts['cancelled']} were cancelled, "
            f"{counts['absorbed']} came to what they come to without a fault; "
            f"in {counts['missed']} more, time did not bring the call about"
        )
