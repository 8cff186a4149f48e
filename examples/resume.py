"""An attempt that outlives the call: the kernel goes on with it, and it is taken up again."""

import asyncio
import socket

from aconnect import ConnectTimeout, aconnect, connect_socket, wait_connected


async def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:  # room for one
        address = listener.getsockname()
        with await aconnect(address), socket.socket() as sock:  # the room is taken
            sock.setblocking(False)
            try:
                await connect_socket(sock, address, timeout=0.1)
            except ConnectTimeout as error:
                print("first call:", error.attempts[0].fate)

            listener.accept()[0].close()  # there is room for the SYN that the kernel sends next
            await wait_connected(sock, timeout=30)
            print("second call: connected:", sock.getpeername() == address)


if __name__ == "__main__":
    asyncio.run(main())
