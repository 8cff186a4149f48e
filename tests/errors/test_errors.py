"""What connecting raises: its class, its words, its parts; pickled and copied as well."""

from __future__ import annotations

import copy
import errno as errnos
import gc
import pickle
import re
import socket
import ssl
import traceback
import weakref
from errno import (
    EACCES,
    EAGAIN,
    ECONNREFUSED,
    EHOSTUNREACH,
    EMFILE,
    ENETUNREACH,
    ENOENT,
    EPROTO,
    ETIMEDOUT,
)
from socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    EAI_AGAIN,
    EAI_MEMORY,
    EAI_NONAME,
    IPPROTO_TCP,
    SOCK_DGRAM,
    SOCK_STREAM,
)
from typing import TYPE_CHECKING, Any

import pytest

from aconnect import (
    AttemptRecord,
    ConnectError,
    ConnectTimeout,
    HandshakeError,
    ResolveError,
    TCPAddress,
    UDPAddress,
    UnixAddress,
    explain,
)
from aconnect.addresses.target import Target, target_of
from aconnect.addresses.values import Endpoint
from aconnect.errors.making import attempts_error, resolve_error, resolve_timeout
from aconnect.report.attempt import OWN_TIME

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL_ERRNOS = sorted(errnos.errorcode)


class PlainError(ConnectError):
    """What a user may derive."""


class ServerError(ConnectError):
    """What a user may derive, with more to say."""

    def __init__(self, errno: int, message: str, *, server: str, **more: Any) -> None:
        super().__init__(errno, message, **more)
        self.server = server


class SlowError(ConnectTimeout):
    """What a user may derive."""


def record(
    errno: int | None = ECONNREFUSED,
    outcome: Any = "failed",
    *,
    sockaddr: Any = ("127.0.0.1", 80),
    local: Any = None,
    family: int = AF_INET,
    start: float = 10.0,
    end: float = 10.001,
    note: str = "",
    phase: Any = "connect",
) -> AttemptRecord:
    return AttemptRecord(
        family=family,
        type=SOCK_STREAM,
        sockaddr=sockaddr,
        local_address=local,
        start=start,
        end=end,
        outcome=outcome,
        errno=errno,
        note=note,
        phase=phase,
    )


SIX: dict[str, Any] = {"sockaddr": ("::1", 80, 0, 0), "family": AF_INET6}
UNIX: dict[str, Any] = {"sockaddr": "/run/x", "family": AF_UNIX}


# -------------------------------------------------------------------------------- classes


@pytest.mark.parametrize("kind", [ConnectError, PlainError, SlowError, ResolveError])
def test_for_every_errno_it_is_what_an_oserror_would_be(kind: type[ConnectError]) -> None:
    for errno in ALL_ERRNOS:
        error = kind(errno, "the message")
        assert isinstance(error, type(OSError(errno, ""))), errnos.errorcode[errno]
        assert isinstance(error, kind)
        assert isinstance(error, ConnectError)
        assert isinstance(error, OSError)
        assert error.args == (errno, "the message")
        assert (error.errno, error.strerror) == error.args
        assert str(error) == f"[Errno {errno}] the message"
        named = ConnectTimeout if (kind, errno) == (ConnectError, ETIMEDOUT) else kind
        assert type(error).__name__ == named.__name__
        assert type(error).__module__ == named.__module__
        assert type(error).__doc__ == named.__doc__


@pytest.mark.parametrize(
    ("errno", "builtin"),
    [
        (errnos.EAGAIN, BlockingIOError),
        (errnos.EALREADY, BlockingIOError),
        (errnos.EINPROGRESS, BlockingIOError),
        (errnos.EACCES, PermissionError),
        (errnos.EPERM, PermissionError),
        (errnos.ENOENT, FileNotFoundError),
        (errnos.ENOTDIR, NotADirectoryError),
        (errnos.ECONNREFUSED, ConnectionRefusedError),
        (errnos.ECONNRESET, ConnectionResetError),
        (errnos.ECONNABORTED, ConnectionAbortedError),
        (errnos.EPIPE, BrokenPipeError),
        (errnos.EINTR, InterruptedError),
        (errnos.ETIMEDOUT, TimeoutError),
    ],
)
def test_the_classes_that_are_caught_by_name(errno: int, builtin: type[OSError]) -> None:
    with pytest.raises(builtin):
        raise ConnectError(errno, "")
    with pytest.raises(ConnectError):
        raise ConnectError(errno, "")


