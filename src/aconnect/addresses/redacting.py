"""What may have a user and a password in it, without them.

Rules:

* No host has an ``@``.  So what is before the last one of a text is a user and a password, as in a
  URL, whether it belongs there or not; and what looks like one counts.
* A path of a unix socket may have one, and is shown as it is.
"""

from __future__ import annotations

import os
import re
from typing import Any, Final

__all__ = ["address_shown", "has_login", "proxy_shown", "redacted", "shown"]

_AT: Final = frozenset("@\ufe6b\uff20")  # what looks like one counts
# They are compiled when they are needed, which is seldom; every import has to wait for this.
_LAST_AT: Final = "(.*)[@\ufe6b\uff20](.*)"
_LOGIN: Final = "[^:\ufe55\uff1a]*[:\ufe55\uff1a].*[@\ufe6b\uff20]"
_UNIX: Final = r"unix(?:gram|packet)?:|\.{0,2}/(?!/)"
_SCHEME: Final = r"[A-Za-z0-9+.-]{1,20}"
_HOST: Final = r"(?:\[[^\]@]*\]|[^:/?#\[\]]*)(?::[0-9]{1,5}(?=[/?#]|$))?(?:/$)?"
_PATH: Final = r"[A-Za-z0-9]{1,20}\+unix:"


def redacted(text: str) -> str:
    """The text without what is before its last ``@``, but for a scheme."""
    found = re.fullmatch(_LAST_AT, text, re.DOTALL)
    if found is None:
        return text
    login, where = found.groups()
    scheme, mark, _ = login.partition("://")
    return f"{scheme}://***@{where}" if mark and re.fullmatch(_SCHEME, scheme) else f"***@{where}"


def has_login(text: str) -> bool:
    """Whether there is what looks like a user or a password before a host, for which no colon is
    needed here."""
    return not _AT.isdisjoint(text) and not re.match(_UNIX, text, re.IGNORECASE)


def address_shown(text: str) -> str:
    """What is an address, or was to be one, without a user and a password: in a URL, and wherever
    there is a colon before an ``@``."""
    return redacted(text) if has_login(text) and re.match(_LOGIN, text, re.DOTALL) else text


def shown(value: Any) -> str:
    """The ``repr()`` of an argument, without a user and a password."""
    if isinstance(value, str):
        return repr(address_shown(value))
    if isinstance(value, bytes):
        return repr(os.fsencode(address_shown(os.fsdecode(value))))
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))}{',' * (len(value) == 1)})"
    return repr(value)


def proxy_shown(text: str) -> str:
    """What was to be a proxy, without what may be a secret, whatever is wrong with it: a scheme, a
    host and a number for a port are none."""
    if re.match(_PATH, text) and _AT.isdisjoint(text):
        return text
    begin, mark, where = redacted(text).rpartition("@")
    if not mark:
        begin, mark, where = text.rpartition("://")
    host = re.match(_HOST, where)
    assert host is not None  # it may be empty
    rest = where[host.end() :]
    return f"{begin}{mark}{host[0]}" + (rest and f"{rest[0]}***")
