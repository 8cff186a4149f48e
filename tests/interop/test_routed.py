"""Libraries that know of no dialer, against real servers, on a loop that is routed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import aiosmtplib
import asyncpg
import gmqtt
import nats
import pytest
from conftest import ASYNCIO_LOOPS
from support import proxy_servers, servers
from support.by_proxy import by_proxy
from support.clients import REFUSED, SILENT, dead_addresses_first
from support.listeners import silent
from support.tls import NAME, Certificates

from aconnect import AddressNotPermitted, Dialer, Report, StaticResolver, routed
from aconnect.policy import public_only

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.server,
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True),
]

LONG = 30  # seconds; what takes as long has failed


# What a program does with each of the libraries.


async def ask_postgresql(host: str, port: int, timeout: float = LONG, ssl: Any = False) -> None:
    connection = await asyncpg.connect(
        host=host, port=port, user="app", database="postgres", timeout=timeout, ssl=ssl
    )
    try:
        assert await connection.fetchval("SELECT 6 * 7") == 42
        secured = await connection.fetchval(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        )
        assert secured is bool(ssl)
    finally:
        await connection.close()


async def ask_mosquitto(host: str, port: int, timeout: float = LONG) -> None:
    client = gmqtt.Client(None)
    heard = asyncio.get_running_loop().create_future()

    def hear(_client: Any, _topic: str, payload: bytes, *_: Any) -> int:
        heard.set_result(payload)
        return 0

    client.on_message = hear
    async with asyncio.timeout(timeout):
        await client.connect(host, port)
        client.subscribe("greetings", qos=1)
        client.publish("greetings", "hello", qos=1)
        assert await heard == b"hello"
        await client.disconnect()


async def ask_nats(host: str, port: int, timeout: float = LONG) -> None:
    errors: list[Exception] = []

    async def note(error: Exception) -> None:
        errors.append(error)

    client = await nats.connect(
        f"nats://{host}:{port}",
        connect_timeout=timeout,
        allow_reconnect=False,
        max_reconnect_attempts=1,  # 0 is for no end of them
        reconnect_time_wait=0,
        error_cb=note,
    )
    subscription = await client.subscribe("greetings")
    await client.publish("greetings", b"hello")
    assert (await subscription.next_msg(LONG)).data == b"hello"
    await client.close()
    assert not errors


async def ask_exim(host: str, port: int, timeout: float = LONG) -> None:
    client = aiosmtplib.SMTP(
        hostname=host,
        port=port,
        timeout=timeout,
        start_tls=False,
        local_hostname="client.test",
    )
    async with client:
        refused, _ = await client.sendmail("a@client.test", ["b@mail.test"], "hello")
        assert not refused


ASK: dict[str, Any] = {
    "asyncpg": ask_postgresql,
    "gmqtt": ask_mosquitto,
    "nats-py": ask_nats,
    "aiosmtplib": ask_exim,
}


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(scope="module")
def postgresql(certificates: Certificates) -> Iterator[int]:
    with servers.postgresql(certificates) as port:
        yield port


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with servers.mosquitto(tmp_path_factory.mktemp("mosquitto")) as port:
        yield port


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with servers.nats_server(tmp_path_factory.mktemp("nats")) as port:
        yield port


@pytest.fixture(scope="module")
def exim() -> Iterator[int]:
    with servers.exim() as port:
        yield port


@pytest.fixture(scope="module")
def socks_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with proxy_servers.microsocks(tmp_path_factory.mktemp("microsocks")) as port:
        yield port


@pytest.fixture(params=ASK)
def library(request: pytest.FixtureRequest) -> Any:
    """What asks a server, and the port of that."""
    name = request.param
    server = {
        "asyncpg": "postgresql",
        "gmqtt": "mosquitto",
        "nats-py": "nats_server",
        "aiosmtplib": "exim",
    }
    return ASK[name], request.getfixturevalue(server[name])


class Routes:
    def __init__(self, **options: Any) -> None:
        self.reports: list[Report] = []
        self.dialer = Dialer(on_report=self.reports.append, **options)


async def test_dead_addresses_first(library: Any) -> None:
    ask, port = library
    with dead_addresses_first(NAME, port) as resolver:
        routes = Routes(resolver=resolver, attempt_delay=0.01)
        with routed(routes.dialer):
            await ask(NAME, port)
    text = str(routes.reports[0])
    assert all(host in text for host in (REFUSED, SILENT, f"127.0.0.1:{port}"))
    assert "won" in text


async def test_a_policy_refuses(library: Any) -> None:
    ask, port = library
    routes = Routes(resolver=StaticResolver({NAME: ["127.0.0.1"]}), permit=public_only())
    with routed(routes.dialer), pytest.raises(Exception) as caught:  # noqa: PT011
        await ask(NAME, port)
    [attempt] = routes.reports[0].attempts
    assert attempt.outcome == "not permitted"
    errors = set()
    error: BaseException | None = caught.value
    while error is not None:
        errors.add(type(error).__name__)
        error = error.__cause__ or error.__context__
    if ask is not ask_nats:  # which tells its callback alone
        assert AddressNotPermitted.__name__ in errors


async def test_through_a_proxy(library: Any, socks_proxy: int) -> None:
    ask, port = library
    login = f"{proxy_servers.USER}:{proxy_servers.PASSWORD}"
    way = f"socks5://{login}@127.0.0.1:{socks_proxy}"  # the name is looked up here
    routes = Routes(resolver=StaticResolver({NAME: ["127.0.0.1"]}), proxy=way)
    with routed(routes.dialer):
        await ask(NAME, port)
    assert routes.reports[0].winner is not None
    assert f"127.0.0.1:{socks_proxy}" in str(routes.reports[0])


async def test_by_way_of_tls_to_a_proxy(library: Any) -> None:
    ask, port = library
    with by_proxy("https", ("127.0.0.1", port), NAME) as (dialer, proxy):
        with routed(dialer):
            await ask(NAME, port)
        assert proxy.connections == 1


async def test_start_tls_by_way_of_tls_to_a_proxy(
    postgresql: int, certificates: Certificates
) -> None:
    """asyncpg has the loop start TLS on a transport that has TLS, to the proxy."""
    with by_proxy("https", ("127.0.0.1", postgresql), NAME) as (dialer, _):
        with routed(dialer):
            await ask_postgresql(NAME, postgresql, ssl=certificates.client())


@pytest.mark.parametrize("name", ASK)
async def test_a_deadline(name: str) -> None:
    """Each library's own."""
    with silent() as (host, port):
        routes = Routes()
        with routed(routes.dialer), pytest.raises(Exception):  # noqa: B017, PT011
            await ASK[name](host, port, timeout=0.05)
    assert {report.outcome for report in routes.reports} == {"cancelled"}  # nats-py tries twice


