"""What the kernel answers when its network is set up for it; each test has one of its own."""

from __future__ import annotations

import asyncio
import errno
import shutil
import socket
from contextlib import ExitStack
from typing import Any

import pytest
import trio
import uvloop
from support.listeners import LOOPBACK, listening
from support.netns import in_new_network, ip, set_port_range

from aconnect import ConnectError, aconnect

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs ip(8), Debian's iproute2"),
]


def run_eagerly(main: Any) -> Any:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory", None))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


@pytest.fixture(
    params=[
        pytest.param(lambda main: asyncio.run(main()), id="asyncio"),
        pytest.param(run_eagerly, id="eager"),
        pytest.param(lambda main: uvloop.run(main()), id="uvloop"),
        pytest.param(trio.run, id="trio"),
    ]
)
def run(request: pytest.FixtureRequest) -> Any:
    """Run a coroutine function on a loop, in a new network."""
    return lambda main: in_new_network(lambda: request.param(main))


async def failure(address: Any) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await aconnect(address, timeout=30)
    return caught.value


def test_a_connection_to_oneself_is_a_refusal(run: Any) -> None:
    """The only local port there is is the one that is connected to."""

    async def main() -> None:
        set_port_range(40000, 40000)
        error = await failure((LOOPBACK, 40000))
        assert isinstance(error, ConnectionRefusedError)
        assert "connected to itself" in str(error)
        # Nothing is left of it that would keep the server from its port.
        with socket.socket() as listener:
            listener.bind((LOOPBACK, 40000))

    run(main)


def test_local_ports_are_used_up(run: Any) -> None:
    async def main() -> None:
        set_port_range(40000, 40003)
        with listening() as listener, listening("127.0.0.2") as other, ExitStack() as stack:
            address = listener.getsockname()
            with pytest.raises(ConnectError) as caught:
                for _ in range(10):
                    stack.enter_context(await aconnect(address, timeout=30))
            assert caught.value.errno == errno.EADDRNOTAVAIL
            assert caught.value.transient
            # Another peer has four numbers of its own.
            stack.enter_context(await aconnect(other.getsockname(), timeout=30))

    run(main)


def test_local_ports_are_used_up_for_datagrams(run: Any) -> None:
    async def main() -> None:
        set_port_range(40000, 40001)
        with ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(await aconnect(f"udp://{LOOPBACK}:9"))
            error = await failure(f"udp://{LOOPBACK}:9")
            assert error.errno == errno.EAGAIN
            assert "no local port" in str(error)

    run(main)


@pytest.mark.parametrize(
    ("route", "number"),
    [
        ("unreachable", errno.EHOSTUNREACH),
        ("prohibit", errno.EACCES),
        ("blackhole", errno.EINVAL),
        ("throw", errno.ENETUNREACH),
        (None, errno.ENETUNREACH),
    ],
)
def test_routes(run: Any, route: str | None, number: int) -> None:
    async def main() -> None:
        if route is not None:
            ip("route", "add", route, "192.0.2.0/24")
        error = await failure(("192.0.2.1", 80))
        assert error.errno == number
        assert isinstance(error, type(OSError(number, "")))

    run(main)


def test_link_local_addresses_need_their_scope(run: Any) -> None:
    async def main() -> None:
        ip("link", "add", "near", "type", "veth", "peer", "name", "far")
        for name, address in (("near", "fe80::1"), ("far", "fe80::2")):
            ip("link", "set", name, "up")
            ip("address", "add", f"{address}/64", "dev", name, "nodad")
        near = socket.if_nametoindex("near")
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("fe80::1", 0, 0, near))
            listener.listen()
            port = listener.getsockname()[1]
            for address in (
                f"[fe80::1%near]:{port}",
                f"[fe80::1%{near}]:{port}",
                ("fe80::1", port, 0, near),
                ("fe80::1%near", port),
                socket.getaddrinfo("fe80::1%near", port, type=socket.SOCK_STREAM),
            ):
                with await aconnect(address, timeout=30) as sock:
                    assert sock.getpeername() == ("fe80::1", port, 0, near)
            assert (await failure(("fe80::1", port))).errno == errno.EINVAL

    run(main)
