"""What importing aconnect brings with it, and that it needs nothing but the standard library.

Each test asks an interpreter of its own, which has no site-packages: it finds the package
under test, and of everything else only what the standard library has.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import aconnect

WHERE = Path(aconnect.__file__).parents[1]

ONLY_THE_STANDARD_LIBRARY = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {"aconnect", *sys.stdlib_module_names}:
            raise ModuleNotFoundError(f"{name} is not to be imported", name=name)

sys.meta_path.insert(0, Refuse())
"""


def ask(code: str) -> Any:
    """Run ``code`` and return what it printed, which is JSON."""
    setup = f"import sys; sys.path.append({str(WHERE)!r})\n"
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", setup + code]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not answer.returncode, answer.stderr
    return json.loads(answer.stdout)


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules that are there when nothing but aconnect has been imported."""
    code = "import aconnect\nprint(str(sorted(sys.modules)).replace(chr(39), chr(34)))"
    return set(ask(code))


def test_ssl_comes_with_asyncio_alone() -> None:
    code = "import asyncio\nsys.modules['ssl'] = None\nimport aconnect\nprint(0)"
    assert ask(code) == 0


@pytest.mark.parametrize(
    "name",
    [
        *("anyio", "click", "ctypes", "dns", "ipaddress", "rich", "trio", "uvloop"),
        *("aconnect.clients", "aconnect.policy", "aconnect.testing", "aconnect.transports"),
    ],
)
def test_importing_aconnect_does_not_import(imported: set[str], name: str) -> None:
    assert "aconnect.dial.dialer" in imported
    assert name not in imported


def test_what_is_not_of_the_standard_library_is_refused() -> None:
    # Or the tests below would prove nothing.
    code = """
try:
    import anyio
except ModuleNotFoundError as error:
    print(f'"{error}"')
"""
    assert ask(ONLY_THE_STANDARD_LIBRARY + code) == "anyio is not to be imported"


def test_connects_on_asyncio_with_the_standard_library_alone() -> None:
    code = """
import asyncio, json, socket
import aconnect

async def main():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with await aconnect.aconnect(address, timeout=10) as sock:
            return sock.getpeername() == address

print(json.dumps(asyncio.run(main())))
"""
    assert ask(ONLY_THE_STANDARD_LIBRARY + code) is True


def test_fails_on_asyncio_with_the_standard_library_alone() -> None:
    code = """
import asyncio, json, socket
import aconnect

async def main():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        try:
            await aconnect.aconnect(bound.getsockname(), timeout=10)
        except ConnectionRefusedError as error:
            return type(error).__name__

print(json.dumps(asyncio.run(main())))
"""
    assert ask(ONLY_THE_STANDARD_LIBRARY + code) == "ConnectError"


CLIENTS = {
    "aiohttp": "aiohttp",
    "asyncssh": "asyncssh",
    "httpcore": "httpx",
    "httpx": "httpx",
    "redis": "redis",
    "websockets": "websockets",
}
"""The extra of each client."""


def test_every_module_that_needs_no_extra_imports_without_one() -> None:
    code = """
import importlib, json, pkgutil
import aconnect

needing = {}
for module in pkgutil.walk_packages(aconnect.__path__, "aconnect.", onerror=lambda name: None):
    if module.name.startswith("aconnect.cli."):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        needing[module.name] = str(error)

print(json.dumps(needing))
"""
    needing = ask(ONLY_THE_STANDARD_LIBRARY + code)
    assert "aconnect.drivers.anyio_generic" in needing
    clients = {f"aconnect.clients.{name}": extra for name, extra in CLIENTS.items()}
    assert "pytest" in needing.pop("aconnect.testing.pytest_plugin")
    others = [name for name in needing if name not in clients]
    assert [name for name in others if not name.startswith("aconnect.drivers.anyio_")] == []
    for name, extra in clients.items():
        assert (
            f"is not installed: install it, or the extra '{extra}' of aconnect-io" in needing[name]
        )


DIALS = {
    "a literal address that refuses": "await fails(aconnect.aconnect(refused, timeout=10))",
    "a name": "await fails(aconnect.aconnect(f'localhost:{refused[1]}', timeout=10))",
    "an international name": "await fails(aconnect.aconnect('b\\xfccher.invalid:1', timeout=10))",
    "a list": "await fails(aconnect.aconnect(results, timeout=10))",
    "a report": "await fails(reporting.connect(refused, timeout=10))",
    "a policy": "await fails(permitting.connect(refused, timeout=10))",
    "a long unix path": "await fails(aconnect.aconnect('unix:/nosuch/' + 'x' * 200, timeout=10))",
    "one's own socket": "await fails(aconnect.connect_socket(sock, refused, timeout=10))",
    "every option": "await fails(full.connect(refused, timeout=10))",
    "no time": "await fails(aconnect.aconnect(silent, timeout=0.01))",
    "open_connection": "await fails(open_connection(refused, timeout=10))",
    "TLS": "await fails(open_connection(silent, ssl=True, server_hostname='a', timeout=0.1))",
    "open_stream": "await fails(open_stream(refused, timeout=10))",
    "open_stream, connected": "await succeeds(open_stream(there, timeout=10))",
    "open_stream, TLS": "await fails(open_stream(silent, ssl=True, server_hostname='a', **LIMIT))",
    "open_trio_stream": "await fails(open_trio_stream(refused, timeout=10))",
}
ON_ASYNCIO = [name for name in DIALS if name != "open_trio_stream"]
ON_TRIO = [name for name in DIALS if name not in ("open_connection", "TLS")]

FIRST_DIAL = """
import asyncio, json, socket, sys
LOOP
import aconnect
NAMES

seen = None
LIMIT = {"timeout": 0.2}

