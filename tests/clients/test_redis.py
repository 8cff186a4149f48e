"""redis-py's asyncio client over our connections, against redis-server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

import pytest
import redis
from conftest import ASYNCIO_LOOPS
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from support.by_proxy import SCHEMES, by_proxy
from support.canaries import Canaries
from support.clients import (
    REFUSED,
    SILENT,
    dead_addresses_first,
    for_transports,
    keepalive_of,
)
from support.listeners import listening, refusing, silent, unix_full
from support.redis_server import NAME, Server, redis_server
from support.scenarios import ASYNCIO_LOOPS as NEW_LOOPS
from support.scenarios import Scenario, cancel_at_every_step

from aconnect import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    Dialer,
    HandshakeError,
    Keepalive,
    Report,
    StaticResolver,
)
from aconnect.clients.redis import AConnectConnection
from aconnect.policy import public_only

if TYPE_CHECKING:
    from collections.abc import Iterator

on_each_loop = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True),
]

HERE = Dialer(resolver=StaticResolver({NAME: ["127.0.0.1"]}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis_server(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture(autouse=True)
def redis_knows_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """redis-py reads it from files for each connection, also in the event loop."""
    version = redis.utils.get_lib_version()
    monkeypatch.setattr("redis.utils.get_lib_version", lambda: version)


@contextlib.asynccontextmanager
async def client(**options: Any) -> Any:
    async with Redis.from_pool(pool(**options)) as found:
        yield found


def pool(**options: Any) -> ConnectionPool:
    return ConnectionPool(connection_class=AConnectConnection, **options)


def ours_in(error: BaseException) -> Any:
    """Our error, from which redis-py has made its own."""
    assert isinstance(error.__context__, ConnectError)
    return error.__context__


@pytest.mark.server
class TestAnExchange:
    pytestmark = on_each_loop

    @pytest.mark.parametrize("kind", ["tcp", "a name", "unix", "tls", "RESP3"])
    async def test_over(self, kind: str, server: Server) -> None:
        options: dict[str, Any] = {
            "tcp": {"host": "127.0.0.1", "port": server.port, "protocol": 2},
            "RESP3": {"host": "127.0.0.1", "port": str(server.port), "protocol": 3},
            "a name": {"host": NAME, "port": server.port, "dialer": HERE},
            "unix": {"path": server.path},
            "tls": {
                "host": NAME,
                "port": server.tls_port,
                "dialer": HERE,
                "ssl": server.trusting,
            },
        }[kind]
        async with client(**options, client_name="we", decode_responses=True) as found:
            assert await found.set(kind, "hello")
            assert await found.get(kind) == "hello"
            assert await found.client_getname() == "we"
            text = repr(found.connection_pool.make_connection())
        where = f"path={server.path}" if kind == "unix" else f"port={options.get('port')}"
        assert where in text
        assert "client_name=we" in text

    async def test_on_localhost_by_default(self, server: Server) -> None:
        async with client(port=server.port) as found:
            assert await found.ping()

    async def test_a_url(self, server: Server) -> None:
        url = f"redis://127.0.0.1:{server.port}/3?decode_responses=True"
        found = ConnectionPool.from_url(url, connection_class=AConnectConnection, dialer=HERE)
        async with Redis.from_pool(found) as redis_client:
            assert await redis_client.set("hello", "yourself")
            assert await redis_client.get("hello") == "yourself"
            connection = found.make_connection()
        assert isinstance(connection, AConnectConnection)
        assert "db=3" in repr(connection)
        assert "client_name" not in repr(connection)

    async def test_publishing_and_subscribing(self, server: Server) -> None:
        here: Any = {"host": "127.0.0.1", "port": server.port}
        async with client(**here) as found, found.pubsub() as listening_to:
            await listening_to.subscribe("news")
            assert (await listening_to.get_message(timeout=30))["type"] == "subscribe"
            await found.publish("news", "hello")
            message = await listening_to.get_message(timeout=30)
        assert message["data"] == b"hello"

    async def test_it_connects_again(self, server: Server) -> None:
        reports: list[Report] = []
        dialer = Dialer(on_report=reports.append)
        options = {"host": "127.0.0.1", "port": server.port, "dialer": dialer}
        async with client(**options, retry=Retry(NoBackoff(), 1)) as found:
            assert await found.ping()
            await found.connection_pool.disconnect()
            assert await found.ping()
        assert len(reports) == 2

    @pytest.mark.parametrize(
        ("dialer", "options", "expected"),
        [
            (None, {}, (1, 60, 60, 5)),
            (Dialer(keepalive=Keepalive(77, 5, 3)), {}, (1, 77, 5, 3)),
            (None, {"keepalive": Keepalive(9, 8, 7)}, (1, 9, 8, 7)),
            (None, {"keepalive": None}, (0,)),
            (None, {"socket_keepalive": False}, (0,)),
            (None, {"socket_keepalive_options": {socket.TCP_KEEPIDLE: 33}}, (1, 33, 60, 5)),
        ],
        ids=["default", "dialer", "another", "none", "off", "options"],
    )
    async def test_keepalive(
        self, server: Server, dialer: Any, options: Any, expected: tuple[int, ...]
    ) -> None:
        for where in ({"host": "127.0.0.1", "port": server.port}, {"path": server.path}):
            connection = AConnectConnection(**where, dialer=dialer, **options)
            await connection.connect()
            if "host" in where:
                sock = connection._writer.get_extra_info("socket")
                assert keepalive_of(sock)[: len(expected)] == expected
            await connection.disconnect()


class TestTheDeadline:
    pytestmark = on_each_loop

    async def test_a_listener_that_never_answers(self) -> None:
        with silent() as (host, port), pytest.raises(redis.TimeoutError) as caught:
            async with client(host=host, port=port, socket_connect_timeout=0.05) as found:
                await found.ping()
        ours = ours_in(caught.value)
        assert isinstance(ours, ConnectTimeout)
        assert ours.phase == "connect"

    async def test_a_unix_listener_with_a_full_backlog(self, tmp_path: Any) -> None:
        path = tmp_path / "s"
        with unix_full(path), pytest.raises(redis.TimeoutError) as caught:
            async with client(path=path, socket_connect_timeout=0.05) as found:
                await found.ping()
        assert isinstance(ours_in(caught.value), ConnectTimeout)

    async def test_one_that_accepts_and_does_no_tls(self) -> None:
        with listening() as listener, Canaries() as canaries:
            host, port = listener.getsockname()
            options = {"host": host, "port": port, "ssl": True, "socket_connect_timeout": 0.05}
            with pytest.raises(redis.TimeoutError) as caught:
                async with client(**options) as found:
                    await found.ping()
            await canaries.settle()
        assert ours_in(caught.value).phase == "handshake"

    async def test_one_that_accepts_and_does_not_speak_redis(self) -> None:
        """The login is redis-py's, and so is its time limit."""
        with listening() as listener, Canaries() as canaries:
            host, port = listener.getsockname()
            options: dict[str, Any] = {"host": host, "port": port, "socket_timeout": 0.05}
            with pytest.raises(redis.TimeoutError, match="reading"):
                async with client(**options, socket_connect_timeout=30) as found:
                    await found.ping()
            await canaries.settle()

    async def test_socket_timeout_is_the_default(self) -> None:
        with silent() as (host, port), pytest.raises(redis.TimeoutError) as caught:
            options: Any = {"socket_timeout": 0.05, "socket_connect_timeout": None}
            async with client(host=host, port=port, **options) as found:
                await found.ping()
        assert isinstance(ours_in(caught.value), ConnectTimeout)


