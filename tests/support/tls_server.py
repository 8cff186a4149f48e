"""A TLS server in a process of its own: ``python tls_server.py CERTIFICATE``.

Prints its port.  Does the handshake with each connection, one after the other, and waits for its
end.  It is a process because what the tests count, descriptors and turns, is then the client's.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def tls_process(certificate: bytes, directory: Path) -> Iterator[tuple[str, int]]:
    """The address of such a server with this private key and certificate, as PEM."""
    path = directory / "certificate.pem"
    path.write_bytes(certificate)
    command = [sys.executable, __file__, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield "127.0.0.1", int(server.stdout.readline())
        finally:
            server.terminate()


def serve(certificate: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0), backlog=2000) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            sock, _ = listener.accept()
            try:
                with context.wrap_socket(sock, server_side=True) as wrapped:
                    wrapped.recv(1)
            except OSError:
                sock.close()


if __name__ == "__main__":
    serve(sys.argv[1])
