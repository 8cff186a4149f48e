"""`aconnect.cli.loops`, and the option --loop."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import pytest
import trio
import uvloop

from aconnect.cli.loops import LOOPS, EventLoop, advice, missing

pytestmark = pytest.mark.usefixtures("loop")


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> EventLoop:
    return LOOPS[request.param]


def test_each_is_what_it_is_called(loop: EventLoop) -> None:
    found = []

    async def main() -> None:
        if trio.lowlevel.in_trio_run():
            found.append("trio")
        elif isinstance(asyncio.get_running_loop(), uvloop.Loop):
            found.append("uvloop")
        else:
            found.append("asyncio")

    loop.run(main)
    assert found == [loop.name]


def test_what_is_raised_comes_out_as_itself(loop: EventLoop) -> None:
    async def job() -> None:
        raise ValueError("told")

    async def main() -> None:
        await loop.together(job, 3)

    with pytest.raises(ValueError, match="told"):
        loop.run(main)


def test_together_waits_for_all(loop: EventLoop) -> None:
    done: list[int] = []

    async def job() -> None:
        done.append(len(done))

    async def main() -> None:
        await loop.together(job, 3)
        assert done == [0, 1, 2]

    loop.run(main)
    assert done == [0, 1, 2]


def test_a_socket_is_waited_for(loop: EventLoop) -> None:
    ours, theirs = socket.socketpair()

    async def main() -> None:
        await loop.writable(ours)
        ours.send(b"x")
        await loop.readable(theirs)
        assert theirs.recv(1) == b"x"

    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        loop.run(main)


def test_a_loop_that_is_not_installed_is_a_bad_command_line(
    loop: EventLoop, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not missing(loop)
    for module in loop.needs:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            assert missing(loop)
            result = invoke("check", "--loop", loop.name, "127.0.0.1:1")
        assert result.exit_code == 2
        assert "Invalid value for '--loop'" in result.output
        assert advice(loop) in result.output
        assert advice(loop).endswith(f"aconnect-io[{loop.name}]")


def test_no_such_loop(invoke: Any) -> None:
    assert invoke("check", "--loop", "curio", "127.0.0.1:1").exit_code == 2
