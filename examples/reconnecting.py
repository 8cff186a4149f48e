"""A protocol that comes back: connected again, with a pause, whenever the connection is lost."""

import asyncio

from aconnect import ConnectError, create_connection


class Feed(asyncio.Protocol):
    """Puts what it receives into a queue, and knows when it is over."""

    def __init__(self, received: asyncio.Queue[str]) -> None:
        self.received = received
        self.over = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received.put_nowait(data.decode())

    def connection_lost(self, _: Exception | None) -> None:
        self.over.set()


async def stay_connected(address: str, received: asyncio.Queue[str]) -> None:
    """Keep a feed connected until this is cancelled."""
    pause = 0.01
    while True:
        try:
            transport, feed = await create_connection(lambda: Feed(received), address, timeout=5)
        except ConnectError as error:
            if not error.transient:
                raise  # it will never succeed
            await asyncio.sleep(pause)
            pause = min(2 * pause, 30)
            continue
        pause = 0.01
        try:
            await feed.over.wait()
        finally:
            transport.close()


async def main() -> None:
    connections = 0

    async def say_and_hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(f"connection {connections}".encode())
        writer.close()

    async with await asyncio.start_server(say_and_hang_up, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        received: asyncio.Queue[str] = asyncio.Queue()
        staying = asyncio.create_task(stay_connected(f"{host}:{port}", received))
        heard = [await received.get() for _ in range(3)]
        print("heard:", ", ".join(heard))
        staying.cancel()
        await asyncio.wait([staying])


if __name__ == "__main__":
    asyncio.run(main())
