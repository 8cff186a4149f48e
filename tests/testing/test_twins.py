"""Fake sockets beside real ones: what is done with both must come to the same.

The real ones connect over loopback, and a host of the fake network has the same address.
"""

from __future__ import annotations

import errno
import select
import socket
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import uvloop

from aconnect import ConnectError, Endpoint, UDPAddress, UnixAddress, dissolve_association
from aconnect.testing import FakeNetwork, VirtualClock
from aconnect.testing.fake_socket import FakeSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that is imitated")

V4 = "192.0.2.1"
TCP = Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, (V4, 80))
UDP = Endpoint(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP, (V4, 53))
STREAM, DGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
PROTO = {STREAM: socket.IPPROTO_TCP, DGRAM: socket.IPPROTO_UDP}
HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


class Pair:
    """Two sockets of the same kind, of which one is real.

    Attributes:
        there: where a host listens, for each of them, and where none does.
        accept: accepts what has connected, for each of them.
    """

    def __init__(self, stack: ExitStack, family: int, type: int) -> None:
        self.kind = (family, type, PROTO[type])
        self.network = stack.enter_context(FakeNetwork())
        host = HOSTS[family]
        listener = stack.enter_context(socket.socket(*self.kind))
        listener.bind((host, 0))
        if type == STREAM:
            listener.listen()
        self.listener = listener
        self.there = listener.getsockname()
        with socket.socket(*self.kind) as closed:
            closed.bind((host, 0))
            self.closed = closed.getsockname()
        self.host = self.network.add(None, host, port=self.there[1])
        self._stack = stack

    def new(self) -> list[socket.socket]:
        """A real one and a fake one."""
        real = self._stack.enter_context(socket.socket(*self.kind))
        real.setblocking(False)
        fake = self.network.socket_factory(Endpoint(*self.kind, self.there))
        return [real, self._stack.enter_context(fake)]

    def same(self, act: Callable[[socket.socket], Any]) -> Any:
        """What comes of it, with a new socket each, which must be the same."""
        real, fake = (outcome(act, sock) for sock in self.new())
        assert fake == real
        return fake


