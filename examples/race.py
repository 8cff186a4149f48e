"""A race of two addresses, of which the first does not answer, and where the time went."""

import asyncio
import socket

from aconnect import Dialer, Report, StaticResolver, aconnect


async def connect_and_report(host: str, port: int) -> None:
    # The name has two addresses. (127.0.0.2 is this machine too, on Linux.)
    resolver = StaticResolver({host: ["127.0.0.1", "127.0.0.2"]})
    report = Report()
    dialer = Dialer(resolver=resolver)
    with await dialer.connect(host, port, timeout=5, report=report) as sock:
        print("connected to", sock.getpeername()[0])
    print(report)


async def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:  # room for one
        host, port = silent.getsockname()
        with socket.create_server(("127.0.0.2", port)), await aconnect(host, port):
            # The room is taken: who knocks at the first address gets no answer.
            await connect_and_report("service.example", port)


if __name__ == "__main__":
    asyncio.run(main())
