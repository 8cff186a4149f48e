"""Names that a real name server answers, late, in part, or not at all; through getaddrinfo(3).

Each test has a namespace that holds the name server and who asks it, and nothing else: no
question can get anywhere else.
"""

from __future__ import annotations

import errno
import socket
import time
from contextlib import ExitStack, contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from conftest import wait_for_threads
from lab.name_server import AAAA, SERVFAIL, A, Manner, NameServer, ask_only
from lab.support import Lab, Path
from support.listeners import silent
from support.netns import in_new_network

from aconnect import ConnectError, ConnectTimeout, Dialer, Report, ResolveError, SystemResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path as Directory

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.server]

LONG = 30  # seconds; what takes as long has failed
REFUSED = 5  # an RCODE
SERVER = "127.0.0.53"
MUTE = "127.0.0.54"
"""A name server that never answers."""
NOBODY = "127.0.0.55"
"""Nothing is on its port."""

V4, V6 = "127.0.0.1", "::1"
MANY = [f"127.1.0.{each}" for each in range(1, 101)]
RECORDS = {
    "both.test": [V4, V6],
    "only-v4.test": [V4],
    "only-v6.test": [V6],
    "many.test": MANY,
    "slow.test": [V4, V6],
    "very-slow.test": [V4, V6],
    "late-v6.test": [V4, V6],
    "later-v6.test": [V4, V6],
    "late-v4.test": [V4, V6],
    "mute-v6.test": [V4, V6],
    "failing-v6.test": [V4, V6],
    "failing-v6-no-v4.test": [V6],
}
MANNERS = {
    "slow.test": Manner(delay=0.3),
    "very-slow.test": Manner(delay=2.0),
    "late-v6.test": Manner(delay=0.3, types=(AAAA,)),
    "later-v6.test": Manner(delay=1.5, types=(AAAA,)),
    "late-v4.test": Manner(delay=1.5, types=(A,)),
    "mute.test": Manner(silent=True),
    "mute-v6.test": Manner(silent=True, types=(AAAA,)),
    "failing.test": Manner(error=SERVFAIL),
    "refusing.test": Manner(error=REFUSED),
    "failing-v6.test": Manner(error=SERVFAIL, types=(AAAA,)),
    "failing-v6-no-v4.test": Manner(error=SERVFAIL, types=(AAAA,)),
}
NO_RETRY = ("options timeout:3 attempts:1",)
BOTH_WAYS = SystemResolver(), SystemResolver(by_family=True)


@pytest.fixture
def resolving(loop: Any, tmp_path: Directory) -> Callable[..., Callable[[Any], None]]:
    """What makes a loop for a thread with these lines of /etc/resolv.conf."""
    (tmp_path / "etc").mkdir()

    def with_lines(*lines: str) -> Callable[[Any], None]:
        def run(main: Any) -> None:
            ask_only(tmp_path / "etc", *lines)
            try:
                loop(main)
            finally:
                wait_for_threads()  # they take up what is queued next, and live here

        return run

    return with_lines


@pytest.fixture
def run(resolving: Any, tmp_path: Directory) -> Any:
    """Run an async function of a `NameServer` on a loop, where there is nothing but that."""

    def run_in(main: Any, *lines: str) -> None:
        def body() -> None:
            with NameServer([SERVER], RECORDS, MANNERS, tmp_path) as server:
                resolving(*(lines or (f"nameserver {SERVER}", *NO_RETRY)))(lambda: main(server))

        in_new_network(body)

    return run_in


@contextmanager
def serving() -> Iterator[int]:
    """A port of all addresses on which somebody listens."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        yield listener.getsockname()[1]


class Asking:
    """Dials that keep their reports and the times they took.

    Attributes:
        reports: by address.
        seconds: by address.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.reports: dict[str, Report] = {}
        self.seconds: dict[str, float] = {}

    async def connect(self, address: str, timeout: float = LONG) -> tuple[Any, ...]:
        """The peer's address."""

        def keep(report: Report) -> None:
            self.reports[address] = report

        start = time.monotonic()
        try:
            dialer = Dialer(on_report=keep, **self.options)
            with await dialer.connect(address, timeout=timeout) as sock:
                peer: tuple[Any, ...] = sock.getpeername()
                return peer
        finally:
            self.seconds[address] = time.monotonic() - start

    async def failure(self, address: str, timeout: float = LONG) -> ConnectError:
        with pytest.raises(ConnectError) as caught:
            await self.connect(address, timeout)
        return caught.value


