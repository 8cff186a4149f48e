"""What a name costs: ``python names.py [--check]``; root, and Debian's dnsmasq-base.

Rules:

* All is done in a network and a mount namespace of its own, which has loopback alone, and a
  resolv.conf that leads to the dnsmasq started here: no question leaves the machine.
* Everything is measured in one run, and only ratios within it count.
* The contenders take turns, a batch each, and the best batch counts.
* A lookup is that of a name with an address of each family, by what each has for that; nothing is
  remembered.  With HTTPS it is one of ``https://``.  A dial is one to a listener in this process,
  connected and closed.
* What is late is measured by the clock, once each: how long a dial takes when a name server says
  nothing of IPv6, or of the service; and when IPv6 leads nowhere, the first time and the next.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dns.asyncresolver
import dns.message
import dns.rdatatype
import dns.rrset

from aconnect import (
    CachingResolver,
    Dialer,
    DnsCache,
    DnsResolver,
    History,
    StaticResolver,
    SystemResolver,
    TCPAddress,
    parse_address,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BATCH = 100
ROUNDS = 15
NAME = "both.test"
ONE = "one.test"
ISOLATED = "ACONNECT_BENCHMARK_OF_NAMES"
TARGETS = [
    ("DnsResolver", "SystemResolver", 1.5),
    ("DnsResolver, with HTTPS", "SystemResolver", 2.5),
    ("DnsResolver", "dnspython's own resolver", 0.7),
    ("a StaticResolver", "a literal address", 2.0),
    ("a CachingResolver", "a literal address", 2.0),
    ("a DnsResolver's cache", "a literal address", 2.0),
]
"""Who, next to whom, and how many times as long it may take, in processor time."""
SLACK = 0.01
LATE = {
    "AAAA is silent": 0.05 + SLACK,
    "HTTPS is silent": 0.05 + SLACK,
    "IPv6 leads nowhere": 0.25 + SLACK,
    "IPv6 leads nowhere, with what the last dial has shown": SLACK,
}
"""Seconds that a dial may take: the resolution delay, an attempt delay, nothing."""


def isolate() -> None:
    """Go on in namespaces of one's own."""
    script = (
        "ip link set lo up; ip route add default dev lo; ip -6 route add default dev lo || true; "
        'exec "$0" "$@"'
    )
    command = ["unshare", "--net", "--mount", "sh", "-c", script, sys.executable, *sys.argv]
    os.execvpe("unshare", command, {**os.environ, ISOLATED: "1"})


def serve(where: Path) -> subprocess.Popen[bytes]:
    """Start dnsmasq, and lead this machine's lookups there."""
    for name, text in (
        ("resolv.conf", "nameserver 127.0.0.1\n"),
        ("nsswitch.conf", "hosts: files dns\n"),
    ):
        (where / name).write_text(text)
        if not Path("/etc", name).exists():
            continue
        subprocess.run(["mount", "--bind", str(where / name), f"/etc/{name}"], check=True)
    options = [
        *("--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null"),
        *("--pid-file=", "--listen-address=127.0.0.1", "--bind-interfaces", "--local-ttl=300"),
        *(f"--host-record={NAME},127.0.0.1,::1", f"--address=/{ONE}/127.0.0.1"),
        f"--dns-rr={NAME},65,000100",
    ]
    server = subprocess.Popen(["/usr/sbin/dnsmasq", *options], stderr=subprocess.DEVNULL)
    for _ in range(500):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", 53)) == 0:
                return server
        time.sleep(0.01)
    raise SystemExit("dnsmasq does not start")


def by(resolver: Any, address: Any = TCPAddress(NAME, 80)) -> Callable[[], Awaitable[None]]:  # noqa: B008
    """A lookup of an address, whose name has two."""

    async def look_up() -> None:
        async with aclosing(resolver.resolve(address)) as answers:
            found = {each async for batch in answers for each in batch.endpoints}
        assert len(found) == 2

    return look_up


def by_dnspython() -> Callable[[], Awaitable[None]]:
    resolver = dns.asyncresolver.Resolver()

    async def look_up() -> None:
        answers = await asyncio.gather(resolver.resolve(NAME, "AAAA"), resolver.resolve(NAME, "A"))
        assert sum(map(len, answers)) == 2

    return look_up


def to(address: Any, listener: socket.socket, **options: Any) -> Callable[[], Awaitable[None]]:
    dialer = Dialer(**options)

    async def dial() -> None:
        (await dialer.connect(address)).close()
        listener.accept()[0].close()

    return dial


