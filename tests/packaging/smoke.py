"""Use an installed aconnect for real: ``python -I smoke.py EXTRA...``.

EXTRA is an extra with which it was installed, "none", or "trio-alone" for an environment in
which trio was installed without aconnect's knowledge.

Rules:

* Nothing is installed but what the extras are for.
* What they are for works, on a loopback socket.
* What is not installed is asked for all the same, and the answer names the extra to install.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import aconnect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLIENTS = {
    "aiohttp": {"aiohttp"},
    "asyncssh": {"asyncssh"},
    "httpcore": {"anyio", "httpcore"},
    "httpcore2": {"anyio", "httpcore2"},
    "httpx": {"anyio", "httpcore", "httpx"},
    "httpx2": {"anyio", "httpcore2", "httpx2"},
    "redis": {"redis"},
    "websockets": {"websockets"},
}
BLOCKING = {
    **{name: needed for name, needed in CLIENTS.items() if name[:4] == "http"},
    "redis": {"redis"},
    "requests": {"requests", "urllib3"},
    "urllib3": {"urllib3"},
}
"""Those that have no event loop."""
TELEMETRY = {
    "opentelemetry": ("otel", "opentelemetry"),
    "prometheus": ("prometheus", "prometheus_client"),
}
INSTALLED = {
    "none": set(),
    "anyio": {"anyio"},
    "trio": {"anyio", "trio"},
    "uvloop": {"uvloop"},
    "cli": {"click", "rich"},
    "otel": {"opentelemetry"},
    "prometheus": {"prometheus_client"},
    "dns": {"dns"},
    "proxy": {"h11"},
    "trio-alone": {"trio"},
    **BLOCKING,
    **{
        name: needs | ({"h11"} if name[:4] == "http" else set()) for name, needs in CLIENTS.items()
    },
}
INSTALLED["all"] = set().union(*INSTALLED.values())
OPTIONAL = INSTALLED["all"]
COMMAND = Path(sysconfig.get_path("scripts"), "aconnect")


async def connect() -> None:
    """A connection that succeeds and one that fails."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with await aconnect.aconnect(address, timeout=10) as sock:
            accepted, _ = listener.accept()
            with accepted:
                sock.send(b"x")
                assert accepted.recv(1) == b"x"
    error = None
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        try:
            await aconnect.aconnect(bound.getsockname(), timeout=10)
        except aconnect.ConnectError as caught:
            error = caught
    assert isinstance(error, ConnectionRefusedError), error


async def stream() -> None:
    """A transport, and a stream of anyio's or the name of what it needs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        transport, _ = await aconnect.create_connection(asyncio.Protocol, address, timeout=10)
        transport.close()
        message = ""
        try:
            opened = await aconnect.open_stream(address, timeout=10)
        except ImportError as error:
            message = str(error)
        else:
            await opened.aclose()
    has_anyio = importlib.util.find_spec("anyio") is not None
    assert has_anyio or "aconnect-io[anyio]" in message, message


def without_a_loop() -> None:
    """A connection, and the clients of the standard library."""
    from aconnect import blocking
    from aconnect.clients.blocking.urllib_request import opener

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        blocking.connect("localhost", port, timeout=10, family=socket.AF_INET).close()
    message = ""
    try:
        opener().open(f"http://127.0.0.1:{port}/", timeout=10)
    except OSError as error:
        message = str(error)
    assert "nothing is listening there" in message, message


def on_asyncio() -> None:
    asyncio.run(connect())
    asyncio.run(stream())


def on_uvloop() -> None:
    import uvloop

    uvloop.run(connect())


def on_trio() -> None:
    import trio

    trio.run(connect)


def on_anyio() -> None:
    import anyio

    anyio.run(connect)


def on_trio_without_anyio() -> None:
    message = ""
    try:
        on_trio()
    except ImportError as error:
        message = str(error)
    assert "aconnect-io[trio]" in message, message


def http_proxy() -> None:
    """A dialer has one, or says what it needs."""
    message = ""
    try:
        aconnect.Dialer(proxy="http://127.0.0.1:3128")
    except ImportError as error:
        message = str(error)
    has_h11 = importlib.util.find_spec("h11") is not None
    assert has_h11 or "aconnect-io[proxy]" in message, message


def clients() -> None:
    """Each can be imported, or says what it needs."""
    modules = {f"aconnect.clients.{name}": (name, needed) for name, needed in CLIENTS.items()}
    for name, needed in BLOCKING.items():
        modules[f"aconnect.clients.blocking.{name}"] = (name, needed)
    for module, (client, needed) in modules.items():
        message = ""
        try:
            importlib.import_module(module)
        except ImportError as error:
            message = str(error)
        missing = [each for each in needed if importlib.util.find_spec(each) is None]
        expected = f"aconnect-io[{client}]"
        assert (expected in message) == bool(missing), (module, message)


def telemetry() -> None:
    """Each tells of a dial, or says what it needs."""
    for module, (extra, needed) in TELEMETRY.items():
        message = ""
        try:
            there = importlib.import_module(f"aconnect.telemetry.{module}")
        except ImportError as error:
            message = str(error)
        else:
            listener = there.Telemetry() if extra == "otel" else there.Metrics()
            asyncio.run(tell(listener))
        missing = importlib.util.find_spec(needed) is None
        assert (f"aconnect-io[{extra}]" in message) == missing, (module, message)


async def tell(listener: Callable[[aconnect.Report], None]) -> None:
    told: list[aconnect.Report] = []
    dialer = aconnect.Dialer(on_report=aconnect.trace.each(listener, told.append))
    with socket.create_server(("127.0.0.1", 0)) as server:
        (await dialer.connect(server.getsockname(), timeout=10)).close()
    assert [report.outcome for report in told] == ["connected"]


def command_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        answer = run_command("check", f"{host}:{port}")
    assert answer.returncode == 0, answer
    assert "connected" in answer.stdout, answer


def command_is_missing() -> None:
    answer = run_command("demo")
    assert answer.returncode == 2, answer
    [line] = answer.stderr.splitlines()
    assert line.endswith("aconnect-io[cli]"), line


def command_has_one_loop() -> None:
    for loop in ("trio", "uvloop"):
        answer = run_command("check", "--loop", loop, "127.0.0.1:1")
        assert answer.returncode == 2, answer
        assert f"aconnect-io[{loop}]" in answer.stderr, answer


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def steps(installed: set[str]) -> Iterator[Callable[[], None]]:
    yield without_a_loop
    yield on_asyncio
    if "uvloop" in installed:
        yield on_uvloop
    if "anyio" in installed:
        yield on_anyio
    if "trio" in installed:
        yield on_trio if "anyio" in installed else on_trio_without_anyio
    yield http_proxy
    yield clients
    yield telemetry
    yield command_works if "rich" in installed else command_is_missing
    if installed == INSTALLED["cli"]:
        yield command_has_one_loop


def main(extras: list[str]) -> None:
    where = Path(aconnect.__file__).parent
    assert "site-packages" in where.parts, where
    assert (where / "py.typed").exists()
    found = {name for name in OPTIONAL if importlib.util.find_spec(name)}
    assert found == set().union(*(INSTALLED[extra] for extra in extras)), found
    print(f"aconnect {aconnect.__version__}, {', '.join(extras)}:", end=" ")
    for step in steps(found):
        step()
        print(step.__name__, end=" ", flush=True)
    print("ok")


if __name__ == "__main__":
    main(sys.argv[1:])
