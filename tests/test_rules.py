"""The rules of the race by their names, and that each has a test which bears its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

RULES = {
    "R1": "IPv6 is asked for before IPv4, back to back",
    "R2": "what can be tried is tried, whatever answers are missing",
    "R3": "IPv6 first: start at once",
    "R4": "IPv4 first: wait for IPv6, but no longer than the resolution delay",
    "R5": "no IPv6: start with IPv4 at once",
    "R6": "one family without an answer is no failure",
    "O1": "sorted by RFC 6724, unless the resolver has done it",
    "O2": "families take turns, the first address's begins",
    "O3": "an address that comes twice is tried once",
    "A1": "starts are one attempt delay apart",
    "A2": "the delay is at least 10 ms and at most 2 s; None is one by one",
    "A3": "a failure starts the next, 10 ms after the start before or later",
    "A4": "no attempt ends another; so many are in flight, and no more",
    "A5": "the first success wins",
    "A6": "handshakes: one at a time, and the first that is done wins",
    "A7": "addresses may be withdrawn, and may come late",
    "A8": "a time limit of its own ends one attempt alone",
    "A9": "one by one, each address has its share of the deadline",
    "I1": "whatever was started ends once, and is closed unless it has won",
    "I2": "of two successes in one turn, the one that was started first wins",
    "I3": "cancellation beats success",
    "I4": "errors are kept in the order of the starts",
    "I5": "the error is that of the attempt that got furthest",
}

_NAME = re.compile(r'(?:def test_|_|^ +")([ORAI][1-9])(?=[_ ])', re.MULTILINE | re.IGNORECASE)
"""In a test's name, ``test_i3_...``, or at the beginning of a scenario's."""


def names() -> set[str]:
    files = (path for path in TESTS.rglob("test_*.py") if path != Path(__file__))
    return {name.upper() for path in files for name in _NAME.findall(path.read_text())}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_a_test_of_its_name(rule: str) -> None:
    assert rule in names()