async def all_of(*calls: Callable[[], Any]) -> None:
    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(call)


def assert_unresolved(error: ConnectError, code: int, report: Report) -> None:
    assert isinstance(error, ResolveError)
    assert isinstance(error, socket.gaierror)
    assert error.errno == code
    assert error.phase == "resolve"
    assert error.attempts == ()
    assert report.outcome == "failed"
    assert report.attempts == ()
    assert report.resolution is not None
    assert (report.resolution.outcome, report.resolution.errno) == ("failed", code)
    told = report.to_dict()
    assert (told["errno"], told["phase"], told["slowest_phase"]) == (code, "resolve", "resolve")


def test_which_families_a_name_has(run: Any) -> None:
    names = {"both.test": {V4, V6}, "only-v4.test": {V4}, "only-v6.test": {V6}}

    async def main(server: NameServer) -> None:
        for resolver in BOTH_WAYS:
            for name, peers in names.items():
                server.questions.clear()
                asking = Asking(resolver=resolver)
                with serving() as port:
                    peer = await asking.connect(f"{name}:{port}")
                assert peer[0] == (V6 if V6 in peers else V4)
                report: Any = asking.reports[f"{name}:{port}"]
                # With each family for itself, one may win before the other is there.
                found = {endpoint.sockaddr[0] for endpoint in report.resolution.endpoints}
                assert peer[0] in found
                assert found <= peers
                if not resolver.by_family:
                    assert found == peers
                    assert server.types_asked(name) == [A, AAAA]
                assert report.winner.peer.startswith("[::1]" if peer[0] == V6 else V4)

    run(main)


def test_names_without_an_address(run: Any) -> None:
    names = {
        "nobody.test": ("EAI_NONAME", False),  # NXDOMAIN
        "failing.test": ("EAI_AGAIN", True),  # SERVFAIL
        "refusing.test": ("EAI_AGAIN", True),  # REFUSED
        "db.example": ("EAI_AGAIN", True),  # the same, of dnsmasq's own
    }

    async def main(server: NameServer) -> None:
        for resolver in BOTH_WAYS:
            for name, (code, transient) in names.items():
                server.questions.clear()
                asking = Asking(resolver=resolver)
                error = await asking.failure(f"{name}:1")
                assert_unresolved(error, getattr(socket, code), asking.reports[f"{name}:1"])
                assert error.transient is transient
                assert f"could not resolve {name}:1" in str(error)
                assert code in str(error)
                assert server.types_asked(name) == [A, AAAA]

    run(main)


def test_one_family_fails(run: Any) -> None:
    """That is no failure if the other has an address, and a passing one if it has none.

    Asked for both at once, glibc says of the latter that there is no address, which is not known.
    """

    async def main(server: NameServer) -> None:
        together, apart = Asking(), Asking(resolver=SystemResolver(by_family=True))
        with serving() as port:
            for asking in (together, apart):
                assert (await asking.connect(f"failing-v6.test:{port}"))[0] == V4
        for asking, code in ((together, socket.EAI_NODATA), (apart, socket.EAI_AGAIN)):
            error = await asking.failure("failing-v6-no-v4.test:1")
            assert_unresolved(error, code, asking.reports["failing-v6-no-v4.test:1"])
            assert error.transient is (code == socket.EAI_AGAIN)

    run(main)


def test_slow_answers_and_none(run: Any) -> None:
    """All at once: nobody waits for another's name server, and literal addresses for none."""

    async def main(server: NameServer) -> None:
        await all_of(*(lambda each=each: ask_slowly(each, server) for each in BOTH_WAYS))
        # What the network saw: two questions for each lookup, and none of them again.  Who was
        # cancelled had shared the lookup of another.
        assert server.types_asked("mute.test") == [A] * 4 + [AAAA] * 4

    run(main)


