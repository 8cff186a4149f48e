"""The handshake with a proxy, on a wire that is no socket."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aconnect.handshakes.proxies.asking import Asking
from aconnect.sansio.http_connect import HTTPConnect
from aconnect.sansio.negotiation import Refusal

if TYPE_CHECKING:
    import socket


class Wire:
    """Shows an answer, and has none of it when it is taken: the connection has failed since."""

    sock: socket.socket

    def __init__(self) -> None:
        self.sent = b""

    async def send(self, data: bytes) -> None:
        self.sent += data

    async def look(self, most: int) -> bytes:
        return b"HTTP/1.1 200 OK\r\n\r\n"[:most]

    async def take(self, count: int) -> bytes:
        return b""


def test_an_answer_that_goes_between_two_looks_at_it() -> None:
    wire: Any = Wire()

    async def ready(_: socket.socket, __: bool) -> None:
        raise AssertionError("there is nothing to wait for")

    asking = Asking(HTTPConnect("db.example", 5432), "http://proxy:3128", ready)
    with pytest.raises(Refusal) as caught:
        anyio.run(asking, wire)
    assert (caught.value.errno, caught.value.about) == (errno.ECONNRESET, "address")
    assert wire.sent.startswith(b"CONNECT db.example:5432 HTTP/1.1\r\n")
