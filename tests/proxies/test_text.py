"""Proxies as text and as values: N1 to N4."""

from __future__ import annotations

import copy
import pickle
import ssl
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aconnect import Proxy, TCPAddress, UDPAddress, UnixAddress, VsockAddress
from aconnect.addresses.redacting import redacted
from aconnect.proxies import parse_proxy
from aconnect.proxies.environment import from_environment

CANARY = "c4n4ry-s3cret"


class TestText:
    @pytest.mark.parametrize(
        ("text", "scheme", "address", "shown"),
        [
            ("socks5h://proxy:1081", "socks5h", "proxy:1081", "socks5h://proxy:1081"),
            ("SOCKS5://proxy", "socks5", "proxy:1080", "socks5://proxy:1080"),
            ("socks4://proxy", "socks4", "proxy:1080", "socks4://proxy:1080"),
            ("socks4a://proxy/", "socks4a", "proxy:1080", "socks4a://proxy:1080"),
            ("http://proxy", "http", "proxy:80", "http://proxy:80"),
            ("https://proxy", "https", "proxy:443", "https://proxy:443"),
            ("http://[::1]", "http", "[::1]:80", "http://[::1]:80"),
            ("http://[fe80::1%25eth0]:3128", "http", "[fe80::1%eth0]:3128", None),
            ("http://@proxy:1", "http", "proxy:1", "http://proxy:1"),
            ("http://tcp:1", "http", "tcp://tcp:1", "http://tcp:1"),
            (
                "socks5h+unix:/run/x.sock",
                "socks5h",
                "unix:/run/x.sock",
                "socks5h+unix:/run/x.sock",
            ),
            ("http+unix:@name", "http", "unix:@name", "http+unix:@name"),
            ("http+vsock:2:1024", "http", "vsock:2:1024", "http+vsock:2:1024"),
        ],
    )
    def test_n1_what_it_stands_for(
        self, text: str, scheme: str, address: str, shown: str | None
    ) -> None:
        proxy = parse_proxy(text)
        assert proxy == Proxy(scheme, address)
        if shown is not None:
            assert str(proxy) == shown
            assert parse_proxy(shown) == proxy

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("proxy:1080", "the scheme is missing"),
            ("proxy", "the scheme is missing"),
            ("", "the scheme is missing"),
            ("socks://proxy", "SOCKS4 to some programs and SOCKS5 to others"),
            ("ftp://proxy", "the scheme must be one of socks4, "),
            ("http+tcp:proxy:1", "\\+ must be followed by unix or vsock"),
            ("http://proxy/path", "no path, query or fragment"),
            ("http://proxy?x", "no path, query or fragment"),
            ("http://proxy#x", "no path, query or fragment"),
            ("http://proxy//", "no path, query or fragment"),
            ("http://a/b@proxy", "must be percent-encoded"),
            ("http://::1:80", "an IPv6 address needs brackets"),
            ("http://[::1", "an IPv6 address needs brackets"),
            ("http://proxy:99999", "port must be a number from 0 to 65535"),
            ("http://proxy:x", "port must be a number"),
            ("http://:80", "host must not be empty"),
            ("http://", "host must not be empty"),
            ("http://%zz@proxy", "two hexadecimal digits"),
            ("http://%ff@proxy", "must be UTF-8"),
            ("http://a%3Ab:x@proxy", "must not contain a colon"),
            ("http://a%0d:x@proxy", "username must not contain control characters"),
            ("socks4://u:p@proxy", "password must be None for socks4"),
            ("socks5://:p@proxy", "username must have from 1 to 255 bytes"),
        ],
    )
    def test_n1_what_is_none(self, text: str, said: str) -> None:
        with pytest.raises(ValueError, match=f"^not a proxy: .*{said}"):
            parse_proxy(text)

    def test_another_type_is_none(self) -> None:
        with pytest.raises(TypeError, match="must be a str, not bytes"):
            parse_proxy(CANARY.encode())  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("login", "username", "password"),
        [
            ("alice", "alice", None),
            ("alice:", "alice", ""),
            ("alice:s3cret", "alice", "s3cret"),
            ("a%6Cice:s%3A%40%2F", "alice", "s:@/"),
            ("b%C3%BC:x", "bü", "x"),
            ("bü:x", "bü", "x"),
            ("alice:p:q", "alice", "p:q"),
            ("alice@home:x", "alice@home", "x"),
        ],
    )
    def test_n2_user_and_password(self, login: str, username: str, password: str | None) -> None:
        proxy = parse_proxy(f"socks5h://{login}@proxy:1")
        assert (proxy.username, proxy.password) == (username, password)
        assert str(proxy) == "socks5h://***@proxy:1"

    @pytest.mark.parametrize(
        "text",
        [
            f"http://u:{CANARY}@h/path",
            f"socks://{CANARY}@h",
            f"http://u:{CANARY}/@h",
            f"http://u:{CANARY}%@h",
            f"http://u:{CANARY}%00@h",
            f"ftp://{CANARY}:{CANARY}@x@h:1",
            f"u:{CANARY}@h:1",
            f"http://{CANARY}%3A:x@h",
            f"socks4://u:{CANARY}@h",
            f"http://u:{CANARY}@[::1",
            f"http+unix:u:{CANARY}@/run/x",
        ],
    )
    def test_n4_no_error_shows_a_login(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"\*\*\*@") as caught:
            parse_proxy(text)
        assert CANARY not in f"{caught.value!r} {caught.value.__context__!r}"

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            (f"http://u:{CANARY}", "http://u:***"),
            (f"http://h:1/{CANARY}", "http://h:1/***"),
            (f"http://h:1?u={CANARY}", "http://h:1?***"),
            (f"http://u:x@h:1#{CANARY}", "http://***@h:1#***"),
            (f"http://u:{CANARY}\uff20h:1", "http://***@h:1"),
            (f"http+unix://u:{CANARY}@/run/x", "http+unix://***@/***"),
            (f"http+unix://u:{CANARY}\uff20/run/x", "http+unix://***@/***"),
            (f"http+unix:u\uff1a{CANARY}\ufe6b/run/x", "***@/***"),
            (f"u:{CANARY}", "u:***"),
            (f"http:/u:{CANARY}@h:1", "***@h:1"),
            (f"http://u:{CANARY}%ff@h", "http://***@h"),
            (f"http://u:{CANARY}\ud800@h", "http://***@h"),
            ("http+unix:", "http+unix:"),
        ],
    )
    def test_n4_nor_a_secret_in_the_wrong_place(self, text: str, shown: str) -> None:
        with pytest.raises(ValueError, match=r"^not a proxy: ") as caught:
            parse_proxy(text)
        assert str(caught.value).startswith(f"not a proxy: {shown!r}: ")
        assert CANARY not in f"{caught.value!r} {caught.value.__context__!r}"
        with pytest.raises(ValueError, match="https_proxy does not name a proxy") as caught:
            from_environment("https", {"https_proxy": text if "://" in text else f"http:{text}"})
        assert CANARY not in f"{caught.value!r} {caught.value.__context__!r}"

    @given(st.text(max_size=60))
    def test_any_text_is_a_proxy_or_a_value_error(self, text: str) -> None:
        try:
            proxy = parse_proxy(text)
        except ValueError:
            return
        if proxy.username is None:
            assert parse_proxy(str(proxy)) == proxy

    def test_redacted(self) -> None:
        assert redacted("http://a@b@c") == "http://***@c"
        assert redacted("a:b@c") == "***@c"
        assert redacted("a:b@c://d") == "***@c://d"
        assert redacted("a:b/c://d@e") == "***@e"
        assert redacted("http://c") == "http://c"


