"""One question, step by step: what comes in pieces, and what comes late."""

from __future__ import annotations

import errno
import math
import select
import socket
from contextlib import closing
from typing import Any

import pytest
from support.liar import answer
from support.programs import free_port

from aconnect.resolvers.dns import exchange as module
from aconnect.resolvers.dns.exchange import Exchange
from aconnect.resolvers.dns.settings import Settings
from aconnect.resolvers.dns.wire import A, Question, require
from aconnect.sansio.asking import Servers

require()
QUESTION = Question("a.test", A)
RECORD = "a.test 60 A 192.0.2.1"


@pytest.fixture
def patience() -> None:
    """That of the module: time is a number here."""


def udp(host: str = "127.0.0.1", port: int = 0) -> Any:
    """A socket."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(30)
    sock.bind((host, port))
    return closing(sock)


def exchange_with(*socks: socket.socket, **settings: Any) -> Exchange:
    servers = tuple(sock.getsockname() for sock in socks)
    return Exchange(QUESTION, Settings(servers=servers, **settings), Servers(len(socks)), 0.0)


def carry_on(exchange: Exchange, now: float = 0.0) -> None:
    """Tell it of the sockets that are ready."""
    reads, writes, _ = select.select([*exchange.reads], [*exchange.writes], [], 10)
    assert reads or writes
    for sock in (*reads, *writes):
        exchange.ready(sock, now)


def test_an_answer_over_tcp_in_pieces() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        exchange = exchange_with(listener, use_tcp=True)
        carry_on(exchange)
        with listener.accept()[0] as peer:
            query = peer.recv(65535)[2:]
            message = answer(query, RECORD)
            data = len(message).to_bytes(2, "big") + message
            for start in range(0, len(data), 7):
                assert exchange.outcome is None
                peer.send(data[start : start + 7])
                carry_on(exchange)
    assert exchange.outcome is not None
    assert exchange.outcome.reply is not None
    assert exchange.outcome.reply.addresses == ("192.0.2.1",)
    assert not {**exchange.reads, **exchange.writes}
    assert exchange.wake_at == math.inf


def test_two_are_listened_to_at_a_time() -> None:
    with udp() as one, udp() as other:
        exchange = exchange_with(one, other)
        first, peer = one.recvfrom(512)
        assert exchange.wake_at == 1.0
        exchange.time_passed(1.0)
        second, other_peer = other.recvfrom(512)
        assert len(exchange.reads) == 2
        one.sendto(answer(first, rcode="REFUSED"), peer)
        carry_on(exchange, 1.1)
        assert exchange.outcome is None
        assert len(exchange.reads) == 1
        other.sendto(answer(second, RECORD), other_peer)
        carry_on(exchange, 1.2)
    assert exchange.outcome is not None
    assert exchange.outcome.reply is not None


def test_the_first_right_answer_counts() -> None:
    with udp() as one, udp() as other:
        exchange = exchange_with(one, other)
        first, peer = one.recvfrom(512)
        exchange.time_passed(1.0)
        other.recvfrom(512)
        one.sendto(answer(first, RECORD), peer)
        carry_on(exchange, 1.1)
        assert exchange.outcome is not None
        assert not exchange.reads


def test_very_many_servers_that_connect_refuses() -> None:
    with udp() as sock:
        servers = *[("255.255.255.255", port) for port in range(1, 1001)], sock.getsockname()
        settings = Settings(servers=servers)
        with closing(Exchange(QUESTION, settings, Servers(1001), 0.0)) as exchange:
            assert len(exchange.reads) == 1
            assert exchange.outcome is None
    settings = Settings(servers=servers[:-1], attempts=2)
    exchange = Exchange(QUESTION, settings, Servers(1000), 0.0)
    assert exchange.outcome is not None
    assert exchange.outcome.words.startswith("none of 1000 name servers answered: 255.255.")


def test_a_server_that_connect_refuses() -> None:
    settings = Settings(servers=(("255.255.255.255", 53),))
    exchange = Exchange(QUESTION, settings, Servers(1), 0.0)
    assert exchange.outcome is not None
    assert exchange.outcome.code == socket.EAI_AGAIN
    assert exchange.outcome.words == (
        "no name server answered: 255.255.255.255:53 could not be asked (Permission denied)"
    )


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("has_address", [False, True])
def test_a_server_for_whose_family_this_machine_has_no_address(
    monkeypatch: Any, tcp: bool, has_address: bool
) -> None:
    """Where IPv6 is switched off, connect(2) says that there is no address, or no port."""

    class Sock(socket.socket):
        def connect_ex(self, address: Any) -> int:
            if address[0] == "255.255.255.255":
                return errno.EADDRNOTAVAIL
            return super().connect_ex(address)

    monkeypatch.setattr(module.socket, "socket", Sock)
    asked: list[Any] = []

    def source_address(endpoint: Any) -> str | None:
        asked.append(endpoint.sockaddr[0])
        return "192.0.2.1" if has_address else None

    monkeypatch.setattr(module, "source_address", source_address)
    with udp() as sock:
        servers = (("255.255.255.255", 53), sock.getsockname())
        settings = Settings(servers=servers, use_tcp=tcp)
        with closing(Exchange(QUESTION, settings, Servers(2), 0.0)) as exchange:
            code = None if exchange.outcome is None else exchange.outcome.code
            asks = len(exchange.reads) + len(exchange.writes)
    assert (code, asks) == ((errno.EADDRNOTAVAIL, 0) if has_address else (None, 1))
    assert asked == ["255.255.255.255"]


@pytest.mark.parametrize("tcp", [False, True])
def test_closed_it_leaves_nothing(tcp: bool) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener, udp() as one:
        exchange = exchange_with(listener if tcp else one, use_tcp=tcp)
        socks = [*exchange.reads, *exchange.writes]
        assert socks
        exchange.close()
        assert [sock.fileno() for sock in socks] == [-1]


# ---------------------------------------------------------------------- strangers, and silence


def test_d2_what_comes_from_elsewhere_is_not_heard() -> None:
    """From another port of the server's, or the server's port of another host."""
    port = free_port()
    with udp(port=port) as one, udp() as stranger, udp("127.0.0.2", port) as neighbour:
        exchange = exchange_with(one)
        query, peer = one.recvfrom(512)
        for each in (stranger, neighbour):
            each.sendto(answer(query, "a.test 60 A 192.0.2.66"), peer)
        assert select.select([*exchange.reads], [], [], 0)[0] == []
        one.sendto(answer(query, RECORD), peer)
        carry_on(exchange)
    assert exchange.outcome is not None
    assert exchange.outcome.reply is not None
    assert exchange.outcome.reply.addresses == ("192.0.2.1",)
    assert exchange.outcome.ignored == 0


def test_d2_each_try_has_a_port_of_its_own() -> None:
    with udp() as one, udp() as other:
        exchange = exchange_with(one, other, attempts=2)
        peers = [one.recvfrom(512)[1]]
        for now, server in ((1.0, other), (2.0, one), (3.0, other)):
            assert exchange.wake_at == now
            exchange.time_passed(now)
            peers.append(server.recvfrom(512)[1])
        assert len(set(peers)) == 4
        exchange.close()


def test_d2_each_try_has_an_id_of_its_own_from_the_systems_random_numbers(
    monkeypatch: Any,
) -> None:
    given = [bytes([each, 255 - each]) for each in (1, 2, 3)]
    ids = iter(given)
    asked: list[int] = []

    def urandom(size: int) -> bytes:
        asked.append(size)
        return next(ids)

    monkeypatch.setattr("aconnect.resolvers.dns.exchange.os.urandom", urandom)
    with udp() as one, udp() as other:
        exchange = exchange_with(one, other)
        queries = [one.recvfrom(512)[0]]
        exchange.time_passed(exchange.wake_at)
        queries.append(other.recvfrom(512)[0])
        exchange.time_passed(exchange.wake_at)
        queries.append(one.recvfrom(512)[0])
        exchange.close()
    assert [query[:2] for query in queries] == given
    assert asked == [2, 2, 2]
    assert len({query[2:] for query in queries}) == 1


def test_x1_no_answer_names_another_server() -> None:
    """Of servers that are named in it, and of their addresses, none is asked."""
    port = free_port()
    with udp(port=port) as one, udp("127.0.0.2", port) as named:
        exchange = exchange_with(one, attempts=1)
        query, peer = one.recvfrom(512)
        servers = ["a.test 60 NS ns.test.", "test 60 NS ns.test."]
        said = answer(
            query, without=["RA"], authority=servers, additional=["ns.test 60 A 127.0.0.2"]
        )
        one.sendto(said, peer)
        carry_on(exchange)
        assert exchange.outcome is not None
        assert exchange.outcome.code == socket.EAI_FAIL
        assert select.select([named], [], [], 0)[0] == []


def test_d3_what_is_no_answer_does_not_prolong_the_wait() -> None:
    with udp() as one:
        exchange = exchange_with(one, attempts=1)
        query, peer = one.recvfrom(512)
        until = exchange.wake_at
        assert until == 5.0
        for now in (0.5, 4.9):
            one.sendto(bytes([query[0] ^ 1]) + answer(query, RECORD)[1:], peer)
            carry_on(exchange, now)
            assert exchange.wake_at == until
        exchange.time_passed(until)
    assert exchange.outcome is not None
    assert (exchange.outcome.code, exchange.outcome.ignored) == (socket.EAI_AGAIN, 2)


@pytest.mark.parametrize("silent", [0, 1])
def test_a_silent_server_may_know_another_time(silent: int) -> None:
    with udp() as one, udp() as other:
        exchange = exchange_with(one, other, attempts=1)
        if silent == 0:
            exchange.time_passed(exchange.wake_at)
        server = (other, one)[silent]
        query, peer = server.recvfrom(512)
        server.sendto(answer(query, rcode="REFUSED"), peer)
        carry_on(exchange, 1.5)
        while exchange.outcome is None:
            exchange.time_passed(exchange.wake_at)
    assert exchange.outcome.code == socket.EAI_AGAIN
    assert "REFUSED" in exchange.outcome.words
    assert "timed out after 5 s" in exchange.outcome.words
