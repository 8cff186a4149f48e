"""The PROXY header: X1, its bytes, and what cannot be one."""

from __future__ import annotations

import pickle
import socket
from typing import Any

import pytest

from aconnect import ProxyHeader, TCPAddress, UnixAddress

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
HERE, THERE = ("192.0.2.1", 4000), ("198.51.100.2", 443)
HERE6, THERE6 = ("2001:db8::1", 4000, 0, 0), ("2001:0db8:0::2", 443, 0, 3)


class TestVersion1:
    @pytest.mark.parametrize(
        ("ends", "line"),
        [
            ((HERE, THERE), b"PROXY TCP4 192.0.2.1 198.51.100.2 4000 443\r\n"),
            ((HERE6, THERE6), b"PROXY TCP6 2001:db8::1 2001:db8::2 4000 443\r\n"),
            ((("fe80::1%eth0", 1), ("::1", 2)), b"PROXY TCP6 fe80::1 ::1 1 2\r\n"),
        ],
    )
    def test_is_exactly_this(self, ends: Any, line: bytes) -> None:
        assert ProxyHeader(1).encode(*ends) == line

    def test_unknown_only_if_asked_for(self) -> None:
        assert ProxyHeader(1, local=True).encode(HERE, THERE) == b"PROXY UNKNOWN\r\n"

    def test_given_ends_come_before_the_sockets(self) -> None:
        header = ProxyHeader(1, source="203.0.113.5:5", destination=("203.0.113.6", 6))
        assert header.encode(HERE, THERE) == b"PROXY TCP4 203.0.113.5 203.0.113.6 5 6\r\n"
        header = ProxyHeader(1, source="203.0.113.5:5")
        assert header.encode(HERE, THERE) == b"PROXY TCP4 203.0.113.5 198.51.100.2 5 443\r\n"


class TestVersion2:
    def test_ipv4(self) -> None:
        assert ProxyHeader().encode(HERE, THERE) == (
            SIGNATURE + b"\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x0f\xa0\x01\xbb"
        )

    def test_ipv6(self) -> None:
        data = ProxyHeader().encode(HERE6, THERE6)
        assert data[12:16] == b"\x21\x21\x00\x24"
        assert data[16:32] == socket.inet_pton(socket.AF_INET6, "2001:db8::1")
        assert len(data) == 16 + 36

    @pytest.mark.parametrize(
        "ends", [("/run/a", b"/run/b"), (UnixAddress("/run/a"), UnixAddress("/run/b"))]
    )
    def test_unix(self, ends: Any) -> None:
        data = ProxyHeader().encode(*ends)
        assert data[12:16] == b"\x21\x31\x00\xd8"
        assert data[16:] == b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")

    def test_an_abstract_name(self) -> None:
        header = ProxyHeader(source=UnixAddress("@a"), destination=UnixAddress("@b"))
        assert header.encode("", "")[16:19] == b"\0a\0"

    def test_local(self) -> None:
        assert ProxyHeader(local=True).encode(HERE, THERE) == SIGNATURE + b"\x20\x00\x00\x00"

    def test_values(self) -> None:
        header = ProxyHeader(
            local=True, authority="b\u00fccher.example", unique_id=b"id", tlvs=[(0xE0, b"x")]
        )
        name = b"xn--bcher-kva.example"
        values = b"\xe0\x00\x01x\x02\x00\x15" + name + b"\x05\x00\x02id"
        assert header.encode(HERE, THERE) == (
            SIGNATURE + b"\x20\x00" + len(values).to_bytes(2, "big") + values
        )


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"version": 3}, ValueError, "version must be 1 or 2"),
        ({"version": "2"}, TypeError, "version must be 1 or 2"),
        ({"version": True}, TypeError, "version must be 1 or 2"),
        ({"local": 1}, TypeError, "local must be a bool"),
        ({"authority": b"x"}, TypeError, "authority must be"),
        ({"unique_id": "x"}, TypeError, "unique_id must be"),
        ({"unique_id": b"x" * 129}, ValueError, "at most 128"),
        ({"tlvs": [(1, "x")]}, TypeError, "tlvs must be pairs"),
        ({"tlvs": [(1, b"x", 2)]}, TypeError, "tlvs must be pairs"),
        ({"tlvs": [(256, b"x")]}, ValueError, "from 0 to 255"),
        ({"tlvs": [(1, b"x" * 65536)]}, ValueError, "value of type 1 must have at most 65535"),
        ({"tlvs": [(1, b"x" * 40000)] * 2}, ValueError, "a header has at most 65535"),
        *(
            ({"tlvs": given}, TypeError, "^tlvs must be pairs")
            for given in (None, 5, [5], {1: b""})
        ),
        ({"tlvs": [(True, b"x")]}, TypeError, "tlvs must be pairs"),
        ({"authority": "x" * 65536}, ValueError, "type 2 must have at most 65535"),
        ({"authority": "\u00fc" * 64}, ValueError, "^authority must be a name"),
        ({"version": 1, "authority": "x"}, ValueError, "need version 2"),
        ({"source": 5}, TypeError, "^source: address must be"),
        ({"destination": "h"}, ValueError, "^destination: not an address"),
        ({"source": "unixgram:/x"}, ValueError, "source must be an IP address"),
        ({"source": "example.org:1"}, ValueError, "source must be an IP address"),
        ({"destination": "vsock:2:1"}, ValueError, "destination must be an IP address"),
        ({"source": "1.2.3.4:1", "destination": "[::1]:1"}, ValueError, "of one family"),
        ({"source": "1.2.3.4:1", "destination": "unix:/x"}, ValueError, "internet addresses"),
        ({"version": 1, "source": "unix:/x"}, ValueError, "internet addresses"),
        ({"source": "unix:/" + "x" * 120}, ValueError, "at most 108"),
        ({"source": "1.2.3.4:1", "local": True}, ValueError, "where local is True"),
    ],
)
def test_what_cannot_be(arguments: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        ProxyHeader(**arguments)


@pytest.mark.parametrize("ends", [(HERE, THERE6), (("db", 1), ("dc", 2)), ("/run/a", HERE)])
def test_what_ends_cannot_be(ends: Any) -> None:
    with pytest.raises(ValueError, match="source and destination"):
        ProxyHeader().encode(*ends)


def test_it_is_a_value() -> None:
    header = ProxyHeader(1, source=("192.0.2.1", 1))
    assert header.source == TCPAddress("192.0.2.1", 1)
    assert pickle.loads(pickle.dumps(header)) == header == header.replace()
    assert str(header) == "PROXY v1"
    assert hash(header) == hash(ProxyHeader(1, source="192.0.2.1:1"))
