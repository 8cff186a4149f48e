"""What name servers have answered, for as long as it is good.

Rules:

* An answer is kept for the least of the TTLs that led to it, at most a day; one of 0 is not.
* That there is no address is kept for as long as its SOA record says, at most an hour, and no
  longer than the aliases that led there; without one it is not kept (RFC 2308, section 5).
* Both are kept for the name that aliases led to as well, for as long as that SOA record says.
* That there is no such name holds for all types of it, but for itself alone if another type has
  answered with addresses; never for names below it.
* What is kept belongs to a network.  The last four are remembered.
* A failure is kept for a second, and twice as long each time, up to half a minute (RFC 9520).  It
  takes no place of an answer that is better than nothing.  Answers in a bad shape are not kept.
* Safe from several threads: a lock is held for what takes no time.
"""

from __future__ import annotations

import socket
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from ...sansio.memory import Memory, Recent
from ..answers import Explained
from ..caching import PAUSE
from ..system import NO_ADDRESS
from .arguments import check_count, check_seconds
from .wire import AAAA, LONGEST_TTL, A

if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import TypeAlias

    from ...sansio.memory import Entry
    from .outcome import Outcome

    _Key: TypeAlias = tuple[Hashable, str, int | None]
    """A network, a name and the type of records that were asked for; None for all types."""

__all__ = ["Answer", "DnsCache", "error_of"]

_FIRST_FAILURE: Final = 1.0
_LONGEST_FAILURE: Final = 30.0
_NXDOMAIN: Final = 3
_NO_DATA: Final[int] = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)


class Answer:
    """What was answered to one question.

    Attributes:
        addresses: empty for none.
        records: of a service; empty for none.
        owner: whose records they are.
        additional: addresses of their targets, which came with them, and are not kept.
        code: why there is none, of getaddrinfo(3) or errno(3); else 0.
        words: the same in words.
        failed: whether nobody could, or would, tell.
        retry_at: the moment before which nobody is asked again.
        failures: how many there have been, one after the other.
    """

    __slots__ = (
        *("additional", "addresses", "code", "failed", "failures", "owner", "records"),
        *("retry_at", "words"),
    )

    def __init__(
        self, addresses: tuple[str, ...], code: int = 0, words: str = "", failed: bool = False
    ) -> None:
        self.addresses: tuple[str, ...] = addresses
        self.records: tuple[Any, ...] = ()
        self.owner: str = ""
        self.additional: dict[tuple[str, int], tuple[str, ...]] | None = None
        self.code: int = code
        self.words: str = words
        self.failed: bool = failed
        self.retry_at: float = 0.0
        self.failures: int = 1

    @classmethod
    def of(cls, outcome: Outcome) -> Answer:
        """That of an exchange."""
        reply = outcome.reply
        if reply is None:
            return cls((), outcome.code, outcome.words, failed=True)
        if reply.addresses:
            return cls(reply.addresses)
        if reply.records:
            answer = cls(())
            answer.records, answer.owner = reply.records, reply.owner
            answer.additional = reply.additional
            return answer
        if reply.nobody:
            return cls((), _NO_DATA, "answered with the address of nobody, as filters do")
        if reply.rcode == _NXDOMAIN:
            return cls((), socket.EAI_NONAME, outcome.words or "there is no such name")
        return cls((), _NO_DATA, "the name has no address")


def error_of(failures: list[Answer], searched: bool = False) -> OSError:
    """Why there is no address: the first that is more than that there is none.

    Args:
        searched: whether several names were looked up: then who failed may yet have the one that
            is meant.
    """
    worst = next((each for each in failures if each.failed), failures[0])
    if worst.failed and worst.code not in _GAI:
        return OSError(worst.code, worst.words)
    code = worst.code
    again = searched or any(each.code == socket.EAI_AGAIN for each in failures)
    if worst.failed and again:
        code = socket.EAI_AGAIN
    elif not worst.failed and any(each.code == _NO_DATA for each in failures):
        code = _NO_DATA
    return Explained(code, worst.words)


_GAI: Final = {*NO_ADDRESS, socket.EAI_AGAIN, socket.EAI_FAIL}


