"""A protocol of asyncio's, and a transport with one deadline for all that connecting takes."""

import asyncio

from aconnect import create_connection


class Echo(asyncio.Protocol):
    """Sends a message and waits until all of it has come back."""

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.received = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:
        transport.write(self.message)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) >= len(self.message) and not self.done.done():
            self.done.set_result(self.received)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or EOFError("the server has hung up"))


async def main() -> None:
    over = asyncio.Event()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()
        over.set()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        # As loop.create_connection(), but with a timeout, for unix paths as well, and with a
        # race if the name has several addresses.
        transport, protocol = await create_connection(
            lambda: Echo(b"there and back"), host, port, timeout=5
        )
        try:
            async with asyncio.timeout(5):
                print("echoed:", (await protocol.done).decode())
        finally:
            transport.close()
        await over.wait()


if __name__ == "__main__":
    asyncio.run(main())
