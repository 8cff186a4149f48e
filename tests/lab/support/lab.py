"""A lab: makes hosts and links, and takes them down."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from support.programs import program

from .emulator import Path
from .hosts import Host
from .links import Wan, Wire

if TYPE_CHECKING:
    from typing import Self


class Lab:
    """Hosts, and links between them, that end with the block.

    Skips the test where a program is missing.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._links = 0

    def __enter__(self) -> Self:
        for name, package in (("ip", "iproute2"), ("nft", "nftables"), ("ethtool", "ethtool")):
            program(name, package)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def host(self, name: str) -> Host:
        """A new host, with loopback and no link.

        Args:
            name: what it is called in messages.
        """
        return self._stack.enter_context(Host(name))

    def wire(self, left: Host, right: Host) -> Wire:
        """Join two hosts by a wire: no delay, no loss."""
        self._links += 1
        return Wire(left, right, self._links)

    def wan(
        self,
        left: Host,
        right: Host,
        *,
        forward: Path | None = None,
        backward: Path | None = None,
        seed: int = 1,
        **both: Any,
    ) -> Wan:
        """Join two hosts by a network that is far from ideal.

        Args:
            forward: what the path from left to right is like.
            backward: what the path from right to left is like.
            seed: of the random numbers; the same decide the same about the same packets.
            both: the fields of a `Path`, for each direction that is not given.
        """
        self._links += 1
        path = Path(**both)
        wan = Wan(left, right, self._links, forward or path, backward or path, seed)
        self._stack.callback(wan.close)
        return wan