def test_etimedout_is_a_timeout_and_nothing_else_is() -> None:
    assert type(ConnectError(ETIMEDOUT, "")) is ConnectTimeout
    timeouts = [e for e in ALL_ERRNOS if isinstance(ConnectError(e, ""), ConnectTimeout)]
    assert timeouts == [ETIMEDOUT]
    assert issubclass(ConnectTimeout, TimeoutError)


def test_a_class_of_the_users_stays_that_class_for_etimedout() -> None:
    error = PlainError(ETIMEDOUT, "")
    assert isinstance(error, PlainError)
    assert isinstance(error, TimeoutError)
    assert not isinstance(error, ConnectTimeout)


def test_a_resolve_error_is_what_getaddrinfo_raises() -> None:
    error = ResolveError(EAI_NONAME, "no such name")
    assert type(error) is ResolveError
    assert isinstance(error, socket.gaierror)
    assert (error.errno, error.strerror) == (EAI_NONAME, "no such name")


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.library, error.reason = "SSL", "CERTIFICATE_VERIFY_FAILED"
    error.verify_code, error.verify_message = 10, "certificate has expired"
    return error


class TooOldError(ssl.SSLError):
    """What somebody's handshake may derive."""


@pytest.mark.parametrize(
    ("cause", "errno", "kinds"),
    [
        (certificate_error(), EPROTO, [ssl.SSLCertVerificationError, ssl.SSLError, ValueError]),
        (ssl.SSLError(1, "alert"), EPROTO, [ssl.SSLError]),
        (TooOldError(1, "old"), EPROTO, [ssl.SSLError]),
        (ConnectionResetError(errnos.ECONNRESET, ""), errnos.ECONNRESET, [ConnectionResetError]),
        (
            ConnectionAbortedError(ETIMEDOUT, ""),
            ETIMEDOUT,
            [ConnectionAbortedError, TimeoutError],
        ),
        (ConnectionError(errnos.EPIPE, ""), errnos.EPIPE, [BrokenPipeError]),
        (TimeoutError(), EPROTO, [TimeoutError]),
        (ConnectError(ECONNREFUSED, ""), ECONNREFUSED, [ConnectionRefusedError]),
        (HandshakeError(EPROTO, "", cause=certificate_error()), EPROTO, [ssl.SSLError]),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "no"), EPROTO, [HandshakeError]),
        (None, EPROTO, [HandshakeError]),
    ],
    ids=repr,
)
def test_a_handshake_error_is_what_its_cause_is(
    cause: Exception | None, errno: int, kinds: list[type[Exception]]
) -> None:
    error = HandshakeError(errno, "the message", cause=cause, phase="handshake")
    for kind in (HandshakeError, ConnectError, type(OSError(errno, "")), *kinds):
        assert isinstance(error, kind)
    assert error.__cause__ is cause
    assert type(error) is type(HandshakeError(errno, "another", cause=cause))
    assert str(error) == f"[Errno {errno}] the message"
    assert traceback.format_exception_only(error) == [f"aconnect.HandshakeError: {error}\n"]
    told = cause if isinstance(cause, ssl.SSLError) else None
    for each in (error, *copies_of(error)):
        assert type(each) is type(error)
        assert vars(each) == vars(error)
        assert (each.args, each.phase) == (error.args, "handshake")
        for name in ("library", "reason", "verify_code", "verify_message"):
            assert getattr(each, name, None) == getattr(told, name, None)


def test_of_several_handshakes_it_is_what_the_cause_of_the_first_is() -> None:
    causes = [None, certificate_error(), ConnectionResetError(errnos.ECONNRESET, "reset")]
    records = [record(**SIX), record(EPROTO, **HELLO), record(errnos.ECONNRESET, **HELLO)]
    error = attempts_error(records, Target(None, None, "a"), 1.0, causes=causes)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert not isinstance(error, ConnectionResetError)
    assert error.verify_code == 10
    assert isinstance(error.__cause__, ExceptionGroup)
    _, second, third = error.__cause__.exceptions
    assert isinstance(second, ssl.SSLCertVerificationError)
    assert isinstance(third, ConnectionResetError)


