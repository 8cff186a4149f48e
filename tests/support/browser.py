"""Chromium without a screen, for pages and pictures: what it shows, and what it asks for."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHROMIUM = shutil.which("chromium")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: install it")


@contextmanager
def listening_in() -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that answers nothing; with the first bytes of whatever it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    try:
                        asked.append(connection.recv(1000))
                    except OSError:
                        asked.append(b"")

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield listener.getsockname()[1], asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def browse(
    page: Path, directory: Path, *options: str, dark: bool = False
) -> tuple[str, list[str]]:
    """Show a file.

    Returns:
        What became of it: its document as text, and the hosts that were asked for on its behalf.
    """
    assert CHROMIUM is not None
    with listening_in() as (port, asked):
        command = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--disable-default-apps", "--disable-domain-reliability", "--disable-extensions"),
            *("--disable-dev-shm-usage", f"--user-data-dir={directory / 'profile'}"),
            f"--proxy-server=http://127.0.0.1:{port}",
            "--proxy-bypass-list=<-loopback>",
            *(["--blink-settings=preferredColorScheme=0"] * dark),
            *options,
            page.as_uri(),
        ]
        shown = subprocess.run(command, capture_output=True, timeout=90, check=True)
    lines = [each.split(b"\r\n", 1)[0].decode("latin-1") for each in asked]
    return shown.stdout.decode(), [each for each in lines if not is_its_own(each)]


def is_its_own(request: str) -> bool:
    """Whether the browser asks on its own behalf: for updates and the like of its maker."""
    own = ("google.com", "googleapis.com", "gstatic.com", "gvt1.com", "googleusercontent.com")
    host = request.partition(" ")[2].partition(" ")[0].removeprefix("http://").partition("/")[0]
    return host.partition(":")[0].endswith(own)
