"""What dials learn from each other: H1 to H7 of the rules, by a clock of their own."""

from __future__ import annotations

import errno
import socket
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.listeners import listening

from aconnect import (
    AddressNotPermitted,
    ConnectError,
    Dialer,
    Endpoint,
    History,
    Report,
    StaticResolver,
    blocking,
)
from aconnect.testing import FakeNetwork, Outcome, VirtualClock
from aconnect.trace import AttemptStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

V6, V6B, V4, V4B = "2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"
RTT = 0.02


def here() -> str:
    return "here"


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    with FakeNetwork() as network:
        yield network


class Dials:
    """A dialer, and how long its dials take."""

    def __init__(self, network: FakeNetwork, clock: VirtualClock, **options: Any) -> None:
        options.setdefault("history", History(network=here))
        self.dialer: Dialer = network.dialer(**options)
        self.clock = clock

    async def __call__(self, name: Any = "db.test") -> tuple[float, list[str]]:
        """Seconds, and the addresses in the order in which they were tried."""
        report, start = Report(), self.clock.now
        address = name if isinstance(name, list) else (name, 5)
        try:
            (await self.dialer.connect(address, report=report)).close()
        except ConnectError:
            pass
        tried = [e.endpoint.sockaddr[0] for e in report.events if isinstance(e, AttemptStarted)]
        return round(self.clock.now - start, 6), [str(each) for each in tried]


def run(
    test: Callable[[Dials], Coroutine[Any, Any, None]], network: FakeNetwork, **options: Any
) -> None:
    clock = VirtualClock()
    clock.run(lambda: test(Dials(network, clock, **options)))


class TestBrokenFamily:
    def test_the_second_dial_goes_by_the_other(self, network: FakeNetwork) -> None:
        """P7: a delay and a round trip at first, and a round trip then."""
        network.add("db.test", V6, outcome="silent")
        network.add("db.test", V4, after=RTT)

        async def test(dial: Dials) -> None:
            assert await dial() == (0.25 + RTT, [V6, V4])
            assert await dial() == (RTT, [V4])
            assert await dial() == (RTT, [V4])

        run(test, network)

    def test_without_a_history_nothing_is_learned(self, network: FakeNetwork) -> None:
        network.add("db.test", V6, outcome="silent")
        network.add("db.test", V4, after=RTT)

        async def test(dial: Dials) -> None:
            assert await dial() == await dial() == (0.25 + RTT, [V6, V4])

        run(test, network, history=None)

    def test_one_without_a_route_too(self, network: FakeNetwork) -> None:
        network.add("db.test", V6, outcome=Outcome(errno.ENETUNREACH, at_once=True))
        network.add("db.test", V4, after=RTT)

        async def test(dial: Dials) -> None:
            assert await dial() == (RTT, [V6, V4])
            assert await dial() == (RTT, [V4])

        run(test, network)

    def test_a_refusal_is_an_answer(self, network: FakeNetwork) -> None:
        network.add("db.test", V6, outcome="refused")
        network.add("db.test", V6B, outcome="silent")
        network.add("db.test", V4, after=RTT)

        async def test(dial: Dials) -> None:
            assert (await dial())[1] == [V6, V4]
            assert (await dial())[1] == [V6, V4]

        run(test, network)

    def test_a_silence_that_is_shorter_than_the_delay_says_nothing(
        self, network: FakeNetwork
    ) -> None:
        network.add("db.test", V6, outcome=[Outcome("connects", RTT), "silent"])
        network.add("db.test", V4, after=RTT)

        async def test(dial: Dials) -> None:
            assert await dial() == (RTT, [V6])
            for _ in range(2):  # silent for its own delay and a round trip
                assert await dial() == (0.12, [V6, V4])

        run(test, network)

    def test_who_says_what_he_prefers_has_it(self, network: FakeNetwork) -> None:
        network.add("db.test", V6, outcome="silent")
        network.add("db.test", V4, after=RTT)

        async def test(dial: Dials) -> None:
            assert await dial() == await dial() == (0.25 + RTT, [V6, V4])

        run(test, network, prefer=socket.AF_INET6)

    def test_after_three_names_for_all_until_it_works(self, network: FakeNetwork) -> None:
        for name in "abcd":
            network.add(f"{name}.test", V6, outcome=["silent"] * 3 + ["connects"])
            network.add(f"{name}.test", V4, after=RTT)
        network.add("six.test", V6B, after=RTT)

        async def test(dial: Dials) -> None:
            for name in "abc":
                assert (await dial(f"{name}.test"))[1] == [V6, V4]
            assert await dial("d.test") == (RTT, [V4])
            assert (await dial("six.test"))[1] == [V6B]  # an address that works
            assert (await dial("d.test"))[1][0] == V6
            assert (await dial("a.test"))[1] == [V4]  # of its own

        run(test, network)

    def test_once_in_ten_minutes_it_is_tried_again(self, network: FakeNetwork) -> None:
        network.add("db.test", V6, outcome=["silent", "connects"])
        network.add("db.test", V4, after=RTT)

        async def test(dial: Dials) -> None:
            await dial()
            assert (await dial())[1] == [V4]
            await anyio.sleep(600)
            assert (await dial())[1] == [V6]
            assert (await dial())[1] == [V6]

        run(test, network)

    def test_what_is_dialled_while_nothing_counts_is_learned_from(
        self, network: FakeNetwork
    ) -> None:
        network.add("db.test", V6, outcome="silent")
        network.add("db.test", V4, after=RTT)

        async def test(dial: Dials) -> None:
            await dial()
            await anyio.sleep(600)
            assert (await dial())[1] == [V6, V4]
            assert (await dial())[1] == [V4]

        run(test, network)


