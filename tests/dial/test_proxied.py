"""Dials by way of SOCKS proxies: the race, the outcomes, the policies, what is told.

The tests' names say what they are about: P for the dial, U for outcomes, L for policies, N4 for
what must not be told, R for reports.
"""

from __future__ import annotations

import errno
import gc
import socket
import traceback
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from conftest import LOOPS_AND_DRIVERS
from support.fake_proxy import (
    CLOSE,
    GREETING,
    HOLD,
    LOGIN,
    RESET,
    Drip,
    FakeProxy,
    fake_elsewhere,
    socks5_request,
)
from support.listeners import LOOPBACK, listening, refusing, silent
from support.programs import free_port
from support.scenarios import ASYNCIO_LOOPS as LOOPS_TO_STEP
from support.scenarios import Scenario, cancel_at_every_step, cancel_at_every_step_of_trio

from aconnect import (
    AddressNotPermitted,
    Batch,
    ConnectError,
    ConnectTimeout,
    Dialer,
    Endpoint,
    Handshake,
    HandshakeError,
    Proxy,
    ProxyError,
    Report,
    ResolveError,
    StaticResolver,
    TCPAddress,
    open_stream,
)
from aconnect.policy import allow, deny, public_only
from aconnect.proxies import from_environment
from aconnect.sansio.negotiation import Refusal
from aconnect.trace import (
    AttemptStarted,
    DialStarted,
    HandshakeEnded,
    HandshakeStarted,
    ResolutionEnded,
    ResolutionStarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS_AND_DRIVERS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


LONG = 30  # seconds; what takes as long has failed
NAME = "db.example"
TARGET = (NAME, 5432)
ASK = socks5_request(NAME)
OK = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"
GOOD = [*GREETING, ASK, OK]
BANNER = b"SSH-2.0-banner\r\n"
CANARY = "c4n4ry"


def says(code: int) -> list[Any]:
    return [*GREETING, ASK, bytes([5, code, 0])]


def resolver(**hosts: list[str]) -> StaticResolver:
    return StaticResolver({name.replace("_", "."): each for name, each in hosts.items()})


async def received(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            data += sock.recv(count - len(data))
        except BlockingIOError:
            await anyio.wait_readable(sock)
    return data


class TestTheWay:
    @pytest.mark.parametrize("drip", [False, True], ids=["at once", "byte by byte"])
    async def test_p6_what_the_target_says_is_left_to_it(self, drip: bool) -> None:
        answers = (b"\x05\x00", OK + BANNER)
        sent = [Drip(each) if drip else each for each in answers]
        with FakeProxy([3, sent[0], ASK, sent[1]]) as proxy:
            sock = await Dialer(proxy=proxy.url()).connect(TARGET, timeout=LONG)
            with sock:
                assert await received(sock, len(BANNER)) == BANNER
                assert sock.getpeername() == proxy.address
                assert sock.gettimeout() == 0
            assert proxy.connections == 1
        assert bytes(proxy.heard[0]) == b"\x05\x01\x00\x05\x01\x00\x03\x0adb.example\x15\x38"

    async def test_a_login(self) -> None:
        script = [*LOGIN, 13, b"\x01\x00", ASK, OK]
        with FakeProxy(script) as proxy:
            with await Dialer(proxy=proxy.url(login="al%69ce:s3cre@")).connect(TARGET):
                pass
        assert b"\x01\x05alice\x05s3cre" in proxy.heard[0]

    async def test_socks4a(self) -> None:
        with FakeProxy([8 + 3 + 11, b"\x00\x5a" + bytes(6) + BANNER]) as proxy:
            url = proxy.url("socks4a", "me@")
            with await Dialer(proxy=url).connect(TARGET, timeout=LONG) as sock:
                assert await received(sock, len(BANNER)) == BANNER
        assert bytes(proxy.heard[0]) == b"\x04\x01\x15\x38\x00\x00\x00\x01me\x00db.example\x00"

    async def test_by_way_of_a_unix_socket(self, tmp_path: Any) -> None:
        path = tmp_path / "s"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()

            def serve(conn: socket.socket) -> None:
                with conn:
                    conn.recv(3)
                    conn.sendall(b"\x05\x00")
                    conn.recv(99)
                    conn.sendall(OK)

            async with anyio.create_task_group() as group:

                async def accept() -> None:
                    conn, _ = await anyio.to_thread.run_sync(listener.accept)
                    await anyio.to_thread.run_sync(serve, conn)

                group.start_soon(accept)
                dialer = Dialer(proxy=f"socks5h+unix:{path}")
                with await dialer.connect(TARGET, timeout=LONG):
                    pass

    async def test_p1_what_is_set_on_sockets_is_set_on_the_proxys(self) -> None:
        seen: list[Endpoint] = []
        with FakeProxy(GOOD) as proxy:
            dialer = Dialer(
                proxy=proxy.url(),
                on_socket=lambda _, endpoint: seen.append(endpoint),
                local_address="127.0.0.9",
                family=socket.AF_INET,
            )
            with await dialer.connect(TARGET, timeout=LONG) as sock:
                assert sock.getsockname()[0] == "127.0.0.9"
        assert [each.sockaddr for each in seen] == [proxy.address]

    async def test_p1_the_family_is_that_of_the_proxy(self) -> None:
        with FakeProxy([*GREETING, 22, OK]) as proxy:
            dialer = Dialer(proxy=proxy.url(), family=socket.AF_INET)
            with await dialer.connect("[2001:db8::1]:80", timeout=LONG):
                pass
            with pytest.raises(ResolveError, match="not an address of the family AF_INET6"):
                await Dialer(proxy=proxy.url(), family=socket.AF_INET6).connect(TARGET)

    async def test_p1_a_handshake_of_the_callers_comes_last(self) -> None:
        async def read(sock: socket.socket) -> bytes:
            with sock:
                return await received(sock, len(BANNER))

        with FakeProxy([*GOOD, BANNER]) as proxy:
            report = Report()
            dialer = Dialer(proxy=proxy.url(), trace=report)
            handshake = Handshake(read, name="greeting")
            assert await dialer.connect(TARGET, timeout=LONG, handshake=handshake) == BANNER
        [attempt] = report.attempts
        assert [(each.name, each.phase) for each in attempt.handshakes] == [
            ("SOCKS5", "proxy"),
            ("greeting", "handshake"),
        ]

    async def test_p1_a_failing_handshake_moves_on_to_the_next_address(self) -> None:
        async def fail_first(sock: socket.socket) -> str:
            name = str(sock.getpeername()[0])
            if name == LOOPBACK:
                raise ConnectionError("not here")
            sock.close()
            return name

        port = free_port()
        with FakeProxy(GOOD, port=port), FakeProxy(GOOD, host="127.0.0.2", port=port):
            dialer = Dialer(
                proxy=f"socks5h://proxy.example:{port}",
                resolver=resolver(proxy_example=[LOOPBACK, "127.0.0.2"]),
            )
            assert await dialer.connect(TARGET, timeout=LONG, handshake=fail_first) == "127.0.0.2"

    async def test_p2_a_name_is_sent_and_never_looked_up(self) -> None:
        class Never(StaticResolver):
            def resolve(self, address: Any) -> Any:
                raise AssertionError(address)

        with FakeProxy([*GREETING, socks5_request("xn--bcher-kva.example"), OK]) as proxy:
            dialer = Dialer(proxy=proxy.url(), resolver=Never({}))
            with await dialer.connect("bücher.example:5432", timeout=LONG):
                pass
        assert b"\x03\x15xn--bcher-kva.example" in proxy.heard[0]

    async def test_p2_what_takes_records_is_looked_up_here(self) -> None:
        dialer = Dialer(proxy="socks5h://127.0.0.1:1", resolver=StaticResolver({}))
        with pytest.raises(ConnectError, match="SRV records are looked up by a resolver"):
            await dialer.connect("srv:_x._tcp.a.test", timeout=LONG)
        with pytest.raises(ValueError, match="TCP addresses only"):
            await dialer.connect("srv:_x._udp.a.test", timeout=LONG)

    @pytest.mark.parametrize(
        ("target", "asked"),
        [
            ("192.0.2.1:80", b"\x01\xc0\x00\x02\x01\x00\x50"),
            ("[::ffff:192.0.2.1]:80", b"\x01\xc0\x00\x02\x01\x00\x50"),
            ("[2001:db8::1]:80", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x00\x50"),
        ],
    )
    @pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
    async def test_p2_a_literal_goes_as_an_address(
        self, scheme: str, target: str, asked: bytes
    ) -> None:
        with FakeProxy([*GREETING, 3 + len(asked), OK]) as proxy:
            with await Dialer(proxy=proxy.url(scheme)).connect(target, timeout=LONG):
                pass
        assert proxy.heard[0].endswith(b"\x05\x01\x00" + asked)

    @pytest.mark.parametrize(
        "target", ["[fe80::1%1]:80", "[fe80::1%lo]:80", ("2001:db8::1", 80, 5, 0)]
    )
    async def test_p2_a_zone_or_a_flow_label_is_refused(self, target: Any) -> None:
        with pytest.raises(ValueError, match="zone or a flow label"):
            await Dialer(proxy="socks5h://127.0.0.1:1").connect(target)

    async def test_p2_a_zone_that_a_resolver_gives_is_left_out(self) -> None:
        class Zones(StaticResolver):
            async def resolve(self, address: Any) -> Any:
                kind = (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP)
                yield Batch([Endpoint(*kind, ("fe80::5", address.port, 0, 3))])

        with FakeProxy(GOOD) as proxy:
            dialer = Dialer(proxy=proxy.url("socks5"), resolver=Zones({}))
            with pytest.raises(ResolveError, match="an address with a zone or a flow") as caught:
                await dialer.connect(TARGET, timeout=LONG)
            assert caught.value.errno == errno.EAFNOSUPPORT
            assert proxy.connections == 0

    @pytest.mark.parametrize("scheme", ["socks4", "socks4a"])
    async def test_p2_socks4_cannot_be_asked_for_ipv6(self, scheme: str) -> None:
        with FakeProxy([]) as proxy:
            dialer = Dialer(proxy=proxy.url(scheme), resolver=resolver(db_example=["::1"]))
            targets: list[Any] = ["[2001:db8::1]:80"] + [TARGET] * (scheme == "socks4")
            for target in targets:
                with pytest.raises(ConnectError, match="speaks SOCKS4") as caught:
                    await dialer.connect(target, timeout=LONG)
                assert caught.value.errno == errno.EAFNOSUPPORT
                assert not caught.value.attempts
            assert proxy.connections == 0

    async def test_p2_socks4_asks_for_the_ipv4_addresses_there_are(self) -> None:
        with FakeProxy([9, b"\x00\x5a" + bytes(6)]) as proxy:
            dialer = Dialer(
                proxy=proxy.url("socks4"),
                resolver=resolver(db_example=["2001:db8::1", "192.0.2.7"]),
            )
            with await dialer.connect(TARGET, timeout=LONG):
                pass
        assert b"\xc0\x00\x02\x07" in proxy.heard[0]

    @pytest.mark.parametrize(
        "target", ["udp://127.0.0.1:53", "unix:/run/x", "vsock:2:1", "unixpacket:/x"]
    )
    async def test_p9_what_is_not_tcp_is_refused(self, target: str) -> None:
        with pytest.raises(ValueError, match="a proxy can reach TCP addresses only"):
            await Dialer(proxy="socks5h://127.0.0.1:1").connect(target)

    async def test_p9_and_goes_directly_by_the_environment(self, tmp_path: Any) -> None:
        path = tmp_path / "s"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            chooses = from_environment("https", {"https_proxy": "http+unix:/nowhere"})
            for target in (f"unix:{path}", "udp://127.0.0.1:9"):
                with await Dialer(proxy=chooses).connect(target, timeout=LONG):
                    pass

    async def test_p4_a_chain(self) -> None:
        # The one fake plays both proxies: what comes second is asked by way of the first.
        hop = socks5_request("second.example")
        script = [*GREETING, hop, OK, *GREETING, ASK, OK + BANNER]
        with FakeProxy(script) as proxy:
            report = Report()
            dialer = Dialer(proxy=[proxy.url(), "socks5h://second.example:1081"], trace=report)
            with await dialer.connect(TARGET, timeout=LONG) as sock:
                assert await received(sock, len(BANNER)) == BANNER
        assert b"second.example\x04\x39" in proxy.heard[0]
        [attempt] = report.attempts
        assert [each.layer for each in attempt.handshakes] == [0, 1]
        assert report.to_dict()["via"] == [proxy.url(), "socks5h://second.example:1081"]

    async def test_p4_who_looks_up_the_next_hop_is_the_one_before_it(self) -> None:
        script = [*GREETING, 10, OK, *GREETING, 10, OK]
        with FakeProxy(script) as proxy:
            dialer = Dialer(
                proxy=[proxy.url("socks5"), "socks5://second.example:1081"],
                resolver=resolver(second_example=["192.0.2.2"], db_example=["192.0.2.3"]),
            )
            with await dialer.connect(TARGET, timeout=LONG):
                pass
        assert b"\x01\xc0\x00\x02\x02\x04\x39" in proxy.heard[0]
        assert b"\x01\xc0\x00\x02\x03\x15\x38" in proxy.heard[0]

    async def test_p4_the_second_hop_is_named_where_it_fails(self) -> None:
        hop = socks5_request("second.example")
        with FakeProxy([*GREETING, hop, OK, 3, b"\x05\xff"]) as proxy:
            dialer = Dialer(proxy=[proxy.url(), "socks5h://second.example:1081"])
            with pytest.raises(ProxyError, match=r"then socks5h://second\.example:1081") as caught:
                await dialer.connect(TARGET, timeout=LONG)
        assert caught.value.proxy == "socks5h://second.example:1081"
        assert (caught.value.layer, caught.value.about) == (1, "proxy")

    async def test_several_hosts_are_asked_for_in_their_order(self) -> None:
        one, two = socks5_request("one.example"), socks5_request("two.example")
        refused = [*GREETING, one, b"\x05\x05\x00"]
        with FakeProxy(refused, [*GREETING, two, OK]) as proxy:
            report = Report()
            dialer = Dialer(proxy=proxy.url(), trace=report)
            with await dialer.connect(["one.example:1", "two.example:2"], timeout=LONG):
                pass
        assert [each.host for each in report.attempts] == ["one.example:1", "two.example:2"]

    async def test_a_list_of_results_is_a_list_of_targets(self) -> None:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        targets = [(*kind, ("192.0.2.1", 1)), (*kind, ("192.0.2.2", 1))]
        with FakeProxy([*GREETING, 10, b"\x05\x04\x00"], [*GREETING, 10, OK]) as proxy:
            with await Dialer(proxy=proxy.url()).connect(targets, timeout=LONG):
                pass
        assert b"\xc0\x00\x02\x02" in proxy.heard[1]


class TestRoutes:
    async def test_p3_both_names_are_looked_up_at_the_same_time(self) -> None:
        report = Report()
        with FakeProxy([*GREETING, 10, OK]) as proxy:
            dialer = Dialer(
                proxy=f"socks5://proxy.example:{proxy.port}",
                resolver=resolver(proxy_example=[LOOPBACK], db_example=["192.0.2.3"]),
                trace=report,
            )
            with await dialer.connect(TARGET, timeout=LONG):
                pass
        first = [e for e in report.events if isinstance(e, (ResolutionStarted, ResolutionEnded))]
        assert [type(each) for each in first[:2]] == [ResolutionStarted] * 2
        assert {each.of for each in first} == {"proxy", "target"}
        assert {each.of for each in report.resolutions} == {"proxy", "target"}

    async def test_p3_a_target_that_cannot_be_reached_is_not_asked_for_again(self) -> None:
        refused = [*GREETING, 10, b"\x05\x05\x00"]
        port = free_port()
        with FakeProxy(refused, port=port) as one:
            with FakeProxy(refused, host="127.0.0.2", port=port) as other:
                dialer = Dialer(
                    proxy=f"socks5://proxy.example:{port}",
                    resolver=resolver(
                        proxy_example=[LOOPBACK, "127.0.0.2"],
                        db_example=["192.0.2.1", "192.0.2.2"],
                    ),
                )
                with pytest.raises(ConnectionRefusedError) as caught:
                    await dialer.connect(TARGET, timeout=LONG)
                assert one.connections == 2
                assert other.connections == 0
        assert isinstance(caught.value, ProxyError)
        assert caught.value.about == "target"
        targets = [each.target.sockaddr[0] for each in caught.value.attempts]  # type: ignore[union-attr]
        assert targets == ["192.0.2.1", "192.0.2.2"]

    async def test_p3_a_bad_address_of_the_proxy_is_not_used_again(self) -> None:
        with (
            refusing(port=free_port()) as (_, port),
            FakeProxy(
                [*GREETING, 10, b"\x05\x04\x00"], [*GREETING, 10, OK], host="127.0.0.2", port=port
            ) as proxy,
        ):
            report = Report()
            dialer = Dialer(
                proxy=f"socks5://proxy.example:{port}",
                resolver=resolver(
                    proxy_example=[LOOPBACK, "127.0.0.2"],
                    db_example=["192.0.2.1", "192.0.2.2"],
                ),
                trace=report,
            )
            with await dialer.connect(TARGET, timeout=LONG):
                pass
            assert proxy.connections == 2
        tried = [each.endpoint.sockaddr[0] for each in report.attempts]
        assert tried == [LOOPBACK, "127.0.0.2", "127.0.0.2"]

    async def test_u_a_family_that_the_proxy_does_not_know_goes_as_a_whole(self) -> None:
        first = [*GREETING, 22, b"\x05\x08\x00"]
        with FakeProxy(first, [*GREETING, 10, OK]) as proxy:
            dialer = Dialer(
                proxy=proxy.url("socks5"),
                resolver=resolver(db_example=["2001:db8::1", "2001:db8::2", "192.0.2.2"]),
            )
            with await dialer.connect(TARGET, timeout=LONG):
                pass
            assert proxy.connections == 2

    async def test_d3_a_silent_address_costs_a_delay(self) -> None:
        port = free_port()
        with listening(port=port), FakeProxy(GOOD, host="127.0.0.2", port=port):
            dialer = Dialer(
                proxy=f"socks5h://proxy.example:{port}",
                resolver=resolver(proxy_example=[LOOPBACK, "127.0.0.2"]),
                attempt_delay=0.05,
            )
            report = Report()
            with await dialer.replace(trace=report).connect(TARGET, timeout=LONG):
                pass
        assert [each.outcome for each in report.attempts] == ["cancelled", "connected"]
        assert report.attempts[0].handshakes[0].outcome == "cancelled"

    async def test_a_name_of_the_proxy_that_is_not_known(self) -> None:
        dialer = Dialer(proxy="socks5h://proxy.example", resolver=resolver())
        with pytest.raises(ResolveError, match=r"could not resolve the proxy proxy\.example:1080"):
            await dialer.connect(TARGET, timeout=LONG)

    async def test_a_name_of_the_target_that_is_not_known(self) -> None:
        dialer = Dialer(proxy="socks5://127.0.0.1:1", resolver=resolver())
        with pytest.raises(ResolveError, match=r"could not resolve db\.example:5432") as caught:
            await dialer.connect(TARGET, timeout=LONG)
        assert caught.value.address == TCPAddress(*TARGET)

    async def test_of_several_hosts_each_that_is_not_known_is_named(self) -> None:
        dialer = Dialer(proxy="socks4://127.0.0.1:1", resolver=resolver(b_example=["::1"]))
        with pytest.raises(ResolveError, match=r"a\.example:1.*b\.example:1") as caught:
            await dialer.connect(["a.example:1", "b.example:1"], timeout=LONG)
        assert caught.value.address == (TCPAddress("a.example", 1), TCPAddress("b.example", 1))

    async def test_of_several_hosts_those_that_are_known_are_asked_for(self) -> None:
        with FakeProxy([*GREETING, 10, b"\x05\x05\x00"]) as proxy:
            dialer = Dialer(proxy=proxy.url("socks5"), resolver=resolver(b_example=["192.0.2.1"]))
            with pytest.raises(ConnectionRefusedError):
                await dialer.connect(["a.example:1", "b.example:1"], timeout=LONG)

    async def test_a_proxy_without_an_address_that_will_do(self) -> None:
        dialer = Dialer(
            proxy="socks5://proxy.example", family=socket.AF_INET6,
            resolver=resolver(proxy_example=[LOOPBACK], db_example=["192.0.2.1"]),
        )  # fmt: skip
        with pytest.raises(ResolveError, match=r"the proxy proxy\.example:1080"):
            await dialer.connect(TARGET, timeout=LONG)

    @pytest.mark.parametrize(
        ("proxy", "options", "which"),
        [
            ("http://[::1]:1", {"family": socket.AF_INET}, r"\[::1\]:1"),
            ("http+unix:/x", {"family": socket.AF_INET}, "unix:/x"),
            (["socks4a://127.0.0.1:1", "http://[2001:db8::1]:1"], {}, r"\[2001:db8::1\]:1"),
        ],
    )
    async def test_a_proxy_whose_address_will_not_do(
        self, proxy: Any, options: Any, which: str
    ) -> None:
        with pytest.raises(ResolveError, match=f"could not resolve the proxy {which} ") as caught:
            await Dialer(proxy=proxy, **options).connect(TARGET, timeout=LONG)
        assert caught.value.errno == errno.EAFNOSUPPORT
        assert caught.value.address == TCPAddress(*TARGET)

    async def test_r2_a_row_says_what_was_asked_for(self) -> None:
        report = Report()
        with FakeProxy([*GREETING, 10, OK]) as proxy:
            dialer = Dialer(
                proxy=proxy.url("socks5"),
                resolver=resolver(db_example=["192.0.2.9"]),
                trace=report,
            )
            with await dialer.connect(TARGET, timeout=LONG):
                pass
        assert f"127.0.0.1:{proxy.port} for 192.0.2.9:5432" in report.draw(120)
        assert report.to_dict()["attempts"][0]["target"] == "192.0.2.9:5432"

    async def test_a_proxy_that_is_known_and_a_target_that_is_not(self) -> None:
        dialer = Dialer(
            proxy="socks5://proxy.example", resolver=resolver(proxy_example=[LOOPBACK])
        )
        with pytest.raises(ResolveError, match=r"could not resolve db\.example:5432"):
            await dialer.connect(TARGET, timeout=LONG)

    async def test_a_lookup_of_the_proxy_that_takes_too_long(self) -> None:
        class Slow(StaticResolver):
            async def resolve(self, address: Any) -> Any:
                await anyio.sleep_forever()
                yield

        dialer = Dialer(proxy="socks5h://proxy.example", resolver=Slow({}))
        with pytest.raises(ConnectTimeout, match=r"could not resolve the proxy proxy\.example"):
            await dialer.connect(TARGET, timeout=0.05)


class TestWhichProxy:
    async def test_a_callable_is_asked_once_with_the_address(self) -> None:
        asked: list[Any] = []
        with FakeProxy(GOOD) as proxy, listening() as listener:

            def choose(address: Any) -> str | None:
                asked.append(address)
                return proxy.url() if address.host == NAME else None

            dialer = Dialer(proxy=choose)
            with await dialer.connect(TARGET, timeout=LONG):
                pass
            with await dialer.connect(listener.getsockname(), timeout=LONG) as sock:
                assert sock.getpeername() == listener.getsockname()
        assert asked == [TCPAddress(*TARGET), TCPAddress(*listener_name(asked))]

    async def test_with_a_list_of_results_it_is_asked_with_the_first(self) -> None:
        asked: list[Any] = []
        with listening() as listener:
            address = listener.getsockname()
            results: list[Any] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)]
            with await Dialer(proxy=asked.append).connect(results, timeout=LONG):
                pass
        assert asked == [TCPAddress(*address)]

    async def test_with_results_that_are_not_tcp_it_gets_them(self) -> None:
        asked: list[Any] = []
        results: list[Any] = [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (LOOPBACK, 9))]
        with await Dialer(proxy=asked.append).connect(results, timeout=LONG):
            pass
        assert asked == [tuple(results)]

    async def test_of_several_hosts_all_must_have_the_same(self) -> None:
        dialer = Dialer(proxy=lambda each: f"socks5h://{each.host}:1")
        with pytest.raises(ValueError, match="the same for all hosts"):
            await dialer.connect(["one.example:1", "two.example:1"])

    @pytest.mark.parametrize(
        ("given", "error"), [(5, TypeError), ("x", ValueError), (lambda _: None, TypeError)]
    )
    async def test_what_it_gives_is_checked(self, given: Any, error: Any) -> None:
        with pytest.raises(error, match=r"proxy"):
            await Dialer(proxy=lambda _: given).connect(TARGET)

    async def test_it_is_not_awaited(self) -> None:
        with pytest.raises(TypeError, match="to be called or awaited: Answer"):
            await Dialer(proxy=lambda _: Answer()).connect(TARGET)  # type: ignore[arg-type]

    async def test_what_it_raises_is_raised(self) -> None:
        def choose(_: Any) -> None:
            raise LookupError("no idea")

        with pytest.raises(LookupError, match="no idea"):
            await Dialer(proxy=choose).connect(TARGET)


