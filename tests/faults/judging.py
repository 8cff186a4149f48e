"""All runs of one scene on one loop, and what to think of each.

Rules:

* The calls of a run that goes well are known from one that was recorded; so is what it comes to.
* A fault may be got over: then the run comes to the same.  Else it is the reason that the error
  gives, and the error is of aconnect's kind.
* What failed when nothing depended on it any more must not matter.
* A combination counts if the call has been made and has failed.
"""

from __future__ import annotations

import errno
import gc
import socket
import warnings
from typing import TYPE_CHECKING, Any

from conftest import open_descriptors
from support.faults import GONE

from aconnect import ConnectError, ConnectTimeout, ResolveError

if TYPE_CHECKING:
    from faults.running import Outcome, Runner, When
    from faults.scenes import Scene
    from support.faults import Fault

MOST_HANGS = 3
MOST_TRIES = 20


class Matrix:
    """The runs of one scene on one loop.

    Attributes:
        calls: those of a run without a fault, and the ``kinds`` that must be among them.
        ran: how many combinations there were.
        missed: how many more there were in which the call that was to fail was not made.
        cancelled: how many of those were cancelled before they had ended.
        absorbed: how many came to what they come to without a fault.
        wrong: what was wrong, by the combination.
    """

    def __init__(self, scene: Scene, runner: Runner) -> None:
        self.ran = 0
        self.absorbed = self.cancelled = self.missed = 0
        self._hangs = 0
        self.wrong: dict[tuple[Fault | None, When | None], list[str]] = {}
        self._scene = scene
        self._runner = runner
        self._run(None, None)  # in which libuv and trio open what they keep
        self.baseline = self._run(None, None)
        for _ in range(MOST_TRIES if scene.timed else 0):
            before, self.baseline = self.baseline, self._run(None, None)
            if self.baseline.calls == before.calls:
                break
        self.calls = self.baseline.calls
        self.kinds = scene.kinds
        assert not self.baseline.wrong, self.baseline.wrong
        assert not self.baseline.hung
        assert isinstance(self.baseline.error, ConnectError | None), repr(self.baseline.error)

    def record(self, when: When) -> Outcome:
        """What a run comes to that is cancelled; if time has a say in it, twice the same."""
        outcome = self.try_it(None, when)
        for _ in range(MOST_TRIES if self._scene.timed else 0):
            before, outcome = outcome, self.try_it(None, when)
            if outcome.calls == before.calls and outcome.calls_before == before.calls_before:
                break
        return outcome

    def try_it(self, fault: Fault | None, when: When | None = None) -> Outcome:
        """Run one combination, and see what is wrong."""
        for _ in range(MOST_TRIES if self._scene.timed else 1):
            outcome = self._run(fault, when)
            if fault is None or (self._scene.faults.hit and not self._was_too_slow(outcome)):
                break
        else:
            # On a machine that is busy there may be no time for the call, or for the attempts.
            if not self._scene.timed:
                outcome.wrong.append(f"not hit; the calls were {outcome.calls}")
                self.wrong[fault, when] = outcome.wrong
            self.missed += 1
            return outcome
        self.ran += fault is not None
        if outcome.cancelled:
            self.cancelled += fault is not None
        else:
            outcome.wrong += self._judge(fault, outcome)
            self.absorbed += self._same(outcome)
        if outcome.wrong:
            self.wrong[fault, when] = outcome.wrong
        self._hangs += outcome.hung
        assert self._hangs < MOST_HANGS, self.wrong
        return outcome

    def _was_too_slow(self, outcome: Outcome) -> bool:
        """Whether attempts have run out of time that had enough to do."""
        if not self._scene.spare or not isinstance(outcome.error, ConnectError):
            return False
        return [each.outcome for each in outcome.error.attempts].count("timed out") > 1

    def _run(self, fault: Fault | None, when: When | None) -> Outcome:
        scene, faults = self._scene, self._scene.faults
        scene.renew()
        before = open_descriptors()
        outcome = self._runner.run(fault, when)
        faults.end()
        outcome.wrong += self._look_at_sockets(outcome)
        if outcome.won is not None:
            scene.close(outcome.won)
        outcome.wrong += self._runner.settle()
        left = open_descriptors() - before
        if left:
            outcome.wrong.append(f"left open: descriptors {sorted(left)}")
        outcome.wrong += self._runner.complaints(fault)
        for sock in faults.opened:
            sock.close()  # what is told now need not be told of the next run
        was_wrong = bool(outcome.wrong)
        if was_wrong or (scene.hands_over and fault is not None):
            self._collect(outcome)
            late = self._runner.complaints(fault)
            outcome.wrong += [] if was_wrong else late
        return outcome

    def look_once_more(self) -> None:
        """See what the loop is told when garbage is collected, after all runs."""
        gc.collect()
        self.wrong[None, None] = self._runner.complaints(None)
        if not self.wrong[None, None]:
            del self.wrong[None, None]

    def _collect(self, outcome: Outcome) -> None:
        """Have garbage collected that would be told of in a later run.

        A transport of asyncio's whose making or closing failed is such.  Until it is collected,
        its loop refuses a socket with the number of its own.
        """
        if outcome.error is not None:
            outcome.error.__traceback__ = None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "unclosed transport", ResourceWarning)
            gc.collect()

    def _look_at_sockets(self, outcome: Outcome) -> list[str]:
        """Each is closed once, but for one: and that is connected."""
        scene, wrong = self._scene, []
        opened = [sock for sock in scene.faults.opened if sock.fileno() >= 0]
        if outcome.won is None:
            wrong += [f"still open: {sock!r}" for sock in opened if not scene.hands_over]
        elif len(opened) != 1 and not any(sock.detached for sock in scene.faults.opened):
            wrong.append(f"a connection, and these are open: {opened!r}")
        for sock in opened if outcome.won is not None else ():
            try:
                sock.getpeername()
            except OSError as error:
                wrong.append(f"not connected: {error!r}")
        if not scene.hands_over:
            wrong += [
                f"closed {sock.closes} times: {sock!r}"
                for sock in scene.faults.opened
                if sock not in opened and sock.closes != 1
            ]
        return wrong

    def _same(self, outcome: Outcome) -> bool:
        """Whether it has come to what it comes to without a fault."""
        baseline = self.baseline
        return type(outcome.error) is type(baseline.error) and outcome.code == baseline.code

    def _judge(self, fault: Fault | None, outcome: Outcome) -> list[str]:
        """What is wrong with how a run has ended that nobody has cancelled."""
        if outcome.hung:
            return ["it hangs"]
        error = outcome.error
        if fault is None or self._same(outcome):
            return []
        if error is None:
            return ["it succeeds"]
        said = f"{type(error).__name__}: {error}"
        if _must_not_matter(fault):
            return [f"this must not matter: {said}"]
        if self._scene.spare:
            return [f"one fault has spoilt it all: {said}"]
        if not isinstance(error, ConnectError):
            if self._scene.hands_over and _is_passed_on(error, fault):
                return []
            return [f"raised {said}"]
        expected = _expected(fault)
        if self._runner.takes_eagain and fault.error == errno.EAGAIN:
            expected = {errno.EAGAIN, errno.ENOTCONN}
        return _misleading(error, expected)


