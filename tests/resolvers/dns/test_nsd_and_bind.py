"""The resolver and servers that say more than they were asked: nsd and BIND."""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from support.name_servers import bind, nsd
from support.netns import in_new_network

from aconnect import DnsResolver, TCPAddress

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.server]

PORT = 5353
MANY = 100  # of one type and name: as many as BIND takes
ZONE = f"""$ORIGIN test.
$TTL 300
@ SOA ns root 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
a 50 A 192.0.2.1
a 40 AAAA 2001:db8::1
alias 10 CNAME further
further 20 CNAME a
four A 192.0.2.4
text TXT "no address"
circle CNAME circle2
circle2 CNAME circle
nobody A 0.0.0.0
{"".join(f"many A 192.0.2.{number}" + chr(10) for number in range(1, MANY + 1))}
*.wild A 192.0.2.9
"""
BOTH = {"192.0.2.1", "2001:db8::1"}
EXPECTED: dict[str, Any] = {
    "a.test": BOTH,
    "A.Test.": BOTH,
    "alias.test": BOTH,
    "four.test": {"192.0.2.4"},
    "x.y.wild.test": {"192.0.2.9"},
    "many.test": {f"192.0.2.{number}" for number in range(1, MANY + 1)},
    "text.test": socket.EAI_NODATA,
    "nobody.test": socket.EAI_NODATA,
    "missing.test": socket.EAI_NONAME,
    "other.example": socket.EAI_FAIL,  # it refuses: it has no such zone, and asks nobody
}


async def look_all_up() -> dict[str, Any]:
    """The addresses of each name, or the code of why there are none."""
    resolver = DnsResolver([f"127.0.0.1:{PORT}"], search=[], timeout=5, cache=None, hosts=False)
    answers: dict[str, Any] = {}
    for name in EXPECTED:
        answers[name] = found = set()
        try:
            async with aclosing(resolver.resolve(TCPAddress(name, 5))) as batches:
                async for batch in batches:
                    found |= {str(each.sockaddr[0]) for each in batch.endpoints}
        except socket.gaierror as error:
            answers[name] = error.errno
    return answers


@pytest.mark.parametrize("server", [nsd, bind])
def test_what_is_in_the_zone(tmp_path: Path, server: Any) -> None:
    import trio

    def body() -> None:
        with server(tmp_path, PORT, "test", ZONE):
            assert asyncio.run(look_all_up()) == EXPECTED
            assert trio.run(look_all_up) == EXPECTED

    in_new_network(body)


@pytest.mark.parametrize("server", [nsd, bind])
def test_aliases_that_lead_in_a_circle(tmp_path: Path, server: Any) -> None:
    """A server sends the circle and says no error, or SERVFAIL."""

    async def look_up() -> int | None:
        resolver = DnsResolver([f"127.0.0.1:{PORT}"], search=[], cache=None, hosts=False)
        with pytest.raises(socket.gaierror) as caught:
            async with aclosing(resolver.resolve(TCPAddress("circle.test", 5))) as batches:
                [batch async for batch in batches]
        return caught.value.errno

    def body() -> None:
        with server(tmp_path, PORT, "test", ZONE):
            assert asyncio.run(look_up()) in (socket.EAI_FAIL, socket.EAI_AGAIN)

    in_new_network(body)