class TestValues:
    @pytest.mark.parametrize(
        ("address", "kept"),
        [
            (("proxy", 1), TCPAddress("proxy", 1)),
            (Path("/run/x"), UnixAddress("/run/x")),
            (VsockAddress(2, 1), VsockAddress(2, 1)),
        ],
    )
    def test_where_it_is(self, address: Any, kept: Any) -> None:
        assert Proxy("socks5h", address).address == kept

    @pytest.mark.parametrize(
        ("arguments", "options", "error", "said"),
        [
            (("socks6", "h:1"), {}, ValueError, "scheme must be one of"),
            ((5, "h:1"), {}, ValueError, "scheme must be one of"),
            (("http", UDPAddress("h", 1)), {}, ValueError, "that of a stream socket"),
            (("http", "unixgram:/x"), {}, ValueError, "that of a stream socket"),
            (("http", "h"), {}, ValueError, "the port is missing"),
            (("http", "h:1"), {"dns": "here"}, ValueError, "dns must be"),
            (("socks4", "h:1"), {"dns": "remote"}, ValueError, "socks4a"),
            (
                ("http", "h:1"),
                {"username": 5},
                TypeError,
                "username must be a str or None, not int",
            ),
            (("http", "h:1"), {"password": "x"}, ValueError, "without a username"),
            (("http", "h:1"), {"username": "a:b"}, ValueError, "colon"),
            (("http", "h:1"), {"username": "\udcff"}, ValueError, "UTF-8"),
            (("http", "h:1"), {"username": "a\r\nb"}, ValueError, "control"),
            (("socks5", "h:1"), {"username": "ü" * 128}, ValueError, "1 to 255 bytes"),
            (
                ("socks5", "h:1"),
                {"username": "u", "password": "x" * 256},
                ValueError,
                "at most 255 bytes",
            ),
            (("socks4", "h:1"), {"username": "a\0"}, ValueError, "control"),
            (("http", "h:1"), {"ssl": ssl.create_default_context()}, ValueError, "https only"),
            (("socks5", "h:1"), {"server_hostname": "x"}, ValueError, "https only"),
            (("https", "unix:/x"), {}, ValueError, "server_hostname is needed"),
            (("https", "h:1"), {"ssl": "yes"}, TypeError, "ssl must be"),
            (("socks5", "h:1"), {"headers": [("a", "b")]}, ValueError, "http and https only"),
            *(
                (("http", "h:1"), {"headers": given}, TypeError, "^headers must be pairs of")
                for given in (None, 5, [5], "ab", ["ab"], {"TE": "x"}, [("a", b"c4n4ry")])
            ),
            (("http", "h:1"), {"headers": [("a", "b", "c")]}, TypeError, "pairs"),
            (("http", "h:1"), {"headers": [("a", 1)]}, TypeError, "pairs"),
            (
                ("http", "h:1"),
                {"headers": [("a b", "c")]},
                ValueError,
                "name that is valid in HTTP",
            ),
            (
                ("http", "h:1"),
                {"headers": [("", "c")]},
                ValueError,
                "name that is valid in HTTP",
            ),
            (
                ("http", "h:1"),
                {"headers": [("a", "c\r\nd")]},
                ValueError,
                "ASCII value",
            ),
            *(
                (("http", "h:1"), {"headers": [("a", value)]}, ValueError, "ASCII value")
                for value in ("c\nd", "c\rd", "c\0d", "c\n", "\0", " c", "c\t", " ", "\x7f")
            ),
            *(
                (("http", "h:1"), {"headers": [(name, "x")]}, ValueError, "sent anyway")
                for name in ("Transfer-Encoding", "transfer-encoding", "Content-Length", "host")
            ),
            (
                ("http", "h:1"),
                {"headers": [("a", "ü")]},
                ValueError,
                "ASCII value",
            ),
            (
                ("http://u:c4n4ry@h", "h:1"),
                {},
                ValueError,
                r"one of socks4, .* not 'http://\*\*\*@h'",
            ),
            (
                ("http", "http://u:c4n4ry@h:1"),
                {},
                ValueError,
                r"address must not .* unlike 'http://\*\*\*@h:1'",
            ),
            (("http", "u:c4n4ry@h"), {}, ValueError, r"unlike '\*\*\*@h'"),
            (("http", "c4n4ry@h:1"), {}, ValueError, r"unlike '\*\*\*@h:1'"),
            (("http", ("c4n4ry@h", 1)), {}, ValueError, r"unlike '\*\*\*@h'"),
            (("https", "https://h"), {}, ValueError, "host and a port, unlike 'https://h'"),
            (("https", "svcb://h:1?scheme=x"), {}, ValueError, "host and a port"),
            *(
                (("https", "h:1"), {"ssl": value}, TypeError, f"SSLContext or None, not {value}")
                for value in (True, False)
            ),
            (("http", "h:1"), {"username": "\ud800"}, ValueError, "^username cannot be encoded"),
            (
                ("http", "h:1"),
                {"headers": [("a", "b"), ("a: c4n4ry", "c")]},
                ValueError,
                r"^headers\[1\] must have a name that is valid in HTTP$",
            ),
            (("http", "h:1"), {"headers": [("Host", "x")]}, ValueError, "sent anyway"),
            (("http", "h:1"), {"headers": [("content-length", "0")]}, ValueError, "sent anyway"),
            (
                ("http", "h:1"),
                {"headers": [("Proxy-Authorization", "x")], "username": "u"},
                ValueError,
                "sent anyway",
            ),
        ],
    )
    def test_what_cannot_be(self, arguments: Any, options: Any, error: Any, said: str) -> None:
        with pytest.raises(error, match=said):
            Proxy(*arguments, **options)

    @pytest.mark.parametrize(
        ("scheme", "dns", "remote"),
        [
            ("socks4", None, False),
            ("socks4a", None, True),
            ("socks5", None, False),
            ("socks5h", None, True),
            ("http", None, True),
            ("https", None, True),
            ("socks5", "remote", True),
            ("socks5h", "local", False),
            ("http", "local", False),
        ],
    )
    def test_n3_who_looks_names_up(self, scheme: str, dns: Any, remote: bool) -> None:
        assert Proxy(scheme, "h:1", dns=dns).remote_dns is remote

    def test_n4_a_repr_hides_what_is_secret_and_a_pickle_keeps_it(self) -> None:
        proxy = Proxy(
            "http", "h:1", username=CANARY, password=CANARY, headers=[("X-Token", CANARY)]
        )
        assert CANARY not in f"{proxy!r} {proxy}"
        assert repr(proxy) == (
            "Proxy('http', 'h:1', username='***', password='***', headers=(('X-Token', '***'),))"
        )
        assert pickle.loads(pickle.dumps(proxy)) == proxy == copy.deepcopy(proxy)
        assert hash(copy.copy(proxy)) == hash(proxy)
        assert proxy.replace(password="other").password == "other"

    def test_a_repr_has_the_rest(self) -> None:
        proxy = Proxy("https", "h:1", server_hostname="x", dns="local")
        assert repr(proxy) == "Proxy('https', 'h:1', server_hostname='x', dns='local')"
