"""The system calls of an attempt, and what each of their answers is worth.

Rules:

* Every socket is opened non-blocking and close-on-exec, TCP with its protocol named: with
  protocol 0 asyncio's transports do not recognise TCP.
* What makes the calls is a value that is handed in: `SystemCalls`.
* A failure that says something about the connection comes back as an errno; any other is
  raised.
* To have a peer's name is not to be connected.  After a SYN of each side a TCP socket has one, and
  waits for the last word of the handshake: TCP is asked for its state.
"""

from __future__ import annotations

import errno as errnos
import os
import select
import socket
import struct
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..sansio.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..addresses.values import Endpoint, SockAddr

__all__ = [
    "INFO_SIZE",
    "SYSTEM_CALLS",
    "Polled",
    "SystemCalls",
    "abort",
    "close",
    "connect_errno",
    "connected_after_all",
    "connected_now",
    "local_address",
    "open_bare_socket",
    "open_socket",
    "poll_now",
    "probe",
    "ready_now",
    "so_error",
]

_EINPROGRESS: Final = errnos.EINPROGRESS
_NONBLOCK: Final[int] = getattr(socket, "SOCK_NONBLOCK", 0)
_IPPROTO_TCP: Final[int] = socket.IPPROTO_TCP
_TCP_NODELAY: Final[int] = socket.TCP_NODELAY
_SOL_SOCKET: Final[int] = socket.SOL_SOCKET
_SOCK_STREAM: Final = socket.SOCK_STREAM
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
INFO_SIZE: Final = 144
"""How much of TCP_INFO is asked for: up to tcpi_segs_in, which Linux has since 4.2."""
_SEGMENTS_IN: Final = INFO_SIZE - 4
_ONE_SEGMENT: Final = struct.pack("=I", 1)
_NO_STATE: Final = (errnos.ENOPROTOOPT, errnos.EOPNOTSUPP)  # of something that is not TCP
# include/net/tcp_states.h, of Linux: from ESTABLISHED on, until both sides have closed; so not
# SYN_SENT (2), SYN_RECV (3), TIME_WAIT (6), CLOSE (7), LISTEN (10).
_CONNECTED: Final = frozenset({1, 4, 5, 8, 9, 11})
_ESTABLISHED, _SYN_SENT, _CLOSE = 1, 2, 7
_LONGEST_SUN_PATH: Final = 107  # Linux: 108 bytes, of which Python gives the NUL one


class SystemCalls(Value, kw_only=True):
    """The system calls of a dial, as what makes them.

    Not among them are lookups, the waits of the event loop, and the datagram socket by which a
    route is asked for.  With a ``socket_factory``, ``socket`` is not called.

    For tests: one of these that is handed in, ``Dialer(system_calls=...)``, can keep a journal of
    the calls, and have one fail.

    Args:
        socket: opens a socket, as `socket.socket` does.  The methods of what it gives are all
            other calls on that socket: bind(2), setsockopt(2), connect(2), getsockopt(2),
            getpeername(2), getsockname(2), close(2).
        poll: gives what `select.poll` gives.
        open, close: of the directory of a unix path that is too long for connect(2).
    """

    socket: Callable[..., socket.socket] = socket.socket
    poll: Any = getattr(select, "poll", None)
    open: Callable[..., int] = os.open
    close: Callable[[int], None] = os.close


SYSTEM_CALLS: Final = SystemCalls()
"""The system's own."""


def open_socket(
    endpoint: Endpoint, make: Callable[..., socket.socket] = socket.socket
) -> socket.socket:
    """A socket for ``endpoint``: non-blocking, close-on-exec, TCP_NODELAY on TCP.

    Args:
        make: as the ``socket`` of `SystemCalls`.

    Raises:
        OSError: there is none to be had; nothing stays open.
    """
    family, type, proto, _ = endpoint
    sock = make(family, type | _NONBLOCK, proto)
    try:
        if not _NONBLOCK:
            sock.setblocking(False)
        if proto == _IPPROTO_TCP:
            sock.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
    except BaseException:
        close(sock)
        raise
    return sock


def open_bare_socket(
    endpoint: Endpoint, make: Callable[..., socket.socket] = socket.socket
) -> socket.socket:
    """`open_socket` for a transport of asyncio's, which sets TCP_NODELAY itself.

    Raises:
        OSError: there is none to be had; nothing stays open.
    """
    if not _NONBLOCK:
        return open_socket(endpoint, make)
    family, type, proto, _ = endpoint
    return make(family, type | _NONBLOCK, proto)


