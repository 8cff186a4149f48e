"""The targets of what name servers say, driven by hypothesis."""

from __future__ import annotations

import pytest
from fuzz.strategies import changed_inputs
from fuzz.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["dns_message", "svcb_record"])
def test_any_input(name: str) -> None:
    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=120) | changed_inputs(name))
    def run(data: bytes) -> None:
        TARGETS[name](data)

    run()
