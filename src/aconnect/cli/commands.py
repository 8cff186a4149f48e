"""The commands, their arguments and their help.

Rules:

* What a command does is in a module of its own; here is only how it is called.
* The exit status is what `aconnect.cli` says, whatever ends the command.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from aconnect import __version__, explain

from .check import as_json, as_text, check_all
from .demo import run_demo
from .demo_screen import DemoScreen
from .lookup import as_json as heard_as_json
from .lookup import as_text as heard_as_text
from .lookup import look_all_up
from .loops import LOOPS, missing
from .parameters import (
    dialer_of,
    dns_resolver,
    parse_connect_to,
    parse_errors,
    parse_loop,
    parse_names,
    parse_proxies,
    parse_seconds,
    parse_targets,
)
from .screen import make_console, write_line
from .stage import StageError
from .status import INTERRUPTED

if TYPE_CHECKING:
    from aconnect import Proxy

    from .check import Checked
    from .lookup import Heard
    from .loops import EventLoop
    from .parameters import Target

__all__ = ["command"]

_SETTINGS = {"help_option_names": ["-h", "--help"]}

_DEFAULT_TIMEOUT = "10"  # seconds; Linux gives up after 133, and nobody waits for that


class _Group(click.Group):
    """Commands that Ctrl-C ends without a word; click's own would end in status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo(err=True)  # the terminal has written ^C
            ctx.exit(INTERRUPTED)


def _version_of(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:  # run from a source tree
        return f"{name} of unknown version"


def _version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if not asked:
        return
    modules = [module for loop in LOOPS.values() if not missing(loop) for module in loop.needs]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    ours = [f"aconnect {__version__}", python, platform.system()]
    click.echo(", ".join([*ours, *map(_version_of, modules)]))
    ctx.exit()


@click.group(cls=_Group, context_settings=_SETTINGS)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the versions of aconnect, Python and the event loops, and exit.",
)
def command() -> None:
    """Connect to addresses, and say in plain words why where that fails.

    \b
    Examples:
      aconnect check example.org:443
      aconnect explain ECONNREFUSED
      aconnect demo
    """  # noqa: D301


@command.command(context_settings=_SETTINGS)
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True, callback=parse_targets)
@click.option(
    "--timeout",
    metavar="SECONDS",
    callback=parse_seconds,
    default=_DEFAULT_TIMEOUT,
    show_default=True,
    help="For each address, resolving its name included; inf for no limit.",
)
@click.option(
    "--connect-to",
    metavar="FROM=TO",
    multiple=True,
    callback=parse_connect_to,
    help="Connect to TO (host:port, or either) in place of FROM (the same, or *.domain). "
    "May be given several times.",
)
@click.option("--json", "json_lines", is_flag=True, help="JSON, an object on each line.")
@click.option(
    "--loop",
    type=click.Choice(list(LOOPS)),
    callback=parse_loop,
    default="asyncio",
    show_default=True,
    help="The event loop to do it on.",
)
@click.option(
    "--proxy",
    "proxies",
    metavar="URL",
    multiple=True,
    callback=parse_proxies,
    help="Go through a proxy, such as socks5h://host:1080; several are a chain, nearest first.",
)
@click.option(
    "--proxy-header",
    "header",
    type=click.Choice(["1", "2"]),
    help="Tell the target who connects, by the PROXY protocol of this version.",
)
@click.option(
    "--resolver",
    type=click.Choice(["system", "dns"]),
    help="Who looks names up: the system, or name servers that are asked from here.",
)
@click.option(
    "--server",
    "servers",
    metavar="ADDRESS",
    multiple=True,
    help="A name server to ask, with its port unless that is 53; several in their order.",
)
def check(
    addresses: tuple[Target, ...],
    timeout: float,
    connect_to: dict[str, str],
    json_lines: bool,
    loop: EventLoop,
    proxies: tuple[Proxy, ...],
    header: str | None,
    resolver: str | None,
    servers: tuple[str, ...],
) -> None:
    """Connect to each ADDRESS, and say to which peer, how long it took, and what went wrong.

    Nothing is sent but what a proxy has to be told. The addresses are connected to at the same
    time, and the lines come in their order. The exit status is 0 if all could be connected to, 1
    if one could not, and 2 if one makes no sense, in which case none is tried.

    With --json, the members are address, peer (null unless one address was tried), outcome
    ("connected", "failed" or "timed out") and seconds. After a failure there are also errno,
    errno_name, phase ("resolve", "connect" or "proxy"), transient (a later try may succeed),
    message, and attempts: for each resolved address its peer, local (the local end), start and
    end (in seconds from the start), outcome, errno, error (its name), phase, note, reason (in
    words), and more, as Report.to_dict() has them. With --proxy there is via, the proxies; the
    peer is then the nearest of them.

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
      aconnect check --json --loop trio localhost:8000
      aconnect check --connect-to example.org=127.0.0.1 example.org:443
      aconnect check --server 127.0.0.1:5300 db.test:5432
      aconnect check --proxy socks5h://proxy.example:1080 db.internal:5432
    """  # noqa: D301
    dialer = dialer_of(connect_to, proxies, header, resolver, servers)
    if json_lines:

        def show(checked: Checked) -> None:
            click.echo(as_json(checked))

    else:
        console = make_console()

        def show(checked: Checked) -> None:
            write_line(console, as_text(checked))

    try:
        connected = check_all(addresses, loop, timeout, show, dialer)
    except ValueError as error:  # an address that no proxy can be asked for
        raise click.UsageError(str(error)) from None
    if not connected:
        click.get_current_context().exit(1)


