"""The same call under trio, and a stream of trio's around the socket.

It needs trio: the extra "trio" of aconnect-io.
"""

from functools import partial

import trio

from aconnect import aconnect


async def fetch_greeting(address: str) -> str:
    sock = await aconnect(address, timeout=5)
    # The stream owns the socket from here on.
    async with trio.SocketStream(trio.socket.from_stdlib_socket(sock)) as stream:
        return b"".join([chunk async for chunk in stream]).decode()


async def greet(stream: trio.SocketStream) -> None:
    await stream.send_all(b"hello from trio")


async def main() -> None:
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, greet, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        host, port = listener.socket.getsockname()
        print(await fetch_greeting(f"{host}:{port}"))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