async def measure(contenders: dict[str, Callable[[], Awaitable[None]]]) -> dict[str, float]:
    """The best processor time of each, in microseconds."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for name, call in contenders.items():
            await call()
            start = time.process_time()
            for _ in range(BATCH):
                await call()
            best[name] = min(best[name], (time.process_time() - start) / BATCH * 1e6)
    return best


def answering(silent: str) -> tuple[socket.socket, threading.Thread]:
    """A name server that has an IPv4 address for every name, and says nothing of one type."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            data, peer = sock.recvfrom(512)
            if not data:
                return
            query = dns.message.from_wire(data)
            question = query.question[0]
            if dns.rdatatype.to_text(question.rdtype) == silent:
                continue
            said = dns.message.make_response(query, recursion_available=True)
            if question.rdtype == dns.rdatatype.A:
                said.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", "127.0.0.1"))
            sock.sendto(said.to_wire(), peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return sock, thread


async def late() -> dict[str, float]:
    """How many seconds a dial takes when something is late."""
    taken: dict[str, float] = {}

    async def dial(name: str, address: Any, listener: socket.socket, dialer: Dialer) -> None:
        start = time.perf_counter()
        sock = await dialer.connect(address, timeout=10)
        taken[name] = time.perf_counter() - start
        sock.close()
        listener.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for silent in ("AAAA", "HTTPS"):
            server, thread = answering(silent)
            resolver = DnsResolver([server.getsockname()], cache=None, ports=lambda _: True)
            address = f"https://late.test:{port}" if silent == "HTTPS" else ("late.test", port)
            await dial(f"{silent} is silent", address, listener, Dialer(resolver=resolver))
            server.sendto(b"", server.getsockname())
            thread.join()
            server.close()
        full = socket.create_server(("::1", port), family=socket.AF_INET6, backlog=0)
        pending = [socket.socket(socket.AF_INET6) for _ in range(4)]
        for each in pending:
            each.setblocking(False)
            each.connect_ex(("::1", port))
        static = StaticResolver({NAME: ["::1", "127.0.0.1"]})
        dialer = Dialer(resolver=static, history=History())
        nowhere = "IPv6 leads nowhere"
        await dial(nowhere, (NAME, port), listener, dialer)
        after = f"{nowhere}, with what the last dial has shown"
        await dial(after, (NAME, port), listener, dialer)
        for each in (full, *pending):
            each.close()
    return taken


async def main() -> dict[str, float]:
    lookups = {
        "SystemResolver": by(SystemResolver()),
        "DnsResolver": by(DnsResolver(cache=None)),
        "DnsResolver, with HTTPS": by(DnsResolver(cache=None), parse_address(f"https://{NAME}")),
        "dnspython's own resolver": by_dnspython(),
    }
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        port = listener.getsockname()[1]
        address = (ONE, port)
        static = StaticResolver({ONE: ["127.0.0.1"]})
        caching, cached = CachingResolver(static, ttl=3600), DnsResolver(cache=DnsCache())
        dials = {
            "a literal address": to(("127.0.0.1", port), listener),
            "a StaticResolver": to(address, listener, resolver=static),
            "a CachingResolver": to(address, listener, resolver=caching),
            "a DnsResolver's cache": to(address, listener, resolver=cached),
        }
        return {**await measure(lookups), **await measure(dials)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    arguments = parser.parse_args()
    if os.geteuid() or not Path("/usr/sbin/dnsmasq").exists():
        print("names.py is skipped: it needs root, and Debian's package dnsmasq-base")
        sys.exit(0)
    if ISOLATED not in os.environ:
        isolate()
    with tempfile.TemporaryDirectory() as folder:
        server = serve(Path(folder))
        try:
            taken = asyncio.run(main())
            waited = asyncio.run(late())
        finally:
            server.terminate()
            server.wait()
    for name, microseconds in taken.items():
        print(f"{name:<26} {microseconds:8.1f} us")
    missed = 0
    for who, next_to, factor in TARGETS:
        ratio = taken[who] / taken[next_to]
        missed += ratio > factor
        verdict = "met" if ratio <= factor else "MISSED"
        print(f"{who}: {ratio:.2f} x {next_to}; target: at most {factor}: {verdict}")
    for name, limit in LATE.items():
        missed += waited[name] > limit
        verdict = "met" if waited[name] <= limit else "MISSED"
        milliseconds, most = waited[name] * 1000, limit * 1000
        print(f"{name}: {milliseconds:.1f} ms; target: at most {most:.0f} ms: {verdict}")
    sys.exit(bool(missed and arguments.check))
