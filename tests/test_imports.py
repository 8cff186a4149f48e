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


@pytest.mark.parametrize(
    "name",
    [
        *("anyio", "asyncio", "click", "ctypes", "ipaddress", "rich", "ssl", "trio", "uvloop"),
        *("aconnect.dialer", "aconnect.options", "aconnect.report", "aconnect.sansio"),
    ],
)
def test_importing_aconnect_does_not_import(imported: set[str], name: str) -> None:
    assert "aconnect.connecting" in imported
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
"""The extra of each adapter for a client."""


def test_every_module_that_needs_no_extra_imports_without_one() -> None:
    code = """
import importlib, json, pkgutil
import aconnect

needing = {}
for module in pkgutil.walk_packages(aconnect.__path__, "aconnect.", onerror=lambda name: None):
    if module.name.startswith("aconnect.cli"):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        needing[module.name] = str(error)

print(json.dumps(needing))
"""
    needing = ask(ONLY_THE_STANDARD_LIBRARY + code)
    assert "aconnect.drivers.anyio_generic" in needing
    clients = {f"aconnect.adapters.{name}": extra for name, extra in CLIENTS.items()}
    assert "pytest" in needing.pop("aconnect.testing.pytest_plugin")
    others = [name for name in needing if name not in clients]
    assert [name for name in others if not name.startswith("aconnect.drivers.anyio_")] == []
    for name, extra in clients.items():
        assert f"pip install 'aconnect[{extra}]'" in needing[name]


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
print(json.dumps([sorted(later - set(listed)), "aconnect.dialer" in sys.modules]))
"""
    assert ask(ONLY_THE_STANDARD_LIBRARY + code) == [[], False]


def test_names_that_are_imported_later_are_listed_afterwards_too() -> None:
    assert aconnect.Dialer
    listed = dir(aconnect)
    assert set(aconnect._LATER) <= set(listed)
    assert len(set(listed)) == len(listed)
