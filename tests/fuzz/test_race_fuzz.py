"""The targets of the race and the attempt, driven by hypothesis.

`tests/sansio` has tests of the same machines, with strategies of its own.  These share their
inputs with the fuzzers.
"""

from __future__ import annotations

from fuzz.strategies import changed_inputs
from fuzz.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

SMALL = st.lists(st.integers(0, 20), max_size=120).map(bytes)


@settings(max_examples=300, deadline=None)
@given(SMALL | st.binary(max_size=120) | changed_inputs("race"))
def test_any_race(data: bytes) -> None:
    TARGETS["race"](data)


@settings(max_examples=300, deadline=None)
@given(SMALL | st.binary(max_size=120) | changed_inputs("attempt"))
def test_any_attempt(data: bytes) -> None:
    TARGETS["attempt"](data)