def test_a_class_is_made_once() -> None:
    assert type(ConnectError(ECONNREFUSED, "a")) is type(ConnectError(ECONNREFUSED, "b"))
    assert type(ConnectError(errnos.EPERM, "")) is type(ConnectError(errnos.EACCES, ""))
    assert type(ConnectError(errnos.EINVAL, "")) is ConnectError


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ConnectError(ECONNREFUSED, "no"), "aconnect.ConnectError"),
        (ConnectError(ETIMEDOUT, "no"), "aconnect.ConnectTimeout"),
        (ResolveError(EAI_NONAME, "no"), "aconnect.ResolveError"),
        (PlainError(ECONNREFUSED, "no"), f"{__name__}.PlainError"),
    ],
    ids=repr,
)
def test_a_traceback_names_the_class_as_it_is_imported(error: ConnectError, name: str) -> None:
    assert traceback.format_exception_only(error) == [f"{name}: {error}\n"]


def test_what_is_not_given_has_a_neutral_value() -> None:
    error = ConnectError(ECONNREFUSED, "")
    assert vars(error) == {
        "address": None,
        "phase": "connect",
        "elapsed": 0.0,
        "_attempts": (),
        "family": None,
        "report": None,
    }


def test_attempts_are_kept_as_a_tuple() -> None:
    records = [record()]
    error = ConnectError(ECONNREFUSED, "", attempts=records)
    records.clear()
    assert error.attempts == (record(),)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectError(ECONNREFUSED, ""), True),
        (ConnectError(EACCES, ""), False),
        (ConnectError(ETIMEDOUT, ""), True),
        (ResolveError(EAI_AGAIN, ""), True),
        (ResolveError(EAI_NONAME, ""), False),
        (ResolveError(EMFILE, ""), True),
        (ConnectError(EAI_AGAIN, ""), False),  # of an errno -3 nothing is known
        (ConnectError(0, ""), False),
    ],
    ids=repr,
)
def test_transient_says_whether_a_later_try_may_succeed(
    error: ConnectError, transient: bool
) -> None:
    assert error.transient is transient


# --------------------------------------------------------------------- pickled and copied


def copies_of(error: ConnectError) -> list[ConnectError]:
    pickles = [pickle.dumps(error, each) for each in range(pickle.HIGHEST_PROTOCOL + 1)]
    return [copy.copy(error), copy.deepcopy(error), *map(pickle.loads, pickles)]


@pytest.mark.parametrize("kind", [ConnectError, PlainError, SlowError, ResolveError])
@pytest.mark.parametrize("errno", [ECONNREFUSED, ETIMEDOUT, EACCES, errnos.EINVAL, EAI_NONAME])
def test_a_copy_has_the_type_the_args_and_every_attribute(
    kind: type[ConnectError], errno: int
) -> None:
    error = kind(
        errno,
        "the message",
        address=TCPAddress("a", 80),
        phase="resolve",
        elapsed=1.5,
        attempts=[record(), record(EACCES, **UNIX)],
        family=AF_INET,
    )
    error.add_note("a note")
    for each in copies_of(error):
        assert type(each) is type(error)
        assert each.args == error.args
        assert (each.errno, each.strerror) == (error.errno, error.strerror)
        assert str(each) == str(error)
        assert vars(each) == vars(error)
        assert each.__notes__ == ["a note"]
        assert each.transient is error.transient


def test_a_copy_for_every_errno() -> None:
    for errno in ALL_ERRNOS:
        error = ConnectError(errno, "the message", elapsed=1.5)
        for each in copies_of(error):
            assert type(each) is type(error)
            assert each.args == error.args
            assert vars(each) == vars(error)


def test_a_copy_of_a_users_error_has_what_the_user_added() -> None:
    error = ServerError(ECONNREFUSED, "no", server="a", family=AF_INET)
    for each in copies_of(error):
        assert type(each) is type(error)
        assert isinstance(each, ConnectionRefusedError)
        assert vars(each) == vars(error)


def test_the_one_error_of_several_attempts_can_be_copied() -> None:
    error = attempts_error([record(), record(**SIX)], Target(TCPAddress("a", 80), None), 0.002)
    for each in copies_of(error):
        assert each.attempts == error.attempts
        assert vars(each) == vars(error)


