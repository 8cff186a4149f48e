"""The errnos of connect(2), a row for each: data, and nothing else.

Rules:

* A row is a name; what happened; what to check; whether a later try may succeed; and, where it
  means one thing for a unix socket and another for an internet socket, the words for each, and
  what to check for each.
* What happened, or what to check, is empty if it is one or the other.

Sources: connect(2) and unix(7) of Linux, OpenBSD and glibc.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["ERRNOS"]

ERRNOS: Final[tuple[tuple[Any, ...], ...]] = (
    (
        "EACCES",
        "",
        "",
        False,
        "no write permission on the socket, or no search permission on its path",
        (
            "a firewall rule or a prohibiting route forbids it, here or (over IPv6) on the way, "
            "or the address is a broadcast address and SO_BROADCAST is not set"
        ),
        "the modes of the socket file and of each directory above it",
        (
            "the firewall's OUTPUT rules and the route's type (prohibit), here and on routers; "
            "for a broadcast address, set SO_BROADCAST"
        ),
    ),
    (
        "EPERM",
        (
            "a local firewall rule forbids it, or the address is a broadcast address and "
            "SO_BROADCAST is not set"
        ),
        "the firewall's OUTPUT rules; for a broadcast address, set SO_BROADCAST",
        False,
    ),
    (
        "EADDRINUSE",
        "the local address is in use",
        (
            "what else is bound to that local address and port, and whether you need a fixed "
            "local port at all"
        ),
        True,
    ),
    (
        "EADDRNOTAVAIL",
        (
            "the local address is not on this host, or no ephemeral port is left for this peer, "
            "or the peer's address is not a valid one"
        ),
        (
            "the local address, net.ipv4.ip_local_port_range, and how many connections to this "
            "peer linger in TIME_WAIT"
        ),
        True,
    ),
    (
        "EAFNOSUPPORT",
        "the address's family is not this socket's, or the system does not support the family",
        "that the socket was opened with the address's own family",
        False,
    ),
    (
        "EPFNOSUPPORT",
        "the system does not support this protocol family",
        "whether the kernel was built with it (IPv6, VSOCK)",
        False,
    ),
    (
        "EAGAIN",
        "",
        "",
        True,
        "the listener's backlog is full",
        "no local port was free, or there was no room in the routing cache",
        "that the server still accepts connections, and how long its backlog is",
        "net.ipv4.ip_local_port_range, and how many sockets this host has open",
    ),
    (
        "EALREADY",
        "an attempt on this socket is still running",
        "await wait_connected(sock) to wait for that attempt instead of starting another",
        False,
    ),
    (
        "EBADF",
        "the socket is closed",
        "what closed it, perhaps while this call was waiting",
        False,
    ),
    (
        "ECONNREFUSED",
        "",
        "",
        True,
        "the socket file is there but nobody listens on it",
        "nothing is listening there",
        "that the server that made it still runs",
        "that the server runs, and that it listens on this address and port",
    ),
    (
        "ECONNRESET",
        "the peer reset the connection before it was established",
        "the server's log, and the load balancers and firewalls on the way",
        True,
    ),
    (
        "ECONNABORTED",
        "this machine's network stack aborted the connection",
        "whether the network changed meanwhile, and security software on this machine",
        True,
    ),
    (
        "EFAULT",
        "the socket address lies outside the process's memory",
        "nothing in Python can cause this: please report it",
        False,
    ),
    (
        "EHOSTDOWN",
        "the host is down",
        "whether the host runs and is on this network",
        True,
    ),
    (
        "EHOSTUNREACH",
        "no route leads to that host, or it did not answer ARP or neighbour discovery",
        "that the host is up, and the routes and firewalls on the way",
        True,
    ),
    (
        "EINVAL",
        "",
        "",
        False,
        "the address is malformed",
        (
            "the address cannot be connected to: a missing or wrong scope, a broadcast or "
            "multicast address, a blackhole route, or TCP-MD5 that is set up wrongly"
        ),
        "how the address is written",
        (
            "the address: its scope (an IPv6 link-local address needs a %zone), and that it is "
            "the address of one host; the route's type (blackhole)"
        ),
    ),
    (
        "EIO",
        "an input/output error on this machine",
        "the system's log",
        False,
    ),
    (
        "ENOSR",
        "the system is out of STREAMS resources",
        "the system's limits",
        True,
    ),
    (
        "EPROTOTYPE",
        "the peer's socket is of another type",
        (
            "whether the server is a stream, a datagram or a seqpacket socket "
            "(unix:, unixgram: or unixpacket:)"
        ),
        False,
    ),
    (
        "EPROTO",
        "a handshake with the peer failed",
        "what the error says about it, the server's log, and that it is the right port",
        False,
    ),
    (
        "EPROTONOSUPPORT",
        "the system does not support this protocol, or not for this type of socket",
        "the socket's type and protocol",
        False,
    ),
    (
        "ENOPROTOOPT",
        "the host, or a router on the way, refuses the protocol or the option",
        "that the host speaks this protocol, and the firewalls on the way",
        False,
    ),
    (
        "ENOBUFS",
        "the system has no buffer space left",
        "the memory and network buffer limits of this host",
        True,
    ),
    (
        "ENOMEM",
        "the system has no memory left",
        "the memory limits of this host and of the process's control group",
        True,
    ),
    (
        "EISCONN",
        "the socket is already connected",
        "that each stream socket is connected only once",
        False,
    ),
    (
        "ENOTCONN",
        "the socket is not connected, and no attempt is running on it",
        (
            "that connect_socket(sock, address) was called first; where a unix listener's backlog "
            "was full, nothing was started and it has to be called again"
        ),
        False,
    ),
    (
        "ELOOP",
        "too many symbolic links on the way to the socket",
        "the path, for symbolic links that form a loop",
        False,
    ),
    (
        "ENAMETOOLONG",
        "the path, or a part of it, is too long",
        "the length of the path and of each name in it",
        False,
    ),
    (
        "ENOENT",
        "there is no socket file at that path",
        "the path, and whether the server has started yet",
        True,
    ),
    (
        "ENOTDIR",
        "a part of the path is not a directory",
        "the path",
        False,
    ),
    (
        "EMFILE",
        "the process is out of file descriptors",
        "`ulimit -n`, and for descriptors that are opened and never closed",
        True,
    ),
    (
        "ENFILE",
        "the system is out of file descriptors",
        "fs.file-max, and which process holds so many of them",
        True,
    ),
    (
        "ENETDOWN",
        "the network interface is down",
        "the state of the interface",
        True,
    ),
    (
        "ENETUNREACH",
        "no route leads to that network, from here or a router on the way",
        "the routes, and whether this host has an address of that family at all",
        True,
    ),
    (
        "ENODEV",
        "no such device",
        "the names of the interfaces of this host, and for VSOCK that it is a virtual machine",
        False,
    ),
    (
        "ENOTSOCK",
        "the descriptor is not a socket",
        "where the descriptor came from",
        False,
    ),
    (
        "EOPNOTSUPP",
        "this socket cannot do that (a listening socket cannot connect)",
        "that the socket is not listening, and that it is of the right type",
        False,
    ),
    (
        "ETIMEDOUT",
        "no answer came in time",
        (
            "that the host is up, and the firewalls on the way: silence is what a dropped packet "
            "looks like"
        ),
        True,
    ),
)
