"""open_tls(): TLS on a socket that blocks."""

from __future__ import annotations

import signal
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from support.listeners import listening, refusing
from support.programs import free_port
from support.tls import NAME, Certificates, serving
from support.tls_server import tls_process

from aconnect import ConnectTimeout, Dialer, HandshakeError, Report, StaticResolver, blocking
from aconnect.drivers import private_loop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Any:
        raise AssertionError("a loop was made")

    monkeypatch.setattr(private_loop, "PrivateLoop", refuse)


@pytest.fixture(params=["the thread", "a task"])
def options(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """What has the handshake done by the calling thread, or by a task in a race."""
    if request.param == "the thread":
        request.getfixturevalue("no_loop")
        yield {}
    else:
        yield {"report": Report()}


def test_it_talks(certificates: Certificates, options: dict[str, Any]) -> None:
    with (
        serving(certificates.server()) as server,
        blocking.open_tls(
            server.address, ssl=certificates.client(), timeout=30, **options
        ) as sock,
    ):
        assert isinstance(sock, ssl.SSLSocket)
        assert sock.gettimeout() == 30
        sock.sendall(b"hello")
        assert sock.recv(5) == b"hello"
        sock.unwrap()
    if options:
        [attempt] = options["report"].attempts
        assert attempt.outcome == "connected"


def test_the_default_context_verifies(certificates: Certificates, options: dict[str, Any]) -> None:
    with serving(certificates.server()) as server, pytest.raises(HandshakeError) as caught:
        blocking.open_tls(server.address, **options)
    error: Any = caught.value
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert [record.phase for record in error.attempts] == ["handshake"]


def test_another_name(certificates: Certificates, options: dict[str, Any]) -> None:
    with serving(certificates.server()) as server:
        names = {"server_hostname": "other.example", "ssl": certificates.client()}
        with pytest.raises(HandshakeError, match=r"for another host, not for other\.example"):
            blocking.open_tls(server.address, **names, **options)  # type: ignore[arg-type]


def test_no_tls_at_all(options: dict[str, Any]) -> None:
    with serving(act=lambda sock: sock.sendall(b"220 hello\r\n")) as server:
        with pytest.raises(HandshakeError, match="does not speak TLS here"):
            blocking.open_tls(server.address, **options)


def test_a_silent_peer(options: dict[str, Any]) -> None:
    with listening() as listener:
        with pytest.raises(ConnectTimeout) as caught:
            blocking.open_tls(listener.getsockname(), timeout=0.05, **options)
        assert caught.value.phase == "handshake"


def test_a_peer_that_hangs_up(options: dict[str, Any]) -> None:
    with serving(act=lambda sock: sock.recv(1)) as server:
        with pytest.raises(HandshakeError) as caught:
            blocking.open_tls(server.address, **options)
    assert isinstance(caught.value, ConnectionResetError)


def test_a_refusal(options: dict[str, Any]) -> None:
    with refusing() as address, pytest.raises(ConnectionRefusedError):
        blocking.open_tls(address, **options)


def test_a_silent_peer_first_does_not_hold_it_up(certificates: Certificates) -> None:
    resolver = StaticResolver({NAME: ["127.0.0.2", "127.0.0.1"]})
    port = free_port()
    with serving(certificates.server(), port=port) as server, listening("127.0.0.2", port):
        dialer = Dialer(resolver=resolver, attempt_delay=0.01)
        with blocking.open_tls(
            NAME, port, ssl=certificates.client(), dialer=dialer, timeout=30
        ) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)
        assert server.names == [NAME]


def test_a_bad_certificate_first(certificates: Certificates) -> None:
    resolver = StaticResolver({NAME: ["127.0.0.2", "127.0.0.1"]})
    port = free_port()
    with serving(certificates.server(), port=port):
        with serving(certificates.server("expired"), host="127.0.0.2", port=port):
            with blocking.open_tls(
                NAME, port, ssl=certificates.client(), resolver=resolver
            ) as sock:
                assert sock.getpeername() == ("127.0.0.1", port)


def test_a_session_is_resumed(certificates: Certificates, tmp_path: Path) -> None:
    context = certificates.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # which gives the session at once
    with tls_process(certificates.of(), tmp_path) as address:
        with blocking.open_tls(address, ssl=context) as sock:
            session = sock.session
            assert not sock.session_reused
        with blocking.open_tls(address, ssl=context, ssl_session=session) as sock:
            assert sock.session_reused


def test_a_peer_that_does_not_read(certificates: Certificates, options: dict[str, Any]) -> None:
    """A handshake may have to wait for room to write, too."""

    class Full(ssl.SSLSocket):
        full = True

        def do_handshake(self, block: bool = False) -> None:
            if self.full:
                self.full = False
                raise ssl.SSLWantWriteError
            super().do_handshake(block)

    context = certificates.client()
    context.sslsocket_class = Full
    with serving(certificates.server()) as server:
        blocking.open_tls(server.address, ssl=context, **options).close()


def test_ctrl_c(options: dict[str, Any]) -> None:
    def handler(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with listening() as listener:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(KeyboardInterrupt):
                blocking.open_tls(listener.getsockname(), timeout=60, **options)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("no_loop")
def test_bad_arguments() -> None:
    for arguments, kind in [
        ({"ssl": False}, ValueError),
        ({"ssl": None}, ValueError),
        ({"ssl": 5}, TypeError),
        ({"server_hostname": 5}, TypeError),
        ({"ssl_session": 5}, TypeError),
        ({"happy_eyeballs_delay": 5}, TypeError),
    ]:
        with pytest.raises(kind):
            blocking.open_tls("127.0.0.1:1", **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"open_tls\(\) needs the address of a SOCK_STREAM"):
        blocking.open_tls("udp://127.0.0.1:1")
