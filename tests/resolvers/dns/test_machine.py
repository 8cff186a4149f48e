"""What this machine says of names: when its files are looked at, where, and what is in them."""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import ExitStack, aclosing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.liar import Liar, answer

from aconnect import (
    Dialer,
    DnsCache,
    DnsResolver,
    ResolveError,
    StaticResolver,
    TCPAddress,
    parse_address,
)
from aconnect.drivers.select import running_driver
from aconnect.resolvers.dns import exchange, surroundings
from aconnect.resolvers.dns import machine as module
from aconnect.resolvers.dns.settings import DNS_PORT, Settings, read_hosts, read_resolv_conf

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

NAME = TCPAddress("a.test", 5)
SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"
HOSTS = {"A": "192.0.2.1", "AAAA": "2001:db8::1"}


def good(query: bytes, kind: str, way: str) -> Any:
    return [answer(query, f"a.test 60 {kind} {HOSTS[kind]}")]


@pytest.fixture
def anyio_backend() -> str:
    """One will do: what depends on the loop is tested elsewhere."""
    return "asyncio"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def now(monkeypatch: Any) -> list[float]:
    """The moment by which files are looked at."""
    moment = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: moment[0])
    for each in (module, surroundings):
        monkeypatch.setattr(each, "time", clock)
    return moment


def resolver_of(*liars: Liar, **options: Any) -> DnsResolver:
    options = {"cache": DnsCache(), "timeout": 30, "attempts": 1, **options}
    return DnsResolver([each.address for each in liars] or None, **options)


async def said(resolver: Any, address: Any = NAME) -> set[str]:
    async with aclosing(resolver.resolve(address)) as answers:
        return {str(each.sockaddr[0]) async for batch in answers for each in batch.endpoints}


# ------------------------------------------------------------------------ looked at again


async def test_n6_the_hosts_file_is_looked_at_every_five_seconds(
    stack: ExitStack, machine: Any, now: list[float]
) -> None:
    resolver = resolver_of(stack.enter_context(Liar(good)))
    machine.write("hosts", "192.0.2.7 a.test\n")
    assert await said(resolver) == {"192.0.2.7"}
    machine.write("hosts", "192.0.2.88 a.test\n")
    for moment, host in ((4.9, "192.0.2.7"), (5.0, "192.0.2.88"), (9.9, "192.0.2.88")):
        now[0] = 1000 + moment
        assert await said(resolver) == {host}
    machine.write("hosts", "")
    assert await said(resolver) == {"192.0.2.88"}
    now[0] = 1010.0
    assert await said(resolver) == {*HOSTS.values()}
    machine.write("hosts", "192.0.2.7 a.test\n")
    assert resolver.known(NAME) is not None
    now[0] = 1015.0
    assert resolver.known(NAME) is None  # for the file is to be looked at
    assert await said(resolver) == {"192.0.2.7"}


@pytest.mark.parametrize("options", ["", "options no-reload\n"])
async def test_d10_resolv_conf_is_looked_at_every_five_seconds(
    stack: ExitStack, machine: Any, now: list[float], monkeypatch: Any, options: str
) -> None:
    liar = stack.enter_context(Liar(good))
    monkeypatch.setattr("aconnect.resolvers.dns.settings.DNS_PORT", liar.port)
    resolver = resolver_of(cache=None)
    machine.write("resolv.conf", f"nameserver 127.0.0.1\n{options}")
    assert len(await said(resolver)) == 2
    machine.write("resolv.conf", f"nameserver 127.0.0.1\noptions no-aaaa\n{options}")
    for moment, families in ((4.9, 2), (5.0, 2 if options else 1), (100.0, 2 if options else 1)):
        now[0] = 1000 + moment
        assert len(await said(resolver)) == families


async def test_n7_nsswitch_conf_is_looked_at_every_five_seconds(
    stack: ExitStack, machine: Any, now: list[float]
) -> None:
    system = StaticResolver({"a.test": ["192.0.2.9"]})
    resolver = resolver_of(stack.enter_context(Liar(good)), system=system)
    assert await said(resolver) == {*HOSTS.values()}
    machine.write("nsswitch.conf", "hosts: files nis dns\n")
    now[0] += 4.9
    assert await said(resolver) == {*HOSTS.values()}
    now[0] += 0.1
    assert await said(resolver) == {"192.0.2.9"}
    machine.remove("nsswitch.conf")
    now[0] += 5
    assert await said(resolver) == {*HOSTS.values()}


