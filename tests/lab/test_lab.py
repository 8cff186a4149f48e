"""The lab itself: what it emulates is measured, and nothing gets out of it or is left of it."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import pytest
from lab.support import Lab, Packet, Path
from lab.support.dials import LONG, dial
from lab.support.emulator import Direction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.support import Count, Host, Wan

pytestmark = [pytest.mark.lab, pytest.mark.root]

TESTS = FilePath(__file__).parents[1]
BURST = 10_000


@contextmanager
def two_hosts() -> Iterator[tuple[Lab, Host, Host]]:
    with Lab() as lab:
        yield lab, lab.host("left"), lab.host("right")


class Datagrams:
    """Numbered datagrams from one host to another, and when each arrived."""

    def __init__(self, stack: ExitStack, sender: Host, receiver: Host) -> None:
        self._from = stack.enter_context(sender.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._to = stack.enter_context(receiver.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._to.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
        self._to.bind((receiver.v4, 0))
        self._from.connect(self._to.getsockname())

    def send(self, count: int, size: int = 100) -> None:
        for number in range(count):
            self._from.send(number.to_bytes(4, "big").ljust(size, b"-"))

    def receive(self, count: int) -> list[tuple[int, float]]:
        """The numbers and the times of this many."""
        self._to.settimeout(LONG)
        arrived = []
        for _ in range(count):
            number = int.from_bytes(self._to.recv(2000)[:4], "big")
            arrived.append((number, time.monotonic()))
        return arrived

    def nothing_comes(self, seconds: float) -> bool:
        return not select.select([self._to], [], [], seconds)[0]


def counted(link: Wan, packets: int) -> Count:
    """What became of this many packets that were sent forward, when it is decided."""
    deadline = time.monotonic() + LONG
    while sum(count := link.counts()[0]) < packets:
        assert time.monotonic() < deadline, count
        time.sleep(0.01)
    return count


def test_each_direction_has_its_delay() -> None:
    with two_hosts() as (lab, left, right), ExitStack() as stack:
        lab.wan(left, right, forward=Path(delay=0.02), backward=Path(delay=0.3))
        for sender, receiver, delay in ((left, right, 0.02), (right, left, 0.3)):
            datagrams = Datagrams(stack, sender, receiver)
            took = []
            for _ in range(5):
                start = time.monotonic()
                datagrams.send(1)
                took.append(datagrams.receive(1)[0][1] - start)
            assert min(took) >= delay
            assert statistics.median(took) < delay + 0.25


def test_all_kinds_of_addresses_are_reached(loop: Any) -> None:
    with two_hosts() as (lab, left, right):
        lab.wan(left, right, delay=0.01)
        assert left.device == right.device == "eth0"
        for address in (right.v4, right.v6, f"{right.link_local}%{right.device}"):
            with right.listen(address) as listener:
                port = listener.getsockname()[1]
                target = (address.replace(right.device, left.device), port)
                done = left.run(partial(dial, target), loop)
            assert done.peer[1] == port
            assert 0.02 <= done.elapsed < 5


def test_losses_are_as_likely_as_they_were_meant_to_be() -> None:
    with two_hosts() as (lab, left, right), ExitStack() as stack:
        link = lab.wan(left, right, forward=Path(loss=0.3), seed=7)
        datagrams = Datagrams(stack, left, right)
        datagrams.send(2000)
        carried, lost, full, missed = counted(link, 2000)
        # Four standard deviations: sqrt(2000 * 0.3 * 0.7) is 20.5.
        assert 600 - 82 <= lost <= 600 + 82
        assert (carried, full, missed) == (2000 - lost, 0, 0)
        # What was carried arrives, once, and in order.
        numbers = [number for number, _ in datagrams.receive(carried)]
        assert numbers == sorted(set(numbers))
        assert link.counts()[1] == (0, 0, 0, 0)


def test_a_seed_decides() -> None:
    def fates(seed: int) -> list[bool]:
        direction = Direction(seed)
        direction.set(Path(loss=0.5))
        return [bool(direction.fates(60, 0.0)) for _ in range(64)]

    assert fates(1) == fates(1)
    assert fates(1) != fates(2)


def test_packets_overtake_each_other() -> None:
    with two_hosts() as (lab, left, right), ExitStack() as stack:
        link = lab.wan(left, right, forward=Path(delay=0.1, reorder=0.2))
        datagrams = Datagrams(stack, left, right)
        datagrams.send(500)
        numbers = [number for number, _ in datagrams.receive(500)]
        assert sorted(numbers) == list(range(500))
        # Whoever is late has been overtaken by one with a higher number: most of four hundred.
        overtaken = [number for i, number in enumerate(numbers) if number < max(numbers[: i + 1])]
        assert 300 <= len(overtaken) <= 450
        link.set(forward=Path(delay=0.1))
        datagrams.send(500)
        assert [number for number, _ in datagrams.receive(500)] == list(range(500))


def test_jitter_is_added() -> None:
    with two_hosts() as (lab, left, right), ExitStack() as stack:
        lab.wan(left, right, forward=Path(delay=0.05, jitter=0.1))
        datagrams = Datagrams(stack, left, right)
        start = time.monotonic()
        datagrams.send(200)
        arrived = datagrams.receive(200)
        took = [when - start for _, when in arrived]
        assert min(took) >= 0.05
        # The longest of two hundred is in the upper half, but for one time in 2 ** 200.
        assert max(took) >= 0.1
        assert [number for number, _ in arrived] != sorted(number for number, _ in arrived)


def test_packets_arrive_twice() -> None:
    with two_hosts() as (lab, left, right), ExitStack() as stack:
        lab.wan(left, right, forward=Path(duplicate=1.0))
        datagrams = Datagrams(stack, left, right)
        datagrams.send(3)
        assert [number for number, _ in datagrams.receive(6)] == [0, 0, 1, 1, 2, 2]


def test_a_rate_is_not_exceeded() -> None:
    with two_hosts() as (lab, left, right), ExitStack() as stack:
        lab.wan(left, right, forward=Path(rate=1_000_000, delay=0.05))
        datagrams = Datagrams(stack, left, right)
        start = time.monotonic()
        datagrams.send(50, size=1000)
        arrived = datagrams.receive(50)
        frame = 1000 + 8 + 20 + 14  # UDP, IPv4, Ethernet
        for place, (number, when) in enumerate(arrived):
            assert number == place
            assert when - start >= 0.05 + (place + 1) * frame * 8 / 1_000_000
        assert arrived[-1][1] - start < 5


def test_a_queue_is_full() -> None:
    with two_hosts() as (lab, left, right), ExitStack() as stack:
        # The queue takes a second's worth.
        link = lab.wan(left, right, forward=Path(rate=100_000, queue=12_500))
        datagrams = Datagrams(stack, left, right)
        datagrams.send(50, size=1000)
        count = counted(link, 50)
        # There is room for 11 of 1042 bytes, and for one more when one has left, every 83 ms.
        assert count.carried >= 11
        assert count.full >= 10
        assert len(datagrams.receive(count.carried)) == count.carried


def test_the_first_are_lost_and_the_long() -> None:
    with two_hosts() as (lab, left, right), ExitStack() as stack:
        link = lab.wan(left, right)
        datagrams = Datagrams(stack, left, right)
        link.set(forward=Path(lose_first=3))
        datagrams.send(5)
        numbers = [number for number, _ in datagrams.receive(2)]
        assert numbers == [3, 4]
        link.set(forward=Path(longest=28 + 500))
        datagrams.send(1, size=501)
        datagrams.send(1, size=500)
        datagrams.receive(1)
        assert datagrams.nothing_comes(0.05)
        assert link.counts()[0].lost == 4


def test_a_path_is_changed_while_packets_are_under_way() -> None:
    with two_hosts() as (lab, left, right), ExitStack() as stack:
        link = lab.wan(left, right, forward=Path(delay=0.3))
        datagrams = Datagrams(stack, left, right)
        start = time.monotonic()
        datagrams.send(1)
        counted(link, 1)
        link.set(forward=Path(loss=1.0))
        datagrams.send(1)
        counted(link, 2)
        (_, when), *_ = datagrams.receive(1)
        assert when - start >= 0.3
        assert datagrams.nothing_comes(0.05)
        link.set(forward=Path())
        datagrams.send(1)
        datagrams.receive(1)
        link.set(forward=Path(delay=0.2))
        datagrams.send(1)
        counted(link, 4)
        link.stop()
        datagrams.send(1)
        assert datagrams.nothing_comes(0.4)
        link.set(forward=Path())
        datagrams.send(1)
        datagrams.receive(1)


def test_a_device_goes_down_and_comes_back() -> None:
    with two_hosts() as (lab, left, right), ExitStack() as stack:
        lab.wan(left, right)
        for host in (right, left):
            host.ip("link", "set", host.device, "down")
            host.ip("link", "set", host.device, "up")
        datagrams = Datagrams(stack, left, right)
        datagrams.send(3)  # they wait for ARP, which goes there and back
        assert [number for number, _ in datagrams.receive(3)] == [0, 1, 2]


def test_segments_are_remembered() -> None:
    with two_hosts() as (lab, left, right):
        link = lab.wan(left, right, delay=0.02)
        with right.listen(right.v6) as listener:
            port = listener.getsockname()[1]
            before = time.monotonic()
            done = left.run(partial(dial, (right.v6, port)))
        syn, answer = link.packets()[:2]
        local = done.local[1]
        assert syn == Packet(syn.time, True, True, local, port, 0x02, 6)
        assert answer == Packet(answer.time, False, True, port, local, 0x12, 6)
        assert syn.is_syn
        assert not answer.is_syn
        assert before <= syn.time
        assert answer.time - syn.time >= 0.02
        link.set(forward=Path(loss=1.0))
        left.run(partial(dial, (right.v4, 9), timeout=0.1))
        lost = [packet for packet in link.packets() if packet.destination == 9]
        assert [(packet.carried, packet.family) for packet in lost] == [(False, 4)]
        assert link.packets() == []


def test_a_burst_of_connections_fits() -> None:
    with two_hosts() as (lab, left, right), ExitStack() as stack:
        link = lab.wan(left, right, delay=0.1)
        listener = stack.enter_context(right.listen())
        poll = select.epoll()
        stack.callback(poll.close)
        with left.entered():
            start = time.monotonic()
            for _ in range(BURST):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                assert sock.connect_ex(listener.getsockname()) == errno.EINPROGRESS
                poll.register(sock, select.EPOLLOUT | select.EPOLLONESHOT)
        open_now = 0
        while open_now < BURST:
            events = poll.poll(LONG, BURST)
            assert events, f"{open_now} of {BURST}, {link.counts()}"
            assert all(event == select.EPOLLOUT for _, event in events)
            open_now += len(events)
        assert time.monotonic() - start >= 0.2
        forward, backward = link.counts()
        assert (forward.missed, backward.missed) == (0, 0)
        assert (forward.lost, backward.lost) == (0, 0)
        syns = [packet for packet in link.packets() if packet.is_syn]
        assert len({packet.source for packet in syns}) == BURST


def test_nothing_gets_out() -> None:
    here = socket.if_nameindex()
    with two_hosts() as (lab, left, right):
        lab.wan(left, right)
        lab.wire(left, right)
        assert socket.if_nameindex() == here
        for host in (left, right):
            assert [name for _, name in host.call(socket.if_nameindex)] == ["lo", "eth0", "eth1"]
            for family, address in (("-4", "192.0.2.1"), ("-6", "2001:db8::1")):
                assert "default" not in host.ip(family, "route")
                done = host.run(partial(dial, (address, 80)))
                assert done.failure.errno == errno.ENETUNREACH
    assert socket.if_nameindex() == here


def test_nothing_is_left_of_a_lab_whose_process_was_killed() -> None:
    program = """
        import signal, socket, sys
        sys.path[:0] = sys.argv[1:]
        from lab.support import Lab
        with Lab() as lab:
            link = lab.wan(lab.host("left"), lab.host("right"))
            print(link._process.pid, flush=True)
            signal.pause()
    """
    lines = "\n".join(line[8:] for line in program.splitlines())
    with subprocess.Popen(
        [sys.executable, "-c", lines, str(TESTS)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        emulator = os.pidfd_open(int(process.stdout.readline()))
        try:
            process.send_signal(signal.SIGKILL)
            assert select.select([emulator], [], [], LONG)[0], "the emulator goes on"
        finally:
            os.close(emulator)


def test_a_lab_ends_when_the_test_fails() -> None:
    with pytest.raises(ZeroDivisionError), two_hosts() as (lab, left, right):
        process: Any = lab.wan(left, right)._process
        raise ZeroDivisionError
    assert process.returncode == 0


def test_what_a_program_says_is_in_the_error() -> None:
    with Lab() as lab:
        host = lab.host("alone")
        with pytest.raises(RuntimeError, match="Cannot find device"):
            host.ip("link", "set", "eth9", "up")
        with pytest.raises(RuntimeError, match="syntax error"):
            host.nft("nonsense")
