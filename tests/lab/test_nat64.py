"""A network with IPv6 alone, and a translator to IPv4 behind it (NAT64, DNS64).

A client that has no IPv4, a router with tayga and unbound, and a server that has no IPv6.  unbound
finds its way through three zones, of three name servers, and makes IPv6 addresses of IPv4 ones.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lab.support import LOOPS, Lab
from support.name_servers import wait_for_answers
from support.programs import program, running

from aconnect import AddressNotPermitted, Dialer, DnsCache, DnsResolver
from aconnect.policy import deny
from aconnect.sansio.nat64 import parse_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.support import Host

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.server]

PREFIX = parse_prefix("2001:db8:64::/96")
POOL, TRANSLATOR = "192.168.255.0/24", "192.168.255.1"
LONG = 30
ROOT, TEST, DEEP = "127.0.0.2", "127.0.0.3", "127.0.0.4"
"""The name server of each zone."""


def start_zone(stack: ExitStack, where: Path, name: str, address: str, text: str) -> None:
    """A name server that has one zone, at an address of the router."""
    where.mkdir()
    soa = "$TTL 300\n@ SOA ns root 1 3600 600 86400 60\n"
    (where / "zone").write_text(f"$ORIGIN {name}\n{soa}{text}")
    (where / "knot.conf").write_text(f"""
server:
    listen: {address}@53
    rundir: {where}
log:
  - target: stderr
    any: info
database:
    storage: {where}
zone:
  - domain: {name}
    file: {where}/zone
""")
    command = [program("knotd", "knot"), "-c", str(where / "knot.conf")]
    stack.enter_context(running(command, where / "log", (address, 53)))
    wait_for_answers(where / "log", name.rstrip("."), address)


def start_recursion(stack: ExitStack, where: Path, address: str) -> None:
    """unbound, which asks those servers, and makes addresses under the prefix."""
    (where / "root").write_text(f". 300 NS ns.root.\nns.root. 300 A {ROOT}\n")
    (where / "unbound.conf").write_text(f"""
server:
    directory: "{where}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    interface: {address}
    interface: 127.0.0.1
    access-control: ::/0 allow
    do-not-query-localhost: no
    do-ip6: yes
    prefer-ip4: yes
    root-hints: "{where}/root"
    local-zone: "test." nodefault
    module-config: "dns64 iterator"
    dns64-prefix: {PREFIX}
""")
    command = [program("unbound", "unbound"), "-d", "-c", str(where / "unbound.conf")]
    stack.enter_context(running(command, where / "log", ("127.0.0.1", 53)))
    wait_for_answers(where / "log", "deep.test", "127.0.0.1")


def start_translator(stack: ExitStack, where: Path, router: Host) -> None:
    """tayga, and the routes that lead to it."""
    (where / "tayga.conf").write_text(
        f"tun-device nat64\nipv4-addr {TRANSLATOR}\nprefix {PREFIX}\n"
        f"dynamic-pool {POOL}\ndata-dir {where}\n"
    )
    command = [program("tayga", "tayga"), "--config", str(where / "tayga.conf")]
    router.exec([*command, "--mktun"])
    router.ip("link", "set", "nat64", "up")
    router.ip("route", "add", POOL, "dev", "nat64")
    router.ip("-6", "route", "add", str(PREFIX), "dev", "nat64")
    stack.enter_context(running([*command, "--nodetach"], where / "tayga.log"))


@pytest.fixture
def network(tmp_path: Path) -> Iterator[tuple[Host, Host, str]]:
    """The client, the server, and the address of the name server."""
    if not Path("/dev/net/tun").exists():
        pytest.skip("needs /dev/net/tun, for a translator")
    for name, package in (("tayga", "tayga"), ("unbound", "unbound"), ("knotd", "knot")):
        program(name, package)
    with Lab() as lab, ExitStack() as stack:
        client, router, server = map(lab.host, ("client", "router", "server"))
        near, far = lab.wire(client, router), lab.wire(router, server)
        router.forward()
        client.ip("-4", "address", "flush", "dev", near.left.device)
        server.ip("-6", "address", "flush", "dev", far.right.device)
        client.ip("-6", "route", "add", "default", "via", near.right.v6)
        server.ip("route", "add", POOL, "via", far.left.v4)
        with router.entered():
            start_zone(
                *(stack, tmp_path / "root-zone", ".", ROOT),
                f"@ NS ns.root.\nns.root. A {ROOT}\ntest. NS ns.test.\nns.test. A {TEST}\n"
                "ipv4only.arpa. A 192.0.0.170\nipv4only.arpa. A 192.0.0.171\n",
            )
            start_zone(
                *(stack, tmp_path / "test-zone", "test.", TEST),
                f"@ NS ns\nns A {TEST}\nweb A {server.v4}\ndeep NS ns.deep\nns.deep A {DEEP}\n",
            )
            start_zone(
                *(stack, tmp_path / "deep-zone", "deep.test.", DEEP),
                f"@ NS ns\nns A {DEEP}\nwww CNAME web.test.\nv4 A {server.v4}\n",
            )
            start_recursion(stack, tmp_path, near.right.v6)
            start_translator(stack, tmp_path, router)
        yield client, server, near.right.v6


def test_dials_by_way_of_a_translator(network: tuple[Host, Host, str]) -> None:
    client, server, name_server = network
    meant = PREFIX.embed(server.v4)

    async def dial(listener: Any, **options: Any) -> str:
        resolver = DnsResolver(
            [f"[{name_server}]:53"], search=[], hosts=False, cache=DnsCache(), system=None
        )
        dialer = Dialer(resolver=resolver, **options)
        peers = set()
        for name in ("v4.deep.test", "www.deep.test", "web.test", "web.test"):
            port = listener.getsockname()[1]
            with await dialer.connect(name, port, timeout=LONG) as sock:
                peers.add(sock.getpeername()[0])
        port = listener.getsockname()[1]
        with await dialer.connect((server.v4, port), timeout=LONG) as sock:  # which is no name
            peers.add(sock.getpeername()[0])
        assert len(peers) == 1
        return str(peers.pop())

    with server.listen() as listener:
        for (loop,) in (each.values for each in LOOPS):
            assert client.run(lambda: dial(listener), loop) == meant
        for refused in (f"{server.v4}/32", f"{meant}/128"):
            with pytest.raises(AddressNotPermitted):
                client.run(lambda refused=refused: dial(listener, permit=deny(refused)))  # type: ignore[misc]
