"""Every example runs alone, without a warning, and prints what it promises."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.listeners import listening

import aconnect

EXAMPLES = sorted(Path(__file__).parents[1].glob("examples/*.py"))

EXPECTED = {
    "connected_udp": "connected to alice, heard: alice",
    "echo_protocol": "echoed: there and back",
    "errors": "A later try may succeed: True",
    "fake_network": "done after 26.1 seconds",
    "fleet": "fleet: {'connected': 2000}",
    "hello": "hello, whoever you are",
    "httpx_client": "refused: http://innocent.example/ leads to 127.0.0.2:80",
    "line_client": "the server shouts: HELLO, GOODBYE",
    "line_client_trio": "the server shouts: HELLO, GOODBYE",
    "many": "outcomes: {'connected': 20, 'failed': 20}",
    "on_trio": "hello from trio",
    "policy": "refused: 127.0.0.1:80, [::ffff:10.0.0.1]:80",
    "race": "connected to 127.0.0.2",
    "reconnecting": "heard: connection 1, connection 2, connection 3",
    "requests_client": "refused: http://innocent.example/ leads to 127.0.0.2:80",
    "resume": "second call: connected: True",
    "retry": "connected, after a refusal or two",
    "routed_loop": "refused: 127.0.0.1",
    "shared_deadline": "read in time: one, two",
    "smtp_client": "received: hello Bob",
    "unix_backlog": "not started: the listener's backlog is full",
    "wait": "up: connected",
}
"""A line of each one's output."""

SLOW = re.compile(r"Executing <.*> took \d\.\d+ seconds")
"""What asyncio's debug mode says when the machine has other things to do."""


def test_every_example_is_known() -> None:
    assert [example.stem for example in EXAMPLES] == sorted(EXPECTED)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_says_what_it_needs(example: Path) -> None:
    """In its first lines; and which extra brings it, if one does."""
    tree = ast.parse(example.read_text())
    needs = {
        (node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name)
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    needs = {name.partition(".")[0] for name in needs} - sys.stdlib_module_names - {"aconnect"}
    said = re.findall(r"^It needs (\w+)[:,]", ast.get_docstring(tree) or "", re.MULTILINE)
    assert said == sorted(needs)
    extras = tomllib.loads((example.parents[1] / "pyproject.toml").read_text())
    for name in needs:
        brings = name in extras["project"]["optional-dependencies"]
        assert brings == (f'the extra "{name}"' in example.read_text())
        assert brings != (f"pip install {name}" in example.read_text())


@pytest.mark.anyio
async def test_line_clients_notice_that_the_server_hangs_up(anyio_backend: Any) -> None:
    stem = "line_client_trio" if anyio_backend[0] == "trio" else "line_client"
    spec: Any = importlib.util.spec_from_file_location(stem, EXAMPLES[0].with_name(f"{stem}.py"))
    example: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    with listening() as listener:

        async def hang_up() -> None:
            await anyio.wait_readable(listener)
            with listener.accept()[0] as peer:
                await anyio.wait_readable(peer)
                peer.recv(100)
                peer.send(b"half a li")

        host, port = listener.getsockname()
        async with anyio.create_task_group() as group:
            group.start_soon(hang_up)
            with pytest.raises(EOFError):
                await example.ask(f"{host}:{port}", ["hello"], aconnect.Deadline.after(30))


ALONE = [example for example in EXAMPLES if example.stem != "fleet"]
"""That of a fleet has processes of a library's, and a test of its own: test_fleet.py."""


@pytest.mark.slow
@pytest.mark.parametrize("example", ALONE, ids=lambda example: example.stem)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    where = str(Path(aconnect.__file__).parents[1])
    finished = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(example)],
        env={**os.environ, "PYTHONPATH": where, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    complaints = [line for line in finished.stderr.splitlines() if not SLOW.fullmatch(line)]
    assert (finished.returncode, complaints) == (0, [])
    assert EXPECTED[example.stem] in finished.stdout.splitlines()
    assert not list(tmp_path.iterdir())
