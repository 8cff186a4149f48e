"""Which argument was meant, and what a signature tells of ``**options``."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, TypedDict, Unpack

import pytest
import trio
from conftest import ASYNCIO_LOOPS

import aconnect
from aconnect import Dialer, TCPAddress
from aconnect.sansio.naming import check_names, spelled_out, unexpected


class Options(TypedDict, total=False):
    colour: str
    size: int


@spelled_out(Options, {"size": 3})
def paint(wall: object, *, twice: bool = False, **options: Unpack[Options]) -> None:
    check_names(paint, options)


def test_a_signature_names_the_options() -> None:
    signature = inspect.signature(paint)
    assert str(signature).startswith("(wall: 'object', *, twice: 'bool' = False, colour: ")
    assert {name: each.default for name, each in signature.parameters.items()} == {
        "wall": inspect.Parameter.empty,
        "twice": False,
        "colour": None,
        "size": 3,
    }


def test_what_is_in_the_signature_is_taken() -> None:
    paint("north", colour="red", size=4)
    with pytest.raises(TypeError) as caught:
        paint("north", color="red")  # type: ignore[call-arg]
    assert (
        str(caught.value)
        == "paint() got an unexpected keyword argument 'color': did you mean 'colour'?"
    )


@pytest.mark.parametrize(
    ("name", "known", "advice"),
    [
        ("timout", ["timeout", "deadline"], ": did you mean 'timeout'?"),
        ("happy_eyeballs_delay", ["attempt_delay"], ": did you mean 'attempt_delay'?"),
        ("interleave", ["first_family_count"], ": did you mean 'first_family_count'?"),
        ("interleave", ["interleaved"], ": did you mean 'interleaved'?"),
        ("red", ["timeout"], ""),
        ("red", [], ""),
    ],
)
def test_advice(name: str, known: list[str], advice: str) -> None:
    said = str(unexpected("dial", name, known))
    assert said == f"dial() got an unexpected keyword argument {name!r}{advice}"


def test_what_only_a_dialer_has() -> None:
    said = str(unexpected("dial", "happy_eyeballs_delay", ["timeout"], ["attempt_delay"]))
    assert said.endswith(": it is for a Dialer, as in Dialer(attempt_delay=...).connect(...)")


CALLS: Any = {
    "aconnect": ("127.0.0.1:1",),
    "create_connection": (asyncio.Protocol, "127.0.0.1:1"),
    "open_connection": ("127.0.0.1:1",),
    "create_unix_connection": (asyncio.Protocol, "/s"),
    "open_unix_connection": ("/s",),
    "create_datagram_endpoint": (asyncio.DatagramProtocol, None, ("127.0.0.1", 1)),
    "open_stream": ("127.0.0.1:1",),
}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
@pytest.mark.parametrize("name", CALLS)
async def test_each_call_says_which_argument_was_meant(anyio_backend: Any, name: str) -> None:
    call = getattr(aconnect, name)
    said = rf"^{name}\(\) got an unexpected keyword argument 'timout': did you mean 'timeout'\?$"
    with pytest.raises(TypeError, match=said):
        await call(*CALLS[name], timout=5)


def test_trios_call_does_as_well() -> None:
    async def main() -> None:
        said = r"^open_trio_stream\(\) got .* 'timout': did you mean 'timeout'\?$"
        with pytest.raises(TypeError, match=said):
            await aconnect.open_trio_stream("127.0.0.1:1", timout=5)  # type: ignore[call-overload]

    trio.run(main)


@pytest.mark.anyio
async def test_what_a_dialer_has_is_not_for_aconnect(anyio_backend: Any) -> None:
    with pytest.raises(
        TypeError, match=r"^aconnect\(\) .*: it is for a Dialer, as in Dialer\(tos="
    ):
        await aconnect.aconnect("127.0.0.1:1", tos=3)  # type: ignore[call-arg]
    with pytest.raises(
        TypeError, match=r"^Dialer.connect\(\) .* in Dialer\(attempt_delay=\.\.\.\)"
    ):
        await Dialer().connect("[::1]:1", happy_eyeballs_delay=1)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"^Dialer.connect\(\) .*: did you mean 'deadline'\?"):
        await Dialer().connect("[::1]:1", deadlin=None)  # type: ignore[call-overload]


def test_values_do_as_well() -> None:
    with pytest.raises(TypeError, match=r"^Dialer\(\) .* 'happy_.*: did you mean 'attempt_delay'"):
        Dialer(happy_eyeballs_delay=0.1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^TCPAddress\(\) .* 'hots': did you mean 'host'\?"):
        TCPAddress(hots="a", port=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", [*CALLS, "open_trio_stream"])
def test_each_call_has_all_its_arguments_in_its_signature(name: str) -> None:
    call = getattr(aconnect, name)
    parameters = inspect.signature(call).parameters
    assert {"timeout", "deadline", "report"} <= set(parameters)
    assert all(each.kind != each.VAR_KEYWORD for each in parameters.values())
    if name != "aconnect":
        assert {"dialer", *Dialer.__dataclass_fields__} <= set(parameters)
        assert parameters["attempt_delay"].default == 0.25
