"""HTTP CONNECT as a client speaks it, without I/O; h11 reads the heads.

Rules:

* What comes must begin as HTTP does, or it is no answer: h11 alone would wait for the end of a
  line.
* A head ends where its empty line does.  What is behind it belongs to the target, whatever
  Content-Length and Transfer-Encoding say (RFC 9110 section 9.3.6); of a refusal, what there is of
  it already is kept.
* The reason beside a status decides nothing, whatever there is in it (RFC 9112 section 4).
* Informational answers are passed over, but not without end.
* Nobody is followed to another place (3xx), and no login is tried a second time (407).
* A proxy that says again what it was told, in a reason or on a page, does not bring a user, a
  password or the value of a header into an error.
* ``Proxy-Status`` says what a refusal is about, if it is there and known (RFC 9209).

Sources: RFC 9110 sections 9.3.6 and 11.7, RFC 9112 section 3.2.3, RFC 7617 (Basic), RFC 9209.
"""

from __future__ import annotations

import errno as errnos
import re
import socket
from base64 import b64decode, b64encode
from contextlib import suppress
from itertools import chain, starmap
from typing import TYPE_CHECKING, Any, Final

import h11

from .asked import check_login, check_port, name_asked
from .negotiation import Refusal, hung_up, no_answer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .negotiation import About

__all__ = ["HTTPConnect"]

_LONGEST_HEAD: Final = 16 * 1024
_MOST: Final = 64 * 1024
"""Bytes of all heads together: no proxy has that much to say before it answers."""
_MOST_HEADS: Final = 16
_LONGEST_BODY: Final = 4 * 1024
_LONGEST_REASON: Final = 100
_LONGEST_FIELD: Final = 4 * 1024
_SHORT: Final = 4
_START: Final = b"HTTP/"
_END: Final = re.compile(rb"\n\r?\n")
_STATUS_LINE: Final = re.compile(rb"(HTTP/\d\.\d \d{3})(?: ([^\n]*?))?(\r?\n)")
_SWITCHING: Final = re.compile(rb"HTTP/\d\.\d 101\b")
_BYTES: Final = re.compile(r"bytearray\(b(.*)\)", re.DOTALL)
"""How h11 shows what is wrong."""
_FRAMING: Final = re.compile(
    rb"^(?:content-length|transfer-encoding)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*",
    re.IGNORECASE | re.MULTILINE,
)
"""The fields that say nothing where there is no body, however wrong they are."""
_QUOTED: Final = r'"(?:[^"\\]|\\.)*(?:"|$)'
_ERROR: Final = re.compile(rf';\s*error\s*=\s*(?:"(\w+)"|([^\s;,"]+))|{_QUOTED}')
_SCHEME: Final = re.compile(rf"(?:^|,)\s*([A-Za-z][\w.+-]*)(?=\s*(?:,|$)|\s+[^\s=,])|{_QUOTED}")


def _any_of(secrets: Iterable[bytes]) -> re.Pattern[bytes]:
    """What a proxy may say again of what it was told: a short one counts as a word only."""
    words = map(re.escape, secrets)
    return re.compile(
        b"|".join(
            word if len(word) > _SHORT else rb"(?<![0-9A-Za-z])%b(?![0-9A-Za-z])" % word
            for word in words
        )
    )


def _secrets_of(name: str, value: str) -> Iterator[str]:
    """What a header tells the proxy in confidence, as any may: such as a token."""
    scheme, _, rest = value.partition(" ")
    yield from (each for each in (value, rest) if len(each) > _SHORT)
    if (name.lower(), scheme.lower()) == ("proxy-authorization", "basic"):
        with suppress(ValueError):  # it is none of Basic's
            yield from b64decode(rest, validate=True).decode().split(":", 1)


_ERRORS: Final[dict[str, int]] = {
    "connection_refused": errnos.ECONNREFUSED,
    "connection_timeout": errnos.ETIMEDOUT,
    "dns_error": errnos.EHOSTUNREACH,
    "dns_timeout": errnos.EHOSTUNREACH,
    "destination_ip_prohibited": errnos.EACCES,
    "http_request_denied": errnos.EACCES,
    "destination_ip_unroutable": errnos.ENETUNREACH,
}
"""Error types of RFC 9209 section 2.3 that say something about the target."""