def connected_now(
    sock: socket.socket,
    endpoint: Endpoint,
    calls: SystemCalls = SYSTEM_CALLS,
    lent: bool = False,
) -> int | None:
    """Call connect(2); None if it is connected, or else what the call answered.

    On loopback that is mostly all there is to do, so the most frequent answers are judged here, as
    an attempt's state machine would, without the cost of making one.  What fails besides, that
    will come across as well.

    Args:
        calls: what makes the other system calls.
        lent: whether somebody else has had the socket, and may have connected it.

    Raises:
        OSError: a unix path is too long for the call, which was not made.
        TypeError, ValueError, OverflowError: the socket module cannot make sense of the address.
    """
    family, type, _, sockaddr = endpoint
    answer = sock.connect_ex(sockaddr)
    if answer and answer != _EINPROGRESS:
        return answer
    is_tcp = type == _SOCK_STREAM and family in _INTERNET
    if lent and answer == 0 and is_tcp:
        return answer
    try:
        if not is_tcp:
            return None if sock.getpeername() is not None else answer
        info = _state(sock, calls)
        if info[0] == _ESTABLISHED and info.endswith(_ONE_SEGMENT) and len(info) == INFO_SIZE:
            return None  # by far the most frequent; see _has_peer()
        if info[0] == _CLOSE:  # refused on this machine, while connect(2) was under way
            return so_error(sock) or answer
        return None if _has_peer(info, sock, sockaddr) else answer
    except OSError:
        return answer


def connected_after_all(
    sock: socket.socket,
    endpoint: Endpoint,
    so_error: int | None,
    calls: SystemCalls = SYSTEM_CALLS,
) -> bool:
    """Whether a socket that has been waited for is connected, by the judgement above.

    Args:
        so_error: what the driver's `wait_writable` has returned.
    """
    if so_error != 0:
        return False
    family, type, _, sockaddr = endpoint
    try:
        if type != _SOCK_STREAM or family not in _INTERNET:
            return sock.getpeername() is not None
        return _has_peer(_state(sock, calls), sock, sockaddr)
    except OSError:
        return False


def _has_peer(info: bytes, sock: socket.socket, sockaddr: SockAddr) -> bool:
    """Whether TCP has a connection, and not with itself.

    Args:
        info: what `_state` has given.

    Raises:
        OSError: it is not to be known.
    """
    if info[0] not in _CONNECTED:
        return False
    # The one segment that has come is the peer's SYN-ACK.  Who is connected to himself has
    # had his own SYN as well.
    if info[_SEGMENTS_IN:] == _ONE_SEGMENT:
        return True
    # And only a socket that has the very port of its peer can be that.
    local: SockAddr = sock.getsockname()
    return local[1] != sockaddr[1] or local != sock.getpeername()


def _state(sock: socket.socket, calls: SystemCalls) -> bytes:
    """What TCP says of a connection, in the form of TCP_INFO; its first byte is the state.

    Without an exception for "not yet": that would take five times as long.

    Raises:
        OSError: it is not to be known; EBADF for a socket that is closed.

    Source: TCP_INFO in tcp(7).  Where there is none: POSIX.1-2017, connect(): it is writable as
    soon as the handshake is over; and what has failed has no peer.
    """
    if _TCP_INFO is not None:
        try:
            info: bytes = sock.getsockopt(_IPPROTO_TCP, _TCP_INFO, INFO_SIZE)
            return info
        except OSError as error:
            if error.errno not in _NO_STATE:
                raise
    connected = poll_now(sock, calls).writable and sock.getpeername() is not None
    return bytes([_ESTABLISHED if connected else _SYN_SENT])


def close(sock: socket.socket) -> None:
    """See that a socket is closed.  Whatever the system says of it, the descriptor is gone."""
    try:
        sock.close()
    except OSError:
        pass  # of data that nobody would have got anyway


def abort(sock: socket.socket) -> None:
    """Close a socket, and leave nothing of a connection behind.

    One that was connected to itself would go on in TIME_WAIT, and keep its port from the
    server that was looked for there.  One that is closed or detached is left alone.
    """
    if sock.fileno() < 0:
        return
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except Exception:
        pass  # a family without it, or with options of other types; and nothing to leave behind
    close(sock)


