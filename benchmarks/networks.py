"""Networks of a benchmark's own: a namespace, a silence in it, and a path with a delay.

Rules:

* Linux and root.  Nothing leaves the namespaces, and they end with the processes in them.
* The client's end is the caller's process.  The relay and the server are processes of their own,
  so that what they spend is not the client's.
* Neighbours are entered by hand: no packet waits for ARP, of which queues are short.
* What the path loses is counted, and so is what was sent twice.  A lost SYN costs a second.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

CLONE_NEWNET = 0x40000000
CLIENT, SERVER = "10.77.0.1", "10.77.0.2"
CLIENT_MAC, SERVER_MAC, NOBODYS_MAC = (f"02:00:00:00:00:0{number}" for number in (1, 2, 3))
SILENT, SILENT_6 = "10.78.0.2", "fd00:78::2"
LONGEST_BACKLOG = 65535

# linux/if_packet.h
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_VNET_HDR = 15
PACKET_IGNORE_OUTGOING = 23
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
RELAY_BUFFER = 1 << 26  # bytes; a SYN takes about a thousand
FRAMES_AT_A_TIME = 32


def enter_private_network() -> None:
    """Move this process, which has one thread, into a new network, with loopback up."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        errno = ctypes.get_errno()
        raise OSError(errno, f"{os.strerror(errno)}: a network of our own (it takes root)")
    ip("link", "set", "lo", "up")
    set_kernel("net/ipv4/ip_local_port_range", "1024 65535")
    set_kernel("net/core/somaxconn", str(LONGEST_BACKLOG))
    set_kernel("net/ipv4/tcp_max_syn_backlog", str(LONGEST_BACKLOG))


def make_silence() -> None:
    """Have nobody answer for `SILENT` and `SILENT_6`, in the network of this process."""
    ip("link", "add", "silence", "type", "veth", "peer", "name", "nowhere")
    for device in ("silence", "nowhere"):
        ip("link", "set", device, "up")
    ip("addr", "add", "10.78.0.1/24", "dev", "silence")
    ip("addr", "add", "fd00:78::1/64", "dev", "silence", "nodad")
    for peer in (SILENT, SILENT_6):
        ip("neigh", "add", peer, "lladdr", NOBODYS_MAC, "dev", "silence", "nud", "permanent")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def set_kernel(name: str, value: str) -> None:
    with open(f"/proc/sys/{name}", "w") as file:
        file.write(value)


