"""redis-py's client without an event loop, over our connections, against redis-server."""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.by_proxy import SCHEMES, by_proxy
from support.clients import dead_addresses_first
from support.listeners import listening, refusing, silent
from support.redis_server import NAME, Server, redis_server

from aconnect import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    Dialer,
    HandshakeError,
    Report,
    StaticResolver,
)
from aconnect.clients.blocking.redis import AConnectConnection
from aconnect.policy import public_only

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Dialer(resolver=StaticResolver({NAME: ["127.0.0.1"]}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis_server(tmp_path_factory.mktemp("redis")) as found:
        yield found


@contextmanager
def client(**options: Any) -> Iterator[Any]:
    options.setdefault("dialer", HERE)
    options.setdefault("retry", Retry(NoBackoff(), 0))
    pool = redis.ConnectionPool(connection_class=AConnectConnection, **options)
    with redis.Redis.from_pool(pool) as made:
        yield made


def ours_in(error: BaseException) -> Any:
    """Our error, in the chain of what redis-py has raised."""
    at: BaseException | None = error
    while at is not None and not isinstance(at, ConnectError):
        at = at.__context__
    return at


@pytest.mark.server
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_by_way_of_a_proxy(scheme: str, tls: bool, server: Server) -> None:
    port = server.tls_port if tls else server.port
    options: dict[str, Any] = {"ssl": server.trusting} if tls else {}
    with (
        by_proxy(scheme, ("127.0.0.1", port), NAME) as (dialer, proxy),
        client(dialer=dialer, host=NAME, port=port, socket_timeout=30, **options) as made,
    ):
        assert made.set("key", scheme)
        assert made.get("key") == scheme.encode()
        assert proxy.connections >= 1


@pytest.mark.server
@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
def test_over(kind: str, server: Server) -> None:
    reports: list[Report] = []
    options: dict[str, Any] = {
        "tcp": {"host": NAME, "port": server.port},
        "unix": {"path": server.path},
        "tls": {"host": NAME, "port": server.tls_port, "ssl": server.trusting},
    }[kind]
    dialer = HERE.replace(on_report=reports.append)
    with client(dialer=dialer, socket_timeout=30, **options) as made:
        assert made.set("key", kind)
        assert made.get("key") == kind.encode()
        assert kind == "unix" or NAME in repr(made.connection_pool)
    assert [report.outcome for report in reports] == ["connected"]


@pytest.mark.server
def test_dead_addresses_first(server: Server) -> None:
    with dead_addresses_first(NAME, server.port) as resolver:
        dialer = Dialer(resolver=resolver, attempt_delay=0.01)
        with client(dialer=dialer, host=NAME, port=server.port, client_name="me") as made:
            assert made.ping()
            assert "client_name=me" in repr(made.connection_pool.make_connection())


@pytest.mark.server
def test_a_certificate_that_is_not_trusted(server: Server) -> None:
    with client(host=NAME, port=server.tls_port, ssl=True) as made:
        with pytest.raises(redis.ConnectionError) as caught:
            made.ping()
        assert isinstance(ours_in(caught.value), HandshakeError)


def test_what_is_raised() -> None:
    with refusing() as (_, port), client(host=NAME, port=port) as made:
        with pytest.raises(redis.ConnectionError, match=NAME) as caught:
            made.ping()
        assert isinstance(ours_in(caught.value), ConnectionRefusedError)
    with silent() as (host, port):
        with client(host=host, port=port, socket_connect_timeout=0.05) as made:
            with pytest.raises(redis.TimeoutError) as caught:
                made.ping()
            assert isinstance(ours_in(caught.value), ConnectTimeout)


def test_the_timeout_of_an_answer_is_another() -> None:
    with listening() as listener:
        host, port = listener.getsockname()
        with (
            client(host=host, port=port, socket_connect_timeout=30, socket_timeout=0.05) as made,
            pytest.raises(redis.TimeoutError),
        ):
            made.ping()


def test_a_name_that_leads_inside() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        with client(dialer=HERE.replace(permit=public_only()), host=NAME, port=port) as made:
            with pytest.raises(redis.ConnectionError) as caught:
                made.ping()
            assert isinstance(ours_in(caught.value), AddressNotPermitted)


def test_arguments() -> None:
    connection = AConnectConnection()
    assert connection.host == "localhost"
    connection.host = "b.example"  # the server has moved
    assert "host=b.example" in repr(connection)
    with pytest.raises(ValueError, match="host or path"):
        AConnectConnection(host="a.example", path="/run/redis.sock")
    with pytest.raises(TypeError, match="ssl_ca_certs"):
        AConnectConnection(ssl_ca_certs="ca.pem")


def test_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.connection", None)
    monkeypatch.delitem(sys.modules, "aconnect.clients.blocking.redis")
    with pytest.raises(ImportError, match=r"aconnect-io\[redis\]"):
        importlib.import_module("aconnect.clients.blocking.redis")
