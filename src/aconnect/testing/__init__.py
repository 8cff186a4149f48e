"""What programs that use aconnect are tested with; aconnect itself is.

Needs nothing but the standard library, except where it says so.
"""

from __future__ import annotations

from .clock import VirtualClock
from .conformance import Broken, NotConformant, check_driver, check_resolver
from .host import FakeHost
from .journal import FakeAttempt, FakeLookup
from .leaks import Leak, Snapshot, leaks_since, snapshot
from .network import FakeNetwork
from .outcomes import Outcome
from .proxy import Answer, FakeProxy

__all__ = [
    "Answer",
    "Broken",
    "FakeAttempt",
    "FakeHost",
    "FakeLookup",
    "FakeNetwork",
    "FakeProxy",
    "Leak",
    "NotConformant",
    "Outcome",
    "Snapshot",
    "VirtualClock",
    "check_driver",
    "check_resolver",
    "leaks_since",
    "snapshot",
]
