"""A unix listener whose backlog is full: wait for room, for as long as the timeout allows."""

import asyncio
import socket
import tempfile
from pathlib import Path

from aconnect import ConnectTimeout, aconnect


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        path = Path(directory, "server")
        listener.bind(str(path))
        listener.listen(0)  # room for one

        with await aconnect(path):  # the room is taken, for the server accepts nothing
            try:
                await aconnect(path, timeout=0.1)
            except ConnectTimeout as error:
                print(error.attempts[0].fate)

            # Now the server wakes up.
            asyncio.get_running_loop().call_later(0.1, lambda: listener.accept()[0].close())
            with await aconnect(path, timeout=5) as sock:
                print("connected to", Path(sock.getpeername()).name)


if __name__ == "__main__":
    asyncio.run(main())
