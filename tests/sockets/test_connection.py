"""What the system says of a connection."""

from __future__ import annotations

import errno
import socket
from typing import Any

import anyio
import pytest
from support.listeners import LOOPBACK, listening, silent
from support.sockets import ScriptedSocket

from aconnect import ConnectTimeout, Dialer, Report, connect_socket
from aconnect.sockets import connection
from aconnect.sockets.connection import Packets, is_peer, packets
from aconnect.sockets.syscalls import INFO_SIZE, SystemCalls

V6 = ("fe80::1", 80, 0, 2)


class TestIsPeer:
    @pytest.mark.parametrize(
        ("family", "peer", "sockaddr", "same"),
        [
            (socket.AF_INET, ("192.0.2.1", 80), ("192.0.2.1", 80), True),
            (socket.AF_INET, ("192.0.2.1", 80), ("192.0.2.2", 80), False),
            (socket.AF_INET, ("192.0.2.1", 80), ("192.0.2.1", 81), False),
            (socket.AF_INET, ("127.0.0.1", 80), ("0.0.0.0", 80), True),
            (socket.AF_INET, ("127.0.0.1", 80), ("name.example", 80), False),
            (socket.AF_INET6, ("2001:db8::1", 80, 0, 0), ("2001:0db8::0:1", 80), True),
            (socket.AF_INET6, ("2001:db8::1", 80, 0, 0), ("2001:db8::1", 80, 7, 0), True),
            (socket.AF_INET6, V6, V6, True),
            (socket.AF_INET6, V6, ("fe80::1%eth0", 80, 0, 2), True),
            (socket.AF_INET6, V6, ("fe80::1", 80), True),
            (socket.AF_INET6, V6, ("fe80::1", 80, 0, 3), False),
            (socket.AF_UNIX, "/a", "/a", True),
            (socket.AF_UNIX, "/a", b"/a", True),
            (socket.AF_UNIX, b"\0a", "\0a", True),
            (socket.AF_UNIX, "/a", "/b", False),
            (socket.AF_VSOCK, (1, 80), (1, 80), True),
            (socket.AF_VSOCK, (1, 80), (2, 80), False),
        ],
    )
    def test_as_far_as_names_can_tell(
        self, family: int, peer: Any, sockaddr: Any, same: bool
    ) -> None:
        with socket.socket(socket.AF_UNIX) as bare:
            fd = bare.detach()  # a machine need not have VSOCK
        with ScriptedSocket(family, script={"getpeername": [peer]}, fileno=fd) as sock:
            assert is_peer(sock, sockaddr) is same

    def test_without_a_peer_there_is_none(self) -> None:
        with socket.socket() as sock, pytest.raises(OSError, match="not connected") as caught:
            is_peer(sock, ("192.0.2.1", 80))
        assert caught.value.errno == errno.ENOTCONN


class TestPackets:
    def test_of_a_connection(self) -> None:
        with listening() as listener, socket.create_connection(listener.getsockname()) as sock:
            told = packets(sock)
            assert told.resent == 0
            assert told.round_trip is not None
            assert 0 < told.round_trip < 1

    def test_of_an_attempt(self) -> None:
        with socket.socket() as sock:
            assert packets(sock) == Packets()  # nothing has been sent
            with silent() as address:
                sock.setblocking(False)
                sock.connect_ex(address)
                assert packets(sock) == Packets(None, 0)
        assert packets(sock) == Packets()

    @pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
    def test_of_what_is_not_tcp(self, family: int) -> None:
        for type in (socket.SOCK_DGRAM, socket.SOCK_STREAM)[: 1 + (family == socket.AF_UNIX)]:
            with socket.socket(family, type) as sock:
                assert packets(sock) == Packets()

    def test_on_another_platform(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(connection, "_TCP_INFO", None)
        with listening() as listener, socket.create_connection(listener.getsockname()) as sock:
            assert packets(sock) == Packets()

    def test_of_a_kernel_that_tells_less(self) -> None:
        class Old(socket.socket):
            def getsockopt(self, *_: Any) -> Any:
                return bytes(104)

        with Old() as sock:
            assert packets(sock) == Packets()


@pytest.mark.anyio
class TestInRecords:
    async def test_of_what_is_connected(self) -> None:
        with listening() as one, listening() as two:
            for addresses in ([one], [one, two]):
                report = Report()
                found = [
                    (socket.AF_INET, socket.SOCK_STREAM, 6, "", each.getsockname())
                    for each in addresses
                ]
                (await Dialer(trace=report).connect(found)).close()
                assert report.winner is not None
                assert report.winner.resent == 0
                assert report.winner.round_trip is not None

    async def test_of_what_is_not(self) -> None:
        with silent() as address, pytest.raises(ConnectTimeout) as caught:
            await Dialer().connect(address, timeout=0.02)
        [record] = caught.value.attempts
        assert (record.round_trip, record.resent) == (None, 0)
        assert caught.value.report is not None
        assert caught.value.report.attempts[0].resent == 0
        assert "attempt 0: 1 SYN sent, no answer" in str(caught.value.report)
        assert "3 SYNs sent, still no answer" in str(record.replace(resent=2))

    async def test_of_a_callers_socket(self) -> None:
        with silent() as address, socket.socket() as sock:
            sock.setblocking(False)
            with pytest.raises(ConnectTimeout) as caught:
                await connect_socket(sock, address, timeout=0.02)
        assert caught.value.attempts[0].resent == 0

    async def test_of_a_hook_that_takes_all_the_time(self) -> None:
        async def hook(*_: object) -> None:
            await anyio.sleep_forever()

        with pytest.raises(ConnectTimeout) as caught:
            await Dialer(on_socket=hook).connect((LOOPBACK, 1), timeout=0.02)
        assert caught.value.attempts[0].resent is None

    async def test_nobody_listens_and_nothing_is_asked(self) -> None:
        class Counting(ScriptedSocket):
            def getsockopt(self, level: int, option: int, *size: int) -> Any:
                asked.append((level, option, *size))
                return super().getsockopt(level, option, *size)

        asked: list[Any] = []
        with listening() as listener:
            calls = SystemCalls(socket=lambda *kind: Counting(*kind, script={}))
            (await Dialer(system_calls=calls).connect(listener.getsockname())).close()
        assert asked == [(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)]