class Answer:
    """What an async function gives, but that nobody is warned of."""

    def __await__(self) -> Any:
        raise AssertionError


def listener_name(asked: list[Any]) -> tuple[str, int]:
    return asked[1].host, asked[1].port


class TestOptions:
    @pytest.mark.parametrize(
        ("given", "error", "said"),
        [
            (5, TypeError, "proxy must be a str, a Proxy"),
            ([], ValueError, "from 1 to 8 proxies, not 0"),
            (["socks5h://h"] * 9, ValueError, "from 1 to 8 proxies, not 9"),
            (["socks5h://h", 5], TypeError, "a sequence of proxies, not of int"),
            (["socks5h://h", "http+unix:/x"], ValueError, "through another proxy"),
            (["socks5h://h", "http://[fe80::1%25lo]:1"], ValueError, "has a zone or a flow label"),
            (["http://h", Proxy("http", ("fe80::1", 1, 0, 1))], ValueError, "has a zone"),
            (["http://h", Proxy("http", ("2001:db8::1", 1, 5, 0))], ValueError, "a flow label"),
            ("socks://h", ValueError, "not a proxy"),
        ],
    )
    async def test_what_cannot_be(self, given: Any, error: Any, said: str) -> None:
        with pytest.raises(error, match=said):
            Dialer(proxy=given)

    async def test_permit_proxy_is_for_proxies(self) -> None:
        with pytest.raises(ValueError, match="permit_proxy has no effect without proxy="):
            Dialer(permit_proxy=lambda _: True)
        with pytest.raises(TypeError, match="permit_proxy must be callable"):
            Dialer(proxy="socks5h://h", permit_proxy=5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="permit_proxy must be a policy"):
            Dialer(proxy="socks5h://h", permit_proxy=public_only)  # type: ignore[arg-type]

    async def test_it_is_kept_as_a_value(self) -> None:
        text, made = Dialer(proxy="socks5h://u:p@h"), Dialer(proxy=parse("socks5h://u:p@h"))
        assert text == made
        assert hash(text) == hash(made)
        assert (
            repr(text)
            == "Dialer(proxy=Proxy('socks5h', 'h:1080', username='***', password='***'))"
        )
        chain = Dialer(proxy=["socks5h://h", Proxy("socks4", "i:1")])
        assert chain.proxy == (Proxy("socks5h", "h:1080"), Proxy("socks4", "i:1"))
        assert chain.replace(attempt_delay=1) != chain


