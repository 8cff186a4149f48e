"""The fake network: what becomes of attempts and lookups on it, on all loops."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gc
import itertools
import math
import socket
import struct
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
import trio.testing
import uvloop
from conftest import ASYNCIO_LOOPS, open_descriptors
from support.scenarios import (
    ASYNCIO_LOOPS as LOOPS_TO_STEP,
)
from support.scenarios import (
    Scenario,
    cancel_at_every_step,
    cancel_at_every_step_of_trio,
)
from support.tls import NAME, Certificates

from aconnect import (
    ConnectError,
    ConnectTimeout,
    Dialer,
    Endpoint,
    Keepalive,
    Report,
    ResolveError,
    UDPAddress,
    UnixAddress,
    VsockAddress,
    create_connection,
    create_datagram_endpoint,
    open_connection,
    open_stream,
    open_trio_stream,
)
from aconnect.testing import FakeHost, FakeNetwork, Outcome, VirtualClock, pairs
from aconnect.testing.timers import call_later
from aconnect.trace import AttemptEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

V6, V4 = "2001:db8::1", "192.0.2.1"
TCP = Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, (V4, 80))
TCP6 = Endpoint(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, (V6, 80, 0, 0))


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    with FakeNetwork() as network:
        yield network


def assert_nobody_waits(host: FakeHost) -> None:
    with pytest.raises(BlockingIOError):
        host.accept()


def by_asyncio(clock: VirtualClock, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return clock.run(main)


def by_trio(clock: VirtualClock, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return clock.run(main, backend="trio")


def eagerly(clock: VirtualClock, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    loop = clock.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


RUNS = [by_asyncio, by_trio, *([eagerly] if sys.version_info >= (3, 12) else [])]


@pytest.fixture(params=RUNS, ids=lambda run: run.__name__)
def run(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Runs a coroutine function by a virtual clock, which `run.clock` is."""
    with VirtualClock() as clock:

        def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
            return request.param(clock, main)

        run.clock = clock  # type: ignore[attr-defined]
        yield run


# As a user would


def test_a_race_has_exact_times(run: Any, network: FakeNetwork) -> None:
    network.add("db.example", V6, port=5432, outcome="silent")
    network.add("db.example", V4, port=5432, after=0.125)
    report = Report()

    async def main() -> None:
        with await network.dialer(trace=report).connect("db.example:5432", timeout=10) as sock:
            assert sock.getpeername() == (V4, 5432)

    run(main)
    assert run.clock.elapsed == 0.375
    first, second = network.attempts
    assert second.at - first.at == 0.25
    assert network.timeline() == [
        (0.0, "lookup db.example"),
        (0.0, f"connect [{V6}]:5432"),
        (0.25, f"connect {V4}:5432"),
    ]
    ended = [event.time - first.at for event in report.events if isinstance(event, AttemptEnded)]
    assert ended == [0.375, 0.375]


def test_attempts_that_fail_do_not_wait_for_each_other(run: Any, network: FakeNetwork) -> None:
    network.add("db.example", V6, "2001:db8::2", V4, outcome="refused", after=0.125)
    network.add("db.example", "192.0.2.2", after=0.0625)

    async def main() -> None:
        sock = await network.dialer(first_family_count=9).connect("db.example:1")
        sock.close()

    run(main)
    assert [moment for moment, _ in network.timeline()] == [0, 0, 0.125, 0.25, 0.375]
    assert run.clock.elapsed == 0.4375


def test_everything_is_silent_until_the_deadline(run: Any, network: FakeNetwork) -> None:
    network.add("db.example", V6, V4, "192.0.2.2", outcome="silent", after=0.125)

    async def main() -> None:
        with pytest.raises(ConnectTimeout) as caught:
            await network.dialer().connect("db.example:1", timeout=30)
        assert [record.outcome for record in caught.value.attempts] == ["timed out"] * 3

    run(main)
    assert 30 <= run.clock.elapsed < 30.01
    assert [moment for moment, _ in network.timeline()] == [0, 0, 0.25, 0.5]


def test_ipv6_that_is_resolved_late_is_waited_for(run: Any, network: FakeNetwork) -> None:
    network.add("db.example", V4, V6)
    network.resolves("db.example", ipv4=0.0625, ipv6=0.09375)

    async def main() -> None:
        with await network.dialer().connect("db.example:1") as sock:
            assert sock.family == socket.AF_INET6

    run(main)
    assert network.timeline() == [(0, "lookup db.example"), (0.09375, f"connect [{V6}]:1")]