@pytest.mark.parametrize("change", ["time", "size", "inode", "nothing"])
async def test_a_file_is_read_again_by_its_time_its_size_or_its_inode(
    machine: Any, now: list[float], monkeypatch: Any, change: str
) -> None:
    resolver = DnsResolver(["127.0.0.1:1"], cache=None)
    machine.write("hosts", "192.0.2.7 a.test\n")
    path = machine.path("hosts")
    assert await said(resolver) == {"192.0.2.7"}
    found = os.stat(path)
    text = "192.0.2.8 a.test\n" + "\n" * (change == "size")
    if change == "inode":
        machine.write("other", text)
        os.rename(machine.path("other"), path)
    else:
        machine.write("hosts", text)
    if change != "time":
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    else:
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    now[0] += 5
    assert await said(resolver) == {"192.0.2.7" if change == "nothing" else "192.0.2.8"}


@pytest.mark.parametrize(("size", "in_thread"), [(65536, False), (65537, True)])
async def test_n6_a_large_hosts_file_is_read_in_a_thread(
    machine: Any, monkeypatch: Any, size: int, in_thread: bool
) -> None:
    readers: list[threading.Thread] = []
    parse = surroundings.read_hosts

    def parses(text: str) -> Any:
        readers.append(threading.current_thread())
        return parse(text)

    monkeypatch.setattr(surroundings, "read_hosts", parses)
    line = "192.0.2.7 a.test\n"
    machine.write("hosts", line + "#" * (size - len(line)))
    assert await said(DnsResolver(["127.0.0.1:1"], cache=None)) == {"192.0.2.7"}
    assert [each is not threading.current_thread() for each in readers] == [in_thread]


async def test_n6_who_waits_for_a_large_hosts_file_at_once_shares_it(
    machine: Any, monkeypatch: Any
) -> None:
    may_read = threading.Event()
    readers: list[int] = []
    read = module.Watched._read

    def reads(watched: Any) -> str:
        if watched._path == machine.path("hosts"):
            readers.append(1)
            assert may_read.wait(10)
        return read(watched)

    monkeypatch.setattr(module.Watched, "_read", reads)
    machine.write("hosts", "192.0.2.7 a.test\n" + "#" * 65536)
    resolver = DnsResolver(["127.0.0.1:1"], cache=None)
    found: list[Any] = []

    async def ask() -> None:
        found.append(await said(resolver))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        may_read.set()
    assert found == [{"192.0.2.7"}] * 20
    assert len(readers) == 1


# ------------------------------------------------------------------------------ its words


def test_d10_defaults() -> None:
    settings = Settings()
    assert settings.servers == (("127.0.0.1", 53), ("::1", 53))
    assert (settings.search, settings.ndots, settings.timeout, settings.attempts) == ((), 1, 5, 2)
    flags = ("rotate", "use_tcp", "trust_ad", "no_aaaa", "one_by_one", "no_reload")
    assert not any(getattr(settings, each) for each in flags)
    assert read_resolv_conf("", {}) == settings
    assert DNS_PORT == 53


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("ndots:15", {"ndots": 15}),
        ("ndots:16", {"ndots": 15}),
        ("ndots:0", {"ndots": 0}),
        ("timeout:30", {"timeout": 30}),
        ("timeout:31", {"timeout": 30}),
        ("timeout:0", {"timeout": 1}),
        ("attempts:5", {"attempts": 5}),
        ("attempts:6", {"attempts": 5}),
        ("attempts:0", {"attempts": 1}),
        ("ndots:99999999999999999999", {"ndots": 15}),
        ("ndots:" + "9" * 5000, {"ndots": 15}),
        ("ndots:" + "0" * 5000 + "3", {"ndots": 3}),
        ("ndots:2 ndots:3", {"ndots": 3}),
        *(
            (nonsense, {})
            for nonsense in (
                *("ndots", "ndots:", "ndots:-1", "ndots:x", "ndots:1.5", "ndots:\u0662", ":1"),
                *("timeout:inf", "attempts:1e1", "rotate:1", "ROTATE", "edns0", "inet6", "x" * 99),
            )
        ),
    ],
)
def test_d10_options(option: str, expected: Any) -> None:
    assert read_resolv_conf(f"options {option}\n", {}) == Settings(**expected)
    assert read_resolv_conf("", {"RES_OPTIONS": option}) == Settings(**expected)