async def ask_slowly(resolver: SystemResolver, server: NameServer) -> None:
    asking = Asking(resolver=resolver)
    errors: dict[str, ConnectError] = {}
    with serving() as port:
        slow, very_slow, quick, literal, mute, hurried = (
            f"{host}:{port}"
            for host in ("slow.test", "very-slow.test", "both.test", V4, "mute.test", "Mute.test")
        )

        async def connects(address: str) -> None:
            await asking.connect(address)

        async def fails(address: str, timeout: float = LONG) -> None:
            errors[address] = await asking.failure(address, timeout)

        async def cancelled() -> None:
            with anyio.move_on_after(0.1) as scope:
                await Asking(resolver=resolver).connect(mute)
            assert scope.cancelled_caught

        await all_of(
            *(lambda each=each: connects(each) for each in (slow, very_slow, quick, literal)),
            lambda: fails(mute),
            lambda: fails(hurried, 0.4),
            cancelled,
        )
    reports, seconds = asking.reports, asking.seconds
    assert seconds[slow] >= 0.3
    assert reports[slow].resolve_seconds >= 0.3
    assert seconds[very_slow] >= 2.0
    assert reports[very_slow].slowest_phase == "resolve"
    assert seconds[literal] < seconds[very_slow]
    assert reports[literal].resolution is None
    assert seconds[quick] < seconds[very_slow]

    error = errors[mute]
    assert_unresolved(error, socket.EAI_AGAIN, reports[mute])
    assert error.transient
    assert "no name server gave a usable answer" in str(error)
    assert error.elapsed >= 2.99  # glibc's clock and ours are not the same

    error = errors[hurried]
    assert isinstance(error, ConnectTimeout)
    assert (error.errno, error.phase, error.attempts) == (errno.ETIMEDOUT, "resolve", ())
    assert error.elapsed >= 0.4
    assert seconds[hurried] < seconds[mute]
    assert reports[hurried].outcome == "timed out"
    resolution = reports[hurried].resolution
    assert resolution is not None
    assert resolution.outcome == "timed out"


@pytest.mark.slow
def test_a_server_that_is_far_away(resolving: Any, tmp_path: Directory) -> None:
    """A question takes as long as the way; lost, it is asked again; with no way, it fails."""
    with Lab() as lab, ExitStack() as stack:
        client, far = lab.host("client"), lab.host("server")
        link = lab.wan(client, far, delay=0.1)
        host = far.v6
        records = {"far.test": [far.v4, far.v6]}
        with far.entered():
            server = stack.enter_context(NameServer([host], records, {}, tmp_path))
        port = stack.enter_context(far.listen("::")).getsockname()[1]
        address = f"far.test:{port}"

        async def main() -> None:
            asking = Asking()
            assert (await asking.connect(address))[0] == far.v6
            report: Any = asking.reports[address]
            assert report.resolve_seconds >= 0.2
            assert report.phase_seconds["connect"] >= 0.2
            assert server.types_asked("far.test") == [A, AAAA]

            link.set(forward=Path(delay=0.1, lose_first=2))
            await asking.connect(address)
            assert asking.reports[address].resolve_seconds >= 1.19
            assert server.types_asked("far.test") == [A, A, AAAA, AAAA]

            link.stop()
            error = await asking.failure(address)
            assert_unresolved(error, socket.EAI_AGAIN, asking.reports[address])
            assert error.transient
            assert error.elapsed >= 1.99
            assert server.types_asked("far.test") == [A, A, AAAA, AAAA]

        client.run(main, resolving(f"nameserver {host}", "options timeout:1 attempts:2"))


def test_another_server_is_asked(run: Any) -> None:
    """getaddrinfo(3) goes on to the next line: at once where the port is closed, else in time."""

    async def main(server: NameServer) -> None:
        start = time.monotonic()
        with (
            serving() as port,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute,
        ):
            mute.bind((MUTE, 53))
            mute.setblocking(False)
            asking = Asking(family=socket.AF_INET)
            assert (await asking.connect(f"both.test:{port}"))[0] == V4
            assert mute.recv(512)  # was asked, and said nothing
        report = asking.reports[f"both.test:{port}"]
        assert report.resolve_seconds >= 0.99
        assert server.first_asked("both.test") - start >= 0.99
        assert report.phase_seconds["resolve"] >= 0.99

    lines = (f"nameserver {NOBODY}", f"nameserver {MUTE}", f"nameserver {SERVER}")
    run(main, *lines, "options timeout:1 attempts:1")


