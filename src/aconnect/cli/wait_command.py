"""`aconnect wait-for`: wait until addresses are up, and run a command then.

Rules:

* All that is said goes to standard error: standard output is the command's.
* There is a line when something changes, and no colour: it is read in logs.
* The command takes this process over; its exit status is ours.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from aconnect import ConnectError, explain
from aconnect.many import Backoff, wait_until_up

from .interrupts import terminable
from .options import SETTINGS, dialer_from, dialing, on_loop
from .parameters import parse_seconds, parse_targets
from .progress import say
from .screen import duration

if TYPE_CHECKING:
    from aconnect.many import Result

    from .loops import EventLoop
    from .parameters import Target

__all__ = ["wait_for"]

_BACKOFF: Final = Backoff.quick().replace(least_timeout=5.0)
_COMMAND: Final = "aconnect.command"
_NOT_FOUND: Final = 127  # as a shell has it
_NOT_RUNNABLE: Final = 126


class _WithCommand(click.Command):
    """What stands behind ``--`` is another command, whatever it looks like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


@click.command(
    "wait-for",
    cls=_WithCommand,
    short_help="Wait until addresses are up.",
    context_settings=SETTINGS,
)
@click.argument(
    "addresses",
    metavar="ADDRESS... [-- COMMAND...]",
    nargs=-1,
    required=True,
    callback=parse_targets,
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    callback=parse_seconds,
    default="60",
    show_default=True,
    help="For all of it; 0 for one try each, inf to wait for ever.",
)
@click.option("--any", "any_of", is_flag=True, help="One of several is enough.")
@click.option("--down", is_flag=True, help="Wait until they cannot be connected to.")
@click.option(
    "--steady",
    metavar="N",
    type=click.IntRange(1),
    default=1,
    help="Until N tries in a row, a second apart, have succeeded.",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors of the call.")
@dialing
@on_loop
@click.pass_context
def wait_for(
    ctx: click.Context,
    /,
    addresses: tuple[Target, ...],
    timeout: float,
    any_of: bool,
    down: bool,
    steady: int,
    quiet: bool,
    loop: EventLoop,
    **options: Any,
) -> None:
    """Wait until all ADDRESSES accept connections, then run COMMAND, if there is one.

    It tries again after a tenth of a second, and up to two seconds as time goes on. What no
    waiting can mend, such as a missing permission, ends it at once.

    The exit status is that of COMMAND, which replaces this process; without one it is 0. It is 1
    if they were not all up in time, and what was wrong with each is said; COMMAND is not run
    then. It is 2 if the call makes no sense, 130 for Ctrl-C, 143 for SIGTERM.

    \b
    Examples:
      aconnect wait-for db:5432 cache:6379 -- ./server --port 8000
      aconnect wait-for --timeout 300 --tls api.example:443
      aconnect wait-for --down --timeout 30 localhost:8000
    """  # noqa: D301
    command = ctx.meta.get(_COMMAND)
    if command == []:
        raise click.UsageError("there must be a command after --")
    dialer = dialer_from(options)
    handshake = None
    if options.pop("tls"):
        from .tls import CheckTLS  # ssl takes a while to import

        handshake = CheckTLS(loop)
    said = _Changes(quiet, down)
    at_once: Any = {"timeout": timeout}
    if not timeout:
        at_once = {"until": lambda _: not down}
        if down:
            at_once["timeout"] = _BACKOFF.least_timeout
    failed: list[ConnectError] = []

    async def main() -> None:
        try:
            await wait_until_up(
                [each.text for each in addresses],
                backoff=_BACKOFF,
                dialer=dialer,
                handshake=handshake,
                steady=steady,
                any_of=any_of,
                down=down,
                on_result=said.add,
                **at_once,
            )
        except ConnectError as error:
            failed.append(error.with_traceback(None))

    with terminable() as interrupts:
        try:
            loop.run(main)
        except ValueError as error:  # an address that no proxy can be asked for
            raise click.UsageError(str(error)) from None
        except KeyboardInterrupt:
            ctx.exit(interrupts.status)
    if failed:
        said.end()
        ctx.exit(1)
    if command:
        _run(ctx, command)


class _Changes:
    """Says what has changed.

    Args:
        quiet: say nothing.
        down: whether it is waited for the end of something.
    """

    def __init__(self, quiet: bool, down: bool) -> None:
        self._quiet = quiet
        self._wanted = not down
        self._last: dict[str, tuple[str, bool]] = {}

    def add(self, result: Result) -> None:
        """Take note of a try."""
        state = "up" if result.connected else "down"
        if isinstance(result.error, ConnectError):
            state += f": {explain(result.error).partition('. ')[0].removesuffix('.')}"
        before = self._last.get(result.target)
        self._last[result.target] = (state, result.connected is self._wanted)
        if not self._quiet and (before is None or before[0] != state):
            took = f" (in {duration(result.seconds)})" if result.connected else ""
            say(f"{result.target} is {state}{took}")

    def end(self) -> None:
        """Say what was waited for in vain."""
        if not self._quiet:
            for target, (state, as_wanted) in self._last.items():
                if not as_wanted:
                    say(f"gave up waiting: {target} is {state}")


def _run(ctx: click.Context, command: list[str]) -> None:
    """Become the command; where that cannot be, run it."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        if sys.platform == "win32":
            ctx.exit(subprocess.call(command))
        os.execvp(command[0], command)
    except OSError as error:
        say(f"aconnect: {command[0]}: {error.strerror}")
        ctx.exit(_NOT_FOUND if error.errno == errno.ENOENT else _NOT_RUNNABLE)
