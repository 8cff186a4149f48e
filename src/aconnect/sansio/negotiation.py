"""What a talk with a proxy is, whatever it speaks: bytes in, bytes out, and a verdict.

Pure: no socket, no clock.  Who carries a talk out sends what it has to send, reads what it wants,
and tells it when the proxy has hung up.

Rules:

* Nothing is read that is not the proxy's: what comes behind its last answer is the target's.
* A verdict says what it is about, for that decides what is tried next (`Refusal`).
"""

from __future__ import annotations

import errno as errnos
from typing import Any, Literal, Protocol, TypeAlias

__all__ = ["About", "Negotiation", "Refusal", "hung_up", "no_answer_of"]

About: TypeAlias = Literal["address", "proxy", "target"]


class Refusal(OSError):
    """A proxy does not do what it was asked.

    Args:
        errno: what it comes down to.
        words: what the proxy said, or did, for people.
        about: "address": this address of the proxy's is of no use, another may be; "proxy": the
            proxy will have none of it, whatever address it is reached at; "target": what it was
            asked for cannot be reached through it, something else may be.
        reply: the code of its answer, if there was one: of SOCKS, or the status of HTTP.
        body: the beginning of what came behind the head of an answer of HTTP.
    """

    def __init__(
        self,
        errno: int,
        words: str,
        *,
        about: About,
        reply: int | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(errno, words)
        self.about: About = about
        self.reply: int | None = reply
        self.body: bytes = body

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.args, self.about, self.reply, self.body)


def _rebuild(args: tuple[int, str], about: About, reply: int | None, body: bytes) -> Refusal:
    return Refusal(*args, about=about, reply=reply, body=body)


class Negotiation(Protocol):
    """A talk with a proxy, in which one target is asked for.

    Attributes:
        name: what is spoken, in a word or two.
        awaited: what it is whose answer comes next, in words.
        looks_ahead: whether the end of an answer shows only in what comes: then `receive` is given
            what can be looked at (MSG_PEEK), and says how much of it to take.  If not, it is given
            what was taken.
    """

    @property
    def name(self) -> str: ...

    @property
    def awaited(self) -> str: ...

    @property
    def looks_ahead(self) -> bool: ...

    @property
    def wanted(self) -> int:
        """How many bytes it can do with at the most; 0 when the target is connected."""

    def to_send(self) -> bytes:
        """What is to be sent now; it is told once, and is empty when it is the proxy's turn."""

    def receive(self, data: bytes) -> int:
        """The proxy has sent something, of at most so many bytes as are `wanted`.

        Returns:
            How many of them are its own; what is left of them comes again.

        Raises:
            Refusal: the talk is over.
        """

    def hung_up(self) -> Refusal:
        """The proxy has closed the connection, or reset it: what that means."""


def hung_up(words: str, about: About = "address") -> Refusal:
    """The verdict on a proxy that has hung up."""
    return Refusal(errnos.ECONNRESET, f"the proxy has hung up {words}", about=about)


def no_answer_of(kind: str, data: bytes) -> Refusal:
    """The verdict on what is no answer of this kind of proxy."""
    for start, other in _OTHERS:
        if data[: len(start)] == start and other != kind:
            what = f"it is no {kind} proxy: it answers as a server of {other} does"
            return Refusal(errnos.EPROTO, what, about="address")
    shown = data[:16].hex(" ")
    return Refusal(errnos.EPROTO, f"it is no {kind} proxy: it answers {shown}", about="address")


_OTHERS = (
    (b"HT", "HTTP"),  # of SOCKS, no more than two bytes are read at first
    (b"\x05\xff", "SOCKS5"),
    (b"\x00\x5b", "SOCKS4"),
    (b"SS", "SSH"),
    (b"\x15\x03", "TLS"),
    (b"\x16\x03", "TLS"),
)