def test_an_error_that_was_caught_goes_with_the_last_reference() -> None:
    class Resource:
        """Stands for a socket in a frame that the traceback knows."""

    def fail() -> None:
        held = Resource()
        watched.append(weakref.ref(held))
        raise attempts_error([record(), record()], Target(None, None, "a"), 0.0)

    watched: list[weakref.ref[Resource]] = []
    gc.collect()
    gc.disable()
    try:
        try:
            fail()
        except ConnectError:
            caught_with = watched[0]()
        assert caught_with is not None
        del caught_with
        assert watched[0]() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------------------- the records


@pytest.mark.parametrize(
    ("attempt", "text"),
    [
        (record(None, "connected"), "127.0.0.1:80: connected after 1.0 ms"),
        (record(), "127.0.0.1:80: nothing is listening there after 1.0 ms"),
        (record(**SIX), "[::1]:80: nothing is listening there after 1.0 ms"),
        (
            record(**UNIX),
            "unix:/run/x: the socket file is there but nobody listens on it after 1.0 ms",
        ),
        (record(None, "timed out", end=11.0), "127.0.0.1:80: still no answer after 1.00 s"),
        (
            record(EAGAIN, "timed out", **UNIX),
            "unix:/run/x: not started: the listener's backlog is full after 1.0 ms",
        ),
        (record(note="in a loop"), "127.0.0.1:80: in a loop after 1.0 ms"),
        (
            record(local=("10.0.0.1", 5)),
            "127.0.0.1:80 from 10.0.0.1:5: nothing is listening there after 1.0 ms",
        ),
        (record(sockaddr=None), "unknown peer: nothing is listening there after 1.0 ms"),
        (record(None), "127.0.0.1:80: Success after 1.0 ms"),
        (
            record(None, "timed out", note=OWN_TIME),
            "127.0.0.1:80: still no answer after 1.0 ms",
        ),
        (
            record(None, "timed out", note=OWN_TIME, phase="handshake"),
            "127.0.0.1:80: connected, but its handshake had not finished after 1.0 ms",
        ),
        (record(None, "cancelled"), "127.0.0.1:80: cancelled after 1.0 ms"),
        (record(None, "cancelled", note="too late"), "127.0.0.1:80: too late after 1.0 ms"),
    ],
    ids=str,
)
def test_a_record_is_a_line(attempt: AttemptRecord, text: str) -> None:
    assert str(attempt) == text


@pytest.mark.parametrize(
    ("end", "took"),
    [
        (10.0, "0.0 ms"),
        (10.00004, "0.0 ms"),
        (10.0123, "12.3 ms"),
        (10.9, "900.0 ms"),
        (11.0, "1.00 s"),
        (143.456, "133.46 s"),
    ],
)
def test_how_long_it_took(end: float, took: str) -> None:
    assert str(record(end=end)).endswith(f" after {took}")


def test_a_record_has_no_note_unless_one_is_given() -> None:
    attempt = AttemptRecord(AF_INET, SOCK_STREAM, None, None, 1.0, 2.0, "failed", ECONNREFUSED)
    assert attempt.note == ""


def test_records_are_values() -> None:
    attempt = record(local=("10.0.0.1", 5), note="x")
    assert attempt == record(local=("10.0.0.1", 5), note="x")
    assert attempt != record()
    assert len({attempt, copy.deepcopy(attempt), pickle.loads(pickle.dumps(attempt))}) == 1
    assert not hasattr(attempt, "__dict__")
    with pytest.raises(AttributeError):
        attempt.errno = 0  # type: ignore[misc]  # what is refused


# --------------------------------------------------------------------------- the messages


REFUSED = "ECONNREFUSED: nothing is listening there"


