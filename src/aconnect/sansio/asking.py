"""Which name server is asked, and when the next one is.  Pure.

Rules:

* Servers are asked in their order, round after round; one that has been asked goes on being
  listened to while the next is asked as well.
* The next is asked at once when the last one asked has failed; and as well when it has been silent
  for longer than it usually takes: five times the mean of its last answers, from 250 ms to the
  time limit; a second as long as nothing is known of it.
* A server is listened to for the time limit.  One that has answered, and be it to refuse, is not
  asked again.
* A server that let a question pass, or refused it, comes last for half a minute.
* Where they take turns, a lookup begins with the server after that of the one before: all its
  questions do.

Source: resolv.conf(5); draft-ietf-happy-happyeyeballs-v3, section 4.5, for servers by the dozen.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

__all__ = ["Asking", "Servers"]

FIRST_PATIENCE: Final = 1.0
LEAST_PATIENCE: Final = 0.25
_TIMES: Final = 5
_ANSWERS: Final = 8
_PENALTY: Final = 30.0
_WITHOUT_EDNS: Final = 600.0


class Servers:
    """What is known of the name servers.

    Args:
        count: how many there are; they go by their numbers, from 0.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._took: list[deque[float]] = [deque(maxlen=_ANSWERS) for _ in range(count)]
        self._last_until = [-inf] * count
        self._plain_until = [-inf] * count
        self._turn = 0

    def turn(self) -> int:
        """The server with which another lookup begins, where they take turns."""
        turn, self._turn = self._turn, (self._turn + 1) % self._count
        return turn

    def order(self, now: float, first: int = 0) -> list[int]:
        """In which they are to be asked.

        Args:
            first: with which it begins, unless that one comes last.
        """
        numbers = [(first + each) % self._count for each in range(self._count)]
        return sorted(numbers, key=lambda each: self._last_until[each] > now)

    def patience(self, server: int, limit: float) -> float:
        """Seconds for which a server may be silent before the next is asked."""
        took = self._took[server]
        if not took:
            return min(FIRST_PATIENCE, limit)
        return min(max(LEAST_PATIENCE, _TIMES * sum(took) / len(took)), limit)

    def answered(self, server: int, seconds: float) -> None:
        """It has answered a question."""
        self._took[server].append(seconds)
        self._last_until[server] = -inf

    def failed(self, server: int, now: float) -> None:
        """It has let a question pass, or refused it."""
        self._last_until[server] = now + _PENALTY

    def knows_edns(self, server: int, now: float) -> bool:
        """Whether it is to be asked with EDNS."""
        return now >= self._plain_until[server]

    def has_no_edns(self, server: int, now: float) -> None:
        """It has refused EDNS."""
        self._plain_until[server] = now + _WITHOUT_EDNS


class Asking:
    """The tries of one question.

    Args:
        order: the servers, by their numbers.
        rounds: how often each is asked, at the most.
        timeout: seconds for which each try is waited for.
        servers: what is known of them.

    A try is known by its place in the order of the starts, from 0.
    """

    def __init__(self, order: list[int], rounds: int, timeout: float, servers: Servers) -> None:
        self._to_ask = deque(server for _ in range(rounds) for server in order)
        self._timeout = timeout
        self._servers = servers
        self._answered: set[int] = set()
        self.tries: list[int] = []  # the server of each
        self._until: dict[int, float] = {}  # of those that are under way
        self._next_at = inf

    @property
    def over(self) -> bool:
        """Whether nothing is under way, and nobody is left to be asked."""
        return not self._until and not self._left()

    @property
    def wake_at(self) -> float:
        """When `time_passed` is due; infinity for never."""
        soonest = min(self._until.values(), default=inf)
        return min(soonest, self._next_at if self._left() else inf)

    def next(self, now: float) -> int | None:
        """Begin the next try; None if there is none.

        Returns:
            The server to ask.
        """
        if not self._left():
            return None
        server = self._to_ask.popleft()
        self._until[len(self.tries)] = now + self._timeout
        self.tries.append(server)
        self._next_at = now + self._servers.patience(server, self._timeout)
        return server

    def ended(self, number: int, answered: bool) -> bool:
        """A try has come to nothing.

        Args:
            answered: whether the server said so: it is not asked again.

        Returns:
            Whether the next is due at once.
        """
        if answered:
            self._answered.add(self.tries[number])
        if self._until.pop(number, None) is None:
            return False
        return number == len(self.tries) - 1 or not self._until

    def time_passed(self, now: float) -> tuple[list[int], bool]:
        """The tries whose time is up, which are over; and whether the next is due."""
        late = [number for number, until in self._until.items() if until <= now]
        for number in late:
            del self._until[number]
        return late, self._left() and (now >= self._next_at or not self._until)

    def _left(self) -> bool:
        while self._to_ask and self._to_ask[0] in self._answered:
            self._to_ask.popleft()
        return bool(self._to_ask)
