"""Whatever takes a dialer works on a fake network, on each of its loops, with and without TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import asyncssh
import httpcore
import httpx
import pytest
import trio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream
from conftest import ASYNCIO_LOOPS, LOOPS
from redis.asyncio import ConnectionPool, Redis
from support.tls import NAME, Certificates
from websockets.server import ServerProtocol

from aconnect import (
    AConnectable,
    UDPAddress,
    create_connection,
    create_datagram_endpoint,
    open_connection,
    open_stream,
    open_trio_stream,
)
from aconnect.clients import asyncssh as ssh
from aconnect.clients import websockets
from aconnect.clients.aiohttp import AConnectConnector
from aconnect.clients.httpcore import AConnectBackend
from aconnect.clients.httpx import AConnectTransport
from aconnect.clients.redis import AConnectConnection
from aconnect.testing import FakeNetwork

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aconnect import Dialer

    Client = Callable[[Dialer, ssl.SSLContext | None], Awaitable[Any]]

PEER = ("192.0.2.1", 443)
UVLOOP = next(loop.values[0] for loop in LOOPS if loop.id == "uvloop")
TRIO_LOOPS = [loop for loop in LOOPS if loop.id == "trio"]
CERTIFICATES = Certificates()


# What a host says: it gets a stream, and speaks first or is asked.


async def greet(stream: Any) -> None:
    await stream.send(b"hello")
    await rest(stream)


async def speak_http(stream: Any) -> None:
    await stream.receive()
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    await rest(stream)


async def speak_redis(stream: Any) -> None:
    await stream.receive()
    await stream.send(b"$5\r\nhello\r\n")
    await rest(stream)


async def speak_websocket(stream: Any) -> None:
    protocol = ServerProtocol()
    protocol.receive_data(await stream.receive())
    [request] = protocol.events_received()
    protocol.send_response(protocol.accept(request))
    protocol.send_text(b"hello")
    for data in protocol.data_to_send():
        await stream.send(data)
    protocol.receive_data(await stream.receive())  # its goodbye
    for data in protocol.data_to_send():
        if data:
            await stream.send(data)


async def rest(stream: Any) -> None:
    async for _ in stream:
        pass


# Clients: each gives the peer's name, and what was said.


async def of_create_connection(dialer: Dialer, tls: ssl.SSLContext | None) -> Any:
    class Keeper(asyncio.Protocol):
        def __init__(self) -> None:
            self.heard = asyncio.get_running_loop().create_future()

        def data_received(self, data: bytes) -> None:
            self.heard.set_result(data)

    transport, protocol = await create_connection(Keeper, NAME, 443, ssl=tls, dialer=dialer)
    heard = await protocol.heard
    peer = transport.get_extra_info("peername")
    transport.abort()
    return peer, heard


async def of_open_connection(dialer: Dialer, tls: ssl.SSLContext | None) -> Any:
    reader, writer = await open_connection(NAME, 443, ssl=tls, dialer=dialer)
    heard = await reader.readexactly(5)
    peer = writer.get_extra_info("peername")
    writer.close()
    await writer.wait_closed()
    return peer, heard


async def of_open_stream(dialer: Dialer, tls: ssl.SSLContext | None) -> Any:
    async with await open_stream(NAME, 443, ssl=tls, dialer=dialer) as stream:
        assert stream.extra(SocketAttribute.local_port) > 0
        assert stream.extra(SocketAttribute.family) == socket.AF_INET
        assert (
            stream.extra(SocketAttribute.remote_port)
            == stream.extra(SocketAttribute.remote_address)[1]
        )
        return stream.extra(SocketAttribute.remote_address), await stream.receive()


async def of_a_connectable(dialer: Dialer, tls: ssl.SSLContext | None) -> Any:
    async with await AConnectable(NAME, 443, ssl=tls, dialer=dialer).connect() as stream:
        return stream.extra(SocketAttribute.remote_address), await stream.receive()


async def of_open_trio_stream(dialer: Dialer, tls: ssl.SSLContext | None) -> Any:
    async with await open_trio_stream(NAME, 443, ssl=tls, dialer=dialer) as stream:
        under = getattr(stream, "transport_stream", stream)
        return under.socket.getpeername(), await stream.receive_some()


async def of_trio_itself(dialer: Dialer, tls: ssl.SSLContext | None) -> Any:
    sock = await dialer.connect(NAME + ":443")
    stream: Any = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    peer = stream.socket.getpeername()
    if tls is not None:
        stream = trio.SSLStream(stream, tls, server_hostname=NAME)
    async with stream:
        return peer, await stream.receive_some()


async def of_httpx(dialer: Dialer, tls: ssl.SSLContext | None) -> Any:
    transport = AConnectTransport(dialer=dialer, verify=tls or False)
    async with (
        httpx.AsyncClient(transport=transport) as client,
        client.stream("GET", f"{'https' if tls else 'http'}://{NAME}:443/") as answer,
    ):
        peer = answer.extensions["network_stream"].get_extra_info("server_addr")
        return peer, await answer.aread()


async def of_httpcore(dialer: Dialer, tls: ssl.SSLContext | None) -> Any:
    backend = AConnectBackend(dialer=dialer)
    async with (
        httpcore.AsyncConnectionPool(ssl_context=tls, network_backend=backend) as pool,
        pool.stream("GET", f"{'https' if tls else 'http'}://{NAME}:443/") as answer,
    ):
        peer = answer.extensions["network_stream"].get_extra_info("server_addr")
        return peer, await answer.aread()


async def of_aiohttp(dialer: Dialer, tls: ssl.SSLContext | None) -> Any:
    connector = AConnectConnector(dialer=dialer, ssl=tls or False)
    async with (
        aiohttp.ClientSession(connector=connector) as client,
        client.get(f"{'https' if tls else 'http'}://{NAME}:443/") as answer,
    ):
        heard = await answer.read()
        [[(protocol, _)]] = connector._conns.values()  # where it waits for the next request
        return protocol.transport.get_extra_info("peername"), heard  # type: ignore[union-attr]


async def of_websockets(dialer: Dialer, tls: ssl.SSLContext | None) -> Any:
    uri = f"{'wss' if tls else 'ws'}://{NAME}:443/"
    options = {"ssl": tls} if tls else {}
    async with websockets.connect(uri, dialer=dialer, compression=None, **options) as connection:
        return connection.remote_address, (await connection.recv()).encode()


async def of_redis(dialer: Dialer, tls: ssl.SSLContext | None) -> Any:
    pool = ConnectionPool(
        connection_class=AConnectConnection,
        host=NAME,
        port=443,
        ssl=tls,
        dialer=dialer,
        protocol=2,
        driver_info=None,
    )
    async with Redis(connection_pool=pool) as client:
        heard = await client.get("what")
        [connection] = pool._available_connections
        peer = connection._writer.get_extra_info("peername")  # type: ignore[union-attr]
        await pool.disconnect()
        return peer, heard


async def of_asyncssh(network: FakeNetwork) -> Any:
    key = asyncssh.generate_private_key("ssh-ed25519")
    serving: list[asyncio.Future[Any]] = []

    def serve(far: socket.socket) -> None:
        server = asyncssh.run_server(
            far,
            server_host_keys=[key],
            authorized_client_keys=asyncssh.import_authorized_keys(
                key.export_public_key().decode()
            ),
            process_factory=lambda process: (process.stdout.write("hello"), process.exit(0)),
            config=None,
        )
        serving.append(asyncio.ensure_future(server))

    network.add(NAME, PEER[0], port=443, on_connection=serve, after=0.001)
    connecting = ssh.connect(
        NAME,
        443,
        dialer=network.dialer(),
        known_hosts=f"[{NAME}]:443 {key.export_public_key().decode()}".encode(),
        username="somebody",
        client_keys=[key],
        agent_path=None,
        config=None,
    )
    async with connecting as connection:
        peer = connection.get_extra_info("peername")
        heard = (await connection.run("greet")).stdout
    for each in await asyncio.gather(*serving):
        await each.wait_closed()
    return peer, heard


def on(loops: list[Any], client: Client, host: Any = greet) -> list[Any]:
    name = client.__name__.removeprefix("of_")
    return [pytest.param(loop.values[0], client, host, id=f"{name}-{loop.id}") for loop in loops]


@pytest.mark.anyio
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("anyio_backend", "client", "host"),
    [
        *on(ASYNCIO_LOOPS, of_create_connection),
        *on(ASYNCIO_LOOPS, of_open_connection),
        *on(LOOPS, of_open_stream),
        *on(LOOPS, of_a_connectable),
        *on(TRIO_LOOPS, of_open_trio_stream),
        *on(TRIO_LOOPS, of_trio_itself),
        *on(LOOPS, of_httpx, speak_http),
        *on(LOOPS, of_httpcore, speak_http),
        *on(ASYNCIO_LOOPS, of_aiohttp, speak_http),
        *on(ASYNCIO_LOOPS, of_websockets, speak_websocket),
        *on(ASYNCIO_LOOPS, of_redis, speak_redis),
    ],
    indirect=["anyio_backend"],
)
async def test_adapters(anyio_backend: Any, client: Client, host: Any, tls: bool) -> None:
    context = CERTIFICATES.server() if tls else None

    async def serve(far: socket.socket) -> None:
        stream: Any = await SocketStream.from_socket(far)
        if context is not None:
            stream = await TLSStream.wrap(
                stream,
                ssl_context=context,
                server_side=True,
                standard_compatible=host is greet,  # the others say themselves where they end
            )
        with contextlib.suppress(anyio.BrokenResourceError, ssl.SSLError):  # it was aborted
            async with stream:
                await host(stream)

    with FakeNetwork() as network:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                network.add(NAME, "2001:db8::1", outcome="refused", after=0.001)
                network.add(
                    NAME,
                    PEER[0],
                    port=443,
                    after=0.001,
                    on_connection=partial(group.start_soon, serve),
                )
                trusted = CERTIFICATES.client() if tls else None
                peer, heard = await client(network.dialer(), trusted)
    assert heard == b"hello"
    assert_name(peer, anyio_backend)


def assert_name(peer: Any, backend: Any) -> None:
    """uvloop asks the kernel, and has a connection over 127.0.0.1."""
    by_uvloop = backend == UVLOOP
    assert peer[0] == "127.0.0.1" if by_uvloop else peer == PEER


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", UVLOOP], ids=["asyncio", "uvloop"])
async def test_asyncssh(anyio_backend: Any) -> None:
    """Not with eager tasks: asyncssh's server, which is the host here, does not end with them."""
    with FakeNetwork() as network, anyio.fail_after(20):
        peer, heard = await of_asyncssh(network)
    assert heard == "hello"
    assert_name(peer, anyio_backend)


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.set_result((addr, data))


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
async def test_create_datagram_endpoint(anyio_backend: Any) -> None:
    with FakeNetwork() as network:
        host = network.add(NAME, PEER[0])
        transport, protocol = await create_datagram_endpoint(
            Datagrams, None, (NAME, 443), dialer=network.dialer()
        )
        with host.accept() as far:
            far.send(b"hello")
            sender, heard = await protocol.heard
        peer = transport.get_extra_info("peername")
        transport.close()
        await anyio.sleep(0)
    assert heard == b"hello"
    assert anyio_backend == UVLOOP or peer == sender == PEER


def test_other_sockets_are_trios_own_affair() -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, PEER[0])
            sock = await network.dialer().connect(UDPAddress(*PEER))
            with sock, pytest.raises(TypeError, match="expected object of type"):
                trio.socket.from_stdlib_socket(sock)
        with trio.socket.from_stdlib_socket(socket.socket()) as plain:
            assert plain.family == socket.AF_INET

    trio.run(main)
