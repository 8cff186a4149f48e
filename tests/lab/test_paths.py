"""Paths that are long, that lose packets, that lead nowhere; and what a race makes of them."""

from __future__ import annotations

import errno
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from lab.support import Lab, Path
from lab.support.dials import LONG, SYN_INTERVAL, dial, dial_all, named, tries

from aconnect import ConnectTimeout, aconnect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.support import Host, Packet, Wan

pytestmark = [pytest.mark.lab, pytest.mark.root]

ATTEMPT_DELAY = 0.25
FAMILIES = [pytest.param(4, id="v4"), pytest.param(6, id="v6")]
DIRECTIONS = ["forward", "backward"]
NOBODY = {4: "10.99.1.77", 6: "fd00:99:1::77"}
"""In the network of a lab's first link, and nobody has it."""
REMOTE_NOBODY = {4: "10.99.2.77", 6: "fd00:99:2::77"}
"""The same in that of its second."""


@contextmanager
def far_apart(**path: Any) -> Iterator[tuple[Host, Host, Wan]]:
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        yield client, server, lab.wan(client, server, **path)


def address_of(host: Host, family: int) -> str:
    return host.v4 if family == 4 else host.v6


def conversation(packets: list[Packet], local_port: int) -> list[Packet]:
    """The segments of one connection, in both directions."""
    return [
        packet
        for packet in packets
        if (packet.source if packet.forward else packet.destination) == local_port
    ]


# Delays.


@pytest.mark.parametrize("family", FAMILIES)
def test_on_a_wire_nothing_has_to_wait(family: int) -> None:
    """The answer is there when connect(2) returns, and is seen without the loop."""
    with Lab() as lab, ExitStack() as stack:
        client, server = lab.host("client"), lab.host("server")
        lab.wire(client, server)
        listener = stack.enter_context(server.listen(address_of(server, family)))

        async def main() -> None:
            connecting = aconnect(listener.getsockname()[:2])
            with pytest.raises(StopIteration) as done:
                connecting.send(None)
            with done.value.value as sock:
                assert sock.getpeername() == listener.getsockname()

        client.run(main)


@pytest.mark.parametrize("round_trip", [0.05, 0.15, 0.6])
def test_a_connect_takes_one_round_trip(loop: Any, round_trip: float) -> None:
    with far_apart(delay=round_trip / 2) as (client, server, link), ExitStack() as stack:
        dials = {}
        for family in (4, 6):
            listener = stack.enter_context(server.listen(address_of(server, family)))
            for bare in (False, True):
                dials[family, bare] = {"address": listener.getsockname()[:2], "bare": bare}
        results = client.run(partial(dial_all, dials), loop)
        packets = link.packets()
        for (family, bare), done in results.items():
            assert done.peer[:2] == dials[family, bare]["address"]
            assert round_trip <= done.elapsed < round_trip + 5
            if not bare:
                done.assert_connected("connected")
                (attempt,) = done.report.attempts
                assert attempt.end - attempt.start >= round_trip
            syn, *rest = conversation(packets, done.local[1])
            answer = next(packet for packet in rest if not packet.forward)
            assert (syn.family, syn.is_syn, answer.flags) == (family, True, 0x12)
            assert answer.time - syn.time >= round_trip / 2


def test_each_way_counts(loop: Any) -> None:
    """The way back may be another one; it is their sum that is waited for."""
    with (
        far_apart(forward=Path(delay=0.01), backward=Path(delay=0.2)) as (client, server, link),
        server.listen() as listener,
    ):
        done = client.run(partial(dial, listener.getsockname()), loop)
        done.assert_connected("connected")
        assert done.elapsed >= 0.21
        link.set(forward=Path(delay=0.1), backward=Path())
        done = client.run(partial(dial, listener.getsockname()), loop)
        assert done.elapsed >= 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_round_trip_that_is_longer_than_there_is_time(loop: Any, family: int) -> None:
    with (
        far_apart(delay=0.3) as (client, server, link),
        server.listen(address_of(server, family)) as listener,
    ):
        address = listener.getsockname()[:2]
        done = client.run(partial(dial, address, timeout=0.4), loop)
        done.assert_timed_out(0.4)
        assert done.elapsed < 0.4 + 5
        # The answer is under way, and finds nobody: a reset says so.
        local = done.failure.attempts[0].local_address
        assert local is not None
        packets: list[Packet] = []

        def seen(flag: int) -> bool:
            packets.extend(link.packets())
            return any(each.flags & flag for each in conversation(packets, local[1]))

        async def until_reset() -> None:
            with anyio.fail_after(LONG):
                while not seen(0x04):
                    await anyio.sleep(0.02)

        client.run(until_reset)


