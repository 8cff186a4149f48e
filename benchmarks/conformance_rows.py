"""A row of the table of `conformance.py`: a property, and the program that looks for it.

Rules:

* A program is given one peer.  It returns in words what it saw, or raises `Fault` with what is
  wrong.  It is the same program for all of them.
* No row says of a peer that it passes or fails.  A peer that has no such function at all is
  excused in ``absent``, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conformance_peers import Connection, Peer

    Program = Callable[[Peer], Awaitable[str]]

__all__ = ["NOT_ITS_TASK", "PATIENCE", "TURNS", "Row", "row", "within"]

PATIENCE: Final = 5.0  # seconds after which something that should not wait has waited
TURNS: Final = 20  # of the loop, in which what was closed may come to an end
NOT_ITS_TASK: Final = "connects TCP sockets to addresses that are resolved"


@dataclass(frozen=True)
class Row:
    """A property, the program that looks for it, and who cannot have it.

    Attributes:
        note: how it is found out, for the documentation.
        absent: the reason, for each library, or library on a loop, that lacks the function.
    """

    words: str
    program: Program
    note: str
    absent: dict[str, str] = field(default_factory=dict)


def row(
    rows: dict[str, Row], name: str, words: str, note: str, **absent: str
) -> Callable[[Program], Program]:
    """Add a row, with the program that this decorates."""

    def add(program: Program) -> Program:
        rows[name] = Row(words, program, note, absent)
        return program

    return add


async def within(peer: Peer, seconds: float, connect: Awaitable[Connection]) -> Connection | None:
    """The connection, or None if there is none so soon; then the call was cancelled."""
    with peer.limit(seconds):
        return await connect
    return None
