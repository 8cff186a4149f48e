"""What each call can fail with, as the manuals have it.

Sources: the ERRORS of the named pages of Linux man-pages 6.9, and of the same interfaces in
POSIX.1-2017, which has some that Linux shares and its pages do not list.  EFAULT is left out
where Python alone makes the pointer.  EINTR is left out where Python makes the call again, which
is everywhere but in a non-blocking connect(2) and in close(2) (PEP 475).
"""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from support.faults import Call, Fault

BEGUN: Final = ("EINPROGRESS", "EINTR", "EALREADY", "EISCONN")
"""What connect(2) answers when the kernel goes on with it, or has done it."""

SAYS: Final = (
    *("ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "ETIMEDOUT", "EPIPE", "EPROTO"),
    *("EHOSTUNREACH", "EHOSTDOWN", "ENETUNREACH", "ENETDOWN", "ENOPROTOOPT", "EOPNOTSUPP"),
    *("EACCES", "EPERM", "EMSGSIZE", "EADDRNOTAVAIL", "EINPROGRESS", "EALREADY", "EINTR"),
)
"""The errors of an attempt that SO_ERROR tells: connect(2), tcp(7), ip(7), icmp_err_convert of
Linux; and those which say that it is still running."""

FAILS: Final[dict[str, tuple[str, ...]]] = {
    # socket(2)
    "socket": (
        *("EACCES", "EAFNOSUPPORT", "EINVAL", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"),
        *("EPROTONOSUPPORT", "EPROTOTYPE", "EPERM"),
    ),
    # setsockopt(2), socket(7), ip(7), tcp(7)
    "setsockopt": (
        *("ENOPROTOOPT", "EBADF", "EINVAL", "ENOTSOCK", "EDOM", "EISCONN", "ENOBUFS", "ENOMEM"),
        *("EPERM", "EACCES", "ENODEV", "EOPNOTSUPP"),
    ),
    # getsockopt(2)
    "getsockopt": (
        "EBADF",
        "EINVAL",
        "ENOPROTOOPT",
        "ENOTSOCK",
        "EACCES",
        "ENOBUFS",
        "EOPNOTSUPP",
    ),
    # bind(2), ip(7), unix(7)
    "bind": (
        *("EADDRINUSE", "EADDRNOTAVAIL", "EACCES", "EBADF", "EINVAL", "ENOTSOCK", "EAFNOSUPPORT"),
        *("ELOOP", "ENAMETOOLONG", "ENOENT", "ENOMEM", "ENOBUFS", "ENOTDIR", "EROFS", "EPERM"),
        *("EALREADY", "EINPROGRESS", "EISCONN", "EOPNOTSUPP", "ENODEV", "EIO"),
    ),
    # connect(2), ip(7), tcp(7), unix(7).  Those of `BEGUN` are also here: said, and not true.
    "connect": (
        *("ECONNREFUSED", "EAGAIN", "EADDRNOTAVAIL", "EADDRINUSE", "EACCES", "EPERM"),
        *("EAFNOSUPPORT", "EBADF", "EFAULT", "ENETUNREACH", "ENETDOWN", "EHOSTUNREACH"),
        *("EHOSTDOWN", "ENOTSOCK", "EPROTOTYPE", "ETIMEDOUT", "ECONNRESET", "ECONNABORTED"),
        *("EINVAL", "EIO", "ELOOP", "ENAMETOOLONG", "ENOENT", "ENOTDIR", "ENOBUFS", "ENOMEM"),
        *("ENOPROTOOPT", "EOPNOTSUPP", "ENOSR", *BEGUN),
    ),
    # getpeername(2), getsockname(2)
    "getpeername": ("ENOTCONN", "EBADF", "EINVAL", "ENOBUFS", "ENOTSOCK", "EOPNOTSUPP"),
    "getsockname": ("EBADF", "EINVAL", "ENOBUFS", "ENOTSOCK", "EOPNOTSUPP"),
    # send(2), recv(2), tcp(7)
    "send": (
        *("ECONNRESET", "EPIPE", "EAGAIN", "EACCES", "EBADF", "EINVAL", "EMSGSIZE", "ENOBUFS"),
        *("ENOMEM", "ENOTCONN", "ENOTSOCK", "ETIMEDOUT", "EHOSTUNREACH", "ENETDOWN", "EIO"),
    ),
    "recv": (
        *("ECONNRESET", "EBADF", "ECONNREFUSED", "EINVAL", "ENOBUFS", "ENOMEM", "ENOTCONN"),
        *("ENOTSOCK", "ETIMEDOUT", "EHOSTUNREACH", "EIO"),
    ),
    # close(2); EBADF would be somebody else's descriptor
    "close": ("EIO", "EINTR", "ENOSPC", "EDQUOT"),
    # ioctl(2), with which Python sets FIONBIO; fcntl(2), with which it looks
    "ioctl": ("EBADF", "EINVAL", "ENOTTY"),
    "fcntl": ("EBADF", "EINVAL", "EACCES"),
    # epoll_ctl(2)
    "epoll_ctl": ("ENOSPC", "ENOMEM", "EPERM", "EBADF", "EINVAL", "EEXIST", "ELOOP", "ENOENT"),
    # poll(2)
    "poll": ("ENOMEM", "EINVAL"),
    # open(2) with O_PATH
    "open": ("EMFILE", "ENFILE", "EACCES", "ELOOP", "ENOENT", "ENOTDIR", "ENAMETOOLONG", "ENOMEM"),
    # getaddrinfo(3); of EAI_SYSTEM Python makes an OSError
    "getaddrinfo": (
        *("EAI_NONAME", "EAI_AGAIN", "EAI_FAIL", "EAI_NODATA", "EAI_ADDRFAMILY", "EAI_FAMILY"),
        *("EAI_SERVICE", "EAI_SOCKTYPE", "EAI_BADFLAGS", "EAI_MEMORY", "EAI_SYSTEM"),
        *("EMFILE", "ENFILE", "ENOMEM", "EIO", "EAGAIN", "ECONNREFUSED", "UnicodeError"),
    ),
    # clone(2): what Python says if pthread_create(3) fails
    "clone": ("RuntimeError",),
}


def faults_of(call: Call) -> list[Fault]:
    """All that can plausibly come of a call instead."""
    names = FAILS[call.kind]
    if call.detail == "SOCK_DGRAM":
        names = tuple(name for name in names if name not in BEGUN)  # there is nothing to begin
    found = [Fault(call, _number(name)) for name in names]
    if call.kind == "connect":
        found += [Fault(call, _number(name), "begun") for name in BEGUN]
    if call.detail == "SO_ERROR":
        found += [Fault(call, _number(name), "says") for name in SAYS]
    return found


def _number(name: str) -> Any:
    if name.startswith("EAI_"):
        return getattr(socket, name)
    if not name.startswith("E"):
        return {"RuntimeError": RuntimeError, "UnicodeError": UnicodeError}[name]
    return getattr(errno, name)


ONE_OF_EACH: Final = {
    "connect": (("ECONNREFUSED", "fails"), ("EAGAIN", "fails"), ("EINTR", "begun")),
    "getsockopt": (("EBADF", "fails"),),
    "getpeername": (("ENOTCONN", "fails"), ("EBADF", "fails")),
}
"""For the calls with several classes of errors, one of each: fatal, to be tried again, none."""


def selection(calls: list[Call]) -> list[Fault]:
    """Some faults for the first call of each kind and detail."""
    first = {(call.kind, call.detail): call for call in reversed(calls)}
    faults = []
    for call in reversed(first.values()):
        for name, how in ONE_OF_EACH.get(call.kind, ((FAILS[call.kind][0], "fails"),)):
            faults.append(Fault(call, _number(name), how))
        if call.detail == "SO_ERROR":
            faults.append(Fault(call, errno.ECONNREFUSED, "says"))
    return faults
