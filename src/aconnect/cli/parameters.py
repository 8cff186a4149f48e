"""What can stand on the command line: click callbacks that turn text into values.

Rules:

* Everything is checked before anything is done.  What makes no sense is a bad command line,
  exit status 2, and the message says what would make sense.
* What was typed is kept beside what it stands for: the output names things as the user did.
"""

from __future__ import annotations

import errno
import math
import socket
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from aconnect import explain, parse_address

from .loops import LOOPS, advice, missing

if TYPE_CHECKING:
    from aconnect import Address

    from .loops import EventLoop

__all__ = ["Target", "parse_errors", "parse_loop", "parse_seconds", "parse_targets"]


class Target(NamedTuple):
    """An address, as it was typed and as a value."""

    text: str
    address: Address


def parse_targets(
    _ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]
) -> tuple[Target, ...]:
    """Addresses."""
    try:
        return tuple(Target(text, parse_address(text)) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def parse_seconds(_ctx: click.Context, _param: click.Parameter, text: str) -> float:
    """A number of seconds, `math.inf` included."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:  # also true of NaN
        raise click.BadParameter(f"{text!r} is not a number of seconds, 0 or more")
    return seconds


def parse_loop(_ctx: click.Context, _param: click.Parameter, name: str) -> EventLoop:
    """An event loop that is installed."""
    loop = LOOPS[name]
    if missing(loop):
        raise click.BadParameter(advice(loop))
    return loop


def parse_errors(
    _ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]
) -> tuple[int | OSError, ...]:
    """Names and numbers of errors, as what `aconnect.explain` takes."""
    return tuple(map(_parse_error, texts))


def _parse_error(text: str) -> int | OSError:
    name = text.upper()
    found = _BY_NAME.get(name) or _BY_NUMBER.get(name)
    if found is not None:
        return found
    if name.removeprefix("-").isdecimal():
        raise click.BadParameter(f"{text} is not the number of an error on this system")
    close = get_close_matches(name, _BY_NAME, n=3, cutoff=0.7)
    did_you_mean = f"; did you mean {' or '.join(close)}?" if close else ""
    raise click.BadParameter(f"{text!r} is not the name of a known error{did_you_mean}")


def _resolve_errors() -> dict[str, OSError]:
    """The codes of getaddrinfo(3) that can be explained, each as an error that carries it.

    On some systems a code is a small number that is an errno as well: only the class tells.
    """
    names = [name for name in dir(socket) if name.startswith("EAI_")]
    errors = {name: socket.gaierror(getattr(socket, name), name) for name in names}
    return {name: error for name, error in errors.items() if explain(error).startswith(name)}


_ERRNOS: Final = {name: number for name, number in vars(errno).items() if name.startswith("E")}
_RESOLVE_ERRORS: Final = _resolve_errors()
_BY_NAME: Final[dict[str, int | OSError]] = {**_ERRNOS, **_RESOLVE_ERRORS}
# A number that is both is an errno.
_BY_NUMBER: Final[dict[str, int | OSError]] = {
    **{str(error.errno): error for error in _RESOLVE_ERRORS.values()},
    **{str(number): number for number in _ERRNOS.values()},
}
