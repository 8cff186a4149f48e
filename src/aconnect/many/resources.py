"""What this machine has for many dials: descriptors and local ports.

Rules:

* A limit is raised only where that was asked for, and put back.
* What cannot be found out limits nothing.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ..addresses.target import target_of
from ..addresses.values import TCPAddress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .limits import Limits

__all__ = ["check_ports", "descriptors"]

SPARE: Final = 32
"""Descriptors that are left alone: for lookups, logs, and what else a program opens."""

_TIME_WAIT: Final = 60
"""Seconds for which Linux keeps a closed connection's local port."""
_RANGE: Final = "/proc/sys/net/ipv4/ip_local_port_range"
_FEW: Final = 1000
_USUAL_PORTS: Final = 2**14
"""RFC 6335: 49152 to 65535."""


@contextmanager
def descriptors(limits: Limits, each: int) -> Iterator[int]:
    """See that there are descriptors for so many dials at a time.

    Args:
        limits: says how many are wanted, and whether the system's limit may be raised.
        each: how many one dial may take at the most.

    Returns:
        A context manager with the concurrency that there is room for.
    """
    wanted = limits.concurrency
    if sys.platform == "win32":
        yield wanted
        return
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    raised = limits.raise_nofile and soft != hard
    if raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    now = hard if raised else soft
    try:
        used = _open_descriptors()
        room = wanted if now == resource.RLIM_INFINITY else max(1, now - used - SPARE)
        if room < wanted:
            warnings.warn(
                f"concurrency is reduced from {wanted} to {room}: this process may have {now} "
                f"descriptors, of which {used} are open and {SPARE} are kept free; a dial may "
                f"take up to {each}. Raise the limit with `ulimit -n`, or with raise_nofile=True "
                f"up to {'any number' if hard == resource.RLIM_INFINITY else hard}.",
                RuntimeWarning,
                stacklevel=4,
            )
        yield min(wanted, room)
    finally:
        if raised:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _open_descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")) - 1
    except OSError:
        return 0


def check_ports(targets: object, limits: Limits) -> None:
    """Warn if one endpoint among the targets will take more local ports than there are."""
    if limits.reset or not isinstance(targets, Sequence) or len(targets) < _FEW:
        return
    ports = _local_ports()
    most = ports / _TIME_WAIT
    if len(targets) <= ports or (limits.rate is not None and limits.rate <= most):
        return
    counted = Counter(each for each in targets if isinstance(each, (str, tuple)))
    for address, count in counted.most_common(1):
        if count > ports and not _is_near(address):
            warnings.warn(
                f"{address!r} is to be connected to {count} times, but there are {ports} local "
                f"ports, and each stays in use for {_TIME_WAIT} s after a connection: one address "
                f"can get {most:.0f} connections a second. Set a lower rate, or reset=True.",
                RuntimeWarning,
                stacklevel=3,
            )


def _is_near(address: Any) -> bool:
    """Whether it is on this machine, where ports are used again at once; or no TCP."""
    try:
        asked = target_of(address).address
    except (TypeError, ValueError):
        return True
    return not isinstance(asked, TCPAddress) or asked.host.startswith(("127.", "::1"))


def _local_ports() -> int:
    try:
        with open(_RANGE) as file:
            first, last = map(int, file.read().split())
    except (OSError, ValueError):
        return _USUAL_PORTS
    return last - first + 1
