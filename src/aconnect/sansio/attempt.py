"""One connection attempt on one non-blocking socket, as a pure state machine.

The machine is told what a system call answered and says what to do next.  It does no
I/O and reads no clock, so every branch of it runs on every platform.

Rules:

* The meaning of connect(2)'s errno depends on the socket's family and on who opened
  the socket; never on the exception class that Python would raise, which is the same
  for EINPROGRESS, EALREADY and EAGAIN.  The meanings are the rows of `CONNECT_TABLE`.
* connect(2) is called once for an attempt.  It is called again only where it said that
  nothing was started (a unix listener's full backlog), on a timer, on the same socket.
* Connected means connected: SO_ERROR must be zero after a wake-up, *and* the probe must find a
  connection.  A TCP socket that knows its peer need not have one: after a simultaneous open (a
  SYN of each side) it waits for the end of the handshake.  A socket of which connect(2) has said
  0 need not either: UDP to port 0, or TCP that puts its SYN off (TCP_FASTOPEN_CONNECT).
* A wake-up that brings nothing is waited out with a growing pause: no busy loop.
* A TCP socket that was given its own address as local end has connected to itself.
  That is nobody listening.
* On a socket that others have had, what is running, or connected, may be theirs, and to somewhere
  else: unless connect(2) has said that it starts something, the peer is compared.
* Fresh sockets are asked for at most `MAX_REOPENS` times, and only by an attempt on
  sockets which the attempt's owner opened.

Sources: connect(2), getpeername(2), tcp(7) and unix(7) of Linux, POSIX.1-2017 connect(),
and measurements on Linux 6.18.
"""

from __future__ import annotations

import errno as errnos
import socket
import sys
from enum import Enum
from typing import Final, NamedTuple

from .value import Value

__all__ = [
    "CONNECT_TABLE",
    "MAX_REOPENS",
    "RETRY_FIRST",
    "RETRY_LONGEST",
    "Action",
    "Attempt",
    "ConnectRow",
    "Failed",
    "Meaning",
    "RetryAt",
    "Step",
    "WaitWritable",
    "classify",
]

RETRY_FIRST: Final = 0.001
"""Seconds before a full backlog is tried again.  A server that is merely busy accepts
within about a millisecond; less would be polling."""

RETRY_LONGEST: Final = 0.050
"""The pause doubles up to this.  It bounds what a connect may be late by once the server
accepts again; 20 calls a second cost nothing that can be measured."""

MAX_REOPENS: Final = 2
"""Fresh sockets after the first.  Lack of a local port and self-connection both depend on
the ephemeral port the kernel happened to pick; Go's dialer tries as often."""


class Meaning(Enum):
    """What connect(2)'s answer says about the attempt."""

    CONNECTED = "connected"
    STARTED = "the kernel goes on with it"
    BACKLOG_FULL = "not started: the listener's backlog is full"
    NO_LOCAL_PORT = "not started: no local port was free"
    FAILED = "failed at once"


class ConnectRow(NamedTuple):
    """One row of `CONNECT_TABLE`.

    ``families`` and ``owned`` are None where they do not matter.  ``owned`` is whether
    the socket was opened for this attempt (and may be replaced) or is a caller's.
    """

    errno: str
    families: tuple[str, ...] | None
    owned: bool | None
    meaning: Meaning


_INET = ("AF_INET", "AF_INET6")

CONNECT_TABLE: Final[tuple[ConnectRow, ...]] = (
    ConnectRow("0", None, None, Meaning.CONNECTED),
    ConnectRow("EINPROGRESS", None, None, Meaning.STARTED),
    # Windows' spelling of EINPROGRESS; the name exists nowhere else.
    ConnectRow("WSAEWOULDBLOCK", None, None, Meaning.STARTED),
    # A signal interrupted the call, not the attempt.
    ConnectRow("EINTR", None, None, Meaning.STARTED),
    # On a socket of ours nobody else can have started one, so it is this one.
    ConnectRow("EALREADY", None, True, Meaning.STARTED),
    ConnectRow("EALREADY", None, False, Meaning.FAILED),
    # On a socket of ours it must be this attempt's; the probe has the last word.
    ConnectRow("EISCONN", None, True, Meaning.STARTED),
    ConnectRow("EISCONN", None, False, Meaning.FAILED),
    ConnectRow("EAGAIN", ("AF_UNIX",), None, Meaning.BACKLOG_FULL),
    ConnectRow("EAGAIN", _INET, True, Meaning.NO_LOCAL_PORT),
    ConnectRow("EADDRNOTAVAIL", _INET, True, Meaning.NO_LOCAL_PORT),
)
"""The meaning of each errno of connect(2) on a non-blocking socket.  The first row that
fits counts; an errno without a row that fits is `Meaning.FAILED`."""


