"""Many dials at a time (A1 to A7, L1 to L8)."""

from __future__ import annotations

import asyncio
import errno
import gc
import itertools
import pickle
import resource
import socket
import time
import tracemalloc
import warnings
from contextlib import AsyncExitStack
from math import inf
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.listeners import listening, refusing, silent, unix_listening

from aconnect import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    Deadline,
    Dialer,
    Handshake,
    Sequence,
    UDPAddress,
    UnixAddress,
)
from aconnect.many import Limits, Result, connect_many, resources
from aconnect.testing import FakeNetwork, Outcome, VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def collect(targets: Any, **options: Any) -> list[Result]:
    async with connect_many(targets, **options) as results:
        return [result async for result in results]


def virtually(main: Callable[[], Any], backend: str = "asyncio") -> Any:
    return VirtualClock().run(main, backend=backend)


BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


# What comes of each


async def test_each_target_has_one_result(anyio_backend: Any, tmp_path: Path) -> None:
    with (
        listening() as listener,
        refusing() as refused,
        silent() as dead,
        unix_listening(tmp_path / "sock"),
    ):
        address = listener.getsockname()
        there = UnixAddress(tmp_path / "sock")
        datagrams = UDPAddress("127.0.0.1", 9)
        targets: list[Any] = [address, refused, dead, "nonsense", 12, there, datagrams]
        found = await collect(targets, timeout=0.05)
    by_index = {result.index: result for result in found}
    assert [by_index[number].target for number in range(7)] == targets
    assert [by_index[number].outcome for number in range(7)] == [
        "connected",
        "failed",
        "timed out",
        "invalid",
        "invalid",
        "connected",
        "connected",
    ]
    connected = by_index[0]
    assert connected.connected
    assert connected.peer == "{}:{}".format(*address)
    assert connected.phases == {"connect": connected.seconds}
    assert connected.error is connected.sock is connected.report is None
    assert abs(connected.time - time.time()) < 60
    assert isinstance(by_index[1].error, ConnectionRefusedError)
    assert by_index[1].peer == "{}:{}".format(*refused)
    assert by_index[1].error.__traceback__ is by_index[1].error.report is None
    assert isinstance(by_index[2].error, ConnectTimeout)
    assert isinstance(by_index[3].error, ValueError)
    assert isinstance(by_index[4].error, TypeError)
    copy = pickle.loads(pickle.dumps(found[0]))
    assert copy == found[0]


async def test_nothing_is_no_result(anyio_backend: Any) -> None:
    assert await collect([]) == []


async def test_keys_come_back_with_their_results(anyio_backend: Any) -> None:
    with listening() as listener:
        address = listener.getsockname()
        text = "{}:{}".format(*address)
        targets = [("first", text), (2, address), address, (address[0], str(address[1])), text]
        found = await collect(targets, ordered=True)
    assert [result.key for result in found] == ["first", 2, address, targets[3], text]
    assert [result.target for result in found] == [text, address, address, targets[3], text]
    assert {result.outcome for result in found} == {"connected"}


async def test_what_the_policy_refuses_is_not_permitted(anyio_backend: Any) -> None:
    [result] = await collect(["127.0.0.1:1"], dialer=Dialer(permit=lambda _: False))
    assert result.outcome == "not permitted"
    assert isinstance(result.error, AddressNotPermitted)


async def test_no_host_is_resolved_for_a_target_of_no_sense(anyio_backend: Any) -> None:
    with FakeNetwork() as network:
        [result] = await collect(["a host:1"], dialer=network.dialer())
        assert result.outcome == "invalid"
        assert not network.journal


