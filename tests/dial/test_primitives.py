"""connect_socket(), wait_connected() and dissolve_association() on the caller's own socket."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import socket
import ssl
import struct
import time
from contextlib import ExitStack
from typing import Any

import anyio
import pytest
import trio
from support.listeners import (
    LOOPBACK,
    listening,
    refusing,
    silent,
    unix_full,
    unix_listening,
)
from support.loops import NoWriterLoop
from support.sockets import ScriptedSocket

from aconnect import (
    ConnectError,
    ConnectTimeout,
    Deadline,
    connect_socket,
    dissolve_association,
    wait_connected,
)

pytestmark = pytest.mark.anyio

IP_LOCAL_PORT_RANGE = 51  # since Linux 6.3; the socket module has no name for it


def new_socket(family: int = socket.AF_INET, type: int = socket.SOCK_STREAM) -> socket.socket:
    sock = socket.socket(family, type)
    sock.setblocking(False)
    return sock


async def failure(call: Any) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await call
    return caught.value


class TestConnectSocket:
    async def test_tcp(self) -> None:
        with listening() as listener, new_socket() as sock:
            assert await connect_socket(sock, listener.getsockname()) is None
            assert sock.getpeername() == listener.getsockname()

    async def test_tcp_over_ipv6(self) -> None:
        with listening("::1") as listener, new_socket(socket.AF_INET6) as sock:
            await connect_socket(sock, ("::1%0", listener.getsockname()[1]))
            assert sock.getpeername() == listener.getsockname()

    async def test_unix(self, tmp_path: Any) -> None:
        path = str(tmp_path / "s")
        for form in (path, os.fsencode(path)):
            with unix_listening(path), new_socket(socket.AF_UNIX) as sock:
                await connect_socket(sock, form)
                assert sock.getpeername() == path
            os.unlink(path)

    async def test_an_abstract_name(self) -> None:
        name = b"\0aconnect-primitive-" + os.urandom(8).hex().encode()
        with unix_listening(name), new_socket(socket.AF_UNIX) as sock:
            await connect_socket(sock, name)
            assert sock.getpeername() == name

    async def test_a_path_longer_than_sun_path(self, tmp_path: Any) -> None:
        directory = tmp_path / ("d" * 120)
        directory.mkdir()
        with unix_listening(tmp_path / "s"), new_socket(socket.AF_UNIX) as sock:
            os.rename(tmp_path / "s", directory / "s")
            await connect_socket(sock, str(directory / "s"))
            assert sock.getpeername() == str(tmp_path / "s")

    async def test_refused(self) -> None:
        with refusing() as address, new_socket() as sock:
            error = await failure(connect_socket(sock, address, timeout=30))
            assert isinstance(error, ConnectionRefusedError)
            assert error.address == address
            assert error.attempts[0].sockaddr == address
            assert sock.fileno() >= 0

    async def test_a_socket_can_be_bound(self) -> None:
        with listening() as listener, new_socket() as sock:
            sock.bind(("127.0.0.7", 0))
            await connect_socket(sock, listener.getsockname())
            assert sock.getsockname()[0] == "127.0.0.7"

    async def test_two_connections_cannot_share_their_four_numbers(self) -> None:
        with listening() as listener, new_socket() as one, new_socket() as two:
            for sock in (one, two):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((LOOPBACK, 0) if sock is one else one.getsockname())
            await connect_socket(one, listener.getsockname())
            error = await failure(connect_socket(two, listener.getsockname()))
            assert error.errno == errno.EADDRNOTAVAIL
            assert error.attempts[0].local_address == one.getsockname()
            assert f"from {LOOPBACK}:{one.getsockname()[1]}" in str(error)

    async def test_an_attempt_is_running(self) -> None:
        with silent() as address, new_socket() as sock:
            assert sock.connect_ex(address) == errno.EINPROGRESS
            error = await failure(connect_socket(sock, address))
            assert error.errno == errno.EALREADY
            assert isinstance(error, BlockingIOError)
            assert "still running" in str(error)

    async def test_connected_already(self) -> None:
        with listening() as listener, new_socket() as sock:
            await connect_socket(sock, listener.getsockname())
            # Linux says so from the second time on.
            sock.connect_ex(listener.getsockname())
            error = await failure(connect_socket(sock, listener.getsockname()))
            assert error.errno == errno.EISCONN

    @pytest.mark.parametrize(
        ("family", "type"),
        [
            (socket.AF_INET, socket.SOCK_STREAM),
            (socket.AF_INET6, socket.SOCK_STREAM),
            (socket.AF_UNIX, socket.SOCK_STREAM),
            (socket.AF_UNIX, socket.SOCK_SEQPACKET),
        ],
    )
    @pytest.mark.parametrize("waits", [False, True])
    async def test_connected_elsewhere(
        self, family: int, type: int, waits: bool, tmp_path: Any
    ) -> None:
        """Linux would say 0 once, of the peer that it has."""
        with ExitStack() as stack:
            addresses: list[Any] = []
            for name in ("a", "b"):
                if family == socket.AF_UNIX:
                    stack.enter_context(unix_listening(tmp_path / name, type=type))
                    addresses.append(str(tmp_path / name))
                else:
                    host = LOOPBACK if family == socket.AF_INET else "::1"
                    listener = stack.enter_context(listening(host))
                    addresses.append(listener.getsockname())
            sock = stack.enter_context(ScriptedSocket(family, type, script={}))
            await connect_socket(sock, addresses[0])
            if waits:
                await wait_connected(sock)
            for address in reversed(addresses):
                sock.calls.clear()
                error = await failure(connect_socket(sock, address))
                assert error.errno == errno.EISCONN
                assert "connect" not in sock.calls
                assert sock.getpeername() == addresses[0]

    async def test_a_closed_socket(self) -> None:
        sock = new_socket()
        sock.close()
        error = await failure(connect_socket(sock, (LOOPBACK, 1)))
        assert error.errno == errno.EBADF

    async def test_not_a_socket(self, tmp_path: Any) -> None:
        with new_socket() as sock, open(tmp_path / "file", "w") as file:
            os.dup2(file.fileno(), sock.fileno())
            os.set_blocking(sock.fileno(), False)
            error = await failure(connect_socket(sock, (LOOPBACK, 1)))
            assert error.errno == errno.ENOTSOCK

    async def test_a_listening_socket(self) -> None:
        with listening() as listener:
            listener.setblocking(False)
            error = await failure(connect_socket(listener, listener.getsockname()))
            assert error.errno in (errno.EOPNOTSUPP, errno.EISCONN)

    @pytest.mark.parametrize(
        ("family", "sockaddr"),
        [
            (socket.AF_INET, ("::1", 80)),
            (socket.AF_INET6, ("127.0.0.1", 80)),
            (socket.AF_INET, "/run/s"),
            (socket.AF_INET6, b"\0abstract"),
            (socket.AF_UNIX, ("127.0.0.1", 80)),
        ],
    )
    async def test_an_address_of_another_family(self, family: int, sockaddr: Any) -> None:
        with new_socket(family) as sock:
            error = await failure(connect_socket(sock, sockaddr))
        assert error.errno == errno.EAFNOSUPPORT
        assert repr(sockaddr) in str(error)

    async def test_a_zone_that_is_no_interface(self) -> None:
        with new_socket(socket.AF_INET6) as sock:
            error = await failure(connect_socket(sock, ("fe80::1%nosuch0", 80)))
        assert error.errno == errno.ENODEV
        assert "fe80::1%nosuch0" in str(error)

    @pytest.mark.parametrize(
        ("family", "sockaddr", "error", "named"),
        [
            (socket.AF_INET, ("localhost", 80), ValueError, "localhost"),
            (socket.AF_INET, ("", 80), ValueError, "''"),
            (socket.AF_INET, (LOOPBACK, 70000), ValueError, "70000"),
            (socket.AF_INET, (LOOPBACK, "80"), TypeError, "'80'"),
            (socket.AF_INET, (LOOPBACK,), TypeError, LOOPBACK),
            (socket.AF_INET, None, TypeError, "None"),
            (socket.AF_UNIX, "", ValueError, "''"),
            (socket.AF_UNIX, "a\0b", ValueError, r"\x00"),
            (socket.AF_UNIX, b"\0a\0b", ValueError, r"\x00"),
            (socket.AF_UNIX, 7, TypeError, "7"),
        ],
    )
    async def test_nonsense(self, family: int, sockaddr: Any, error: Any, named: str) -> None:
        with new_socket(family) as sock, pytest.raises(error) as caught:
            await connect_socket(sock, sockaddr)
        assert "sockaddr" in str(caught.value)
        assert named in str(caught.value)
        assert not isinstance(caught.value, OSError)

    async def test_other_families_are_left_to_the_kernel(self) -> None:
        with ScriptedSocket(
            socket.AF_VSOCK, socket.SOCK_STREAM, script={"connect": [errno.ENODEV]}
        ) as sock:
            error = await failure(connect_socket(sock, (2, 1234)))
        assert error.errno == errno.ENODEV
        assert "vsock:2:1234" in str(error)

    @pytest.mark.parametrize("timeout", [None, 5.0])
    async def test_a_blocking_socket(self, timeout: Any) -> None:
        with socket.socket() as sock:
            sock.settimeout(timeout)
            for call in (connect_socket(sock, (LOOPBACK, 1)), wait_connected(sock)):
                with pytest.raises(ValueError, match="setblocking"):
                    await call

    async def test_a_socket_that_is_blocking_and_does_not_know(self) -> None:
        """Two objects on one description: what one sets, the other does not see."""
        with new_socket() as sock, sock.dup() as other:
            other.setblocking(True)
            assert sock.gettimeout() == 0
            with pytest.raises(ValueError, match="setblocking"):
                await connect_socket(sock, (LOOPBACK, 1))

    async def test_whether_it_blocks_cannot_be_told(self, monkeypatch: Any) -> None:
        def fail(_: int) -> None:
            raise OSError(errno.EBADF, "scripted")

        monkeypatch.setattr("os.get_blocking", fail)
        with listening() as listener, socket.socket() as sock:
            sock.setblocking(False)
            await connect_socket(sock, listener.getsockname())

    async def test_what_is_no_socket_object(self) -> None:
        for call in (connect_socket(5, (LOOPBACK, 1)), wait_connected(5)):  # type: ignore[arg-type]  # on purpose
            with pytest.raises(TypeError, match="not 5"):
                await call

    async def test_a_tls_socket(self) -> None:
        context = ssl.create_default_context()
        with (
            new_socket() as plain,
            context.wrap_socket(plain, server_hostname="x", do_handshake_on_connect=False) as sock,
            pytest.raises(TypeError, match="plain socket"),
        ):
            await connect_socket(sock, (LOOPBACK, 1))

    @pytest.mark.parametrize("limits", [{"timeout": -1}, {"timeout": math.nan}])
    async def test_time_limits(self, limits: Any) -> None:
        with new_socket() as sock:
            for call in (
                connect_socket(sock, (LOOPBACK, 1), **limits),
                wait_connected(sock, **limits),
            ):
                with pytest.raises(ValueError, match="timeout"):
                    await call

    async def test_a_full_backlog(self, tmp_path: Any) -> None:
        with unix_full(tmp_path / "s") as listener, new_socket(socket.AF_UNIX) as sock:
            error = await failure(connect_socket(sock, str(tmp_path / "s"), timeout=0.02))
            assert isinstance(error, ConnectTimeout)
            assert error.attempts[0].errno == errno.EAGAIN
            # Nothing was started, so there is nothing to wait for.
            assert (await failure(wait_connected(sock))).errno == errno.ENOTCONN
            listener.accept()[0].close()
            await connect_socket(sock, str(tmp_path / "s"), timeout=30)
            assert sock.getpeername() == str(tmp_path / "s")

    async def test_no_local_port_is_the_callers_affair(self) -> None:
        """His socket cannot be replaced by another."""
        with ScriptedSocket(script={"connect": [errno.EADDRNOTAVAIL]}) as sock:
            error = await failure(connect_socket(sock, (LOOPBACK, 1)))
            assert error.errno == errno.EADDRNOTAVAIL
            assert sock.calls.count("connect") == 1
            assert sock.fileno() >= 0

    async def test_connected_to_itself(self) -> None:
        with refusing() as address:
            port = address[1]
        with new_socket() as sock:
            try:
                sock.setsockopt(
                    socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=HH", port, port)
                )
            except OSError:
                pytest.skip("this kernel has no IP_LOCAL_PORT_RANGE (Linux 6.3)")
            error = await failure(connect_socket(sock, address))
            assert isinstance(error, ConnectionRefusedError)
            assert "connected to itself" in str(error)
            assert sock.getsockname() == sock.getpeername() == address

    async def test_connected_to_itself_on_purpose(self) -> None:
        with new_socket() as sock:
            sock.bind((LOOPBACK, 0))
            await connect_socket(sock, sock.getsockname())
            assert sock.getsockname() == sock.getpeername()

    async def test_the_kernel_gives_up(self) -> None:
        with ScriptedSocket(
            script={
                "connect": [errno.EINPROGRESS],
                "getpeername": [errno.ENOTCONN],
                "so_error": [errno.ETIMEDOUT],
            }
        ) as sock:
            error = await failure(connect_socket(sock, (LOOPBACK, 1), timeout=30))
            assert isinstance(error, ConnectTimeout)
            assert error.attempts[0].outcome == "failed"

    async def test_an_attempt_that_somebody_took_back(self) -> None:
        with ScriptedSocket(script={"connect": [errno.EINPROGRESS]}) as sock:
            error = await failure(connect_socket(sock, (LOOPBACK, 1), timeout=30))
            assert error.errno == errno.ENOTCONN


class TestALoopWithoutAddWriter:
    """Where connecting is the loop's own business."""

    def run(self, body: Any) -> None:
        with asyncio.Runner(loop_factory=NoWriterLoop) as runner:
            runner.run(body())
            loop = runner.get_loop()
            assert isinstance(loop, NoWriterLoop)
            assert not loop.leftovers()

    def test_success(self) -> None:
        async def body() -> None:
            with listening() as listener, new_socket() as sock:
                await connect_socket(sock, listener.getsockname())
                assert sock.getpeername() == listener.getsockname()

        self.run(body)

    def test_connected_elsewhere(self) -> None:
        async def body() -> None:
            with listening() as one, listening() as two, new_socket() as sock:
                await connect_socket(sock, one.getsockname())
                error = await failure(connect_socket(sock, two.getsockname()))
                assert error.errno == errno.EISCONN
                assert sock.getpeername() == one.getsockname()

        self.run(body)

    def test_refused(self) -> None:
        async def body() -> None:
            with refusing() as address, new_socket() as sock:
                error = await failure(connect_socket(sock, address, timeout=30))
                assert isinstance(error, ConnectionRefusedError)
                assert error.attempts[0].outcome == "failed"
                assert sock.fileno() >= 0

        self.run(body)

    @pytest.mark.parametrize("timeout", [0, 0.02])
    def test_out_of_time(self, timeout: float) -> None:
        async def body() -> None:
            with silent() as address, new_socket() as sock:
                error = await failure(connect_socket(sock, address, timeout=timeout))
                assert isinstance(error, ConnectTimeout)
                assert error.address == address
                assert error.attempts[0].outcome == "timed out"
                assert sock.fileno() >= 0
                # The kernel goes on with it.
                error = await failure(wait_connected(sock, timeout=0.02))
                assert isinstance(error, ConnectTimeout)

        self.run(body)


