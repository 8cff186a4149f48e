"""The system's resolver, with a getaddrinfo() that answers what it is told."""

from __future__ import annotations

import errno
import gc
import socket
import threading
import weakref
from contextlib import aclosing
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from aconnect import (
    Batch,
    ConnectTimeout,
    Dialer,
    Endpoint,
    SystemResolver,
    TCPAddress,
    UDPAddress,
)
from aconnect.drivers.threads import LOOKUP_LIMIT, LOOKUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio


async def ask(address: Any) -> Batch:
    (batch,) = [batch async for batch in SystemResolver().resolve(address)]
    return batch


def answer(monkeypatch: Any, outcome: Any) -> list[Any]:
    """Have getaddrinfo() return or raise ``outcome``; returns what it was asked."""
    asked: list[Any] = []

    def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        asked.append((args, kwargs))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_it_has_no_state() -> None:
    assert SystemResolver() == SystemResolver()
    assert hash(SystemResolver()) == hash(SystemResolver())
    assert repr(SystemResolver()) == "SystemResolver(by_family=False, flags=0)"


@pytest.mark.parametrize(
    ("kind", "type", "proto"),
    [
        (TCPAddress, socket.SOCK_STREAM, socket.IPPROTO_TCP),
        (UDPAddress, socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    ],
)
async def test_one_sorted_batch(monkeypatch: Any, kind: Any, type: int, proto: int) -> None:
    v6 = (socket.AF_INET6, type, proto, "", ("2001:db8::1", 5, 0, 0))
    v4 = (socket.AF_INET, type, proto, "db.example", ("192.0.2.1", 5))
    asked = answer(monkeypatch, [v6, v4])
    batch = await ask(kind("db.example", 5))
    assert asked == [(("db.example", 5), {"type": type, "proto": proto, "flags": 0})]
    assert batch.endpoints == [Endpoint(*v6[:3], v6[4]), Endpoint(*v4[:3], v4[4])]
    assert batch.sorted
    assert batch.answered is None


async def test_localhost() -> None:
    batch = await ask(TCPAddress("localhost", 80))
    assert {endpoint.sockaddr[:2] for endpoint in batch.endpoints} <= {
        ("127.0.0.1", 80),
        ("::1", 80),
    }


async def test_no_answer(monkeypatch: Any) -> None:
    answer(monkeypatch, None)
    assert (await ask(TCPAddress("db.example", 5))).endpoints == []


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "later"), socket.EAI_AGAIN),
        (RuntimeError("can't start new thread"), socket.EAI_MEMORY),
        (UnicodeError("label too long"), socket.EAI_NONAME),
    ],
)
async def test_failures(monkeypatch: Any, raised: Exception, code: int) -> None:
    answer(monkeypatch, raised)
    with pytest.raises(socket.gaierror, match=str(raised.args[-1])) as caught:
        await ask(TCPAddress("db.example", 5))
    assert caught.value.errno == code
    raised.__traceback__ = None


# ---------------------------------------------------------------------------------- shared


