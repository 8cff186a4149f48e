"""Dials as their events, for tests of what a report says and draws."""

from __future__ import annotations

from errno import EAGAIN, ECONNREFUSED, EMFILE, ENETUNREACH, ETIMEDOUT
from math import inf
from socket import AF_INET, AF_INET6, AF_UNIX, EAI_NONAME, IPPROTO_TCP, SOCK_STREAM
from typing import TYPE_CHECKING

from aconnect.addresses.values import Endpoint
from aconnect.report.report import Report
from aconnect.trace import (
    AttemptEnded,
    AttemptStarted,
    DialCancelled,
    DialConnected,
    DialFailed,
    DialStarted,
    HandshakeEnded,
    HandshakeStarted,
    ResolutionBatch,
    ResolutionEnded,
    ResolutionStarted,
    SocketClosed,
)

if TYPE_CHECKING:
    from aconnect.trace import Event

T = 1000.0  # when each dial starts
NAME = "example.com:443"


def inet(last: int = 1) -> Endpoint:
    return Endpoint(AF_INET, SOCK_STREAM, IPPROTO_TCP, (f"192.0.2.{last}", 443))


def inet6(last: int = 1) -> Endpoint:
    return Endpoint(AF_INET6, SOCK_STREAM, IPPROTO_TCP, (f"2001:db8::{last:x}", 443, 0, 0))


def unix(path: str | bytes) -> Endpoint:
    return Endpoint(AF_UNIX, SOCK_STREAM, 0, path)


def resolved(*endpoints: Endpoint, after: float = 0.02, deadline: float = inf) -> list[Event]:
    """A dial up to the moment when all addresses are known."""
    return [
        DialStarted(T, NAME, deadline),
        ResolutionStarted(T, NAME),
        ResolutionBatch(T + after, endpoints),
        ResolutionEnded(T + after, "done", len(endpoints)),
    ]


def report_of(*events: Event, now: float = T) -> Report:
    report = Report(clock=lambda: now)
    for event in events:
        report(event)
    return report


