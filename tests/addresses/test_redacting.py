"""Who takes a URL with a login for an address is told so, and nobody is told the login."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from aconnect import (
    ConnectError,
    Dialer,
    DnsResolver,
    Proxy,
    ProxyHeader,
    StaticResolver,
    TCPAddress,
    UnixAddress,
    blocking,
    create_connection,
    parse_address,
)
from aconnect.addresses.redacting import address_shown, shown
from aconnect.addresses.redirects import Redirects
from aconnect.many import connect_many
from aconnect.policy import allow, allow_names

if TYPE_CHECKING:
    from collections.abc import Callable

CANARY = "c4n4ry-s3cret"
TEXTS = [
    f"socks5://user:{CANARY}@proxy.example:1080",
    f"http://user:{CANARY}@proxy.example:3128",
    f"https://user:{CANARY}@proxy.example",
    f"https://user:{CANARY}@[::1]:443/path?query#fragment",
    f"redis://:{CANARY}@db.example:6379/0",
    f"tcp://user:{CANARY}@db.example:1",
    f"tcp://user:{CANARY}?{CANARY}@db.example:1",
    f"tcp://user:{CANARY}\uff20db.example:1",
    f"udp://{CANARY}@db.example:1",
    f"svcb://user:{CANARY}@db.example:1?scheme=dns",
    f"svcb://db.example:1?scheme={CANARY}@x",
    f"srv:_imap._tcp.{CANARY}@db.example",
    f"srv:_imap@{CANARY}@x._tcp.db.example",
    f"srv:_imap._tcp.db.example:{CANARY}@1",
    f"vsock:user:{CANARY}@1:1",
    f"vsock:1:{CANARY}@1",
    f"user:{CANARY}@db.example:1",
    f"//user:{CANARY}@db.example:1",
    f"http:/user:{CANARY}@db.example:1",
    f"tcp://{CANARY}.é\uff20db..example:1",
]


async def as_a_target_of_many(text: str) -> None:
    async with connect_many([text]) as results:
        [result] = [each async for each in results]
        assert result.error is not None
        raise result.error


def run(call: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same call, which is carried out without an event loop."""

    def carry_out(text: str) -> None:
        call(text).send(None)

    return carry_out


TAKERS: dict[str, Callable[[str], Any]] = {
    "parse_address": parse_address,
    "a host": lambda text: parse_address((text, 1)),
    "a host as bytes": lambda text: parse_address((text.encode(), 1)),
    "a port": lambda text: parse_address(("db.example", text)),
    "a pair of three": lambda text: parse_address((text, 1, 2)),  # type: ignore[arg-type]
    "bytes": lambda text: parse_address(text.encode()),  # type: ignore[arg-type]
    "a value": lambda text: TCPAddress(text, 1),
    "a value's port": lambda text: TCPAddress("db.example", text),  # type: ignore[arg-type]
    "a path": lambda text: UnixAddress(text.encode()),  # type: ignore[arg-type]
    "a dial": run(Dialer().connect),
    "a dial of several": run(lambda text: Dialer().connect(["db.example:1", text])),
    "a dial of results": run(lambda text: Dialer().connect([(2, 1, 6, "", (text, 1))])),
    "a list in a list": run(lambda text: Dialer().connect([[text]])),
    "a blocking dial": blocking.connect,
    "asyncio's": lambda text: asyncio.run(create_connection(asyncio.Protocol, (text, 1))),
    "local_address": lambda text: Dialer(local_address=text),
    "connect_to": lambda text: Redirects({text: "db.example"}),
    "connect_to, to there": lambda text: Redirects({"db.example": text}),
    "a proxy": lambda text: Proxy("http", text),
    "a header": lambda text: ProxyHeader(source=text),
    "a resolver's name": lambda text: StaticResolver({text: ["192.0.2.1"]}),
    "a resolver's address": lambda text: StaticResolver({"db.example": [text]}),
    "a name server": lambda text: DnsResolver([text]),
    "name servers": lambda text: DnsResolver(text),  # type: ignore[arg-type]
    "a network": allow,
    "a pattern": allow_names,
}


def hidden(error: BaseException) -> bool:
    """Whether it is, in all that there is of the error."""
    told = "".join(traceback.format_exception(error)[-1:])
    seen: list[BaseException | None] = [error, error.__cause__, error.__context__]
    return not any(CANARY in text for text in (told, *map(str, seen), *map(repr, seen)))


@pytest.mark.parametrize("taker", TAKERS)
def test_a_login_is_not_shown(taker: str) -> None:
    for text in TEXTS:
        with pytest.raises((ValueError, TypeError, ConnectError)) as caught:
            TAKERS[taker](text)
        assert hidden(caught.value), text


@pytest.mark.anyio
@pytest.mark.parametrize("text", TEXTS)
async def test_nor_by_one_of_many(text: str) -> None:
    with pytest.raises(ValueError, match="not an address: ") as caught:
        await as_a_target_of_many(text)
    assert hidden(caught.value)


def test_what_is_looked_for_is_found() -> None:
    assert not hidden(ValueError(CANARY))
    assert not hidden(ValueError(("x", CANARY)))
    error = ValueError()
    error.__cause__ = UnicodeEncodeError("idna", CANARY, 0, 1, "no")
    assert not hidden(error)


def test_a_proxy_goes_elsewhere() -> None:
    said = (
        r"'socks5://\*\*\*@h:1': an address has no user and no password; a proxy is for Dialer\("
    )
    with pytest.raises(ValueError, match=said):
        parse_address("socks5://user:secret@h:1")
    with pytest.raises(ValueError, match=r"unknown scheme 'socks5h'; a proxy is for Dialer\("):
        parse_address("socks5h://h:1")


@pytest.mark.parametrize(
    "text",
    [
        *("unix:@abstract", "unixgram:/run/a:b@c", "UNIXPACKET:a@b", "/run/a:b@c", "./a@b"),
        *("../a:b@c", "a:1", "user@a:80", "@", "a@b"),
    ],
)
def test_what_is_no_secret(text: str) -> None:
    assert address_shown(text) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a:b@c", "'***@c'"),
        (b"http://a:b@c", "b'http://***@c'"),
        (("a:@b", 1), "('***@b', 1)"),
        (("a:@b",), "('***@b',)"),
        ([("a:@b", b":c@d")], "[('***@b', b'***@d')]"),
        (None, "None"),
    ],
)
def test_an_argument(value: Any, expected: str) -> None:
    assert shown(value) == expected