class Held:
    """Stands for getaddrinfo(): answers when it may, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.may_answer = threading.Event()
        self.error: Exception | None = None

    def getaddrinfo(self, host: str, port: int, *, type: int, flags: int, **more: Any) -> Any:
        family, proto = more.get("family", 0), more["proto"]
        self.asked.append((host, port, type, family, flags))
        assert self.may_answer.wait(10)
        if self.error is not None:
            raise self.error
        v6 = (socket.AF_INET6, type, proto, "", ("2001:db8::1", port, 0, 7))
        v4 = (socket.AF_INET, type, proto, "", ("192.0.2.1", port))
        return [each for each in (v6, v4) if family in (0, each[0])]


@pytest.fixture
def held(monkeypatch: Any) -> Iterator[Held]:
    held = Held()
    monkeypatch.setattr(socket, "getaddrinfo", held.getaddrinfo)
    yield held
    held.may_answer.set()


async def lookups_at_once(resolver: Any, addresses: list[Any], held: Held) -> list[Any]:
    """What comes of each."""
    found: list[Any] = [None] * len(addresses)

    async def look_up(number: int, address: Any) -> None:
        try:
            batches = [batch async for batch in resolver.resolve(address)]
            found[number] = [each.sockaddr for batch in batches for each in batch.endpoints]
        except socket.gaierror as error:
            found[number] = error

    async with anyio.create_task_group() as group:
        for number, address in enumerate(addresses):
            group.start_soon(look_up, number, address)
        await anyio.wait_all_tasks_blocked()
        held.may_answer.set()
    return found


async def test_a_name_is_looked_up_once_for_all_who_ask_at_the_same_time(held: Held) -> None:
    ports = [80, 443, 80, 5432]
    addresses = [TCPAddress("db.example", port) for port in ports]
    found = await lookups_at_once(SystemResolver(), addresses, held)
    ((name, port, type, *_),) = held.asked
    assert (name, type) == ("db.example", socket.SOCK_STREAM)
    assert port in ports  # trio begins with any of them
    assert found == [[("2001:db8::1", port, 0, 7), ("192.0.2.1", port)] for port in ports]


async def test_two_resolvers_share_a_lookup(held: Held) -> None:
    """They are equal."""

    class Both:
        def resolve(self, address: Any) -> Any:
            return SystemResolver().resolve(address)

    await lookups_at_once(Both(), [TCPAddress("db.example", 80)] * 2, held)
    assert len(held.asked) == 1


async def test_other_names_kinds_of_ports_and_families_are_looked_up_apart(held: Held) -> None:
    both = [TCPAddress("a.example", 5), TCPAddress("b.example", 5), UDPAddress("a.example", 5)]
    await lookups_at_once(SystemResolver(), both, held)
    assert len(held.asked) == 3
    held.may_answer.clear()
    await lookups_at_once(SystemResolver(by_family=True), both[:1] * 3, held)
    families = [each[3] for each in held.asked[3:]]
    assert sorted(families) == [socket.AF_INET, socket.AF_INET6]


async def test_each_has_an_error_of_its_own(held: Held) -> None:
    held.error = socket.gaierror(socket.EAI_AGAIN, "later")
    found = await lookups_at_once(SystemResolver(), [TCPAddress("db.example", 80)] * 3, held)
    assert len(held.asked) == 1
    assert {error.errno for error in found} == {socket.EAI_AGAIN}
    assert len({id(error) for error in found}) == 3
    held.error = None
    for error in found:
        error.__traceback__ = None


async def test_who_gives_up_does_not_end_the_lookup_for_the_others(held: Held) -> None:
    found: list[Any] = []
    address = TCPAddress("db.example", 80)

    async def look_up() -> None:
        found.append(await ask(address))

    async def give_up(scope: anyio.CancelScope) -> None:
        with scope:
            await ask(address)

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        group.start_soon(give_up, scope)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(look_up)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        held.may_answer.set()
    assert len(held.asked) == len(found) == 1


# ------------------------------------------------------------------------------- by family

PATIENCE = 10.0  # seconds; for what must happen, and does at once
V6, V4 = socket.AF_INET6, socket.AF_INET
HOSTS = {V6: "2001:db8::1", V4: "192.0.2.1"}
TCP = (socket.SOCK_STREAM, socket.IPPROTO_TCP)
ENDPOINTS = {family: Endpoint(family, *TCP, (host, 5)) for family, host in HOSTS.items()}
BATCHES = {family: Batch([ENDPOINTS[family]], family, sorted=True) for family in (V6, V4)}
NOTHING = {family: Batch([], family, sorted=True) for family in (V6, V4)}


class NameServer:
    """Stands for getaddrinfo(), asked for one family at a time.

    Attributes:
        asked: the questions, in the order in which they came.
        failing: what it raises when it is asked for a family, instead of answering.
    """

    def __init__(self) -> None:
        self.asked: SimpleQueue[Any] = SimpleQueue()
        self.failing: dict[int, Exception] = {}
        self._may_answer = {family: threading.Event() for family in (V6, V4)}
        self.answer(V6, V4)

    def hold(self, *families: int) -> None:
        """Do not answer for these until told to."""
        for family in families:
            self._may_answer[family].clear()

    def answer(self, *families: int) -> None:
        for family in families:
            self._may_answer[family].set()

    async def was_asked(self) -> Any:
        """The next question."""
        return await anyio.to_thread.run_sync(lambda: self.asked.get(timeout=PATIENCE))

    def getaddrinfo(
        self, host: str, port: int, *, family: int, type: int, proto: int, flags: int
    ) -> Any:
        assert not flags
        self.asked.put((host, port, family, type, proto))
        assert self._may_answer[family].wait(PATIENCE)
        if family in self.failing:
            raise self.failing[family]
        return [(family, type, proto, "", (HOSTS[family], port))]


@pytest.fixture
def server(monkeypatch: Any) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server.getaddrinfo)
    yield server
    server.failing.clear()
    server.answer(V6, V4)


def by_family(address: Any = TCPAddress("db.example", 5)) -> Any:  # noqa: B008 - it is immutable
    return aclosing(SystemResolver(by_family=True).resolve(address))


def lookups_end() -> None:
    """Wait until no thread looks anything up."""
    for thread in threading.enumerate():
        if thread.name == "aconnect lookup":
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.mark.parametrize("value", [None, 0, 1, "yes", socket.AF_INET6])
def test_by_family_is_a_bool(value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        SystemResolver(by_family=value)
    assert str(caught.value) == f"by_family must be a bool, not {value!r}"


async def test_flags(monkeypatch: Any) -> None:
    asked = answer(monkeypatch, [])
    resolver = SystemResolver(flags=socket.AI_ADDRCONFIG)
    assert [batch async for batch in resolver.resolve(TCPAddress("db.example", 5))]
    assert asked[0][1]["flags"] == socket.AI_ADDRCONFIG
    async with aclosing(resolver.replace(by_family=True).resolve(TCPAddress("a", 5))) as answers:
        assert await anext(answers)
    assert asked[1][1]["flags"] == socket.AI_ADDRCONFIG


@pytest.mark.parametrize(
    ("value", "error"),
    [("1", TypeError), (True, TypeError), (-1, ValueError), (2**31, ValueError)],
)
def test_flags_are_an_int(value: Any, error: Any) -> None:
    with pytest.raises(error, match=f"flags .*{value!r}"):
        SystemResolver(flags=value)


@pytest.mark.parametrize("resolver", [SystemResolver(), SystemResolver(by_family=True)], ids=str)
async def test_lookups_that_nobody_waits_for_keep_nobody_out(
    monkeypatch: Any, resolver: SystemResolver
) -> None:
    """As many hang as are made at a time; their dials are over, by the deadline or cancelled."""
    over = threading.Event()
    getaddrinfo = socket.getaddrinfo

    def hang(host: str, *args: Any, **options: Any) -> Any:
        if host == "hangs.example":
            assert over.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "scripted")
        return getaddrinfo("127.0.0.1", *args, **options)  # no name server is asked

    async def cancelled() -> None:
        with anyio.move_on_after(0.05):
            await dialer.connect(("hangs.example", 1))

    async def too_late() -> None:
        with pytest.raises(ConnectTimeout):
            await dialer.connect(("hangs.example", 1), timeout=0.05)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    dialer = Dialer(resolver=resolver)
    try:
        async with anyio.create_task_group() as group:
            for _ in range(LOOKUP_LIMIT):
                group.start_soon(cancelled)
                group.start_soon(too_late)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = ("localhost", listener.getsockname()[1])
            (await dialer.connect(address, timeout=5)).close()
    finally:
        over.set()


def test_by_family_is_named() -> None:
    with pytest.raises(TypeError):
        SystemResolver(True)  # type: ignore[misc]
    assert SystemResolver(by_family=True) != SystemResolver()


@pytest.mark.parametrize(
    ("kind", "type", "proto"),
    [
        (TCPAddress, socket.SOCK_STREAM, socket.IPPROTO_TCP),
        (UDPAddress, socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    ],
)
async def test_r1_aaaa_is_asked_before_a(
    monkeypatch: Any, server: NameServer, kind: Any, type: int, proto: int
) -> None:
    """RFC 8305, section 3."""
    monkeypatch.setattr(LOOKUPS, "_limit", 1)  # they are asked in the order of submission then
    server.hold(V6)
    async with anyio.create_task_group() as group:

        async def resolve() -> None:
            async with by_family(kind("db.example", 5)) as answers:
                assert [batch.answered async for batch in answers] == [V6, V4]

        group.start_soon(resolve)
        assert await server.was_asked() == ("db.example", 5, V6, type, proto)
        assert server.asked.empty()
        server.answer(V6)
    assert await server.was_asked() == ("db.example", 5, V4, type, proto)
    assert server.asked.empty()


async def test_they_are_asked_at_the_same_time(server: NameServer) -> None:
    server.hold(V6, V4)
    async with anyio.create_task_group() as group:

        async def resolve() -> None:
            async with by_family() as answers:
                assert {batch.answered async for batch in answers} == {V6, V4}

        group.start_soon(resolve)
        assert {(await server.was_asked())[2] for _ in HOSTS} == {V6, V4}
        server.answer(V6, V4)


@pytest.mark.parametrize(("quick", "slow"), [(V4, V6), (V6, V4)])
async def test_a_slow_family_does_not_hold_up_the_other(
    server: NameServer, quick: int, slow: int
) -> None:
    server.hold(slow)
    async with by_family() as answers:
        assert await anext(answers) == BATCHES[quick]
        server.answer(slow)
        assert await anext(answers) == BATCHES[slow]
        assert await anext(answers, None) is None


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_NONAME, "no such name"),
        socket.gaierror(socket.EAI_AGAIN, "later"),
        OSError(errno.EMFILE, "too many open files"),
        RuntimeError("can't start new thread"),
        UnicodeError("label too long"),
    ],
    ids=repr,
)
@pytest.mark.parametrize(("failing", "other"), [(V4, V6), (V6, V4)])
@pytest.mark.parametrize("is_first", [True, False])
async def test_one_family_fails(
    server: NameServer, failing: int, other: int, error: Exception, is_first: bool
) -> None:
    server.failing[failing] = error
    expected = (
        [NOTHING[failing], BATCHES[other]] if is_first else [BATCHES[other], NOTHING[failing]]
    )
    slow = other if is_first else failing
    server.hold(slow)
    async with by_family() as answers:
        assert await anext(answers) == expected[0]
        server.answer(slow)
        assert [batch async for batch in answers] == expected[1:]
    error.__traceback__ = None


NONAME = socket.gaierror(socket.EAI_NONAME, "no such name")
NODATA = socket.gaierror(socket.EAI_NODATA, "no address")
ADDRFAMILY = socket.gaierror(socket.EAI_ADDRFAMILY, "not of that family")
AGAIN = socket.gaierror(socket.EAI_AGAIN, "later")
FAIL = socket.gaierror(socket.EAI_FAIL, "never")
EMFILE = OSError(errno.EMFILE, "too many open files")
CODEC = UnicodeError("label too long")
NO_THREAD = RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (NONAME, AGAIN, socket.EAI_AGAIN),
        (AGAIN, NONAME, socket.EAI_AGAIN),
        (NODATA, AGAIN, socket.EAI_AGAIN),
        (FAIL, ADDRFAMILY, socket.EAI_FAIL),
        (ADDRFAMILY, EMFILE, errno.EMFILE),
        (AGAIN, FAIL, socket.EAI_AGAIN),
        (NODATA, NONAME, socket.EAI_NODATA),
        (NONAME, NODATA, socket.EAI_NONAME),
        (CODEC, CODEC, socket.EAI_NONAME),
        (CODEC, NO_THREAD, socket.EAI_MEMORY),
    ],
)
@pytest.mark.parametrize(("quick", "slow"), [(V4, V6), (V6, V4)])
async def test_both_fail(
    server: NameServer, quick: int, slow: int, first: Exception, second: Exception, code: int
) -> None:
    server.failing |= {quick: first, slow: second}
    server.hold(slow)
    async with by_family() as answers:
        assert await anext(answers) == NOTHING[quick]
        server.answer(slow)
        with pytest.raises(OSError) as caught:  # noqa: PT011 - which one, is said below
            await anext(answers)
        assert caught.value.errno == code
        if not isinstance(second, OSError):
            assert isinstance(caught.value, socket.gaierror)
            assert caught.value.__cause__ in (first, second)
        assert await anext(answers, None) is None
    first.__traceback__ = second.__traceback__ = None


async def test_an_error_goes_with_the_last_reference_to_it(server: NameServer) -> None:
    class Failure(socket.gaierror):
        """One that can be watched."""

    server.failing = {family: Failure(socket.EAI_AGAIN, "later") for family in (V6, V4)}
    watched = [weakref.ref(error) for error in server.failing.values()]
    gc.disable()
    try:
        try:
            async with by_family() as answers:
                await anext(answers)
                await anext(answers)
        except Failure:
            server.failing.clear()
        lookups_end()
        assert [error() for error in watched] == [None, None]
    finally:
        gc.enable()


async def test_cancelled_while_both_are_pending(server: NameServer) -> None:
    server.hold(V6, V4)
    async with anyio.create_task_group() as group:

        async def resolve() -> None:
            async with by_family() as answers:
                await anext(answers)

        group.start_soon(resolve)
        for _ in HOSTS:
            await server.was_asked()
        group.cancel_scope.cancel()
    # It did not wait for the answers.  They come now, and nobody wants them.
    server.answer(V6, V4)
    lookups_end()
    await anyio.wait_all_tasks_blocked()


async def test_a_question_that_is_not_asked_yet_is_not_when_cancelled(
    monkeypatch: Any, server: NameServer
) -> None:
    monkeypatch.setattr(LOOKUPS, "_limit", 1)
    server.hold(V6)
    async with anyio.create_task_group() as group:

        async def resolve() -> None:
            async with by_family() as answers:
                await anext(answers)

        group.start_soon(resolve)
        assert (await server.was_asked())[2] == V6
        group.cancel_scope.cancel()
    server.answer(V6)
    lookups_end()
    assert server.asked.empty()


async def test_closed_while_one_is_pending(server: NameServer) -> None:
    server.hold(V6)
    async with by_family() as answers:
        assert await anext(answers) == BATCHES[V4]
    server.answer(V6)
    lookups_end()
    await anyio.wait_all_tasks_blocked()


async def test_closed_when_the_other_is_on_its_way(server: NameServer) -> None:
    server.hold(V6)
    async with by_family() as answers:
        assert await anext(answers) == BATCHES[V4]
        server.answer(V6)
        lookups_end()  # the loop has been told, and has not looked
    await anyio.wait_all_tasks_blocked()


async def test_a_scope_around_one_answer_is_not_mixed_up_with_another(server: NameServer) -> None:
    """Nothing that has to be left in order is open across a yield."""
    server.hold(V6)
    answers = SystemResolver(by_family=True).resolve(TCPAddress("db.example", 5))
    async with anyio.create_task_group() as group:
        assert await anext(answers) == BATCHES[V4]
        group.start_soon(anyio.sleep, 0)
    server.answer(V6)
    with anyio.fail_after(PATIENCE):
        assert await anext(answers) == BATCHES[V6]
    assert await anext(answers, None) is None


class TestNoThread:
    """Where no thread can be started."""

    def refuse(self, monkeypatch: Any, *refused: bool) -> None:
        """Have the threads for lookups start or not, one after another."""
        start, outcomes = threading.Thread.start, iter(refused)

        def start_or_not(thread: threading.Thread) -> None:
            if thread.name == "aconnect lookup" and next(outcomes):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_or_not)

    async def test_for_either(self, monkeypatch: Any, server: NameServer) -> None:
        self.refuse(monkeypatch, True, True)
        async with by_family() as answers:
            with pytest.raises(socket.gaierror, match="can't start new thread") as caught:
                await anext(answers)
        assert caught.value.errno == socket.EAI_MEMORY
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert server.asked.empty()

    async def test_for_the_first(self, monkeypatch: Any, server: NameServer) -> None:
        self.refuse(monkeypatch, True, False)
        async with by_family() as answers:
            assert [batch async for batch in answers] == [NOTHING[V6], BATCHES[V4]]

    async def test_for_the_second(self, monkeypatch: Any, server: NameServer) -> None:
        """It has the thread of the first, when that has answered."""
        self.refuse(monkeypatch, False, True)
        server.hold(V6)
        async with anyio.create_task_group() as group:

            async def resolve() -> None:
                async with by_family() as answers:
                    assert [batch async for batch in answers] == [BATCHES[V6], BATCHES[V4]]

            group.start_soon(resolve)
            assert (await server.was_asked())[2] == V6
            server.answer(V6)
