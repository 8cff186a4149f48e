"""Connect with other people's clients, and see what went through the dialer.

It prints a line for each, which ``docs/reference/works-with.md`` shows.  Its arguments are the
names of some; or a file of such lines, to which it compares what it has found, whatever the
versions.  "uvloop" before them has it run there.  It needs the dependency group "works-with".

Rules:

* Each connects to a name that nobody but the dialer's resolver knows: somebody else's lookup would
  find nothing.
* The name has two addresses, of which the first refuses.  A report of both is a race of the
  dialer's.
* The server speaks HTTP, Redis or websockets to those who do, and hangs up on all others: what a
  client does with a connection that it has is not tried here.
* Of those who connect by themselves, to an address that the dialer has found, the line says
  whether they have.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.metadata
import logging
import socket
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

import aconnect
from aconnect import Dialer, Report, StaticResolver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    Trial: TypeAlias = Callable[[Dialer, int], Awaitable[None]]

NAME = "server.example"
REFUSES, ANSWERS = "127.0.0.4", "127.0.0.1"
LIMIT = 20.0
"""Seconds for each; more than any of this takes."""

TRIALS: list[tuple[str, str, Trial]] = []


def tried(distribution: str, way: str) -> Callable[[Trial], Trial]:
    """Say by what way a client of this distribution gets its connection."""

    def note(trial: Trial) -> Trial:
        TRIALS.append((distribution, way, trial))
        return trial

    return note


# Adapters


@tried("httpx", "adapter")
async def httpx(dialer: Dialer, port: int) -> None:
    import httpx

    from aconnect.clients.httpx import AConnectTransport

    async with httpx.AsyncClient(transport=AConnectTransport(dialer=dialer)) as client:
        assert (await client.get(f"http://{NAME}:{port}/")).json() == {}


@tried("httpx2", "adapter")
async def httpx2(dialer: Dialer, port: int) -> None:
    import httpx2

    from aconnect.clients.httpx2 import AConnectTransport

    async with httpx2.AsyncClient(transport=AConnectTransport(dialer=dialer)) as client:
        assert (await client.get(f"http://{NAME}:{port}/")).json() == {}


@tried("aiohttp", "adapter")
async def aiohttp(dialer: Dialer, port: int) -> None:
    import aiohttp

    from aconnect.clients.aiohttp import AConnectConnector

    connector = AConnectConnector(dialer=dialer)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"http://{NAME}:{port}/") as response,
    ):
        assert await response.json() == {}


@tried("websockets", "adapter")
async def websockets(dialer: Dialer, port: int) -> None:
    from websockets.exceptions import InvalidHandshake

    from aconnect.clients.websockets import connect

    with contextlib.suppress(InvalidHandshake):
        await connect(f"ws://{NAME}:{port}/", dialer=dialer)


@tried("redis", "adapter")
async def redis(dialer: Dialer, port: int) -> None:
    from redis.asyncio import ConnectionPool, Redis

    from aconnect.clients.redis import AConnectConnection

    pool = ConnectionPool(connection_class=AConnectConnection, host=NAME, port=port, dialer=dialer)
    async with Redis.from_pool(pool) as client:
        await client.ping()


@tried("asyncssh", "adapter")
async def asyncssh(dialer: Dialer, port: int) -> None:
    from asyncssh import Error

    from aconnect.clients.asyncssh import connect

    with contextlib.suppress(Error, OSError):
        await connect(NAME, port, dialer=dialer, known_hosts=None, config=None)


# A socket


@tried("aiosmtplib", "sock=")
async def aiosmtplib(dialer: Dialer, port: int) -> None:
    from aiosmtplib import SMTP, SMTPException

    with await dialer.connect((NAME, port)) as sock, contextlib.suppress(SMTPException):
        await SMTP(sock=sock, hostname=NAME, port=None).connect()


@tried("aiosmtplib", "routed")
async def aiosmtplib_routed(dialer: Dialer, port: int) -> None:
    from aiosmtplib import SMTP, SMTPException

    with aconnect.routed(dialer), contextlib.suppress(SMTPException):
        await SMTP(hostname=NAME, port=port, start_tls=False).connect()


# A client's client, which is one of those above


@tried("elasticsearch", "adapter")
async def elasticsearch(dialer: Dialer, port: int) -> None:
    import httpx
    from elastic_transport import HttpxAsyncHttpNode
    from elasticsearch import AsyncElasticsearch

    from aconnect.clients.httpx import AConnectTransport

    class Node(HttpxAsyncHttpNode):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.client = httpx.AsyncClient(
                base_url=self.base_url,
                transport=AConnectTransport(dialer=dialer),
                timeout=config.request_timeout,
            )

    async with AsyncElasticsearch(f"http://{NAME}:{port}", node_class=Node) as client:
        assert (await client.info()).body == {}


@tried("fastapi", "adapter")
async def fastapi(dialer: Dialer, port: int) -> None:
    import httpx
    from fastapi import FastAPI, Request

    from aconnect.clients.httpx import AConnectTransport

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        async with httpx.AsyncClient(transport=AConnectTransport(dialer=dialer)) as client:
            app.state.client = client
            yield

    app = FastAPI(lifespan=lifespan)

    async def fetch(request: Request) -> Any:
        response = await request.app.state.client.get(f"http://{NAME}:{port}/")
        return response.json()

    fetch.__annotations__["request"] = Request  # it is not a name of this module
    app.get("/")(fetch)
    own = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=own, base_url="http://app.example") as user,
    ):
        assert (await user.get("/")).json() == {}


# A routed loop


@tried("asyncpg", "routed")
async def asyncpg(dialer: Dialer, port: int) -> None:
    import asyncpg

    with aconnect.routed(dialer):
        await asyncpg.connect(host=NAME, port=port, user="a", database="b", ssl=False)


@tried("SQLAlchemy", "routed")
async def sqlalchemy(dialer: Dialer, port: int) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(f"postgresql+asyncpg://a@{NAME}:{port}/b?ssl=disable")
    with aconnect.routed(dialer):
        async with engine.connect():
            pass


@tried("aiomysql", "routed")
async def aiomysql(dialer: Dialer, port: int) -> None:
    import aiomysql

    with aconnect.routed(dialer):
        await aiomysql.connect(host=NAME, port=port)


@tried("aiokafka", "routed")
async def aiokafka(dialer: Dialer, port: int) -> None:
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(bootstrap_servers=f"{NAME}:{port}")
    with aconnect.routed(dialer):
        try:
            await producer.start()
        finally:
            await producer.stop()


@tried("nats-py", "routed")
async def nats(dialer: Dialer, port: int) -> None:
    import nats

    async def unheard(error: Exception) -> None:
        pass

    with aconnect.routed(dialer):
        await nats.connect(
            f"nats://{NAME}:{port}",
            allow_reconnect=False,
            max_reconnect_attempts=0,
            error_cb=unheard,
        )


@tried("aio-pika", "routed")
async def aio_pika(dialer: Dialer, port: int) -> None:
    import aio_pika

    with aconnect.routed(dialer):
        await aio_pika.connect(f"amqp://a:b@{NAME}:{port}/")


# An address, for those who connect by themselves


@tried("psycopg", "address")
async def psycopg(dialer: Dialer, port: int) -> None:
    from psycopg import AsyncConnection

    with await dialer.connect((NAME, port)) as sock:
        address = sock.getpeername()[0]
    await AsyncConnection.connect(
        host=NAME, hostaddr=address, port=port, user="a", sslmode="disable"
    )


@tried("grpcio", "address")
async def grpcio(dialer: Dialer, port: int) -> None:
    import grpc.aio

    with await dialer.connect((NAME, port)) as sock:
        address, port = sock.getpeername()[:2]
    named = [("grpc.default_authority", NAME)]
    async with grpc.aio.insecure_channel(f"{address}:{port}", options=named) as channel:
        call = channel.unary_unary("/a.B/C")
        await call(b"", timeout=1)


@tried("aiobotocore", "address")
async def aiobotocore(dialer: Dialer, port: int) -> None:
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session
    from aiohttp.abc import AbstractResolver

    class OneThatAnswers(AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
            with await dialer.connect((host, port)) as sock:
                found = {"family": sock.family, "host": sock.getpeername()[0]}
            return [{**found, "hostname": host, "port": port, "proto": 0, "flags": 0}]

        async def close(self) -> None:
            pass

    config = AioConfig(connector_args={"resolver": OneThatAnswers()}, retries={"max_attempts": 0})
    async with get_session().create_client(
        "s3",
        "us-east-1",
        endpoint_url=f"http://{NAME}:{port}",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=config,
    ) as client:
        await client.list_buckets()


@tried("aiomqtt", "address")
async def aiomqtt(dialer: Dialer, port: int) -> None:
    import aiomqtt

    with await dialer.connect((NAME, port)) as sock:
        address = sock.getpeername()[0]
    async with aiomqtt.Client(address, port, timeout=1):
        pass


# A policy, for those who open their sockets themselves and have the loop connect them


@tried("pymongo", "policy")
async def pymongo(dialer: Dialer, port: int) -> None:
    from pymongo import AsyncMongoClient

    def refuse(endpoint: Any) -> bool:
        POLICY.append(endpoint.sockaddr[0])
        return False

    client: Any = AsyncMongoClient(ANSWERS, port, serverSelectionTimeoutMS=300)
    with aconnect.routed(dialer.replace(permit=refuse)):
        try:
            await client.admin.command("ping")
        finally:
            await client.close()


POLICY: list[str] = []
"""What a policy was asked about."""
ACCEPTED: list[None] = []
"""One for each connection that the server has had."""


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer what is HTTP or Redis, and hang up on everybody else."""
    ACCEPTED.append(None)
    try:
        async with asyncio.timeout(0.2):  # those who wait for the server to begin
            while said := await reader.read(2**16):
                if b"HTTP/1.1\r\n" in said:
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nX-Elastic-Product: Elasticsearch\r\n"
                        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
                    )
                elif said.startswith(b"*"):
                    writer.write(b"+PONG\r\n" * said.count(b"*"))
                else:
                    break
    except (TimeoutError, OSError):
        pass
    finally:
        writer.close()


