"""Transports and streams, over TCP, unix, UDP and TLS, cancelled at every step of every loop.

After each step: what `support.scenarios` says; no descriptor was closed twice, as the canaries
tell; the user's protocol was told of the end if it had been told of the beginning, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trio
import uvloop
from support import stepping
from support.canaries import Canaries
from support.fake_proxy import HEAD, Forward, Secure, fake_elsewhere
from support.listeners import listening, refusing, unix_listening
from support.scenarios import (
    ASYNCIO_LOOPS,
    Scenario,
    cancel_at_every_step,
    cancel_at_every_step_of_trio,
)
from support.tls import NAME, Certificates
from support.tls_server import tls_process

from aconnect import (
    Dialer,
    Proxy,
    create_connection,
    create_datagram_endpoint,
    open_connection,
    open_stream,
    open_trio_stream,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

LATER: dict[str, list[Any]] = {"getpeername": [errno.ENOTCONN] * 2}
"""Not connected when connect(2) returns, though the kernel has done it."""


class Told(asyncio.Protocol, asyncio.DatagramProtocol):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.made = self.lost = 0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.made += 1
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost += 1


class HandOvers(Scenario):
    """A scenario with canaries, and with an eye on the user's protocols."""

    def __init__(
        self, stack: contextlib.ExitStack, monkeypatch: Any, tmp_path: Any, tls: Any
    ) -> None:
        super().__init__(stack, monkeypatch, tmp_path)
        self.protocols: list[Told] = []
        self.canaries = stack.enter_context(Canaries())
        self.tls_address, self.context, self.strangers, self.certificate = tls
        one_turn = stepping.one_turn

        def turn(loop: Any) -> None:
            one_turn(loop)
            self.canaries.sing()

        monkeypatch.setattr(stepping, "one_turn", turn)

    def told(self) -> Told:
        self.protocols.append(Told())
        return self.protocols[-1]

    def check(self, won: Any) -> None:
        self.canaries.check()
        for protocol in self.protocols:
            assert protocol.made <= 1
            if won is None:
                assert protocol.lost == protocol.made
        self.protocols.clear()

    def close(self, won: Any) -> None:
        """Close what has been opened, without waiting for a goodbye."""
        if isinstance(won, tuple):
            transport = won[1].transport if isinstance(won[1], asyncio.StreamWriter) else won[0]
            transport.abort()
        elif isinstance(won, (trio.SocketStream, trio.SSLStream)):
            os.close(getattr(won, "transport_stream", won).socket.detach())
        else:
            close_anyio(won)

    def listening(self) -> Any:
        return self.stack.enter_context(listening(backlog=4000)).getsockname()


def close_anyio(stream: Any) -> None:
    """Close a stream of anyio's when its loop does not run."""
    stream = getattr(stream, "transport_stream", stream)
    stream = getattr(stream, "_stream", stream)  # of one by TLS to a proxy
    transport = getattr(stream, "_transport", None)
    if transport is not None:
        transport.abort()
    else:
        stream._raw_socket.close()


def a_transport(scene: HandOvers) -> Any:
    address = scene.listening()
    return lambda: create_connection(scene.told, address)


def a_transport_later(scene: HandOvers) -> Any:
    address = scene.listening()
    scene.script(LATER)
    return lambda: create_connection(scene.told, address, timeout=30)


def a_transport_to_the_second_address(scene: HandOvers) -> Any:
    dead = scene.stack.enter_context(refusing())
    addresses = infos(dead, scene.listening())
    return lambda: create_connection(scene.told, addresses, timeout=30)


def a_unix_transport(scene: HandOvers) -> Any:
    scene.stack.enter_context(unix_listening(scene.path, backlog=4000))
    return lambda: create_connection(scene.told, scene.path)


def a_datagram_transport(scene: HandOvers) -> Any:
    return lambda: create_datagram_endpoint(scene.told, remote_addr="udp://127.0.0.1:9")


def streams(scene: HandOvers) -> Any:
    address = scene.listening()
    return lambda: open_connection(address)


def a_tls_transport(scene: HandOvers) -> Any:
    return lambda: create_connection(
        scene.told, scene.tls_address, ssl=scene.context, server_hostname=NAME, timeout=30
    )


