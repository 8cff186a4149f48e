"""SOCKS without I/O: what is said, what each answer comes down to, however it is cut."""

from __future__ import annotations

import errno
import pickle
from typing import Any

import pytest
import socksio
from hypothesis import given
from hypothesis import strategies as st
from socksio import socks4 as oracle4
from socksio import socks5 as oracle5

from aconnect.sansio.http_connect import HTTPConnect
from aconnect.sansio.negotiation import Refusal
from aconnect.sansio.proxy_header import encode_v1, encode_v2
from aconnect.sansio.socks import SOCKS4_CODES, SOCKS5_REPLIES, Socks4, Socks5

SURPLUS = b"SSH-2.0-x\r\n"
BOUND = {
    "IPv4": b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38",
    "IPv6": b"\x05\x00\x00\x04" + bytes(15) + b"\x01\x04\x38",
    "a name": b"\x05\x00\x00\x03\x05proxy\x04\x38",
    "an empty name": b"\x05\x00\x00\x03\x00\x04\x38",
    "a reserved byte that is not 0": b"\x05\x00\x99\x01\x7f\x00\x00\x01\x04\x38",
}


def talk(negotiation: Any, answers: list[bytes], step: int = 99) -> tuple[list[bytes], bytes]:
    """What it says to the answers, each of which comes in pieces; and what it leaves unread."""
    said, rest = [negotiation.to_send()], b""
    assert negotiation.to_send() == b""
    for answer in answers:
        while answer and negotiation.wanted:
            data = answer[: min(step, negotiation.wanted)]
            assert negotiation.receive(data) == len(data)
            answer = answer[len(data) :]
            out = negotiation.to_send()
            if out:
                said.append(out)
                break
        rest = answer
    return said, rest


