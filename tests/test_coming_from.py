"""The page for those who come from elsewhere: what stands side by side gives the same.

Where both columns begin with code that connects, both are run, and give what is of one class.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
from conftest import ASYNCIO_LOOPS
from support.listeners import listening, unix_listening
from support.tls import Certificates, echo, serving

import aconnect
from aconnect import UDPAddress, UnixAddress

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "coming-from.md"
CODE = re.compile(r"`([^`]+)`")
CONNECTS = re.compile(r"await (?!loop\.sock_)|anyio.as_connectable|aconnect.AConnectable")
OF_TLS = ("ssl", "tls=")
IMPORTED = (aconnect.open_connection, aconnect.open_stream, aconnect.open_trio_stream)
"""Before blocking calls are watched for: they come with modules of their own."""


def rows(title: str) -> list[Any]:
    """The pairs of code that both connect, below a heading."""
    [section] = re.findall(
        rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    found = []
    for line in section.splitlines():
        cells = [CODE.findall(cell) for cell in line.strip("| ").split(" | ")]
        pair = [cell[0] for cell in cells if cell]
        if len(pair) == 2 and all(map(CONNECTS.match, pair)):
            found.append(pytest.param(*pair, id=pair[0].split("(")[0].split()[-1]))
    return found


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What stands for something in the code of the page."""
    certificates = Certificates()
    trusting, context = certificates.client(), certificates.server()
    monkeypatch.setattr(ssl, "create_default_context", lambda *_: trusting)
    path = str(tmp_path / "s")
    with listening() as listener, unix_listening(path):
        yield {
            "host": listener.getsockname()[0],
            "port": listener.getsockname()[1],
            "path": path,
            "context": context,
            "c": trusting,
            "n": "127.0.0.1",
            "Protocol": asyncio.DatagramProtocol,
            "UDPAddress": UDPAddress,
            "UnixAddress": UnixAddress,
            "aconnect": aconnect,
            "anyio": anyio,
            "asyncio": asyncio,
            "trio": trio,
        }


async def run(code: str, names: dict[str, Any]) -> Any:
    """The value of an expression that may await."""
    names = {**names, "address": (names["host"], names["port"])}
    compiled = compile(code, "the page", "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    found = eval(compiled, names)
    return await found if inspect.isawaitable(found) else found


async def kind_of(code: str, names: dict[str, Any]) -> Any:
    """What the code gives, by its classes; it is closed."""
    if any(each in code for each in OF_TLS):
        with serving(names["context"], echo) as server:
            return await kind(await run(code, {**names, "port": server.address[1]}))
    return await kind(await run(code, names))


async def kind(found: Any) -> Any:
    parts = found if isinstance(found, tuple) else (found,)
    if isinstance(found, trio.SSLStream):
        await found.do_handshake()
    for part in parts:
        if hasattr(part, "aclose"):
            await part.aclose()
        elif hasattr(part, "close"):
            part.close()
    await anyio.lowlevel.checkpoint()
    return [type(part) for part in parts]


def test_there_are_some() -> None:
    counts = [len(rows(title)) for title in ("asyncio, and uvloop", "anyio", "trio")]
    assert counts == [5, 6, 3]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
@pytest.mark.parametrize(("yours", "ours"), rows("asyncio, and uvloop"))
async def test_asyncio(yours: str, ours: str, names: dict[str, Any]) -> None:
    names["loop"] = asyncio.get_running_loop()
    assert await kind_of(ours, names) == await kind_of(yours, names)


@pytest.mark.anyio
@pytest.mark.parametrize(("yours", "ours"), rows("anyio"))
async def test_anyio(yours: str, ours: str, names: dict[str, Any]) -> None:
    if "Connectable" in ours:
        for code in (yours, ours):
            stream = await (await run(code, names)).connect()
            assert isinstance(stream, anyio.abc.SocketStream)
            await stream.aclose()
    else:
        assert await kind_of(ours, names) == await kind_of(yours, names)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
@pytest.mark.parametrize(("yours", "ours"), rows("trio"))
async def test_trio(yours: str, ours: str, names: dict[str, Any]) -> None:
    assert await kind_of(ours, names) == await kind_of(yours, names)
