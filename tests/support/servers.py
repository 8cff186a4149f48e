"""Databases and brokers of one's own, on loopback and in directories of their own.

PostgreSQL, mosquitto, nats-server and Exim.  Each is skipped where its program is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import free_port, program, running
from support.tls import NAME, Certificates

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def of_somebody(user: str) -> Iterator[tuple[Path, list[str]]]:
    """A directory of one's own, and what a command begins with to run there; if root is who asks,
    the directory of ``user``, who runs the command.

    It is none of pytest's: those are for nobody else to enter.
    """
    with tempfile.TemporaryDirectory(prefix="aconnect-") as name:
        if os.geteuid() != 0:
            yield Path(name), []
            return
        shutil.chown(name, user)
        yield Path(name), ["setpriv", f"--reuid={user}", "--regid=nogroup", "--clear-groups"]


@contextmanager
def postgresql(certificates: Certificates) -> Iterator[int]:
    """The port of a PostgreSQL that lets everybody in, with and without TLS."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("needs postgres: install Debian's package postgresql")
    with of_somebody("postgres") as (here, by_them):
        data, key = here / "data", here / "certificate.pem"
        key.write_bytes(certificates.of())
        key.chmod(0o600)
        if by_them:
            shutil.chown(key, "postgres")
        initdb = [f"{found[-1]}/initdb", "--no-sync", "--auth=trust", "--username=app"]
        subprocess.run([*by_them, *initdb, str(data)], check=True, capture_output=True)
        port = free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": here,
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": key,
            "ssl_key_file": key,
        }
        command = [*by_them, f"{found[-1]}/postgres", "-D", str(data)]
        for option, value in options.items():
            command += ["-c", f"{option}={value}"]
        log = here / "log"
        with running(command, log, ("127.0.0.1", port)):
            ask = [f"{found[-1]}/pg_isready", "-h", "127.0.0.1", "-p", str(port)]
            deadline = time.monotonic() + 20
            while subprocess.run(ask, capture_output=True, check=False).returncode:
                assert time.monotonic() < deadline, f"it does not start:\n{log.read_text()}"
                time.sleep(0.05)
            yield port


@contextmanager
def mosquitto(directory: Path) -> Iterator[int]:
    """The port of an MQTT broker that lets everybody in."""
    command = program("mosquitto", "mosquitto")
    port = free_port()
    configuration = directory / "mosquitto.conf"
    configuration.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n"
    )
    with running([command, "-c", str(configuration)], directory / "log", ("127.0.0.1", port)):
        yield port


@contextmanager
def nats_server(directory: Path) -> Iterator[int]:
    """The port of a NATS server."""
    command = program("nats-server", "nats-server")
    port = free_port()
    arguments = ["--addr", "127.0.0.1", "--port", str(port)]
    with running([command, *arguments], directory / "log", ("127.0.0.1", port)):
        yield port


EXIM = """
primary_hostname = {name}
exim_user = {user}
exim_group = {group}
spool_directory = {here}/spool
log_file_path = {here}/%slog
tls_advertise_hosts =
host_lookup =
queue_only = true
keep_environment =
acl_smtp_rcpt = everybody
begin acl
everybody:
  accept
"""
"""Takes every message, and keeps it; asks no name server who the client is."""


@contextmanager
def exim() -> Iterator[int]:
    """The port of a mail server."""
    command = program("exim4", "exim4-daemon-light")
    port = free_port()
    with of_somebody("nobody") as (here, by_them):
        configuration = here / "exim.conf"
        user = "nobody" if by_them else os.getuid()  # who else may not start it
        group = "nogroup" if by_them else os.getgid()
        configuration.write_text(EXIM.format(name=NAME, here=here, user=user, group=group))
        arguments = ["-C", str(configuration), "-bdf", "-oX", f"<; [127.0.0.1]:{port}"]
        with running([*by_them, command, *arguments], here / "log", ("127.0.0.1", port)):
            yield port
