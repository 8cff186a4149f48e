"""A peer that answers a SYN with a SYN of its own: a simultaneous open, by a TUN device.

Rules:

* Whoever connects to the network behind the device gets such an answer, at whatever address.
* The connection is there when the peer has acknowledged as well, which it does when it is told to.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

    from .hosts import Host

__all__ = ["Responder"]

# linux/if_tun.h
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000

SYN, ACK = 0x02, 0x10
OURS = 1000  # the sequence number of its SYN
DEVICE = "answers"


class Responder:
    """The peer; a context manager.

    Attributes:
        address: one at which it is; there are others next to it.
    """

    address = ("10.99.200.2", 80)

    def __init__(self, host: Host) -> None:
        name = struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI)
        with host.entered():
            self._tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self._tun, TUNSETIFF, name)
        host.ip("addr", "add", "10.99.200.1/24", "dev", DEVICE)
        host.ip("link", "set", DEVICE, "up")
        self._acknowledges = threading.Event()
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="responder")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)
        os.close(self._tun)

    def acknowledge(self) -> None:
        """Have it acknowledge whatever is sent to it from now on."""
        self._acknowledges.set()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._tun, self._stop], [], [])
            if self._stop in ready:
                return
            packet = os.read(self._tun, 65536)
            if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_TCP:
                self._answer(packet)

    def _answer(self, packet: bytes) -> None:
        tcp = packet[(packet[0] & 15) * 4 :]
        ports, theirs, flags = struct.unpack_from("!4sI5xB", tcp)
        if flags == SYN:
            self._send(packet, ports, OURS, 0, SYN)
        elif flags == SYN | ACK and self._acknowledges.is_set():
            self._send(packet, ports, OURS + 1, theirs + 1, ACK)

    def _send(self, packet: bytes, ports: bytes, number: int, next: int, flags: int) -> None:
        source, destination = packet[12:16], packet[16:20]
        fields = (number, next, 0x50, flags, 65535, 0, 0)
        tcp = ports[2:] + ports[:2] + struct.pack("!IIBBHHH", *fields)
        pseudo = destination + source + struct.pack("!HH", socket.IPPROTO_TCP, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", _checksum(pseudo + tcp)) + tcp[18:]
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0)
        ip = ip[:10] + struct.pack("!H", _checksum(ip + destination + source))
        os.write(self._tun, ip + destination + source + tcp)


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
