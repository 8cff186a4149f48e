"""What a call meets while system calls fail under it.

Rules:

* A scene is made once and run often: `Scene.renew` makes it as it was.
* In a scene with ``spare`` addresses, two can be connected to; as one fault spoils but one
  attempt, the call must succeed.
* A scene that hands its socket over to a transport has asyncio or trio make calls as well.  What
  they raise goes to the caller as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING, Any

import anyio
from support.by_proxy import HTTP_OK
from support.fake_proxy import BOUND, GREETING, HEAD, Secure, fake_elsewhere
from support.listeners import listening, refusing, silent, unix_full, unix_listening
from support.tls import Certificates

from aconnect import (
    Proxy,
    aconnect,
    connect_socket,
    create_connection,
    create_datagram_endpoint,
    open_connection,
    open_stream,
    open_trio_stream,
    wait_connected,
)
from aconnect.addresses.target import target_of
from aconnect.resolvers.system import SystemResolver
from aconnect.sockets.settings import Keepalive, SocketOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.faults import Faults

    from aconnect.addresses.values import Endpoint

LATER = [errno.ENOTCONN]
"""getpeername(2) has no peer at first: the connection is there a moment after connect(2)."""

CERTIFICATES = Certificates()

TIMEOUT = 30
SHORT = 0.004


class Scene:
    """One scene.

    Attributes:
        start: makes the coroutine.
        quick, one_by_one: dialers.
        timed: whether timers and threads have a say in which calls there are.
        spare: whether there is another address for an attempt that fails.
        hands_over: whether what it gives is no socket.
        kinds: the calls that must occur.
        threads: whether there are lookups.
    """

    def __init__(
        self, stack: contextlib.ExitStack, faults: Faults, tmp_path: Any, make: Any
    ) -> None:
        self.stack = stack
        self.faults = faults
        self.quick = faults.dialer(attempt_delay=0.002, resolution_delay=0)
        self.one_by_one = faults.dialer(attempt_delay=None)
        self.path = tmp_path / "s"
        self.timed = False
        self.spare = False
        self.hands_over = False
        self.threads = False
        self.kinds = {"socket", "connect"}
        self.listeners: list[socket.socket] = []
        self.start: Callable[[], Any] = make(self)

    def renew(self) -> None:
        """Let go of what clients have left behind."""
        for listener in self.listeners:
            while True:
                try:
                    listener.accept()[0].close()
                except BlockingIOError:
                    break

    def close(self, won: Any) -> None:
        """Close what the call gave, without waiting for a goodbye."""
        if isinstance(won, socket.socket):
            won.close()
        elif isinstance(won, tuple):
            transport = won[1].transport if isinstance(won[1], asyncio.StreamWriter) else won[0]
            transport.abort()
        elif won is not None:
            transport = getattr(won, "_transport", None)  # anyio's, on asyncio
            if transport is not None:
                transport.abort()
            else:
                os.close((getattr(won, "_trio_socket", None) or won.socket).detach())

    # What scenes are made of.

    def listening(self, host: str = "127.0.0.1") -> Any:
        listener = self.stack.enter_context(listening(host, backlog=64))
        listener.setblocking(False)
        self.listeners.append(listener)
        return listener.getsockname()

    def unix_listening(self, path: Any = None) -> Any:
        listener = self.stack.enter_context(unix_listening(path or self.path, backlog=64))
        listener.setblocking(False)
        self.listeners.append(listener)
        return self.path

    def refusing(self) -> Any:
        return self.stack.enter_context(refusing())

    def silent(self) -> Any:
        return self.stack.enter_context(silent())

    @contextlib.contextmanager
    def own_socket(self, family: int = socket.AF_INET) -> Iterator[socket.socket]:
        """A socket of the caller's, which is the caller's to close."""
        with self.faults.off():
            sock = self.faults.socket(family)
            sock.setblocking(False)
        try:
            yield sock
        finally:
            assert sock.fileno() >= 0
            with self.faults.off():
                sock.close()


def of(*addresses: Any) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]


def at_once(scene: Scene) -> Any:
    address = scene.listening()
    scene.kinds |= {"setsockopt", "getpeername"}
    return lambda: aconnect(address)


def later(scene: Scene) -> Any:
    address = scene.listening()
    scene.faults.script = {"getpeername": LATER}
    scene.kinds |= {"getsockopt", "epoll_ctl", "getpeername"}
    return lambda: aconnect(address, timeout=TIMEOUT)


def later_without_a_limit(scene: Scene) -> Any:
    address = scene.listening()
    scene.faults.script = {"getpeername": LATER}
    return lambda: aconnect(address)


def after_false_alarms(scene: Scene) -> Any:
    scene.timed = True
    address = scene.listening()
    scene.faults.script = {"getpeername": LATER * 5}
    scene.kinds |= {"getsockopt", "poll"}
    return lambda: aconnect(address, timeout=TIMEOUT)


def is_refused(scene: Scene) -> Any:
    address = scene.refusing()
    scene.kinds |= {"getsockopt", "close"}
    return lambda: aconnect(address, timeout=TIMEOUT)


def out_of_time(scene: Scene) -> Any:
    scene.timed = True
    address = scene.silent()
    scene.kinds |= {"epoll_ctl", "close"}
    return lambda: aconnect(address, timeout=SHORT)


def unix(scene: Scene) -> Any:
    path = scene.unix_listening()
    return lambda: aconnect(path)


def unix_with_a_long_path(scene: Scene) -> Any:
    directory = scene.path.with_name("d" * 120)
    directory.mkdir()
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    scene.stack.callback(os.close, fd)
    scene.unix_listening(f"/proc/self/fd/{fd}/s")
    scene.kinds |= {"open", "close"}
    return lambda: aconnect(directory / "s", timeout=TIMEOUT)


def unix_with_a_full_backlog(scene: Scene) -> Any:
    scene.timed = True
    scene.stack.enter_context(unix_full(scene.path))
    scene.kinds |= {"close"}
    return lambda: aconnect(scene.path, timeout=SHORT)


def unix_with_a_backlog_that_drains(scene: Scene) -> Any:
    scene.timed = True
    path = scene.unix_listening()
    scene.faults.script = {"connect": [errno.EAGAIN] * 2}
    return lambda: aconnect(path, timeout=TIMEOUT)


def udp(scene: Scene) -> Any:
    return lambda: aconnect("udp://127.0.0.1:9", timeout=TIMEOUT)


def a_second_socket(scene: Scene) -> Any:
    address = scene.listening()
    scene.faults.script = {"connect": [errno.EADDRNOTAVAIL]}
    scene.kinds |= {"close"}
    return lambda: aconnect(address, timeout=TIMEOUT)


def one_by_one(scene: Scene) -> Any:
    scene.timed = True
    found = of(scene.refusing(), scene.listening(), scene.listening())
    scene.spare = True
    scene.kinds |= {"setsockopt", "getpeername", "getsockname", "getsockopt", "close"}
    return lambda: scene.one_by_one.connect(found, timeout=TIMEOUT)


def a_race(scene: Scene) -> Any:
    scene.timed = True
    found = of(scene.silent(), scene.listening(), scene.listening())
    scene.spare = True
    scene.kinds |= {"getpeername", "getsockname", "close"}
    return lambda: scene.quick.connect(found, timeout=TIMEOUT)


def a_race_of_the_slow(scene: Scene) -> Any:
    scene.timed = True
    found = of(scene.refusing(), scene.listening(), scene.listening())
    scene.faults.script = {"getpeername": LATER * 3}
    scene.spare = True
    return lambda: scene.quick.connect(found, timeout=TIMEOUT)


def a_race_that_is_lost(scene: Scene) -> Any:
    scene.timed = True
    found = of(scene.refusing(), scene.refusing())
    return lambda: scene.quick.connect(found, timeout=TIMEOUT)


def a_race_out_of_time(scene: Scene) -> Any:
    scene.timed = True
    found = of(scene.silent(), scene.silent())
    return lambda: scene.quick.connect(found, timeout=SHORT * 2)


def attempts_out_of_time(scene: Scene) -> Any:
    scene.timed = True
    found = of(scene.silent(), scene.listening(), scene.listening())
    scene.spare = True
    dialer = scene.one_by_one.replace(attempt_timeout=SHORT * 2)
    return lambda: dialer.connect(found, timeout=TIMEOUT)


def found(family: int, *addresses: Any) -> list[Any]:
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", each) for each in addresses]


def a_name(scene: Scene) -> Any:
    scene.timed = True
    addresses = found(socket.AF_INET, scene.listening(), scene.listening())
    scene.faults.answers = lambda family: addresses
    scene.threads = True
    scene.kinds |= {"getaddrinfo", "clone"}
    return lambda: scene.quick.connect("db.example:1", timeout=TIMEOUT)


def a_name_by_family(scene: Scene) -> Any:
    scene.timed = True
    answers = {
        socket.AF_INET: found(socket.AF_INET, scene.listening(), scene.listening()),
        socket.AF_INET6: found(socket.AF_INET6, scene.listening("::1")[:2]),
    }
    scene.faults.answers = answers.__getitem__
    scene.spare = True
    scene.threads = True
    scene.kinds |= {"getaddrinfo", "clone"}
    dialer = scene.quick.replace(resolver=SystemResolver(by_family=True))
    return lambda: dialer.connect("db.example:1", timeout=TIMEOUT)


def options(scene: Scene) -> Any:
    address = scene.listening()
    dialer = scene.faults.dialer(
        keepalive=Keepalive(10, 5, 3),
        user_timeout=10,
        tos=16,
        local_address="127.0.0.1",
        socket_options=[
            SocketOption(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536),
            SocketOption(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536, best_effort=True),
        ],
    )
    scene.kinds |= {"setsockopt", "bind"}
    return lambda: dialer.connect(address, timeout=TIMEOUT)


def multipath(scene: Scene) -> Any:
    address = scene.listening()
    dialer = scene.faults.dialer(
        mptcp=True, keepalive=Keepalive(10, 5, 3), attempt_timeout=TIMEOUT
    )
    scene.faults.script = {"getpeername": LATER}
    scene.kinds |= {"setsockopt", "getsockopt"}
    return lambda: dialer.connect(address, timeout=TIMEOUT)


def a_socket_factory(scene: Scene) -> Any:
    address = scene.listening()

    def factory(endpoint: Endpoint) -> socket.socket:
        return scene.faults.socket(endpoint.family, endpoint.type, endpoint.proto)

    dialer = scene.faults.dialer(socket_factory=factory)
    scene.kinds |= {"ioctl"}
    return lambda: dialer.connect(address, timeout=TIMEOUT)


def a_hook(scene: Scene) -> Any:
    """It leaves the socket blocking."""
    scene.timed = True
    addresses = of(scene.refusing(), scene.listening(), scene.listening())

    def hook(sock: socket.socket, _: Endpoint) -> None:
        with scene.faults.off():
            sock.setblocking(True)

    dialer = scene.quick.replace(on_socket=hook)
    scene.spare = True
    scene.kinds |= {"ioctl"}
    return lambda: dialer.connect(addresses, timeout=TIMEOUT)


async def some_turns(*_: Any) -> None:
    for _ in range(3):
        await anyio.sleep(0)


def an_async_hook(scene: Scene) -> Any:
    scene.timed = True
    addresses = of(scene.refusing(), scene.listening(), scene.listening())
    dialer = scene.quick.replace(on_socket=some_turns)
    scene.spare = True
    return lambda: dialer.connect(addresses, timeout=TIMEOUT)


def a_handshake(scene: Scene) -> Any:
    scene.timed = True
    addresses = of(scene.silent(), scene.listening(), scene.listening())
    scene.spare = True

    async def shake(sock: socket.socket) -> socket.socket:
        await some_turns()
        return sock

    return lambda: scene.quick.connect(addresses, timeout=TIMEOUT, handshake=shake)


def a_handshake_out_of_time(scene: Scene) -> Any:
    scene.timed = True
    addresses = of(scene.listening())

    async def shake(sock: socket.socket) -> None:
        await anyio.sleep(TIMEOUT)

    return lambda: scene.quick.connect(addresses, timeout=SHORT, handshake=shake)


def by_a_proxy(scene: Scene) -> Any:
    return by(scene, "socks5h", [*GREETING, 10, BOUND])


def by_a_proxy_of_http(scene: Scene) -> Any:
    return by(scene, "http", [HEAD, HTTP_OK])


def by_a_proxy_with_tls(scene: Scene) -> Any:
    pem = scene.path.with_name("pem")
    pem.write_bytes(CERTIFICATES.of())
    return by(scene, "https", [Secure(pem), HEAD, HTTP_OK], ssl=CERTIFICATES.client())


def by(scene: Scene, scheme: str, script: list[Any], **options: Any) -> Any:
    scene.timed = True
    port = scene.stack.enter_context(fake_elsewhere(script))
    dialer = scene.quick.replace(proxy=Proxy(scheme, ("127.0.0.1", port), **options))
    target = target_of(("192.0.2.1", 80))
    scene.kinds |= {"send", "recv"}

    async def call() -> socket.socket:
        found = await dialer.dial(target, TIMEOUT, None, streams=True)
        sock: socket.socket = getattr(found, "sock", found)  # that of a tunnel
        return sock

    return call


def on_ones_own_socket(scene: Scene) -> Any:
    address = scene.listening()
    scene.kinds = {"connect", "getpeername", "fcntl"}

    async def call() -> None:
        with scene.own_socket() as sock:
            await connect_socket(sock, address, timeout=TIMEOUT)

    return call


def on_ones_own_socket_later(scene: Scene) -> Any:
    scene.timed = True
    address = scene.listening()
    scene.faults.script = {"getpeername": LATER * 3}  # once before connect(2)
    scene.kinds = {"connect", "getpeername", "getsockopt", "poll"}

    async def call() -> None:
        with scene.own_socket() as sock:
            await connect_socket(sock, address, timeout=TIMEOUT)

    return call


def on_ones_own_unix_socket(scene: Scene) -> Any:
    scene.timed = True
    scene.stack.enter_context(unix_full(scene.path))
    scene.kinds = {"connect"}

    async def call() -> None:
        with scene.own_socket(socket.AF_UNIX) as sock:
            await connect_socket(sock, str(scene.path), timeout=SHORT)

    return call


def an_attempt_that_runs(scene: Scene) -> Any:
    scene.timed = True
    address = scene.listening()
    scene.faults.script = {"getpeername": LATER * 3}
    scene.kinds = {"getpeername", "getsockopt"}

    async def call() -> None:
        with scene.own_socket() as sock:
            with scene.faults.off():
                sock.connect_ex(address)
            await wait_connected(sock, timeout=TIMEOUT)

    return call


def an_attempt_that_stays_pending(scene: Scene) -> Any:
    scene.timed = True
    address = scene.silent()
    scene.kinds = {"getpeername", "getsockopt"}

    async def call() -> None:
        with scene.own_socket() as sock:
            with scene.faults.off():
                sock.connect_ex(address)
            await wait_connected(sock, timeout=SHORT)

    return call


def a_transport(scene: Scene) -> Any:
    address = scene.listening()
    scene.hands_over = True
    return lambda: create_connection(asyncio.Protocol, address)


def a_transport_later(scene: Scene) -> Any:
    scene.timed = True
    addresses = of(scene.refusing(), scene.listening(), scene.listening())
    scene.faults.script = {"getpeername": LATER * 2}
    scene.hands_over = True
    return lambda: create_connection(
        asyncio.Protocol, addresses, timeout=TIMEOUT, attempt_delay=0.002
    )


def a_transport_with_nagle(scene: Scene) -> Any:
    address = scene.listening()
    scene.hands_over = True
    return lambda: create_connection(asyncio.Protocol, address, timeout=TIMEOUT, nodelay=False)


def a_unix_transport(scene: Scene) -> Any:
    path = scene.unix_listening()
    scene.hands_over = True
    return lambda: create_connection(asyncio.Protocol, path)


def a_datagram_transport(scene: Scene) -> Any:
    scene.hands_over = True
    return lambda: create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr="udp://127.0.0.1:9"
    )


def streams(scene: Scene) -> Any:
    address = scene.listening()
    scene.hands_over = True
    return lambda: open_connection(address)


def a_stream(scene: Scene) -> Any:
    address = scene.listening()
    scene.hands_over = True
    return lambda: open_stream(address, nodelay=False)


def a_trio_stream(scene: Scene) -> Any:
    address = scene.listening()
    scene.hands_over = True
    return lambda: open_trio_stream(address, nodelay=False)


ANYWHERE = [
    at_once,
    later,
    later_without_a_limit,
    after_false_alarms,
    is_refused,
    out_of_time,
    unix,
    unix_with_a_long_path,
    unix_with_a_full_backlog,
    unix_with_a_backlog_that_drains,
    udp,
    a_second_socket,
    one_by_one,
    a_race,
    a_race_of_the_slow,
    a_race_that_is_lost,
    a_race_out_of_time,
    attempts_out_of_time,
    a_name,
    a_name_by_family,
    options,
    a_socket_factory,
    a_hook,
    an_async_hook,
    a_handshake,
    a_handshake_out_of_time,
    by_a_proxy,
    by_a_proxy_of_http,
    by_a_proxy_with_tls,
    on_ones_own_socket,
    on_ones_own_socket_later,
    on_ones_own_unix_socket,
    an_attempt_that_runs,
    an_attempt_that_stays_pending,
    a_stream,
]
WITH_WRITERS = [multipath]  # without, asyncio looks even an IP address up, for its protocol
ON_ASYNCIO = [
    a_transport,
    a_transport_later,
    a_transport_with_nagle,
    a_unix_transport,
    a_datagram_transport,
    streams,
]
ON_TRIO = [a_trio_stream]


def scenes_on(loop: str) -> list[Any]:
    """The scenes that there are on a loop."""
    return [
        *ANYWHERE,
        *([] if loop == "no add_writer" else WITH_WRITERS),
        *(ON_TRIO if loop == "trio" else ON_ASYNCIO),
    ]