class TestTheDial:
    pytestmark = on_each_loop

    @pytest.mark.server
    async def test_dead_addresses_cost_little(self, server: Server) -> None:
        reports: list[Report] = []
        with dead_addresses_first(NAME, server.port) as resolver:
            dialer = Dialer(resolver=resolver, attempt_delay=0.01, on_report=reports.append)
            async with client(host=NAME, port=server.port, dialer=dialer) as found:
                assert await found.ping()
        [report] = reports
        text = str(report)
        assert all(host in text for host in (REFUSED, SILENT, f"127.0.0.1:{server.port}"))
        assert "won" in text

    async def test_there_is_a_report_of_a_failure(self) -> None:
        reports: list[Report] = []
        dialer = Dialer(on_report=reports.append)
        with refusing() as (host, port), pytest.raises(redis.ConnectionError) as caught:
            async with client(host=host, port=port, dialer=dialer) as found:
                await found.ping()
        assert f"{host}:{port}" in str(caught.value)
        ours = ours_in(caught.value)
        assert isinstance(ours, ConnectionRefusedError)
        assert reports == [ours.report]

    async def test_no_unix_server(self, tmp_path: Any) -> None:
        path = tmp_path / "s"
        with pytest.raises(redis.ConnectionError, match=f"unix:{path}") as caught:
            async with client(path=path) as found:
                await found.ping()
        assert isinstance(ours_in(caught.value), FileNotFoundError)

    async def test_the_policy(self) -> None:
        dialer = Dialer(permit=public_only(), resolver=HERE.resolver)
        with pytest.raises(redis.ConnectionError) as caught:
            async with client(host=NAME, port=1, dialer=dialer) as found:
                await found.ping()
        assert isinstance(ours_in(caught.value), AddressNotPermitted)

    @pytest.mark.server
    async def test_a_certificate_that_is_not_trusted(self, server: Server) -> None:
        with Canaries() as canaries:
            with pytest.raises(redis.ConnectionError) as caught:
                options: Any = {"host": NAME, "port": server.tls_port, "dialer": HERE}
                async with client(**options, ssl=True) as found:
                    await found.ping()
            await canaries.settle()
        ours = ours_in(caught.value)
        assert isinstance(ours, HandshakeError)
        assert isinstance(ours.__cause__, ssl.SSLCertVerificationError)

    @pytest.mark.server
    async def test_the_name_of_the_certificate(self, server: Server) -> None:
        options: Any = {"host": "127.0.0.1", "port": server.tls_port, "ssl": server.trusting}
        with pytest.raises(redis.ConnectionError) as caught:
            async with client(**options) as found:
                await found.ping()
        assert isinstance(ours_in(caught.value), HandshakeError)
        for name in (NAME, f"{NAME}."):
            async with client(**options, server_hostname=name) as found:
                assert await found.ping()


