"""How `aconnect check` is called."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aconnect import Deadline, TCPAddress
from aconnect.many import Limits

from .check import Checking, check_all
from .drawn import FORMS, Drawn
from .interrupts import terminable
from .options import SETTINGS, dialer_from, dialing, on_loop
from .parameters import parse_rate, parse_seconds, parse_targets
from .resume import NotResumable, take_up
from .source import is_file

if TYPE_CHECKING:
    from typing import BinaryIO

    from .parameters import Target

__all__ = ["check"]

_DEFAULT_TIMEOUT = "10"  # seconds; Linux gives up after 133, and nobody waits for that
_FORMATS = ["text", "json", "csv", "prometheus"]


@click.command(short_help="Connect to addresses, one or many.", context_settings=SETTINGS)
@click.argument("addresses", metavar="[ADDRESS...]", nargs=-1, callback=parse_targets)
@click.option(
    "--file",
    "-f",
    metavar="FILE",
    help="Read addresses from a file, one in a line; - for standard input.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    callback=parse_seconds,
    default=_DEFAULT_TIMEOUT,
    show_default=True,
    help="For each address, resolving its name included; inf for no limit.",
)
@click.option(
    "--deadline",
    metavar="SECONDS",
    callback=parse_seconds,
    default="inf",
    help="For all of them; what is left then is not tried.",
)
@click.option("--rate", metavar="N", callback=parse_rate, help="At most N starts in a second.")
@click.option(
    "--burst",
    metavar="N",
    type=click.IntRange(1),
    default=1,
    help="Starts that may come at once, with --rate. [default: 1]",
)
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="At most N at a time.",
)
@click.option(
    "--per-host", metavar="N", type=click.IntRange(1), help="At most N at a time to one host."
)
@dialing
@click.option(
    "--shuffle",
    metavar="SEED",
    type=int,
    help="Take the addresses in an order by chance, which is the same for the same number; not "
    "of a stream.",
)
@click.option("--ordered", is_flag=True, help="Results in the order of the addresses.")
@click.option(
    "--format",
    type=click.Choice(_FORMATS),
    default=None,
    help="How results are written. [default: text]",
)
@click.option("--json", "json_lines", is_flag=True, help="The same as --format json.")
@click.option("--output", "-o", metavar="FILE", help="Write results to a file.")
@click.option(
    "--resume",
    metavar="FILE",
    help="Go on with a run that has left this file, and append to it; JSON.",
)
@click.option("--verbose", "-v", is_flag=True, help="Draw what happened in each dial.")
@click.option(
    "--report",
    metavar="FILE",
    help="Draw the dial to a file, as a picture (.svg) or a page (.html); one address.",
)
@click.option(
    "--trace",
    metavar="FILE",
    help="Write what happened to a file, for Perfetto and chrome://tracing.",
)
@click.option("--summary", is_flag=True, help="Sum up, on standard error.")
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Say how far it has come, if standard error is a terminal. [default: with --file]",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@on_loop
@click.pass_context
def check(ctx: click.Context, /, addresses: tuple[Target, ...], **options: Any) -> None:
    """Connect to each ADDRESS, and print the peer, the time it took, and what went wrong.

    Nothing is sent but what a proxy or a TLS server has to be told. Lines come in the order of
    the addresses; with --file, in which blank lines and those with # do not count, as they are
    known. The exit status is 0 if all could be connected to, and 1 if one could not. It is 2 if
    the call makes no sense, and then nothing is tried; of a line of a file that makes none, the
    result is "invalid". Ctrl-C ends in 130, SIGTERM in 143; what has ended is written before.

    With --resume, what has a whole line in FILE is not tried again, whatever came of it, unless
    that was "not tried". A run may be killed at any moment and taken up again: then each address
    has one line.

    In JSON, the members are address, peer (null unless one address was tried), outcome
    ("connected", "failed", "timed out", "not permitted", "invalid", "not tried") and seconds.
    After a failure there are also errno, errno_name, phase ("resolve", "connect", "proxy" or
    "handshake"), transient (a later try may succeed), message, and attempts: for each resolved
    address its peer, local (the local end), start and end (in seconds from the start), outcome,
    errno, error (its name), phase, note, reason (in words), and more, as Report.to_dict() has
    them. With --proxy there is via, the proxies; the peer is then the nearest of them. Last come
    index, line, phases (seconds of each) and time (when it started). More may come.

    CSV has the same in columns, without attempts. Metrics for Prometheus have the names of the
    blackbox exporter, and are written when all is known; --output replaces the file then.

    \b
    Addresses:
      example.org:443  127.0.0.1:80  [::1]:80  [fe80::1%eth0]:80  tcp://db:5432
      udp://127.0.0.1:53
      example.org:https  /run/x.sock
      unix:/run/x.sock  unix:@abstract  unixgram:PATH  unixpacket:PATH
      vsock:2:1024

    \b
    Examples:
      aconnect check example.org:443
      aconnect check --timeout 2 db:5432 cache:6379 unix:/run/app.sock
      aconnect check -v --tls example.org:443
      aconnect check --file list.txt --rate 500 --resume results.json --summary
      aconnect check --tls --report dial.html example.org:443
      produce | aconnect check --file - --json | consume
      aconnect check --connect-to example.org=127.0.0.1 example.org:443
      aconnect check --server 127.0.0.1:5300 db.test:5432
      aconnect check --proxy socks5h://proxy.example:1080 db.internal:5432
    """  # noqa: D301
    dialer = dialer_from(options)
    file, output, resume = (options.pop(name) for name in ("file", "output", "resume"))
    format = _format(options.pop("json_lines"), options.pop("format"), resume)
    if bool(addresses) == bool(file):
        raise click.UsageError("give addresses or --file, and not both")
    for each in addresses:
        if dialer.proxy is not None and not isinstance(each.address, TCPAddress):
            raise click.UsageError(f"{each.text}: a proxy can reach TCP addresses only")
    if resume and output:
        raise click.UsageError(
            "--resume and --output exclude each other: --resume already names "
            "the file for the results"
        )
    drawn = _drawn(options.pop("report"), options.pop("trace"), addresses)
    limits = Limits(
        **{name: options.pop(name) for name in ("concurrency", "per_host", "rate", "burst")}
    )
    progress = options.pop("progress")
    deadline = Deadline.after(options.pop("deadline"))
    options["ordered"] |= not file
    with ExitStack() as stack:
        fd = None if file is None else _opened(stack, file)
        if fd is not None and options["shuffle"] is not None and not is_file(fd):
            raise click.UsageError(
                f"--shuffle needs all addresses at once: {file} is not a regular file"
            )
        done, written = Counter[str](), None
        try:
            if resume:
                done, written = take_up(Path(resume))
                stack.callback(written.close)
            elif output:
                written = stack.enter_context(_output(Path(output), format == "prometheus"))
            if drawn is not None:
                stack.enter_context(drawn)
        except (NotResumable, OSError) as error:
            raise click.UsageError(_said(error)) from None
        asked = Checking(
            dialer=dialer,
            limits=limits,
            deadline=deadline,
            done=done,
            format=format,
            output=written,
            drawn=drawn,
            progress=bool(file) if progress is None else progress,
            **options,
        )
        with terminable() as interrupts:
            try:
                connected = check_all(asked, tuple(each.text for each in addresses), fd)
            except KeyboardInterrupt:
                click.echo(err=True)  # the terminal has written ^C
                ctx.exit(interrupts.status)
    if not connected:
        ctx.exit(1)


def _format(json_lines: bool, format: str | None, resume: str | None) -> str:
    if (json_lines or resume) and format not in (None, "json"):
        option = "--json" if json_lines else "--resume"
        raise click.UsageError(
            f"{option} writes JSON, and cannot be combined with --format {format}"
        )
    return "json" if json_lines or resume else format or "text"


def _drawn(report: str | None, trace: str | None, addresses: tuple[Target, ...]) -> Drawn | None:
    if report is not None:
        if Path(report).suffix.lower() not in FORMS:
            raise click.UsageError(f"--report: {report}: the name must end with .html or .svg")
        if len(addresses) != 1:
            raise click.UsageError("--report draws a single dial: use --trace for several")
    if report is None and trace is None:
        return None
    return Drawn(*(None if each is None else Path(each) for each in (report, trace)))


def _opened(stack: ExitStack, file: str) -> int:
    if file == "-":
        return sys.stdin.fileno()
    try:
        fd = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise click.UsageError(_said(error)) from None
    stack.callback(os.close, fd)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raise click.UsageError(f"{file}: {os.strerror(errno.EISDIR)}")
    return fd


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error)


class _output:  # used as a function
    """A file for results; if ``whole``, it takes its place when all is in it."""

    def __init__(self, path: Path, whole: bool) -> None:
        self._path = path
        self._beside = path.with_name(f".{path.name}.{os.getpid()}") if whole else path

    def __enter__(self) -> BinaryIO:
        self._file = open(self._beside, "wb")
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        if self._beside != self._path:
            if kind is None:
                os.replace(self._beside, self._path)
            else:
                os.unlink(self._beside)
