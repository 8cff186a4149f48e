"""What has been asked of a fake network.

Rules:

* An entry is made when something is asked, before it is answered.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..addresses.text import format_sockaddr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..addresses.values import Endpoint, SockAddr

__all__ = ["FakeAttempt", "FakeLookup", "timeline"]


@dataclass(frozen=True, slots=True)
class FakeLookup:
    """A lookup of a `FakeNetwork`.

    Attributes:
        at: the moment, in seconds of `time.monotonic`.
        name: as it was asked for.
        port: the port, which is part of the answer.
    """

    at: float
    name: str
    port: int

    def __str__(self) -> str:
        return f"lookup {self.name}"


@dataclass(frozen=True, slots=True)
class FakeAttempt:
    """A call of connect(2).

    Attributes:
        at: the moment, in seconds of `time.monotonic`.
        endpoint: what was to be connected to.
        local_address: what the socket was bound to; port 0, or no path, for nothing.
        options: what had been set: the values as they were given, as bytes, by level and option.
    """

    at: float
    endpoint: Endpoint
    local_address: SockAddr
    options: dict[tuple[int, int], bytes]

    @property
    def address(self) -> str:
        """The endpoint as text."""
        return format_sockaddr(self.endpoint.family, self.endpoint.sockaddr)

    def option(self, level: int, option: int) -> int | None:
        """The number that an option was set to; None if it was not set, or not to a number.

        Args:
            level, option: as for setsockopt(2).
        """
        value = self.options.get((level, option), b"")
        return None if len(value) != 4 else int(struct.unpack("i", value)[0])

    def __str__(self) -> str:
        return f"connect {self.address}"


def timeline(journal: Sequence[FakeLookup | FakeAttempt]) -> list[tuple[float, str]]:
    """The journal as seconds since its beginning, and words."""
    return [(round(entry.at - journal[0].at, 6), str(entry)) for entry in journal]