def outcome(act: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return act(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except (TypeError, OverflowError) as error:
        return type(error)


def ended(sock: socket.socket) -> None:
    """Wait until an attempt has ended."""
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    poller.poll(5000)


@contextmanager
def a_pair(family: int, type: int) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, family, type)


@pytest.fixture(params=HOSTS, ids=["ipv4", "ipv6"])
def tcp(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with a_pair(request.param, STREAM) as pair:
        yield pair


@pytest.fixture(params=HOSTS, ids=["ipv4", "ipv6"])
def udp(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with a_pair(request.param, DGRAM) as pair:
        yield pair


@pytest.fixture(params=[(f, t) for f in HOSTS for t in PROTO], ids=str)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with a_pair(*request.param) as pair:
        yield pair


IDLE: dict[str, Callable[[socket.socket], Any]] = {
    "getpeername": lambda sock: sock.getpeername(),
    "getsockname": lambda sock: sock.getsockname(),
    "send": lambda sock: sock.send(b"x"),
    "sendall": lambda sock: sock.sendall(b"x"),
    "sendmsg": lambda sock: sock.sendmsg([b"x"]),
    "recv": lambda sock: sock.recv(1),
    "recv_into": lambda sock: sock.recv_into(bytearray(1)),
    "recvmsg": lambda sock: sock.recvmsg(1),
    "recvmsg_into": lambda sock: sock.recvmsg_into([bytearray(1)]),
    "shutdown": lambda sock: sock.shutdown(socket.SHUT_RDWR),
    "kind": lambda sock: (sock.family, sock.type, sock.proto),
    "SO_ERROR": lambda sock: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
    "bind to nobody's": lambda sock: sock.bind((_of(sock, "203.0.113.9", "2001:db8::9"), 0)),
    "bind twice": lambda sock: (sock.bind(("", 0)), sock.bind(("", 0))),
    "bind to any": lambda sock: (sock.bind(("", 0)), sock.getsockname()[0], bound(sock)),
    "bind to loopback": lambda sock: (sock.bind((_host(sock), 0)), sock.getsockname()[0]),
    "bind late": lambda sock: (
        sock.setsockopt(socket.IPPROTO_IP, 24, 1),
        sock.bind(("", 0)),
        bound(sock),
    ),
    "a port too large": lambda sock: sock.bind((_host(sock), 65536)),
    "a port that is none": lambda sock: sock.bind((_host(sock), "80")),
}


def _host(sock: socket.socket) -> str:
    return HOSTS[sock.family]


def _of(sock: socket.socket, v4: str, v6: str) -> str:
    return v4 if sock.family == socket.AF_INET else v6


def bound(sock: socket.socket) -> bool:
    return bool(sock.getsockname()[1])


@pytest.mark.parametrize("act", IDLE.values(), ids=IDLE)
def test_before_connecting(pair: Pair, act: Callable[[socket.socket], Any]) -> None:
    pair.same(act)


OPTIONS: dict[str, Callable[[socket.socket], Any]] = {
    "no option": lambda sock: sock.setsockopt(socket.IPPROTO_TCP, 999, 1),
    "no option to get": lambda sock: sock.getsockopt(socket.IPPROTO_TCP, 999),
    "no level": lambda sock: sock.setsockopt(999, 1, 1),
    "no value": lambda sock: sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 999),
    "of another type": lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, "x"),
    "no interface": lambda sock: sock.setsockopt(
        socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"fake8"
    ),
    "no congestion control": lambda sock: sock.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"nonesuch"
    ),
    "no length": lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, None, 4),
    "what is kept": lambda sock: (
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 5000),
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
    ),
    "defaults": lambda sock: [
        sock.getsockopt(*option)
        for option in (
            (socket.SOL_SOCKET, socket.SO_DOMAIN),
            (socket.SOL_SOCKET, socket.SO_PROTOCOL),
            (socket.SOL_SOCKET, socket.SO_TYPE),
            (socket.IPPROTO_IP, socket.IP_TTL),
        )
    ],
    "state": lambda sock: sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1),
}


@pytest.mark.parametrize("act", OPTIONS.values(), ids=OPTIONS)
def test_options(pair: Pair, act: Callable[[socket.socket], Any]) -> None:
    pair.same(act)


def test_what_needs_a_permission_is_remembered(monkeypatch: Any) -> None:
    class Forbidden(socket.socket):
        def setsockopt(self, *_: Any) -> None:
            raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(FakeSocket, "_stand_in", lambda _: Forbidden())
    with FakeNetwork() as network, network.socket_factory(TCP) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == 7


def test_a_port_that_is_taken(pair: Pair) -> None:
    def reuse(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    for host in (HOSTS[pair.kind[0]], ""):
        found = []
        for first, second, third, fourth in zip(*(pair.new() for _ in range(4)), strict=True):
            reuse(first)
            first.bind(("", 0))  # so that nobody else has the port, on any address
            port = first.getsockname()[1]
            refused = outcome(second.bind, (host, port))
            reuse(third)
            shared = outcome(third.bind, (host, port))
            third.close()
            first.close()
            found.append((refused, shared, outcome(fourth.bind, (host, port))))
        assert found[0] == found[1] == ("EADDRINUSE", None, None)


def test_while_and_after_connecting(tcp: Pair) -> None:
    def act(sock: socket.socket) -> list[Any]:
        host, port, *_ = sock.getsockname()
        found = [outcome(sock.connect_ex, tcp.there)]
        ended(sock)
        found += [sock.getpeername() == tcp.there, sock.getsockname()[0]]
        found += [sock.getsockname()[1] not in (0, port)]
        found += [outcome(sock.connect_ex, tcp.there) for _ in range(2)]
        found += [outcome(sock.connect, tcp.there), outcome(sock.bind, (host, 0))]
        found += [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)]
        found += [outcome(sock.shutdown, socket.SHUT_WR), outcome(sock.send, b"x")]
        return [*found, sock.getpeername() == tcp.there]

    tcp.same(act)


