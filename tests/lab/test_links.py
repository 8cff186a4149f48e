"""What depends on the link: link-local addresses, Multipath TCP, and how long a packet may be."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from lab.support import Lab, Path
from support.tls import NAME, Certificates, Server, echo

from aconnect import ConnectError, ConnectTimeout, Dialer, Report, ResolveError, open_stream
from aconnect.sockets.settings import SocketSettings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from lab.support import Host

pytestmark = [pytest.mark.lab, pytest.mark.root]

LONG = 30  # seconds; what takes as long has failed
FAMILIES = [pytest.param(4, id="v4"), pytest.param(6, id="v6")]
MPTCP = 262
NOTE = "Multipath TCP was asked for, and this is plain TCP"
SAME = "fe80::7"
"""A link-local address that two hosts have, each on a link of its own."""

LONGEST = 1000
"""Bytes of an IP packet. A hello without much in it has some 300, and the SYN 60."""


async def failure(address: Any, **options: Any) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await Dialer(**options).connect(address, timeout=LONG)
    return caught.value


# ------------------------------------------------------------------------ link-local addresses


def test_a_link_local_address_and_its_scope(loop: Any) -> None:
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        lab.wire(client, server)
        host, device = server.link_local, client.device
        with server.listen(f"{host}%{server.device}") as listener:
            port = listener.getsockname()[1]

            async def main() -> None:
                index = socket.if_nametoindex(device)
                peer = (host, port, 0, index)
                right: tuple[Any, ...] = (
                    f"[{host}%{device}]:{port}",
                    f"[{host}%{index}]:{port}",
                    (f"{host}%{device}", port),
                    peer,
                    socket.getaddrinfo(f"{host}%{device}", port, type=socket.SOCK_STREAM),
                )
                for address in right:
                    with await Dialer().connect(address, timeout=LONG) as sock:
                        assert sock.getpeername() == peer
                        assert sock.getsockname()[0] == client.link_local
                        assert sock.getsockname()[3] == index

                # Another scope has no such host; one that is not there is no scope at all.
                for zone in ("lo", "1", str(index + 70)):
                    error = await failure(f"[{host}%{zone}]:{port}")
                    assert error.errno == errno.ENETUNREACH
                    assert error.attempts[0].sockaddr != peer
                error = await failure(f"[{host}%nosuch0]:{port}")
                assert isinstance(error, ResolveError)
                assert (error.errno, error.phase) == (errno.ENODEV, "resolve")
                assert not error.transient
                assert "no network interface with that name" in str(error)

                error = await failure((host, port))
                assert error.errno == errno.EINVAL
                assert not error.transient
                assert "missing or wrong scope" in str(error)

                # The scope may come from what the socket is bound to.
                for options in (
                    {"interface": device},
                    {"local_address": f"{client.link_local}%{device}"},
                ):
                    with await Dialer(**options).connect((host, port), timeout=LONG) as sock:
                        assert sock.getpeername()[:2] == (host, port)
                error = await failure(peer, interface="lo")
                assert error.errno == errno.EINVAL

            client.run(main, loop)


def test_two_links_with_one_link_local_address(loop: Any) -> None:
    """Only the scope tells them apart: for connect(2), and for the list of a race."""
    with Lab() as lab, ExitStack() as stack:
        client, left, right = lab.host("client"), lab.host("left"), lab.host("right")
        links = lab.wire(client, left), lab.wire(client, right)
        listeners = []
        for link in links:
            host, device = link.right.host, link.right.device
            host.ip("address", "add", f"{SAME}/64", "dev", device, "nodad")
            host.wait_for_address(SAME, device)
            listener = stack.enter_context(host.listen(f"{SAME}%{device}", 7000))
            listener.setblocking(False)
            listeners.append(listener)
        devices = [link.left.device for link in links]

        async def main() -> None:
            for device, listener in zip(devices, listeners, strict=True):
                address = f"[{SAME}%{device}]:7000"
                with await Dialer().connect(address, timeout=LONG) as sock:
                    accepted, peer = listener.accept()
                    accepted.close()
                    assert peer[:2] == sock.getsockname()[:2]
                    assert sock.getpeername()[3] == socket.if_nametoindex(device)
                with await Dialer().connect(f"udp://{address}", timeout=LONG) as sock:
                    assert sock.getpeername()[3] == socket.if_nametoindex(device)
            assert (await failure((SAME, 7000))).errno == errno.EINVAL

            # They are two addresses; the first gets no answer.
            left.nft(
                "table inet lab { chain input { type filter hook input priority 0;"
                " tcp dport 7000 drop; }; }"
            )
            report = Report()
            endpoints = [
                result
                for device in devices
                for result in socket.getaddrinfo(f"{SAME}%{device}", 7000, type=1)
            ]
            dialer = Dialer(attempt_delay=0.1, trace=report)
            with await dialer.connect(endpoints, timeout=LONG) as sock:
                assert sock.getpeername()[3] == socket.if_nametoindex(devices[1])
            listeners[1].accept()[0].close()
            first, second = report.attempts
            assert (first.outcome, second.won) == ("cancelled", True)
            assert second.start >= 0.1
            assert first.peer != second.peer

        client.run(main, loop)


# ------------------------------------------------------------------------------- Multipath TCP


@contextmanager
def listening(server: Host, host: str, protocol: int) -> Iterator[tuple[Any, ...]]:
    """The address of a listener of that protocol; skips where the kernel has none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with server.entered():
        try:
            listener = socket.socket(family, socket.SOCK_STREAM, protocol)
        except OSError as error:
            if protocol != MPTCP:
                raise
            pytest.skip(f"the kernel has no Multipath TCP: {error}")
    with listener:
        listener.bind((host, 0))
        listener.listen()
        yield listener.getsockname()