def test_the_nearer_of_two_servers_wins(loop: Any) -> None:
    """The first has a head start of an attempt delay, which is not enough."""
    with Lab() as lab, ExitStack() as stack:
        client, far, near = (lab.host(name) for name in ("client", "far", "near"))
        lab.wan(client, far, delay=0.8)
        lab.wan(client, near, delay=0.05)
        port = stack.enter_context(far.listen()).getsockname()[1]
        stack.enter_context(near.listen(port=port))
        resolver = named(far.v4, near.v4)
        done = client.run(partial(dial, f"server.test:{port}", resolver=resolver), loop)
        done.assert_connected("cancelled", "connected")
        assert done.peer[0] == near.v4
        assert done.elapsed >= ATTEMPT_DELAY + 0.1
        # Where there is no race, the first wins.
        done = client.run(
            partial(dial, f"server.test:{port}", resolver=resolver, attempt_delay=None), loop
        )
        done.assert_connected("connected")
        assert done.peer[0] == far.v4
        assert done.elapsed >= 1.6


# Losses.


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_lost_packet_costs_a_second(loop: Any, family: int, direction: str) -> None:
    with (
        far_apart(delay=0.05) as (client, server, link),
        server.listen(address_of(server, family)) as listener,
    ):
        lossy = Path(delay=0.05, lose_first=1)
        link.set(**{direction: lossy})
        done = client.run(partial(dial, listener.getsockname()[:2]), loop)
        done.assert_connected("connected")
        assert done.elapsed >= SYN_INTERVAL + 0.05
        packets = conversation(link.packets(), done.local[1])
        lost = [packet for packet in packets if not packet.carried]
        assert len(lost) == 1
        assert lost[0].forward == (direction == "forward")
        again = [packet for packet in packets if packet.carried and packet.flags == lost[0].flags]
        assert again[0].time > lost[0].time
        [attempt] = done.report.attempts
        if direction == "forward":
            assert attempt.resent == 1
            assert "attempt 0: the first SYN was lost and sent again" in str(done.report)


@pytest.mark.parametrize("family", FAMILIES)
def test_how_many_syns_a_silent_address_was_sent(loop: Any, family: int) -> None:
    with far_apart(delay=0.01, loss=1.0) as (client, server, link):
        address = (address_of(server, family), 80)
        done = client.run(partial(dial, address, timeout=SYN_INTERVAL * 1.5), loop)
        syns = sum(packet.is_syn for packet in link.packets())
        assert syns == 2
        assert isinstance(done.error, ConnectTimeout)
        assert done.error.attempts[0].resent == syns - 1
        assert done.error.attempts[0].round_trip is None
        assert "2 SYNs sent, still no answer" in str(done.error)
        assert "attempt 0: 2 SYNs sent, no answer" in str(done.report)


def test_a_lost_packet_costs_less_than_a_second_where_there_is_another_address(loop: Any) -> None:
    with far_apart(delay=0.05) as (client, server, link), ExitStack() as stack:
        port = stack.enter_context(server.listen(server.v6)).getsockname()[1]
        stack.enter_context(server.listen(server.v4, port))
        link.set(forward=Path(delay=0.05, lose_first=1))
        resolver = named(server.v6, server.v4)
        done = client.run(partial(dial, f"server.test:{port}", resolver=resolver), loop)
        done.assert_connected("cancelled", "connected")
        assert done.elapsed >= ATTEMPT_DELAY + 0.1
        assert [packet.carried for packet in link.packets() if packet.is_syn][:2] == [False, True]