class TestNonsense:
    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"host": "localhost", "path": "/s"}, ValueError, "not both"),
            ({"port": "six"}, ValueError, "six"),
            ({"path": 5}, TypeError, "5"),
            ({"dialer": "mine"}, TypeError, "Dialer"),
            ({"socket_type": 1}, TypeError, "socket_type"),
            ({"ssl_ca_certs": "/etc"}, TypeError, "ssl_ca_certs: .* ssl="),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_is_refused_before_anything_is_done(
        self, options: Any, error: Any, words: str
    ) -> None:
        with pytest.raises(error, match=words):
            AConnectConnection(**options)

    def test_redis_is_missing(self, monkeypatch: Any) -> None:
        monkeypatch.setitem(sys.modules, "redis.asyncio.connection", None)
        monkeypatch.delitem(sys.modules, "aconnect.clients.redis")
        with pytest.raises(
            ImportError, match=r"is not installed: install it, or aconnect-io\[redis\]"
        ):
            import aconnect.clients.redis  # noqa: F401


@pytest.mark.server
@pytest.mark.parametrize("new_loop", NEW_LOOPS[:3])
@pytest.mark.parametrize("kind", ["tcp", "unix", "tls", "silent"])
def test_cancelled_at_every_step(
    new_loop: Any, kind: str, server: Server, monkeypatch: Any, tmp_path: Any
) -> None:
    with contextlib.ExitStack() as stack:
        scene = Scenario(stack, monkeypatch, tmp_path)
        options: dict[str, Any] = {
            "tcp": {"host": "127.0.0.1", "port": server.port},
            "unix": {"path": server.path},
            "tls": {
                "host": NAME,
                "port": server.tls_port,
                "dialer": HERE,
                "ssl": server.trusting,
            },
        }.get(kind, {})
        if kind == "silent":
            host, port = stack.enter_context(silent())
            options = {"host": host, "port": port, "socket_connect_timeout": 0.01}

        async def start() -> Any:
            # With a socket_timeout, redis-py uses wait_for(): before Python 3.12 that may swallow
            # a cancellation.
            connection = AConnectConnection(**options, socket_timeout=None)
            # If TLS is done, redis-py ends a login with a goodbye, and does not wait for another.
            connecting = connection._connect if kind == "tls" else connection.connect
            try:
                await connecting()
            except redis.TimeoutError:
                assert kind == "silent"
                return None
            return asyncio.get_running_loop(), connection

        scene.start = start
        scene.close = lambda won: won[0].run_until_complete(won[1].disconnect())
        with Canaries():
            cancel_at_every_step(for_transports(new_loop), scene)


@pytest.mark.server
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_by_way_of_a_proxy(scheme: str, tls: bool, server: Server) -> None:
    port = server.tls_port if tls else server.port
    with by_proxy(scheme, ("127.0.0.1", port), NAME) as (dialer, proxy):
        pool = ConnectionPool(
            connection_class=AConnectConnection,
            host=NAME,
            port=port,
            ssl=server.trusting if tls else None,
            dialer=dialer,
            socket_connect_timeout=30,
        )
        async with Redis(connection_pool=pool) as client:
            await client.set("by", scheme)
            assert await client.get("by") == scheme.encode()
        await pool.disconnect()
        assert proxy.connections >= 1
