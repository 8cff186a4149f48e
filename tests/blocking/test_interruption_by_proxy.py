"""Ctrl-C while a proxy is talked to without an event loop: it ends the talk, and nothing stays."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from support.fake_proxy import BOUND, GREETING, HEAD, LOGIN, FakeProxy, Secure, socks5_request
from support.tls import Certificates

from aconnect import Dialer, Proxy, blocking

if TYPE_CHECKING:
    from aconnect import Endpoint

LONG = 60  # seconds; what takes as long has failed
TARGET = ("db.example", 5432)
ASK = socks5_request(TARGET[0])
HOP = socks5_request("second.example")
OK = b"HTTP/1.1 200 OK\r\n\r\n"
TALKS: dict[str, list[Any]] = {
    "socks4a": [8 + 1 + 11, b"\x00\x5a" + bytes(6)],
    "socks5h": [*LOGIN, 5, b"\x01\x00", ASK, BOUND],
    "http": [HEAD, OK],
    "https": [HEAD, OK],
    "two": [*GREETING, HOP, BOUND, *GREETING, ASK, BOUND],
}


class Interrupted(socket.socket):
    """A socket with a signal that arrives when it is read or written."""

    left: list[int]  # how many such calls there are before it

    def _count(self) -> None:
        self.left[0] -= 1
        if self.left[0] < 0:
            raise KeyboardInterrupt

    def send(self, *args: Any) -> int:
        self._count()
        return super().send(*args)

    def recv(self, *args: Any) -> bytes:
        self._count()
        return super().recv(*args)


# Before 3.13, ssl leaves the server's socket open if the client breaks off before it is wrapped.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize("talk", TALKS)
def test_p8_ctrl_c_at_each_call_of_each_layer(talk: str) -> None:
    certificates = Certificates()
    made: list[Interrupted] = []
    left = [0]

    def factory(endpoint: Endpoint) -> socket.socket:
        sock = Interrupted(endpoint.family, endpoint.type, endpoint.proto)
        sock.left = left
        made.append(sock)
        return sock

    with trustme.Blob(certificates.of()).tempfile() as pem:
        first: list[Any] = [Secure(pem)] if talk == "https" else []
        with FakeProxy([*first, *TALKS[talk]]) as proxy:
            chain: Any = [proxy.url(), "socks5h://second.example"]
            if talk != "two":
                login: dict[str, Any] = {"username": "u", "password": "p"}
                context = certificates.client() if talk == "https" else None
                chain = Proxy(
                    talk, proxy.address, ssl=context, **({} if talk == "socks4a" else login)
                )
            dialer = Dialer(proxy=chain, socket_factory=factory)
            calls = len([each for each in TALKS[talk] if isinstance(each, bytes)]) * 2
            for before in range(calls):
                left[0] = before
                with pytest.raises(KeyboardInterrupt):
                    blocking.connect(TARGET, dialer=dialer, timeout=LONG)
                assert made[-1].fileno() == -1
            left[0] = 10_000
            blocking.connect(TARGET, dialer=dialer, timeout=LONG).close()
            assert made[-1].fileno() == -1
