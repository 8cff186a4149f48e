"""Who connects, on which loop: each connects and closes, once.

Rules:

* Where there is a choice, it is the peers' advantage: transports are aborted, and trio's streams
  closed, without waiting for it.
* Ours and theirs of a pair build the same thing: the same transport, the same stream, by the same
  loop.
* A floor is the least that a library can do by what the loop has in public: the system calls
  that ours makes, without looking at an argument or an error, and the same transport or stream.
  What a floor misses, nobody can meet from outside the loop.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohappyeyeballs
import anyio.abc
from harness import NAME, batches

from aconnect import (
    Dialer,
    Report,
    aconnect,
    create_connection,
    open_connection,
    open_stream,
    open_trio_stream,
    routed,
)
from aconnect.policy import allow, public_only

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness import Contender

if "trio" in sys.argv:  # an application on asyncio would not import it
    import trio

TCP = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
LOOPBACK = allow("127.0.0.0/8")
BLOCKING = "blocking socket.connect"
OURS = "aconnect"
TLS_BATCH = 10


def blocking(address: Any) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect(address)
    sock.close()


@batches(batch=TLS_BATCH)
def blocking_tls(over: OverTLS) -> None:
    with socket.create_connection(over.address) as sock:
        over.context.wrap_socket(sock, server_hostname=NAME).close()


@batches(batch=TLS_BATCH)
def resumed_blocking_tls(over: OverTLS) -> None:
    with socket.create_connection(over.address) as sock:
        over.context.wrap_socket(sock, server_hostname=NAME, session=over.session).close()


def bare_socket(address: Any) -> socket.socket:
    """Connect, where that is done at once."""
    sock = socket.socket(
        socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP
    )
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.connect_ex(address)
    sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 144)
    return sock


# A connected socket


async def floor(address: Any) -> None:
    bare_socket(address).close()


async def trio_floor(address: Any) -> None:
    await trio.lowlevel.checkpoint()  # as every call of trio's makes one
    bare_socket(address).close()


async def ours(address: Any) -> None:
    (await aconnect(address)).close()


def by(dialer: Dialer, **more: Any) -> Contender:
    async def connect(address: Any) -> None:
        (await dialer.connect(address, **more)).close()

    return connect


async def reporting(address: Any) -> None:
    (await aconnect(address, report=Report())).close()


async def sock_connect(address: Any) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    sock.close()


async def happy_eyeballs(address: Any) -> None:
    (await aiohappyeyeballs.start_connection([(*TCP, "", address)])).close()


async def trio_socket(address: Any) -> None:
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    await sock.connect(address)
    sock.close()


# A transport, or streams


async def our_transport(address: Any) -> None:
    transport, _ = await create_connection(asyncio.Protocol, address)
    transport.abort()


async def their_transport(address: Any) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, *address)
    transport.abort()


@batches(around=partial(routed, Dialer()))
async def routed_transport(address: Any) -> None:
    """`their_transport`, of a loop that is routed."""
    await their_transport(address)


async def accepted_transport(address: Any) -> None:
    """The floor of any way that hands the loop a connected socket."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, bare_socket(address))
    transport.abort()


async def our_streams(address: Any) -> None:
    _, writer = await open_connection(address)
    writer.transport.abort()


async def their_streams(address: Any) -> None:
    _, writer = await asyncio.open_connection(*address)
    writer.transport.abort()


async def floor_of_streams(address: Any) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, bare_socket(address))
    asyncio.StreamWriter(transport, protocol, reader, loop).transport.abort()


async def anyio_floor(address: Any) -> None:
    await (await anyio.abc.SocketStream.from_socket(bare_socket(address))).aclose()


async def floor_of_trio_streams(address: Any) -> None:
    await trio.lowlevel.checkpoint()
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(bare_socket(address)))
    stream.socket.close()


async def our_anyio(address: Any) -> None:
    await (await open_stream(address)).aclose()


async def their_anyio(address: Any) -> None:
    await (await anyio.connect_tcp(*address)).aclose()


async def our_trio(address: Any) -> None:
    (await open_trio_stream(address)).socket.close()


async def their_trio(address: Any) -> None:
    (await trio.open_tcp_stream(*address)).socket.close()


# By name: in /etc/hosts, so that no name server is asked


async def our_name(address: Any) -> None:
    _, writer = await open_connection("localhost", address[1])
    writer.transport.abort()


async def their_name(address: Any) -> None:
    _, writer = await asyncio.open_connection("localhost", address[1])
    writer.transport.abort()


async def floor_by_name(address: Any) -> None:
    loop = asyncio.get_running_loop()
    asked = ("localhost", address[1])
    found = await loop.getaddrinfo(*asked, type=socket.SOCK_STREAM)
    await floor_of_streams(found[0][4])


# A race, of two addresses of which the first refuses


def refusing(address: Any) -> list[Any]:
    return [(*TCP, "", ("127.0.0.1", 1)), (*TCP, "", address)]


async def our_race(address: Any) -> None:
    (await aconnect(refusing(address))).close()


async def their_race(address: Any) -> None:
    (await aiohappyeyeballs.start_connection(refusing(address))).close()


