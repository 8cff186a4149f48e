"""What a lookup has asked, and where it has found services, as reports have it.

Rules:

* A question that has no answer is running as long as its lookup is, and has its outcome then.
* Texts are as they came; whoever shows them sees to what cannot be printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..sansio.value import Value, as_dict

if TYPE_CHECKING:
    from ..trace import QuestionAnswered, ResolutionOf, ServiceFound

__all__ = ["QuestionSummary", "ServiceSummary"]


class QuestionSummary(Value):
    """A question to a name server, and its outcome.  Times are seconds from the start of the dial.

    Attributes:
        name, type: as in `QuestionAsked`.
        start: when it was put.
        end: when it was answered; None if it has not been.
        outcome: the response code, or why there is no answer, in words; "running" before that,
            and "cancelled" if the lookup has ended before.
        server, over, records, ttl, source, ignored, left_out: as in `aconnect.Question`.
        address, of: for what, as in `ResolutionSummary`.
    """

    name: str
    type: str
    start: float
    end: float | None = None
    outcome: str = "running"
    server: str = ""
    over: str = ""
    records: int = 0
    ttl: int | None = None
    source: str = "network"
    ignored: int = 0
    left_out: int = 0
    address: str = ""
    of: ResolutionOf = "target"

    def answered(self, at: float, event: QuestionAnswered) -> QuestionSummary:
        """The same, with its answer."""
        return self.replace(
            end=at,
            outcome=event.outcome,
            server=event.server,
            over=event.over,
            records=event.records,
            ttl=event.ttl,
            source=event.source,
            ignored=event.ignored,
            left_out=event.left_out,
        )

    @property
    def words(self) -> str:
        """What came of it, for a row."""
        if self.outcome != "NOERROR":
            return self.outcome
        records = f"{self.records or 'no'} record{'s' * (self.records != 1)}"
        if self.left_out:
            records += f", {self.left_out} left out"
        return records if self.source == "network" else f"{records}, {self.source}"


class ServiceSummary(Value):
    """Where a record says that a service is.

    Attributes:
        time: when that was known, in seconds from the start of the dial.
        rank, target, priority, port, alpn, ech, refused: as in `ServiceFound`.
        address, of: for what, as in `ResolutionSummary`.
    """

    time: float
    rank: int
    target: str
    priority: int
    port: int
    alpn: tuple[str, ...] = ()
    ech: int = 0
    refused: str = ""
    address: str = ""
    of: ResolutionOf = "target"

    @classmethod
    def found(cls, at: float, event: ServiceFound) -> ServiceSummary:
        """That of an event."""
        fields = {name: getattr(event, name) for name in cls.__match_args__[1:]}
        return cls(time=at, **fields)


def plain(summary: QuestionSummary | ServiceSummary) -> dict[str, Any]:
    """Its fields, ready for JSON."""
    fields = as_dict(summary)
    if "alpn" in fields:
        fields["alpn"] = list(fields["alpn"])
    return fields
