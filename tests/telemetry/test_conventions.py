"""T7 and M1: terms for errors are a closed set; names of targets are those that are given."""

from __future__ import annotations

import errno
import socket
import threading
from socket import AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_STREAM
from typing import TYPE_CHECKING, Any

import pytest
from conftest import ASYNCIO_LOOPS
from support import dials
from support.dials import T, inet, report_of
from support.fake_proxy import CLOSE, HEAD, FakeProxy
from support.listeners import listening
from support.tls import BAD, NAME, Certificates, hang_up, serving

from aconnect import (
    ConnectError,
    Dialer,
    Report,
    ResolveError,
    StaticResolver,
    open_connection,
    parse_address,
)
from aconnect.explanations.errnos import ERRNOS
from aconnect.explanations.resolving import RESOLVE_CODES
from aconnect.handshakes.tls import _CERTIFICATE
from aconnect.report.story import read
from aconnect.telemetry import conventions
from aconnect.telemetry.conventions import (
    ERROR_TYPES,
    OTHER,
    attempt_error,
    connect_error,
    dial_error,
    handshake_error,
    lookup_error,
    network_type,
    server_of,
    transport,
)
from aconnect.telemetry.targets import MOST, MOST_FAILURES, Hosts, namer
from aconnect.trace import (
    AttemptEnded,
    AttemptStarted,
    DialFailed,
    DialStarted,
    HandshakeEnded,
    HandshakeStarted,
    ResolutionEnded,
    ResolutionStarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aconnect.report.story import Story


def story_of(report: Report) -> Story:
    return read(report.events, 0.0)


class TestT7:
    def test_it_is_made_from_the_tables(self) -> None:
        assert set(ERROR_TYPES) == {row[0] for row in (*ERRNOS, *RESOLVE_CODES)}
        assert set(conventions._NAMED) <= set(ERROR_TYPES)

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (errno.ECONNREFUSED, "connection_refused"),
            (errno.ETIMEDOUT, "timed_out"),
            (errno.EHOSTUNREACH, "host_unreachable"),
            (errno.ENETUNREACH, "network_unreachable"),
            (errno.EADDRNOTAVAIL, "address_not_available"),
            (errno.EADDRINUSE, "address_already_in_use"),
            (errno.EACCES, "access_denied"),
            (errno.ECONNRESET, "connection_reset"),
            (errno.ENOENT, "enoent"),
            (errno.EXDEV, OTHER),
            (12345, OTHER),
            (None, OTHER),
        ],
    )
    def test_of_an_errno(self, code: int | None, kind: str) -> None:
        report = report_of(
            DialStarted(T, dials.NAME),
            AttemptStarted(T, 0, inet()),
            AttemptEnded(T + 1, 0, "failed", code),
            DialFailed(T + 1, "failed", code, "connect"),
        )
        [attempt] = report.attempts
        assert attempt_error(attempt) == connect_error(attempt) == kind
        assert dial_error(story_of(report)) == kind

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (socket.EAI_NONAME, "host_not_found"),
            (socket.EAI_AGAIN, "try_again"),
            (socket.EAI_FAIL, "no_recovery"),
            (socket.EAI_FAMILY, "address_family_not_supported"),
            (socket.EAI_MEMORY, "eai_memory"),
            (errno.ECONNREFUSED, "connection_refused"),  # of a resolver with errnos of its own
            (99999, OTHER),
            (None, OTHER),
        ],
    )
    def test_of_a_lookup(self, code: int | None, kind: str) -> None:
        report = report_of(
            DialStarted(T, dials.NAME),
            ResolutionStarted(T, dials.NAME),
            ResolutionEnded(T + 1, "failed", 0, code),
            DialFailed(T + 1, "failed", code, "resolve"),
        )
        assert lookup_error(report.resolutions[0]) == kind
        assert dial_error(story_of(report)) == kind

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("IPv6 is silent, IPv4 wins", None),
            ("cancelled from outside", None),
            ("the deadline passes in resolving", "timed_out"),
            ("the deadline passes in a handshake", "timed_out"),
            ("all fail", "connection_refused"),
        ],
    )
    def test_of_a_dial(self, name: str, kind: str | None) -> None:
        assert dial_error(story_of(dials.report(name))) == kind

    def test_of_what_was_given_up_there_is_none(self) -> None:
        report = dials.report("IPv6 is silent, IPv4 wins")
        assert [attempt_error(each) for each in report.attempts] == [None, None]
        report = dials.report("cancelled from outside")
        [attempt] = report.attempts
        [shake] = attempt.handshakes
        assert handshake_error(shake, attempt) is None
        report = dials.report("an answer that is not waited for")
        assert lookup_error(report.resolutions[0]) is None
        made_room = AttemptEnded(T + 1, 0, "made room")
        report = report_of(DialStarted(T, dials.NAME), AttemptStarted(T, 0, inet()), made_room)
        assert attempt_error(report.attempts[0]) is None

    def test_of_what_timed_out_or_was_not_permitted(self) -> None:
        assert lookup_error(dials.report("the deadline passes in resolving").resolutions[0])
        report = dials.report("the deadline passes in a handshake")
        assert [attempt_error(each) for each in report.attempts] == ["timed_out"] * 2
        assert connect_error(report.attempts[1]) is None  # which is connected
        assert handshake_error(report.attempts[1].handshakes[0], report.attempts[1]) == "timed_out"
        kinds = [attempt_error(each) for each in dials.report("all fail").attempts]
        assert kinds[3:] == ["not_permitted", "too_many_open_sockets"]

    def test_all_words_about_certificates_begin_alike(self) -> None:
        assert all(words.startswith(conventions._CERTIFICATE) for words in _CERTIFICATE.values())

    def test_a_handshake_of_the_users(self) -> None:
        report = report_of(
            DialStarted(T, dials.NAME),
            AttemptStarted(T, 0, inet()),
            AttemptEnded(T, 0, "connected"),
            HandshakeStarted(T, 0, "hello"),
            HandshakeEnded(T + 1, 0, "failed", "the certificate", errno=errno.EPROTO),
            DialFailed(T + 1, "failed", errno.EPROTO, "handshake"),
        )
        assert dial_error(story_of(report)) == "eproto"


