"""A layer between aconnect and the system calls: it keeps a journal, and has one call fail.

Rules:

* It is handed in, as the system calls of a dialer; so it is below aconnect, asyncio and trio,
  which use its sockets without knowing.  uvloop makes its calls in C, so it is below what aconnect
  asks of uvloop.
* It counts the calls on sockets that were opened while a run is on.  Nobody else's are touched.
* A call that fails is not made.  There are exceptions: close(2) has closed the descriptor when it
  fails, as on Linux; a connect(2) that has ``begun`` has been made, whatever it says; and a
  recv(2) counts, and may fail, when there is something to be received.
* Where send(2) or recv(2) says that the peer is gone, the connection is at its end from then on.
* One fault in a run, named by the kind of the call and its number among the calls of that kind.
"""

from __future__ import annotations

import errno as errnos
import itertools
import os
import select
import selectors
import socket
import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, NoReturn

import trio
import uvloop

from aconnect import Dialer
from aconnect.sockets.syscalls import INFO_SIZE, SystemCalls
from support.loops import NoWriterLoop
from support.stepping import STEP_SECONDS, CountingLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LONGEST_PATH = 107

GONE = (errnos.ECONNRESET, errnos.ECONNABORTED, errnos.EPIPE)
"""What send(2) and recv(2) say of a peer that is there no more."""

LONGEST_MOMENT = 0.01  # seconds


@dataclass(frozen=True)
class Call:
    """One call of a run: the ``number``-th of its kind."""

    kind: str
    number: int
    detail: str = ""


@dataclass(frozen=True)
class Fault:
    """What a call answers.

    Attributes:
        error: an errno, a code of getaddrinfo(3), or the class of an exception of Python's.
        how: "fails"; "begun": it has been made, and answers this; "says": what SO_ERROR is.
    """

    call: Call
    error: Any
    how: str = "fails"

    def __str__(self) -> str:
        detail = f" {self.call.detail}" if self.call.detail else ""
        return f"{self.call.kind}{detail} #{self.call.number} {self.how} {self.name}"

    @property
    def name(self) -> str:
        """The error as the manuals write it."""
        if not isinstance(self.error, int):
            return str(self.error.__name__)
        if self.error > 0:
            return errnos.errorcode[self.error]
        return next(name for name in dir(socket) if name[:4] == "EAI_" and self._is(name))

    def _is(self, name: str) -> bool:
        return bool(getattr(socket, name) == self.error)

    def raise_it(self) -> NoReturn:
        if not isinstance(self.error, int):
            raise self.error("injected")
        if self.error < 0:
            raise socket.gaierror(self.error, "injected")
        raise OSError(self.error, f"injected: {os.strerror(self.error)}")


