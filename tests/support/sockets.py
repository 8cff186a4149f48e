"""Sockets that answer what the kernel here cannot be made to answer."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from aconnect.sockets.syscalls import INFO_SIZE, open_socket

if TYPE_CHECKING:
    from aconnect.addresses.values import Endpoint

ESTABLISHED, SYN_SENT, SYN_RECV, CLOSE, CLOSE_WAIT = 1, 2, 3, 7, 8
"""States of TCP, by their numbers in TCP_INFO."""


class ScriptedSocket(socket.socket):
    """A socket whose system calls first give the answers in ``script``.

    ``script`` has a list for each call name: numbers are errnos (0 for success), anything
    else is what the call returns.  When a list is empty, or there is none, the real call is
    made.  ``calls`` is the journal.

    An errno for "getpeername" is answered to whoever asks whether there is a connection, of TCP
    by its state; an address, by whom it is with.  "state" has the first bytes of TCP_INFO.
    """

    script: dict[str, list[Any]]
    calls: list[str]

    def __init__(self, *args: Any, script: dict[str, list[Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.setblocking(False)
        self.script = script
        self.calls = []

    def _answer(self, name: str) -> Any:
        self.calls.append(name)
        answers = self.script.get(name)
        return answers.pop(0) if answers else None

    def connect_ex(self, address: Any) -> int:
        answer = self._answer("connect")
        return super().connect_ex(address) if answer is None else answer

    def getpeername(self) -> Any:
        return self._name("getpeername", super().getpeername)

    def getsockname(self) -> Any:
        return self._name("getsockname", super().getsockname)

    def _name(self, call: str, real: Any) -> Any:
        answer = self._answer(call)
        if answer is None:
            return real()
        if isinstance(answer, int):
            raise OSError(answer, "scripted")
        return answer

    def getsockopt(self, level: int, option: int, *args: Any) -> Any:
        if (level, option, args) == (socket.IPPROTO_TCP, socket.TCP_INFO, (INFO_SIZE,)):
            return self._state()
        if (level, option) != (socket.SOL_SOCKET, socket.SO_ERROR):
            return super().getsockopt(level, option, *args)
        answer = self._answer("so_error")
        return super().getsockopt(level, option) if answer is None else answer

    def _state(self) -> bytes:
        answer = self._answer("state")
        if isinstance(answer, bytes):
            return answer
        names = self.script.get("getpeername")
        if answer is None and names:
            answer = names.pop(0) if isinstance(names[0], int) else bytes([ESTABLISHED])
        if isinstance(answer, int):
            raise OSError(answer, "scripted")
        return answer or super().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)


class SocketFactory:
    """Opens sockets, for `open_with`; keeps what it opened.

    Each call takes the next script; when there are no more, real sockets are opened.
    """

    def __init__(self, *scripts: dict[str, list[Any]], family: int | None = None) -> None:
        self._scripts = list(scripts)
        self._family = family
        self.endpoints: list[Endpoint] = []
        self.opened: list[socket.socket] = []

    def __call__(self, endpoint: Endpoint) -> socket.socket:
        self.endpoints.append(endpoint)
        if not self._scripts:
            sock = open_socket(endpoint)
        else:
            family = endpoint.family if self._family is None else self._family
            sock = ScriptedSocket(family, endpoint.type, script=self._scripts.pop(0))
        self.opened.append(sock)
        return sock


def open_with(monkeypatch: Any, opener: Any) -> None:
    """Have ``opener`` called with an endpoint wherever aconnect would open a socket."""
    monkeypatch.setattr(
        "aconnect.sockets.settings.open_socket", lambda endpoint, _: opener(endpoint)
    )