@BACKENDS
def test_phases_are_those_of_the_report(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add("db", "192.0.2.1", after=0.5)
            network.resolves("db", after=0.25)
            network.add("dead", "192.0.2.2", "192.0.2.3", outcome="refused", after=0.125)
            found = await collect(["db:1", "dead:1"], dialer=network.dialer(), ordered=True)
        up, down = found
        assert (up.peer, up.seconds, up.report) == ("192.0.2.1:1", 0.75, None)
        assert up.phases == {"resolve": 0.25, "connect": 0.5}
        assert (down.peer, down.seconds, down.outcome) == (None, 0.25, "failed")
        assert down.phases == {"connect": 0.25}

    virtually(main, backend)


@BACKENDS
def test_reports_are_there_if_they_are_asked_for(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", after=0.5)
            targets = ["192.0.2.1:1", "192.0.2.2:1"]
            dialer = network.dialer()
            up, down = await collect(targets, dialer=dialer, ordered=True, reports=True)
        assert up.report.outcome == "connected"
        assert down.report is down.error.report
        assert down.report.outcome == "failed"

    virtually(main, backend)


# Sockets, and what a handshake gives


async def test_sockets_are_closed_unless_they_are_to_be_kept(anyio_backend: Any) -> None:
    with listening() as listener:
        targets = [listener.getsockname()] * 4
        async with connect_many(targets, keep=True) as results:
            first = await anext(results)
            second = await anext(results)
        with first.sock, second.sock:  # the others have been closed
            assert first.sock.getpeername() == second.sock.getpeername() == targets[0]


async def greet(sock: socket.socket) -> str:
    return "hello"


async def nothing(sock: socket.socket) -> None:
    pass


class Stream:
    """What a handshake may give: closed by a method, or by one to await."""

    def __init__(self, sock: socket.socket, closing: str) -> None:
        self.sock = sock
        setattr(self, closing, getattr(self, f"_{closing}"))

    def _close(self) -> None:
        self.sock.close()

    async def _aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.sock.close()


@pytest.mark.parametrize("closing", ["close", "aclose"])
async def test_what_a_handshake_gave_is_closed(anyio_backend: Any, closing: str) -> None:
    made: list[Stream] = []

    async def shake(sock: socket.socket) -> Stream:
        made.append(Stream(sock, closing))
        return made[-1]

    with listening() as listener:
        [result] = await collect([listener.getsockname()], handshake=shake)
        assert result.outcome == "connected"
        assert result.phases.keys() <= {"resolve", "connect", "handshake"}
        assert sum(result.phases.values()) <= result.seconds
        assert made[0].sock.fileno() == -1
        [kept] = await collect([listener.getsockname()], handshake=shake, keep=True)
        assert kept.sock is made[1]
        with made[1].sock:
            assert made[1].sock.fileno() >= 0


@pytest.mark.parametrize("shake", [greet, nothing, Sequence(nothing, greet), Handshake(greet)])
async def test_of_a_handshake_that_gave_no_connection_the_socket_is_closed(
    anyio_backend: Any, shake: Any
) -> None:
    with listening() as listener:
        [result] = await collect([listener.getsockname()], handshake=shake)
        assert result.outcome == "connected"  # and conftest looks for the socket


async def test_a_handshake_says_of_itself_what_it_has_to_say(anyio_backend: Any) -> None:
    class Hello(Handshake[str]):
        def details(self, result: str) -> dict[str, str]:
            return {"said": result}

        def reason(self, error: Exception) -> str:
            return "no hello"

        def is_final(self, error: Exception) -> bool:
            return True

    async def fail(_: socket.socket) -> str:
        raise ValueError("what?")

    with listening() as listener:
        address = listener.getsockname()
        [up] = await collect([address], handshake=Hello(greet, name="hello"), reports=True)
        [down] = await collect([[address, address]], handshake=Hello(fail, name="hello"))
    assert up.report is not None
    [shake] = up.report.attempts[0].handshakes
    assert (shake.name, shake.details) == ("hello", {"said": "hello"})
    assert down.outcome == "failed"
    assert str(down.error).endswith("the hello handshake failed: no hello")


async def test_reset_leaves_nothing_in_time_wait(anyio_backend: Any) -> None:
    with listening() as listener:
        for reset in (True, False):
            [_] = await collect([listener.getsockname()], limits=Limits(reset=reset))
            with listener.accept()[0] as accepted:
                accepted.setblocking(True)
                if reset:
                    with pytest.raises(ConnectionResetError):
                        accepted.recv(1)
                else:
                    assert accepted.recv(1) == b""


async def test_with_a_handshake_too(anyio_backend: Any) -> None:
    with listening() as listener:
        limits = Limits(reset=True)
        await collect([listener.getsockname()], handshake=greet, limits=limits)
        with listener.accept()[0] as accepted, pytest.raises(ConnectionResetError):
            accepted.setblocking(True)
            accepted.recv(1)
        await collect(["udp://127.0.0.1:9"], limits=limits)  # which has nothing to reset


# Going through them


async def test_outside_of_its_block_there_is_nothing(anyio_backend: Any) -> None:
    many = connect_many([])
    with pytest.raises(RuntimeError, match="inside `async with connect_many"):
        await anext(many)
    async with many as results:
        assert results is many
        with pytest.raises(StopAsyncIteration):
            await anext(many)
    with pytest.raises(RuntimeError, match="inside `async with connect_many"):
        await anext(many)
    with pytest.raises(RuntimeError, match="can be entered once"):
        await many.__aenter__()


@BACKENDS
def test_what_has_ended_can_be_had_without_waiting(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", after=1)
            network.add(None, "192.0.2.2", after=60)
            targets = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.1:2"]
            many = connect_many(targets, dialer=network.dialer(), ordered=True)
            assert many.ended() == []
            async with many as results:
                await anyio.sleep(2)
                assert [result.index for result in results.ended()] == [0, 2]
                assert results.ended() == []

    virtually(main, backend)


@BACKENDS
def test_two_tasks_cannot_take_results_at_a_time(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", outcome="silent")
            async with connect_many(["192.0.2.1:1"], dialer=network.dialer()) as results:
                async with anyio.create_task_group() as group:
                    group.start_soon(results.__anext__)
                    await anyio.wait_all_tasks_blocked()
                    with pytest.raises(RuntimeError, match="another task is waiting"):
                        await anext(results)
                    group.cancel_scope.cancel()

    virtually(main, backend)


@pytest.mark.parametrize("asynchronous", [False, True])
@BACKENDS
def test_what_targets_raise_comes_after_the_results_there_are(
    backend: str, asynchronous: bool
) -> None:
    def targets() -> Iterator[str]:
        yield "192.0.2.1:1"
        yield "192.0.2.2:1"
        raise ZeroDivisionError("of the generator")

    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1")
            network.add(None, "192.0.2.2", outcome="silent")
            found = []
            source = later(targets()) if asynchronous else targets()
            with pytest.raises(ZeroDivisionError, match="of the generator"):
                async with connect_many(source, dialer=network.dialer()) as results:
                    found.append((await anext(results)).target)
                    found.append((await anext(results)).target)
            assert found in (["192.0.2.1:1"], [])

    virtually(main, backend)


async def test_what_cannot_be_begun_is_raised(anyio_backend: Any) -> None:
    class Broken:
        def __iter__(self) -> Iterator[str]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await collect(Broken())


async def later(targets: Any, pause: float = 0.0) -> AsyncIterator[Any]:
    for target in targets:
        await anyio.sleep(pause)
        yield target


@pytest.mark.parametrize("asynchronous", [False, True])
@BACKENDS
def test_targets_are_taken_no_further_ahead_than_they_are_of_use(
    backend: str, asynchronous: bool
) -> None:
    taken = []

    def targets() -> Iterator[str]:
        for number in itertools.count():
            taken.append(number)
            yield "192.0.2.1:1"

    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", outcome="silent")
            source = later(targets()) if asynchronous else targets()
            limits = Limits(concurrency=5)
            async with connect_many(source, dialer=network.dialer(), limits=limits):
                await anyio.sleep(1)
                assert len(network.attempts) == 5
                assert len(taken) in (range(6, 11) if asynchronous else [5])

    virtually(main, backend)


@pytest.mark.parametrize("asynchronous", [False, True])
@BACKENDS
def test_results_that_nobody_takes_hold_up_further_starts(
    backend: str, asynchronous: bool
) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", after=0.125)
            source = itertools.repeat("192.0.2.1:1", 40)
            targets = later(source) if asynchronous else source
            limits = Limits(concurrency=4)
            async with connect_many(targets, dialer=network.dialer(), limits=limits) as results:
                await anyio.sleep(5)
                assert len(network.attempts) in range(4, 9)
                assert (await anext(results)).outcome == "connected"
                rest = [result async for result in results]
            assert len(rest) == 39

    virtually(main, backend)


@BACKENDS
def test_in_order_a_slow_one_holds_up_a_few_and_no_more(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", after=30)
            network.add(None, "192.0.2.2", after=0.125)
            targets = ["192.0.2.1:1", *["192.0.2.2:1"] * 100]
            limits = Limits(concurrency=4)
            async with connect_many(
                targets, dialer=network.dialer(), limits=limits, ordered=True
            ) as results:
                await anyio.sleep(20)
                assert len(network.attempts) in range(9, 14)
                assert [result.index async for result in results] == list(range(101))

    virtually(main, backend)


async def test_nonsense_among_targets_does_not_pile_up(anyio_backend: Any) -> None:
    taken = []

    def targets() -> Iterator[str]:
        for number in range(100):
            taken.append(number)
            yield "nonsense"

    async with connect_many(targets(), limits=Limits(concurrency=10)) as results:
        first = await anext(results)
        assert first.outcome == "invalid"
        assert len(taken) <= 11
        assert len([result async for result in results]) == 99


@pytest.mark.slow
def test_memory_does_not_grow_with_the_targets() -> None:
    def peak(count: int) -> int:
        async def main() -> None:
            async with connect_many(itertools.repeat("nonsense", count)) as results:
                async for _ in results:
                    pass

        gc.collect()
        tracemalloc.start()
        asyncio.run(main())
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(1000)
    few, many = peak(1000), peak(10_000)
    assert many < 1.5 * few


# Limits


@BACKENDS
def test_as_many_at_a_time_as_may_be(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", after=1.0)
            limits = Limits(concurrency=3)
            await collect(["192.0.2.1:1"] * 7, dialer=network.dialer(), limits=limits)
            moments = [moment for moment, _ in network.timeline()]
            assert moments == [0, 0, 0, 1, 1, 1, 2]

    virtually(main, backend)


@pytest.mark.parametrize("asynchronous", [False, True])
@BACKENDS
def test_one_host_has_no_more_than_its_share(backend: str, asynchronous: bool) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add("one", "192.0.2.1", after=1.0)
            network.add("two", "192.0.2.2", after=1.0)
            targets: Any = ["one:1", "ONE:2", "one:3", "two:1", "[2001:db8::1]:1", ["one:4"]]
            if asynchronous:
                targets = later(targets)
            limits = Limits(concurrency=4, per_host=1)
            found = await collect(targets, dialer=network.dialer(), limits=limits)
            assert len(found) == 6
            moments = sorted(each for each in network.timeline() if "connect" in each[1])
        assert moments == [
            (0, "connect 192.0.2.1:1"),
            (0, "connect 192.0.2.2:1"),
            (0, "connect [2001:db8::1]:1"),
            (1, "connect 192.0.2.1:2"),
            (2, "connect 192.0.2.1:3"),
            (3, "connect 192.0.2.1:4"),
        ]

    virtually(main, backend)


async def test_a_path_is_a_host(anyio_backend: Any, tmp_path: Path) -> None:
    limits = Limits(per_host=1)
    with unix_listening(tmp_path / "x"):
        targets: list[Any] = [tmp_path / "x"] * 2 + ["vsock:1:1"]
        found = await collect(targets, limits=limits, timeout=1)
    assert [result.outcome for result in found[:2]] == ["connected"] * 2


@pytest.mark.parametrize("asynchronous", [False, True])
@BACKENDS
def test_starts_keep_to_the_rate(backend: str, asynchronous: bool) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", after=0.0078125)
            limits = Limits(rate=4, burst=2)
            source = ["192.0.2.1:1"] * 6
            targets = later(source) if asynchronous else source
            await collect(targets, dialer=network.dialer(), limits=limits)
            moments = [moment for moment, _ in network.timeline()]
            assert moments == pytest.approx([0, 0, 0.25, 0.5, 0.75, 1], abs=0.002)

    virtually(main, backend)


@pytest.mark.parametrize(("count", "later_start"), [("dials", 1), ("sockets", 3)])
@BACKENDS
def test_the_rate_may_count_the_sockets_of_a_race(
    backend: str, count: Any, later_start: float
) -> None:
    hooked = []

    async def main() -> None:
        with FakeNetwork() as network:
            addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
            network.add("three", *addresses, outcome="refused", after=0.125)
            dialer = network.dialer(on_socket=lambda sock, endpoint: hooked.append(endpoint))
            limits = Limits(rate=1, count=count)
            await collect(["three:1", "three:2"], dialer=dialer, limits=limits)
            starts = [moment for moment, what in network.timeline() if what.endswith(".1:2")]
            assert starts == pytest.approx([later_start], abs=0.002)
            assert len(hooked) == 6

    virtually(main, backend)


@BACKENDS
def test_the_deadline_of_all(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", after=1.0)
            network.add(None, "192.0.2.2", outcome="silent")
            targets = (f"192.0.2.{1 + number % 2}:1" for number in range(20))
            limits = Limits(concurrency=4, per_host=2)
            options: Any = {"dialer": network.dialer(), "limits": limits}
            found = await collect(targets, deadline=Deadline.after(1.5), ordered=True, **options)
            outcomes = [result.outcome for result in found]
            assert len(found) == 20
            assert {index for index, each in enumerate(outcomes) if each == "connected"} == {0, 2}
            assert outcomes.count("timed out") == 4
            assert outcomes.count("not tried") == 14
            assert len(network.attempts) == 6

    virtually(main, backend)


@BACKENDS
def test_after_the_deadline_nothing_is_tried(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            for targets in (["192.0.2.1:1"] * 3, later(["192.0.2.1:1"] * 3)):
                options: Any = {"dialer": network.dialer(), "limits": Limits(concurrency=2)}
                found = await collect(targets, deadline=Deadline.after(0), **options)
                assert [result.outcome for result in found] == ["not tried"] * 3
            assert not network.attempts

    virtually(main, backend)


# Shortages


def refuse_after(count: int, code: int) -> Callable[[Any], socket.socket]:
    """Opens that many sockets at a time; beyond that it fails."""
    open_ones: list[socket.socket] = []

    def factory(endpoint: Any) -> socket.socket:
        open_ones[:] = [sock for sock in open_ones if sock.fileno() >= 0]
        if len(open_ones) >= count:
            raise OSError(code, "no more")
        sock = socket.socket(*endpoint[:3])
        sock.setblocking(False)
        open_ones.append(sock)
        return sock

    return factory


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS])
@BACKENDS
def test_want_of_descriptors_is_no_result(backend: str, code: int) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", after=0.5)
            opened = []

            def factory(endpoint: Any) -> socket.socket:
                opened[:] = [sock for sock in opened if sock.fileno() >= 0]
                if len(opened) >= 3:
                    raise OSError(code, "no more")
                opened.append(network.socket_factory(endpoint))
                return opened[-1]

            dialer = network.dialer(socket_factory=factory)
            limits = Limits(concurrency=8)
            found = await collect(["192.0.2.1:1"] * 20, dialer=dialer, limits=limits)
            assert sorted(result.index for result in found) == list(range(20))
            assert {result.outcome for result in found} == {"connected"}

    virtually(main, backend)


@BACKENDS
def test_a_shortage_that_does_not_end_is_raised(backend: str) -> None:
    async def main() -> float:
        begun = time.monotonic()
        dialer = Dialer(socket_factory=refuse_after(0, errno.EMFILE))
        with pytest.raises(ConnectError) as caught:
            await collect(["192.0.2.1:1"] * 5, dialer=dialer)
        assert caught.value.errno == errno.EMFILE
        return time.monotonic() - begun

    assert 5 < virtually(main, backend) < 30


@BACKENDS
def test_want_of_local_ports_is_no_result_but_want_of_an_address_is(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            busy = network.add(None, "192.0.2.1")
            # Three tries of a dial have none, and then a datagram socket is asked.
            busy.becomes(["no local port"] * 3 + ["connects"])
            network.add(None, "2001:db8::1", outcome="no local port")
            targets = ["192.0.2.1:1", "[2001:db8::1]:1"]
            found = await collect(targets, dialer=network.dialer(), ordered=True)
            assert [result.outcome for result in found] == ["connected", "failed"]
            assert found[1].error.errno == errno.EADDRNOTAVAIL

    virtually(main, backend)


async def test_a_unix_socket_has_no_port_to_miss(anyio_backend: Any) -> None:
    def factory(endpoint: Any) -> socket.socket:
        raise OSError(errno.EADDRNOTAVAIL, "none")

    [result] = await collect(["unix:/x"], dialer=Dialer(socket_factory=factory))
    assert result.outcome == "failed"


@pytest.fixture
def nofile() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_concurrency_is_cut_to_the_descriptors_there_are(
    anyio_backend: Any, nofile: tuple[int, int]
) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, nofile[1]))
    many = connect_many([], limits=Limits(concurrency=500))
    assert many.most_descriptors == 3000
    with pytest.warns(RuntimeWarning, match="reduced from 500 to") as caught:
        results = await many.__aenter__()
    async with AsyncExitStack() as stack:
        stack.push_async_exit(results)
        assert 1 <= results.concurrency < 68
        assert results.most_descriptors == 6 * results.concurrency
    assert "may have 100 descriptors" in str(caught[0].message)
    assert "ulimit -n" in str(caught[0].message)


async def test_the_limit_is_raised_only_if_asked_for_and_put_back(
    anyio_backend: Any, nofile: tuple[int, int]
) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, nofile[1]))
    limits = Limits(concurrency=300, raise_nofile=True)
    async with connect_many([], limits=limits) as results:
        assert results.concurrency == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == nofile[1]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 100


FAR = ("203.0.113.1", 80)


@pytest.mark.parametrize(
    ("targets", "limits", "warned"),
    [
        ([FAR] * 30_000, Limits(), True),
        ([f"203.0.113.1:{number}" for number in range(30_000)], Limits(), False),
        ([FAR] * 30_000, Limits(reset=True), False),
        ([FAR] * 30_000, Limits(rate=100), False),
        ([("127.0.0.1", 80)] * 30_000, Limits(), False),
        (["udp://203.0.113.1:80"] * 30_000, Limits(), False),
        (["nonsense"] * 30_000, Limits(), False),
        ([FAR] * 100, Limits(), False),
    ],
)
async def test_local_ports_that_cannot_be_enough_are_warned_of(
    targets: Any, limits: Limits, warned: bool
) -> None:
    many = connect_many(targets, limits=limits, dialer=Dialer(permit=lambda _: False))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with many:
            pass
    assert [str(each.message).partition(" is to be")[0] for each in caught] == [str(FAR)] * warned


def test_what_cannot_be_found_out_limits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def listdir(_: object) -> list[str]:
        raise OSError(errno.EMFILE, "no more")

    monkeypatch.setattr(resources, "_RANGE", "/nowhere")
    monkeypatch.setattr(resources.os, "listdir", listdir)
    assert resources._local_ports() == 16384
    assert resources._open_descriptors() == 0


# Cancelling


@BACKENDS
def test_when_the_block_is_left_nothing_goes_on(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", after=1.0)
            limits = Limits(concurrency=5)
            with pytest.raises(ZeroDivisionError):
                async with connect_many(
                    ["192.0.2.1:1"] * 50, dialer=network.dialer(), limits=limits, keep=True
                ) as results:
                    (await anext(results)).sock.close()
                    raise ZeroDivisionError
            made = len(network.attempts)
            await anyio.sleep(9)
            assert len(network.attempts) == made

    virtually(main, backend)


async def test_a_cancellation_leaves_nothing(anyio_backend: Any) -> None:
    with silent() as dead, anyio.move_on_after(0.02) as scope:
        await collect([dead] * 20, limits=Limits(concurrency=10))
    assert scope.cancelled_caught


async def test_a_handshake_that_cleans_up_slowly_is_waited_for(anyio_backend: Any) -> None:
    begun, ended = anyio.Event(), []

    async def shake(sock: socket.socket) -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
            ended.append(sock)

    with listening() as listener:
        async with connect_many([listener.getsockname()], handshake=shake):
            await begun.wait()
        assert ended


async def test_what_the_dialer_raises_that_is_no_failure_is_raised(anyio_backend: Any) -> None:
    class Broken(Handshake[None]):
        def towards(self, host: str | None) -> Handshake[None]:
            raise ZeroDivisionError

    with listening() as listener, pytest.raises(ZeroDivisionError):
        await collect([listener.getsockname()], handshake=Broken(nothing))


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"targets": "a:1"}, TypeError, "targets must be an iterable of addresses, .* not 'a:1'"),
        ({"targets": 5}, TypeError, "targets must be an iterable of addresses, .* not 5"),
        ({"dialer": None}, TypeError, "dialer must be a Dialer, not None"),
        ({"limits": 5}, TypeError, "limits must be Limits, not 5"),
        ({"handshake": 5}, TypeError, "handshake must be callable or None, not 5"),
        ({"ordered": 1}, TypeError, "ordered must be True or False, not 1"),
        ({"keep": None}, TypeError, "keep must be True or False, not None"),
        ({"reports": 0}, TypeError, "reports must be True or False, not 0"),
        ({"timeout": -1}, ValueError, "timeout must be 0 or more seconds, not -1"),
        ({"timeout": True}, TypeError, "timeout must be a number of seconds, not True"),
        ({"deadline": 5}, TypeError, "deadline must be a Deadline"),
    ],
)
def test_nonsense_is_refused_at_once(
    arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        connect_many(**{"targets": [], **arguments})


# Names


@BACKENDS
def test_a_name_is_asked_for_once_at_a_time_and_its_answer_is_shared(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add("db", "192.0.2.1", after=0.0625)
            network.resolves("db", after=0.25)
            targets = ["db:1", "DB:1", "db.:2", "db:1"]
            found = await collect(targets, dialer=network.dialer())
            assert [result.outcome for result in found] == ["connected"] * 4
            assert len(network.lookups) == 1
            ports = {attempt.endpoint.sockaddr[1] for attempt in network.attempts}
            assert ports == {1, 2}

    virtually(main, backend)


@pytest.mark.parametrize(("reuse", "lookups"), [(0, 4), (0.5, 2), (60, 1)])
@BACKENDS
def test_answers_are_used_again_for_a_while(backend: str, reuse: float, lookups: int) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add("db", "192.0.2.1", after=0.25)
            limits = Limits(concurrency=1, reuse_answers=reuse)
            await collect(["db:1"] * 4, dialer=network.dialer(), limits=limits)
            assert len(network.lookups) == lookups

    virtually(main, backend)


def test_no_limit_is_infinity() -> None:
    assert Limits(reuse_answers=inf).reuse_answers == inf
    assert Outcome("connects").errno == 0
