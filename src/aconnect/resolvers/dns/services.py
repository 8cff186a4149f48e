"""Services looked up: what `finding` decides, with the answers of the cache and of name servers.

Rules:

* Everything that is to be asked at a time is asked in one turn.
* Nothing that goes wrong with HTTPS or SVCB records fails a lookup.  Of SRV records it does, for
  they are what was asked for.
* A candidate of the search list counts if it has addresses itself; the name as it was typed, also
  if only its services have.  For SRV, one counts that has records, or with a port, addresses.

Sources: RFC 9460, RFC 2782.
"""

from __future__ import annotations

import socket
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from ...addresses.service_addresses import ServiceAddress, SRVAddress
from ...sansio.draws import Draws
from ...sansio.finding import HTTPS, SVCB, Offers, Place, Targets
from ...sansio.service_records import ServiceRecord
from ..answers import Explained, endpoint_at, service_of
from ..base import Batch, Service
from .addresses import FAMILIES
from .asking import of_nobody
from .cache import Answer, error_of
from .lookup import new_seed
from .telling import Told
from .wire import A, Question, type_name

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from ...addresses.values import Endpoint
    from .asking import Answered, Asking

__all__ = ["Services", "web_ports"]

_HTTPS_DEFAULT: Final = ("http/1.1",)

