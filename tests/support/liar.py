"""A name server that says what it is told to, over UDP and TCP on one port, in a thread."""

from __future__ import annotations

import errno
import select
import socket
import threading
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["Liar", "answer"]


def answer(query: bytes, *records: str, **options: Any) -> bytes:
    """A message that answers a question.

    Args:
        records: of the answer section, as "name ttl type data".
        options: ``authority`` and ``additional`` (records likewise), ``rcode``, ``flags``.
    """
    asked = dns.message.from_wire(query)
    said = dns.message.make_response(asked, recursion_available=True)
    said.set_rcode(dns.rcode.from_text(options.get("rcode", "NOERROR")))
    for section, texts in (
        (said.answer, records),
        (said.authority, options.get("authority", ())),
        (said.additional, options.get("additional", ())),
    ):
        for text in texts:
            name, ttl, kind, data = text.split(maxsplit=3)
            rrset = dns.rrset.from_text(dns.name.from_text(name), int(ttl), "IN", kind, data)
            same = [each for each in section if each.match(rrset.name, 1, rrset.rdtype, 0)]
            if same:
                same[0].update(rrset)
                same[0].ttl = min(same[0].ttl, rrset.ttl)
            else:
                section.append(rrset)
    for flag in options.get("flags", ()):
        said.flags |= dns.flags.from_text(flag)
    for flag in options.get("without", ()):
        said.flags &= ~dns.flags.from_text(flag)
    return bytes(said.to_wire(max_size=65535))


class Liar:
    """Answers questions on 127.0.0.1, or ``host``.

    Args:
        tcp: whether it takes connections.
        say: is called with the query, its type as text ("HTTPS") and "udp" or "tcp", and gives
            the messages to send, in their order; None in their place closes the connection.

    Attributes:
        asked: the type and the way of each question.
        queries: the messages.
    """

    def __init__(
        self, say: Callable[[bytes, str, str], Any], host: str = "127.0.0.1", tcp: bool = True
    ) -> None:
        self._say = say
        self.asked: list[tuple[str, str]] = []
        self.queries: list[bytes] = []
        self.errors: list[BaseException] = []
        self._host = host
        self._backlog = 16 if tcp else None

    def __enter__(self) -> Self:
        while not self._bind():
            pass  # somebody has that port for UDP
        if self._backlog is not None:
            self._tcp.listen(self._backlog)
        self._wake, self._waked = socket.socketpair()
        self._streams: dict[socket.socket, bytearray] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _bind(self) -> bool:
        """Take a port that is free for both."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._tcp = socket.socket(family, socket.SOCK_STREAM)
        self._tcp.bind((self._host, 0))
        self.port: int = self._tcp.getsockname()[1]
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._udp.bind((self._host, self.port))
        except OSError as error:
            self._tcp.close()
            self._udp.close()
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True

    def __exit__(self, *_: object) -> None:
        self._wake.send(b"x")
        self._thread.join(10)
        for sock in (self._tcp, self._udp, self._wake, self._waked, *self._streams):
            sock.close()
        assert not self.errors, self.errors

    @property
    def address(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self.port}"

    def _run(self) -> None:
        try:
            while True:
                socks = [self._udp, self._waked, *self._streams]
                if self._backlog is not None:
                    socks.append(self._tcp)
                for sock in select.select(socks, [], [])[0]:
                    if sock is self._waked:
                        return
                    if sock is self._tcp:
                        self._streams[sock.accept()[0]] = bytearray()
                    elif sock is self._udp:
                        query, peer = sock.recvfrom(65535)
                        for message in self._answers(query, "udp"):
                            sock.sendto(message, peer)
                    else:
                        self._read_stream(sock)
        except BaseException as error:
            self.errors.append(error)

    def _read_stream(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65535)
        except OSError:
            data = b""
        received = self._streams[sock]
        received += data
        length = int.from_bytes(received[:2], "big") + 2
        if len(received) > 2 and len(received) >= length:
            messages = self._answers(bytes(received[2:length]), "tcp")
            del received[:length]
            try:
                for message in messages:
                    if message is None:
                        data = b""
                        break
                    sock.sendall(len(message).to_bytes(2, "big") + message)
            except OSError:
                data = b""  # who asked has heard enough
        if not data:
            del self._streams[sock]
            sock.close()

    def _answers(self, query: bytes, way: str) -> Any:
        kind = dns.rdatatype.to_text(dns.message.from_wire(query).question[0].rdtype)
        self.asked.append((kind, way))
        self.queries.append(query)
        return self._say(query, kind, way)
