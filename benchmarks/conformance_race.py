"""Rows about several addresses, errors, time and cancellation, for `conformance.py`."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import trio
from conformance_rows import PATIENCE, TURNS, Row, row, within
from conformance_stage import (
    FIRST,
    MANY,
    NAME,
    NINE,
    SECOND,
    SLOW_NAME,
    Fault,
    busy_for,
    drain,
    listening,
    no_leak,
    refusing_port,
    silent,
    tls_client,
    tls_server,
)

import aconnect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conformance_peers import Connection, Peer

__all__ = ["ROWS"]

ROWS: dict[str, Row] = {}


# -------------------------------------------------------------------------------- the race


@row(
    ROWS,
    "one-by-one",
    "Addresses are tried strictly one by one if one asks for it",
    "A name with two addresses, the first silent: the second must not be tried within a second. "
    "Then the first refuses: it must be.",
)
async def one_by_one(peer: Peer) -> str:
    with silent(FIRST) as first:
        port = first.getsockname()[1]
        with listening(SECOND, port) as second:
            connection = await within(peer, 1.0, peer.tcp(NAME, port, delay=None))
            if connection is not None:
                await connection.close()
            if drain(second):
                raise Fault("the second is tried while the first is")
    with listening(SECOND, port) as second:
        connection = await within(peer, PATIENCE, peer.tcp(NAME, port, delay=None))
        if connection is None:
            raise Fault("the second is not tried at all")
        await connection.close()
    return "one by one"


@row(
    ROWS,
    "two-winners",
    "Of two that connect at once, one is returned and the other closed",
    "Both addresses of a name answer while the event loop is busy.",
)
async def two_winners(peer: Peer) -> str:
    with silent(FIRST) as first:
        port = first.getsockname()[1]
        with silent(SECOND, port) as second:

            def both_answer() -> None:
                drain(first)
                drain(second)
                busy_for(2.0)  # a SYN is sent again after one second

            with no_leak():
                peer.later(0.4, both_answer)
                connection = await within(peer, 10.0, peer.tcp(NAME, port, delay=0.05))
                if connection is None:
                    raise Fault("does not connect")
                await connection.close()
                for _ in range(TURNS):
                    await peer.tick()
            both = drain(first) and drain(second)
    if not both:
        return "never has two"
    return "the other is closed"


@row(
    ROWS,
    "cancelled-late",
    "A cancellation is not lost while the call cleans up",
    "Cancelled 0, 1, 2, ... 11 turns of the loop after the second of two addresses has "
    "connected, the first being silent. The call must be cancelled, and leave no socket.",
)
async def cancelled_late(peer: Peer) -> str:
    late = _late_on_trio if peer.on_trio or peer.library == "anyio" else _late_on_asyncio
    with silent(FIRST) as first:
        port = first.getsockname()[1]
        with listening(SECOND, port) as second:
            for turns in range(12):
                with no_leak():
                    await late(peer, port, second, turns)
                    for _ in range(TURNS):
                        await peer.tick()
                drain(second)
    return "cancelled each time"


async def _until_connected(peer: Peer, listener: socket.socket, turns: int) -> None:
    end = time.monotonic() + 1  # who tries one by one never comes there
    while time.monotonic() < end and not drain(listener):
        await peer.tick()
    for _ in range(turns):
        await peer.tick()


async def _late_on_asyncio(peer: Peer, port: int, second: socket.socket, turns: int) -> None:
    task = asyncio.create_task(peer.tcp(NAME, port, delay=0.02))
    await _until_connected(peer, second, turns)
    was_cancelled = task.cancel()
    await asyncio.wait([task])
    if task.cancelled():
        return
    await task.result().close()
    if was_cancelled:
        raise Fault(f"is lost after {turns} turns")


async def _late_on_trio(peer: Peer, port: int, second: socket.socket, turns: int) -> None:
    """With the scopes of trio and anyio: a cancellation lasts until the scope is left."""
    opened: list[Connection] = []
    done = lost = False

    async def connect(scope: anyio.CancelScope) -> None:
        nonlocal done, lost
        with scope:
            opened.append(await peer.tcp(NAME, port, delay=0.02))
            done = True
            await anyio.lowlevel.checkpoint()
        lost = scope.cancel_called and not scope.cancelled_caught and not late

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        group.start_soon(connect, scope)
        await _until_connected(peer, second, turns)
        late = done
        scope.cancel()
    for connection in opened:
        await connection.close()
    if lost:
        raise Fault(f"is lost after {turns} turns")


@row(
    ROWS,
    "tls-in-the-race",
    "An address whose certificate is wrong does not keep the next from winning",
    "Two addresses, both with TLS; the first one's certificate is of an unknown authority.",
)
async def tls_in_the_race(peer: Peer) -> str:
    with tls_server(FIRST, 0, right=False) as port, tls_server(SECOND, port, right=True):
        try:
            connection = await within(peer, 10.0, peer.tcp(NAME, port, tls=tls_client()))
        except (ssl.SSLError, OSError, trio.BrokenResourceError) as error:
            raise Fault(f"raises {type(error).__name__}") from None
        if connection is None:
            raise Fault("does not connect")
        _, (host, _) = connection.names()
        await connection.close()
        return f"connects to {host}"


@row(
    ROWS,
    "silent-tls",
    "An address that accepts and never answers in TLS does not keep the next from winning",
    "Two addresses; the first accepts, the second speaks TLS. Within 2 s.",
)
async def silent_tls(peer: Peer) -> str:
    with listening(FIRST) as mute:
        port = mute.getsockname()[1]
        with tls_server(SECOND, port, right=True):
            connection = await within(peer, 2.0, peer.tcp(NAME, port, tls=tls_client()))
            if connection is None:
                raise Fault("waits for the first")
            await connection.close()
    return "the second wins"


@row(
    ROWS,
    "many-silent",
    "Eight silent addresses do not keep a ninth from winning",
    "A name with nine addresses, of which the last answers. Within 5 s.",
)
async def many_silent(peer: Peer) -> str:
    with ExitStack() as stack:
        port = stack.enter_context(listening(NINE[-1])).getsockname()[1]
        for address in NINE[:-1]:
            stack.enter_context(silent(address, port))
        start = time.monotonic()
        connection = await within(peer, 5.0, peer.tcp(MANY, port))
        waited = time.monotonic() - start
        if connection is None:
            raise Fault("does not connect")
        await connection.close()
    return f"connects after {waited:.1f} s"


# ---------------------------------------------------------------------------------- errors


async def _refused(peer: Peer, host: str) -> OSError:
    with refusing_port() as port:
        try:
            connection = await peer.tcp(host, port)
        except OSError as error:
            return error
        await connection.close()
        raise Fault("connects")


def _check_refused(error: OSError) -> str:
    if error.errno != errno.ECONNREFUSED or not isinstance(error, ConnectionRefusedError):
        raise Fault(f"raises {type(error).__name__}, errno {error.errno}")
    return "raises a ConnectionRefusedError"


@row(
    ROWS,
    "errno-of-one",
    "One address refused: a ConnectionRefusedError with its errno",
    "A literal address on which nobody listens.",
)
async def errno_of_one(peer: Peer) -> str:
    return _check_refused(await _refused(peer, FIRST))


@row(
    ROWS,
    "errno-of-two",
    "Two addresses refused: the same",
    "A name with two addresses, and nobody listens. (asyncio can raise a group instead, with "
    "`all_errors=True`.)",
)
async def errno_of_two(peer: Peer) -> str:
    return _check_refused(await _refused(peer, NAME))


@row(
    ROWS,
    "errors-of-all",
    "The error tells of each address how it failed",
    "The same: both addresses, and the errno or its words, are looked for in the error, its "
    "causes, its notes and its groups.",
)
async def errors_of_all(peer: Peer) -> str:
    told = list(_all_of(await _refused(peer, NAME)))
    text = "\n".join(told)
    missing = [host for host in (FIRST, SECOND) if host not in text]
    if missing:
        raise Fault(f"does not name {' and '.join(missing)}")
    if "111" not in text and "refused" not in text and "nobody listens" not in text:
        raise Fault("does not say why")
    return "names both"


def _all_of(error: BaseException | None) -> Any:
    while error is not None:
        yield f"{error} {getattr(error, '__notes__', '')}"
        for each in getattr(error, "exceptions", ()):
            yield from _all_of(each)
        error = error.__cause__ or error.__context__


@row(
    ROWS,
    "record-of-success",
    "A success can tell what was tried before it, and when",
    "The first of two addresses refuses, the second connects; the peer is asked for `on_report`, "
    "`report`, `trace`, `trace_config` or `on_attempt`.",
)
async def record_of_success(peer: Peer) -> str:
    heard: list[Any] = []
    with listening(SECOND) as listener:
        port = listener.getsockname()[1]
        refusals = []
        for option in ("on_report", "report", "trace", "trace_config", "on_attempt"):
            try:
                connection = await peer.tcp(NAME, port, **{option: heard.append})
            except TypeError:
                refusals.append(option)
                continue
            await connection.close()
            break
        else:
            raise Fault("has no such option")
    told = "\n".join(map(str, heard))
    if FIRST not in told or SECOND not in told:
        raise Fault("does not tell")
    return f"tells {option}"


# ---------------------------------------------------------------------- time, cancellation


async def _through_the_phases(peer: Peer, attempt: Callable[..., Awaitable[None]]) -> None:
    """A lookup that takes its time, a connect that does, a handshake that does."""
    with ExitStack() as stack:
        quiet = stack.enter_context(silent(FIRST))
        speechless = stack.enter_context(listening(FIRST))
        await attempt("connecting", FIRST, quiet.getsockname()[1])
        await attempt("the handshake", FIRST, speechless.getsockname()[1], tls=tls_client())
        if peer.library != "aiohappyeyeballs":
            await attempt("resolving", SLOW_NAME, 9)


@row(
    ROWS,
    "cancelled",
    "Cancelled while it resolves, connects or shakes hands, it ends at once and leaves nothing",
    "A time limit around the call, as each loop has it, of 0.3 s, while a name server, a peer's "
    "TCP or its TLS says nothing for longer than 3 s.",
)
async def cancelled(peer: Peer) -> str:
    async def attempt(phase: str, *address: Any, **options: Any) -> None:
        with no_leak():
            start = time.monotonic()
            connection = await within(peer, 0.3, peer.tcp(*address, **options))
            waited = time.monotonic() - start
            if connection is not None:
                await connection.close()
                raise Fault(f"connects in {phase}")
            for _ in range(TURNS):
                await peer.tick()
        if waited > 2:
            raise Fault(f"goes on with {phase} for {waited:.1f} s")

    await _through_the_phases(peer, attempt)
    return "nothing left"


@row(
    ROWS,
    "own-timeout",
    "One time limit of its own covers the lookup, the connect and TLS, and its error says so",
    "`timeout` or `deadline` of 0.3 s in the same three situations: a TimeoutError with ETIMEDOUT "
    "that names the address.",
)
async def own_timeout(peer: Peer) -> str:
    async def attempt(phase: str, host: str, port: int, **options: Any) -> None:
        for name in ("timeout", "deadline"):
            try:
                connection = await peer.tcp(host, port, **{name: 0.3}, **options)
            except TypeError:
                continue
            except TimeoutError as error:
                if error.errno != errno.ETIMEDOUT or host not in str(error):
                    raise Fault(f"says {error!r}") from None
                return
            await connection.close()
            raise Fault(f"connects in {phase}")
        raise Fault("has no such option")

    await _through_the_phases(peer, attempt)
    return "in all three"


@row(
    ROWS,
    "factory-raises",
    "A protocol factory that raises leaves no socket open",
    "`create_connection` with an address; of asyncio and uvloop then with `sock=`, which hands "
    "the socket over.",
    **dict.fromkeys(("trio", "anyio", "aiohappyeyeballs", "aconnect, trio"), "has no protocols"),
)
async def factory_raises(peer: Peer) -> str:
    def factory() -> asyncio.Protocol:
        raise ZeroDivisionError

    with listening("127.0.0.1") as listener:
        address = listener.getsockname()
        with no_leak():
            if peer.library == "aconnect":
                await _raising(aconnect.create_connection(factory, address))
                return "closed"
            create = asyncio.get_running_loop().create_connection
            await _raising(create(factory, *address))
            with socket.create_connection(address) as sock:
                sock.setblocking(False)
                await _raising(create(factory, sock=sock))
                left = sock.fileno() >= 0
    if left:
        raise Fault("leaves the one that it was given open")
    return "closed"


async def _raising(created: Awaitable[object]) -> None:
    try:
        await created
    except ZeroDivisionError:
        return
    raise Fault("does not raise")
