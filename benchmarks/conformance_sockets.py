"""Rows about unix sockets, local ports and addresses, for `conformance.py`."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import aiohappyeyeballs
import trio
from conformance_rows import NOT_ITS_TASK, PATIENCE, Row, row, within
from conformance_stage import (
    FIRST,
    LINK_LOCAL,
    NAME,
    SECOND,
    Fault,
    drain,
    full_unix,
    listening,
    no_leak,
    one_local_port,
)

import aconnect

if TYPE_CHECKING:
    from conformance_peers import Peer

__all__ = ["ROWS"]

IP_BIND_ADDRESS_NO_PORT: Final = 24  # not in the socket module before Python 3.12
PORT: Final = 40_000
ROWS: dict[str, Row] = {}


# ---------------------------------------------------------------------------- unix sockets


@row(
    ROWS,
    "unix-backlog",
    "A unix connect that succeeds has a peer",
    "The listener's backlog is full for half a second. What is returned must know its peer; "
    "an error, or waiting, is as good.",
    aiohappyeyeballs=NOT_ITS_TASK,
)
async def unix_backlog(peer: Peer) -> str:
    with full_unix() as (_, path):
        try:
            connection = await within(peer, 0.5, peer.unix(path))
        except OSError as error:
            return f"raises {type(error).__name__}"
        if connection is None:
            return "waits"
        _, name = connection.names()
        await connection.close()
        if name is None:
            raise Fault("returns a socket without a peer")
        return "connected"


@row(
    ROWS,
    "unix-later",
    "... and connects when the server accepts",
    "The same, but the server accepts after a tenth of a second.",
    aiohappyeyeballs=NOT_ITS_TASK,
)
async def unix_later(peer: Peer) -> str:
    with full_unix() as (listener, path):
        peer.later(0.1, lambda: listener.accept()[0].close())
        try:
            connection = await within(peer, PATIENCE, peer.unix(path))
        except OSError as error:
            raise Fault(f"raises {type(error).__name__}") from None
        if connection is None:
            raise Fault("does not connect")
        _, name = connection.names()
        await connection.close()
        if name is None:
            raise Fault("returns a socket without a peer")
        return "connects"


@row(
    ROWS,
    "unix-cancelled",
    "... and waits without spinning, and leaves nothing when cancelled",
    "The same, cancelled after half a second: at most half of it may be processor time, and no "
    "socket may be left. Who does not wait, and closes what there is, passes too.",
    aiohappyeyeballs=NOT_ITS_TASK,
)
async def unix_cancelled(peer: Peer) -> str:
    faults = []
    with full_unix() as (_, path):
        for _ in range(2):  # what is imported at the first use is not spinning
            busy = time.process_time()
            try:
                with no_leak():
                    await _give_up(peer, path)
                    busy = time.process_time() - busy
            except Fault as fault:
                faults = [str(fault)]
    if busy > 0.25:
        faults.append(f"used the processor for {busy / 0.5:.0%} of the time")
    if faults:
        raise Fault(", and ".join(faults))
    return "nothing left"


async def _give_up(peer: Peer, path: str) -> None:
    try:
        connection = await within(peer, 0.5, peer.unix(path))
    except OSError:
        return
    if connection is not None:
        await connection.close()


# ----------------------------------------------------------------------------- local ports


@row(
    ROWS,
    "udp-no-port",
    "A UDP connect that succeeds has a peer",
    "No local port is free.",
    aiohappyeyeballs=NOT_ITS_TASK,
)
async def udp_no_port(peer: Peer) -> str:
    one_local_port(PORT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", PORT))
        try:
            connection = await within(peer, PATIENCE, peer.udp("127.0.0.1", 9))
        except OSError as error:
            return f"raises {errno.errorcode.get(error.errno or 0, 'an error')}"
        if connection is None:
            return "waits"
        _, name = connection.names()
        await connection.close()
        if name is None:
            raise Fault("returns a socket without a peer")
        return "connected"


@row(
    ROWS,
    "to-itself",
    "A connection to itself is no connection",
    "The kernel has one local port to pick, and that is the one connected to.",
)
async def to_itself(peer: Peer) -> str:
    one_local_port(PORT)
    try:
        connection = await within(peer, PATIENCE, peer.tcp("127.0.0.1", PORT))
    except OSError as error:
        return f"raises {type(error).__name__}"
    if connection is None:
        return "waits"
    local, remote = connection.names()
    await connection.close()
    if local == remote:
        raise Fault("is connected to itself")
    return "is not connected to itself"


@row(
    ROWS,
    "bind-no-port",
    "Binding a local address uses up no local port",
    "IP_BIND_ADDRESS_NO_PORT is read back from a connected socket that was bound to 127.0.0.1, "
    "port 0.",
)
async def bind_no_port(peer: Peer) -> str:
    with listening(FIRST) as listener:
        connection = await peer.tcp(FIRST, listener.getsockname()[1], local="127.0.0.1")
        with connection.raw() as sock:
            value = sock.getsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT)
        await connection.close()
    if not value:
        raise Fault("IP_BIND_ADDRESS_NO_PORT is not set")
    return "IP_BIND_ADDRESS_NO_PORT is set"


# ------------------------------------------------------------------------------- addresses


@row(
    ROWS,
    "zone",
    "The zone of a link-local address is kept",
    "A listener at fe80::1 on loopback, connected to as fe80::1%lo.",
)
async def zone(peer: Peer) -> str:
    with listening(LINK_LOCAL) as listener:
        port = listener.getsockname()[1]
        try:
            connection = await within(peer, PATIENCE, peer.tcp(f"{LINK_LOCAL}%lo", port))
        except (OSError, ValueError) as error:
            raise Fault(f"raises {type(error).__name__}: {error}") from None
        if connection is None:
            raise Fault("does not connect")
        await connection.close()
        return "connects"


@row(
    ROWS,
    "scope-id",
    "... and that of a resolved one, a tuple of four",
    "The same as a sockaddr, with `loop.sock_connect` of asyncio and uvloop, `socket.connect` of "
    "trio, `start_connection` of aiohappyeyeballs, `aconnect`.",
    anyio="takes no resolved addresses",
)
async def scope_id(peer: Peer) -> str:
    with listening(LINK_LOCAL) as listener:
        address = listener.getsockname()
        info = (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
        try:
            if peer.library == "aconnect":
                (await aconnect.aconnect([info])).close()
            elif peer.library == "aiohappyeyeballs":
                (await aiohappyeyeballs.start_connection([info])).close()
            elif peer.on_trio:
                with trio.socket.socket(socket.AF_INET6) as sock:
                    await sock.connect(address)
            else:
                with socket.socket(socket.AF_INET6) as bare:
                    bare.setblocking(False)
                    await asyncio.get_running_loop().sock_connect(bare, address)
        except OSError as error:
            raise Fault(f"raises {errno.errorcode.get(error.errno or 0)}") from None
        return "connects"


@row(
    ROWS,
    "localhost",
    "A lookup does not wait for other users of the thread pool",
    "Every thread of the loop's default pool is busy; `localhost` is in /etc/hosts.",
    aiohappyeyeballs=NOT_ITS_TASK,
)
async def localhost(peer: Peer) -> str:
    free = threading.Event()
    with listening("127.0.0.1") as listener:
        await peer.fill_thread_pool(free.wait)
        try:
            connection = await within(
                peer, PATIENCE / 2, peer.tcp("localhost", listener.getsockname()[1])
            )
        finally:
            free.set()
        if connection is None:
            raise Fault("waits for them")
        await connection.close()
    return "does not wait"


@row(
    ROWS,
    "policy",
    "A hook can refuse an address, resolved or literal, before anything is sent",
    "127.0.0.2 is to be refused and 127.0.0.3 is not: `permit` of aconnect, `socket_factory` of "
    "aiohappyeyeballs, a resolver of one's own that filters on the others where they take one.",
)
async def policy(peer: Peer) -> str:
    with listening(FIRST) as first:
        port = first.getsockname()[1]
        with listening(SECOND, port):
            options = _refusing_first(peer)
            connection = await within(peer, PATIENCE, peer.tcp(NAME, port, **options))
            if connection is None:
                raise Fault("does not connect")
            await connection.close()
            if drain(first):
                raise Fault("the name leads to it all the same")
            try:
                connection = await within(peer, PATIENCE, peer.tcp(FIRST, port, **options))
                if connection is not None:
                    await connection.close()
            except OSError:
                pass
            if drain(first):
                raise Fault("the literal address is not asked about")
    return "refuses"


def _refusing_first(peer: Peer) -> dict[str, Any]:
    def allowed(host: str) -> bool:
        return ipaddress.ip_address(host) != ipaddress.ip_address(FIRST)

    if peer.library == "aconnect":
        return {"permit": lambda endpoint: allowed(endpoint.sockaddr[0])}
    if peer.library == "aiohappyeyeballs":

        def factory(info: Any) -> socket.socket:
            if not allowed(info[4][0]):
                raise OSError(errno.EACCES, "refused")
            return socket.socket(*info[:3])

        return {"socket_factory": factory}
    if peer.on_trio:

        class Filter(trio.abc.HostnameResolver):
            async def getaddrinfo(self, host: Any, *rest: Any) -> Any:
                found = await trio.to_thread.run_sync(socket.getaddrinfo, host, *rest)
                return [info for info in found if allowed(str(info[4][0]))]

            async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
                raise NotImplementedError

        trio.socket.set_custom_hostname_resolver(Filter())
        return {}
    loop = asyncio.get_running_loop()
    lookup = loop.getaddrinfo

    async def filtered(*arguments: Any, **options: Any) -> Any:
        found = await lookup(*arguments, **options)
        return [info for info in found if allowed(str(info[4][0]))]

    try:
        loop.getaddrinfo = filtered  # type: ignore[method-assign]
    except AttributeError:
        raise Fault("has no such hook") from None
    return {}