def kernel_counters() -> dict[str, int]:
    """What TCP has sent twice, and dropped for want of room, in the network of this process."""
    found: dict[str, int] = {}
    for file in ("snmp", "netstat"):
        with open(f"/proc/self/net/{file}") as lines:
            for names, values in zip(lines, lines, strict=False):
                found.update(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
    wanted = ("RetransSegs", "ListenOverflows", "ListenDrops", "TCPReqQFullDrop")
    return {name: found.get(name, 0) for name in wanted}


class Losses(NamedTuple):
    """What has gone wrong on the way."""

    dropped: int
    """Frames that the relay had no room for, and connections that the listener had none for."""
    sent_again: int
    """Segments, by either end."""


class Path:
    """A path from this process to a server; see `delayed_path`."""

    def __init__(self, relay: Helper, server: Helper) -> None:
        self._relay, self._server = relay, server

    def listen(self) -> int:
        """Have the server accept on a new port, in place of the last one."""
        return int(self._server.ask("listen"))

    def forget(self) -> int:
        """Have the server reset what it has accepted on that port, and say how many it was."""
        return int(self._server.ask("forget"))

    def losses(self) -> Losses:
        """What has gone wrong since the path was made."""
        ends = [kernel_counters(), self._server.ask("counters")]
        again = sum(end.pop("RetransSegs") for end in ends)
        return Losses(self._relay.ask("dropped") + sum(sum(end.values()) for end in ends), again)


@contextmanager
def delayed_path(delay: float) -> Iterator[Path]:
    """A path from a process in a private network to `SERVER`: ``delay`` seconds one way."""
    # The relay goes first: the ends of its devices are the others'.
    with Helper("server") as server, Helper("relay", str(delay)) as relay:
        left = ("type", "veth", "peer", "name", "left", "netns", relay.pid)
        right = ("type", "veth", "peer", "name", "right", "netns", relay.pid)
        ip("link", "add", "client", "address", CLIENT_MAC, *left)
        ip("link", "add", "server", "address", SERVER_MAC, "netns", server.pid, *right)
        bring_up("client", CLIENT, SERVER, SERVER_MAC)
        server.ask("begin")
        relay.ask("begin")
        yield Path(relay, server)


def bring_up(device: str, own: str, peer: str, peer_mac: str) -> None:
    set_kernel(f"net/ipv6/conf/{device}/disable_ipv6", "1")
    ip("addr", "add", f"{own}/24", "dev", device)
    ip("link", "set", device, "up")
    ip("neigh", "add", peer, "lladdr", peer_mac, "dev", device, "nud", "permanent")


class Helper:
    """A process in a network of its own, which answers questions, a line each."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, __file__, *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = str(self._process.pid)

    def __enter__(self) -> Self:
        self.ask("")  # it is in its network when it answers
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, question: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(question, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


# In the helpers.


class Questions:
    """What comes in on standard input."""

    def __init__(self) -> None:
        os.set_blocking(0, False)
        self._read = b""

    def lines(self) -> list[str]:
        more = os.read(0, 4096)
        if not more:
            sys.exit()
        *lines, self._read = (self._read + more).split(b"\n")
        return [line.decode() for line in lines]


def answer(value: object) -> None:
    print(json.dumps(value), flush=True)


def relay(delay: float) -> None:
    """Carry every frame from one device to the other, in order, ``delay`` seconds late."""
    questions, selector = Questions(), selectors.EpollSelector()
    selector.register(0, selectors.EVENT_READ)
    ends: list[socket.socket] = []
    late: deque[tuple[float, socket.socket, bytes]] = deque()
    dropped = 0
    while True:
        wait = late[0][0] - time.monotonic() if late else None
        for key, _ in selector.select(None if wait is None else max(0.0, wait)):
            if key.fd != 0:
                take_frames(key.fileobj, late, key.data, delay)  # type: ignore[arg-type]
                continue
            for question in questions.lines():
                if question == "begin":
                    ends = [packet_socket(device) for device in ("left", "right")]
                    for end, other in (ends, ends[::-1]):
                        selector.register(end, selectors.EVENT_READ, other)
                elif question == "dropped":
                    for end in ends:  # reading it sets it to zero
                        counts = end.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
                        dropped += struct.unpack("II", counts)[1]
                answer(dropped)
        now = time.monotonic()
        for _ in range(FRAMES_AT_A_TIME):
            if not late or late[0][0] > now:
                break
            _, end, frame = late.popleft()
            end.send(frame)


def take_frames(
    end: socket.socket,
    late: deque[tuple[float, socket.socket, bytes]],
    other: socket.socket,
    delay: float,
) -> None:
    for _ in range(FRAMES_AT_A_TIME):
        try:
            frame = end.recv(70_000, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        late.append((time.monotonic() + delay, other, frame))


def packet_socket(device: str) -> socket.socket:
    """What sees each frame that comes in on a device, with what is to be said of its checksum."""
    set_kernel(f"net/ipv6/conf/{device}/disable_ipv6", "1")
    ip("link", "set", device, "up")
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RELAY_BUFFER)
    end.bind((device, ETH_P_ALL))
    return end


def serve() -> None:
    """Accept on a port at a time, and keep what was accepted until it is to be forgotten."""
    questions, selector = Questions(), selectors.EpollSelector()
    selector.register(0, selectors.EVENT_READ)
    listener: socket.socket | None = None
    accepted: list[socket.socket] = []
    while True:
        for key, _ in selector.select():
            if listener is not None and key.fd != 0:
                accept_all(listener, accepted)
                continue
            for question in questions.lines():
                if question == "begin":
                    bring_up("server", SERVER, CLIENT, CLIENT_MAC)
                    answer(None)
                elif question == "listen":
                    if listener is not None:
                        selector.unregister(listener)
                        listener.close()
                    listener = socket.create_server((SERVER, 0), backlog=LONGEST_BACKLOG)
                    listener.setblocking(False)
                    selector.register(listener, selectors.EVENT_READ)
                    answer(listener.getsockname()[1])
                elif question == "forget":
                    assert listener is not None
                    accept_all(listener, accepted)
                    answer(len(accepted))
                    for sock in accepted:
                        reset(sock)
                    accepted.clear()
                else:
                    answer(kernel_counters())


def accept_all(listener: socket.socket, accepted: list[socket.socket]) -> None:
    while True:
        try:
            accepted.append(listener.accept()[0])
        except BlockingIOError:
            return


def reset(sock: socket.socket) -> None:
    """Close it so that no TIME_WAIT is left."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


if __name__ == "__main__":
    enter_private_network()
    if sys.argv[1] == "relay":
        relay(float(sys.argv[2]))
    else:
        serve()