def test_the_accepted_end(tcp: Pair) -> None:
    for sock in tcp.new():
        sock.connect_ex(tcp.there)
        ended(sock)
        far = tcp.host.accept() if isinstance(sock, FakeSocket) else tcp.listener.accept()[0]
        with far:
            assert far.getsockname() == tcp.there == sock.getpeername()
            assert far.getpeername() == sock.getsockname()
            assert (far.family, far.type) == (sock.family, sock.type)
            assert outcome(far.bind, tcp.there) == "EINVAL"
            assert outcome(far.connect, tcp.there) == "EISCONN"
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert far.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            far.sendall(b"hello")
            ended(sock)
            assert sock.recvfrom(9) == (b"hello", None)
            sock.close()
            assert far.recv(1) == b""


def test_an_attempt_that_has_failed(tcp: Pair) -> None:
    def act(sock: socket.socket) -> list[Any]:
        found = [outcome(sock.connect_ex, tcp.closed)]
        ended(sock)
        found += [outcome(sock.getpeername), sock.getsockname()[0]]
        found += [outcome(sock.connect_ex, tcp.closed) for _ in range(2)]
        ended(sock)
        found += [outcome(sock.recv, 1), outcome(sock.recv, 1), outcome(sock.send, b"x")]
        found += [outcome(sock.connect_ex, tcp.closed)]
        first = sock.getsockname()
        found += [outcome(sock.connect_ex, tcp.closed), sock.getsockname() == first]
        ended(sock)
        found += [outcome(sock.send, b"x"), outcome(sock.send, b"x")]
        return [*found, outcome(sock.shutdown, socket.SHUT_RDWR)]

    assert tcp.same(act)


def test_an_attempt_that_is_shut_down() -> None:
    """As in Linux's inet_shutdown(), in the state SYN_SENT."""
    with FakeNetwork() as network, network.socket_factory(TCP) as sock:
        network.add(None, V4, outcome=["silent", "connects"])
        assert sock.connect_ex((V4, 80)) == errno.EINPROGRESS
        assert outcome(sock.send, b"x") == outcome(sock.recv, 1) == "EAGAIN"
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\2"
        sock.shutdown(socket.SHUT_RDWR)
        assert outcome(sock.shutdown, socket.SHUT_RDWR) == "ENOTCONN"
        assert sock.connect_ex((V4, 80)) == errno.EINPROGRESS
        assert sock.getpeername() == (V4, 80)


def test_where_a_socket_is_bound_and_where_it_connects(tcp: Pair) -> None:
    port = tcp.there[1]

    def to(host: str, local: str | None = None, only: bool = False) -> Any:
        def act(sock: socket.socket) -> Any:
            if only:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if local is not None:
                sock.bind((local, 0))
            return sock.connect_ex((host, port)), sock.getsockname()[0]

        return act

    if tcp.kind[0] == socket.AF_INET:
        assert tcp.same(to("127.0.0.1", "127.0.0.7"))[1] == "127.0.0.7"
        assert tcp.same(to("127.0.0.1", ""))[1] == "127.0.0.1"
        with tcp.network.socket_factory(TCP) as sock:
            sock.bind(("127.0.0.1", 0))
            assert sock.connect_ex((V4, 80)) == errno.ENETUNREACH
        return
    mapped = "::ffff:127.0.0.1"
    assert tcp.same(to(mapped, only=True)) == (errno.ENETUNREACH, "::")
    assert tcp.same(to(mapped, "::1"))[0] == errno.ENETUNREACH
    assert tcp.same(to("::1", mapped))[0] == errno.EAFNOSUPPORT


def test_a_mapped_address_is_that_of_an_ipv4_host() -> None:
    with FakeNetwork() as network, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        host = network.add(None, "::ffff:127.0.0.1", port=port)
        there = ("::ffff:127.0.0.1", port, 0, 0)
        mapped = Endpoint(socket.AF_INET6, STREAM, socket.IPPROTO_TCP, there)
        names = []
        for sock in (socket.socket(*mapped[:3]), network.socket_factory(mapped)):
            with sock:
                sock.setblocking(False)
                sock.connect_ex(there)
                ended(sock)
                fake = isinstance(sock, FakeSocket)
                with host.accept() if fake else listener.accept()[0] as far:
                    assert far.getpeername() == ("127.0.0.1", sock.getsockname()[1])
                    assert far.family == socket.AF_INET
                    names.append((sock.getpeername(), sock.getsockname()[0], far.getsockname()))
        assert names[0] == names[1]