def check_losses(loop: Any, loss: float, count: int) -> None:
    """All connect, and those whose first packets were lost take a second or more."""
    with far_apart(delay=0.02, loss=loss, seed=3) as (client, server, link):
        client.sysctl("net/ipv4/tcp_syn_retries", 20)
        with server.listen() as listener:
            dials = {
                each: {"address": listener.getsockname(), "timeout": 100} for each in range(count)
            }
            results = client.run(partial(dial_all, dials), loop).values()
        packets = link.packets()
        unlucky = 0
        for done in results:
            done.assert_connected("connected")
            first, *_ = own = conversation(packets, done.local[1])
            answers = [packet for packet in own if packet.flags == 0x12]
            assert first.is_syn
            if not first.carried or not answers[0].carried:
                unlucky += 1
                assert done.elapsed >= SYN_INTERVAL
            syns = [packet for packet in own if packet.is_syn]
            if not first.carried:
                assert len(syns) >= 2
            # The kernel has made one attempt of it, and so have we.
            assert len(done.report.attempts) == 1
        # It is four times as many or more that are to be expected; the seed is always the same.
        assert unlucky >= count * loss / 4
        forward, _ = link.counts()
        assert forward.lost >= 1
        assert forward.missed == 0


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_packets_are_lost(loop: Any, loss: float) -> None:
    check_losses(loop, loss, 30)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_packets_are_lost_in_hundreds_of_connects(loop: Any, loss: float) -> None:
    """What the quick form leaves out: what is unlikely, such as four losses in a row."""
    check_losses(loop, loss, 300)


def test_a_path_that_does_everything_wrong(loop: Any) -> None:
    """Packets are late, doubled, overtaken and lost: each dial is one connection all the same."""
    wrong = Path(delay=0.02, jitter=0.05, loss=0.05, reorder=0.2, duplicate=0.3)
    with (
        far_apart(forward=wrong, backward=wrong) as (client, server, link),
        server.listen() as listener,
    ):
        dials = {each: {"address": listener.getsockname()} for each in range(30)}
        results = client.run(partial(dial_all, dials), loop)
        listener.settimeout(LONG)
        peers = set()
        for _ in results:
            accepted, peer = listener.accept()
            accepted.close()
            peers.add(peer)
        for done in results.values():
            done.assert_connected("connected")
        assert peers == {done.local for done in results.values()}
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert sum(count.missed for count in link.counts()) == 0


def test_a_path_comes_back(loop: Any) -> None:
    """Nobody answers, until the path is there again: the next SYN connects."""
    with (
        far_apart(delay=0.05, loss=1.0) as (client, server, link),
        server.listen() as listener,
    ):
        results = []

        async def main() -> None:
            async def one() -> None:
                results.append(await dial(listener.getsockname()))

            async with anyio.create_task_group() as group:
                group.start_soon(one)
                with anyio.fail_after(LONG):
                    while not link.packets():
                        await anyio.sleep(0.01)
                link.set(forward=Path(delay=0.05), backward=Path(delay=0.05))

        client.run(main, loop)
        results[0].assert_connected("connected")
        assert results[0].elapsed >= SYN_INTERVAL + 0.1


def test_a_path_goes_away(loop: Any) -> None:
    with far_apart(delay=0.05) as (client, server, link), server.listen() as listener:
        client.run(partial(dial, listener.getsockname()), loop).assert_connected("connected")
        link.stop()
        done = client.run(partial(dial, listener.getsockname(), timeout=0.3), loop)
        done.assert_timed_out(0.3)


