"""HTTP CONNECT without I/O: what is said, and what each answer comes to, however it is cut."""

from __future__ import annotations

import errno
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aconnect.sansio.http_connect import HTTPConnect
from aconnect.sansio.negotiation import Refusal

SURPLUS = b"SSH-2.0-x\r\n"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


def feed(talk: HTTPConnect, answer: bytes, step: int = 10**6) -> bytes:
    """Feed an answer as it can be looked at; what is left of it."""
    while answer and talk.wanted:
        taken = talk.receive(answer[: min(step, talk.wanted)])
        answer = answer[taken:]
    return answer


def refused(answer: bytes, step: int = 10**6) -> Refusal:
    with pytest.raises(Refusal) as caught:
        feed(HTTPConnect("h", 1), answer, step)
    return caught.value


class TestRequest:
    @pytest.mark.parametrize(
        ("host", "where"),
        [
            ("db.example", b"db.example:443"),
            ("192.0.2.1", b"192.0.2.1:443"),
            ("2001:db8::1", b"[2001:db8::1]:443"),
            ("::ffff:192.0.2.1", b"192.0.2.1:443"),
            ("b\u00fccher.example", b"xn--bcher-kva.example:443"),
        ],
    )
    def test_h1_is_exactly_this(self, host: str, where: bytes) -> None:
        talk = HTTPConnect(host, 443)
        assert talk.to_send() == b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (where, where)
        assert talk.to_send() == b""

    def test_h1_a_login_is_sent_at_once_and_headers_follow(self) -> None:
        talk = HTTPConnect("h", 1, "alice", "s\u00e9cret", [("X-Trace", "7")])
        assert talk.to_send() == (
            b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n"
            b"Proxy-Authorization: Basic YWxpY2U6c8OpY3JldA==\r\nX-Trace: 7\r\n\r\n"
        )
        assert b"Basic YWxpY2U6\r\n" in HTTPConnect("h", 1, "alice").to_send()

    def test_what_is_no_header_is_refused(self) -> None:
        with pytest.raises(h11.LocalProtocolError):
            HTTPConnect("h", 1, headers=[("a", "b\r\nc: d")])


class TestSuccess:
    @pytest.mark.parametrize("step", [1, 2, 7, 10**6])
    @pytest.mark.parametrize(
        "head",
        [
            OK,
            b"HTTP/1.0 200 OK\r\n\r\n",
            b"HTTP/1.1 200\r\n\r\n",
            b"HTTP/1.1 204 x\n\n",
            b"HTTP/1.1 299 x\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 15 + OK,
        ],
    )
    def test_h2_what_is_behind_the_head_is_left(self, head: bytes, step: int) -> None:
        talk = HTTPConnect("h", 1)
        assert feed(talk, head + SURPLUS, step) == SURPLUS
        assert talk.wanted == 0

    def test_what_is_taken_is_told_exactly(self) -> None:
        talk = HTTPConnect("h", 1)
        assert talk.receive(OK[:10]) == 10
        assert talk.receive(OK[10:] + SURPLUS) == len(OK) - 10


ANSWERS = [
    (b"407 Auth", errno.EACCES, "proxy"),
    (b"400 Bad", errno.EPROTO, "proxy"),
    (b"404 No", errno.EPROTO, "proxy"),
    (b"405 No", errno.EOPNOTSUPP, "proxy"),
    (b"501 No", errno.EOPNOTSUPP, "proxy"),
    (b"302 Found", errno.EPROTO, "proxy"),
    (b"101 Switching", errno.EPROTO, "proxy"),
    (b"403 Forbidden", errno.EACCES, "target"),
    (b"504 Late", errno.ETIMEDOUT, "target"),
    (b"500 Broken", errno.EHOSTUNREACH, "target"),
    (b"502 Bad Gateway", errno.EHOSTUNREACH, "target"),
    (b"503 Down", errno.EHOSTUNREACH, "target"),
    (b"599 Odd", errno.EHOSTUNREACH, "target"),
]


