"""`aconnect watch`: connect to addresses at every interval, and show how that goes.

Rules:

* On a terminal there is one table that changes; elsewhere, and with ``--format``, a line for each
  try.
* In the end, however it comes, there is a table of all, but for lines that programs read.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click
from rich.live import Live
from rich.text import Text

from aconnect.many import watch as watch_one

from .formats import CSV_HEADER, as_csv, as_json, as_text
from .interrupts import terminable
from .options import SETTINGS, dialer_from, dialing, on_loop
from .parameters import parse_seconds, parse_targets
from .screen import make_console, write_line
from .source import Item
from .watching import Row, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from aconnect.many import Result

    from .loops import EventLoop
    from .parameters import Target

__all__ = ["watch"]

_SHOWING: Final = [signal.Signals[name] for name in ("SIGUSR1",) if hasattr(signal, name)]


@click.command(short_help="Connect again and again.", context_settings=SETTINGS)
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True, callback=parse_targets)
@click.option(
    "--interval",
    metavar="SECONDS",
    callback=parse_seconds,
    default="1",
    show_default=True,
    help="From the start of a try to that of the next; at least 0.01.",
)
@click.option(
    "--count", metavar="N", type=click.IntRange(1), help="Stop after N tries of each address."
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    callback=parse_seconds,
    default="3",
    show_default=True,
    help="For each try; inf for no limit.",
)
@dialing
@click.option(
    "--format",
    type=click.Choice(["text", "json", "csv"]),
    help="A line for each try, also on a terminal.",
)
@on_loop
@click.pass_context
def watch(
    ctx: click.Context,
    /,
    addresses: tuple[Target, ...],
    interval: float,
    count: int | None,
    timeout: float,
    format: str | None,
    loop: EventLoop,
    **options: Any,
) -> None:
    """Connect to each ADDRESS at regular intervals, and show the results.

    A try that takes longer than an interval has those skipped that it took, and that is said. A
    name is looked up for each try. Enter, or SIGUSR1, shows a table of all so far; so does the
    end, unless --format is json or csv.

    With --count, the exit status is 0 if all tries succeeded, and 1 if one failed. It is 2 if the
    call makes no sense, 130 for Ctrl-C, 143 for SIGTERM.

    \b
    Examples:
      aconnect watch example.org:443
      aconnect watch --interval 0.2 --count 50 db:5432 cache:6379
      aconnect watch --tls --format json example.org:443 >> log.json
    """  # noqa: D301
    if not 0.01 <= interval < float("inf"):
        raise click.UsageError("--interval must be 0.01 or more seconds, and finite")
    dialer = dialer_from(options)
    handshake = None
    if options.pop("tls"):
        from .tls import CheckTLS  # ssl takes a while to import

        handshake = CheckTLS(loop)
    console = make_console()
    rows = [Row(each.text) for each in addresses]
    waiting = iter(rows)
    status = 0

    with ExitStack() as stack:
        interrupts = stack.enter_context(terminable())
        show, summarize = _shown(stack, console, rows, format)
        _on_request(stack, summarize)

        async def watch_next() -> None:
            row = next(waiting)
            async with watch_one(
                row.text,
                interval=interval,
                count=count,
                timeout=timeout,
                dialer=dialer,
                handshake=handshake,
            ) as ticks:
                async for result in ticks:
                    show(row, result, row.add(result))

        try:
            loop.run(partial(loop.together, watch_next, len(rows)))
        except KeyboardInterrupt:
            status = interrupts.status
    if format in (None, "text"):
        summarize()
    if not status and any(row.loss for row in rows):
        status = 1
    ctx.exit(status)


def _shown(
    stack: ExitStack, console: Console, rows: list[Row], format: str | None
) -> tuple[Callable[[Row, Result, int], None], Callable[[], None]]:
    """What shows a result, and what shows all of them so far."""
    unicode = (console.encoding or "").lower().startswith("utf")

    def summarize() -> None:
        console.print(table(rows, min(console.width, 140), unicode))

    if format is None and console.is_terminal:
        live = stack.enter_context(Live("", console=console, auto_refresh=False, transient=True))

        def redraw(_row: Row, _result: Result, _skipped: int) -> None:
            live.update(table(rows, console.width, unicode), refresh=True)

        return redraw, summarize
    if format == "csv":
        click.echo(CSV_HEADER)

    def line(row: Row, result: Result, skipped: int) -> None:
        result = result._replace(key=Item(result.index, None, row.text))
        if format in ("json", "csv"):
            click.echo((as_json if format == "json" else as_csv)(result))
            return
        shown = as_text(result)
        if skipped:
            words = f"; {skipped} interval{'s' * (skipped > 1)} skipped before"
            shown = Text.assemble(shown, (words, "yellow"))
        write_line(console, shown)
        console.file.flush()

    return line, summarize


def _on_request(stack: ExitStack, summarize: Callable[[], None]) -> None:
    """Have Enter and SIGUSR1 show all so far."""
    for number in _SHOWING:
        before = signal.signal(number, lambda *_: summarize())
        stack.callback(signal.signal, number, before)
    if sys.stdin.isatty():
        # It cannot be stopped while it reads, and holds nothing.
        arguments = (sys.stdin.fileno(), summarize)
        threading.Thread(target=on_enter, args=arguments, name="Enter", daemon=True).start()


def on_enter(fd: int, summarize: Callable[[], None]) -> None:
    """Show all so far whenever a line is entered, until there is nothing more to read."""
    with suppress(OSError):
        while os.read(fd, 4096):
            summarize()
