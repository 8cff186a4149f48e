"""Connected means connected, whatever connect(2) says, and whoever has had the socket before."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from typing import Any

import anyio
import pytest
from support.listeners import LOOPBACK, listening, refusing, silent, unix_listening
from support.loops import NoWriterLoop
from support.netns import in_new_network

from aconnect import (
    ConnectError,
    ConnectTimeout,
    Dialer,
    Endpoint,
    SocketOption,
    StaticResolver,
    UnixAddress,
    connect_socket,
    create_datagram_endpoint,
)
from aconnect.sockets.syscalls import SystemCalls

pytestmark = pytest.mark.anyio

TCP_FASTOPEN_CONNECT = 30
NO_COOKIE = "5"  # net.ipv4.tcp_fastopen: clients, and without having got a cookie before


async def failure(call: Any) -> ConnectError:
    with pytest.raises(ConnectError) as caught, await call:
        pass
    return caught.value


def infos(*addresses: Any, type: int = socket.SOCK_STREAM) -> list[Any]:
    return [(socket.AF_INET, type, 0, "", address) for address in addresses]


class TestPortZero:
    """A datagram socket has no peer there, though connect(2) says 0."""

    @pytest.mark.parametrize("options", [{}, {"trace": print}, {"on_socket": lambda *_: None}])
    @pytest.mark.parametrize(
        "address",
        [
            f"udp://{LOOPBACK}:0",
            "udp://[::1]:0",
            "udp://name.example:0",
            infos((LOOPBACK, 0), type=socket.SOCK_DGRAM),
            infos((LOOPBACK, 0), ("127.0.0.2", 0), type=socket.SOCK_DGRAM),
        ],
        ids=str,
    )
    async def test_a_dial(self, address: Any, options: Any) -> None:
        resolver = StaticResolver({"name.example": [LOOPBACK]})
        error = await failure(Dialer(resolver=resolver, **options).connect(address, timeout=30))
        assert error.errno == errno.ENOTCONN
        assert {each.errno for each in error.attempts} == {errno.ENOTCONN}
        assert "UDP has none at port 0" in str(error)

    @pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
    async def test_a_callers_socket(self, family: int) -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            host = LOOPBACK if family == socket.AF_INET else "::1"
            with pytest.raises(ConnectError) as caught:
                await connect_socket(sock, (host, 0))
            assert caught.value.errno == errno.ENOTCONN
            await connect_socket(sock, (host, 9))
            assert sock.getpeername()[:2] == (host, 9)

    async def test_an_endpoint(self, anyio_backend: Any) -> None:
        if anyio_backend[0] != "asyncio":
            pytest.skip("of asyncio")
        with pytest.raises(ConnectError) as caught:
            await create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(LOOPBACK, 0))
        assert caught.value.errno == errno.ENOTCONN


MISFITS = [TypeError("what?"), ValueError("what?"), OverflowError("what?"), RuntimeError("what?")]


class TestMisfits:
    """What a socket raises of an address, or an option, is that attempt's failure."""

    @pytest.mark.parametrize(
        ("family", "type", "number"),
        [
            (socket.AF_INET6, socket.SOCK_STREAM, errno.EAFNOSUPPORT),
            (socket.AF_UNIX, socket.SOCK_STREAM, errno.EAFNOSUPPORT),
            (socket.AF_INET, socket.SOCK_DGRAM, errno.EPROTOTYPE),
        ],
    )
    @pytest.mark.parametrize("spare", [False, True])
    async def test_a_factory_whose_socket_does_not_fit(
        self, family: int, type: int, number: int, spare: bool
    ) -> None:
        with listening() as one, listening() as two:
            bad, good = one.getsockname(), two.getsockname()

            def factory(endpoint: Endpoint) -> socket.socket:
                fits = endpoint.sockaddr == good
                return socket.socket(*(endpoint[:2] if fits else (family, type)))

            dialer = Dialer(socket_factory=factory)
            if spare:
                with await dialer.connect(infos(bad, good), timeout=30) as sock:
                    assert sock.getpeername() == good
            else:
                error = await failure(dialer.connect(bad, timeout=30))
                assert error.errno == number
                assert "socket_factory must return a socket of AF_INET, SOCK_STREAM, not" in str(
                    error
                )

    @pytest.mark.parametrize("raised", MISFITS, ids=repr)
    @pytest.mark.parametrize("call", ["connect_ex", "bind", "setsockopt", "gettimeout"])
    @pytest.mark.parametrize("addresses", [1, 2])
    async def test_a_socket_that_raises(
        self, call: str, raised: Exception, addresses: int
    ) -> None:
        made: list[socket.socket] = []

        class Odd(socket.socket):
            pass

        def fail(self: Odd, *_: Any) -> Any:
            raise raised

        def make(*arguments: Any) -> socket.socket:
            made.append((socket.socket if len(made) == 1 else Odd)(*arguments))
            return made[-1]

        setattr(Odd, call, fail)
        with listening() as one, listening() as two:
            dialer = Dialer(
                system_calls=SystemCalls(socket=make),
                local_address=LOOPBACK,
                on_socket=lambda *_: None,
            )
            found = infos(one.getsockname(), two.getsockname())[:addresses]
            if addresses == 1:
                error = await failure(dialer.connect(found, timeout=30))
                assert error.errno == errno.EINVAL
                assert f"{type(raised).__name__}: what?" in str(error)
            else:
                with await dialer.connect(found, timeout=30) as sock:
                    assert sock.getpeername() == two.getsockname()
        raised.__traceback__ = None
        assert all(sock.fileno() < 0 for sock in made)

    @pytest.mark.parametrize("best_effort", [False, True])
    async def test_an_option_that_is_of_another_type_there(self, best_effort: bool) -> None:
        """As AF_VSOCK has it: the socket module takes its options otherwise."""

        class Odd(socket.socket):
            def setsockopt(self, level: int, name: int, *value: Any) -> None:
                if name == socket.SO_RCVBUF:
                    raise TypeError("an integer is required")
                super().setsockopt(level, name, *value)

        option = SocketOption(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096, best_effort=best_effort)
        dialer = Dialer(system_calls=SystemCalls(socket=Odd), socket_options=[option])
        with listening() as listener:
            if best_effort:
                (await dialer.connect(listener.getsockname())).close()
            else:
                error = await failure(dialer.connect(listener.getsockname()))
                assert "could not set SO_RCVBUF to 4096: TypeError: an integer" in str(error)


