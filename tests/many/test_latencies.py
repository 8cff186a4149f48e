"""Statistics of results (S1, S2)."""

from __future__ import annotations

import errno
import json
import math
import pickle
import random
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aconnect import ConnectError, ConnectTimeout, ResolveError
from aconnect.many import Latencies, Result, Statistics
from aconnect.many import latencies as module

SECONDS = st.lists(st.floats(1e-6, 1000), max_size=60)


@pytest.fixture(params=[10_000, 20])
def exact_up_to(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "EXACT", request.param)
    return int(request.param)


def latencies(values: list[float]) -> Latencies:
    made = Latencies()
    for value in values:
        made.add(value)
    return made


def nearest_rank(values: list[float], percent: float) -> float:
    return sorted(values)[max(1, math.ceil(percent / 100 * len(values))) - 1]


def test_nothing_is_none_and_not_0() -> None:
    nothing = Latencies()
    assert nothing.to_dict() == {
        "count": 0,
        "least": None,
        "mean": None,
        "percentiles": {"50": None, "90": None, "95": None, "99": None},
        "most": None,
    }
    assert Statistics().percentile("connect", 99) is None
    assert Statistics().rate is None


def test_percentiles_are_exact_up_to_ten_thousand() -> None:
    values = [random.Random(1).uniform(0, 1) for _ in range(10_000)]
    made = latencies(values)
    for percent in (0, 1, 50, 90, 95, 99, 99.9, 100):
        assert made.percentile(percent) == nearest_rank(values, percent)


@pytest.mark.parametrize("spread", [(1e-6, 1e-5), (1e-4, 1.0), (0.5, 1000.0)])
def test_then_they_are_within_two_percent_in_bounded_memory(spread: tuple[float, float]) -> None:
    draw = random.Random(2)
    values = [math.exp(draw.uniform(*map(math.log, spread))) for _ in range(40_000)]
    made = latencies(values)
    assert len(made._recent) <= module.EXACT
    assert len(made._bins) <= module._BINS == 1047
    for percent in (0, 1, 50, 90, 95, 99, 100):
        assert made.percentile(percent) == pytest.approx(nearest_rank(values, percent), rel=0.02)
    assert (made.least, made.most) == (min(values), max(values))
    assert made.mean == pytest.approx(sum(values) / len(values))


@given(first=SECONDS, second=SECONDS, third=SECONDS, limit=st.sampled_from([10, 30, 10_000]))
def test_merged_is_as_if_one_had_seen_all(
    first: list[float], second: list[float], third: list[float], limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EXACT", limit)
        whole = latencies([*third, *first, *second])
        parts = latencies(first) + (latencies(second) + latencies(third))
        assert parts == whole
        assert parts.to_dict() == whole.to_dict()


def test_what_is_beyond_the_bins_is_in_the_first_or_the_last(exact_up_to: int) -> None:
    values = [0.0, 1e-9, 5e4, *[1.0] * 40]
    made = latencies(values)
    assert made.percentile(0) == pytest.approx(0, abs=1e-6)
    assert made.percentile(100) == (
        5e4 if exact_up_to > len(values) else pytest.approx(1000, rel=0.02)
    )
    assert made.most == 5e4
    assert made.percentile(50) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("percent", [-1, 101, math.nan])
def test_a_percentage_that_cannot_be(percent: float) -> None:
    with pytest.raises(ValueError, match=r"percent must be from 0 to 100, not"):
        Latencies().percentile(percent)


def results() -> list[Result]:
    refused = ConnectError(errno.ECONNREFUSED, "refused")
    late = ConnectTimeout(errno.ETIMEDOUT, "late")
    unknown = ResolveError(socket.EAI_NONAME, "unknown")
    return [
        Result("a:1", 0, "connected", seconds=0.25, phases={"connect": 0.25}, time=100.0),
        Result("b:1", 1, "connected", seconds=0.5, phases={"resolve": 0.25, "connect": 0.25},
               time=100.5),
        Result("c:1", 2, "failed", seconds=0.125, error=refused, time=101.0),
        Result("d:1", 3, "timed out", seconds=3.0, error=late, time=101.0),
        Result("e:1", 4, "failed", seconds=0.5, error=unknown, time=101.5),
        Result("nonsense", 5, "invalid", error=ValueError("x"), time=102.0),
    ]  # fmt: skip


def statistics(seen: list[Result]) -> Statistics:
    made = Statistics()
    for result in seen:
        made.add(result)
    return made


def test_everything_by_outcome_and_reason_and_phase() -> None:
    made = statistics(results())
    plain: dict[str, Any] = json.loads(json.dumps(made.to_dict()))
    assert plain["count"] == made.count == 6
    assert plain["outcomes"] == {"connected": 2, "failed": 2, "invalid": 1, "timed out": 1}
    assert plain["errors"] == {"EAI_NONAME": 1, "ECONNREFUSED": 1, "ETIMEDOUT": 1}
    assert plain["rate"] == made.rate == 1.5  # from 100 to 104
    assert {phase: each["count"] for phase, each in plain["seconds"].items()} == {
        "all": 2,
        "connect": 2,
        "resolve": 1,
    }


def test_only_successes_count_for_latencies() -> None:
    made = statistics(results())
    assert made.percentile("all", 100) == 0.5
    assert made.latencies("connect").mean == 0.25
    assert made.latencies("handshake").count == 0


def test_two_can_be_added_up_and_sent_away() -> None:
    seen = results()
    parts = [statistics(seen[:2]), statistics(seen[2:5]), statistics(seen[5:])]
    whole = statistics(list(reversed(seen)))
    assert sum(parts, Statistics()) == whole
    assert sum(parts) == whole
    assert pickle.loads(pickle.dumps(whole)) == whole
    assert whole != statistics(seen[:2])
    with pytest.raises(TypeError):
        whole + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        1 + whole  # type: ignore[operator]
