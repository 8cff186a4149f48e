"""The descriptors that this process has open, and what each of them is.

Rules:

* A number alone says little: a descriptor is its number and what it is open on, so that one that
  was closed and one that has its number since are two.
* Describing one leaves it as it is.
* What fstat(2) does not know is not seen: sockets on Windows.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING, Any, Final

from ..sockets.files import descriptor_identity

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["describe_descriptor", "descriptor_identity", "open_descriptors"]

_LISTING = "/proc/self/fd"

_MOST_NUMBERS: Final = 4096
"""Where nothing lists the descriptors, the numbers below this are tried.  A process with more
open files at once is rare, and a million calls after each test would be slow."""


def open_descriptors() -> dict[int, tuple[int, int]]:
    """The descriptors that are open, and the identity of each.

    Where there is no ``/proc/self/fd``, those below 4096.
    """
    try:
        numbers = [int(name) for name in os.listdir(_LISTING)]
    except OSError:
        numbers = list(range(_MOST_NUMBERS))
    identities = ((number, descriptor_identity(number)) for number in sorted(numbers))
    return {number: identity for number, identity in identities if identity is not None}


def describe_descriptor(number: int) -> str:
    """A descriptor in words: its number, and the path or the addresses of what it is open on."""
    try:
        mode = os.fstat(number).st_mode
        if stat.S_ISSOCK(mode):
            return f"{number} ({_describe_socket(number)})"
        try:
            return f"{number} ({os.readlink(f'{_LISTING}/{number}')})"
        except OSError:
            return f"{number} ({stat.filemode(mode)})"
    except OSError:
        return f"{number} (closed)"


def _describe_socket(number: int) -> str:
    with socket.socket(fileno=os.dup(number)) as sock:
        family = getattr(sock.family, "name", str(sock.family))
        return f"socket {family} {_name(sock.getsockname)} to {_name(sock.getpeername)}"


def _name(ask: Callable[[], Any]) -> str:
    try:
        name = ask()
    except OSError:
        return "nobody"
    if isinstance(name, tuple) and len(name) > 1:
        return f"{name[0]}:{name[1]}"
    return repr(name) if name else "unnamed"
