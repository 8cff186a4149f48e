"""Which names are DNS's, and what is asked of them."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from aconnect.addresses.redirects import canonical
from aconnect.resolvers.dns.names import business_of, candidates_of, files_last, is_systems
from aconnect.resolvers.dns.settings import Settings


@pytest.mark.parametrize(
    ("name", "business"),
    [
        ("example.org", ""),
        ("localhost", "loopback"),
        ("a.b.localhost", "loopback"),
        ("notlocalhost", ""),
        ("printer.local", "system"),
        ("x.invalid", "names under .invalid are never looked up in DNS (RFC 6761)"),
        ("x.onion", "names under .onion are never looked up in DNS (RFC 7686)"),
        ("x.alt", "names under .alt are never looked up in DNS (RFC 9476)"),
        ("127.1", "it looks like an IPv4 address and is none"),
        ("1", "it looks like an IPv4 address and is none"),
        ("a.0x7f", "it looks like an IPv4 address and is none"),
        ("a.0x", "it looks like an IPv4 address and is none"),
        ("a.0xg", ""),
        ("1.a", ""),
        ("a." * 126 + "b", ""),
        ("a." * 126 + "bc", "no name in DNS is longer than 253 octets"),
        ("\\.." * 126 + "b", ""),
        ("\\000." * 126 + "b", ""),
        ("\\000." * 126 + "bc", "no name in DNS is longer than 253 octets"),
    ],
)
def test_whose_business_it_is(name: str, business: str) -> None:
    assert business_of(name) == business


@pytest.mark.parametrize(
    ("order", "name", "why"),
    [
        (("files", "dns"), "a.test", ""),
        (("files", "resolve"), "a.test", ""),
        (("files", "mdns4_minimal", "dns"), "a.test", ""),
        (("files", "nis", "dns"), "a.test", "the source 'nis'"),
        (("files",), "a.test", "does not list the source 'dns'"),
        (("files", "dns", "myhostname"), "a.test", ""),
        (("files", "dns", "myhostname"), "own-name", "the source 'myhostname'"),
        (("files", "dns", "myhostname"), "_gateway", "the source 'myhostname'"),
        (("files", "dns"), "own-name", ""),
    ],
)
def test_what_is_the_systems(monkeypatch: Any, order: Any, name: str, why: str) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Own-Name")
    said = is_systems(name, order)
    assert why in said
    assert bool(said) == bool(why)


@pytest.mark.parametrize(
    ("host", "settings", "names"),
    [
        ("a", {}, ["a"]),
        ("a", {"search": ("x", "y.z")}, ["a.x", "a.y.z", "a"]),
        ("a.b", {"search": ("x",)}, ["a.b", "a.b.x"]),
        ("a.b", {"search": ("x",), "ndots": 2}, ["a.b.x", "a.b"]),
        ("a", {"search": ("x",), "ndots": 0}, ["a", "a.x"]),
        ("a.", {"search": ("x",)}, ["a"]),
        *((f"a{dot}", {"search": ("x",)}, ["a"]) for dot in "\u3002\uff0e\uff61"),
        ("a", {"search": ("x" * 252, "y")}, ["a.y", "a"]),
    ],
)
def test_candidates(host: str, settings: Any, names: list[str]) -> None:
    assert candidates_of(host, canonical(host), Settings(**settings)) == names


@pytest.mark.parametrize(
    ("order", "last"),
    [
        (("files", "dns"), False),
        (("dns", "files"), True),
        (("mdns4_minimal", "resolve", "files", "dns"), True),
        (("myhostname", "files", "dns"), False),
        (("dns",), False),
        (("files",), False),
        ((), False),
    ],
)
def test_n7_whether_the_hosts_file_comes_last(order: tuple[str, ...], last: bool) -> None:
    assert files_last(order) is last
