"""A name server of a network's own: dnsmasq, and a relay before it that has manners.

Rules:

* What is answered is dnsmasq's. The relay keeps a question for a while, does not answer it, or
  answers with an error alone; all by the question's name and type. It writes down what it was
  asked and when.
* Both are in the namespace of the thread that enters the `NameServer`. dnsmasq is bound to
  loopback there and has no other server to ask.
* `ask_only` gives a thread, and those that it starts, an /etc/resolv.conf, an /etc/hosts and an
  /etc/nsswitch.conf of its own. They end with the thread: nothing of the machine is changed.

Needs root, and dnsmasq (Debian's dnsmasq-base).
"""

from __future__ import annotations

import ctypes
import heapq
import os
import selectors
import socket
import struct
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from support.programs import program, running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Self

A: Final = 1
AAAA: Final = 28
SERVFAIL: Final = 2

_CLONE_NEWNS: Final = 0x00020000
_MS_BIND: Final = 0x1000
_MS_PRIVATE_AND_BELOW: Final = 0x40000 | 0x4000
_HIDDEN_PORT: Final = 5300
_PATIENCE: Final = 10.0
_SOON: Final = 128  # connections that wait to be accepted


class Manner(NamedTuple):
    """How a question is dealt with.

    Attributes:
        delay: seconds for which the answer is kept.
        silent: there is none.
        error: it has this RCODE, and nothing else.
        types: the questions that this is about.
    """

    delay: float = 0.0
    silent: bool = False
    error: int = 0
    types: tuple[int, ...] = (A, AAAA)


class Question(NamedTuple):
    time: float
    name: str
    type: int
    over_tcp: bool