def test_ipv6_that_is_never_resolved_is_waited_for_a_little(
    run: Any, network: FakeNetwork
) -> None:
    network.add("db.example", V4, V6)
    network.resolves("db.example", after=0.0625, ipv6=math.inf)

    async def main() -> None:
        with await network.dialer().connect("db.example:1") as sock:
            assert sock.family == socket.AF_INET

    run(main)
    assert network.timeline() == [(0, "lookup db.example"), (0.1125, f"connect {V4}:1")]


def test_a_client_that_tries_again(run: Any, network: FakeNetwork) -> None:
    network.add(None, V4, outcome=["refused", Outcome("silent"), "connects"], after=0.5)

    async def main() -> int:
        for attempt in itertools.count(1):
            try:
                with await network.dialer().connect((V4, 80), timeout=2):
                    return attempt
            except ConnectError as error:
                if not error.transient:
                    raise
            await anyio.sleep(1)
        raise AssertionError

    assert run(main) == 3
    assert [round(moment, 2) for moment, _ in network.timeline()] == [0, 1.5, 4.5]


def test_a_server_that_goes_down(run: Any, network: FakeNetwork) -> None:
    host = network.add(None, V4)

    async def main() -> None:
        (await network.dialer().connect((V4, 80))).close()
        host.becomes("unreachable", after=3)
        with pytest.raises(ConnectError) as caught:
            await network.dialer().connect((V4, 80))
        assert caught.value.errno == errno.EHOSTUNREACH

    run(main)
    assert run.clock.elapsed == 3


def test_a_local_port_that_is_free_at_the_third_time(run: Any, network: FakeNetwork) -> None:
    network.add(None, V4, outcome=["no local port", "no local port", "connects"], after=0.5)

    async def main() -> None:
        (await network.dialer().connect((V4, 80))).close()

    run(main)
    assert [moment for moment, _ in network.timeline()] == [0, 0, 0]
    assert run.clock.elapsed == 0.5


def test_a_backlog_that_is_full_for_a_while(run: Any, network: FakeNetwork) -> None:
    where = UnixAddress("/run/db.sock")
    host = network.add(None, where, outcome=["backlog full", "backlog full", "connects"])

    async def main() -> None:
        with await network.dialer().connect(where) as sock:
            assert sock.getpeername() == "/run/db.sock"
            assert sock.getsockname() == ""

    run(main)
    assert [moment for moment, _ in network.timeline()] == [0, 0.001, 0.003]
    assert network.attempts[0].address == "unix:/run/db.sock"
    host.accept().close()


def test_nobody_listens_but_the_socket_itself(run: Any, network: FakeNetwork) -> None:
    network.add(None, V4, outcome="itself")

    async def main() -> None:
        with pytest.raises(ConnectError, match="connected to itself"):
            await network.dialer().connect((V4, 50000))

    run(main)
    assert len(network.attempts) == 3


# What there is, on each loop in real time


@pytest.mark.anyio
async def test_data_flows(anyio_backend: Any, network: FakeNetwork) -> None:
    host = network.add("db.example", V4, V6, port=80, after=0.002)
    with await network.dialer().connect("db.example:80") as sock, host.accept() as far:
        assert far.gettimeout() == 0
        far.send(b"hello")
        await anyio.wait_readable(sock)
        assert sock.recv(9) == b"hello"
        assert sock.send(b"good bye") == 8
        await anyio.wait_readable(far)
        assert far.recv(9) == b"good bye"
        assert sock.getpeername() == (V4, 80)
        assert sock.getsockname()[0] == "192.0.2.254"
        assert sock.getsockname()[1] >= 49152
    assert_nobody_waits(host)


@pytest.mark.anyio
@pytest.mark.parametrize("after", [0.0, 0.003])
@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("refused", errno.ECONNREFUSED),
        ("unreachable", errno.EHOSTUNREACH),
        ("ECONNRESET", errno.ECONNRESET),
        (errno.ETIMEDOUT, errno.ETIMEDOUT),
    ],
)
async def test_it_fails(
    anyio_backend: Any, network: FakeNetwork, outcome: Any, code: int, after: float
) -> None:
    network.add(None, V4, outcome=outcome, after=after)
    start = time.monotonic()
    with pytest.raises(ConnectError) as caught:
        await network.dialer().connect((V4, 80))
    assert caught.value.errno == code
    assert time.monotonic() - start > after / 2


@pytest.mark.anyio
@pytest.mark.parametrize("outcome", [Outcome("ENETUNREACH", at_once=True), Outcome("EPERM", 0.0)])
async def test_it_fails_at_once(
    anyio_backend: Any, network: FakeNetwork, outcome: Outcome
) -> None:
    network.add(None, V6, outcome=outcome)
    with pytest.raises(ConnectError) as caught:
        await network.dialer().connect((V6, 80))
    assert caught.value.errno == outcome.errno
    assert caught.value.attempts[0].sockaddr == (V6, 80, 0, 0)


