"""In the hands of pytest-asyncio, which makes its own loops and tasks."""

from __future__ import annotations

import asyncio

import pytest
from support.listeners import listening, refusing

from aconnect import aconnect, connect_socket

pytestmark = pytest.mark.asyncio


async def test_a_connection_becomes_streams() -> None:
    with listening() as listener:
        sock = await aconnect(listener.getsockname(), timeout=30)
        reader, writer = await asyncio.open_connection(sock=sock)
        accepted = listener.accept()[0]
        with accepted:
            writer.write(b"hello\n")
            await writer.drain()
            assert accepted.recv(100) == b"hello\n"
            accepted.sendall(b"hello yourself\n")
        assert await reader.readline() == b"hello yourself\n"
        writer.close()
        await writer.wait_closed()


async def test_a_connection_becomes_a_transport() -> None:
    with listening() as listener:
        loop = asyncio.get_running_loop()
        sock = await aconnect(listener.getsockname(), timeout=30)
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
        assert transport.get_extra_info("peername") == listener.getsockname()
        transport.close()
        await asyncio.sleep(0)


async def test_a_failure_leaves_nothing_to_complain_about() -> None:
    with refusing() as address:
        with pytest.raises(ConnectionRefusedError):
            await aconnect(address, timeout=30)
        with pytest.raises(TypeError):
            await connect_socket("no socket", address)  # type: ignore[arg-type]  # on purpose
