"""What TLS is done with, and what became of it, without a connection."""

from __future__ import annotations

import contextlib
import errno
import gc
import ssl
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
from support.tls import NAME, Certificates, observable

from aconnect.handshakes.tls import TLS, TLSHandshake, default_context, failure, reason, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def agreed(server: ssl.SSLContext, wrap: Callable[..., ssl.SSLObject]) -> ssl.SSLObject:
    """What a client has agreed upon with a server, in memory."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = wrap(back, there, server_hostname=NAME)
    theirs = server.wrap_bio(there, back, server_side=True)
    for end in (ours, theirs, ours, theirs):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        ours.read()  # what comes first are sessions, in TLS 1.3
    return ours


@pytest.fixture(scope="module")
def session(certificates: Certificates) -> ssl.SSLSession:
    found = agreed(certificates.server(), certificates.client().wrap_bio).session
    assert found is not None
    return found


class TestArguments:
    @pytest.mark.parametrize("given", [None, False])
    def test_no_tls(self, given: bool | None) -> None:
        assert settings(given, None, None, "db.example") is None

    @pytest.mark.parametrize("given", ["yes", 1, 0, object, ssl])
    def test_what_is_no_context(self, given: Any) -> None:
        with pytest.raises(TypeError, match=r"ssl must be an .* True or None") as caught:
            settings(given, None, None, NAME)
        assert str(caught.value).endswith(f"not {given!r}")

    @pytest.mark.parametrize("name", [5, bytearray(b"db.example"), ["db.example"]])
    @pytest.mark.parametrize("tls", [True, None])
    def test_what_is_no_name(self, name: Any, tls: bool | None) -> None:
        with pytest.raises(
            TypeError, match="server_hostname must be a string or None, or bytes"
        ) as caught:
            settings(tls, name, None, NAME)
        assert str(caught.value).endswith(f"not {name!r}")

    @pytest.mark.parametrize(
        "name",
        [
            "",
            b"",
            ".",
            b".",
            "a..",
            b"b\xc3\xbccher.example",
            ".example",
            "a..example",
            "a\0.example",
            f"{'a' * 64}.example",
            "a\n.example",
            "a b",
        ],
        ids=repr,
    )
    def test_names_that_cannot_be(self, name: str | bytes, context: ssl.SSLContext) -> None:
        with pytest.raises(ValueError, match="server_hostname must be a host name") as caught:
            settings(context, name, None, None)
        assert str(caught.value).endswith(f"not {name!r}")

    @pytest.mark.parametrize("given", ["resumed", 5, object()], ids=["str", "int", "object"])
    @pytest.mark.parametrize("tls", [True, None])
    def test_what_is_no_session(self, given: Any, tls: bool | None) -> None:
        with pytest.raises(TypeError, match=r"ssl_session must be an .* or None") as caught:
            settings(tls, None, given, NAME)
        assert str(caught.value).endswith(f"not {given!r}")

    @pytest.mark.parametrize("tls", [False, None])
    def test_what_is_for_tls_only(self, tls: bool | None, session: ssl.SSLSession) -> None:
        with pytest.raises(ValueError, match=r"server_hostname 'db\.example' is for TLS only"):
            settings(tls, "db.example", None, None)
        with pytest.raises(ValueError, match=r"ssl_session <.*Session.*> is for TLS only"):
            settings(tls, None, session, None)

    def test_a_context_for_servers(self, certificates: Certificates) -> None:
        with pytest.raises(ValueError, match="ssl"):
            settings(certificates.server(), NAME, None, None)


class TestTheName:
    @pytest.mark.parametrize(
        ("host", "name"),
        [
            ("db.example", "db.example"),
            ("db.example.", "db.example"),
            ("bücher.example", "bücher.example"),
            ("bücher.example\u3002", "bücher.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("fe80::1%eth0", "fe80::1"),
        ],
    )
    def test_is_the_host_of_the_address(
        self, host: str, name: str, context: ssl.SSLContext
    ) -> None:
        assert settings(context, None, None, host) == TLS(context, name)
        assert settings(context, host, None, None) == TLS(context, name)
        if host.isascii():  # ssl takes A-labels as bytes
            assert settings(context, host.encode(), None, "another.example") == TLS(context, name)

    @pytest.mark.parametrize("host", [None, "10.0.0.1"])
    def test_is_what_it_is_said_to_be(self, host: str | None, context: ssl.SSLContext) -> None:
        assert settings(context, NAME, None, host) == TLS(context, NAME)

    def test_is_needed_where_there_is_no_host(self, context: ssl.SSLContext) -> None:
        with pytest.raises(
            ValueError, match=r"server_hostname is needed .* the server's certificate"
        ):
            settings(context, None, None, None)
        with pytest.raises(ValueError, match="server_hostname is needed"):
            settings(True, None, None, None)

    @pytest.mark.parametrize("empty", ["", b""])
    def test_empty_is_none(self, empty: str | bytes, context: ssl.SSLContext) -> None:
        """As asyncio has it, though the address may have one."""
        with pytest.raises(ValueError, match=rf"\(check_hostname\), not {empty!r}$"):
            settings(context, empty, None, NAME)
        with pytest.raises(ValueError, match=f"server_hostname {empty!r} is for TLS only"):
            settings(None, empty, None, NAME)
        context.check_hostname = False
        assert settings(context, empty, None, NAME) == TLS(context, None)

    def test_is_not_needed_if_nobody_checks_it(self, context: ssl.SSLContext) -> None:
        context.check_hostname = False
        assert settings(context, None, None, None) == TLS(context, None)


class TestTheContext:
    def test_the_default_one_verifies(self) -> None:
        tls = settings(True, None, None, NAME)
        assert tls is not None
        assert tls.context.verify_mode is ssl.CERT_REQUIRED
        assert tls.context.check_hostname

    def test_the_default_one_is_made_once(self) -> None:
        first, second = (settings(True, name, None, None) for name in ("a.example", "b.example"))
        assert first is not None
        assert second is not None
        assert first.context is second.context is default_context()

    def test_a_default_context_that_could_not_read_the_certificates_is_not_kept(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificates: Certificates
    ) -> None:
        """As when no descriptor is left: OpenSSL does not complain of that."""
        file = tmp_path / "authority.pem"
        file.write_bytes(certificates.authority)
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        with monkeypatch.context() as patch:
            patch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)
            unread = default_context()
            assert not unread.cert_store_stats()["x509_ca"]
        read = default_context()
        assert read.cert_store_stats()["x509_ca"]
        assert default_context() is read

    def test_a_users_own_is_not_changed(
        self, certificates: Certificates, session: ssl.SSLSession
    ) -> None:
        context = certificates.client()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        before = observable(context)
        assert before["verify_mode"] is ssl.CERT_REQUIRED  # it does look
        tls = settings(context, NAME, None, None)
        assert tls is not None
        assert tls.context is context
        assert observable(context) == before
        assert observable(TLS(context, NAME, session).wrapper) == before


class TestASession:
    def test_without_one_the_context_is_itself(self, context: ssl.SSLContext) -> None:
        assert TLS(context, NAME).wrapper is context

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_is_handed_to_what_the_context_makes(
        self, certificates: Certificates, version: ssl.TLSVersion
    ) -> None:
        server, context = certificates.server(), certificates.client()
        context.maximum_version = version
        first, other = (agreed(server, context.wrap_bio).session for _ in range(2))
        assert first != other
        tls = settings(context, NAME, first, None)
        assert tls is not None
        wrap = tls.wrapper.wrap_bio
        assert wrap(ssl.MemoryBIO(), ssl.MemoryBIO(), False, NAME).session == first
        assert wrap(ssl.MemoryBIO(), ssl.MemoryBIO(), False, NAME, other).session == other
        resumed = agreed(server, wrap)
        assert resumed.session_reused
        assert resumed.version() == version.name.replace("_", ".")

    @pytest.mark.parametrize("told", [True, False])
    def test_of_another_context_is_refused(
        self, certificates: Certificates, told: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also by an interpreter that does not tell whose it is."""
        if not told:
            monkeypatch.setattr(gc, "get_referents", lambda _: [])
        context, other = certificates.client(), certificates.client()
        session = agreed(certificates.server(), context.wrap_bio).session
        with pytest.raises(ValueError, match=r"ssl_session .* different SSLContext"):
            settings(other, NAME, session, None)
        tls = settings(context, NAME, session, None)
        assert tls is not None
        assert tls.session is session

    @pytest.mark.skipif(sys.implementation.name != "cpython", reason="CPython alone tells it")
    def test_is_not_copied_to_find_out(
        self, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That takes 100 µs, and what makes the connection takes them once more."""
        context = certificates.client()
        session = agreed(certificates.server(), context.wrap_bio).session

        def refuse(*_: object) -> None:
            raise AssertionError("it would be copied")

        monkeypatch.setattr(context, "wrap_bio", refuse)
        assert settings(context, NAME, session, None) is not None


def chained(error: Exception, *reasons: BaseException, by: str = "__cause__") -> Exception:
    """``error``, because of the first of ``reasons``, because of the next."""
    at: BaseException = error
    for each in reasons:
        setattr(at, by, each)
        at = each
    return error


EXPIRED = ssl.SSLCertVerificationError(1, "expired")
ALERT = ssl.SSLError(1, "alert")
RESET = ConnectionResetError(errno.ECONNRESET, "reset")
PIPE = BrokenPipeError(errno.EPIPE, "pipe")
BUG = LookupError("a bug")


class TestFailure:
    @pytest.mark.parametrize("by", ["__cause__", "__context__"])
    @pytest.mark.parametrize(
        ("raised", "reasons", "found"),
        [
            (EXPIRED, [], EXPIRED),
            (EXPIRED, [RESET], EXPIRED),
            (RESET, [], RESET),
            (PIPE, [LookupError()], PIPE),
            # anyio and trio have words of their own for it, and their reasons.
            (trio.BrokenResourceError(), [EXPIRED], EXPIRED),
            (trio.BrokenResourceError(), [trio.BrokenResourceError(), ALERT], ALERT),
            (anyio.BrokenResourceError(), [PIPE], PIPE),
            (anyio.ClosedResourceError(), [OSError("no number"), RESET], RESET),
            # A bug stays one, unless there is a reason for it.
            (BUG, [], BUG),
            (BUG, [ValueError()], BUG),
            (BUG, [ssl.SSLEOFError(8, "EOF")], BUG),
            (BUG, [ALERT], ALERT),
            # A cancellation is not looked into.
            (BUG, [KeyboardInterrupt(), ALERT], BUG),
        ],
    )
    def test_what_there_is_to_know(
        self, raised: Exception, reasons: list[BaseException], found: Exception, by: str
    ) -> None:
        try:
            assert failure(chained(raised, *reasons, by=by)) is found
            if found is not BUG:  # what led to it is said by it, and by the dial
                assert found.__cause__ is found.__context__ is None
        finally:
            for each in (raised, *reasons):
                each.__cause__ = each.__context__ = None

    @pytest.mark.parametrize(
        "raised",
        [
            ConnectionResetError(),
            ConnectionAbortedError("SSL handshake is taking longer than 1 seconds"),
            EOFError("unexpected EOF"),
            ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
            ssl.SSLZeroReturnError(6, "TLS/SSL connection has been closed (EOF)"),
            anyio.EndOfStream(),
            anyio.BrokenResourceError(),
            anyio.ClosedResourceError(),
            trio.BrokenResourceError(),
            trio.ClosedResourceError(),
            chained(trio.BrokenResourceError(), ssl.SSLEOFError(8, "EOF occurred")),
            chained(anyio.BrokenResourceError(), ssl.SSLEOFError(8, "EOF occurred"), PIPE),
            chained(ConnectionAbortedError(), EOFError()),
        ],
        ids=repr,
    )
    def test_a_peer_that_has_hung_up(self, raised: Exception) -> None:
        found = failure(raised)
        assert type(found) is ConnectionResetError
        assert found.errno == errno.ECONNRESET
        assert found.strerror == "Connection reset by peer"


def refused(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def broken(reason: str | None, text: str = "[SSL] something (_ssl.c:1020)") -> ssl.SSLError:
    error = ssl.SSLError(1, text)
    error.reason = reason  # type: ignore[assignment]
    return error


class TestReason:
    @pytest.mark.parametrize(
        ("code", "said"),
        [
            (9, "is not valid yet: check this machine"),
            (10, "has expired"),
            (18, "is self-signed: to trust it, load it"),
            (19, "issuer is self-signed and not trusted here"),
            (20, "issuer is not known here: load the issuer's certificate into the context, or"),
            (21, "issuer is not known here, and the server sent no intermediate"),
            (23, "has been revoked"),
            (62, f"is for another host, not for {NAME}"),
            (64, f"is for another host, not for {NAME}"),
            (66, "is not accepted: EE certificate key too weak {or not}"),
        ],
    )
    def test_of_a_certificate(self, code: int, said: str) -> None:
        told = reason(refused(code, "EE certificate key too weak {or not}"), NAME)
        assert told.startswith("the certificate")
        assert said in told

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (broken("WRONG_VERSION_NUMBER"), "the peer does not speak TLS here (wrong version"),
            (broken("RECORD_LAYER_FAILURE"), "the peer does not speak TLS here (record layer"),
            (broken("PACKET_LENGTH_TOO_LONG"), "the peer does not speak TLS here (packet length"),
            (broken("HTTP_REQUEST"), "the peer does not speak TLS here (http request)"),
            (broken("TLSV1_ALERT_PROTOCOL_VERSION"), "the peer refused it: tlsv1 alert protocol"),
            (broken("NO_CIPHERS_AVAILABLE"), "no ciphers available"),
            (broken(None, "[sys] lib"), "[sys] lib"),
            (broken(None, "PROTOCOL_TLS_SERVER context"), "PROTOCOL_TLS_SERVER context"),
            (broken(None, ""), "SSLError"),
            (ssl.SSLError(1, "somebody's own"), "somebody's own"),
            (RESET, "the peer closed the connection in the middle of it"),
            (PIPE, "pipe"),
            (ValueError("Session refers to a different SSLContext."), "Session refers to a diff"),
            (EOFError(), "EOFError"),
        ],
        ids=lambda each: each if isinstance(each, str) else type(each).__name__,
    )
    def test_of_all_else(self, error: Exception, said: str) -> None:
        assert reason(error, NAME).startswith(said)


class Agreed:
    """What has the methods of an SSLObject."""

    def __init__(self, **answers: Any) -> None:
        self.session_reused = answers.pop("session_reused", False)
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[[], Any]:
        return lambda: self._answers.get(name)


class Shake(TLSHandshake[Any]):
    def ssl_object(self, result: Any) -> Any:
        return result


class TestAHandshake:
    def test_its_name(self, context: ssl.SSLContext) -> None:
        handshake: TLSHandshake[Any] = TLSHandshake(TLS(context, NAME))
        assert (handshake.name, handshake.kind) == ("TLS", "TLS handshake")

    def test_each_loop_has_its_own(self, context: ssl.SSLContext) -> None:
        handshake: Any = TLSHandshake(TLS(context, NAME))
        with pytest.raises(NotImplementedError):
            handshake(None).send(None)
        with pytest.raises(NotImplementedError):
            handshake.within(None, 0.0).send(None)
        with pytest.raises(NotImplementedError):
            handshake.details(None)

    @pytest.mark.parametrize(
        ("answers", "details"),
        [
            ({}, {}),
            (
                {"version": "TLSv1.2", "cipher": ("ECDHE-AES", "TLSv1.2", 256)},
                {"version": "TLSv1.2", "cipher": "ECDHE-AES"},
            ),
            ({"selected_alpn_protocol": "h2"}, {"ALPN": "h2"}),
            ({"session_reused": True}, {"session": "resumed"}),
        ],
    )
    def test_what_was_agreed_upon(
        self, answers: dict[str, Any], details: dict[str, str], context: ssl.SSLContext
    ) -> None:
        assert Shake(TLS(context, NAME)).details(Agreed(**answers)) == details

    def test_what_it_raises_is_what_there_is_to_know(self, context: ssl.SSLContext) -> None:
        class Broken(Shake):
            async def shake(self, sock: Any) -> Any:
                raise trio.BrokenResourceError from RESET

        handshake = Broken(TLS(context, NAME))
        with pytest.raises(ConnectionResetError) as caught:
            handshake(None).send(None)  # type: ignore[arg-type]
        assert caught.value is RESET
        assert caught.value.__cause__ is caught.value.__context__ is None
        RESET.__traceback__ = None

    def test_a_cancellation_goes_through(self, context: ssl.SSLContext) -> None:
        class Cancelled(BaseException):
            pass

        class Endless(Shake):
            async def shake(self, sock: Any) -> Any:
                raise Cancelled from RESET

        with pytest.raises(Cancelled):
            Endless(TLS(context, NAME))(None).send(None)  # type: ignore[arg-type]

    def test_why_it_failed_names_the_name(self, context: ssl.SSLContext) -> None:
        told = Shake(TLS(context, "db.example")).reason(refused(62, "Hostname mismatch"))
        assert told == "the certificate is for another host, not for db.example"
