"""Servers of all kinds together: what comes of them is what comes of the first that knows."""

from __future__ import annotations

import socket
from contextlib import ExitStack, aclosing
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from support.liar import Liar, answer

from aconnect import DnsResolver, parse_address
from aconnect.sansio import asking as sansio_asking

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"
DATA = {
    "A": "a.test 60 A 192.0.2.1",
    "AAAA": "a.test 60 AAAA 2001:db8::1",
    "HTTPS": "a.test 60 HTTPS 1 . port=8443",
}


def record(kind: str) -> str:
    return DATA[kind]


def behind_an_alias(query: bytes, kind: str) -> bytes:
    alias, there = "a.test 60 CNAME b.test.", record(kind).replace("a.test", "b.test")
    return answer(query, there, alias)  # the wrong way round


def cut(said: bytes) -> bytes:
    return said[:-13]


SAYS: dict[str, Callable[[bytes, str, str], Any]] = {
    # What knows.
    "good": lambda query, kind, way: [answer(query, record(kind))],
    "alias": lambda query, kind, way: [behind_an_alias(query, kind)],
    "by tcp": lambda query, kind, way: [
        answer(query, record(kind)) if way == "tcp" else answer(query, record(kind), flags=["TC"])
    ],
    "behind nonsense": lambda query, kind, way: [
        *(b"", b"nonsense", query, answer(query, record(kind)))
    ],
    "without EDNS": lambda query, kind, way: [
        answer(query, rcode="FORMERR") if query[11] else answer(query, record(kind))
    ],
    # What knows that there is nothing.
    "nothing": lambda query, kind, way: [answer(query, authority=[SOA])],
    "no name": lambda query, kind, way: [answer(query, rcode="NXDOMAIN", authority=[SOA])],
    # What does not know.
    "servfail": lambda query, kind, way: [answer(query, rcode="SERVFAIL")],
    "refused": lambda query, kind, way: [answer(query, rcode="REFUSED")],
    "lame": lambda query, kind, way: [answer(query, without=["RA"])],
    "cut": lambda query, kind, way: [cut(answer(query, record(kind)))],
    "circle": lambda query, kind, way: [answer(query, "a.test 60 CNAME a.test.")],
    "cut by tcp": lambda query, kind, way: [
        None if way == "tcp" else answer(query, flags=["TC"])
    ],
}  # fmt: skip
KNOWS = ("good", "alias", "by tcp", "behind nonsense", "without EDNS")
NOTHING = ("nothing", "no name")
AGAIN = ("servfail", "cut by tcp")


@pytest.fixture
def anyio_backend() -> str:
    """One will do: what depends on the loop is tested elsewhere."""
    return "asyncio"


def first_that_knows(kinds: list[str]) -> str:
    return next((each for each in kinds if each in KNOWS + NOTHING), "")


@pytest.mark.parametrize("seed", range(50))
async def test_what_comes_of_three_servers(seed: int, monkeypatch: Any) -> None:
    random = Random(seed)
    silent = random.choice([0, 1, None])
    monkeypatch.setattr(
        sansio_asking.Servers,
        "patience",
        lambda servers, server, limit: 0.02 if server == silent else limit,
    )
    by_type: dict[str, list[str]] = {}
    for kind in DATA:
        some = [random.choice([*SAYS]) for _ in range(3)]
        if silent is not None:
            some[silent] = "silent"
            if not first_that_knows(some):
                some[2] = "good"  # or it would take the time limit
        by_type[kind] = some

    def server(number: int) -> Liar:
        def say(query: bytes, kind: str, way: str) -> Any:
            what = by_type[kind][number]
            return [] if what == "silent" else SAYS[what](query, kind, way)

        return Liar(say)

    found: set[tuple[str, int]] = set()
    code: int | None = 0
    with ExitStack() as stack:
        liars = [stack.enter_context(server(number)) for number in range(3)]
        resolver = DnsResolver(
            [each.address for each in liars], cache=None, attempts=1, timeout=30, nat64=None
        )
        try:
            async with aclosing(resolver.resolve(parse_address("https://a.test"))) as answers:
                async for batch in answers:
                    found -= {(each.sockaddr[0], each.sockaddr[1]) for each in batch.withdrawn}
                    found |= {(each.sockaddr[0], each.sockaddr[1]) for each in batch.endpoints}
        except socket.gaierror as error:
            code = error.errno
    knows = {kind: first_that_knows(some) for kind, some in by_type.items()}
    hosts = {DATA[kind].split()[3] for kind in ("A", "AAAA") if knows[kind] in KNOWS}
    offered = knows["HTTPS"] in KNOWS
    # Behind an alias, the record is another host's, whose addresses are asked for anew.
    if not offered:
        assert found == {(host, 443) for host in hosts}
    elif knows["HTTPS"] != "alias":
        assert found == {(host, 8443) for host in hosts} | {(host, 443) for host in hosts}
    if offered and knows["HTTPS"] == "alias":
        assert found >= {(host, 443) for host in hosts}
    elif not hosts:
        failed = [kind for kind in ("A", "AAAA") if not knows[kind]]
        if not failed:
            both = {knows[kind] for kind in ("A", "AAAA")}
            assert code == (socket.EAI_NONAME if both == {"no name"} else socket.EAI_NODATA)
        else:
            again = any(each in AGAIN for kind in failed for each in by_type[kind])
            assert code == (socket.EAI_AGAIN if again else socket.EAI_FAIL)
    assert bool(found) == (code == 0)
