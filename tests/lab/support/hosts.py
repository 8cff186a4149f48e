"""A host: a namespace with addresses, in which there are listeners and event loops."""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING, Any

from .loops import on_asyncio
from .namespaces import Namespace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .links import End

LONG_QUEUE = 65535
DISCARD = 9  # a port at which nobody listens
PATIENCE = 10  # seconds

SETTINGS = {
    # No packet but those of the test, and no wait before an address can be used.
    "net/ipv6/conf/default/accept_dad": 0,
    "net/ipv6/conf/default/accept_ra": 0,
    "net/ipv6/conf/default/addr_gen_mode": 1,  # link-local addresses are ours to give
    "net/ipv6/conf/default/router_solicitations": 0,
    # A rejection is answered, however many there were before it.
    "net/ipv4/icmp_ratelimit": 0,
    "net/ipv4/icmp_msgs_per_sec": 1_000_000,
    "net/ipv6/icmp/ratelimit": 0,
    # A burst of SYNs finds room.
    "net/core/somaxconn": LONG_QUEUE,
    "net/ipv4/tcp_max_syn_backlog": LONG_QUEUE,
    "net/ipv4/tcp_syncookies": 0,
}


class Host(Namespace):
    """A host of a lab; made by `Lab.host`.

    Attributes:
        name: what it is called in messages.
        ends: its ends of links, in the order in which they were made.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.ends: list[End] = []
        try:
            for key, value in SETTINGS.items():
                self.sysctl(key, value)
        except BaseException:
            self.close()
            raise

    @property
    def v4(self) -> str:
        """Its IPv4 address on its first link."""
        return self.ends[0].v4

    @property
    def v6(self) -> str:
        """Its IPv6 address on its first link."""
        return self.ends[0].v6

    @property
    def link_local(self) -> str:
        """Its link-local IPv6 address on its first link, without a zone."""
        return self.ends[0].link_local

    @property
    def device(self) -> str:
        """The name of its first link's device."""
        return self.ends[0].device

    def ip(self, *arguments: str) -> str:
        """Run ip(8) in it, and return what it printed."""
        return self.exec(["ip", *arguments])

    def wait_for_address(self, address: str, device: str) -> None:
        """Wait until it can be reached at an IPv6 address of its own.

        The kernel has the address at once, and the route by which packets get to it later.
        """
        until = time.monotonic() + PATIENCE
        with self.entered():
            scope = socket.if_nametoindex(device) if address.startswith("fe80:") else 0
            answer = None
            while answer != errno.ECONNREFUSED:
                assert time.monotonic() < until, f"{address}: {errno.errorcode.get(answer or 0)}"
                with socket.socket(socket.AF_INET6) as sock:
                    sock.settimeout(0.1)
                    answer = sock.connect_ex((address, DISCARD, 0, scope))

    def nft(self, rules: str) -> str:
        """Run a script of nft(8)'s in it."""
        return self.exec(["nft", "-f", "-"], input=rules)

    def forward(self) -> None:
        """Make it a router."""
        self.sysctl("net/ipv4/ip_forward", 1)
        self.sysctl("net/ipv6/conf/all/forwarding", 1)

    def socket(self, family: int, type: int = socket.SOCK_STREAM) -> socket.socket:
        """A new socket that belongs to it."""
        with self.entered():
            return socket.socket(family, type)

    def listen(
        self, address: str | None = None, port: int = 0, *, backlog: int = LONG_QUEUE
    ) -> socket.socket:
        """A TCP listener in it that accepts nothing; the caller closes it.

        Args:
            address: IPv4 or IPv6, the latter with a zone if need be; its `v4` by default.
            port: 0 for any that is free.
            backlog: it takes one connection more than that.
        """
        with self.entered():
            resolved = socket.getaddrinfo(
                self.v4 if address is None else address,
                port,
                type=socket.SOCK_STREAM,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            family, _, _, _, sockaddr = resolved[0]
            listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(sockaddr)
            listener.listen(backlog)
        except BaseException:
            listener.close()
            raise
        return listener

    def run(
        self,
        main: Callable[[], Awaitable[Any]],
        loop: Callable[[Callable[[], Awaitable[Any]]], Any] = on_asyncio,
    ) -> Any:
        """Run an async function on an event loop in it, in a thread of its own.

        Args:
            loop: what runs it, one of those in `LOOPS`.
        """
        return self.call(lambda: loop(main))