@pytest.mark.anyio
async def test_it_hangs_up(anyio_backend: Any, network: FakeNetwork) -> None:
    host = network.add(None, V4, outcome="closes", after=0.002)
    with await network.dialer().connect((V4, 80)) as sock:
        await anyio.wait_readable(sock)
        with contextlib.suppress(ConnectionResetError):  # a connection of uvloop's is reset
            assert sock.recv(9) == b""
    assert_nobody_waits(host)


@pytest.mark.anyio
async def test_nothing_is_there_that_was_not_added(
    anyio_backend: Any, network: FakeNetwork
) -> None:
    network.add("db.example", V4, port=5432)
    network.add(None, V4, port=5433)
    for address, code in {
        f"{V4}:80": errno.ECONNREFUSED,
        "192.0.2.2:5432": errno.ENETUNREACH,
        "127.0.0.1:5432": errno.ENETUNREACH,
        f"[{V6}]:5432": errno.ENETUNREACH,
        "unix:/run/db.sock": errno.ENOENT,
        "other.example:5432": socket.EAI_NONAME,
    }.items():
        with pytest.raises(ConnectError) as caught:
            await network.dialer().connect(address)
        assert caught.value.errno == code, address
    (await network.dialer().connect("DB.example.:5432")).close()
    (await network.dialer().connect((V4, 5433))).close()
    assert [lookup.name for lookup in network.lookups] == ["other.example", "DB.example."]
    assert network.lookups[0].port == 5432


@pytest.mark.anyio
async def test_a_port_of_its_own_comes_before_all_ports(
    anyio_backend: Any, network: FakeNetwork
) -> None:
    network.add(None, V4, outcome="refused")
    network.add(None, V4, port=443)
    (await network.dialer().connect((V4, 443))).close()
    with pytest.raises(ConnectionRefusedError):
        await network.dialer().connect((V4, 80))


@pytest.mark.anyio
async def test_lookups_fail(anyio_backend: Any, network: FakeNetwork) -> None:
    network.add("db.example", V4)
    network.resolves(
        "db.example",
        after=0.002,
        outcome=["server failure", "no such name", socket.EAI_FAIL, "answers"],
    )
    network.resolves("empty.example", ipv4=0.001)
    codes = [socket.EAI_AGAIN, socket.EAI_NONAME, socket.EAI_FAIL]
    for code in codes:
        with pytest.raises(ResolveError) as caught:
            await network.dialer().connect("db.example:80")
        assert caught.value.errno == code
    (await network.dialer().connect("db.example:80")).close()
    with pytest.raises(ResolveError) as caught:
        await network.dialer().connect("empty.example:80")
    assert caught.value.errno == socket.EAI_NODATA


@pytest.mark.anyio
async def test_one_family_alone(anyio_backend: Any, network: FakeNetwork) -> None:
    network.add("db.example", V4)
    network.resolves("db.example", ipv6=0.001, ipv4=0.002)
    with await network.dialer().connect("db.example:80") as sock:
        assert sock.family == socket.AF_INET
    with pytest.raises(ResolveError):
        await network.dialer(family=socket.AF_INET6).connect("db.example:80")


@pytest.mark.anyio
async def test_datagrams(anyio_backend: Any, network: FakeNetwork) -> None:
    host = network.add("dns.example", V6, outcome=["silent", "ENETUNREACH", "connects"], after=5)
    with await network.dialer().connect(UDPAddress("dns.example", 53)) as sock:
        assert sock.type == socket.SOCK_DGRAM
        assert sock.send(b"anybody?") == 8
        assert_nobody_waits(host)
    with pytest.raises(ConnectError) as caught:
        await network.dialer().connect(UDPAddress("dns.example", 53))
    assert caught.value.errno == errno.ENETUNREACH
    with await network.dialer().connect(UDPAddress("dns.example", 53)) as sock:
        far = host.accept()
        sock.send(b"one")
        sock.send(b"two")
        with far:
            assert [far.recv(9), far.recv(9)] == [b"one", b"two"]


