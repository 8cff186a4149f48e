"""What is a key and an address, and what is a host and a port."""

from __future__ import annotations

from typing import Any

import pytest

from aconnect.many.targets import wanted


@pytest.mark.parametrize(
    "address",
    [
        "web.example:80",
        ("web.example", 80),
        ("web.example", "http"),
        ("web.example", True),
        (b"web.example", 80),
        (b"web.example", b"80"),
        ("web.example", b"80"),
        ("::1", 80, 0, 0),
    ],
)
def test_an_address_is_its_own_key(address: Any) -> None:
    assert wanted(address) == (address, address)


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("web", "web.example:80"),
        (7, "web.example:80"),
        ("web", "/run/web.sock"),
        ("web", ("web.example", 80)),
        (("a", "key"), ("web.example", 80)),
        (7, 80),
        ("web", None),
    ],
)
def test_a_key_goes_with_an_address(key: Any, address: Any) -> None:
    assert wanted((key, address)) == (key, address)
