"""An nginx of one's own: HTTP, with and without TLS, over TCP and unix sockets.

/                 says hello
/connection       the number of the connection, and that of the request on it
/from             the address of the client
/name             the name that the client has asked for by TLS (SNI)
/moved?to=URL     redirects to URL
/big              BIG
/slow             BIG, a few bytes a second after the first ones
/echo             the body of the request
"""

from __future__ import annotations

import hashlib
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

from support.programs import free_port, program, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "nginx.example"
"""The name in the certificate."""
NOT_TLS = "127.0.0.3"
"""Speaks plain HTTP on the port where 127.0.0.1 speaks TLS."""
BIG = bytes(range(256)) * 4096

CONFIGURATION = """
daemon off;
master_process off;
error_log stderr;
pid {directory}/pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl http2;
        listen {not_tls}:{tls_port};
        listen unix:{path};
        listen unix:{tls_path} ssl;
        ssl_certificate {directory}/certificate.pem;
        ssl_certificate_key {directory}/certificate.pem;
        root {directory};
        client_max_body_size 8m;
        location = / {{ return 200 "hello"; }}
        location = /connection {{ return 200 "$connection $connection_requests"; }}
        location = /from {{ return 200 "$remote_addr"; }}
        location = /name {{ return 200 "$ssl_server_name"; }}
        location = /protocol {{ return 200 "$ssl_alpn_protocol"; }}
        location = /moved {{ return 302 $arg_to; }}
        location = /big {{ }}
        location = /slow {{ limit_rate 4; limit_rate_after 1k; alias {directory}/big; }}
        location = /echo {{
            client_body_buffer_size 8k;
            client_body_in_single_buffer on;
            proxy_set_header X-Body $request_body;
            proxy_pass http://unix:{path}:/echoed;
        }}
        location = /echoed {{ return 200 "$http_x_body"; }}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A server that is running.

    Attributes:
        port: where 127.0.0.1 speaks HTTP.
        tls_port: where it speaks HTTPS.
        path, tls_path: its unix sockets, for HTTP and for HTTPS.
        authority: who has signed its certificate.
        fingerprint: the SHA-256 of the certificate.
    """

    port: int
    tls_port: int
    path: str
    tls_path: str
    authority: trustme.CA
    fingerprint: bytes

    def context(self) -> ssl.SSLContext:
        """A client's context that trusts the authority."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def for_servers(self) -> ssl.SSLContext:
        """A context for another server of the same name."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(NAME).configure_cert(context)
        return context


@contextmanager
def nginx(directory: Path) -> Iterator[Nginx]:
    """Run an nginx that keeps all of its files in ``directory``."""
    command = program("nginx", "nginx-light")
    authority = trustme.CA()
    certificate = authority.issue_cert(NAME)
    certificate.private_key_and_cert_chain_pem.write_to_path(directory / "certificate.pem")
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    (directory / "big").write_bytes(BIG)
    path, tls_path = str(directory / "socket"), str(directory / "tls-socket")
    port, tls_port = free_port(), free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            directory=directory,
            port=port,
            tls_port=tls_port,
            not_tls=NOT_TLS,
            path=path,
            tls_path=tls_path,
        )
    )
    addresses = [("127.0.0.1", port), ("127.0.0.1", tls_port), path, tls_path]
    log = directory / "log"
    with running([command, "-e", str(log), "-c", str(configuration)], log, *addresses):
        yield Nginx(port, tls_port, path, tls_path, authority, hashlib.sha256(der).digest())
