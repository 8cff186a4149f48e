"""`aconnect lookup`: what name servers say of names, as it comes.

Rules:

* One name after the other, and a line for each batch as soon as it is there: addresses, where they
  are from, and for how long they are good.  Of a service there are lines for each question, each
  record and the addresses of each rank.
* Nothing is remembered from one run to the next, so what is shown has been asked for.
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.text import Text

from aconnect import TCPAddress, explain
from aconnect.addresses.text import format_sockaddr

from .screen import duration, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aconnect import Batch, Question, Resolver, Service

    from .loops import EventLoop

__all__ = ["Heard", "Name", "as_json", "as_text", "look_all_up"]

_FAMILIES: Final[dict[int, str]] = {socket.AF_INET6: "IPv6", socket.AF_INET: "IPv4"}
_TYPES: Final[dict[int, str]] = {socket.AF_INET6: "AAAA", socket.AF_INET: "A"}


class Name(NamedTuple):
    """What is looked up, as it was typed and as a value."""

    text: str
    address: Any


class Heard(NamedTuple):
    """What was said of a name: addresses, or why there are none; what a question came to; or
    where a service is.

    Attributes:
        family: which the addresses are of, if they are of one.
        code: of getaddrinfo(3) or errno(3); 0 if nothing is wrong.
        words: why.
        seconds: since the name was asked for.
        question: where the addresses are from, or what came of it.
        rank: that of the addresses, if there are several.
        service: what is offered there, or at the addresses.
    """

    name: str
    family: int | None
    addresses: tuple[str, ...]
    seconds: float
    code: int = 0
    words: str = ""
    question: Question | None = None
    rank: int | None = None
    service: Service | None = None


def look_all_up(
    names: Sequence[Name], resolver: Resolver, loop: EventLoop, show: Callable[[Heard], None]
) -> bool:
    """Look names up, one after the other.

    Args:
        show: is called with what is said, as it comes.

    Returns:
        Whether each has an address.
    """
    found: list[bool] = []

    async def job() -> None:
        found.extend([await _look_up(name, resolver, show) for name in names])

    async def main() -> None:
        await loop.together(job, 1)

    loop.run(main)
    return all(found)


async def _look_up(name: Name, resolver: Resolver, show: Callable[[Heard], None]) -> bool:
    start, any_address = time.monotonic(), False
    answers: Any = resolver.resolve(name.address)
    try:
        async with aclosing(answers):
            async for batch in answers:
                any_address |= bool(batch.endpoints)
                for heard in _heard(name, batch):
                    show(heard._replace(seconds=time.monotonic() - start))
    except OSError as error:
        words = str(error.strerror or error)
        show(Heard(name.text, None, (), time.monotonic() - start, error.errno or 0, words))
    return any_address


def _heard(name: Name, batch: Batch) -> Iterator[Heard]:
    """What a batch says; nothing of what is only worth waiting for."""
    plain = type(name.address) is TCPAddress
    came = {each.type: each for each in batch.questions if each.outcome}
    of_family = came.pop(_TYPES.get(batch.answered or 0, ""), None) if plain else None
    if plain and batch.endpoints and batch.answered is None:  # from the hosts file
        of_family = next(iter(came.values()), None)
        came.clear()
    for question in came.values():
        yield Heard(question.name, None, (), 0.0, question=question)
    if plain:
        if batch.endpoints or batch.answered is not None:
            addresses = tuple(str(each.sockaddr[0]) for each in batch.endpoints)
            yield Heard(name.text, batch.answered, addresses, 0.0, question=of_family)
        return
    addresses = tuple(format_sockaddr(each[0], each[3]) for each in batch.endpoints)
    if addresses or batch.service is not None:
        rank, service = batch.rank, batch.service
        yield Heard(name.text, None, addresses, 0.0, rank=rank, service=service)


def as_text(heard: Heard) -> Text:
    """A line for people."""
    took = duration(heard.seconds)
    if heard.code:
        line = f"{heard.name}  {_name(heard.code)}: {heard.words}, in {took}"
        return Text(printable(line), "red")
    return Text(printable(f"{heard.name}  {_said(heard)}, in {took}{_from(heard.question)}"))


def _said(heard: Heard) -> str:
    question, service = heard.question, heard.service
    if heard.rank is not None:
        of = "" if service is None else f" {service.target}:{service.port}"
        if heard.addresses:
            hint = ", a hint" if service is not None and service.hint else ""
            return f"rank {heard.rank}  {', '.join(heard.addresses)}" + (of and f" of{of}") + hint
        assert service is not None
        facts = [
            f"priority {service.priority}",
            *[f"alpn {','.join(service.alpn)}"] * bool(service.alpn),
        ]
        facts += ["ech"] * bool(service.ech)
        facts += [f"not used: {service.refused}"] * bool(service.refused)
        return f"service{of}  {', '.join(facts)}"
    if question is not None and heard.family is None and not heard.addresses:
        records = f"{question.records} record{'s' * (question.records != 1)}"
        said = records if question.outcome == "NOERROR" else question.outcome
        return f"{question.type}  {said}" if question.type else said
    family = _FAMILIES.get(heard.family or 0, "any family")
    return f"{family}  {', '.join(heard.addresses) or 'no address'}"


def _from(question: Question | None) -> str:
    """Where an answer is from, and for how long it is good."""
    if question is None:
        return ""
    ttl = "" if question.ttl is None else f", TTL {question.ttl} s"
    where: str = question.source
    if question.source == "network":
        where = f"{question.server} by {question.over}" if question.server else ""
    left_out = f", {question.left_out} left out" if question.left_out else ""
    return left_out + ttl + (where and f", from {where}")


def as_json(heard: Heard) -> str:
    """One line of JSON."""
    fields: dict[str, object] = {
        "name": heard.name,
        "family": None if heard.family is None else socket.AddressFamily(heard.family).name,
        "addresses": list(heard.addresses),
        "seconds": round(heard.seconds, 6),
    }
    if heard.code:
        fields |= {"errno": heard.code, "errno_name": _name(heard.code), "message": heard.words}
    if heard.question is not None:
        told = heard.question._asdict()
        del told["name"], told["seconds"]
        fields |= told
    if heard.rank is not None:
        fields["rank"] = heard.rank
        if heard.service is not None:
            of = heard.service._asdict()
            fields["service"] = {**of, "alpn": list(of["alpn"]), "ech": len(of["ech"])}
    return json.dumps(fields)


def _name(code: int) -> str:
    return explain(code).partition(":")[0]
