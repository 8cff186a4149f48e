"""What a call is to connect to: made once, with its text and its endpoints."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from aconnect import TCPAddress, UDPAddress, UnixAddress, VsockAddress
from aconnect.addresses.target import Target, target_of
from aconnect.addresses.values import Endpoint

HOME = Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, ("127.0.0.1", 80))
ENTRY = (*HOME[:3], "", HOME.sockaddr)


@pytest.mark.parametrize(
    ("address", "value", "only", "text"),
    [
        ("127.0.0.1:80", TCPAddress("127.0.0.1", 80), HOME, "127.0.0.1:80"),
        (("127.0.0.1", 80), TCPAddress("127.0.0.1", 80), HOME, "127.0.0.1:80"),
        (TCPAddress("127.0.0.1", 80), TCPAddress("127.0.0.1", 80), HOME, "127.0.0.1:80"),
        ("a:1", TCPAddress("a", 1), None, "a:1"),
        ("udp://a:1", UDPAddress("a", 1), None, "udp://a:1"),
        ([ENTRY], (ENTRY,), HOME, "127.0.0.1:80"),
        ([ENTRY, ENTRY], (ENTRY, ENTRY), None, "127.0.0.1:80 and 1 more"),
        ("unix:a\nb", UnixAddress("a\nb"), UnixAddress("a\nb").endpoint, "unix:a\\nb"),
        (Path("/x"), UnixAddress("/x"), UnixAddress("/x").endpoint, "unix:/x"),
        ("vsock:2:1", VsockAddress(2, 1), VsockAddress(2, 1).endpoint, "vsock:2:1"),
    ],
    ids=str,
)
def test_what_an_address_stands_for(address: Any, value: Any, only: Any, text: str) -> None:
    target = target_of(address)
    assert target.address == value
    assert target.only == only
    assert target.text == text
    assert repr(target) == f"<Target {text}>"
    assert target.text is target.text  # it is made once
    assert target.known() == target.endpoints


@pytest.mark.parametrize("address", ["a:1", ("a", 1), TCPAddress("a", 1)])
def test_equal_addresses_share_a_target(address: Any) -> None:
    assert target_of(address) is target_of(address)


def test_true_is_not_1() -> None:
    target_of(("a", 1))
    with pytest.raises(TypeError, match="port must be an int, not True"):
        target_of(("a", True))


@pytest.mark.parametrize("address", [("a", [1]), (["a"], 1), None, 80, {"a": 1}])
def test_what_is_no_address_is_refused_in_words(address: Any) -> None:
    """Also what cannot be hashed."""
    with pytest.raises(TypeError, match="must be") as caught:
        target_of(address)
    assert caught.value.__context__ is None


def test_the_name_of_a_zone_is_looked_up_for_each_dial(monkeypatch: Any) -> None:
    target = target_of("[fe80::1%eth7]:80")
    assert target.endpoints is None
    for index in (7, 8):
        monkeypatch.setattr(socket, "if_nametoindex", lambda _, index=index: index)
        [endpoint] = target.known() or ()
        assert endpoint.sockaddr == ("fe80::1", 80, 0, index)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("a:1", socket.SOCK_STREAM),
        ("udp://a:1", socket.SOCK_DGRAM),
        ("unixpacket:/x", socket.SOCK_SEQPACKET),
        ([ENTRY], socket.SOCK_STREAM),
    ],
    ids=str,
)
def test_the_type_of_socket_that_it_takes(address: Any, kind: int) -> None:
    assert target_of(address).type == kind


def test_a_text_of_somebody_elses() -> None:
    assert Target(None, None, "the socket with descriptor 7").text.endswith("descriptor 7")
    assert Target(("127.0.0.1", 80), None, "x").host is None
    assert target_of("a:1").host == "a"
