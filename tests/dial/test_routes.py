"""Routes: what a race is told of proxies' and targets' addresses, in whatever order they come."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from aconnect.addresses.target import target_of
from aconnect.addresses.translated import Translated
from aconnect.addresses.values import Endpoint
from aconnect.dial.routes import Routes
from aconnect.dial.ways import Route, RouteOfHost
from aconnect.sansio.negotiation import Refusal
from aconnect.sansio.race import Cancel, Failed, Race, Rules, Start


def end(host: str) -> Endpoint:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sockaddr: Any = (host, 1) if family == socket.AF_INET else (host, 1, 0, 0)
    return Endpoint(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, sockaddr)


P1, P2, P6 = end("192.0.2.1"), end("192.0.2.2"), end("2001:db8::1")
T1, T2, T6 = end("203.0.113.1"), end("203.0.113.2"), end("2001:db8:1::1")


def begun(
    targets: Any = "db.example:1", hops: int = 1, rules: Rules | None = None
) -> tuple[Routes, Race[Any], dict[Any, Any]]:
    target = target_of(targets)
    routes = Routes([target_of("proxy.example:1")] * hops, target, [False] * hops)
    race: Race[Any] = Race(
        rules or Rules(attempt_delay=None, handshake=True), ranks=len(target.parts)
    )
    hosts: dict[Any, Any] = {}
    assert routes.begin(race, hosts.setdefault) == {}
    return routes, race, hosts


def started(commands: Any) -> list[Any]:
    return [each.address for each in commands if isinstance(each, Start)]


def test_a_route_is_there_when_all_its_steps_are() -> None:
    routes, race, _ = begun()
    assert routes.parts[0].addresses_added(0, [T1], 0) == []
    assert started(routes.hops[0].addresses_added(0, [P1], 0)) == []  # IPv6 may come
    assert started(routes.hops[0].family_answered(0, socket.AF_INET6, 0)) == [Route((P1, T1))]
    assert race.untried == 0


def test_the_proxys_address_changes_first() -> None:
    routes, race, _ = begun()
    routes.parts[0].addresses_added(0, [T1, T2], 0)
    commands = routes.hops[0].addresses_added(0, [P6, P2], 0)
    order = started(commands)
    for number in range(3):
        order += started(race.attempt_failed(0, number))
    assert order == [Route(each) for each in ((P6, T1), (P2, T1), (P6, T2), (P2, T2))]
    first = Route((P6, T1))
    assert (first.endpoint, first.family, first.target) == (P6, socket.AF_INET6, T1)
    assert Route((T1,)).target is None


def test_what_comes_unsorted_is_tried_in_the_order_of_the_whole() -> None:
    routes, race, _ = begun()
    routes.hops[0].addresses_added(0, [P6], 0)
    routes.parts[0].addresses_added(0, [T1], 0, order=[T1])
    routes.parts[0].addresses_added(0, [T2, T6], 0, order=[T6, T2, T1])
    assert routes.parts[0].found == [T6, T2, T1]
    assert started(race.attempt_failed(0, 0)) == [Route((P6, T6))]


def test_all_routes_to_a_group_come_before_those_to_the_next() -> None:
    routes, race, _ = begun()
    routes.parts[0].addresses_added(0, [T1, T6], 0, group=1)
    routes.parts[0].addresses_added(0, [T2], 0)
    routes.parts[0].addresses_added(0, [T6], 0)  # which is another group's now
    order = started(routes.hops[0].addresses_added(0, [P6, P2], 0))
    for number in range(5):
        order += started(race.attempt_failed(0, number))
    assert [each.target for each in order] == [T2, T2, T6, T6, T1, T1]


def test_what_is_connected_to_may_be_awaited() -> None:
    routes, _, _ = begun(hops=0)
    (part,) = routes.parts
    assert part.addresses_added(0, [], 0, awaiting=["service"]) == []
    assert started(part.addresses_added(0, [T6], 0)) == []
    assert started(part.addresses_added(0, [], 0, awaiting=[])) == [Route((T6,))]


def test_what_a_proxy_is_asked_for_is_not_awaited() -> None:
    routes, _, _ = begun()
    routes.hops[0].addresses_added(0, [P6], 0)
    assert started(routes.parts[0].addresses_added(0, [T1], 0, awaiting=["service"]))


def test_what_a_resolver_withdraws_is_not_tried() -> None:
    routes, race, _ = begun()
    routes.hops[0].addresses_added(0, [P6, P2], 0)
    routes.parts[0].addresses_added(0, [T1], 0)
    assert routes.hops[0].addresses_withdrawn(0, [P2, end("192.0.2.99")]) == []
    assert race.untried == 0
    assert routes.hops[0].found == [P6]


def test_a_rank_is_finished_when_all_its_sides_are() -> None:
    routes, race, _ = begun(["one.example:1", "two.example:1"])
    routes.hops[0].addresses_added(0, [P6], 0)
    routes.parts[0].addresses_added(0, [T1], 0)
    assert routes.hops[0].rank_finished(0, 0) == []
    assert routes.parts[0].rank_finished(0, 0) == []
    assert not race.over
    race.attempt_failed(0, 0)
    assert not race.over
    assert routes.parts[1].rank_finished(0, 1)
    assert race.over
    assert routes.parts[1].over


def test_an_address_of_two_hosts_is_that_of_the_one_it_was_found_for_first() -> None:
    routes, race, hosts = begun(["one.example:1", "two.example:1"])
    routes.hops[0].addresses_added(0, [P6], 0)
    routes.parts[1].addresses_added(0, [T1], 1)
    routes.parts[0].addresses_added(0, [T2], 0)
    routes.parts[0].addresses_added(0, [T1], 0)
    assert hosts[Route((P6, T1))].text == "two.example:1"
    assert hosts[Route((P6, T2))].text == "one.example:1"
    assert race.in_flight == 1


def test_without_a_proxy_the_target_is_connected_to() -> None:
    routes, _, _ = begun(["one.example:1", "two.example:1"], hops=0)
    assert started(routes.parts[0].addresses_added(0, [T6], 0)) == [Route((T6,))]
    assert routes.parts[1].family_answered(0, socket.AF_INET6, 1) == []
    assert routes.is_last(-1) is False


def refusal(about: Any, code: int = errno.EHOSTUNREACH) -> Refusal:
    return Refusal(code, "no", about=about)


class TestFailures:
    def all_known(self) -> tuple[Routes, Race[Any]]:
        routes, race, _ = begun()
        routes.parts[0].addresses_added(0, [T1, T2, T6], 0)
        routes.hops[0].addresses_added(0, [P6, P2], 0)
        routes.parts[0].rank_finished(0, 0)
        routes.hops[0].rank_finished(0, 0)
        return routes, race

    @pytest.mark.parametrize("error", [None, OSError("gone"), refusal("address")])
    def test_a_bad_address_of_a_proxy_takes_its_routes(self, error: Any) -> None:
        routes, race = self.all_known()
        withdrawn = routes.failed(Route((P6, T1)), 0, error)
        assert started(race.attempt_failed(0, 0, withdrawn)) == [Route((P2, T1))]
        assert race.untried == 2

    def test_a_target_takes_its_routes(self) -> None:
        routes, race = self.all_known()
        assert not routes.is_last(0)
        for number, (target, untried) in enumerate([(T1, 3), (T2, 1), (T6, 0)]):
            withdrawn = routes.failed(Route((P6, target)), 0, refusal("target"))
            commands = race.attempt_failed(0, number, withdrawn)
            assert race.untried == untried
        assert commands == [Failed(False)]
        assert routes.is_last(0)

    def test_a_family_takes_its_routes(self) -> None:
        routes, race = self.all_known()
        withdrawn = routes.failed(Route((P6, T1)), 0, refusal("target", errno.EAFNOSUPPORT))
        assert started(race.attempt_failed(0, 0, withdrawn)) == [Route((P2, T6))]
        assert race.untried == 1  # by the other address of the proxy

    def test_the_proxy_as_such_takes_none(self) -> None:
        routes, race = self.all_known()
        assert routes.failed(Route((P6, T1)), 0, refusal("proxy")) == []
        assert race.untried == 5

    def test_what_was_found_useless_does_not_come_back(self) -> None:
        routes, race, _ = begun()
        routes.parts[0].addresses_added(0, [T1, T2], 0)
        routes.hops[0].addresses_added(0, [P6], 0)
        race.attempt_failed(0, 0, routes.failed(Route((P6, T1)), 0, refusal("target")))
        assert routes.hops[0].addresses_added(0, [P2], 0) == []
        assert race.untried == 1  # (P2, T2)

    def test_a_hop_in_the_middle(self) -> None:
        routes, race, _ = begun(hops=2, rules=Rules(attempt_delay=None, handshake=True))
        routes.hops[1].addresses_added(0, [T1, T2], 0)
        routes.parts[0].addresses_added(0, [T6], 0)
        routes.hops[0].addresses_added(0, [P6], 0)
        for side in (*routes.hops, *routes.parts):
            side.rank_finished(0, 0)
        withdrawn = routes.failed(Route((P6, T1, T6)), 0, refusal("target"))
        assert not routes.is_last(0)
        commands = race.attempt_failed(0, 0, withdrawn)
        assert started(commands) == [Route((P6, T2, T6))]
        assert not [each for each in commands if isinstance(each, Cancel)]


def test_what_is_known_already_or_of_this_host_alone_is_left_out() -> None:
    routes, _, _ = begun()
    side = routes.parts[0]
    link_local = T6._replace(sockaddr=("fe80::1", 1, 0, 2))
    side.add([T1, T1, link_local, Endpoint(socket.AF_UNIX, socket.SOCK_STREAM, 0, "/x")])
    assert side.found == [T1]
    assert side.refused


def test_a_proxy_is_asked_for_the_address_that_a_translator_stands_for() -> None:
    routes, race, _ = begun()
    by_nat64 = Translated(end("2001:db8:64::cb00:7101"), T1, False)
    routes.hops[0].addresses_added(0, [Translated(P6, P1, False)], 0)
    routes.parts[0].addresses_added(0, [by_nat64, T2], 0, order=[T2, by_nat64])
    assert routes.parts[0].found == [T2, T1]
    assert started(race.attempt_failed(0, 0)) == [Route((P6, T1))]
    routes.parts[0].addresses_withdrawn(0, [by_nat64])
    assert routes.parts[0].found == [T2]


def test_routes_to_hosts_are_apart() -> None:
    one, other = (RouteOfHost.of((P6, T1), host) for host in ("one.example", "two.example"))
    assert one != other
    assert one == RouteOfHost.of((P6, T1), "one.example")
    assert hash(one) == hash(RouteOfHost.of((P6, T1), "one.example"))
    assert one != Route((P6, T1))
    assert (one.endpoint, one.target) == (P6, T1)
