"""What each errno of connect(2) means, in plain words.

Rules:

* One row per errno: what happened, what to check, and whether a later try may succeed.
* Where an errno means one thing for a unix socket and another for an internet socket,
  the row has both, and whoever knows the family says only the one that applies.
* An errno without a row is not guessed at: it gets the operating system's own words.
"""

from __future__ import annotations

import errno as errnos
import os
import socket
from typing import Final, NamedTuple

__all__ = ["explain"]


class Explanation(NamedTuple):
    """One errno, or one code of getaddrinfo(3), explained.

    ``what`` holds for every family but those that have words of their own in ``unix``
    and ``inet``.
    """

    name: str
    what: str
    check: str
    transient: bool
    unix: str = ""
    inet: str = ""

    def words(self, family: int | None) -> str:
        """What happened, on a socket of this family; of every family if it is None."""
        if family is None:
            parts = [self.what, self.unix and f"unix: {self.unix}"]
            parts.append(self.inet and f"inet: {self.inet}")
            return "; ".join(filter(None, parts))
        if family == getattr(socket, "AF_UNIX", None):
            return self.unix or self.what or self.inet
        return self.inet or self.what or self.unix


_ERRNOS: Final = (
    Explanation(
        "EACCES",
        "",
        "the modes of the socket file and of each directory above it, the firewall's OUTPUT "
        "rules and the route's type (prohibit), here and on routers; for a broadcast address, set "
        "SO_BROADCAST",
        False,
        unix="no write permission on the socket, or no search permission on its path",
        inet="a firewall rule or a prohibiting route forbids it, here or (over IPv6) on the way, "
        "or the address is a broadcast address and SO_BROADCAST is not set",
    ),
    Explanation(
        "EPERM",
        "a local firewall rule forbids it, or the address is a broadcast address and "
        "SO_BROADCAST is not set",
        "the firewall's OUTPUT rules; for a broadcast address, set SO_BROADCAST",
        False,
    ),
    Explanation(
        "EADDRINUSE",
        "the local address is taken",
        "who is bound to the local address and port, and whether the socket needs a fixed "
        "local port at all",
        True,
    ),
    Explanation(
        "EADDRNOTAVAIL",
        "the local address is not on this host, or no ephemeral port is left for this peer, "
        "or the peer's address is not a valid one",
        "the local address, net.ipv4.ip_local_port_range, and how many connections to this "
        "peer linger in TIME_WAIT",
        True,
    ),
    Explanation(
        "EAFNOSUPPORT",
        "the address's family is not this socket's, or the system does not support the family",
        "that the socket was opened with the address's own family",
        False,
    ),
    Explanation(
        "EPFNOSUPPORT",
        "the system does not support this protocol family",
        "whether the kernel was built with it (IPv6, VSOCK)",
        False,
    ),
    Explanation(
        "EAGAIN",
        "",
        "whether the server still accepts connections and how long its backlog is; for an "
        "internet socket, net.ipv4.ip_local_port_range",
        True,
        unix="the listener's backlog is full",
        inet="no local port was free, or there was no room in the routing cache",
    ),
    Explanation(
        "EALREADY",
        "an attempt on this socket is still running",
        "await wait_connected(sock) to wait for that attempt instead of starting another",
        False,
    ),
    Explanation(
        "EBADF",
        "the socket is closed",
        "who closed it, perhaps while this call was waiting",
        False,
    ),
    Explanation(
        "ECONNREFUSED",
        "",
        "that the server runs, and that it listens on this address and port",
        True,
        unix="the socket file is there but nobody listens on it",
        inet="nobody listens there",
    ),
    Explanation(
        "ECONNRESET",
        "the peer broke the connection off before it was established",
        "the server's log, and load balancers and firewalls on the way",
        True,
    ),
    Explanation(
        "ECONNABORTED",
        "the local network stack broke the connection off",
        "whether the network changed meanwhile, and local security software",
        True,
    ),
    Explanation(
        "EFAULT",
        "the socket address lies outside the process's memory",
        "nothing in Python can cause this: please report it",
        False,
    ),
    Explanation(
        "EHOSTDOWN",
        "the host is down",
        "whether the host runs and is on this network",
        True,
    ),
    Explanation(
        "EHOSTUNREACH",
        "no route leads to that host, or it did not answer ARP or neighbour discovery",
        "that the host is up, and the routes and firewalls on the way",
        True,
    ),
    Explanation(
        "EINVAL",
        "",
        "the address: its form, its scope (an IPv6 link-local address needs a %zone), and that "
        "it is the address of one host; the route's type (blackhole)",
        False,
        unix="the address is malformed",
        inet="the address cannot be connected to: a missing or wrong scope, a broadcast or "
        "multicast address, a blackhole route, or TCP-MD5 that is set up wrongly",
    ),
    Explanation(
        "EIO",
        "the system could not read or write what the connection needs",
        "the system's log",
        False,
    ),
    Explanation(
        "ENOSR",
        "the system is out of STREAMS resources",
        "the system's limits",
        True,
    ),
    Explanation(
        "EPROTOTYPE",
        "the peer's socket is of another type",
        "whether the server is a stream, a datagram or a seqpacket socket "
        "(unix:, unixgram: or unixpacket:)",
        False,
    ),
    Explanation(
        "EPROTONOSUPPORT",
        "the system does not support this protocol, or not for this type of socket",
        "the socket's type and protocol",
        False,
    ),
    Explanation(
        "ENOPROTOOPT",
        "the host, or a router on the way, refuses the protocol or the option",
        "that the host speaks this protocol, and the firewalls on the way",
        False,
    ),
    Explanation(
        "ENOBUFS",
        "the system has no buffer space left",
        "the memory and network buffer limits of this host",
        True,
    ),
    Explanation(
        "ENOMEM",
        "the system has no memory left",
        "the memory limits of this host and of the process's control group",
        True,
    ),
    Explanation(
        "EISCONN",
        "the socket is connected already",
        "that each stream socket is connected once only",
        False,
    ),
    Explanation(
        "ENOTCONN",
        "the socket is not connected, and no attempt is running on it",
        "that connect_socket(sock, address) was called first; where a unix listener's backlog "
        "was full, nothing was started and it has to be called again",
        False,
    ),
    Explanation(
        "ELOOP",
        "too many symbolic links on the way to the socket",
        "the path, for links in a circle",
        False,
    ),
    Explanation(
        "ENAMETOOLONG",
        "the path, or a part of it, is too long",
        "the length of the path and of each name in it",
        False,
    ),
    Explanation(
        "ENOENT",
        "no socket file of that name",
        "the path, and whether the server has started yet",
        True,
    ),
    Explanation(
        "ENOTDIR",
        "a part of the path is not a directory",
        "the path",
        False,
    ),
    Explanation(
        "EMFILE",
        "the process is out of file descriptors",
        "`ulimit -n`, and for descriptors that are opened and never closed",
        True,
    ),
    Explanation(
        "ENFILE",
        "the system is out of file descriptors",
        "fs.file-max, and which process holds so many",
        True,
    ),
    Explanation(
        "ENETDOWN",
        "the network interface is down",
        "the state of the interface",
        True,
    ),
    Explanation(
        "ENETUNREACH",
        "no route leads to that network, from here or a router on the way",
        "the routes, and whether this host has an address of that family at all",
        True,
    ),
    Explanation(
        "ENODEV",
        "no such device",
        "the names of the interfaces of this host, and for VSOCK that it is a virtual machine",
        False,
    ),
    Explanation(
        "ENOTSOCK",
        "the descriptor is not a socket",
        "where the descriptor came from",
        False,
    ),
    Explanation(
        "EOPNOTSUPP",
        "this socket cannot do that (a listening socket cannot connect)",
        "that the socket is not listening, and that it is of the right type",
        False,
    ),
    Explanation(
        "ETIMEDOUT",
        "no answer came in time",
        "that the host is up, and the firewalls on the way: silence is what a dropped packet "
        "looks like",
        True,
    ),
)

