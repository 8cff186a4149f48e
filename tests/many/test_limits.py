"""Limits, and what is no good (section 8)."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest

from aconnect.many import Limits


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"concurrency": 0}, ValueError, "concurrency must be 1 or more, not 0"),
        ({"concurrency": True}, TypeError, "concurrency must be a whole number, not True"),
        ({"concurrency": None}, TypeError, "concurrency must be a whole number, not None"),
        ({"concurrency": 1.5}, TypeError, "concurrency must be a whole number, not 1.5"),
        ({"per_host": 0}, ValueError, "per_host must be 1 or more, not 0"),
        ({"per_host": False}, TypeError, "per_host must be a whole number, not False"),
        ({"burst": -1}, ValueError, "burst must be 1 or more, not -1"),
        ({"rate": 0}, ValueError, "rate must be more than 0 and finite, or None, not 0"),
        ({"rate": math.inf}, ValueError, "rate must be more than 0 and finite, or None, not inf"),
        ({"rate": math.nan}, ValueError, "rate must be more than 0 and finite, or None, not nan"),
        ({"rate": "5"}, TypeError, "rate must be a number, not '5'"),
        ({"reuse_answers": -1}, ValueError, "reuse_answers must be 0 or more seconds, not -1"),
        ({"reuse_answers": None}, TypeError, "reuse_answers must be a number, not None"),
        ({"count": "names"}, ValueError, 'count must be "dials" or "sockets", not \'names\''),
        ({"reset": 1}, TypeError, "reset must be True or False, not 1"),
        ({"raise_nofile": None}, TypeError, "raise_nofile must be True or False, not None"),
    ],
)
def test_nonsense_is_refused(fields: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        Limits(**fields)
    assert str(caught.value) == said


def test_they_are_a_value() -> None:
    limits = Limits(concurrency=7, per_host=2, rate=0.5, burst=3)
    assert pickle.loads(pickle.dumps(limits)) == limits