class TestAddresses:
    def test_the_quicker_first(self, network: FakeNetwork) -> None:
        network.add("db.test", V4, after=0.3)
        network.add("db.test", V4B, after=RTT)

        async def test(dial: Dials) -> None:
            assert await dial() == (0.25 + RTT, [V4, V4B])
            assert await dial() == (RTT, [V4B])

        run(test, network)

    def test_its_own_delay(self, network: FakeNetwork) -> None:
        """H4: SRTT + 4 RTTVAR, of one round trip three times that, and 0.1 s at the least."""
        network.add("db.test", V4, outcome=[Outcome("connects", 0.05), "silent"])
        network.add("db.test", V4B, after=RTT)

        async def test(dial: Dials) -> None:
            assert await dial() == (0.05, [V4])
            assert await dial() == (0.17, [V4, V4B])
            assert await dial() == (RTT, [V4B])

        run(test, network)

    def test_one_that_fails_is_as_good_as_one_never_used(self, network: FakeNetwork) -> None:
        network.add("one.test", V4, outcome=["connects", "connects", "refused", "connects"])
        network.add("db.test", V4B, V4)

        async def test(dial: Dials) -> None:
            tried = [(await dial(f"{name}.test"))[1] for name in ("one", "db", "one", "db")]
            assert tried == [[V4], [V4], [V4], [V4B]]

        run(test, network)

    def test_a_list_keeps_its_order_and_teaches(self, network: FakeNetwork) -> None:
        network.add("db.test", V4B, V4, after=RTT)
        tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP)
        results = [(socket.AF_INET, *tcp, "", (host, 5)) for host in (V4, V4B)]

        async def test(dial: Dials) -> None:
            assert (await dial(results))[1] == [V4]
            assert (await dial())[1] == [V4]  # it has been used, and the other has not
            assert (await dial(results[::-1]))[1] == [V4B]

        run(test, network)

    def test_a_name_that_the_resolver_knows_as_well(self, network: FakeNetwork) -> None:
        network.add(None, V4, after=0.3)
        network.add(None, V4B, after=RTT)

        class Knowing:
            def known(self, address: Any) -> list[Endpoint]:
                tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP)
                return [Endpoint(socket.AF_INET, *tcp, (host, 5)) for host in (V4, V4B)]

            resolve = known

        async def test(dial: Dials) -> None:
            assert (await dial())[1] == [V4, V4B]
            assert (await dial())[1] == [V4B]

        run(test, network, resolver=Knowing())

    def test_datagrams_teach_nothing(self, network: FakeNetwork) -> None:
        network.add("db.test", V4, V4B)

        async def test(dial: Dials) -> None:
            for _ in range(2):
                (await dial.dialer.connect("udp://db.test:5")).close()
            assert dial.dialer.history is not None
            assert not dial.dialer.history._observed._addresses

        run(test, network)