class TestRefusal:
    @pytest.mark.parametrize("step", [1, 10**6])
    @pytest.mark.parametrize(("status", "code", "about"), ANSWERS)
    def test_what_it_comes_down_to(self, status: bytes, code: int, about: str, step: int) -> None:
        refusal = refused(b"HTTP/1.1 " + status + b"\r\nX: y\r\n\r\n", step)
        assert (refusal.errno, refusal.about) == (code, about)
        assert refusal.reply == int(status[:3])
        if refusal.reply != 101:
            assert f"the proxy says {status.decode()}" in str(refusal)

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            ("connection_refused", errno.ECONNREFUSED),
            ("connection_timeout", errno.ETIMEDOUT),
            ("dns_error", errno.EHOSTUNREACH),
            ("dns_timeout", errno.EHOSTUNREACH),
            ("destination_ip_prohibited", errno.EACCES),
            ("http_request_denied", errno.EACCES),
            ("destination_ip_unroutable", errno.ENETUNREACH),
            ("proxy_internal_error", errno.EHOSTUNREACH),
        ],
    )
    def test_h4_proxy_status_decides_if_it_is_known(self, error: str, code: int) -> None:
        field = f"Proxy-Status: p.example; error={error}; details=x".encode()
        refusal = refused(b"HTTP/1.1 502 Bad Gateway\r\n" + field + b"\r\n\r\n")
        assert (refusal.errno, refusal.about) == (code, "target")

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            (b'Proxy-Authenticate: Basic realm="x"\r\n', "a login (Basic)"),
            (
                b'Proxy-Authenticate: Basic realm="x"\r\nProxy-Authenticate: Negotiate\r\n',
                "a login (Basic, Negotiate)",
            ),
            (b"", "it does not say which"),
        ],
    )
    def test_a_login_that_is_wanted_is_named(self, fields: bytes, said: str) -> None:
        assert said in str(refused(b"HTTP/1.1 407 Auth\r\n" + fields + b"\r\n"))

    def test_when_to_come_again_is_told(self) -> None:
        refusal = refused(b"HTTP/1.1 503 Busy\r\nRetry-After: 30\r\n\r\n")
        assert str(refusal).endswith("the proxy says 503 Busy: Retry-After: 30")

    def test_h3_what_there_is_of_the_body_is_kept(self) -> None:
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9999\r\n\r\n"
        assert refused(head + b"<html>").body == b"<html>"
        assert refused(head + b"x" * 9000).body == b"x" * 4096
        assert refused(head).body == b""

    @pytest.mark.parametrize(
        ("reason", "shown"),
        [
            (b" \x1b[31mred\x00", " ?[31mred?"),
            (b" a\rb\tc", " a?b?c"),
            (b" \xe4\xf6", " \u00e4\u00f6"),
            (b" \x80\x9f", " ??"),
            (b"  two ", " two"),
            (b" ", ""),
            (b"", ""),
        ],
    )
    @pytest.mark.parametrize("end", [b"\r\n", b"\n"])
    def test_h3_whatever_there_is_in_a_reason_it_is_a_refusal(
        self, reason: bytes, shown: str, end: bytes
    ) -> None:
        for status, code in (
            (b"403", errno.EACCES),
            (b"407", errno.EACCES),
            (b"503", errno.EHOSTUNREACH),
        ):
            refusal = refused(b"HTTP/1.1 " + status + reason + end + b"X: y" + end + end)
            assert refusal.errno == code
            assert refusal.reply == int(status)
            words = str(refusal.strerror)
            assert words.partition(": ")[0] == f"the proxy says {status.decode()}{shown}"
            assert words.isprintable()
        answer = b"HTTP/1.1 200" + reason + end + end + b"ping"
        assert feed(HTTPConnect("h", 1), answer) == b"ping"

    def test_h3_a_reason_is_printable_and_short(self) -> None:
        refusal = refused(b"HTTP/1.1 403 \x80\xff" + b"x" * 500 + b"\r\n\r\n")
        assert str(refusal).isprintable()
        assert len(str(refusal)) < 160

    @pytest.mark.parametrize(
        ("challenges", "schemes"),
        [
            ([b"Negotiate", b"NTLM TlRM", b'Basic realm="x"'], "Negotiate, NTLM, Basic"),
            (
                [b'Digest realm="a, Fake b", nonce=x, SCRAM-SHA-256 r = "y"'],
                "Digest, SCRAM-SHA-256",
            ),
            ([b"Negotiate " + b"x" * 500 + b", Basic"], "Negotiate, Basic"),
            ([b'Basic realm="no end, Digest '], "Basic"),
            ([b"Basic", b'basic realm="x"', b"Basic"], "Basic, basic"),
            ([b""], "it does not say which"),
            ([], "it does not say which"),
        ],
    )
    def test_u_which_logins_there_are(self, challenges: list[bytes], schemes: str) -> None:
        fields = b"".join(b"Proxy-Authenticate: %b\r\n" % each for each in challenges)
        refusal = refused(b"HTTP/1.1 407 Who\r\n%b\r\n" % fields)
        assert str(refusal).endswith(f"({schemes})")

    @pytest.mark.parametrize(
        ("field", "code"),
        [
            (b'a; details="; error=connection_refused"', errno.EHOSTUNREACH),
            (b'a; details="' + b"x" * 300 + b'"; error=connection_refused', errno.ECONNREFUSED),
            (b"a; error=proxy_internal_error, b; error=connection_timeout", errno.ETIMEDOUT),
            (b'a; error="x; error=connection_refused"', errno.EHOSTUNREACH),
            (b'a;error="connection_refused";received-status=503', errno.ECONNREFUSED),
            (b"a; error=connection_refused-x", errno.EHOSTUNREACH),
            (b"a; error=connection_refused.x, b; error=connection_timeout", errno.ETIMEDOUT),
        ],
    )
    def test_h4_what_is_quoted_says_nothing(self, field: bytes, code: int) -> None:
        assert refused(b"HTTP/1.1 502 x\r\nProxy-Status: %b\r\n\r\n" % field).errno == code


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\n",
        b"Content-Length: 5\r\ncontent-length: 6\r\n",
        b"Content-Length: many\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding:\r\n br\r\n",
        b"X: a\r\n  folded\r\nContent-Length: 1\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 10**6])
