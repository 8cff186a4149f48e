"""What is to be connected to, from the command line, a file or standard input.

Rules:

* One address stands in a line; blank lines, and those that begin with ``#``, are none.
* A file is read as a stream, as far as there is need.  Nothing waits for its end but the end.
* Each keeps its place and its line, by which it is named again.
* A line that is longer than any address can be is kept as it begins, and is none.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterator, Iterable, Iterator

    from .loops import EventLoop

__all__ = ["Item", "count_items", "from_file", "from_stream", "from_texts", "is_file"]

_BLOCK: Final = 2**16
_LONGEST: Final = 4096
"""Characters.  A name has 253, and a path as many as PATH_MAX."""


class Item(NamedTuple):
    """An address to check: its place from 0 on, its line if it is from a file, and its text."""

    place: int
    line: int | None
    text: str


class _Lines:
    """Makes items of blocks of bytes.

    Args:
        done: how often each text has been seen to already.
    """

    def __init__(self, done: Counter[str]) -> None:
        self._done = done
        self._rest = b""
        self._line = 0
        self._place = 0
        self._cut = False

    def feed(self, block: bytes) -> Iterator[Item]:
        """The items that are complete with this block; nothing is the end."""
        *lines, rest = (self._rest + block).split(b"\n")
        if not block and rest:
            lines.append(rest)
            rest = b""
        for line in lines:
            if not self._cut:
                yield from self._item(line)
            self._cut = False
        if len(rest) > _LONGEST:
            if not self._cut:
                yield from self._item(rest[:_LONGEST])
            self._cut = True
            rest = b"."
        self._rest = rest

    def _item(self, line: bytes) -> Iterator[Item]:
        self._line += 1
        text = os.fsdecode(line).strip()
        if text and not text.startswith("#"):
            item = Item(self._place, self._line, text)
            self._place += 1
            if not _is_done(self._done, text):
                yield item


def _is_done(done: Counter[str], text: str) -> bool:
    """Whether it has been seen to; that counts once."""
    if not done[text]:  # a Counter does not keep what it is asked for
        return False
    done[text] -= 1
    return True


def from_texts(texts: Iterable[str], done: Counter[str]) -> Iterator[tuple[Item, str]]:
    """Items of the command line, each with its address."""
    for place, text in enumerate(texts):
        if not _is_done(done, text):
            yield Item(place, None, text), text


def is_file(fd: int) -> bool:
    """Whether reading it need not be waited for."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def from_file(fd: int, done: Counter[str]) -> Iterator[tuple[Item, str]]:
    """Items of a regular file, each with its address."""
    lines = _Lines(done)
    block = b"."
    while block:
        block = os.read(fd, _BLOCK)
        for item in lines.feed(block):
            yield item, item.text


async def from_stream(
    fd: int, done: Counter[str], loop: EventLoop
) -> AsyncIterator[tuple[Item, str]]:
    """Items of a pipe, a terminal or a socket, each with its address, as they come."""
    lines = _Lines(done)
    block = b"."
    while block:
        await loop.readable(fd)
        block = os.read(fd, _BLOCK)
        for item in lines.feed(block):
            yield item, item.text


def count_items(fd: int) -> int:
    """How many items a regular file has, of which nothing has been read."""
    from collections import Counter

    count = sum(1 for _ in from_file(fd, Counter()))
    os.lseek(fd, 0, os.SEEK_SET)
    return count
