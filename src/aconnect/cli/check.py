"""`aconnect check`: connect to each address and say what came of it.

Rules:

* `connect_many` does it, within limits.  Results go where they are to go one by one, each whole
  and at once; all else is said on standard error.
* Each connection is closed as soon as it is made, however the command ends.
* On Ctrl-C and SIGTERM nothing more starts, what is running is given up, and what has ended is
  written.
"""

from __future__ import annotations

import sys
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from aconnect import Dialer, Proxy
from aconnect.many import Limits, Statistics, connect_many

from .formats import CSV_HEADER, as_csv, as_json, as_text, drawing, prometheus
from .progress import NoProgress, Progress, say, summary
from .screen import make_console, write_line
from .source import (
    count_items,
    from_file,
    from_stream,
    from_texts,
    is_file,
    shuffled_file,
)

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterable, Callable, Iterable
    from typing import BinaryIO

    from aconnect import Deadline
    from aconnect.many import Result

    from .drawn import Drawn
    from .loops import EventLoop

__all__ = ["Checking", "check_all"]


class Checking(NamedTuple):
    """What is asked for, besides the addresses.

    Attributes:
        format: "text", "json", "csv" or "prometheus".
        output: where the results go, if not to standard output.
        drawn: draws the dials; None for nobody.
        done: what an earlier run has seen to, of the addresses.
        shuffle: what their order by chance depends on; None for their own order.
    """

    loop: EventLoop
    dialer: Dialer
    limits: Limits
    timeout: float
    deadline: Deadline | None
    done: Counter[str]
    ordered: bool = False
    tls: bool = False
    verbose: bool = False
    format: str = "text"
    output: BinaryIO | None = None
    progress: bool = True
    summary: bool = False
    fail_fast: bool = False
    shuffle: int | None = None
    drawn: Drawn | None = None


def check_all(asked: Checking, texts: tuple[str, ...], fd: int | None) -> bool:
    """Connect to each address.

    Args:
        texts: addresses of the command line.
        fd: the descriptor of a file with addresses; None if there is none.

    Returns:
        Whether all were connected.

    Raises:
        KeyboardInterrupt: on Ctrl-C; nothing is open, and all that is known has been written.
        OSError: what was to be written could not be; nothing is open.
    """
    statistics = Statistics()
    writer = _Writer(asked, statistics)

    async def main() -> None:
        targets: Iterable[Any] | AsyncIterable[Any] = from_texts(texts, asked.done, asked.shuffle)
        if fd is not None:
            targets = from_stream(fd, asked.done, asked.loop)
            if asked.shuffle is not None:
                targets = shuffled_file(fd, asked.done, asked.shuffle)
            elif is_file(fd):
                targets = from_file(fd, asked.done)
        reports = asked.verbose or asked.format == "prometheus" or asked.drawn is not None
        async with connect_many(
            targets,
            dialer=asked.dialer,
            limits=asked.limits,
            timeout=asked.timeout,
            deadline=asked.deadline,
            ordered=asked.ordered,
            handshake=_tls(asked.loop) if asked.tls else None,
            reports=reports,
        ) as results:
            try:
                async for result in results:
                    writer.write(result)
                    if asked.fail_fast and not result.connected:
                        break
            finally:
                if not writer.broken:
                    for result in results.ended():
                        writer.write(result)

    total = len(texts) if fd is None else None
    if fd is not None and asked.progress and is_file(fd):
        total = count_items(fd)
    with ExitStack() as stack, warnings.catch_warnings(record=False):
        warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = _warn
        stack.callback(_finish, asked, writer, statistics)
        if asked.progress and sys.stderr.isatty():
            writer.progress = stack.enter_context(Progress(total, statistics))
        asked.loop.run(main)
    return statistics.outcomes["connected"] == statistics.count


def _finish(asked: Checking, writer: _Writer, statistics: Statistics) -> None:
    if not writer.broken:
        writer.end()
        if asked.summary:
            say(*summary(statistics))


def _warn(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: object = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    say(f"aconnect: {message}")


def _tls(loop: EventLoop) -> Any:
    from .tls import CheckTLS  # ssl takes a while to import

    return CheckTLS(loop)


class _Writer:
    """Writes results, and counts them.

    Attributes:
        broken: whether something could not be written.
        progress: is told of each.
    """

    def __init__(self, asked: Checking, statistics: Statistics) -> None:
        self.broken = False
        self.progress = NoProgress()
        self._asked = asked
        self._statistics = statistics
        self._via = _via(asked.dialer)
        self._kept: list[Result] = []  # of what can be written only when all are known
        self._write = self._written_as(asked.format)
        if asked.format == "csv":
            self._line(CSV_HEADER)

    def _written_as(self, format: str) -> Callable[[Result], object]:
        console = make_console()  # and no text fails for want of an encoding
        if format == "json":
            return lambda result: self._line(as_json(result, self._via))
        if format == "csv":
            return lambda result: self._line(as_csv(result, self._via))
        if format == "prometheus":
            return self._kept.append
        if self._asked.output is not None:
            return lambda result: self._line(as_text(result, self._via).plain)
        unicode = (console.encoding or "").lower().startswith("utf")

        def show(result: Result) -> None:
            write_line(console, as_text(result, self._via))
            if self._asked.verbose:
                for line in drawing(result, console.width, unicode):
                    write_line(console, line)
            console.file.flush()

        return show

    def _line(self, text: str) -> None:
        data = f"{text}\n".encode("utf-8", "backslashreplace")
        if self._asked.output is not None:
            self._asked.output.write(data)
            self._asked.output.flush()
        else:
            sys.stdout.write(data.decode())
            sys.stdout.flush()

    def write(self, result: Result) -> None:
        """Write a result.

        Raises:
            OSError: it cannot be written.
        """
        self._statistics.add(result)
        try:
            self._write(result)
            if self._asked.drawn is not None:
                self._asked.drawn.add(result.report)
        except BaseException:
            self.broken = True
            raise
        self.progress.add(result)

    def end(self) -> None:
        """Write what comes last.

        Raises:
            OSError: it cannot be written.
        """
        for line in prometheus(self._kept):
            self._line(line)


def _via(dialer: Dialer) -> tuple[str, ...]:
    """The proxies on the way, as text without user and password."""
    chain: Any = dialer.proxy if isinstance(dialer.proxy, tuple) else (dialer.proxy,)
    return tuple(str(each) for each in chain if isinstance(each, Proxy))