_RESOLVE_CODES: Final = (
    Explanation(
        "EAI_NONAME",
        "the name is not known",
        "the spelling of the name, /etc/hosts and the name servers in /etc/resolv.conf",
        False,
    ),
    Explanation(
        "EAI_NODATA",
        "the name is known but has no address",
        "the name's address records",
        False,
    ),
    Explanation(
        "EAI_AGAIN",
        "no name server gave an answer this time",
        "whether the name servers in /etc/resolv.conf can be reached",
        True,
    ),
    Explanation(
        "EAI_FAIL",
        "the name server failed for good",
        "the name server's log, and DNSSEC of the name's zone",
        False,
    ),
    Explanation(
        "EAI_MEMORY",
        "there was no memory, or no thread, for the lookup",
        "the memory and thread limits of this host",
        True,
    ),
    Explanation(
        "EAI_SYSTEM",
        "the lookup failed for a reason of the system's own",
        "the system's log and limits",
        False,
    ),
    Explanation(
        "EAI_SERVICE",
        "the port is not one that this type of socket can have",
        "the port and the type of the address",
        False,
    ),
    Explanation(
        "EAI_FAMILY",
        "the system does not support the address family",
        "whether the kernel was built with it (IPv6)",
        False,
    ),
    Explanation(
        "EAI_SOCKTYPE",
        "the system does not support this type of socket",
        "the type of the address",
        False,
    ),
    Explanation(
        "EAI_BADFLAGS",
        "the lookup was asked for with flags that the system does not know",
        "nothing that you gave can cause this: please report it",
        False,
    ),
    Explanation(
        "EAI_OVERFLOW",
        "the answer was too long",
        "the name's records",
        False,
    ),
    Explanation(
        "EAI_ADDRFAMILY",
        "the name has no address of that family",
        "the name's address records",
        False,
    ),
)


