"""Draw the pictures of the documentation: each is `Report.to_svg` of a dial that was made.

    python docs/pictures/draw.py        those of a fake network by a virtual clock
    python docs/pictures/draw.py --lab  dead-ipv6.svg, of a real network in namespaces; needs root

Those in `CHARTS` are bars, of what `benchmarks/speed.py --json` has put into speed.json.

Rules:

* The first kind is the same to the byte wherever it is drawn: tests/test_pictures.py draws it
  again.
* The second is measured.  What is measured beside it is in dead-ipv6.json, and the figures that
  the documentation gives are compared with that.
"""

from __future__ import annotations

import asyncio
import json
import platform
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aconnect import Batch, ConnectError, Handshake, Question, Report, Service, TCPAddress
from aconnect.testing import FakeNetwork, VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from aconnect import Endpoint

HERE = Path(__file__).parent

sys.path.insert(0, str(HERE))
import bars  # noqa: E402

PICTURES: dict[str, Callable[[FakeNetwork], dict[str, Any]]] = {}
"""What adds the hosts of a picture to a network, and returns how they are dialled."""

NAME = "www.example"


def picture(scene: Callable[[FakeNetwork], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    PICTURES[scene.__name__] = scene
    return scene


def tls(**seconds: float) -> Handshake[None]:
    """A handshake that takes so many seconds with each of the addresses v6 and v4."""

    async def shake(sock: socket.socket) -> None:
        await asyncio.sleep(seconds["v6" if sock.family == socket.AF_INET6 else "v4"])
        sock.close()

    return Handshake(shake, name="TLS")


# A fake network


@picture
def race(network: FakeNetwork) -> dict[str, Any]:
    network.resolves(NAME, after=0.02)
    network.add(NAME, "2001:db8::1", outcome="silent")
    network.add(NAME, "192.0.2.1", outcome="refused", after=0.08)
    network.add(NAME, "192.0.2.2", after=0.03)
    network.add(NAME, "2001:db8::2", after=0.12)
    return {}


@picture
def handshakes(network: FakeNetwork) -> dict[str, Any]:
    network.resolves(NAME, after=0.02)
    network.add(NAME, "2001:db8::1", after=0.03)
    network.add(NAME, "192.0.2.1", after=0.04)
    return {"handshake": tls(v6=3600, v4=0.08)}


@picture
def deadline(network: FakeNetwork) -> dict[str, Any]:
    network.resolves(NAME, after=1.1)
    network.add(NAME, "2001:db8::1", outcome="silent")
    network.add(NAME, "192.0.2.1", after=0.6)
    return {"handshake": tls(v4=3600), "timeout": 3}


@picture
def cancellation(network: FakeNetwork) -> dict[str, Any]:
    network.resolves(NAME, after=0.02)
    network.add(NAME, "2001:db8::1", outcome="silent")
    network.add(NAME, "192.0.2.1", after=0.04)
    return {"handshake": tls(v4=3600), "cancel_after": 0.4}


@picture
def names(network: FakeNetwork) -> dict[str, Any]:
    network.resolves(NAME, ipv4=0.02, ipv6=0.2)
    network.add(NAME, "192.0.2.1", outcome="silent")
    network.add(NAME, "2001:db8::1", after=0.05)
    return {}


@picture
def proxies(network: FakeNetwork) -> dict[str, Any]:
    def answer(far: socket.socket) -> None:
        """SOCKS 5 (RFC 1928): no login is needed; connected."""
        later = asyncio.get_running_loop().call_later
        later(0.03, far.send, b"\x05\x00")
        later(0.09, far.send, b"\x05\x00\x00\x01\xc0\x00\x02\x01\x00\x50")
        network.hold(far)  # and close it

    network.add("proxy.example", "2001:db8::1", port=1080, outcome="silent")
    network.add("proxy.example", "192.0.2.1", port=1080, after=0.03, on_connection=answer)
    network.resolves("proxy.example", after=0.02)
    return {"proxy": "socks5h://proxy.example:1080", "handshake": tls(v4=0.08)}


class Told:
    """A resolver that says what it is told, at the second that it is told."""

    def __init__(self, *script: tuple[float, Batch]) -> None:
        self._script = script

    async def resolve(self, _address: Any) -> AsyncIterator[Batch]:
        start = time.monotonic()
        for when, batch in self._script:
            await asyncio.sleep(start + when - time.monotonic())
            yield batch


@picture
def services(network: FakeNetwork) -> dict[str, Any]:
    one, two, host = (
        Service("one.example", 1, 8443, ("h2",)),
        Service("two.example", 2, 443, ("h2",)),
        NAME,
    )
    network.add("one.example", "2001:db8::11", port=8443, outcome="silent")
    network.add("one.example", "192.0.2.11", port=8443, outcome="refused", after=0.02)
    network.add("two.example", "2001:db8::22", after=0.03)
    network.add(NAME, "192.0.2.1", after=0.03)

    def ask(*questions: tuple[str, str]) -> list[Question]:
        return [Question(name, kind) for name, kind in questions]

    def heard(name: str, **records: int) -> list[Question]:
        return [
            Question(name, kind, outcome="NOERROR", records=count)
            for kind, count in records.items()
        ]

    def addresses(rank: int, port: int, *hosts: str, **more: Any) -> Batch:
        made = [TCPAddress(each, port).endpoint for each in hosts]
        return Batch([each for each in made if each], sorted=True, rank=rank, **more)

    both = frozenset({socket.AF_INET6, "service"})
    told = [
        (
            0.0,
            Batch((), awaiting=both, questions=ask((host, "HTTPS"), (host, "AAAA"), (host, "A"))),
        ),
        (
            0.02,
            Batch(
                (),
                service=one,
                questions=[
                    *heard(host, HTTPS=2),
                    *ask(*((name, kind) for name in (one[0], two[0]) for kind in ("AAAA", "A"))),
                ],
            ),
        ),
        (0.02, Batch((), rank=1, service=two)),
        (0.03, addresses(2, 443, "192.0.2.1", questions=heard(host, AAAA=0, A=1))),
        (
            0.05,
            addresses(
                0,
                8443,
                "2001:db8::11",
                "192.0.2.11",
                service=one,
                awaiting=frozenset(),
                questions=heard(one[0], AAAA=1, A=1),
            ),
        ),
        (
            0.06,
            addresses(1, 443, "2001:db8::22", service=two, questions=heard(two[0], AAAA=1, A=0)),
        ),
    ]
    return {
        "address": f"https://{NAME}",
        "resolver": Told(*told),
        "handshake": tls(v6=0.06),
    }


# Figures

OF = "3.13"
"""The Python whose figures the pictures have."""
COMPARED = {
    "asyncio": (
        ("blocking socket.connect", "floor"),
        ("aconnect", "ours"),
        ("loop.sock_connect", "theirs"),
        ("create_connection", "ours"),
        ("loop.create_connection", "theirs"),
        ("open_connection", "ours"),
        ("asyncio.open_connection", "theirs"),
        ("open_connection by name", "ours"),
        ("asyncio.open_connection by name", "theirs"),
        ("open_stream", "ours"),
        ("anyio.connect_tcp", "theirs"),
    ),
    "uvloop": (
        ("aconnect", "ours"),
        ("loop.sock_connect", "theirs"),
        ("create_connection", "ours"),
        ("loop.create_connection", "theirs"),
        ("open_connection", "ours"),
        ("asyncio.open_connection", "theirs"),
        ("open_stream", "ours"),
        ("anyio.connect_tcp", "theirs"),
    ),
    "trio": (
        ("aconnect", "ours"),
        ("trio.socket connect", "theirs"),
        ("open_trio_stream", "ours"),
        ("trio.open_tcp_stream", "theirs"),
        ("open_stream", "ours"),
        ("anyio.connect_tcp", "theirs"),
    ),
}


def figures() -> dict[str, dict[str, float]]:
    """The medians of a run, by loop and contender."""
    medians: dict[str, dict[str, float]] = json.loads((HERE / "speed.json").read_text())[OF][
        "medians"
    ]
    return medians


def speed() -> str:
    medians = figures()
    groups = [
        (loop, [bars.Bar(name, medians[loop][name], kind) for name, kind in compared])
        for loop, compared in COMPARED.items()
    ]
    programs = [bars.Bar(name, took, "floor") for name, took in medians["programs"].items()]
    if programs:
        groups.append(("other languages", programs))
    title = "One connect and close on loopback: aconnect's (filled) and others', medians"
    return bars.chart(title, groups)


def costs() -> str:
    found = figures()["dialer"]
    of = [bars.Bar(name, took, "ours") for name, took in found.items()]
    title = "What a dialer's options cost: Dialer(...).connect() on asyncio, medians"
    return bars.chart(title, [("asyncio", of)])


def beside() -> str:
    """The dial of dead-ipv6.svg, and asyncio's, which was measured with it."""
    measured = json.loads((HERE / "dead-ipv6.json").read_text())["seconds"]
    of = [
        bars.Bar("asyncio.open_connection", measured["asyncio"], "theirs"),
        bars.Bar("aconnect", measured["aconnect"], "ours"),
    ]
    return bars.chart("Seconds to connect to a name whose IPv6 is dead", [("", of)], "{:.2f} s")


CHARTS: dict[str, Callable[[], str]] = {"speed": speed, "costs": costs, "beside": beside}


def drawn(name: str) -> str:
    """A picture, from a dial that is made now."""
    with FakeNetwork() as network:
        options = PICTURES[name](network)
        cancel_after, proxy = options.pop("cancel_after", None), options.pop("proxy", None)
        address = options.pop("address", f"{NAME}:443")
        resolver = options.pop("resolver", network.resolver)
        dialer, report = network.dialer(proxy=proxy, resolver=resolver), Report()
        made: list[Any] = []

        async def dial() -> None:
            with suppress(ConnectError, TimeoutError):
                async with asyncio.timeout(cancel_after):
                    made.append(await dialer.connect(address, report=report, **options))

        VirtualClock().run(dial)
        for sock in made:
            sock and sock.close()
    return from_zero(report).to_svg(880)


def from_zero(report: Report) -> Report:
    """The same, begun at 0: no picture depends on when its dial was made."""
    start = report.events[0].time
    same = Report()
    for event in report.events:
        fields = {"time": round(event.time - start, 6)}
        if hasattr(event, "deadline"):
            fields["deadline"] = round(event.deadline - start, 6)
        same(event.replace(**fields))
    return same


# A real network


def measure() -> tuple[Report, dict[str, Any]]:
    """Dial a name whose IPv6 is dead, by aconnect and by asyncio, and return what it took."""
    sys.path.insert(0, str(HERE.parents[1] / "tests"))
    from lab.support import Lab

    from aconnect import Dialer, StaticResolver

    took = {}
    report = Report()
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        lab.wan(client, server, delay=0.01)  # 20 ms there and back
        server.nft(
            "table inet lab { chain input { type filter hook input priority 0;"
            " meta nfproto ipv6 tcp dport 443 drop; }; }"
        )
        # Where the lab has its addresses, the picture has those for documentation.
        shown = {server.v6: "2001:db8::1", server.v4: "192.0.2.1", client.v4: "192.0.2.254"}
        addresses = [server.v6, server.v4]
        with server.listen(server.v4, 443):
            dialer = Dialer(resolver=StaticResolver({NAME: addresses}))

            async def by_aconnect() -> None:
                started = time.monotonic()
                with await dialer.connect(f"{NAME}:443", report=report):
                    took["aconnect"] = time.monotonic() - started

            async def by_asyncio() -> None:
                loop = asyncio.get_running_loop()

                async def getaddrinfo(_host: str, port: int, **_: Any) -> list[Any]:
                    answers = []
                    for address in addresses:
                        answers += socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
                    return answers

                loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]
                started = time.monotonic()
                _, writer = await asyncio.open_connection(NAME, 443)
                took["asyncio"] = time.monotonic() - started
                writer.close()

            client.run(by_aconnect)
            client.run(by_asyncio)
    return renamed(report, shown), {
        "seconds": {name: round(seconds, 2) for name, seconds in took.items()},
        "round trip": 0.02,
        "python": platform.python_version(),
        "linux": ".".join(platform.release().split(".")[:2]),
    }


def renamed(report: Report, shown: dict[str, str]) -> Report:
    """The same with other addresses."""

    def sockaddr(given: Any) -> Any:
        return (shown.get(given[0], given[0]), *given[1:])

    def endpoints(given: Iterable[Endpoint]) -> list[Endpoint]:
        return [each._replace(sockaddr=sockaddr(each.sockaddr)) for each in given]

    same = Report()
    for event in from_zero(report).events:
        fields: dict[str, Any] = {}
        if hasattr(event, "endpoint"):
            fields["endpoint"] = event.endpoint._replace(
                sockaddr=sockaddr(event.endpoint.sockaddr)
            )
        if hasattr(event, "endpoints"):
            fields["endpoints"] = tuple(endpoints(event.endpoints))
        if getattr(event, "local_address", None):
            fields["local_address"] = sockaddr(event.local_address)
        same(event.replace(**fields))
    return same


def main(arguments: list[str]) -> None:
    if arguments == ["--lab"]:
        report, measured = measure()
        (HERE / "dead-ipv6.svg").write_text(report.to_svg(880))
        (HERE / "dead-ipv6.json").write_text(json.dumps(measured, indent=2) + "\n")
        return
    for name in PICTURES:
        (HERE / f"{name}.svg").write_text(drawn(name))
    for name, chart in CHARTS.items():
        (HERE / f"{name}.svg").write_text(chart())


if __name__ == "__main__":
    main(sys.argv[1:])