@pytest.mark.parametrize("where", [NOBODY, "192.0.2.53"], ids=["closed", "unreachable"])
def test_a_server_that_cannot_be_asked(run: Any, where: str) -> None:
    """The system says so at once, and asking again makes no difference."""

    async def main(server: NameServer) -> None:
        for resolver in BOTH_WAYS:
            asking = Asking(resolver=resolver)
            error = await asking.failure("both.test:1")
            assert_unresolved(error, socket.EAI_AGAIN, asking.reports["both.test:1"])
            assert error.transient
            assert error.elapsed < 20  # two attempts of 20 seconds were not needed
        assert not server.questions

    run(main, f"nameserver {where}", "options timeout:20 attempts:2")


def test_ipv6_addresses_that_are_late(run: Any) -> None:
    """The resolution delay: IPv4 waits for it, and for no longer; together, it waits for all."""

    async def main(server: NameServer) -> None:
        apart = SystemResolver(by_family=True)
        short, patient = Asking(resolver=apart), Asking(resolver=apart, resolution_delay=2.0)
        together = Asking()
        with serving() as port:
            later, late = f"later-v6.test:{port}", f"late-v6.test:{port}"
            v4_late = f"late-v4.test:{port}"

            async def connects(asking: Asking, address: str, peer: str) -> None:
                assert (await asking.connect(address))[0] == peer

            await all_of(
                lambda: connects(short, later, V4),
                lambda: connects(patient, late, V6),
                lambda: connects(together, later, V6),
                lambda: connects(short, v4_late, V6),
            )
        # IPv6 took 1.5 s: IPv4 has waited for 50 ms, and has won before it came.
        report: Any = short.reports[later]
        ((answered, (only,)),) = report.resolution.batches[-1:]
        assert only.sockaddr[0] == V4
        assert report.winner.start - answered >= 0.0499
        assert report.resolution.outcome == "cancelled"
        assert short.seconds[later] < together.seconds[later]
        assert together.seconds[later] >= 1.5
        # IPv6 took 0.3 s, and 2 s were granted: it came first after all, and at once.
        report = patient.reports[late]
        assert report.winner.place == 0
        assert 0.3 <= report.winner.start < 2.0
        # IPv4 is not waited for.
        assert short.seconds[v4_late] < together.seconds[later]
        assert short.reports[v4_late].resolution.outcome == "cancelled"  # type: ignore[union-attr]

    run(main)


def test_late_addresses_join_the_race(run: Any) -> None:
    """IPv4 has begun and gets no answer; IPv6 comes, and wins."""

    async def main(server: NameServer) -> None:
        asking = Asking(resolver=SystemResolver(by_family=True), attempt_delay=0.1)
        with silent() as (_, port), socket.socket(socket.AF_INET6) as listener:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((V6, port))
            listener.listen()
            address = f"late-v6.test:{port}"
            assert (await asking.connect(address))[0] == V6
        first, second = asking.reports[address].attempts
        assert (first.endpoint.family, first.outcome) == (socket.AF_INET, "cancelled")
        assert first.start < second.start
        assert second.won
        assert second.start >= 0.3

    run(main)


@pytest.mark.slow
def test_ipv6_is_never_answered(run: Any) -> None:
    """Asked for apart, IPv4 goes on without it; together, neither comes in time."""

    async def main(server: NameServer) -> None:
        together, apart = Asking(), Asking(resolver=SystemResolver(by_family=True))
        with serving() as port:
            address = f"mute-v6.test:{port}"
            assert (await apart.connect(address))[0] == V4
            error = await together.failure(address, 0.5)
        assert isinstance(error, ConnectTimeout)
        assert error.phase == "resolve"
        assert error.elapsed >= 0.5
        report: Any = apart.reports[address]
        assert report.winner.start >= 0.05
        assert report.resolution.outcome == "cancelled"
        # One question for A at least has been answered each time.
        assert server.types_asked("mute-v6.test").count(A) >= 2

    run(main, f"nameserver {SERVER}", "options timeout:1 attempts:1")


