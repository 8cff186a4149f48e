"""A wide-area network: a process that carries packets from one device to another, as it is told.

It runs in a namespace of its own, in which there are two devices, `LEFT` and `RIGHT`. Requests
come in on standard input, one line of JSON each, and each is answered by one line:

* ``["set", direction, path]``: what that direction is like from now on; null
* ``["stop"]``: everything is lost until the next "set", and what is under way; null
* ``["packets"]``: the TCP segments since the last such request; see `Packet` in `links`
* ``["counts"]``: the carried, lost, full and missed packets of each direction; see `Count`

Rules:

* A packet's fate is decided when it comes in, in this order: too long or lost, no room in the
  queue, serialised at the rate, delayed.
* It is sent when its time has come, never before. Random numbers have a seed.
* What hosts say of their own accord (multicast listener reports) is neither carried nor counted,
  so the test's packets alone are lost, and numbered.
* It ends when its input ends, and so with the process that started it.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import selectors
import socket
import struct
import sys
import time
from collections import deque
from typing import Any, NamedTuple

LEFT, RIGHT = "left", "right"
FORWARD, BACKWARD = 0, 1

# linux/if_packet.h, asm-generic/socket.h
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_IGNORE_OUTGOING = 23
ETH_P_ALL = 3
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33

BUFFER = 1 << 27
"""Bytes of a socket's buffer. A SYN takes about a thousand, so a hundred thousand fit in."""
AT_A_TIME = 64
"""Packets that are taken from one side before the others have their turn."""
REMEMBERED = 100_000
"""Packets that are remembered until they are asked for."""
HEADERS = 78
"""Bytes that are remembered of each: Ethernet, IPv6 and TCP, or IPv4 with its options."""