def parse(text: str) -> Proxy:
    from aconnect.proxies import parse_proxy

    return parse_proxy(text)


ENDS = [
    # What the proxy does, the errno, what it is about, and whether another address is tried.
    ([CLOSE], errno.ECONNRESET, "proxy", True),
    ([3, RESET], errno.ECONNRESET, "proxy", True),
    ([*GREETING, ASK, CLOSE], errno.ECONNRESET, "target", False),
    ([*GREETING, ASK, RESET], errno.ECONNRESET, "target", False),
    ([*GREETING, ASK, b"\x05\x00", CLOSE], errno.ECONNRESET, "proxy", True),
    ([3, b"HTTP/1.1 400 Bad Request\r\n\r\n"], errno.EPROTO, "proxy", True),
    ([3, b"\x05\x77"], errno.EPROTO, "proxy", True),
    ([b"SSH-2.0-OpenSSH\r\n", HOLD], errno.EPROTO, "proxy", True),
    ([3, b"\x05\xff"], errno.EACCES, "proxy", False),
    (says(1), errno.EHOSTUNREACH, "target", False),
    (says(2), errno.EACCES, "target", False),
    (says(3), errno.ENETUNREACH, "target", False),
    (says(4), errno.EHOSTUNREACH, "target", False),
    (says(5), errno.ECONNREFUSED, "target", False),
    (says(6), errno.ETIMEDOUT, "target", False),
    (says(7), errno.EOPNOTSUPP, "proxy", False),
    (says(8), errno.EAFNOSUPPORT, "target", False),
    (says(9), errno.EHOSTUNREACH, "target", False),
    (says(255), errno.EHOSTUNREACH, "target", False),
]


