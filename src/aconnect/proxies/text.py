"""A proxy as text: ``scheme://user:password@host:port``.

Rules:

* A scheme there must be.  "socks" alone is none: it is version 4 to some programs, 5 to others.
* The user and the password are percent-decoded as UTF-8, and end at the last ``@``.
* What cannot be is a ValueError, in which all between ``://`` and the last ``@`` is ``***``.

Source: RFC 3986 sections 2.1 and 3.2.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from ..addresses.text import host_of_url, parse_address
from ..sansio.value import plain
from .values import DEFAULT_PORTS, Proxy

__all__ = ["parse_proxy", "redacted"]

_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_HOST_AND_PORT: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(.*))?", re.DOTALL)
_SCHEME: Final = re.compile(r"[A-Za-z0-9+.-]{1,20}")
_FORM: Final = 'use "scheme://host:port" or "scheme://user:password@host:port"'


def parse_proxy(text: str) -> Proxy:
    """The proxy that a text stands for.

    Args:
        text: ``scheme://[user[:password]@]host[:port]`` with a scheme of `Proxy`; the port is 1080
            for SOCKS, 80 for http and 443 for https, if there is none.  User and password are
            percent-encoded.  Also ``socks5h+unix:/path``, ``http+unix:@abstract`` and
            ``http+vsock:cid:port``.

    Raises:
        TypeError: it is not a str.
        ValueError: it does not name a proxy.  The message does not show a user or a password.

    Thread-safe; makes no system call.
    """
    if not isinstance(text, str):
        raise TypeError(f"a proxy must be a str, not {type(text).__name__}")
    text = plain(text)
    scheme, colon, rest = text.partition(":")
    scheme, plus, kind = scheme.lower().partition("+")
    if not colon or (not plus and not rest.startswith("//")):
        _refuse(text, f"the scheme is missing; {_FORM}")
    if scheme == "socks":
        _refuse(
            text, "socks:// means SOCKS4 to some programs and SOCKS5 to others: write which one"
        )
    if scheme not in DEFAULT_PORTS:
        _refuse(text, f"the scheme must be one of {', '.join(DEFAULT_PORTS)}")
    if plus:
        if kind not in ("unix", "vsock"):
            _refuse(text, "+ must be followed by unix or vsock")
        return _made(text, scheme, f"{kind}:{rest}", None, None)
    login, at, where = rest[2:].rpartition("@")
    if any(mark in login for mark in "/?#"):
        _refuse(text, "a /, ? or # in the user or password must be percent-encoded")
    where = where.removesuffix("/")
    if any(mark in where for mark in "/?#"):
        _refuse(text, "there must be no path, query or fragment after the host and port")
    parts = _HOST_AND_PORT.fullmatch(where)
    if parts is None:
        _refuse(text, "an IPv6 address needs brackets, as in http://[::1]:80")
    host, digits = parts.groups()
    port = digits or str(DEFAULT_PORTS[scheme])
    username = password = None
    if at and login:
        user, colon, secret = login.partition(":")
        username = _decoded(text, user)
        password = _decoded(text, secret) if colon else None
    return _made(text, scheme, f"tcp://{host_of_url(host)}:{port}", username, password)


def _made(
    text: str, scheme: str, address: str, username: str | None, password: str | None
) -> Proxy:
    try:
        return Proxy(scheme, parse_address(address), username=username, password=password)
    except ValueError as error:
        _refuse(text, str(error).removeprefix(f"not an address: {address!r}: "))


def _decoded(text: str, part: str) -> str:
    data = part.encode("utf-8", "surrogatepass")
    if b"%" in _ESCAPE.sub(b"", data):
        _refuse(text, "% in the user or password must be followed by two hexadecimal digits")
    try:
        return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), data).decode()
    except UnicodeDecodeError:
        _refuse(text, "the user and the password must be UTF-8, percent-encoded")


def redacted(text: str) -> str:
    """The text without a user and a password, whether it parses or not."""
    login, at, where = text.rpartition("@")
    if not at:
        return text
    scheme, mark, _ = login.partition("://")
    known = mark and _SCHEME.fullmatch(scheme)
    return f"{scheme}://***@{where}" if known else f"***@{where}"


def _refuse(text: str, why: str) -> NoReturn:
    raise ValueError(f"not a proxy: {redacted(text)!r}: {why}") from None
