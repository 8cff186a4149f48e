"""`connect_many` beside nmap: both must find the same ports open."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
from contextlib import ExitStack

import pytest

from aconnect.many import connect_many

NMAP = shutil.which("nmap")

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(NMAP is None, reason="nmap is not installed"),
]


def test_both_find_the_same_ports_open() -> None:
    with ExitStack() as stack:
        states: dict[int, str] = {}
        for number in range(8):
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            if number % 2:
                sock.listen(16)
            states[sock.getsockname()[1]] = "open" if number % 2 else "closed"
        ours = asyncio.run(connected(list(states)))
        theirs = scanned(list(states))
    assert ours == states == theirs


async def connected(ports: list[int]) -> dict[int, str]:
    """What we say of them."""
    async with connect_many([("127.0.0.1", port) for port in ports]) as results:
        return {
            result.target[1]: "open" if result.connected else "closed" async for result in results
        }


def scanned(ports: list[int]) -> dict[int, str]:
    """What nmap says of ports of this machine."""
    assert NMAP is not None
    listed = ",".join(map(str, ports))
    done = subprocess.run(
        [NMAP, "-sT", "-n", "-Pn", "-p", listed, "-oG", "-", "127.0.0.1"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return {int(port): state for port, state in re.findall(r"(\d+)/(\w+)/tcp", done.stdout)}
