"""A network namespace that a descriptor holds, and ways into it.

Rules:

* It ends when the descriptor is closed and nothing in it is left: no thread, process or socket.
* `entered` moves the calling thread, and nobody else; it comes back whatever happens.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from support.programs import SEARCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

CLONE_NEWNET = 0x40000000
HERE = "/proc/thread-self/ns/net"

T = TypeVar("T")


class Namespace:
    """A new network namespace, with nothing in it but loopback, which is up.

    Raises:
        PermissionError: it takes root.
    """

    def __init__(self) -> None:
        self._fd = in_a_thread(_new_namespace)
        try:
            self.exec(["ip", "link", "set", "lo", "up"])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; what is in it, and no longer used, goes."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    @property
    def path(self) -> str:
        """A path by which other processes find it, as long as it is open here."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be in it, this thread alone; a thread or process that is started here is in it too."""
        before = os.open(HERE, os.O_RDONLY)
        try:
            _enter(self._fd)
            try:
                yield
            finally:
                _enter(before)
        finally:
            os.close(before)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in a thread of its own that is in it, and wait for the result."""

        def enter_and_call() -> T:
            _enter(self._fd)
            return function()

        return in_a_thread(enter_and_call)

    def exec(self, command: Sequence[str], *, input: str = "") -> str:
        """Run a program in it, and return what it printed.

        Raises:
            RuntimeError: it failed; the text has what it said.
        """
        path = shutil.which(command[0], path=SEARCHED) or command[0]
        with self.entered():
            done = subprocess.run(
                [path, *command[1:]], input=input, capture_output=True, text=True
            )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.returncode}: {done.stderr or input}")
        return done.stdout

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program in it; the caller ends it."""
        with self.entered():
            return subprocess.Popen(command, **options)

    def sysctl(self, name: str, value: object) -> None:
        """Set a kernel parameter of this namespace, such as ``net/ipv4/tcp_syn_retries``."""
        with self.entered(), open(f"/proc/sys/{name}", "w") as file:
            file.write(str(value))


def in_a_thread(function: Callable[[], T]) -> T:
    """Call a function in a new thread, and wait for its result."""
    outcome: dict[str, Any] = {}

    def call() -> None:
        try:
            outcome["result"] = function()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=call, name="in a network namespace")
    thread.start()
    thread.join()
    if "error" in outcome:
        try:
            raise outcome["error"]
        finally:
            outcome.clear()  # the traceback leads back to it
    result: T = outcome["result"]
    return result


def _new_namespace() -> int:
    _check(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET), "a network of one's own")
    return os.open(HERE, os.O_RDONLY)


def _enter(fd: int) -> None:
    _check(ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET), "entering a network")


def _check(result: int, what: str) -> None:
    if result:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{os.strerror(errno)}: {what} (it takes root)")
