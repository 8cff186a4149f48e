"""A proxy on a network that is not there, which does as it is told.

Rules:

* What it says does not depend on what it hears: it is the script's.  What it hears is kept.
* What takes time is a timer of the running event loop, which is cancelled when the connection is
  closed before.
* What comes behind a good answer is the target's, and the test plays the target.
* With TLS, all of this is within it.

Sources: RFC 1928 for SOCKS5, RFC 9110 section 9.3.6 for CONNECT, RFC 9209 for Proxy-Status.
"""

from __future__ import annotations

import errno as errnos
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..proxies.values import DEFAULT_PORTS
from .outcomes import Script, seconds_of
from .proxy_connections import Plain, Secure
from .sockaddrs import error
from .timers import call_later

if TYPE_CHECKING:
    import socket
    import ssl as ssl_module
    from collections.abc import Iterable
    from typing import TypeAlias

    from .host import FakeHost
    from .network import FakeNetwork

    AnswerLike: TypeAlias = "Answer | str | bytes"

__all__ = ["Answer", "FakeProxy"]

_PIECE: Final = 0.001  # seconds between two bytes of an answer that is split
_NOWHERE: Final = b"\x00\x01" + bytes(6)  # an IPv4 address and a port, which nobody looks at
_SOCKS4: Final = {"connects": 90, "refused": 91, "unreachable": 91, "forbidden": 91, "login": 93}
_SOCKS5: Final = {"connects": 0, "refused": 5, "unreachable": 4, "forbidden": 2}
_HTTP: Final = {
    "connects": "200 Connection established",
    "refused": "502 Bad Gateway\r\nProxy-Status: fake; error=connection_refused",
    "unreachable": "502 Bad Gateway",
    "forbidden": "403 Forbidden",
    "login": '407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="fake"',
}
_OF_HTTP: Final = ("http", "https")
_SILENT: Final = ("silent", "closes")
_GARBAGE: Final = b"\xff\xfe nothing that a proxy says\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a `FakeProxy` does with a connection.

    Args:
        what: ``"connects"``; of the target: ``"refused"``, ``"unreachable"``, ``"forbidden"``;
            ``"login"``, wants another login; ``"silent"``, never answers; ``"closes"``, hangs up;
            ``"garbage"``, says what no proxy says; or bytes, which it sends as they are.
        after: seconds until it answers.
        split: whether each byte comes by itself, a millisecond after the one before.
        surplus: what the target has to say at once, which comes with the answer.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: there is no such answer, or it has no surplus.
    """

    what: str | bytes
    after: float = 0.0
    split: bool = False
    surplus: bytes = b""

    def __post_init__(self) -> None:
        if not isinstance(self.what, (str, bytes)):
            raise TypeError(f"what must be a str or bytes, not {self.what!r}")
        if isinstance(self.what, str) and self.what not in (*_HTTP, *_SILENT, "garbage"):
            words = ", ".join((*_HTTP, *_SILENT, "garbage"))
            raise ValueError(f"what must be one of {words}, or bytes, not {self.what!r}")
        seconds_of(self.after, "after")
        if not isinstance(self.split, bool):
            raise TypeError(f"split must be a bool, not {self.split!r}")
        if not isinstance(self.surplus, bytes):
            raise TypeError(f"surplus must be bytes, not {self.surplus!r}")
        if self.surplus and self.what != "connects":
            raise ValueError(
                f"surplus comes from the target, and {self.what!r} does not connect to one"
            )


class FakeProxy:
    """A proxy on a `FakeNetwork`, for ``network.dialer(proxy=proxy.url)``.

    Args:
        network: it is added to this.
        script: what it does with a connection: an `Answer`, or its first argument; an iterable has
            one for each connection, of which the last one stays.
        scheme: what it speaks: "socks4", "socks4a", "socks5", "socks5h", "http" or "https".
        name: resolves to its address.
        address: where it is.
        port: where it listens; by default that of the scheme.
        login: of SOCKS5, whether it wants a name and a password, and takes any.
        ssl: of https, and needed there: a context for a server, which has the certificate.

    Attributes:
        url: for a `Dialer`, without a login.
        host: the same as a host: ``proxy.host.becomes("refused")`` for one that is down.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value.
    """

    def __init__(
        self,
        network: FakeNetwork,
        script: AnswerLike | Iterable[AnswerLike] = "connects",
        *,
        scheme: str = "http",
        name: str = "proxy.example",
        address: str = "192.0.2.80",
        port: int | None = None,
        login: bool = False,
        ssl: ssl_module.SSLContext | None = None,
    ) -> None:
        if scheme not in DEFAULT_PORTS:
            raise ValueError(f"scheme must be one of {', '.join(DEFAULT_PORTS)}, not {scheme!r}")
        if (ssl is not None) is not (scheme == "https"):
            raise ValueError("ssl must be a context for a server, for scheme='https' alone")
        if login and not scheme.startswith("socks5"):
            raise ValueError(f"login is for SOCKS5, not for {scheme}")
        port = DEFAULT_PORTS[scheme] if port is None else port
        whole = isinstance(script, (str, bytes, Answer))
        self._script: Script[Answer] = Script([script] if whole else script, _answer_of)
        self._scheme = scheme
        self._ssl = ssl
        self._login = login
        self._network = network
        self._met: list[Plain | Secure] = []
        self._connected: list[Plain | Secure] = []
        self.url: str = f"{scheme}://{name}:{port}"
        self.host: FakeHost = network.add(name, address, port=port, on_connection=self._meet)

    @property
    def heard(self) -> list[bytes]:
        """What each connection has said to the proxy so far, in the order of the connections.

        What it says to the target is not in it, once that has been taken by `accept`.
        """
        return [each.heard() for each in self._met]

    def accept(self) -> socket.socket:
        """The target's end of the oldest connection that the proxy has connected, and that has not
        been taken: a non-blocking socket, which the caller closes.

        What was said to the proxy has been read from it.

        Raises:
            BlockingIOError: there is none.
        """
        for connection in tuple(self._connected):
            length = _length_of(self._scheme, connection.heard())
            if length is None:
                continue  # it is still being asked for
            self._connected.remove(connection)
            if self._network.take(connection.far) and connection.is_up:
                return connection.target(self._network, length)
        raise error(errnos.EAGAIN)

    def _meet(self, far: socket.socket) -> None:
        """A connection has been made."""
        answer = self._script.next()
        connection: Plain | Secure
        if self._ssl is None:
            connection = Plain(self._network, far, listens=answer.what != "closes")
        else:
            connection = Secure(self._network, far, self._ssl)
        self._met.append(connection)
        if answer.what == "silent":
            return
        if answer.what == "connects":
            self._connected.append(connection)
        said = b"" if answer.what == "closes" else self._said(answer.what) + answer.surplus
        size = 1 if answer.split else max(1, len(said))
        pieces = [said[at : at + size] for at in range(0, len(said), size)] or [b""]
        self._say(connection, deque(pieces), answer.after)

    def _say(self, connection: Plain | Secure, pieces: deque[bytes], after: float) -> None:
        """Send the next piece; an empty one is a goodbye."""
        connection.cancel = None
        if after:
            later = partial(self._say, connection, pieces, 0.0)
            connection.cancel = call_later(after, later)
            return
        if connection.say(self._network, pieces.popleft()) and pieces:
            self._say(connection, pieces, _PIECE)

    def _said(self, what: str | bytes) -> bytes:
        """What a proxy of this kind says."""
        if isinstance(what, bytes):
            return what
        if what == "garbage":
            return _GARBAGE
        if self._scheme in _OF_HTTP:
            return f"HTTP/1.1 {_HTTP[what]}\r\n\r\n".encode()
        if not self._scheme.startswith("socks5"):
            return bytes([0, _SOCKS4[what]]) + bytes(6)
        if what == "login":
            return b"\x05\x02\x01\x01" if self._login else b"\x05\xff"
        chosen = b"\x05\x02\x01\x00" if self._login else b"\x05\x00"
        return chosen + bytes([5, _SOCKS5[what]]) + _NOWHERE


def _answer_of(given: Any) -> Answer:
    return given if isinstance(given, Answer) else Answer(given)


def _length_of(scheme: str, heard: bytes) -> int | None:
    """How many bytes of what was heard are for the proxy; None if it has not heard all of that."""
    try:
        length = _end_of_http(heard) if scheme in _OF_HTTP else _end_of_socks(scheme, heard)
    except (IndexError, ValueError):
        return None
    return length if length <= len(heard) else None


def _end_of_http(heard: bytes) -> int:
    return heard.index(b"\r\n\r\n") + 4


def _end_of_socks(scheme: str, heard: bytes) -> int:
    if scheme == "socks5" or scheme == "socks5h":
        at = 2 + heard[1]
        if heard[at] == 1:  # a login (RFC 1929)
            at += 2 + heard[at + 1]
            at += 1 + heard[at]
        sizes = {1: 4, 3: 1 + heard[at + 4], 4: 16}
        return at + 4 + sizes[heard[at + 3]] + 2
    at = heard.index(b"\0", 8) + 1  # behind the user
    if heard[4:7] == b"\0\0\0" and heard[7]:  # of 4a: behind the name, too
        at = heard.index(b"\0", at) + 1
    return at
