"""TLS in layers, without any I/O: what goes in at the bottom, and what comes out on top."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
from support.tls import NAME, Certificates

from aconnect.handshakes.layered import Bottom, Layer, Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


class Server:
    """The other end of some layers: an SSLObject for each of them."""

    def __init__(self, certificates: Certificates, depth: int, **how: Any) -> None:
        self.layers: list[tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]] = []
        for _ in range(depth):
            context = certificates.server(**how)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.layers.append((context.wrap_bio(incoming, outgoing, True), incoming, outgoing))

    def hear(self, data: bytes) -> bytes:
        """What it reads, at the top, of what has been sent at the bottom."""
        for layer, incoming, _ in self.layers:
            incoming.write(data)
            data = b""
            try:
                layer.do_handshake()
                while True:
                    data += layer.read(65536)
            except ssl.SSLWantReadError:
                pass
        return data

    def say(self, data: bytes, since: int = -1) -> bytes:
        """What is sent at the bottom, to say it at a layer; and whatever else there is to send."""
        sent = b""
        for depth, (layer, _, outgoing) in reversed(list(enumerate(self.layers))):
            if depth == since % len(self.layers) and data:
                layer.write(data)
            elif sent:
                layer.write(sent)
            sent = outgoing.read()
        return sent


def shaken(certificates: Certificates, depth: int) -> tuple[Bottom, list[Layer], Server]:
    """So many layers, each with its handshake done, and the other end."""
    server = Server(certificates, depth)
    bottom = Bottom()
    layers: list[Layer] = []
    for _ in range(depth):
        below = layers[-1] if layers else bottom
        layers.append(Layer(certificates.client(), NAME, below, through=len(layers) < depth - 1))
        exchange(bottom, server, layers[-1].do_handshake)
    return bottom, layers, server


def exchange(bottom: Bottom, server: Server, call: Callable[[], Any]) -> tuple[Any, bytes]:
    """What a call gives when all is there that it needs, and what the server reads meanwhile."""
    heard = b""
    while True:
        wants, result = False, None
        try:
            result = call()
        except ssl.SSLWantReadError:
            wants = True
        heard += server.hear(bottom.to_send())
        sent = server.say(b"")
        if sent:
            bottom.came(sent)
        if not wants:
            return result, heard


DEPTHS = pytest.mark.parametrize("depth", [1, 2, 3])


@DEPTHS
def test_there_and_back(certificates: Certificates, depth: int) -> None:
    bottom, layers, server = shaken(certificates, depth)
    top = layers[-1]
    big = bytes(range(256)) * 1000
    assert exchange(bottom, server, lambda: top.write(big)) == (len(big), big)
    bottom.came(server.say(big))
    found = b""
    while len(found) < len(big):
        found += top.read(3000)
    assert found == big
    with pytest.raises(ssl.SSLWantReadError):
        top.read()
    assert top.version() == "TLSv1.3"
    assert top.getpeercert()


def test_into_a_buffer(certificates: Certificates) -> None:
    bottom, (top,), server = shaken(certificates, 1)
    bottom.came(server.say(b"hello"))
    buffer = bytearray(9)
    assert top.read(3, buffer) == 3
    assert top.read(9, memoryview(buffer)[3:]) == 2
    assert buffer == b"hello\0\0\0\0"


def test_what_is_looked_at_is_read_later(certificates: Certificates) -> None:
    bottom, (top,), server = shaken(certificates, 1)
    bottom.came(server.say(b"hello"))
    assert top.look(2) == b"he"
    assert top.look(9) == b"he"
    assert top.pending() == 5
    assert top.read(1) == b"h"
    assert top.read(9) == b"e"
    assert top.read(9) == b"llo"
    assert top.pending() == 0


@DEPTHS
def test_pending_is_whatever_has_come(certificates: Certificates, depth: int) -> None:
    """uvloop reads for as long as there is something."""
    bottom, layers, server = shaken(certificates, depth)
    bottom.came(server.say(bytes(5000)))
    assert len(layers[-1].read(1)) == 1
    while layers[-1].pending():
        layers[-1].read(65536)
    with pytest.raises(ssl.SSLWantReadError):
        layers[-1].read()


@DEPTHS
@pytest.mark.parametrize("through", [False, True])
def test_an_end_without_a_goodbye(certificates: Certificates, depth: int, through: bool) -> None:
    bottom, layers, server = shaken(certificates, depth)
    top = layers[-1]
    top._through = through
    top.context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    bottom.came(server.say(b"last"))
    bottom.came(b"")
    assert top.read() == b"last"
    if through:
        assert top.read() == b""
        assert top.read(5, bytearray(5)) == 0
    else:
        with pytest.raises(ssl.SSLEOFError):
            top.read()


def test_a_goodbye_that_waits_for_none(certificates: Certificates) -> None:
    bottom, (top,), server = shaken(certificates, 1)
    top._through = True
    bottom.came(server.say(b"more"))
    top.unwrap()
    layer, incoming, _ = server.layers[0]
    incoming.write(bottom.to_send())
    assert layer.read() == b""  # a goodbye


def test_a_goodbye(certificates: Certificates) -> None:
    bottom, (top,), server = shaken(certificates, 1)
    with pytest.raises(ssl.SSLWantReadError):
        top.unwrap()
    layer, incoming, outgoing = server.layers[0]
    incoming.write(bottom.to_send())
    layer.unwrap()
    bottom.came(outgoing.read())
    top.unwrap()


@pytest.mark.parametrize("depth", [1, 2])
def test_a_peer_that_is_refused_is_told_so(certificates: Certificates, depth: int) -> None:
    server = Server(certificates, depth)
    bottom = Bottom()
    below: Any = bottom
    if depth == 2:
        below = Layer(certificates.client(), NAME, bottom)
        exchange(bottom, server, below.do_handshake)
    stranger = Layer(Certificates().client(), NAME, below)
    with pytest.raises(ssl.SSLCertVerificationError):
        exchange(bottom, server, stranger.do_handshake)
    with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
        server.hear(bottom.to_send())


def test_the_buffers_change_hands(certificates: Certificates) -> None:
    """What has come moves with them, and so does the end."""
    bottom, (top,), server = shaken(certificates, 1)
    bottom.came(server.say(b"before"))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    bottom.move(incoming, outgoing)
    assert top.read() == b"before"
    incoming.write(server.say(b"after"))
    assert top.read() == b"after"
    top.write(b"hello")
    assert server.hear(outgoing.read()) == b"hello"
    bottom.came(b"")
    last = ssl.MemoryBIO()
    bottom.move(last, outgoing)
    assert last.eof


def test_a_wrapper_is_a_context_in_all_else(certificates: Certificates) -> None:
    context = certificates.client()
    seen: list[Any] = []
    wrapper = Wrapper(context, lambda *given: seen.append(given))
    wrapper.wrap_bio(1, 2, server_hostname=NAME, session=3)  # type: ignore[arg-type]
    assert seen == [(1, 2, NAME, 3)]
    assert wrapper.check_hostname is context.check_hostname