class TestWaitConnected:
    async def test_connected_already(self) -> None:
        with listening() as listener, new_socket() as sock:
            await connect_socket(sock, listener.getsockname())
            assert await wait_connected(sock) is None
            assert await wait_connected(sock, timeout=0) is None

    async def test_not_even_started(self) -> None:
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            for type in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with new_socket(family, type) as sock:
                    for timeout in (None, 0):
                        error = await failure(wait_connected(sock, timeout=timeout))
                        assert error.errno == errno.ENOTCONN
                        assert f"descriptor {sock.fileno()}" in str(error)

    async def test_an_attempt_of_somebody_elses(self) -> None:
        with listening() as listener, new_socket() as sock:
            assert sock.connect_ex(listener.getsockname()) == errno.EINPROGRESS
            await wait_connected(sock)
            assert sock.getpeername() == listener.getsockname()

    async def test_an_attempt_that_fails(self) -> None:
        with refusing() as address, new_socket() as sock:
            assert sock.connect_ex(address) == errno.EINPROGRESS
            error = await failure(wait_connected(sock, timeout=30))
            assert isinstance(error, ConnectionRefusedError)
            assert error.address is None
            # The reason has been read, and it is gone.
            assert (await failure(wait_connected(sock))).errno == errno.ENOTCONN

    async def test_it_takes_up_what_ran_out_of_time(self) -> None:
        with silent() as address, new_socket() as sock:
            for _ in range(2):
                error = await failure(connect_socket(sock, address, timeout=0.02))
                if isinstance(error, ConnectTimeout):
                    break
            for _ in range(3):
                assert isinstance(
                    await failure(wait_connected(sock, timeout=0.02)), ConnectTimeout
                )
            assert sock.fileno() >= 0

    @pytest.mark.slow
    async def test_it_takes_up_what_was_cancelled(self) -> None:
        """The kernel goes on: room in the backlog, and the next SYN (after a second) gets in."""
        with listening(backlog=0) as listener, new_socket() as sock, new_socket() as filler:
            filler.connect_ex(listener.getsockname())
            with anyio.move_on_after(0.02) as scope:
                await connect_socket(sock, listener.getsockname())
            if scope.cancelled_caught:
                listener.accept()[0].close()
            await wait_connected(sock, timeout=30)
            assert sock.getpeername() == listener.getsockname()

    async def test_a_shared_deadline(self) -> None:
        deadline = Deadline.after(0.03)
        with silent() as address, new_socket() as sock:
            assert sock.connect_ex(address) == errno.EINPROGRESS
            for _ in range(2):
                error = await failure(wait_connected(sock, deadline=deadline))
                assert isinstance(error, ConnectTimeout)

    async def test_a_reset_connection(self) -> None:
        with ScriptedSocket(
            script={"getpeername": [errno.ENOTCONN], "so_error": [errno.ECONNRESET]}
        ) as sock:
            assert isinstance(await failure(wait_connected(sock)), ConnectionResetError)

    async def test_a_closed_socket(self) -> None:
        sock = new_socket()
        sock.close()
        assert (await failure(wait_connected(sock))).errno == errno.EBADF

    async def test_one_task_waits_at_a_time(self) -> None:
        with silent() as address, new_socket() as sock:
            assert sock.connect_ex(address) == errno.EINPROGRESS
            async with anyio.create_task_group() as group:
                group.start_soon(failure, wait_connected(sock, timeout=0.1))
                await anyio.wait_all_tasks_blocked()
                assert (await failure(wait_connected(sock))).errno == errno.EALREADY

    async def test_a_cancelled_call_gives_way_to_the_next(self) -> None:
        """The second registers before the first has cleaned up, and keeps its registration."""
        with silent() as address, new_socket() as sock:
            assert sock.connect_ex(address) == errno.EINPROGRESS
            for _ in range(3):
                async with anyio.create_task_group() as group:
                    group.start_soon(wait_connected, sock)
                    await anyio.wait_all_tasks_blocked()
                    group.cancel_scope.cancel()
                    with anyio.CancelScope(shield=True):
                        error = await failure(wait_connected(sock, timeout=0.02))
                    assert isinstance(error, ConnectTimeout)

    @pytest.mark.parametrize("timeout", [None, 0.05])
    async def test_a_socket_that_is_closed_meanwhile(
        self, monkeypatch: Any, timeout: float | None
    ) -> None:
        monkeypatch.setattr("aconnect.dial.attempt.LONGEST_WAIT", 0.02)
        with silent() as address:
            sock = new_socket()
            assert sock.connect_ex(address) == errno.EINPROGRESS

            async def close_it() -> None:
                await anyio.wait_all_tasks_blocked()
                sock.close()

            async with anyio.create_task_group() as group:
                group.start_soon(close_it)
                error = await failure(wait_connected(sock, timeout=timeout))
            assert error.errno == errno.EBADF

    async def test_a_descriptor_that_is_another_socket_by_now(
        self, anyio_backend: Any, monkeypatch: Any
    ) -> None:
        """A socket closed while it is waited for, and its number given to the next one."""
        monkeypatch.setattr("aconnect.dial.attempt.LONGEST_WAIT", 5.0)
        holds_it_open = anyio_backend[1].get("use_uvloop", False)
        with silent() as address:
            old = new_socket()
            assert old.connect_ex(address) == errno.EINPROGRESS
            fd = old.fileno()
            errors = []

            async def wait_for_old() -> None:
                errors.append(await failure(wait_connected(old, timeout=0.2)))

            async with anyio.create_task_group() as group:
                group.start_soon(wait_for_old)
                await anyio.wait_all_tasks_blocked()
                other = new_socket()
                old.close()
                if not holds_it_open:
                    os.dup2(other.fileno(), fd, inheritable=False)
                    with socket.socket(fileno=fd) as new:
                        new.setblocking(False)
                        assert new.connect_ex(address) == errno.EINPROGRESS
                        error = await failure(wait_connected(new, timeout=0.02))
                        assert isinstance(error, ConnectTimeout)
                other.close()
            assert [error.errno for error in errors] == [errno.EBADF]


