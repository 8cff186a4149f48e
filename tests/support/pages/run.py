"""Run what the pages show, in a network of this process's own: `python run.py DIRECTORY`.

A block is run as it stands.  Then its functions are called, with what the names of their
parameters say (`World`), on each event loop that it is for; and each `Dialer` that it makes
connects to something.  `THEN` is what else is done.  A line of JSON is written for each block, to
`RESULTS` in the directory: its page, its number, the loops, and what went wrong, if anything did.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import inspect
import io
import json
import os
import re
import socket
import subprocess
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

PROJECT = Path(__file__).parents[3]
sys.path.insert(0, str(PROJECT / "tests"))

import certifi  # noqa: E402
from prometheus_client import REGISTRY  # noqa: E402

from support.pages import network, servers  # noqa: E402

RESULTS = "results"

PAGES = [
    *sorted(PROJECT.glob("*.md")),
    *sorted(page for page in (PROJECT / "docs").rglob("*.md") if "_build" not in page.parts),
]
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)

RAISES = {("docs/how-to/extend.md", 5): AssertionError}
"""Blocks that fail, which the page says: a test that is to."""

THEIRS = "docs/explanation/peers.md"
"""Where somebody else's calls are shown at their worst: some end with an OSError, and one closes
what is not its own, so each has a process for itself."""

CHANGED = {
    ("docs/explanation/peers.md", 2): ("move_on_after(5)", "move_on_after(0.1)"),
    ("docs/explanation/peers.md", 5): ("time.sleep, 2", "time.sleep, 0.2"),
    ("docs/how-to/many.md", 1): ("interval=1, count=60", "interval=0.01, count=2"),
    ("docs/how-to/retry.md", 2): ("asyncio.sleep(next", "asyncio.sleep(0 * next"),
    ("docs/how-to/scopes.md", 1): ("scope_id=2", "scope_id=77"),
}
"""Blocks that take long, and how they take less; and a number that is the machine's."""

THEN = {
    ("docs/how-to/blocking.md", 2): 'connect_to_strangers(("mail.example", 25)).close()',
    ("docs/how-to/blocking.md", 5): 'assert http.get("http://example.org/").text == "hello"',
    ("docs/how-to/blocking.md", 7): """
assert pool.request("GET", "https://example.com/").data == b"hello"
connection.request("GET", "/")
assert connection.getresponse().read() == answer.read() == b"hello"
""",
    ("docs/how-to/blocking.md", 8): """
assert http.get("https://example.com/").text == "hello"
assert cache.incr("visits") == 1
""",
    ("docs/how-to/handshake.md", 2): """
from aconnect import Dialer
line = asyncio.run(Dialer().connect("mail.example:25", handshake=Greeting()))
assert line == "220 mail.example"
""",
    ("docs/how-to/http.md", 4): """
import asyncio, httpx
async def fetch():
    for transport in (IMPATIENT, WITHOUT):
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.get("https://www.example/")).text == "hello"
asyncio.run(fetch())
""",
    ("docs/how-to/resolver.md", 7): """
import asyncio
from aconnect import Dialer
asyncio.run(Dialer(resolver=RESOLVER).connect("mail.example:25")).close()
""",
    ("docs/how-to/retry.md", 1): """
import asyncio
asyncio.run(connect("mail.example:25")).close()
""",
}
"""What is done with what a block makes, where neither a function of it nor a dialer does it."""

ELSEWHERE = {("docs/how-to/test-clients.md", 2), ("docs/how-to/test-clients.md", 3)}
"""Blocks of tests that one after the other make a program: tests/testing/test_fixtures.py."""

MISSING = {"psycopg"}
"""What has no wheels for some versions of Python."""

OF_ASYNCIO = re.compile(
    r"\b(asyncio|aiohttp|redis|nats|gmqtt|asyncpg|aiosmtplib|asyncssh|websockets|routed"
    r"|open_connection)\b"
)
OF_TRIO = re.compile(r"\b(trio|open_trio_stream)\b")


def blocks() -> Iterator[tuple[str, int, str]]:
    for page in PAGES:
        for number, text in enumerate(BLOCK.findall(page.read_text()), 1):
            yield str(page.relative_to(PROJECT)), number, text


def loops_of(text: str) -> list[str]:
    """The loops that a block is for."""
    if OF_TRIO.search(text):
        return ["trio"]
    return ["asyncio", "uvloop"] if OF_ASYNCIO.search(text) else ["asyncio", "uvloop", "trio"]


