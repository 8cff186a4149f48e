"""What is to be connected to, from the command line, a file or standard input.

Rules:

* One address stands in a line; blank lines, and those that begin with ``#``, are none.
* A file is read as a stream, as far as there is need.  Nothing waits for its end but the end.
* Each keeps its place and its line, by which it is named again.
* A byte order mark, with which editors of Windows begin a file, is no part of its first line.
* A line that is longer than any address can be is kept as it begins, and is none.
* Only who asks for an order by chance has a file looked through first: of each address it is kept
  where that stands, in 16 bytes.
"""

from __future__ import annotations

import codecs
import os
import random
import stat
from array import array
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aconnect.addresses.redacting import address_shown

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterator, Iterable, Iterator, MutableSequence

    from .loops import EventLoop

__all__ = [
    "Item",
    "count_items",
    "from_file",
    "from_stream",
    "from_texts",
    "is_file",
    "shuffled_file",
]

_BLOCK: Final = 2**16
_LONGEST: Final = 4096
"""Characters.  A name has 253, and a path as many as PATH_MAX."""


class Item(NamedTuple):
    """An address to check: its place from 0 on, its line if it is from a file, and its text."""

    place: int
    line: int | None
    text: str

    @property
    def shown(self) -> str:
        """Its text, without a user and a password, which make it no address."""
        return address_shown(self.text)


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
        if self._line == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        text = _text(line)
        if text:
            item = Item(self._place, self._line, text)
            self._place += 1
            if not _is_done(self._done, item.shown):
                yield item


def _text(line: bytes) -> str:
    """The address in a line; empty if there is none."""
    text = os.fsdecode(line).strip()
    return "" if text.startswith("#") else text


def _is_done(done: Counter[str], text: str) -> bool:
    """Whether it has been seen to; that counts once."""
    if not done[text]:  # a Counter does not keep what it is asked for
        return False
    done[text] -= 1
    return True


def from_texts(
    texts: Iterable[str], done: Counter[str], seed: int | None = None
) -> Iterator[tuple[Item, str]]:
    """Items of the command line, each with its address; shuffled, if there is a ``seed``."""
    items = [Item(place, None, text) for place, text in enumerate(texts)]
    if seed is not None:
        _shuffle(items, seed)
    for item in items:
        if not _is_done(done, item.shown):
            yield item, item.text


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


def shuffled_file(fd: int, done: Counter[str], seed: int) -> Iterator[tuple[Item, str]]:
    """Items of a regular file, each with its address, in an order by chance: the same for the same
    seed."""
    starts, lines = array("Q"), array("Q")
    with open(fd, "rb", closefd=False) as file:
        start, number = file.seek(0), 0
        while block := file.readline(_LONGEST + 1):
            number += 1
            if number == 1 and block.startswith(codecs.BOM_UTF8):
                start = len(codecs.BOM_UTF8)
                block = block[start:]
            if _text(block):
                starts.append(start)
                lines.append(number)
            while block and not block.endswith(b"\n"):
                block = file.readline(_BLOCK)
            start = file.tell()
    places = array("Q", range(len(starts)))
    _shuffle(places, seed)
    for place in places:
        os.lseek(fd, starts[place], os.SEEK_SET)
        line = os.read(fd, _LONGEST).partition(b"\n")[0]
        item = Item(place, lines[place], _text(line))
        if not _is_done(done, item.shown):
            yield item, item.text


def _shuffle(items: MutableSequence[Any], seed: int) -> None:
    """Put them into an order that depends on the seed, and not on the version of Python."""
    draw = random.Random(seed).random  # the one sequence that is promised to stay
    for last in range(len(items) - 1, 0, -1):
        other = int(draw() * (last + 1))
        items[last], items[other] = items[other], items[last]


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