@pytest.mark.parametrize(
    ("attempt", "text", "where", "why"),
    [
        (record(), "127.0.0.1:80", "127.0.0.1:80", REFUSED),
        (record(**SIX), "localhost:80", "localhost:80 ([::1]:80)", REFUSED),
        (
            record(local=("10.0.0.1", 5)),
            "127.0.0.1:80",
            "127.0.0.1:80 (from 10.0.0.1:5)",
            REFUSED,
        ),
        (
            record(local=("10.0.0.1", 5)),
            "localhost:80",
            "localhost:80 (127.0.0.1:80 from 10.0.0.1:5)",
            REFUSED,
        ),
        (
            record(sockaddr=None, local=("10.0.0.1", 5)),
            "the socket with descriptor 5",
            "the socket with descriptor 5 (from 10.0.0.1:5)",
            REFUSED,
        ),
        (
            record(sockaddr=None),
            "the socket with descriptor 5",
            "the socket with descriptor 5",
            REFUSED,
        ),
        (
            record(note="it was connected to itself"),
            "127.0.0.1:80",
            "127.0.0.1:80",
            "ECONNREFUSED: it was connected to itself",
        ),
        (
            record(None, "timed out"),
            "127.0.0.1:80",
            "127.0.0.1:80",
            "deadline passed: still no answer",
        ),
        (
            record(EAGAIN, "timed out", **UNIX),
            "unix:/run/x",
            "unix:/run/x",
            "deadline passed: not started: the listener's backlog is full",
        ),
        (
            record(None, "timed out", note=OWN_TIME),
            "127.0.0.1:80",
            "127.0.0.1:80",
            "its own time limit was up: still no answer",
        ),
        (
            record(EAGAIN, "timed out", note=OWN_TIME, **UNIX),
            "unix:/run/x",
            "unix:/run/x",
            "its own time limit was up: not started: the listener's backlog is full",
        ),
        (
            record(ETIMEDOUT),
            "127.0.0.1:80",
            "127.0.0.1:80",
            "ETIMEDOUT: no answer came in time",
        ),
    ],
)
def test_one_attempt_gives_one_sentence(
    attempt: AttemptRecord, text: str, where: str, why: str
) -> None:
    address = TCPAddress("a", 80)
    error = attempts_error([attempt], Target(address, None, text), 0.0015)
    what = "no connection on" if attempt.sockaddr is None else "could not connect to"
    assert error.strerror == f"{what} {where} in 1.5 ms: {why}"
    assert error.address is address
    assert error.phase == "connect"
    assert error.elapsed == 0.0015
    assert error.attempts == (attempt,)
    assert error.family == attempt.family
    assert error.__cause__ is None


def test_i4_several_attempts_give_one_sentence_with_all_of_them() -> None:
    records = [
        record(**SIX),
        record(EHOSTUNREACH, start=10.001, end=13.501),
        record(None, "timed out", sockaddr=("127.0.0.2", 80), start=13.501, end=15.0),
    ]
    address = TCPAddress("localhost", 80)
    error = attempts_error(
        records, Target(address, None, "localhost:80"), 5.0, timed_out=True, untried=2
    )
    assert error.strerror == (
        "could not connect to localhost:80 in 5.00 s: 3 of 5 addresses tried: "
        "[::1]:80: nothing is listening there after 1.0 ms; "
        "127.0.0.1:80: no route leads to that host, or it did not answer ARP or neighbour "
        "discovery after 3.50 s; "
        "127.0.0.2:80: still no answer after 1.50 s"
    )
    assert error.address is address
    assert error.elapsed == 5.0
    assert error.attempts == tuple(records)

    cause = error.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert cause.message == "each attempt"
    assert [(type(each), str(each)) for each in cause.exceptions] == [
        (
            type(ConnectError(ECONNREFUSED, "")),
            (
                f"[Errno {ECONNREFUSED}] could not connect to localhost:80 ([::1]:80) in 1.0 ms: "
                "ECONNREFUSED: nothing is listening there"
            ),
        ),
        (
            ConnectError,
            (
                f"[Errno {EHOSTUNREACH}] could not connect to localhost:80 (127.0.0.1:80) "
                "in 3.50 s: EHOSTUNREACH: no route leads to that host, or it did not answer ARP "
                "or neighbour discovery"
            ),
        ),
        (
            ConnectTimeout,
            (
                f"[Errno {ETIMEDOUT}] could not connect to localhost:80 (127.0.0.2:80) in 1.50 s: "
                "deadline passed: still no answer"
            ),
        ),
    ]
    for each, attempt in zip(cause.exceptions, records, strict=True):
        assert isinstance(each, ConnectError)
        assert each.attempts == (attempt,)
        assert each.address is address
        assert each.family == attempt.family


def test_all_were_tried() -> None:
    error = attempts_error([record(**SIX), record()], Target(None, None, "localhost:80"), 0.002)
    assert error.strerror == (
        "could not connect to localhost:80 in 2.0 ms: 2 of 2 addresses tried: "
        "[::1]:80: nothing is listening there after 1.0 ms; "
        "127.0.0.1:80: nothing is listening there after 1.0 ms"
    )


