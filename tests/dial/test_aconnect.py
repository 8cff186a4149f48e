"""aconnect() on real sockets, on all loops; on scripted ones where the kernel has no say."""

from __future__ import annotations

import asyncio
import errno
import gc
import math
import os
import pathlib
import resource
import socket
import sys
import threading
import weakref
from contextlib import ExitStack
from typing import Any

import anyio
import pytest
from conftest import LOOPS_AND_DRIVERS
from support.listeners import LOOPBACK, listening, refusing, silent, unix_full, unix_listening
from support.sockets import ESTABLISHED, ScriptedSocket, SocketFactory, open_with

from aconnect import (
    ConnectError,
    ConnectTimeout,
    Deadline,
    Dialer,
    ResolveError,
    TCPAddress,
    UDPAddress,
    UnixAddress,
    VsockAddress,
    connect_socket,
)
from aconnect import (
    aconnect as connect,
)
from aconnect.sockets.syscalls import open_socket

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS_AND_DRIVERS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def close_connected(sock: socket.socket) -> Any:
    """The peer's name; and check what every result of aconnect() has to be."""
    with sock:
        assert type(sock) is socket.socket
        assert sock.gettimeout() == 0
        assert not os.get_blocking(sock.fileno())
        assert not sock.get_inheritable()
        if sock.type == socket.SOCK_STREAM and sock.family in (socket.AF_INET, socket.AF_INET6):
            assert sock.proto == socket.IPPROTO_TCP
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        return sock.getpeername()