async def kind_of(dial: Callable[[], Any]) -> str | None:
    with pytest.raises(ConnectError) as caught:
        await dial()
    assert caught.value.report is not None
    story = story_of(caught.value.report)
    return dial_error(story)


@pytest.mark.anyio
class TestT7OfRealOnes:
    @pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS)
    @pytest.mark.parametrize("kind", sorted(BAD))
    async def test_certificates(self, anyio_backend: Any, kind: str) -> None:
        made = Certificates()
        with serving(made.server(kind)) as server:

            async def dial() -> None:
                await open_connection(
                    server.address, ssl=made.client(), server_hostname=NAME, timeout=10
                )

            assert await kind_of(dial) == "certificate_error"

    @pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS)
    @pytest.mark.parametrize(
        ("act", "kind"), [(hang_up, "connection_reset"), (b"SSH-2.0-x\r\n" * 9, "tls_error")]
    )
    async def test_no_tls(self, anyio_backend: Any, act: Any, kind: str) -> None:
        made = Certificates()
        say = act if callable(act) else lambda sock: (sock.sendall(act), sock.recv(1000))
        with serving(None, say) as server:

            async def dial() -> None:
                await open_connection(
                    server.address, ssl=made.client(), server_hostname=NAME, timeout=10
                )

            assert await kind_of(dial) == kind

    @pytest.mark.parametrize(
        ("scheme", "login", "script", "kind"),
        [
            ("http", "", [HEAD, b"HTTP/1.1 407 A\r\n\r\n", CLOSE], "proxy_auth"),
            ("http", "", [HEAD, b"HTTP/1.1 403 login 407\r\n\r\n", CLOSE], "proxy_refused"),
            ("http", "", [HEAD, CLOSE], "connection_reset"),
            ("socks5h", "", [3, b"\x05\xff", CLOSE], "proxy_auth"),
            ("socks5h", "u:p@", [4, b"\x05\xff", CLOSE], "proxy_auth"),
            ("socks5h", "u:p@", [4, b"\x05\x02", 5, b"\x01\x01", CLOSE], "proxy_auth"),
            ("socks5h", "", [3, b"\x05\x00", 10, b"\x05\x02\x00\x01", CLOSE], "proxy_refused"),
        ],
    )
    async def test_proxies(
        self, anyio_backend: Any, scheme: str, login: str, script: list[Any], kind: str
    ) -> None:
        with FakeProxy(script) as proxy:
            dialer = Dialer(proxy=proxy.url(scheme, login))

            async def dial() -> None:
                await dialer.connect(("192.0.2.7", 443), timeout=10)

            assert await kind_of(dial) == kind

    async def test_policy(self, anyio_backend: Any) -> None:
        dialer = Dialer(permit=lambda endpoint: False)
        with listening() as listener:
            address = listener.getsockname()
            assert await kind_of(lambda: dialer.connect(address)) == "not_permitted"

    async def test_names(self, anyio_backend: Any) -> None:
        dialer = Dialer(resolver=StaticResolver({}))
        with pytest.raises(ResolveError):
            await dialer.connect("nowhere.invalid:443")
        assert await kind_of(lambda: dialer.connect("nowhere.invalid:443")) == "host_not_found"


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("https://a.test", ("a.test", 443)),
        ("https://a.test:8443", ("a.test", 8443)),
        ("https://[::1]:8443 and 2 more", ("::1", 8443)),
        ("svcb://a.test:5?scheme=foo&alpn=x", ("a.test", 5)),
        ("srv:_x._tcp.a.test", ("a.test", None)),
        ("srv:_x._udp.a.test:5", ("a.test", 5)),
    ],
)
def test_the_server_of_a_service(text: str, server: tuple[str, int | None]) -> None:
    assert str(parse_address(text.partition(" ")[0])) == text.partition(" ")[0]
    assert server_of(text) == server


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("example.com:443", ("example.com", 443)),
        ("udp://example.com:53", ("example.com", 53)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
        ("192.0.2.1:80 and 2 more", ("192.0.2.1", 80)),
        ("https://proxy.example:3128", ("proxy.example", 3128)),
        ("https://***@[2001:db8::1]:3128", ("2001:db8::1", 3128)),
        ("unix:/run/x.sock", ("/run/x.sock", None)),
        ("unixgram:/run/x:1", ("/run/x:1", None)),
        ("unix:@abstract", ("@abstract", None)),
        ("vsock:2:1024", ("vsock:2", 1024)),
        ("unknown peer", ("unknown peer", None)),
    ],
)
def test_the_server_of_an_address(text: str, server: tuple[str, int | None]) -> None:
    assert server_of(text) == server


