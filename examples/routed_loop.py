"""Route a whole event loop: what asks it to connect asks a dialer, with a race and a policy."""

import asyncio

from aconnect import AddressNotPermitted, Dialer, Report, StaticResolver, routed
from aconnect.policy import public_only

# Nobody listens at the first address.
NAMES = StaticResolver({"service.example": ["127.0.0.2", "127.0.0.1"]})


async def ask(host: str, port: int) -> str:
    """Somebody else's code: it has never heard of a dialer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()
        await writer.wait_closed()


async def main() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reports: list[Report] = []
        with routed(Dialer(resolver=NAMES, on_report=reports.append)):
            print("the service says:", await ask("service.example", port))
            print("attempts:", len(reports[0].attempts))
            with routed(Dialer(permit=public_only())):
                try:
                    await ask("127.0.0.1", port)
                except AddressNotPermitted:
                    print("refused: 127.0.0.1")


if __name__ == "__main__":
    asyncio.run(main())