class TestAddressForms:
    """Every form of address leads to a connected socket."""

    @pytest.mark.parametrize(
        "form",
        [
            lambda host, port: (host, port),
            lambda host, port: (host, port, 0, 0),
            lambda host, port: f"{host}:{port}",
            lambda host, port: f"tcp://{host}:{port}",
            lambda host, port: TCPAddress(host, port),
            lambda host, port: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
            lambda host, port: socket.getaddrinfo(host, port),
        ],
    )
    async def test_tcp(self, form: Any) -> None:
        with listening() as listener:
            sock = await connect(form(*listener.getsockname()))
            assert close_connected(sock) == listener.getsockname()

    @pytest.mark.parametrize(
        "form",
        [
            lambda host, port, *rest: (host, port),
            lambda host, port, *rest: (host, port, *rest),
            lambda host, port, *rest: f"[{host}]:{port}",
            lambda host, port, *rest: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
        ],
    )
    async def test_tcp_over_ipv6(self, form: Any) -> None:
        with listening("::1") as listener:
            sock = await connect(form(*listener.getsockname()))
            assert close_connected(sock) == listener.getsockname()

    async def test_the_flow_label_reaches_the_socket(self) -> None:
        with listening("::1") as listener:
            port = listener.getsockname()[1]
            with await connect(("::1", port, 5, 0)) as sock:
                assert sock.getpeername()[:2] == ("::1", port)

    @pytest.mark.parametrize("form", ["udp://{}:{}".format, UDPAddress])
    async def test_udp(self, form: Any) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((LOOPBACK, 0))
            sock = await connect(form(*peer.getsockname()))
            assert sock.type == socket.SOCK_DGRAM
            assert sock.proto == socket.IPPROTO_UDP
            assert close_connected(sock) == peer.getsockname()

    @pytest.mark.parametrize("form", ["unix:{}".format, pathlib.Path, UnixAddress])
    async def test_a_unix_path(self, form: Any, tmp_path: Any) -> None:
        path = str(tmp_path / "s")
        with unix_listening(path):
            assert close_connected(await connect(form(path))) == path

    @pytest.mark.parametrize(
        "type", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET]
    )
    async def test_unix_types(self, type: int, tmp_path: Any) -> None:
        path = str(tmp_path / "s")
        with unix_listening(path, type):
            sock = await connect(UnixAddress(path, type))
            assert sock.type == type
            assert close_connected(sock) == path

    async def test_an_abstract_name(self, anyio_backend: Any) -> None:
        name = f"aconnect-test-{os.getpid()}-{id(anyio_backend)}"
        with unix_listening(b"\0" + name.encode()):
            assert close_connected(await connect(f"unix:@{name}")) == b"\0" + name.encode()

    @pytest.mark.parametrize(
        "length",
        [
            pytest.param(60, id="a long directory"),
            pytest.param(200, id="a name that is too long by itself"),
        ],
    )
    async def test_a_path_longer_than_sun_path(
        self, length: int, tmp_path: Any, monkeypatch: Any
    ) -> None:
        directory = tmp_path / ("d" * 100)
        directory.mkdir()
        name = "ü" * (length // 2)
        monkeypatch.chdir(directory)
        # bind() has the same limit as connect(): bind to a short name, then move the file.
        with unix_listening("s"):
            os.rename("s", name)
            with await connect(directory / name) as sock:
                assert sock.getpeername() == "s"
            with await connect(f"unix:{directory}/{name}") as sock:
                assert sock.getpeername() == "s"

    async def test_a_long_path_that_leads_nowhere(self, tmp_path: Any) -> None:
        path = tmp_path / ("d" * 120) / "s"
        with pytest.raises(FileNotFoundError) as caught:
            await connect(path)
        assert isinstance(caught.value, ConnectError)
        assert caught.value.errno == errno.ENOENT
        assert str(path) in str(caught.value)

    async def test_vsock_is_dialled_as_a_stream(self, monkeypatch: Any) -> None:
        """There is no VSOCK transport to be had; what the socket is told can be seen."""
        factory = SocketFactory({"connect": [errno.ENODEV]}, family=socket.AF_INET)
        open_with(monkeypatch, factory)
        with pytest.raises(ConnectError) as caught:
            await connect("vsock:2:1234")
        assert caught.value.errno == errno.ENODEV
        assert caught.value.address == VsockAddress(2, 1234)
        assert "vsock:2:1234" in str(caught.value)
        assert factory.endpoints == [(socket.AF_VSOCK, socket.SOCK_STREAM, 0, (2, 1234))]


class TestNonsense:
    """What cannot be is refused before any system call, and named."""

    @pytest.mark.parametrize(
        ("address", "error", "named"),
        [
            ((LOOPBACK, 70000), ValueError, "70000"),
            (f"{LOOPBACK}:70000", ValueError, "70000"),
            (("", 80), ValueError, "''"),
            (":80", ValueError, "':80'"),
            ("::1:80", ValueError, "::1:80"),
            ("unix:/a\0b", ValueError, r"\x00"),
            ("http://localhost:80", ValueError, "http"),
            ((LOOPBACK, "8 0"), ValueError, "'8 0'"),
            ((LOOPBACK, True), TypeError, "True"),
            (([], 80), TypeError, "[]"),
            ((LOOPBACK,), ValueError, LOOPBACK),
            (80, TypeError, "80"),
            (None, TypeError, "None"),
            ([], ValueError, "empty"),
            ([[(LOOPBACK, 80)]], TypeError, LOOPBACK),
            ([(LOOPBACK, 80), None], TypeError, "None"),
            ([(LOOPBACK, 80), "udp://localhost:1"], ValueError, "udp://localhost:1"),
        ],
    )
    async def test_addresses(
        self, address: Any, error: Any, named: str, socket_calls: list[str]
    ) -> None:
        socket_calls.clear()  # those of the event loop
        with pytest.raises(error) as caught:
            await connect(address)
        assert named in str(caught.value)
        assert not isinstance(caught.value, OSError)
        assert socket_calls == []

    @pytest.mark.parametrize(
        ("limits", "error"),
        [
            ({"timeout": -1}, ValueError),
            ({"timeout": math.nan}, ValueError),
            ({"timeout": "5"}, TypeError),
            ({"timeout": True}, TypeError),
            ({"deadline": 5}, TypeError),
        ],
    )
    async def test_time_limits(self, limits: Any, error: Any, socket_calls: list[str]) -> None:
        with refusing() as address, pytest.raises(error) as caught:
            socket_calls.clear()
            await connect(address, **limits)
        assert repr(next(iter(limits.values()))) in str(caught.value)
        assert socket_calls == []


@pytest.fixture
def socket_calls() -> Any:
    """The socket module's audit events during a test."""
    calls: list[str] = []
    _AUDITED.append(calls)
    yield calls
    _AUDITED.remove(calls)


_AUDITED: list[list[str]] = []


def _audit(event: str, _: Any) -> None:
    for calls in _AUDITED:
        if event.startswith("socket.") and threading.current_thread() is threading.main_thread():
            calls.append(event)


sys.addaudithook(_audit)


class TestFailures:
    """What the kernel refuses, as the error that says so."""

    async def test_refused(self) -> None:
        with refusing() as address:
            with pytest.raises(ConnectionRefusedError) as caught:
                await connect(address, timeout=30)
            error = caught.value
            assert isinstance(error, ConnectError)
            assert error.errno == errno.ECONNREFUSED
            assert error.address == TCPAddress(*address)
            assert error.phase == "connect"
            assert 0 < error.elapsed < 30
            assert error.transient
            (attempt,) = error.attempts
            assert attempt.sockaddr == address
            assert attempt.outcome == "failed"
            assert attempt.errno == errno.ECONNREFUSED
            assert attempt.start <= attempt.end
            assert attempt.end - attempt.start <= error.elapsed
            assert f"{LOOPBACK}:{address[1]}" in str(error)
            assert "nothing is listening there" in str(error)

    async def test_refused_over_ipv6(self) -> None:
        with refusing("::1") as address, pytest.raises(ConnectionRefusedError):
            await connect(address)

    @pytest.mark.parametrize(
        ("prepare", "kind"),
        [
            (lambda path: path.mkdir(), "a directory"),
            (lambda path: path.write_text(""), "a file"),
            (os.mkfifo, "a file"),
        ],
        ids=["directory", "file", "fifo"],
    )
    async def test_a_path_that_is_no_socket(self, tmp_path: Any, prepare: Any, kind: str) -> None:
        path = tmp_path / "s"
        prepare(path)
        long = tmp_path / ("x" * 100) / ".." / "s"  # too long for a sockaddr
        long.parent.parent.mkdir()
        said = f"ECONNREFUSED: nothing is listening there: it is {kind}, not a socket"
        for each in (path, long):
            with pytest.raises(ConnectionRefusedError, match=said):
                await connect(each)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.setblocking(False)
                with pytest.raises(ConnectionRefusedError, match=said):
                    await connect_socket(sock, str(each))

    async def test_a_name_that_is_no_path(self) -> None:
        with pytest.raises(ConnectionRefusedError, match="nobody listens on it"):
            await connect("unix:@aconnect-nobody")

    @pytest.mark.parametrize(
        ("prepare", "error", "number"),
        [
            pytest.param(lambda path: None, FileNotFoundError, errno.ENOENT, id="absent"),
            pytest.param(
                lambda path: path.write_text(""),
                ConnectionRefusedError,
                errno.ECONNREFUSED,
                id="a plain file",
            ),
            pytest.param(
                lambda path: path.symlink_to(path.name), OSError, errno.ELOOP, id="a loop"
            ),
            pytest.param(
                lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
                ConnectionRefusedError,
                errno.ECONNREFUSED,
                id="nobody listens",
            ),
        ],
    )
    @pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
    async def test_unix_paths(self, tmp_path: Any, prepare: Any, error: Any, number: int) -> None:
        path = tmp_path / "s"
        prepare(path)
        gc.collect()
        with pytest.raises(error) as caught:
            await connect(path)
        assert isinstance(caught.value, ConnectError)
        assert caught.value.errno == number

    @pytest.mark.parametrize(
        ("below", "error", "number"),
        [
            ("file/s", NotADirectoryError, errno.ENOTDIR),
            ("n" * 300, OSError, errno.ENAMETOOLONG),
            ("d/" * 2500 + "s", OSError, errno.ENAMETOOLONG),
        ],
    )
    async def test_paths_that_lead_nowhere(
        self, tmp_path: Any, below: str, error: Any, number: int
    ) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(error) as caught:
            await connect(f"unix:{tmp_path}/{below}")
        assert isinstance(caught.value, ConnectError)
        assert caught.value.errno == number

    async def test_a_unix_peer_of_another_type(self, tmp_path: Any) -> None:
        with unix_listening(tmp_path / "s"):
            with pytest.raises(ConnectError) as caught:
                await connect(f"unixpacket:{tmp_path}/s")
            assert caught.value.errno == errno.EPROTOTYPE
            assert not caught.value.transient

    @pytest.mark.root
    async def test_no_permission(self, tmp_path: Any) -> None:
        for directory in (tmp_path, *list(tmp_path.parents)[:2]):
            directory.chmod(0o755)
        with unix_listening(tmp_path / "s"):
            (tmp_path / "s").chmod(0o600)
            os.seteuid(65534)
            try:
                with pytest.raises(PermissionError) as caught:
                    await connect(tmp_path / "s")
            finally:
                os.seteuid(0)
        assert isinstance(caught.value, ConnectError)
        assert caught.value.errno == errno.EACCES
        assert "no write permission" in str(caught.value)

    async def test_a_broadcast_address(self) -> None:
        with pytest.raises(PermissionError) as caught:
            await connect("udp://255.255.255.255:9")
        assert caught.value.errno in (errno.EACCES, errno.EPERM)

    async def test_out_of_descriptors(self) -> None:
        with listening() as listener:
            address = listener.getsockname()
            (await connect(address)).close()  # whatever is needed once is there now
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest_free = os.dup(0)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
            try:
                with pytest.raises(ConnectError) as caught:
                    await connect(address)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert caught.value.errno == errno.EMFILE
        assert caught.value.transient
        assert [attempt.errno for attempt in caught.value.attempts] == [errno.EMFILE]

    @pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENOBUFS])
    async def test_scripted_errnos(self, monkeypatch: Any, number: int) -> None:
        factory = SocketFactory({"connect": [number]})
        open_with(monkeypatch, factory)
        with pytest.raises(ConnectError) as caught:
            await connect((LOOPBACK, 1))
        assert caught.value.errno == number
        assert [sock.fileno() for sock in factory.opened] == [-1]

    async def test_no_local_port_is_tried_on_three_sockets(self, monkeypatch: Any) -> None:
        scripts: list[Any] = [{"connect": [errno.EADDRNOTAVAIL]} for _ in range(4)]
        factory = SocketFactory(*scripts)
        open_with(monkeypatch, factory)
        with pytest.raises(ConnectError) as caught:
            await connect((LOOPBACK, 1))
        assert caught.value.errno == errno.EADDRNOTAVAIL
        assert [sock.fileno() for sock in factory.opened] == [-1] * 3

    async def test_a_second_socket_may_have_a_local_port(self, monkeypatch: Any) -> None:
        with listening() as listener:
            address = listener.getsockname()
            factory = SocketFactory({"connect": [errno.EADDRNOTAVAIL]})
            open_with(monkeypatch, factory)
            with await connect(address) as sock:
                assert sock is factory.opened[1]
            assert factory.opened[0].fileno() == -1

    async def test_a_second_socket_cannot_be_opened(self, monkeypatch: Any) -> None:
        factory = SocketFactory({"connect": [errno.EADDRNOTAVAIL]})

        def open_one(endpoint: Any) -> Any:
            if factory.opened:
                raise OSError(errno.EMFILE, "no more")
            return factory(endpoint)

        open_with(monkeypatch, open_one)
        with pytest.raises(ConnectError) as caught:
            await connect((LOOPBACK, 1))
        assert caught.value.errno == errno.EMFILE
        assert factory.opened[0].fileno() == -1

    async def test_udp_without_a_local_port(self, monkeypatch: Any) -> None:
        scripts: list[Any] = [{"connect": [errno.EAGAIN]} for _ in range(3)]
        factory = SocketFactory(*scripts)
        open_with(monkeypatch, factory)
        with pytest.raises(BlockingIOError) as caught:
            await connect(f"udp://{LOOPBACK}:1")
        assert isinstance(caught.value, ConnectError)
        assert caught.value.errno == errno.EAGAIN
        assert "no local port" in str(caught.value)
        assert len(factory.opened) == 3

    async def test_connected_to_itself(self, monkeypatch: Any) -> None:
        with listening() as listener:
            address = listener.getsockname()
            script = {"state": [bytes([ESTABLISHED])] * 50, "getsockname": [address] * 50}
            scripts: list[Any] = [{name: [*said] for name, said in script.items()} for _ in "123"]
            factory = SocketFactory(*scripts)
            open_with(monkeypatch, factory)
            with pytest.raises(ConnectionRefusedError) as caught:
                await connect(address)
            assert "connected to itself" in str(caught.value)
            assert len(factory.opened) == 3

    @pytest.mark.parametrize(
        ("error", "raised"),
        [
            (ValueError("scripted"), ConnectError),
            (KeyboardInterrupt(), KeyboardInterrupt),
            (SystemExit(), SystemExit),
            (GeneratorExit(), GeneratorExit),
        ],
    )
    async def test_whatever_is_raised_frees_everything(
        self, monkeypatch: Any, error: BaseException, raised: type[BaseException]
    ) -> None:
        opened = []

        class Failing(ScriptedSocket):
            def connect_ex(self, address: Any) -> int:
                opened.append(self)
                raise error

        open_with(monkeypatch, lambda endpoint: Failing(*endpoint[:3], script={}))
        with pytest.raises(raised) as caught:
            await connect((LOOPBACK, 1))
        assert error in (caught.value, caught.value.__cause__)
        assert [sock.fileno() for sock in opened] == [-1]


