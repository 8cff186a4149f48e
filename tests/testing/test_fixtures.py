"""The fixtures `fake_network` and `virtual_clock`, and the page that shows them at work."""

from __future__ import annotations

import gc
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "test-clients.md"
CONFTEST, *PROGRAMS = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE.read_text())


@pytest.fixture
def run(pytester: pytest.Pytester) -> Any:
    def run(*programs: str) -> Any:
        pytester.makeconftest(CONFTEST)
        pytester.makeini(
            "[pytest]\nfilterwarnings = error\n    ignore:Module already imported\n"
            "asyncio_default_fixture_loop_scope = function\n"
        )
        pytester.makepyfile("\n".join(programs))
        with warnings.catch_warnings():
            result = pytester.runpytest_inprocess(
                "-p", "no:cacheprovider", "-p", "no:hypothesispytest"
            )
        gc.collect()
        return result

    return run


def test_the_programs_of_the_page(run: Any) -> None:
    run(*PROGRAMS).assert_outcomes(passed=8)


HEAD = """
import asyncio, time
import pytest
from aconnect.testing import FakeNetwork, VirtualClock
"""


def test_each_test_has_its_own(run: Any) -> None:
    run(
        HEAD,
        """
seen = []

@pytest.mark.parametrize("turn", range(2))
def test_it(fake_network, virtual_clock, turn):
    assert isinstance(fake_network, FakeNetwork)
    assert isinstance(virtual_clock, VirtualClock)
    assert not fake_network.journal
    assert virtual_clock.elapsed == 0
    assert time.monotonic() == virtual_clock.now
    virtual_clock.run(asyncio.sleep, 3600)
    assert virtual_clock.elapsed == 3600
    assert fake_network not in seen
    seen.append(fake_network)
""",
    ).assert_outcomes(passed=2)


def test_the_clock_is_off_afterwards(run: Any) -> None:
    run(
        HEAD,
        """
real = time.monotonic
def test_fails(virtual_clock): raise ValueError
def test_passes(): assert time.monotonic is real
""",
    ).assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize("order", ["no_leaks, fake_network", "fake_network, no_leaks"])
def test_what_the_network_holds_is_no_leak(run: Any, order: str) -> None:
    run(
        HEAD,
        f"""
def test_it({order}, virtual_clock):
    fake_network.add(None, "192.0.2.1")
    async def main():
        (await fake_network.dialer().connect("192.0.2.1:80")).close()
    virtual_clock.run(main)
""",
    ).assert_outcomes(passed=1)


def test_what_a_test_leaves_still_is_one(run: Any) -> None:
    result = run(
        HEAD,
        """
left = []
def test_it(fake_network, no_leaks):
    fake_network.add(None, "192.0.2.1")
    async def main():
        left.append(await fake_network.dialer().connect("192.0.2.1:80"))
    asyncio.run(main())
@pytest.fixture(autouse=True, scope="module")
def closed():
    yield
    left.pop().close()
""",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["the test has left behind:"])
