"""`aconnect lookup`: what name servers say of names, as it comes.

Rules:

* One name after the other, and a line for each batch as soon as it is there.
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

from .screen import duration, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aconnect import Resolver

    from .loops import EventLoop

__all__ = ["Heard", "as_json", "as_text", "look_all_up"]

_FAMILIES: Final[dict[int, str]] = {socket.AF_INET6: "IPv6", socket.AF_INET: "IPv4"}


class Heard(NamedTuple):
    """What was said of a name: addresses, or why there are none.

    Attributes:
        family: which the addresses are of, if they are of one.
        code: of getaddrinfo(3) or errno(3); 0 if nothing is wrong.
        words: why.
        seconds: since the name was asked for.
    """

    name: str
    family: int | None
    addresses: tuple[str, ...]
    seconds: float
    code: int = 0
    words: str = ""


def look_all_up(
    names: Sequence[str], resolver: Resolver, loop: EventLoop, show: Callable[[Heard], None]
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


async def _look_up(name: str, resolver: Resolver, show: Callable[[Heard], None]) -> bool:
    start, any_address = time.monotonic(), False
    answers: Any = resolver.resolve(TCPAddress(name, 0))
    try:
        async with aclosing(answers):
            async for batch in answers:
                addresses = tuple(str(each.sockaddr[0]) for each in batch.endpoints)
                any_address |= bool(addresses)
                if not addresses and batch.answered is None:
                    continue  # it says what is worth waiting for
                show(Heard(name, batch.answered, addresses, time.monotonic() - start))
    except OSError as error:
        words = str(error.strerror or error)
        show(Heard(name, None, (), time.monotonic() - start, error.errno or 0, words))
    return any_address


def as_text(heard: Heard) -> Text:
    """A line for people."""
    took = duration(heard.seconds)
    if heard.code:
        line = f"{heard.name}  {_name(heard.code)}: {heard.words}, in {took}"
        return Text(printable(line), "red")
    family = _FAMILIES.get(heard.family or 0, "any family")
    addresses = ", ".join(heard.addresses) or "no address"
    return Text(printable(f"{heard.name}  {family}  {addresses}, in {took}"))


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
    return json.dumps(fields)


def _name(code: int) -> str:
    return explain(code).partition(":")[0]
