"""What importing aconnect brings with it, and that it needs nothing but the standard library.

Each test asks an interpreter of its own, which has no site-packages: it finds the package
under test, and of everything else only what the standard library has.
"""

from __future__ import annotations

import errno
import json
import os
import pydoc
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import aconnect
from aconnect.drivers import select

pytestmark = pytest.mark.slow  # each starts an interpreter or two

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
        *(
            "aconnect.clients",
            "aconnect.many",
            "aconnect.policy",
            "aconnect.telemetry",
            "aconnect.testing",
            "aconnect.transports",
        ),
        *("aconnect.proxies", "aconnect.dial.proxied", "aconnect.dial.routes", "h11"),
        *("aconnect.report.picture", "aconnect.report.page", "aconnect.report.exports"),
        *("opentelemetry", "prometheus_client", "structlog"),
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
    "httpcore": "httpcore",
    "httpcore2": "httpcore2",
    "httpx": "httpx",
    "httpx2": "httpx2",
    "redis": "redis",
    "websockets": "websockets",
}
"""The extra of each adapter for a client."""

BLOCKING = ("httpcore", "httpcore2", "httpx", "httpx2", "redis", "requests", "urllib3")
"""Those that have no event loop."""


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
    clients |= {f"aconnect.clients.blocking.{name}": name for name in BLOCKING}
    assert "pytest" in needing.pop("aconnect.testing.pytest_plugin")
    others = [name for name in needing if name not in clients]
    of_anyio = ("aconnect.drivers.anyio_", "aconnect.clients.generic.")  # nobody else's
    assert [name for name in others if not name.startswith(of_anyio)] == [
        "aconnect.sansio.http_connect",  # a Dialer says what it needs
        "aconnect.telemetry.opentelemetry",
        "aconnect.telemetry.prometheus",
        "aconnect.telemetry.spans",  # of opentelemetry.py
    ]
    for name, extra in clients.items():
        assert f"is not installed: install it, or aconnect-io[{extra}]" in needing[name]


INTERNATIONAL = (
    "aconnect.Dialer(resolver=aconnect.SystemResolver(flags=socket.AI_NUMERICHOST))"
    ".connect('b\\xfccher.invalid:1', timeout=10)"
)
"""It is encoded, and no name server is asked."""
DIALS = {
    "a literal address that refuses": "await fails(aconnect.aconnect(refused, timeout=10))",
    "a name": "await fails(aconnect.aconnect(f'localhost:{refused[1]}', timeout=10))",
    "an international name": f"await fails({INTERNATIONAL})",
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
    "open_trio_stream": "await fails(open_trio_stream(refused, timeout=10))",
    "open_stream, and a stream": "await fails(closed(open_stream(healthy, timeout=10)))",
    "open_stream with TLS": "await fails(open_stream(healthy, ssl=True, timeout=0.1))",
}
ON_ASYNCIO = [name for name in DIALS if name != "open_trio_stream"]
ON_TRIO = [name for name in DIALS if name not in ("open_connection", "TLS")]

FIRST_DIAL = """
import asyncio, json, socket, sys
LOOP
import aconnect
NAMES

async def fails(dial):
    seen = set(sys.modules)
    try:
        await dial
    except OSError:
        pass
    print(json.dumps(sorted(set(sys.modules) - seen)))

async def closed(dial):
    await (await dial).aclose()

async def main():
    permitting = aconnect.Dialer(permit=lambda _: True)
    reporting = aconnect.Dialer(trace=aconnect.Report())
    full = aconnect.Dialer(mptcp=True, keepalive=aconnect.Keepalive(1, 1, 1), tos=8)
    silent = listener.getsockname()
    await asyncio.sleep(0) if "asyncio.run" in RUN else None
    DIAL

RUN = "RUNNER"
with (
    socket.socket() as bound,
    socket.socket() as another,
    socket.socket() as sock,
    socket.socket() as listener,
):
    sock.setblocking(False)
    bound.bind(("127.0.0.1", 0))
    another.bind(("127.0.0.2", 0))
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = [socket.socket() for _ in range(2)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    refused = bound.getsockname()
    other = socket.create_server(("127.0.0.1", 0))
    healthy = other.getsockname()
    results = socket.getaddrinfo(*refused, type=socket.SOCK_STREAM)
    results += socket.getaddrinfo(*another.getsockname(), type=socket.SOCK_STREAM)
    RUNNER
    other.close()
"""


