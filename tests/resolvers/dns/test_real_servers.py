"""The resolver and real name servers, in networks that have nothing but loopback."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack, aclosing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.netns import in_new_network
from support.programs import program, running

from aconnect import DnsCache, DnsResolver, TCPAddress, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.server]

PORT = 5353
MANY = 120

ZONE = f"""
$ORIGIN test.
$TTL 300
@ SOA ns root 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
a 50 A 192.0.2.1
a 40 AAAA 2001:db8::1
alias 10 CNAME further
further 20 CNAME a
outside CNAME elsewhere.example.
four A 192.0.2.4
text TXT "no address"
circle CNAME circle2
circle2 CNAME circle
nobody A 0.0.0.0
{"".join(f"many A 192.0.2.{number}" + chr(10) for number in range(1, MANY + 1))}
*.wild A 192.0.2.9
web HTTPS 1 svc port=8443 alpn=h2 ipv4hint=192.0.2.77
web HTTPS 2 . alpn=h2
web A 192.0.2.10
svc A 192.0.2.11
svc AAAA 2001:db8::11
apex HTTPS 0 web
apex A 192.0.2.12
_5._foo.web SVCB 1 svc
bad TYPE65 \\# 5 0001000001
bad A 192.0.2.13
_x._tcp SRV 1 0 501 svc
_x._tcp SRV 2 0 502 four
_no._tcp SRV 0 0 0 .
"""

SERVICES: dict[str, Any] = {
    "https://web.test": [["192.0.2.11 8443", "2001:db8::11 8443"], ["192.0.2.10 443"]],
    "https://apex.test": [
        ["192.0.2.11 8443", "2001:db8::11 8443"],
        ["192.0.2.10 443"],
        ["192.0.2.12 443"],
    ],
    "https://bad.test": [["192.0.2.13 443"]],
    "https://four.test": [["192.0.2.4 443"]],
    "svcb://web.test:5?scheme=foo": [["192.0.2.11 5", "2001:db8::11 5"], ["192.0.2.10 5"]],
    "srv:_x._tcp.test": [["192.0.2.11 501", "2001:db8::11 501"], ["192.0.2.4 502"]],
    "srv:_no._tcp.test": socket.EAI_NONAME,
    "srv:_none._tcp.four.test:6": [["192.0.2.4 6"]],
}
"""The addresses of each rank."""

EXPECTED: dict[str, Any] = {
    "a.test": {"192.0.2.1", "2001:db8::1"},
    "A.Test.": {"192.0.2.1", "2001:db8::1"},
    "alias.test": {"192.0.2.1", "2001:db8::1"},
    "four.test": {"192.0.2.4"},
    "x.y.wild.test": {"192.0.2.9"},
    "many.test": {f"192.0.2.{number}" for number in range(1, MANY + 1)},
    "text.test": socket.EAI_NODATA,
    "nobody.test": socket.EAI_NODATA,
    "missing.test": socket.EAI_NONAME,
}


async def look_up(resolver: DnsResolver, name: str) -> Any:
    """The addresses of a name, or the code of why there are none."""
    found = set()
    try:
        async with aclosing(resolver.resolve(TCPAddress(name, 5))) as answers:
            async for batch in answers:
                found |= {str(each.sockaddr[0]) for each in batch.endpoints}
    except socket.gaierror as error:
        return error.errno
    return found


async def find(resolver: DnsResolver, address: str) -> Any:
    """The addresses of each rank, or the code of why there are none."""
    of: dict[Any, int] = {}
    try:
        async with aclosing(resolver.resolve(parse_address(address))) as answers:
            async for batch in answers:
                for each in batch.withdrawn:
                    del of[each]
                of.update(dict.fromkeys(batch.endpoints, batch.rank))
    except socket.gaierror as error:
        return error.errno
    found: dict[int, list[str]] = {}
    for each, rank in of.items():
        found.setdefault(rank, []).append(f"{each.sockaddr[0]} {each.sockaddr[1]}")
    return [sorted(found[rank]) for rank in sorted(found)]


async def find_all(resolver: DnsResolver) -> dict[str, Any]:
    return {address: await find(resolver, address) for address in SERVICES}


async def look_all_up(resolver: DnsResolver) -> dict[str, Any]:
    return {name: await look_up(resolver, name) for name in EXPECTED}


def resolver(port: int = PORT, **options: Any) -> DnsResolver:
    options = {"search": [], "timeout": 2, "cache": DnsCache(), **options}
    return DnsResolver([f"127.0.0.1:{port}"], **options)


@contextmanager
def knot(where: Path, port: int = PORT) -> Iterator[None]:
    """knotd with the zone."""
    (where / "zone").write_text(ZONE)
    (where / "knot.conf").write_text(f"""
server:
    listen: 127.0.0.1@{port}
    rundir: {where}
log:
  - target: stderr
    any: info
database:
    storage: {where}
zone:
  - domain: test
    file: {where}/zone
""")
    command = [program("knotd", "knot"), "-c", str(where / "knot.conf")]
    with running(command, where / "knot.log", ("127.0.0.1", port)):
        deadline = time.monotonic() + 20
        while asyncio.run(look_up(resolver(port, cache=None), "a.test")) != EXPECTED["a.test"]:
            assert time.monotonic() < deadline, (where / "knot.log").read_text()
            time.sleep(0.02)
        yield


@contextmanager
def dnsmasq(where: Path, *options: str) -> Iterator[None]:
    command = [
        *(program("dnsmasq", "dnsmasq-base"), "--keep-in-foreground", f"--port={PORT}"),
        *("--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file="),
        *("--listen-address=127.0.0.1", "--bind-interfaces", *options),
    ]
    with running(command, where / "dnsmasq.log", ("127.0.0.1", PORT)):
        yield


@contextmanager
def unbound(where: Path, port: int, upstream: int) -> Iterator[None]:
    """unbound, which asks the server at ``upstream`` for what is in the zone, and nobody else."""
    (where / "unbound.conf").write_text(f"""
