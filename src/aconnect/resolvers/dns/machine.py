"""What this machine says of names, read again when it has changed.

Rules:

* A file is looked at every `LOOK_AGAIN` at the most, and read again if its time, its size or its
  inode has changed.  A large one is read, and made sense of, in a thread for lookups, once for all
  who wait for it: hosts files with a hundred thousand names are not rare.
* One that is not there, or cannot be read, is empty.
"""

from __future__ import annotations

import os
import time
from math import inf
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from ...drivers.threads import SharedCall
from ...sansio.finding import AAAA, A
from ...sockets.datagrams import source_addresses

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...drivers.base import Driver
    from ...sansio.asking import Servers
    from .settings import Settings

__all__ = ["LOOK_AGAIN", "Machine", "Watched"]

T = TypeVar("T")

LOOK_AGAIN: Final = 5.0
"""Seconds, as Go's resolver has it."""
_LARGE: Final = 65536


class Watched(Generic[T]):
    """A file, and what it says.

    Args:
        path: where it is.
        parse: makes of its text what it says.
    """

    def __init__(self, path: str, parse: Callable[[str], T]) -> None:
        self._path = path
        self._parse = parse
        self._looked = -inf
        self._state: tuple[int, ...] | None = (-1,)
        self._value: T | None = None

    async def value(self, driver: Driver, reload: bool = True) -> T:
        """What the file says, or has said up to five seconds ago.

        Args:
            reload: whether to look at it again.
        """
        now = time.monotonic()
        if self._value is None or (reload and now - self._looked >= LOOK_AGAIN):
            self._looked = now
            state = self._look()
            if self._value is None or state != self._state:
                large = state is not None and state[1] > _LARGE
                call = SharedCall((self, state), self._load)
                value: Any = await driver.run_blocking(call, inf) if large else self._load()
                self._value, self._state = value, state
        return self._value

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> Any:
        return self._parse(self._read())

    def _read(self) -> str:
        try:
            with open(self._path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


class Machine:
    """What holds for lookups until it is looked at again."""

    def __init__(
        self,
        settings: Settings,
        servers: Servers,
        hosts: dict[str, tuple[str, ...]],
        order: tuple[str, ...],
        looked: float,
    ) -> None:
        self.settings = settings
        self.servers = servers
        self.hosts = hosts
        self.order = order
        self.looked = looked
        self.sources: tuple[str | None, ...] = source_addresses()

    @property
    def types(self) -> list[int]:
        """Of the addresses that are asked for."""
        return [A] if self.settings.no_aaaa else [AAAA, A]

    @property
    def preferred(self) -> int:
        """The type that is worth waiting for."""
        ipv4, ipv6 = self.sources
        only_ipv4 = self.settings.no_aaaa or (ipv6 is None and ipv4 is not None)
        return A if only_ipv4 else AAAA