class TestOutcomes:
    @pytest.mark.slow
    @pytest.mark.parametrize(("script", "code", "about", "goes_on"), ENDS)
    async def test_u_what_is_next(
        self, script: list[Any], code: int, about: str, goes_on: bool
    ) -> None:
        port = free_port()
        with FakeProxy(script, port=port), FakeProxy(GOOD, host="127.0.0.2", port=port) as good:
            report = Report()
            dialer = Dialer(
                proxy=f"socks5h://proxy.example:{port}",
                resolver=resolver(proxy_example=[LOOPBACK, "127.0.0.2"]),
                trace=report,
                attempt_delay=2,
            )
            if goes_on:
                with await dialer.connect(TARGET, timeout=LONG) as sock:
                    assert sock.getpeername()[0] == "127.0.0.2"
                assert report.attempts[0].handshakes[0].outcome == "failed"
                return
            with pytest.raises(ProxyError) as caught:
                await dialer.connect(TARGET, timeout=LONG)
            assert good.connections == 0
        assert (caught.value.errno, caught.value.about) == (code, about)

    @pytest.mark.slow
    @pytest.mark.parametrize(("script", "code", "about", "goes_on"), ENDS)
    async def test_u_the_error_of_an_only_address(
        self, script: list[Any], code: int, about: str, goes_on: bool
    ) -> None:
        with FakeProxy(script) as proxy, pytest.raises(ProxyError) as caught:
            await Dialer(proxy=proxy.url()).connect(TARGET, timeout=LONG)
        error = caught.value
        assert (error.errno, error.about, error.phase) == (code, about, "proxy")
        assert isinstance(error, type(OSError(code, "")))
        assert isinstance(error, ConnectTimeout) is (code == errno.ETIMEDOUT)
        assert (error.proxy, error.layer) == (proxy.url(), 0)
        assert isinstance(error.__cause__, Refusal)
        assert error.reply == error.__cause__.reply
        assert f"could not connect to db.example:5432 through {proxy.url()} (" in str(error)
        assert len(error.attempts) == proxy.connections == 1

    async def test_u_a_proxy_that_refuses_connections(self) -> None:
        with refusing() as (_, port):
            with pytest.raises(ConnectionRefusedError, match="through socks5h://") as caught:
                await Dialer(proxy=f"socks5h://127.0.0.1:{port}").connect(TARGET, timeout=LONG)
        assert caught.value.phase == "connect"  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("script", "awaited"),
        [
            ([], "the SOCKS5 greeting"),
            ([3, b"\x05"], "the SOCKS5 greeting"),
            ([*LOGIN], "the SOCKS5 login"),
            ([*GREETING], "the SOCKS5 request"),
            ([*GREETING, ASK, OK[:-1]], "the SOCKS5 request"),
        ],
    )
    async def test_u_a_silent_proxy_is_a_timeout_that_says_what_is_missing(
        self, script: list[Any], awaited: str
    ) -> None:
        with FakeProxy(script) as proxy:
            url = proxy.url(login="u:p@")
            for name in ("timeout", "attempt_timeout"):
                for limit in (0.1, 1.0, 10.0):  # a slow machine has not got there by the first
                    own = {"attempt_timeout": limit} if name == "attempt_timeout" else {}
                    whole = LONG if own else limit
                    with pytest.raises(ConnectTimeout) as caught:
                        await Dialer(proxy=url, **own).connect(TARGET, timeout=whole)
                    if f"no answer to {awaited}" in str(caught.value):
                        break
                assert f"no answer to {awaited}" in str(caught.value)
                assert caught.value.phase == "proxy"
                assert "a SOCKS5 proxy?" in str(caught.value)

    async def test_u1_what_got_furthest_is_the_error(self) -> None:
        port = free_port()
        with refusing(port=port), FakeProxy([CLOSE], host="127.0.0.2", port=port):
            dialer = Dialer(
                proxy=f"socks5h://proxy.example:{port}",
                resolver=resolver(proxy_example=["127.0.0.2", LOOPBACK]),
            )
            with pytest.raises(ProxyError) as caught:
                await dialer.connect(TARGET, timeout=LONG)
        assert [each.phase for each in caught.value.attempts] == ["proxy", "connect"]

    async def test_u1_a_handshake_is_further_than_a_proxy(self) -> None:
        async def fail(_: socket.socket) -> None:
            raise ConnectionError("no TLS here")

        port = free_port()
        with FakeProxy([CLOSE], port=port), FakeProxy(GOOD, host="127.0.0.2", port=port):
            dialer = Dialer(
                proxy=f"socks5h://proxy.example:{port}",
                resolver=resolver(proxy_example=[LOOPBACK, "127.0.0.2"]),
            )
            with pytest.raises(HandshakeError, match="no TLS here") as caught:
                await dialer.connect(TARGET, timeout=LONG, handshake=fail)
        assert not isinstance(caught.value, ProxyError)
        assert caught.value.phase == "handshake"

    async def test_a_connection_that_breaks_in_a_way_of_its_own(self) -> None:
        class Broken(socket.socket):
            def recv(self, *_: Any) -> bytes:
                raise OSError(errno.EHOSTUNREACH, "no route")

        with FakeProxy([]) as proxy:
            dialer = Dialer(
                proxy=proxy.url(), socket_factory=lambda each: Broken(*each[:2], each[2])
            )
            with pytest.raises(ProxyError, match="no route") as caught:
                await dialer.connect(TARGET, timeout=LONG)
        assert (caught.value.errno, caught.value.about) == (errno.EHOSTUNREACH, "proxy")

    async def test_what_it_cannot_send_it_does_not_lose(self) -> None:
        """A proxy that answers before it is asked, and is gone."""

        class Gone(socket.socket):
            def send(self, *_: Any) -> int:
                raise BrokenPipeError(errno.EPIPE, "gone")

        with FakeProxy([b"\x05\xff"]) as proxy:
            dialer = Dialer(proxy=proxy.url(), socket_factory=lambda each: Gone(*each[:3]))
            with pytest.raises(ProxyError, match="wants a login"):
                await dialer.connect(TARGET, timeout=LONG)

    async def test_p7_what_does_not_fit_is_sent_when_it_does(self) -> None:
        class Narrow(socket.socket):
            turn = 0

            def send(self, data: Any, *_: Any) -> int:
                Narrow.turn += 1
                if Narrow.turn % 2:
                    raise BlockingIOError
                return super().send(bytes(data)[:1])

            def setsockopt(self, level: Any, option: Any, value: Any) -> None:  # type: ignore[override]
                if option == getattr(socket, "TCP_QUICKACK", -1):
                    raise OSError(errno.ENOPROTOOPT, "not here")
                super().setsockopt(level, option, value)

        with FakeProxy(GOOD) as proxy:
            dialer = Dialer(proxy=proxy.url(), socket_factory=lambda each: Narrow(*each[:3]))
            with await dialer.connect(TARGET, timeout=LONG):
                pass
        assert proxy.heard[0].endswith(b"db.example\x15\x38")


