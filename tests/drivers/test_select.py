"""What is running decides which driver it is; nothing is imported, and no loop kept alive."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from typing import Any

import anyio
import pytest
import trio
import uvloop
from support.loops import NoWriterLoop

from aconnect.drivers import select
from aconnect.drivers.anyio_generic import AnyioDriver
from aconnect.drivers.asyncio_proactor import AsyncioProactorDriver
from aconnect.drivers.asyncio_selector import AsyncioSelectorDriver


async def driver_here() -> Any:
    return select.running_driver()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_asyncio_and_uvloop(new_loop: Any) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        driver = runner.run(driver_here())
        assert type(driver) is AsyncioSelectorDriver
        assert runner.run(driver_here()) is driver


def test_a_loop_without_add_writer() -> None:
    with asyncio.Runner(loop_factory=NoWriterLoop) as runner:
        assert type(runner.run(driver_here())) is AsyncioProactorDriver


def test_a_loop_whose_add_writer_says_oserror() -> None:
    class Other(asyncio.SelectorEventLoop):
        def add_writer(self, fd: Any, callback: Any, *args: Any) -> None:
            raise OSError(9, "no such descriptor")

    with asyncio.Runner(loop_factory=Other) as runner:
        assert type(runner.run(driver_here())) is AsyncioSelectorDriver


def test_trio() -> None:
    assert type(trio.run(driver_here)) is AnyioDriver


def test_anyio_on_asyncio_is_asyncio() -> None:
    assert type(anyio.run(driver_here)) is AsyncioSelectorDriver


def test_trio_as_the_guest_of_asyncio() -> None:
    """Both are running then; whose task it is decides."""

    async def host() -> tuple[Any, Any]:
        guest: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        trio.lowlevel.start_guest_run(
            driver_here,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=lambda outcome: guest.set_result(outcome.unwrap()),
        )
        return await guest, await driver_here()

    in_trio, in_asyncio = asyncio.run(host())
    assert type(in_trio) is AnyioDriver
    assert type(in_asyncio) is AsyncioSelectorDriver


def test_nothing_is_running() -> None:
    with pytest.raises(RuntimeError, match=r"asyncio\.run.*trio\.run"):
        select.running_driver()


def test_trio_without_anyio(monkeypatch: Any) -> None:
    monkeypatch.delitem(sys.modules, "aconnect.drivers.anyio_generic")
    monkeypatch.setitem(sys.modules, "anyio", None)
    select._trio_driver.cache_clear()
    with pytest.raises(ImportError, match=r"anyio is not installed.*aconnect-io\[trio\]"):
        trio.run(driver_here)


def test_a_dead_loop_leaves_no_driver() -> None:
    gc.collect()
    before = len(select._DRIVERS)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(driver_here())
    assert len(select._DRIVERS) == before + 1
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    assert len(select._DRIVERS) == before
