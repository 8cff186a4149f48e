"""Local ports that run out, bound to a local address or not, and ports that meet themselves.

All of it in one namespace: what counts is who is bound where, not the way.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.listeners import LOOPBACK, listening, refusing
from support.netns import in_new_network, set_port_range

from aconnect import ConnectError, Dialer, SocketOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aconnect import Endpoint

pytestmark = [pytest.mark.lab, pytest.mark.root]

LONG = 30  # seconds; what takes as long has failed
FIRST, LAST = 20000, 20003
RANGE = set(range(FIRST, LAST + 1))
"""Below what the kernel picks from before the range is set, so no listener is in it."""

LOCAL = {4: "127.0.0.9", 6: "::1"}
IP_LOCAL_PORT_RANGE = 51  # linux/in.h, since Linux 6.3; Python has no name for it
RESET = struct.pack("ii", 1, 0)


@contextmanager
def destinations(family: int, count: int) -> Iterator[list[Any]]:
    """The addresses of listeners, all outside of the range that is set then."""
    with ExitStack() as stack:
        hosts = (
            [f"127.0.0.{1 + each}" for each in range(count)] if family == 4 else ["::1"] * count
        )
        yield [stack.enter_context(listening(host)).getsockname() for host in hosts]


async def fill(stack: ExitStack, dialer: Dialer, address: Any) -> tuple[set[int], ConnectError]:
    """Connect to ``address`` until that fails; which local ports there were, and the failure."""
    used: set[int] = set()
    while True:
        try:
            sock = stack.enter_context(await dialer.connect(address, timeout=LONG))
        except ConnectError as error:
            return used, error
        port = sock.getsockname()[1]
        assert port not in used
        used.add(port)


@pytest.fixture
def run(loop: Any) -> Any:
    """Run an async function on a loop, in a new network."""
    return lambda main: in_new_network(lambda: loop(main))


def reset(sock: socket.socket) -> None:
    """Close a connection so that nothing of it lingers."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


class BoundBefore:
    """A socket factory that binds as anybody would, without IP_BIND_ADDRESS_NO_PORT."""

    def __init__(self, host: str) -> None:
        self.host = host

    def __call__(self, endpoint: Endpoint) -> socket.socket:
        sock = socket.socket(endpoint.family, endpoint.type, endpoint.proto)
        try:
            sock.bind((self.host, 0))
        except BaseException:
            sock.close()
            raise
        return sock


@pytest.mark.parametrize("family", [4, 6])
def test_few_local_ports_reach_many_destinations(run: Any, family: int) -> None:
    """With a local address each destination has all the ports: the kernel picks at connect()."""

    async def main() -> None:
        with destinations(family, 5) as addresses, ExitStack() as stack:
            set_port_range(FIRST, LAST)
            dialer = Dialer(local_address=LOCAL[family])
            for address in addresses:
                used, error = await fill(stack, dialer, address)
                assert used == RANGE
                assert error.errno == errno.EADDRNOTAVAIL
                assert error.transient
                (record,) = error.attempts
                assert (record.outcome, record.errno) == ("failed", errno.EADDRNOTAVAIL)
                assert record.sockaddr == address
                assert record.local_address is None or record.local_address[1] == 0
                assert "no ephemeral port is left" in str(error)

    run(main)


@pytest.mark.parametrize("family", [4, 6])
def test_bound_without_the_option_the_ports_serve_one_destination(run: Any, family: int) -> None:
    """What IP_BIND_ADDRESS_NO_PORT is for: bind() alone takes the port from all destinations."""

    async def main() -> None:
        with destinations(family, 3) as (first, *others), ExitStack() as stack:
            set_port_range(FIRST, LAST)
            dialer = Dialer(socket_factory=BoundBefore(LOCAL[family]))
            used, error = await fill(stack, dialer, first)
            assert used == RANGE
            assert error.errno == errno.EADDRINUSE
            for address in others:
                used, error = await fill(stack, dialer, address)
                assert used == set()
                assert error.errno == errno.EADDRINUSE
                assert error.transient
                assert error.attempts[0].local_address is None

    run(main)


