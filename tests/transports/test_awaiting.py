"""A cancellation, or the end of a coroutine, in the middle of what a loop or a scope is doing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import struct
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
import uvloop
from support.listeners import listening
from support.tls import NAME

from aconnect import Dialer, create_connection
from aconnect.handshakes.tls import TLS
from aconnect.transports.anyio import _AnyioTLS
from aconnect.transports.calls import left_quietly
from aconnect.transports.loop_tls import _made_to_the_last
from aconnect.transports.trio import _TrioTLS

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Making:
    """What a loop does: it awaits one future, and then one that was there from the beginning."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.first: asyncio.Future[None] = loop.create_future()
        self.second: asyncio.Future[str] = loop.create_future()
        self.told: list[str] = []

    async def __call__(self) -> str:
        await self.awaited("first")
        return await self.awaited("second")

    async def awaited(self, name: str) -> Any:
        try:
            return await getattr(self, name)
        except BaseException as error:
            self.told.append(f"{type(error).__name__} at the {name}")
            raise

    async def slow_to_go(self) -> None:
        try:
            await self.first
        finally:
            await asyncio.sleep(0)


class TestWhatALoopIsMaking:
    @pytest.fixture(autouse=True)
    def nothing_is_logged(self) -> Iterator[None]:
        self.loop = asyncio.new_event_loop()
        logged: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: logged.append(context))
        self.making = Making(self.loop)
        yield
        del self.making
        gc.collect()
        self.loop.close()
        assert logged == []

    def awaited(self) -> Any:
        return _made_to_the_last(self.making)

    def test_is_made(self) -> None:
        self.loop.call_soon(self.making.first.set_result, None)
        self.loop.call_soon(self.making.second.set_result, "made")

        async def main() -> str:
            made: str = await self.awaited()
            return made

        assert self.loop.run_until_complete(main()) == "made"

    def test_fails_at_once(self) -> None:
        self.making.first.set_exception(LookupError())
        with pytest.raises(LookupError):
            self.awaited().send(None)

    @pytest.mark.parametrize("name", ["first", "second"])
    def test_fails(self, name: str) -> None:
        if name == "second":
            self.making.first.set_result(None)
        failing: asyncio.Future[Any] = getattr(self.making, name)
        self.loop.call_soon(failing.set_exception, LookupError())

        async def main() -> None:
            await self.awaited()

        with pytest.raises(LookupError):
            self.loop.run_until_complete(main())
        assert self.making.told == [f"LookupError at the {name}"]

    @pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit])
    def test_is_cancelled_at_the_first(self, error: type[BaseException]) -> None:
        awaited = self.awaited()
        assert awaited.send(None) is self.making.first
        with pytest.raises(error):
            awaited.throw(error())
        assert self.making.told == [f"{error.__name__} at the first"]
        assert self.making.first.cancelled()

    @pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit])
    @pytest.mark.parametrize("failed", [False, True])
    def test_is_cancelled_between_the_first_and_the_second(
        self, error: type[BaseException], failed: bool
    ) -> None:
        """Where nobody awaits the second yet."""
        awaited = self.awaited()
        assert awaited.send(None) is self.making.first
        self.making.first.set_result(None)
        if failed:
            self.making.second.set_exception(ConnectionResetError())
        with pytest.raises(error):
            awaited.throw(error())
        assert self.making.second.cancelled() is not failed

    @pytest.mark.parametrize("failed", [False, True])
    def test_is_cancelled_when_it_is_over(self, failed: bool) -> None:
        self.making.first.set_result(None)
        awaited = self.awaited()
        assert awaited.send(None) is self.making.second
        if failed:
            self.making.second.set_exception(ConnectionResetError())
        else:
            self.making.second.set_result("made")
        with pytest.raises(asyncio.CancelledError):
            awaited.throw(asyncio.CancelledError())

    def test_is_not_waited_for_when_it_is_cancelled(self) -> None:
        awaited = _made_to_the_last(self.making.slow_to_go)
        awaited.send(None)
        with pytest.raises(asyncio.CancelledError):
            awaited.throw(asyncio.CancelledError())


RESET = struct.pack("ii", 1, 0)


def reset(listener: socket.socket) -> None:
    """Reset the connections that are there."""
    with contextlib.suppress(BlockingIOError):
        while True:
            accepted, _ = listener.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            accepted.close()


@pytest.mark.parametrize("options", [{}, {"on_report": id}], ids=["at once", "in a race"])
def test_what_uvloop_has_made_of_a_reset_is_looked_at(options: Any) -> None:
    """For want of that it logs, if the call is cancelled in a certain turn after the reset."""
    logged: list[Any] = []

    async def main(listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: logged.append(context))
        for reset_at, cancelled_at in combinations_with_replacement(range(7), 2):
            making = create_connection(
                *(asyncio.Protocol, listener.getsockname()),
                **{"ssl": CONTEXT, "server_hostname": NAME, **options},
            )
            task = asyncio.ensure_future(making)
            for turn in range(cancelled_at + 1):
                if turn >= reset_at:
                    reset(listener)
                if turn < cancelled_at:
                    await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
            del task, making
            reset(listener)
            gc.collect()

    with listening() as listener:
        listener.setblocking(False)
        uvloop.run(main(listener))
    gc.collect()
    assert logged == []


async def until_it_waits(coroutine: Any) -> None:
    """Run it by hand until it waits for what takes long."""
    for _ in range(10):
        found = coroutine.send(None)
        if found is not None:
            found._asyncio_future_blocking = False
            done, _ = await asyncio.wait([found], timeout=0.05)
            if not done:
                return
    raise AssertionError("it does not wait")


def test_a_handshake_of_anyios_that_is_closed_elsewhere_ends_quietly() -> None:
    """Not in its task: the scope that limits its time cannot be left there."""
    handshake = _AnyioTLS(TLS(CONTEXT, NAME), Dialer(), True)
    loop = asyncio.new_event_loop()
    with contextlib.closing(loop), listening() as silent:
        sock = socket.create_connection(silent.getsockname())
        sock.setblocking(False)
        shaking = handshake.within(sock, loop.time() + 3600)
        loop.run_until_complete(until_it_waits(shaking))
        shaking.close()
        loop.run_until_complete(asyncio.sleep(0.01))
        timers: Any = loop
        assert [timer for timer in timers._scheduled if not timer.cancelled()] == []


def test_a_handshake_of_trios_that_is_closed_elsewhere_ends_quietly() -> None:
    handshake = _TrioTLS(TLS(CONTEXT, NAME), Dialer(), False)
    with listening() as silent:
        sock = socket.create_connection(silent.getsockname())
        sock.setblocking(False)
        shaking = handshake.within(sock, 1e9)

        async def main() -> None:
            shaking.send(None)

        with contextlib.suppress(RuntimeError, trio.TrioInternalError):  # of the scope left open
            trio.run(main)
        shaking.close()
        assert sock.fileno() < 0


def test_an_error_of_what_is_limited_is_its_own() -> None:
    async def main() -> None:
        with left_quietly(anyio.move_on_after(30)):
            raise RuntimeError("its own")

    with pytest.raises(RuntimeError, match="its own"):
        anyio.run(main)
