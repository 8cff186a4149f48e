"""A proxy as text: ``scheme://user:password@host:port``.

Rules:

* A scheme there must be.  "socks" alone is none: it is version 4 to some programs, 5 to others.
* The user and the password are percent-decoded as UTF-8, and end at the last ``@``.
* What cannot be is a ValueError, in which all between ``://`` and the last ``@`` is ``***``, and
  so is whatever else may be a secret in the wrong place.  Nothing of it is in the error's context.

Source: RFC 3986 sections 2.1 and 3.2.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from typing import Final, NoReturn

from ..addresses.redacting import proxy_shown, shown
from ..addresses.services import may_be_service, service_port
from ..addresses.text import host_of_url, parse_address
from ..sansio.value import plain
from .values import DEFAULT_PORTS, Proxy

__all__ = ["parse_proxy"]

_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_HOST_AND_PORT: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(.*))?", re.DOTALL)
_LOGIN: Final = re.compile("(?!@)[^/]*[:\ufe55\uff1a][^/]*[@\ufe6b\uff20]")
_BRACKETS: Final = "an IPv6 address needs brackets, as in http://[::1]:80"
_PORT: Final = "the port must be a number from 0 to 65535, or the name of a service"
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
        in_place_of_host = rest.startswith("//") and not rest.startswith("///")
        if in_place_of_host or _LOGIN.match(rest):
            _refuse(text, f"a {kind} address has no host and no login: use {scheme}+{kind}:...")
        return _made(text, scheme, f"{kind}:{rest}", None, None)
    login, at, where = rest[2:].rpartition("@")
    if any(mark in login for mark in "/?#"):
        _refuse(text, "a /, ? or # in the user or password must be percent-encoded")
    where = where.removesuffix("/")
    if any(mark in where for mark in "/?#"):
        _refuse(text, "there must be no path, query or fragment after the host and port")
    parts = _HOST_AND_PORT.fullmatch(where)
    if parts is None:
        _refuse(text, _BRACKETS)
    host, digits = parts.groups()
    if digits and not digits.isdecimal() and not _is_service(digits):
        _refuse(text, _BRACKETS if ":" in digits else _PORT)
    port = digits or str(DEFAULT_PORTS[scheme])
    username = password = None
    if at and login:
        user, colon, secret = login.partition(":")
        username = _decoded(text, user)
        password = _decoded(text, secret) if colon else None
    return _made(text, scheme, f"tcp://{host_of_url(host)}:{port}", username, password)


def _is_service(name: str) -> bool:
    return may_be_service(name) and service_port(name, socket.IPPROTO_TCP) is not None


def _made(
    text: str, scheme: str, address: str, username: str | None, password: str | None
) -> Proxy:
    try:
        return Proxy(scheme, parse_address(address), username=username, password=password)
    except ValueError as error:
        why = str(error).removeprefix(f"not an address: {shown(address)}: ")
    return _refuse(text, why)


def _decoded(text: str, part: str) -> str:
    data = part.encode("utf-8", "surrogatepass")
    if b"%" in _ESCAPE.sub(b"", data):
        _refuse(text, "% in the user or password must be followed by two hexadecimal digits")
    with suppress(UnicodeDecodeError):
        return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), data).decode()
    return _refuse(text, "the user and the password must be UTF-8, percent-encoded")


def _refuse(text: str, why: str) -> NoReturn:
    raise ValueError(f"not a proxy: {proxy_shown(text)!r}: {why}")