@pytest.mark.parametrize(
    "why",
    [None, "the server has TCP", "switched off there", "switched off here", "stripped on the way"],
)
def test_multipath_tcp(loop: Any, why: str | None) -> None:
    """Where it is not to be had there is TCP, and whoever asked for it is told."""
    with Lab() as lab, ExitStack() as stack:
        client, server = lab.host("client"), lab.host("server")
        lab.wire(client, server)
        if why == "switched off there":
            server.sysctl("net/mptcp/enabled", 0)
        elif why == "switched off here":
            client.sysctl("net/mptcp/enabled", 0)
        elif why == "stripped on the way":
            strip(server, "reset tcp option mptcp")
        plain = why in ("the server has TCP", "switched off there")
        there = socket.IPPROTO_TCP if plain else MPTCP
        here = socket.IPPROTO_TCP if why == "switched off here" else MPTCP
        hosts = server.v4, server.v6
        addresses = [stack.enter_context(listening(server, host, there)) for host in hosts]

        async def main() -> None:
            for address in addresses:
                report = Report()
                dialer = Dialer(mptcp=True, trace=report)
                with await dialer.connect(address, timeout=LONG) as sock:
                    assert SocketSettings.mptcp_in_use(sock) is (why is None)
                    assert sock.proto == here
                (attempt,) = report.attempts
                assert attempt.note == ("" if why is None else NOTE)
                assert attempt.won
                assert report.to_dict()["attempts"][0]["note"] == attempt.note

                # Who has not asked is not told.
                report = Report()
                with await Dialer(trace=report).connect(address, timeout=LONG) as sock:
                    assert sock.proto == socket.IPPROTO_TCP
                assert report.attempts[0].note == ""

        client.run(main, loop)


def strip(server: Host, *rules: str) -> None:
    """Have these rules of nft(8) for what comes in."""
    lines = "\n".join(rules)
    server.nft(f"""
        table inet lab {{
            chain before {{
                type filter hook prerouting priority 0
                {lines}
            }}
        }}
    """)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_middlebox_that_drops_multipath_tcp(loop: Any, family: int) -> None:
    """The kernel goes over to TCP with the SYN after next; in a race nobody waits for that."""
    with Lab() as lab, ExitStack() as stack:
        client, server = lab.host("client"), lab.host("server")
        link, other = lab.wire(client, server), lab.wire(client, server)
        blocked, address = (
            stack.enter_context(
                listening(server, each.right.v4 if family == 4 else each.right.v6, MPTCP)
            )
            for each in (link, other)
        )
        strip(server, f"iifname {link.right.device} tcp option mptcp exists drop")
        client.sysctl("net/mptcp/syn_retrans_before_tcp_fallback", 1)
        client.sysctl("net/mptcp/blackhole_timeout", 0)  # each connection tries it anew

        async def main() -> None:
            kind = socket.AF_INET if family == 4 else socket.AF_INET6
            raced, alone = Report(), Report()

            async def race() -> None:
                both = [(kind, socket.SOCK_STREAM, 6, "", each) for each in (blocked, address)]
                dialer = Dialer(mptcp=True, trace=raced, attempt_delay=0.1)
                with await dialer.connect(both, timeout=LONG) as sock:
                    assert sock.getpeername() == address
                    assert SocketSettings.mptcp_in_use(sock) is True

            async def wait() -> None:
                dialer = Dialer(mptcp=True, trace=alone)
                with await dialer.connect(blocked, timeout=LONG) as sock:
                    assert SocketSettings.mptcp_in_use(sock) is False

            async with anyio.create_task_group() as group:
                group.start_soon(race)
                group.start_soon(wait)
            first, second = raced.attempts
            assert (first.outcome, second.note, second.won) == ("cancelled", "", True)
            assert second.start >= 0.1
            (attempt,) = alone.attempts
            assert attempt.note == NOTE
            assert attempt.end is not None
            assert attempt.end >= 1.9  # two SYNs with the option, a second apart, were lost
            assert raced.elapsed < attempt.end

        client.run(main, loop)


