"""Real servers: programs of Debian's that a test starts on loopback, and stops.

A test that uses one is marked ``server``, and skipped where the program is missing.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def program(name: str, package: str) -> str:
    """Where the program is; skips the test if it is nowhere."""
    path = shutil.which(name, path=SEARCHED)
    if path is None:
        pytest.skip(f"needs {name}: install Debian's package {package}")
    return path


def free_port() -> int:
    """A port that was free a moment ago, at each address of the loopback.

    It is none of those that the kernel gives away by itself: another test's listener would be
    taken for the server, or would have the same number at another address.
    """
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(first_given // 2, first_given)
        with socket.socket() as sock:
            try:
                sock.bind(("0.0.0.0", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port


@contextmanager
def running(
    command: Sequence[str], log: Path, *addresses: tuple[str, int] | str
) -> Iterator[None]:
    """Run a server in the foreground of a process of its own.

    Args:
        log: what it prints goes there.
        addresses: it has started when it accepts connections at each of them.
    """
    with log.open("ab") as output:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 20
        for address in addresses:
            while not accepts(address):
                assert server.poll() is None, f"it has ended:\n{log.read_text()}"
                assert time.monotonic() < deadline, f"it does not start:\n{log.read_text()}"
                time.sleep(0.01)
        yield
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def accepts(address: tuple[str, int] | str) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as sock:
        return sock.connect_ex(address) == 0