class TestPolicies:
    async def test_l1_targets_and_proxies_are_asked_about_apart(self) -> None:
        targets: list[Endpoint] = []
        proxies: list[Endpoint] = []
        with FakeProxy([*GREETING, 10, OK]) as proxy:
            dialer = Dialer(
                proxy=proxy.url("socks5"),
                resolver=resolver(db_example=["192.0.2.1"]),
                permit=lambda each: not targets.append(each),  # type: ignore[func-returns-value]
                permit_proxy=lambda each: not proxies.append(each),  # type: ignore[func-returns-value]
            )
            with await dialer.connect(TARGET, timeout=LONG):
                pass
        assert [each.sockaddr for each in targets] == [("192.0.2.1", 5432)]
        assert [each.sockaddr for each in proxies] == [proxy.address]

    async def test_l1_what_is_refused_is_not_asked_for(self) -> None:
        with FakeProxy([*GREETING, 10, OK]) as proxy:
            report = Report()
            dialer = Dialer(
                proxy=proxy.url("socks5"),
                resolver=resolver(db_example=["10.0.0.1", "8.8.8.8"]),
                permit=public_only(),
                trace=report,
            )
            with await dialer.connect(TARGET, timeout=LONG):
                pass
            assert proxy.connections == 1
        assert b"\x01\x08\x08\x08\x08" in proxy.heard[0]
        assert [each.outcome for each in report.attempts] == ["not permitted", "connected"]
        assert "does not permit 10.0.0.1:5432" in report.attempts[0].note

    async def test_l1_a_proxy_that_is_refused_is_not_connected_to(self) -> None:
        with FakeProxy(GOOD) as proxy:
            dialer = Dialer(proxy=proxy.url(), permit_proxy=deny("127.0.0.0/8"))
            with pytest.raises(
                AddressNotPermitted, match=r"does not permit the proxy 127\.0\.0\.1:"
            ):
                await dialer.connect(TARGET, timeout=LONG)
            assert proxy.connections == 0

    async def test_l1_later_hops_are_judged_where_they_are_addresses(self) -> None:
        with FakeProxy(GOOD) as proxy:
            dialer = Dialer(
                proxy=[proxy.url(), "socks5h://10.9.9.9:1"], permit_proxy=allow("127.0.0.0/8")
            )
            with pytest.raises(AddressNotPermitted, match=r"the proxy 10\.9\.9\.9:1"):
                await dialer.connect(TARGET, timeout=LONG)
            assert proxy.connections == 0

    async def test_l2_a_name_that_a_proxy_would_look_up_is_refused(self) -> None:
        report = Report()
        dialer = Dialer(proxy="socks5h://proxy.example", permit=public_only(), trace=report)
        with pytest.raises(AddressNotPermitted, match='give that proxy dns="local"') as caught:
            await dialer.connect(TARGET, timeout=LONG)
        assert caught.value.errno == errno.EPERM
        assert not caught.value.attempts
        assert len(report.events) == 2

    async def test_l2_with_local_dns_what_was_judged_is_what_is_asked_for(self) -> None:
        judged: list[Endpoint] = []
        with FakeProxy([*GREETING, 10, OK]) as proxy:
            dialer = Dialer(
                proxy=Proxy("socks5h", proxy.address, dns="local"),
                resolver=resolver(db_example=["192.0.2.77"]),
                permit=lambda each: not judged.append(each),  # type: ignore[func-returns-value]
            )
            with await dialer.connect(TARGET, timeout=LONG):
                pass
        [endpoint] = judged
        packed = socket.inet_pton(endpoint.family, str(endpoint.sockaddr[0]))
        assert proxy.heard[0].endswith(b"\x01" + packed + b"\x15\x38")

    async def test_l3_a_hop_that_is_a_name_to_the_one_before_it_is_refused(self) -> None:
        dialer = Dialer(
            proxy=["socks5h://127.0.0.1:1", "socks5h://second.example"],
            permit_proxy=lambda _: True,
        )
        with pytest.raises(AddressNotPermitted, match="permit_proxy cannot judge the name second"):
            await dialer.connect(TARGET, timeout=LONG)

    async def test_l3_a_proxy_of_the_environment_is_judged(self) -> None:
        chooses = from_environment("https", {"https_proxy": "socks5h://127.0.0.1:1"})
        dialer = Dialer(proxy=chooses, permit_proxy=deny("127.0.0.0/8"))
        with pytest.raises(AddressNotPermitted):
            await dialer.connect(TARGET, timeout=LONG)