class TestDatagrams:
    """Seen by who can send to the socket."""

    async def test_association_and_dissolution(self) -> None:
        with (
            new_socket(type=socket.SOCK_DGRAM) as sock,
            new_socket(type=socket.SOCK_DGRAM) as one,
            new_socket(type=socket.SOCK_DGRAM) as two,
        ):
            for each in (one, two):
                each.bind((LOOPBACK, 0))
            # A port that is asked for by its number is kept when the peer is dissolved.
            with new_socket(type=socket.SOCK_DGRAM) as free:
                free.bind((LOOPBACK, 0))
                here = free.getsockname()
            sock.bind(here)

            def heard_from(*senders: socket.socket) -> list[Any]:
                for sender in senders:
                    sender.sendto(b"hello", here)
                heard = []
                while True:
                    try:
                        heard.append(sock.recvfrom(100)[1])
                    except BlockingIOError:
                        return heard

            await connect_socket(sock, one.getsockname())
            assert heard_from(one, two) == [one.getsockname()]
            await connect_socket(sock, two.getsockname())
            assert heard_from(one, two) == [two.getsockname()]
            assert sock.send(b"to the default peer")
            assert two.recv(100)
            await wait_connected(sock, timeout=0)
            dissolve_association(sock)
            assert heard_from(one, two) == [one.getsockname(), two.getsockname()]
            with pytest.raises(OSError, match="estination address required"):
                sock.send(b"to nobody")
            assert (await failure(wait_connected(sock))).errno == errno.ENOTCONN
            dissolve_association(sock)  # without effect
            await connect_socket(sock, one.getsockname())
            assert sock.getpeername() == one.getsockname()

    async def test_nothing_is_sent(self) -> None:
        with (
            new_socket(type=socket.SOCK_DGRAM) as peer,
            new_socket(type=socket.SOCK_DGRAM) as sock,
        ):
            peer.bind((LOOPBACK, 0))
            await connect_socket(sock, peer.getsockname())
            with pytest.raises(BlockingIOError):
                peer.recv(1)

    async def test_a_refused_datagram_shows_later(self) -> None:
        with new_socket(type=socket.SOCK_DGRAM) as sock:
            with new_socket(type=socket.SOCK_DGRAM) as peer:
                peer.bind((LOOPBACK, 0))
                address = peer.getsockname()
            await connect_socket(sock, address)
            sock.send(b"anybody there?")
            await anyio.wait_readable(sock)
            with pytest.raises(ConnectionRefusedError):
                sock.recv(1)

    async def test_unix_datagrams(self, tmp_path: Any) -> None:
        path = str(tmp_path / "s")
        with (
            unix_listening(path, socket.SOCK_DGRAM) as peer,
            new_socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
        ):
            await connect_socket(sock, path)
            assert sock.send(b"hello")
            assert peer.recv(100) == b"hello"
            dissolve_association(sock)
            with pytest.raises(OSError, match="not connected"):
                sock.send(b"to nobody")