class Faults:
    """The layer.

    Attributes:
        calls: the journal of the run.
        opened: the sockets that were opened in it.
        hit: whether the fault has happened.
        script: errnos that the first calls of a kind answer, in every run.
        answers: what getaddrinfo() finds, given the family.
        system_calls: the layer, as a dialer takes it.
        socket: its sockets, for those that a test opens itself.
    """

    def __init__(self) -> None:
        self.script: dict[str, list[int]] = {}
        self.answers: Callable[[int], list[Any]] = lambda family: []
        self.socket = _socket_class(self)
        self.system_calls = SystemCalls(
            socket=self.socket, poll=self._poll, open=self._open, close=self._close
        )
        self._on = False
        self.begin()
        self._on = False

    def begin(self, fault: Fault | None = None) -> None:
        """A new run, in which one call may fail."""
        self.calls: list[Call] = []
        self.opened: list[Any] = []
        self.hit = False
        self._fault = fault
        self._numbers: Any = defaultdict(itertools.count)
        self._on = True

    def end(self) -> None:
        """The run is over: nothing fails any more, and nothing is counted."""
        self._on = False

    @contextmanager
    def off(self) -> Iterator[None]:
        """Meanwhile, calls are those of the test itself.  The sockets it opens are watched."""
        was, self._on = self._on, False
        try:
            yield
        finally:
            self._on = was

    def answer(self, kind: str, detail: str = "") -> Fault | None:
        """Note a call; what it shall answer, or None if it is to be made."""
        if not self._on:
            return None
        call = Call(kind, next(self._numbers[kind]), detail)
        self.calls.append(call)
        fault = self._fault
        if fault is not None and (kind, call.number) == (fault.call.kind, fault.call.number):
            self.hit = True
            return replace(fault, call=call)
        script = self.script.get(kind, ())
        return Fault(call, script[call.number]) if call.number < len(script) else None

    def happen(self, kind: str, detail: str = "") -> None:
        """Note a call; raise what it shall fail with, if it shall."""
        fault = self.answer(kind, detail)
        if fault is not None:
            fault.raise_it()

    def watches(self, fd: Any) -> bool:
        """Whether a descriptor is that of a socket of this run."""
        fd = fd if isinstance(fd, int) else fd.fileno()
        return fd >= 0 and any(sock.fileno() == fd for sock in self.opened)

    def dialer(self, **options: Any) -> Dialer:
        """A dialer with these options, whose system calls go by the layer."""
        return Dialer(system_calls=self.system_calls, **options)

    def install(self, monkeypatch: Any) -> None:
        """Have the calls that take no dialer go by the layer, and lookups and threads."""
        monkeypatch.setattr("aconnect.dial.aconnect.DEFAULT", self.dialer())
        monkeypatch.setattr("aconnect.transports.calls.DEFAULT", self.dialer())
        monkeypatch.setattr("aconnect.transports.calls._default_with", self.dialer().replace)
        monkeypatch.setattr("aconnect.dial.primitives.SYSTEM_CALLS", self.system_calls)
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)
        files = Stand(os, get_blocking=self._get_blocking)
        monkeypatch.setattr("aconnect.dial.primitives.os", files)
        threads = Stand(threading, Thread=self._thread)
        monkeypatch.setattr("aconnect.drivers.threads.threading", threads)

    def _getaddrinfo(self, host: Any, port: Any, family: int = 0, **_: Any) -> list[Any]:
        self.happen("getaddrinfo")
        return self.answers(family)

    def _poll(self) -> Any:
        poller = select.poll()

        def poll(timeout: float) -> Any:
            self.happen("poll")
            return poller.poll(timeout)

        return Stand(poller, poll=poll)

    def _open(self, *arguments: Any, **options: Any) -> int:
        self.happen("open")
        return os.open(*arguments, **options)

    def _close(self, fd: int) -> None:
        os.close(fd)
        self.happen("close", "path")

    def _get_blocking(self, fd: int) -> bool:
        self.happen("fcntl")
        return os.get_blocking(fd)

    def _thread(self, **arguments: Any) -> Any:
        thread = threading.Thread(**arguments)

        def start() -> None:
            self.happen("clone")
            thread.start()

        return Stand(thread, start=start)


class Stand:
    """Stands in for a module or an object, of which some attributes are replaced."""

    def __init__(self, behind: Any, **replaced: Any) -> None:
        self.__dict__.update(replaced, _behind=behind)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)