_AF_UNIX: Final[int] = getattr(socket, "AF_UNIX", -1)
_INTERNET: Final = frozenset({socket.AF_INET, socket.AF_INET6})
_FAMILIES: Final = {"AF_UNIX": _AF_UNIX, "AF_INET": socket.AF_INET, "AF_INET6": socket.AF_INET6}


def _compile(family: str | None, owned: bool) -> dict[int, Meaning]:
    """The rows that apply to one kind of socket, by this platform's numbers."""
    meanings: dict[int, Meaning] = {}
    for row in CONNECT_TABLE:
        errno = 0 if row.errno == "0" else getattr(errnos, row.errno, None)
        fits = row.families is None or family in row.families
        if errno is not None and fits and row.owned in (None, owned):
            meanings.setdefault(errno, row.meaning)
    return meanings


_MEANINGS: Final = {
    (number, owned): _compile(family, owned)
    for family, number in _FAMILIES.items()
    for owned in (True, False)
}
_OTHER_FAMILY: Final = {owned: _compile(None, owned) for owned in (True, False)}


def _meanings(family: int, owned: bool) -> dict[int, Meaning]:
    return _MEANINGS.get((family, owned)) or _OTHER_FAMILY[owned]


def classify(errno: int, family: int, *, owned: bool) -> Meaning:
    """What connect(2) meant by ``errno``, according to `CONNECT_TABLE`.

    Args:
        errno: what connect_ex() returned; 0 is success.
        family: the socket's address family.
        owned: True for a socket that was opened for this attempt, False for one that
            a caller handed in.
    """
    return _meanings(family, owned).get(errno, Meaning.FAILED)


class Step(Enum):
    """What to do next, where that needs no further detail."""

    CONNECT = "call connect_ex(), then called()"
    PROBE = "see whether it is connected, then probed()"
    READ_ERROR = "read SO_ERROR, then woken()"
    INSPECT = "poll() without waiting, then inspected()"
    REOPEN = "abort the socket, open another like it, then begin()"
    CONNECTED = "done: the socket is connected"


class WaitWritable(Value):
    """Register for writability, wait, read SO_ERROR, unregister, then `Attempt.woken`.

    Attributes:
        not_before: register no earlier than this moment; None for at once.
    """

    not_before: float | None = None


class RetryAt(Value):
    """Wait until ``when`` (do not poll meanwhile), then `Step.CONNECT` again."""

    when: float


class Failed(Value):
    """The attempt is over.

    Attributes:
        errno: why.
        to_itself: the socket was found connected to itself; ``errno`` is ECONNREFUSED.
    """

    errno: int
    to_itself: bool = False


Action = Step | WaitWritable | RetryAt | Failed
"""All that the machine can ask for.  `Step.CONNECTED` and `Failed` are final."""

_WAIT_NOW: Final = WaitWritable()
_STILL_RUNNING: Final = frozenset({errnos.EINPROGRESS, errnos.EALREADY, errnos.EINTR})
_THEIRS: Final = frozenset({errnos.EALREADY, errnos.EISCONN})
# macOS and the BSDs answer EINVAL for a socket whose attempt was reset.
_NO_PEER: Final = frozenset(
    {errnos.ENOTCONN} if sys.platform == "linux" else {errnos.ENOTCONN, errnos.EINVAL}
)


class _State(Enum):
    NEW = "new"
    TAKEN_AT_ITS_WORD = "connect() returned 0"
    STARTED = "started"
    RESUMED = "resumed"
    AWAKE = "awake"


