"""No test here knows of this machine's own name servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aconnect.resolvers.dns import surroundings as module
from aconnect.resolvers.dns.exchange import Exchange
from aconnect.resolvers.dns.wire import type_name
from aconnect.sansio import asking as sansio_asking

if TYPE_CHECKING:
    from pathlib import Path


class Machine:
    """The files that say how names are looked up."""

    def __init__(self, where: Path) -> None:
        self._where = where

    def path(self, name: str) -> str:
        return str(self._where / name)

    def write(self, name: str, text: str) -> None:
        (self._where / name).write_text(text)

    def remove(self, name: str) -> None:
        (self._where / name).unlink()


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: Any) -> Machine:
    machine = Machine(tmp_path)
    for constant, name in (
        ("RESOLV_CONF", "resolv.conf"),
        ("NSSWITCH_CONF", "nsswitch.conf"),
        ("HOSTS", "hosts"),
    ):
        monkeypatch.setattr(module, constant, machine.path(name))
    monkeypatch.delenv("LOCALDOMAIN", raising=False)
    monkeypatch.delenv("RES_OPTIONS", raising=False)
    machine.write("nsswitch.conf", "hosts: files dns\n")
    machine.write("hosts", "")
    machine.write("resolv.conf", "")
    return machine


@pytest.fixture
def put(monkeypatch: Any) -> list[str]:
    """The types of the questions that have been put to servers: a server of a test that has been
    given up has perhaps not had its turn to hear of them."""
    put: list[str] = []
    real = Exchange._open

    def open_socket(exchange: Any, *more: Any, **named: Any) -> None:
        put.append(type_name(exchange.question.type))
        real(exchange, *more, **named)

    monkeypatch.setattr(Exchange, "_open", open_socket)
    return put


@pytest.fixture(autouse=True)
def patience(monkeypatch: Any) -> None:
    """A server on a busy machine is none that is silent, and is not asked twice for that."""
    for name in ("FIRST_PATIENCE", "LEAST_PATIENCE"):
        monkeypatch.setattr(sansio_asking, name, 30.0)
