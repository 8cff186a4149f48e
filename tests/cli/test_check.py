"""`aconnect check`."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import ssl
from collections import Counter
from datetime import datetime
from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import pytest
from support.fake_proxy import HEAD, FakeProxy, Forward, Secure
from support.listeners import refusing, unix_listening
from support.tls import NAME, Certificates, hang_up, serving

import aconnect.handshakes.contexts  # noqa: F401  # before anything must not block
from aconnect import AttemptRecord, ConnectError, Dialer
from aconnect.cli import check
from aconnect.cli.formats import as_json
from aconnect.cli.loops import LOOPS
from aconnect.cli.source import Item
from aconnect.many import Limits, Result

if TYPE_CHECKING:
    from pathlib import Path

    from aconnect.cli.stage import Stage

ALL_LOOPS = list(LOOPS)


def text(address: tuple[str, int]) -> str:
    return "{}:{}".format(*address)


def checking(loop: str, **options: Any) -> check.Checking:
    """What is asked for, of the loop of this name."""
    given = {"timeout": 1.0, "limits": Limits(), "deadline": None, "ordered": True, **options}
    return check.Checking(LOOPS[loop], Dialer(), done=Counter(), **given)


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
    assert lines[2].endswith(": ECONNREFUSED: nothing is listening there")


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
    monkeypatch.setattr(check, "connect_many", None)
    result = invoke("check", text(stage.healthy), "nonsense")
    assert result.exit_code == 2
    assert "not an address: 'nonsense': the port is missing" in result.output


def test_a_datagram_socket_has_heard_from_nobody(invoke: Any) -> None:
    result = invoke("check", "udp://127.0.0.1:9")
    assert result.exit_code == 0
    assert result.output.startswith("connected  to udp://127.0.0.1:9 in ")
    assert result.output.endswith("sends nothing, so nobody has answered\n")


def test_json_of_a_connection(invoke: Any, stage: Stage) -> None:
    [fields] = check_json(invoke, f"tcp://localhost:{stage.healthy[1]}")
    seconds = fields.pop("seconds")
    assert seconds < 5
    assert sum(fields.pop("phases").values()) <= seconds + 1e-5
    moment = datetime.fromisoformat(fields.pop("time"))
    assert abs(moment.timestamp() - time()) < 60
    assert (fields.pop("index"), fields.pop("line")) == (0, None)
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
    assert list(fields)[-4:] == ["index", "line", "phases", "time"]
    for member in ("index", "line", "phases", "time"):
        del fields[member]
    assert fields.pop("message").endswith(": ECONNREFUSED: nothing is listening there")
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
        "reason": "nothing is listening there",
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
    with refusing("127.0.0.2") as other:
        results = [(*kind, stage.refused), (*kind, other)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: results)
        [fields] = check_json(invoke, f"two.example:{stage.refused[1]}")
    assert fields["peer"] is None
    peers = [attempt["peer"] for attempt in fields["attempts"]]
    assert peers == [text(stage.refused), text(other)]


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
def test_the_names_of_other_peers(family: int, type: int, sockaddr: Any, peer: str) -> None:
    record = AttemptRecord(family, type, sockaddr, None, 0, 1, "failed", 22)
    error = ConnectError(22, "no", attempts=[record])
    result = Result("x:1", 0, "failed", error=error, key=Item(0, None, "x:1"))
    assert json.loads(as_json(result))["peer"] == peer


def test_what_an_address_brings_along_does_not_reach_the_terminal(invoke: Any) -> None:
    result = invoke("check", "unix:/nowhere/[bold]:smile:\n\x1b[31m")
    assert r"unix:/nowhere/[bold]:smile:\n\x1b[31m in " in result.output
    assert len(result.output.splitlines()) == 1


class Enough(Exception):
    pass


class Output(io.BytesIO):
    """Takes so many lines."""

    def __init__(self, most: float = inf) -> None:
        super().__init__()
        self.most = most
        self.lines: list[str] = []

    def write(self, data: Any) -> int:
        if len(self.lines) == self.most:
            raise Enough
        self.lines.append(data.decode())
        return len(data)


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_a_line_appears_at_once_and_what_writing_raises_ends_everything(
    stage: Stage, loop: str
) -> None:
    output = Output(most=1)
    healthy, silent = text(stage.healthy), text(stage.silent)
    addresses = (healthy, healthy, silent, silent)
    with pytest.raises(Enough):  # or the silent listener would be waited for
        check.check_all(checking(loop, timeout=inf, output=output), addresses, None)
    assert len(output.lines) == 1


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_the_addresses_are_connected_to_at_the_same_time(stage: Stage, loop: str) -> None:
    began = monotonic()
    output = Output()
    silent = (text(stage.silent),) * 20
    assert not check.check_all(checking(loop, timeout=0.2, output=output), silent, None)
    assert len(output.lines) == 20
    assert monotonic() - began < 20 * 0.2


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


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_ctrl_c_leaves_nothing_unsaid(stage: Stage, loop: str) -> None:
    healthy, silent = text(stage.healthy), text(stage.silent)
    output = Output()

    def interrupt(data: Any) -> int:
        if not output.lines:
            signal.raise_signal(signal.SIGINT)
        output.lines.append(data.decode())
        return len(data)

    output.write = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        # Those behind the silent one are known, and are waiting for it.
        addresses = (healthy, healthy, silent, healthy, healthy)
        check.check_all(checking(loop, timeout=inf, output=output), addresses, None)
    assert len(output.lines) in (2, 3, 4)


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

    @pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
    @pytest.mark.parametrize("loop", ALL_LOOPS)
    def test_over_tls_to_a_proxy(
        self, invoke: Any, loop: str, tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        certificates = Certificates()
        pem = tmp_path / "both.pem"
        pem.write_bytes(certificates.of())
        context = certificates.server() if tls else None
        monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: certificates.client())
        with serving(context, hang_up) as server:
            script = [Secure(str(pem)), HEAD, b"HTTP/1.1 200 OK\r\n\r\n", Forward(server.address)]
            with FakeProxy(script) as proxy:
                options = ["--loop", loop, "--proxy", f"https://127.0.0.1:{proxy.port}"]
                options += ["--tls", "--verbose"] if tls else []
                result = invoke("check", *options, f"{NAME}:443")
        assert result.exit_code == 0, result.output
        assert f"connected  to {NAME}:443 through https://127.0.0.1" in result.output
        assert "TLS to proxy" in result.output or not tls

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
            (("--proxy", "socks://c4n4ry@h", "h:1"), "write which one"),
            (
                ("--proxy", "socks5h://h", "udp://127.0.0.1:9"),
                "a proxy can reach TCP addresses only",
            ),
            (("--proxy", "socks5h://h", "--proxy", "socks5h+unix:/x", "h:1"), "another proxy"),
        ],
    )
    def test_what_makes_no_sense(self, invoke: Any, arguments: Any, said: str) -> None:
        result = invoke("check", *arguments)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())
        assert "c4n4ry" not in result.stderr
