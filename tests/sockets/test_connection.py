"""What the system says of a connection."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from support.sockets import ScriptedSocket

from aconnect.sockets.connection import is_peer

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
        with ScriptedSocket(script={"getpeername": [errno.ENOTCONN]}) as sock:
            assert not is_peer(sock, ("192.0.2.1", 80))
