"""TLS by all calls on all loops: what is good, what is not, and what is said of it.

Each test is run with each call on each loop that it is for; a `Wire` is what they have in common.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import pickle
import socket
import ssl
import subprocess
import sys
import threading
import time
import weakref
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSAttribute
from conftest import ASYNCIO_LOOPS, LOOPS
from support.listeners import LOOPBACK, listening, refusing
from support.programs import free_port
from support.tls import BAD, NAME, Certificates, hang_up, observable, reset, say, serving

import aconnect
from aconnect import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    Dialer,
    HandshakeError,
    Report,
    StaticResolver,
    create_connection,
    open_connection,
    open_stream,
    open_trio_stream,
)
from aconnect.policy import public_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from support.tls import Server

pytestmark = pytest.mark.slow  # not one of them, but all together

LONG = 30  # seconds; what takes as long has failed
SHORT = 0.05  # seconds for what waits in vain
ENOUGH = 0.25  # seconds for a handshake, also on a machine that has other things to do


class Wire:
    """A connection, in the same words whatever has made it."""

    ssl_object: Any
    sock: Any

    async def send(self, data: bytes) -> None:
        raise NotImplementedError

    async def receive(self) -> bytes:
        """Some bytes; none at the end."""
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def receive_all(self, size: int) -> bytes:
        """As many bytes, or fewer if it ends."""
        found = b""
        while len(found) < size and (data := await self.receive()):
            found += data
        return found


class OfStreams(Wire):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ssl_object = writer.get_extra_info("ssl_object")
        self.sock = writer.get_extra_info("socket")
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self) -> bytes:
        return await self._reader.read(65536)

    async def aclose(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


class Inbox(asyncio.Protocol):
    """Keeps what comes for who asks for it."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received.put_nowait(data)

    def eof_received(self) -> None:
        self.received.put_nowait(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


class OfATransport(Wire):
    def __init__(self, transport: asyncio.Transport, protocol: Inbox) -> None:
        self.ssl_object = transport.get_extra_info("ssl_object")
        self.sock = transport.get_extra_info("socket")
        self._transport = transport
        self._protocol = protocol

    async def send(self, data: bytes) -> None:
        self._transport.write(data)

    async def receive(self) -> bytes:
        return await self._protocol.received.get()

    async def aclose(self) -> None:
        self._transport.close()
        await self._protocol.lost.wait()


class OfAnyio(Wire):
    def __init__(self, stream: Any) -> None:
        self.ssl_object = stream.extra(TLSAttribute.ssl_object)
        self.sock = stream.extra(SocketAttribute.raw_socket)
        self.send = stream.send
        self.aclose = stream.aclose
        self._stream = stream

    async def receive(self) -> bytes:
        try:
            data: bytes = await self._stream.receive()
        except anyio.EndOfStream:
            return b""
        return data


class OfTrio(Wire):
    def __init__(self, stream: Any) -> None:
        self.ssl_object = stream
        self.sock = stream.transport_stream.socket
        self.send = stream.send_all
        self.receive = stream.receive_some
        self.aclose = stream.aclose


async def by_open_connection(*arguments: Any, **options: Any) -> Wire:
    return OfStreams(*await open_connection(*arguments, **options))


async def by_create_connection(*arguments: Any, **options: Any) -> Wire:
    return OfATransport(*await create_connection(Inbox, *arguments, **options))


async def by_open_stream(*arguments: Any, **options: Any) -> Wire:
    return OfAnyio(await open_stream(*arguments, **options))


async def by_open_trio_stream(*arguments: Any, **options: Any) -> Wire:
    return OfTrio(await open_trio_stream(*arguments, **options))


TRIO = [loop for loop in LOOPS if loop.id == "trio"]


def on(loops: list[Any], *calls: Any) -> list[Any]:
    return [
        pytest.param(call, *loop.values, id=f"{call.__name__.removeprefix('by_')}-{loop.id}")
        for call in calls
        for loop in loops
    ]


CALLS = [
    *on(ASYNCIO_LOOPS, by_open_connection, by_create_connection),
    *on(LOOPS, by_open_stream),
    *on(TRIO, by_open_trio_stream),
]


def with_each(calls: list[Any]) -> list[Any]:
    """The marks of tests of ``call``, on the loops it is for."""
    each = pytest.mark.parametrize(("call", "anyio_backend"), calls, indirect=["anyio_backend"])
    return [pytest.mark.anyio, each]


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def results(*addresses: Any) -> list[Any]:
    """What getaddrinfo() would have returned."""
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    return [(*kind, each) for each in addresses]


async def exchange(wire: Wire, data: bytes = b"hello") -> None:
    await wire.send(data)
    assert await wire.receive_all(len(data)) == data


def details_of(report: Report) -> Any:
    """What the winner's handshake has agreed upon."""
    assert report.winner is not None
    assert report.winner.handshake is not None
    return report.winner.handshake.details


class TestAConnection:
    pytestmark = with_each(CALLS)

    async def test_data_goes_both_ways(self, call: Any, certificates: Certificates) -> None:
        with serving(certificates.server()) as server:
            wire = await call(
                results(server.address), ssl=certificates.client(), server_hostname=NAME
            )
            async with wire:
                assert wire.sock.getpeername() == server.address
                await exchange(wire)
                await exchange(wire, b"again")

    async def test_a_lot_of_data(self, call: Any, certificates: Certificates) -> None:
        data = os.urandom(1_000_000)
        with serving(certificates.server()) as server:
            async with (
                await call(server.address, ssl=certificates.client()) as wire,
                anyio.create_task_group() as group,
            ):
                group.start_soon(wire.send, data)
                assert await wire.receive_all(len(data)) == data

    async def test_what_comes_with_the_handshake_is_not_lost(
        self, call: Any, certificates: Certificates
    ) -> None:
        with serving(certificates.server(), say(b"welcome\r\n" * 1000)) as server:
            async with await call(server.address, ssl=certificates.client()) as wire:
                assert await wire.receive_all(9000) == b"welcome\r\n" * 1000

    @pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
    async def test_the_report(self, call: Any, certificates: Certificates, version: str) -> None:
        report = Report()
        context = certificates.client()
        context.maximum_version = ssl.TLSVersion[version.replace(".", "_")]
        with serving(certificates.server()) as server:
            async with await call(server.address, ssl=context, trace=report) as wire:
                cipher, _, _ = wire.ssl_object.cipher()
        details = {"version": version, "cipher": cipher}
        assert details_of(report) == details
        (attempt,) = report.to_dict()["attempts"]
        handshake = attempt["handshake"]
        assert (handshake["name"], handshake["outcome"]) == ("TLS", "done")
        assert (handshake["details"], handshake["error"]) == (details, None)
        assert attempt["connected"] <= handshake["start"] < handshake["end"] <= report.elapsed
        assert attempt["end"] == handshake["end"]
        assert report.phase_seconds["handshake"] > 0
        assert "TLS" in str(report)
        assert version in str(report)

    @pytest.mark.parametrize(
        ("offered", "agreed"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)]
    )
    async def test_alpn(
        self, call: Any, certificates: Certificates, offered: list[str], agreed: str | None
    ) -> None:
        report = Report()
        context, ours = certificates.client(), certificates.server()
        ours.set_alpn_protocols(["http/1.1"])
        if offered:
            context.set_alpn_protocols(offered)
        with serving(ours) as server:
            async with await call(server.address, ssl=context, trace=report) as wire:
                assert wire.ssl_object.selected_alpn_protocol() == agreed
        assert details_of(report).get("ALPN") == agreed

    @pytest.mark.parametrize(
        ("at", "spelling", "server_hostname", "told"),
        [
            (LOOPBACK, "a name", None, NAME),
            (LOOPBACK, "a name with a dot", None, NAME),
            ("::1", "host and port", None, NAME),
            (LOOPBACK, "a name", LOOPBACK, None),
            (LOOPBACK, "a name", f"{NAME}.", NAME),
            (LOOPBACK, "a list", f"{NAME}.".encode(), NAME),
            (LOOPBACK, "a literal address", None, None),
            ("::1", "a literal address", None, None),
            ("::1", "a literal address", NAME, NAME),
            (LOOPBACK, "a list", NAME, NAME),
            ("::1", "a list", "::1", None),
        ],
    )
    async def test_the_name_that_the_server_is_told(
        self,
        call: Any,
        certificates: Certificates,
        at: str,
        spelling: str,
        server_hostname: str | bytes | None,
        told: str | None,
    ) -> None:
        """None if it is an address (RFC 6066, section 3)."""
        resolver = StaticResolver({NAME: [at]})
        with serving(certificates.server(), host=at) as server:
            port = server.address[1]
            family = socket.AF_INET6 if ":" in at else socket.AF_INET
            arguments: Any = {
                "a name": [f"{NAME}:{port}"],
                "a name with a dot": [(f"{NAME}.", port)],
                "host and port": [NAME, port],
                "a literal address": [at, port],
                "a list": [[(family, socket.SOCK_STREAM, 6, "", server.address)]],
            }[spelling]
            context = certificates.client()
            options = {"ssl": context, "server_hostname": server_hostname, "resolver": resolver}
            async with await call(*arguments, timeout=LONG, **options) as wire:
                await exchange(wire)
        assert server.names == [told]

    @pytest.mark.parametrize("empty", ["", b""])
    async def test_an_empty_name_is_told_to_nobody(
        self, call: Any, certificates: Certificates, empty: str | bytes
    ) -> None:
        context = certificates.client()
        context.check_hostname = False
        options: Any = {"ssl": context, "server_hostname": empty}
        options["resolver"] = StaticResolver({NAME: [LOOPBACK]})
        with serving(certificates.server("another host")) as server:
            async with await call(NAME, server.address[1], timeout=LONG, **options) as wire:
                await exchange(wire)
        assert server.names == [None]

    @pytest.mark.parametrize("checked", [True, False])
    async def test_over_a_unix_socket(
        self, call: Any, certificates: Certificates, tmp_path: Path, checked: bool
    ) -> None:
        context = certificates.client()
        context.check_hostname = checked
        name = NAME if checked else None
        with serving(certificates.server(), path=tmp_path / "s") as server:
            path = f"unix:{server.address}"
            async with await call(path, ssl=context, server_hostname=name) as wire:
                await exchange(wire)
            with pytest.raises(HandshakeError, match=r"/s .*unix|unix.*/s|could not connect"):
                await call(path, ssl=certificates.client(), server_hostname="another.example")
        assert server.names == [name, "another.example"]

    async def test_the_context_is_not_changed(self, call: Any, certificates: Certificates) -> None:
        context = certificates.client()
        context.set_alpn_protocols(["h2"])
        before = observable(context)
        with serving(certificates.server()) as server:
            async with await call(server.address, ssl=context) as wire:
                await exchange(wire)
                session = wire.ssl_object.session
            async with await call(server.address, ssl=context, ssl_session=session):
                pass
            with pytest.raises(HandshakeError):
                await call(server.address, ssl=context, server_hostname="another.example")
        assert observable(context) == before

    @pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
    async def test_a_session_is_resumed(
        self, call: Any, certificates: Certificates, version: str
    ) -> None:
        context = certificates.client()
        context.maximum_version = ssl.TLSVersion[version.replace(".", "_")]
        sessions, found = [None], []
        with serving(certificates.server()) as server:
            for _ in range(3):
                report = Report()
                options = {"ssl": context, "ssl_session": sessions[-1], "trace": report}
                async with await call(server.address, **options) as wire:
                    await exchange(wire)  # with TLS 1.3, the session comes with the data
                    sessions.append(wire.ssl_object.session)
                    assert wire.ssl_object.version() == version
                found.append(details_of(report).get("session"))
        assert found == [None, "resumed", "resumed"]

    async def test_a_session_of_another_context(
        self, call: Any, certificates: Certificates
    ) -> None:
        with serving(certificates.server()) as server:
            async with await call(server.address, ssl=certificates.client()) as wire:
                await exchange(wire)
                session = wire.ssl_object.session
            with pytest.raises(ValueError, match=r"ssl_session .* different SSLContext"):
                await call(server.address, ssl=certificates.client(), ssl_session=session)

    async def test_options_of_the_dialer(self, call: Any, certificates: Certificates) -> None:
        seen = []

        def hook(sock: socket.socket, where: aconnect.Endpoint) -> None:
            seen.append(where.sockaddr)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

        dialer = Dialer(on_socket=hook, nodelay=False, local_address="127.0.0.7")
        with serving(certificates.server()) as server:
            options: Any = {"ssl": certificates.client(), "dialer": dialer}
            async with await call(server.address, **options) as wire:
                await exchange(wire)
                assert wire.sock.getsockname()[0] == "127.0.0.7"
                assert wire.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert not wire.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            with pytest.raises(AddressNotPermitted):
                await call(server.address, **options, permit=public_only())
        assert seen == [server.address]
        assert server.names == [None]

    async def test_the_default_context(self, call: Any, certificates: Certificates) -> None:
        """It does not know the authority."""
        with serving(certificates.server()) as server:
            with pytest.raises(HandshakeError, match="issuer is not known here") as caught:
                await call(server.address, ssl=True, timeout=LONG)
            assert not caught.value.transient