class TestNothingIsLearned:
    def test_of_a_dial_that_was_cancelled(self, network: FakeNetwork) -> None:
        network.add("db.test", V6, outcome="silent")
        network.add("db.test", V4, outcome=[Outcome("connects", 9), Outcome("connects", RTT)])

        async def test(dial: Dials) -> None:
            with anyio.move_on_after(5):
                await dial()
            assert (await dial())[1] == [V6, V4]

        run(test, network)

    def test_of_an_address_that_is_not_permitted(self, network: FakeNetwork) -> None:
        network.add("db.test", V6, V4, after=RTT)

        async def test(dial: Dials) -> None:
            assert await dial() == (RTT, [V6, V4])
            open_to_all = dial.dialer.replace(permit=None)
            dial.dialer = open_to_all
            assert (await dial())[1] == [V6]

        run(test, network, permit=lambda endpoint: endpoint.family == socket.AF_INET)

    def test_nor_of_a_dial_of_which_none_is(self, network: FakeNetwork) -> None:
        network.add("db.test", V6, V4)

        async def test(dial: Dials) -> None:
            with pytest.raises(AddressNotPermitted):
                await dial.dialer.connect("db.test", 5)

        run(test, network, permit=lambda _: False)

    def test_in_another_network(self, network: FakeNetwork) -> None:
        network.add("db.test", V6, outcome="silent")
        network.add("db.test", V4, after=RTT)
        places = ["home", "office", "home", "office"]

        async def test(dial: Dials) -> None:
            tried = [(await dial())[1] for _ in range(4)]
            assert tried == [[V6, V4], [V6, V4], [V4], [V4]]

        run(test, network, history=History(network=lambda: places.pop(0)))

    @pytest.mark.parametrize("where", ["raises", "unhashable"])
    def test_in_a_network_that_cannot_be_told(self, network: FakeNetwork, where: str) -> None:
        network.add("db.test", V6, outcome="silent")
        network.add("db.test", V4, after=RTT)

        def network_of() -> Any:
            if where == "raises":
                raise OSError("no idea")
            return []

        async def test(dial: Dials) -> None:
            assert await dial() == await dial() == (0.25 + RTT, [V6, V4])

        run(test, network, history=History(network=network_of))

    def test_after_clear(self, network: FakeNetwork) -> None:
        network.add("db.test", V6, outcome="silent")
        network.add("db.test", V4, after=RTT)

        async def test(dial: Dials) -> None:
            await dial()
            assert dial.dialer.history is not None
            dial.dialer.history.clear()
            assert (await dial())[1] == [V6, V4]

        run(test, network)


