"""The targets of what proxies say, driven by hypothesis."""

from __future__ import annotations

import pytest
from fuzz.strategies import changed_inputs
from fuzz.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("name", ["socks", "http_connect", "proxy_url", "proxy_header"])
def test_any_input(name: str) -> None:
    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=60) | changed_inputs(name))
    def run(data: bytes) -> None:
        TARGETS[name](data)

    run()
