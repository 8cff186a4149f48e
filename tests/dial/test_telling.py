"""Who is told of a dial is told of its end once."""

from __future__ import annotations

import time
from math import inf

from aconnect import Dialer, Report
from aconnect.addresses.target import target_of
from aconnect.dial.telling import Telling
from aconnect.trace import DialCancelled, DialStarted


def test_a_dial_that_is_cancelled_when_it_is_over() -> None:
    """A signal handler may raise at any line, also behind the last event."""
    report = Report()
    plan = Dialer()._plan.reporting(report)
    telling = Telling(plan, target_of("127.0.0.1:1"), time.monotonic(), inf)
    telling.cancelled()
    telling.cancelled()
    telling.cancel(had_socket=True)
    assert [type(event) for event in report.events] == [DialStarted, DialCancelled]
