"""Try again, with stamina, for as long as the error says that a later try may succeed.

Stamina waits between the tries; the deadline is aconnect's, and covers all of them.

It needs stamina, which no extra of aconnect-io brings: pip install stamina
"""

import asyncio
import socket

import stamina

from aconnect import Deadline, open_connection
from aconnect.many import retry_on


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    deadline = Deadline.after(10)
    async for attempt in stamina.retry_context(on=retry_on, timeout=10, wait_initial=0.02):
        with attempt:
            print("try", attempt.num)
            return await open_connection("127.0.0.1", port, timeout=2, deadline=deadline)
    raise AssertionError("the last error is raised by stamina")


async def main() -> None:
    stamina.instrumentation.set_on_retry_hooks([])  # no log of the tries: they are printed
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        # The server comes up a little later.
        asyncio.get_running_loop().call_later(0.05, listener.listen)
        _, writer = await connect(listener.getsockname()[1])
        print("connected, after a refusal or two")
        writer.close()
        await writer.wait_closed()

    try:
        await connect(-1)
    except ValueError as error:
        print("not tried again:", error)


if __name__ == "__main__":
    asyncio.run(main())
