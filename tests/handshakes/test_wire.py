"""When a proxy's answers are acknowledged."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from support.listeners import listening

from aconnect.handshakes.proxies.wire import SocketWire

QUICKACK = getattr(socket, "TCP_QUICKACK", None)

pytestmark = pytest.mark.skipif(QUICKACK is None, reason="Linux alone has TCP_QUICKACK")


class Noted(socket.socket):
    """Keeps what is done with it, in short."""

    done: list[str]

    def setsockopt(self, *args: Any) -> None:
        if args[:2] == (socket.IPPROTO_TCP, QUICKACK):
            self.done.append("acknowledge")
        super().setsockopt(*args)


def test_p7_an_answer_is_acknowledged_before_a_wait_and_at_the_end_but_not_before_a_send() -> None:
    with listening() as listener, Noted() as sock:
        sock.done = done = []
        sock.connect(listener.getsockname())
        sock.setblocking(False)
        peer, _ = listener.accept()

        async def ready(_: socket.socket, write: bool) -> None:
            done.append("wait")
            assert not write
            peer.sendall(b"four")
            sock.setblocking(True)

        async def talk() -> None:
            wire = SocketWire(sock, ready)
            await wire.send(b"question")
            assert await wire.take(2) == b"fo"
            await wire.send(b"question")
            wire.acknowledge()  # there is nothing that the question did not acknowledge
            assert await wire.take(2) == b"ur"
            sock.setblocking(False)
            assert await wire.take(2) == b"fo"
            wire.acknowledge()
            wire.acknowledge()

        with peer, pytest.raises(StopIteration):
            talk().send(None)
    assert done == ["wait", "acknowledge", "wait", "acknowledge"]
