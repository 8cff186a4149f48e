"""Write the figures of the run that is kept into README.md: ``python readme.py``.

``speed.py --json ../docs/pictures/speed.json`` keeps a run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
PAGE: Final = HERE / "README.md"
BEGIN, END = "<!-- run -->\n", "<!-- end of run -->"
NOT_SAID: Final = "aconnect-io"


def main() -> None:
    PAGE.write_text(filled(PAGE.read_text()))


def filled(page: str) -> str:
    """The page with the figures of the run."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{figures()}{END}{after}"


def figures() -> str:
    docs = HERE.parent / "docs"
    sys.path.insert(0, str(docs / "_ext"))
    try:
        import tables
    finally:
        del sys.path[0]
    runs: dict[str, Any] = json.loads((docs / "pictures" / "speed.json").read_text())
    goals = next(iter(runs.values()))["goals"]
    return "\n\n".join(
        [
            "\n".join(map(machine, runs.values())),
            tables.TABLES["speed"](),
            tables.TABLES["goals"](),
            f"{sum(goal[-1] for goal in goals)} of {len(goals)} are met on {next(iter(runs))}.\n",
        ]
    )


def machine(run: dict[str, Any]) -> str:
    versions = ", ".join(
        f"{name} {each}" for name, each in run["versions"].items() if name != NOT_SAID
    )
    return f"CPython {run['python']}: {versions}; {run['machine']}."


if __name__ == "__main__":
    main()