def modules_of_the_first_dial(kind: str, loop: str, runner: str, *, site: bool) -> list[str]:
    """The modules that a fresh process imports in its first dial."""
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
    )
    if site:
        code = f"import sys; sys.path[:0] = {sys.path!r}\n" + code
    found: list[str] = ask(code)
    return found


@pytest.mark.parametrize("kind", ON_ASYNCIO)
def test_the_first_dial_on_asyncio_imports_nothing(kind: str) -> None:
    site = kind.startswith("open_stream")  # which needs anyio
    found = modules_of_the_first_dial(kind, "", "asyncio.run(main())", site=site)
    assert found == []


@pytest.mark.parametrize("kind", ON_TRIO)
def test_the_first_dial_on_trio_imports_nothing(kind: str) -> None:
    assert modules_of_the_first_dial(kind, "import trio", "trio.run(main)", site=True) == []


@pytest.mark.parametrize("kind", ["a literal address that refuses", "a name", "a list"])
def test_the_first_dial_on_a_trio_that_came_late_imports_nothing_while_it_runs(kind: str) -> None:
    """What it needs of anyio's has to be imported first, before the clock starts."""
    run = "import trio; trio.run(main)"
    found = modules_of_the_first_dial(kind, "", run, site=True)
    ours = {"aconnect.drivers.anyio_generic", "aconnect.drivers.anyio_watch"}
    anyios = ("anyio", "array", "dataclasses", "typing_extensions")
    assert not {name for name in found if name.partition(".")[0] not in anyios} - ours


THROUGH_A_PROXY = """
import json, sys
from aconnect import Dialer, blocking

there = []

def none_left(_):
    there.append("aconnect.blocking.tunnels" in sys.modules)
    raise OSError

try:
    dialer = Dialer(proxy="socks5h://127.0.0.1:1", socket_factory=none_left)
    blocking.connect("db.example:5432", dialer=dialer, timeout=60)
except OSError:
    print(json.dumps(there))
"""


def test_what_a_tunnel_needs_is_there_before_a_dial_without_a_loop_begins() -> None:
    assert ask(THROUGH_A_PROXY) == [True]


NO_DESCRIPTOR_LEFT = """
import json, os, resource, socket, ssl, sys
EARLY
import asyncio
import aconnect
LATE
from aconnect import create_connection, open_connection, open_stream, open_trio_stream

async def main():
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.setblocking(False)
    port = listener.getsockname()[1]
    dialer = aconnect.Dialer(permit=lambda _: True, trace=aconnect.Report())
    results = [(2, 1, 6, "", ("127.0.0.1", port))] * 2

    async def primitive(address):
        await aconnect.connect_socket(sock, address)
        aconnect.dissolve_association(sock)

    async def dial():
        try:
            await DIAL
        except aconnect.ConnectError as error:
            return [type(error).__name__, error.errno, str(error)]

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        pass
    outcomes = [await dial()]
    for fd in taken:
        os.close(fd)
    outcomes.append(await dial())
    print(json.dumps(outcomes))

with socket.create_server(("127.0.0.1", 0)) as listener:
    RUN
"""

OUT_OF_DESCRIPTORS = {
    "a literal address": "aconnect.aconnect(('127.0.0.1', port))",
    "a name": "aconnect.aconnect(('localhost', port))",
    "a list": "aconnect.aconnect(results)",
    "every listener": "dialer.connect(('localhost', port))",
    "one's own socket": "primitive(('127.0.0.1', port))",
    "open_stream": "open_stream('localhost', port)",
}


def outcomes_without_descriptors(dial: str, early: str, late: str, run: str) -> Any:
    code = NO_DESCRIPTOR_LEFT.replace("EARLY", early).replace("LATE", late)
    code = code.replace("DIAL", dial).replace("RUN", run)
    code = f"import sys; sys.path[:0] = {sys.path!r}\n" + code
    command = [sys.executable, "-I", "-S", "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not answer.returncode, answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no limit of descriptors")
