"""An attempt carried out; what the tests of aconnect() and the primitives do not reach."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from support.listeners import listening
from support.sockets import CLOSE_WAIT, ESTABLISHED, SYN_RECV, ScriptedSocket

from aconnect.addresses.values import Endpoint
from aconnect.dial import attempt as attempts
from aconnect.sansio.attempt import Attempt, Failed, Step, WaitWritable
from aconnect.sockets import syscalls


def tcp(address: Any) -> Endpoint:
    return Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, address)


class TestConnectedNow:
    """The shortcut says what an Attempt would say."""

    def test_connected_at_once(self) -> None:
        with listening() as listener:
            endpoint = tcp(listener.getsockname())
            with syscalls.open_socket(endpoint) as sock:
                assert syscalls.connected_now(sock, endpoint) is None

    @pytest.mark.parametrize("connect", [0, errno.EINPROGRESS, errno.EINTR, errno.EISCONN])
    @pytest.mark.parametrize("peer", [errno.ENOTCONN, ("10.0.0.1", 80)])
    @pytest.mark.parametrize("local", [("10.0.0.1", 80), ("10.0.0.2", 5)])
    def test_it_agrees_with_the_machine(self, connect: int, peer: Any, local: Any) -> None:
        def script() -> dict[str, list[Any]]:
            return {"connect": [connect], "getpeername": [peer] * 2, "getsockname": [local] * 2}

        with ScriptedSocket(script=script()) as quick, ScriptedSocket(script=script()) as sock:
            answer = syscalls.connected_now(quick, tcp(("10.0.0.1", 80)))
            attempt = Attempt(socket.AF_INET, socket.SOCK_STREAM, owned=True)
            action = attempts.advance(attempt, attempt.begin(), sock, ("10.0.0.1", 80))
            if answer is None:
                assert action is Step.CONNECTED
            elif action is Step.CONNECTED:
                # Rarer answers are left to the machine: the shortcut need not know them.
                assert connect not in (0, errno.EINPROGRESS) or peer == errno.ENOTCONN

    def test_a_peer_is_asked_for_once_the_state_is_right(self) -> None:
        """Loopback takes one more call: TCP also says that this is with somebody else."""
        with listening() as listener:
            endpoint = tcp(listener.getsockname())
            with ScriptedSocket(script={}) as sock:
                assert syscalls.connected_now(sock, endpoint) is None
                assert sock.calls == ["connect", "state"]
        with ScriptedSocket(script={"connect": [errno.EINPROGRESS]}) as sock:
            assert syscalls.connected_now(sock, endpoint) == errno.EINPROGRESS
            assert sock.calls == ["connect", "state", "so_error"]

    @pytest.mark.parametrize("state", range(13))
    def test_a_peer_without_a_connection_is_none(self, state: int) -> None:
        """After a simultaneous open there is a peer, and no connection before the last ACK."""
        connected = state in (ESTABLISHED, 4, 5, CLOSE_WAIT, 9, 11)
        address = ("10.0.0.1", 80)

        def script() -> dict[str, list[Any]]:
            return {
                "connect": [errno.EINPROGRESS],
                "state": [bytes([state])],
                "getpeername": [address],
                "getsockname": [("10.0.0.2", 5)],
            }

        with ScriptedSocket(script=script()) as quick, ScriptedSocket(script=script()) as sock:
            answer = syscalls.connected_now(quick, tcp(address))
            assert answer == (None if connected else errno.EINPROGRESS)
            attempt = Attempt(socket.AF_INET, socket.SOCK_STREAM, owned=True)
            action = attempts.advance(attempt, attempt.begin(), sock, address)
            assert action == (Step.CONNECTED if connected else WaitWritable())

    @pytest.mark.parametrize("state", [SYN_RECV, ESTABLISHED])
    def test_after_it_was_waited_for(self, state: int) -> None:
        script: dict[str, list[Any]] = {
            "state": [bytes([state])],
            "getpeername": [("10.0.0.1", 80)],
        }
        with ScriptedSocket(script=script) as sock:
            endpoint = tcp(("10.0.0.1", 80))
            connected = syscalls.connected_after_all(sock, endpoint, 0)
            assert connected is (state == ESTABLISHED)
            assert not syscalls.connected_after_all(sock, endpoint, errno.ECONNREFUSED)

    def test_after_it_was_waited_for_another_kind_is_asked_for_its_peer(self) -> None:
        endpoint = Endpoint(socket.AF_UNIX, socket.SOCK_STREAM, 0, "/a/path")
        here, there = socket.socketpair()
        with here, there, socket.socket(socket.AF_UNIX) as apart:
            assert syscalls.connected_after_all(here, endpoint, 0)
            assert not syscalls.connected_after_all(apart, endpoint, 0)


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "no room in epoll"), errno.ENOSPC),
        (OSError("without errno"), errno.EINVAL),
        (socket.gaierror(socket.EAI_NONAME, "of another numbering"), errno.EINVAL),
    ],
)
def test_errors_that_are_no_answer_of_connect(error: OSError, number: int) -> None:
    assert attempts.failed(error) == Failed(number)
