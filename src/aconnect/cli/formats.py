"""How results are written: for people, as JSON Lines, CSV, or metrics of Prometheus.

Rules:

* A result is a line, whatever an address or a peer brings along.
* Times are seconds, but for people.
* Members, and columns, keep their order; further ones may come.
* In CSV, a cell that a spreadsheet would take for a formula begins with an apostrophe.

Source: RFC 4180 for CSV, RFC 3339 for times, the text format of Prometheus; its names are those of
the blackbox exporter.
"""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from aconnect import (
    AttemptRecord,
    ConnectError,
    TCPAddress,
    UDPAddress,
    UnixAddress,
    VsockAddress,
    explain,
)

from .screen import duration, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aconnect import Report
    from aconnect.many import Result

__all__ = ["CSV_HEADER", "as_csv", "as_json", "as_text", "drawing", "prometheus", "waterfall"]

STYLES: Final = {"connected": "green", "timed out": "yellow", "not tried": "dim"}
_WIDTH: Final = 9  # of "connected" and "timed out"
_DATAGRAMS: Final = ("udp://", "unixgram:")


def _is_datagram(result: Result) -> bool:
    return str(result.key.text).lower().startswith(_DATAGRAMS)


def _peer(result: Result) -> str | None:
    """The resolved address in the form in which it could be typed."""
    error = result.error
    if isinstance(error, ConnectError) and len(error.attempts) == 1:
        return _typed(error.attempts[0])
    udp = result.peer is not None and result.key.text.lower().startswith("udp://")
    return f"udp://{result.peer.removeprefix('udp://')}" if udp and result.peer else result.peer


def _typed(record: AttemptRecord) -> str:
    sockaddr: Any = record.sockaddr
    try:
        if record.family == getattr(socket, "AF_UNIX", None):
            path = os.fsdecode(sockaddr)
            # A file may be called "@x": only a leading NUL makes a name abstract.
            path = f"./{path}" if path.startswith("@") else path.replace("\0", "@", 1)
            return str(UnixAddress(path, record.type))
        if record.family == getattr(socket, "AF_VSOCK", None):
            return str(VsockAddress(*sockaddr))
        internet = UDPAddress if record.type == socket.SOCK_DGRAM else TCPAddress
        return str(internet(*sockaddr))
    except (TypeError, ValueError):
        return repr(sockaddr)


def as_text(result: Result, via: Sequence[str] = ()) -> Text:
    """A line for people."""
    asked = result.key
    if result.connected:
        peer = _peer(result)
        known = "" if peer in (None, asked.text) or asked.text.endswith(f"//{peer}") else peer
        way = "".join(f" through {each}" for each in via)
        where = f" ({known})" if known else ""
        line = f"to {asked.shown}{way}{where} in {duration(result.seconds)}"
        if _is_datagram(result):
            line += "; connecting a datagram socket sends nothing, so nobody has answered"
    elif isinstance(result.error, ConnectError):
        line = str(result.error.strerror)
    elif result.error is not None:
        line = f"line {asked.line}: {result.error}" if asked.line else str(result.error)
    else:
        line = asked.shown
    text = Text(f"{result.outcome:<{_WIDTH}}", STYLES.get(result.outcome, "red"))
    return text.append(f"  {printable(line)}", "default")


def drawing(result: Result, width: int, unicode: bool) -> Iterator[Text]:
    """The waterfall of a dial, in colours; of what was not dialled there is none."""
    if result.report is None:
        return
    style = STYLES.get(result.outcome, "red")
    yield from waterfall(result.report, style, width, unicode)


def waterfall(report: Report, style: str, width: int, unicode: bool) -> Iterator[Text]:
    """The lines of a drawing, with bars in that style."""
    for line in report.draw(max(width - 2, 60)).splitlines():
        before, bar, rest = line.partition("|")
        if not (bar and rest.endswith("|") and set(rest[:-1]) <= set(" =.")):
            yield Text(f"  {line}", "dim")
            continue
        drawn = rest[:-1].replace("=", "\u2501") if unicode else rest[:-1]
        yield Text.assemble(("  " + before, "dim"), "|", (drawn, style), "|")


