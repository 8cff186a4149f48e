"""Servers for what the pages connect to, at the ports at which the pages look for them.

Each knows just as much of its protocol as the programs on the pages speak.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import asyncssh
import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import trustme
from websockets.asyncio.server import serve as serve_websockets
from websockets.asyncio.server import unix_serve

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from dns.name import Name

PUBLIC, PRIVATE = "93.184.216.34", "10.0.0.5"

LINKED = {
    ("www.example.", "HTTPS"): "1 . alpn=h2,http/1.1",
    ("example.org.", "HTTPS"): "1 . alpn=h2",
    ("_xmpp-client._tcp.example.org.", "SRV"): "0 0 5222 chat.example.org.",
}


class NameServer(asyncio.DatagramProtocol):
    """All names have an address, ``.internal`` a private one; none is over IPv6."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        found = _found(question.name, kind)
        if found is not None:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, found))
        self._transport.sendto(answer.to_wire(), address)


def _found(name: Name, kind: str) -> str | None:
    if kind == "A":
        return PRIVATE if str(name).endswith(".internal.") else PUBLIC
    return LINKED.get((str(name), kind))


_SSL_REQUEST = struct.pack(">I", 80877103)


async def http(reader: StreamReader, writer: StreamWriter) -> None:
    """HTTP, and an HTTP proxy."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, _, target = head.partition(" ")
    if method == "CONNECT":
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        host, _, port = target.partition(" ")[0].rpartition(":")
        await pass_on(reader, writer, host, int(port))
        return
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")


async def socks(reader: StreamReader, writer: StreamWriter) -> None:
    """SOCKS5, for everybody."""
    offered = await reader.readexactly((await reader.readexactly(2))[1])
    if b"\x02" in offered:
        writer.write(b"\x05\x02")
        for _ in range(2):
            await reader.readexactly((await reader.readexactly(2 if _ == 0 else 1))[-1])
        writer.write(b"\x01\x00")
    else:
        writer.write(b"\x05\x00")
    kind = (await reader.readexactly(4))[3]
    length = (await reader.readexactly(1))[0] if kind == 3 else 4
    host = await reader.readexactly(length)
    port = int.from_bytes(await reader.readexactly(2), "big")
    writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x01")
    await pass_on(reader, writer, host.decode() if kind == 3 else socket.inet_ntoa(host), port)


async def pass_on(reader: StreamReader, writer: StreamWriter, host: str, port: int) -> None:
    """Be the way to another server."""
    there, back = await asyncio.open_connection(host, port)
    with contextlib.closing(back):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_copy(reader, back))
            tasks.create_task(_copy(there, writer))


async def _copy(source: StreamReader, sink: StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
        sink.write_eof()


async def lines(reader: StreamReader, writer: StreamWriter) -> None:
    """Greet, and answer anything with a line."""
    writer.write(b"hello there\n")
    while await reader.read(65536):
        writer.write(b"ready\n")


async def smtp(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(b"220 mail.example\r\n")
    while line := await reader.readline():
        verb = line[:4].upper()
        answers = {b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}
        writer.write(answers.get(verb, b"250 ok\r\n"))
        if verb == b"DATA":
            await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"250 ok\r\n")


async def nats(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(b'INFO {"server_id":"a","version":"2.10.0","max_payload":1000}\r\n')
    while line := await reader.readline():
        if line.startswith(b"PING"):
            writer.write(b"PONG\r\n")
        elif line.startswith(b"PUB"):
            await reader.readline()


async def mqtt(reader: StreamReader, writer: StreamWriter) -> None:
    while head := await reader.read(1):
        packet = await reader.readexactly((await reader.readexactly(1))[0])
        if head[0] >> 4 == 1:  # CONNECT
            writer.write(b"\x20\x03\x00\x00\x00")
        elif head[0] >> 4 == 3:  # PUBLISH, with an identifier after its topic
            at = 2 + int.from_bytes(packet[:2], "big")
            writer.write(b"\x40\x02" + packet[at : at + 2])


async def redis(reader: StreamReader, writer: StreamWriter) -> None:
    while count := (await reader.readline())[1:]:
        words = []
        for _ in range(int(count)):
            length = int((await reader.readline())[1:])
            words.append((await reader.readexactly(length + 2))[:-2])
        answers = {b"HELLO": b"%1\r\n+proto\r\n:3\r\n", b"INCRBY": b":1\r\n"}
        writer.write(answers.get(words[0].upper(), b"+OK\r\n"))


async def postgresql(reader: StreamReader, writer: StreamWriter) -> None:
    """Let everybody in, and answer any query with one row of one text."""

    def say(*messages: tuple[bytes, bytes]) -> None:
        for kind, body in messages:
            writer.write(kind + (len(body) + 4).to_bytes(4, "big") + body)

    async def message() -> bytes:
        return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)

    ready, done = (b"Z", b"I"), (b"C", b"SELECT 1\0")
    column = b"\0\1version\0" + struct.pack(">IhIhih", 0, 0, 25, -1, -1, 0)
    row = b"\0\1" + struct.pack(">I", 5) + b"hello"
    answers = {
        b"P": [(b"1", b"")],
        b"D": [(b"t", b"\0\0"), (b"T", column)],
        b"B": [(b"2", b"")],
        b"E": [(b"D", row), done],
        b"S": [ready],
        b"C": [(b"3", b"")],
        b"Q": [done, ready],
    }
    while (await message())[:4] == _SSL_REQUEST:
        writer.write(b"N")
    settings = ((b"server_version", b"17.0"), (b"client_encoding", b"UTF8"))
    say((b"R", bytes(4)), *((b"S", b"\0".join((*each, b""))) for each in settings))
    say((b"K", bytes(8)), ready)
    while (kind := await reader.readexactly(1)) != b"X":
        await message()
        say(*answers.get(kind, []))


class Echo(asyncio.DatagramProtocol):
    """What comes goes back."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._transport.sendto(data, address)


