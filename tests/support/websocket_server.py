"""A websocket server, for a process of its own: it echoes, and refuses what it is asked to.

    python websocket_server.py PORT UNIX_PATH TLS_PORT CERTIFICATE

Of the path "/refused" it says 403, and of "/moved" that it is elsewhere.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING

from websockets.asyncio.server import serve, unix_serve

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def answer(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/refused":
        return connection.respond(HTTPStatus.FORBIDDEN, "not for you\n")
    if request.path == "/moved":
        response = connection.respond(HTTPStatus.FOUND, "")
        response.headers["Location"] = "/elsewhere"
        return response
    return None


async def main(port: str, path: str, tls_port: str, certificate: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with (
        serve(echo, "127.0.0.1", int(port), process_request=answer),
        unix_serve(echo, path),
        serve(echo, "127.0.0.1", int(tls_port), ssl=context),
    ):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