class TestNoDescriptorIsLeft:
    """The first dial of a process fails as any does, and does no harm to the next."""

    @pytest.mark.parametrize(
        "dial",
        [*OUT_OF_DESCRIPTORS.values(), "open_connection('localhost', port)"],
        ids=[*OUT_OF_DESCRIPTORS, "open_connection"],
    )
    def test_on_asyncio(self, dial: str) -> None:
        first, second = outcomes_without_descriptors(dial, "", "", "asyncio.run(main())")
        assert first is not None
        assert "import" not in first[2]
        assert "unknown encoding" not in first[2]
        assert second is None

    @pytest.mark.parametrize(
        "dial",
        [*OUT_OF_DESCRIPTORS.values(), "open_trio_stream('localhost', port)"],
        ids=[*OUT_OF_DESCRIPTORS, "open_trio_stream"],
    )
    def test_on_trio(self, dial: str) -> None:
        first, second = outcomes_without_descriptors(dial, "import trio", "", "trio.run(main)")
        if "primitive" in dial:  # which needs no descriptor, now that ctypes came with trio
            assert first is None
        else:
            assert "import" not in first[2]
        assert second is None

    @pytest.mark.parametrize("dial", OUT_OF_DESCRIPTORS.values(), ids=OUT_OF_DESCRIPTORS)
    def test_on_a_trio_that_came_late(self, dial: str) -> None:
        """Nobody could know that its driver would be needed."""
        first, second = outcomes_without_descriptors(dial, "", "import trio", "trio.run(main)")
        assert first[:2] == ["ConnectError", errno.EMFILE]
        assert "EMFILE: the driver for trio could not be imported" in first[2]
        assert "import trio before aconnect" in first[2]
        assert second is None

    def test_names_are_looked_up_by_the_next(self) -> None:
        _, second = outcomes_without_descriptors(INTERNATIONAL, "", "", "asyncio.run(main())")
        assert second[0] == "ResolveError"
        assert "encoding" not in second[2]


class _NoDescriptor:
    """Finds no module, for want of a descriptor."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, *_: Any) -> None:
        if name == self.name:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), name)


@pytest.mark.parametrize("primitive", [False, True])
def test_the_driver_of_trio_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, primitive: bool
) -> None:
    name = "aconnect.drivers.anyio_generic"
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(select, "_trio_driver", select._trio_driver.__wrapped__)
    monkeypatch.setattr(sys, "meta_path", [_NoDescriptor(name), *sys.meta_path])

    async def main() -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            if primitive:
                await aconnect.connect_socket(sock, ("127.0.0.1", 9))
            else:
                await aconnect.aconnect("127.0.0.1:9")

    with pytest.raises(aconnect.ConnectError) as caught:
        trio.run(main)
    assert caught.value.errno == errno.EMFILE
    assert str(caught.value).startswith("[Errno 24] could not connect to 127.0.0.1:9: EMFILE: ")
    assert isinstance(caught.value.__cause__, OSError)


def test_ctypes_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ctypes", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_NoDescriptor("ctypes"), *sys.meta_path])
    with (
        socket.socket(type=socket.SOCK_DGRAM) as sock,
        pytest.raises(aconnect.ConnectError, match="could not dissolve") as caught,
    ):
        aconnect.dissolve_association(sock)
    assert caught.value.errno == errno.EMFILE


def test_a_driver_that_nothing_runs_on_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "trio")
    monkeypatch.setattr(select, "_trio_driver", None)
    select._prepare()


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


def test_public_modules_are_imported_when_they_are_asked_for() -> None:
    code = """
import json
import aconnect

assert aconnect._MODULES <= set(dir(aconnect))
assert "aconnect.policy" not in sys.modules
assert aconnect.policy.public_only()
names = {name: getattr(aconnect, name).__name__ for name in sorted(aconnect._MODULES)}
assert not hasattr(aconnect, "no_such_module")
print(json.dumps(names))
"""
    names = ask(ONLY_THE_STANDARD_LIBRARY + code)
    assert names == {name: f"aconnect.{name}" for name in aconnect._MODULES}


def test_a_public_module_that_nobody_has_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = aconnect.policy
    monkeypatch.delattr(aconnect, "policy")
    assert aconnect.policy is policy
    assert not hasattr(aconnect, "no_such_module")


def test_nothing_is_listed_but_what_is_public() -> None:
    listed = {name for name in dir(aconnect) if not name.startswith("__")}
    assert listed == {*aconnect.__all__, *aconnect._MODULES}
    assert aconnect.__version__


def test_help_says_which_modules_are_public() -> None:
    """It lists all others as well, as pydoc looks for itself."""
    _, _, said = pydoc.plaintext.document(aconnect).partition("Public are")
    named = said.partition("PACKAGE CONTENTS")[0].partition(" modules ")[2].partition(".")[0]
    assert set(re.findall(r"\w+", named)) - {"and"} == aconnect._MODULES


def test_names_that_are_imported_later_are_listed_afterwards_too() -> None:
    assert aconnect.Dialer
    listed = dir(aconnect)
    assert set(aconnect._LATER) <= set(listed)
    assert len(set(listed)) == len(listed)