@pytest.mark.anyio
async def test_what_a_host_does_with_a_connection(
    anyio_backend: Any, network: FakeNetwork
) -> None:
    def greet(far: socket.socket) -> None:
        with far:
            far.send(b"220 mail.example\r\n")

    def fail(far: socket.socket) -> None:
        far.close()
        raise ZeroDivisionError("it has failed")

    host = network.add(None, V4, port=25, on_connection=greet, after=0.001)
    with await network.dialer().connect((V4, 25)) as sock:
        await anyio.wait_readable(sock)
        assert sock.recv(99) == b"220 mail.example\r\n"
    assert_nobody_waits(host)
    network.add(None, V4, port=26, on_connection=fail)
    with pytest.warns(RuntimeWarning, match="on_connection.*it has failed"):
        (await network.dialer().connect((V4, 26))).close()

    def end(far: socket.socket) -> None:
        far.close()
        pytest.fail("what it sent is wrong")

    network.add(None, V4, port=27, on_connection=end, after=0.001)
    with pytest.warns(RuntimeWarning, match="on_connection.*Failed: what it sent is wrong"):
        (await network.dialer().connect((V4, 27))).close()

    def stop(far: socket.socket) -> None:
        far.close()
        raise SystemExit(3)

    network.add(None, V4, port=28, on_connection=stop)
    with pytest.raises(SystemExit):
        await network.dialer().connect((V4, 28))


@pytest.mark.anyio
async def test_options_and_the_local_address_are_in_the_journal(
    anyio_backend: Any, network: FakeNetwork
) -> None:
    network.add("db.example", V6, V4, after=0.001)
    dialer = network.dialer(
        local_address=["192.0.2.7", "[2001:db8::7]:4000"],
        keepalive=Keepalive(idle=30, interval=5, count=3),
        tos=8,
        mark=2**31,
        interface="eth9",
    )
    network.has("192.0.2.7", "2001:db8::7", interface="eth9")
    with await dialer.connect("db.example:80") as sock:
        assert sock.getsockname() == ("2001:db8::7", 4000, 0, 0)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    with await dialer.replace(family=socket.AF_INET).connect("db.example:80") as sock:
        assert sock.getsockname()[0] == "192.0.2.7"
        assert sock.getsockname()[1] != 0
    six, four = network.attempts
    assert six.local_address == ("2001:db8::7", 4000, 0, 0)
    assert four.option(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert four.option(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
    assert four.option(socket.SOL_SOCKET, socket.SO_BINDTODEVICE) == struct.unpack("i", b"eth9")[0]
    assert four.options[socket.SOL_SOCKET, socket.SO_MARK] == struct.pack("=I", 2**31)
    assert four.option(socket.SOL_SOCKET, socket.SO_LINGER) is None


@pytest.mark.anyio
async def test_a_connection_that_was_closed_can_still_be_taken(
    anyio_backend: Any, network: FakeNetwork
) -> None:
    host = network.add(None, V4)
    with await network.dialer().connect((V4, 80)) as sock:
        sock.send(b"the last words")
    with host.accept() as far:
        await anyio.wait_readable(far)
        assert far.recv(99) == b"the last words"


@pytest.mark.anyio
async def test_one_that_was_aborted_cannot(anyio_backend: Any, network: FakeNetwork) -> None:
    host = network.add(None, V4)

    async def fail(sock: socket.socket) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "not this one")

    with pytest.raises(ConnectError):
        await network.dialer().connect((V4, 80), handshake=fail)
    with await network.dialer().connect((V4, 80)) as sock, host.accept() as far:
        sock.send(b"this one")
        await anyio.wait_readable(far)
        assert far.recv(99) == b"this one"


def test_what_is_not_taken_is_closed_with_the_network() -> None:
    before = open_descriptors()
    for close in (FakeNetwork.close, None):
        network = FakeNetwork()
        host = network.add(None, V4)

        async def main(network: FakeNetwork) -> None:
            (await network.dialer().connect((V4, 80))).close()

        asyncio.run(main(network))
        assert len(open_descriptors() - before) == 1
        if close is not None:
            close(network)
            assert_nobody_waits(host)
        del network
        gc.collect()
        assert open_descriptors() == before
        assert_nobody_waits(host)


# The sockets


def test_a_socket_is_like_one_of_the_system(network: FakeNetwork) -> None:
    host = network.add(None, V4)
    with network.socket_factory(TCP) as sock:
        assert sock.gettimeout() == 0
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
        assert sock.get_inheritable() is False
        assert sock.getsockname() == ("0.0.0.0", 0)
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()
        with pytest.raises(OSError):  # noqa: PT011 - what it is depends on the platform
            sock.send(b"to whom?")
        assert sock.connect_ex((V4, 80)) == errno.EINPROGRESS
        assert sock.get_inheritable() is False
        assert sock.getpeername() == (V4, 80)
        assert sock.connect_ex((V4, 80)) == 0  # Linux has not told anybody yet
        assert sock.connect_ex((V4, 80)) == errno.EISCONN
        with pytest.raises(OSError, match="already connected"):
            sock.connect((V4, 80))
        with sock.dup() as other:
            assert other.getpeername() == (V4, 80)
        with host.accept() as far, sock.dup() as other:
            other.send(b"by the other")
            assert far.recv(99) == b"by the other"
    assert sock.connect_ex((V4, 80)) == errno.EBADF
    for call in (sock.getpeername, sock.getsockname):
        with pytest.raises(OSError, match="Bad file"):
            call()
    sock.close()


def test_connect_says_what_connect_ex_does(network: FakeNetwork) -> None:
    network.add(None, V4, outcome=[Outcome("connects", at_once=True)])
    with network.socket_factory(TCP) as sock:
        sock.connect((V4, 80))
    assert [attempt.address for attempt in network.attempts] == [f"{V4}:80"]
    with network.socket_factory(TCP6) as sock, pytest.raises(OSError, match="unreachable"):
        sock.connect((V6, 80, 0, 0))


def test_an_attempt_that_has_failed_can_be_followed_by_another(network: FakeNetwork) -> None:
    network.add(None, V6, outcome=["refused", "connects"])
    with network.socket_factory(TCP6) as sock:
        assert sock.connect_ex((V6, 80)) == errno.EINPROGRESS
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert sock.connect_ex((V6, 80)) == errno.ECONNABORTED  # Linux has to tell something
        assert sock.connect_ex((V6, 80)) == errno.EINPROGRESS
        assert sock.getpeername() == (V6, 80, 0, 0)


def test_options_are_remembered(network: FakeNetwork) -> None:
    with network.socket_factory(TCP) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        assert len(sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)) == 8
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        network.has(interface="fake9")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"fake9")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno\0")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 4) == b"reno"
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b"fake9\0"