def test_another_address_wins_when_the_ports_for_one_are_used_up(run: Any) -> None:
    async def main() -> None:
        with destinations(4, 2) as (full, other), ExitStack() as stack:
            set_port_range(FIRST, LAST)
            reports: list[Any] = []
            dialer = Dialer(local_address=LOCAL[4], on_report=reports.append)
            await fill(stack, dialer, full)
            both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in (full, other)]
            stack.enter_context(await dialer.connect(both, timeout=LONG))
            first, second = reports[-1].attempts
            assert (first.outcome, first.errno) == ("failed", errno.EADDRNOTAVAIL)
            assert first.closed is not None
            assert second.won
            assert second.local_address[0] == LOCAL[4]
            assert second.local_address[1] in RANGE
            assert second.start >= first.end

    run(main)


def test_a_port_that_is_free_again_is_used(run: Any) -> None:
    """What the error calls transient is."""

    async def main() -> None:
        with destinations(4, 1) as (address,), ExitStack() as stack:
            set_port_range(FIRST, LAST)
            dialer = Dialer(local_address=LOCAL[4])
            sock = await dialer.connect(address, timeout=LONG)
            port = sock.getsockname()[1]
            used, _ = await fill(stack, dialer, address)
            assert used == RANGE - {port}
            reset(sock)
            used, _ = await fill(stack, dialer, address)
            assert used == {port}

    run(main)


def test_ports_in_time_wait_come_back(run: Any) -> None:
    """The connections are closed, their ports linger; on loopback that lasts for a second."""

    async def main() -> None:
        with listening() as listener, ExitStack() as stack:
            set_port_range(FIRST, LAST)
            dialer = Dialer()
            sockets = [await dialer.connect(listener.getsockname(), timeout=LONG) for _ in RANGE]
            before = time.monotonic()
            for sock in sockets:
                with sock, listener.accept()[0]:
                    sock.shutdown(socket.SHUT_WR)  # the first to end waits
            failures = 0
            while True:
                used, error = await fill(stack, dialer, listener.getsockname())
                assert error.errno == errno.EADDRNOTAVAIL
                assert error.transient
                if used:
                    break
                failures += 1
                await anyio.sleep(0.05)  # as who tries again does
            assert failures
            assert used <= RANGE
            # tcp_tw_reuse_delay; the kernel's clock for it has a resolution of milliseconds.
            assert time.monotonic() - before >= 0.9

    run(main)


def test_one_fixed_port_serves_one_connection_to_each_destination(run: Any) -> None:
    """It is bound before it connects, so two cannot be open; in a race they come one by one."""

    async def main() -> None:
        with destinations(4, 2) as addresses, refusing() as dead:
            reports: list[Any] = []
            dialer = Dialer(
                local_address=(LOCAL[4], FIRST), attempt_delay=0.01, on_report=reports.append
            )
            first = await dialer.connect(addresses[0], timeout=LONG)
            assert first.getsockname() == (LOCAL[4], FIRST)
            with pytest.raises(ConnectError) as caught:
                await dialer.connect(addresses[1], timeout=LONG)
            assert caught.value.errno == errno.EADDRINUSE
            assert f"local_address {LOCAL[4]}:{FIRST}" in caught.value.attempts[0].note
            reset(first)
            listed = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", a) for a in (dead, addresses[1])]
            second = await dialer.connect(listed, timeout=LONG)
            assert second.getsockname() == (LOCAL[4], FIRST)
            refused, won = reports[-1].attempts
            assert (refused.errno, won.won) == (errno.ECONNREFUSED, True)
            assert refused.local_address == won.local_address == (LOCAL[4], FIRST)
            assert refused.closed <= won.start
            reset(second)

    run(main)


def test_datagram_sockets_share_no_port_whatever_the_destination(run: Any) -> None:
    """UDP has no four-tuples: a port of a local address is taken for all destinations."""

    async def main() -> None:
        set_port_range(FIRST, LAST)
        with ExitStack() as stack:
            bound = Dialer(local_address=LOCAL[4])
            used, error = await fill(stack, bound, f"udp://{LOOPBACK}:9")
            assert used == RANGE
            for dialer in (bound, Dialer()):
                used, error = await fill(stack, dialer, "udp://127.0.0.2:9")
                assert used == set()  # not bound, it is bound to all local addresses
                assert error.errno == errno.EAGAIN
                assert isinstance(error, BlockingIOError)
                assert error.transient
                assert "no local port was free" in str(error)
            used, _ = await fill(stack, Dialer(local_address="127.0.0.10"), "udp://127.0.0.2:9")
            assert used == RANGE

    run(main)


