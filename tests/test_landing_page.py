"""The programs of the first page run, on the event loop that their tab names."""

from __future__ import annotations

import asyncio
import inspect
import re
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
from support.http_server import http_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = Path(__file__).parents[1] / "docs" / "index.md"
TABS = dict(re.findall(r"(?ms)^:::\{tab-item\} (\w+)\n```python\n(.*?)^```$", PAGE.read_text()))

RUN: dict[str, Callable[[Any], Any]] = {
    "asyncio": lambda main: asyncio.run(main()),
    "anyio": anyio.run,
    "trio": trio.run,
    "httpx": lambda main: asyncio.run(main()),
    "requests": lambda main: main(),
}


@contextmanager
def greeting() -> Iterator[int]:
    """A server that says hello once."""

    def serve() -> None:
        far, _ = listener.accept()
        with far:
            far.sendall(b"220 hello\r\n")
            far.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_there_is_a_tab_for_each() -> None:
    assert list(TABS) == list(RUN)


@pytest.mark.parametrize("tab", RUN)
def test_a_tab_runs(tab: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = TABS[tab]
    with greeting() if "mail.example:25" in code else http_server() as port:
        for name in ("mail.example:25", "www.example"):
            code = code.replace(name, f"127.0.0.1:{port}")
        names: dict[str, Any] = {}
        exec(compile(code, f"the tab {tab}", "exec"), names)
        assert inspect.iscoroutinefunction(names["main"]) == (tab != "requests")
        RUN[tab](names["main"])
    assert re.search(r"220 hello|200", capsys.readouterr().out)