def test_a_datagram_that_is_refused(udp: Pair) -> None:
    """Connect(2) knows nothing of it, and neither does the send."""

    def act(sock: socket.socket) -> list[Any]:
        found = [sock.connect_ex(udp.there), outcome(sock.recv, 1)]
        found += [sock.connect_ex(udp.closed), outcome(sock.recv, 1)]
        for _ in range(20):
            found += [outcome(sock.send, b"x"), outcome(sock.recvfrom, 1), outcome(sock.recv, 1)]
        found += [outcome(sock.send, b"x"), outcome(sock.send, b"x"), outcome(sock.send, b"x")]
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return [*found, error, sock.getpeername() == udp.closed, outcome(sock.recv, 1)]

    assert "ECONNREFUSED" in udp.same(act)


def test_the_size_of_datagrams(udp: Pair) -> None:
    def act(sock: socket.socket) -> list[Any]:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        sock.connect_ex(udp.there)
        most = 65507 if sock.family == socket.AF_INET else 65527
        sizes = [0, 1, most, most + 1, 70_000]
        return [outcome(sock.send, bytes(size)) for size in sizes]

    assert udp.same(act)[-2:] == ["EMSGSIZE"] * 2


def test_datagrams_have_names(udp: Pair) -> None:
    for sock in udp.new():
        sock.connect_ex(udp.there)
        fake = isinstance(sock, FakeSocket)
        far = udp.host.accept() if fake else udp.listener.dup()
        with far:
            far.connect(sock.getsockname()) if not fake else None
            for call, expected in {
                "recvfrom": (b"hello", udp.there),
                "recvmsg": (b"hello", [], 0, udp.there),
            }.items():
                far.send(b"hello")
                ended(sock)
                assert getattr(sock, call)(9) == expected
            buffer = bytearray(5)
            far.send(b"hello")
            assert sock.recvfrom_into(buffer) == (5, udp.there)
            far.send(b"hello")
            assert sock.recvmsg_into([buffer]) == (5, [], 0, udp.there)
            assert sock.sendto(b"there", udp.there) == 5
            assert sock.sendto(b"there", 0, udp.there) == 5
            assert sock.sendmsg([b"th", b"ere"], [], 0, udp.there) == 5
            assert far.recvfrom(9) == (b"there", sock.getsockname())


def test_a_datagram_socket_connects_again_and_is_dissolved(udp: Pair) -> None:
    def act(sock: socket.socket) -> list[Any]:
        first = sock.connect_ex(udp.there), sock.getsockname()
        again = sock.connect_ex(udp.there), sock.getsockname()
        none = sock.connect_ex((*udp.there[:1], 0)), outcome(sock.getpeername)
        sock.connect_ex(udp.there)
        dissolve_association(sock)
        return [first == again, none, outcome(sock.getpeername)]

    assert udp.same(act) == [True, (0, "ENOTCONN"), "ENOTCONN"]


def test_nothing_is_sent_elsewhere() -> None:
    with FakeNetwork() as network:
        network.add(None, V4)
        for endpoint in (UDP, TCP):
            with network.socket_factory(endpoint) as sock:
                sock.connect_ex(endpoint.sockaddr)
                assert outcome(sock.sendto, b"x", ("192.0.2.9", 9)) == "ENOTSUP"
                assert outcome(sock.sendmsg, [b"x"], [], 0, ("192.0.2.9", 9)) == "ENOTSUP"
                assert outcome(sock.listen, 1) == outcome(sock.listen) == "ENOTSUP"


