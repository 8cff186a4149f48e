"""What went wrong: by class, in words, and attempt by attempt."""

import asyncio
import socket

from aconnect import ConnectError, aconnect, explain


async def try_to_connect(address: str | tuple[str, int]) -> None:
    try:
        sock = await aconnect(address, timeout=5)
    except FileNotFoundError:  # every error is of the class that belongs to its errno
        print("No such socket. Has the server been started?")
    except ConnectError as error:
        print(error.strerror)
        print(explain(error))
        print("A later try may succeed:", error.transient)
        for attempt in error.attempts:
            print("tried", attempt)
    except ValueError as error:  # nothing was tried
        print(error)
    else:
        sock.close()


async def main() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # the port is taken, but nobody listens
        await try_to_connect(sock.getsockname())
    await try_to_connect("unix:/nowhere/server")
    await try_to_connect("example.org")


if __name__ == "__main__":
    asyncio.run(main())
