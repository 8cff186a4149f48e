"""Send a message with aiosmtplib, which like many clients takes a connected socket.

It needs aiosmtplib, which no extra of aconnect-io brings: pip install aiosmtplib
"""

import asyncio
from email.message import EmailMessage

import aiosmtplib

from aconnect import Deadline, Dialer, StaticResolver

# Nobody listens at the first address, so the dialer goes on to the second.
DIALER = Dialer(resolver=StaticResolver({"mail.example": ["127.0.0.2", "127.0.0.1"]}))


async def send(message: EmailMessage, host: str, port: int, deadline: Deadline) -> None:
    # The client closes the socket when it is done; `with` does, if the client never comes to it.
    with await DIALER.connect((host, port), deadline=deadline) as sock:
        async with asyncio.timeout(deadline.remaining()):
            # aiosmtplib would look local_hostname up, in a thread that no timeout ends.
            await aiosmtplib.send(message, sock=sock, hostname=host, local_hostname="localhost")


async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A mail server with just enough of SMTP for one message."""
    writer.write(b"220 mail.example\r\n")
    while line := await reader.readline():
        command = line.split()[0].upper()
        if command == b"DATA":
            writer.write(b"354 go on\r\n")
            text = (await reader.readuntil(b"\r\n.\r\n")).decode()
            print("received:", text.partition("\r\n\r\n")[2].splitlines()[0])
        writer.write(b"221 bye\r\n" if command == b"QUIT" else b"250 fine\r\n")
        await writer.drain()
        if command == b"QUIT":
            break
    writer.close()


async def main() -> None:
    message = EmailMessage()
    message["From"] = "alice@client.example"
    message["To"] = "bob@mail.example"
    message.set_content("hello Bob")
    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await send(message, "mail.example", port, Deadline.after(10))


if __name__ == "__main__":
    asyncio.run(main())
