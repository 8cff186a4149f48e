"""The environment: E1, which variable counts, and E2, NO_PROXY."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aconnect import Proxy, parse_address
from aconnect.proxies import from_environment

CANARY = "c4n4ry"


def chosen(
    environ: dict[str, str], address: Any = "example.org:443", scheme: str = "https"
) -> str:
    proxy = from_environment(scheme, environ)(parse_address(address))
    return "direct" if proxy is None else str(proxy)


class TestVariables:
    @pytest.mark.parametrize(
        ("environ", "expected"),
        [
            ({}, "direct"),
            ({"https_proxy": "http://a:1"}, "http://a:1"),
            ({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:1"}, "http://a:1"),
            ({"HTTPS_PROXY": "http://b:1"}, "http://b:1"),
            ({"all_proxy": "socks5h://c"}, "socks5h://c:1080"),
            ({"ALL_PROXY": "socks5h://c"}, "socks5h://c:1080"),
            ({"HTTPS_PROXY": "http://b:1", "all_proxy": "http://c:1"}, "http://b:1"),
            (
                {"https_proxy": "", "HTTPS_PROXY": "http://b:1", "all_proxy": "http://c:1"},
                "direct",
            ),
            ({"https_proxy": " ", "all_proxy": "http://c:1"}, "direct"),
            ({"HTTPS_PROXY": "", "all_proxy": "http://c:1"}, "http://c:1"),
            ({"all_proxy": "", "ALL_PROXY": "http://c:1"}, "direct"),
            ({"https_proxy": "proxy:3128"}, "http://proxy:3128"),
            ({"https_proxy": "u:p@proxy:3128"}, "http://***@proxy:3128"),
            ({"https_proxy": "http+unix:/run/x"}, "http+unix:/run/x"),
            ({"https_proxy": "HTTP+vsock:2:1024"}, "http+vsock:2:1024"),
            ({"https_proxy": "u:a+unix:b@proxy:1"}, "http://***@proxy:1"),
            ({"http_proxy": "http://a:1"}, "direct"),
        ],
    )
    def test_e1_which_counts(self, environ: dict[str, str], expected: str) -> None:
        assert chosen(environ) == expected

    @pytest.mark.parametrize(
        ("environ", "expected"),
        [
            ({"HTTP_PROXY": "http://a:1"}, "http://a:1"),
            ({"HTTP_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, "direct"),
            ({"http_proxy": "http://a:1", "REQUEST_METHOD": "GET"}, "http://a:1"),
            (
                {"HTTP_PROXY": "http://a:1", "REQUEST_METHOD": "GET", "all_proxy": "http://b:1"},
                "http://b:1",
            ),
        ],
    )
    def test_e1_a_header_is_no_variable(self, environ: dict[str, str], expected: str) -> None:
        assert chosen(environ, scheme="http") == expected

    def test_e1_on_windows_case_does_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "win32")
        environ = {"http_proxy": "http://a:1", "REQUEST_METHOD": "GET"}
        assert chosen(environ, scheme="http") == "direct"

    @pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
    @pytest.mark.parametrize("value", ["socks://h", f"http://u:{CANARY}@h/x", "ftp://h", "a b"])
    def test_e1_what_is_no_proxy_is_an_error(self, name: str, value: str) -> None:
        with pytest.raises(ValueError, match=f"^{name} does not name a proxy: ") as caught:
            from_environment("https", {name: value})
        assert CANARY not in str(caught.value)

    @pytest.mark.parametrize(
        ("environ", "expected"),
        [
            ({"no_proxy": "example.org"}, "direct"),
            ({"NO_PROXY": "example.org"}, "direct"),
            ({"no_proxy": "example.org", "NO_PROXY": "x"}, "direct"),
            ({"no_proxy": "x", "NO_PROXY": "example.org"}, "http://a:1"),
            ({"no_proxy": "", "NO_PROXY": "example.org"}, "http://a:1"),
        ],
    )
    def test_e1_which_no_proxy_counts(self, environ: dict[str, str], expected: str) -> None:
        assert chosen({"https_proxy": "http://a:1", **environ}) == expected

    def test_it_is_read_once(self) -> None:
        environ = {"https_proxy": "http://a:1"}
        chooses = from_environment("https", environ)
        environ.clear()
        assert chooses(parse_address("h:1")) == Proxy("http", "a:1")

    def test_the_real_one_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("xyz_proxy", "http://a:1")
        assert from_environment("xyz").proxy == Proxy("http", "a:1")

    @pytest.mark.parametrize(
        ("scheme", "error"), [(5, TypeError), ("", ValueError), ("HTTPS", ValueError)]
    )
    def test_a_scheme_that_is_none(self, scheme: Any, error: Any) -> None:
        with pytest.raises(error, match="scheme must be"):
            from_environment(scheme)

    def test_it_is_a_value(self) -> None:
        environ = {"https_proxy": f"http://u:{CANARY}@a:1", "no_proxy": "x.org"}
        one, other = (from_environment("https", environ) for _ in range(2))
        assert one == other
        assert hash(one) == hash(other)
        assert pickle.loads(pickle.dumps(one))(parse_address("x.org:1")) is None
        assert CANARY not in repr(one)
        assert repr(one) == "<from_environment: http://***@a:1, but not for 'x.org'>"

    @pytest.mark.parametrize(
        "address", ["udp://example.org:53", "unix:/run/x", "vsock:2:1", "unixpacket:/x"]
    )
    def test_p9_what_is_not_tcp_goes_directly(self, address: str) -> None:
        assert chosen({"https_proxy": "http://a:1"}, address) == "direct"

    def test_services_go_as_what_they_are_of(self) -> None:
        environ = {"https_proxy": "http://a:1", "no_proxy": "x.org, y.org:5"}
        for address in ("srv:_s._tcp.x.org", "https://x.org", "srv:_s._tcp.y.org:5"):
            assert chosen(environ, address) == "direct"
        for address in ("srv:_s._tcp.y.org", "https://y.org"):
            assert chosen(environ, address) != "direct"


NO_PROXY = [
    # An entry, and what is dialled: directly or not.
    ("x.org", {"x.org:1": True, "a.x.org:1": True, "ax.org:1": False, "org:1": False}),
    (".x.org", {"x.org:1": True, "a.x.org:1": True, "ax.org:1": False}),
    ("*.x.org", {"a.x.org:1": True, "b.a.x.org:1": True, "x.org:1": False, "ax.org:1": False}),
    ("x.org:8080", {"x.org:8080": True, "a.x.org:8080": True, "x.org:80": False}),
    ("*", {"x.org:1": True, "10.1.2.3:1": True, "[2001:db8::1]:1": True}),
    ("y.org,*", {"x.org:1": True}),
    ("10.0.0.0/8", {"10.1.2.3:1": True, "11.1.2.3:1": False, "[::ffff:10.1.2.3]:1": True}),
    ("10.1.2.3", {"10.1.2.3:1": True, "10.1.2.4:1": False, "a.10.1.2.3.org:1": False}),
    ("10.1.2.3:8080", {"10.1.2.3:8080": True, "10.1.2.3:80": False}),
    ("10.1.2.3/8", {"10.9.9.9:1": True}),
    ("0.0.0.0/0", {"10.1.2.3:1": True, "[2001:db8::1]:1": False, "x.org:1": False}),
    ("2.3", {"10.1.2.3:1": False, "2.3:1": True}),
    ("2001:db8::1", {"[2001:db8::1]:1": True, "[2001:db8::2]:1": False}),
    ("[2001:db8::1]", {"[2001:db8::1]:1": True}),
    ("[2001:db8::1]:8080", {"[2001:db8::1]:8080": True, "[2001:db8::1]:80": False}),
    ("2001:db8:0:0::1", {"[2001:db8::1]:1": True}),
    ("2001:db8::/33", {"[2001:db8:7fff::1]:1": True, "[2001:db8:8000::1]:1": False}),
    ("[2001:db8::]/32", {"[2001:db8::1]:1": True}),
    ("::/0", {"[2001:db8::1]:1": True, "10.1.2.3:1": False}),
    ("::ffff:10.0.0.0/104", {"10.1.2.3:1": True, "[::ffff:10.1.2.3]:1": True}),
    ("fe80::/10", {"[fe80::1%1]:1": True}),
    ("X.Org.", {"x.org:1": True, "X.ORG.:1": True}),
    ("bücher.example", {"xn--bcher-kva.example:1": True, "bücher.example:1": True}),
    ("XN--BCHER-KVA.example", {"bücher.example:1": True}),
    ("a.org b.org\tc.org,,d.org", {"a.org:1": True, "c.org:1": True, "d.org:1": True}),
    # What is not understood matches nothing.
    ("http://x.org", {"x.org:1": False}),
    ("x.org:", {"x.org:1": False}),
    ("x.org:http", {"x.org:1": False}),
    ("x.org:\u0661", {"x.org:1": False}),
    ("[2001:db8::1]:\u0661", {"[2001:db8::1]:1": False}),
    ("x.org/8", {"x.org:1": False}),
    ("10.0.0.0/99", {"10.0.0.0:1": False}),
    ("010.1.2.3", {"10.1.2.3:1": False}),
    ("[x.org]", {"x.org:1": False}),
    ("[10.1.2.3]", {"10.1.2.3:1": False}),
    ("*x.org", {"ax.org:1": False, "x.org:1": False}),
    ("x.*", {"x.org:1": False}),
    (".", {"x.org:1": False}),
    ("x" * 301, {"x.org:1": False}),
    ("b\u00fc..x", {"x.org:1": False}),
    ("fa\u00df.example", {"fass.example:1": False, "xn--fa-hia.example:1": False}),
    ("x.org:70000", {"x.org:4464": False, "x.org:1": False}),
    ("fe80::1%1", {"10.1.2.3:1": False}),
    ("x.org;y.org", {"x.org:1": False, "y.org:1": False}),
    # This host is always dialled directly.
    ("", {"localhost:1": True, "LOCALHOST.:1": True, "127.0.0.1:1": True, "127.9.9.9:1": True}),
    ("", {"[::1]:1": True, "[::ffff:127.0.0.1]:1": True, "128.0.0.1:1": False, "[::2]:1": False}),
    ("", {"localhost.example:1": False, "x.org:1": False}),
]


@pytest.mark.parametrize(
    ("entry", "address", "direct"),
    [(entry, address, direct) for entry, rows in NO_PROXY for address, direct in rows.items()],
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_e2_no_proxy(entry: str, address: str, direct: bool, name: str) -> None:
    found = chosen({"https_proxy": "http://proxy:1", name: entry}, address)
    assert (found == "direct") is direct


def test_e2_lower_case_comes_first() -> None:
    environ = {"https_proxy": "http://proxy:1", "no_proxy": "x.org", "NO_PROXY": "*"}
    assert chosen(environ, "y.org:1") == "http://proxy:1"


@settings(deadline=None)
@given(st.text(max_size=40), st.from_regex(r"[a-z]{1,9}(\.[a-z]{1,9}){0,3}", fullmatch=True))
def test_any_no_proxy_is_taken(text: str, host: str) -> None:
    chosen({"https_proxy": "http://proxy:1", "no_proxy": text}, f"tcp://{host}:1")