class TestDissolving:
    def test_a_stream(self) -> None:
        with new_socket() as sock, pytest.raises(ConnectError) as caught:
            dissolve_association(sock)
        assert caught.value.errno == errno.EOPNOTSUPP

    def test_a_closed_socket(self) -> None:
        sock = new_socket(type=socket.SOCK_DGRAM)
        sock.close()
        with pytest.raises(ConnectError) as caught:
            dissolve_association(sock)
        assert caught.value.errno == errno.EBADF

    def test_what_is_no_socket_object(self) -> None:
        with pytest.raises(TypeError, match="not 5"):
            dissolve_association(5)  # type: ignore[arg-type]  # on purpose

    def test_a_blocking_socket_will_do(self) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect((LOOPBACK, 9))
            dissolve_association(sock)
            with pytest.raises(OSError, match="not connected"):
                sock.getpeername()


class TestLimitsAround:
    """Other people's time limits around ours, in each phase."""

    async def test_the_loops_own(self, anyio_backend: Any) -> None:
        with silent() as address, new_socket() as sock:
            assert sock.connect_ex(address) == errno.EINPROGRESS
            with pytest.raises(TimeoutError) as caught, anyio.fail_after(0.02):
                await wait_connected(sock, timeout=30)
            assert not isinstance(caught.value, ConnectError)
            if anyio_backend[0] == "trio":
                with pytest.raises(trio.TooSlowError), trio.fail_after(0.02):
                    await wait_connected(sock, timeout=30)
                return
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.02):
                    await wait_connected(sock, timeout=30)
            assert not isinstance(caught.value, ConnectError)
            with pytest.raises(TimeoutError) as caught:
                await asyncio.wait_for(wait_connected(sock, timeout=30), 0.02)
            assert not isinstance(caught.value, ConnectError)

    async def test_ours_is_the_shorter(self) -> None:
        with silent() as address, new_socket() as sock:
            assert sock.connect_ex(address) == errno.EINPROGRESS
            with anyio.fail_after(30):
                assert isinstance(
                    await failure(wait_connected(sock, timeout=0.02)), ConnectTimeout
                )

    async def test_both_at_once(self) -> None:
        """Whoever wins, it is an end in time, and nothing is left."""
        with silent() as address, new_socket() as sock:
            assert sock.connect_ex(address) == errno.EINPROGRESS
            for _ in range(20):
                start = time.monotonic()
                with pytest.raises(TimeoutError), anyio.fail_after(0.005):
                    await wait_connected(sock, timeout=0.005)
                assert time.monotonic() - start < 30


async def test_a_limit_of_nothing_makes_no_round_trip() -> None:
    with silent() as address, new_socket() as sock:
        assert isinstance(await failure(connect_socket(sock, address, timeout=0)), ConnectTimeout)
        assert sock.connect_ex(address) == errno.EALREADY
