"""urllib3, with connections of a dialer's; what it shares is in test_http_clients.py."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from support.http_server import http_server
from support.listeners import refusing, silent

from aconnect import AddressNotPermitted, Dialer, StaticResolver
from aconnect.clients.blocking.urllib3 import AConnectPoolManager, AConnectProxyManager

if TYPE_CHECKING:
    from pathlib import Path

NAME = "server.example"
RESOLVER = StaticResolver({NAME: ["127.0.0.1"]})
HERE = Dialer(resolver=RESOLVER)
CAREFUL = Dialer(resolver=RESOLVER, permit=lambda endpoint: False)


def test_a_name_that_leads_inside() -> None:
    with http_server() as port, AConnectPoolManager(dialer=CAREFUL, retries=False) as pool:
        with pytest.raises(urllib3.exceptions.NewConnectionError) as caught:
            pool.request("GET", f"http://{NAME}:{port}/")
        assert isinstance(caught.value.__cause__, AddressNotPermitted)


def test_urllib3_raises_what_its_own_connections_do() -> None:
    with AConnectPoolManager(dialer=HERE, retries=False) as pool:
        with pytest.raises(urllib3.exceptions.NameResolutionError):
            pool.request("GET", "http://unknown.example/")
        with refusing() as (_, port), pytest.raises(urllib3.exceptions.NewConnectionError):
            pool.request("GET", f"http://127.0.0.1:{port}/")
        with silent() as (_, port), pytest.raises(urllib3.exceptions.ConnectTimeoutError):
            pool.request("GET", f"http://127.0.0.1:{port}/", timeout=0.05)


def test_urllib3_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with http_server(path=path), AConnectPoolManager(uds=path) as pool:
        assert pool.request("GET", "http://whatever.example/").data == b"hello"


def test_urllib3_has_keepalive_and_the_options_it_is_given() -> None:
    found: list[tuple[int, ...]] = []

    def look(sock: Any, endpoint: Any) -> None:
        found.append(
            (
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
                sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
            )
        )

    options = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 5000),
    ]
    with http_server() as port:
        for given in (
            {},
            {"keepalive": None, "socket_options": options},
            {"source_address": ("127.0.0.3", 0)},
        ):
            with AConnectPoolManager(dialer=Dialer(on_socket=look), **given) as pool:
                pool.request("GET", f"http://127.0.0.1:{port}/")
    assert [each[0] for each in found] == [1, 0, 1]
    assert found[1][1] == 10000
    assert [each[2] for each in found] == [1, 1, 1]


def test_urllib3_through_a_proxy() -> None:
    """Which is what a policy is asked about."""
    with http_server() as port:
        with AConnectProxyManager(f"http://{NAME}:{port}", dialer=HERE) as pool:
            assert pool.request("GET", "http://unknown.example/").data == b"hello"
        with (
            AConnectProxyManager(f"http://{NAME}:{port}", dialer=CAREFUL, retries=False) as pool,
            pytest.raises(urllib3.exceptions.HTTPError),
        ):
            pool.request("GET", "http://unknown.example/")
