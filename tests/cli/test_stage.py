"""`aconnect.cli.stage`: the demo's peers are what they are said to be, and nothing is left."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

from aconnect.cli import stage as stages
from aconnect.cli.stage import Stage, StageError, without_certificate

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


def test_one_port_on_several_addresses(directory: Path) -> None:
    with Stage() as stage:
        host, port = stage.dead
        assert host in ("::1", "127.0.0.2")
        assert port == stage.healthy[1]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        assert connect(family, stage.dead) == (errno.EINPROGRESS, False)
        assert [host for host, _ in stage.tls] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        assert len({port for _, port in stage.tls}) == 1


@pytest.mark.parametrize("failures", [1, 1000])
def test_a_port_that_is_not_free_everywhere(
    directory: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    failed = []

    class Picky(socket.socket):
        def bind(self, address: Any) -> None:
            if self.family != socket.AF_UNIX and address[1] and len(failed) < failures:
                failed.append(address)
                raise OSError(errno.EADDRINUSE, "taken")
            super().bind(address)

    monkeypatch.setattr(stages.socket, "socket", Picky)
    if failures == 1:
        with Stage() as stage:
            assert stage.dead[1] == stage.healthy[1] != failed[0][1]
    else:
        with pytest.raises(StageError, match="no port is free on all of 127"), Stage():
            pass
    assert not list(directory.iterdir())


def test_a_port_that_may_not_be_had(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(socket.socket):
        def bind(self, address: Any) -> None:
            if self.family != socket.AF_UNIX and address[1]:
                raise OSError(errno.EACCES, "not yours")
            super().bind(address)

    monkeypatch.setattr(stages.socket, "socket", Refused)
    with pytest.raises(StageError, match="not yours"), Stage():
        pass


def test_the_peers_that_talk(directory: Path) -> None:
    contexts = without_certificate()
    assert contexts is not None
    server, client = contexts

    async def main(stage: Stage) -> None:
        plain, silent, tls = stage.tls
        async with stage.talking(server):
            reader, writer = await asyncio.open_connection(*plain)
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            writer.close()
            _, mute = await asyncio.open_connection(*silent)
            mute.close()
            _, writer = await asyncio.open_connection(*tls, ssl=client)
            assert writer.get_extra_info("cipher")
            writer.close()
            await writer.wait_closed()

    with Stage() as stage:
        asyncio.run(main(stage))


def test_a_machine_without_ipv6(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoIPv6(socket.socket):
        def __init__(self, family: int = socket.AF_INET, *args: Any, **named: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "no IPv6")
            super().__init__(family, *args, **named)

    monkeypatch.setattr(stages.socket, "socket", NoIPv6)
    with Stage() as stage:
        assert stage.dead == ("127.0.0.2", stage.healthy[1])


def test_an_openssl_that_takes_certificates_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(context: ssl.SSLContext, ciphers: str) -> None:
        raise ssl.SSLError("No cipher can be selected.")

    monkeypatch.setattr(ssl.SSLContext, "set_ciphers", refuse)
    assert without_certificate() is None


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