@pytest.mark.skipif(
    tuple(map(int, os.uname().release.split(".")[:2])) < (6, 3),
    reason="Linux has IP_LOCAL_PORT_RANGE since 6.3",
)
def test_a_range_of_the_dialer_s_own(run: Any) -> None:
    """An option that must be set before bind(2), and so it is."""

    async def main() -> None:
        value = struct.pack("=I", LAST << 16 | FIRST)
        option = SocketOption(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, value)
        with destinations(4, 2) as addresses, ExitStack() as stack:
            # Before Linux 6.8 it only narrows the range of the network.
            set_port_range(FIRST, LAST + 1000)
            for dialer in (
                Dialer(socket_options=[option]),
                Dialer(socket_options=[option], local_address=LOCAL[4]),
            ):
                for address in addresses:
                    used, error = await fill(stack, dialer, address)
                    assert used == RANGE
                    assert error.errno == errno.EADDRNOTAVAIL

    run(main)


@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
@pytest.mark.parametrize("bound", [False, True])
def test_only_itself_to_connect_to(run: Any, host: str, bound: bool) -> None:
    async def main() -> None:
        with listening(host) as listener:
            set_port_range(FIRST, FIRST)
            dialer = Dialer(local_address=host) if bound else Dialer()
            with pytest.raises(ConnectionRefusedError) as caught:
                await dialer.connect((host, FIRST), timeout=LONG)
            error: Any = caught.value
            (record,) = error.attempts
            assert "connected to itself" in record.note
            assert record.local_address[:2] == record.sockaddr[:2] == (host, FIRST)
            with socket.socket(listener.family) as server:
                server.bind((host, FIRST))  # nothing of it lingers
            # In a race it is but one address that refuses.
            other = listener.getsockname()
            both = [
                (listener.family, socket.SOCK_STREAM, 6, "", a) for a in ((host, FIRST), other)
            ]
            with await dialer.connect(both, timeout=LONG) as sock:
                assert sock.getpeername() == other

    run(main)


def test_from_another_local_address_nobody_meets_himself(run: Any) -> None:
    """The same port at both ends, and two hosts: that is a plain refusal."""

    async def main() -> None:
        set_port_range(FIRST, FIRST)
        dialer = Dialer(local_address=LOCAL[4])
        with pytest.raises(ConnectionRefusedError) as caught:
            await dialer.connect((LOOPBACK, FIRST), timeout=LONG)
        error: Any = caught.value
        assert error.attempts[0].note == ""
        assert error.attempts[0].local_address == (LOCAL[4], FIRST)
        with socket.socket() as server:
            server.bind((LOOPBACK, FIRST))
            server.listen()
            # A port that a server has, on whatever address, is not picked at all.
            with pytest.raises(ConnectError) as failed:
                await dialer.connect((LOOPBACK, FIRST), timeout=LONG)
            assert failed.value.errno == errno.EADDRNOTAVAIL

    run(main)


def test_a_port_that_the_user_fixed_may_meet_itself(run: Any) -> None:
    """Both ends were asked for."""

    async def main() -> None:
        dialer = Dialer(local_address=(LOOPBACK, FIRST))
        sock = await dialer.connect((LOOPBACK, FIRST), timeout=LONG)
        assert sock.getsockname() == sock.getpeername() == (LOOPBACK, FIRST)
        reset(sock)

    run(main)


def test_whichever_port_is_picked_the_dead_server_refuses(run: Any) -> None:
    """In a range of a few ports, one of them the dead server's, some meet themselves."""

    async def main() -> None:
        set_port_range(FIRST, LAST)
        dialer = Dialer()
        for port in sorted(RANGE) * 5:
            with pytest.raises(ConnectionRefusedError):
                await dialer.connect((LOOPBACK, port), timeout=LONG)
            with socket.socket() as server:
                server.bind((LOOPBACK, port))

    run(main)
