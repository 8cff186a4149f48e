"""TLS on top of what is TLS already: `ssl.SSLObject` in layers, over one pair of buffers.

Rules:

* A layer does what an SSLObject does.  So what an event loop does with one, it does with several
  at once: there is one transport, or stream, with one owner.
* Whatever a layer has to send is with the buffers at the bottom when a call is over, however it
  is over: a peer that is refused is told so.
* What is at the bottom may change hands, and what is there moves with it: nothing that has been
  read is lost.
* A layer that ends a tunnel is strict about its end, and one that is only gone through is not:
  the end of it is the end of the connection, as over TCP; and who closes it says goodbye, and
  waits for none.

Source: "Memory BIO support" in the documentation of `ssl`.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Bottom", "Layer", "Wrapper"]

_MOST: Final = 64 * 1024
"""Bytes that are handed from one layer to the next in one go."""


class Bottom:
    """The buffers that all layers are over: what has come, and what is to be sent."""

    def __init__(self) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    def read(self, most: int) -> bytes:
        """What has come; empty at the end.

        Raises:
            ssl.SSLWantReadError: nothing has, so far.
        """
        data = self._incoming.read(most)
        if not data and not self._incoming.eof:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "nothing has come")
        return data

    def write(self, data: bytes) -> int:
        """Have it sent."""
        return self._outgoing.write(data)

    def pending(self) -> int:
        """None: an event loop knows what it has put there."""
        return 0

    def came(self, data: bytes) -> None:
        """There is more; or, if it is empty, an end."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def to_send(self) -> bytes:
        """What is to be sent; it is told once."""
        return self._outgoing.read()

    def move(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        """Have others in the place of the two."""
        incoming.write(self._incoming.read())
        if self._incoming.eof:
            incoming.write_eof()
        outgoing.write(self._outgoing.read())
        self._incoming, self._outgoing = incoming, outgoing


class Layer:
    """An `ssl.SSLObject` over what is beneath it; what it does not have itself, that one has.

    Args:
        context: what it is made with.
        server_hostname: the name that the server has to prove; None for none.
        below: what is beneath.
        session: what to resume.
        through: whether it is only gone through.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        server_hostname: str | bytes | None,
        below: Layer | Bottom,
        session: ssl.SSLSession | None = None,
        *,
        through: bool = False,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, False, server_hostname, session
        )
        self.below: Layer | Bottom = below
        self._through = through
        self._ahead = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._object, name)

    def do_handshake(self) -> None:
        self._done(self._object.do_handshake)

    def unwrap(self) -> None:
        if not self._through:
            self._done(self._object.unwrap)
            return
        try:
            self._object.unwrap()
        except ssl.SSLError:
            pass  # there is no answer yet, or something else has come
        finally:
            self._send()

    def write(self, data: Any) -> int:
        count: int = self._done(self._object.write, data)
        return count

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # ssl's name
        data = self._ahead or self._decrypted(len)
        data, self._ahead = data[:len], data[len:]
        if buffer is None:
            return data
        size = data.__len__()
        memoryview(buffer)[:size] = data
        return size

    def look(self, most: int) -> bytes:
        """What `read` would give, and will."""
        if not self._ahead:
            self._ahead = self._decrypted(most)
        return self._ahead[:most]

    def pending(self) -> int:
        """What has come and has not been read; uvloop reads for as long as there is something."""
        encrypted = self._incoming.pending + self.below.pending()
        return self._object.pending() + len(self._ahead) + encrypted

    def _decrypted(self, most: int) -> bytes:
        try:
            data: bytes = self._done(self._object.read, most)
        except ssl.SSLEOFError:
            if not self._through:
                raise
            return b""
        return data

    def _done(self, call: Callable[..., Any], *args: Any) -> Any:
        """What a call gives when all that it needs is there.

        Raises:
            ssl.SSLWantReadError: it is not there yet.
            ssl.SSLError: as the call.
        """
        while True:
            try:
                return call(*args)
            except ssl.SSLWantReadError:
                pass
            finally:
                self._send()
            data = self.below.read(_MOST)
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def _send(self) -> None:
        data = self._outgoing.read()
        while data:
            data = data[self.below.write(data) :]


class Wrapper:
    """What an event loop is given in place of a context, to wrap its buffers with.

    Args:
        context: is asked for everything else.
        make: makes of the loop's two buffers, of a name and of a session, what it works with.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        make: Callable[[ssl.MemoryBIO, ssl.MemoryBIO, Any, ssl.SSLSession | None], Any],
    ) -> None:
        self._context = context
        self._make = make

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: ARG002  # it is a client
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> Any:
        return self._make(incoming, outgoing, server_hostname, session)
