"""Dials by name servers, cancelled at every step: no socket, timer or task stays."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Any

import dns.message
import pytest
from support.liar import Liar, answer
from support.listeners import listening
from support.scenarios import (
    ASYNCIO_LOOPS,
    Scenario,
    cancel_at_every_step,
    cancel_at_every_step_of_trio,
)

from aconnect import Dialer, DnsCache, DnsResolver

QUERY = b"\0\1\1\0\0\1\0\0\0\0\0\0\1a\4test\0\0\1\0\1"
PORT = [0]
"""Where records of services lead."""
SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"


def here(query: bytes, kind: str, way: str) -> Any:
    """127.0.0.1, and nothing of IPv6."""
    return [answer(query, *["a.test 60 A 127.0.0.1"] * (kind == "A"), authority=[SOA])]


def by_tcp(query: bytes, kind: str, way: str) -> Any:
    return here(query, kind, way) if way == "tcp" else [answer(query, flags=["TC"])]


def failing(query: bytes, kind: str, way: str) -> Any:
    return [answer(query, rcode="SERVFAIL")]


def hanging_up(query: bytes, kind: str, way: str) -> Any:
    return [None] if way == "tcp" else [answer(query, flags=["TC"])]


def leading(query: bytes, kind: str, way: str) -> Any:
    """To 127.0.0.1, by records of services, and by their targets; nothing of IPv6."""
    name = str(dns.message.from_wire(query).question[0].name)
    data = {"A": "127.0.0.1", "HTTPS": "1 t.test. port={}", "SRV": "1 0 {} t.test."}.get(kind)
    if data is None or (kind == "A" and name != "t.test."):
        return [answer(query, authority=[SOA])]
    return [answer(query, f"{name} 60 {kind} {data.format(PORT[0])}")]


def silent(query: bytes, kind: str, way: str) -> Any:
    return []


def any_port(port: int) -> bool:
    """Whatever port is free here may be one of those that browsers refuse."""
    return True


class Asked(Scenario):
    """A dial by servers that say these things, in their order.

    Args:
        says: what the servers say.
        timeout: of the dial.
        to: the address; None for a name and the port.
    """

    def __init__(self, says: Any, timeout: float, to: str | None, *others: Any) -> None:
        super().__init__(*others)
        self.liars = [self.stack.enter_context(Liar(each)) for each in says]
        self.speak = silent not in says
        self.port = self.stack.enter_context(listening(backlog=2000)).getsockname()[1]
        self.timeout = timeout
        self.to = (to,) if to is not None else ("a.test", self.port)
        PORT[0] = self.port

    def start(self) -> Any:
        servers = [each.address for each in self.liars]
        resolver = DnsResolver(
            servers, search=[], cache=DnsCache(), hosts=False, timeout=5, ports=any_port
        )
        return Dialer(resolver=resolver).connect(*self.to, timeout=self.timeout)

    def check(self, won: Any) -> None:
        """Let the servers close their ends of connections: they are in this process."""
        for liar in self.liars if self.speak else ():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(30)
                sock.connect(("127.0.0.1", liar.port))
                for _ in range(4):  # accepted, read, and read to the end
                    sock.send(QUERY)
                    sock.recv(65535)


SCENARIOS = [
    pytest.param([here], 30, None, id="udp"),
    pytest.param([by_tcp], 30, None, id="tcp"),
    pytest.param([failing, here], 30, None, id="the next"),
    pytest.param([hanging_up, here], 30, None, id="tcp that hangs up"),
    pytest.param([silent], 0.02, None, id="silence"),
    pytest.param([leading], 30, "https://a.test", id="https"),
    pytest.param([leading], 30, "srv:_x._tcp.a.test", id="srv"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("says", "timeout", "to"), SCENARIOS)
@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
def test_at_every_step(
    new_loop: Any, says: Any, timeout: float, to: Any, monkeypatch: Any, tmp_path: Any
) -> None:
    with ExitStack() as stack:
        cancel_at_every_step(new_loop, Asked(says, timeout, to, stack, monkeypatch, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("says", "timeout", "to"), SCENARIOS)
def test_at_every_step_of_trio(
    says: Any, timeout: float, to: Any, monkeypatch: Any, tmp_path: Any
) -> None:
    with ExitStack() as stack:
        cancel_at_every_step_of_trio(Asked(says, timeout, to, stack, monkeypatch, tmp_path))
