"""Which names may be looked up."""

from __future__ import annotations

from typing import Any

import pytest

from aconnect.policy import allow_names


@pytest.mark.parametrize(
    ("name", "permitted"),
    [
        ("example.org", True),
        ("www.example.org", False),
        ("a.example.net", True),
        ("a.b.example.net", True),
        ("example.net", False),
        ("badexample.net", False),
        ("xn--bcher-kva.example", True),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("2001:db8::1", True),
        ("localhost", False),
    ],
)
def test_domains_and_all_below(name: str, permitted: bool) -> None:
    policy = allow_names(
        "Example.ORG.", "*.example.net", "bücher.example", "192.0.2.1", "2001:DB8:0::1"
    )
    assert policy(name) is permitted


def test_without_a_domain() -> None:
    assert not allow_names("example.org")("a.example.org")


def test_it_is_a_value() -> None:
    policy = allow_names("a.test", "*.b.test")
    assert policy == allow_names("a.test", "*.b.test")
    assert hash(policy) == hash(allow_names("a.test", "*.b.test"))
    assert repr(policy) == "allow_names('a.test', '*.b.test')"


@pytest.mark.parametrize(
    ("patterns", "error", "words"),
    [
        ((), ValueError, "needs at least one name"),
        ((5,), TypeError, "a pattern must be a str, not 5"),
        (("*",), ValueError, "a pattern must be a name or *.name, not '*'"),
        (("*.",), ValueError, "a pattern must be a name or *.name, not '*.'"),
        (("a.*.b",), ValueError, "not 'a.*.b'"),
        (("a.test:80",), ValueError, "not 'a.test:80'"),
    ],
)
def test_nonsense(patterns: Any, error: Any, words: str) -> None:
    with pytest.raises(error) as caught:
        allow_names(*patterns)
    assert words in str(caught.value)
