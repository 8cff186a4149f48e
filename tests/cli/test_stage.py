"""`aconnect.cli.stage`: the demo's peers are what they are said to be, and nothing is left."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

from aconnect.cli import stage as stages
from aconnect.cli.stage import Stage, StageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def connect(family: int, address: Any) -> tuple[int, bool]:
    """The errno of a connect, and whether the socket has a peer after it."""
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        answer = sock.connect_ex(address)
        try:
            sock.getpeername()
        except OSError:
            return answer, False
        return answer, True


def test_the_peers(directory: Path) -> None:
    with Stage() as stage:
        assert connect(socket.AF_INET, stage.healthy) == (errno.EINPROGRESS, True)
        assert connect(socket.AF_INET, stage.silent) == (errno.EINPROGRESS, False)
        assert connect(socket.AF_UNIX, stage.backlog) == (errno.EAGAIN, False)
        with socket.socket() as sock, pytest.raises(ConnectionRefusedError):
            sock.connect(stage.refused)
        assert os.path.dirname(os.path.dirname(stage.backlog)) == str(directory)
    assert not list(directory.iterdir())


def test_the_backlog_is_drained(directory: Path) -> None:
    with Stage() as stage:
        assert stage.drained_from is None
        stage.drain_after(0)
        for thread in threading.enumerate():
            if thread.name == "demo listener":  # it may have ended already
                thread.join(60)
        assert stage.drained_from is not None
        assert connect(socket.AF_UNIX, stage.backlog) == (0, True)


def test_the_thread_ends_with_the_stage() -> None:
    with Stage() as stage:
        stage.drain_after(3600)
    assert "demo listener" not in [each.name for each in threading.enumerate()]


def test_listeners_that_cannot_be(
    invoke: Any, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = directory / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    result = invoke("demo")
    assert result.exit_code == 1
    assert result.output.endswith(
        "Error: the demo's listeners cannot be set up: AF_UNIX path too long\n"
    )
    assert not list(long.iterdir())


def test_a_backlog_without_end(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_LONGEST_BACKLOG", 1)
    with pytest.raises(StageError, match="does not get full"), Stage():
        pass
    assert not list(directory.iterdir())