@pytest.mark.parametrize(
    ("records", "untried", "errno", "family"),
    [
        ([record()], 0, ECONNREFUSED, AF_INET),
        ([record(), record(**SIX)], 0, ECONNREFUSED, AF_INET),
        ([record(EHOSTUNREACH, **SIX), record()], 0, EHOSTUNREACH, AF_INET6),
        ([record(ENOENT, **UNIX), record(EACCES, **SIX), record()], 0, ENOENT, AF_UNIX),
        ([record(None, "timed out")], 0, ETIMEDOUT, AF_INET),
        ([record(EAGAIN, "timed out", **UNIX)], 0, ETIMEDOUT, AF_UNIX),
        ([record(), record(None, "timed out", **SIX)], 0, ETIMEDOUT, AF_INET),
        ([record(None, "timed out"), record(**SIX)], 0, ECONNREFUSED, AF_INET6),
        ([record(), record(None, "timed out", **SIX), record()], 0, ECONNREFUSED, AF_INET),
        ([record(ETIMEDOUT), record(ETIMEDOUT, **SIX)], 0, ETIMEDOUT, AF_INET),
        ([record()], 1, ETIMEDOUT, AF_INET),
        ([record(ENETUNREACH, **SIX), record()], 3, ETIMEDOUT, AF_INET6),
        ([record(None)], 0, 0, AF_INET),
    ],
)
def test_i5_which_errno_is_the_errno_of_all(
    records: Sequence[AttemptRecord], untried: int, errno: int, family: int
) -> None:
    timed_out = untried > 0 or records[-1].outcome == "timed out"
    error = attempts_error(
        records, Target(None, None, "a"), 1.0, timed_out=timed_out, untried=untried
    )
    assert error.errno == errno
    assert error.family == family
    assert isinstance(error, ConnectTimeout) is (errno == ETIMEDOUT)
    assert (error.__cause__ is None) is (len(records) == 1)


HELLO: dict[str, Any] = {"phase": "handshake"}


@pytest.mark.parametrize(
    ("records", "timed_out", "kind", "errno"),
    [
        ([record(None, "timed out", **HELLO)], True, ConnectTimeout, ETIMEDOUT),
        ([record(None, "timed out", note=OWN_TIME, **HELLO)], False, ConnectTimeout, ETIMEDOUT),
        ([record(None, "timed out", **HELLO)] * 2, True, ConnectTimeout, ETIMEDOUT),
        (
            [record(None, "timed out", note=OWN_TIME, **HELLO)] * 2,
            False,
            ConnectTimeout,
            ETIMEDOUT,
        ),
        (
            [record(), record(None, "timed out", note=OWN_TIME, **HELLO)],
            False,
            ConnectTimeout,
            ETIMEDOUT,
        ),
        ([record(EPROTO, **HELLO)], False, HandshakeError, EPROTO),
        ([record(), record(EPROTO, **HELLO)], False, HandshakeError, EPROTO),
        (
            [record(None, "timed out", **HELLO), record(EPROTO, **HELLO)],
            False,
            HandshakeError,
            EPROTO,
        ),
        ([record(EPROTO, **HELLO), record()], True, ConnectTimeout, ETIMEDOUT),
    ],
)
def test_a_handshake_that_was_not_done_in_time_is_a_timeout(
    records: list[AttemptRecord], timed_out: bool, kind: type[ConnectError], errno: int
) -> None:
    error = attempts_error(records, Target(None, None, "a"), 1.0, timed_out=timed_out)
    assert isinstance(error, kind)
    assert isinstance(error, (HandshakeError, ConnectTimeout))
    assert isinstance(error, HandshakeError) is (kind is HandshakeError)
    assert (error.errno, error.phase) == (errno, "handshake")


def test_several_that_had_their_own_time_are_each_said_to() -> None:
    records = [record(None, "timed out", note=OWN_TIME), record(None, "timed out", **SIX)]
    error = attempts_error(records, Target(None, None, "a:80"), 1.0)
    assert isinstance(error, ConnectTimeout)
    assert error.strerror == (
        "could not connect to a:80 in 1.00 s: 2 of 2 addresses tried: "
        "127.0.0.1:80: still no answer after 1.0 ms; [::1]:80: still no answer after 1.0 ms"
    )
    assert isinstance(error.__cause__, ExceptionGroup)
    first, second = error.__cause__.exceptions
    assert str(first).endswith("its own time limit was up: still no answer")
    assert str(second).endswith("deadline passed: still no answer")