class Answers:
    """The answers of a `DnsCache`.

    Args:
        entries, stale, optimistic: as for that.
    """

    def __init__(self, entries: int, stale: float, optimistic: bool = False) -> None:
        self.optimistic: bool = optimistic
        self._stale = stale
        self._memory: Memory[_Key, Answer] = Memory(entries)
        self._networks = Recent()
        self._lock = Lock()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._memory.clear()

    def get(self, key: _Key, now: float) -> Entry[Answer] | None:
        """What is remembered."""
        with self._lock:
            self._see(key[0])
            return self._memory.get(_any_type(key), now) or self._memory.get(key, now)

    def forget(self, key: _Key) -> None:
        """Remember nothing of a question."""
        with self._lock:
            self._memory.forget(key)
            self._memory.forget(_any_type(key))

    def _see(self, network: Hashable) -> None:
        gone = self._networks.see(network)
        if gone:
            self._memory.forget_all(lambda key: key[0] in gone)

    def keep(self, key: _Key, outcome: Outcome, now: float) -> None:
        """Remember what came of a question, if that is to be."""
        answer, reply = Answer.of(outcome), outcome.reply
        answer.additional = None
        with self._lock:
            self._see(key[0])
            entry: Any = self._memory.get(key, now)
            old = None if entry is None else entry.value
            if reply is None:
                self._keep_failure(key, answer, old, now, outcome.kept)
            elif answer.addresses or answer.records or reply.nobody:
                if answer.addresses:
                    self._memory.forget(_any_type(key))
                self._put(key, answer, now, reply.ttl)
            else:
                self._keep_negative(key, answer, now, reply.rcode, reply.negative_ttl)
                owner = (key[0], reply.owner, key[2])
                if owner != key and reply.owner_negative_ttl:
                    self._keep_negative(owner, answer, now, reply.rcode, reply.owner_negative_ttl)

    def _keep_failure(
        self, key: _Key, answer: Answer, old: Answer | None, now: float, kept: bool
    ) -> None:
        if old is not None and old.addresses:
            old.retry_at = now + PAUSE
        elif kept and answer.code in (socket.EAI_AGAIN, socket.EAI_FAIL):
            if old is not None and old.failed:
                answer.failures = old.failures + 1
            seconds = min(_FIRST_FAILURE * 2.0 ** (answer.failures - 1), _LONGEST_FAILURE)
            # It counts for as long again, for the next failure to be the second.
            self._memory.put(key, answer, now, seconds, seconds)

    def _keep_negative(
        self, key: _Key, answer: Answer, now: float, rcode: int, seconds: int | None
    ) -> None:
        self._put(key, answer, now, seconds)
        if rcode == _NXDOMAIN and not self._has_addresses(key, now):
            for type in {A, AAAA} - {key[2]}:  # which may be stale
                self._memory.forget((*key[:2], type))
            self._put(_any_type(key), answer, now, seconds)

    def _put(self, key: _Key, answer: Answer, now: float, seconds: int | None) -> None:
        """Remember an answer, if for any time, in place of what was remembered."""
        self._memory.forget(key)
        if seconds:
            stale = self._stale if answer.addresses else 0.0
            self._memory.put(key, answer, now, min(seconds, LONGEST_TTL), stale)

    def _has_addresses(self, key: _Key, now: float) -> bool:
        """Whether another type of a name has answered with addresses."""
        entries = [self._memory.get((*key[:2], type), now) for type in (A, AAAA)]
        return any(
            each is not None and now < each.fresh_until and bool(each.value.addresses)
            for each in entries
        )


def _any_type(key: _Key) -> _Key:
    return (*key[:2], None)


class DnsCache:
    """A cache for `DnsResolver`.

    Args:
        entries: the most answers that are kept.
        stale: seconds for which addresses that are not good any more may be used if every server
            fails, or none has answered for 1.8 seconds (RFC 8767); None for not at all.
        optimistic: use such addresses at once, and ask meanwhile.  What the answer has not got is
            not tried then, unless it has been.  A dial that has connected before asks no more.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value; or ``optimistic`` has nothing to use, as
            ``stale`` is None.

    Safe to use from several threads.
    """

    def __init__(
        self,
        entries: int = 4096,
        *,
        stale: float | None = 86400.0,
        optimistic: bool = False,
    ) -> None:
        if not isinstance(optimistic, bool):
            raise TypeError(f"optimistic must be a bool, not {optimistic!r}")
        kept = 0.0 if stale is None else check_seconds("stale", stale, least=0.0)
        if optimistic and not kept:
            raise ValueError(
                "optimistic=True needs stale=, the seconds for which expired addresses may be used"
            )
        self._answers = Answers(check_count("entries", entries, 1), kept, optimistic)

    def clear(self) -> None:
        """Forget everything."""
        self._answers.clear()
