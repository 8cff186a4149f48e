"""Target: one attempt, on a kernel that has a mind of its own but tells no lies.

Rules:

* The kernel here is a model: it knows in which state its socket is, and answers accordingly.
  What happens to the socket, and when, the fuzzer chooses.
* So the truth is known, and the machine must come to it: connected means connected, but no
  attempt is given up on which the kernel goes on with.
"""

from __future__ import annotations

import errno as errnos
import socket
from errno import (
    EADDRNOTAVAIL,
    EAGAIN,
    EALREADY,
    ECONNREFUSED,
    EINPROGRESS,
    EINTR,
    EISCONN,
    ENOTCONN,
)
from typing import TYPE_CHECKING

from fuzz.reader import Reader

from aconnect.sansio.attempt import (
    MAX_REOPENS,
    RETRY_FIRST,
    RETRY_LONGEST,
    Action,
    Attempt,
    Failed,
    RetryAt,
    Step,
    WaitWritable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["attempt"]

_UNIX = socket.AF_UNIX
_FAMILIES = [socket.AF_INET, socket.AF_INET6, _UNIX, getattr(socket, "AF_VSOCK", 40)]
_TYPES = [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET]
_REFUSALS = [ECONNREFUSED, errnos.EHOSTUNREACH, errnos.ENETUNREACH, errnos.ETIMEDOUT]
_REFUSALS += [errnos.ECONNRESET, errnos.EACCES, errnos.EPERM, errnos.EINVAL]
_GAPS = [0.0, 0.001, 0.05, 1.0, 1e6]
_MOST_STEPS = 200
_ROUNDING = 1e-9


class _Kernel:
    """One socket after the other, as connect(2), getpeername(2) and SO_ERROR know them."""

    def __init__(self, choices: Reader, family: int, type: int, state: str) -> None:
        self.choices = choices
        self.family = family
        self.type = type
        self.state = state  # idle, pending, connected, error
        self.pending_error = 0
        self.to_itself = False
        self.calls = 0
        self.answered: set[int] = set()
        self.at_its_word = False  # connect(2) said 0 of a socket that has no peer

    def open(self) -> None:
        self.state = "idle"
        self.at_its_word = self.to_itself = False

    def connect(self) -> int:
        self.calls += 1
        if self.state == "pending":
            return self._answer(EALREADY)
        if self.state == "connected":
            return self._answer(EISCONN)
        self.state = "idle"
        return self._answer(self._first_call())

    def _first_call(self) -> int:
        internet = self.family in (socket.AF_INET, socket.AF_INET6)
        possible = [0, *_REFUSALS[:2], EAGAIN if internet or self.family == _UNIX else 0]
        if self.type != socket.SOCK_DGRAM and self.family != _UNIX:
            possible += [EINPROGRESS, EINPROGRESS, EINTR]
        if internet:
            possible += [EADDRNOTAVAIL, *_REFUSALS]
        errno = self.choices.choice(possible)
        if errno == 0:
            self.state = "connected"
            if internet and self.choices.byte() > 250:
                self.state, self.at_its_word = "pending", True
        elif errno in (EINPROGRESS, EINTR):
            self.state = "pending"
            self.happen()
        self._maybe_itself()
        return errno

    def happen(self) -> None:
        """Time passes: what is pending may come to an end."""
        if self.state == "pending":
            fate = self.choices.byte()
            if fate % 4 == 1:
                self.state = "connected"
                self._maybe_itself()
            elif fate % 4 == 2:
                self.state = "error"
                self.pending_error = self.choices.choice(_REFUSALS)

    def _maybe_itself(self) -> None:
        self.to_itself = self.state == "connected" and self.choices.byte() > 250

    def getpeername(self) -> int:
        return self._answer(0 if self.state == "connected" else ENOTCONN)

    def so_error(self) -> int:
        if self.state == "error":
            self.state = "idle"
            return self._answer(self.pending_error)
        # Linux says 0 of an attempt that is running; others say that it is.
        running = self.choices.choice([0, 0, EINPROGRESS, EALREADY])
        return self._answer(running if self.state == "pending" else 0)

    def hung_up(self) -> bool:
        return self.state in ("idle", "error")

    def _answer(self, errno: int) -> int:
        self.answered.add(errno)
        return errno


def attempt(data: bytes) -> None:
    """An attempt ends as the kernel's truth has it, or waits for what is pending."""
    choices = Reader(data)
    family, type = choices.choice(_FAMILIES), choices.choice(_TYPES)
    owned, port_fixed = choices.choice([True, False]), choices.choice([False, True])
    resumed = choices.choice([False, True])
    others: Sequence[str] = ("idle",)
    if not owned:
        at_once = family == _UNIX or type == socket.SOCK_DGRAM  # never pending
        others = ("idle", "connected") if at_once else ("idle", "connected", "pending")
    kernel = _Kernel(choices, family, type, choices.choice(others))
    machine = Attempt(family, type, owned=owned, port_fixed=port_fixed)
    action = machine.resume() if resumed else machine.begin()
    now, steps, reopens, unpaused = 1000.0, 0, 0, 0
    since_wait = 0
    while choices.more and steps < _MOST_STEPS:
        steps += 1
        since_wait += 1
        assert since_wait < 12 * (MAX_REOPENS + 1), "it must come to a wait, or to an end"
        if isinstance(action, (RetryAt, WaitWritable)):
            pause = action.when if isinstance(action, RetryAt) else action.not_before
            assert resumed or (kernel.state == "idle") is isinstance(action, RetryAt)
            if pause is None:
                unpaused += 1
                assert unpaused <= 2 * (reopens + 1), "a busy loop"
            else:
                assert RETRY_FIRST - _ROUNDING <= pause - now <= RETRY_LONGEST + _ROUNDING
                now = pause
            now += choices.choice(_GAPS)
            since_wait = 0
            kernel.happen()
        if action is Step.CONNECTED or isinstance(action, Failed):
            break
        if action is Step.REOPEN:
            reopens += 1
            assert owned
            assert not port_fixed
            assert reopens <= MAX_REOPENS
            assert kernel.state != "pending", "the kernel goes on with it"
            kernel.open()
        action = _next(machine, action, kernel, now)
    _comes_to_the_truth(action, machine, kernel, owned)
    if isinstance(action, Failed):
        assert resumed or kernel.at_its_word or action.errno != ENOTCONN, "that is no reason"


def _next(machine: Attempt, action: Action, kernel: _Kernel, now: float) -> Action:
    if action is Step.CONNECT or isinstance(action, RetryAt):
        if kernel.calls and kernel.state != "idle":
            raise AssertionError(f"connect(2) is called again, of a socket that is {kernel.state}")
        return machine.called(kernel.connect(), now)
    if action is Step.PROBE:
        # The two names are compared only where it matters.
        errno = kernel.getpeername()
        return machine.probed(errno, errno == 0 and kernel.to_itself and machine.watch_for_itself)
    if action is Step.INSPECT:
        return machine.inspected(kernel.hung_up(), now)
    if action is Step.REOPEN:
        return machine.begin()
    assert action is Step.READ_ERROR or isinstance(action, WaitWritable)
    return machine.woken(kernel.so_error(), now)


def _comes_to_the_truth(action: Action, machine: Attempt, kernel: _Kernel, owned: bool) -> None:
    if action is Step.CONNECTED:
        assert kernel.state == "connected"
        assert not (kernel.to_itself and machine.watch_for_itself)
    elif isinstance(action, Failed):
        assert action.errno in kernel.answered or action.to_itself
        assert action.errno != 0
        if action.to_itself:
            assert action.errno == ECONNREFUSED
        elif kernel.state == "pending":
            begun = not owned and action.errno == EALREADY
            assert begun or (kernel.at_its_word and action.errno == ENOTCONN)
        elif kernel.state == "connected":
            itself = kernel.to_itself and machine.watch_for_itself
            assert (not owned and action.errno == EISCONN) or itself
