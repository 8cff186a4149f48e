"""A dial as spans of OpenTelemetry.

Rules:

* There is a span for the dial, and one for each lookup, attempt and handshake, which are its
  children and no parents of each other.
* Times are the events' own: one difference between the clocks is taken for all of a dial, so that
  no step of the clock tears it apart.  No child begins before its parent, or ends after it.
* A span is an error if what it stands for failed, timed out or was not permitted.  What was given
  up because something else won is none.
* No message is in any attribute: neither a peer's nor one of ours.

Source: the names of .NET 9's spans for connections, which are the only ones that there are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode, set_span_in_context

from ..addresses.text import format_sockaddr
from ..report.attempt import kind_of_handshake
from ..trace import HandshakeStarted
from .conventions import (
    connect_error,
    dial_error,
    handshake_error,
    lookup_error,
    network_type,
    outcome,
    server_of,
    transport,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.trace import Span, Tracer

    from ..addresses.values import SockAddr
    from ..report.attempt import AttemptRecord, HandshakeSummary
    from ..report.report import ResolutionSummary
    from ..report.story import Story
    from ..trace import Event
    from .plain import Plain

__all__ = ["MOST_ANSWERS", "add_attempt", "add_children", "describe", "describe_plain", "name_of"]

MOST_ANSWERS: Final = 16
"""Addresses of a lookup that a span has."""

_ERROR: Final = Status(StatusCode.ERROR)
_CONNECTED: Final[dict[str, Any]] = {"aconnect.outcome": "connected"}
_WON: Final[dict[str, Any]] = {**_CONNECTED, "aconnect.won": True}


@lru_cache(maxsize=256)
def name_of(address: str) -> str:
    """What the span of a dial is called."""
    server, port = server_of(address)
    return f"connect {server}" if port is None else f"connect {server}:{port}"


def describe(span: Span, story: Story) -> None:
    """Say in the span of a dial what became of it."""
    attributes = dict(_server(story.address))
    attributes["aconnect.outcome"] = outcome(story.outcome)
    winner = next((each for each in story.attempts.values() if each.won), None)
    if winner is not None:
        attributes |= _peer(winner)
    if story.via:
        attributes["aconnect.proxy"] = story.via
    _finish(span, attributes, dial_error(story))


def describe_plain(span: Span, dial: Plain) -> None:
    """`describe`, of one of the plainest dials."""
    family, type, _, sockaddr = dial.endpoint
    peer = _of_peer(family, type, sockaddr)
    span.set_attributes({**_server(dial.address), **_CONNECTED, **peer})


def add_attempt(tracer: Tracer, span: Span, dial: Plain, origin: int) -> None:
    """`add_children`, of one of the plainest dials, which has one child."""
    family, type, _, sockaddr = dial.endpoint
    began = max(0.0, min(dial.start, dial.elapsed))
    ended = max(began, min(dial.connected, dial.elapsed))
    child = tracer.start_span(
        _name_of_attempt(format_sockaddr(family, sockaddr)),
        set_span_in_context(span, Context()),
        attributes={**_of_peer(family, type, sockaddr), **_WON, "aconnect.place": dial.place},
        start_time=origin + round(began * 1e9),
    )
    child.end(origin + round(ended * 1e9))


def add_children(
    tracer: Tracer,
    span: Span,
    story: Story,
    events: tuple[Event, ...],
    moment: Callable[[float], int],
) -> None:
    """Make the spans of lookups, attempts and handshakes.

    Args:
        tracer: makes them.
        span: that of the dial.
        story: what became of it.
        events: what happened.
        moment: from seconds since the start of the dial to nanoseconds of the epoch.
    """
    context = set_span_in_context(span, Context())
    for name, start, end, attributes, error in _children(story, events):
        began = max(0.0, min(start, story.elapsed))
        ended = story.elapsed if end is None else max(began, min(end, story.elapsed))
        child = tracer.start_span(name, context, start_time=moment(began))
        _finish(child, attributes, error)
        child.end(moment(ended))


_Child = tuple[str, float, "float | None", "dict[str, Any]", "str | None"]


def _children(story: Story, events: tuple[Event, ...]) -> Iterator[_Child]:
    for search in story.resolutions.values():
        yield _lookup(search)
    proxies: dict[tuple[int, int], str] = {}
    if story.via:
        begun = (each for each in events if isinstance(each, HandshakeStarted))
        proxies = {(each.attempt, each.layer): each.proxy for each in begun}
    for each in story.attempts.values():
        yield _attempt(each)
        for shake in each.handshakes:
            yield _handshake(story, each, shake, proxies.get((each.number, shake.layer), ""))


def _lookup(search: ResolutionSummary) -> _Child:
    host = server_of(search.address)[0]
    found = [str(each.sockaddr[0]) for each in search.endpoints[:MOST_ANSWERS]]
    attributes: dict[str, Any] = {
        "dns.question.name": host,
        "aconnect.outcome": outcome(search.outcome),
    }
    if found:
        attributes["dns.answers"] = found
    if search.remembered:
        attributes["aconnect.remembered"] = True
    return f"DNS lookup {host}", search.start, search.end, attributes, lookup_error(search)


def _attempt(each: AttemptRecord) -> _Child:
    attributes = _peer(each)
    connected = each.connected is not None
    attributes["aconnect.outcome"] = "connected" if connected else outcome(each.outcome)
    attributes["aconnect.won"] = each.won
    attributes["aconnect.place"] = each.place
    if each.via:
        attributes["aconnect.proxy"] = each.via[0]
    name = _name_of_attempt(each.peer)
    return name, each.start, each.connect_end, attributes, connect_error(each)


@lru_cache(maxsize=256)
def _name_of_attempt(peer: str) -> str:
    address, port = server_of(peer)
    return f"socket connect {address}" if port is None else f"socket connect {address}:{port}"


def _handshake(story: Story, each: AttemptRecord, shake: HandshakeSummary, proxy: str) -> _Child:
    attributes = _peer(each)
    attributes["aconnect.outcome"] = outcome(shake.outcome)
    attributes["aconnect.won"] = each.won
    if proxy:
        attributes["aconnect.proxy"] = proxy
    name = kind_of_handshake(shake.name)
    if shake.name == "TLS":
        server = server_of(each.host or proxy or story.address)[0]
        name = f"TLS client handshake {server}"
        attributes |= _tls(shake)
    return name, shake.start, shake.end, attributes, handshake_error(shake, each)


def _tls(shake: HandshakeSummary) -> dict[str, Any]:
    details = shake.details
    version = details.get("version", "")
    found = {
        "tls.protocol.name": version and ("tls" if version.startswith("TLS") else "ssl"),
        "tls.protocol.version": version.removeprefix("TLSv").removeprefix("SSLv"),
        "tls.cipher": details.get("cipher"),
        "tls.next_protocol": details.get("ALPN"),
        "tls.resumed": details.get("session") == "resumed" if version else None,
    }
    return {key: value for key, value in found.items() if value not in ("", None)}


@lru_cache(maxsize=256)
def _server(text: str) -> Mapping[str, Any]:
    address, port = server_of(text)
    return {"server.address": address} | ({} if port is None else {"server.port": port})


def _peer(each: AttemptRecord) -> dict[str, Any]:
    return dict(_of_peer(each.family, each.type, each.sockaddr))


@lru_cache(maxsize=256)
def _of_peer(family: int, type: int, sockaddr: SockAddr | None) -> Mapping[str, Any]:
    address, port = server_of(format_sockaddr(family, sockaddr))
    found: dict[str, Any] = {
        "network.peer.address": address,
        "network.peer.port": port,
        "network.type": network_type(family),
        "network.transport": transport(family, type),
    }
    return {key: value for key, value in found.items() if value is not None}


def _finish(span: Span, attributes: dict[str, Any], error: str | None) -> None:
    if error is not None:
        attributes["error.type"] = error
        span.set_status(_ERROR)
    span.set_attributes(attributes)