class TestWaiting:
    """What is not connected is never called connected."""

    @pytest.mark.parametrize("limit", [None, 30])
    @pytest.mark.parametrize("call", [connect, Dialer().connect], ids=["aconnect", "Dialer"])
    async def test_for_one_address_alone_there_is_no_race(
        self, call: Any, limit: float | None, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("aconnect.dial.single.race", None)
        with listening() as listener:
            open_with(monkeypatch, SocketFactory({"getpeername": [errno.ENOTCONN]}))
            with await call(listener.getsockname(), timeout=limit) as sock:
                assert not sock.script["getpeername"]

    async def test_a_false_alarm_is_waited_out(self, monkeypatch: Any) -> None:
        script = {
            # The probes: at once, when writable, twice more, and when it really is.
            "getpeername": [errno.ENOTCONN] * 5,
            "so_error": [0, 0, errno.EINPROGRESS, 0],
        }
        with listening() as listener:
            factory = SocketFactory(script)
            open_with(monkeypatch, factory)
            with await connect(listener.getsockname(), timeout=30) as sock:
                assert isinstance(sock, ScriptedSocket)
                assert sock.calls.count("connect") == 1
                assert not sock.script["getpeername"]

    @pytest.mark.parametrize("number", [errno.EINTR, errno.EALREADY, errno.EINPROGRESS])
    async def test_started_is_started_by_whatever_name(
        self, monkeypatch: Any, number: int
    ) -> None:
        """connect(2) is never called a second time to see what became of the first."""

        class Interrupted(ScriptedSocket):
            def connect_ex(self, address: Any) -> int:
                super().connect_ex(address)
                return number

        made: list[Interrupted] = []

        def open_one(endpoint: Any) -> Interrupted:
            made.append(Interrupted(*endpoint[:3], script={"getpeername": [errno.ENOTCONN] * 2}))
            return made[-1]

        with listening() as listener:
            open_with(monkeypatch, open_one)
            with await connect(listener.getsockname(), timeout=30) as sock:
                assert sock is made[0]
                assert made[0].calls.count("connect") == 1

    async def test_a_reset_before_anybody_looked(self, monkeypatch: Any) -> None:
        script = {"getpeername": [errno.ENOTCONN] * 2, "so_error": [errno.ECONNRESET]}
        with listening() as listener:
            open_with(monkeypatch, SocketFactory(script))
            with pytest.raises(ConnectionResetError):
                await connect(listener.getsockname(), timeout=30)

    async def test_a_fin_before_anybody_looked_is_a_connection(self) -> None:
        with listening() as listener, await connect(listener.getsockname()) as sock:
            listener.accept()[0].close()
            await anyio.wait_readable(sock)
            assert sock.recv(1) == b""

    @pytest.mark.parametrize("type", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
    async def test_a_full_backlog_is_no_success(self, tmp_path: Any, type: int) -> None:
        address = UnixAddress(tmp_path / "s", type)
        with unix_full(tmp_path / "s", type):
            with pytest.raises(ConnectTimeout) as caught:
                await connect(address, timeout=0.1)
            error = caught.value
            assert error.errno == errno.ETIMEDOUT
            assert error.attempts[0].outcome == "timed out"
            assert error.attempts[0].errno == errno.EAGAIN
            assert "backlog is full" in str(error)

    @pytest.mark.parametrize("type", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
    async def test_a_backlog_that_drains_later(self, tmp_path: Any, type: int) -> None:
        with unix_full(tmp_path / "s", type) as listener:

            async def accept_later() -> None:
                await anyio.sleep(0.06)
                listener.accept()[0].close()

            async with anyio.create_task_group() as group:
                group.start_soon(accept_later)
                sock = await connect(UnixAddress(tmp_path / "s", type), timeout=30)
            assert close_connected(sock) == str(tmp_path / "s")

    async def test_waiting_for_a_backlog_does_not_spin(
        self, tmp_path: Any, monkeypatch: Any
    ) -> None:
        factory = SocketFactory({})
        open_with(monkeypatch, factory)
        with unix_full(tmp_path / "s"), pytest.raises(ConnectTimeout):
            await connect(tmp_path / "s", timeout=0.3)
        (sock,) = factory.opened
        assert isinstance(sock, ScriptedSocket)
        # After 1, 2, 4, 8, 16, 32 ms, and then every 50 ms.
        assert 4 <= sock.calls.count("connect") <= 14
        assert "so_error" not in sock.calls


class TestTime:
    """One deadline over everything."""

    async def test_a_silent_peer(self) -> None:
        with silent() as address:
            with pytest.raises(ConnectTimeout) as caught:
                await connect(address, timeout=0.05)
            error = caught.value
            assert isinstance(error, TimeoutError)
            assert error.errno == errno.ETIMEDOUT
            assert error.phase == "connect"
            assert error.elapsed >= 0.05
            (attempt,) = error.attempts
            assert attempt.outcome == "timed out"
            assert attempt.errno is None
            assert attempt.local_address[0] == LOOPBACK
            assert "deadline passed" in str(error)
            assert "no answer" in str(error)

    async def test_the_earlier_limit_counts(self) -> None:
        with silent() as address:
            with pytest.raises(ConnectTimeout):
                await connect(address, timeout=60, deadline=Deadline.after(0.02))
            with pytest.raises(ConnectTimeout):
                await connect(address, timeout=0.02, deadline=Deadline.after(60))

    async def test_a_deadline_is_shared(self) -> None:
        deadline = Deadline.after(0.05)
        with silent() as address:
            for _ in range(3):
                with pytest.raises(ConnectTimeout):
                    await connect(address, deadline=deadline)
        assert deadline.expired

    async def test_no_time_is_enough_where_nothing_waits(self, tmp_path: Any) -> None:
        with listening() as listener:
            close_connected(await connect(listener.getsockname(), timeout=0))
        with unix_listening(tmp_path / "s"):
            close_connected(await connect(tmp_path / "s", timeout=0))

    async def test_no_time_is_too_little_where_something_waits(
        self, tmp_path: Any, monkeypatch: Any
    ) -> None:
        def no_lookup(*args: Any, **kwargs: Any) -> Any:
            raise AssertionError("there was no time for a lookup")

        monkeypatch.setattr(socket, "getaddrinfo", no_lookup)
        with silent() as address, unix_full(tmp_path / "s"):
            for target in (address, tmp_path / "s", "localhost:80"):
                with pytest.raises(ConnectTimeout):
                    await connect(target, timeout=0)

    async def test_infinity_is_no_limit(self) -> None:
        with refusing() as address, pytest.raises(ConnectionRefusedError):
            await connect(address, timeout=math.inf)

    async def test_a_huge_limit(self) -> None:
        with refusing() as address, pytest.raises(ConnectionRefusedError):
            await connect(address, timeout=1e300)

    async def test_a_lookup_that_hangs(self, monkeypatch: Any) -> None:
        released = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(30))
        try:
            with pytest.raises(ConnectTimeout) as caught:
                await connect("db.example:5432", timeout=0.05)
        finally:
            released.set()
        error = caught.value
        assert error.phase == "resolve"
        assert error.attempts == ()
        assert "db.example:5432" in str(error)
        assert "resolve" in str(error)

    @pytest.mark.slow
    async def test_the_kernel_gives_up_first(self, monkeypatch: Any) -> None:
        """Its ETIMEDOUT is the same class; the record tells which it was."""

        def impatient(endpoint: Any) -> socket.socket:
            sock = open_socket(endpoint)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 100)
            return sock

        open_with(monkeypatch, impatient)
        with silent() as address, pytest.raises(ConnectTimeout) as caught:
            await connect(address, timeout=60)
        assert caught.value.attempts[0].outcome == "failed"
        assert caught.value.attempts[0].errno == errno.ETIMEDOUT


class TestNames:
    """Resolving, and several addresses one after the other."""

    async def test_localhost(self) -> None:
        with listening() as listener:
            port = listener.getsockname()[1]
            assert close_connected(await connect(("localhost", port))) == (LOOPBACK, port)

    async def test_localhost_over_udp(self) -> None:
        sock = await connect("udp://localhost:9")
        assert sock.type == socket.SOCK_DGRAM
        assert close_connected(sock) == (LOOPBACK, 9)

    @pytest.mark.parametrize(
        ("code", "transient"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)]
    )
    async def test_a_name_that_cannot_be_resolved(
        self, monkeypatch: Any, code: int, transient: bool
    ) -> None:
        answer(monkeypatch, socket.gaierror(code, "scripted"))
        with pytest.raises(ResolveError) as caught:
            await connect("db.example:5432")
        error = caught.value
        assert isinstance(error, socket.gaierror)
        assert isinstance(error, ConnectError)
        assert error.errno == code
        assert error.phase == "resolve"
        assert error.transient is transient
        assert error.attempts == ()
        assert "db.example:5432" in str(error)

    @pytest.mark.parametrize(
        ("raised", "code"),
        [
            (OSError(errno.EMFILE, "scripted"), errno.EMFILE),
            (OSError("scripted"), socket.EAI_FAIL),
            (RuntimeError("can't start new thread"), socket.EAI_MEMORY),
            (UnicodeError("label too long"), socket.EAI_NONAME),
        ],
    )
    async def test_a_lookup_that_fails_otherwise(
        self, monkeypatch: Any, raised: Exception, code: int
    ) -> None:
        answer(monkeypatch, raised)
        with pytest.raises(ResolveError) as caught:
            await connect("db.example:5432")
        assert caught.value.errno == code

    async def test_an_answer_without_addresses(self, monkeypatch: Any) -> None:
        answer(monkeypatch, [])
        with pytest.raises(ResolveError):
            await connect("db.example:5432")

    async def test_a_zone_that_is_no_interface(self) -> None:
        with pytest.raises(ResolveError) as caught:
            await connect("[fe80::1%nosuch0]:80")
        assert "interface" in str(caught.value)
        assert "fe80::1%nosuch0" in str(caught.value)

    async def test_the_next_address_is_tried(self, monkeypatch: Any) -> None:
        with listening() as listener, refusing("127.0.0.2") as dead:
            address = listener.getsockname()
            answer(monkeypatch, [results(dead), results(dead), results(address)])
            assert close_connected(await connect("db.example:5432")) == address

    async def test_every_address_fails(self, monkeypatch: Any) -> None:
        with refusing() as one, refusing("127.0.0.2") as two:
            answer(monkeypatch, [results(one), results(two)])
            with pytest.raises(ConnectionRefusedError) as caught:
                await connect("db.example:5432", timeout=30)
        error = caught.value
        assert isinstance(error, ConnectError)
        assert [attempt.sockaddr for attempt in error.attempts] == [one, two]
        assert isinstance(error.__cause__, ExceptionGroup)
        assert [type(each) for each in error.__cause__.exceptions] == [type(error)] * 2
        for text in ("db.example:5432", f"{one[0]}:{one[1]}", f"{two[0]}:{two[1]}"):
            assert text in str(error)

    async def test_a_silent_address_leaves_time_for_the_next(self, monkeypatch: Any) -> None:
        with silent() as dead, listening() as listener:
            address = listener.getsockname()
            sock = await connect([results(dead), results(address)], timeout=30)
            assert close_connected(sock) == address

    async def test_the_deadline_passes_before_the_last_address(self, monkeypatch: Any) -> None:
        with silent() as dead, listening() as listener:
            found = [results(dead), results(listener.getsockname())]
            with pytest.raises(ConnectTimeout) as caught:
                await connect(found, timeout=0.05)
        assert len(caught.value.attempts) == 1
        assert "1 of 2 addresses tried" in str(caught.value)
        assert caught.value.address == tuple(found)

    async def test_a_busy_default_executor_does_not_matter(self, anyio_backend: Any) -> None:
        """Measured with the peers: `localhost` waits for whoever has the default threads."""
        released = threading.Event()
        limiter: Any = None
        if anyio_backend[0] == "asyncio":
            loop = asyncio.get_running_loop()
            held = [loop.run_in_executor(None, released.wait, 30) for _ in range(64)]
        else:
            limiter = anyio.to_thread.current_default_thread_limiter()
            limiter.total_tokens, held = 1, []
            await limiter.acquire()
        try:
            with listening() as listener:
                port = listener.getsockname()[1]
                close_connected(await connect(f"localhost:{port}", timeout=30))
        finally:
            released.set()
            if limiter is not None:
                limiter.release()
            await asyncio.gather(*held) if held else None