def test_families() -> None:
    assert [network_type(each) for each in (AF_INET, AF_INET6, AF_UNIX)] == ["ipv4", "ipv6", None]
    assert transport(AF_INET, SOCK_STREAM) is None
    assert transport(AF_INET6, SOCK_DGRAM) == "udp"
    assert transport(AF_UNIX, SOCK_DGRAM) == "unix"


class TestTargets:
    def test_none(self) -> None:
        assert namer(None) is None

    def test_a_mapping_is_what_it_was(self) -> None:
        names = {"db.internal:5432": "db"}
        name = namer(names)
        assert name is not None
        names["cache:6379"] = "cache"
        assert [name("db.internal:5432"), name("cache:6379")] == ["db", OTHER]

    def test_a_callable(self) -> None:
        name = namer(lambda address: "db" if address.startswith("db.") else None)
        assert name is not None
        assert [name("db.internal:5432"), name("cache:6379")] == ["db", OTHER]

    @pytest.mark.parametrize("targets", [1, "db", ["db"]])
    def test_another_type(self, targets: Any) -> None:
        with pytest.raises(TypeError, match=r"^targets must be a mapping, a callable of one arg"):
            namer(targets)

    @pytest.mark.parametrize("targets", [{"db:1": 1}, {"db:1": None}, {("db", 1): "db"}])
    def test_of_another_type(self, targets: Any) -> None:
        with pytest.raises(TypeError, match=r"^targets must be names by address, both str, not "):
            namer(targets)

    def test_a_callable_that_returns_another_type(self) -> None:
        answer: Any = 1
        name = namer(lambda _: answer)
        assert name is not None
        with pytest.raises(TypeError, match=r"^targets must return a str or None, not 1 for 'db:"):
            name("db:1")

    def test_hosts_are_so_many_and_no_more(self) -> None:
        hosts = Hosts()
        names = {hosts(f"host{number}:{number}", None) for number in range(1, 60_000)}
        assert len(names) == MOST + 1
        assert OTHER in names
        assert hosts("host1:2", None) == "host1"

    def test_so_are_hosts_with_a_kind_of_error(self) -> None:
        hosts, kinds = Hosts(), ["host_not_found", "try_again", OTHER]
        seen = {
            (hosts(f"host{number}:1", kind), kind) for number in range(2 * MOST) for kind in kinds
        }
        assert len(seen) == MOST_FAILURES + len(kinds)
        assert hosts("host0:1", "timed_out") == OTHER  # another series, even of a known host
        assert [hosts("host0:1", each) for each in (None, "try_again")] == ["host0", "host0"]

    def test_a_host_has_its_series_however_many_fail(self) -> None:
        hosts = Hosts()
        for number in range(2 * MOST_FAILURES):
            hosts("host0:1", f"kind {number}")
        assert hosts("host1:1", None) == "host1"

    def test_there_is_room_for_all_kinds_of_errors_of_others(self) -> None:
        kinds = {ERROR_TYPES[name] for name, *_ in RESOLVE_CODES} | {"timed_out", OTHER, None}
        assert MOST + MOST_FAILURES + len(kinds) <= 200

    def test_of_several_threads_too(self) -> None:
        hosts, found = Hosts(), set()

        def ask(first: int) -> None:
            found.update(hosts(f"host{number}:1", None) for number in range(first, first + 500))

        threads = [threading.Thread(target=ask, args=(first * 500,)) for first in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found - {OTHER}) <= MOST
