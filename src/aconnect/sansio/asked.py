"""What proxies are asked for and told, checked before a byte of it is said.

Rules:

* Whoever carries out a talk with a proxy himself is told what is wrong as early as who dials is.
* What is wrong with a user or a password is said without showing it.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["check_login", "check_port", "name_asked"]

_MAX_PORT: Final = 65535
_LONGEST: Final = 255
_NO_NAME: Final = re.compile(rb"[\x00-\x20\x7f\[\]:/?#@]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def name_asked(host: str) -> bytes:
    """A name in its ASCII form.

    Raises:
        ValueError: it is none.
    """
    try:
        name = host.encode("ascii" if host.isascii() else "idna")
    except UnicodeError:
        name = b""
    if not 1 <= len(name) <= _LONGEST or _NO_NAME.search(name):
        raise ValueError(
            f"host must be a name of at most {_LONGEST} bytes, or an address without brackets and "
            f"a zone, not {host!r}"
        )
    return name


def check_port(port: int) -> None:
    """See that it is one.

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"port must be an int, not {port!r}")
    if not 0 <= port <= _MAX_PORT:
        raise ValueError(f"port must be from 0 to {_MAX_PORT}, not {port!r}")


def check_login(username: str | None, password: str | None = None) -> None:
    """See that they can be sent.

    Raises:
        ValueError: they cannot.
    """
    if username is None and password is not None:
        raise ValueError("password must not be given without a username")
    for name, value in (("username", username), ("password", password)):
        if value is not None and _SURROGATE.search(value):
            raise ValueError(f"{name} cannot be encoded in UTF-8")