@pytest.mark.parametrize("name", ASK)
async def test_a_cancellation(name: str) -> None:
    began = asyncio.Event()

    def note(_event: object) -> None:
        began.set()

    with silent() as (host, port), routed(Dialer(trace=note)):
        task = asyncio.ensure_future(ASK[name](host, port))
        await began.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()


async def test_tls_by_start_tls(postgresql: int, certificates: Certificates) -> None:
    routes = Routes(resolver=StaticResolver({NAME: ["127.0.0.1"]}))
    with routed(routes.dialer):
        await ask_postgresql(NAME, postgresql, ssl=certificates.client())
    assert len(routes.reports) == 1


async def test_a_pool(postgresql: int) -> None:
    """Connects in tasks of its own, which are routed as well."""
    routes = Routes(resolver=StaticResolver({NAME: ["127.0.0.1"]}))
    with routed(routes.dialer):
        async with asyncpg.create_pool(
            host=NAME, port=postgresql, user="app", database="postgres", ssl=False, min_size=2
        ) as pool:
            assert await pool.fetchval("SELECT 1") == 1
    assert len(routes.reports) >= 2


async def test_several_hosts_of_asyncpgs_own(postgresql: int) -> None:
    """It goes through them itself, and each is a dial."""
    routes = Routes()
    with socket.socket() as bound:
        bound.bind((REFUSED, 0))
        with routed(routes.dialer):
            connection = await asyncpg.connect(
                host=[REFUSED, "127.0.0.1"],
                port=[bound.getsockname()[1], postgresql],
                user="app",
                database="postgres",
                ssl=False,
            )
            await connection.close()
    assert [report.outcome for report in routes.reports] == ["failed", "connected"]