def clock_starts(*limits):
    global seen
    seen = seen or set(sys.modules)
    return earliest(*limits)

earliest = aconnect.deadline.earliest
for module in (aconnect.dial.single, aconnect.dial.primitives):
    module.earliest = clock_starts

async def fails(dial):
    try:
        await dial
    except OSError:
        print(json.dumps(sorted(set(sys.modules) - seen)))

async def succeeds(dial):
    stream = await dial
    print(json.dumps(sorted(set(sys.modules) - seen)))
    await stream.aclose()

async def main():
    permitting = aconnect.Dialer(permit=lambda _: True)
    reporting = aconnect.Dialer(trace=aconnect.Report())
    full = aconnect.Dialer(mptcp=True, keepalive=aconnect.Keepalive(1, 1, 1), tos=8)
    silent = listener.getsockname()
    global seen
    seen = None if LATER else set(sys.modules)
    DIAL

with socket.socket() as bound, socket.socket() as sock, socket.socket() as listener:
    sock.setblocking(False)
    bound.bind(("127.0.0.1", 0))
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = [socket.socket() for _ in range(2)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    refused = bound.getsockname()
    server = socket.create_server(("127.0.0.1", 0))
    there = server.getsockname()
    results = socket.getaddrinfo(*refused, type=socket.SOCK_STREAM)
    results += socket.getaddrinfo("127.0.0.2", refused[1], type=socket.SOCK_STREAM)
    RUNNER
"""


def modules_of_the_first_dial(kind: str, loop: str, runner: str) -> list[str]:
    """The modules that a fresh process imports in its first dial.

    On trio, and for streams of anyio, those do not count that it imports before the clock starts.
    """
    later = bool(loop) or kind.startswith("open_stream")
    names = [
        name
        for name in ("open_connection", "open_stream", "open_trio_stream")
        if name in DIALS[kind]
    ]
    code = (
        FIRST_DIAL.replace("LOOP", loop)
        .replace("NAMES", f"from aconnect import {names[0]}" if names else "")
        .replace("DIAL", DIALS[kind])
        .replace("RUNNER", runner)
        .replace("LATER", str(later))
    )
    if later:
        code = f"import sys; sys.path[:0] = {sys.path!r}\n" + code
    found: list[str] = ask(code)
    return found


@pytest.mark.parametrize("kind", ON_ASYNCIO)
def test_the_first_dial_on_asyncio_imports_nothing(kind: str) -> None:
    """Streams of anyio do so before the clock starts."""
    assert modules_of_the_first_dial(kind, "", "asyncio.run(main())") == []


@pytest.mark.parametrize("kind", ON_TRIO)
def test_the_first_dial_on_trio_imports_nothing_while_the_clock_runs(kind: str) -> None:
    assert modules_of_the_first_dial(kind, "import trio", "trio.run(main)") == []


def test_a_short_deadline_is_enough_for_the_first_dial() -> None:
    """Today's fresh process has no more to do than any other."""
    code = """
import asyncio, json, socket
import aconnect

async def main():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with await aconnect.aconnect(f"localhost:{port}", timeout=5) as sock:
            return sock.getpeername()[1] == port

print(json.dumps(asyncio.run(main())))
"""
    assert ask(code) is True


def test_names_that_are_imported_later_are_there_when_they_are_asked_for() -> None:
    code = """
import json
import aconnect

assert not hasattr(aconnect, "no_such_name")
print(json.dumps([name for name in aconnect._LATER if getattr(aconnect, name).__name__ != name]))
"""
    assert ask(ONLY_THE_STANDARD_LIBRARY + code) == []


def test_names_that_are_imported_later_are_listed_before_they_are() -> None:
    code = """
import json
import aconnect

listed = dir(aconnect)
later = set(aconnect._LATER)
assert later
assert later.isdisjoint(vars(aconnect))
assert {"aconnect", "explain", "__name__"} <= set(listed)
assert listed == sorted(listed)
print(json.dumps([sorted(later - set(listed)), "aconnect.transports.asyncio" in sys.modules]))
"""
    assert ask(ONLY_THE_STANDARD_LIBRARY + code) == [[], False]


def test_names_that_are_imported_later_are_listed_afterwards_too() -> None:
    assert aconnect.Dialer
    listed = dir(aconnect)
    assert set(aconnect._LATER) <= set(listed)
    assert len(set(listed)) == len(listed)


def test_what_is_public_is_what_is_listed() -> None:
    code = """
import json
from types import ModuleType
import aconnect
import aconnect.policy

before = dir(aconnect)
star = {}
exec("from aconnect import *", star)
del star["__builtins__"]
page = pydoc.plain(pydoc.render_doc(aconnect))
print(json.dumps({
    "all": aconnect.__all__,
    "star": sorted(star),
    "there": [name for name in aconnect.__all__ if hasattr(aconnect, name)],
    "dir": dir(aconnect),
    "same": before == dir(aconnect),
    "modules": [name for name in dir(aconnect) if type(getattr(aconnect, name)) is ModuleType],
    "help": [name for name in ("Dialer", "open_stream", "_idna", "_LATER") if name in page],
}))
"""
    answer = ask("import pydoc\n" + ONLY_THE_STANDARD_LIBRARY + code)
    names = answer["all"]
    assert set(names) >= {"AConnectable", "Dialer", "aconnect", "open_trio_stream"}
    assert names == answer["star"] == answer["there"]
    assert answer["same"]
    listed = [name for name in answer["dir"] if not name.startswith("__")]
    assert listed == sorted([*names, "policy", "sansio", "trace"])
    assert not {"__dir__", "__getattr__"} & set(answer["dir"])
    assert answer["modules"] == ["policy", "sansio", "trace"]
    assert answer["help"] == ["Dialer", "open_stream"]
