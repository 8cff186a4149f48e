"""Hosts that go away, interfaces that go down, listeners that are full, peers that hang up."""

from __future__ import annotations

import errno
import socket
import struct
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import pytest
from lab.support import Lab

from aconnect import ConnectError, ConnectTimeout, Dialer, Report
from aconnect.trace import AttemptStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.support import Host

    from aconnect.trace import Event

pytestmark = [pytest.mark.lab, pytest.mark.root]

LONG = 30  # seconds; what takes as long has failed
RESET = struct.pack("ii", 1, 0)
FAMILIES = [pytest.param(4, id="v4"), pytest.param(6, id="v6")]

NO_NEIGHBOUR = 0.09
"""Three questions, 0.1 s apart, and then it is known that nobody answers.  Those that an earlier
dial began may count, and the kernel's clock is one of 4 ms or so: one is sure."""

SYN_INTERVAL = 0.99
"""A second passes between the first two SYNs; their clock is not ours."""


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        lab.wire(client, server)
        yield client, server


def ask_neighbours(client: Host) -> None:
    """Have it ask who has an address, as hosts do; quickly."""
    for states in (["all"], ["all", "nud", "permanent"]):
        client.ip("neighbour", "flush", *states)
    for family in ("ipv4", "ipv6"):
        client.sysctl(f"net/{family}/neigh/{client.device}/retrans_time_ms", 100)


def drop(host: Host, port: int) -> None:
    """Do not answer at a port."""
    host.nft(
        "table inet lab { chain input { type filter hook input priority 0;"
        f" tcp dport {port} drop; }}; }}"
    )


