"""`aconnect check`."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.fake_proxy import FakeProxy
from support.listeners import unix_listening

from aconnect import AttemptRecord, ConnectError, TCPAddress, parse_address
from aconnect.cli import check
from aconnect.cli.loops import LOOPS
from aconnect.cli.parameters import Target

if TYPE_CHECKING:
    from pathlib import Path

    from aconnect.cli.stage import Stage

ALL_LOOPS = list(LOOPS)


def text(address: tuple[str, int]) -> str:
    return "{}:{}".format(*address)


def targets(*texts: str) -> list[Target]:
    return [Target(each, parse_address(each)) for each in texts]


def check_json(invoke: Any, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in invoke("check", "--json", *arguments).output.splitlines()]


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_a_line_for_each_address_in_their_order(invoke: Any, stage: Stage, loop: str) -> None:
    silent, healthy, refused = map(text, (stage.silent, stage.healthy, stage.refused))
    result = invoke("check", "--loop", loop, "--timeout", "0.05", silent, healthy, refused)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"timed out  could not connect to {silent} ")
    assert lines[0].endswith(": deadline passed: still no answer")
    assert lines[1].startswith(f"connected  to {healthy} in ")
    assert lines[2].startswith(f"failed     could not connect to {refused} ")
    assert lines[2].endswith(": ECONNREFUSED: nobody listens there")


def test_the_exit_status_is_0_if_all_are_connected(invoke: Any, stage: Stage) -> None:
    assert invoke("check", text(stage.healthy), text(stage.healthy)).exit_code == 0


def test_the_resolved_peer_is_named_where_it_differs(invoke: Any, stage: Stage) -> None:
    port = stage.healthy[1]
    result = invoke("check", f"localhost:{port}", f"127.0.0.1:{port}")
    first, second = result.output.splitlines()
    assert first.startswith(f"connected  to localhost:{port} (127.0.0.1:{port}) in ")
    assert second.startswith(f"connected  to 127.0.0.1:{port} in ")


def test_nothing_is_connected_to_if_one_address_makes_no_sense(
    invoke: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "aconnect", None)
    result = invoke("check", text(stage.healthy), "nonsense")
    assert result.exit_code == 2
    assert "not an address: 'nonsense': the port is missing" in result.output


def test_a_datagram_socket_has_heard_from_nobody(invoke: Any) -> None:
    result = invoke("check", "udp://127.0.0.1:9")
    assert result.exit_code == 0
    assert result.output.startswith("connected  to udp://127.0.0.1:9 in ")
    assert result.output.endswith("sends nothing, so nobody has answered\n")


def test_a_peer_that_has_hung_up_already_has_no_name(
    invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(address: object, *, timeout: float) -> socket.socket:
        return socket.socket()

    monkeypatch.setattr(check, "aconnect", connect)
    assert invoke("check", "127.0.0.1:1").output.startswith("connected  to 127.0.0.1:1 in ")
    assert check_json(invoke, "127.0.0.1:1")[0]["peer"] is None


def test_json_of_a_connection(invoke: Any, stage: Stage) -> None:
    [fields] = check_json(invoke, f"tcp://localhost:{stage.healthy[1]}")
    assert fields.pop("seconds") < 5
    assert fields == {
        "address": f"tcp://localhost:{stage.healthy[1]}",
        "peer": text(stage.healthy),
        "outcome": "connected",
    }


def test_json_of_a_failure(invoke: Any, stage: Stage) -> None:
    address = text(stage.refused)
    result = invoke("check", "--json", address)
    assert result.exit_code == 1
    fields = json.loads(result.output)
    assert fields.pop("seconds") < 5
    assert fields.pop("message").endswith(": ECONNREFUSED: nobody listens there")
    [attempt] = fields.pop("attempts")
    failure = {"errno_name": "ECONNREFUSED", "errno": 111}
    assert 0 <= attempt["start"] <= attempt["end"] < 5
    assert attempt["local"].startswith("127.0.0.1:")
    wanted = {
        "peer": address,
        "outcome": "failed",
        "errno": 111,
        "error": "ECONNREFUSED",
        "phase": "connect",
        "note": "",
        "reason": "nobody listens there",
    }
    assert {key: attempt[key] for key in wanted} == wanted
    assert fields == {
        "address": address,
        "peer": address,
        "outcome": "failed",
        "phase": "connect",
        "transient": True,
        **failure,
    }


def test_json_of_a_timeout(invoke: Any, stage: Stage) -> None:
    silent, full = check_json(
        invoke, "--timeout", "0.05", text(stage.silent), f"unix:{stage.backlog}"
    )
    for fields in silent, full:
        assert fields["outcome"] == "timed out"
        assert fields["errno_name"] == "ETIMEDOUT"
        assert fields["attempts"][0]["outcome"] == "timed out"
    assert silent["attempts"][0]["error"] is None
    assert silent["attempts"][0]["errno"] is None
    assert full["attempts"][0]["error"] == "EAGAIN"


def test_json_of_a_name_that_cannot_be_resolved(
    invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    [fields] = check_json(invoke, "nowhere.invalid:80")
    assert fields["phase"] == "resolve"
    assert fields["errno_name"] == "EAI_NONAME"
    assert fields["errno"] == socket.EAI_NONAME
    assert fields["peer"] is None
    assert fields["attempts"] == []
    assert fields["transient"] is False


def test_of_several_addresses_of_a_name_none_is_the_peer(
    invoke: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    results = [(*kind, stage.refused), (*kind, ("127.0.0.2", stage.refused[1]))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: results)
    [fields] = check_json(invoke, f"two.example:{stage.refused[1]}")
    assert fields["peer"] is None
    peers = [attempt["peer"] for attempt in fields["attempts"]]
    assert peers == [text(stage.refused), f"127.0.0.2:{stage.refused[1]}"]


def test_the_names_of_unix_peers_can_be_typed_again(
    invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    abstract = f"unix:@{tmp_path}"
    with (
        unix_listening("@file"),
        unix_listening(f"\0{tmp_path}"),
        unix_listening("packets", socket.SOCK_SEQPACKET),
    ):
        addresses = ["unix:./@file", abstract, "unixpacket:packets"]
        found = check_json(invoke, *addresses)
        assert [each["peer"] for each in found] == addresses
        assert {each["outcome"] for each in found} == {"connected"}


@pytest.mark.parametrize(
    ("family", "type", "sockaddr", "peer"),
    [
        (socket.AF_VSOCK, socket.SOCK_STREAM, (2, 1024), "vsock:2:1024"),
        (socket.AF_INET6, socket.SOCK_STREAM, ("fe80::1", 80, 0, 2), "[fe80::1%2]:80"),
        (socket.AF_INET6, socket.SOCK_DGRAM, ("::1", 80, 0, 0), "udp://[::1]:80"),
        (socket.AF_INET, socket.SOCK_STREAM, None, "None"),
        (socket.AF_UNIX, socket.SOCK_STREAM, "", "''"),
    ],
)
def test_the_names_of_other_peers(
    invoke: Any,
    monkeypatch: pytest.MonkeyPatch,
    family: int,
    type: int,
    sockaddr: Any,
    peer: str,
) -> None:
    record = AttemptRecord(family, type, sockaddr, None, 0, 1, "failed", 22)

    async def connect(address: object, *, timeout: float) -> socket.socket:
        raise ConnectError(22, "no", attempts=[record])

    monkeypatch.setattr(check, "aconnect", connect)
    [fields] = check_json(invoke, "127.0.0.1:1")
    assert fields["peer"] == peer


def test_what_an_address_brings_along_does_not_reach_the_terminal(invoke: Any) -> None:
    result = invoke("check", "unix:/nowhere/[bold]:smile:\n\x1b[31m")
    assert r"unix:/nowhere/[bold]:smile:\n\x1b[31m in " in result.output
    assert len(result.output.splitlines()) == 1


class Enough(Exception):
    pass


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_a_line_appears_at_once_and_what_writing_raises_ends_everything(
    stage: Stage, loop: str
) -> None:
    shown = []

    def show(checked: check.Checked) -> None:
        shown.append(checked.target.text)
        if len(shown) == 2:
            raise Enough  # or the silent listener would be waited for

    healthy, silent = text(stage.healthy), text(stage.silent)
    addresses = targets(healthy, healthy, silent, silent)
    with pytest.raises(Enough):
        check.check_all(addresses, LOOPS[loop], float("inf"), show)
    assert shown == [healthy, healthy]


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_the_addresses_are_connected_to_at_the_same_time(stage: Stage, loop: str) -> None:
    began = monotonic()
    silent = targets(*[text(stage.silent)] * 20)
    shown: list[check.Checked] = []
    assert not check.check_all(silent, LOOPS[loop], 0.2, shown.append)
    assert len(shown) == 20
    assert monotonic() - began < 20 * 0.2


def test_but_not_too_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    running = most = 0

    async def connect(address: TCPAddress, *, timeout: float) -> socket.socket:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(address.port):
            await asyncio.sleep(0)
        running -= 1
        raise ConnectError(111, f"port {address.port}")

    monkeypatch.setattr(check, "aconnect", connect)
    ports = list(range(check.AT_ONCE * 2, 0, -1))
    shown: list[check.Checked] = []
    addresses = targets(*(f"127.0.0.1:{port}" for port in ports))
    assert not check.check_all(addresses, LOOPS["asyncio"], 1, shown.append)
    assert most == check.AT_ONCE
    assert [checked.error and checked.error.strerror for checked in shown] == [
        f"port {port}" for port in ports
    ]


@pytest.mark.parametrize("timeout", ["-1", "nan", "soon", ""])
def test_a_timeout_that_cannot_be(invoke: Any, timeout: str) -> None:
    result = invoke("check", "--timeout", timeout, "127.0.0.1:1")
    assert result.exit_code == 2
    assert f"{timeout!r} is not a number of seconds, 0 or more" in result.output


@pytest.mark.parametrize("timeout", ["0", "inf", "1e300"])
def test_timeouts_that_can_be(invoke: Any, stage: Stage, timeout: str) -> None:
    assert invoke("check", "--timeout", timeout, text(stage.healthy)).exit_code == 0


def test_the_help_has_examples(invoke: Any) -> None:
    result = invoke("check", "--help")
    assert result.exit_code == 0
    assert "aconnect check example.org:443\n" in result.output
    assert os.linesep * 2 in result.output


def test_json_is_unicode_whatever_a_path_is(invoke: Any, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    [line] = invoke("check", "--json", f"unix:{path}").output.splitlines()
    checked = json.loads(line)
    line.encode()
    json.dumps(checked, ensure_ascii=False).encode()  # it has no lone surrogate
    assert checked["address"] == checked["peer"] == f"unix:{tmp_path}/\\udcff"
    assert checked["attempts"][0]["peer"] == checked["peer"]
    assert f"{tmp_path}/\\udcff" in checked["message"]


@pytest.mark.parametrize("loop", LOOPS.values(), ids=list(LOOPS))
def test_ctrl_c_leaves_nothing_unsaid(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = [Target(f"{name}:1", TCPAddress(name, 1)) for name in "abcde"]
    done: list[str] = []

    async def check_one(target: Target, dialer: object, timeout: float) -> check.Checked:
        if target.text == "b:1":  # still unknown when Ctrl-C comes
            while len(done) < 4:
                await anyio.lowlevel.checkpoint()
            raise KeyboardInterrupt
        done.append(target.text)
        return check.Checked(target, None, 0.0, False, None)

    monkeypatch.setattr(check, "_check", check_one)
    shown: list[check.Checked] = []
    with pytest.raises(KeyboardInterrupt):
        check.check_all(targets, loop, 1.0, shown.append)
    assert [each.target.text for each in shown] == ["a:1", "c:1", "d:1", "e:1"]


class TestConnectTo:
    def test_it_connects_elsewhere(self, invoke: Any, stage: Stage) -> None:
        there = text(stage.healthy)
        result = invoke("check", "--connect-to", f"a.test:80={there}", "a.test:80")
        assert result.exit_code == 0
        assert f"to a.test:80 ({there})" in result.output

    def test_nonsense(self, invoke: Any) -> None:
        for wrong, words in (("a.test", "FROM=TO"), ("a:b=c", "has no port")):
            result = invoke("check", "--connect-to", wrong, "a.test:80")
            assert result.exit_code == 2
            assert words in result.output


class TestProxies:
    """`--proxy` and `--proxy-header`."""

    OK = (3, b"\x05\x00", 10, b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x01")

    @pytest.mark.parametrize("loop", ALL_LOOPS)
    def test_by_way_of_a_proxy(self, invoke: Any, loop: str) -> None:
        with FakeProxy(self.OK) as proxy:
            url = proxy.url("socks5h", "alice:c4n4ry@")
            result = invoke("check", "--loop", loop, "--proxy", url, "192.0.2.1:80")
        assert result.exit_code == 0
        assert "c4n4ry" not in result.output
        shown = f"socks5h://***@127.0.0.1:{proxy.port}"
        assert result.output.startswith(f"connected  to 192.0.2.1:80 through {shown} (127.0.0.1:")

    def test_the_proxy_in_json(self, invoke: Any) -> None:
        with FakeProxy((*self.OK[:3], b"\x05\x05\x00")) as proxy:
            url = proxy.url()
            [line] = check_json(invoke, "--proxy", url, "192.0.2.1:80")
        assert line["via"] == [url]
        assert (line["errno_name"], line["phase"]) == ("ECONNREFUSED", "proxy")
        assert line["peer"] == f"127.0.0.1:{proxy.port}"
        assert "through" in line["message"]

    def test_without_one_json_has_none(self, invoke: Any, stage: Stage) -> None:
        [line] = check_json(invoke, text(stage.healthy))
        assert "via" not in line

    def test_a_header(self, invoke: Any) -> None:
        with FakeProxy((6,)) as target:
            result = invoke("check", "--proxy-header", "1", f"127.0.0.1:{target.port}")
            assert result.exit_code == 0, result.output
            until = monotonic() + 20
            while len(target.heard) < 1 or len(target.heard[0]) < 6:
                assert monotonic() < until
        assert target.heard[0].startswith(b"PROXY ")
        assert result.output.startswith("connected  to 127.0.0.1:")

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--proxy", "socks://c4n4ry@h", "h:1"), "say which"),
            (("--proxy", "socks5h://h", "udp://127.0.0.1:9"), "a proxy is for TCP only"),
            (("--proxy", "socks5h://h", "--proxy", "http+unix:/x", "h:1"), "another proxy"),
        ],
    )
    def test_what_makes_no_sense(self, invoke: Any, arguments: Any, said: str) -> None:
        result = invoke("check", *arguments)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())
        assert "c4n4ry" not in result.stderr
