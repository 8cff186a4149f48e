"""SOCKS 4, 4a and 5 as a client speaks them, without I/O.

Rules:

* Replies are read exactly: no byte behind them is asked for.
* A refusal is known by its code, and ends the talk at once: some servers send nothing behind it.
* An answer that was not asked for, such as a method that was not offered, is no answer of SOCKS.
* What the proxy says of its own end (BND) is not judged, and neither is a reserved byte.
* Request and greeting are not sent together: a proxy may want a login first.
* An address goes as an address, an IPv4-mapped one as IPv4; a name in its ASCII form.

Sources: RFC 1928 (SOCKS5), RFC 1929 (user and password), the memos on SOCKS4 and 4a of NEC.
"""

from __future__ import annotations

import errno as errnos
import socket
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from .asked import check_login, check_port, name_asked
from .negotiation import Refusal, hung_up, no_answer_of

if TYPE_CHECKING:
    from .negotiation import About

__all__ = ["SOCKS4_CODES", "SOCKS5_REPLIES", "Socks4", "Socks5"]

_MAPPED: Final = bytes(10) + b"\xff\xff"
_NO_LOGIN: Final = 0
_PASSWORD: Final = 2
_NONE_WILL_DO: Final = 0xFF
_IPV4: Final = 1
_NAME: Final = 3
_IPV6: Final = 4


class Reply(NamedTuple):
    """What a code means."""

    errno: int
    about: About
    words: str


SOCKS5_REPLIES: Final[dict[int, Reply]] = {
    1: Reply(errnos.EHOSTUNREACH, "target", "it could not connect, and does not say why"),
    2: Reply(errnos.EACCES, "target", "its rules do not allow it"),
    3: Reply(errnos.ENETUNREACH, "target", "it cannot reach the network"),
    4: Reply(errnos.EHOSTUNREACH, "target", "it cannot reach the host"),
    5: Reply(errnos.ECONNREFUSED, "target", "nothing is listening there"),
    6: Reply(errnos.ETIMEDOUT, "target", "it had no answer before its own timeout"),
    7: Reply(errnos.EOPNOTSUPP, "proxy", "it does not support CONNECT"),
    8: Reply(errnos.EAFNOSUPPORT, "target", "it does not support addresses of that type"),
}
"""The replies of RFC 1928 section 6, but for 0, which is success."""
_UNKNOWN_REPLY: Final = Reply(errnos.EHOSTUNREACH, "target", "a code that is not defined")

SOCKS4_CODES: Final[dict[int, Reply]] = {
    91: Reply(errnos.ECONNREFUSED, "target", "rejected or failed"),
    92: Reply(errnos.EACCES, "proxy", "it could not reach identd on this host"),
    93: Reply(errnos.EACCES, "proxy", "identd on this host reports another user"),
}
"""The codes of SOCKS4, but for 90, which is success."""


def _packed(host: str) -> bytes | None:
    """The bytes of an address; None for a name."""
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except (OSError, ValueError):
        return None
    return packed[12:] if packed.startswith(_MAPPED) else packed


class _Socks:
    """What all versions have in common.

    Args:
        host: a name, or an address without a zone.
        port: from 0 to 65535.
    """

    looks_ahead: bool = False

    def __init__(self, host: str, port: int) -> None:
        check_port(port)
        self._host = host
        self._packed = _packed(host)
        self._port = port.to_bytes(2, "big")
        self._out = b""
        self._reply = b""  # of the answer that is awaited
        self.wanted: int = 0
        self.awaited: str = ""

    def to_send(self) -> bytes:
        """What is to be sent now."""
        data, self._out = self._out, b""
        return data

    def _say(self, data: bytes, wanted: int, awaited: str) -> None:
        self._out, self._reply = data, b""
        self.wanted, self.awaited = wanted, awaited

    def _wait_for(self, wanted: int) -> None:
        self.wanted = wanted

    def _took(self, data: bytes) -> bytes:
        """Take what has come; all of the answer that is there now."""
        self._reply += data
        self.wanted -= len(data)
        return self._reply


