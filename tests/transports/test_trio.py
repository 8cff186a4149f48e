"""open_trio_stream() on trio; TLS has a file of its own."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import trio
from conftest import ASYNCIO_LOOPS, LOOPS
from support.canaries import Canaries
from support.listeners import listening, refusing, silent, unix_full, unix_listening
from support.tls import Certificates, hang_up, serving

from aconnect import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    Deadline,
    Dialer,
    HandshakeError,
    ResolveError,
    StaticResolver,
    TCPAddress,
    UnixAddress,
    open_trio_stream,
)
from aconnect.policy import public_only

if TYPE_CHECKING:
    from pathlib import Path

LONG = 30  # seconds; what takes as long has failed

on_trio = [
    pytest.mark.anyio,
    pytest.mark.parametrize(
        "anyio_backend", [loop for loop in LOOPS if loop.id == "trio"], indirect=True
    ),
]


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


def results(*addresses: Any) -> list[Any]:
    """What getaddrinfo() would have returned."""
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    return [(*kind, each) for each in addresses]


def spell(host: str, port: int) -> dict[str, tuple[Any, ...]]:
    """Ways to write the address of a listener."""
    return {
        "a pair": ((host, port),),
        "host and port": (host, port),
        "text": (f"{host}:{port}",),
        "value": (TCPAddress(host, port),),
        "a name": ("localhost", port),
        "a list": (results((host, port)),),
    }


async def exchange(stream: Any) -> None:
    await stream.send_all(b"hello")
    assert await stream.receive_some() == b"hello"


class TestOpenTrioStream:
    pytestmark = on_trio

    @pytest.mark.parametrize("spelling", spell("0.0.0.0", 0))
    async def test_data_goes_both_ways(self, spelling: str) -> None:
        with serving() as server:
            arguments = spell(*server.address)[spelling]
            async with await open_trio_stream(*arguments, timeout=LONG) as stream:
                assert isinstance(stream, trio.SocketStream)
                assert stream.socket.getpeername() == server.address
                await exchange(stream)
                await stream.send_eof()
                assert await stream.receive_some() == b""

    async def test_ipv6(self) -> None:
        with serving(host="::1") as server:
            async with await open_trio_stream("::1", server.address[1]) as stream:
                assert stream.socket.getpeername() == server.address
                await exchange(stream)

    @pytest.mark.parametrize("spelling", ["path", "text", "value"])
    async def test_unix(self, spelling: str, tmp_path: Path) -> None:
        path = tmp_path / "s"
        where: Any = {"path": path, "text": f"unix:{path}", "value": UnixAddress(path)}[spelling]
        with serving(path=path):
            async with await open_trio_stream(where) as stream:
                assert stream.socket.family == socket.AF_UNIX
                await exchange(stream)

    async def test_the_second_address(self) -> None:
        with refusing() as dead, serving() as server:
            async with await open_trio_stream(results(dead, server.address)) as stream:
                assert stream.socket.getpeername() == server.address

    @pytest.mark.parametrize("nodelay", [True, False])
    async def test_nodelay(self, nodelay: bool) -> None:
        """trio's streams set it without being asked."""
        with listening() as listener:
            async with await open_trio_stream(listener.getsockname(), nodelay=nodelay) as stream:
                assert bool(stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is nodelay

    async def test_the_dialer_and_its_options(self) -> None:
        dialer = Dialer(permit=public_only(), local_address="127.0.0.7")
        with listening() as listener:
            where = listener.getsockname()
            with pytest.raises(AddressNotPermitted):
                await open_trio_stream(where, dialer=dialer)
            async with await open_trio_stream(where, dialer=dialer, permit=None) as stream:
                assert stream.socket.getsockname()[0] == "127.0.0.7"

    async def test_failure(self, tmp_path: Path) -> None:
        with refusing() as dead, pytest.raises(ConnectionRefusedError) as caught:
            await open_trio_stream(*dead)
        assert isinstance(caught.value, ConnectError)
        assert caught.value.report is not None
        with pytest.raises(ResolveError):
            await open_trio_stream("no.example", 80, resolver=StaticResolver({}))
        with silent() as address:
            for limit in ({"timeout": 0.01}, {"deadline": Deadline.after(0.01)}):
                with pytest.raises(ConnectTimeout):
                    await open_trio_stream(address, **limit)  # type: ignore[call-overload]
        with unix_full(tmp_path / "s"), pytest.raises(ConnectTimeout, match="backlog"):
            await open_trio_stream(tmp_path / "s", timeout=0.02)

    @pytest.mark.parametrize(
        ("arguments", "options", "error", "words"),
        [
            ((5,), {}, TypeError, "5"),
            (("127.0.0.1",), {}, ValueError, "127.0.0.1"),
            ((("127.0.0.1", 1), 1), {}, TypeError, "address"),
            (("udp://127.0.0.1:1",), {}, ValueError, r"open_trio_stream\(\) needs .* SOCK_STREAM"),
            (("unixgram:/s",), {}, ValueError, "SOCK_STREAM"),
            (("127.0.0.1:1",), {"timeout": -1}, ValueError, "timeout"),
            (("127.0.0.1:1",), {"dialer": "me"}, TypeError, "dialer"),
            (("127.0.0.1:1",), {"colour": "red"}, TypeError, "colour"),
            (("127.0.0.1:1",), {"ssl": "yes"}, TypeError, "ssl"),
            (("127.0.0.1:1",), {"server_hostname": "a"}, ValueError, "server_hostname"),
            (("unix:/s",), {"ssl": True}, ValueError, "server_hostname"),
        ],
    )
    async def test_nonsense(
        self, arguments: Any, options: Any, error: Any, words: str, monkeypatch: Any
    ) -> None:
        def open_nothing(*_: Any, **__: Any) -> None:
            raise AssertionError("no system call before the arguments are known to be good")

        monkeypatch.setattr(socket.socket, "connect_ex", open_nothing)
        with pytest.raises(error, match=words):
            await open_trio_stream(*arguments, **options)

    @pytest.mark.parametrize("compatible", [True, False, None])
    async def test_the_end_of_tls_without_a_goodbye(
        self, certificates: Certificates, compatible: bool | None
    ) -> None:
        """Whether it may be the end is for the caller to say; it may not, unless he does."""
        with serving(certificates.server(), hang_up) as server:
            options = {} if compatible is None else {"https_compatible": compatible}
            stream = await open_trio_stream(server.address, ssl=certificates.client(), **options)
            assert isinstance(stream, trio.SSLStream)
            await stream.send_all(b"hello")
            if compatible:
                assert await stream.receive_some() == b""
            else:
                with pytest.raises(trio.BrokenResourceError):
                    await stream.receive_some()
            await trio.aclose_forcefully(stream)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
async def test_under_asyncio_it_names_what_there_is() -> None:
    with pytest.raises(RuntimeError, match=r"open_trio_stream\(\) is for trio.* open_stream\(\)"):
        await open_trio_stream("127.0.0.1:1")


def test_without_a_loop_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="is not running here"):
        open_trio_stream("127.0.0.1:1").send(None)


