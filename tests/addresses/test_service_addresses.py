"""Addresses that name a service: what they are, and what they are not."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from aconnect import ServiceAddress, SRVAddress, TCPAddress, UDPAddress, parse_address

HTTPS = ("h2", "http/1.1")
XMPP = SRVAddress("_xmpp-client", "example.org")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://example.org", ServiceAddress("example.org", 443, scheme="https", alpn=HTTPS)),
        ("https://example.org:8443", ServiceAddress("example.org", 8443, alpn=HTTPS)),
        ("https://[::1]", ServiceAddress("::1", 443, alpn=HTTPS)),
        ("https://[fe80::1%3]:4", ServiceAddress("fe80::1", 4, scope_id=3, alpn=HTTPS)),
        ("https://127.0.0.1", ServiceAddress("127.0.0.1", 443, alpn=HTTPS)),
        ("svcb://a.test:1?scheme=foo", ServiceAddress("a.test", 1, scheme="foo")),
        ("svcb://a.test:443?scheme=https", ServiceAddress("a.test", 443)),
        (
            "svcb://[::1]:1?scheme=foo&alpn=x,y&flowinfo=5",
            ServiceAddress("::1", 1, 5, scheme="foo", alpn=("x", "y")),
        ),
        ("srv:_xmpp-client._tcp.example.org", XMPP),
        ("srv:_sip._udp.example.org:5060", SRVAddress("_sip", "example.org", "udp", 5060)),
        ("srv:_ldap._tcp.example.org.", SRVAddress("_ldap", "example.org.")),
    ],
)
def test_text_there_and_back(text: str, address: Any) -> None:
    assert parse_address(text) == address
    assert str(address) == text
    assert parse_address(str(address)) == address
    assert parse_address(address) is address
    assert hash(parse_address(text)) == hash(address)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("HTTPS://example.org:443", "https://example.org"),
        ("SRV:_XMPP-client._TCP.example.org", "srv:_xmpp-client._tcp.example.org"),
        ("svcb://a.test:443?scheme=https&alpn=h2,http/1.1", "https://a.test"),
        ("https://a.test:https", "https://a.test"),
    ],
)
def test_other_ways_to_write_the_same(text: str, same: str) -> None:
    assert str(parse_address(text)) == same


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://h/path", "takes a host and a port alone"),
        ("https://h/", "takes a host and a port alone"),
        ("https://h?x=1", "takes a host and a port alone"),
        ("https://h#x", "takes a host and a port alone"),
        ("https://", "empty"),
        ("https://:443", "empty"),
        ("https://h:", "port must be a number"),
        ("https://h:70000", "70000"),
        ("https://::1", "brackets"),
        ("svcb://h:1", "svcb://host:port?scheme=NAME"),
        ("svcb://h:1?scheme=foo&more=1", "svcb://host:port?scheme=NAME"),
        ("svcb://h:1?scheme=", "must be a name of a service"),
        ("svcb://h:1?scheme=a_b", "must be a name of a service"),
        ("svcb://h?scheme=foo", "port is missing"),
        ("svcb://h:1?scheme=foo&alpn=", "no name of a protocol"),
        ("srv:_xmpp-client.example.org", "srv:_service._tcp.domain"),
        ("srv:_xmpp-client", "srv:_service._tcp.domain"),
        ("srv:_xmpp-client._tcp", "srv:_service._tcp.domain"),
        ("srv:_xmpp-client._tcp.", "empty"),
        ("srv:xmpp._tcp.example.org", "port must be a number"),
        ("srv:_a--b._tcp.example.org", "'_a--b'"),
        ("srv:_12._tcp.example.org", "'_12'"),
        ("srv:_-a._tcp.example.org", "'_-a'"),
        ("srv:_sixteen-letters1._tcp.example.org", "RFC 6335"),
        ("srv:_a._sctp.example.org", "'sctp'"),
        ("srv:_a._tcp.127.0.0.1", "must be a domain"),
        ("srv:_a._tcp.example.org:70000", "70000"),
        ("srv:_a._tcp.example.org:x", "'x'"),
    ],
)
def test_what_is_none(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("?", r"\?")) as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: ServiceAddress("h", 1, scheme=5), TypeError, "scheme must be a str, not 5"),  # type: ignore[arg-type]
        (lambda: ServiceAddress("h", 1, alpn="h2"), TypeError, "not the str 'h2'"),  # type: ignore[arg-type]
        (lambda: ServiceAddress("h", 1, alpn=(b"h2",)), TypeError, "not b'h2'"),  # type: ignore[arg-type]
        (lambda: ServiceAddress("h", 1, alpn=("",)), ValueError, "no name of a protocol: ''"),
        (lambda: ServiceAddress("h", 1, alpn=("a,b",)), ValueError, "'a,b'"),
        (lambda: ServiceAddress("h", 1, alpn=("\n",)), ValueError, "no name of a protocol"),
        (lambda: ServiceAddress("h h", 1), ValueError, "'h h'"),
        (lambda: SRVAddress(5, "h"), TypeError, "service must be a str, not 5"),  # type: ignore[arg-type]
        (lambda: SRVAddress("xmpp", "h"), ValueError, "underscore, not 'xmpp'"),
        (lambda: SRVAddress("_a", "h", 6), TypeError, "proto must be a str, not 6"),  # type: ignore[arg-type]
        (lambda: SRVAddress("_a", "h", port=True), TypeError, "port must be an int"),
        (lambda: SRVAddress("_a", "h", port=-1), ValueError, "-1"),
        (lambda: SRVAddress("_a", "::1"), ValueError, "must be a domain"),
        (lambda: SRVAddress("_a", "fe80::1%lo"), ValueError, "must be a domain"),
    ],
)
def test_nonsense_is_named(make: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_a_service_is_a_tcp_address() -> None:
    address = ServiceAddress("example.org", 443, scheme="HTTPS", alpn=["h2"])  # type: ignore[arg-type]
    assert isinstance(address, TCPAddress)
    assert (address.scheme, address.alpn) == ("https", ("h2",))
    assert address != TCPAddress("example.org", 443)
    assert address.endpoint is None
    assert ServiceAddress("127.0.0.1", 1).endpoint == TCPAddress("127.0.0.1", 1).endpoint
    assert ServiceAddress("h", 1, scheme="foo").default_port is None
    assert ServiceAddress("h", 1, scheme="dns").default_port == 53


def test_an_srv_address_has_the_socket_of_its_protocol() -> None:
    assert XMPP.type == socket.SOCK_STREAM
    assert XMPP.at("a.test", 5) == TCPAddress("a.test", 5)
    udp = SRVAddress("_sip", "example.org", "UDP")
    assert udp.type == socket.SOCK_DGRAM
    assert udp.at("a.test", 5) == UDPAddress("a.test", 5)
    assert (udp.proto, udp.port, udp.endpoint) == ("udp", None, None)
