"""A redis-server on loopback, over TCP, TLS and a unix socket."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import trustme

from support.programs import free_port, program, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "redis.test"


class Server(NamedTuple):
    port: int
    path: str
    tls_port: int
    trusting: ssl.SSLContext


@contextmanager
def redis_server(here: Path) -> Iterator[Server]:
    """A server that keeps its files ``here``."""
    command = [program("redis-server", "redis-server")]
    authority = trustme.CA()
    authority.cert_pem.write_to_path(here / "ca.pem")
    certificate = authority.issue_cert(NAME)
    certificate.private_key_and_cert_chain_pem.write_to_path(here / "certificate.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    found = Server(free_port(), str(here / "socket"), free_port(), trusting)
    options = {
        "bind": "127.0.0.1",
        "port": found.port,
        "unixsocket": found.path,
        "tls-port": found.tls_port,
        "tls-cert-file": here / "certificate.pem",
        "tls-key-file": here / "certificate.pem",
        "tls-ca-cert-file": here / "ca.pem",
        "tls-auth-clients": "no",
        "save": "",
        "dir": here,
    }
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    addresses = [("127.0.0.1", found.port), found.path, ("127.0.0.1", found.tls_port)]
    with running(command, here / "log", *addresses):
        yield found