def run_on(loop: str, main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    if loop == "trio":
        import trio

        trio.run(main)
        return
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


class World:
    """The values of parameters, by their names."""

    of_block: ClassVar[dict[tuple[str, int, str], Any]] = {
        ("docs/how-to/clients.md", 1, "question"): "what?",
        ("docs/how-to/clients.md", 5, "port"): 5432,
        ("docs/how-to/policy.md", 3, "host"): "example.org",
        ("docs/how-to/resume.md", 1, "address"): (servers.PUBLIC, 25),
        ("docs/how-to/udp.md", 1, "address"): "192.0.2.1:9",
    }

    def __init__(self, directory: Path) -> None:
        from aconnect import ConnectTimeout, Endpoint
        from aconnect.testing import FakeNetwork, VirtualClock
        from aconnect.trace import AttemptEnded

        async def fail(network: FakeNetwork) -> ConnectTimeout:
            try:
                await network.dialer().connect("db.example:5432", timeout=1)
            except ConnectTimeout as error:
                return error
            raise AssertionError("it has connected")

        with FakeNetwork() as fake, VirtualClock() as clock:
            fake.add("db.example", "192.0.2.1", outcome="silent")
            error = clock.run(fail, fake)
        from email.message import EmailMessage

        message = EmailMessage()
        message["From"], message["To"] = "a@mail.example", "b@mail.example"
        message.set_content("hello")
        self.values: dict[str, Any] = {
            "address": "mail.example:25",
            "authority": str(directory / "ca.pem"),
            "directory": directory,
            "endpoint": Endpoint(socket.AF_INET, socket.SOCK_STREAM, 0, ("192.0.2.1", 80)),
            "error": error,
            "event": AttemptEnded(0.0, 0, "failed", 111),
            "file": directory / "trace.json",
            "first": "203.0.113.1:1",
            "host": "www.example",
            "hosts": ["192.0.2.1", "192.0.2.2"],
            "message": b"hello",
            "peers": [("192.0.2.1", 9), ("192.0.2.2", 9)],
            "port": 443,
            "proxy": "proxy.example:3128",
            "question": b"what?",
            "report": error.report,
            "reports": [error.report],
            "second": "mail.example:25",
            "seconds": 5.0,
            "uri": "ws://www.example:9001",
            "url": "http://www.example/",
        }
        self.of_type: dict[Any, Any] = {EmailMessage: message}


async def close(value: Any) -> None:
    """Close what a function of a page has returned."""
    if isinstance(value, (tuple, list)):
        for each in value:
            await close(each)
        return
    for name in ("aclose", "close"):
        if (method := getattr(value, name, None)) is not None and not inspect.isclass(value):
            result = method()
            if inspect.isawaitable(result):
                await result
            return


class Running:
    """One block, being run."""

    def __init__(self, page: str, number: int, text: str, world: World) -> None:
        self.place = page, number
        self.text = text
        self.world = world
        self.loops = loops_of(text)

    def run(self) -> None:
        space: dict[str, Any] = {"__name__": "page"}
        if "pytest.mark.usefixtures" in self.text or "@pytest.fixture" in self.text:
            self._test()
            return
        if self.place[0] == THEIRS:
            self._run_apart()
            return
        code = compile(self.text, ":".join(map(str, self.place)), "exec", dont_inherit=True)
        exec(code, space)
        mine = [value for value in space.values() if getattr(value, "__module__", "") == "page"]
        functions = [value for value in mine if inspect.isfunction(value)]
        tests = [value for value in functions if value.__name__.startswith("test_")]
        if re.search(r"^\w+\.run\(", self.text, re.MULTILINE):
            functions, self.loops = [], ["its own"]
        elif tests:
            functions = tests
        used = bool(tests) or "FakeNetwork" in self.text
        for function in functions:
            if inspect.iscoroutinefunction(function):
                used = True
                for loop in self.loops:
                    run_on(loop, partial(self._call, function))
            elif tests:
                function(*self._arguments(function))
            else:
                asyncio.run(self._call_plain(function))
        if not used:
            asyncio.run(self._dial(space))
        exec(THEN.get(self.place, ""), space)
        asyncio.run(self._close_all(space))
        for metric in list(REGISTRY._collector_to_names):
            REGISTRY.unregister(metric)

    def _run_apart(self) -> None:
        self.loops = ["its own"]
        command = [sys.executable, "-c", self.text]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            last = done.stderr.splitlines()[-1]
            kind = getattr(builtins, last.partition(":")[0], None)
            assert isinstance(kind, type), done.stderr
            assert issubclass(kind, OSError), done.stderr

    def _test(self) -> None:
        import pytest

        file = self.world.values["directory"] / f"test_page_{abs(hash(self.place))}.py"
        file.write_text(self.text)
        plugin = ["-p", "aconnect.testing.pytest_plugin", "-p", "no:cacheprovider"]
        plugin += ["-o", "asyncio_default_fixture_loop_scope=function"]
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = pytest.main([str(file), "-q", "--rootdir", str(file.parent), *plugin])
        if status:
            raise AssertionError(output.getvalue())

    def _arguments(self, function: Any) -> list[Any]:
        found = []
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.POSITIONAL_ONLY):
                continue
            values = self.world
            if (key := (*self.place, name)) in values.of_block:
                found.append(values.of_block[key])
            elif parameter.annotation in values.of_type:
                found.append(values.of_type[parameter.annotation])
            elif name in values.values:
                found.append(values.values[name])
            elif parameter.default is parameter.empty:
                found.append(self._made(name))
        return found

    def _made(self, name: str) -> Any:
        """What is new for each call."""
        if name == "sock":
            kind = socket.SOCK_DGRAM if "association" in self.text else socket.SOCK_STREAM
            sock = socket.socket(socket.AF_INET, kind)
            sock.setblocking(False)
            return sock
        if name == "dialer":
            from aconnect import Dialer

            return Dialer()
        if name == "client":
            import httpx

            from aconnect.clients.httpx import AConnectTransport

            return httpx.AsyncClient(transport=AConnectTransport())
        raise LookupError(f"no value for a parameter {name}")

    async def _call(self, function: Any) -> None:
        arguments = self._arguments(function)
        keywords = {
            name: self.world.of_block.get((*self.place, name), self.world.values.get(name))
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
        }
        result = await function(*arguments, **keywords)
        await close(result)
        for argument in arguments:
            if type(argument).__module__ not in ("builtins", "pathlib", "email.message"):
                await close(argument)

    async def _call_plain(self, function: Any) -> None:
        arguments = self._arguments(function)
        await close(await asyncio.to_thread(function, *arguments))
        for argument in arguments:
            await close(argument)

    async def _dial(self, space: dict[str, Any]) -> None:
        """Connect by way of each dialer of a block."""
        from aconnect import Dialer, open_connection

        for value in list(space.values()):
            for dialer in value if isinstance(value, tuple) else [value]:
                if isinstance(dialer, Dialer):
                    _, writer = await open_connection("example.org:80", dialer=dialer, timeout=5)
                    writer.close()

    async def _close_all(self, space: dict[str, Any]) -> None:
        for value in list(space.values()):
            if not inspect.isclass(value) and not inspect.ismodule(value):
                await close(value)