@pytest.mark.parametrize("resolver", BOTH_WAYS, ids=["together", "by-family"])
def test_a_hundred_addresses_that_refuse(run: Any, resolver: Any) -> None:
    """They come over TCP, as they fit into no datagram; each is tried, without a pause."""

    async def main(server: NameServer) -> None:
        asking = Asking(resolver=resolver)
        error = await asking.failure("many.test:9")
        assert isinstance(error, ConnectionRefusedError)
        assert [record.errno for record in error.attempts] == [errno.ECONNREFUSED] * 100
        assert {record.sockaddr[0] for record in error.attempts if record.sockaddr} == {*MANY}
        assert isinstance(error.__cause__, ExceptionGroup)
        assert len(error.__cause__.exceptions) == 4
        assert str(error).endswith("and 96 more")
        assert {each.over_tcp for each in server.questions if each.type == A} == {False, True}
        report: Any = asking.reports["many.test:9"]
        ((answered, _),) = (batch for batch in report.resolution.batches if batch[1])
        assert report.attempts[0].start >= answered
        assert report.elapsed < 0.98  # with a pause of 10 ms each it was more
        told = report.to_dict()
        assert len(told["attempts"]) == 100
        assert told["untried"] == 0
        assert all(each["closed"] is not None for each in told["attempts"])

    run(main)


def test_a_hundred_addresses_that_are_silent(run: Any) -> None:
    """As many as may be in flight are, and no more, with a time of their own or without."""

    async def main(server: NameServer) -> None:
        with silent("0.0.0.0") as (_, port):  # of all that is 127.0.0.0/8
            address = f"many.test:{port}"
            forever = Asking(attempt_delay=0.01)
            impatient = Asking(attempt_delay=0.01, max_in_flight=3, attempt_timeout=0.1)
            errors: list[ConnectError] = []

            async def fails(asking: Asking) -> None:
                errors.append(await asking.failure(address, 0.8))

            await all_of(lambda: fails(forever), lambda: fails(impatient))
        for error in errors:
            assert isinstance(error, ConnectTimeout)
            assert error.phase == "connect"
            assert error.elapsed >= 0.8
        assert len(forever.reports[address].attempts) == 6
        assert forever.reports[address].to_dict()["untried"] == 94
        attempts = impatient.reports[address].attempts
        # Three at a time, each for 0.1 s.
        assert 3 < len(attempts) <= 3 * 9
        assert most_at_once(attempts) == 3
        assert {each.outcome for each in attempts} == {"timed out"}

    run(main)


def most_at_once(attempts: Any) -> int:
    changes = sorted(
        [(each.start, 1) for each in attempts] + [(each.end, -1) for each in attempts]
    )
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


def test_one_of_a_hundred_listens(run: Any) -> None:
    async def main(server: NameServer) -> None:
        asking = Asking(attempt_delay=None)
        with socket.create_server((MANY[70], 0)) as listener:
            port = listener.getsockname()[1]
            address = f"many.test:{port}"
            assert await asking.connect(address) == (MANY[70], port)
        *refused, won = asking.reports[address].attempts
        assert won.won
        assert {each.errno for each in refused} <= {errno.ECONNREFUSED}
        assert asking.reports[address].to_dict()["untried"] == 100 - len(refused) - 1

    run(main)


SPELLINGS = [
    "{}{}{}{}.{}est".format(*letters) for letters in product(*zip("mutet", "MUTET", strict=True))
]
"""One name to the server, and 32 to what shares lookups."""


@pytest.mark.slow
def test_more_dead_lookups_than_threads(run: Any) -> None:
    """A dead server holds a thread for each name; the next name waits, a literal does not."""

    async def main(server: NameServer) -> None:
        asking = Asking()
        with serving() as port:
            literal, name = f"{V4}:{port}", f"both.test:{port}"

            async def fails(name: str) -> None:
                error = await Asking().failure(f"{name}:1")
                assert error.errno == socket.EAI_AGAIN

            async def connects(address: str) -> None:
                await anyio.lowlevel.checkpoint()
                await asking.connect(address)

            start = time.monotonic()
            await all_of(
                *(lambda each=each: fails(each) for each in SPELLINGS),
                lambda: connects(literal),
                lambda: connects(name),
            )
            assert server.first_asked("both.test") - start >= 0.99
        assert asking.seconds[literal] < asking.seconds[name]
        assert server.types_asked("mute.test") == [A] * 32 + [AAAA] * 32

    run(main, f"nameserver {SERVER}", "options timeout:1 attempts:1")
