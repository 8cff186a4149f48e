"""A client that speaks in lines, on asyncio's streams: one deadline up to the last answer."""

import asyncio

from aconnect import Deadline, open_connection


async def ask(address: str, questions: list[str], deadline: Deadline) -> list[str]:
    reader, writer = await open_connection(address, deadline=deadline)
    try:
        async with asyncio.timeout(deadline.remaining()):
            answers = []
            for question in questions:
                writer.write(f"{question}\n".encode())
                # Unlike readline(), this raises if the server has hung up.
                answers.append((await reader.readuntil(b"\n")).decode().rstrip())
            return answers
    finally:
        writer.close()


async def main() -> None:
    over = asyncio.Event()

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            writer.write(line.upper())
        writer.close()
        over.set()

    async with await asyncio.start_server(shout, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        answers = await ask(f"{host}:{port}", ["hello", "goodbye"], Deadline.after(5))
        print("the server shouts:", ", ".join(answers))
        await over.wait()


if __name__ == "__main__":
    asyncio.run(main())
