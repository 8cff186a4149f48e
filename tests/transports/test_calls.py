"""What is running decides which of the calls can be made; and what all of them take."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest
import trio

import aconnect
from aconnect import Dialer
from aconnect.transports.calls import DialerOptions, keep_nagle

ON_ASYNCIO: Any = {
    "create_connection": (asyncio.Protocol, "127.0.0.1:1"),
    "open_connection": ("127.0.0.1:1",),
    "create_datagram_endpoint": (asyncio.DatagramProtocol, None, "udp://127.0.0.1:1"),
    "create_unix_connection": (asyncio.Protocol, "/nowhere"),
    "open_unix_connection": ("/nowhere",),
}


@pytest.mark.parametrize("name", ON_ASYNCIO)
def test_under_trio_they_name_what_there_is(name: str) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=rf"{name}\(\) is for asyncio.*open_stream\(\)"):
            await getattr(aconnect, name)(*ON_ASYNCIO[name])

    trio.run(main)


def test_under_asyncio_the_one_for_trio_names_what_there_is() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"open_stream\(\), or open_connection\(\)"):
            await aconnect.open_trio_stream("127.0.0.1:1")

    asyncio.run(main())


@pytest.mark.parametrize("name", ON_ASYNCIO)
def test_without_a_loop_they_say_so(name: str) -> None:
    call = getattr(aconnect, name)(*ON_ASYNCIO[name])
    with pytest.raises(RuntimeError, match="no running event loop"):
        call.send(None)


class Stubborn(socket.socket):
    """As on macOS, where setsockopt() fails when the peer has hung up."""

    def setsockopt(self, *_: Any) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")


@pytest.mark.parametrize(
    ("family", "kind"),
    [(socket.AF_INET, Stubborn), (socket.AF_UNIX, Stubborn), (socket.AF_INET, socket.socket)],
)
def test_what_has_no_delay_to_set_is_left_alone(family: int, kind: Any) -> None:
    with kind(family) as sock:
        keep_nagle(sock)
    keep_nagle(sock)


def test_the_options_are_those_of_a_dialer() -> None:
    of_a_dialer = {name for name in Dialer.__dataclass_fields__ if not name.startswith("_")}
    assert set(DialerOptions.__annotations__) == of_a_dialer