def test_what_takes_time_needs_a_loop(network: FakeNetwork) -> None:
    network.add(None, V4, after=1)
    with network.socket_factory(TCP) as sock, pytest.raises(RuntimeError, match="no running"):
        sock.connect_ex((V4, 80))


@pytest.mark.anyio
async def test_an_attempt_that_is_under_way(anyio_backend: Any, network: FakeNetwork) -> None:
    network.add(None, V4, after=0.005)
    with network.socket_factory(TCP) as sock:
        assert sock.connect_ex((V4, 80)) == errno.EINPROGRESS
        assert sock.connect_ex((V4, 80)) == errno.EALREADY
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()
        await anyio.wait_writable(sock)
        assert sock.getpeername() == (V4, 80)


@pytest.mark.anyio
@pytest.mark.parametrize("end", ["close", "detach"])
async def test_no_timer_outlives_its_socket(
    anyio_backend: Any, network: FakeNetwork, end: str
) -> None:
    host = network.add(None, V4, after=0.002)
    sock = network.socket_factory(TCP)
    sock.connect_ex((V4, 80))
    if end == "detach":
        socket.close(sock.detach())
    sock.close()
    other = network.socket_factory(TCP)
    with other:
        other.connect_ex((V4, 80))
        await anyio.wait_writable(other)
        host.accept().close()
    assert_nobody_waits(host)


@pytest.mark.anyio
async def test_a_socket_that_was_forgotten(anyio_backend: Any, network: FakeNetwork) -> None:
    host = network.add(None, V4, after=0.002)
    sock = network.socket_factory(TCP)
    sock.connect_ex((V4, 80))
    with pytest.warns(ResourceWarning, match="unclosed"):
        del sock
    with anyio.fail_after(60):
        while True:
            with contextlib.suppress(BlockingIOError):
                host.accept().close()
                break
            await anyio.sleep(0.001)


def test_a_file_keeps_its_socket_open(network: FakeNetwork) -> None:
    host = network.add(None, V4)
    sock = network.socket_factory(TCP)
    sock.connect_ex((V4, 80))
    sock.setblocking(True)
    with sock.makefile("rb") as file, host.accept() as far:
        sock.close()
        far.send(b"a line\n")
        assert file.readline() == b"a line\n"
    assert sock.fileno() < 0


def test_somebody_else_is_quicker(monkeypatch: Any) -> None:
    """To connect to the port that uvloop's connections are made by."""
    with socket.socket() as intruder:
        intruder.setblocking(False)

        class Crowded(socket.socket):
            def listen(self, *_: Any) -> None:
                super().listen()
                intruder.connect_ex(self.getsockname())

        monkeypatch.setattr(socket, "socket", Crowded)
        with pytest.raises(ConnectionAbortedError, match="another process"):
            pairs._tcp_pair()
        monkeypatch.undo()


def test_a_timer_that_is_due_when_it_is_cancelled() -> None:
    """Under trio its task is on its way then, and trio shuffles what is due."""

    async def main() -> bool:
        called: list[None] = []
        cancel = call_later(1, lambda: called.append(None))
        await trio.sleep_until(trio.current_time() + 1)
        before = bool(called)
        cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert bool(called) == before
        return before

    orders = {VirtualClock().run(main, backend="trio") for _ in range(60)}
    assert orders == {True, False}