class TestHistory:
    def test_dialers_that_share_one_learn_from_each_other(self, network: FakeNetwork) -> None:
        network.add("db.test", V6, outcome="silent")
        network.add("db.test", V4, after=RTT)
        history = History(network=here)

        async def test(dial: Dials) -> None:
            await dial()
            dial.dialer = network.dialer(history=history)
            assert (await dial())[1] == [V4]
            dial.dialer = network.dialer(history=History(network=here))
            assert (await dial())[1] == [V6, V4]

        run(test, network, history=history)

    def test_by_default_the_kernel_is_asked_which_network_it_is(self, monkeypatch: Any) -> None:
        asked: list[None] = []

        def sources() -> tuple[str, None]:
            asked.append(None)
            return "192.0.2.9", None

        monkeypatch.setattr("aconnect.dial.history.source_addresses", sources)
        history = History()
        with VirtualClock() as clock:
            assert history._here() == history._here() == ("192.0.2.9", None)
            assert len(asked) == 1
            clock.advance(5)
            history._here()
        assert len(asked) == 2

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"names": 0}, ValueError, "names must be at least 1, not 0"),
            ({"names": True}, TypeError, "names must be an int, not True"),
            ({"expires": "x"}, TypeError, "expires must be a number of seconds, not 'x'"),
            ({"expires": 0}, ValueError, "expires must be finite and more than 0, not 0"),
            ({"expires": float("nan")}, ValueError, "expires must be finite"),
            ({"network": 5}, TypeError, "network must be callable or None, not 5"),
        ],
    )
    def test_arguments(self, options: Any, error: Any, words: str) -> None:
        with pytest.raises(error, match=words):
            History(**options)

    def test_a_dialer_takes_nothing_else(self) -> None:
        with pytest.raises(TypeError, match="history must be a History or None, not True"):
            Dialer(history=True)  # type: ignore[arg-type]

    def test_repr(self) -> None:
        assert repr(History(5)) == "History(names=5, expires=600.0)"


@pytest.mark.anyio
async def test_on_every_loop(network: FakeNetwork) -> None:
    network.add("db.test", V4, V4B)
    dialer = network.dialer(history=History(network=here))
    for _ in range(2):
        (await dialer.connect("db.test", 5)).close()
    with pytest.raises(ConnectError):
        await dialer.connect("nobody.test", 5)


@pytest.mark.parametrize("where", ["loops", "no loop"])
def test_h1_several_threads_learn_and_go_by_what_they_have_learned(where: str) -> None:
    """Of more names than there is room for, while it is cleared; its bounds hold."""
    most, dials = 4, 40
    history = History(most, network=here)
    wrong: list[BaseException] = []
    with listening(backlog=1024) as listener:
        port = listener.getsockname()[1]
        hosts = [["127.0.0.2", "127.0.0.1"], ["127.0.0.1"], ["127.0.0.2"]]
        names = {f"n{each}.test": hosts[each % 3] for each in range(12)}
        dialer = Dialer(history=history, resolver=StaticResolver(names))

        def connected(number: int) -> bool:
            return number % 12 % 3 != 2  # of those nobody listens

        async def dial(first: int) -> None:
            for each in range(first, first + dials):
                try:
                    sock = await dialer.connect((f"n{each % 12}.test", port), timeout=30)
                except ConnectionRefusedError:
                    assert not connected(each)
                else:
                    sock.close()
                    assert connected(each)
                if each % 17 == 0:
                    history.clear()

        def dial_without(first: int) -> None:
            for each in range(first, first + dials):
                try:
                    blocking.connect(
                        (f"n{each % 12}.test", port), timeout=30, dialer=dialer
                    ).close()
                except ConnectionRefusedError:
                    assert not connected(each)
                else:
                    assert connected(each)

        def run(number: int) -> None:
            try:
                dial_without(number) if where == "no loop" else anyio.run(dial, number)
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=run, args=(each,)) for each in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[0]
    observed = history._observed
    assert len(observed._names) <= most
    assert 0 < len(observed._addresses) <= 4 * most


def test_h1_who_looks_meanwhile_has_a_network(monkeypatch: Any) -> None:
    """In another thread, while the kernel is asked for the first time."""
    history = History()
    seen: list[Any] = []

    def sources() -> tuple[str, None]:
        if not seen:
            seen.append(None)
            seen.append(history._here())
        return "192.0.2.9", None

    monkeypatch.setattr("aconnect.dial.history.source_addresses", sources)
    assert history._here() == ("192.0.2.9", None)
    assert seen[1] == ("192.0.2.9", None)
