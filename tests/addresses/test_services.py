"""Names of services as ports, and paths that can be nothing else."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from support.listeners import LOOPBACK, listening, unix_listening

from aconnect import Dialer, TCPAddress, UDPAddress, UnixAddress, aconnect, parse_address
from aconnect.addresses import services
from aconnect.addresses.services import service_port

if TYPE_CHECKING:
    from collections.abc import Callable

TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("localhost:https", TCPAddress("localhost", 443)),
        ("[::1]:http", TCPAddress("::1", 80)),
        ("tcp://localhost:ssh", TCPAddress("localhost", 22)),
        ("udp://localhost:domain", UDPAddress("localhost", 53)),
        (("localhost", "https"), TCPAddress("localhost", 443)),
        (("localhost", b"https"), TCPAddress("localhost", 443)),
        (("::1", "https", 0, 2), TCPAddress("::1", 443, 0, 2)),
    ],
)
def test_a_service(given: Any, address: Any) -> None:
    assert parse_address(given) == address


@pytest.mark.parametrize(
    "name", ["", " ", "80", "-a", "a b", "a/tcp", "#a", "http\n", "a" * 33, "h\N{DIGIT ONE}\xe9"]
)
def test_what_cannot_be_a_name_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _never)
    assert not services.may_be_service(name) or name == "80"
    if name != "80":
        with pytest.raises(ValueError, match="port must be a number from 0 to 65535"):
            parse_address(("a", name))


def _never(*_: Any, **__: Any) -> Any:
    raise AssertionError("nothing is to be asked for")


def test_no_name_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    ask = socket.getaddrinfo

    def getaddrinfo(host: str, port: str, **how: Any) -> Any:
        asked.append((host, port, how["flags"]))
        return ask(host, port, **how)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert parse_address("db.example:https") == TCPAddress("db.example", 443)
    assert asked == [("127.0.0.1", "https", socket.AI_NUMERICHOST)]


@pytest.mark.parametrize(
    ("name", "protocol", "port"),
    [
        ("https", TCP, 443),
        ("domain", UDP, 53),
        ("ssh", UDP, None),
        ("no-such-thing", TCP, None),
    ],
)
def test_a_system_without_a_table(
    monkeypatch: pytest.MonkeyPatch, name: str, protocol: int, port: int | None
) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_SERVICE, "no table")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert service_port(name, protocol) == port


def test_the_few_are_what_the_system_has() -> None:
    for (name, protocol), port in services._KNOWN.items():
        assert service_port(name, protocol) == port


def test_a_service_that_there_is_not() -> None:
    with pytest.raises(ValueError, match=r"a:htpps.*'htpps', and no service has that name"):
        parse_address("a:htpps")


@pytest.mark.parametrize("text", ["/run/x.sock", "./x.sock", "../x:80", "/", "/a@b:1"])
def test_a_path(text: str) -> None:
    assert parse_address(text) == UnixAddress(text)


@pytest.mark.parametrize("text", ["//host:80", "x/y", "~/x", ".x", "/\0", "..", "@/x"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        parse_address(text)


@pytest.mark.anyio
async def test_they_can_be_dialled(
    anyio_backend: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask: Callable[..., Any] = socket.getaddrinfo
    with listening() as listener:
        address = listener.getsockname()
        name = f"ours-{address[1]}"  # what it was is kept

        def getaddrinfo(host: str, port: Any, **how: Any) -> Any:
            return ask(host, address[1] if port == name else port, **how)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        for sock in (
            await aconnect(f"{LOOPBACK}:{name}"),
            await aconnect(LOOPBACK, name),
            await Dialer().connect((LOOPBACK, name)),
        ):
            assert sock.getpeername() == address
            sock.close()
    with unix_listening(tmp_path / "s"):
        (await aconnect(str(tmp_path / "s"))).close()