def connect_errno(
    sock: socket.socket, sockaddr: SockAddr, calls: SystemCalls = SYSTEM_CALLS
) -> int:
    """Call connect(2) and return its errno, 0 for success.

    Raises:
        OSError: a unix path that is too long for a socket address leads nowhere.
        TypeError, ValueError, OverflowError: the socket module cannot make sense of
            ``sockaddr``.
    """
    try:
        return sock.connect_ex(sockaddr)
    except OSError as error:
        # The socket module's own "path too long" is the one without errno.
        if error.errno is not None or not isinstance(sockaddr, (str, bytes)):
            raise
    with _shortened(sockaddr, calls) as path:
        return sock.connect_ex(path)


def probe(
    sock: socket.socket, compare: bool, tcp: bool = False, calls: SystemCalls = SYSTEM_CALLS
) -> tuple[int, bool]:
    """Whether the socket is connected, and whether to itself.

    Args:
        compare: whether to ask getsockname(2) too; if not, the second answer is False.
        tcp: whether it is TCP's, which is asked for its state before it is for its peer.
        calls: what makes the system calls.

    Returns:
        0 or an errno, ENOTCONN if it is not connected yet; and whether both ends have the same
        address.
    """
    try:
        if tcp and _state(sock, calls)[0] not in _CONNECTED:
            return errnos.ENOTCONN, False
        peer = sock.getpeername()
        return 0, compare and sock.getsockname() == peer
    except OSError as error:
        return error.errno or errnos.ENOTCONN, False


def so_error(sock: socket.socket) -> int:
    """SO_ERROR, which reading clears; or the errno of reading it."""
    try:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except OSError as error:
        return error.errno or errnos.EBADF


def local_address(sock: socket.socket) -> SockAddr | None:
    """The address a socket is bound to; None if it is bound to none, or not open."""
    try:
        name: SockAddr = sock.getsockname()
    except OSError:
        return None
    if isinstance(name, tuple):
        return name if name[1] else None  # no port means not bound
    return name or None


class Polled(NamedTuple):
    """What poll(2) says without waiting."""

    writable: bool
    """Writable, failed or hung up: SO_ERROR is worth reading."""
    hung_up: bool
    """No connection and no attempt; always False where the platform cannot tell."""


def poll_now(sock: socket.socket, calls: SystemCalls = SYSTEM_CALLS) -> Polled:
    """Ask poll(2) about the socket, without waiting; where it fails, nothing is known yet."""
    if sys.platform == "win32":
        _, ready, failed = select.select([], [sock], [sock], 0)
        return Polled(bool(ready or failed), False)
    if sock.fileno() < 0:
        return Polled(True, False)
    poller = calls.poll()
    poller.register(sock, select.POLLOUT)
    try:
        events = sum(event for _, event in poller.poll(0))
    except OSError:  # ENOMEM
        return Polled(False, False)
    return Polled(bool(events), bool(events & select.POLLHUP))


def ready_now(sock: socket.socket, write: bool) -> bool:
    """Whether a socket has something to read, or takes more, or has failed; without waiting.

    Raises:
        OSError: EBADF, it is closed.
    """
    if sock.fileno() < 0:
        raise OSError(errnos.EBADF, os.strerror(errnos.EBADF))
    if sys.platform == "win32":
        wanted = [sock]
        found = select.select([] if write else wanted, wanted if write else [], wanted, 0)
        return any(found)
    poller = select.poll()
    poller.register(sock, select.POLLOUT if write else select.POLLIN)
    return bool(poller.poll(0))


@contextmanager
def _shortened(path: str | bytes, calls: SystemCalls) -> Iterator[str]:
    """While this is open, a path that is short enough and leads to the same file (Linux).

    It goes by way of a descriptor of the directory; or, if the name alone is too long even
    so, of the file.

    Raises:
        OSError: the path leads nowhere; ENAMETOOLONG where there is no such way.
    """
    if sys.platform != "linux":
        raise OSError(errnos.ENAMETOOLONG, os.strerror(errnos.ENAMETOOLONG))
    directory, name = os.path.split(os.fsdecode(path))
    with ExitStack() as stack:
        fd = calls.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(_close_path, calls, fd)
        short = f"/proc/self/fd/{fd}/{name}"
        if len(os.fsencode(short)) > _LONGEST_SUN_PATH:
            fd = calls.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=fd)
            stack.callback(_close_path, calls, fd)
            short = f"/proc/self/fd/{fd}"
        yield short


def _close_path(calls: SystemCalls, fd: int) -> None:
    try:
        calls.close(fd)
    except OSError:
        pass  # it is gone