@command.command(context_settings=_SETTINGS)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, callback=parse_names)
@click.option(
    "--server",
    "servers",
    metavar="ADDRESS",
    multiple=True,
    help="A name server to ask, with its port unless that is 53; several in their order. Without "
    "it, those of this machine.",
)
@click.option("--json", "json_lines", is_flag=True, help="JSON, an object on each line.")
@click.option(
    "--loop",
    type=click.Choice(list(LOOPS)),
    callback=parse_loop,
    default="asyncio",
    show_default=True,
    help="The event loop to do it on.",
)
def lookup(
    names: tuple[str, ...], servers: tuple[str, ...], json_lines: bool, loop: EventLoop
) -> None:
    """Look up each NAME, and say what comes, as it comes.

    Name servers are asked for IPv6 and for IPv4 addresses at the same time, and each answer has
    a line. The hosts file and the search list count. The exit status is 0 if each name has an
    address.

    With --json, the members are name, family (null for any), addresses and seconds; of a
    failure also errno, errno_name and message.

    \b
    Examples:
      aconnect lookup example.org
      aconnect lookup --server 127.0.0.1:5300 --json db.test
    """  # noqa: D301
    if json_lines:

        def show(heard: Heard) -> None:
            click.echo(heard_as_json(heard))

    else:
        console = make_console()

        def show(heard: Heard) -> None:
            write_line(console, heard_as_text(heard))

    if not look_all_up(names, dns_resolver(servers), loop, show):
        click.get_current_context().exit(1)


@command.command(name="explain", context_settings={**_SETTINGS, "ignore_unknown_options": True})
@click.argument("errors", metavar="ERROR...", nargs=-1, required=True, callback=parse_errors)
def explain_errors(errors: tuple[int | str, ...]) -> None:
    """Say what each ERROR means when connecting, and what to check.

    An ERROR is the name of an errno or of a code of getaddrinfo, or a number.

    \b
    Examples:
      aconnect explain ECONNREFUSED
      aconnect explain EAI_NONAME -2 111
    """  # noqa: D301
    console = make_console()
    for error in errors:
        name, colon, words = explain(error).partition(":")
        text = Text.assemble((name, "bold"), colon, words)
        console.print(text, soft_wrap=not console.is_terminal)


@command.command(context_settings=_SETTINGS)
def demo() -> None:
    """Show what aconnect does, in a few seconds, with nothing but this machine.

    It starts a healthy listener, a port that refuses, a unix listener with a full backlog and
    one that never answers, and connects to them on asyncio, uvloop and trio, as far as they
    are installed. Beside it stands what the loop's own connect says of the full backlog.

    The exit status is 0 if everything it says was really observed, else 1.
    """
    if platform.system() != "Linux":
        raise click.ClickException("the demo shows what Linux does, and runs on Linux only")
    try:
        as_promised = run_demo(DemoScreen(make_console()))
    except StageError as error:
        raise click.ClickException(str(error)) from error
    if not as_promised:
        click.get_current_context().exit(1)
