"""Several hosts in one dial: each a rank, in the order given."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.listeners import listening, refusing, silent

from aconnect import (
    Batch,
    ConnectError,
    ConnectTimeout,
    Dialer,
    Endpoint,
    Handshake,
    HandshakeError,
    Report,
    ResolveError,
    StaticResolver,
    aconnect,
)
from aconnect.addresses.target import target_of
from aconnect.errors.making import each_error
from aconnect.trace import AttemptStarted, ResolutionEnded, ResolutionStarted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import ExitStack

    from aconnect import TCPAddress

pytestmark = pytest.mark.anyio

LONG = 30


@pytest.fixture
def stack() -> Any:
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield stack


def entry(address: Any) -> Any:
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)


async def test_the_first_that_answers(stack: ExitStack) -> None:
    one = stack.enter_context(listening()).getsockname()
    two = stack.enter_context(listening("127.0.0.2")).getsockname()
    with await aconnect([one, two], timeout=LONG) as sock:
        assert sock.getpeername() == one


async def test_a_dead_one_costs_no_time(stack: ExitStack) -> None:
    dead = stack.enter_context(refusing())
    good = stack.enter_context(listening()).getsockname()
    report = Report()
    address = [f"{dead[0]}:{dead[1]}", good]
    with await Dialer(trace=report).connect(address, timeout=LONG) as sock:
        assert sock.getpeername() == good
    assert [each.outcome for each in report.attempts] == ["failed", "connected"]
    assert report.winner is not None
    assert report.winner.host == f"{good[0]}:{good[1]}"


async def test_a_silent_one_costs_a_delay(stack: ExitStack) -> None:
    dead = stack.enter_context(silent())
    good = stack.enter_context(listening()).getsockname()
    with await Dialer(attempt_delay=0.02).connect([dead, good], timeout=LONG) as sock:
        assert sock.getpeername() == good


async def test_names_are_looked_up_side_by_side(stack: ExitStack) -> None:
    good = stack.enter_context(listening()).getsockname()
    asked: list[str] = []
    both = anyio.Event()

    class Names:
        async def resolve(self, address: TCPAddress) -> AsyncIterator[Batch]:  # type: ignore[override]
            asked.append(address.host)
            if len(asked) == 2:
                both.set()
            await both.wait()
            yield Batch([Endpoint(*entry(good)[:3], (good[0], address.port))], sorted=True)

    port = good[1]
    dialer = Dialer(resolver=Names())  # type: ignore[arg-type]
    with await dialer.connect([f"a.example:{port}", f"b.example:{port}"], timeout=LONG) as sock:
        assert sock.getpeername() == good
    assert sorted(asked) == ["a.example", "b.example"]


async def test_one_that_does_not_resolve_fails_alone(stack: ExitStack) -> None:
    good = stack.enter_context(listening()).getsockname()
    report = Report()
    resolver = StaticResolver({"b.example": [good[0]]})
    dialer = Dialer(resolver=resolver, trace=report)
    address = [f"a.example:{good[1]}", f"b.example:{good[1]}"]
    with await dialer.connect(address, timeout=LONG) as sock:
        assert sock.getpeername() == good
    ended = [each for each in report.events if isinstance(each, ResolutionEnded)]
    assert {(each.address, each.outcome) for each in ended} == {
        (address[0], "failed"),
        (address[1], "done"),
    }
    started = [each.address for each in report.events if isinstance(each, ResolutionStarted)]
    assert sorted(started) == address  # what is known at once is told of first
    assert report.winner is not None
    assert report.winner.host == address[1]
    assert len(report.resolutions) == 2


async def test_none_resolves() -> None:
    dialer = Dialer(resolver=StaticResolver({}))
    with pytest.raises(ResolveError) as caught:
        await dialer.connect(["a.example:1", "b.example:2"], timeout=LONG)
    error = caught.value
    assert error.errno == socket.EAI_NONAME
    assert "could not resolve a.example:1 and 1 more" in str(error)
    assert "a.example:1: EAI_NONAME; b.example:2: EAI_NONAME" in str(error)
    assert isinstance(error.__cause__, ExceptionGroup)
    assert len(error.__cause__.exceptions) == 2


async def test_no_time_to_resolve() -> None:
    with pytest.raises(ConnectTimeout) as caught:
        await aconnect(["a.example:1", "b.example:2"], timeout=0)
    assert caught.value.phase == "resolve"


async def test_all_fail(stack: ExitStack) -> None:
    dead = [stack.enter_context(refusing()), stack.enter_context(refusing())]
    with pytest.raises(ConnectError) as caught:
        await aconnect([dead[0], dead[1]], timeout=LONG)
    assert [each.sockaddr for each in caught.value.attempts] == dead
    assert len(caught.value.address) == 2  # type: ignore[arg-type]


async def test_mixed_with_results(stack: ExitStack) -> None:
    """Results that follow one another are one part."""
    dead = [stack.enter_context(refusing()), stack.enter_context(refusing())]
    good = stack.enter_context(listening()).getsockname()
    report = Report()
    address = [*map(entry, dead), f"{good[0]}:{good[1]}"]
    with await Dialer(trace=report).connect(address, timeout=LONG):
        pass
    started = [each for each in report.events if isinstance(each, AttemptStarted)]
    assert [each.endpoint.sockaddr for each in started] == [*dead, good]
    first = f"{dead[0][0]}:{dead[0][1]} and 1 more"
    assert [each.host for each in started] == [first, first, address[-1]]


async def test_a_list_of_one_is_that_one(stack: ExitStack) -> None:
    good = stack.enter_context(listening()).getsockname()
    report = Report()
    with await Dialer(trace=report).connect([good], timeout=LONG):
        pass
    assert report.address == f"{good[0]}:{good[1]}"
    assert report.winner is not None
    assert report.winner.host == ""


async def test_a_zone_that_is_no_interface_fails_alone(stack: ExitStack) -> None:
    good = stack.enter_context(listening()).getsockname()
    with await aconnect(["[fe80::1%nosuch0]:1", good], timeout=LONG) as sock:
        assert sock.getpeername() == good


async def test_of_one_family(stack: ExitStack) -> None:
    good = stack.enter_context(listening()).getsockname()
    dialer = Dialer(family=socket.AF_INET)
    with await dialer.connect(["[::1]:1", good], timeout=LONG) as sock:
        assert sock.getpeername() == good


@pytest.mark.parametrize("first", [socket.AF_INET, socket.AF_INET6])
async def test_a_family_that_is_preferred(first: int, stack: ExitStack) -> None:
    """It goes first, and the other is tried as well."""
    v4 = stack.enter_context(listening()).getsockname()
    v6 = stack.enter_context(listening("::1")).getsockname()
    found = [entry(v4), (socket.AF_INET6, *entry(v6)[1:])]
    with await Dialer(prefer=first).connect(found, timeout=LONG) as sock:
        assert sock.family == first
    with await Dialer(prefer=first).connect([entry(v4)], timeout=LONG) as sock:
        assert sock.family == socket.AF_INET


@pytest.mark.parametrize(
    ("prefer", "error"), [("v4", TypeError), (True, TypeError), (1, ValueError)]
)
async def test_a_preference_that_cannot_be(prefer: Any, error: Any) -> None:
    with pytest.raises(error, match="prefer must be"):
        Dialer(prefer=prefer)


@pytest.mark.slow
async def test_silent_ones_make_room(stack: ExitStack) -> None:
    """Eight that are silent and a good ninth: the dial is over long before any gives up."""
    dead = [stack.enter_context(silent()) for _ in range(8)]
    good = stack.enter_context(listening()).getsockname()
    report = Report()
    with await Dialer(trace=report).connect([*map(entry, [*dead, good])], timeout=LONG) as sock:
        assert sock.getpeername() == good
    assert report.elapsed < 4
    outcomes = [each.outcome for each in report.attempts]
    assert outcomes == ["made room"] * 3 + ["cancelled"] * 5 + ["connected"]
    assert "made room" in report.draw()


@pytest.mark.slow
async def test_when_all_are_silent_those_that_made_room_are_told_of(stack: ExitStack) -> None:
    dead = [stack.enter_context(silent()) for _ in range(3)]
    dialer = Dialer(max_in_flight=2, attempt_delay=0.01)
    with pytest.raises(ConnectTimeout) as caught:
        await dialer.connect([*map(entry, dead)], timeout=2.2)
    assert [each.outcome for each in caught.value.attempts] == ["made room", *["timed out"] * 2]
    assert "given up to make room for another address" in str(caught.value)


async def test_many_that_do_not_resolve_are_a_screen_of_words() -> None:
    hosts = [f"{'a' * 60}.{number}.example:80" for number in range(100)]
    with pytest.raises(ResolveError) as raised:
        await Dialer(resolver=StaticResolver({})).connect(hosts, timeout=LONG)
    text = str(raised.value)
    assert len(text) < 2000
    assert text.endswith("and 96 more")
    assert isinstance(raised.value.__cause__, ExceptionGroup)
    assert len(raised.value.__cause__.exceptions) == 4


async def test_a_handshake_that_asks_for_no_host_is_the_same_for_all(stack: ExitStack) -> None:
    async def shake(sock: socket.socket) -> socket.socket:
        return sock

    dead = stack.enter_context(refusing())
    good = stack.enter_context(listening()).getsockname()
    hosts = [f"one.example:{dead[1]}", f"two.example:{good[1]}"]
    dialer = Dialer(resolver=StaticResolver({"one.example": [dead[0]], "two.example": [good[0]]}))
    handshake = Handshake(shake)
    assert handshake.towards("two.example") is handshake
    with await dialer.connect(hosts, timeout=LONG, handshake=handshake) as sock:
        assert sock.getpeername() == good


class Proving(Handshake[str]):
    """A handshake with one host; all but those that are known have another name."""

    def __init__(self, *known: str, host: str | None = None) -> None:
        super().__init__(self.shake, name="proof")
        self.known = known
        self.host = host

    def towards(self, host: str | None) -> Handshake[str]:
        return Proving(*self.known, host=host)

    async def shake(self, sock: socket.socket) -> str:
        if self.host not in self.known:
            raise ConnectionAbortedError(f"I am not {self.host}")
        sock.close()
        return str(self.host)


@pytest.mark.parametrize("known", ["one.example", "two.example"])
async def test_an_address_that_two_hosts_have_is_tried_with_each(
    stack: ExitStack, known: str
) -> None:
    host, port = stack.enter_context(listening()).getsockname()
    resolver = StaticResolver({"one.example": [host], "two.example": [host]})
    report = Report()
    dialer = Dialer(resolver=resolver, trace=report)
    hosts = [f"one.example:{port}", f"two.example:{port}", f"one.example:{port}"]
    result = await dialer.connect(hosts, timeout=LONG, handshake=Proving(known))
    assert result == known
    assert [each.host for each in report.attempts][-1] == f"{known}:{port}"
    assert len(report.attempts) <= 2


async def test_if_none_of_them_will_do_the_error_has_each(stack: ExitStack) -> None:
    host, port = stack.enter_context(listening()).getsockname()
    resolver = StaticResolver({"one.example": [host], "two.example": [host]})
    hosts = [f"one.example:{port}", f"two.example:{port}", f"one.example:{port}"]
    with pytest.raises(HandshakeError) as raised:
        await Dialer(resolver=resolver).connect(hosts, timeout=LONG, handshake=Proving())
    assert {each.host for each in raised.value.attempts} == set(hosts)
    assert len(raised.value.attempts) == 2
    assert f"one.example:{port} at {host}:{port} from" in str(raised.value)
    assert "the proof handshake failed: I am not two.example" in str(raised.value)


async def test_without_a_handshake_that_asks_an_address_that_two_have_is_tried_once(
    stack: ExitStack,
) -> None:
    host, port = stack.enter_context(refusing())
    resolver = StaticResolver({"one.example": [host], "two.example": [host]})
    hosts = [f"one.example:{port}", f"two.example:{port}", f"{host}:{port}"]
    with pytest.raises(ConnectionRefusedError) as raised:
        await Dialer(resolver=resolver).connect(hosts, timeout=LONG)
    error: Any = raised.value
    assert len(error.attempts) == 1


async def test_the_error_names_the_hosts_that_have_no_address(stack: ExitStack) -> None:
    host, port = stack.enter_context(refusing())
    resolver = StaticResolver({"there.example": [host]})
    hosts = ["none.example:80", f"there.example:{port}", f"{host}:{port}", "nor.example:80"]
    with pytest.raises(ConnectionRefusedError) as raised:
        await Dialer(resolver=resolver).connect(hosts, timeout=LONG)
    error: Any = raised.value
    text = str(error)
    assert "1 of 1 addresses tried: " in text
    assert text.endswith("; none.example:80: EAI_NONAME; nor.example:80: EAI_NONAME")
    refused, none, nor = error.__cause__.exceptions
    assert error.__cause__.message == "each attempt and each of the hosts without an address"
    assert isinstance(refused, ConnectionRefusedError)
    assert "none.example" in str(none)
    assert "nor.example" in str(nor)


async def test_of_many_hosts_without_an_address_it_names_two(stack: ExitStack) -> None:
    dead = [stack.enter_context(refusing()) for _ in range(5)]
    hosts = [*(f"{host}:{port}" for host, port in dead), *(f"{n}.example:80" for n in "abcde")]
    with pytest.raises(ConnectionRefusedError) as raised:
        await Dialer(resolver=StaticResolver({})).connect(hosts, timeout=LONG)
    error: Any = raised.value
    assert "; and 3 more; a.example:80: EAI_NONAME; b.example:80: EAI_NONAME; and 3 more" in str(
        error
    )
    assert error.__cause__.message == "2 of the attempts and 2 of the hosts without an address"
    assert len(error.__cause__.exceptions) == 4
    assert len(error.attempts) == 5


class Hanging:
    """Knows some hosts; of ``hangs`` it never says that there is no more."""

    def __init__(self, hangs: str, **known: str) -> None:
        self.hangs = hangs
        self.known = known

    async def resolve(self, address: TCPAddress) -> AsyncIterator[Batch]:
        host = self.known.get(address.host)
        if host is not None:
            yield Batch([Endpoint(*entry((host, address.port))[:3], (host, address.port))])
        if address.host == self.hangs:
            await anyio.sleep_forever()


async def test_a_deadline_that_one_hosts_name_has_used_up_is_a_timeout(stack: ExitStack) -> None:
    host, port = stack.enter_context(refusing())
    resolver: Any = Hanging("slow", there=host)
    with pytest.raises(ConnectTimeout) as raised:
        await Dialer(resolver=resolver).connect([f"slow:{port}", f"there:{port}"], timeout=0.3)
    assert str(raised.value).endswith(f"; slow:{port}: its lookup had not finished")
    assert "nothing is listening there" in str(raised.value)


async def test_so_is_one_that_an_only_name_has_used_up(stack: ExitStack) -> None:
    host, port = stack.enter_context(refusing())
    resolver: Any = Hanging("slow", slow=host)
    with pytest.raises(ConnectTimeout) as raised:
        await Dialer(resolver=resolver).connect(f"slow:{port}", timeout=0.3)
    assert str(raised.value).endswith(f"; slow:{port}: its lookup had not finished")
    assert isinstance(raised.value.__cause__, ExceptionGroup)
    assert str(raised.value.__cause__.exceptions[1]).endswith(
        "deadline passed: its lookup had not finished, and might have found more addresses"
    )


async def test_of_names_that_fail_or_hang_it_says_which() -> None:
    resolver: Any = Hanging("slow")
    with pytest.raises(ConnectTimeout) as raised:
        await Dialer(resolver=resolver).connect(["none:1", "slow:2"], timeout=0.1)
    assert raised.value.phase == "resolve"
    assert str(raised.value).endswith(
        "deadline passed: none:1: EAI_NONAME; slow:2: its lookup had not finished"
    )


async def test_all_errors_of_asyncio_has_the_attempts(stack: ExitStack) -> None:
    host, port = stack.enter_context(refusing())
    other, other_port = stack.enter_context(refusing())
    hosts = ["none.example:80", f"{host}:{port}", f"{other}:{other_port}"]
    with pytest.raises(ConnectError) as raised:
        await Dialer(resolver=StaticResolver({})).connect(hosts, timeout=LONG)
    group = each_error(raised.value, target_of(hosts), "create_connection")
    assert group is not None
    assert [
        each.attempts[0].peer for each in group.exceptions if isinstance(each, ConnectError)
    ] == [
        f"{host}:{port}",
        f"{other}:{other_port}",
    ]
