"""The commands, their arguments and their help.

Rules:

* What a command does is in a module of its own; here is only how it is called.
* The exit status is what `aconnect.cli` says, whatever ends the command.
"""

from __future__ import annotations

import platform
import shutil
import sys
import textwrap
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from aconnect import __version__, explain

from .check_command import check
from .demo import run_demo
from .demo_screen import DemoScreen
from .lookup import as_json as heard_as_json
from .lookup import as_text as heard_as_text
from .lookup import look_all_up
from .loops import LOOPS, missing
from .options import SETTINGS, on_loop
from .parameters import (
    complete_errors,
    dns_resolver,
    parse_errors,
    parse_names,
    parse_service,
)
from .screen import make_console, write_line
from .stage import StageError
from .status import INTERRUPTED
from .wait_command import wait_for
from .watch_command import watch

if TYPE_CHECKING:
    from .lookup import Heard, Name
    from .loops import EventLoop

__all__ = ["command"]


class _Group(click.Group):
    """Commands that Ctrl-C ends without a word, where click's own would end in status 1; and whose
    errors are wrapped for a terminal."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if not sys.stderr.isatty():
                raise
            raise click.UsageError(_wrapped(error.format_message()), error.ctx) from None
        except KeyboardInterrupt:
            click.echo(err=True)  # the terminal has written ^C
            ctx.exit(INTERRUPTED)


def _wrapped(message: str) -> str:
    """The message for the width of the terminal, behind the word that click begins with."""
    width = max(shutil.get_terminal_size().columns, 40)
    return textwrap.fill(f"Error: {message}", width).removeprefix("Error: ")


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


@click.group(cls=_Group, context_settings=SETTINGS)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the versions of aconnect, Python and the event loops, and exit.",
)
def command() -> None:
    """Connect to addresses, and explain in plain words why a connection fails.

    \b
    Examples:
      aconnect check example.org:443
      aconnect watch example.org:443
      aconnect wait-for db:5432 -- ./server
      aconnect explain ECONNREFUSED
      aconnect demo
    """  # noqa: D301


for _other in (check, watch, wait_for):
    command.add_command(_other)


@command.command(short_help="Look names up, and say what comes.", context_settings=SETTINGS)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, callback=parse_names)
@click.option(
    "--server",
    "servers",
    metavar="ADDRESS",
    multiple=True,
    help="A name server to ask, with its port unless that is 53; several in their order. Without "
    "it, those of this machine.",
)
@click.option(
    "--service",
    metavar="NAME",
    is_eager=True,
    expose_value=False,  # the names go by it
    callback=parse_service,
    help='A service of each: "https", or as SRV records have it, "_xmpp-client._tcp".',
)
@click.option("--json", "json_lines", is_flag=True, help="JSON, an object on each line.")
@on_loop
def lookup(
    names: tuple[Name, ...],
    servers: tuple[str, ...],
    json_lines: bool,
    loop: EventLoop,
) -> None:
    """Look up each NAME, and print each answer as it arrives.

    Name servers are asked for IPv6 and for IPv4 addresses at the same time, and each answer has
    a line: where it is from, and for how long it is good. The hosts file and the search list
    count. The exit status is 0 if each name has an address.

    With --service, or if NAME is an address of a service (https://host, srv:_name._tcp.domain),
    HTTPS or SRV records are asked for as well. There is a line for each question, for each record,
    and for the addresses of each rank, in the order in which a dial would try them.

    With --json, the members are name, family (null for any), addresses and seconds; of a
    failure also errno, errno_name and message. Where it is known there are type, server, over
    (udp or tcp), outcome, records, ttl, source and ignored; of a service rank and service.

    \b
    Examples:
      aconnect lookup example.org
      aconnect lookup --server 127.0.0.1:5300 --json db.test
      aconnect lookup --service https example.org
      aconnect lookup srv:_xmpp-client._tcp.example.org
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


@command.command(
    name="explain",
    short_help="Say what errors mean, and what to check.",
    context_settings={**SETTINGS, "ignore_unknown_options": True},
)
@click.argument(
    "errors",
    metavar="ERROR...",
    nargs=-1,
    required=True,
    callback=parse_errors,
    shell_complete=complete_errors,
)
def explain_errors(errors: tuple[int | str, ...]) -> None:
    """Explain what each ERROR means for a connection, and what to check.

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


@command.command(short_help="Show what aconnect does, here.", context_settings=SETTINGS)
def demo() -> None:
    """Show what aconnect does, in a few seconds and on this machine alone.

    It starts listeners on loopback and connects to them, beside what asyncio does by itself: a
    name whose first address is dead, TLS that fails on one address and moves on to the next, a
    name that leads where a policy does not permit, and a listener with a full backlog.

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
