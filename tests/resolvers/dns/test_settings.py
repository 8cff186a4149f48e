"""resolv.conf(5), nsswitch.conf(5) and hosts(5), read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aconnect import TCPAddress
from aconnect.addresses.redirects import canonical
from aconnect.resolvers.dns.settings import (
    Settings,
    read_hosts,
    read_nsswitch,
    read_resolv_conf,
)

MANY = """
nameserver 192.0.2.1
nameserver\t192.0.2.2 # two
nameserver 192.0.2.3
nameserver 192.0.2.1
nameserver fe80::1%eth0
nameserver 2001:db8::1
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("nameserver 192.0.2.53", {"servers": (("192.0.2.53", 53),)}),
        (
            MANY,
            {
                "servers": (
                    *(("192.0.2.1", 53), ("192.0.2.2", 53), ("192.0.2.3", 53)),
                    *(("fe80::1%eth0", 53), ("2001:db8::1", 53)),
                )
            },
        ),
        ("nameserver\nnameserver ns.example\nname server\n;x\n#y\n", {}),
        ("search A.Example. b.example", {"search": ("a.example", "b.example")}),
        ("search a.example\ndomain b.example c.example", {"search": ("b.example",)}),
        ("search a..b good.example", {"search": ("good.example",)}),
        ("search", {}),
        ("options ndots:3 timeout:7 attempts:4", {"ndots": 3, "timeout": 7, "attempts": 4}),
        ("options ndots:99 timeout:99 attempts:99", {"ndots": 15, "timeout": 30, "attempts": 5}),
        ("options ndots:0 timeout:0 attempts:0", {"ndots": 0, "timeout": 1, "attempts": 1}),
        ("options ndots:x timeout attempts:-1 edns0 nonsense", {}),
        (
            "options rotate use-vc trust-ad no-aaaa single-request no-reload",
            {
                "rotate": True,
                "use_tcp": True,
                "trust_ad": True,
                "no_aaaa": True,
                "one_by_one": True,
                "no_reload": True,
            },
        ),
        ("options single-request-reopen", {"one_by_one": True}),
    ],
)
def test_resolv_conf(text: str, expected: dict[str, Any]) -> None:
    assert read_resolv_conf(text, {}) == Settings(**expected)


def test_the_environment_has_its_say() -> None:
    environment = {"LOCALDOMAIN": "x.example y.example", "RES_OPTIONS": "ndots:2 rotate"}
    found = read_resolv_conf("search a.example\noptions ndots:5 timeout:2", environment)
    assert found == Settings(search=("x.example", "y.example"), ndots=2, rotate=True, timeout=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("files", "dns")),
        ("passwd: files\nhosts: files dns\n", ("files", "dns")),
        ("hosts:dns", ("dns",)),
        (
            "hosts: files mdns4_minimal [NOTFOUND=return] dns [!UNAVAIL=return] myhostname # x",
            ("files", "mdns4_minimal", "dns", "myhostname"),
        ),
        ("hosts", ("files", "dns")),
    ],
)
def test_nsswitch(text: str, expected: tuple[str, ...]) -> None:
    assert read_nsswitch(text) == expected


def test_hosts() -> None:
    text = """
127.0.0.1 localhost Local.Example.  # a comment
::1 localhost
# 192.0.2.9 nobody
192.0.2.1
not-an-address name
fe80::1%eth0 b\u00fccher.example two..dots
192.0.2.2 local.example
127.0.0.1 localhost
"""
    assert read_hosts(text) == {
        "localhost": ("127.0.0.1", "::1"),
        "local.example": ("127.0.0.1", "192.0.2.2"),
        "xn--bcher-kva.example": ("fe80::1%eth0",),
    }


@settings(deadline=None)
@given(st.text("aB1.-_\u212a", min_size=1, max_size=70))
def test_plain_names_in_the_hosts_file_are_those_of_any_address(name: str) -> None:
    try:
        expected = [canonical(TCPAddress(name, 0).host)]
    except ValueError:
        expected = []
    assert [*read_hosts(f"192.0.2.1 {name}")] == expected