def test_a_socket_may_outlive_its_loop(network: FakeNetwork) -> None:
    network.add(None, V4, after=60)

    async def main() -> socket.socket:
        sock = network.socket_factory(TCP)
        sock.connect_ex((V4, 80))
        return sock

    for sock in (asyncio.run(main()), uvloop.run(main()), trio.run(main)):
        sock.close()


@pytest.mark.parametrize("sockaddr", ["path", (V4,), (V4, 80, 0), (V4, 80, 0, 0, 0)])
def test_nonsense_is_no_address(network: FakeNetwork, sockaddr: Any) -> None:
    with network.socket_factory(TCP) as sock, pytest.raises(TypeError, match="host, port"):
        sock.connect_ex(sockaddr)


def test_nothing_is_looked_up(network: FakeNetwork) -> None:
    with network.socket_factory(TCP) as sock:
        for call in (sock.connect_ex, sock.connect, sock.bind):
            with pytest.raises(socket.gaierror):
                call(("localhost", 80))
    unix = UnixAddress("/x").endpoint
    with network.socket_factory(unix) as sock:
        sock.bind("/run/own.sock")
        assert sock.getsockname() == "/run/own.sock"
        with pytest.raises(TypeError, match="a str or bytes"):
            sock.connect((V4, 80))


@pytest.mark.anyio
async def test_vsock_has_no_fake(anyio_backend: Any, network: FakeNetwork) -> None:
    with pytest.raises(ConnectError) as caught:
        await network.dialer().connect(VsockAddress(2, 1))
    assert caught.value.errno == errno.EAFNOSUPPORT


# Nothing leaves