server:
    directory: "{where}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    interface: 127.0.0.1@{port}
    do-not-query-localhost: no
    do-ip6: no
    module-config: "iterator"
    local-zone: "test." transparent
    local-zone: "." static
stub-zone:
    name: "test."
    stub-addr: 127.0.0.1@{upstream}
""")
    command = [program("unbound", "unbound"), "-d", "-c", str(where / "unbound.conf")]
    with running(command, where / "unbound.log", ("127.0.0.1", port)):
        yield


def on_all_loops(main: Any) -> list[Any]:
    """What a coroutine function gives on asyncio, uvloop and trio."""
    import trio
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return [asyncio.run(main()), runner.run(main()), trio.run(main)]


def test_knot(tmp_path: Path) -> None:
    def body() -> None:
        with knot(tmp_path):
            assert on_all_loops(lambda: look_all_up(resolver())) == [EXPECTED] * 3
            once = resolver()
            # A loop is an answer without an end; what is another's zone it refuses.
            assert asyncio.run(look_up(once, "circle.test")) == socket.EAI_FAIL
            assert asyncio.run(look_up(once, "outside.test")) == socket.EAI_FAIL
            assert asyncio.run(look_up(once, "other.example")) == socket.EAI_FAIL

    in_new_network(body)


def test_services_by_knot(tmp_path: Path) -> None:
    def body() -> Any:
        once = resolver()
        with knot(tmp_path):
            assert on_all_loops(lambda: find_all(resolver())) == [SERVICES] * 3
            asyncio.run(find_all(once))
        return asyncio.run(find(once, "https://apex.test"))  # there is no server any more

    assert in_new_network(body) == SERVICES["https://apex.test"]


def test_services_by_dnsmasq(tmp_path: Path) -> None:
    """It checks nothing of what it serves, and has no SOA record."""
    target = "037376630474657374 00".replace(" ", "")  # svc.test
    options = [
        "--host-record=web.test,192.0.2.10",
        "--host-record=svc.test,192.0.2.11,2001:db8::11",
        "--host-record=bad.test,192.0.2.13",
        f"--dns-rr=web.test,65,0001{target}000300020bb8",
        "--dns-rr=bad.test,65,0001000001",
        "--srv-host=_x._tcp.test,svc.test,501,1",
        "--local=/test/",
    ]

    def body() -> None:
        with dnsmasq(tmp_path, *options):
            once = resolver()
            both = ["192.0.2.11 3000", "2001:db8::11 3000"]
            assert (
                on_all_loops(lambda: find(resolver(), "https://web.test"))
                == [[both, ["192.0.2.10 443"]]] * 3
            )
            assert asyncio.run(find(once, "https://bad.test")) == [["192.0.2.13 443"]]
            assert asyncio.run(find(once, "srv:_x._tcp.test")) == [
                ["192.0.2.11 501", "2001:db8::11 501"]
            ]

    in_new_network(body)


def test_what_knot_has_answered_is_kept(tmp_path: Path) -> None:
    def body() -> Any:
        once = resolver()
        with knot(tmp_path):
            first = asyncio.run(look_all_up(once))
        return first, asyncio.run(look_all_up(once))  # there is no server any more

    first, again = in_new_network(body)
    assert first == again == EXPECTED


def test_recursion_by_unbound(tmp_path: Path) -> None:
    def body() -> None:
        with ExitStack() as stack:
            stack.enter_context(knot(tmp_path, PORT + 1))
            stack.enter_context(unbound(tmp_path, PORT, PORT + 1))
            assert on_all_loops(lambda: look_all_up(resolver())) == [EXPECTED] * 3
            assert asyncio.run(look_up(resolver(), "circle.test")) == socket.EAI_AGAIN
            assert asyncio.run(look_up(resolver(), "other.example")) == socket.EAI_NONAME

    in_new_network(body)


def test_unbound_without_anybody_to_ask(tmp_path: Path) -> None:
    def body() -> None:
        with unbound(tmp_path, PORT, PORT + 1):
            assert asyncio.run(look_up(resolver(timeout=10), "a.test")) == socket.EAI_AGAIN

    in_new_network(body)


def test_dnsmasq(tmp_path: Path) -> None:
    options = [
        "--host-record=a.test,192.0.2.1,2001:db8::1",
        "--cname=alias.test,a.test",
        "--address=/gone.test/",
        *(f"--host-record=many.test,192.0.2.{number}" for number in range(1, MANY + 1)),
    ]

    def body() -> None:
        with dnsmasq(tmp_path, *options):
            once = resolver()
            both = {"192.0.2.1", "2001:db8::1"}
            assert on_all_loops(lambda: look_up(resolver(), "a.test")) == [both] * 3
            assert asyncio.run(look_up(once, "alias.test")) == both
            assert asyncio.run(look_up(once, "many.test")) == EXPECTED["many.test"]
            assert asyncio.run(look_up(once, "gone.test")) == socket.EAI_NONAME
            assert asyncio.run(look_up(once, "refused.test")) == socket.EAI_FAIL

    in_new_network(body)
