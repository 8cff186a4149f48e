"""No error is longer than a screen, whatever it has to tell of."""

from __future__ import annotations

import errno
import socket
import traceback
from typing import Any

import anyio
import pytest
from support.listeners import listening

from aconnect import (
    AttemptRecord,
    ConnectError,
    Dialer,
    HandshakeError,
    StaticResolver,
    TCPAddress,
    UnixAddress,
    connect_socket,
)
from aconnect.addresses.target import Target
from aconnect.addresses.text import clipped, shortened
from aconnect.errors.making import attempts_error, resolve_error
from aconnect.transports.calls import not_done

SCREEN = 24  # lines
MOST = 2000  # characters, fewer than a screen has
LABEL = "a" * 63
NAME = ".".join([LABEL, LABEL, LABEL, "b" * 61])  # 253 characters, the longest there is
LONG = "a word\n" * 10_000


def record(number: int, **more: Any) -> AttemptRecord:
    sockaddr = (f"10.0.{number // 256}.{number % 256}", 80)
    fields: dict[str, Any] = {
        "family": socket.AF_INET,
        "type": socket.SOCK_STREAM,
        "sockaddr": sockaddr,
        "local_address": ("10.1.1.1", 65535),
        "start": 0.0,
        "end": 0.001,
        "outcome": "failed",
        "errno": errno.ECONNREFUSED,
    }
    return AttemptRecord(**{**fields, **more})


def on_a_path(number: int) -> AttemptRecord:
    path = "/" + "\x01" * 4000 + str(number)
    return record(number, family=socket.AF_UNIX, sockaddr=path, local_address=path, note=LONG)


def is_short(error: BaseException) -> None:
    texts = [str(error), repr(error), *map(str, getattr(error, "attempts", ())[:4])]
    if error.__cause__ is not None:
        texts.append("".join(traceback.format_exception(error.__cause__)))
    for text in texts:
        assert len(text) <= MOST
        assert text.count("\n") <= SCREEN


@pytest.mark.parametrize("count", [1, 2, 4, 5, 1000])
@pytest.mark.parametrize(
    "make",
    [record, on_a_path, lambda number: record(number, note=LONG)],
    ids=["plain", "path", "note"],
)
@pytest.mark.parametrize("name", [NAME, "\u00e9" * 40])
def test_of_any_number_of_attempts(count: int, make: Any, name: str) -> None:
    records = [make(number) for number in range(count)]
    error = attempts_error(records, Target(TCPAddress(name, 65535), None), 1.0, untried=3)
    is_short(error)
    assert error.attempts == tuple(records)
    for each in getattr(error.__cause__, "exceptions", ()):
        is_short(each)


@pytest.mark.parametrize("attempts", [1, 3, 1000])
@pytest.mark.parametrize("without", [1, 3, 1000])
def test_of_any_number_of_hosts(attempts: int, without: int) -> None:
    records = [
        record(number, sockaddr=(NAME, 65535), local_address=(NAME, 65535), host=NAME, note=LONG)
        for number in range(attempts)
    ]
    parts = tuple(Target(TCPAddress(NAME, 65535), None) for _ in range(without))
    target = Target(None, None, None, parts)
    errors = {rank: resolve_error(2, part, 1.0, LONG) for rank, part in enumerate(parts)}
    error = attempts_error(records, target, 1.0, unresolved=errors, untried=3)
    assert error.__cause__ is not None
    assert len(str(error)) <= MOST
    assert len(getattr(error.__cause__, "exceptions", ())) <= 4


def test_the_first_few_are_named_and_how_many_more() -> None:
    records = [record(number) for number in range(1000)]
    error = attempts_error(records, Target(TCPAddress("a.example", 80), None), 1.0)
    assert str(error) == (
        "[Errno 111] could not connect to a.example:80 in 1.00 s: 1000 of 1000 addresses tried: "
        "10.0.0.0:80 from 10.1.1.1:65535: nothing is listening there after 1.0 ms; "
        "10.0.0.1:80 from 10.1.1.1:65535: nothing is listening there after 1.0 ms; "
        "10.0.0.2:80 from 10.1.1.1:65535: nothing is listening there after 1.0 ms; "
        "10.0.0.3:80 from 10.1.1.1:65535: nothing is listening there after 1.0 ms; and 996 more"
    )
    assert isinstance(error.__cause__, ExceptionGroup)
    assert error.__cause__.message == "4 of the attempts"
    assert [each.attempts for each in error.__cause__.exceptions] == [
        (each,) for each in records[:4]
    ]


def test_the_one_that_decides_is_named() -> None:
    shaken = record(900, phase="handshake", note="the TLS handshake failed: expired")
    records = [*map(record, range(900)), shaken, *map(record, range(901, 1000))]
    cause = ValueError("expired")
    causes = [cause if each is shaken else None for each in records]
    error = attempts_error(records, Target(TCPAddress("a.example", 80), None), 1.0, causes=causes)
    assert isinstance(error, HandshakeError)
    assert "10.0.3.132:80 from 10.1.1.1:65535: the TLS handshake failed: expired" in str(error)
    assert isinstance(error.__cause__, ExceptionGroup)
    assert error.__cause__.exceptions[-1].__cause__ is cause


@pytest.mark.anyio
class TestOfOthersWords:
    async def test_a_resolvers(self, anyio_backend: Any) -> None:
        class Wordy:
            async def resolve(self, address: Any) -> Any:
                raise socket.gaierror(socket.EAI_NONAME, LONG)
                yield

        with pytest.raises(ConnectError) as raised:
            await Dialer(resolver=Wordy()).connect((NAME, 80))
        for text in (str(raised.value), repr(raised.value)):
            assert len(text) <= MOST
            assert "\n" not in text

    async def test_a_handshakes_and_a_hooks(self, anyio_backend: Any) -> None:
        async def wordy(sock: socket.socket) -> None:
            raise ValueError(LONG)

        def hook(*_: Any) -> None:
            raise ValueError(LONG)

        names = StaticResolver({NAME: ["127.0.0.1"] * 3})
        with listening() as listener:
            for dialer, handshake in ((Dialer(), wordy), (Dialer(on_socket=hook), None)):
                for address in (NAME, "127.0.0.1"):
                    with pytest.raises(ConnectError) as raised:
                        await dialer.replace(resolver=names).connect(
                            (address, listener.getsockname()[1]),
                            handshake=handshake,  # type: ignore[arg-type]
                        )
                    for text in (str(raised.value), repr(raised.value)):
                        assert len(text) <= MOST
                        assert "\n" not in text

    async def test_a_sockaddr_of_another_family(self, anyio_backend: Any) -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            with pytest.raises(ConnectError) as raised:
                await connect_socket(sock, "/" + "x" * 10_000)
            is_short(raised.value)
        await anyio.lowlevel.checkpoint()


def test_of_a_handshake_that_is_not_done() -> None:
    is_short(not_done(UnixAddress("/\n" * 5000), "SSH", 0.0, socket.AF_UNIX))


def test_cutting() -> None:
    assert [shortened("0123456789", most) for most in (10, 9, 8)] == [
        "0123456789",
        "012...789",
        "012...89",
    ]
    assert [clipped("0123456789", most) for most in (10, 9)] == ["0123456789", "012345..."]