def as_json(result: Result, via: Sequence[str] = ()) -> str:
    """One line of JSON."""
    peer = _peer(result)
    fields: dict[str, object] = {
        "address": _unicode(result.key.shown),
        "peer": peer and _unicode(peer),
        "outcome": result.outcome,
        "seconds": round(result.seconds, 6),
    }
    if via:
        fields["via"] = [_unicode(each) for each in via]
    error = result.error
    if isinstance(error, ConnectError):
        fields |= {
            "errno_name": _name(error),
            "errno": error.errno,
            "phase": error.phase,
            "transient": error.transient,
            "message": _unicode(str(error.strerror)),
            "attempts": [_attempt_fields(record) for record in error.attempts],
        }
    elif error is not None:
        fields["message"] = _unicode(str(error))
    fields |= {
        "index": result.key.place,
        "line": result.key.line,
        "phases": {phase: round(seconds, 6) for phase, seconds in result.phases.items()},
        "time": _moment(result.time),
    }
    return json.dumps(fields)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _unicode(text: str) -> str:
    """The text as a strict parser takes it: bytes of a path that are no UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _attempt_fields(record: AttemptRecord) -> dict[str, object]:
    fields = {**record.to_dict(), "peer": _typed(record)}
    return {
        key: _unicode(value) if isinstance(value, str) else value for key, value in fields.items()
    }


def _name(error: ConnectError) -> str:
    return explain(error).partition(":")[0]


_PHASES: Final = ("resolve", "connect", "proxy", "handshake")
_COLUMNS: Final = (
    *("address", "peer", "outcome", "seconds", "errno_name", "errno", "phase", "transient"),
    *("message", "index", "line", *_PHASES, "time"),
)
CSV_HEADER: Final = ",".join(_COLUMNS)


def as_csv(result: Result, via: Sequence[str] = ()) -> str:
    """A row of `CSV_HEADER`."""
    fields: dict[str, Any] = json.loads(as_json(result, via))
    fields |= fields["phases"]
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow([_cell(fields.get(column)) for column in _COLUMNS])
    return row.getvalue().replace("\n", " ").replace("\r", " ")


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t"):
        return f"'{value}"
    return value


_METRICS: Final = {
    "probe_success": "Whether there was a connection",
    "probe_duration_seconds": "How long it took",
    "probe_dns_lookup_time_seconds": "How long the lookup of its name took",
    "probe_ip_protocol": "The version of IP, 4 or 6",
    "probe_ip_addr_hash": "A hash of the IP address: it changes with that",
    "probe_tls_version_info": "The version of TLS",
    "probe_ssl_earliest_cert_expiry": "When the certificate expires, in Unix time",
}


def prometheus(results: Sequence[Result]) -> Iterator[str]:
    """Lines for a textfile collector, by metric."""
    rows = [(result.key.shown, list(_values(result))) for result in results]
    for metric, words in _METRICS.items():
        lines = [
            f'{metric}{{target="{_label(text)}"{more}}} {value}'
            for text, values in rows
            for name, more, value in values
            if name == metric
        ]
        if lines:
            yield f"# HELP {metric} {words}"
            yield f"# TYPE {metric} gauge"
            yield from dict.fromkeys(lines)


def _values(result: Result) -> Iterator[tuple[str, str, str]]:
    yield "probe_success", "", str(int(result.connected))
    yield "probe_duration_seconds", "", f"{result.seconds:.6f}"
    resolving = result.phases.get("resolve", 0.0)
    yield "probe_dns_lookup_time_seconds", "", f"{resolving:.6f}"
    winner = result.report.winner if result.report is not None else None
    if winner is None:
        return
    sockaddr: Any = winner.sockaddr
    if winner.family in (socket.AF_INET, socket.AF_INET6):
        version = "6" if winner.family == socket.AF_INET6 else "4"
        yield "probe_ip_protocol", "", version
        yield "probe_ip_addr_hash", "", str(_fnv1a(sockaddr[0].encode()))
    details = winner.handshakes[-1].details if winner.handshakes else {}
    if "version" in details:
        yield "probe_tls_version_info", f',version="{_label(str(details["version"]))}"', "1"
    if details.get("expires"):
        expires = ssl.cert_time_to_seconds(str(details["expires"]))
        yield "probe_ssl_earliest_cert_expiry", "", str(int(expires))


def _label(text: str) -> str:
    text = _unicode(text)
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _fnv1a(data: bytes) -> int:
    """32 bits of FNV-1a, as the blackbox exporter has it."""
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value
