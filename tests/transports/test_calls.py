"""What is running decides which of the calls can be made; and what all of them take."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from typing import Any
from weakref import ref

import pytest
import trio

import aconnect
from aconnect import Dialer
from aconnect.transports.calls import DialerOptions, dialer_of, keep_nagle

ON_ASYNCIO: Any = {
    "create_connection": (asyncio.Protocol, "127.0.0.1:1"),
    "open_connection": ("127.0.0.1:1",),
    "create_datagram_endpoint": (asyncio.DatagramProtocol, None, "udp://127.0.0.1:1"),
    "create_unix_connection": (asyncio.Protocol, "/nowhere"),
    "open_unix_connection": ("/nowhere",),
}


@pytest.mark.parametrize("name", ON_ASYNCIO)
def test_under_trio_they_name_what_there_is(name: str) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=rf"{name}\(\) is for asyncio.*open_stream\(\)"):
            await getattr(aconnect, name)(*ON_ASYNCIO[name])

    trio.run(main)


def test_under_asyncio_the_one_for_trio_names_what_there_is() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"open_stream\(\), or open_connection\(\)"):
            await aconnect.open_trio_stream("127.0.0.1:1")

    asyncio.run(main())


@pytest.mark.parametrize("name", ON_ASYNCIO)
def test_without_a_loop_they_say_so(name: str) -> None:
    call = getattr(aconnect, name)(*ON_ASYNCIO[name])
    with pytest.raises(RuntimeError, match="no running event loop"):
        call.send(None)


class Stubborn(socket.socket):
    """As on macOS, where setsockopt() fails when the peer has hung up."""

    def setsockopt(self, *_: Any) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")


@pytest.mark.parametrize(
    ("family", "kind"),
    [(socket.AF_INET, Stubborn), (socket.AF_UNIX, Stubborn), (socket.AF_INET, socket.socket)],
)
def test_what_has_no_delay_to_set_is_left_alone(family: int, kind: Any) -> None:
    with kind(family) as sock:
        keep_nagle(sock)
    keep_nagle(sock)


def test_the_options_are_those_of_a_dialer() -> None:
    of_a_dialer = {name for name in Dialer.__dataclass_fields__ if not name.startswith("_")}
    assert set(DialerOptions.__annotations__) == of_a_dialer


class TestTheDialerOfACall:
    def test_it_is_made_once_for_the_same_options(self) -> None:
        first = dialer_of(None, {"family": socket.AF_INET, "attempt_delay": 0.5})
        assert first is dialer_of(None, {"family": socket.AF_INET, "attempt_delay": 0.5})
        assert (first.family, first.attempt_delay) == (socket.AF_INET, 0.5)
        other = dialer_of(None, {"family": socket.AF_INET6, "attempt_delay": 0.5})
        assert other.family == socket.AF_INET6

    def test_equal_values_of_another_type_are_looked_at(self) -> None:
        assert dialer_of(None, {"nodelay": True}).nodelay
        with pytest.raises(TypeError, match="nodelay must be True or False, not 1"):
            dialer_of(None, {"nodelay": 1})

    def test_what_an_option_leads_to_is_not_kept_alive(self) -> None:
        def on_socket(*_: object) -> None: ...

        kept = ref(on_socket)
        assert dialer_of(None, {"on_socket": on_socket}).on_socket is on_socket
        del on_socket
        gc.collect()
        assert kept() is None

    def test_no_text_is_kept_as_it_may_have_a_password(self) -> None:
        options = {"proxy": "socks5h://u:secret@127.0.0.1:1"}
        assert dialer_of(None, options) is not dialer_of(None, options)

    def test_options_are_on_top_of_a_dialer(self) -> None:
        own = Dialer(attempt_delay=2)
        both = dialer_of(own, {"family": socket.AF_INET})
        assert (both.attempt_delay, both.family) == (2, socket.AF_INET)
        assert dialer_of(own, {}) is own