def _must_not_matter(fault: Fault) -> bool:
    """Whether all was over when the call was made, or it asked for less than it needs."""
    return fault.call.kind == "close" or fault.call.detail == "SO_LINGER"


def _is_passed_on(error: BaseException, fault: Fault) -> bool:
    """Whether it is what comes of a call that asyncio, trio or anyio has made."""
    if isinstance(error, ValueError):  # anyio's, which says what it has looked for
        return "must be connected" in str(error) and fault.call.kind == "getpeername"
    return isinstance(error, OSError) and error.errno == fault.error


def _misleading(error: ConnectError, expected: set[Any]) -> list[str]:
    """What is wrong with an error that a fault has led to."""
    wrong = []
    code = error.errno
    if code not in expected:
        wrong.append(f"another errno: {error}")
    if code is not None and code > 0 and not isinstance(error, type(OSError(code, ""))):
        wrong.append(f"not of the class of its errno: {error!r}")
    if (code == errno.ETIMEDOUT) != isinstance(error, ConnectTimeout):
        wrong.append(f"a timeout or not: {error!r}")
    if not isinstance(error, ResolveError) and code not in [each.errno for each in error.attempts]:
        wrong.append(f"not what the records say: {error.attempts}")
    return wrong


def _expected(fault: Fault) -> set[Any]:
    """The errnos that a fault may lead to."""
    if fault.error is RuntimeError:
        return {socket.EAI_MEMORY}
    if fault.error is UnicodeError:
        return {socket.EAI_NONAME}
    kind, error = fault.call.kind, fault.error
    if kind in ("send", "recv") and error in GONE:
        return {errno.ECONNRESET}  # the peer has hung up
    if kind == "connect" and error in _STARTED:
        return {error, errno.ENOTCONN}  # it was said to have begun, and has not
    return {error}


_STARTED = {errno.EINPROGRESS, errno.EINTR, errno.EALREADY, errno.EISCONN}
