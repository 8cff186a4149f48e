"""A test of a client that tries again: a network that is not there, a clock that does not wait.

It is run by pytest as well as alone.
"""

import asyncio

from aconnect import ConnectError, Deadline, Dialer, open_connection
from aconnect.testing import FakeNetwork, VirtualClock


async def greeting(dialer: Dialer, address: str, *, within: float) -> bytes:
    """The client: what a server says first.  If it cannot be reached, there is a pause of 10 s."""
    deadline = Deadline.after(within)
    while True:
        try:
            reader, writer = await open_connection(address, timeout=3, dialer=dialer)
            break
        except ConnectError as error:
            if not error.transient or deadline.remaining() < 10:
                raise
        await asyncio.sleep(10)
    try:
        return await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()


def test_it_tries_again() -> None:
    with FakeNetwork() as network:
        network.add(
            "mail.example",
            "2001:db8::25",
            "192.0.2.25",
            port=25,
            # For each call of connect(2); the last one stays.
            outcome=["refused", "silent", "silent", "silent", "connects"],
            after=0.1,
            on_connection=lambda far: (far.send(b"220 mail.example\r\n"), far.close()),
        )
        clock = VirtualClock()
        line = clock.run(lambda: greeting(network.dialer(), "mail.example:25", within=60))

    assert line == b"220 mail.example\r\n"
    for moment, what in network.timeline():
        print(f"{moment:6.2f}  {what}")
    print(f"done after {clock.elapsed:.1f} seconds")


if __name__ == "__main__":
    test_it_tries_again()