def test_unix_sockets(tmp_path: Path) -> None:
    with FakeNetwork() as network, ExitStack() as stack:
        for name in (str(tmp_path / "socket"), "\0of these tests"):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(name)
            listener.listen()
            address = UnixAddress("@" + name[1:] if name[0] == "\0" else name)
            host = network.add(None, address)
            found = []
            for sock in (socket.socket(socket.AF_UNIX), network.socket_factory(address.endpoint)):
                stack.enter_context(sock).setblocking(False)
                before = [
                    outcome(call, *arguments)
                    for call, *arguments in (
                        (sock.getpeername,),
                        (sock.getsockname,),
                        (sock.send, b"x"),
                        (sock.recv, 1),
                        (sock.setsockopt, socket.SOL_SOCKET, 999, 1),
                        (sock.setsockopt, socket.SOL_SOCKET, socket.SO_PRIORITY, 1),
                        (sock.connect_ex, name),
                        (sock.connect_ex, name),
                        (sock.getpeername,),
                        (sock.getsockname,),
                        (sock.getsockopt, socket.SOL_SOCKET, socket.SO_PRIORITY),
                    )
                ]
                far = host.accept() if isinstance(sock, FakeSocket) else listener.accept()[0]
                with far:
                    found.append((*before, far.getsockname(), far.getpeername()))
            assert found[0] == found[1]


# With a dialer


@pytest.mark.anyio
async def test_this_machine_has_what_it_was_given(anyio_backend: Any) -> None:
    with FakeNetwork() as network:
        network.add(None, V4)
        lacks: list[tuple[dict[str, Any], int, Callable[[], None]]] = [
            (
                {"local_address": "203.0.113.7"},
                errno.EADDRNOTAVAIL,
                lambda: network.has("203.0.113.7"),
            ),
            ({"interface": "fake7"}, errno.ENODEV, lambda: network.has(interface="fake7")),
        ]
        for options, code, give in lacks:
            with pytest.raises(ConnectError) as caught:
                await network.dialer(**options).connect((V4, 80))
            assert caught.value.errno == code
            give()
            (await network.dialer(**options).connect((V4, 80))).close()


@pytest.mark.anyio
async def test_multipath_tcp_is_not_spoken(anyio_backend: Any) -> None:
    with FakeNetwork() as network:
        network.add(None, V4)
        with await network.dialer(mptcp=True).connect((V4, 80)) as sock:
            assert sock.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_refusal_takes_its_time(backend: Any) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, V4, outcome="refused", after=0.5)
            with await network.dialer().connect(UDPAddress(V4, 53)) as sock:
                sock.send(b"anybody?")
                sock.send(b"hello?")
                assert outcome(sock.recv, 1) == "EAGAIN"
                await anyio.wait_readable(sock)
                assert outcome(sock.recv, 1) == "ECONNREFUSED"
                sock.send(b"hello?")

    with VirtualClock() as clock:
        clock.run(main, backend=backend)
        assert clock.elapsed == 0.5


def test_a_refusal_under_uvloop() -> None:
    """It sends by itself, past the socket, and is told by the kernel."""

    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, V4, outcome="refused")
            sock = await network.dialer().connect(UDPAddress(V4, 53))
        with sock, pytest.raises(ConnectionRefusedError):
            sock.send(b"anybody?")

    uvloop.run(main())


def test_a_network_that_is_closed_refuses_nothing() -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, V4, outcome="refused", after=0.5)
            sock = await network.dialer().connect(UDPAddress(V4, 53))
            sock.send(b"anybody?")
        with sock:
            await anyio.sleep(1)

    with VirtualClock() as clock:
        clock.run(main)


@pytest.mark.parametrize(
    ("error", "said", "arguments", "options"),
    [
        (ValueError, "must be an IP address, not 'db.example'", ("db.example",), {}),
        (TypeError, "must be an IP address, not UnixAddress", (UnixAddress("/x"),), {}),
        (TypeError, "interface must be a str or None, not 4", (), {"interface": 4}),
    ],
)
def test_what_this_machine_is_given_is_checked(
    error: Any, said: str, arguments: Any, options: Any
) -> None:
    with FakeNetwork() as network, pytest.raises(error, match=said):
        network.has(*arguments, **options)
