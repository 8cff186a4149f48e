"""Literal IPv4 addresses without a route, by way of a translator: T4 of the rules of names."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.listeners import listening

from aconnect import (
    AddressNotPermitted,
    Batch,
    CachingResolver,
    ConnectError,
    Dialer,
    DnsResolver,
    Endpoint,
    History,
    Report,
    StaticResolver,
    SystemCalls,
)
from aconnect.addresses.translated import Translated
from aconnect.dial import translating as module
from aconnect.many.answers import SharedAnswers
from aconnect.resolvers.dns import machine
from aconnect.resolvers.dns import nat64 as nat64_module
from aconnect.sansio.nat64 import Prefix

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

LONG = 30
LITERAL = "192.0.2.1"


class OfIPv6Alone(socket.socket):
    """A socket of a machine that has no route for IPv4."""

    def connect(self, address: Any) -> None:
        if self.family == socket.AF_INET:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        super().connect(address)

    def connect_ex(self, address: Any) -> int:
        return errno.ENETUNREACH if self.family == socket.AF_INET else super().connect_ex(address)


class Knowing:
    """A resolver that knows of a translator."""

    def __init__(self, gives: Any = "::1", **_: Any) -> None:
        self.gives = gives
        self.asked: list[Endpoint] = []

    async def translate(self, endpoint: Endpoint) -> Any:
        self.asked.append(endpoint)
        await anyio.lowlevel.checkpoint()
        if isinstance(self.gives, BaseException):
            raise self.gives
        if not isinstance(self.gives, str):
            return self.gives
        sockaddr = (self.gives, endpoint.sockaddr[1], 0, 0)
        return Endpoint(socket.AF_INET6, endpoint.type, endpoint.proto, sockaddr)

    async def resolve(self, address: Any) -> AsyncIterator[Batch]:
        raise AssertionError(f"{address} is literal")
        yield Batch(())


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(autouse=True)
def no_ipv4(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "source_address", lambda _: None)


def dialer_of(resolver: Any, **options: Any) -> Dialer:
    return Dialer(resolver=resolver, system_calls=SystemCalls(socket=OfIPv6Alone), **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attempt_delay": None},
        {"history": History()},
        {"on_socket": lambda *_: None},
        {"prefer": socket.AF_INET6},
        {"trace": lambda _: None},
    ],
    ids=["plain", "one by one", "history", "hook", "prefer", "trace"],
)
async def test_it_is_tried_by_way_of_a_translator(
    stack: ExitStack, options: dict[str, Any]
) -> None:
    port = stack.enter_context(listening("::1")).getsockname()[1]
    resolver, report = Knowing(), Report()
    dialer = dialer_of(resolver, **options)
    with await dialer.connect((LITERAL, port), timeout=LONG, report=report) as sock:
        assert sock.getpeername()[0] == "::1"
    assert [each.sockaddr[0] for each in resolver.asked] == [LITERAL]
    tried = [(each.sockaddr[0], each.outcome) for each in report.attempts]
    assert tried == [(LITERAL, "failed"), ("::1", "connected")]
    assert [each.address for each in report.resolutions] == [f"{LITERAL}:{port}"]


async def test_the_quick_way_hands_it_on(stack: ExitStack) -> None:
    """Without anybody who is told."""
    port = stack.enter_context(listening("::1")).getsockname()[1]
    resolver = Knowing()
    (await dialer_of(resolver).connect((LITERAL, port), timeout=LONG)).close()
    assert len(resolver.asked) == 1


async def test_each_of_several_hosts(stack: ExitStack) -> None:
    port = stack.enter_context(listening("::1")).getsockname()[1]
    resolver = Knowing()
    hosts = [f"{LITERAL}:{port}", f"192.0.2.2:{port}"]
    (await dialer_of(resolver).connect(hosts, timeout=LONG)).close()
    assert LITERAL in [each.sockaddr[0] for each in resolver.asked]


@pytest.mark.parametrize(
    "gives",
    [None, "nonsense", 5, ("::1", 80), OSError(errno.EMFILE, "none left"), ValueError("no")],
    ids=str,
)
async def test_what_is_of_no_use_leaves_the_error_as_it_is(gives: Any) -> None:
    resolver = Knowing(gives)
    with pytest.raises(ConnectError) as caught:
        await dialer_of(resolver).connect((LITERAL, 9), timeout=LONG)
    assert caught.value.errno == errno.ENETUNREACH
    assert [each.sockaddr[0] for each in caught.value.attempts] == [LITERAL]
    assert len(resolver.asked) == 1


@pytest.mark.parametrize(
    ("target", "routed"),
    [("[::1]:9", False), (LITERAL, True)],
)
async def test_nobody_is_asked_of_others(monkeypatch: Any, target: Any, routed: bool) -> None:
    monkeypatch.setattr(module, "source_address", lambda _: "192.0.2.9" if routed else None)
    resolver = Knowing()

    class Refusing(socket.socket):
        def connect_ex(self, address: Any) -> int:
            return errno.ECONNREFUSED

        def connect(self, address: Any) -> None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    dialer = Dialer(resolver=resolver, system_calls=SystemCalls(socket=Refusing))
    for options in ({}, {"attempt_delay": None}):
        with pytest.raises(ConnectionRefusedError):
            await dialer.replace(**options).connect(
                target if target != LITERAL else (LITERAL, 9), timeout=LONG
            )
    assert not resolver.asked


@pytest.mark.parametrize("refused", [LITERAL, "::1"])
async def test_a_policy_is_asked_about_both(stack: ExitStack, refused: str) -> None:
    port = stack.enter_context(listening("::1")).getsockname()[1]
    resolver, told = Knowing(), []

    def permit(endpoint: Endpoint) -> bool:
        told.append(endpoint.sockaddr[0])
        return endpoint.sockaddr[0] != refused

    with pytest.raises(ConnectError) as caught:
        await dialer_of(resolver, permit=permit).connect((LITERAL, port), timeout=LONG)
    if refused == LITERAL:
        assert isinstance(caught.value, AddressNotPermitted)
        assert not resolver.asked
    else:
        assert [each.outcome for each in caught.value.attempts] == ["failed", "not permitted"]
    assert set(told) == ({LITERAL} if refused == LITERAL else {LITERAL, "::1"})


async def test_a_family_is_kept_to() -> None:
    with pytest.raises(ConnectError) as caught:
        await dialer_of(Knowing(), family=socket.AF_INET).connect((LITERAL, 9), timeout=LONG)
    assert [each.sockaddr[0] for each in caught.value.attempts] == [LITERAL]


async def test_its_time_is_that_of_the_dial() -> None:
    class Never(Knowing):
        async def translate(self, endpoint: Endpoint) -> Any:
            await anyio.sleep_forever()

    with pytest.raises(TimeoutError):
        await dialer_of(Never()).connect((LITERAL, 9), timeout=0.05)


@pytest.mark.parametrize(
    "wrap",
    [
        CachingResolver,
        partial(StaticResolver, {}),
        lambda inner: SharedAnswers(inner, 1.0),
    ],
    ids=["caching", "static", "shared"],
)
async def test_resolvers_over_others_pass_it_on(stack: ExitStack, wrap: Any) -> None:
    port = stack.enter_context(listening("::1")).getsockname()[1]
    inner = Knowing()
    over = wrap(otherwise=inner) if isinstance(wrap, partial) else wrap(inner)
    (await dialer_of(over).connect((LITERAL, port), timeout=LONG)).close()
    assert len(inner.asked) == 1


async def test_who_knows_of_none() -> None:
    endpoint = Endpoint(socket.AF_INET, socket.SOCK_STREAM, 0, (LITERAL, 80))
    assert await StaticResolver({}).translate(endpoint) is None


@pytest.mark.parametrize("nat64", [["2001:db8:64::/96"], None])
async def test_dns_resolver(stack: ExitStack, monkeypatch: Any, nat64: Any) -> None:
    """The prefix is that of this host, so that it leads to its own listener."""
    monkeypatch.setattr(machine, "source_addresses", lambda: (None, "2001:db8::9"))
    monkeypatch.setattr(nat64_module, "source_address", lambda _: None)
    monkeypatch.setattr(Prefix, "embed", lambda *_: "::1")
    port = stack.enter_context(listening("::1")).getsockname()[1]
    resolver = DnsResolver(["127.0.0.1:1"], nat64=nat64, hosts=False)
    dialer = dialer_of(resolver)
    if nat64 is None:
        with pytest.raises(ConnectError) as caught:
            await dialer.connect((LITERAL, port), timeout=LONG)
        assert caught.value.errno == errno.ENETUNREACH
        return
    (await dialer.connect((LITERAL, port), timeout=LONG)).close()
    endpoint = Endpoint(socket.AF_INET, socket.SOCK_STREAM, 0, (LITERAL, port))
    found = await resolver.translate(endpoint)
    assert isinstance(found, Translated)
    assert found.trusted
    loopback = endpoint._replace(sockaddr=("127.0.0.1", port))
    assert await resolver.translate(loopback) is None