# Addresses of which one is no good.


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_address_refuses(loop: Any, family: int) -> None:
    """The next one is tried at once; the attempt delay is not waited for."""
    with (
        far_apart(delay=0.05) as (client, server, _),
        server.listen(address_of(server, 10 - family)) as listener,
    ):
        order = [address_of(server, family), address_of(server, 10 - family)]
        target = f"server.test:{listener.getsockname()[1]}"
        done = client.run(partial(dial, target, resolver=named(*order), attempt_delay=2.0), loop)
        done.assert_connected("failed", "connected")
        assert 0.2 <= done.elapsed < 2.0
        refused, connected = done.report.attempts
        assert refused.errno == errno.ECONNREFUSED
        assert 0.1 <= refused.end <= connected.start
        assert connected.end - connected.start >= 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_address_is_silent(loop: Any, family: int) -> None:
    """It costs one attempt delay, as does each further one that is silent."""
    with Lab() as lab, ExitStack() as stack:
        client, nowhere, server = (lab.host(name) for name in ("client", "nowhere", "server"))
        hole = lab.wan(client, nowhere, loss=1.0)
        healthy = lab.wan(client, server, delay=0.05)
        listener = stack.enter_context(server.listen(address_of(server, 10 - family)))
        port = listener.getsockname()[1]
        order = [address_of(nowhere, family), address_of(server, 10 - family)]
        done = client.run(partial(dial, f"server.test:{port}", resolver=named(*order)), loop)
        done.assert_connected("cancelled", "connected")
        assert ATTEMPT_DELAY + 0.1 <= done.elapsed < LONG
        silent, connected = done.report.attempts
        assert connected.start - silent.start >= ATTEMPT_DELAY
        assert silent.closed is not None
        lost, *_ = hole.packets()
        carried, *_ = healthy.packets()
        assert (lost.carried, carried.carried) == (False, True)
        assert (lost.family, carried.family) == (family, 10 - family)
        assert lost.time < carried.time

        # Strictly one at a time, the silent one has all of its share.
        done = client.run(
            partial(
                *(dial, f"server.test:{port}"),
                resolver=named(*order),
                attempt_delay=None,
                attempt_timeout=1.0,
            ),
            loop,
        )
        done.assert_connected("timed out", "connected")
        assert done.elapsed >= 1.1


def test_all_addresses_are_silent(loop: Any) -> None:
    with far_apart(loss=1.0) as (client, server, link):
        order = (server.v6, server.v4)
        done = client.run(
            partial(dial, "server.test:80", resolver=named(*order), timeout=1.0), loop
        )
        done.assert_timed_out(1.0)
        assert [each.sockaddr[0] for each in done.failure.attempts if each.sockaddr] == [*order]
        assert {packet.family for packet in link.packets()} == {4, 6}


# Routes.

ROUTES = [
    ("unreachable", errno.EHOSTUNREACH),
    ("prohibit", errno.EACCES),
    ("blackhole", errno.EINVAL),
    ("throw", errno.ENETUNREACH),
    (None, errno.ENETUNREACH),
]
ROUTER_SAYS = {
    ("unreachable", 4): errno.EHOSTUNREACH,
    ("unreachable", 6): errno.ENETUNREACH,
    ("prohibit", 4): errno.EHOSTUNREACH,
    ("prohibit", 6): errno.EACCES,
    ("throw", 4): errno.ENETUNREACH,
    ("throw", 6): errno.ENETUNREACH,
    (None, 4): errno.ENETUNREACH,
    (None, 6): errno.ENETUNREACH,
}
"""As ICMP has fewer words for it: to "unreachable", IPv4 says which host, and IPv6 that there is
no route; to "prohibit", IPv4 says that the host is, for administrative reasons."""


def routed(family: int, number: int) -> tuple[str, str]:
    """A network and an address in it, which are nobody's."""
    if family == 4:
        return f"10.98.{number}.0/24", f"10.98.{number}.1"
    return f"fd00:98:{number}::/64", f"fd00:98:{number}::1"


def add_routes(host: Host) -> None:
    """One of each type, in each family."""
    for number, (kind, _) in enumerate(ROUTES):
        if kind is not None:
            for family in (4, 6):
                host.ip(f"-{family}", "route", "add", kind, routed(family, number)[0])


def test_routes_of_ones_own(loop: Any) -> None:
    """The kernel says no in connect(2) itself: nothing is sent, nothing is waited for."""
    with far_apart(delay=0.05) as (client, server, link), server.listen() as listener:
        add_routes(client)
        dials = {
            (number, family): {"address": (routed(family, place)[1], 80)}
            for place, (_, number) in enumerate(ROUTES)
            for family in (4, 6)
        }
        for (number, _), done in client.run(partial(dial_all, dials), loop).items():
            done.assert_failed(number)
            assert done.failure.attempts[0].local_address is None
            assert done.elapsed < 5
        assert link.packets() == []
        # All of them are passed over at once.
        addresses = [routed(4, place)[1] for place in range(len(ROUTES))]
        done = client.run(
            partial(
                *(dial, f"server.test:{listener.getsockname()[1]}"),
                resolver=named(*addresses, server.v4),
                attempt_delay=2.0,
            ),
            loop,
        )
        done.assert_connected(*["failed"] * len(ROUTES), "connected")
        assert 0.1 <= done.elapsed < 2.0
        assert [each.errno for each in done.report.attempts[:-1]] == [each for _, each in ROUTES]