@pytest.mark.parametrize(
    "line",
    [
        *(
            "nameserver",
            "nameserver ",
            "nameserver name.test",
            "nameserver 192.0.2",
            "nameservers",
        ),
        *("nameserver 192.0.2.1:53", "nameserver [::1]", "nameserver 2001:db8::/32"),
        *("nameserver 192.0.2.256", "; nameserver 192.0.2.1", "# nameserver 192.0.2.1"),
        *(
            "search",
            "domain",
            "options",
            "search ..",
            "search .",
            "search a..b",
            "sortlist 192.0.2.0",
        ),
        *("lookup file bind", "family inet6", "\x00\x01\x02", "\ufffd" * 9, "=", "nameserver\x0b"),
        "search " + "a" * 64,
    ],
)
def test_d10_nonsense_is_skipped(line: str) -> None:
    assert read_resolv_conf(f"{line}\n", {}) == Settings()
    around = f"nameserver 192.0.2.7\n{line}\noptions ndots:3\n"
    assert read_resolv_conf(around, {}) == Settings(servers=(("192.0.2.7", 53),), ndots=3)


def test_d10_more_than_three_servers_in_their_order_and_each_once() -> None:
    servers = ["192.0.2.5", "2001:db8::5", "fe80::5%eth0", "fe80::5%eth1", "192.0.2.6", "::1"]
    text = "".join(f"nameserver {each}\n" for each in [*servers, *servers])
    assert read_resolv_conf(text, {}).servers == tuple((each, 53) for each in servers)


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("search a.test b.test\nsearch c.test\n", ("c.test",)),
        ("domain a.test b.test\n", ("a.test",)),
        ("search a.test\ndomain b.test\n", ("b.test",)),
        ("domain a.test\nsearch b.test c.test\n", ("b.test", "c.test")),
        ("search A.Test. b\u00fccher.test a..b\n", ("a.test", "xn--bcher-kva.test")),
        ("search " + " ".join(f"d{each}.test" for each in range(20)), 20),
    ],
)
def test_d10_search_and_domain(text: str, search: Any) -> None:
    found = read_resolv_conf(text, {}).search
    assert (len(found) if isinstance(search, int) else found) == search


@pytest.mark.parametrize(
    "line",
    [
        *("192.0.2.1", "a.test", "a.test 192.0.2.1", "192.0.2.256 a.test", "192.0.2 a.test"),
        *("192.0.2.1:80 a.test", "[2001:db8::1] a.test", "#192.0.2.1 a.test", "% a.test"),
        *("192.0.2.1 # a.test", "192.0.2.1 a..test", "\x00 a.test", "192.0.2.1 " + "a" * 64),
    ],
)
def test_n6_lines_that_make_no_sense_are_skipped(line: str) -> None:
    assert read_hosts(f"{line}\n") == {}
    around = f"192.0.2.7 b.test\n{line}\n192.0.2.8 b.test\n"
    assert read_hosts(around) == {"b.test": ("192.0.2.7", "192.0.2.8")}


async def test_files_that_are_no_text(machine: Any, stack: ExitStack) -> None:
    for name in ("resolv.conf", "nsswitch.conf", "hosts"):
        with open(machine.path(name), "wb") as file:
            file.write(bytes(range(256)) * 4)
    assert await said(resolver_of(stack.enter_context(Liar(good)))) == {*HOSTS.values()}
    for name in ("resolv.conf", "nsswitch.conf", "hosts"):
        machine.remove(name)
        os.mkdir(machine.path(name))
    assert await said(resolver_of(stack.enter_context(Liar(good)))) == {*HOSTS.values()}


# --------------------------------------------------------------------------------- zones


