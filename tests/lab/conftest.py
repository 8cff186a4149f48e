"""What the tests of the lab share."""

from __future__ import annotations

from typing import Any

import pytest
from lab.support import LOOPS


@pytest.fixture(scope="session", params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Any:
    """What runs an async function: ``client.run(main, loop)``."""
    return request.param