async def floor_of_a_race(address: Any) -> None:
    with socket.socket(
        socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP
    ) as refused:
        refused.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        refused.connect_ex(("127.0.0.1", 1))
        bare_socket(address).close()


# TLS 1.3: the address is one, and what goes with it


class OverTLS:
    """An address with a context, and a session to be resumed."""

    def __init__(self, port: int, ca: str) -> None:
        self.address = ("127.0.0.1", port)
        self.context = ssl.create_default_context(cafile=ca)
        self.session: Any = None

    async def get_session(self) -> None:
        """Connect once: a session comes with what the server says first."""
        reader, writer = await open_connection(
            self.address, ssl=self.context, server_hostname=NAME
        )
        await reader.readexactly(1)
        self.session = writer.get_extra_info("ssl_object").session
        writer.transport.abort()


@batches(batch=TLS_BATCH)
async def our_tls(over: OverTLS) -> None:
    transport, _ = await create_connection(
        asyncio.Protocol, over.address, ssl=over.context, server_hostname=NAME
    )
    transport.abort()


@batches(batch=TLS_BATCH)
async def our_resumed_tls(over: OverTLS) -> None:
    transport, _ = await create_connection(
        asyncio.Protocol,
        over.address,
        ssl=over.context,
        server_hostname=NAME,
        ssl_session=over.session,
    )
    assert transport.get_extra_info("ssl_object").session_reused
    transport.abort()


@batches(batch=TLS_BATCH)
async def their_tls(over: OverTLS) -> None:
    transport, _ = await asyncio.get_running_loop().create_connection(
        asyncio.Protocol, *over.address, ssl=over.context, server_hostname=NAME
    )
    transport.abort()


@batches(batch=TLS_BATCH)
async def floor_of_tls(over: OverTLS) -> None:
    transport, _ = await asyncio.get_running_loop().create_connection(
        asyncio.Protocol, sock=bare_socket(over.address), ssl=over.context, server_hostname=NAME
    )
    transport.abort()


def hook(sock: socket.socket, endpoint: object) -> None:
    """What a user may do before a connect, and does not."""


def told(what: object) -> None:
    """A listener that does nothing."""


async def shake(sock: socket.socket) -> socket.socket:
    return sock


# What may be asked of a dialer besides, each alone

COSTS: dict[str, Callable[[], Contender]] = {
    "Dialer()": lambda: by(Dialer()),
    "tos=8": lambda: by(Dialer(tos=8)),
    "three socket options": lambda: by(
        Dialer(
            socket_options=[
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
                (socket.SOL_SOCKET, socket.SO_SNDBUF, 65536),
                (socket.SOL_SOCKET, socket.SO_RCVBUF, 65536),
            ]
        )
    ),
    "local_address": lambda: by(Dialer(local_address="127.0.0.1")),
    "permit=allow(...)": lambda: by(Dialer(permit=LOOPBACK)),
    "permit=public_only() | ...": lambda: by(Dialer(permit=public_only() | LOOPBACK)),
    "on_socket": lambda: by(Dialer(on_socket=hook)),
    "timeout": lambda: by(Dialer(), timeout=5),
    "attempt_timeout": lambda: by(Dialer(attempt_timeout=5)),
    "trace": lambda: by(Dialer(trace=told)),
    "on_report": lambda: by(Dialer(on_report=told)),
    "report": lambda: reporting,
    "handshake": lambda: by(Dialer(), handshake=shake),
}


SOCKETS: dict[str, Contender] = {
    BLOCKING: blocking,
    OURS: ours,
    "loop.sock_connect": sock_connect,
    "aiohappyeyeballs.start_connection": happy_eyeballs,
    "a race, the first refuses: aconnect": our_race,
    "a race, the first refuses: aiohappyeyeballs": their_race,
    "create_connection": our_transport,
    "loop.create_connection": their_transport,
    "loop.create_connection, routed": routed_transport,
    "connect, connect_accepted_socket": accepted_transport,
    "open_connection": our_streams,
    "asyncio.open_connection": their_streams,
    "open_connection by name": our_name,
    "asyncio.open_connection by name": their_name,
    "open_stream": our_anyio,
    "anyio.connect_tcp": their_anyio,
    "create_connection, TLS": our_tls,
    "create_connection, TLS resumed": our_resumed_tls,
    "loop.create_connection, TLS": their_tls,
    "blocking TLS": blocking_tls,
    "blocking TLS, resumed": resumed_blocking_tls,
    "floor": floor,
    "floor of a race": floor_of_a_race,
    "floor of streams": floor_of_streams,
    "floor of streams, by name": floor_by_name,
    "floor of anyio's streams": anyio_floor,
    "floor of TLS": floor_of_tls,
}
CONTENDERS: dict[str, dict[str, Contender]] = {
    "asyncio": SOCKETS,
    "uvloop": SOCKETS,
    "trio": {
        BLOCKING: blocking,
        OURS: ours,
        "trio.socket connect": trio_socket,
        "floor": trio_floor,
        "open_trio_stream": our_trio,
        "trio.open_tcp_stream": their_trio,
        "open_stream": our_anyio,
        "anyio.connect_tcp": their_anyio,
        "floor of trio's streams": floor_of_trio_streams,
    },
}
