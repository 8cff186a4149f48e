"""Proxies that do as they are told: real sockets on loopback, a thread for each connection.

A script is a list of steps, done one after the other on each connection:

* bytes: send them;
* `Drip`: send them one by one, each in a segment of its own;
* a number: read as many bytes;
* `Forward`: connect to that address, and pass on whatever comes, there and back;
* `Secure`: do TLS, with the private key and the certificate in that file;
* a `threading.Event`: wait for it, and read nothing meanwhile;
* `HEAD`: read the head of an HTTP request;
* `HOLD`: read until the peer closes; `RESET`: reset the connection; `CLOSE`: close it; `ECHO`:
  send back whatever comes.

After the last step, the connection is held.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.listeners import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

HEAD, HOLD, RESET, CLOSE, ECHO = "head", "hold", "reset", "close", "echo"


class Drip(bytes):
    """Bytes that are sent one by one."""

    def __repr__(self) -> str:
        return f"Drip({bytes(self)!r})"


class Forward(tuple[str, int]):
    """The address of a target."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Forward({tuple(self)!r})"


class Secure(str):
    """The path of a private key and a certificate, as PEM."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Secure({str(self)!r})"


class FakeProxy:
    """A context manager; its `address` is listened at, and `heard` has what each connection sent.

    Args:
        scripts: one for all connections, or one for each in turn, the last for all that follow.
        host: an address of the loopback.
        port: 0 for one of the kernel's; for the same at several addresses, one of
            `support.programs.free_port`.
    """

    def __init__(self, *scripts: Sequence[Any], host: str = LOOPBACK, port: int = 0) -> None:
        self._scripts = scripts
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family)
        self.address: Any = self._listener.getsockname()[:2]
        self.heard: list[bytearray] = []
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []

    @property
    def port(self) -> int:
        return int(self.address[1])

    def url(self, scheme: str = "socks5h", login: str = "") -> str:
        host = self.address[0]
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{login}{host}:{self.port}"

    @property
    def connections(self) -> int:
        return len(self.heard)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(10)  # what it has accepted last is among those that are open
        for conn in list(self._open):
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in list(self._threads):
            thread.join(10)
            assert not thread.is_alive()
        self._listener.close()

    def _start(self, function: Any, *args: Any) -> None:
        thread = threading.Thread(target=function, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = len(self.heard)
            self.heard.append(bytearray())
            self._open.append(conn)
            script = self._scripts[min(number, len(self._scripts) - 1)]
            self._start(self._serve, conn, self.heard[number], script)

    def _serve(self, conn: socket.socket, heard: bytearray, script: Sequence[Any]) -> None:
        try:
            for step in script:
                if isinstance(step, Secure):
                    conn = self._secured(conn, step)
                elif self._step(conn, heard, step):
                    return
            self._step(conn, heard, HOLD)
        except OSError:
            pass  # the peer has had enough, or the test has
        finally:
            conn.close()

    def _secured(self, conn: socket.socket, path: str) -> socket.socket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        context.set_alpn_protocols(["h2", "http/1.1"])
        secured = context.wrap_socket(conn, server_side=True, do_handshake_on_connect=False)
        self._open.append(secured)
        try:
            secured.do_handshake()
        except OSError:
            secured.close()
            raise
        return secured

    def _step(self, conn: socket.socket, heard: bytearray, step: Any) -> bool:
        """Do a step; True if it was the last."""
        if isinstance(step, Drip):
            for byte in step:
                conn.sendall(bytes([byte]))
                time.sleep(0.0005)
        elif isinstance(step, bytes):
            conn.sendall(step)
        elif isinstance(step, Forward):
            with socket.create_connection(step) as target:
                self._open.append(target)
                _pass_on(conn, target)
            return True
        elif isinstance(step, int):
            while step and (data := conn.recv(step)):
                heard += data
                step -= len(data)
        elif isinstance(step, threading.Event):
            assert step.wait(60)
        elif step == HEAD:
            while not heard.endswith(b"\r\n\r\n") and (data := conn.recv(1)):
                heard += data
        elif step in (HOLD, ECHO):
            while data := conn.recv(65536):
                heard += data
                if step == ECHO:
                    conn.sendall(data)
        elif step == RESET:
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return True
        else:
            assert step == CLOSE
            return True
        return False


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    """Pass on whatever comes, both ways; in one thread, for TLS is not for two."""
    to = {one: other, other: one}
    left = [one, other]
    while left:
        ready = [sock for sock in left if isinstance(sock, ssl.SSLSocket) and sock.pending()]
        for source in ready or select.select(left, [], [])[0]:
            data = source.recv(65536)
            if data:
                to[source].sendall(data)
            else:
                left.remove(source)
                socket.socket.shutdown(to[source], socket.SHUT_WR)


GREETING = [3, b"\x05\x00"]
LOGIN = [4, b"\x05\x02"]
BOUND = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"


def socks5_request(host: str) -> int:
    """How many bytes the request for a name has."""
    return 4 + 1 + len(host) + 2


@contextmanager
def fake_elsewhere(*scripts: Sequence[Any]) -> Iterator[int]:
    """The port of a `FakeProxy` in a process of its own: so descriptors can be counted here."""
    code = (
        "import sys; from support.fake_proxy import Drip, FakeProxy, Forward, Secure\n"
        f"with FakeProxy(*{scripts!r}) as proxy: print(proxy.port, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