class Path(NamedTuple):
    """What one direction is like.

    Attributes:
        delay: seconds that each packet takes.
        jitter: seconds, at the most, that it takes longer; random and even, so packets may
            overtake each other.
        loss: how likely a packet is to be lost, from 0.0 to 1.0.
        lose_first: this many packets, from now on, are lost for certain.
        reorder: how likely a packet is to take no time at all, and overtake those before it.
        duplicate: how likely a packet is to arrive twice.
        rate: bits a second; None for no limit.
        queue: bytes that wait for their turn at that rate; what finds no room is lost.
        longest: bytes of the longest IP packet that gets through; None for all.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    lose_first: int = 0
    reorder: float = 0.0
    duplicate: float = 0.0
    rate: float | None = None
    queue: int = 1 << 20
    longest: int | None = None


class Direction:
    """Decides about the packets of one direction."""

    def __init__(self, seed: int) -> None:
        self.path = Path()
        self.carried = self.lost = self.full = self.missed = 0
        self._random = random.Random(seed)
        self._to_lose = 0
        self._free_at = 0.0

    def set(self, path: Path) -> None:
        self.path = path
        self._to_lose = path.lose_first

    def fates(self, length: int, now: float) -> list[float]:
        """When to send a packet that came in: not at all, once or twice.

        Args:
            length: bytes of the frame.
            now: when it came in.
        """
        path, chance = self.path, self._random.random
        self._to_lose, certain = max(0, self._to_lose - 1), self._to_lose > 0
        too_long = path.longest is not None and length - 14 > path.longest
        if certain or too_long or chance() < path.loss:
            self.lost += 1
            return []
        sent = now
        if path.rate is not None:
            begin = max(now, self._free_at)
            if (begin - now) * path.rate / 8 + length > path.queue:
                self.full += 1
                return []
            sent = self._free_at = begin + length * 8 / path.rate
        self.carried += 1
        times = 2 if chance() < path.duplicate else 1
        if chance() < path.reorder:
            return [sent] * times
        return [sent + path.delay + path.jitter * chance() for _ in range(times)]


class Emulator:
    """Carries packets until its input ends."""

    def __init__(self, seed: int) -> None:
        self._directions = [Direction(seed), Direction(seed + 1)]
        self._sockets = [packet_socket(name) for name in (LEFT, RIGHT)]
        self._late: list[tuple[float, int, int, bytes]] = []
        self._number = 0
        self._seen: deque[tuple[float, int, bool, bytes]] = deque(maxlen=REMEMBERED)
        self._stopped = False

    def run(self) -> None:
        requests = Requests()
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ, None)
            for direction, sock in enumerate(self._sockets):
                selector.register(sock, selectors.EVENT_READ, direction)
            while not requests.ended:
                wait = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
                for key, _ in selector.select(wait):
                    if key.data is not None:
                        self._take(key.data)
                        continue
                    for line in requests.lines():
                        print(json.dumps(self._answer(*json.loads(line))), flush=True)
                self._send_due()

    def _take(self, direction: int) -> None:
        receive, fates = self._sockets[direction].recv, self._directions[direction].fates
        for _ in range(AT_A_TIME):
            try:
                frame = receive(70_000, socket.MSG_DONTWAIT)
            except OSError:  # there is none, or the device went down
                return
            if is_unasked(frame):
                continue
            now = time.monotonic()
            when = [] if self._stopped else fates(len(frame), now)
            self._seen.append((now, direction, bool(when), frame[:HEADERS]))
            for each in when:
                self._number += 1  # those of one moment keep their order
                heapq.heappush(self._late, (each, self._number, direction, frame))

    def _send_due(self) -> None:
        now = time.monotonic()
        for _ in range(AT_A_TIME):
            if not self._late or self._late[0][0] > now:
                return
            _, _, direction, frame = heapq.heappop(self._late)
            try:
                self._sockets[1 - direction].send(frame)
            except OSError:  # the device is down, or has no room
                self._directions[direction].missed += 1

    def _answer(self, request: str, *arguments: Any) -> Any:
        if request == "set":
            direction, path = arguments
            self._directions[direction].set(Path(*path))
            self._stopped = False
            return None
        if request == "stop":
            self._stopped = True
            self._late.clear()
            return None
        if request == "packets":
            seen = list(self._seen)
            self._seen.clear()
            return [packet for each in seen if (packet := segment(*each)) is not None]
        if request == "counts":
            return self._counts()
        raise ValueError(f"no such request: {request}")

    def _counts(self) -> list[tuple[int, ...]]:
        for direction, sock in zip(self._directions, self._sockets, strict=True):
            # Reading it sets it to zero.
            _, missed = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            direction.missed += missed
        return [(each.carried, each.lost, each.full, each.missed) for each in self._directions]


class Requests:
    """The lines of standard input, without waiting for one."""

    def __init__(self) -> None:
        os.set_blocking(0, False)
        self.ended = False
        self._part = b""

    def lines(self) -> list[bytes]:
        """Those that have come; none if the input has ended, which `ended` tells."""
        more = os.read(0, 1 << 16)
        self.ended = not more
        *lines, self._part = (self._part + more).split(b"\n")
        return lines


def packet_socket(device: str) -> socket.socket:
    """What receives each frame that comes in on a device, and sends on it."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
    sock.bind((device, ETH_P_ALL))
    return sock


def is_unasked(frame: bytes) -> bool:
    """Whether it is IPv6 with hop-by-hop options: a report of the multicast groups one is in."""
    return frame[12:14] == b"\x86\xdd" and frame[20] == 0


def segment(
    when: float, direction: int, carried: bool, frame: bytes
) -> tuple[float, bool, bool, int, int, int, int] | None:
    """The fields of a `Packet`; None if the frame has no TCP in it."""
    if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_TCP:
        family, start = 4, 14 + 4 * (frame[14] & 15)
    elif frame[12:14] == b"\x86\xdd" and frame[20] == socket.IPPROTO_TCP:
        family, start = 6, 54
    else:
        return None
    source, destination = struct.unpack_from("!HH", frame, start)
    return (when, direction == FORWARD, carried, source, destination, frame[start + 13], family)


if __name__ == "__main__":
    Emulator(int(sys.argv[1])).run()