DISGUISES = [
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1"),
    *("localhost", "LOCALHOST.", "localhost.localdomain", "0.0.0.0", "0", "10.0.0.1"),
    *("::1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    *("::127.0.0.1", "fe80::5efe:7f00:1", "fc00::1", "169.254.169.254", "100.64.0.1"),
    *("127.0.0.1.nip.example", "evil.example", "\u24dbocalhost", "\uff11\uff12\uff17.0.0.1"),
]


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", LOOPS_AND_DRIVERS[:1], indirect=True)
@pytest.mark.parametrize("dns", ["local", "remote"])
@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h", "http", "https"])
@pytest.mark.parametrize("host", DISGUISES)
async def test_l2_no_disguise_reaches_the_target(host: str, scheme: str, dns: str) -> None:
    """A resolver that gives loopback for any name, as getaddrinfo(3) does for some of them."""

    class Loopback(StaticResolver):
        async def resolve(self, address: Any) -> Any:
            kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            yield Batch([Endpoint(*kind, (LOOPBACK, address.port))], sorted=True)

    if scheme == "socks4" and dns == "remote":
        pytest.skip("it takes no names")
    with FakeProxy([CLOSE]) as proxy:
        dialer = Dialer(
            proxy=Proxy(scheme, proxy.address, dns=dns),  # type: ignore[arg-type]
            resolver=Loopback({}),
            permit=public_only(),
        )
        with pytest.raises((ConnectError, ValueError)) as caught:
            await open_stream((host, 80), dialer=dialer, timeout=LONG)
        assert proxy.connections == 0
    if isinstance(caught.value, ConnectError):
        assert caught.value.errno in (errno.EPERM, errno.EAFNOSUPPORT)


class TestReports:
    async def test_r1_events(self) -> None:
        events: list[Any] = []
        with FakeProxy([*GREETING, 10, OK]) as proxy:
            dialer = Dialer(
                proxy=proxy.url("socks5", "u:p@"),
                resolver=resolver(db_example=["192.0.2.1"]),
                trace=events.append,
            )
            with await dialer.connect(TARGET, timeout=LONG):
                pass
        [started] = [each for each in events if isinstance(each, DialStarted)]
        assert started.via == (f"socks5://***@127.0.0.1:{proxy.port}",)
        [attempt] = [each for each in events if isinstance(each, AttemptStarted)]
        assert attempt.endpoint.sockaddr == proxy.address
        assert attempt.target is not None
        assert attempt.target.sockaddr == ("192.0.2.1", 5432)
        [began] = [each for each in events if isinstance(each, HandshakeStarted)]
        assert (began.name, began.layer, began.phase) == ("SOCKS5", 0, "proxy")
        [ended] = [each for each in events if isinstance(each, HandshakeEnded)]
        assert (ended.outcome, ended.layer) == ("done", 0)

    async def test_r1_a_phase_of_its_own(self) -> None:
        with FakeProxy(says(5)) as proxy, pytest.raises(ProxyError) as caught:
            await Dialer(proxy=proxy.url()).connect(TARGET, timeout=LONG)
        report = caught.value.report
        assert report is not None
        assert report.phase_seconds["proxy"] > 0
        assert report.to_dict()["phase"] == "proxy"
        plain = report.to_dict()["attempts"][0]
        assert plain["handshakes"][0]["phase"] == "proxy"
        assert plain["target"] is None

    async def test_r2_the_title_and_the_rows(self) -> None:
        report = Report()
        with FakeProxy(GOOD) as proxy:
            dialer = Dialer(proxy=proxy.url(), trace=report)
            with await dialer.connect(TARGET, timeout=LONG):
                pass
        drawn = report.draw(100).splitlines()
        assert drawn[0].startswith(f"db.example:5432 via {proxy.url()}: connected after ")
        assert [line.split()[0] for line in drawn[2:4]] == ["0", "SOCKS5"]

    @pytest.mark.parametrize(("addresses", "untried"), [(1, 0), (2, 1)])
    async def test_r2_what_was_not_tried_are_routes(self, addresses: int, untried: int) -> None:
        """And not what was looked up: that is more than one name."""
        with FakeProxy([*GREETING, 10, OK]) as proxy:
            dialer = Dialer(
                proxy=f"socks5://proxy.example:{proxy.port}",
                resolver=resolver(
                    proxy_example=[LOOPBACK], db_example=["192.0.2.1", "192.0.2.2"][:addresses]
                ),
            )
            report = Report()
            with await dialer.connect(TARGET, timeout=LONG, report=report):
                pass
        assert report.to_dict()["untried"] == untried
        assert ("not tried: 1 of 2 addresses" in str(report)) is bool(untried)

    async def test_r2_the_message(self) -> None:
        with (
            FakeProxy(says(5)) as proxy,
            pytest.raises(
                ProxyError,
                match=r"^\[Errno 111\] could not connect to db\.example:5432 through "
                r"socks5h://127\.0\.0\.1:\d+ \(127\.0\.0\.1:\d+ from 127\.0\.0\.1:\d+\) in "
                r"\d+\.\d ms: ECONNREFUSED: the proxy says 5: nothing is listening there$",
            ),
        ):
            await Dialer(proxy=proxy.url()).connect(TARGET, timeout=LONG)


@pytest.mark.slow
@pytest.mark.parametrize("script", [each[0] for each in ENDS] + [[HOLD], [*LOGIN, 99]])
async def test_n4_no_login_is_told(script: list[Any], caplog: Any, recwarn: Any) -> None:
    with FakeProxy(script) as proxy:
        report = Report()
        dialer = Dialer(proxy=proxy.url(login=f"{CANARY}:{CANARY}@"), trace=report)
        with pytest.raises(ConnectError) as caught:
            await dialer.connect(TARGET, timeout=0.3)
    error = caught.value
    cause = error.__cause__
    told = [
        *(repr(error), str(error), repr(error.args), repr(error.attempts), repr(cause)),
        *(str(report), repr(report.events), repr(report.to_dict()), repr(report)),
        *(repr(dialer), caplog.text, repr([str(each.message) for each in recwarn])),
        "".join(traceback.format_exception(error)),
        repr({**vars(error), **vars(cause or error)}),
    ]
    assert CANARY not in "".join(told)


class Proxied(Scenario):
    """A proxy with a login, whose answers come byte by byte."""

    port: int

    told: bool

    def start(self) -> Any:
        more: dict[str, Any] = {"trace": Report()} if self.told else {}  # which takes a race
        dialer = Dialer(proxy=f"socks5h://u:p@127.0.0.1:{self.port}", **more)
        return dialer.connect(TARGET, timeout=LONG)


SLOW = [4, Drip(b"\x05\x02"), 5, Drip(b"\x01\x00"), ASK, Drip(OK)]
BREAKS = {
    "all goes well": SLOW,
    "reset": [*SLOW[:-1], Drip(OK[:5]), RESET],
    "hung up": [*SLOW[:-1], Drip(OK[:5]), CLOSE],
    "refused": [*SLOW[:-1], Drip(b"\x05\x05\x00")],
}


WAYS = [pytest.param(script, False, id=script) for script in BREAKS]
WAYS += [pytest.param(script, True, id=f"{script}, by a race") for script in BREAKS]


@pytest.mark.slow
@pytest.mark.parametrize(("script", "told"), WAYS)
@pytest.mark.parametrize("new_loop", LOOPS_TO_STEP)
def test_p8_cancelled_at_every_step(
    script: str, told: bool, new_loop: Callable[[], Any], monkeypatch: Any, tmp_path: Any
) -> None:
    with ExitStack() as stack:
        scene = Proxied(stack, monkeypatch, tmp_path)
        scene.told = told
        scene.port = stack.enter_context(fake_elsewhere(BREAKS[script]))
        cancel_at_every_step(new_loop, scene)


@pytest.mark.slow
@pytest.mark.parametrize(("script", "told"), WAYS)
def test_p8_cancelled_at_every_step_of_trio(
    script: str, told: bool, monkeypatch: Any, tmp_path: Any
) -> None:
    with ExitStack() as stack:
        scene = Proxied(stack, monkeypatch, tmp_path)
        scene.told = told
        scene.port = stack.enter_context(fake_elsewhere(BREAKS[script]))
        cancel_at_every_step_of_trio(scene)


async def test_p8_a_deadline_leaves_nothing() -> None:
    for seconds in (0.0, 0.002, 0.004, 0.006, 0.01):
        with FakeProxy(SLOW) as proxy:
            dialer = Dialer(proxy=proxy.url(login="u:p@"))
            try:
                sock = await dialer.connect(TARGET, timeout=seconds)
            except ConnectTimeout:
                pass
            else:
                sock.close()
    gc.collect()


async def test_p7_a_banner_is_not_held_back() -> None:
    """Nagle's algorithm at the proxy, and our acknowledgement that waits for 40 ms."""
    with FakeProxy([*GREETING, ASK, OK, BANNER]) as proxy:
        with await Dialer(proxy=proxy.url()).connect(TARGET, timeout=LONG) as sock:
            if hasattr(socket, "TCP_QUICKACK"):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1


async def test_silence_of_the_proxys_host_is_silence_of_a_host() -> None:
    with silent() as (_, port), pytest.raises(ConnectTimeout) as caught:
        await Dialer(proxy=f"socks5h://127.0.0.1:{port}").connect(TARGET, timeout=0.05)
    assert caught.value.phase == "connect"