def _socket_class(faults: Faults) -> Any:
    class FaultySocket(socket.socket):
        """Counts how often it is closed."""

        __slots__ = ("closes", "detached", "ours")

        def __init__(
            self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None
        ) -> None:
            self.closes = 0
            self.detached = False
            self.ours = fileno is None  # others have a descriptor that was there before
            if self.ours:
                faults.happen("socket")
            super().__init__(family, type, proto, fileno)
            if self.ours:
                faults.opened.append(self)

        def __repr__(self) -> str:
            with faults.off():  # selectors of Python 3.11 write it into errors nobody sees
                return super().__repr__()

        def _answer(self, kind: str, detail: str = "") -> Fault | None:
            return faults.answer(kind, detail) if self.ours else None

        def _happen(self, kind: str, detail: str = "") -> None:
            fault = self._answer(kind, detail)
            if fault is not None:
                fault.raise_it()

        def connect_ex(self, address: Any) -> int:
            if isinstance(address, (str, bytes)) and len(os.fsencode(address)) > _LONGEST_PATH:
                return super().connect_ex(address)  # which makes no call of it
            fault = self._answer("connect", self.type.name)
            if fault is None:
                return super().connect_ex(address)
            if fault.how == "begun":
                super().connect_ex(address)
            return int(fault.error)

        def connect(self, address: Any) -> None:
            fault = self._answer("connect", self.type.name)
            if fault is None:
                super().connect(address)
                return
            if fault.how == "begun":
                super().connect_ex(address)
            fault.raise_it()

        def send(self, data: Any, flags: int = 0) -> int:
            self._lose("send")
            return super().send(data, flags)

        def recv(self, size: int, flags: int = 0) -> bytes:
            data = super().recv(size, flags)
            self._lose("recv")
            return data

        def _lose(self, kind: str) -> None:
            """Note a call; and have the connection end, if it is to say so."""
            fault = self._answer(kind)
            if fault is None:
                return
            if fault.error in GONE:
                with suppress(OSError):
                    self.shutdown(socket.SHUT_RDWR)
            fault.raise_it()

        def bind(self, address: Any) -> None:
            self._happen("bind")
            super().bind(address)

        def getpeername(self) -> Any:
            self._happen("getpeername")
            return super().getpeername()

        def getsockname(self) -> Any:
            self._happen("getsockname")
            return super().getsockname()

        def setblocking(self, flag: bool) -> None:
            self._happen("ioctl")
            super().setblocking(flag)

        def setsockopt(self, level: int, name: int, *value: Any) -> None:
            lingers = (level, name) == (socket.SOL_SOCKET, socket.SO_LINGER)
            self._happen("setsockopt", "SO_LINGER" if lingers else f"{level}:{name}")
            super().setsockopt(level, name, *value)

        def getsockopt(self, level: int, name: int, *size: int) -> Any:
            if (level, name, size) == (socket.IPPROTO_TCP, socket.TCP_INFO, (INFO_SIZE,)):
                self._happen("getpeername", "TCP_INFO")  # the same question, to TCP
                return super().getsockopt(level, name, *size)
            pending = (level, name) == (socket.SOL_SOCKET, socket.SO_ERROR)
            fault = self._answer("getsockopt", "SO_ERROR" if pending else f"{level}:{name}")
            if fault is None:
                return super().getsockopt(level, name, *size)
            if fault.how == "says":
                return fault.error
            return fault.raise_it()

        def detach(self) -> int:
            self.detached = True
            return super().detach()

        def close(self) -> None:
            self.closes += 1
            open_before = self.fileno() >= 0
            super().close()
            if open_before:
                self._happen("close")

    return FaultySocket


class FaultySelector(selectors.EpollSelector):
    """epoll(7), which may refuse to watch whether a socket of the run is writable."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    def register(self, fileobj: Any, events: int, data: Any = None) -> Any:
        if events & selectors.EVENT_WRITE and self._faults.watches(fileobj):
            self._faults.happen("epoll_ctl")
        return super().register(fileobj, events, data)


class FaultyLoop(CountingLoop):
    """A loop of asyncio on such a selector."""

    def __init__(self, faults: Faults) -> None:
        self.watched = FaultySelector(faults)
        super(CountingLoop, self).__init__(self.watched)

    def pass_time(self) -> None:
        """Wait until there is something to do, or for a moment."""
        if not self._ready:
            timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]
            moment = min(timers, default=inf) - self.time()
            self.watched.select(min(max(0.0, moment), LONGEST_MOMENT))


class FaultyNoWriterLoop(FaultyLoop, NoWriterLoop):
    """One without `add_writer`; its `sock_connect` watches sockets all the same."""


class FaultyUVLoop(uvloop.Loop):
    """uvloop, which may refuse to watch a socket, and can tell what is watched."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults
        self._writers: set[int] = set()

    def add_writer(self, fd: Any, callback: Any, *arguments: Any) -> None:
        if self._faults.watches(fd):
            self._faults.happen("epoll_ctl")
        super().add_writer(fd, callback, *arguments)
        self._writers.add(fd if isinstance(fd, int) else fd.fileno())

    def remove_writer(self, fd: Any) -> Any:
        self._writers.discard(fd if isinstance(fd, int) else fd.fileno())
        return super().remove_writer(fd)

    def pass_time(self) -> None:
        """Wait for a moment; it cannot be asked what there is to do."""
        time.sleep(STEP_SECONDS)

    def leftovers(self) -> list[str]:
        return [f"writer of descriptor {fd}" for fd in self._writers]


def watch_trio(faults: Faults) -> None:
    """Have this run of trio wait by an epoll(7) that may refuse to watch a socket."""
    manager = trio._core._run.GLOBAL_RUN_CONTEXT.runner.io_manager
    epoll = manager._epoll

    def register(fd: int, flags: int) -> None:
        if flags & select.EPOLLOUT and faults.watches(fd):
            faults.happen("epoll_ctl")
        epoll.register(fd, flags)

    manager._epoll = Stand(epoll, register=register)
