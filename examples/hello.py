"""Connect, and talk over asyncio's streams."""

import asyncio

from aconnect import aconnect


async def fetch_greeting(address: str) -> str:
    sock = await aconnect(address, timeout=5)
    # The streams own the socket from here on: closing the writer closes it.
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()
        await writer.wait_closed()


async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello, whoever you are\n")
    await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        print(await fetch_greeting(f"{host}:{port}"))


if __name__ == "__main__":
    asyncio.run(main())