def a_tls_transport_that_is_refused(scene: HandOvers) -> Any:
    return lambda: create_connection(
        scene.told, scene.tls_address, ssl=scene.strangers, server_hostname=NAME, timeout=30
    )


def a_tls_transport_to_the_second_address(scene: HandOvers) -> Any:
    dead = scene.stack.enter_context(refusing())
    addresses = infos(dead, scene.tls_address)
    return lambda: create_connection(
        scene.told, addresses, ssl=scene.context, server_hostname=NAME, timeout=30
    )


def a_tls_handshake_that_stalls(scene: HandOvers) -> Any:
    address = scene.listening()
    return lambda: create_connection(
        scene.told, address, ssl=scene.context, server_hostname=NAME, timeout=0.01
    )


def a_stream(scene: HandOvers) -> Any:
    address = scene.listening()
    return lambda: open_stream(address)


def a_unix_stream(scene: HandOvers) -> Any:
    scene.stack.enter_context(unix_listening(scene.path, backlog=4000))
    return lambda: open_stream(scene.path)


def a_tls_stream(scene: HandOvers) -> Any:
    return lambda: open_stream(
        scene.tls_address, ssl=scene.context, server_hostname=NAME, timeout=30
    )


def a_tls_stream_that_is_refused(scene: HandOvers) -> Any:
    return lambda: open_stream(
        scene.tls_address, ssl=scene.strangers, server_hostname=NAME, timeout=30
    )


def a_tls_stream_that_stalls(scene: HandOvers) -> Any:
    address = scene.listening()
    return lambda: open_stream(address, ssl=scene.context, server_hostname=NAME, timeout=0.01)


def a_trio_stream(scene: HandOvers) -> Any:
    address = scene.listening()
    return lambda: open_trio_stream(address)


def a_trio_tls_stream(scene: HandOvers) -> Any:
    return lambda: open_trio_stream(
        scene.tls_address, ssl=scene.context, server_hostname=NAME, timeout=30
    )


def a_trio_tls_stream_that_is_refused(scene: HandOvers) -> Any:
    return lambda: open_trio_stream(
        scene.tls_address, ssl=scene.strangers, server_hostname=NAME, timeout=30
    )


class Special(socket.socket):
    """trio wraps no subclass, so another socket has to take the connection over."""


def of_a_subclass(endpoint: Any) -> socket.socket:
    sock = Special(endpoint.family, endpoint.type)
    sock.setblocking(False)
    return sock


def a_trio_stream_of_a_subclass(scene: HandOvers) -> Any:
    address = scene.listening()
    return lambda: open_trio_stream(address, socket_factory=of_a_subclass)


def a_trio_tls_stream_of_a_subclass(scene: HandOvers) -> Any:
    addresses = infos(scene.listening(), scene.tls_address)
    return lambda: open_trio_stream(
        addresses,
        ssl=scene.context,
        server_hostname=NAME,
        timeout=30,
        attempt_timeout=0.02,
        socket_factory=of_a_subclass,
    )


def a_stream_of_a_subclass(scene: HandOvers) -> Any:
    address = scene.listening()
    return lambda: open_stream(address, socket_factory=of_a_subclass)


def by_proxy(scene: HandOvers, *then: Any, refused: bool = False) -> dict[str, Any]:
    """Arguments for what goes by way of TLS to a proxy."""
    script = [Secure(scene.certificate), HEAD, b"HTTP/1.1 200 OK\r\n\r\n", *then]
    port = scene.stack.enter_context(fake_elsewhere(script))
    context = scene.strangers if refused else scene.context
    proxy = Proxy("https", ("127.0.0.1", port), ssl=context)
    return {"dialer": Dialer(proxy=proxy), "timeout": 30}


def a_transport_by_tls_to_a_proxy(scene: HandOvers) -> Any:
    options = by_proxy(scene, b"surplus")
    return lambda: create_connection(scene.told, NAME, 1, **options)


def a_transport_by_tls_to_a_proxy_that_is_refused(scene: HandOvers) -> Any:
    options = by_proxy(scene, refused=True)
    return lambda: create_connection(scene.told, NAME, 1, **options)


def a_tls_transport_by_tls_to_a_proxy(scene: HandOvers) -> Any:
    options = by_proxy(scene, Forward(scene.tls_address))
    return lambda: create_connection(scene.told, NAME, 1, ssl=scene.context, **options)


