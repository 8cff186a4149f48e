"""A client that goes where its users tell it to, but not to the machines behind the firewall."""

import asyncio

from aconnect import AddressNotPermitted, Dialer, StaticResolver
from aconnect.policy import public_only

# Anybody can give a name of their own any address. This is such a name.
RESOLVER = StaticResolver({"innocent.example": ["127.0.0.1", "::ffff:10.0.0.1"]})

DIALER = Dialer(permit=public_only(), resolver=RESOLVER)


async def main() -> None:
    try:
        sock = await DIALER.connect("innocent.example:80", timeout=5)
    except AddressNotPermitted as error:
        print("refused:", ", ".join(attempt.peer for attempt in error.attempts))
        print(error)
    else:
        sock.close()


if __name__ == "__main__":
    asyncio.run(main())
