"""What comes of a question, and what is said of it if nothing does.

Rules:

* The words name each server that was asked, with what it did, and say how many there were.
* Somebody who was silent, unreachable, or had a failure himself may know another time.
* What came in a bad shape alone is not to be remembered.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .wire import Reply

__all__ = ["Outcome", "Troubles"]


class Outcome(NamedTuple):
    """What came of a question.

    Attributes:
        reply: the answer; None if there is none.
        code: of getaddrinfo(3), or of errno(3) if this machine is to blame: why there is none.
        words: what each server has done, or why nobody was asked.
        server: who has answered, as text; empty if nobody has.
        over: "udp" or "tcp", if somebody has.
        seconds: how long it took.
        ignored: how many messages were no answer to it.
        kept: whether a failure is to be remembered.
    """

    reply: Reply | None
    code: int = 0
    words: str = ""
    server: str = ""
    over: str = ""
    seconds: float = 0.0
    ignored: int = 0
    kept: bool = True


class Troubles:
    """What servers have done in place of an answer.

    Args:
        kept: whether to remember a failure, whatever it is.

    Attributes:
        heard: whether anybody has said anything.
        kept: whether the failure is to be remembered.
    """

    def __init__(self, kept: bool) -> None:
        self.heard: bool = False
        self.kept: bool = kept
        self._again = False
        self._done: dict[str, str] = {}

    def add(self, server: str, words: str, *, again: bool = False, kept: bool = True) -> None:
        """Another.

        Args:
            server: as text.
            words: what it has done, as it goes on after its name.
            again: whether it may know another time.
            kept: whether that is to be remembered.
        """
        self._done[server] = words
        self._again |= again
        self.kept |= kept

    @property
    def code(self) -> int:
        """Of getaddrinfo(3)."""
        return socket.EAI_AGAIN if self._again else socket.EAI_FAIL

    @property
    def words(self) -> str:
        """All that has been done."""
        done = "; ".join(f"{server} {words}" for server, words in self._done.items())
        asked = len(self._done)
        if not self.heard:
            none = "no name server" if asked == 1 else f"none of {asked} name servers"
            return f"{none} answered: {done}"
        return f"name server {done}" if asked == 1 else f"{asked} name servers were asked: {done}"
