"""httpcore and httpx, and what goes on with their interfaces by another name."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any, NamedTuple

import pytest

__all__ = ["CORES", "HTTPX", "Core", "Httpx", "core_of", "httpx_of"]


class Core(NamedTuple):
    """A package that is httpcore, and what is ours for it."""

    name: str
    core: Any
    AConnectBackend: Any
    AConnectPool: Any


class Httpx(NamedTuple):
    """A package that is httpx, its httpcore, and what is ours for it."""

    name: str
    httpx: Any
    core: Any
    AConnectTransport: Any


def core_of(name: str) -> Core:
    ours = importlib.import_module(f"aconnect.clients.{name}")
    return Core(name, importlib.import_module(name), ours.AConnectBackend, ours.AConnectPool)


def httpx_of(name: str) -> Httpx:
    ours = importlib.import_module(f"aconnect.clients.{name}")
    core = importlib.import_module(name.replace("httpx", "httpcore"))
    return Httpx(name, importlib.import_module(name), core, ours.AConnectTransport)


def _each(*names: str) -> list[Any]:
    """Parameters of a fixture; one whose package is missing is skipped."""
    return [
        pytest.param(
            name, marks=pytest.mark.skipif(not find_spec(name), reason=f"{name} is not installed")
        )
        for name in names
    ]


CORES = _each("httpcore", "httpcore2")
HTTPX = _each("httpx", "httpx2")
