"""An HTTP server in threads, for clients that block.

``/to?URL`` redirects there.  ``/connection`` has the port of the client.  Anything else says
hello.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        where, _, to = self.path.partition("?")
        body = b"hello"
        if where == "/connection":
            body = str(self.client_address[1]).encode()
        self.send_response(302 if where == "/to" else 200)
        if where == "/to":
            self.send_header("Location", to)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass

    def address_string(self) -> str:
        return "the client"


class Server(ThreadingHTTPServer):
    daemon_threads = False
    context: ssl.SSLContext | None = None
    accepted: list[socket.socket]

    def server_bind(self) -> None:  # without asking who has this address
        self.socket.bind(self.server_address)  # type: ignore[arg-type]
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, Any]:
        sock, address = self.socket.accept()
        if self.context is not None:
            sock = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.accepted.append(sock)
        return sock, address or ("", 0)

    def handle_error(self, *_: Any) -> None:
        pass  # the client will say what is wrong


@contextmanager
def http_server(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    context: ssl.SSLContext | None = None,
    path: Path | None = None,
) -> Iterator[int]:
    """The port of such a server, which hangs up when it is left."""
    server = Server((host, port), Handler, bind_and_activate=False)
    server.context = context
    server.accepted = []
    if path is not None:
        server.socket.close()
        server.socket = socket.socket(socket.AF_UNIX)
        server.server_address = str(path)  # type: ignore[assignment]
    with server:
        server.server_bind()
        server.server_activate()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]  # type: ignore[misc]
        finally:
            server.shutdown()
            thread.join()
            for sock in server.accepted:
                with suppress(OSError):  # it is closed already
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
