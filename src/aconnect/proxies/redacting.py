"""Text in which a user and a password may be, without them."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["proxy_shown", "redacted"]

_LAST_AT: Final = re.compile("(.*)[@\ufe6b\uff20](.*)", re.DOTALL)  # what looks like one counts
_SCHEME: Final = re.compile(r"[A-Za-z0-9+.-]{1,20}")
_HOST: Final = re.compile(r"(?:\[[^\]@]*\]|[^:/?#\[\]]*)(?::[0-9]{1,5}(?=[/?#]|$))?(?:/$)?")
_PATH: Final = re.compile(r"[A-Za-z0-9]{1,20}\+unix:")


def redacted(text: str) -> str:
    """The text without what is before its last ``@``, but for a scheme."""
    found = _LAST_AT.fullmatch(text)
    if found is None:
        return text
    login, where = found.groups()
    scheme, mark, _ = login.partition("://")
    return f"{scheme}://***@{where}" if mark and _SCHEME.fullmatch(scheme) else f"***@{where}"


def proxy_shown(text: str) -> str:
    """What was to be a proxy, without what may be a secret, whatever is wrong with it: a scheme, a
    host and a number for a port are none."""
    if _PATH.match(text) and "@" not in text:
        return text
    begin, mark, where = redacted(text).rpartition("@")
    if not mark:
        begin, mark, where = text.rpartition("://")
    shown = _HOST.match(where)
    assert shown is not None  # it may be empty
    rest = where[shown.end() :]
    return f"{begin}{mark}{shown[0]}" + (rest and f"{rest[0]}***")
