"""A network of one's own: a namespace with loopback, for the thread that asks for it.

Needs root.  The namespace ends with the thread that entered it, and everything in it.
"""

from __future__ import annotations

import ctypes
import subprocess
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_NEWNET = 0x40000000


def in_new_network(body: Callable[[], Any]) -> Any:
    """Run ``body`` in a thread that has a network namespace of its own, loopback up."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
            ip("link", "set", "lo", "up")
            outcome["result"] = body()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, name="network namespace")
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome.get("result")


def ip(*arguments: str) -> None:
    """Run ip(8) in the namespace of this thread."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def set_port_range(first: int, last: int) -> None:
    """Set the range of local ports that the kernel picks from, in this namespace."""
    # Opened by this thread, and so for its namespace.
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as range_file:
        range_file.write(f"{first} {last}")