V6_SILENT = [
    *resolved(inet6(), inet()),
    AttemptStarted(T + 0.02, 0, inet6(), 0, 2),
    AttemptStarted(T + 0.27, 1, inet(), 1, 2),
    AttemptEnded(T + 0.3, 1, "connected", local_address=("192.0.2.99", 50000)),
    AttemptEnded(T + 0.3, 0, "cancelled"),
    SocketClosed(T + 0.3, 0),
    DialConnected(T + 0.3, 1),
]
FIRST_REFUSED = [
    *resolved(inet6(), inet(), inet(2)),
    AttemptStarted(T + 0.02, 0, inet6(), 0, 3),
    AttemptEnded(T + 0.03, 0, "failed", ECONNREFUSED),
    SocketClosed(T + 0.03, 0),
    AttemptStarted(T + 0.03, 1, inet(), 1, 3),
    AttemptEnded(T + 0.08, 1, "connected"),
    DialConnected(T + 0.08, 1),
]
ALL_FAIL = [
    *resolved(inet6(), inet(), inet(2), inet(3), inet(4)),
    AttemptStarted(T + 0.02, 0, inet6(), 0, 5),
    AttemptEnded(T + 0.0205, 0, "failed", ENETUNREACH),
    SocketClosed(T + 0.0205, 0),
    AttemptStarted(T + 0.03, 1, inet(), 1, 5),
    AttemptEnded(T + 0.05, 1, "failed", ECONNREFUSED),
    SocketClosed(T + 0.05, 1),
    AttemptStarted(T + 0.05, 2, inet(2), 2, 5),
    AttemptEnded(T + 0.07, 2, "failed", ECONNREFUSED),
    SocketClosed(T + 0.07, 2),
    AttemptStarted(T + 0.07, 3, inet(3), 3, 5),
    AttemptEnded(T + 0.07, 3, "not permitted", note="192.0.2.3 is no public address"),
    AttemptStarted(T + 0.07, 4, inet(4), 4, 5),
    AttemptEnded(T + 0.07, 4, "failed", EMFILE),
    DialFailed(T + 0.07, "failed", ECONNREFUSED, "connect"),
]
DEADLINE_IN_RESOLVING = [
    DialStarted(T, NAME, T + 30),
    ResolutionStarted(T, NAME),
    ResolutionEnded(T + 30, "timed out", 0),
    DialFailed(T + 30.0001, "timed out", ETIMEDOUT, "resolve"),
]
FIRST_HANDSHAKE_FAILS = [
    *resolved(inet6(), inet()),
    AttemptStarted(T + 0.02, 0, inet6(), 0, 2),
    AttemptEnded(T + 0.05, 0, "connected"),
    HandshakeStarted(T + 0.05, 0, "TLS"),
    HandshakeEnded(T + 0.1, 0, "failed", "certificate verify failed: certificate has expired"),
    SocketClosed(T + 0.1, 0),
    AttemptStarted(T + 0.1, 1, inet(), 1, 2),
    AttemptEnded(T + 0.12, 1, "connected"),
    HandshakeStarted(T + 0.12, 1, "TLS"),
    HandshakeEnded(T + 0.16, 1, "done", details={"version": "TLSv1.3", "protocol": "h2"}),
    DialConnected(T + 0.16, 1),
]
CANCELLED = [
    *resolved(inet6(), inet()),
    AttemptStarted(T + 0.02, 0, inet6(), 0, 2),
    AttemptEnded(T + 0.04, 0, "connected"),
    HandshakeStarted(T + 0.04, 0, "SOCKS"),
    HandshakeEnded(T + 0.2, 0, "cancelled"),
    SocketClosed(T + 0.2, 0),
    DialCancelled(T + 0.2),
]
RUNNING = [
    DialStarted(T, NAME, T + 5),
    ResolutionStarted(T, NAME),
    ResolutionBatch(T + 0.1, (inet(),)),
    AttemptStarted(T + 0.15, 0, inet(), 0, 1),
]
AT_ONCE = [
    DialStarted(T, "127.0.0.1:80"),
    AttemptStarted(T + 0.000020, 0, Endpoint(AF_INET, SOCK_STREAM, 0, ("127.0.0.1", 80))),
    AttemptEnded(T + 0.000110, 0, "connected"),
    DialConnected(T + 0.000125, 0),
]
NO_SUCH_NAME = [
    DialStarted(T, "nowhere.invalid:443", T + 30),
    ResolutionStarted(T, "nowhere.invalid:443"),
    ResolutionEnded(T + 0.012, "failed", 0, EAI_NONAME),
    DialFailed(T + 0.012, "failed", EAI_NONAME, "resolve"),
]
TIME_RUNS_OUT = [
    *resolved(inet6(), inet(), after=2.0, deadline=T + 10),
    AttemptStarted(T + 2, 0, inet6(), 0, 4),
    AttemptStarted(T + 2.25, 1, inet(), 1, 4),
    AttemptEnded(T + 9, 1, "connected"),
    HandshakeStarted(T + 9, 1, "TLS"),
    AttemptEnded(T + 10, 0, "timed out"),
    SocketClosed(T + 10, 0),
    HandshakeEnded(T + 10, 1, "timed out"),
    SocketClosed(T + 10, 1),
    DialFailed(T + 10, "timed out", ETIMEDOUT, "handshake"),
]
FULL_BACKLOG = [
    DialStarted(T, "unix:/run/server", T + 1),
    AttemptStarted(T, 0, unix("/run/server")),
    AttemptEnded(T + 1, 0, "timed out", EAGAIN),
    SocketClosed(T + 1, 0),
    DialFailed(T + 1, "timed out", ETIMEDOUT, "connect"),
]
ANSWER_NOT_AWAITED = [
    DialStarted(T, NAME),
    ResolutionStarted(T, NAME),
    ResolutionBatch(T + 0.01, (inet6(),)),
    AttemptStarted(T + 0.01, 0, inet6(), 0, 1),
    AttemptEnded(T + 0.05, 0, "connected"),
    ResolutionEnded(T + 0.05, "cancelled", 1),
    DialConnected(T + 0.05, 0),
]
DIALS: dict[str, list[Event]] = {
    "IPv6 is silent, IPv4 wins": V6_SILENT,
    "the first is refused": FIRST_REFUSED,
    "all fail": ALL_FAIL,
    "the deadline passes in resolving": DEADLINE_IN_RESOLVING,
    "the first handshake fails": FIRST_HANDSHAKE_FAILS,
    "cancelled from outside": CANCELLED,
    "still running": RUNNING,
    "one address, at once": AT_ONCE,
    "no such name": NO_SUCH_NAME,
    "the deadline passes in a handshake": TIME_RUNS_OUT,
    "a full backlog": FULL_BACKLOG,
    "an answer that is not waited for": ANSWER_NOT_AWAITED,
}


def report(name: str) -> Report:
    """The report of one of them; of one that runs, after a second."""
    return report_of(*DIALS[name], now=T + 1)