async def test_zones_of_addresses_in_the_hosts_file_are_kept(machine: Any) -> None:
    machine.write("hosts", "fe80::9%lo a.test\nfe80::8%7 b.test\n")
    resolver = DnsResolver(["127.0.0.1:1"], cache=None)

    async def zone(name: str) -> Any:
        async with aclosing(resolver.resolve(TCPAddress(name, 5))) as answers:
            return [each.sockaddr async for batch in answers for each in batch.endpoints]

    assert await zone("a.test") == [("fe80::9", 5, 0, socket.if_nametoindex("lo"))]
    assert await zone("b.test") == [("fe80::8", 5, 0, 7)]


async def test_a_zone_that_is_not_here_costs_its_own_address_alone(machine: Any) -> None:
    machine.write("hosts", "fe80::9%not-here a.test\n192.0.2.1 a.test\nfe80::9%not-here b.test\n")
    resolver = DnsResolver(["127.0.0.1:1"], cache=None)
    assert await said(resolver, TCPAddress("a.test", 5)) == {"192.0.2.1"}
    with pytest.raises(OSError, match="no network interface is called 'not-here'") as caught:
        await said(resolver, TCPAddress("b.test", 5))
    assert caught.value.errno == errno.ENODEV


@pytest.mark.parametrize("tcp", [False, True])
async def test_zones_of_name_servers_are_kept(machine: Any, tcp: bool) -> None:
    machine.write("resolv.conf", "nameserver fe80::9%lo\nnameserver fe80::8%7\n")
    around = DnsResolver()._surroundings
    settings = (await around.look(running_driver())).settings
    assert settings.servers == (("fe80::9%lo", 53), ("fe80::8%7", 53))
    zones = [exchange._endpoint(*each, tcp).sockaddr[3] for each in settings.servers]
    assert zones == [socket.if_nametoindex("lo"), 7]


# ---------------------------------------------------------------- names of somebody else's


@pytest.mark.parametrize("name", ["printer.local", "A.B.Local.", "local"])
@pytest.mark.parametrize("form", ["{}:5", "https://{}:5"])
async def test_n4_names_below_local_are_the_systems(
    stack: ExitStack, name: str, form: str
) -> None:
    """Whatever is asked for: no name server is asked, and no service of them."""
    liar = stack.enter_context(Liar(good))
    asked: list[Any] = []

    class System(StaticResolver):
        async def resolve(self, address: Any) -> Any:
            asked.append(address.host)
            async for batch in super().resolve(address):
                yield batch

    system = System({name: ["192.0.2.9"]})
    address = parse_address(form.format(name))
    assert await said(resolver_of(liar, system=system), address) == {"192.0.2.9"}
    assert asked == [name]
    with pytest.raises(socket.gaierror, match=r"under \.local are never looked up in DNS") as no:
        await said(resolver_of(liar, system=None), address)
    assert no.value.errno == socket.EAI_NONAME
    assert not liar.asked


async def test_n4_the_hosts_file_has_a_say_in_names_below_local(
    stack: ExitStack, machine: Any
) -> None:
    machine.write("hosts", "192.0.2.7 printer.local\n")
    resolver = resolver_of(stack.enter_context(Liar(good)), system=None)
    assert await said(resolver, TCPAddress("printer.local", 5)) == {"192.0.2.7"}


async def test_n8_the_error_has_the_name_as_it_was_typed(stack: ExitStack) -> None:
    def none(query: bytes, kind: str, way: str) -> Any:
        return [answer(query, rcode="NXDOMAIN", authority=[SOA])]

    resolver = resolver_of(stack.enter_context(Liar(none)), search=["one.test", "two.test"])
    with pytest.raises(ResolveError) as caught:
        await Dialer(resolver=resolver).connect("Db:5", timeout=30)
    assert "could not resolve Db:5 " in str(caught.value)
    assert "one.test" not in str(caught.value)


@pytest.mark.parametrize("without", [0, 1])
async def test_d1_both_families_are_asked_for_where_one_has_no_route(
    stack: ExitStack, monkeypatch: Any, without: int
) -> None:
    """For the error to be able to say what is there."""
    sources: list[Any] = ["192.0.2.100", "2001:db8::100"]
    sources[without] = None
    monkeypatch.setattr(module, "source_addresses", lambda: tuple(sources))
    liar = stack.enter_context(Liar(good))
    assert await said(resolver_of(liar, nat64=None)) == {*HOSTS.values()}
    assert [kind for kind, _ in liar.asked] == ["AAAA", "A"]
