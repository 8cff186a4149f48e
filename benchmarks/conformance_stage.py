"""A small network of one's own, and what stands in it, for `conformance.py`.

Rules:

* Everything happens in new network and mount namespaces: loopback only, an /etc/hosts and an
  /etc/resolv.conf that are made here.  Nothing can get out.
* What a program opens here it closes, so that what is left over is the peer's.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import warnings
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "FIRST",
    "LINK_LOCAL",
    "MANY",
    "NAME",
    "NINE",
    "SECOND",
    "SLOW_NAME",
    "Fault",
    "drain",
    "enter_namespaces",
    "full_unix",
    "listening",
    "no_leak",
    "one_local_port",
    "refusing_port",
    "silent",
    "tls_client",
    "tls_server",
]

NAME, FIRST, SECOND = "two.test", "127.0.0.2", "127.0.0.3"
MANY, NINE = "nine.test", tuple(f"127.0.1.{number}" for number in range(1, 10))
LINK_LOCAL = "fe80::1"  # of lo
SLOW_NAME = "slow.test"  # its name server is silent
_NAME_SERVER = "127.0.0.53"

GRACE = 10.0  # seconds
_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000

_HOSTS = f"127.0.0.1 localhost\n{FIRST} {NAME}\n{SECOND} {NAME}\n"
_HOSTS += "".join(f"{address} {MANY}\n" for address in NINE)
_RESOLV = f"nameserver {_NAME_SERVER}\noptions timeout:1 attempts:4\n"


class Fault(Exception):
    """What a peer does wrong, in words."""


def enter_namespaces(directory: Path) -> socket.socket:
    """Leave the machine's network and names behind, and return the silent name server.

    Raises:
        OSError: this needs root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET | _CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    _run("mount", "--make-rprivate", "/")
    for name, text in {
        "hosts": _HOSTS,
        "resolv.conf": _RESOLV,
        "nsswitch.conf": "hosts: files dns\n",
    }.items():
        file = directory / name
        file.write_text(text)
        target = Path("/etc", name)
        if target.exists():
            _run("mount", "--bind", str(file), str(target.resolve()))
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "-6", "address", "add", f"{LINK_LOCAL}/64", "dev", "lo", "nodad")
    _wait_for_address(LINK_LOCAL)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((_NAME_SERVER, 53))
    found = [info[4][0] for info in socket.getaddrinfo(NAME, 1, type=socket.SOCK_STREAM)]
    assert found == [FIRST, SECOND], found
    return server


def _wait_for_address(host: str) -> None:
    """Wait until the kernel, which adds the route later, delivers what is sent to an address."""
    until = time.monotonic() + GRACE
    answer = None
    while answer != errno.ECONNREFUSED:
        assert time.monotonic() < until, f"{host}: {errno.errorcode.get(answer or 0)}"
        with socket.socket(socket.AF_INET6) as sock:
            sock.settimeout(0.1)
            answer = sock.connect_ex((host, 9, 0, socket.if_nametoindex("lo")))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def one_local_port(port: int) -> None:
    """Leave the kernel one local port to pick."""
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{port} {port}")


@contextmanager
def listening(host: str, port: int = 0, *, backlog: int = 64) -> Iterator[socket.socket]:
    """A TCP listener that accepts nothing by itself; the kernel does, up to the backlog."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        scope = (0, socket.if_nametoindex("lo")) if host.startswith("fe80") else ()
        listener.bind((host, port, *scope))
        listener.listen(backlog)
        listener.setblocking(False)
        yield listener


@contextmanager
def silent(host: str, port: int = 0) -> Iterator[socket.socket]:
    """A TCP listener whose accept queue is full, so that a SYN gets no answer."""
    with listening(host, port, backlog=0) as listener, socket.socket() as filler:
        filler.connect(listener.getsockname())
        yield listener


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port on which nobody listens, at any address."""
    with socket.socket() as bound:
        bound.bind(("0.0.0.0", 0))
        yield bound.getsockname()[1]


@contextmanager
def full_unix() -> Iterator[tuple[socket.socket, str]]:
    """A unix listener whose backlog is full, and its path."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        path = str(Path(directory, "full.sock"))
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(0)
        filler = stack.enter_context(socket.socket(socket.AF_UNIX))
        filler.connect(path)
        yield listener, path


def drain(listener: socket.socket) -> int:
    """Accept and close all that waits there, and return how many that were."""
    count = 0
    while select.select([listener], [], [], 0)[0]:
        listener.accept()[0].close()
        count += 1
    return count


@contextmanager
def no_leak() -> Iterator[None]:
    """A block after which no socket may be left, nor one that only the collector has closed."""
    before = _sockets()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield
        # A lookup that was abandoned has a socket of the C library's, until it ends.
        end = time.monotonic() + GRACE
        while (left := _sockets() - before) and time.monotonic() < end:
            time.sleep(0.05)
    unclosed = [str(each.message) for each in caught if "unclosed <socket" in str(each.message)]
    if left or unclosed:
        raise Fault(f"{max(len(left), len(unclosed))} socket left open")


def _sockets() -> set[tuple[str, str]]:
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if link.startswith("socket:"):
            found.add((number, link))
    return found


@cache
def _authorities() -> tuple[trustme.CA, trustme.CA]:
    return trustme.CA(), trustme.CA()


def tls_client() -> ssl.SSLContext:
    """A context that trusts the right authority."""
    context = ssl.create_default_context()
    _authorities()[0].configure_trust(context)
    return context


@contextmanager
def tls_server(host: str, port: int, *, right: bool) -> Iterator[int]:
    """A TLS server with a certificate for `NAME` of the right authority, or of another."""
    authority = _authorities()[0 if right else 1]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(context)
    over = threading.Event()
    with listening(host, port) as listener:

        def serve() -> None:
            while not over.is_set():
                if not select.select([listener], [], [], 0.05)[0]:
                    continue
                sock, _ = listener.accept()
                sock.settimeout(2)
                try:
                    with context.wrap_socket(sock, server_side=True) as tls:
                        tls.recv(1)
                except OSError:
                    sock.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


def busy_for(seconds: float) -> None:
    """Keep the event loop from running for so long."""
    time.sleep(seconds)
