"""One deadline for connecting and for the conversation that follows."""

import asyncio

from aconnect import Deadline, aconnect


async def read_lines(address: tuple[str, int], seconds: float) -> list[str]:
    """The lines that come within so many seconds, connecting included."""
    lines: list[str] = []
    deadline = Deadline.after(seconds)
    sock = await aconnect(address, deadline=deadline)
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        # What connecting has used up is not there for reading.
        async with asyncio.timeout(deadline.remaining()):
            while line := await reader.readline():
                lines.append(line.decode().strip())
    except TimeoutError:
        print("out of time: the deadline has passed:", deadline.expired)
    finally:
        writer.close()
        await writer.wait_closed()
    return lines


async def dawdle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"one\ntwo\n")
    await reader.read()  # says no more, until the client hangs up
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(dawdle, "127.0.0.1", 0)
    async with server:
        lines = await read_lines(server.sockets[0].getsockname(), 0.2)
        print("read in time:", ", ".join(lines))


if __name__ == "__main__":
    asyncio.run(main())