def main() -> None:
    directory = Path(sys.argv[1])
    os.environ.update(
        HOME=str(directory),
        SSL_CERT_FILE=str(directory / "ca.pem"),
        PGUSER="app",
        PGDATABASE="app",
    )
    certifi.where = lambda: str(directory / "ca.pem")
    network.enter(directory)
    with servers.in_a_thread(directory), (directory / RESULTS).open("w") as results:
        world = World(directory)
        for page, number, text in blocks():
            place = page, number
            before, after = CHANGED.get(place, ("", ""))
            assert before in text, place
            running = Running(page, number, text.replace(before, after) if before else text, world)
            told: dict[str, Any] = {"page": page, "block": number}
            output = io.StringIO()
            try:
                if place not in ELSEWHERE:
                    with contextlib.redirect_stdout(output):
                        running.run()
                if place in RAISES:
                    told["wrong"] = f"it should have raised: {RAISES[place]}"
            except ModuleNotFoundError as error:
                told["missing"] = error.name
                if error.name not in MISSING:
                    told["wrong"] = traceback.format_exc()
            except BaseException as error:
                if not isinstance(error, RAISES.get(place, ())):
                    told["wrong"] = traceback.format_exc()
            told |= {"loops": running.loops, "output": output.getvalue()}
            results.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
