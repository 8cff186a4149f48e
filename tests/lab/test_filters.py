"""Firewalls that drop, or reject in every way there is; of the server, and of the client itself.

A rejection comes back after one round trip. There is one exception: an ICMPv6 error that comes
while connect(2) is still sending is not believed before the SYN has been sent again, a second
later. That is so where the error takes no time, on a wire or from one's own firewall.
"""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from lab.support import Lab, Wan
from lab.support.dials import LONG, SYN_INTERVAL, Dialled, dial, dial_all, named, tries

if TYPE_CHECKING:
    from lab.support import Host

pytestmark = [pytest.mark.lab, pytest.mark.root]

FIRST_PORT = 2000
DELAY = 0.05
"""Seconds, one way."""


class Verdict(NamedTuple):
    """What a rule of nftables does with a SYN, and what becomes of the connect."""

    family: int
    statement: str
    number: int

    @property
    def tells_by_icmpv6(self) -> bool:
        return "icmpv6" in self.statement


REJECTIONS = [
    Verdict(4, "reject with tcp reset", errno.ECONNREFUSED),
    Verdict(6, "reject with tcp reset", errno.ECONNREFUSED),
    *(
        Verdict(4, f"reject with icmp type {kind}", number)
        for kind, number in (
            ("net-unreachable", errno.ENETUNREACH),
            ("host-unreachable", errno.EHOSTUNREACH),
            ("prot-unreachable", errno.ENOPROTOOPT),
            ("port-unreachable", errno.ECONNREFUSED),
            ("net-prohibited", errno.ENETUNREACH),
            ("host-prohibited", errno.EHOSTUNREACH),
            ("admin-prohibited", errno.EHOSTUNREACH),
        )
    ),
    *(
        Verdict(6, f"reject with icmpv6 type {kind}", number)
        for kind, number in (
            ("no-route", errno.ENETUNREACH),
            ("admin-prohibited", errno.EACCES),
            ("addr-unreachable", errno.EHOSTUNREACH),
            ("port-unreachable", errno.ECONNREFUSED),
            ("policy-fail", errno.EACCES),
            ("reject-route", errno.EACCES),
        )
    ),
]
DROPS = [Verdict(4, "drop", errno.ETIMEDOUT), Verdict(6, "drop", errno.ETIMEDOUT)]


def filter_at(host: Host, hook: str, verdicts: list[Verdict]) -> None:
    """Have the host's firewall decide by port: one for each verdict, from `FIRST_PORT` on."""
    rules = "\n".join(
        f"meta nfproto ipv{each.family} tcp dport {FIRST_PORT + place} {each.statement}"
        for place, each in enumerate(verdicts)
    )
    host.nft(
        f"table inet lab {{\nchain {hook} {{\n"
        f"type filter hook {hook} priority 0; policy accept;\n{rules}\n}}\n}}\n"
    )


def dial_each(
    client: Host, server: Host, verdicts: list[Verdict], loop: Any, **options: Any
) -> dict[Verdict, Dialled]:
    """Dial to the port of each verdict, at once."""
    dials = {
        verdict: {
            "address": (server.v4 if verdict.family == 4 else server.v6, FIRST_PORT + place),
            **options,
        }
        for place, verdict in enumerate(verdicts)
    }
    done: dict[Verdict, Dialled] = client.run(partial(dial_all, dials), loop)
    return done


def syns_by_port(link: Wan) -> dict[int, list[Any]]:
    """The SYNs that the network was given from the client, by the port that they were for."""
    found: dict[int, list[Any]] = {}
    for packet in link.packets():
        if packet.forward and packet.is_syn:
            found.setdefault(packet.destination, []).append(packet)
    return found


@pytest.mark.parametrize("bare", [False, True], ids=["dialer", "aconnect"])
def test_a_server_rejects_from_afar(loop: Any, bare: bool) -> None:
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        link = lab.wan(client, server, delay=DELAY)
        filter_at(server, "input", REJECTIONS)
        done = dial_each(client, server, REJECTIONS, loop, bare=bare)
        syns = syns_by_port(link)
        for place, verdict in enumerate(REJECTIONS):
            done[verdict].assert_failed(verdict.number)
            assert done[verdict].elapsed >= 2 * DELAY
            # The first SYN was answered; there was no need to wait for the second.
            assert len(syns[FIRST_PORT + place]) == 1


@pytest.mark.parametrize("bare", [False, True], ids=["dialer", "aconnect"])
def test_a_server_rejects_on_a_wire(loop: Any, bare: bool) -> None:
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        lab.wire(client, server)
        filter_at(server, "input", REJECTIONS)
        for verdict, done in dial_each(client, server, REJECTIONS, loop, bare=bare).items():
            done.assert_failed(verdict.number)
            if verdict.tells_by_icmpv6:
                assert done.elapsed >= SYN_INTERVAL


def test_ones_own_firewall_rejects(loop: Any) -> None:
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        link = lab.wan(client, server, delay=DELAY)
        filter_at(client, "output", REJECTIONS)
        for verdict, done in dial_each(client, server, REJECTIONS, loop).items():
            done.assert_failed(verdict.number)
            if verdict.tells_by_icmpv6:
                assert done.elapsed >= SYN_INTERVAL
        assert link.packets() == []


