"""Proxies that go to one place, whatever they are asked for: HTTP CONNECT, and SOCKS 5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

__all__ = ["connect_proxy", "serving", "socks_proxy"]


async def connect_proxy(client: Any, asked: list[str], to: tuple[str, int]) -> None:
    """Answer a CONNECT, note what was asked for, and relay."""
    incoming = BufferedByteReceiveStream(client)
    head = await incoming.receive_until(b"\r\n\r\n", 2**16)
    asked.append(head.split(b" ")[1].decode())
    await client.send(b"HTTP/1.1 200 Go ahead\r\n\r\n")
    await _relay(client, to)


async def socks_proxy(client: Any, asked: list[str], to: tuple[str, int]) -> None:
    """The same for SOCKS 5 (RFC 1928), with a name and without a login."""
    incoming = BufferedByteReceiveStream(client)
    assert await incoming.receive_exactly(3) == b"\x05\x01\x00"
    await client.send(b"\x05\x00")
    *_, kind, length = await incoming.receive_exactly(5)
    assert kind == 3
    name = await incoming.receive_exactly(length)
    port = await incoming.receive_exactly(2)
    asked.append(f"{name.decode()}:{int.from_bytes(port)}")
    await client.send(b"\x05\x00\x00\x01" + bytes(6))
    await _relay(client, to)


async def serving(
    tasks: Any,
    proxy: Callable[[Any, list[str], tuple[str, int]], Awaitable[None]],
    to: tuple[str, int],
    context: ssl.SSLContext | None = None,
) -> tuple[int, list[str]]:
    """Run a proxy in ``tasks``, until they are cancelled.

    Args:
        tasks: a task group.
        to: where it goes.
        context: with what it speaks TLS, if it does.

    Returns:
        Its port on 127.0.0.1, and what it was asked for, which grows.
    """
    listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    if context is not None:
        listener = TLSListener(listener, context, standard_compatible=False)
    asked: list[str] = []

    async def serve(client: Any) -> None:
        async with client:
            await proxy(client, asked, to)

    async def listen() -> None:
        async with listener:
            await listener.serve(serve)

    tasks.start_soon(listen)
    return port, asked


async def _relay(client: Any, to: tuple[str, int]) -> None:
    async with await anyio.connect_tcp(*to) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(_copy, server, client)
        await _copy(client, server)
        tasks.cancel_scope.cancel()


async def _copy(source: Any, sink: Any) -> None:
    try:
        async for data in source:
            await sink.send(data)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # one of the two is gone