class NameServer:
    """Answers at ``addresses``, port 53, while it is entered.

    Args:
        records: the addresses of each name. A name in .test that is not here does not exist;
            any other is refused.
        manners: of names; the others are answered at once.
        directory: for dnsmasq's files.

    Attributes:
        questions: what it was asked, in that order.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        records: Mapping[str, Sequence[str]],
        manners: Mapping[str, Manner],
        directory: Path,
    ) -> None:
        self.questions: list[Question] = []
        self._addresses = addresses
        self._records = records
        self._manners = manners
        self._directory = directory
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._left = ExitStack()
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._selector.close)
            stack.enter_context(self._dnsmasq())
            for address in self._addresses:
                self._open(address, stack)
            stop, stopped = socket.socketpair()
            stack.enter_context(stop)
            self._selector.register(stack.enter_context(stopped), selectors.EVENT_READ, None)
            thread = threading.Thread(target=self._serve, name="name server")
            thread.start()
            stack.callback(thread.join)
            stack.callback(stop.shutdown, socket.SHUT_WR)
            self._left = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def types_asked(self, name: str) -> list[int]:
        """The types of the questions for ``name``, in order of their number."""
        return sorted(each.type for each in self.questions if each.name == name)

    def first_asked(self, name: str) -> float:
        """When the first question for ``name`` came."""
        return min(each.time for each in self.questions if each.name == name)

    def _dnsmasq(self) -> Any:
        hosts = self._directory / "records"
        lines = [f"{ip} {name}\n" for name, ips in self._records.items() for ip in ips]
        hosts.write_text("".join(lines))
        hosts.chmod(0o644)
        command = [
            *(program("dnsmasq", "dnsmasq-base"), "--keep-in-foreground", "--conf-file=/dev/null"),
            *("--no-resolv", "--no-hosts", f"--addn-hosts={hosts}", "--local=/test/"),
            *("--listen-address=127.0.0.1", f"--port={_HIDDEN_PORT}", "--bind-interfaces"),
            *("--user=root", "--pid-file=", "--log-facility=-", "--log-queries"),
        ]
        return running(command, self._directory / "log", ("127.0.0.1", _HIDDEN_PORT))

    def _open(self, address: str, stack: ExitStack) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        udp = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        udp.bind((address, 53))
        self._selector.register(udp, selectors.EVENT_READ, self._datagram)
        tcp = stack.enter_context(socket.socket(family))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((address, 53))
        tcp.listen(_SOON)
        self._selector.register(tcp, selectors.EVENT_READ, self._accept)

    # In a thread.

    def _serve(self) -> None:
        with ExitStack() as connections:
            self._connections = connections
            while True:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                for key, _ in self._selector.select(wait and max(wait, 0)):
                    if key.data is None:
                        return
                    key.data(key.fileobj)
                while self._due and self._due[0][0] <= time.monotonic():
                    heapq.heappop(self._due)[2]()

    def _datagram(self, sock: socket.socket) -> None:
        question, client = sock.recvfrom(65536)
        self._deal(question, False, lambda answer: sock.sendto(answer, client))

    def _accept(self, listener: socket.socket) -> None:
        connection = self._connections.enter_context(listener.accept()[0])
        connection.settimeout(_PATIENCE)
        self._selector.register(connection, selectors.EVENT_READ, self._message)

    def _message(self, connection: socket.socket) -> None:
        question = _receive(connection)
        if question:
            self._deal(question, True, lambda answer: _send(connection, answer))
        else:
            self._selector.unregister(connection)
            connection.close()

    def _deal(self, question: bytes, over_tcp: bool, send: Callable[[bytes], object]) -> None:
        name, type = _parse(question)
        now = time.monotonic()
        self.questions.append(Question(now, name, type, over_tcp))
        manner = self._manners.get(name, Manner())
        if type not in manner.types:
            manner = Manner()
        if manner.silent:
            return
        answer = _error(question, manner.error) if manner.error else _ask(question, over_tcp)
        # The number keeps two of one moment apart.
        entry = (now + manner.delay, len(self.questions), lambda: _without_failing(send, answer))
        heapq.heappush(self._due, entry)


def _parse(message: bytes) -> tuple[str, int]:
    """The name and type of the question."""
    labels, at = [], 12
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    (type,) = struct.unpack_from("!H", message, at + 1)
    return ".".join(labels), type


def _error(question: bytes, rcode: int) -> bytes:
    """The answer that has nothing but ``rcode``."""
    number, flags = struct.unpack_from("!2H", question)
    answered = 0x8080 | (flags & 0x0100) | rcode  # QR, RA; RD as it was asked
    return struct.pack("!6H", number, answered, 1, 0, 0, 0) + question[12 : _end(question)]


def _end(message: bytes) -> int:
    return message.index(b"\0", 12) + 5


def _ask(question: bytes, over_tcp: bool) -> bytes:
    """What dnsmasq answers."""
    kind = socket.SOCK_STREAM if over_tcp else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(_PATIENCE)
        sock.connect(("127.0.0.1", _HIDDEN_PORT))
        if over_tcp:
            _send(sock, question)
            return _receive(sock)
        sock.send(question)
        return sock.recv(65536)


def _send(sock: socket.socket, message: bytes) -> None:
    sock.sendall(struct.pack("!H", len(message)) + message)


def _receive(sock: socket.socket) -> bytes:
    """One message; none if the connection has ended."""
    head = _exactly(sock, 2)
    return _exactly(sock, struct.unpack("!H", head)[0]) if head else b""


def _exactly(sock: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        try:
            part = sock.recv(size - len(received))
        except ConnectionResetError:
            part = b""
        if not part:
            return b""
        received += part
    return received


def _without_failing(send: Callable[[bytes], object], answer: bytes) -> None:
    try:
        send(answer)
    except OSError:
        pass  # whoever asked has left


def ask_only(directory: Path, *lines: str) -> None:
    """Give this thread, and those that it starts, files of their own for getaddrinfo(3).

    Args:
        directory: for the files.
        lines: of /etc/resolv.conf.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int, what: str) -> None:
        if result:
            raise OSError(ctypes.get_errno(), what)

    check(libc.unshare(_CLONE_NEWNS), "unshare(CLONE_NEWNS)")
    check(libc.mount(None, b"/", None, _MS_PRIVATE_AND_BELOW, None), "make mounts private")
    files = {
        "resolv.conf": "".join(f"{line}\n" for line in lines),
        "hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "nsswitch.conf": "hosts: files dns\n",
    }
    for name, text in files.items():
        own = directory / name
        own.write_text(text)
        target = os.path.realpath(f"/etc/{name}")
        check(libc.mount(os.fsencode(own), os.fsencode(target), None, _MS_BIND, None), target)
