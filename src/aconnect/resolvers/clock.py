"""The clock that answers are kept by.

Rule: it goes on while the machine sleeps, where the platform has such a clock.  A machine that has
slept for an hour has an hour-old cache.
"""

from __future__ import annotations

import sys
import time

__all__ = ["uptime"]


def uptime() -> float:
    """Seconds on a clock that never goes back: `time.monotonic`, and the time slept on Linux."""
    if sys.platform != "linux":
        return time.monotonic()
    slept = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic() + slept
