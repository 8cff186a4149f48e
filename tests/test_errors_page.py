"""The page of errors by what one sees: each message on it is one that a dial gives."""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aconnect import ConnectError, Handshake, UnixAddress, open_connection
from aconnect.policy import public_only
from aconnect.testing import FakeNetwork, VirtualClock

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "errors.md"
SEEN = re.findall(r"^\| `(.*?)` \|", PAGE.read_text(), re.MULTILINE)

NAME = "db.example"
PATH = UnixAddress("/run/db.sock")
SOCKS = {"proxy": "socks5h://192.0.2.9:1080"}


async def never(_: socket.socket) -> None:
    await asyncio.Event().wait()


def host(outcome: str, *addresses: Any) -> Callable[[FakeNetwork], object]:
    return lambda network: network.add(
        None if addresses == (PATH,) else NAME, *(addresses or ("192.0.2.1",)), outcome=outcome
    )


def says(reply: bytes) -> Callable[[FakeNetwork], object]:
    return lambda network: network.add(
        None, "192.0.2.9", on_connection=lambda far: (network.hold(far), far.send(reply))
    )


def lookup(outcome: str, after: float = 0.0) -> Callable[[FakeNetwork], object]:
    return lambda network: network.resolves(NAME, outcome=outcome, after=after)


DIALS: list[tuple[Callable[[FakeNetwork], object], dict[str, Any]]] = [
    (host("refused"), {}),
    (host("silent"), {}),
    (host("silent", "2001:db8::1", "192.0.2.1"), {}),
    (host("unreachable"), {}),
    (host("ENETUNREACH"), {}),
    (host("EACCES", PATH), {"address": PATH}),
    (host("backlog full", PATH), {"address": PATH}),
    (lambda _: None, {"address": PATH}),
    (lookup("no such name"), {}),
    (lookup("server failure"), {}),
    (lookup("answers", 3600), {}),
    (host("connects"), {"handshake": Handshake(never, name="TLS")}),
    (host("closes"), {"ssl": ssl.create_default_context()}),
    (host("connects"), {"permit": public_only()}),
    (host("EMFILE"), {}),
    (host("no local port"), {}),
    (says(b"\x05\xff"), SOCKS),
    (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), SOCKS),
    (says(b"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"), SOCKS),
]


@pytest.fixture(scope="module")
def messages() -> list[str]:
    return [message(prepare, dict(options)) for prepare, options in DIALS]


def message(prepare: Callable[[FakeNetwork], object], options: dict[str, Any]) -> str:
    address = options.pop("address", f"{NAME}:5432")
    handshake, context = options.pop("handshake", None), options.pop("ssl", None)
    with FakeNetwork() as network:
        prepare(network)
        dialer = network.dialer(**options)

        async def dial() -> str:
            with pytest.raises(ConnectError) as caught:
                if context is None:
                    await dialer.connect(address, timeout=3, handshake=handshake)
                else:
                    await open_connection(address, ssl=context, timeout=3, dialer=dialer)
            return str(caught.value)

        return VirtualClock().run(dial)


@pytest.mark.parametrize("seen", SEEN)
def test_it_is_seen(messages: list[str], seen: str) -> None:
    assert any(seen in message for message in messages), messages


def test_every_dial_is_on_the_page(messages: list[str]) -> None:
    for message in messages:
        assert any(seen in message for seen in SEEN), message