_BAD_PORTS: Final = frozenset(
    (
        *(0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161),
        *(179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563),
        *(587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061),
        *(6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    )
)
"""Where a server would take HTTP for something else: the Fetch standard, "port blocking"."""


def web_ports(port: int) -> bool:
    """Whether records of DNS may lead to a port: to all but 0 and those that the Fetch standard
    has browsers not fetch from.

    Thread-safe.
    """
    return port not in _BAD_PORTS


class Services:
    """Looks up services.

    Args:
        ports: says which ports records may lead to.
        prefer: as for `sansio.service_records.grouped`.
    """

    def __init__(self, ports: Callable[[int], object], prefer: tuple[Any, ...]) -> None:
        self._ports = ports
        self._prefer = prefer

    def finding(
        self, address: Any, name: str, types: list[int], preferred: int, random: Draws
    ) -> Offers | Targets:
        """What is to be found for a name."""
        if isinstance(address, SRVAddress):
            query = f"{address.service}._{address.proto}.{name}"
            return Targets(name, address.port, types, preferred, query=query, random=random)
        https, port = address.scheme == "https", address.port
        query, default = name, _HTTPS_DEFAULT if https else ()
        if not https:
            query = f"_{address.scheme}.{name}"
        if port != address.default_port:
            query = f"_{port}.{query}" if not https else f"_{port}._https.{name}"
        return Offers(
            name,
            port,
            types,
            preferred,
            query=(query, HTTPS if https else SVCB),
            alpn=address.alpn,
            default=default,
            prefer=self._prefer,
            refuse_port=self._refuse_port,
            random=random,
        )

    def _refuse_port(self, port: int) -> str:
        try:
            answer = self._ports(port)
        except Exception as error:
            return f"ports raised {type(error).__name__}"
        if answer is True:
            return ""
        if answer is False:
            return f"it leads to port {port}, which is not permitted"
        return f"ports must answer True or False, not {answer!r}"

    async def look_up(
        self,
        address: ServiceAddress | SRVAddress,
        typed: str,
        candidates: list[str],
        asking: Asking,
        types: list[int],
        preferred: int,
    ) -> AsyncGenerator[Batch, None]:
        """What is found, in batches.

        Args:
            typed: the candidate that is the name as it was typed.
            candidates: the names to try, one after the other.
            asking: puts the questions; it is closed in the end.
            types: of addresses.
            preferred: the one that is worth waiting for.

        Raises:
            OSError: there is no address; there are no SRV records, or nobody could tell.
        """
        try:
            found = self._batches(address, typed, candidates, asking, types, preferred)
            async with aclosing(found) as batches:
                async for batch in batches:
                    yield batch
        finally:
            asking.close()

    async def _batches(
        self,
        address: ServiceAddress | SRVAddress,
        typed: str,
        candidates: list[str],
        asking: Asking,
        types: list[int],
        preferred: int,
    ) -> AsyncGenerator[Batch, None]:
        failures: list[Answer] = []
        awaited: frozenset[Any] = frozenset({FAMILIES[preferred], "service"})
        yield Batch((), awaiting=awaited)
        for name in candidates:
            finding = self.finding(address, name, types, preferred, asking.random)
            saying = _Saying(address, finding, awaited)
            counts = name in (typed, candidates[-1]) or isinstance(finding, Targets)
            asking.begin((*service_of(address), name))
            try:
                while True:
                    while wanted := finding.to_ask():
                        answered = asking.ask([Question(*each) for each in wanted])
                        told = [each.told for each in answered]
                        yield Batch((), questions=(*asking.told(), *told))
                        _hear(finding, answered, failures)
                    if additional := tuple(_additional(finding)):
                        yield Batch((), questions=additional)
                    if counts or finding.has_addresses(name):
                        for batch in saying.batches():
                            yield batch
                    answered = await asking.more()
                    if not answered:
                        break
                    yield Batch((), questions=[each.told for each in answered])
                    _hear(finding, answered, failures)
            except _NotHere:
                continue
            awaited = saying.awaited
            if finding.found and (counts or finding.has_addresses(name)):
                return
        raise error_of(failures, searched=len(candidates) > 1)

    def known(
        self,
        address: ServiceAddress | SRVAddress,
        candidates: list[str],
        recall: Callable[[Question], Answer | None],
        types: list[int],
        preferred: int,
    ) -> list[Endpoint] | None:
        """The endpoints, if all is remembered and they are of one rank; unsorted."""
        for name in candidates:
            finding = self.finding(address, name, types, preferred, Draws(new_seed))
            for each in _asked(finding, recall):
                if each is None:
                    return None
            said = finding.say()
            if said:
                saying = _Saying(address, finding, frozenset())
                if any(each.rank for each in said):
                    return None
                return [each for some in said for each in saying.endpoints(some.addresses)]
        return None

    def questions(
        self,
        address: ServiceAddress | SRVAddress,
        candidates: list[str],
        recall: Callable[[Question], Answer | None],
        types: list[int],
    ) -> Iterable[Question]:
        """All that is remembered for an address."""
        for name in candidates:
            finding = self.finding(address, name, types, A, Draws(new_seed))
            yield from filter(None, _asked(finding, recall))


class _NotHere(Exception):
    """There are no SRV records at a name, or nobody could tell; the next of a search list may
    have some."""


_NO_RECORDS: Final = Answer(
    (), socket.EAI_NONAME, "the domain has no SRV records for this service, and no port is given"
)


def _asked(
    finding: Offers | Targets, recall: Callable[[Question], Answer | None]
) -> Iterable[Question | None]:
    """The questions of a finding whose answers are remembered, and None for each other."""
    while wanted := finding.to_ask():
        for each in wanted:
            question = Question(*each)
            answer = of_nobody(question.name) or recall(question)
            if answer is None:
                yield None
                continue
            yield question
            try:
                _tell(finding, question, answer, [])
            except _NotHere:
                pass
            except OSError:
                yield None


def _hear(finding: Offers | Targets, answered: list[Answered], failures: list[Answer]) -> None:
    for question, answer, _, _ in answered:
        _tell(finding, question, answer, failures)


def _tell(
    finding: Offers | Targets, question: Question, answer: Answer, failures: list[Answer]
) -> None:
    """Tell of an answer.

    Raises:
        _NotHere: without it there is nothing to be found at this name.
        OSError: there is nothing to be found, whatever other names have.
    """
    if question.type in FAMILIES:
        addresses = None if answer.failed else answer.addresses
        finding.addresses_answered(question.name, question.type, addresses)
        if not answer.addresses:
            failures.append(answer)
        return
    records, additional = answer.records, answer.additional or {}
    if isinstance(finding, Offers):
        finding.records_answered(answer.owner, records, additional)
        return
    if answer.failed:
        failures.append(answer)
        raise _NotHere
    if not finding.records_answered(records, additional):
        if records:
            said = "the domain says that it does not offer this service"
            raise Explained(socket.EAI_NONAME, said)
        failures.append(_NO_RECORDS)
        raise _NotHere


def _additional(finding: Offers | Targets) -> Iterable[Told]:
    """What came with an answer, and was not asked for."""
    for name, type, records in finding.taken():
        yield Told(name, type_name(type), "", "", "NOERROR", records, source="additional")


class _Saying:
    """Says what a finding says, in batches."""

    def __init__(
        self,
        address: ServiceAddress | SRVAddress,
        finding: Offers | Targets,
        awaited: frozenset[Any],
    ) -> None:
        self._finding = finding
        self.awaited: frozenset[Any] = awaited
        datagrams = address.type == socket.SOCK_DGRAM
        self._proto: int = socket.IPPROTO_UDP if datagrams else socket.IPPROTO_TCP
        self._type = address.type

    def batches(self) -> Iterable[Batch]:
        """What is to be said; nothing more is awaited before all of it has been."""
        for place, rank, refused in self._finding.offers():
            yield Batch((), rank=rank, service=_service(place, False, refused))
        for said in self._finding.say():
            yield Batch(
                tuple(self.endpoints(said.addresses)),
                withdrawn=tuple(self.endpoints(said.withdrawn)),
                rank=said.rank,
                service=_service(said.place, said.hint),
            )
        types: dict[Any, Any] = FAMILIES
        awaited = frozenset(types.get(each, each) for each in self._finding.awaiting())
        if self._finding.found and awaited & self.awaited != self.awaited:
            self.awaited &= awaited
            yield Batch((), awaiting=self.awaited)

    def endpoints(self, addresses: Iterable[tuple[str, int]]) -> list[Endpoint]:
        """Addresses as endpoints."""
        return [endpoint_at(self._type, self._proto, host, port) for host, port in addresses]


def _service(place: Place | None, hint: bool, refused: str = "") -> Service | None:
    if place is None or place.record is None:
        return None
    record = place.record
    alpn, ech = (record.alpn, record.ech) if isinstance(record, ServiceRecord) else ((), b"")
    return Service(place.host, record.priority, place.port, alpn, ech, hint, refused)
