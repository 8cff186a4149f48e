"""What a resolver is.

Rules:

* A resolver answers in batches, as they come.  The race begins with the first that is of use.
* A batch says which family it answers for good, if it does, and whether it is sorted.
* It may say of which rank its endpoints are: all of a rank are tried before any of the next.  And
  what is worth waiting for before the first is tried; a resolver that says so at all says so in
  its first batch, and then only takes away.
* A resolver is given a name and a port; literal addresses never reach it.
* It may also have what is not in `Resolver`, as nobody needs it: ``known(address)``, which gives
  the endpoints from memory, in their order, or None; it is called before each `resolve`, in the
  middle of a dial, and must not wait.  ``forget(address)``, which is told that none of the
  addresses could be connected to.  And ``translate(endpoint)``, which says how an IPv4 address is
  reached to which there is no route.  And ``for_family(family)``, which gives a resolver that
  looks for nothing else; it is called when a `Dialer` is made that keeps to one family.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from typing import TypeAlias

    from ..addresses.values import Endpoint, TCPAddress, UDPAddress

__all__ = [
    "Awaited",
    "Batch",
    "Question",
    "Resolver",
    "Service",
    "Source",
    "for_family",
    "translated",
]

Awaited: TypeAlias = "frozenset[int | Literal['service']]"
"""What is worth waiting for: address families, and "service" for how a service is offered."""
Source: TypeAlias = Literal["network", "cache", "stale", "hosts", "additional", "system"]
"""Where an answer is from: "system" for the system's resolver, which was asked instead."""


class Service(NamedTuple):
    """Where a service is offered, as a record of the name says.

    Attributes:
        target: the host.
        priority: of the record; the lowest is first.
        port: the port there.
        alpn: the protocols, as ALPN has them; what is not printable is escaped.
        ech: the configuration for Encrypted Client Hello, as it came; empty if there is none.
        hint: whether the addresses are those that the record itself has, and not the host's own.
        refused: why it is not used; empty if it is.
    """

    target: str
    priority: int
    port: int
    alpn: tuple[str, ...] = ()
    ech: bytes = b""
    hint: bool = False
    refused: str = ""


class Question(NamedTuple):
    """A question to a name server.

    Attributes:
        name: what was asked about.
        type: of the records that were asked for: "A", "AAAA", "HTTPS" and the like; empty for all.
        server: who answered, as text, or was asked last; empty if nobody was.
        over: "udp" or "tcp"; empty if nobody was asked.
        outcome: what came of it, as the registry of response codes has it, or in words; empty as
            long as nothing has.
        records: how many there were.
        ttl: seconds for which the answer is good; None for not at all.
        source: where the answer is from.
        seconds: how long it took.
        ignored: how many messages were no answer to it.
        left_out: how many records the answer had beyond those that are read or used.
    """

    name: str
    type: str
    server: str = ""
    over: str = ""
    outcome: str = ""
    records: int = 0
    ttl: int | None = None
    source: Source = "network"
    seconds: float = 0.0
    ignored: int = 0
    left_out: int = 0


class Batch(NamedTuple):
    """Some of the endpoints of a name, as a resolver finds them.

    Attributes:
        endpoints: in order of preference; may be empty.
        answered: the address family for which nothing more will come; None for no such promise.
            An empty batch with it is a negative answer.
        sorted: whether the order is that of RFC 6724 already; if not, it is sorted.
        withdrawn: endpoints of earlier batches that are not to be tried after all.
        rank: that of the endpoints, from 0: all of a rank are started before any of the next.  An
            endpoint that has been in an earlier batch has its rank and place by the last one,
            unless it has been tried.
        awaiting: what the first attempt is to wait for, if that does not take longer than
            `Dialer.resolution_delay` from the first endpoint on; None for no change.  A resolver
            that never says so is waited for as RFC 8305 has it: an IPv4 address waits for IPv6's.
        service: what the endpoints offer, if a record says so; for reports.
        questions: those that were asked, or came to something; for reports.
    """

    endpoints: Sequence[Endpoint]
    answered: int | None = None
    sorted: bool = False
    withdrawn: Sequence[Endpoint] = ()
    rank: int = 0
    awaiting: Awaited | None = None
    service: Service | None = None
    questions: Sequence[Question] = ()


class Resolver(Protocol):
    """Anything that turns a name into endpoints."""

    def resolve(self, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
        """The endpoints of ``address``, in batches as they come; an asynchronous generator.

        It runs in a task of its own, which is cancelled when its answer is not needed any more.
        To say that there is no answer it raises `socket.gaierror`, or another OSError, or ends
        without having yielded an endpoint.

        A resolver that has answers in memory may also have a method ``known(address)``, which
        gives the list of endpoints at once, best first, or None to have `resolve` called; and a
        method ``forget(address)``, which is called when a dial has tried all addresses of a name
        in vain.  Both are called in the middle of a dial, and must not wait.

        And a coroutine method ``translate(endpoint)``, which is awaited when a literal IPv4
        address has no route: the IPv6 `Endpoint` of a translator to it (NAT64), or None.  A policy
        is asked about both.

        And a method ``for_family(family)``, which gives a resolver that need not look for
        addresses of another family, and has all that this one has.  A `Dialer` with that
        ``family`` asks it in place of this one, unless there is a proxy: what that connects to may
        be of any family.
        """


def for_family(resolver: Resolver, family: int) -> Resolver:
    """The resolver for who keeps to a family, or to none; itself if it makes no difference."""
    keep: Any = getattr(resolver, "for_family", None)
    kept: Resolver = resolver if keep is None or not family else keep(family)
    return kept


async def translated(resolver: object, endpoint: Endpoint) -> Endpoint | None:
    """What a resolver that may have no ``translate`` says."""
    ask: Any = getattr(resolver, "translate", None)
    found: Endpoint | None = None if ask is None else await ask(endpoint)
    return found
