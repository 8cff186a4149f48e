"""The four kinds of event loop, as functions that run an async function to its end."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trio
import uvloop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def on_asyncio(main: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        return await main()

    with asyncio.Runner() as runner:
        return runner.run(run())


def on_eager_tasks(main: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        return await asyncio.create_task(main())

    with asyncio.Runner() as runner:
        return runner.run(run())


def on_uvloop(main: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        return await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def on_trio(main: Callable[[], Awaitable[Any]]) -> Any:
    return trio.run(main)


LOOPS: list[Any] = [
    pytest.param(on_asyncio, id="asyncio"),
    pytest.param(on_uvloop, id="uvloop"),
    pytest.param(on_trio, id="trio"),
]
if sys.version_info >= (3, 12):
    LOOPS.insert(1, pytest.param(on_eager_tasks, id="eager"))
