"""TLS to services: whoever writes the host's name gets a certificate for it, wherever a record
leads."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Any

import dns.message
import pytest
from support.liar import Liar, answer
from support.listeners import listening
from support.tls import NAME, Certificates, echo, serving

from aconnect import (
    Batch,
    Dialer,
    DnsCache,
    DnsResolver,
    Endpoint,
    HandshakeError,
    History,
    Report,
    TCPAddress,
    open_stream,
)
from aconnect.resolvers.dns import asking
from aconnect.resolvers.dns import resolver as module

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

LONG = 30
SOA = "example. 300 SOA ns.test. root.test. 1 2 3 4 60"
CERTIFICATES = Certificates()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def zone(*records: str) -> Any:
    """Says the records of a name, or that there are none."""

    def say(query: bytes, kind: str, way: str) -> Any:
        name = dns.message.from_wire(query).question[0].name.to_text(omit_final_dot=True)
        found = [each for each in records if each.split()[0] == name and each.split()[2] == kind]
        return [answer(query, *found, authority=[] if found else [SOA])]

    return say


def resolver_of(stack: ExitStack, *records: str) -> DnsResolver:
    liar = stack.enter_context(Liar(zone(*records)))
    return DnsResolver([liar.address], cache=None, ports=lambda _: True, timeout=LONG)


def serve(stack: ExitStack, kind: str = "good", protocols: Any = ()) -> Any:
    context = CERTIFICATES.server(kind)
    if protocols:
        context.set_alpn_protocols(protocols)
    return stack.enter_context(serving(context, echo))


TO_SERVICE = {
    f"https://{NAME}": f"{NAME} 60 HTTPS 1 svc.test. port={{}} alpn=h2",
    f"srv:_x._tcp.{NAME}": f"_x._tcp.{NAME} 60 SRV 1 0 {{}} svc.test.",
}
SERVICE = "svc.test 60 A 127.0.0.1"


@pytest.mark.parametrize("address", TO_SERVICE)
async def test_s1_the_name_is_that_of_the_host(stack: ExitStack, address: str) -> None:
    """In SNI and in the certificate; that of the target is nobody's business."""
    server = serve(stack, protocols=["h2"])
    record = TO_SERVICE[address].format(server.address[1])
    report = Report()
    dialer = Dialer(resolver=resolver_of(stack, record, SERVICE))
    stream = await open_stream(
        address, ssl=CERTIFICATES.client(), dialer=dialer, timeout=LONG, report=report
    )
    async with stream:
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
    assert server.names == [NAME]
    assert [each.service for each in report.attempts] == [f"svc.test:{server.address[1]}"]


@pytest.mark.parametrize("protocols", [None, ["http/1.1"]])
async def test_s11_records_do_not_change_what_is_offered(stack: ExitStack, protocols: Any) -> None:
    """A record that speaks of h2 has nobody offer it."""
    server = serve(stack, protocols=["h2", "http/1.1"])
    record = TO_SERVICE[f"https://{NAME}"].format(server.address[1])
    context = CERTIFICATES.client()
    if protocols:
        context.set_alpn_protocols(protocols)
    dialer = Dialer(resolver=resolver_of(stack, record, SERVICE))
    stream = await open_stream(f"https://{NAME}", ssl=context, dialer=dialer, timeout=LONG)
    async with stream:
        chosen = stream.extra(ssl_protocol())
        assert chosen == (protocols[0] if protocols else None)


def ssl_protocol() -> Any:
    from anyio.streams.tls import TLSAttribute

    return TLSAttribute.alpn_protocol


async def test_s11_a_certificate_for_the_target_is_none_for_the_host(stack: ExitStack) -> None:
    """A record of another domain that leads to a server whose certificate is good for that."""
    server = serve(stack)
    port = server.address[1]
    resolver = resolver_of(
        stack, f"h.example 60 HTTPS 1 {NAME}. port={port}", f"{NAME} 60 A 127.0.0.1"
    )
    dialer = Dialer(resolver=resolver)
    with pytest.raises(HandshakeError) as caught:
        await open_stream(
            "https://h.example", ssl=CERTIFICATES.client(), dialer=dialer, timeout=LONG
        )
    assert isinstance(caught.value.__cause__, ssl.SSLError)
    assert server.names == ["h.example"]


async def test_a_service_whose_handshake_fails_loses(stack: ExitStack) -> None:
    """To the next in order."""
    bad, good = serve(stack, "expired"), serve(stack)
    records = [
        f"{NAME} 60 HTTPS {priority} svc.test. port={server.address[1]}"
        for priority, server in enumerate((bad, good), 1)
    ]
    report = Report()
    dialer = Dialer(resolver=resolver_of(stack, *records, SERVICE))
    async with await open_stream(
        f"https://{NAME}", ssl=CERTIFICATES.client(), dialer=dialer, timeout=LONG, report=report
    ):
        pass
    assert [each.rank for each in report.attempts] == [0, 1]


async def test_s11_a_ttl_that_ends_meanwhile_changes_nothing(
    stack: ExitStack, monkeypatch: Any
) -> None:
    now = [1000.0]
    for each in (asking, module):
        monkeypatch.setattr(each, "uptime", lambda: now[0])
    liar = stack.enter_context(Liar(zone("a.test 1 A 192.0.2.1", "a.test 1 AAAA 2001:db8::1")))
    resolver = DnsResolver([liar.address], cache=DnsCache(), timeout=LONG)
    found: list[Any] = []
    async with aclosing(resolver.resolve(TCPAddress("a.test", 5))) as batches:
        async for batch in batches:
            now[0] += 1000
            assert not batch.withdrawn
            found += [each.sockaddr[0] for each in batch.endpoints]
    assert sorted(found) == ["192.0.2.1", "2001:db8::1"]


class Ranked:
    """Unsorted endpoints of two ranks."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.hosts: list[list[str]] = []

    async def resolve(self, address: Any) -> AsyncIterator[Batch]:
        for rank, hosts in enumerate(self.hosts):
            kind = socket.SOCK_STREAM, socket.IPPROTO_TCP
            yield Batch(
                [Endpoint(socket.AF_INET, *kind, (host, self.port)) for host in hosts], rank=rank
            )


async def test_s7_history_orders_inside_a_rank_and_never_across(stack: ExitStack) -> None:
    """127.0.0.2 has been used, and goes before 127.0.0.1; so has 127.0.0.3, of the next rank."""
    listener = stack.enter_context(listening("0.0.0.0"))
    resolver = Ranked(listener.getsockname()[1])
    history = History()
    dialer = Dialer(resolver=resolver, history=history)

    async def dial(*hosts: list[str]) -> str:
        resolver.hosts = [*hosts]
        with await dialer.connect("a.test", 5, timeout=LONG) as sock:
            return str(sock.getpeername()[0])

    before = ["127.0.0.1", "127.0.0.2"]
    assert await dial(before, ["127.0.0.3"]) == "127.0.0.1"
    history.clear()
    assert await dial(["127.0.0.2"]) == "127.0.0.2"
    assert await dial(["127.0.0.3"]) == "127.0.0.3"
    assert await dial(before, ["127.0.0.3"]) == "127.0.0.2"
