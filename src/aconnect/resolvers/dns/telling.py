"""What is told of questions: for reports, and for whoever looks a name up himself.

Rules:

* A question is told of when it is put, and when something has come of it.
* The response code is the registry's; where nobody has answered, the words of the error stand in
  its place.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from ..base import Question as Told
from .wire import type_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...sansio.memory import Entry
    from ..base import Source
    from .cache import Answer
    from .outcome import Outcome
    from .wire import Question

__all__ = [
    "MOST_QUESTIONS",
    "TOO_MANY",
    "Told",
    "answered",
    "asked",
    "not_asked",
    "of_hosts",
    "of_system",
    "recalled",
    "taken",
]

MOST_QUESTIONS: Final = 32
TOO_MANY: Final = f"not asked: {MOST_QUESTIONS} questions are the most for a lookup"

_NOERROR: Final = "NOERROR"
_NO_ADDRESS: Final = {0: _NOERROR, 3: "NXDOMAIN"}


def asked(questions: Iterable[Question]) -> tuple[Told, ...]:
    """Questions that are put now."""
    return tuple([Told(name, type_name(type)) for name, type in questions])


def answered(question: Question, outcome: Outcome) -> Told:
    """What name servers have said."""
    name, kind, reply = question.name, type_name(question.type), outcome.reply
    how = outcome.seconds, outcome.ignored
    if reply is None:
        return Told(name, kind, "", "", outcome.words, 0, None, "network", *how)
    said = _NO_ADDRESS.get(reply.rcode) or reply.rcode_name
    records = len(reply.addresses or reply.records)
    ttl = reply.ttl if records else reply.negative_ttl
    by = outcome.server, outcome.over
    return Told(name, kind, *by, said, records, ttl, "network", *how, reply.left_out)


def recalled(question: Question, entry: Entry[Answer], now: float) -> Told:
    """What is remembered."""
    answer, left = entry.value, ceil(entry.fresh_until - now)
    source: Source = "cache" if left > 0 else "stale"
    records = len(answer.addresses or answer.records)
    said = answer.words if answer.failed or not records else _NOERROR
    ttl = max(left, 0)
    return Told(question.name, type_name(question.type), "", "", said, records, ttl, source)


def of_system(name: str, reason: str) -> tuple[Told, ...]:
    """That the system is asked about a name, and why."""
    return (Told(name, "", outcome=reason, source="system"),)


def not_asked(question: Question, why: str) -> Told:
    """One that nobody is asked."""
    return Told(question.name, type_name(question.type), outcome=why)


def of_hosts(name: str, hosts: Iterable[str]) -> tuple[Told, ...]:
    """What the hosts file has, by its families."""
    count = {"AAAA": 0, "A": 0}
    for host in hosts:
        count["AAAA" if ":" in host else "A"] += 1
    return tuple(
        Told(name, kind, outcome=_NOERROR, records=records, source="hosts")
        for kind, records in count.items()
        if records
    )


def taken(told: list[Told]) -> tuple[Told, ...]:
    """What is to be told, which is told then."""
    said = tuple(told)
    told.clear()
    return said