def old_server(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    client.minimum_version = ssl.TLSVersion.TLSv1_3


def no_cipher_in_common(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    server.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    client.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    client.maximum_version = ssl.TLSVersion.TLSv1_2


def certificate_required(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """With TLS 1.3, the client would know only when it reads."""
    server.verify_mode = ssl.CERT_REQUIRED
    client.maximum_version = ssl.TLSVersion.TLSv1_2


@dataclass
class Refusal:
    """A handshake that fails.

    Attributes:
        words: how we say why, in its first words.
        cause: the type of what the loops' TLS raises.
        certificate: what the server presents; None if it does not speak TLS.
        act: what it does then, in place of TLS.
        prepare: makes the contexts of server and client disagree.
        code: that of verify(1ssl), for a certificate.
    """

    words: str
    cause: type[Exception]
    errno: int = errno.EPROTO
    transient: bool = False
    certificate: str | None = None
    act: Callable[[Any], object] = hang_up
    prepare: Callable[[ssl.SSLContext, ssl.SSLContext], object] | None = None
    code: int | None = None

    @contextmanager
    def serving(self, certificates: Certificates) -> Iterator[tuple[Server, ssl.SSLContext]]:
        """A server that brings it about, with the context of the client that meets it."""
        client, context = certificates.client(), None
        if self.certificate is not None:
            context = certificates.server(self.certificate)
            if self.prepare is not None:
                self.prepare(context, client)
        with serving(context, self.act) as server:
            yield server, client


NOT_TLS = "the peer does not speak TLS here ("
HUNG_UP = "the peer closed the connection in the middle of it"
RESET = (HUNG_UP, ConnectionResetError, errno.ECONNRESET, True)
ALERT = "the peer refused it: "
REFUSALS = {
    **{
        kind: Refusal(words, ssl.SSLCertVerificationError, certificate=kind, code=code)
        for kind, (code, words) in BAD.items()
    },
    "a greeting": Refusal(NOT_TLS, ssl.SSLError, act=say(b"220 hello\r\n")),
    "HTTP": Refusal(NOT_TLS, ssl.SSLError, act=say(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    "hangs up": Refusal(*RESET, act=hang_up),
    "resets": Refusal(*RESET, act=reset),
    **{
        prepare.__name__.replace("_", " "): Refusal(
            ALERT, ssl.SSLError, certificate="good", prepare=prepare
        )
        for prepare in (old_server, no_cipher_in_common, certificate_required)
    },
}


class TestARefusal:
    pytestmark = with_each(CALLS)

    @pytest.mark.parametrize("kind", REFUSALS)
    async def test_the_error(self, call: Any, certificates: Certificates, kind: str) -> None:
        refusal = REFUSALS[kind]
        with (
            refusal.serving(certificates) as (server, context),
            pytest.raises(HandshakeError) as caught,
        ):
            await call(results(server.address), ssl=context, server_hostname=NAME, timeout=LONG)
        error = caught.value
        assert (error.phase, error.errno) == ("handshake", refusal.errno)
        assert error.transient is refusal.transient
        assert isinstance(error, ConnectError)
        assert isinstance(error, ConnectionResetError) is (error.errno == errno.ECONNRESET)
        host, port = server.address
        name = errno.errorcode[refusal.errno]
        said = f"{name}: the TLS handshake failed: {refusal.words}"
        assert f"could not connect to {host}:{port} " in str(error)
        assert said in str(error)
        cause = error.__cause__
        assert type(cause) is refusal.cause
        assert isinstance(error, refusal.cause)  # who catches what ssl raises catches it
        for name in ("library", "reason", "verify_code", "verify_message"):
            assert getattr(error, name, None) == getattr(cause, name, None)
        copied = pickle.loads(pickle.dumps(error))
        assert type(copied) is type(error)
        assert vars(copied).keys() == vars(error).keys()
        assert getattr(copied, "verify_code", None) == refusal.code
        assert cause.__cause__ is cause.__context__ is None
        assert getattr(cause, "verify_code", None) == refusal.code
        (record,) = error.attempts
        assert (record.phase, record.outcome, record.sockaddr) == (
            *("handshake", "failed"),
            server.address,
        )
        assert record.note.startswith(f"the TLS handshake failed: {refusal.words}")
        assert error.report is not None
        story = json.loads(json.dumps(error.report.to_dict()))
        assert (story["outcome"], story["phase"]) == ("failed", "handshake")
        handshake = story["attempts"][0]["handshake"]
        assert (handshake["name"], handshake["outcome"]) == ("TLS", "failed")
        assert handshake["error"].startswith(refusal.words)
        assert handshake["details"] == {}
        assert refusal.words[:40] in str(error.report)

    async def test_a_certificate_for_another_address(
        self, call: Any, certificates: Certificates
    ) -> None:
        with (
            serving(certificates.server(), host="127.0.0.9") as server,
            pytest.raises(HandshakeError, match=r"for another host, not for 127\.0\.0\.9"),
        ):
            await call(server.address, ssl=certificates.client(), timeout=LONG)

    async def test_leaves_no_reference_cycle(self, call: Any, certificates: Certificates) -> None:
        gc.collect()
        gc.disable()
        try:
            for kind, refusal in REFUSALS.items():
                with refusal.serving(certificates) as (server, context):
                    try:
                        await call(results(server.address), ssl=context, server_hostname=NAME)
                    except HandshakeError as error:
                        gone = weakref.ref(error)
                    assert gone() is None, kind
            with listening() as silent:
                try:
                    await call(silent.getsockname(), ssl=certificates.client(), timeout=SHORT)
                except ConnectTimeout as error:
                    gone = weakref.ref(error)
                assert gone() is None
        finally:
            gc.enable()


class TestSeveralAddresses:
    pytestmark = with_each(CALLS)

    @pytest.mark.parametrize("kind", ["another host", "HTTP", "hangs up", "resets", "old server"])
    async def test_the_second_wins(self, call: Any, certificates: Certificates, kind: str) -> None:
        refusal = REFUSALS[kind]
        report = Report()
        with (
            refusal.serving(certificates) as (bad, context),
            serving(certificates.server()) as good,
        ):
            wire = await call(
                results(bad.address, good.address),
                ssl=context,
                server_hostname=NAME,
                timeout=LONG,
                trace=report,
            )
            async with wire:
                assert wire.sock.getpeername() == good.address
                await exchange(wire)
        lost, won = report.attempts
        assert (lost.won, won.won) == (False, True)
        assert lost.connected is not None
        assert lost.handshake is not None
        assert (lost.outcome, lost.handshake.outcome) == ("failed", "failed")
        assert lost.handshake.error is not None
        assert lost.handshake.error.startswith(refusal.words)
        assert lost.closed is not None
        assert refusal.words[:40] in str(report)

    async def test_of_a_name(self, call: Any, certificates: Certificates) -> None:
        resolver = StaticResolver({NAME: [LOOPBACK, "127.0.0.2"]})
        port = free_port()
        with serving(certificates.server("expired"), port=port) as bad:
            with serving(certificates.server(), host="127.0.0.2", port=port) as good:
                context = certificates.client()
                async with await call(NAME, port, ssl=context, resolver=resolver) as wire:
                    assert wire.sock.getpeername() == good.address
        assert bad.names == good.names == [NAME]

    async def test_all_are_bad(self, call: Any, certificates: Certificates) -> None:
        kinds = ["expired", "another host", "self-signed"]
        with ExitStack() as stack:
            servers = [stack.enter_context(serving(certificates.server(kind))) for kind in kinds]
            addresses = [server.address for server in servers]
            with pytest.raises(HandshakeError) as caught:
                await call(
                    results(*addresses),
                    ssl=certificates.client(),
                    server_hostname=NAME,
                    timeout=LONG,
                )
        error = caught.value
        assert (error.phase, error.errno, error.transient) == ("handshake", errno.EPROTO, False)
        assert "3 of 3 addresses tried" in str(error)
        assert [each.sockaddr for each in error.attempts] == addresses
        assert isinstance(error, ssl.SSLCertVerificationError)
        assert error.verify_code == BAD["expired"][0]
        assert isinstance(error.__cause__, ExceptionGroup)
        for kind, each in zip(kinds, error.__cause__.exceptions, strict=True):
            assert isinstance(each, HandshakeError)
            assert isinstance(each, ssl.SSLCertVerificationError)
            assert each.verify_code == BAD[kind][0]
            assert isinstance(each.__cause__, ssl.SSLCertVerificationError)
            assert BAD[kind][1] in str(each)
            assert BAD[kind][1] in str(error)


class TestTime:
    """Of handshakes with a peer that accepts, and says nothing."""

    pytestmark = with_each(CALLS)

    async def test_the_deadline(self, call: Any, certificates: Certificates) -> None:
        with listening() as listener, pytest.raises(ConnectTimeout) as caught:
            await call(listener.getsockname(), ssl=certificates.client(), timeout=SHORT)
        error = caught.value
        assert (error.phase, error.errno, error.transient) == ("handshake", errno.ETIMEDOUT, True)
        assert "deadline passed: connected, but its handshake had not finished" in str(error)
        assert error.attempts[0].outcome == "timed out"

    async def test_its_own(self, call: Any, certificates: Certificates) -> None:
        report = Report()
        dialer = Dialer(attempt_timeout=ENOUGH, attempt_delay=None, trace=report)
        with listening() as silent, serving(certificates.server()) as good:
            wire = await call(
                results(silent.getsockname(), good.address),
                ssl=certificates.client(),
                server_hostname=NAME,
                timeout=LONG,
                dialer=dialer,
            )
            async with wire:
                assert wire.sock.getpeername() == good.address
        lost, _ = report.attempts
        assert lost.handshake is not None
        assert lost.handshake.outcome == "timed out"
        assert lost.handshake.error == "its own time limit was up"


class TestTimeOfTransports:
    pytestmark = with_each(on(ASYNCIO_LOOPS, by_create_connection, by_open_connection))

    async def test_of_each_handshake(self, call: Any, certificates: Certificates) -> None:
        options: Any = {"ssl": certificates.client(), "ssl_handshake_timeout": SHORT}
        with listening() as silent, pytest.raises(HandshakeError) as caught:
            await call(silent.getsockname(), timeout=LONG, **options)
        error = caught.value
        assert isinstance(error, TimeoutError)
        assert isinstance(error, ConnectionAbortedError)  # as asyncio's own is
        assert not isinstance(error, ConnectTimeout)  # the call still had time
        assert (error.phase, error.errno, error.transient) == ("handshake", errno.ETIMEDOUT, True)
        assert str(error).endswith("the TLS handshake failed: timed out after 0.05 seconds")
        assert type(error.__cause__) is ConnectionAbortedError

    async def test_which_the_next_address_has_too(
        self, call: Any, certificates: Certificates
    ) -> None:
        with listening() as silent, serving(certificates.server()) as good:
            wire = await call(
                results(silent.getsockname(), good.address),
                ssl=certificates.client(),
                server_hostname=NAME,
                ssl_handshake_timeout=ENOUGH,
                timeout=LONG,
            )
            async with wire:
                assert wire.sock.getpeername() == good.address

    async def test_of_the_goodbye(self, call: Any, certificates: Certificates) -> None:
        """The peer says none."""
        over = threading.Event()
        with serving(certificates.server(), lambda _: over.wait(LONG)) as server:
            options: Any = {"ssl": certificates.client(), "ssl_shutdown_timeout": SHORT}
            wire = await call(server.address, **options)
            try:
                with anyio.move_on_after(LONG / 2) as scope:  # the loops' default is LONG
                    with contextlib.suppress(TimeoutError):  # asyncio's streams pass it on
                        await wire.aclose()
                assert not scope.cancelled_caught
            finally:
                over.set()


DEFAULT_CONTEXT = """
import asyncio, sys, trio, uvloop
from aconnect import open_connection, open_trio_stream

async def on_asyncio():
    _, writer = await open_connection("127.0.0.1", int(sys.argv[1]), ssl=True, timeout=30)
    print(writer.get_extra_info("ssl_object").version())
    writer.close()
    await writer.wait_closed()

async def on_trio():
    stream = await open_trio_stream("127.0.0.1", int(sys.argv[1]), ssl=True, timeout=30)
    print(stream.version())
    await stream.aclose()

asyncio.run(on_asyncio())
uvloop.run(on_asyncio())
trio.run(on_trio)
"""


def test_the_default_context_trusts_whom_the_system_trusts(
    certificates: Certificates, tmp_path: Path
) -> None:
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificates.authority)
    where = str(Path(aconnect.__file__).parents[1])
    with serving(certificates.server()) as server:
        finished = subprocess.run(
            [sys.executable, "-W", "error", "-c", DEFAULT_CONTEXT, str(server.address[1])],
            env={**os.environ, "PYTHONPATH": where, "SSL_CERT_FILE": str(authority)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.split() == ["TLSv1.3"] * 3


class TestSeveralHosts:
    """A dial with TLS to several hosts, and peers that say nothing."""

    pytestmark = with_each(CALLS)

    async def test_a_silent_peer_costs_about_a_delay(
        self, call: Any, certificates: Certificates, stack: ExitStack
    ) -> None:
        mute = stack.enter_context(listening("127.0.0.2")).getsockname()
        report = Report()
        with serving(certificates.server()) as server:
            async with await call(
                results(mute, server.address),
                ssl=certificates.client(),
                server_hostname=NAME,
                attempt_delay=SHORT,
                timeout=LONG,
                trace=report,
            ) as wire:
                assert wire.sock.getpeername() == server.address
                await exchange(wire)
        lost, won = report.attempts
        assert lost.handshake is not None
        assert won.handshake is not None
        assert lost.connected is not None
        assert (lost.outcome, lost.handshake.outcome) == ("cancelled", "cancelled")
        # Each from the one before it: the second attempt, and then its handshake.
        assert won.start - lost.start >= SHORT
        assert won.handshake.start - lost.handshake.start >= SHORT
        assert report.elapsed < LONG / 2

    @pytest.mark.parametrize("right", [True, False])
    async def test_each_proves_the_name_that_its_address_came_from(
        self, call: Any, certificates: Certificates, stack: ExitStack, right: bool
    ) -> None:
        dead = stack.enter_context(refusing())
        report = Report()
        resolver = StaticResolver({"dead.example": [LOOPBACK], NAME: ["127.0.0.2"]})
        kind = "good" if right else "another host"
        with serving(certificates.server(kind), host="127.0.0.2") as server:
            dial = call(
                [f"dead.example:{dead[1]}", f"{NAME}:{server.address[1]}"],
                ssl=certificates.client(),
                resolver=resolver,
                timeout=LONG,
                trace=report,
            )
            if right:
                async with await dial as wire:
                    await exchange(wire)
                assert report.winner is not None
                assert report.winner.host == f"{NAME}:{server.address[1]}"
            else:
                with pytest.raises(HandshakeError, match=f"another host, not for {NAME}"):
                    await dial
        assert server.names == [NAME]

    async def test_one_name_may_be_given_for_all(
        self, call: Any, certificates: Certificates, stack: ExitStack
    ) -> None:
        dead = stack.enter_context(refusing())
        resolver = StaticResolver({"one.example": [LOOPBACK], "two.example": ["127.0.0.2"]})
        with serving(certificates.server(), host="127.0.0.2") as server:
            async with await call(
                [f"one.example:{dead[1]}", f"two.example:{server.address[1]}"],
                ssl=certificates.client(),
                server_hostname=NAME,
                resolver=resolver,
                timeout=LONG,
            ) as wire:
                await exchange(wire)
        assert server.names == [NAME]

    async def test_a_part_without_a_name_is_refused(
        self, call: Any, certificates: Certificates
    ) -> None:
        with pytest.raises(ValueError, match="server_hostname is needed"):
            await call([f"{NAME}:1", "unix:/nowhere"], ssl=certificates.client())

    async def test_two_that_are_done_at_once(self, call: Any, certificates: Certificates) -> None:
        go = threading.Barrier(3, timeout=LONG)
        contexts = [certificates.server(), certificates.server()]

        def wait_for_go(*_: object) -> None:
            go.wait()

        with serving(contexts[0]) as one, serving(contexts[1], host="127.0.0.2") as two:
            for context in contexts:
                context.sni_callback = wait_for_go

            async def hold_up() -> None:
                while go.n_waiting < 2:
                    await anyio.sleep(0.01)
                go.wait()
                time.sleep(ENOUGH)  # both have answered when the loop goes on

            found: list[Wire] = []

            async def dial() -> None:
                addresses = results(one.address, two.address)
                options: Any = {"attempt_delay": SHORT, "timeout": LONG}
                found.append(
                    await call(
                        addresses, ssl=certificates.client(), server_hostname=NAME, **options
                    )
                )

            async with anyio.create_task_group() as group:
                group.start_soon(hold_up)
                group.start_soon(dial)
            async with found[0] as wire:
                await exchange(wire)
