"""A connected UDP socket: it hears one peer only, and can be connected again, or to none."""

import asyncio
import socket

from aconnect import connect_socket, dissolve_association


def open_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


async def main() -> None:
    loop = asyncio.get_running_loop()
    with open_socket() as alice, open_socket() as bob, open_socket() as client:
        here = client.getsockname()

        await connect_socket(client, alice.getsockname())  # nothing is sent
        bob.sendto(b"bob, unheard", here)
        alice.sendto(b"alice", here)
        print("connected to alice, heard:", (await loop.sock_recv(client, 100)).decode())

        await connect_socket(client, bob.getsockname())
        client.send(b"hello")  # goes to bob
        print("connected to bob, he heard:", (await loop.sock_recv(bob, 100)).decode())

        dissolve_association(client)
        client.sendto(b"who is there?", alice.getsockname())
        _, back = await loop.sock_recvfrom(alice, 100)
        for peer, name in (alice, b"alice"), (bob, b"bob"):
            peer.sendto(name, back)
            print("connected to nobody, heard:", (await loop.sock_recv(client, 100)).decode())


if __name__ == "__main__":
    asyncio.run(main())
