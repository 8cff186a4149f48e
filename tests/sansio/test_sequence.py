"""How much of the time each address gets."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aconnect.sansio.sequence import LEAST_SHARE, share

NOW = 1000.0


def test_the_least_share_is_long_enough_for_one_lost_syn() -> None:
    assert LEAST_SHARE == 2.0


@pytest.mark.parametrize(
    ("left", "addresses", "seconds"),
    [
        (30, 1, 30),
        (30, 2, 15),
        (30, 3, 10),
        (30, 15, 2),
        (30, 16, 2),
        (30, 1000, 2),
        (4, 2, 2),
        (3, 2, 2),
        (3, 1, 3),
        (2, 2, 2),
        (1.5, 2, 1.5),
        (1.5, 1, 1.5),
        (0, 3, 0),
        (-1, 3, -1),
        (inf, 1, inf),
        (inf, 3, inf),
    ],
)
def test_an_address_gets_its_share_but_at_least_two_seconds(
    left: float, addresses: int, seconds: float
) -> None:
    assert share(NOW, NOW + left, addresses) == NOW + seconds


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0, 1000))
def test_no_address_gets_more_than_is_left_nor_less_than_its_due(
    silences: list[float], timeout: float
) -> None:
    """Addresses that each take as long as they like, up to their share."""
    now, until = NOW, NOW + timeout
    for index, silence in enumerate(silences):
        addresses = len(silences) - index
        end = share(now, until, addresses)
        assert now <= end <= until
        assert end == until or end - now >= LEAST_SHARE - 1e-6
        assert end == until or end - now >= (until - now) / addresses - 1e-6
        now = min(now + silence, end)
    assert share(now, until, 1) == until