def test_h2_what_is_said_of_a_body_that_there_is_not(fields: bytes, step: int) -> None:
    head = b"HTTP/1.1 200 OK\r\n%b\r\n" % fields
    assert feed(HTTPConnect("h", 1), head + SURPLUS, step) == SURPLUS
    assert refused(head.replace(b"200 OK", b"403 No")).reply == 403


class TestSecrets:
    """N4, with a proxy that says again what it was told."""

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 502 for %b\r\n\r\n%b",
            b"HTTP/1.1 %b is no status\r\n\r\n%b",
            b"HTTP/1.1 503 x\r\nRetry-After: %b\r\n\r\n%b",
            b"HTTP/1.1 407 x\r\nProxy-Authenticate: %b\r\n\r\n%b",
            b"HTTP/1.1 101 x\r\nX: %b\r\n\r\n%b",
        ],
    )
    @pytest.mark.parametrize("secret", [b"c4n4ry-s3cret", b"YTpjNG40cnktczNjcmV0"])
    def test_none_gets_into_an_error(self, answer: bytes, secret: bytes) -> None:
        with pytest.raises(Refusal) as caught:
            feed(HTTPConnect("h", 1, "a", "c4n4ry-s3cret"), answer % (secret, b"<p>%b" % secret))
        refusal = caught.value
        told = f"{refusal!r} {refusal.__context__!r} {refusal.body!r}"
        assert secret.decode() not in told
        assert not refusal.body or refusal.body == b"<p>***"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("Proxy-Authorization", "Bearer c4n4ry-s3cret"),
            ("proxy-authorization", "basic YTpjNG40cnktczNjcmV0"),
            ("X-Token", "c4n4ry-s3cret"),
        ],
    )
    def test_nor_what_a_header_has(self, name: str, value: str) -> None:
        said = b"c4n4ry-s3cret and " + value.encode()
        with pytest.raises(Refusal) as caught:
            feed(
                HTTPConnect("h", 1, headers=[(name, value)]),
                b"HTTP/1.1 502 %b\r\n\r\n<p>%b" % (said, said),
            )
        assert "502 *** and " in str(caught.value)
        told = f"{caught.value!r} {caught.value.body!r}"
        assert not any(each in told for each in ("c4n4ry", "YTpjNG40cnktczNjcmV0"))

    @pytest.mark.parametrize("value", ["Basic x", "Basic /w==", "Basic Og==", "7", ""])
    def test_a_header_may_have_none(self, value: str) -> None:
        with pytest.raises(Refusal) as caught:
            feed(
                HTTPConnect("h", 1, headers=[("Proxy-Authorization", value)]),
                b"HTTP/1.1 407 Basic 7 days\r\nProxy-Authenticate: Basic\r\n\r\n",
            )
        assert "407 Basic 7 days: it wants a login (Basic)" in str(caught.value)

    def test_nor_the_begin_of_one_where_the_rest_is_not_kept(self) -> None:
        token = "c4n4ry-s3cret" * 60
        with pytest.raises(Refusal) as caught:
            feed(
                HTTPConnect("h", 1, headers=[("X-Token", token), ("X-More", "x" * 10**6)]),
                b"HTTP/1.1 502 no\r\n\r\n%b%b" % (b"." * 4000, token.encode()),
            )
        assert caught.value.body == b"." * 4000 + b"***"

    def test_a_short_one_is_a_word(self) -> None:
        with pytest.raises(Refusal) as caught:
            feed(HTTPConnect("h", 1, "a", ""), b"HTTP/1.1 502 a bad day for a\r\n\r\n")
        assert str(caught.value).endswith("502 *** bad day for ***")


