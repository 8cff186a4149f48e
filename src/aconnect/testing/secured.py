"""The end of a proxy that is spoken to over TLS, and what the target has of it.

Rules:

* It has no task and no thread: what is sent to it is what sets it going.  So there is no moment at
  which it has yet to answer, and a virtual clock goes on.
* What it says waits until TLS is done; and what it has answered is there when whoever has sent
  something goes on.
* Who breaks TLS is told so, as far as TLS has words for it, and left.
* The target has a socket of its own, where what has been decrypted is to be read.  What it sends
  is encrypted at once.  Where transports and streams read and send past their sockets, the event
  loop sets it going (`watching`).

Source: "Memory BIO support" in the documentation of `ssl`.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any, Final

from .fake_socket import FakeSocket
from .watching import watch_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .watching import Watch

__all__ = ["Secured"]

_MOST: Final = 1 << 16
_PATIENCE: Final = 5000  # milliseconds for what is in the kernel already


class Secured:
    """One connection.

    Args:
        far: the proxy's end of it, which this closes.
        context: for a server.

    Attributes:
        heard: what has been said to the proxy so far.
        is_open: whether it has not been closed here.
    """

    def __init__(self, far: FakeSocket, context: ssl.SSLContext) -> None:
        self.heard: bytes = b""
        self.is_open: bool = True
        self._far = far
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._said: list[bytes] = []  # and not sent, as there is no TLS yet
        self._unsent = b""  # and encrypted
        self._undelivered = b""
        self._is_done = False  # whether there is TLS
        self._has_ended = False
        self._inner: socket.socket | None = None  # the other end of the target's
        self._watches: tuple[Watch, Watch] | None = None  # of both ends that are here

    def came(self, count: int = 0) -> None:
        """Something may have come, of which so many bytes have been sent just now; or there may be
        room again."""
        while self.is_open and not self._has_ended:
            try:
                data = socket.socket.recv(self._far, _MOST)
            except BlockingIOError:
                if count > 0 and _comes(self._far):
                    continue
                break
            except OSError:
                data = b""  # a reset is an end
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
            count -= len(data)
            self._go_on()
        if self.is_open:
            self._deliver(b"")
            self._send()

    def say(self, data: bytes) -> None:
        """Say something; nothing is a goodbye."""
        if self.is_open:
            self._said.append(data)
            self._go_on()

    def close(self) -> None:
        """Leave it, whatever there is of it."""
        if self.is_open:
            self.is_open = False
            for watch in self._watches or ():
                watch.set(None, None)
            self._far.close()
            if self._inner is not None:
                self._inner.close()

    def target(self, length: int) -> socket.socket:
        """The socket that the target has, from here on.

        Args:
            length: how much of what was heard was for the proxy.
        """
        near, self._inner = socket.socketpair()
        self._inner.setblocking(False)
        self.heard, rest = self.heard[:length], self.heard[length:]
        self._deliver(rest)
        target = _Target._of(near, self._far._line)
        target._secured = self
        self._watches = watch_of(self._far), watch_of(self._inner)
        self._watches[0].set(self.came, None)
        self._watches[1].set(self.pass_on, None)
        return target

    def pass_on(self) -> None:
        """Send what the target has said."""
        assert self._inner is not None
        while self.is_open:
            try:
                data = self._inner.recv(_MOST)
            except BlockingIOError:
                return
            except OSError:
                data = b""  # it was closed, and has not read everything
            self.say(data)
            if not data:
                return

    def _go_on(self) -> None:
        try:
            if not self._is_done:
                self._tls.do_handshake()
                self._is_done = True
            while self._said:
                data = self._said.pop(0)
                if not data:
                    self._say_goodbye()
                    return
                self._tls.write(data)
            while data := self._tls.read(_MOST):
                self._deliver(data)
            self._has_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLEOFError:
            self._has_ended = True
        except ssl.SSLError:
            self._send()
            self.close()
            return
        self._deliver(b"")
        self._send()

    def _say_goodbye(self) -> None:
        try:
            self._tls.unwrap()
        except OSError:  # ssl's own are such
            pass  # it has not been answered, and need not be
        self._send()
        self.close()

    def _send(self) -> None:
        self._unsent += self._outgoing.read()
        try:
            while self._unsent:
                sent = socket.socket.send(self._far, self._unsent)
                self._unsent = self._unsent[sent:]
        except BlockingIOError:
            pass  # it is sent when the other end has read something
        except OSError:
            self._unsent = b""  # the other end is gone
        if self._watches is not None:
            came = None if self._has_ended else self.came
            self._watches[0].set(came, self._send if self._unsent else None)

    def _deliver(self, data: bytes) -> None:
        """Have it be read by the target, if that is somebody else already."""
        if self._inner is None:
            self.heard += data
            return
        self._undelivered += data
        try:
            while self._undelivered:
                self._undelivered = self._undelivered[self._inner.send(self._undelivered) :]
            if self._has_ended:
                self._inner.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass  # it is delivered when the target reads
        except OSError:
            self._undelivered = b""  # the target is gone


class _Target(FakeSocket):
    """The target's end of a connection, which has the names that it has on the network."""

    _secured: Secured

    def _send(self, size: int, call: Callable[..., Any], *arguments: Any) -> Any:
        sent = super()._send(size, call, *arguments)
        self._secured.pass_on()
        return sent

    def _receive(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self._secured.came()
        return super()._receive(call, *arguments, **named)

    def shutdown(self, how: int, /) -> None:
        super().shutdown(how)
        self._secured.pass_on()

    def close(self) -> None:
        super().close()
        if self.fileno() < 0:
            self._secured.pass_on()
            self._secured.close()


def _comes(sock: socket.socket) -> bool:
    """Wait for what has been sent; whether it comes."""
    if sys.platform == "win32":
        raise NotImplementedError("the fake network needs unix sockets")
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(_PATIENCE))
