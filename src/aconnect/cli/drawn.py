"""Dials as a picture, a page or trace events, in files: ``--report`` and ``--trace``.

Rules:

* Trace events are written dial by dial, so that any number of dials takes no memory.
* A file takes its place when all is in it, however the command ends.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from aconnect import Report

__all__ = ["FORMS", "Drawn"]

FORMS: Final = (".html", ".svg")
"""What the name of a picture's file ends with."""


class Drawn:
    """The files that dials are drawn to; a context manager.

    Args:
        report: for one dial, whose form is that of the file's name; None for none.
        trace: for any number of dials; None for none.

    Raises:
        OSError: a file cannot be written.
    """

    def __init__(self, report: Path | None, trace: Path | None) -> None:
        self._report = report
        self._trace = trace
        self._files = ExitStack()
        self._picture: BinaryIO | None = None
        self._events: BinaryIO | None = None
        self._dials = 0

    def __enter__(self) -> Self:
        with ExitStack() as files:
            if self._report is not None:
                self._picture = files.enter_context(_InPlace(self._report))
            if self._trace is not None:
                self._events = files.enter_context(_InPlace(self._trace))
                self._events.write(b'{"traceEvents": [')
            self._files = files.pop_all()
        return self

    def add(self, report: Report | None) -> None:
        """Draw a dial that is over; None for what was not dialled."""
        if report is None:
            return
        self._dials += 1
        if self._picture is not None and self._report is not None:
            html = self._report.suffix.lower() == ".html"
            self._picture.write((report.to_html() if html else report.to_svg()).encode())
        if self._events is not None:
            events = map(json.dumps, report.to_trace_events(self._dials))
            between = ",\n" if self._dials > 1 else ""
            self._events.write((between + ",\n".join(events)).encode())

    def __exit__(self, *_: object) -> None:
        try:
            if self._events is not None:
                self._events.write(b"]}\n")
        finally:
            self._files.close()


class _InPlace:
    """A file that is written beside its place, and moved there at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> BinaryIO:
        self._file = open(self._beside, "wb")
        return self._file

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()
        except OSError:
            os.unlink(self._beside)
            raise
        os.replace(self._beside, self._path)
