"""Many connects in a row leave descriptors and memory where they were."""

from __future__ import annotations

import gc
import socket
import struct
import sys
from typing import Any

import pytest
from conftest import open_descriptors
from support.listeners import listening, refusing

from aconnect import ConnectError, aconnect

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CONNECTS = 20_000
BATCH = 500
FEW_BLOCKS = 500
"""Of the interpreter's own: caches that are still filling, of which there were up to 207.  A leak
of one object for each connect would be ten times as many, or more."""


def drain(listener: socket.socket) -> None:
    """Accept and reset: a connection in TIME_WAIT would take its port out of use."""
    while True:
        try:
            accepted = listener.accept()[0]
        except BlockingIOError:
            return
        with accepted:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


async def test_connects_that_succeed(anyio_backend: Any) -> None:
    with listening(backlog=BATCH) as listener:
        listener.setblocking(False)
        address = listener.getsockname()

        async def connect(count: int) -> None:
            for _ in range(count // BATCH):
                for _ in range(BATCH):
                    (await aconnect(address, timeout=30)).close()
                drain(listener)

        await connect(2 * BATCH)
        before, descriptors = blocks(), open_descriptors()
        await connect(CONNECTS)
        assert blocks() - before < FEW_BLOCKS
        assert open_descriptors() == descriptors


async def test_connects_that_fail(anyio_backend: Any) -> None:
    with refusing() as address:

        async def connect(count: int) -> None:
            for _ in range(count):
                with pytest.raises(ConnectError):
                    await aconnect(address, timeout=30)

        await connect(200)
        before, descriptors = blocks(), open_descriptors()
        await connect(5000)
        assert blocks() - before < FEW_BLOCKS
        assert open_descriptors() == descriptors