class Attempt:
    """One attempt, from connect(2) to a connected socket or an errno.

    Start with `begin`, or with `resume` for an attempt that somebody else started, and
    carry out what each call returns until it is `Step.CONNECTED` or `Failed`.  Time
    limits are the caller's affair: an attempt can be dropped between any two calls.

    Args:
        family: the socket's address family.
        type: the socket's type.
        owned: True if the socket was opened for this attempt and may be replaced; False
            for a caller's socket, which is never closed.
        port_fixed: the local port was chosen by the user, so another socket would have
            no other port, and a connection to itself is what was asked for.
        lent: somebody else has had the socket, and may have connected it; as a caller has.

    Not thread-safe: an attempt belongs to whoever carries it out.
    """

    # What only the rarer paths change is a class attribute until they do: most attempts end
    # at their first probe.
    _state = _State.NEW
    _pause = 0.0
    _false_alarms = 0
    _reopens = MAX_REOPENS
    _was_itself = False

    errno: int | None = None
    """The last errno of connect(2) that says why the attempt has not got further; None while
    the kernel is at work on it."""

    compare_peer: bool = False
    """Whether each probe has to compare the peer with the address, and to answer EISCONN if it is
    another: this attempt need not be what the socket is connected by."""

    def __init__(
        self, family: int, type: int, *, owned: bool, port_fixed: bool = False, lent: bool = False
    ) -> None:
        self._family = family
        self._type = type
        self._owned = owned
        self._port_fixed = port_fixed
        self._lent = lent or not owned
        self.tcp: bool = type == socket.SOCK_STREAM and family in _INTERNET
        """Whether each probe has to ask TCP for its state: getpeername() is not enough."""
        self.watch_for_itself: bool = self.tcp and not port_fixed
        """Whether getsockname() is to be compared with getpeername() at each probe."""

    @property
    def immediate(self) -> bool:
        """Whether connect(2) always answers at once here: it never says EINPROGRESS."""
        return self._type == socket.SOCK_DGRAM or self._family == _AF_UNIX

    def begin(self) -> Action:
        """Start, on a fresh socket."""
        self._state = _State.NEW
        return Step.CONNECT

    def resume(self) -> Action:
        """Take up whatever attempt is running on the socket already."""
        self._state = _State.RESUMED
        return Step.PROBE

    def called(self, errno: int, now: float) -> Action:
        """connect(2) answered ``errno`` (0 for success) at the moment ``now``."""
        meaning = _meanings(self._family, self._owned).get(errno, Meaning.FAILED)
        # Linux says 0 of TCP that is connected already, the first time after a wait.
        theirs = errno in _THEIRS or (errno == 0 and self.tcp)
        self.compare_peer = self._lent and theirs
        if meaning is Meaning.STARTED:
            self._state = _State.STARTED
            self.errno = None
            return Step.PROBE
        if meaning is Meaning.CONNECTED:
            self._state = _State.TAKEN_AT_ITS_WORD
            return Step.PROBE
        self.errno = errno
        if meaning is Meaning.BACKLOG_FULL:
            return RetryAt(now + self._next_pause())
        if meaning is Meaning.NO_LOCAL_PORT and not self._port_fixed:
            return self._reopen(errno)
        return Failed(errno)

    def probed(self, errno: int, to_itself: bool = False) -> Action:
        """The probe has found a connection, or answered ``errno``; ENOTCONN if there is none yet.

        A connection is what getpeername(2) knows the peer of, and of TCP (`tcp`) what is past its
        handshake: on Linux by the first byte of TCP_INFO, elsewhere if poll(2) finds it writable.

        Args:
            errno: 0 if there is one.
            to_itself: its peer is also what getsockname(2) says (which matters where
                `watch_for_itself` is true).
        """
        if errno == 0:
            if to_itself and self.watch_for_itself:
                self._was_itself = True
                return self._reopen(errnos.ECONNREFUSED)
            return Step.CONNECTED
        if errno not in _NO_PEER:
            return Failed(errno)
        if self._state is _State.STARTED:
            return _WAIT_NOW
        if self._state is _State.AWAKE:
            return Step.INSPECT
        if self._type == socket.SOCK_DGRAM:
            return Failed(errnos.ENOTCONN)
        return Step.READ_ERROR

    def woken(self, so_error: int, now: float) -> Action:
        """The socket turned writable (or was hung up) and SO_ERROR was ``so_error``."""
        if so_error in _STILL_RUNNING:
            self._state = _State.STARTED
            return self._wait_again(now)
        if so_error:
            return Failed(so_error)
        if self._state is _State.TAKEN_AT_ITS_WORD:
            return Failed(errnos.ENOTCONN)
        if self._state is _State.NEW:  # the event loop has called connect(2)
            self.compare_peer = self._lent
        self._state = _State.AWAKE
        return Step.PROBE

    def inspected(self, hung_up: bool, now: float) -> Action:
        """poll(2) said without waiting whether the socket is hung up.

        A socket without error and without peer that is hung up has no attempt running:
        none was started, or somebody took it back.
        """
        if hung_up:
            return Failed(errnos.ENOTCONN)
        return self._wait_again(now)

    def _wait_again(self, now: float) -> WaitWritable:
        # Once without a pause: a wake-up may be lost to a race, but not time after time.
        if self._false_alarms == 0:
            self._false_alarms += 1
            return _WAIT_NOW
        return WaitWritable(now + self._next_pause())

    def _next_pause(self) -> float:
        self._pause = min(max(RETRY_FIRST, self._pause * 2), RETRY_LONGEST)
        return self._pause

    def _reopen(self, errno: int) -> Action:
        if self._owned and self._reopens:
            self._reopens -= 1
            return Step.REOPEN
        if self._was_itself:
            # Whatever the last socket met with, the first has shown that nobody listens.
            return Failed(errnos.ECONNREFUSED, to_itself=True)
        return Failed(errno)
