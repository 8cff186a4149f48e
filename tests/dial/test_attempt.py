"""An attempt carried out; what the tests of aconnect() and the primitives do not reach."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from support.listeners import listening
from support.sockets import ScriptedSocket

from aconnect.addresses.values import Endpoint
from aconnect.dial import attempt as attempts
from aconnect.sansio.attempt import Attempt, Failed, Step
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
    def test_it_agrees_with_the_machine(
        self, connect: int, peer: Any, local: Any, monkeypatch: Any
    ) -> None:
        def script() -> dict[str, list[Any]]:
            return {"connect": [connect], "getpeername": [peer] * 2, "getsockname": [local] * 2}

        monkeypatch.setattr(syscalls, "_SO_INCOMING_CPU", None)
        with ScriptedSocket(script=script()) as quick, ScriptedSocket(script=script()) as sock:
            answer = syscalls.connected_now(quick, tcp(("10.0.0.1", 80)))
            attempt = Attempt(socket.AF_INET, socket.SOCK_STREAM, owned=True)
            action = attempts.advance(attempt, attempt.begin(), sock, ("10.0.0.1", 80))
            if answer is None:
                assert action is Step.CONNECTED
            elif action is Step.CONNECTED:
                # Rarer answers are left to the machine: the shortcut need not know them.
                assert connect not in (0, errno.EINPROGRESS) or peer == errno.ENOTCONN

    def test_a_peer_that_has_not_been_heard_of_is_not_asked_for(self) -> None:
        script = {"connect": [errno.EINPROGRESS], "getpeername": [("10.0.0.1", 80)]}
        with ScriptedSocket(script=script) as sock:
            assert syscalls.connected_now(sock, tcp(("10.0.0.1", 80))) == errno.EINPROGRESS
            assert sock.script["getpeername"]


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