# ----------------------------------------------------------------------- the length of a packet


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@contextmanager
def serving(server: Host, address: str, context: ssl.SSLContext | None) -> Iterator[Any]:
    """The address of a server that sends back what it is sent."""
    with server.listen(address) as listener:
        running = Server(listener, context, echo)
        running.start()
        try:
            yield listener.getsockname()
        finally:
            running.stop()


def hello(certificates: Certificates, *, long: bool) -> ssl.SSLContext:
    """A context whose hello fits into a packet of `LONGEST`, or does not."""
    context = certificates.client()
    context.set_ecdh_curve("prime256v1")  # others may have keys of a thousand bytes
    if long:
        context.set_alpn_protocols([f"{number:0100}" for number in range(30)])
    return context


@pytest.mark.parametrize("family", FAMILIES)
def test_long_packets_vanish(loop: Any, certificates: Certificates, family: int) -> None:
    """The connect succeeds, as SYNs are short; what follows hangs, and the deadline says where."""
    with Lab() as lab, ExitStack() as stack:
        client, server = lab.host("client"), lab.host("server")
        hole = lab.wan(client, server, forward=Path(delay=0.01, longest=LONGEST), delay=0.01)
        host = server.v4 if family == 4 else server.v6
        tls = stack.enter_context(serving(server, host, certificates.server()))
        plain = stack.enter_context(serving(server, host, None))

        async def main() -> None:
            short = hello(certificates, long=False)
            stream = await open_stream(tls, ssl=short, server_hostname=NAME, timeout=LONG)
            async with stream:
                await stream.send(b"ping")
                assert await stream.receive() == b"ping"

            async with await open_stream(plain, timeout=LONG) as stream:
                await stream.send(b"ping")
                assert await stream.receive() == b"ping"
                await stream.send(bytes(2 * LONGEST))
                with anyio.move_on_after(0.3) as scope:
                    await stream.receive()
                assert scope.cancelled_caught

            lost = hole.counts()[0].lost
            long = hello(certificates, long=True)
            with pytest.raises(ConnectTimeout) as caught:
                await open_stream(tls, ssl=long, server_hostname=NAME, timeout=0.8)
            error = caught.value
            assert (error.errno, error.phase) == (errno.ETIMEDOUT, "handshake")
            assert error.elapsed >= 0.8
            (record,) = error.attempts
            assert (record.outcome, record.phase, record.errno) == ("timed out", "handshake", None)
            assert record.local_address is not None
            assert "connected, but its handshake had not finished" in str(error)
            report: Any = error.report
            (attempt,) = report.attempts
            assert (attempt.outcome, attempt.handshake.outcome) == ("timed out", "timed out")
            assert attempt.connected >= 0.02  # there and back
            assert report.slowest_phase == "handshake"
            assert hole.counts()[0].lost > lost

        client.run(main, loop)


def test_long_packets_vanish_on_one_way_of_two(loop: Any, certificates: Certificates) -> None:
    """The handshake with the next address begins meanwhile, and wins."""
    with Lab() as lab, ExitStack() as stack:
        client, server = lab.host("client"), lab.host("server")
        lab.wan(client, server, forward=Path(longest=LONGEST))
        good = lab.wire(client, server)
        bad_address = stack.enter_context(serving(server, server.v6, certificates.server()))
        address = stack.enter_context(serving(server, good.right.v4, certificates.server()))

        async def main() -> None:
            report: Any = Report()
            long = hello(certificates, long=True)
            both = [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", bad_address),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", address),
            ]
            stream = await open_stream(
                both,
                ssl=long,
                server_hostname=NAME,
                timeout=LONG,
                attempt_delay=0.1,
                trace=report,
            )
            async with stream:
                await stream.send(bytes(2 * LONGEST))
                assert await stream.receive()
            first, second = report.attempts
            assert first.connected is not None
            assert (first.outcome, first.handshake.outcome) == ("cancelled", "cancelled")
            assert first.closed is not None
            assert second.won
            assert second.handshake.outcome == "done"
            assert second.handshake.start >= first.handshake.start + 0.1
            assert report.elapsed < LONG / 2

        client.run(main, loop)
