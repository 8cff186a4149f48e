"""Sockets that block, and whose bytes go through TLS to a proxy.

Rules:

* A `TunnelSocket` is to a tunnel what `ssl.SSLSocket` is to TLS: it has the descriptor, and sends
  and receives by way of the layers above it.  What cannot be done so is refused.
* `ssl` cannot wrap one: it would take the descriptor and pass by the tunnel.  `start_tls` does,
  and `ThroughTunnels` is a context that knows, for programs that wrap sockets themselves.
* One thread may read while another writes.  The layers are used by one at a time, and nobody
  waits for the peer meanwhile.
* What has been encrypted is sent, in order, before anything else is: a call that runs out of time
  leaves the rest of it to the next.

Source: `ssl.SSLSocket`; "Memory BIO support" in the documentation of `ssl`.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from ..drivers.polling import wait_for
from ..handshakes.layered import Layer
from ..sockets.syscalls import close

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..handshakes.layered import Bottom
    from ..handshakes.proxies.tunnel import Tunnel

__all__ = ["ThroughTunnels", "TunnelSocket", "TunnelTLSSocket", "blocking_socket"]

T = TypeVar("T")

_MOST: Final = 64 * 1024
"""Bytes of one recv(2), and of one write to the layers: neither a record nor a system call has
more."""


class TunnelSocket(socket.socket):
    """A connection to what is behind a proxy to which there is TLS.

    It has what programs use of a stream socket, with its timeout: recv, recv_into, send, sendall,
    sendfile, makefile, shutdown, close, and the addresses and options of the connection to the
    nearest proxy.  Calls with flags, and recvmsg, recvfrom, sendmsg, sendto and dup, raise
    NotImplementedError.

    Args:
        sock: is connected; its descriptor is taken over.
        bottom: the buffers of the layers.
        top: the uppermost layer.

    One thread may read while another writes.
    """

    def __init__(self, sock: socket.socket, bottom: Bottom, top: Layer) -> None:
        timeout = sock.gettimeout()
        super().__init__(sock.family, sock.type, sock.proto, sock.detach())
        self._bottom = bottom
        self._top = top
        self._to_send = b""
        self._came = 0  # how often something has
        self._using = threading.Lock()  # the layers
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        self.settimeout(timeout)

    def start_tls(
        self,
        context: ssl.SSLContext,
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> TunnelTLSSocket:
        """The same connection with TLS to what is behind the proxy.

        Args:
            context, server_hostname, session: as of `ssl.SSLContext.wrap_socket`.

        Raises:
            ssl.SSLError, OSError: the handshake has failed, and the connection is closed.
            ValueError: the context checks names, and there is none; nothing has changed.
        """
        if context.check_hostname and not server_hostname:
            raise ValueError("server_hostname is needed for a context with check_hostname")
        top = Layer(context, server_hostname, self._top, session)
        made = TunnelTLSSocket(self, self._bottom, top)
        try:
            made.do_handshake()
        except BaseException:
            close(made)
            raise
        return made

    # What programs use of a socket.

    def recv(self, bufsize: int = 1024, flags: int = 0) -> bytes:
        _without(flags)
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        return self._received(bufsize) if bufsize else b""

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        with memoryview(buffer) as view, view.cast("B") as to:
            data = self.recv(nbytes or len(to), flags)
            to[: len(data)] = data
            return len(data)

    def send(self, data: Any, flags: int = 0) -> int:
        _without(flags)
        until = self._until()
        self._flush(until)
        with memoryview(data) as view, view.cast("B") as left:
            count = self._used(until, self._top.write, left[:_MOST]) if len(left) else 0
        with suppress(TimeoutError, BlockingIOError):  # the layers have it
            self._flush(until)
        return count

    def sendall(self, data: Any, flags: int = 0) -> None:
        _without(flags)
        until = self._until()
        with memoryview(data) as view, view.cast("B") as left:
            sent = 0
            while sent < len(left):
                sent += self._used(until, self._top.write, left[sent : sent + _MOST])
                self._flush(until)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        if count is not None and count <= 0:
            raise ValueError(f"count must be a positive integer (got {count!r})")
        if offset:
            file.seek(offset)
        sent = 0
        while count is None or sent < count:
            data = file.read(_MOST if count is None else min(_MOST, count - sent))
            if not data:
                break
            self.sendall(data)
            sent += len(data)
        return sent

    def shutdown(self, how: int) -> None:
        if how != socket.SHUT_RD:
            with self._using, suppress(ssl.SSLError):  # nobody waits for an answer to a goodbye
                self._top.unwrap()
            self._flush(self._until())
        super().shutdown(how)

    # What would pass by the tunnel.

    def _not_here(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError(f"a {type(self).__name__} has recv, recv_into, send and sendall")

    if not TYPE_CHECKING:  # pragma: no branch
        recvfrom = recvfrom_into = recvmsg = recvmsg_into = _not_here
        sendto = sendmsg = sendmsg_afalg = dup = _not_here

    # How it is done.

    def _received(self, most: int) -> bytes:
        data: bytes = self._used(self._until(), self._top.read, most)
        return data

    def _until(self) -> float:
        """The moment by which a call that begins now has to be done; now, if it may not wait."""
        timeout = self.gettimeout()
        return inf if timeout is None else time.monotonic() + timeout

    def _used(self, until: float, call: Callable[..., T], *args: Any) -> T:
        """What a call to the layers gives when all that it needs has come.

        Raises:
            TimeoutError, BlockingIOError: it has not.
            OSError: the connection, or one of the layers, has failed.
        """
        while True:
            came = self._came
            try:
                with self._using:
                    return call(*args)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                with suppress(OSError):
                    self._flush(until)  # the peer is told why
                raise
            self._flush(until)
            self._fill(until, came)

    def _fill(self, until: float, came: int) -> None:
        """Have the layers get what comes next, unless something has come since."""
        with self._receiving:
            if self._came != came:
                return
            self._wait(True, until)
            data = super().recv(_MOST)
            with self._using:
                self._bottom.came(data)
                self._came += 1

    def _flush(self, until: float) -> None:
        """Send what the layers have to send."""
        with self._sending:
            while True:
                with self._using:
                    self._to_send += self._bottom.to_send()
                if not self._to_send:
                    return
                self._wait(False, until)
                self._to_send = self._to_send[super().send(self._to_send) :]

    def _wait(self, reading: bool, until: float) -> None:
        if until != inf and self.gettimeout() and not wait_for(self, reading, until):
            raise TimeoutError("timed out")


class TunnelTLSSocket(TunnelSocket):
    """The same with TLS to what is behind the proxy: it has what `ssl.SSLSocket` tells of TLS,
    such as version, cipher, getpeercert and selected_alpn_protocol."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._top, name)

    def do_handshake(self) -> None:
        """Done, when a call has given this."""
        until = self._until()
        self._used(until, self._top.do_handshake)
        self._flush(until)

    def unwrap(self) -> TunnelSocket:
        """The same connection without TLS to what is behind the proxy, once both have said
        goodbye; this one has its descriptor no more."""
        self._used(self._until(), self._top.unwrap)
        below: Any = self._top.below  # there is a layer
        return TunnelSocket(self, self._bottom, below)

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # ssl's name
        return self.recv(len) if buffer is None else self.recv_into(buffer, len)

    def write(self, data: Any) -> int:
        return self.send(data)

    def _received(self, most: int) -> bytes:
        try:
            return super()._received(most)
        except ssl.SSLEOFError:
            return b""  # as by default with ssl.SSLSocket: the end of HTTP is told by HTTP


class ThroughTunnels:
    """A context that starts TLS on a `TunnelSocket` as it does on another socket.

    For what wraps sockets itself; everything else is the context's.

    Args:
        context: the context.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.__dict__["_context"] = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_context"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._context, name, value)

    def wrap_socket(
        self, sock: socket.socket, *, server_hostname: str | None = None, **options: Any
    ) -> Any:
        if isinstance(sock, TunnelSocket):
            return sock.start_tls(self._context, server_hostname, options.get("session"))
        return self._context.wrap_socket(sock, server_hostname=server_hostname, **options)


def blocking_socket(tunnel: Tunnel) -> TunnelSocket:
    """What a tunnel is to a thread."""
    return TunnelSocket(tunnel.sock, *tunnel.layers())


def _without(flags: int) -> None:
    if flags:
        raise NotImplementedError("there are no flags for what goes through TLS")
