"""An attempt carried out; what the tests of aconnect() and the primitives do not reach."""

from __future__ import annotations

import errno
import socket
from typing import Any
from unittest.mock import ANY

import pytest
from support.listeners import LOOPBACK, listening
from support.sockets import ScriptedSocket, SocketFactory

from aconnect import attempts, syscalls
from aconnect.addresses import Endpoint
from aconnect.sansio.attempt import Attempt, Failed, Step


def tcp(address: Any) -> Endpoint:
    return Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, address)


class TestBegin:
    """The shortcut says what an Attempt would say."""

    def test_connected_at_once(self) -> None:
        with listening() as listener:
            sock = syscalls.begin(tcp(listener.getsockname()))
            assert isinstance(sock, socket.socket)
            sock.close()

    @pytest.mark.parametrize("connect", [0, errno.EINPROGRESS, errno.EINTR, errno.EISCONN])
    @pytest.mark.parametrize("peer", [errno.ENOTCONN, ("10.0.0.1", 80)])
    @pytest.mark.parametrize("local", [("10.0.0.1", 80), ("10.0.0.2", 5)])
    def test_it_agrees_with_the_machine(
        self, connect: int, peer: Any, local: Any, monkeypatch: Any
    ) -> None:
        def script() -> dict[str, list[Any]]:
            return {"connect": [connect], "getpeername": [peer] * 2, "getsockname": [local] * 2}

        monkeypatch.setattr(syscalls, "_SO_INCOMING_CPU", None)
        monkeypatch.setattr(syscalls, "open_socket", factory := SocketFactory(script()))
        begun = syscalls.begin(tcp(("10.0.0.1", 80)))
        with factory.opened[0], ScriptedSocket(script=script()) as sock:
            attempt = Attempt(socket.AF_INET, socket.SOCK_STREAM, owned=True)
            action = attempts.advance(attempt, attempt.begin(), sock, ("10.0.0.1", 80))
            if isinstance(begun, socket.socket):
                assert action is Step.CONNECTED
            elif action is Step.CONNECTED:
                # Rarer answers are left to the machine: the shortcut need not know them.
                assert connect not in (0, errno.EINPROGRESS) or peer == errno.ENOTCONN

    def test_a_peer_that_has_not_been_heard_of_is_not_asked_for(self, monkeypatch: Any) -> None:
        script = {"connect": [errno.EINPROGRESS], "getpeername": [("10.0.0.1", 80)]}
        monkeypatch.setattr(syscalls, "open_socket", factory := SocketFactory(script))
        begun = syscalls.begin(tcp(("10.0.0.1", 80)))
        assert begun == syscalls.Begun(factory.opened[0], errno.EINPROGRESS, ANY)
        assert factory.opened[0].script["getpeername"]
        factory.opened[0].close()

    def test_no_socket(self, monkeypatch: Any) -> None:
        def fail(endpoint: Any) -> Any:
            raise OSError(errno.EMFILE, "scripted")

        monkeypatch.setattr(syscalls, "open_socket", fail)
        assert syscalls.begin(tcp((LOOPBACK, 1))) is None


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
