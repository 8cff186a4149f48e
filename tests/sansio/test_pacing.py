"""Which of many dials may start, and when (L1 to L3, L6)."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aconnect.sansio.pacing import HOPELESS, LONGEST_PAUSE, Pacing, TokenBucket


def starts(bucket: TokenBucket, count: int, *, from_: float = 100.0) -> list[float]:
    """The moments of so many starts, each as early as may be."""
    moments, now = [], from_
    for _ in range(count):
        now = max(now, bucket.next_at())
        bucket.take(now)
        moments.append(round(now - from_, 9))
    return moments


# The rate


def test_the_burst_comes_at_once_and_the_others_on_a_grid() -> None:
    assert starts(TokenBucket(10, 1), 4) == [0, 0.1, 0.2, 0.3]
    assert starts(TokenBucket(10, 3), 6) == [0, 0, 0, 0.1, 0.2, 0.3]


def test_a_pause_gives_no_more_than_the_burst() -> None:
    bucket = TokenBucket(10, 3)
    starts(bucket, 5)
    assert starts(bucket, 5, from_=200.0) == [0, 0, 0, 0.1, 0.2]


def test_a_timer_that_is_late_costs_nothing() -> None:
    late = [0.0]
    bucket = TokenBucket(1000, 1, lateness=0.005)
    for _ in range(1000):
        bucket.take(late[-1])
        late.append(bucket.next_at() + 0.001)
    assert late[1000] == pytest.approx(1.001)
    strict = TokenBucket(1000, 1)
    strict.take(0.0)
    strict.take(strict.next_at() + 0.001)
    assert strict.next_at() == pytest.approx(0.003)


def test_one_that_is_too_late_is_not_made_up_for() -> None:
    bucket = TokenBucket(1000, 1, lateness=0.005)
    bucket.take(0.0)
    bucket.take(0.5)
    assert bucket.next_at() == pytest.approx(0.501)


def test_what_could_not_wait_is_paid_for_later() -> None:
    bucket = TokenBucket(10, 1)
    bucket.take(0.0)
    bucket.take(0.01)
    assert bucket.next_at() == pytest.approx(0.2)


@given(
    rate=st.floats(0.1, 10_000),
    burst=st.integers(1, 20),
    lateness=st.sampled_from([0.0, 0.005, 0.1]),
    waits=st.lists(st.floats(0, 1), min_size=1, max_size=60),
)
def test_no_window_has_more_than_the_burst_and_what_the_rate_gives(
    rate: float, burst: int, lateness: float, waits: list[float]
) -> None:
    bucket = TokenBucket(rate, burst, lateness)
    now, moments = 100.0, []
    for wait in waits:
        now = max(now, bucket.next_at()) + (wait if len(moments) % 3 else 0)
        bucket.take(now)
        moments.append(now)
    for first, begin in enumerate(moments):
        for last, end in enumerate(moments[first:], first):
            window = end - begin + lateness
            assert last - first + 1 <= burst + rate * window + 1e-6
    if not lateness:
        assert moments[-1] - moments[0] >= (len(moments) - burst) / rate - 1e-6


# How many at a time


def run(pacing: Pacing[Any], now: float = 0.0) -> list[Any]:
    """All that may start now."""
    started = []
    while (found := pacing.next(now)) is not None:
        started.append(found[1])
    return started


def filled(pacing: Pacing[Any], *dials: str) -> Pacing[Any]:
    """With dials whose host is their first letter."""
    for dial in dials:
        pacing.add(dial[0], dial)
    return pacing


def test_as_many_run_as_may() -> None:
    pacing = filled(Pacing(2), "a1", "a2", "a3")
    assert run(pacing) == ["a1", "a2"]
    assert pacing.wake_at(0) == inf
    assert (pacing.running, pacing.waiting) == (2, 1)
    pacing.ended("a")
    assert run(pacing) == ["a3"]


def test_one_that_waits_for_its_host_holds_up_no_other() -> None:
    pacing = filled(Pacing(4, per_host=1), "a1", "a2", "a3", "b1")
    assert run(pacing) == ["a1", "b1"]
    assert pacing.waiting == 2
    pacing.ended("a")
    assert run(pacing) == ["a2"]
    pacing.ended("a")
    assert run(pacing) == ["a3"]


def test_those_of_a_host_keep_their_order() -> None:
    pacing = filled(Pacing(9, per_host=2), *(f"a{number}" for number in range(7)))
    seen = run(pacing)
    while pacing.running:
        pacing.ended("a")
        if pacing.running:
            pacing.ended("a")
        seen += run(pacing)
    assert seen == [f"a{number}" for number in range(7)]


def test_no_host_is_remembered_that_has_nothing_running() -> None:
    pacing = filled(Pacing(4, per_host=1), "a1", "b1")
    run(pacing)
    pacing.ended("a")
    pacing.ended("b")
    assert not pacing._hosts


def test_it_looks_no_further_than_the_concurrency() -> None:
    pacing: Pacing[str] = Pacing(3, per_host=1)
    looked = 0
    while pacing.wants_more:
        pacing.add("a", f"a{looked}")
        looked += 1
        run(pacing)
    assert looked == 4  # one that runs, and three that wait
    assert pacing.waiting == 3


def test_what_may_start_is_enough_to_look_at() -> None:
    assert not filled(Pacing(3), "a1").wants_more


def test_the_rate_is_kept() -> None:
    pacing = filled(Pacing(9, bucket=TokenBucket(10, 2)), "a1", "a2", "a3")
    assert run(pacing, 50.0) == ["a1", "a2"]
    assert pacing.wake_at(50.0) == pytest.approx(50.1)
    assert run(pacing, 50.0999) == []
    assert run(pacing, 50.1000001) == ["a3"]


def test_further_sockets_can_be_counted() -> None:
    pacing = filled(Pacing(9, bucket=TokenBucket(10, 1)), "a1", "a2")
    run(pacing, 50.0)
    pacing.opened(50.0)
    assert pacing.wake_at(50.0) == pytest.approx(50.2)
    Pacing[str](1).opened(50.0)  # where there is no rate, nothing is counted


def test_what_waits_can_be_had_back() -> None:
    pacing = filled(Pacing(9, per_host=1), "a1", "a2", "b1", "b2")
    assert run(pacing) == ["a1", "b1"]
    pacing.add("c", "c1")
    pacing.put_back(0.0, "b", "b1")
    assert sorted(pacing.drain()) == ["a2", "b1", "b2", "c1"]
    assert pacing.waiting == 0
    assert run(pacing, 9.0) == []


# Shortages


def test_after_a_shortage_the_concurrency_is_half_and_nothing_starts_for_a_while() -> None:
    pacing = filled(Pacing(8), *(f"a{number}" for number in range(9)))
    run(pacing)
    for number in range(3):
        assert pacing.put_back(10.0, "a", f"a{number}")
    assert pacing.concurrency == 4  # once, for all that failed together
    assert pacing.running == 5
    for _ in range(5):
        pacing.ended("a")
    assert pacing.wake_at(10.0) == pytest.approx(10.05)
    assert run(pacing, 10.04) == []
    assert run(pacing, 10.06) == ["a2", "a1", "a0", "a8"]


def test_what_was_put_back_comes_before_all_others() -> None:
    pacing = filled(Pacing(1), "a1", "a2")
    run(pacing)
    pacing.put_back(0.0, "a", "a1")
    assert run(pacing, 1.0) == ["a1"]


def test_of_a_host_too() -> None:
    pacing = filled(Pacing(3, per_host=1), "a1", "a2", "a3")
    run(pacing)
    pacing.put_back(0.0, "a", "a1")
    seen = []
    for now in (1.0, 2.0, 3.0):
        seen += run(pacing, now)
        pacing.ended("a")
    assert seen == ["a1", "a2", "a3"]


def test_each_second_without_another_gives_one_back() -> None:
    pacing = filled(Pacing(8), "a1", "a2")
    run(pacing)
    pacing.put_back(10.0, "a", "a1")
    assert [pacing.wake_at(now) and pacing.concurrency for now in (11.0, 11.06, 12.06)] == [
        4,
        5,
        6,
    ]
    pacing.wake_at(99.0)
    assert pacing.concurrency == 8
    assert pacing._restored_at == inf


def test_a_full_field_is_looked_at_again_when_one_comes_back() -> None:
    pacing = filled(Pacing(2), "a1", "a2", "a3")
    run(pacing)
    pacing.put_back(10.0, "a", "a1")
    assert pacing.concurrency == pacing.running == 1
    assert pacing.wake_at(10.0) == pytest.approx(11.05)
    assert run(pacing, 11.06) == ["a1"]


def test_the_pause_doubles_up_to_two_seconds() -> None:
    pacing = filled(Pacing(4), "a1")
    pauses, now = [], 10.0
    for _ in range(8):
        assert run(pacing, now) == ["a1"]
        pacing.put_back(now, "a", "a1")
        pauses.append(round(pacing.wake_at(now) - now, 9))
        now = pacing.wake_at(now)
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2, 2]
    assert pauses[-1] == LONGEST_PAUSE
    assert pacing.concurrency == 1


def test_ten_in_a_row_with_nothing_running_are_hopeless() -> None:
    pacing = filled(Pacing(4), "a1", "b1")
    now, hopes = 10.0, []
    for number in range(HOPELESS + 1):
        now += 5
        pacing.next(now)
        if number == 1:  # another runs: that one may give something back
            pacing.next(now)
            pacing.ended("b")
        hopes.append(pacing.put_back(now, "a", "a1"))
    assert hopes == [True] * HOPELESS + [False]
    assert not pacing.running


def test_a_success_ends_the_row() -> None:
    pacing: Pacing[str] = Pacing(4)
    for number in range(3 * HOPELESS):
        filled(pacing, "a1")
        assert run(pacing, 10.0 * number) == ["a1"]
        if number % 5:
            assert pacing.put_back(10.0 * number, "a", "a1")
            pacing.drain()
        else:
            pacing.ended("a")