def a_stream_by_tls_to_a_proxy(scene: HandOvers) -> Any:
    options = by_proxy(scene, b"surplus")
    return lambda: open_stream(NAME, 1, **options)


def a_tls_stream_by_tls_to_a_proxy(scene: HandOvers) -> Any:
    options = by_proxy(scene, Forward(scene.tls_address))
    return lambda: open_stream(NAME, 1, ssl=scene.context, **options)


def a_tls_stream_by_tls_to_a_proxy_that_is_refused(scene: HandOvers) -> Any:
    options = by_proxy(scene, Forward(scene.tls_address))
    return lambda: open_stream(NAME, 1, ssl=scene.strangers, **options)


def a_trio_stream_by_tls_to_a_proxy(scene: HandOvers) -> Any:
    options = by_proxy(scene, b"surplus")
    return lambda: open_trio_stream(NAME, 1, **options)


def a_trio_tls_stream_by_tls_to_a_proxy(scene: HandOvers) -> Any:
    options = by_proxy(scene, Forward(scene.tls_address))
    return lambda: open_trio_stream(NAME, 1, ssl=scene.context, **options)


def infos(*addresses: Any) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]


ON_ASYNCIO = [
    a_transport,
    a_transport_later,
    a_transport_to_the_second_address,
    a_unix_transport,
    a_datagram_transport,
    streams,
    a_tls_transport,
    a_tls_transport_that_is_refused,
    a_tls_transport_to_the_second_address,
    a_tls_handshake_that_stalls,
    a_transport_by_tls_to_a_proxy,
    a_transport_by_tls_to_a_proxy_that_is_refused,
    a_tls_transport_by_tls_to_a_proxy,
]
ANYWHERE = [
    a_stream,
    a_unix_stream,
    a_tls_stream,
    a_tls_stream_that_is_refused,
    a_tls_stream_that_stalls,
    a_stream_of_a_subclass,
    a_stream_by_tls_to_a_proxy,
    a_tls_stream_by_tls_to_a_proxy,
    a_tls_stream_by_tls_to_a_proxy_that_is_refused,
]
ON_TRIO = [
    a_trio_stream,
    a_trio_tls_stream,
    a_trio_tls_stream_that_is_refused,
    a_trio_stream_of_a_subclass,
    a_trio_tls_stream_of_a_subclass,
    a_trio_stream_by_tls_to_a_proxy,
    a_trio_tls_stream_by_tls_to_a_proxy,
]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: Any) -> Iterator[Any]:
    certificates = Certificates()
    folder = tmp_path_factory.mktemp("tls")
    with tls_process(certificates.of("good"), folder) as address:
        path = str(folder / "certificate.pem")
        yield address, certificates.client(), Certificates().client(), path


@pytest.fixture
def scene(request: pytest.FixtureRequest, monkeypatch: Any, tmp_path: Any, tls: Any) -> Any:
    with contextlib.ExitStack() as stack:
        scene = HandOvers(stack, monkeypatch, tmp_path, tls)
        scene.start = request.param(scene)
        yield scene


class ForgivingLoop(uvloop.Loop):
    """uvloop tells its exception handler of a handshake that fails in the turn in which
    create_connection() is cancelled: of its own, with a host and a port, just as of ours."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), ssl.SSLError):
            super().call_exception_handler(context)


def warmed(new_loop: Any) -> Any:
    """What makes such a loop, which has made a transport: for the first, libuv opens a file."""

    async def warm() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
            transport.abort()
            await asyncio.sleep(0)

    def new() -> Any:
        loop = ForgivingLoop() if new_loop is uvloop.new_event_loop else new_loop()
        loop.run_until_complete(warm())
        return loop

    return new


def name_of(scenario: Any) -> str:
    return str(scenario.__name__)


@pytest.mark.parametrize("scene", ON_ASYNCIO + ANYWHERE, ids=name_of, indirect=True)
@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS[:3])
@pytest.mark.parametrize("again", [False, True], ids=["once", "again"])
def test_every_step(new_loop: Any, scene: Any, again: bool) -> None:
    cancel_at_every_step(warmed(new_loop), scene, again=again)


@pytest.mark.parametrize("scene", ANYWHERE + ON_TRIO, ids=name_of, indirect=True)
def test_every_step_on_trio(scene: Any) -> None:
    cancel_at_every_step_of_trio(scene)
