"""One type for an attempt: in errors, in reports and in JSON."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from support.listeners import LOOPBACK, listening, refusing, silent

from aconnect import AttemptRecord, ConnectError, ConnectTimeout, Dialer, HandshakeError, Report
from aconnect.addresses.values import Endpoint
from aconnect.trace import (
    AttemptEnded,
    AttemptStarted,
    DialConnected,
    DialFailed,
    DialStarted,
    Event,
    HandshakeEnded,
    HandshakeStarted,
    SocketClosed,
)

HERE = Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, ("192.0.2.1", 1))


def report_of(*events: Event) -> Report:
    report = Report(clock=lambda: 9.0)
    for event in events:
        report(event)
    return report


def only(*events: Event) -> AttemptRecord:
    (attempt,) = report_of(DialStarted(1.0, "a:1"), AttemptStarted(1.5, 0, HERE), *events).attempts
    return attempt


def told(attempt: AttemptRecord) -> tuple[Any, ...]:
    return attempt.outcome, attempt.phase, attempt.connected, attempt.end


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], ("running", "connect", None, None)),
        ([AttemptEnded(2.0, 0, "connected")], ("connected", "connect", 1.0, 1.0)),
        ([AttemptEnded(2.0, 0, "failed", 111)], ("failed", "connect", None, 1.0)),
        (
            [AttemptEnded(2.0, 0, "connected"), HandshakeStarted(2.5, 0, "TLS")],
            ("running", "handshake", 1.0, None),
        ),
        (
            [
                AttemptEnded(2.0, 0, "connected"),
                HandshakeStarted(2.5, 0, "TLS"),
                HandshakeEnded(3.0, 0, "done"),
                DialConnected(3.0, 0),
            ],
            ("connected", "handshake", 1.0, 2.0),
        ),
        (
            [
                AttemptEnded(2.0, 0, "connected"),
                HandshakeStarted(2.5, 0, "TLS"),
                HandshakeEnded(3.0, 0, "failed", "no", errno=71),
            ],
            ("failed", "handshake", 1.0, 2.0),
        ),
        (  # its handshake had not begun
            [
                AttemptEnded(2.0, 0, "connected"),
                SocketClosed(4.0, 0),
                DialFailed(4.0, "timed out", 110, "handshake"),
            ],
            ("timed out", "handshake", 1.0, 3.0),
        ),
        (
            [AttemptEnded(2.0, 0, "connected"), DialFailed(4.0, "failed", 71, "handshake")],
            ("cancelled", "handshake", 1.0, 1.0),
        ),
    ],
)
def test_an_attempt_as_far_as_it_has_come(events: list[Event], expected: tuple[Any, ...]) -> None:
    attempt = only(*events)
    assert told(attempt) == expected
    assert attempt.start == 0.5
    assert attempt.endpoint == HERE
    assert json.loads(json.dumps(attempt.to_dict()))["outcome"] == attempt.outcome
    assert str(attempt)


def test_what_is_said_of_a_handshake_that_failed() -> None:
    attempt = only(
        AttemptEnded(2.0, 0, "connected", note="by the way"),
        HandshakeStarted(2.5, 0, "TLS"),
        HandshakeEnded(3.0, 0, "failed", "no", errno=71),
    )
    assert attempt.note == "by the way; the TLS handshake failed: no"
    assert (attempt.errno, attempt.to_dict()["error"]) == (71, "EPROTO")


def test_the_names() -> None:
    attempt = AttemptRecord(9999, 1, ("192.0.2.1", 1), ("192.0.2.2", 2), 0.0)
    assert (attempt.peer, attempt.local) == ("192.0.2.1:1", "192.0.2.2:2")
    assert attempt.to_dict()["family"] == "family 9999"
    assert attempt.handshake is None
    assert attempt.replace(local_address=None).local is None
    names = ("peer", "local", "start", "end", "outcome", "errno", "phase", "note")
    for name in names:
        assert attempt.to_dict()[name] == getattr(attempt, name)


@pytest.mark.anyio
async def test_the_records_of_an_error_are_those_of_its_report(anyio_backend: Any) -> None:
    with (
        refusing() as first,
        refusing("127.0.0.2") as second,
        pytest.raises(ConnectError) as caught,
    ):
        await Dialer().connect([first, second], timeout=60)
    error = caught.value
    assert error.report is not None
    assert error.attempts == error.report.attempts
    assert [each.number for each in error.attempts] == [0, 1]
    for each in error.attempts:
        assert each.end is not None
        assert 0 <= each.start <= each.end <= error.elapsed
        assert each.host


@pytest.mark.anyio
async def test_what_an_error_says_is_what_its_records_say(anyio_backend: Any) -> None:
    """It is made before the report has the end of the dial."""

    async def shake(_: Any) -> None:
        raise EOFError

    report = Report()
    with listening() as listener, pytest.raises(HandshakeError) as caught:
        address = listener.getsockname()
        await Dialer().connect(address, handshake=shake, report=report)
    (attempt,) = caught.value.attempts
    assert (attempt.phase, attempt.outcome, attempt.errno) == (
        caught.value.phase,
        "failed",
        caught.value.errno,
    )
    assert attempt.note == "the handshake failed: EOFError"
    with silent() as address, pytest.raises(ConnectTimeout) as late:
        await Dialer().connect(address, timeout=0.01)
    (attempt,) = late.value.attempts
    assert (attempt.phase, attempt.outcome) == ("connect", "timed out")


@pytest.mark.anyio
async def test_the_primitives_have_it_too(anyio_backend: Any) -> None:
    from aconnect import connect_socket

    with refusing() as address, socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(ConnectError) as caught:
            await connect_socket(sock, address)
    (attempt,) = caught.value.attempts
    assert attempt.start == 0.0
    assert attempt.end is not None
    assert attempt.end <= caught.value.elapsed + 1e-9
    assert attempt.peer == f"{LOOPBACK}:{address[1]}"
