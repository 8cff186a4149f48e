"""Waiting until something is up (B2 to B6), and watching it."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.listeners import listening

from aconnect import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    Deadline,
    HandshakeError,
    ResolveError,
    UnixAddress,
    parse_address,
)
from aconnect.many import Backoff, Result, retry_on, wait_until_up, watch
from aconnect.many.waiting import is_hopeless
from aconnect.testing import FakeNetwork, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

EVEN = Backoff(first=1, factor=2, most=8, jitter=0, least_timeout=5)
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def virtually(main: Callable[[], Any], backend: str) -> Any:
    return VirtualClock().run(main, backend=backend)


def connects(network: FakeNetwork) -> list[float]:
    return [moment for moment, what in network.timeline() if what.startswith("connect")]


# Waiting


@BACKENDS
def test_it_tries_until_it_is_up(backend: str) -> None:
    tried: list[Result] = []

    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", outcome=["refused"] * 3 + ["connects"])
            options: Any = {"dialer": network.dialer(), "backoff": EVEN}
            report = await wait_until_up("192.0.2.1:1", on_result=tried.append, **options)
            assert report.outcome == "connected"
            assert connects(network) == pytest.approx([0, 1, 3, 7], abs=0.01)

    virtually(main, backend)
    assert [result.outcome for result in tried] == ["failed"] * 3 + ["connected"]


@BACKENDS
def test_a_slow_failure_waits_less(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            host = network.add(None, "192.0.2.1")
            host.becomes(["refused", "refused", "connects"], after=1.5)
            await wait_until_up("192.0.2.1:1", dialer=network.dialer(), backoff=EVEN)
            assert connects(network) == pytest.approx([0, 1.5, 3.5], abs=0.01)

    virtually(main, backend)


@BACKENDS
def test_a_try_has_the_least_timeout_or_what_is_left(backend: str) -> None:
    async def main() -> None:
        tried: list[Result] = []
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", outcome="silent")
            options: Any = {"dialer": network.dialer(), "backoff": EVEN}
            with pytest.raises(ConnectTimeout) as caught:
                await wait_until_up("192.0.2.1:1", timeout=12, on_result=tried.append, **options)
        assert [result.seconds for result in tried] == pytest.approx([5, 5, 2], abs=0.01)
        error = caught.value
        assert str(error.strerror) == (
            "192.0.2.1:1 was not up within 12.00 s: 3 tries, "
            "last: ETIMEDOUT: the peer did not answer in time"
        ) or "last: ETIMEDOUT" in str(error)
        assert error.__cause__ is tried[-1].error
        assert error.address == parse_address("192.0.2.1:1")

    virtually(main, backend)


@BACKENDS
def test_the_last_try_comes_shortly_before_the_deadline(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", outcome=["refused"] * 4 + ["connects"])
            options: Any = {"dialer": network.dialer(), "backoff": EVEN}
            await wait_until_up("192.0.2.1:1", deadline=Deadline.after(14), **options)
            assert connects(network) == pytest.approx([0, 1, 3, 7, 13], abs=0.01)

    virtually(main, backend)


@BACKENDS
def test_in_vain(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", outcome="refused")
            options: Any = {"dialer": network.dialer(), "backoff": EVEN}
            with pytest.raises(ConnectTimeout) as caught:
                await wait_until_up("192.0.2.1:1", timeout=5, **options)
            assert "not up within 4.00 s: 4 tries, last: ECONNREFUSED: " in str(caught.value)
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)
            assert caught.value.report is not None
            with pytest.raises(ConnectTimeout, match="1 try, last:"):
                await wait_until_up("192.0.2.1:1", timeout=0, **options)

    virtually(main, backend)


@BACKENDS
def test_it_may_have_to_be_up_for_a_while(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", outcome=["connects", "refused", "connects"])
            options: Any = {"dialer": network.dialer(), "backoff": EVEN}
            await wait_until_up("192.0.2.1:1", steady=3, interval=0.5, **options)
            assert connects(network) == pytest.approx([0, 0.5, 1.5, 2, 2.5], abs=0.01)

    virtually(main, backend)


@BACKENDS
def test_it_may_be_waited_for_the_end(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            host = network.add(None, "192.0.2.1", outcome=["connects"] * 2 + ["refused"])
            options: Any = {"dialer": network.dialer(), "backoff": EVEN, "down": True}
            report = await wait_until_up("192.0.2.1:1", **options)
            assert report.outcome == "failed"
            host.becomes("connects")
            with pytest.raises(ConnectTimeout, match=r"was still up after .* last: connected"):
                await wait_until_up("192.0.2.1:1", timeout=5, **options)

    virtually(main, backend)


@BACKENDS
def test_what_may_yet_come_is_waited_for(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add("db", "192.0.2.1")
            network.resolves("db", outcome=["no such name", "server failure", "answers"])
            options: Any = {"dialer": network.dialer(), "backoff": EVEN}
            await wait_until_up("db:1", **options)
            there = UnixAddress("/there")
            network.add(None, there, outcome=[errno.ENOENT, errno.ECONNREFUSED, "connects"])
            await wait_until_up(there, **options)

    virtually(main, backend)


@BACKENDS
@pytest.mark.parametrize("code", [errno.EACCES, errno.EAFNOSUPPORT, errno.EPERM])
def test_what_no_waiting_can_mend_ends_it_at_once(backend: str, code: int) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add(None, "192.0.2.1", outcome=code)
            dialer = network.dialer()
            with pytest.raises(ConnectError) as caught:
                await wait_until_up("192.0.2.1:1", dialer=dialer)
            assert caught.value.errno == code
            assert len(network.attempts) == 1
            with pytest.raises(ConnectTimeout):
                await wait_until_up("192.0.2.1:1", dialer=dialer, timeout=5, until=lambda _: False)
            with pytest.raises(AddressNotPermitted):
                await wait_until_up("192.0.2.1:1", dialer=dialer.replace(permit=lambda _: False))

    virtually(main, backend)


def test_which_errors_are_hopeless() -> None:
    def handshake(cause: Exception) -> HandshakeError:
        error = HandshakeError(errno.EPROTO, "no", cause=cause)
        error.__cause__ = cause
        return error

    class Refused(OSError):
        status = 407

    certificate = ssl.SSLCertVerificationError(1, "no")
    assert is_hopeless(handshake(certificate))
    assert is_hopeless(handshake(Refused()))
    assert not is_hopeless(handshake(ValueError("starting up")))
    assert not is_hopeless(ResolveError(socket.EAI_NONAME, "no"))
    assert is_hopeless(ResolveError(socket.EAI_FAMILY, "no"))


def test_a_predicate_for_libraries_that_retry() -> None:
    assert retry_on(ConnectError(errno.ECONNREFUSED, "no"))
    assert not retry_on(ConnectError(errno.EACCES, "no"))
    assert not retry_on(OSError(errno.ECONNREFUSED, "no"))


# Several


def two(network: FakeNetwork, first: Any, second: Any) -> dict[str, Any]:
    network.add(None, "192.0.2.1", outcome=first)
    network.add(None, "192.0.2.2", outcome=second)
    return {"dialer": network.dialer(), "backoff": EVEN}


BOTH = ["192.0.2.1:1", "192.0.2.2:1"]


@BACKENDS
def test_all_of_several_have_to_be_up(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            options = two(network, ["refused", "refused", "connects"], ["refused", "connects"])
            reports = await wait_until_up(BOTH, **options)
            assert [report.address for report in reports] == BOTH
            assert connects(network) == pytest.approx([0, 0, 1, 1, 3], abs=0.01)

    virtually(main, backend)


@BACKENDS
def test_or_any_of_them(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            options = two(network, errno.EACCES, ["refused", "connects"])
            report: Any = await wait_until_up(BOTH, any_of=True, **options)
            assert report.address == BOTH[1]

        with FakeNetwork() as network:
            options = two(network, errno.EACCES, errno.EPERM)
            with pytest.raises(ConnectError, match="2 of 2 targets did not come up: ") as caught:
                await wait_until_up(BOTH, any_of=True, **options)
            assert caught.value.errno == errno.EACCES
            assert isinstance(caught.value.__cause__, ExceptionGroup)

    virtually(main, backend)


@BACKENDS
def test_one_that_is_hopeless_ends_the_wait_for_all(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            options = two(network, "silent", errno.EACCES)
            with pytest.raises(PermissionError) as caught:
                await wait_until_up(BOTH, timeout=60, **options)
            assert isinstance(caught.value, ConnectError)
            assert caught.value.errno == errno.EACCES

    virtually(main, backend)


@BACKENDS
def test_in_vain_each_is_named(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            options = two(network, "refused", "silent")
            with pytest.raises(ConnectTimeout, match=r"192.0.2.2:1 was not up within"):
                await wait_until_up(BOTH[1:], timeout=6, **options)
            targets = [*BOTH, *["192.0.2.1:2"] * 4]
            with pytest.raises(ConnectTimeout) as caught:
                await wait_until_up(targets, timeout=6, **options)
            said = str(caught.value)
            assert "6 of 6 targets did not come up: 192.0.2.1:1 was not up within" in said
            assert said.endswith("; and 2 more")
            assert len(caught.value.__cause__.exceptions) == 6

    virtually(main, backend)


@pytest.mark.anyio
async def test_a_cancelled_wait_leaves_nothing(anyio_backend: Any) -> None:
    with listening(backlog=16) as listener, anyio.move_on_after(0.03) as scope:
        address = listener.getsockname()
        await wait_until_up([address, address], steady=100, interval=0.01)
    assert scope.cancelled_caught


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"target": []}, ValueError, "target must not be an empty list"),
        ({"target": "nonsense"}, ValueError, "not an address: 'nonsense'"),
        ({"backoff": 1}, TypeError, "backoff must be a Backoff, not 1"),
        ({"dialer": 1}, TypeError, "dialer must be a Dialer, not 1"),
        ({"handshake": 1}, TypeError, "handshake must be callable or None, not 1"),
        ({"steady": 0}, ValueError, "steady must be 1 or more, not 0"),
        ({"steady": True}, TypeError, "steady must be a whole number, not True"),
        ({"interval": 0.001}, ValueError, "interval must be 0.01 or more seconds"),
        ({"interval": "1"}, TypeError, "interval must be a number of seconds, not '1'"),
        ({"timeout": -1}, ValueError, "timeout must be 0 or more seconds"),
    ],
)
async def test_nonsense_is_refused(
    anyio_backend: Any, arguments: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        await wait_until_up(**{"target": "127.0.0.1:1", **arguments})


# Watching


@BACKENDS
def test_a_try_at_each_interval(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            network.add("db", "192.0.2.1", outcome=["connects", "refused", "connects"])
            async with watch(
                "db:1", interval=0.5, count=3, dialer=network.dialer(), reports=True
            ) as ticks:
                found = [result async for result in ticks]
            assert [result.outcome for result in found] == ["connected", "failed", "connected"]
            assert [result.index for result in found] == [0, 1, 2]
            assert all(result.report for result in found)
            assert connects(network) == pytest.approx([0, 0.5, 1], abs=0.01)
            assert len(network.lookups) == 3

    virtually(main, backend)


@BACKENDS
def test_one_that_takes_long_has_intervals_skipped(backend: str) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            host = network.add(None, "192.0.2.1")
            host.becomes(["connects", "silent", "connects"])
            options: Any = {"interval": 1, "count": 3, "timeout": 2.5}
            async with watch("192.0.2.1:1", dialer=network.dialer(), **options) as ticks:
                found = [result async for result in ticks]
            assert [result.index for result in found] == [0, 1, 3]
            assert connects(network) == pytest.approx([0, 1, 3.5], abs=0.01)

    virtually(main, backend)


@pytest.mark.anyio
async def test_outside_of_its_block_there_is_nothing(anyio_backend: Any) -> None:
    with listening() as listener:
        ticks = watch(listener.getsockname(), interval=0.01)
        with pytest.raises(RuntimeError, match="inside `async with watch"):
            await anext(ticks)
        async with ticks as entered:
            assert (await anext(entered)).connected
        with pytest.raises(RuntimeError, match="inside `async with watch"):
            await anext(ticks)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"target": "nonsense"}, ValueError, "not an address: 'nonsense'"),
        ({"interval": 0}, ValueError, "interval must be 0.01 or more seconds"),
        ({"count": 0}, ValueError, "count must be 1 or more, or None, not 0"),
        ({"count": True}, TypeError, "count must be a whole number or None, not True"),
        ({"timeout": -1}, ValueError, "timeout must be 0 or more seconds"),
        ({"dialer": 1}, TypeError, "dialer must be a Dialer, not 1"),
        ({"handshake": 1}, TypeError, "handshake must be callable or None, not 1"),
    ],
)
def test_nonsense_is_refused_before_it_is_watched(
    arguments: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        watch(**{"target": "127.0.0.1:1", **arguments})