def results(*addresses: Any) -> list[Any]:
    """What getaddrinfo() would have returned."""
    families = (socket.AF_INET6 if ":" in each[0] else socket.AF_INET for each in addresses)
    return [
        (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", each)
        for family, each in zip(families, addresses, strict=True)
    ]


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


async def failure(dialer: Dialer, address: Any, timeout: float) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await dialer.connect(address, timeout=timeout)
    return caught.value


class Began:
    """A trace that keeps a report, and says when the first attempt has begun."""

    def __init__(self) -> None:
        self.report = Report()
        self._begun = anyio.Event()

    def __call__(self, event: Event) -> None:
        self.report(event)
        if isinstance(event, AttemptStarted):
            self._begun.set()

    async def wait(self) -> None:
        """Its SYN has been sent, and no other task has run since."""
        await self._begun.wait()


class Dialled(NamedTuple):
    """What a dial came to: a connected socket, or an error."""

    sock: Any
    error: Any
    report: Any


async def dial_while(
    happens: Callable[[], object], address: Any, timeout: float = LONG, **options: Any
) -> Dialled:
    """Dial, and have something happen as soon as the first attempt is under way."""
    began = Began()
    outcome: list[Any] = [None, None]

    async def dial() -> None:
        try:
            dialer = Dialer(trace=began, **options)
            outcome[0] = await dialer.connect(address, timeout=timeout)
        except ConnectError as error:
            outcome[1] = error

    async with anyio.create_task_group() as group:
        group.start_soon(dial)
        await began.wait()
        assert began.report.outcome == "running"
        happens()
    return Dialled(outcome[0], outcome[1], began.report)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_host_that_vanishes_while_another_is_tried(loop: Any, family: int) -> None:
    """The next address wins meanwhile; its neighbours find out, and the record says so."""
    with two_hosts() as (client, server), ExitStack() as stack:
        net, mask = ("10.99.1.", 32) if family == 4 else ("fd00:99:1::", 128)
        host = server.v4 if family == 4 else server.v6
        vanishing, staying = f"{net}11", f"{net}12"
        for each in (vanishing, staying):
            server.ip("address", "add", f"{each}/{mask}", "dev", server.device, "nodad")
            if family == 6:
                server.wait_for_address(each, server.device)
        listener = stack.enter_context(server.listen("::"))
        port = listener.getsockname()[1]
        mute = stack.enter_context(server.listen(host))
        drop(server, mute.getsockname()[1])
        silent, gone, last = (host, mute.getsockname()[1]), (vanishing, port), (staying, port)

        def vanish() -> None:
            server.ip("address", "delete", f"{vanishing}/{mask}", "dev", server.device)

        async def main() -> None:
            with await Dialer().connect(gone, timeout=LONG):
                pass  # it is there
            ask_neighbours(client)
            addresses = results(silent, gone, last)
            dialled = await dial_while(vanish, addresses, attempt_delay=0.1)
            with dialled.sock as sock:
                assert sock.getpeername()[:2] == last
            first, second, third = dialled.report.attempts
            assert first.outcome == "cancelled"
            # Or it is known already that nobody has the address.
            assert (second.outcome, second.errno) in (
                ("cancelled", None),
                ("failed", errno.EHOSTUNREACH),
            )
            assert third.won
            assert third.start >= 0.2

            ask_neighbours(client)
            error = await failure(Dialer(attempt_delay=0.1), results(silent, gone), 2.0)
            assert isinstance(error, ConnectTimeout)
            assert error.elapsed >= 2.0
            waited, told = error.attempts
            assert (waited.outcome, waited.errno) == ("timed out", None)
            assert (told.outcome, told.errno) == ("failed", errno.EHOSTUNREACH)
            assert told.end - told.start >= NO_NEIGHBOUR
            assert told.local_address is not None

            ask_neighbours(client)
            error = await failure(Dialer(), gone, LONG)
            assert error.errno == errno.EHOSTUNREACH
            assert error.transient
            assert error.elapsed >= NO_NEIGHBOUR

        client.run(main, loop)


def test_a_host_whose_link_goes_away(loop: Any) -> None:
    """What has begun waits for its deadline, as nobody tells it; the next is told at once."""
    with two_hosts() as (client, server), server.listen("::") as listener:
        port = listener.getsockname()[1]
        drop(server, port)

        async def main() -> None:
            both = results((server.v6, port), (server.v4, port))

            def unplug() -> None:
                server.ip("link", "delete", server.device)

            _, error, report = await dial_while(unplug, both, 1.0, attempt_delay=0.1)
            assert isinstance(error, ConnectTimeout)
            assert error.elapsed >= 1.0
            begun, told = error.attempts
            assert (begun.outcome, begun.errno) == ("timed out", None)
            assert begun.local_address is not None
            assert begun.end - begun.start >= 0.99
            assert (told.outcome, told.errno) == ("failed", errno.ENETUNREACH)
            assert told.local_address is None
            assert told.start - begun.start >= 0.0999
            assert report.outcome == "timed out"
            assert "no route leads to that network" in str(error)

            error = await failure(Dialer(), both, LONG)
            assert error.errno == errno.ENETUNREACH
            assert error.transient
            assert [each.errno for each in error.attempts] == [errno.ENETUNREACH] * 2

        client.run(main, loop)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_interface_goes_down_and_another_is_there(loop: Any, family: int) -> None:
    """The kernel says nothing of the attempt that is under way; the race does not need it to."""
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        near, spare = lab.wire(client, server), lab.wire(client, server)
        with server.listen("::") as listener:
            port = listener.getsockname()[1]
            first = (near.right.v4 if family == 4 else near.right.v6, port)
            second = (spare.right.v4 if family == 4 else spare.right.v6, port)
            # What comes by the first wire is not heard.
            server.nft(
                "table inet lab { chain input { type filter hook input priority 0;"
                f" iifname {near.right.device} tcp flags syn drop; }}; }}"
            )

            def unplug() -> None:
                client.ip("link", "set", near.left.device, "down")

            async def main() -> None:
                addresses = results(first, second)
                sock, _, report = await dial_while(unplug, addresses, attempt_delay=0.2)
                with sock:
                    assert sock.getpeername()[:2] == second
                lost, won = report.attempts
                assert lost.outcome == "cancelled"
                assert lost.local_address is not None
                assert lost.closed is not None
                assert won.won
                assert won.start >= 0.2
                # There is no way to the first any more.
                error = await failure(Dialer(), first, LONG)
                assert error.errno == errno.ENETUNREACH
                assert error.transient

            client.run(main, loop)


@pytest.mark.parametrize("side", ["client", "server"])
def test_an_interface_is_down_for_a_moment(loop: Any, side: str) -> None:
    """What is sent meanwhile is lost; the next SYN, a second after the first, connects."""
    with two_hosts() as (client, server), server.listen() as listener:
        host = client if side == "client" else server
        address = listener.getsockname()
        drop(server, address[1])
        up: list[float] = []

        def down_and_up() -> None:
            host.ip("link", "set", host.device, "down")
            server.nft("flush ruleset")
            host.ip("link", "set", host.device, "up")
            up.append(time.monotonic())

        async def main() -> None:
            sock, _, report = await dial_while(down_and_up, address)
            with sock:
                assert sock.getpeername() == address
            (attempt,) = report.attempts
            assert attempt.won
            assert attempt.end >= SYN_INTERVAL
            assert report.events[-1].time >= up[0]

        client.run(main, loop)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_full_accept_queue(loop: Any, family: int) -> None:
    """listen(n) takes n + 1; the next waits until one is accepted, and its next SYN comes."""
    with two_hosts() as (client, server), ExitStack() as stack:
        host = server.v4 if family == 4 else server.v6
        full = stack.enter_context(server.listen(host, backlog=2))
        other = stack.enter_context(server.listen(host, backlog=2))
        address, elsewhere = full.getsockname()[:2], other.getsockname()[:2]

        async def main() -> None:
            for _ in range(3):
                stack.enter_context(await Dialer().connect(address, timeout=LONG))
            # Nobody accepts: the deadline says so, and in a race the next address has it.
            error = await failure(Dialer(), address, 0.3)
            assert isinstance(error, ConnectTimeout)
            assert error.elapsed >= 0.3
            assert error.attempts[0].local_address is not None
            raced = Report()
            dialer = Dialer(attempt_delay=0.1, trace=raced)
            with await dialer.connect(results(address, elsewhere), timeout=LONG) as sock:
                assert sock.getpeername()[:2] == elsewhere
            assert [each.outcome for each in raced.attempts] == ["cancelled", "connected"]
            assert raced.attempts[1].start >= 0.1

            accepted: list[float] = []

            def accept() -> None:
                full.accept()[0].close()
                accepted.append(time.monotonic())

            sock, _, report = await dial_while(accept, address)
            stack.enter_context(sock)
            (attempt,) = report.attempts
            assert attempt.won
            assert attempt.end >= SYN_INTERVAL
            assert report.events[-1].time >= accepted[0]

        client.run(main, loop)


def test_a_peer_that_hangs_up_at_once(loop: Any) -> None:
    """The connect was good; the first read tells."""
    with two_hosts() as (client, server), ExitStack() as stack:
        hosts = server.v4, server.v6
        listeners = [stack.enter_context(server.listen(host)) for host in hosts]

        async def main() -> None:
            for listener in listeners:
                address = listener.getsockname()
                report = Report()
                with await Dialer(trace=report).connect(address, timeout=LONG) as sock:
                    listener.accept()[0].close()
                    assert sock.recv(1) == b""
                assert report.outcome == "connected"

                report = Report()
                with await Dialer(trace=report).connect(address, timeout=LONG) as sock:
                    reset(listener.accept()[0])
                    with pytest.raises(ConnectionResetError):
                        sock.recv(1)
                assert report.outcome == "connected"

        client.run(main, loop)


@pytest.mark.parametrize("rude", [False, True], ids=["closes", "resets"])
def test_a_peer_that_hangs_up_before_the_loop_looks(loop: Any, rude: bool) -> None:
    """The attempt waits for room in the queue; then all of it happens while the loop is busy."""
    with two_hosts() as (client, server), ExitStack() as stack:
        listener = stack.enter_context(server.listen(backlog=0))
        listener.settimeout(LONG)
        address = listener.getsockname()

        async def main() -> None:
            stack.enter_context(await Dialer().connect(address, timeout=LONG))

            def hang_up() -> None:
                # The loop is held up until the next SYN has come.
                listener.accept()[0].close()
                accepted = listener.accept()[0]
                if rude:
                    reset(accepted)
                else:
                    accepted.close()

            sock, error, report = await dial_while(hang_up, address)
            (attempt,) = report.attempts
            assert attempt.end - attempt.start >= SYN_INTERVAL
            if rude:
                assert isinstance(error, ConnectionResetError)
                assert isinstance(error, ConnectError)
                assert error.transient
                assert (attempt.outcome, attempt.errno) == ("failed", errno.ECONNRESET)
                assert attempt.closed is not None
                assert "reset the connection before" in str(error)
            else:
                with sock:
                    assert sock.recv(1) == b""
                assert attempt.won

        client.run(main, loop)
