"""How long to wait before the next try (B1)."""

from __future__ import annotations

import math
import pickle
import random
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aconnect.sansio.backoff import Backoff


class Fixed:
    """Draws what it is told: 0 for the least, 1 for the most."""

    def __init__(self, where: float) -> None:
        self.where = where

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.where


def delays(backoff: Backoff, where: float, count: int) -> list[float]:
    return [round(each, 9) for each in islice(backoff.delays(Fixed(where)), count)]


def test_the_defaults_are_those_of_grpc() -> None:
    assert Backoff() == Backoff(1.0, 1.6, 120.0, 0.2, 20.0)
    assert delays(Backoff(), 0.5, 5) == [1, 1.6, 2.56, 4.096, 6.5536]


def test_quick_is_for_what_is_about_to_start() -> None:
    assert Backoff.quick() == Backoff(0.1, 1.6, 2.0, 0.2)
    assert delays(Backoff.quick(), 0.5, 9)[-2:] == [2, 2]


@pytest.mark.parametrize(("where", "part"), [(0.0, 0.8), (1.0, 1.2)])
def test_jitter_takes_away_or_adds_a_part(where: float, part: float) -> None:
    whole = delays(Backoff(jitter=0), where, 14)
    assert delays(Backoff(), where, 14) == pytest.approx([part * each for each in whole])


@given(
    first=st.floats(0.001, 100),
    factor=st.floats(1, 10),
    most=st.floats(100, 1000),
    jitter=st.floats(0, 1),
    seed=st.integers(),
)
def test_delay_n_is_within_its_bounds(
    first: float, factor: float, most: float, jitter: float, seed: int
) -> None:
    backoff = Backoff(first, factor, most, jitter)
    for number, delay in enumerate(islice(backoff.delays(random.Random(seed)), 30)):
        middle = min(first * factor**number, most)
        assert (1 - jitter) * middle * 0.999999 <= delay <= (1 + jitter) * middle * 1.000001


def test_it_never_overflows() -> None:
    assert all(map(math.isfinite, islice(Backoff(factor=1e308).delays(random), 5)))


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"first": True}, TypeError, "first must be a number, not True"),
        ({"first": "1"}, TypeError, "first must be a number, not '1'"),
        ({"first": 0}, ValueError, "first must be more than 0 seconds, not 0"),
        ({"factor": 0.9}, ValueError, "factor must be 1 or more, not 0.9"),
        ({"factor": math.nan}, ValueError, "factor must be a finite number, not nan"),
        ({"most": 0.5}, ValueError, "most must be at least first, 1.0, not 0.5"),
        ({"most": math.inf}, ValueError, "most must be a finite number, not inf"),
        ({"jitter": 1.1}, ValueError, "jitter must be from 0 to 1, not 1.1"),
        ({"jitter": -0.1}, ValueError, "jitter must be from 0 to 1, not -0.1"),
        ({"least_timeout": 0}, ValueError, "least_timeout must be more than 0 seconds, not 0"),
    ],
)
def test_nonsense_is_refused(fields: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        Backoff(**fields)
    assert str(caught.value) == said


def test_it_is_a_value() -> None:
    assert pickle.loads(pickle.dumps(Backoff.quick())) == Backoff.quick()
    assert Backoff().replace(jitter=0).jitter == 0
