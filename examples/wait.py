"""Wait until a server is up, as a program does when it starts."""

import asyncio
import socket

from aconnect.many import Backoff, Result, wait_until_up


def tell(result: Result) -> None:
    print("try:", result.outcome)


async def main() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        # The server comes up a little later.
        asyncio.get_running_loop().call_later(0.05, listener.listen)
        host, port = listener.getsockname()
        report = await wait_until_up(
            f"{host}:{port}", timeout=30, backoff=Backoff.quick(), on_result=tell
        )
    print("up:", report.outcome)


if __name__ == "__main__":
    asyncio.run(main())