async def outcome(trial: Trial, way: str, port: int) -> str:
    """What the dialer has to say of it, or what the client says if it was not asked."""
    reports: list[Report] = []
    POLICY.clear()
    ACCEPTED.clear()
    addresses = StaticResolver({NAME: [REFUSES, ANSWERS]})
    said = "it did not complain"
    try:
        async with asyncio.timeout(LIMIT):
            await trial(Dialer(resolver=addresses, on_report=reports.append), port)
    except Exception as error:  # the server hangs up on most of them
        said = f"{type(error).__name__}: {error}".split("\n")[0]
    if way == "policy" and POLICY and not ACCEPTED:
        return f"{POLICY[0]} not permitted"
    if not reports:
        return f"the dialer was not asked: {said}"
    tried = [f"{each.endpoint.sockaddr[0]} {each.outcome}" for each in reports[0].attempts]
    if way == "address":
        tried.append("then by itself" if len(ACCEPTED) > 1 else f"then not: {said}")
    return ", ".join(tried)


async def main(names: list[str]) -> dict[tuple[str, str], str]:
    """Try those, or all, and print what came of it; and return that without the versions."""
    found = {}
    server = await asyncio.start_server(serve, ANSWERS, 0)
    port = server.sockets[0].getsockname()[1]
    with socket.socket() as nobody:
        nobody.bind((REFUSES, port))  # and does not listen
        for distribution, way, trial in TRIALS:
            if names and distribution not in names:
                continue
            line = f"{distribution} {importlib.metadata.version(distribution)}"
            found[distribution, way] = came = await outcome(trial, way, port)
            print(f"{line:20} {way:8} {came}", flush=True)
            # nats-py leaves a transport behind, which uvloop closes when it is collected, by its
            # number and twice: here, where nobody else can have got the number in between.
            gc.collect()
    server.close()
    return found


def shown(file: Path) -> dict[tuple[str, str], str]:
    """What a file says that `main` has printed."""
    rows = (line.split(maxsplit=3) for line in file.read_text().splitlines())
    return {(distribution, way): came for distribution, _, way, came in rows}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable()
    arguments = sys.argv[1:]
    runner = uvloop.run if arguments[:1] == ["uvloop"] else asyncio.run
    arguments = arguments[runner is uvloop.run :]
    page = [Path(each) for each in arguments if Path(each).is_file()]
    found = runner(main([] if page else arguments))
    for file in page:
        if differ := sorted(found.items() ^ shown(file).items()):
            sys.exit(f"{file} does not say so: {differ}")
