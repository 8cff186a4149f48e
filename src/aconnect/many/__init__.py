"""Many connections: to many targets at a time, or to one again and again.

Rules:

* All of it is made of dials of a `Dialer`; nothing here knows how one is made.
* It needs nothing but the standard library, and the event loop that is running.
"""

from ..sansio.backoff import Backoff as Backoff
from .connecting import connect_many as connect_many
from .latencies import Latencies as Latencies
from .latencies import Statistics as Statistics
from .limits import Limits as Limits
from .result import Result as Result
from .results import Results as Results
from .waiting import retry_on as retry_on
from .waiting import wait_until_up as wait_until_up
from .watching import Ticks as Ticks
from .watching import watch as watch

__all__ = [
    "Backoff",
    "Latencies",
    "Limits",
    "Result",
    "Results",
    "Statistics",
    "Ticks",
    "connect_many",
    "retry_on",
    "wait_until_up",
    "watch",
]
