"""The system calls of an attempt, one by one."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any

import pytest
from conftest import open_descriptors
from support.listeners import LOOPBACK, listening, silent, unix_listening
from support.sockets import CLOSE, ESTABLISHED, ScriptedSocket

from aconnect.addresses.values import Endpoint
from aconnect.sockets import datagrams, syscalls

TCP = Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, (LOOPBACK, 1))


class TestOpenSocket:
    def test_tcp(self) -> None:
        with syscalls.open_socket(TCP) as sock:
            assert sock.gettimeout() == 0
            assert not os.get_blocking(sock.fileno())
            assert not sock.get_inheritable()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_a_default_timeout_has_no_say(self) -> None:
        socket.setdefaulttimeout(5)
        try:
            with syscalls.open_socket(TCP) as sock:
                assert sock.gettimeout() == 0
        finally:
            socket.setdefaulttimeout(None)

    def test_a_platform_without_sock_nonblock(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(syscalls, "_NONBLOCK", 0)
        for open_one in (syscalls.open_socket, syscalls.open_bare_socket):
            with open_one(TCP) as sock:
                assert sock.gettimeout() == 0

    def test_a_bare_one_is_for_transports(self) -> None:
        with syscalls.open_bare_socket(TCP) as sock:
            assert sock.gettimeout() == 0
            assert not os.get_blocking(sock.fileno())
            assert not sock.get_inheritable()
            assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_only_tcp_has_nodelay(self) -> None:
        with syscalls.open_socket(Endpoint(socket.AF_UNIX, socket.SOCK_STREAM, 0, "/s")) as sock:
            assert sock.family == socket.AF_UNIX

    def test_a_family_that_no_platform_has(self) -> None:
        with pytest.raises(OSError) as caught:  # noqa: PT011  # the errno is looked at
            syscalls.open_socket(Endpoint(0xFFFF, socket.SOCK_STREAM, 0, ""))
        assert caught.value.errno == errno.EAFNOSUPPORT

    def test_an_option_that_cannot_be_set_frees_the_socket(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(syscalls, "_TCP_NODELAY", 0x7FFF)
        before = open_descriptors()
        with pytest.raises(OSError, match="not available"):
            syscalls.open_socket(TCP)
        assert open_descriptors() == before


def broken(call: str, number: int) -> Any:
    """A socket class of which one call fails after it has been made."""

    class Broken(socket.socket):
        pass

    def fail(self: Broken, *arguments: Any) -> Any:
        getattr(socket.socket, call)(self, *arguments)
        raise OSError(number, os.strerror(number))

    setattr(Broken, call, fail)
    return Broken


class TestClose:
    def test_what_it_says_does_not_matter(self) -> None:
        sock = broken("close", errno.EIO)()
        syscalls.close(sock)
        assert sock.fileno() < 0

    def test_nor_of_the_directory_of_a_long_path(self, tmp_path: Any) -> None:
        close = os.close
        closed = []

        def fail(fd: int) -> None:
            close(fd)
            closed.append(fd)
            raise OSError(errno.EIO, "scripted")

        path = str(tmp_path / ("d" * 100))
        os.mkdir(path)
        calls = syscalls.SystemCalls(close=fail)
        with socket.socket(socket.AF_UNIX) as sock:
            assert syscalls.connect_errno(sock, path + "/absent", calls) == errno.ENOENT
        assert closed


class TestAbort:
    def test_the_peer_sees_a_reset(self) -> None:
        with listening() as listener:
            sock = socket.create_connection(listener.getsockname())
            with listener.accept()[0] as accepted:
                syscalls.abort(sock)
                with pytest.raises(ConnectionResetError):
                    accepted.recv(1)
        assert sock.fileno() == -1

    @pytest.mark.parametrize(
        "error",
        [
            OSError(errno.ENOPROTOOPT, "scripted"),
            TypeError("what Python says for AF_VSOCK"),
        ],
        ids=repr,
    )
    def test_a_socket_without_the_option_is_closed_all_the_same(self, error: Exception) -> None:
        class Plain(socket.socket):
            def setsockopt(self, *args: Any) -> None:
                raise error

        sock = Plain()
        syscalls.abort(sock)
        assert sock.fileno() == -1


class TestConnectErrno:
    def test_a_plain_answer(self) -> None:
        with syscalls.open_socket(TCP) as sock, silent() as address:
            assert syscalls.connect_errno(sock, address) == errno.EINPROGRESS

    def test_an_address_of_another_family_is_not_taken_for_a_long_path(self) -> None:
        with syscalls.open_socket(TCP) as sock, pytest.raises(OSError, match="amily"):
            syscalls.connect_errno(sock, ("::1", 80))

    @pytest.mark.parametrize("encode", [str, os.fsencode])
    @pytest.mark.parametrize("relative", [True, False])
    @pytest.mark.parametrize("name", ["s", "s" * 200])
    def test_long_paths(
        self, tmp_path: Any, monkeypatch: Any, encode: Any, relative: bool, name: str
    ) -> None:
        directory = tmp_path / ("d" * 120)
        directory.mkdir()
        with unix_listening(tmp_path / "s"):
            os.rename(tmp_path / "s", directory / name)
            path = directory / name
            if relative:
                monkeypatch.chdir(tmp_path)
                path = path.relative_to(tmp_path)
            before = open_descriptors()
            with socket.socket(socket.AF_UNIX) as sock:
                assert syscalls.connect_errno(sock, encode(path)) == 0
            assert open_descriptors() == before

    def test_a_long_name_in_this_directory(self, tmp_path: Any, monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)
        with unix_listening("s"):
            os.rename("s", "s" * 150)
            with socket.socket(socket.AF_UNIX) as sock:
                assert syscalls.connect_errno(sock, "s" * 150) == 0

    @pytest.mark.parametrize("name", ["s", "s" * 200])
    def test_long_paths_that_lead_nowhere(self, tmp_path: Any, name: str) -> None:
        before = open_descriptors()
        with socket.socket(socket.AF_UNIX) as sock:
            for directory in (tmp_path / ("d" * 120), tmp_path):
                path = str(directory / ("x/" * 60) / name)
                with pytest.raises(FileNotFoundError):
                    syscalls.connect_errno(sock, path)
            (tmp_path / ("e" * 120)).mkdir()
            try:
                answer = syscalls.connect_errno(sock, str(tmp_path / ("e" * 120) / name))
            except FileNotFoundError as error:
                answer = error.errno or 0
            assert answer == errno.ENOENT
        assert open_descriptors() == before


class TestConnectedNow:
    @pytest.mark.parametrize(
        ("info", "asked"),
        [
            pytest.param(struct.pack("=B139xI", ESTABLISHED, 1), False, id="SYN-ACK"),
            pytest.param(struct.pack("=B139xI", ESTABLISHED, 2), True, id="and more"),
            pytest.param(struct.pack("=B99xI", ESTABLISHED, 1), True, id="old kernel"),
        ],
    )
    def test_who_has_had_one_segment_is_with_somebody_else(self, info: bytes, asked: bool) -> None:
        with listening() as listener, ScriptedSocket(script={"state": [info]}) as sock:
            endpoint = TCP._replace(sockaddr=listener.getsockname())
            assert syscalls.connected_now(sock, endpoint) is None
            assert ("getsockname" in sock.calls) == asked

    def test_how_many_segments_the_kernel_counts(self) -> None:
        """Of a connection one, and of one to itself more: that is what it goes by."""
        counts = []
        for itself in (False, True):
            with socket.create_server((LOOPBACK, 0)) as listener, socket.socket() as sock:
                if itself:
                    sock.bind((LOOPBACK, 0))
                sock.connect((sock if itself else listener).getsockname())
                info = syscalls._state(sock, syscalls.SYSTEM_CALLS)
                assert len(info) == syscalls.INFO_SIZE
                counts.append(struct.unpack("=140xI", info)[0])
        assert counts[0] == 1 < counts[1]

    def test_refused_on_this_machine(self) -> None:
        """It is known at once: nothing has to be waited for."""
        with socket.socket() as nobody, ScriptedSocket(script={}) as sock:
            nobody.bind((LOOPBACK, 0))
            endpoint = TCP._replace(sockaddr=nobody.getsockname())
            assert syscalls.connected_now(sock, endpoint) == errno.ECONNREFUSED
            assert sock.calls == ["connect", "state", "so_error"]

    def test_over_without_a_reason(self) -> None:
        script = {"connect": [errno.EINPROGRESS], "state": [bytes([CLOSE])], "so_error": [0]}
        with ScriptedSocket(script=script) as sock:
            assert syscalls.connected_now(sock, TCP) == errno.EINPROGRESS


class TestProbe:
    def test_connected(self) -> None:
        with listening() as listener, socket.create_connection(listener.getsockname()) as sock:
            assert syscalls.probe(sock, True, tcp=True) == (0, False)
            assert syscalls.probe(sock, False, tcp=True) == (0, False)

    def test_a_peer_that_has_closed_already(self) -> None:
        with listening() as listener, socket.create_connection(listener.getsockname()) as sock:
            listener.accept()[0].close()
            assert sock.recv(1) == b""
            assert syscalls.probe(sock, True, tcp=True) == (0, False)

    @pytest.mark.parametrize("errno_", [errno.ENOPROTOOPT, errno.EOPNOTSUPP, None])
    def test_where_tcp_does_not_tell_its_state(self, errno_: Any, monkeypatch: Any) -> None:
        """poll(2) does: what is neither writable nor hung up is not connected yet."""
        if errno_ is None:  # another platform
            monkeypatch.setattr(syscalls, "_TCP_INFO", None)
        script = [errno_] * 2
        with silent() as address, ScriptedSocket(script={"state": [*script]}) as sock:
            sock.connect_ex(address)
            sock.script["getpeername"] = [address]  # as after a simultaneous open
            assert syscalls.probe(sock, True, tcp=True) == (errno.ENOTCONN, False)
        with listening() as listener, ScriptedSocket(script={"state": [*script]}) as sock:
            sock.connect_ex(listener.getsockname())
            assert syscalls.probe(sock, True, tcp=True) == (0, False)
        with ScriptedSocket(script={"state": [*script]}) as sock:
            assert syscalls.probe(sock, True, tcp=True) == (errno.ENOTCONN, False)

    def test_connected_to_itself(self) -> None:
        with socket.socket() as sock:
            sock.bind((LOOPBACK, 0))
            sock.connect(sock.getsockname())
            assert syscalls.probe(sock, True, tcp=True) == (0, True)
            assert syscalls.probe(sock, False, tcp=True) == (0, False)

    def test_not_connected(self) -> None:
        with socket.socket() as sock:
            assert syscalls.probe(sock, True, tcp=True) == (errno.ENOTCONN, False)
        assert syscalls.probe(sock, True, tcp=True) == (errno.EBADF, False)

    def test_an_error_without_errno(self) -> None:
        class Odd(socket.socket):
            def getpeername(self) -> Any:
                raise OSError("no errno")

        with Odd() as sock:
            assert syscalls.probe(sock, True, tcp=True) == (errno.ENOTCONN, False)


class TestSoError:
    def test_no_error(self) -> None:
        with socket.socket() as sock:
            assert syscalls.so_error(sock) == 0
        assert syscalls.so_error(sock) == errno.EBADF

    def test_an_error_without_errno(self) -> None:
        class Odd(socket.socket):
            def getsockopt(self, *args: Any) -> Any:
                raise OSError("no errno")

        with Odd() as sock:
            assert syscalls.so_error(sock) == errno.EBADF


class TestLocalAddress:
    def test_bound_and_not(self, tmp_path: Any) -> None:
        with socket.socket() as sock:
            assert syscalls.local_address(sock) is None
            sock.bind((LOOPBACK, 0))
            assert syscalls.local_address(sock) == sock.getsockname()
        assert syscalls.local_address(sock) is None

    def test_unix(self, tmp_path: Any) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            assert syscalls.local_address(sock) is None
            sock.bind(str(tmp_path / "s"))
            assert syscalls.local_address(sock) == str(tmp_path / "s")


class TestSourceAddress:
    @pytest.mark.parametrize("host", [LOOPBACK, "::1"])
    def test_a_route(self, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as peer:
            peer.setblocking(False)
            peer.bind((host, 0))
            before = open_descriptors()
            endpoint = Endpoint(family, socket.SOCK_STREAM, 0, peer.getsockname())
            assert datagrams.source_address(endpoint) == host
            assert open_descriptors() == before
            with pytest.raises(BlockingIOError):  # nothing was sent
                peer.recv(1)

    def test_it_is_not_the_address_that_is_asked_about(self) -> None:
        """127.0.0.2 is reached from where all of loopback is."""
        assert datagrams.source_address(TCP._replace(sockaddr=("127.0.0.2", 1))) == LOOPBACK

    @pytest.mark.parametrize(
        ("family", "host"),
        [
            (socket.AF_INET, "255.255.255.255"),  # EACCES without SO_BROADCAST
            (socket.AF_INET6, "fe80::1"),  # EINVAL without a zone
        ],
    )
    def test_where_the_kernel_does_not_send(self, family: int, host: str) -> None:
        before = open_descriptors()
        endpoint = Endpoint(family, socket.SOCK_STREAM, 0, (host, 80))
        assert datagrams.source_address(endpoint) is None
        assert open_descriptors() == before

    def test_no_route(self, monkeypatch: Any) -> None:
        class Unreachable(ScriptedSocket):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, script={"connect": [errno.ENETUNREACH]})
                made.append(self)

        made: list[ScriptedSocket] = []
        monkeypatch.setattr("socket.socket", Unreachable)
        assert datagrams.source_address(TCP) is None
        assert [(sock.type, sock.calls) for sock in made] == [(socket.SOCK_DGRAM, ["connect"])]
        assert made[0].fileno() == -1

    def test_a_family_that_no_platform_has(self) -> None:
        before = open_descriptors()
        endpoint = Endpoint(0xFFFF, socket.SOCK_STREAM, 0, (LOOPBACK, 1))
        assert datagrams.source_address(endpoint) is None
        assert open_descriptors() == before


class TestPollNow:
    def test_what_it_says(self) -> None:
        with listening() as listener, socket.create_connection(listener.getsockname()) as sock:
            assert syscalls.poll_now(sock) == (True, False)
        assert syscalls.poll_now(sock) == (True, False)  # closed: reading SO_ERROR tells
        with socket.socket() as sock:
            assert syscalls.poll_now(sock) == (True, True)
        with silent() as address, socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(address)
            assert syscalls.poll_now(sock) == (False, False)

    def test_it_fails(self) -> None:
        class Poller:
            def register(self, *_: Any) -> None:
                pass

            def poll(self, _: int) -> Any:
                raise OSError(errno.ENOMEM, "scripted")

        with socket.socket() as sock:
            calls = syscalls.SystemCalls(poll=Poller)
            assert syscalls.poll_now(sock, calls) == (False, False)


class TestDissolve:
    def test_what_bsd_says(self, monkeypatch: Any) -> None:
        """There the association is dissolved, and the address complained of."""
        with ScriptedSocket(
            socket.AF_UNIX, socket.SOCK_STREAM, script={"getpeername": [errno.ENOTCONN, ("x", 1)]}
        ) as sock:
            monkeypatch.setattr("ctypes.CDLL", _Libc)
            assert datagrams.dissolve(sock) == 0
            assert datagrams.dissolve(sock) == errno.EAFNOSUPPORT

    def test_dissolved(self) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect((LOOPBACK, 9))
            assert datagrams.dissolve(sock) == 0
            assert syscalls.probe(sock, False) == (errno.ENOTCONN, False)
        assert datagrams.dissolve(sock) == errno.EBADF


class _Libc:
    """A C library whose connect() fails with EAFNOSUPPORT."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def connect(self, *args: Any) -> int:
        import ctypes

        ctypes.set_errno(errno.EAFNOSUPPORT)
        return -1