class TestElsewhere:
    """A socket that a factory or a hook has connected, but to somewhere else."""

    @staticmethod
    def connect(sock: socket.socket, address: Any, how: str) -> None:
        sock.setblocking(False)
        sock.connect_ex(address)
        if how != "begun":
            select.select([], [sock], [])
        if how == "settled":
            sock.connect_ex(address)  # Linux says 0 here, and EISCONN next

    @pytest.mark.parametrize("options", [{}, {"trace": lambda _: None}])
    @pytest.mark.parametrize("by", ["socket_factory", "on_socket"])
    @pytest.mark.parametrize("how", ["settled", "waited", "begun"])
    @pytest.mark.parametrize("spare", [False, True])
    async def test_it_is_not_given_for_another(
        self, by: str, how: str, options: Any, spare: bool
    ) -> None:
        with listening() as one, listening() as two, listening() as other:
            bad, good, elsewhere = (each.getsockname() for each in (one, two, other))

            def factory(endpoint: Endpoint) -> socket.socket:
                sock = socket.socket(*endpoint[:3])
                hook(sock, endpoint)
                return sock

            def hook(sock: socket.socket, endpoint: Endpoint) -> None:
                if endpoint.sockaddr == bad:
                    self.connect(sock, elsewhere, how)

            given = {by: factory if by == "socket_factory" else hook}
            dialer = Dialer(permit=lambda where: where.sockaddr != elsewhere, **given, **options)
            if spare:
                with await dialer.connect(infos(bad, good), timeout=30) as sock:
                    assert sock.getpeername() == good
            else:
                error = await failure(dialer.connect(bad, timeout=30))
                assert error.errno == errno.EISCONN
                assert "has connected the socket to another address" in str(error)

    @pytest.mark.parametrize("how", ["settled", "waited", "begun"])
    async def test_what_is_asked_for_may_be_there_already(self, how: str) -> None:
        with listening() as listener:
            address = listener.getsockname()
            dialer = Dialer(on_socket=lambda sock, _: self.connect(sock, address, how))
            with await dialer.connect(address, timeout=30) as sock:
                assert sock.getpeername() == address

    async def test_an_attempt_that_goes_on(self) -> None:
        with silent() as elsewhere, listening() as listener:
            dialer = Dialer(on_socket=lambda sock, _: self.connect(sock, elsewhere, "begun"))
            with pytest.raises(ConnectTimeout):
                await dialer.connect(listener.getsockname(), timeout=0.05)

    @pytest.mark.parametrize("same", [False, True])
    async def test_unix(self, tmp_path: Any, same: bool) -> None:
        path = str(tmp_path / "a")
        with unix_listening(path), unix_listening(tmp_path / "b"):
            there = path if same else str(tmp_path / "b")
            dialer = Dialer(on_socket=lambda sock, _: self.connect(sock, there, "settled"))
            if same:
                (await dialer.connect(UnixAddress(path))).close()
            else:
                assert (await failure(dialer.connect(UnixAddress(path)))).errno == errno.EISCONN

    async def test_datagrams_are_connected_once_more(self) -> None:
        dialer = Dialer(on_socket=lambda sock, _: self.connect(sock, (LOOPBACK, 9), "settled"))
        with await dialer.connect(f"udp://{LOOPBACK}:10") as sock:
            assert sock.getpeername() == (LOOPBACK, 10)

    @pytest.mark.parametrize("how", ["settled", "waited"])
    @pytest.mark.parametrize("same", [False, True])
    def test_on_a_loop_without_add_writer(self, how: str, same: bool) -> None:
        async def main() -> None:
            with listening() as one, listening() as two:
                there = (one if same else two).getsockname()
                dialer = Dialer(on_socket=lambda sock, _: self.connect(sock, there, how))
                if same:
                    (await dialer.connect(one.getsockname())).close()
                else:
                    error = await failure(dialer.connect(one.getsockname()))
                    assert error.errno == errno.EISCONN

        with asyncio.Runner(loop_factory=NoWriterLoop) as runner:
            runner.run(main())


def fast_open(sock: socket.socket, _: object) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)


@pytest.mark.root
@pytest.mark.parametrize("spare", [False, True])
def test_what_sends_nothing_has_not_won(spare: bool) -> None:
    """TCP_FASTOPEN_CONNECT, set by a hook: connect(2) says 0, of a dead port as well."""

    async def dial() -> None:
        with refusing() as dead, listening() as listener:
            alive = listener.getsockname()

            def hook(sock: socket.socket, endpoint: Any) -> None:
                if endpoint.sockaddr == dead:
                    fast_open(sock, endpoint)

            dialer = Dialer(on_socket=hook)
            if spare:
                with await dialer.connect(infos(dead, alive), timeout=30) as sock:
                    assert sock.getpeername() == alive
            else:
                error = await failure(dialer.connect(dead, timeout=30))
                assert error.errno == errno.ENOTCONN
                assert "TCP_FASTOPEN_CONNECT" in str(error)

    def body() -> None:
        with open("/proc/sys/net/ipv4/tcp_fastopen", "w") as file:
            file.write(NO_COOKIE)
        for backend in ("asyncio", "trio"):
            anyio.run(dial, backend=backend)

    in_new_network(body)