class Everybody(asyncssh.SSHServer):
    """A server of SSH that lets everybody in."""

    def begin_auth(self, username: str) -> bool:
        return False


def answer_command(process: asyncssh.SSHServerProcess[str]) -> None:
    process.stdout.write("up for an hour\n")
    process.exit(0)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[None]:
    """Have all servers run.

    Args:
        directory: gets ``ca.pem``, whom clients are to trust, and ``.ssh/known_hosts``.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    names = [f"{name}.example" for name in ("www", "proxy", "cache")]
    names += ["example.com", "example.org", "localhost"]
    authority.issue_cert(*names).configure_cert(context)
    key = asyncssh.generate_private_key("ssh-ed25519")
    (directory / ".ssh").mkdir()
    known = f"* {key.export_public_key().decode()}"
    (directory / ".ssh" / "known_hosts").write_text(known)

    def closing(protocol: Any) -> Any:
        async def handle(reader: StreamReader, writer: StreamWriter) -> None:
            try:
                await protocol(reader, writer)
            except (OSError, EOFError, ExceptionGroup):
                pass  # the client has what it wants
            finally:
                writer.close()

        return handle

    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        for port, protocol in [
            *((80, http), (8080, http), (3128, http), (1080, socks), (25, smtp), (4222, nats)),
            *((1883, mqtt), (5222, lines), (5432, postgresql), (8443, lines)),
        ]:
            for host in ("0.0.0.0", "::"):
                server = await asyncio.start_server(closing(protocol), host, port)
                await stack.enter_async_context(server)
        for port, protocol in ((443, http), (6379, redis)):
            server = await asyncio.start_server(closing(protocol), "0.0.0.0", port, ssl=context)
            await stack.enter_async_context(server)
        for port, kind in ((53, NameServer), (5300, NameServer), (9, Echo)):
            transport, _ = await loop.create_datagram_endpoint(kind, ("0.0.0.0", port))
            stack.callback(transport.close)
        await stack.enter_async_context(serve_websockets(_echo, "0.0.0.0", 9001))
        await stack.enter_async_context(unix_serve(_greet, "/run/app.sock"))
        await stack.enter_async_context(
            asyncssh.listen(
                "0.0.0.0",
                22,
                server_factory=Everybody,
                server_host_keys=[key],
                process_factory=answer_command,
            )
        )
        deep = await asyncio.start_unix_server(
            closing(lines), str(directory / "a-socket-deep-down")
        )
        await stack.enter_async_context(deep)
        yield


async def _echo(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


async def _greet(connection: Any) -> None:
    await connection.send("hello")


@contextlib.contextmanager
def in_a_thread(directory: Path) -> Iterator[None]:
    """`serving`, by another thread."""
    started, over = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    async def main() -> None:
        async with serving(directory):
            started.set()
            await asyncio.to_thread(over.wait)

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            started.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait()
    if failed:
        raise failed[0]
    try:
        yield
    finally:
        over.set()
        thread.join(10)
