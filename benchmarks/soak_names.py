"""What `soak.py --names` looks up; a server in a thread answers, by the first label of each name.

Rules:

* The server is on loopback, over UDP and TCP on one port.  It puts its messages together from
  octets, so that the time goes to what is measured.
* Names are drawn from more than are remembered, so that most lookups ask; and for some from a few
  that are remembered.
* What is remembered is forgotten when everything comes to an end: how much it is goes up and down.
* Each lookup is that of a dial: what is found is connected to.
"""

from __future__ import annotations

import selectors
import socket
import threading
from functools import partial
from struct import pack
from typing import TYPE_CHECKING, Any

from soak_scenarios import BRIEFLY, LONG, Places, Scenario

from aconnect import Dialer, DnsCache, DnsResolver

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

NAMES = 2000
KEPT = 64  # answers
A, CNAME, SOA, AAAA, SRV, HTTPS = 1, 5, 6, 28, 33, 65
IN = 1
TO_THE_QUESTION = b"\xc0\x0c"
HEADER = 12
SERVFAIL, NXDOMAIN = 2, 3
NOTHING = TO_THE_QUESTION + pack("!HHIH", SOA, IN, 1, 22) + bytes(2) + pack("!5I", 1, 1, 1, 1, 1)


def record(type: int, data: bytes, ttl: int = 60) -> bytes:
    """One of the name that is asked about."""
    return TO_THE_QUESTION + pack("!HHIH", type, IN, ttl, len(data)) + data


def name(text: str) -> bytes:
    labels = text.encode().split(b".")
    return b"".join(bytes([len(each)]) + each for each in labels) + b"\0"


class Server:
    """A name server.

    Args:
        port: of the service that its records lead to.
    """

    def __init__(self, port: int) -> None:
        self._service = port

    def __enter__(self) -> Self:
        self._tcp = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._over, self._end = socket.socketpair()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.send(b"x")
        self._thread.join()
        for sock in (self._tcp, self._udp, self._over, self._end):
            sock.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in (self._tcp, self._udp, self._over):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._over:
                        return
                    if key.fileobj is self._udp:
                        query, peer = self._udp.recvfrom(512)
                        for message in self._answers(query, over_tcp=False):
                            self._udp.sendto(message, peer)
                    else:
                        self._serve_stream()

    def _serve_stream(self) -> None:
        """One question, from who has it ready; from who has been cancelled, none."""
        sock = self._tcp.accept()[0]
        with sock:
            try:
                query = sock.recv(514)[2:]
                for message in self._answers(query, over_tcp=True) if query else ():
                    sock.sendall(len(message).to_bytes(2, "big") + message)
            except OSError:
                pass

    def _answers(self, query: bytes, over_tcp: bool) -> list[bytes]:
        end = query.index(0, HEADER) + 1
        type = int.from_bytes(query[end : end + 2], "big")
        asked = query[HEADER : end + 4]
        what = asked[1 : 1 + asked[0]].rstrip(b"0123456789").decode()

        def say(*records: bytes, code: int = 0, authority: bytes = b"", bits: int = 0) -> bytes:
            counts = pack("!4H", 1, len(records), bool(authority), 0)
            flags = pack("!H", 0x8180 | bits | code)
            return query[:2] + flags + counts + asked + b"".join(records) + authority

        if what == "silent":
            return []
        if what == "broken":
            return [say(code=SERVFAIL)]
        if what == "gone":
            return [say(code=NXDOMAIN, authority=NOTHING)]
        if what == "cut" and not over_tcp:
            return [say(bits=0x0200)]
        if what == "alias":
            return [say(record(CNAME, name("n1.test")))]
        good = say(*self._records(type, what))
        if len(good) == end + 4:
            good = say(authority=NOTHING)
        return [bytes(2) + good[2:], good] if what == "strange" else [good]

    def _records(self, type: int, what: str) -> list[bytes]:
        ttl = 1 if what == "old" else 60
        if type == A:
            return [record(A, bytes((127, 0, 0, 1)), ttl)]
        if type == HTTPS:
            port = pack("!HHH", 3, 2, self._service)
            hint = pack("!HH", 4, 4) + bytes((127, 0, 0, 1))
            return [record(HTTPS, pack("!H", 1) + b"\0" + port + hint)]
        if type == SRV:
            return [record(SRV, pack("!HHH", 1, 1, self._service) + name("n1.test"))]
        return []


class Names(Places):
    """What there is to look up and to connect to, for as long as it is open."""

    def __enter__(self) -> Self:
        super().__enter__()
        self._caches: list[DnsCache] = []
        self._server = self.enter_context(Server(self.port))
        return self

    def rest(self) -> None:
        super().rest()
        for each in self._caches:
            each.clear()

    def _dial(
        self, remember: bool, refusing: bool = False, optimistic: bool = False, **options: Any
    ) -> Any:
        cache = DnsCache(KEPT, optimistic=optimistic) if remember else None
        if cache is not None:
            self._caches.append(cache)
        servers = [f"127.0.0.1:{self._server.port}"]
        if refusing:
            servers.insert(0, f"127.0.0.1:{self.refusing[1]}")
        resolver = DnsResolver(servers, search=[], cache=cache, network=int, hosts=False)
        return Dialer(resolver=resolver, **options).connect

    def scenarios(self) -> list[Scenario]:
        """All of them."""
        ways: list[Scenario] = []
        random = self._random

        def way(
            weight: int,
            name: str,
            outcomes: str,
            call: Callable[..., Any],
            form: str,
            timeout: float = LONG,
            names: int = NAMES,
        ) -> None:
            def address() -> str:
                return form.format(number=random.randrange(names), port=self.port)

            dial = partial(self._to_socket, call, address, timeout, {})
            ways.append(Scenario(name, weight, dial, frozenset(outcomes.split("|"))))

        cached, plain = self._dial(remember=True), self._dial(remember=False)
        optimistic = self._dial(remember=True, optimistic=True)
        one_family = self._dial(remember=True, family=socket.AF_INET)
        failing_over = self._dial(remember=False, refusing=True)
        way(20, "both families", "connected", cached, "n{number}.test:{port}")
        way(4, "datagrams", "connected", cached, "udp://n{number}.test:9")
        way(8, "one family", "connected", one_family, "n{number}.test:{port}")
        way(10, "from memory", "connected", cached, "n{number}.test:{port}", names=8)
        way(10, "together", "connected", plain, "n{number}.test:{port}", names=2)
        way(6, "an alias", "connected", cached, "alias{number}.test:{port}")
        way(6, "over TCP", "connected", plain, "cut{number}.test:{port}")
        way(4, "a stranger's answer first", "connected", plain, "strange{number}.test:{port}")
        way(4, "a server that refuses", "connected", failing_over, "n{number}.test:{port}")
        way(4, "old", "connected", optimistic, "old{number}.test:{port}", names=8)
        way(10, "HTTPS", "connected", cached, "https://n{number}.test:{port}")
        way(6, "SRV", "connected", cached, "srv:_x._tcp.n{number}.test")
        way(8, "no such name", "not found", cached, "gone{number}.test:{port}")
        way(4, "nobody can tell", "not found", cached, "broken{number}.test:{port}")
        way(6, "silence", "timed out", plain, "silent{number}.test:{port}", BRIEFLY)
        return ways
