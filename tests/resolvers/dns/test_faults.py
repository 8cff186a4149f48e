"""Each system call of a lookup fails, with each errno that it can fail with: over UDP and TCP.

After each it has an answer, that of the second server, or the error that says why it has none; and
nothing is left, which tests/conftest.py looks for.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Any

import pytest
from support.liar import Liar, answer

from aconnect import DnsResolver, TCPAddress
from aconnect.resolvers.dns import exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"
OURS = {*exchange._OURS} - {errno.EAGAIN}
"""What is wrong with this machine: no other server is asked."""

FAILS: dict[str, tuple[str, ...]] = {
    "socket": ("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EACCES", "EAFNOSUPPORT", "EPERM"),
    "connect_ex": (
        *("ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL", "EACCES", "EPERM"),
        *("ENOBUFS", "ETIMEDOUT"),
    ),
    "send": ("ECONNREFUSED", "EPERM", "ENETUNREACH", "ENOBUFS", "EMSGSIZE", "EPIPE", "ENOMEM"),
    "recv": ("ECONNREFUSED", "EHOSTUNREACH", "ECONNRESET", "ETIMEDOUT", "ENOMEM", "EINTR"),
    "getsockopt": ("EBADF", "ENOBUFS"),
    "so_error": ("ECONNREFUSED", "EHOSTUNREACH", "ETIMEDOUT"),
}
"""socket(2), connect(2), send(2), recv(2), getsockopt(2); and what SO_ERROR says."""


class Failing:
    """Makes sockets, of which one call fails: the ``number``-th of its kind."""

    def __init__(self, kind: str, number: int, code: int) -> None:
        self.kind, self.number, self.code = kind, number, code
        self.calls: Counter[str] = Counter()

    def now(self, kind: str) -> bool:
        self.calls[kind] += 1
        return kind == self.kind and self.calls[kind] == self.number

    def may_fail(self, kind: str) -> None:
        if self.now(kind):
            raise OSError(self.code, "as the test has it")

    def socket(self, *kind: Any) -> socket.socket:
        self.may_fail("socket")
        faults = self

        class Sock(socket.socket):
            def connect_ex(self, address: Any) -> int:
                return faults.code if faults.now("connect_ex") else super().connect_ex(address)

            def send(self, *args: Any) -> int:
                faults.may_fail("send")
                return super().send(*args)

            def recv(self, *args: Any) -> bytes:
                data = super().recv(*args)  # it fails where there is something to be received
                faults.may_fail("recv")
                return data

            def getsockopt(self, *args: Any) -> Any:
                faults.may_fail("getsockopt")
                return faults.code if faults.now("so_error") else super().getsockopt(*args)

        return Sock(*kind)


class SocketModule:
    """The module, with sockets that fail."""

    def __init__(self, faults: Failing) -> None:
        self.socket = faults.socket

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)


def says(query: bytes, kind: str, way: str) -> Any:
    return [answer(query, *["a.test 60 A 192.0.2.1"] * (kind == "A"), authority=[SOA])]


def cut(query: bytes, kind: str, way: str) -> Any:
    return [answer(query, flags=["TC"])] if way == "udp" else says(query, kind, way)


@pytest.fixture(params=["udp", "tcp"])
def servers(request: Any) -> Iterator[tuple[str, list[str]]]:
    """Two name servers; over TCP is what comes to that, too."""
    with ExitStack() as stack:
        say = says if request.param == "udp" else cut
        yield request.param, [stack.enter_context(Liar(say)).address for _ in range(2)]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("kind", FAILS)
async def test_a_call_that_fails(servers: Any, monkeypatch: Any, kind: str, number: int) -> None:
    way, addresses = servers
    for name in FAILS[kind]:
        faults = Failing(kind, number, getattr(errno, name))
        monkeypatch.setattr(exchange, "socket", SocketModule(faults))
        hosts, failed = await look_up(addresses)
        hit = faults.calls[kind] >= number
        assert hit or (way == "udp" and kind in ("getsockopt", "so_error")), name
        if failed is None:
            assert hosts == ["192.0.2.1"], name
        else:  # the machine wants something, which it would with the next server
            assert (hosts, failed) == ([], faults.code), name
            assert failed in OURS, name


async def look_up(addresses: list[str]) -> tuple[list[Any], int | None]:
    """The hosts, and the errno."""
    resolver = DnsResolver(addresses, cache=None, timeout=10, attempts=1)
    found: list[Any] = []
    try:
        async with aclosing(resolver.resolve(TCPAddress("a.test", 5))) as batches:
            async for batch in batches:
                found += [each.sockaddr[0] for each in batch.endpoints]
    except OSError as error:
        return found, error.errno
    return found, None
