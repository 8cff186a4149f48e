"""Sockets that block, and whose bytes go through TLS to a proxy."""

from __future__ import annotations

import io
import socket
import ssl
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.by_proxy import HTTP_OK
from support.fake_proxy import CLOSE, ECHO, HEAD, HOLD, RESET, FakeProxy, Forward, Secure
from support.tls import NAME, Certificates, echo, hang_up, observable, serving

from aconnect import ConnectTimeout, Dialer, HandshakeError, Proxy, ProxyError, Report, blocking
from aconnect.blocking.tunnels import ThroughTunnels, TunnelSocket, TunnelTLSSocket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG = 30  # seconds; what takes as long has failed
TARGET = (NAME, 5432)
A_LOT = bytes(range(256)) * 4096
TARGETS = Certificates()


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(scope="module")
def trusting(certificates: Certificates) -> ssl.SSLContext:
    return certificates.client()


@pytest.fixture(scope="module")
def secure(certificates: Certificates, tmp_path_factory: Any) -> Secure:
    path: Path = tmp_path_factory.mktemp("tls") / "good.pem"
    path.write_bytes(certificates.of())
    return Secure(path)


class Scene:
    """What leads through a proxy with TLS, which does what it is told behind its answer."""

    def __init__(self, secure: Secure, trusting: ssl.SSLContext, stack: ExitStack) -> None:
        self.secure = secure
        self.trusting = trusting
        self._stack = stack

    def proxy(self, *then: Any, answer: bytes = HTTP_OK, hops: int = 1) -> Dialer:
        one = [self.secure, HEAD, answer]
        self.server = self._stack.enter_context(FakeProxy([*one, *then]))
        proxies = [Proxy("https", self.server.address, ssl=self.trusting)]
        for _ in range(hops - 1):
            before = self._stack.enter_context(FakeProxy([*one, Forward(self.server.address)]))
            proxies.append(Proxy("https", self.server.address, ssl=self.trusting))
            proxies[0] = Proxy("https", before.address, ssl=self.trusting)
        return Dialer(proxy=proxies)

    @contextmanager
    def connected(self, *then: Any, timeout: float | None = LONG, **how: Any) -> Iterator[Any]:
        with blocking.connect(TARGET, dialer=self.proxy(*then, **how), timeout=timeout) as sock:
            yield sock

    @contextmanager
    def with_tls(self, act: Any = echo, hops: int = 1) -> Iterator[Any]:
        with serving(TARGETS.server(), act) as server:
            dialer = self.proxy(Forward(server.address), hops=hops)
            with blocking.open_tls(
                TARGET, ssl=TARGETS.client(), dialer=dialer, timeout=LONG
            ) as sock:
                yield sock


@pytest.fixture
def scene(secure: Secure, trusting: ssl.SSLContext) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(secure, trusting, stack)