class TestNoAnswer:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"\x05\xff", "as a server of SOCKS5 does"),
            (b"\x00\x5b", "as a server of SOCKS4 does"),
            (b"SSH-2.0-OpenSSH\r\n", "as a server of SSH does"),
            (b"\x15\x03\x01", "as a server of TLS does"),
            (b"HTTQ", "it answers 48 54 54 51"),
            (b"x", "it is no HTTP proxy: it answers 78"),
        ],
    )
    def test_h3_it_is_known_by_its_first_bytes(self, data: bytes, said: str) -> None:
        refusal = refused(data)
        assert (refusal.errno, refusal.about) == (errno.EPROTO, "address")
        assert said in str(refusal)

    def test_h3_also_behind_an_informational_answer(self) -> None:
        assert refused(b"HTTP/1.1 100 x\r\n\r\nSSH-2.0").errno == errno.EPROTO

    @pytest.mark.parametrize(
        "head",
        [b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 x\r\nX Y: z\r\n\r\n"],
    )
    def test_what_is_not_http_after_all(self, head: bytes) -> None:
        refusal = refused(head)
        assert (refusal.errno, refusal.about) == (errno.EPROTO, "address")
        assert "its answer is not valid HTTP" in str(refusal)
        assert "bytearray" not in str(refusal)

    @pytest.mark.parametrize("step", [1000, 10**6])
    def test_h3_a_head_has_an_end(self, step: int) -> None:
        assert "answer does not end" in str(refused(b"HTTP/1.1 200 " + b"x" * 20000, step))

    def test_h3_informational_answers_have_an_end(self) -> None:
        assert "more than 16 answers" in str(refused(b"HTTP/1.1 100 Continue\r\n\r\n" * 99))
        long = b"HTTP/1.1 100 x\r\nX: " + b"y" * 9000 + b"\r\n\r\n"
        assert "answer does not end" in str(refused(long * 15))

    def test_hanging_up(self) -> None:
        refusal = HTTPConnect("h", 1).hung_up()
        assert (refusal.errno, refusal.about) == (errno.ECONNRESET, "address")


HEADS = st.sampled_from(
    [OK, b"HTTP/1.1 100 x\r\n\r\n", *(b"HTTP/1.1 %b\r\n\r\n" % a[0] for a in ANSWERS)]
)


@given(st.lists(HEADS | st.binary(max_size=40), max_size=6).map(b"".join), st.integers(1, 50))
def test_however_it_is_cut_it_comes_to_the_same(data: bytes, step: int) -> None:
    def outcome(step: int) -> Any:
        talk = HTTPConnect("h", 1)
        try:
            left = feed(talk, data, step)
        except Refusal as refusal:
            return refusal.errno, refusal.about, refusal.reply
        return left if not talk.wanted else "more"

    whole, cut = outcome(10**6), outcome(step)
    if isinstance(whole, tuple) and whole[2] is None:  # it is known sooner or later
        assert isinstance(cut, tuple)
    else:
        assert whole == cut
