"""What is between two hosts: a wire, or a wide-area network that a process emulates.

Rules:

* Both have the same addresses and devices; a test may put one in place of the other.
* A link is made between two hosts, left and right; forward is from left to right.
* What `Wan` is told is in force when the call returns, for all packets that come in from then on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from . import emulator
from .namespaces import Namespace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .emulator import Path
    from .hosts import Host

SYN, RST, ACK = 0x02, 0x04, 0x10


class End(NamedTuple):
    """One end of a link: a device of a host, and its addresses."""

    host: Host
    device: str
    mac: str
    v4: str
    v6: str
    link_local: str


class Packet(NamedTuple):
    """A TCP segment that a `Wan` was given.

    Attributes:
        time: when it came in, in seconds of `time.monotonic`.
        forward: whether it came from the left.
        carried: whether it was sent on; False if it was lost.
        source: its port there.
        destination: its port there.
        flags: those of TCP.
        family: 4 or 6.
    """

    time: float
    forward: bool
    carried: bool
    source: int
    destination: int
    flags: int
    family: int

    @property
    def is_syn(self) -> bool:
        """Whether it opens a connection."""
        return self.flags & (SYN | ACK | RST) == SYN


class Count(NamedTuple):
    """What became of the packets of one direction, of any protocol.

    Attributes:
        carried: were sent on.
        lost: were lost as the path was told to.
        full: were lost since its queue was full.
        missed: were lost since the emulator had no room for them; there should be none.
    """

    carried: int
    lost: int
    full: int
    missed: int


class Wire:
    """A pair of veth devices, and nothing between them.

    Args:
        number: which link of the lab it is, from 1; it makes the addresses.
    """

    def __init__(self, left: Host, right: Host, number: int) -> None:
        self.left = _end(left, number, 1)
        self.right = _end(right, number, 2)
        self._join()
        for end, other in ((self.left, self.right), (self.right, self.left)):
            _bring_up(end, other)
            end.host.ends.append(end)
        for end in (self.left, self.right):
            for address in (end.v6, end.link_local):
                end.host.wait_for_address(address, end.device)

    def _join(self) -> None:
        _make_pair(self.left, self.right.device, self.right.mac, self.right.host)


class Wan(Wire):
    """Two pairs of veth devices, and a process that carries packets from one to the other.

    Args:
        forward: what the path from left to right is like.
        backward: what the path from right to left is like.
        seed: of the random numbers that decide about losses and delays.
    """

    def __init__(
        self, left: Host, right: Host, number: int, forward: Path, backward: Path, seed: int
    ) -> None:
        self._middle = Namespace()
        self._process: subprocess.Popen[str] | None = None
        try:
            super().__init__(left, right, number)
            self._process = self._middle.start(
                [sys.executable, "-I", emulator.__file__, str(seed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self.set(forward, backward)
        except BaseException:
            self.close()
            raise

    def _join(self) -> None:
        self._middle.sysctl("net/ipv6/conf/default/disable_ipv6", 1)
        for end, name in ((self.left, emulator.LEFT), (self.right, emulator.RIGHT)):
            _make_pair(end, name, "", self._middle)
            self._middle.exec(["ethtool", "-K", name, "tx", "off", "rx", "off"])
            self._middle.exec(["ip", "link", "set", name, "up"])

    def set(self, forward: Path | None = None, backward: Path | None = None) -> None:
        """Change what the paths are like; None leaves one as it is.

        What is under way arrives as it would have.
        """
        for direction, path in ((emulator.FORWARD, forward), (emulator.BACKWARD, backward)):
            if path is not None:
                self._ask("set", direction, path)

    def stop(self) -> None:
        """Lose everything until `set` is called, in both directions, and what is under way."""
        self._ask("stop")

    def packets(self) -> list[Packet]:
        """The TCP segments that it was given since this was asked last, in their order."""
        return [Packet(*each) for each in self._ask("packets")]

    def counts(self) -> tuple[Count, Count]:
        """What became of all packets: forward, and backward."""
        forward, backward = self._ask("counts")
        return Count(*forward), Count(*backward)

    def close(self) -> None:
        """End the process; the link is silent from then on."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate()  # it ends with its input
        self._middle.close()

    def _ask(self, *request: Any) -> Any:
        process = self._process
        assert process is not None, "the link is closed"
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps(request), file=process.stdin, flush=True)
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the emulator has ended: {process.wait()}")
        return json.loads(answer)


def _end(host: Host, number: int, side: int) -> End:
    return End(
        host=host,
        device=f"eth{len(host.ends)}",
        mac=f"02:00:00:00:{number:02x}:{side:02x}",
        v4=f"10.99.{number}.{side}",
        v6=f"fd00:99:{number:x}::{side}",
        link_local=f"fe80::{number:x}:{side}",
    )


def _make_pair(end: End, peer: str, peer_mac: str, where: Namespace) -> None:
    peer_options: Sequence[str] = ("address", peer_mac) if peer_mac else ()
    end.host.ip(
        *("link", "add", end.device, "address", end.mac, "type", "veth"),
        *("peer", "name", peer, *peer_options, "netns", where.path),
    )


def _bring_up(end: End, other: End) -> None:
    """Without offloads, so that a packet has its checksum, and is no longer than it may be."""
    host, device = end.host, end.device
    host.exec(["ethtool", "-K", device, "tx", "off", "rx", "off"])
    host.exec(
        ["ip", "-batch", "-"],
        input=f"""
            link set {device} up
            address add {end.v4}/24 dev {device}
            address add {end.v6}/64 dev {device} nodad
            address add {end.link_local}/64 dev {device} nodad
            neighbour replace {other.v4} lladdr {other.mac} dev {device} nud permanent
            neighbour replace {other.v6} lladdr {other.mac} dev {device} nud permanent
            neighbour replace {other.link_local} lladdr {other.mac} dev {device} nud permanent
        """,
    )