def received(sock: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(65536)
        assert more
        data += more
    return data


def said_and_heard(sock: Any, data: bytes) -> bytes:
    """What comes back, while it is sent in another thread."""
    sending = threading.Thread(target=sock.sendall, args=(data,))
    sending.start()
    try:
        return received(sock, len(data))
    finally:
        sending.join()


@pytest.mark.parametrize("hops", [1, 2])
def test_it_talks(scene: Scene, hops: int) -> None:
    with scene.connected(ECHO, hops=hops) as sock:
        assert isinstance(sock, TunnelSocket)
        assert not isinstance(sock, TunnelTLSSocket)
        assert sock.gettimeout() == LONG
        assert said_and_heard(sock, A_LOT) == A_LOT
        assert sock.recv(0) == b""


def test_without_a_timeout(scene: Scene) -> None:
    with scene.connected(ECHO, timeout=None) as sock:
        assert sock.gettimeout() is None
        assert said_and_heard(sock, b"hello") == b"hello"


def test_what_the_target_says_comes_first(scene: Scene) -> None:
    with scene.connected(HOLD, answer=HTTP_OK + b"banner") as sock:
        assert received(sock, 6) == b"banner"


def test_the_calls_of_a_socket(scene: Scene, tmp_path: Path) -> None:
    with scene.connected(ECHO) as sock:
        assert sock.getpeername() == tuple(scene.server.address)
        assert sock.send(b"") == 0
        assert sock.send(memoryview(b"hello")) == 5
        buffer = bytearray(8)
        assert sock.recv_into(buffer, 2) == 2
        assert sock.recv_into(memoryview(buffer)[2:]) == 3
        assert buffer == b"hello\0\0\0"
        whole = tmp_path / "file"
        whole.write_bytes(b"0123456789")
        with whole.open("rb") as file:
            assert sock.sendfile(file, 2, 3) == 3
            assert sock.sendfile(file) == 5
            with pytest.raises(ValueError, match="count must be a positive"):
                sock.sendfile(file, 0, -1)
        assert received(sock, 8) == b"23456789"
        with sock.makefile("rwb") as file:
            file.write(b"a line\n")
            file.flush()
            assert file.readline() == b"a line\n"
        with pytest.raises(ValueError, match="negative"):
            sock.recv(-1)


@pytest.mark.parametrize(
    "call",
    [
        lambda sock: sock.recv(1, socket.MSG_PEEK),
        lambda sock: sock.recv_into(bytearray(1), 1, socket.MSG_PEEK),
        lambda sock: sock.send(b"x", 1),
        lambda sock: sock.sendall(b"x", 1),
        lambda sock: sock.recvfrom(1),
        lambda sock: sock.recvmsg(1),
        lambda sock: sock.sendmsg([b"x"]),
        lambda sock: sock.sendto(b"x", ("127.0.0.1", 1)),
        lambda sock: sock.dup(),
    ],
)
def test_nothing_passes_by_the_tunnel(scene: Scene, call: Any) -> None:
    with scene.connected(ECHO) as sock:
        with pytest.raises(NotImplementedError):
            call(sock)
        assert said_and_heard(sock, b"hello") == b"hello"


def test_an_end(scene: Scene) -> None:
    with scene.connected(CLOSE) as sock:
        assert sock.recv(1) == b""
        assert sock.recv(1) == b""


def test_a_half_close(scene: Scene) -> None:
    with scene.connected(HOLD, b"late") as sock:
        sock.sendall(b"last words")
        sock.shutdown(socket.SHUT_WR)
        assert received(sock, 4) == b"late"
    assert bytes(scene.server.heard[0]).endswith(b"last words")


def test_a_reset(scene: Scene) -> None:
    with scene.connected(1, RESET) as sock:
        sock.shutdown(socket.SHUT_RD)
        sock.sendall(b"x")
    with scene.connected(RESET) as sock, pytest.raises(ConnectionResetError):
        received(sock, 1)


def test_garbage_in_place_of_tls(scene: Scene) -> None:
    with scene.connected(HOLD) as sock:
        sock._bottom.came(b"\x17\x03\x03\x00\x20" + b"?" * 32)
        with pytest.raises(ssl.SSLError):
            sock.recv(1)


class TestTime:
    def test_nothing_comes(self, scene: Scene) -> None:
        with scene.connected(HOLD) as sock:
            sock.settimeout(0.01)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            sock.settimeout(0)
            with pytest.raises(BlockingIOError):
                sock.recv(1)

    def test_nobody_reads(self, scene: Scene) -> None:
        go_on, sent = threading.Event(), b""
        with scene.connected(go_on, HOLD) as sock:
            sock.settimeout(0)
            with pytest.raises(BlockingIOError):
                while True:
                    sent += A_LOT[: sock.send(A_LOT)]
            sock.settimeout(0.01)
            with pytest.raises(TimeoutError):
                while True:  # the kernel may have found room
                    sent += b" more"
                    sock.sendall(b" more")
            go_on.set()
            sock.settimeout(LONG)
            sock.sendall(b" the end")
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
        heard = bytes(scene.server.heard[0]).partition(b"\r\n\r\n")[2]
        assert heard == sent + b" the end"


class TestTLS:
    @pytest.mark.parametrize("hops", [1, 2])
    def test_it_talks(self, scene: Scene, hops: int) -> None:
        with scene.with_tls(hops=hops) as sock:
            assert isinstance(sock, TunnelTLSSocket)
            assert sock.gettimeout() == LONG
            assert said_and_heard(sock, A_LOT) == A_LOT
            assert sock.version() == "TLSv1.3"
            assert ("DNS", NAME) in sock.getpeercert()["subjectAltName"]
            assert sock.server_hostname == NAME
            assert sock.write(b"hello") == 5
            assert sock.read(2) == b"he"
            buffer = bytearray(3)
            assert sock.read(3, buffer) == 3
            assert buffer == b"llo"
            with pytest.raises(AttributeError):
                sock._nothing  # noqa: B018

    def test_its_layers_are_told(self, scene: Scene) -> None:
        report = Report()
        with serving(TARGETS.server()) as server:
            dialer = scene.proxy(Forward(server.address))
            context = TARGETS.client()
            before = observable(context)
            with blocking.open_tls(
                TARGET, ssl=context, dialer=dialer, timeout=LONG, report=report
            ):
                pass
        assert observable(context) == before
        [attempt] = report.attempts
        names = [each.name for each in attempt.handshakes]
        assert names == ["TLS to proxy", "HTTP CONNECT", "TLS"]
        assert attempt.handshakes[-1].details["version"] == "TLSv1.3"

    def test_a_goodbye(self, scene: Scene) -> None:
        with scene.with_tls() as sock:
            with sock.unwrap() as plain:
                assert type(plain) is TunnelSocket
                assert sock.fileno() == -1
                assert plain.recv(1) == b""

    def test_an_end_without_a_goodbye(self, scene: Scene) -> None:
        with scene.with_tls(hang_up) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b""

    def test_the_wrong_certificate(self, scene: Scene, trusting: ssl.SSLContext) -> None:
        with serving(TARGETS.server()) as server:
            dialer = scene.proxy(Forward(server.address))
            with pytest.raises(HandshakeError, match="issuer is not known") as caught:
                blocking.open_tls(TARGET, ssl=trusting, dialer=dialer, timeout=LONG)
        assert not isinstance(caught.value, ProxyError)

    def test_silence(self, scene: Scene) -> None:
        dialer = scene.proxy(HOLD)
        with pytest.raises(ConnectTimeout):
            blocking.open_tls(TARGET, ssl=TARGETS.client(), dialer=dialer, timeout=0.2)

    def test_a_proxy_that_says_no(self, scene: Scene) -> None:
        dialer = scene.proxy(answer=b"HTTP/1.1 403 No\r\n\r\n")
        for call in (blocking.connect, blocking.open_tls):
            with pytest.raises(ProxyError, match="403 No"):
                call(TARGET, dialer=dialer, timeout=LONG)


class TestStartTLS:
    """For programs that wrap sockets themselves."""

    def test_it_talks(self, scene: Scene) -> None:
        context: Any = ThroughTunnels(TARGETS.client())
        assert context.check_hostname
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        with serving(TARGETS.server()) as server:
            dialer = scene.proxy(Forward(server.address))
            plain = blocking.connect(TARGET, dialer=dialer, timeout=LONG)
            with context.wrap_socket(plain, server_hostname=NAME) as sock:
                assert plain.fileno() == -1
                assert said_and_heard(sock, b"hello") == b"hello"
            with socket.create_connection(server.address) as direct:
                with context.wrap_socket(direct, server_hostname=NAME) as sock:
                    assert isinstance(sock, ssl.SSLSocket)
                    assert said_and_heard(sock, b"hello") == b"hello"

    def test_a_failure_closes_it(self, scene: Scene, trusting: ssl.SSLContext) -> None:
        with serving(TARGETS.server()) as server:
            dialer = scene.proxy(Forward(server.address))
            sock: Any = blocking.connect(TARGET, dialer=dialer, timeout=LONG)
            with pytest.raises(ssl.SSLCertVerificationError):
                sock.start_tls(trusting, NAME)
        assert sock.fileno() == -1

    def test_no_name(self, scene: Scene, trusting: ssl.SSLContext) -> None:
        with scene.connected(ECHO) as sock:
            with pytest.raises(ValueError, match="server_hostname"):
                sock.start_tls(trusting)
            assert said_and_heard(sock, b"hello") == b"hello"


def test_two_that_read_get_all_of_it(scene: Scene) -> None:
    got: list[bytes] = []
    with scene.connected(4, b"x" * 50_000, CLOSE) as sock:

        def read() -> None:
            while data := sock.recv(1000):
                got.append(data)

        threads = [threading.Thread(target=read) for _ in range(2)]
        for each in threads:
            each.start()
        sock.sendall(b"now!")
        for each in threads:
            each.join()
    assert sum(map(len, got)) == 50_000


def test_a_file_that_is_no_file(scene: Scene) -> None:
    with scene.connected(ECHO) as sock:
        assert sock.sendfile(io.BytesIO(b"hello")) == 5
        assert received(sock, 5) == b"hello"