class Socks5(_Socks):
    """Asks a SOCKS5 proxy for a target.

    Args:
        host: a name, which the proxy looks up, or an address.
        port: from 0 to 65535.
        username: 1 to 255 bytes of UTF-8; None for no login.
        password: at most 255 bytes.

    Raises:
        TypeError, ValueError: an argument is invalid; what is wrong with a user or a password is
            said without showing it.

    Source: RFC 1928, RFC 1929.
    """

    name: str = "SOCKS5"

    def __init__(
        self, host: str, port: int, username: str | None = None, password: str | None = None
    ) -> None:
        super().__init__(host, port)
        check_login(username, password)
        self._login: bytes | None = None
        if username is not None:
            parts = [
                _counted(each, what)
                for each, what in (
                    (username, "username"),
                    (password or "", "password"),
                )
            ]
            self._login = b"\x01" + b"".join(parts)
        if self._packed is None:
            asked = bytes([_NAME]) + _counted(name_asked(host), "host")
        else:
            asked = bytes([_IPV4 if len(self._packed) == 4 else _IPV6]) + self._packed
        self._request = b"\x05\x01\x00" + asked + self._port
        self._offered = (_NO_LOGIN,) if self._login is None else (_NO_LOGIN, _PASSWORD)
        self._state: Literal["greeting", "login", "request", "bound", "done"] = "greeting"
        greeting = bytes([5, len(self._offered), *self._offered])
        self._say(greeting, 2, "the SOCKS5 greeting")

    def receive(self, data: bytes) -> int:
        """The proxy has sent something, of what is wanted.

        Raises:
            Refusal: the talk is over.
        """
        reply = self._took(data)
        if self._state in ("greeting", "request") and reply[:1] not in (b"", b"\x05"):
            raise no_answer_of("SOCKS5", reply)
        if self._state == "request" and len(reply) >= 2 and reply[1] != 0:
            raise _refused(reply[1])
        if not self.wanted:
            getattr(self, f"_after_{self._state}")(reply)
        return len(data)

    def _after_greeting(self, reply: bytes) -> None:
        method = reply[1]
        if method == _NONE_WILL_DO:
            raise Refusal(errnos.EACCES, _NO_METHOD[self._login is None], about="proxy", reply=255)
        if method not in self._offered:
            raise no_answer_of("SOCKS5", reply)
        if method == _PASSWORD:
            assert self._login is not None
            self._state = "login"
            self._say(self._login, 2, "the SOCKS5 login")
        else:
            self._ask()

    def _after_login(self, reply: bytes) -> None:
        if reply[1] != 0:
            words = "the proxy does not accept this user and password"
            raise Refusal(errnos.EACCES, words, about="proxy", reply=reply[1])
        self._ask()

    def _ask(self) -> None:
        self._state = "request"
        self._say(self._request, 4, "the SOCKS5 request")

    def _after_request(self, reply: bytes) -> None:
        kind = reply[3]
        if kind == _NAME and len(reply) == 4:
            self._wait_for(1)  # its length
        elif kind == _NAME:
            self._state = "bound"
            self._wait_for(reply[4] + 2)
        elif kind in (_IPV4, _IPV6):
            self._state = "bound"
            self._wait_for((4 if kind == _IPV4 else 16) + 2)
        else:
            raise no_answer_of("SOCKS5", reply)

    def _after_bound(self, _: bytes) -> None:
        self._state = "done"

    def hung_up(self) -> Refusal:
        """The proxy has closed the connection, or reset it."""
        if self._state == "request" and not self._reply:
            return hung_up(
                "instead of answering the request: it may be unable to reach the host, or may not "
                "serve this client",
                "target",
            )
        return hung_up(f"before answering {self.awaited}")


_NO_METHOD: Final = {
    True: "the proxy wants a login, and there was none to offer: give it a user and a password",
    False: "the proxy takes neither a login by user and password nor a client without one",
}


def _refused(code: int) -> Refusal:
    errno, about, words = SOCKS5_REPLIES.get(code, _UNKNOWN_REPLY)
    return Refusal(errno, f"the proxy says {code}: {words}", about=about, reply=code)


def _counted(value: str | bytes, name: str) -> bytes:
    """With its length before it."""
    data = value.encode() if isinstance(value, str) else value
    least = 0 if name == "password" else 1
    if not least <= len(data) <= 255:
        raise ValueError(f"{name} must have from {least} to 255 bytes for SOCKS5, not {len(data)}")
    return bytes([len(data)]) + data


class Socks4(_Socks):
    """Asks a SOCKS4 or 4a proxy for a target.

    Args:
        host: an IPv4 address, or an IPv6 one that is mapped; a name, for 4a alone.
        port: from 0 to 65535.
        username: the user's id, without a NUL; empty for none.

    Raises:
        TypeError, ValueError: an argument is invalid, such as an IPv6 address.

    Source: the memos on SOCKS4 and SOCKS4A.
    """

    name: str = "SOCKS4"

    def __init__(self, host: str, port: int, username: str = "") -> None:
        super().__init__(host, port)
        check_login(username)
        if "\0" in username:
            raise ValueError("username must not contain a NUL character for SOCKS4")
        name = b""
        packed = self._packed
        if packed is None:
            packed, name = b"\x00\x00\x00\x01", name_asked(host) + b"\x00"
        elif len(packed) != 4:
            raise ValueError(f"host must be an IPv4 address or a name for SOCKS4, not {host!r}")
        user = username.encode() + b"\x00"
        self._say(b"\x04\x01" + self._port + packed + user + name, 8, "the SOCKS4 request")

    def receive(self, data: bytes) -> int:
        """The proxy has sent something, of what is wanted.

        Raises:
            Refusal: the talk is over.
        """
        reply = self._took(data)
        if reply[:1] not in (b"", b"\x00", b"\x04"):
            raise no_answer_of("SOCKS4", reply)
        if len(reply) >= 2 and reply[1] != 90:
            code = SOCKS4_CODES.get(reply[1])
            if code is None:
                raise no_answer_of("SOCKS4", reply)
            words = f"the proxy says {reply[1]}: {code.words}"
            raise Refusal(code.errno, words, about=code.about, reply=reply[1])
        return len(data)

    def hung_up(self) -> Refusal:
        """The proxy has closed the connection, or reset it."""
        return hung_up(f"before answering {self.awaited}")
