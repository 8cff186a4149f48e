"""Deadlines, on a clock that stands still until it is set."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import FrozenInstanceError
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from aconnect import Deadline
from aconnect.deadline import NEVER, earliest

NOW = 1000.0


class Clock:
    """A clock that shows what it is set to."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("aconnect.deadline.time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.mark.parametrize("seconds", [0, 0.0, 0.25, 5, 1e9, inf, -0.0], ids=repr)
def test_after_counts_from_now(seconds: float) -> None:
    assert Deadline.after(seconds).when == NOW + seconds


@pytest.mark.parametrize(
    ("when", "remaining", "expired"),
    [
        (NOW + 2.5, 2.5, False),
        (NOW, 0.0, True),
        (NOW - 1, 0.0, True),
        (1001, 1.0, False),
        (0, 0.0, True),
        (inf, inf, False),
        (-inf, 0.0, True),
    ],
)
def test_what_is_left_is_never_negative(when: float, remaining: float, expired: bool) -> None:
    deadline = Deadline(when)
    assert deadline.remaining() == remaining
    assert deadline.expired is expired


def test_it_passes_while_the_clock_goes(clock: Clock) -> None:
    deadline = Deadline.after(2)
    seen = []
    for clock.now in (NOW + 1, NOW + 1.75, NOW + 2, NOW + 3):
        seen.append((deadline.remaining(), deadline.expired))
    assert seen == [(1.0, False), (0.25, False), (0.0, True), (0.0, True)]


def test_the_clock_is_the_monotonic_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    before = monotonic()
    when = Deadline.after(5).when
    assert before + 5 <= when <= monotonic() + 5


@pytest.mark.parametrize(
    ("timeout", "deadline", "when"),
    [
        (None, None, NEVER),
        (0, None, NOW),
        (2, None, NOW + 2),
        (inf, None, inf),
        (None, Deadline(NOW + 3), NOW + 3),
        (None, Deadline(NOW - 3), NOW - 3),
        (2, Deadline(NOW + 3), NOW + 2),
        (4, Deadline(NOW + 3), NOW + 3),
        (inf, Deadline(NOW + 3), NOW + 3),
        (2, Deadline(inf), NOW + 2),
        (None, Deadline(inf), inf),
    ],
    ids=repr,
)
def test_of_a_timeout_and_a_deadline_the_earlier_counts(
    timeout: float | None, deadline: Deadline | None, when: float
) -> None:
    assert earliest(timeout, deadline) == when


NO_NUMBERS = [None, True, False, "5", b"5", Decimal(5), Fraction(5), 5j, [5], timedelta(seconds=5)]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_a_type_error_that_shows_it(value: Any) -> None:
    shown = re.escape(repr(value))
    with pytest.raises(TypeError, match=f"^when must be a number of seconds, not {shown}$"):
        Deadline(value)
    with pytest.raises(TypeError, match=f"^seconds must be a number of seconds, not {shown}$"):
        Deadline.after(value)
    if value is not None:
        with pytest.raises(TypeError, match=f"^timeout must be a number of seconds, not {shown}$"):
            earliest(value, None)


@pytest.mark.parametrize("value", [-1, -0.001, -inf, nan], ids=repr)
def test_a_duration_that_cannot_be_is_a_value_error_that_shows_it(value: float) -> None:
    shown = re.escape(repr(value))
    with pytest.raises(ValueError, match=f"^seconds must be 0 or more seconds, not {shown}$"):
        Deadline.after(value)
    with pytest.raises(ValueError, match=f"^timeout must be 0 or more seconds, not {shown}$"):
        earliest(value, None)


def test_a_moment_that_is_no_number_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^when must be a time of the monotonic clock, not nan$"):
        Deadline(nan)


def test_a_number_too_large_for_the_clock_is_a_value_error() -> None:
    too_large = 10**400  # float() of it raises OverflowError
    with pytest.raises(ValueError, match="when must be a number of seconds that a float can hold"):
        Deadline(too_large)
    with pytest.raises(ValueError, match="seconds must be"):
        Deadline.after(too_large)
    with pytest.raises(ValueError, match="timeout must be"):
        earliest(too_large, None)


@pytest.mark.parametrize("value", [5, 5.0, inf, "soon", (5,)], ids=repr)
def test_a_deadline_of_another_type_is_a_type_error_that_shows_it(value: Any) -> None:
    message = f"deadline must be a Deadline, such as Deadline.after(5), not {value!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        earliest(None, value)


def test_deadlines_compare_by_time() -> None:
    early, late, never = Deadline(1.0), Deadline(2.0), Deadline(inf)
    assert early < late < never
    assert early <= late <= never
    assert late <= Deadline(2.0)
    assert not late <= early
    assert min(late, never, early) is early
    assert max(late, never, early) is never
    assert early == Deadline(1)
    assert hash(early) == hash(Deadline(1))
    assert len({early, late, Deadline(1.0)}) == 2
    number: Any = 1.0
    assert early != number
    with pytest.raises(TypeError, match="not supported"):
        assert early < number
    with pytest.raises(TypeError, match="not supported"):
        assert early <= number


def test_a_deadline_cannot_be_changed() -> None:
    deadline = Deadline(1.0)
    with pytest.raises(FrozenInstanceError):
        deadline.when = 2.0  # type: ignore[misc]  # what is refused
    assert deadline.when == 1.0
    assert not hasattr(deadline, "__dict__")


def test_copies_and_pickles_are_equal() -> None:
    deadline = Deadline(1.5)
    pickles = [pickle.dumps(deadline, each) for each in range(pickle.HIGHEST_PROTOCOL + 1)]
    for each in [copy.copy(deadline), copy.deepcopy(deadline), *map(pickle.loads, pickles)]:
        assert type(each) is Deadline
        assert each == deadline


def test_the_repr_says_how_much_is_left() -> None:
    assert repr(Deadline.after(2.04)) == "<Deadline 2.0 s left>"
    assert repr(Deadline.after(0)) == "<Deadline that has passed>"
    assert repr(Deadline.after(inf)) == "<Deadline that never passes>"
