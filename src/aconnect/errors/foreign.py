"""What exceptions of others say: of the user's hooks and resolvers, and of event loops."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Final

from ..addresses.text import clipped, printable
from ..report.attempt import LONGEST_WORDS
from .errors import ConnectError

if TYPE_CHECKING:
    from typing import TypeGuard

__all__ = ["begin_with_theirs", "errno_of", "has_errno", "words"]

_OURS: Final = __name__.partition(".")[0]


def words(error: BaseException) -> str:
    """What it says, in one way or another, on one line: it may be anybody's."""
    try:
        said = str(getattr(error, "strerror", None) or error)
    except Exception:
        said = ""
    return clipped(printable(said[: LONGEST_WORDS + 1]), LONGEST_WORDS) or type(error).__name__


def has_errno(error: Exception) -> TypeGuard[OSError]:
    """Whether it has an errno, or a code of getaddrinfo(3); that of an SSLError is OpenSSL's."""
    ssl = sys.modules.get("ssl")  # not imported, no SSLError
    ours = isinstance(error, OSError) and isinstance(error.errno, int) and error.errno != 0
    if ssl is None or isinstance(error, ConnectError):  # which may be an SSLError as well
        return ours
    return ours and not isinstance(error, ssl.SSLError)


def errno_of(error: Exception, default: int) -> int:
    """Its errno, if it has one of errno(3)."""
    # Those of a gaierror are another numbering again.
    if has_errno(error) and not isinstance(error, socket.gaierror) and error.errno is not None:
        return error.errno if error.errno > 0 else default
    return default


def begin_with_theirs(error: BaseException | None) -> BaseException | None:
    """The error, with a traceback that begins where code that is not ours does: who reads it looks
    for his own.  One that is all ours goes, if the error is the operating system's or a peer's."""
    if error is None:
        return None
    at = error.__traceback__
    while at is not None and at.tb_frame.f_globals.get("__name__", "").partition(".")[0] == _OURS:
        at = at.tb_next
    if at is not None or isinstance(error, OSError):
        error.__traceback__ = at
    return error