def test_routes_of_a_router(loop: Any) -> None:
    """Its ICMP error comes after one round trip to it; to a black hole there is none."""
    with Lab() as lab:
        client, router = lab.host("client"), lab.host("router")
        link = lab.wan(client, router, delay=0.05)
        router.forward()
        add_routes(router)
        client.ip("route", "add", "10.98.0.0/16", "via", router.v4)
        client.ip("-6", "route", "add", "fd00:98::/32", "via", router.v6)
        dials = {
            (kind, family): {"address": (routed(family, place)[1], 80), "timeout": 2.0}
            for place, (kind, _) in enumerate(ROUTES)
            for family in (4, 6)
        }
        for route, done in client.run(partial(dial_all, dials), loop).items():
            if route in ROUTER_SAYS:
                done.assert_failed(ROUTER_SAYS[route])
                assert done.elapsed >= 0.1
            else:
                done.assert_timed_out(2.0)
        syns = [packet for packet in link.packets() if packet.is_syn]
        # One for each that was told, and more for the two that were not.
        assert len({packet.source for packet in syns}) == len(dials)
        assert len(syns) > len(dials)


# Neighbours.


def ask_quickly(host: Host) -> None:
    """Have it repeat a question for a neighbour after 0.1 s; it is a second otherwise."""
    for family in ("ipv4", "ipv6"):
        for end in host.ends:
            host.sysctl(f"net/{family}/neigh/{end.device}/retrans_time_ms", 100)


def check_neighbours(loop: Any, quick: bool) -> None:
    with Lab() as lab:
        client, router, server = (lab.host(name) for name in ("client", "router", "server"))
        lab.wan(client, router, delay=0.05)
        lab.wire(router, server)
        router.forward()
        client.ip("route", "add", "10.99.2.0/24", "via", router.v4)
        client.ip("-6", "route", "add", "fd00:99:2::/64", "via", router.v6)
        patience = 2.9
        if quick:
            patience = 0.29
            for host in (client, router):
                ask_quickly(host)
        dials = {
            (where, family): {"address": (hosts[family], 80)}
            for where, hosts in (("here", NOBODY), ("there", REMOTE_NOBODY))
            for family in (4, 6)
        }
        for (where, _), done in client.run(partial(dial_all, dials), loop).items():
            done.assert_failed(errno.EHOSTUNREACH)
            assert done.elapsed >= patience + (0.1 if where == "there" else 0.0)
            assert "it did not answer ARP" in str(done.failure)


def test_no_such_neighbour(loop: Any) -> None:
    """One's own, and a router's, which says so."""
    check_neighbours(loop, quick=True)


@pytest.mark.slow
def test_no_such_neighbour_by_the_kernels_own_clock(loop: Any) -> None:
    """What the quick form shortens: three questions, a second apart."""
    check_neighbours(loop, quick=False)


def test_an_absent_neighbour_costs_an_attempt_delay(loop: Any) -> None:
    with far_apart(delay=0.05) as (client, server, link), server.listen() as listener:
        target = f"server.test:{listener.getsockname()[1]}"
        done = client.run(partial(dial, target, resolver=named(NOBODY[6], server.v4)), loop)
        done.assert_connected("cancelled", "connected")
        assert done.elapsed >= ATTEMPT_DELAY + 0.1
        # The SYN waits for its neighbour to be found, and is not sent.
        assert {packet.family for packet in link.packets()} == {4}


@pytest.mark.slow
def test_the_kernels_patience_and_ours(loop: Any) -> None:
    """What the quick form leaves out: the first address fails while the race goes on."""
    with far_apart(loss=1.0) as (client, server, link):
        client.sysctl("net/ipv4/tcp_syn_linear_timeouts", 0)  # the second wait is twice the first
        done = client.run(
            partial(
                *(dial, "server.test:80"),
                resolver=named(server.v6, server.v4),
                socket_options=tries(1),
                timeout=LONG,
            ),
            loop,
        )
        assert done.failure.errno == errno.ETIMEDOUT
        assert [each.outcome for each in done.failure.attempts] == ["failed", "failed"]
        assert done.elapsed >= ATTEMPT_DELAY + 1.9
        assert done.report.outcome == "timed out"
        assert len([packet for packet in link.packets() if packet.is_syn]) == 4