class HTTPConnect:
    """Asks an HTTP proxy for a target.

    Args:
        host: a name, which the proxy looks up, or an address.
        port: from 0 to 65535.
        username: without a colon; None for no login.
        password: the password.
        headers: further headers, as pairs.

    Raises:
        TypeError, ValueError: another argument is invalid; what is wrong with a user or a
            password is said without showing it.
        h11.LocalProtocolError: a header is none.
    """

    name: str = "HTTP CONNECT"
    looks_ahead: bool = True
    awaited: str = "the CONNECT request"

    def __init__(
        self,
        host: str,
        port: int,
        username: str | None = None,
        password: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        check_port(port)
        check_login(username, password)
        if username is not None and ":" in username:
            raise ValueError("username must not contain a colon for HTTP")
        where = _authority(host, port)
        sent = [("Host", where)]
        headers = [*headers]
        secrets = [*chain.from_iterable(starmap(_secrets_of, headers))]
        if username is not None:
            login = b64encode(f"{username}:{password or ''}".encode()).decode("ascii")
            sent.append(("Proxy-Authorization", f"Basic {login}"))
            secrets += (login, username, password or "")
        self._secrets = [each.encode() for each in secrets if each]
        self._reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        request = h11.Request(method="CONNECT", target=where, headers=[*sent, *headers])
        self._out = (self._reader.send(request) or b"") + (
            self._reader.send(h11.EndOfMessage()) or b""
        )
        self._head = b""  # as far as it has come
        self._heads = 0
        self._bytes = 0
        self.wanted: int = _LONGEST_HEAD

    def to_send(self) -> bytes:
        """What is to be sent now."""
        data, self._out = self._out, b""
        return data

    def receive(self, data: bytes) -> int:
        """The proxy has sent something, which is looked at; it is told of all that is not taken
        again.

        Returns:
            How many bytes of it are the proxy's.

        Raises:
            Refusal: the talk is over.
        """
        had = len(self._head)
        head = self._head + data
        if not (_START.startswith(head[:5]) or head.startswith(_START)):
            raise no_answer_of("HTTP", head)
        end = _END.search(head, max(0, had - 2))
        length = len(head) if end is None else end.end()
        self._bytes += length - had
        if length > _LONGEST_HEAD:
            raise _no_end(f"a head of more than {_LONGEST_HEAD} bytes")
        if self._bytes > _MOST:
            raise _no_end(f"more than {_MOST} bytes of interim answers")
        if end is None:
            self._head = head
            return len(data)
        self._heads += 1
        if self._heads > _MOST_HEADS:
            raise _no_end(f"more than {_MOST_HEADS} answers")
        self._head = b""
        self._judge(head[:length], head[length:])
        return length - had

    def _judge(self, head: bytes, behind: bytes) -> None:
        """Judge an answer; with ``behind``, what is there of its body."""
        behind = self._told(behind)
        if _SWITCHING.match(head):
            raise _refused(101, "Switching Protocols", {}, behind)
        wrong, reason = "", b""
        line = _STATUS_LINE.match(head)
        if line is not None:
            reason, head = line[2] or b"", line[1] + line[3] + head[line.end() :]
        try:
            self._reader.receive_data(_FRAMING.sub(b"", head))
            answer: Any = self._reader.next_event()
        except h11.RemoteProtocolError as error:
            wrong = _shown(self._told(_BYTES.sub(r"\1", str(error)).encode()))
        if wrong:
            words = f"it is no HTTP proxy: its answer is not valid HTTP: {wrong}"
            raise Refusal(errnos.EPROTO, words, about="address")
        if isinstance(answer, h11.InformationalResponse):
            return
        status = int(answer.status_code)
        if status < 300:
            self.wanted = 0
            return
        fields: dict[str, str] = {}
        for name, value in answer.headers:
            key = name.decode("ascii")
            said = _shown(self._told(value), _LONGEST_FIELD)
            fields[key] = ", ".join(filter(None, (fields.get(key), said)))
        raise _refused(status, _shown(self._told(reason.strip())), fields, behind)

    def _told(self, data: bytes) -> bytes:
        """What the proxy says, without what it has been told in confidence."""
        data = bytes(data)
        # To look for more than can be in it would take longer than all the rest.
        secrets = [each for each in self._secrets if len(each) <= len(data)]
        return _any_of(secrets).sub(b"***", data) if secrets else data

    def hung_up(self) -> Refusal:
        """The proxy has closed the connection, or reset it."""
        return hung_up(f"before answering {self.awaited}")


def _authority(host: str, port: int) -> str:
    packed = _packed(host)
    if packed is None:
        host = name_asked(host).decode("ascii")
    else:
        if packed.startswith(bytes(10) + b"\xff\xff"):
            host = socket.inet_ntop(socket.AF_INET, packed[12:])
        else:
            host = f"[{host}]"
    return f"{host}:{port}"


def _packed(host: str) -> bytes | None:
    """The bytes of an IPv6 address; None for what is none."""
    try:
        return socket.inet_pton(socket.AF_INET6, host)
    except (OSError, ValueError):
        return None


def _shown(value: bytes, most: int = _LONGEST_REASON) -> str:
    """What a peer says, printable and not long."""
    text = value.decode("latin-1")[:most]
    return "".join(char if char.isprintable() else "?" for char in text)


def _no_end(what: str) -> Refusal:
    return Refusal(errnos.EPROTO, f"the proxy's answer does not end: {what}", about="address")


def _refused(status: int, reason: str, fields: dict[str, str], behind: bytes) -> Refusal:
    """The verdict on an answer that is not 2xx."""
    errno, about, advice = _meaning(status, fields)
    said = f"the proxy says {status} {reason}".rstrip()
    if "retry-after" in fields and status in (429, 503):
        advice = f"Retry-After: {fields['retry-after'][:_LONGEST_REASON]}"
    words = f"{said}: {advice}" if advice else said
    return Refusal(errno, words, about=about, reply=status, body=behind[:_LONGEST_BODY])


def _meaning(status: int, fields: dict[str, str]) -> tuple[int, About, str]:
    if status == 407:
        offered = filter(None, _SCHEME.findall(fields.get("proxy-authenticate", "")))
        schemes = ", ".join(dict.fromkeys(offered))[:_LONGEST_REASON]
        return errnos.EACCES, "proxy", f"it wants a login ({schemes or 'it does not say which'})"
    for quoted, token in _ERROR.findall(fields.get("proxy-status", "")):
        error = quoted or token
        if error in _ERRORS:
            return _ERRORS[error], "target", error
    if status == 403:
        return errnos.EACCES, "target", ""
    if status == 504:
        return errnos.ETIMEDOUT, "target", "the timeout is the proxy's own"
    if status in (405, 501):
        return errnos.EOPNOTSUPP, "proxy", "it does not support CONNECT"
    if status < 500:
        return errnos.EPROTO, "proxy", "it does not accept the request"
    return errnos.EHOSTUNREACH, "target", ""
