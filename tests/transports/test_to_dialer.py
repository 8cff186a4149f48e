"""What the arguments of asyncio's own calls are to a dialer."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from aconnect import Dialer, SocketOption, StaticResolver, SystemResolver
from aconnect.addresses.target import target_of
from aconnect.transports import as_asyncio
from aconnect.transports.as_asyncio import to_dialer

STREAM = target_of("127.0.0.1:1")
DATAGRAM = target_of("udp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, {}),
        ({"happy_eyeballs_delay": None, "interleave": None, "sock": None}, {}),
        ({"happy_eyeballs_delay": 0.1}, {"attempt_delay": 0.1}),
        ({"interleave": 2}, {"first_family_count": 2}),
        ({"interleave": 0}, {"first_family_count": 2**31 - 1}),
        ({"proto": 0, "flags": 0, "family": 0, "all_errors": False}, {}),
        ({"proto": socket.IPPROTO_TCP}, {}),
        ({"family": socket.AF_INET6}, {"family": socket.AF_INET6}),
        (
            {"flags": socket.AI_NUMERICHOST},
            {"resolver": SystemResolver(flags=socket.AI_NUMERICHOST)},
        ),
        (
            {"flags": 1, "resolver": SystemResolver(by_family=True)},
            {"resolver": SystemResolver(by_family=True, flags=1)},
        ),
        ({"allow_broadcast": None, "reuse_port": False}, {}),
        (
            {"allow_broadcast": True, "reuse_port": True},
            {
                "socket_options": (
                    SocketOption(socket.SOL_SOCKET, socket.SO_BROADCAST, 1),
                    SocketOption(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1),
                )
            },
        ),
    ],
)
def test_what_each_is_to_a_dialer(given: Any, made: Any) -> None:
    assert to_dialer(given, None, STREAM, "call") is False
    assert given == made
    Dialer(**made)


def test_options_of_the_dialer_are_kept() -> None:
    mine = SocketOption(socket.SOL_SOCKET, socket.SO_RCVBUF, 9999)
    resolver = SystemResolver(by_family=True)
    options: Any = {"allow_broadcast": True, "flags": 1}
    to_dialer(options, Dialer(socket_options=[mine], resolver=resolver), DATAGRAM, "call")
    assert options["socket_options"][0] == mine
    assert len(options["socket_options"]) == 2
    assert options["resolver"] == SystemResolver(by_family=True, flags=1)


def test_all_errors() -> None:
    assert to_dialer({"all_errors": True}, None, STREAM, "call") is True


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"happy_eyeballs_delay": "1"}, TypeError, "happy_eyeballs_delay .*'1'"),
        ({"happy_eyeballs_delay": True}, TypeError, "happy_eyeballs_delay .*True"),
        ({"happy_eyeballs_delay": -1}, ValueError, "happy_eyeballs_delay .*-1"),
        ({"happy_eyeballs_delay": float("nan")}, ValueError, "happy_eyeballs_delay .*nan"),
        (
            {"happy_eyeballs_delay": 1, "attempt_delay": 1},
            TypeError,
            "happy_eyeballs_delay and attempt_delay mean the same",
        ),
        (
            {"interleave": 1, "first_family_count": 1},
            TypeError,
            "interleave and first_family_count mean the same",
        ),
        ({"interleave": "1"}, TypeError, "interleave .*'1'"),
        ({"interleave": -1}, ValueError, "interleave .*-1"),
        ({"proto": True}, TypeError, "proto .*True"),
        ({"proto": socket.IPPROTO_UDP}, ValueError, "proto must be 0 or 6.*127.0.0.1:1.*17"),
        ({"flags": "1"}, TypeError, "flags .*'1'"),
        (
            {"flags": 1, "resolver": StaticResolver({})},
            ValueError,
            "flags 1 are for a SystemResolver, not for StaticResolver",
        ),
        (
            {"flags": socket.AI_V4MAPPED, "family": socket.AF_INET6},
            ValueError,
            "AI_V4MAPPED",
        ),
    ],
)
def test_nonsense(given: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        to_dialer(given, None, STREAM, "call")


def test_a_protocol_of_datagrams() -> None:
    to_dialer({"proto": socket.IPPROTO_UDP}, None, DATAGRAM, "call")
    with pytest.raises(ValueError, match="proto must be 0 or 17"):
        to_dialer({"proto": socket.IPPROTO_TCP}, None, DATAGRAM, "call")


def test_a_platform_without_reuse_port(monkeypatch: Any) -> None:
    monkeypatch.setitem(as_asyncio._SWITCHES, "reuse_port", None)
    with pytest.raises(ValueError, match="reuse_port is not available"):
        to_dialer({"reuse_port": True}, None, DATAGRAM, "call")
    to_dialer({"reuse_port": False}, None, DATAGRAM, "call")