def _by_number(module: object, rows: tuple[Explanation, ...]) -> dict[int, Explanation]:
    numbers = ((getattr(module, row.name, None), row) for row in rows)
    return {number: row for number, row in numbers if number is not None}


ERRNOS: Final = _by_number(errnos, _ERRNOS)
RESOLVE_CODES: Final = _by_number(socket, _RESOLVE_CODES)


def lookup(errno: int, *, resolving: bool = False) -> Explanation:
    """The row of an errno, or of a code of getaddrinfo(3) if ``resolving``."""
    if resolving and errno in RESOLVE_CODES:
        return RESOLVE_CODES[errno]
    row = ERRNOS.get(errno)
    if row is None:
        name = errnos.errorcode.get(errno, f"errno {errno}")
        try:
            what = os.strerror(errno)
        except OverflowError:
            what = "no system has such an errno"
        row = Explanation(name, what, "the manual page connect(2)", False)
    return row


def explain(errno_or_error: int | OSError) -> str:
    """Say in plain words what happened and what to check.

    Args:
        errno_or_error: an errno such as `errno.ECONNREFUSED`, a code of getaddrinfo(3) such
            as `socket.EAI_NONAME`, or an exception that carries one: a `ConnectError`, or
            any other OSError.  A `ConnectError` is explained for its address's family, and
            a `ConnectTimeout` for what was being waited for; an errno alone for all
            families.  Where the two numberings overlap (they do not on Linux), a number is
            an errno.

    Returns:
        One paragraph; no line breaks.

    Raises:
        TypeError: the argument is neither.
        ValueError: the exception carries no errno.

    Thread-safe; makes no system call.

    Source: connect(2) of Linux, OpenBSD and glibc; getaddrinfo(3).
    """
    if isinstance(errno_or_error, OSError):
        return _explain_error(errno_or_error)
    if isinstance(errno_or_error, bool) or not isinstance(errno_or_error, int):
        raise TypeError(f"errno_or_error must be an errno or an OSError, not {errno_or_error!r}")
    row = lookup(errno_or_error, resolving=errno_or_error not in errnos.errorcode)
    return f"{row.name}: {row.words(None)}. Check {row.check}."


def _explain_error(error: OSError) -> str:
    if not isinstance(error.errno, int):
        raise ValueError(f"errno_or_error carries no errno: {error!r}")
    family = getattr(error, "family", None)
    if error.errno == errnos.ETIMEDOUT:
        if getattr(error, "phase", None) == "resolve":
            again = RESOLVE_CODES[socket.EAI_AGAIN]
            return f"ETIMEDOUT: no name server answered in time. Check {again.check}."
        attempts = getattr(error, "attempts", ())
        if attempts and attempts[-1].outcome == "timed out" and attempts[-1].errno:
            # Time ran out, but on something that has a name.
            row = lookup(attempts[-1].errno)
            words = f"time ran out on {row.name}, {row.words(family)}"
            return f"ETIMEDOUT: {words}. Check {row.check}."
    row = lookup(error.errno, resolving=isinstance(error, socket.gaierror))
    return f"{row.name}: {row.words(family)}. Check {row.check}."
