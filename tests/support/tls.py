"""Certificates, good and bad, and servers in threads that do one thing with each connection.

Rules:

* A server has a thread, and blocking sockets.  When it is left, its listener and its connection
  are closed, and the thread has ended, whatever the client does or does not.
* A peer that accepts and says nothing needs no thread: `support.listeners.listening`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import trustme

from support.listeners import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "good.example"

BAD = {
    "expired": (10, "the certificate has expired"),
    "not yet valid": (9, "the certificate is not valid yet: check this machine's clock"),
    "another host": (62, f"the certificate is for another host, not for {NAME}"),
    "self-signed": (18, "the certificate is self-signed: to trust it, load it into the context"),
    "unknown issuer": (20, "the certificate's issuer is not known here"),
    "unknown root": (19, "the certificate's issuer is self-signed and not trusted here"),
}
"""The certificates that are not accepted: the code of verify(1ssl), and how we begin to say it."""

JUST_NOW = datetime.now(UTC)
A_DAY = timedelta(days=1)


class Certificates:
    """Certificates for `NAME` and for the addresses of the loopback, and who trusts them."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self._unknown = trustme.CA()
        self._made: dict[str, bytes] = {}

    @property
    def authority(self) -> bytes:
        """The certificate of the authority that clients trust, as PEM."""
        return self._authority.cert_pem.bytes()

    def of(self, kind: str = "good") -> bytes:
        """A private key and what a server presents with it, as PEM: "good", or one of `BAD`."""
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        return self._made[kind]

    def _make(self, kind: str) -> bytes:
        authority = self._authority
        names = [NAME, LOOPBACK, "127.0.0.2", "127.0.0.3", "::1"]
        times: dict[str, datetime] = {}
        after = b""
        if kind == "expired":
            times = {"not_before": JUST_NOW - 2 * A_DAY, "not_after": JUST_NOW - A_DAY}
        elif kind == "not yet valid":
            times = {"not_before": JUST_NOW + A_DAY, "not_after": JUST_NOW + 2 * A_DAY}
        elif kind == "another host":
            names = ["another.example"]
        elif kind == "self-signed":
            return self._unknown.private_key_pem.bytes() + self._unknown.cert_pem.bytes()
        elif kind == "unknown issuer":
            authority = self._unknown
        elif kind == "unknown root":
            authority = self._unknown
            after = authority.cert_pem.bytes()
        leaf = authority.issue_cert(*names, **times)
        return leaf.private_key_and_cert_chain_pem.bytes() + after

    def server(self, kind: str = "good") -> ssl.SSLContext:
        """A new context for a server that presents this certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with trustme.Blob(self.of(kind)).tempfile() as path:
            context.load_cert_chain(path)
        return context

    def client(self) -> ssl.SSLContext:
        """A new context for a client that trusts the authority, and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._authority.configure_trust(context)
        return context


def observable(context: ssl.SSLContext) -> dict[str, Any]:
    """All that a context tells of itself, but for the numbers of its connections."""
    names = [name for name in dir(ssl.SSLContext) if not name.startswith("_")]
    found = {name: getattr(context, name) for name in names}
    found = {name: value for name, value in found.items() if not callable(value)}
    for call in ("cert_store_stats", "get_ca_certs", "get_ciphers"):
        found[call] = getattr(context, call)()
    return found


# What a server does with a connection, before it closes it.


def echo(sock: socket.socket) -> None:
    """Send back whatever comes, and say goodbye when the peer has."""
    while data := sock.recv(65536):
        sock.sendall(data)
    _say_goodbye(sock)


def say(data: bytes) -> Callable[[socket.socket], None]:
    """Send ``data``, and say goodbye when the peer has."""

    def act(sock: socket.socket) -> None:
        sock.sendall(data)
        while sock.recv(65536):
            pass
        _say_goodbye(sock)

    return act


def _say_goodbye(sock: socket.socket) -> None:
    if isinstance(sock, ssl.SSLSocket):
        sock.unwrap()


def hang_up(sock: socket.socket) -> None:
    """Close it when something has come, without a word: over TLS without TLS's goodbye."""
    sock.recv(65536)


def reset(sock: socket.socket) -> None:
    """Reset it when something has come."""
    sock.recv(1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Accepted(ssl.SSLSocket):
    """Python 3.11 and 3.12 leave one behind, open, if the peer is gone before it is made."""

    def __del__(self) -> None:
        self.close()


class Server:
    """What `serving` runs.

    Attributes:
        address: where it listens.
        names: the name that each TLS client has asked for (SNI), or None.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext | None,
        act: Callable[[Any], object],
    ) -> None:
        self.address: Any = listener.getsockname()
        self.names: list[str | None] = []
        self._listener = listener
        self._context = context
        self._act = act
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._over = False
        self._thread = threading.Thread(target=self._run, name=f"server at {self.address}")
        if context is not None:
            context.sslsocket_class = Accepted
            context.sni_callback = lambda _, name, __: self.names.append(name)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Interrupt whatever it is waiting for."""
        with self._lock:
            self._over = True
            for sock in (self._listener, self._connection):
                if sock is not None:
                    with contextlib.suppress(OSError):  # it is not connected any more
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return  # it is to stop
            # What goes wrong with a connection is for the client to tell.
            with contextlib.suppress(OSError), self._connected(accepted) as sock:
                if isinstance(sock, ssl.SSLSocket):
                    sock.do_handshake()
                self._act(sock)

    @contextmanager
    def _connected(self, accepted: socket.socket) -> Iterator[socket.socket]:
        sock = accepted
        with accepted:
            if self._context is not None:
                sock = self._context.wrap_socket(
                    accepted, server_side=True, do_handshake_on_connect=False
                )
            with self._lock:
                self._connection = sock
                if self._over:
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
            try:
                yield sock
            finally:
                with self._lock:
                    self._connection = None
                sock.close()


@contextmanager
def serving(
    context: ssl.SSLContext | None = None,
    act: Callable[[Any], object] = echo,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    path: Path | None = None,
) -> Iterator[Server]:
    """A server that does ``act`` with each connection, one after the other.

    Args:
        context: for TLS; None for none.
        path: where in the file system, instead of ``host`` and ``port``.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family if path is None else socket.AF_UNIX) as listener:
        if port:  # which something before may have left in TIME_WAIT
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port) if path is None else str(path))
        listener.listen(32)
        server = Server(listener, context, act)
        server.start()
        try:
            yield server
        finally:
            server.stop()