class Bug(Exception):
    """What nobody expects."""


class TestAStreamThatCannotBeMade:
    pytestmark = on_trio

    @pytest.mark.parametrize(
        ("what", "kind"),
        [
            ("trio.socket.from_stdlib_socket", "tcp"),
            ("trio.SocketStream", "tcp"),
            ("trio.SocketStream", "unix"),
            ("trio.SocketStream", "tls"),
            ("trio.SSLStream", "tls"),
            ("aconnect.transports.trio.keep_nagle", "tcp"),
            ("aconnect.transports.trio.keep_nagle", "tls"),
        ],
    )
    @pytest.mark.parametrize("taken", [False, True])
    async def test_its_socket_is_closed_once(
        self,
        what: str,
        kind: str,
        taken: bool,
        certificates: Certificates,
        tmp_path: Path,
        monkeypatch: Any,
    ) -> None:
        """Before it has the socket, or after, in which case it has closed it."""

        def fail(*arguments: Any, **_: Any) -> Any:
            if taken:
                sock = arguments[-1 if isinstance(arguments[0], Dialer) else 0]
                getattr(sock, "socket", sock).close()
                canaries.sing()  # takes the number
            raise Bug

        if kind == "unix":
            listener, where = unix_listening(tmp_path / "s"), tmp_path / "s"
        else:
            listener, where = listening(), None
        options = {"ssl": certificates.client()} if kind == "tls" else {}
        with listener as listening_here, Canaries() as canaries:
            monkeypatch.setattr(what, fail)
            with pytest.raises(HandshakeError if kind == "tls" else Bug) as caught:
                address = where or listening_here.getsockname()
                await open_trio_stream(address, nodelay=False, timeout=LONG, **options)
            assert isinstance(caught.value.__cause__ or caught.value, Bug)
            accepted, _ = listening_here.accept()
            with accepted:
                accepted.setblocking(False)
                try:
                    assert accepted.recv(1) == b""
                except ConnectionResetError:
                    pass