def answer(monkeypatch: Any, outcome: Any) -> None:
    """Have getaddrinfo() return or raise ``outcome``."""

    def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def results(address: Any) -> tuple[Any, ...]:
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)


class TestCompany:
    """With other loops, other threads, and none."""

    async def test_an_error_leaves_no_reference_cycle(self) -> None:
        gc.collect()
        gc.disable()
        try:
            with refusing() as one, refusing("127.0.0.2") as two:
                for address in (one, [results(one), results(two)], f"localhost:{one[1]}"):
                    try:
                        await connect(address)
                    except ConnectError as error:
                        gone = weakref.ref(error)
                    assert gone() is None, address
        finally:
            gc.enable()

    async def test_many_at_once(self) -> None:
        with ExitStack() as stack:
            listener = stack.enter_context(listening(backlog=500))

            async def one() -> None:
                stack.enter_context(await connect(listener.getsockname()))

            async with anyio.create_task_group() as group:
                for _ in range(200):
                    group.start_soon(one)


def test_without_a_loop() -> None:
    call = connect((LOOPBACK, 1))
    with pytest.raises(RuntimeError, match=r"asyncio\.run"):
        call.send(None)


def test_threads_have_loops_of_their_own() -> None:
    failures: list[BaseException] = []

    def run(address: Any) -> None:
        async def main() -> None:
            for _ in range(50):
                close_connected(await connect(address))

        try:
            asyncio.run(main())
        except BaseException as error:
            failures.append(error)

    with listening(backlog=1000) as listener:
        threads = [threading.Thread(target=run, args=(listener.getsockname(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures
