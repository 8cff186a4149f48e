"""Which of many waiting dials may start, and when.

Rules:

* A token bucket paces the starts.  It holds ``burst`` tokens, is full at the beginning, and gets
  ``rate`` a second: n starts take at least ``(n - burst) / rate`` seconds, and within any w
  seconds there are at most ``burst + rate * w``.  What a pause leaves unused beyond ``burst`` is
  lost.
* A timer is late.  A start that was due at most ``lateness`` seconds ago counts for when it was
  due, so that lateness does not add up; the bound above then is that of ``w + lateness`` seconds.
* At most ``concurrency`` dials run at a time, and ``per_host`` of one host.  A dial that has to
  wait for its host does not hold up one behind it; among those of one host, and among those that
  may start, the order is kept.
* What failed because this machine has run out of something (descriptors, local ports, buffers)
  has not been tried: it comes first again.  The concurrency is halved, nothing starts for a pause
  that doubles from 50 ms to 2 s, and each second without a further shortage takes back one.
* That ends: ten shortages in a row, each with nothing else running, are not for us to cure.

All of it is decided from the moments that are handed in.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Pacing", "TokenBucket"]

T = TypeVar("T")

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0
"""Seconds for which nothing starts after a shortage: a descriptor comes back in the time of a
dial, a local port in that of a TIME_WAIT, a minute."""
HOPELESS: Final = 10
"""Shortages in a row, with nothing running that could give anything back."""


class TokenBucket:
    """Moments at which something may start.

    Args:
        rate: tokens that come in a second; more than 0.
        burst: tokens that it holds, and has at the beginning; 1 or more.
        lateness: seconds by which a start may be late and count as if it were not.
    """

    __slots__ = ("_burst", "_interval", "_lateness", "_spent")

    def __init__(self, rate: float, burst: int, lateness: float = 0.0) -> None:
        self._interval = 1 / rate
        self._burst = burst
        self._lateness = lateness
        self._spent = -inf
        """When the bucket will be full, if nothing is taken before."""

    def next_at(self) -> float:
        """The moment from which a token is there; minus infinity if one has never been taken."""
        return self._spent - (self._burst - 1) * self._interval

    def take(self, now: float) -> None:
        """Take one at a moment from `next_at` on; or before it, which later starts pay for."""
        due = self.next_at()
        if due < now <= due + self._lateness:
            now = due
        self._spent = max(self._spent, now) + self._interval


class _Host(Generic[T]):
    """The dials of one host."""

    __slots__ = ("held", "running")

    def __init__(self) -> None:
        self.running = 0
        self.held: deque[T] = deque()


class Pacing(Generic[T]):
    """The dials that wait, and how many run.

    Args:
        concurrency: dials that may run at a time.
        per_host: dials of one host that may run at a time; None for no limit of its own.
        bucket: paces their starts; None for no pace.

    Attributes:
        concurrency: how many may run now.
        running: how many do.
        waiting: how many wait.
    """

    __slots__ = (
        *("_bucket", "_first", "_hosts", "_most", "_pause", "_per_host", "_ready"),
        *("_restored_at", "_resume_at", "_shortages", "concurrency", "running", "waiting"),
    )

    def __init__(
        self, concurrency: int, per_host: int | None = None, bucket: TokenBucket | None = None
    ) -> None:
        self.concurrency: int = concurrency
        self._most = concurrency
        self.running: int = 0
        self.waiting: int = 0
        self._per_host = per_host
        self._bucket = bucket
        self._ready: deque[tuple[Hashable, T]] = deque()
        self._first: deque[tuple[Hashable, T]] = deque()  # that have waited for their host
        self._hosts: dict[Hashable, _Host[T]] = {}  # that have dials running
        self._pause = FIRST_PAUSE
        self._resume_at = -inf
        self._restored_at = inf
        self._shortages = 0

    @property
    def ready(self) -> bool:
        """Whether any of those that wait has not to wait for its host."""
        return bool(self._ready or self._first)

    @property
    def wants_more(self) -> bool:
        """Whether all that wait have to wait for their hosts, and another may be looked at."""
        return not self.ready and self.waiting < self._most

    def add(self, host: Hashable, dial: T) -> None:
        """One more waits."""
        self.waiting += 1
        self._ready.append((host, dial))

    def next(self, now: float) -> tuple[Hashable, T] | None:
        """The next that may start, which then runs; None if none may."""
        first, ready = self._first, self._ready
        if not (first or ready) or self.wake_at(now) > now:
            return None
        while first or ready:
            has_waited = bool(first)
            chosen = first.popleft() if has_waited else ready.popleft()
            if self._per_host is not None and not self._enter(*chosen, has_waited):
                continue
            self.running += 1
            self.waiting -= 1
            if self._bucket is not None:
                self._bucket.take(now)
            return chosen
        return None

    def wake_at(self, now: float) -> float:
        """The moment from which another may start; infinity if one has to end before."""
        if self._restored_at <= now:
            self._restore(now)
        if self.running >= self.concurrency:
            return self._restored_at
        if self._bucket is None:
            return self._resume_at
        return max(self._bucket.next_at(), self._resume_at)

    def opened(self, now: float) -> None:
        """A running dial has opened a further socket, which takes a token as well."""
        if self._bucket is not None:
            self._bucket.take(now)

    def ended(self, host: Hashable) -> None:
        """One has come to its end; not for want of anything here."""
        self._shortages = 0
        self.running -= 1
        if self._per_host is not None:
            self._leave(host)

    def put_back(self, now: float, host: Hashable, dial: T) -> bool:
        """One has failed because this machine has run out of something: it comes first again.

        Returns:
            Whether there is hope; if not, it is over, as if it had `ended`.
        """
        self.running -= 1
        if self._per_host is not None:
            self._leave(host)
        # Many dials fail together, of one shortage.
        if now >= self._resume_at:
            self.concurrency = max(1, self.concurrency // 2)
            self._resume_at = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._restored_at = self._resume_at + 1
        self._shortages = 0 if self.running else self._shortages + 1
        if self._shortages >= HOPELESS:
            return False
        self.waiting += 1
        self._first.appendleft((host, dial))
        return True

    def drain(self) -> list[T]:
        """All that wait; they do not any more."""
        left = [dial for _, dial in (*self._first, *self._ready)]
        for of_host in self._hosts.values():
            left += of_host.held
            of_host.held.clear()
        self._first.clear()
        self._ready.clear()
        self.waiting = 0
        return left

    def _enter(self, host: Hashable, dial: T, has_waited: bool) -> bool:
        """Count a dial of a host as running, or have it wait for another one's end."""
        of_host = self._hosts.get(host)
        if of_host is None:
            of_host = self._hosts[host] = _Host()
        elif of_host.running == self._per_host:
            (of_host.held.appendleft if has_waited else of_host.held.append)(dial)
            return False
        of_host.running += 1
        return True

    def _leave(self, host: Hashable) -> None:
        """Count a dial of a host as ended, and have the next of that host come first."""
        of_host = self._hosts[host]
        of_host.running -= 1
        if of_host.held:
            self._first.append((host, of_host.held.popleft()))
        elif not of_host.running:
            del self._hosts[host]

    def _restore(self, now: float) -> None:
        """Take back one for each second without a shortage."""
        seconds = int(now - self._restored_at) + 1
        self.concurrency = min(self.concurrency + seconds, self._most)
        self._restored_at += seconds
        if self.concurrency == self._most:
            self._restored_at = inf
            self._pause = FIRST_PAUSE
