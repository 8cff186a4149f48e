"""The page of errors by what one sees: each message on it is one that a dial gives."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aconnect
from aconnect import ConnectError, Handshake, UnixAddress, open_connection
from aconnect.policy import public_only
from aconnect.testing import FakeNetwork, VirtualClock

if TYPE_CHECKING:
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


def lookup(outcome: str | int, after: float = 0.0) -> Callable[[FakeNetwork], object]:
    return lambda network: network.resolves(NAME, outcome=outcome, after=after)


DIALS: list[tuple[Callable[[FakeNetwork], object], dict[str, Any]]] = [
    (host("refused"), {}),
    (host("silent"), {}),
    (host("silent", "2001:db8::1", "192.0.2.1"), {}),
    (host("unreachable"), {}),
    (host("ENETUNREACH"), {}),
    (host("ECONNRESET"), {}),
    (host("EPERM"), {}),
    (host("EINVAL"), {}),
    (host("ETIMEDOUT"), {}),
    (host("EADDRINUSE"), {}),
    (host("EAFNOSUPPORT"), {}),
    (host("ENETDOWN"), {}),
    (host("ENOBUFS"), {}),
    (host("EACCES", PATH), {"address": PATH}),
    (host("backlog full", PATH), {"address": PATH}),
    (lambda _: None, {"address": PATH}),
    (lookup("no such name"), {}),
    (lookup("server failure"), {}),
    (lookup("answers", 3600), {}),
    (lookup(socket.EAI_NODATA), {}),
    (lookup(socket.EAI_FAIL), {}),
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
def errors() -> list[ConnectError]:
    return [error(prepare, dict(options)) for prepare, options in DIALS]


@pytest.fixture
def messages(errors: list[ConnectError]) -> list[str]:
    return list(map(str, errors))


def error(prepare: Callable[[FakeNetwork], object], options: dict[str, Any]) -> ConnectError:
    address = options.pop("address", f"{NAME}:5432")
    handshake, context = options.pop("handshake", None), options.pop("ssl", None)
    with FakeNetwork() as network:
        prepare(network)
        dialer = network.dialer(**options)

        async def dial() -> ConnectError:
            with pytest.raises(ConnectError) as caught:
                if context is None:
                    await dialer.connect(address, timeout=3, handshake=handshake)
                else:
                    await open_connection(address, ssl=context, timeout=3, dialer=dialer)
            return caught.value.with_traceback(None)

        return VirtualClock().run(dial)


@pytest.mark.parametrize("seen", SEEN)
def test_it_is_seen(messages: list[str], seen: str) -> None:
    assert any(seen in message for message in messages), messages


def test_every_dial_is_on_the_page(messages: list[str]) -> None:
    for message in messages:
        assert any(seen in message for seen in SEEN), message


def test_a_section_says_which_class_its_errors_are_of(errors: list[ConnectError]) -> None:
    named = set()
    for section in PAGE.read_text().split("\n## "):
        rows = re.findall(r"^\| `(.*?)` \|", section, re.MULTILINE)
        raised = set(
            re.findall(r"`(\w+)`", section.partition("Raised as ")[2].partition("\n\n")[0])
        )
        for error in errors:
            if any(seen in str(error) for seen in rows):
                kinds = [kind.__name__ for kind in type(error).__mro__]
                kind = next(name for name in kinds if hasattr(aconnect, name))
                assert kind in raised, (kind, section)
                named.add(kind)
    classes = {
        name for name in aconnect.__all__ if name.endswith(("Error", "Timeout", "Permitted"))
    }
    assert named == classes
