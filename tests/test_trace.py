"""Events are values; and whoever listens cannot harm the dial."""

from __future__ import annotations

import asyncio
import copy
import gc
import math
import pickle
import sys
import warnings
import weakref
from dataclasses import FrozenInstanceError, fields
from socket import AF_INET, AF_UNIX, EAI_NONAME, IPPROTO_TCP, SOCK_STREAM
from typing import TYPE_CHECKING, Any

import pytest
from support.listeners import refusing

from aconnect import ConnectError, Dialer, Report
from aconnect import trace as trace_module
from aconnect.addresses.values import Endpoint
from aconnect.trace import (
    AttemptEnded,
    AttemptStarted,
    DialCancelled,
    DialConnected,
    DialFailed,
    DialStarted,
    Event,
    HandshakeEnded,
    HandshakeStarted,
    QuestionAnswered,
    QuestionAsked,
    ResolutionBatch,
    ResolutionEnded,
    ResolutionStarted,
    ServiceFound,
    SocketClosed,
    each,
    guarded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

INET = Endpoint(AF_INET, SOCK_STREAM, IPPROTO_TCP, ("192.0.2.1", 443))
UNIX = Endpoint(AF_UNIX, SOCK_STREAM, 0, b"\0name")

EVENTS = [
    DialStarted(1.0, "example.com:443"),
    DialStarted(1.0, "example.com:443", 11.0),
    ResolutionStarted(1.0, "example.com:443"),
    ResolutionBatch(1.0, (INET, UNIX)),
    ResolutionEnded(1.0, "done", 2),
    ResolutionEnded(1.0, "failed", 0, EAI_NONAME, "no such name"),
    QuestionAsked(1.0, "example.com", "HTTPS"),
    QuestionAnswered(1.0, "example.com", "HTTPS", "NOERROR", "192.0.2.53:53", "udp", 1, 60),
    ServiceFound(1.0, 0, "svc.example.com", 1, 8443, ("h2",)),
    AttemptStarted(1.0, 0, INET),
    AttemptStarted(1.0, 1, UNIX, place=3, known=5),
    AttemptEnded(1.0, 0, "connected", local_address=("192.0.2.9", 50000)),
    AttemptEnded(1.0, 0, "not permitted", note="not a public address"),
    HandshakeStarted(1.0, 0, "TLS"),
    HandshakeEnded(1.0, 0, "done", details={"version": "TLSv1.3"}),
    HandshakeEnded(1.0, 0, "failed", "certificate has expired"),
    SocketClosed(1.0, 0),
    DialConnected(1.0, 0),
    DialFailed(1.0, "timed out", 110, "connect"),
    DialCancelled(1.0),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
class TestAnEvent:
    def test_begins_with_its_time(self, event: Event) -> None:
        assert isinstance(event, Event)
        assert event.time == 1.0
        assert fields(event)[0].name == "time"

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_is_a_value(self, event: Event, protocol: int) -> None:
        for again in (pickle.loads(pickle.dumps(event, protocol)), copy.deepcopy(event)):
            assert again == event
            assert hash(again) == hash(event)
            assert again is not event

    def test_cannot_be_changed(self, event: Event) -> None:
        with pytest.raises(FrozenInstanceError):
            event.time = 2.0  # type: ignore[misc]
        assert not hasattr(event, "__dict__")


def test_different_events_are_not_equal() -> None:
    assert len({*EVENTS}) == len(EVENTS)
    assert len({SocketClosed(1.0, 0), DialConnected(1.0, 0)}) == 2


def test_every_kind_of_event_is_tested_and_public() -> None:
    kinds = {kind.__name__ for kind in Event.__subclasses__() if kind.__module__.startswith("ac")}
    assert kinds == {type(event).__name__ for event in EVENTS}
    assert {*trace_module.__all__} == {*kinds, "Event", "Trace", "each", "guarded"}


def test_a_dial_has_no_deadline_unless_it_says_so() -> None:
    assert DialStarted(1.0, "example.com:443").deadline == math.inf


def test_details_of_a_handshake_are_a_copy_and_text() -> None:
    details: Any = {"resumed": True, 1: object}
    event = HandshakeEnded(1.0, 0, "done", details=details)
    details.clear()
    assert event.details == {"resumed": "True", "1": "<class 'object'>"}


class Trouble(Exception):
    pass


def failing(event: Event) -> None:
    raise Trouble("the disk is full")


def test_nobody_listens() -> None:
    assert guarded(None) is None


@pytest.mark.parametrize("trace", [1, "trace", []])
def test_a_trace_must_be_callable(trace: Any) -> None:
    with pytest.raises(TypeError, match=r"^trace must be a callable of one argument, not "):
        guarded(trace)


def test_every_event_arrives_in_order() -> None:
    seen: list[Event] = []
    emit = guarded(seen.append)
    assert emit is not None
    for event in EVENTS:
        emit(event)
    assert seen == EVENTS


def test_what_a_trace_raises_is_one_warning_and_it_is_not_called_again() -> None:
    calls = []

    def trace(event: Event) -> None:
        calls.append(event)
        failing(event)

    emit = guarded(trace)
    assert emit is not None
    with pytest.warns(RuntimeWarning) as caught:
        emit(EVENTS[0])
    for event in EVENTS[1:]:
        emit(event)  # and warnings are errors here
    assert calls == EVENTS[:1]
    [warning] = caught
    line = failing.__code__.co_firstlineno + 1
    assert str(warning.message) == (
        f"trace raised {__name__}.Trouble: the disk is full ({__file__}:{line}); "
        "it gets no more events of this dial"
    )


def test_each_dial_warns_anew() -> None:
    for _ in range(2):
        emit = guarded(failing)
        assert emit is not None
        with pytest.warns(RuntimeWarning, match="the disk is full"):
            emit(EVENTS[0])


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    texts: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hook: texts.append(str(hook.exc_value)))
    yield texts
    monkeypatch.undo()


def test_a_warning_that_is_made_an_error_does_not_harm_the_dial(unraisable: list[str]) -> None:
    emit = guarded(failing)
    assert emit is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        emit(EVENTS[0])
    [text] = unraisable
    assert "the disk is full" in text


def test_what_raises_when_asked_for_its_text_does_not_harm_the_dial() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    def trace(event: Event) -> None:
        raise Mute

    emit = guarded(trace)
    assert emit is not None
    with pytest.warns(RuntimeWarning, match=r"Mute: <exception str\(\) failed>"):
        emit(EVENTS[0])


@pytest.mark.parametrize(
    "kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit]
)
def test_what_is_no_exception_goes_through(kind: type[BaseException]) -> None:
    def trace(event: Event) -> None:
        raise kind

    emit = guarded(trace)
    assert emit is not None
    for event in EVENTS[:2]:
        with pytest.raises(kind):
            emit(event)


def test_a_trace_that_failed_is_let_go() -> None:
    class Listener:
        def __call__(self, event: Event) -> None:
            raise Trouble

    listener = Listener()
    gone = weakref.ref(listener)
    emit = guarded(listener)
    assert emit is not None
    gc.disable()
    try:
        with pytest.warns(RuntimeWarning):
            emit(EVENTS[0])
        del listener
        assert gone() is None
    finally:
        gc.enable()


# Several listeners


def test_each_gets_every_event_in_their_order() -> None:
    seen: list[tuple[str, Event]] = []
    together = each(
        lambda event: seen.append(("first", event)), lambda event: seen.append(("second", event))
    )
    for emit in (together, guarded(together)):
        assert emit is not None
        seen.clear()
        for event in EVENTS:
            emit(event)
        assert seen == [(who, event) for event in EVENTS for who in ("first", "second")]


@pytest.mark.parametrize("nested", [False, True])
def test_of_several_the_one_that_raises_is_dropped_alone(nested: bool) -> None:
    seen: list[Event] = []
    together = each(failing, seen.append)
    if nested:
        together = each(each(failing), each(seen.append))
    for _ in range(2):  # dials
        emit = guarded(together, "on_report")
        assert emit is not None
        with pytest.warns(RuntimeWarning, match=r"^on_report raised .*the disk is full") as caught:
            emit(EVENTS[0])
        for event in EVENTS[1:]:
            emit(event)  # and warnings are errors here
        assert len(caught) == 1
    assert seen == EVENTS * 2


def test_each_of_none() -> None:
    each()(EVENTS[0])


@pytest.mark.parametrize("what", [None, 1, "trace"])
def test_each_is_of_callables(what: Any) -> None:
    with pytest.raises(TypeError, match=r"^each listener must be a callable of one arg"):
        each(failing, what)


async def dial_and_fail(**options: Any) -> None:
    with refusing() as address, pytest.raises(ConnectError):
        await Dialer(**options).connect(address)


@pytest.mark.anyio
async def test_a_dialer_takes_each(anyio_backend: Any) -> None:
    reports: list[Report] = []
    events: list[Event] = []
    options = {"trace": each(events.append, failing), "on_report": each(failing, reports.append)}
    with pytest.warns(RuntimeWarning) as caught:
        await dial_and_fail(**options)
    assert {str(each.message).partition(" raised")[0] for each in caught} == {
        "trace",
        "on_report",
    }
    [report] = reports
    assert report.events == tuple(events)
