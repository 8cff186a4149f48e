"""Where to connect instead: the mapping of ``connect_to``."""

from __future__ import annotations

from typing import Any

import pytest

from aconnect import TCPAddress, UDPAddress, UnixAddress
from aconnect.addresses.redirects import Redirects, canonical
from aconnect.addresses.target import target_of


@pytest.mark.parametrize(
    ("host", "form"),
    [
        ("API.Example.", "api.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_the_form_in_which_hosts_are_compared(host: str, form: str) -> None:
    assert canonical(host) == form


MAPPING = {
    "api.example:443": "127.0.0.1:8443",
    "api.example": "127.0.0.2",
    "*.example:80": "127.0.0.3:8080",
    "*.example": "10.0.0.1",
    "*.deep.example": "other.test",
    "xn--bcher-kva.example": "127.0.0.4",
    "[2001:db8::1]:5": "[::1]:6",
    "192.0.2.1": "[::1]",
    "port.test:1": "port.test:2",
    "[fe80::1%3]": "[fe80::2%4]:6",
    "[fe80::1%eth0]": "[fe80::2%eth1]",
}


@pytest.mark.parametrize(
    ("asked", "instead"),
    [
        ("api.example:443", "127.0.0.1:8443"),
        ("API.Example.:443", "127.0.0.1:8443"),
        ("api.example:80", "127.0.0.2:80"),
        ("b.example:80", "127.0.0.3:8080"),
        ("b.example:81", "10.0.0.1:81"),
        ("a.deep.example:80", "other.test:80"),
        ("a.b.deep.example:80", "other.test:80"),
        ("example:80", None),
        ("bücher.example:5", "127.0.0.4:5"),
        ("[2001:DB8:0::1]:5", "[::1]:6"),
        ("[2001:db8::1]:6", None),
        ("192.0.2.1:7", "[::1]:7"),
        ("port.test:1", "port.test:2"),
        ("port.test:2", None),
        ("[fe80::1%3]:5", "[fe80::2%4]:6"),
        ("[fe80::1%4]:5", None),
        ("[fe80::1]:5", None),
        ("[fe80::1%eth0]:5", "[fe80::2%eth1]:5"),
        ("nothing.test:1", None),
        ("udp://api.example:443", "udp://127.0.0.1:8443"),
        ("unix:/run/x", None),
    ],
)
def test_the_most_specific_counts(asked: str, instead: str | None) -> None:
    target = target_of(asked)
    found = Redirects(MAPPING).of(target)
    if instead is None:
        assert found is target
    else:
        assert str(found.address) == instead
        assert found.host == target.host
        assert found.text == f"{target.text} (connect_to {instead})"
        assert type(found.address) is type(target.address)


def test_a_star_is_every_host() -> None:
    redirects = Redirects({"*": "127.0.0.1", "*:5": "127.0.0.5", "a.test": "a.test"})
    assert redirects.of(target_of("b.test:4")).only == TCPAddress("127.0.0.1", 4).endpoint
    assert redirects.of(target_of("[::1]:5")).only == TCPAddress("127.0.0.5", 5).endpoint
    assert str(redirects.of(target_of("a.test:4")).address) == "a.test:4"
    assert redirects.of(target_of(UDPAddress("b.test", 4))).only == (
        UDPAddress("127.0.0.1", 4).endpoint
    )


def test_a_service_is_led_to_a_host_with_a_port() -> None:
    """Whoever says where to go asks for no records."""
    redirects = Redirects({"a.test": "b.test:8443"})
    found = redirects.of(target_of("https://a.test"))
    assert found.address == TCPAddress("b.test", 8443)
    assert found.host == "a.test"
    service = target_of("srv:_x._tcp.a.test")
    assert redirects.of(service) is service


def test_of_several_each_is_led_for_itself() -> None:
    redirects = Redirects({"a.test": "127.0.0.1"})
    target = target_of(["a.test:1", "b.test:1", UnixAddress("/run/x")])
    found = redirects.of(target)
    texts = [str(part.address) for part in found.parts]
    assert texts == ["127.0.0.1:1", "b.test:1", "unix:/run/x"]
    assert found.parts[1] is target.parts[1]
    assert redirects.of(other := target_of(["c.test:1", "b.test:1"])) is other


@pytest.mark.parametrize(
    ("mapping", "error", "words"),
    [
        (["a"], TypeError, "connect_to must be a mapping, not ['a']"),
        ({"a": 5}, TypeError, "must be a mapping of str to str, but has 5"),
        ({5: "a"}, TypeError, "must be a mapping of str to str, but has 5"),
        ({"a:x": "b"}, ValueError, "'a:x' has no port from 0 to 65535"),
        ({"a:65536": "b"}, ValueError, "'a:65536' has no port"),
        ({"a:123456": "b"}, ValueError, "'a:123456' has no port"),
        ({"a": "b:"}, ValueError, "'b:' has no port"),
        ({"": "b"}, ValueError, "host must not be empty"),
        ({"a": "*.b"}, ValueError, "neither a name nor an IPv4 or IPv6 address"),
        ({"a.*.b": "c"}, ValueError, "neither a name nor an IPv4 or IPv6 address"),
        ({"::1:80": "b"}, ValueError, "an IPv6 address needs brackets"),
        ({"[a]:80": "b"}, ValueError, "brackets are for IPv6 addresses"),
        ({"a": "http://b"}, ValueError, "'http://b'"),
    ],
)
def test_nonsense(mapping: Any, error: Any, words: str) -> None:
    with pytest.raises(error) as caught:
        Redirects(mapping)
    assert words in str(caught.value)
