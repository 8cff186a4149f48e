"""Proxies with logins, one behind the other: each hears its own, and none is told."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
import trustme
from support.fake_proxy import BOUND, HEAD, LOGIN, FakeProxy, Forward, Secure, socks5_request
from support.tls import Certificates

from aconnect import Dialer, Proxy, open_stream

pytestmark = pytest.mark.anyio

LONG = 30  # seconds; what takes as long has failed
TARGET = ("db.example", 5432)
SECOND = "second.example"
OK = b"HTTP/1.1 200 OK\r\n\r\n"
LOGINS = [("alice", "first-s3cret"), ("bobby", "other-s3cret")]


def talk(scheme: str, host: str, login: tuple[str, str], pem: str) -> list[Any]:
    """The script of a proxy that is asked for a host, with a login."""
    if scheme == "socks5h":
        size = 3 + sum(map(len, login))
        return [*LOGIN, size, b"\x01\x00", socks5_request(host), BOUND]
    return [*([Secure(pem)] if scheme == "https" else []), HEAD, OK]


def said(scheme: str, host: str, port: int, login: tuple[str, str]) -> bytes:
    """All that such a proxy hears."""
    user, password = (each.encode() for each in login)
    name = host.encode()
    if scheme == "socks5h":
        login_said = b"\x01%c%b%c%b" % (len(user), user, len(password), password)
        asked = b"\x05\x01\x00\x03%c%b%b" % (len(name), name, port.to_bytes(2))
        return b"\x05\x02\x00\x02" + login_said + asked
    basic = b64encode(user + b":" + password)
    where = b"%b:%d" % (name, port)
    fields = b"Host: %b\r\nProxy-Authorization: Basic %b\r\n\r\n" % (where, basic)
    return b"CONNECT %b HTTP/1.1\r\n%b" % (where, fields)


@pytest.mark.parametrize("second", ["socks5h", "http", "https"])
@pytest.mark.parametrize("first", ["socks5h", "http", "https"])
async def test_p4_each_hears_its_own_login_and_nothing_of_the_others(
    first: str, second: str
) -> None:
    certificates = Certificates()
    schemes = (first, second)
    with trustme.Blob(certificates.of()).tempfile() as pem:
        with FakeProxy(talk(second, TARGET[0], LOGINS[1], pem)) as last:
            script = [*talk(first, SECOND, LOGINS[0], pem), Forward(last.address)]
            with FakeProxy(script) as nearest:
                chain = [
                    Proxy(
                        scheme,
                        address,
                        username=user,
                        password=password,
                        ssl=certificates.client() if scheme == "https" else None,
                        server_hostname="127.0.0.1" if scheme == "https" else None,
                    )
                    for scheme, address, (user, password) in zip(
                        schemes, (nearest.address, (SECOND, 1081)), LOGINS, strict=True
                    )
                ]
                dialer = Dialer(proxy=chain)
                async with await open_stream(TARGET, dialer=dialer, timeout=LONG):
                    pass
    assert bytes(nearest.heard[0]) == said(first, SECOND, 1081, LOGINS[0])
    assert bytes(last.heard[0]) == said(second, *TARGET, LOGINS[1])
