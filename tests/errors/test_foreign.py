"""The traceback of what a handshake raised, under the error that says so."""

from __future__ import annotations

import socket
import traceback
from contextlib import ExitStack
from typing import Any

import pytest
from support.listeners import listening

from aconnect import Dialer, HandshakeError, ResolveError, StaticResolver
from aconnect.errors.foreign import begin_with_theirs

pytestmark = pytest.mark.anyio


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


async def failed(shake: Any, count: int = 1) -> HandshakeError:
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(listening(f"127.0.0.{n + 1}")).getsockname() for n in range(count)
        ]
        with pytest.raises(HandshakeError) as caught:
            await Dialer().connect(list(listeners), timeout=30, handshake=shake)
        return caught.value


async def test_it_begins_in_the_users_code() -> None:
    async def shake(_sock: socket.socket) -> None:
        raise ValueError("no")

    error = await failed(shake)
    frames = traceback.extract_tb(error.__cause__ and error.__cause__.__traceback__)
    assert [frame.name for frame in frames] == ["shake"]


async def test_of_several_it_has_the_useful_line_last_and_few_before() -> None:
    async def shake(_sock: socket.socket) -> None:
        raise raised(ConnectionAbortedError("they do not want us"))

    error = await failed(shake, 6)
    text = "".join(traceback.format_exception(error))
    assert text.count("src/aconnect/dial/flight.py") == 0
    assert text.splitlines()[-1].startswith("aconnect.HandshakeError: ")
    assert "they do not want us" in text.splitlines()[-1]


async def test_a_resolvers_begins_there_too() -> None:
    class Broken:
        async def resolve(self, _address: object) -> Any:
            raise ValueError("no")
            yield

    with pytest.raises(ResolveError) as caught:
        await Dialer(resolver=Broken()).connect("a.example:80")
    cause = caught.value.__cause__
    assert [frame.name for frame in traceback.extract_tb(cause and cause.__traceback__)] == [
        "resolve"
    ]


async def test_one_that_is_all_ours_stays_unless_the_error_is_a_peers() -> None:
    def within(error: Exception) -> Exception:
        namespace = {"__name__": "aconnect.anything", "error": error}
        try:
            exec("raise error", namespace)
        except Exception as caught:
            traceback_of_ours = caught.__traceback__
            assert traceback_of_ours is not None
            return caught.with_traceback(traceback_of_ours.tb_next)
        raise AssertionError

    bug, refusal = within(TypeError("a bug")), within(ConnectionResetError("gone"))
    assert begin_with_theirs(bug) is bug
    assert bug.__traceback__ is not None
    assert begin_with_theirs(refusal) is refusal
    assert refusal.__traceback__ is None
    assert begin_with_theirs(None) is None


async def test_a_name_without_an_address_has_the_resolvers_error() -> None:
    with pytest.raises(ResolveError) as caught:
        await Dialer(resolver=StaticResolver({})).connect("a.example:80")
    assert isinstance(caught.value.__cause__, socket.gaierror)