def test_one_attempt_of_several_addresses_keeps_its_cause() -> None:
    cause = ValueError("not this one")
    error = attempts_error(
        [record()], Target(None, None, "a"), 1.0, causes=[cause], timed_out=True, untried=1
    )
    assert error.__cause__ is cause


def test_one_attempt_of_several_addresses_says_how_many_were_not_tried() -> None:
    error = attempts_error([record()], Target(None, None, "a:80"), 1.0, untried=2)
    assert error.strerror == (
        "could not connect to a:80 in 1.00 s: 1 of 3 addresses tried: "
        "127.0.0.1:80: nothing is listening there after 1.0 ms"
    )


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (EAI_NONAME, "", "EAI_NONAME: no such name is known"),
        (EAI_NONAME, "no such interface", "EAI_NONAME: no such interface"),
        (EAI_MEMORY, "", "EAI_MEMORY: there was no memory, or no thread, for the lookup"),
        (EMFILE, "", "EMFILE: the process is out of file descriptors"),
        (9999, "", "errno 9999: Unknown error 9999"),
    ],
)
def test_a_lookup_that_failed_is_one_sentence(code: int, words: str, message: str) -> None:
    address = UDPAddress("example.org", 53)
    error = resolve_error(code, target_of(address), 0.25, words)
    assert type(error) is ResolveError
    assert error.strerror == f"could not resolve udp://example.org:53 in 250.0 ms: {message}"
    assert (error.errno, error.address, error.phase) == (code, address, "resolve")
    assert (error.elapsed, error.attempts, error.family) == (0.25, (), None)
    if not words:
        assert str(resolve_error(code, target_of(address), 0.25)) == str(error)


@pytest.mark.parametrize("errno", [EACCES, EAGAIN, ECONNREFUSED, errnos.EINVAL])
def test_a_lookup_error_has_words_where_they_depend_on_the_family(errno: int) -> None:
    """getaddrinfo(3) answers EAI_SYSTEM with any errno, and Python raises that one."""
    error = resolve_error(errno, target_of("a:80"), 0.25)
    assert re.search(rf"{errnos.errorcode[errno]}: \w+", str(error))


def test_a_deadline_that_passed_in_a_lookup_is_one_sentence() -> None:
    address = TCPAddress("example.org", 80)
    error = resolve_timeout(target_of(address), 5.0)
    assert type(error) is ConnectTimeout
    assert error.strerror == (
        "could not resolve example.org:80 in 5.00 s: deadline passed: "
        "no name server had answered, so no address was tried"
    )
    assert (error.errno, error.address, error.phase) == (ETIMEDOUT, address, "resolve")
    assert (error.elapsed, error.attempts, error.family) == (5.0, (), None)


HOME = Endpoint(AF_INET, SOCK_STREAM, IPPROTO_TCP, ("127.0.0.1", 80))
PATH = Endpoint(AF_UNIX, SOCK_DGRAM, 0, b"\0x")


@pytest.mark.parametrize(
    ("address", "endpoints", "text"),
    [
        (TCPAddress("localhost", 80), [HOME], "localhost:80"),
        (UnixAddress("@x"), [PATH], "unix:@x"),
        (("an entry",), [HOME], "127.0.0.1:80"),
        (("an entry", "another"), [HOME, PATH], "127.0.0.1:80 and 1 more"),
        (("an entry", "another", "a raw one"), [PATH, HOME], "unix:@x and 2 more"),
    ],
    ids=str,
)
def test_what_was_asked_for_as_text(
    address: object, endpoints: Sequence[Endpoint], text: str
) -> None:
    assert Target(address, endpoints).text == text


def test_the_words_of_an_error_are_those_of_explain() -> None:
    error = attempts_error([record(**UNIX)], target_of(UnixAddress("/run/x")), 0.0)
    assert explain(error).startswith("ECONNREFUSED: the socket file is there but nobody listens")
    assert "ECONNREFUSED: the socket file is there but nobody listens on it" in str(error)
