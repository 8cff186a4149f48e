"""What a resolver has given, checked: it may be anybody's.

Rules:

* A batch is what `Batch` says, of endpoints that connect(2) can be given, or it is refused.
* An address that a translator leads to is sorted as the one that it stands for: it has no route.
* Answers that are not sorted are sorted together by RFC 6724, with the addresses of this machine.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from socket import AF_INET, AF_INET6, AF_UNSPEC, SOCK_RAW
from typing import TYPE_CHECKING, Any, Final

from ..addresses.literal import check_result, has_named_zone, numbered, zoned_endpoint
from ..addresses.service_addresses import ServiceAddress, SRVAddress
from ..addresses.translated import Translated
from ..addresses.values import Endpoint
from ..sansio.order import sort_by_history, sort_by_rfc6724
from ..sockets.datagrams import source_address
from .base import Batch, Question, Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from ..addresses.values import TCPAddress, UDPAddress

__all__ = [
    "Explained",
    "Sources",
    "check_batch",
    "check_endpoint",
    "closable",
    "endpoint_at",
    "endpoints_for",
    "in_order",
    "of_family",
    "refuse_srv",
    "service_of",
]

_FAMILIES: Final = (
    AF_INET,
    AF_INET6,
    getattr(socket, "AF_UNIX", AF_INET),
    getattr(socket, "AF_VSOCK", AF_INET),
)


_NOTHING_MORE: Final = Batch(())[4:]


class Explained(socket.gaierror):
    """An error of a lookup whose words say more than its code does."""


def refuse_srv(address: object) -> None:
    """For resolvers that ask for no SRV records.

    Raises:
        socket.gaierror: the address needs them.
    """
    if isinstance(address, SRVAddress):
        raise Explained(
            socket.EAI_NONAME,
            "SRV records are looked up by a resolver that asks name servers, "
            "as Dialer(resolver=DnsResolver()) does",
        )


def service_of(address: object) -> tuple[object, ...]:
    """What makes a question about a service another one than that about its host; nothing for a
    host with a port."""
    return (address,) if isinstance(address, (ServiceAddress, SRVAddress)) else ()


def check_batch(batch: Any) -> Batch:
    """What a resolver has yielded, if it is what a resolver may yield.

    Raises:
        TypeError, ValueError: it is not; the message shows it.
    """
    if not isinstance(batch, Batch):
        raise TypeError(f"a resolver must yield Batches, not {batch!r}")
    checked: Batch = batch if batch[4:] == _NOTHING_MORE else _check_more(batch)
    return checked._replace(
        endpoints=tuple(map(check_endpoint, checked.endpoints)),
        withdrawn=tuple(map(check_endpoint, checked.withdrawn)),
    )


def _check_more(batch: Batch) -> Batch:
    """What few resolvers say."""
    rank, awaiting, service = batch.rank, batch.awaiting, batch.service
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 0:
        raise ValueError(f"the rank of a Batch must be 0 or more, not {rank!r}")
    if awaiting is not None and not (
        isinstance(awaiting, frozenset) and awaiting <= {AF_INET, AF_INET6, "service"}
    ):
        raise ValueError(
            "awaiting of a Batch must be a frozenset of AF_INET, AF_INET6 and 'service', "
            f"not {awaiting!r}"
        )
    if service is not None and not isinstance(service, Service):
        raise TypeError(f"service of a Batch must be a Service, not {service!r}")
    questions = tuple(batch.questions)
    for each in questions:
        if not isinstance(each, Question):
            raise TypeError(f"questions of a Batch must be Questions, not {each!r}")
    return batch._replace(questions=questions)


def check_endpoint(endpoint: Any) -> Endpoint:
    """What a resolver has given, if it is an endpoint that connect(2) can be given.

    Raises:
        TypeError, ValueError: it is not; the message shows it.
    """
    if isinstance(endpoint, Translated):
        plain = check_endpoint(Endpoint(*endpoint))
        return Translated(plain, check_endpoint(endpoint.ipv4), endpoint.trusted)
    if isinstance(endpoint, Endpoint) and isinstance(endpoint.sockaddr, tuple):
        try:
            return numbered(_checked(*endpoint[:3], *endpoint.sockaddr))
        except TypeError:  # it has a part that cannot be hashed, or of a wrong type
            pass
    return numbered(_check(endpoint))


def _check(endpoint: Any) -> Endpoint:
    if not isinstance(endpoint, Endpoint):
        raise TypeError(f"a Batch must have Endpoints, not {endpoint!r}")
    checked = check_result((*endpoint[:3], "", endpoint.sockaddr))
    if checked.type == SOCK_RAW or checked.family not in _FAMILIES:
        raise ValueError(f"a Batch must have Endpoints that can be connected to, not {endpoint!r}")
    return checked


@lru_cache(1024, typed=True)
def _checked(family: int, type: int, proto: int, *sockaddr: Any) -> Endpoint:
    """The same, and quicker: a program connects to a few addresses again and again."""
    return _check(Endpoint(family, type, proto, sockaddr))


def of_family(batch: Batch, family: int) -> list[Endpoint]:
    """The endpoints of a batch that are of ``family``, or all for AF_UNSPEC."""
    return [each for each in batch.endpoints if family in (AF_UNSPEC, each.family)]


class Sources(dict[Endpoint, "str | None"]):
    """The addresses from which the kernel would send to endpoints, each asked for once: those of
    one lookup are sorted again with each answer."""

    def __missing__(self, endpoint: Endpoint) -> str | None:
        source = self[endpoint] = _source_of(endpoint)
        return source


def in_order(
    endpoints: list[Endpoint],
    places_of: Callable[[list[Endpoint]], list[int]] | None = None,
    is_sorted: bool = False,
    sources: Sources | None = None,
) -> list[Endpoint]:
    """Endpoints, best first; as they are if some are not of the internet.

    Args:
        places_of: as for `sort_by_rfc6724`.
        is_sorted: whether somebody has sorted them: then ``places_of`` alone changes anything.
        sources: those of the same lookup; None for asking the kernel.
    """
    source_of = _source_of if sources is None else sources.__getitem__
    if any(each.family not in (AF_INET, AF_INET6) for each in endpoints):
        return endpoints
    if not is_sorted:
        return sort_by_rfc6724(endpoints, source_of, host_of=_host_of, places_of=places_of)
    if places_of is None or len(endpoints) == 1:
        return endpoints
    return sort_by_history(endpoints, source_of, places_of, host_of=_host_of)


def _source_of(endpoint: Endpoint) -> str | None:
    if isinstance(endpoint, Translated):  # there is no route to what is meant
        return None
    return None if has_named_zone(endpoint) else source_address(endpoint)


def _host_of(endpoint: Endpoint) -> str:
    meant = endpoint.ipv4 if isinstance(endpoint, Translated) else endpoint
    return str(meant.sockaddr[0])


def endpoints_for(address: TCPAddress | UDPAddress, hosts: Iterable[str]) -> list[Endpoint]:
    """The endpoints of a name that has the IP addresses ``hosts``, perhaps with zones."""
    kind, proto, port = address.type, address.proto, address.port
    endpoints = []
    for host in hosts:
        if "%" in host:
            zoned = type(address)(host, port)
            endpoints.append(zoned.endpoint or zoned_endpoint(zoned))
        else:
            endpoints.append(endpoint_at(kind, proto, host, port))
    return endpoints


def endpoint_at(kind: int, proto: int, host: str, port: int) -> Endpoint:
    """The endpoint of an IP address without a zone."""
    if ":" in host:
        return Endpoint(socket.AF_INET6, kind, proto, (host, port, 0, 0))
    return Endpoint(socket.AF_INET, kind, proto, (host, port))


def closable(answers: Any) -> Any:
    """The iterator that a resolver has returned, if it is one, with an aclose()."""
    if not hasattr(answers, "__aiter__"):
        raise TypeError(f"a resolver must return an asynchronous iterator, not {answers!r}")
    if hasattr(answers, "aclose"):
        return answers

    async def generate() -> AsyncIterator[Any]:
        async for answer in answers:
            yield answer

    return generate()
