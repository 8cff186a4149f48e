"""`aconnect check`: connect to each address and say what came of it.

Rules:

* At most `AT_ONCE` addresses are being connected to at a time.  The results come in the order
  of the addresses, each as soon as it and all before it are known; on Ctrl-C, all that are.
* A socket is closed as soon as it is connected, however the command ends.
* A connected datagram socket has heard from nobody, and the line says so.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.text import Text

from aconnect import (
    AttemptRecord,
    ConnectError,
    ConnectTimeout,
    Dialer,
    Proxy,
    TCPAddress,
    UDPAddress,
    UnixAddress,
    VsockAddress,
    aconnect,
    explain,
)

from .screen import duration, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .loops import EventLoop
    from .parameters import Target

__all__ = ["AT_ONCE", "Checked", "as_json", "as_text", "check_all"]

AT_ONCE: Final = 32
"""Few enough for any limit on descriptors; as many as aconnect looks up names at a time."""

_STYLES: Final = {"connected": "green", "failed": "red", "timed out": "yellow"}


class Checked(NamedTuple):
    """What came of one address.

    ``peer`` is the resolved address: the one connected to, or the only one that was tried;
    None if several were, or none.  ``error`` is None if it is connected.  ``via`` are the proxies
    on the way, as text.
    """

    target: Target
    peer: str | None
    seconds: float
    datagram: bool
    error: ConnectError | None
    via: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """In a word or two: "connected", "failed" or "timed out"."""
        if self.error is None:
            return "connected"
        return "timed out" if isinstance(self.error, ConnectTimeout) else "failed"


def check_all(
    targets: Sequence[Target],
    loop: EventLoop,
    timeout: float,
    show: Callable[[Checked], None],
    dialer: Dialer | None = None,
) -> bool:
    """Connect to each target on ``loop``.

    Args:
        targets: what to connect to.
        loop: where.
        timeout: seconds for each.
        show: is called with each result, in the order of the targets.
        dialer: what connects; None for `aconnect`.

    Returns:
        Whether all were connected.

    Raises:
        KeyboardInterrupt: on Ctrl-C; nothing is open, and all that is known has been shown.
        Exception: what ``show`` raised; nothing is open.
    """
    waiting = iter(enumerate(targets))
    known: dict[int, Checked] = {}
    shown: list[bool] = []

    async def work() -> None:
        for index, target in waiting:
            known[index] = await _check(target, dialer, timeout)
            while len(shown) in known:
                checked = known.pop(len(shown))
                shown.append(checked.error is None)
                show(checked)

    async def main() -> None:
        await loop.together(work, min(AT_ONCE, len(targets)))

    try:
        loop.run(main)
    except KeyboardInterrupt:
        for index in sorted(known):  # they were waiting for one before them
            show(known[index])
        raise
    return all(shown)


async def _check(target: Target, dialer: Dialer | None, timeout: float) -> Checked:
    start = time.monotonic()
    via = _via(dialer)
    try:
        connect = aconnect if dialer is None else dialer.connect
        sock = await connect(target.address, timeout=timeout)
    except ConnectError as error:
        peers = [_peer(record, record.sockaddr) for record in error.attempts]
        # Without the traceback, which leads to this frame.
        failure = error.with_traceback(None)
        return Checked(
            target, peers[0] if len(peers) == 1 else None, error.elapsed, False, failure, via
        )
    with sock:
        seconds = time.monotonic() - start
        try:
            peer = _peer(sock, sock.getpeername())
        except OSError:  # it has hung up again already
            peer = None
        return Checked(target, peer, seconds, sock.type == socket.SOCK_DGRAM, None, via)


def _via(dialer: Dialer | None) -> tuple[str, ...]:
    """The proxies on the way, as text without user and password."""
    if dialer is None:
        return ()
    chain: Any = dialer.proxy if isinstance(dialer.proxy, tuple) else (dialer.proxy,)
    return tuple(str(each) for each in chain if isinstance(each, Proxy))


def _peer(kind: socket.socket | AttemptRecord, sockaddr: Any) -> str:
    """A resolved address in the form in which it could be typed."""
    try:
        if kind.family == getattr(socket, "AF_UNIX", None):
            path = os.fsdecode(sockaddr)
            # A file may be called "@x": only a leading NUL makes a name abstract.
            path = f"./{path}" if path.startswith("@") else path.replace("\0", "@", 1)
            return str(UnixAddress(path, kind.type))
        if kind.family == getattr(socket, "AF_VSOCK", None):
            return str(VsockAddress(*sockaddr))
        internet = UDPAddress if kind.type == socket.SOCK_DGRAM else TCPAddress
        return str(internet(*sockaddr))
    except (TypeError, ValueError):
        return repr(sockaddr)


def as_text(checked: Checked) -> Text:
    """The result as a line for people."""
    if checked.error is None:
        peer = "" if checked.peer in (None, checked.target.text) else f" ({checked.peer})"
        way = "".join(f" through {each}" for each in checked.via)
        line = f"to {checked.target.text}{way}{peer} in {duration(checked.seconds)}"
        if checked.datagram:
            line += "; connecting a datagram socket sends nothing, so nobody has answered"
    else:
        line = str(checked.error.strerror)
    text = Text(f"{checked.outcome:<9}", _STYLES[checked.outcome])
    return text.append(f"  {printable(line)}", "default")


def as_json(checked: Checked) -> str:
    """The result as one line of JSON."""
    fields: dict[str, object] = {
        "address": _unicode(checked.target.text),
        "peer": checked.peer and _unicode(checked.peer),
        "outcome": checked.outcome,
        "seconds": round(checked.seconds, 6),
    }
    if checked.via:
        fields["via"] = [_unicode(each) for each in checked.via]
    error = checked.error
    if error is not None:
        fields |= {
            "errno_name": _name(error),
            "errno": error.errno,
            "phase": error.phase,
            "transient": error.transient,
            "message": error.strerror,
            "attempts": [_attempt_fields(record) for record in error.attempts],
        }
    return json.dumps(fields)


def _unicode(text: str) -> str:
    """The text as a strict parser takes it: bytes of a path that are no UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _attempt_fields(record: AttemptRecord) -> dict[str, object]:
    fields = {**record.to_dict(), "peer": _peer(record, record.sockaddr)}
    return {
        key: _unicode(value) if isinstance(value, str) else value for key, value in fields.items()
    }


def _name(error: int | OSError) -> str:
    return explain(error).partition(":")[0]
