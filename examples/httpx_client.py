"""An HTTP client that follows its users' links, but not into places that the policy forbids.

It needs httpx: the extra "httpx" of aconnect-io.
"""

import asyncio

import httpx

from aconnect import AddressNotPermitted, Dialer, Report, StaticResolver
from aconnect.clients.httpx import AConnectTransport
from aconnect.policy import allow

# Anybody can give a name of their own any address. This is such a name.
RESOLVER = StaticResolver({"innocent.example": ["127.0.0.2"]})


def note(report: Report) -> None:
    print(f"{report.address}: {report.outcome}")


def transport(port: int) -> AConnectTransport:
    # The server below is all that is permitted here. Elsewhere say permit=public_only().
    permit = allow("127.0.0.1", ports=port)
    return AConnectTransport(dialer=Dialer(permit=permit, resolver=RESOLVER, on_report=note))


async def fetch(client: httpx.AsyncClient, url: str) -> None:
    try:
        response = await client.get(url)
    except httpx.ConnectError as error:
        if not isinstance(error.__cause__, AddressNotPermitted):
            raise
        where = ", ".join(attempt.peer for attempt in error.__cause__.attempts)
        print(f"refused: {error.request.url} leads to {where}")
    else:
        print(f"{response.status_code}: {response.text}")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say hello, or send the client elsewhere."""
    request = await reader.readuntil(b"\r\n\r\n")
    if request.startswith(b"GET /moved "):
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://innocent.example/\r\n")
    else:
        writer.write(b"HTTP/1.1 200 OK\r\n")
    writer.write(b"Content-Length: 5\r\nConnection: close\r\n\r\nhello")
    writer.close()
    await writer.wait_closed()


async def main() -> None:
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with httpx.AsyncClient(transport=transport(port), follow_redirects=True) as client:
            await fetch(client, f"http://127.0.0.1:{port}/")
            await fetch(client, f"http://127.0.0.1:{port}/moved")


if __name__ == "__main__":
    asyncio.run(main())