class Ear:
    """Hears what is done with sockets, while somebody listens; a hook cannot be removed."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] | None = None

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.heard is not None and event.startswith("socket.") and event != "socket.__new__":
            self.heard.append((event, *arguments[1:]))


@functools.cache
def ear() -> Ear:
    ear = Ear()
    sys.addaudithook(ear)
    return ear


@pytest.mark.anyio
async def test_no_real_connect_happens(
    anyio_backend: Any, network: FakeNetwork, monkeypatch: Any, request: Any
) -> None:
    """But within the kernel, for a loop that takes nothing but TCP."""
    network.add("db.example", V6, outcome="refused", after=0.001)
    network.add("db.example", V4, after=0.001)
    heard: list[tuple[Any, ...]] = []
    monkeypatch.setattr(ear(), "heard", heard)
    network.has("192.0.2.7", "2001:db8::7")
    with await network.dialer(local_address=["192.0.2.7", "2001:db8::7"]).connect("db.example:1"):
        pass
    (await network.dialer().connect(UDPAddress("db.example", 1))).close()
    with socket.socket() as real:
        real.bind(("127.0.0.1", 0))  # it does hear
    assert heard.pop() == ("socket.bind", ("127.0.0.1", 0))
    if "uvloop" not in request.node.name:
        assert not heard
    else:
        assert {event for event, _ in heard} == {"socket.connect", "socket.bind"}
        assert {address[0] for _, address in heard} == {"127.0.0.1"}


# Adapters


class Keeper(asyncio.Protocol):
    def __init__(self) -> None:
        self.heard = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.heard.set_result(data)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
async def test_transports(anyio_backend: Any, network: FakeNetwork) -> None:
    host = network.add("db.example", V4, after=0.001)
    transport, protocol = await create_connection(
        Keeper, "db.example", 80, dialer=network.dialer()
    )
    with host.accept() as far:
        transport.write(b"query")
        await anyio.wait_readable(far)
        assert far.recv(9) == b"query"
        far.send(b"answer")
        assert await protocol.heard == b"answer"
        transport.close()
        await anyio.wait_readable(far)
        assert far.recv(9) == b""


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
async def test_streams_of_asyncio(anyio_backend: Any, network: FakeNetwork) -> None:
    host = network.add("db.example", V6, V4, after=0.001)
    reader, writer = await open_connection("db.example", 80, dialer=network.dialer(nodelay=False))
    with host.accept() as far:
        far.send(b"one line\n")
        assert await reader.readline() == b"one line\n"
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
async def test_tls(anyio_backend: Any, network: FakeNetwork) -> None:
    certificates = Certificates()
    context = certificates.server()
    loop = asyncio.get_running_loop()
    serving: list[asyncio.Task[Any]] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    def protocol() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), echo)

    def serve(far: socket.socket) -> None:
        accepting = loop.connect_accepted_socket(protocol, far, ssl=context)
        serving.append(loop.create_task(accepting))

    network.add(NAME, V6, outcome="refused", after=0.001)
    network.add(NAME, V4, on_connection=serve, after=0.001)
    reader, writer = await open_connection(
        NAME, 443, ssl=certificates.client(), dialer=network.dialer()
    )
    writer.write(b"there and back\n")
    assert await reader.readline() == b"there and back\n"
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    await asyncio.gather(*serving)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
async def test_streams_of_anyio(anyio_backend: Any, network: FakeNetwork) -> None:
    host = network.add("db.example", V4, after=0.001)
    async with await open_stream("db.example", 80, dialer=network.dialer()) as stream:
        with host.accept() as far:
            far.send(b"hello")
            assert await stream.receive() == b"hello"
            await stream.send(b"hello to you")
            await anyio.wait_readable(far)
            assert far.recv(99) == b"hello to you"


@pytest.mark.parametrize("open", [open_trio_stream, open_stream])
def test_streams_of_trio(network: FakeNetwork, open: Any) -> None:
    host = network.add("db.example", V4, after=0.001)

    async def main() -> None:
        async with await open("db.example", 80, dialer=network.dialer()) as stream:
            with host.accept() as far:
                far.send(b"hello")
                receive = getattr(stream, "receive_some", None) or stream.receive
                assert await receive() == b"hello"

    trio.run(main)


def test_tls_streams_of_trio(network: FakeNetwork) -> None:
    certificates = Certificates()
    network.add(NAME, V6, outcome="refused", after=0.001)

    async def echo(far: socket.socket) -> None:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(far))
        async with trio.SSLStream(stream, certificates.server(), server_side=True) as tls:
            await tls.send_all(await tls.receive_some())

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            serve = partial(nursery.start_soon, echo)
            network.add(NAME, V4, on_connection=serve, after=0.001)
            stream = await open_trio_stream(
                NAME, 443, ssl=certificates.client(), dialer=network.dialer()
            )
            async with stream:
                await stream.send_all(b"there and back")
                assert await stream.receive_some() == b"there and back"

    trio.run(main)


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.set_result(data)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
async def test_datagram_transports(anyio_backend: Any, network: FakeNetwork) -> None:
    host = network.add("dns.example", V4)
    transport, protocol = await create_datagram_endpoint(
        Datagrams, remote_addr=("dns.example", 53), dialer=network.dialer()
    )
    with host.accept() as far:
        transport.sendto(b"question")
        await anyio.wait_readable(far)
        assert far.recv(99) == b"question"
        far.send(b"answer")
        assert await protocol.heard == b"answer"
    transport.close()
    await anyio.sleep(0)


# Cancelled at every step


class FakeScenario(Scenario):
    """A dial over a fake network, of which nothing may be left."""

    def renew(self) -> None:
        self.network = FakeNetwork()
        self.hosts: list[FakeHost] = []
        self.prepare()

    def prepare(self) -> None:
        raise NotImplementedError

    def start(self) -> Any:
        return self.network.dialer(attempt_delay=0.01).connect("db.example:80", timeout=0.02)

    def check(self, won: Any) -> None:
        held = self.network._held
        assert len(held) == (won is not None)
        if won is not None:
            for host in self.hosts:
                with contextlib.suppress(BlockingIOError):
                    host.accept().close()
            assert not self.network._held


class Connects(FakeScenario):
    def prepare(self) -> None:
        self.network.resolves("db.example", after=0.001)
        self.hosts.append(self.network.add("db.example", V6, outcome="refused", after=0.001))
        self.hosts.append(self.network.add("db.example", V4, after=0.001))


class IsSilent(FakeScenario):
    def prepare(self) -> None:
        self.network.resolves("db.example", ipv4=0.001, ipv6=0.002)
        self.network.add("db.example", V6, V4, outcome="silent")


class ComesAtOnce(FakeScenario):
    def prepare(self) -> None:
        self.network.add("db.example", V6, outcome="no local port")
        self.hosts.append(self.network.add("db.example", V4))


SCENARIOS = pytest.mark.parametrize("scenario", [Connects, IsSilent, ComesAtOnce])


@SCENARIOS
@pytest.mark.parametrize("new_loop", LOOPS_TO_STEP)
def test_it_is_cancelled_at_every_step(
    new_loop: Any, scenario: Any, monkeypatch: Any, tmp_path: Any
) -> None:
    with contextlib.ExitStack() as stack:
        cancel_at_every_step(new_loop, scenario(stack, monkeypatch, tmp_path))


@SCENARIOS
def test_it_is_cancelled_at_every_step_of_trio(
    scenario: Any, monkeypatch: Any, tmp_path: Any
) -> None:
    with contextlib.ExitStack() as stack:
        cancel_at_every_step_of_trio(scenario(stack, monkeypatch, tmp_path))


# Arguments


@pytest.mark.parametrize(
    ("error", "said", "arguments"),
    [
        (ValueError, "must have an address", ()),
        (ValueError, "must be an IP address, not 'db.example'", ("db.example",)),
        (ValueError, "must be an IP address", ("fe80::1%eth0",)),
        (TypeError, "host must be a str", (4,)),
        (ValueError, "neither a name nor a port", (UnixAddress("/x"),)),
    ],
)
def test_addresses_are_checked(
    network: FakeNetwork, error: Any, said: str, arguments: Any
) -> None:
    with pytest.raises(error, match=said):
        network.add("db.example", *arguments)


@pytest.mark.parametrize(
    ("error", "said", "options"),
    [
        (ValueError, "port must be from 0", {"port": 65536}),
        (TypeError, "port must be an int", {"port": "80"}),
        (ValueError, "one of 'connects', 'closes'", {"outcome": "explodes"}),
        (ValueError, "the errno of a failure, not 99999", {"outcome": 99999}),
        (ValueError, "not 'errorcode'", {"outcome": "errorcode"}),
        (ValueError, "the errno of a failure, not 'EINPROGRESS'", {"outcome": "EINPROGRESS"}),
        (ValueError, "the errno of a failure, not 'EISCONN'", {"outcome": ["EISCONN"]}),
        (TypeError, "a word or an errno, not True", {"outcome": True}),
        (TypeError, "a word or an errno, not None", {"outcome": [None]}),
        (ValueError, "must not be empty", {"outcome": []}),
        (ValueError, "must not be empty", {"outcome": iter([])}),
        (ValueError, "after must be from 0", {"after": -1}),
        (ValueError, "after must be from 0", {"after": math.nan}),
        (TypeError, "after must be a number", {"after": "1"}),
        (TypeError, "after must be a number", {"after": True}),
        (TypeError, "on_connection must be callable", {"on_connection": 1}),
        (TypeError, "on_connection must not be an async function", {"on_connection": anyio.sleep}),
    ],
)
def test_options_are_checked(
    network: FakeNetwork, error: Any, said: str, options: dict[str, Any]
) -> None:
    with pytest.raises(error, match=said):
        network.add(None, V4, **options)


@pytest.mark.parametrize(
    "arguments", [("refused", 1.0, True), ("no local port", 1.0), ("silent", 0.0, True)]
)
def test_what_is_said_at_once_takes_no_time(arguments: Any) -> None:
    with pytest.raises(ValueError, match="cannot take time"):
        Outcome(*arguments)


def test_whether_it_is_said_at_once_is_a_bool() -> None:
    with pytest.raises(TypeError, match="at_once must be a bool, not 'no'"):
        Outcome("refused", at_once="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", ["silent", "itself", Outcome("connects", 1.0)])
def test_a_unix_socket_has_to_answer(network: FakeNetwork, outcome: Any) -> None:
    with pytest.raises(ValueError, match="at once or not at all"):
        network.add(None, UnixAddress("/run/db.sock"), outcome=outcome)


@pytest.mark.parametrize(
    ("error", "said", "options"),
    [
        (ValueError, "the outcome of a lookup must be one of", {"outcome": "refused"}),
        (TypeError, "a word or a code of getaddrinfo\\(3\\), not None", {"outcome": [None]}),
        (TypeError, "a word or a code of getaddrinfo\\(3\\), not False", {"outcome": False}),
        (ValueError, "ipv6 must be from 0", {"ipv6": -1}),
        (TypeError, "ipv4 must be a number", {"ipv4": "1"}),
        (ValueError, "after must be from 0", {"after": -1}),
    ],
)
def test_lookups_are_checked(
    network: FakeNetwork, error: Any, said: str, options: dict[str, Any]
) -> None:
    with pytest.raises(error, match=said):
        network.resolves("db.example", **options)


def test_an_iterator_may_be_endless(network: FakeNetwork) -> None:
    network.add(None, V4, outcome=itertools.cycle(["ENETUNREACH", "EACCES"]), after=0)
    for _ in range(3):
        for code in (errno.ENETUNREACH, errno.EACCES):
            with network.socket_factory(TCP) as sock:
                sock.connect_ex((V4, 1))
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == code


def test_a_dialer_may_have_another_resolver(network: FakeNetwork) -> None:
    other = FakeNetwork()
    dialer = network.dialer(resolver=other.resolver, attempt_delay=1)
    assert isinstance(dialer, Dialer)
    assert dialer.resolver is other.resolver
    assert dialer.socket_factory == network.socket_factory


def test_the_repr() -> None:
    network = FakeNetwork()
    network.add("a.example", "192.0.2.1")
    assert repr(network) == "<FakeNetwork hosts: 1, asked so far: 0>"
    assert repr(network.resolver) == "<names of a FakeNetwork: a.example>"
