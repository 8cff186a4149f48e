"""The tables of what other libraries' arguments are here, held against those libraries.

* Each argument that a library has, in the version that is installed, is in its table.
* "The same" is taken, a name is an argument here or an option of a dialer, and what is refused is
  refused.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import aconnect
from aconnect import Dialer

DOCS = Path(__file__).parents[1] / "docs" / "reference"
NAMES = re.compile(r"`(\w+)`")

OURS = {
    "aiohttp.TCPConnector": "aiohttp.AConnectConnector",
    "aiohttp.UnixConnector": "aiohttp.AConnectConnector",
    "httpx.AsyncHTTPTransport": "httpx.AConnectTransport",
    "httpx2.AsyncHTTPTransport": "httpx2.AConnectTransport",
    "httpcore.AsyncConnectionPool": "httpcore.AConnectPool",
    "httpcore2.AsyncConnectionPool": "httpcore2.AConnectPool",
    "websockets.asyncio.client.connect": "websockets.connect",
    "redis.asyncio.Redis": "redis.AConnectConnection",
    "asyncssh.connect": "asyncssh.connect",
    "anyio.connect_tcp": "open_stream",
    "anyio.connect_unix": "open_stream",
    "trio.open_tcp_stream": "open_trio_stream",
    "trio.open_ssl_over_tcp_stream": "open_trio_stream",
    "trio.open_unix_socket": "open_trio_stream",
}
LIKE = {
    "httpx2.AsyncHTTPTransport": "httpx.AsyncHTTPTransport",
    "httpcore2.AsyncConnectionPool": "httpcore.AsyncConnectionPool",
}
"""Whose table it is as well."""
NEEDED: dict[str, dict[str, Any]] = {
    "websockets.asyncio.client.connect": {"uri": "ws://a/"},
    "asyncssh.connect": {"host": "a"},
    "redis.asyncio.Redis": {},
}
GIVEN: dict[str, Any] = {"uri": "wss://a/", "kwargs": None}
"""What to try a refused argument with, if not 5."""


def table(page: str, title: str) -> dict[str, str]:
    """The rows below a heading: each argument, and what is said of it."""
    [section] = re.findall(
        rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)",
        (DOCS / page).read_text(),
        re.MULTILINE | re.DOTALL,
    )
    rows = [line.strip("| ").split(" | ", 1) for line in section.splitlines() if line[:3] == "| `"]
    return {name: here for names, here in rows for name in NAMES.findall(names)}


def found(path: str) -> Any:
    """What a dotted name names."""
    module, _, name = path.rpartition(".")
    if not find_spec(module.partition(".")[0]):
        pytest.skip(f"{module} is not installed")
    return getattr(importlib.import_module(module), name)


def ours_for(theirs: str) -> Any:
    name = OURS[theirs]
    return found(f"aconnect.clients.{name}") if "." in name else getattr(aconnect, name)


def parameters(call: Any) -> set[str]:
    return set(inspect.signature(call).parameters) - {"self"}


def of_the_loop() -> set[str]:
    """What websockets hands on to create_connection() of the loop."""
    taken = parameters(asyncio.BaseEventLoop.create_connection) | {"path", "unix"}
    return taken - {"protocol_factory"}


@pytest.mark.parametrize("theirs", OURS)
def test_each_argument_is_in_the_table(theirs: str) -> None:
    rows = table("arguments.md", LIKE.get(theirs, theirs))
    names = parameters(found(theirs))
    if "websockets" in theirs:
        names = names - {"kwargs"} | of_the_loop()
    assert names - rows.keys() == set()
    if sys.version_info >= (3, 13):  # where asyncio and the libraries have all of them
        assert rows.keys() - names == set()


@pytest.mark.parametrize("theirs", OURS)
def test_what_is_said_of_it_is_so(theirs: str) -> None:
    call = ours_for(theirs)
    known = parameters(call)
    if inspect.isclass(call):
        for base in call.__mro__:
            known |= parameters(base.__init__)
    known |= set(getattr(sys.modules[call.__module__], "_OF_TCP", ()))
    for name, here in table("arguments.md", LIKE.get(theirs, theirs)).items():
        first = NAMES.findall(here)
        if here.startswith("the same"):
            assert name in known or theirs == "asyncssh.connect", name  # which has any names
        elif here.startswith("refused"):
            asyncio.run(refused(theirs, call, name))
        elif not here.startswith("of the"):
            assert first, name
            assert first[0] in known | set(Dialer._types), name


async def refused(theirs: str, call: Any, name: str) -> None:
    """See that it is, before anything is done.  aiohttp asks for the running loop."""
    given = {**NEEDED.get(theirs, {}), name: GIVEN.get(name, 5)}
    if inspect.isclass(call):
        with pytest.raises((TypeError, ValueError), match=name):
            call(**given)
    else:
        with pytest.raises(TypeError, match=name):
            call("a:1", **given).send(None)


@pytest.mark.parametrize(
    "theirs",
    [
        asyncio.BaseEventLoop.create_connection,
        asyncio.BaseEventLoop.create_datagram_endpoint,
        asyncio.open_connection,
        *([asyncio.open_unix_connection] if sys.platform != "win32" else []),
    ],
)
def test_those_of_asyncio(theirs: Any) -> None:
    rows = table("streams.md", "asyncio's functions of the same names")
    names = parameters(theirs) - {"protocol_factory", "kwds"}
    assert names - rows.keys() == set()