@pytest.mark.parametrize("hook", ["input", "output"])
def test_a_firewall_drops(loop: Any, hook: str) -> None:
    """Until the kernel gives up, which can be told to do so earlier, or the deadline."""
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        link = lab.wan(client, server, delay=DELAY)
        filter_at(server if hook == "input" else client, hook, DROPS)
        for bare in (False, True):
            dialled = dial_each(client, server, DROPS, loop, timeout=0.2, bare=bare)
            for done in dialled.values():
                done.assert_timed_out(0.2)
        assert (syns_by_port(link) == {}) == (hook == "output")
        for verdict, done in dial_each(client, server, DROPS, loop, user_timeout=1.2).items():
            done.assert_failed(verdict.number)
            assert "deadline" not in str(done.failure)  # it was not ours
            assert done.elapsed >= 1.19  # the kernel's clock ticks every 4 ms
        sent = syns_by_port(link)
        if hook == "output":
            assert sent == {}
            return
        for place in range(len(DROPS)):
            first, second, *_ = sent[FIRST_PORT + place]
            assert second.time - first.time >= SYN_INTERVAL / 2  # whoever saw it was busy


def test_a_rejection_of_one_address_is_no_delay_for_the_next(loop: Any) -> None:
    """As long as it comes before the next one's turn would have."""
    rejections = [verdict for verdict in REJECTIONS if verdict.family == 6]
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        lab.wan(client, server, delay=DELAY)
        filter_at(server, "input", rejections)
        listeners = [server.listen(server.v4, FIRST_PORT + i) for i in range(len(rejections))]
        try:
            dials = {
                verdict: {
                    "address": f"server.test:{FIRST_PORT + place}",
                    "resolver": named(server.v6, server.v4),
                    "attempt_delay": 2.0,
                }
                for place, verdict in enumerate(rejections)
            }
            for verdict, done in client.run(partial(dial_all, dials), loop).items():
                done.assert_connected("failed", "connected")
                assert 4 * DELAY <= done.elapsed < 2.0
                first, second = done.report.attempts
                assert first.errno == verdict.number
                assert second.start >= first.end >= 2 * DELAY
        finally:
            for listener in listeners:
                listener.close()


def test_one_family_is_dropped_and_the_other_is_not(loop: Any) -> None:
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        link = lab.wan(client, server, delay=DELAY)
        filter_at(server, "input", DROPS)  # port 2000 for IPv4, 2001 for IPv6
        with (
            server.listen(server.v6, FIRST_PORT) as ipv6,
            server.listen(server.v4, FIRST_PORT + 1) as ipv4,
        ):
            orders = {
                ipv6.getsockname()[1]: (server.v4, server.v6),
                ipv4.getsockname()[1]: (server.v6, server.v4),
            }
            dials = {
                port: {"address": f"server.test:{port}", "resolver": named(*order)}
                for port, order in orders.items()
            }
            results = client.run(partial(dial_all, dials), loop)
        syns = syns_by_port(link)
        for port, done in results.items():
            done.assert_connected("cancelled", "connected")
            assert done.peer[0] == orders[port][1]
            # One attempt delay, and one round trip.
            assert 0.25 + 2 * DELAY <= done.elapsed < LONG
            assert done.report.attempts[1].start >= 0.25
            silent, healthy = (
                [packet for packet in syns[port] if packet.family == family]
                for family in ((4, 6) if port == FIRST_PORT else (6, 4))
            )
            assert silent[0].time < healthy[0].time


def test_routers_that_tell_but_so_much(loop: Any) -> None:
    """ICMP is rate-limited on most hosts: what is not told is told when a SYN is sent again."""
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        lab.wan(client, server, delay=DELAY)
        # Six at once, and then one every 500 ms: XRLIM_BURST_FACTOR in net/ipv4/route.c.
        server.sysctl("net/ipv4/icmp_ratelimit", 500)
        filter_at(server, "input", [Verdict(4, "reject with icmp type host-unreachable", 0)])
        dials = {each: {"address": (server.v4, FIRST_PORT)} for each in range(9)}
        done = client.run(partial(dial_all, dials), loop).values()
        for each in done:
            each.assert_failed(errno.EHOSTUNREACH)
        assert min(each.elapsed for each in done) >= 2 * DELAY
        assert max(each.elapsed for each in done) >= SYN_INTERVAL


def test_a_rejection_is_told_in_words(loop: Any) -> None:
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        lab.wan(client, server, delay=DELAY)
        filter_at(server, "input", REJECTIONS)
        done = client.run(partial(dial, (server.v4, FIRST_PORT)), loop)
        local = done.failure.attempts[0].local_address
        assert local is not None
        assert str(done.failure).startswith(
            f"[Errno {errno.ECONNREFUSED}] could not connect to {server.v4}:{FIRST_PORT} "
            f"(from {client.v4}:{local[1]}) in "
        )
        assert str(done.failure).endswith("ECONNREFUSED: nothing is listening there")


@pytest.mark.slow
@pytest.mark.parametrize(("count", "seconds"), [(1, 2.9), (2, 6.9)])
def test_the_kernel_gives_up_after_so_many_syns(loop: Any, count: int, seconds: float) -> None:
    """What the quick form shortens: the kernel's own patience, 1 s and 2 s and 4 s."""
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        link = lab.wan(client, server, delay=DELAY)
        filter_at(server, "input", DROPS)
        client.sysctl("net/ipv4/tcp_syn_linear_timeouts", 0)  # each wait is twice the last
        options = {"socket_options": tries(count)}
        for done in dial_each(client, server, DROPS, loop, **options).values():
            done.assert_failed(errno.ETIMEDOUT)
            assert done.elapsed >= seconds
        assert {len(syns) for syns in syns_by_port(link).values()} == {1 + count}