class TestSocks5:
    @pytest.mark.parametrize("step", [1, 2, 3, 99])
    @pytest.mark.parametrize("bound", BOUND)
    def test_a_talk(self, bound: str, step: int) -> None:
        talks = Socks5("db.example", 5432)
        said, rest = talk(talks, [b"\x05\x00", BOUND[bound] + SURPLUS], step)
        assert said == [b"\x05\x01\x00", b"\x05\x01\x00\x03\x0adb.example\x15\x38"]
        assert rest == SURPLUS
        assert talks.wanted == 0

    @pytest.mark.parametrize("step", [1, 99])
    def test_a_talk_with_a_login(self, step: int) -> None:
        talks = Socks5("192.0.2.1", 80, "alice", "s3cret")
        said, rest = talk(talks, [b"\x05\x02", b"\x01\x00", BOUND["IPv4"] + SURPLUS], step)
        assert said == [
            b"\x05\x02\x00\x02",
            b"\x01\x05alice\x06s3cret",
            b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50",
        ]
        assert rest == SURPLUS

    def test_a_login_that_is_not_asked_for_is_not_sent(self) -> None:
        said, _ = talk(Socks5("::1", 1, "alice"), [b"\x05\x00", BOUND["IPv6"]])
        assert said == [b"\x05\x02\x00\x02", b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x00\x01"]

    @pytest.mark.parametrize("version", [b"\x01\x00", b"\x05\x00"])
    def test_the_version_of_a_login_is_not_judged(self, version: bytes) -> None:
        said, _ = talk(Socks5("h", 1, "u", ""), [b"\x05\x02", version])
        assert said[1:] == [b"\x01\x01u\x00", b"\x05\x01\x00\x03\x01h\x00\x01"]

    @pytest.mark.parametrize(
        ("host", "asked"),
        [
            ("::ffff:192.0.2.1", b"\x01\xc0\x00\x02\x01"),
            ("bücher.example", b"\x03\x15xn--bcher-kva.example"),
            ("127.1", b"\x03\x05127.1"),
            ("x" * 253, b"\x03\xfd" + b"x" * 253),
        ],
    )
    def test_what_is_asked_for(self, host: str, asked: bytes) -> None:
        if host == "x" * 253:
            host = ".".join(["x" * 63] * 4)[:253]
            asked = b"\x03\xfd" + host.encode()
        said, _ = talk(Socks5(host, 1), [b"\x05\x00"])
        assert said[1] == b"\x05\x01\x00" + asked + b"\x00\x01"

    @pytest.mark.parametrize("code", [*SOCKS5_REPLIES, 9, 255])
    @pytest.mark.parametrize("behind", [b"", b"\x00", BOUND["IPv4"][2:]])
    def test_a_refusal_ends_it_at_once(self, code: int, behind: bytes) -> None:
        talks = Socks5("h", 1)
        talk(talks, [b"\x05\x00"])
        talks.receive(b"\x05")
        with pytest.raises(Refusal) as caught:
            talks.receive((bytes([code]) + behind)[: talks.wanted])
        expected = SOCKS5_REPLIES.get(code)
        assert caught.value.reply == code
        assert caught.value.errno == (expected.errno if expected else errno.EHOSTUNREACH)
        assert caught.value.about == (expected.about if expected else "target")
        assert f"the proxy says {code}: " in str(caught.value)

    def test_the_replies(self) -> None:
        assert {code: reply.errno for code, reply in SOCKS5_REPLIES.items()} == {
            1: errno.EHOSTUNREACH,
            2: errno.EACCES,
            3: errno.ENETUNREACH,
            4: errno.EHOSTUNREACH,
            5: errno.ECONNREFUSED,
            6: errno.ETIMEDOUT,
            7: errno.EOPNOTSUPP,
            8: errno.EAFNOSUPPORT,
        }
        assert [code for code, reply in SOCKS5_REPLIES.items() if reply.about == "proxy"] == [7]

    @pytest.mark.parametrize(
        ("login", "answers", "code", "about", "said"),
        [
            (False, [b"\x05\xff"], errno.EACCES, "proxy", "wants a login"),
            (True, [b"\x05\xff"], errno.EACCES, "proxy", "neither a login"),
            (True, [b"\x05\x02", b"\x01\x01"], errno.EACCES, "proxy", "does not accept this user"),
            (False, [b"\x05\x02"], errno.EPROTO, "address", "no SOCKS5 proxy"),
            (True, [b"\x05\x01"], errno.EPROTO, "address", "no SOCKS5 proxy"),
            (False, [b"HT"], errno.EPROTO, "address", "as a server of HTTP does"),
            (False, [b"22"], errno.EPROTO, "address", "no SOCKS5 proxy: it answers 32 32"),
            (False, [b"SS"], errno.EPROTO, "address", "as a server of SSH does"),
            (False, [b"\x00\x5b"], errno.EPROTO, "address", "as a server of SOCKS4 does"),
            (False, [b"\x05\x00", b"\x04\x00\x00\x01"], errno.EPROTO, "address", "no SOCKS5"),
            (False, [b"\x05\x00", b"\x05\x00\x00\x02"], errno.EPROTO, "address", "no SOCKS5"),
        ],
    )
    def test_other_ends(
        self, login: bool, answers: list[bytes], code: int, about: str, said: str
    ) -> None:
        talks = Socks5("h", 1, *(("u", "p") if login else ()))
        with pytest.raises(Refusal, match=said) as caught:
            talk(talks, answers)
        assert (caught.value.errno, caught.value.about) == (code, about)

    @pytest.mark.parametrize(
        ("answers", "about", "said"),
        [
            ([], "address", "before answering the SOCKS5 greeting"),
            ([b"\x05\x02"], "address", "before answering the SOCKS5 login"),
            ([b"\x05\x00"], "target", "unable to reach the host"),
            ([b"\x05\x00", b"\x05"], "address", "before answering the SOCKS5 request"),
            ([b"\x05\x00", b"\x05\x00\x00\x01"], "address", "before answering"),
        ],
    )
    def test_hanging_up(self, answers: list[bytes], about: str, said: str) -> None:
        talks = Socks5("h", 1, "u", "p")
        talk(talks, answers)
        refusal = talks.hung_up()
        assert (refusal.errno, refusal.about) == (errno.ECONNRESET, about)
        assert said in str(refusal)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("h", 1, ""), "username must have from 1"),
            (("h", 1, "u" * 256), "username"),
            (("h", 1, "u", "p" * 256), "password"),
            (("h" * 256, 1), "host"),
        ],
    )
    def test_what_is_too_long(self, arguments: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            Socks5(*arguments)


@pytest.mark.parametrize("talks", [Socks4, Socks5, HTTPConnect, encode_v1, encode_v2])
@pytest.mark.parametrize(
    ("port", "error"),
    [(-1, ValueError), (65536, ValueError), ("80", TypeError), (True, TypeError)],
)
def test_what_is_no_port(talks: Any, port: Any, error: Any) -> None:
    ends = (("192.0.2.1", port), ("192.0.2.2", 1))
    with pytest.raises(error, match=f"^port must be .* not {port!r}$"):
        talks(ends) if talks in (encode_v1, encode_v2) else talks("h", port)


@pytest.mark.parametrize("talks", [Socks4, Socks5, HTTPConnect])
class TestAsked:
    @pytest.mark.parametrize(
        "host",
        [
            *("", "a b", "a\r\nX: y", "a\0b", "a@b", "a/b", "a?b", "a#b", "a:1", "[::1]"),
            *("fe80::1%lo", "x" * 256, "\u00fc" * 64, "\ud800"),
        ],
    )
    def test_what_is_no_host(self, talks: Any, host: str) -> None:
        with pytest.raises(ValueError, match=r"^host must be a name of at most 255 "):
            talks(host, 1)

    def test_what_is_no_login(self, talks: Any) -> None:
        with pytest.raises(ValueError, match=r"^username cannot be encoded in UTF-8$") as caught:
            talks("h", 1, "c4n4ry\ud800")
        assert caught.value.__context__ is None
        if talks is Socks4:
            return
        with pytest.raises(ValueError, match=r"^password cannot be encoded in UTF-8$"):
            talks("h", 1, "u", "c4n4ry\ud800")
        with pytest.raises(ValueError, match=r"^password must not be given without a username$"):
            talks("h", 1, None, "c4n4ry")


def test_a_user_of_http_has_no_colon() -> None:
    with pytest.raises(ValueError, match=r"^username must not contain a colon for HTTP$"):
        HTTPConnect("h", 1, "c4n4ry:x")


class TestSocks4:
    @pytest.mark.parametrize("version", [0, 4])
    @pytest.mark.parametrize("step", [1, 3, 8])
    def test_a_talk(self, version: int, step: int) -> None:
        talks = Socks4("192.0.2.1", 5432, "me")
        answer = bytes([version, 90, 1, 2, 3, 4, 5, 6])
        said, rest = talk(talks, [answer + SURPLUS], step)
        assert said == [b"\x04\x01\x15\x38\xc0\x00\x02\x01me\x00"]
        assert (rest, talks.wanted) == (SURPLUS, 0)

    def test_a_name(self) -> None:
        said, _ = talk(Socks4("bücher.example", 1), [])
        assert said == [b"\x04\x01\x00\x01\x00\x00\x00\x01\x00xn--bcher-kva.example\x00"]

    def test_a_mapped_address(self) -> None:
        assert talk(Socks4("::ffff:1.2.3.4", 1), [])[0] == [
            b"\x04\x01\x00\x01\x01\x02\x03\x04\x00"
        ]

    @pytest.mark.parametrize("code", SOCKS4_CODES)
    def test_a_refusal_ends_it_at_once(self, code: int) -> None:
        talks = Socks4("192.0.2.1", 1)
        with pytest.raises(Refusal, match=f"the proxy says {code}: ") as caught:
            talks.receive(bytes([0, code]))
        assert (caught.value.errno, caught.value.about) == SOCKS4_CODES[code][:2]
        assert caught.value.reply == code

    @pytest.mark.parametrize(
        ("code", "number", "about", "words"),
        [
            (91, errno.ECONNREFUSED, "target", "rejected or failed"),
            (92, errno.EACCES, "proxy", "it could not reach identd on this host"),
            (93, errno.EACCES, "proxy", "identd on this host reports another user"),
        ],
    )
    def test_s3_what_a_code_comes_down_to(
        self, code: int, number: int, about: str, words: str
    ) -> None:
        with pytest.raises(Refusal) as caught:
            Socks4("192.0.2.1", 1).receive(bytes([0, code]) + bytes(6))
        error = caught.value
        assert (error.errno, error.about, error.reply) == (number, about, code)
        assert error.strerror == f"the proxy says {code}: {words}"

    @pytest.mark.parametrize("answer", [b"\x05\xff", b"HTTP/1.1", b"\x00\x00", b"\x00\x5e"])
    def test_what_is_no_answer(self, answer: bytes) -> None:
        with pytest.raises(Refusal, match="no SOCKS4 proxy") as caught:
            Socks4("192.0.2.1", 1).receive(answer)
        assert (caught.value.errno, caught.value.about) == (errno.EPROTO, "address")

    def test_hanging_up(self) -> None:
        refusal = Socks4("192.0.2.1", 1).hung_up()
        assert (refusal.errno, refusal.about) == (errno.ECONNRESET, "address")

    def test_what_cannot_be(self) -> None:
        with pytest.raises(ValueError, match="NUL"):
            Socks4("192.0.2.1", 1, "a\0b")
        with pytest.raises(ValueError, match="IPv4 address or a name"):
            Socks4("2001:db8::1", 1)


LABELS = st.from_regex(r"[a-z][a-z0-9]{0,20}", fullmatch=True)
HOSTS = st.ip_addresses().map(str) | st.lists(LABELS, min_size=1, max_size=4).map(".".join)


class TestAgainstAnother:
    """The same bytes as socksio's, where that is right."""

    @given(HOSTS, st.integers(1, 65535))
    def test_the_request_of_socks5(self, host: str, port: int) -> None:
        packed = Socks5(host, port)
        said, _ = talk(packed, [b"\x05\x00"])
        if host.startswith("::ffff:"):
            return
        request = oracle5.SOCKS5CommandRequest.from_address(
            oracle5.SOCKS5Command.CONNECT, (host, port)
        )
        assert said[1] == request.dumps()

    @given(st.text("abc", min_size=1, max_size=255), st.text("xyz", max_size=255))
    def test_the_login_of_socks5(self, user: str, password: str) -> None:
        said, _ = talk(Socks5("h", 1, user, password), [b"\x05\x02"])
        request = oracle5.SOCKS5UsernamePasswordRequest(user.encode(), password.encode())
        assert said[1] == request.dumps()

    @given(st.ip_addresses(v=4).map(str), st.integers(1, 65535), st.text("abc", max_size=9))
    def test_the_request_of_socks4(self, host: str, port: int, user: str) -> None:
        request = oracle4.SOCKS4Request.from_address(
            oracle4.SOCKS4Command.CONNECT, (host, port), user_id=user.encode()
        )
        assert talk(Socks4(host, port, user), [])[0] == [request.dumps(user_id=user.encode())]
        assert socksio.__version__


def test_a_refusal_is_a_value() -> None:
    refusal = Refusal(errno.EACCES, "no", about="proxy", reply=407, body=b"<html>")
    copy = pickle.loads(pickle.dumps(refusal))
    assert type(copy) is Refusal
    assert (copy.args, copy.about, copy.reply, copy.body) == (
        (errno.EACCES, "no"), "proxy", 407, b"<html>",
    )  # fmt: skip
