"""`aconnect check` of many: from a file, in every format, resumed, interrupted."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.listeners import listening, unix_listening
from support.terminals import on_a_terminal
from support.tls import NAME, Certificates
from support.tls_server import tls_process

from aconnect import AttemptRecord, ConnectError, Endpoint, Report
from aconnect.cli import formats, progress, tls
from aconnect.cli.check_command import _output
from aconnect.cli.formats import as_csv, as_text, prometheus
from aconnect.cli.loops import LOOPS
from aconnect.cli.source import Item
from aconnect.many import Result, Statistics
from aconnect.trace import AttemptEnded, AttemptStarted, DialConnected, DialStarted

if TYPE_CHECKING:
    from pathlib import Path

ALL_LOOPS = list(LOOPS)


def text(address: tuple[str, int]) -> str:
    return "{}:{}".format(*address)


@pytest.fixture
def listed(tmp_path: Path, stage: Any) -> Path:
    path = tmp_path / "list"
    path.write_text(f"# peers\n{text(stage.healthy)}\n\nnonsense\n{text(stage.refused)}\n")
    return path


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_a_file(invoke: Any, listed: Path, stage: Any, loop: str) -> None:
    result = invoke("check", "-f", str(listed), "--ordered", "--loop", loop)
    assert result.exit_code == 1
    first, second, third = result.stdout.splitlines()
    assert first.startswith(f"connected  to {text(stage.healthy)} in ")
    assert second.startswith("invalid    line 4: not an address: 'nonsense'")
    assert third.startswith(f"failed     could not connect to {text(stage.refused)} ")


def test_json_has_places_and_lines(invoke: Any, listed: Path) -> None:
    result = invoke("check", "-f", str(listed), "--format", "json", "--ordered")
    lines = [json.loads(each) for each in result.stdout.splitlines()]
    assert [(each["index"], each["line"]) for each in lines] == [(0, 2), (1, 4), (2, 5)]
    assert [each["outcome"] for each in lines] == ["connected", "invalid", "failed"]
    assert list(lines[0]) == [
        *("address", "peer", "outcome", "seconds", "index", "line", "phases", "time"),
    ]
    assert lines[0]["time"].endswith("Z")
    assert "not an address" in lines[1]["message"]


def test_csv(invoke: Any, listed: Path) -> None:
    result = invoke("check", "-f", str(listed), "--format", "csv", "--ordered")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["outcome"] for row in rows] == ["connected", "invalid", "failed"]
    assert rows[2]["errno_name"] == "ECONNREFUSED"
    assert rows[2]["transient"] == "true"
    assert rows[0]["errno"] == ""
    assert float(rows[0]["connect"]) <= float(rows[0]["seconds"])


@pytest.mark.parametrize("begins", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(begins: str) -> None:
    address = f"{begins}cmd|' /C calc'!A0\n:1"
    result = Result(address, 0, "invalid", error=ValueError("no"), key=Item(0, 1, address))
    [row] = csv.reader([as_csv(result)])
    assert row[0] == "'" + address.replace("\n", " ")


def test_metrics_for_prometheus(invoke: Any, listed: Path, stage: Any, tmp_path: Path) -> None:
    output = tmp_path / "metrics.prom"
    output.write_text("before")
    arguments = ("-f", str(listed), "--format", "prometheus", "-o", str(output))
    assert invoke("check", *arguments).exit_code == 1
    lines = output.read_text().splitlines()
    assert f'probe_success{{target="{text(stage.healthy)}"}} 1' in lines
    assert f'probe_success{{target="{text(stage.refused)}"}} 0' in lines
    assert f'probe_ip_protocol{{target="{text(stage.healthy)}"}} 4' in lines
    assert "# TYPE probe_success gauge" in lines
    names = {line.partition("{")[0] for line in lines if not line.startswith("#")}
    assert names == {
        *("probe_success", "probe_duration_seconds", "probe_dns_lookup_time_seconds"),
        *("probe_ip_protocol", "probe_ip_addr_hash"),
    }
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_metrics_tell_ipv6_from_ipv4() -> None:
    endpoint = Endpoint(socket.AF_INET6, socket.SOCK_STREAM, 0, ("2001:db8::1", 80, 0, 0))
    report = Report()
    for event in (
        DialStarted(0, "a:1"),
        AttemptStarted(0, 0, endpoint),
        AttemptEnded(0, 0, "connected"),
        DialConnected(0, 0),
    ):
        report(event)
    result = Result("a:1", 0, "connected", key=Item(0, None, "a:1"), report=report)
    assert 'probe_ip_protocol{target="a:1"} 6' in list(prometheus([result]))


def test_a_hash_of_an_address_is_that_of_the_blackbox_exporter() -> None:
    assert formats._fnv1a(b"") == 2166136261
    assert formats._fnv1a(b"a") == 0xE40C292C


def test_labels_are_escaped() -> None:
    address = 'unix:/a"b\\c\nd'
    result = Result(address, 0, "failed", key=Item(0, None, address), report=Report())
    assert r'probe_success{target="unix:/a\"b\\c\nd"} 0' in list(prometheus([result]))


def test_a_unix_peer_has_no_version_of_ip(invoke: Any, stage: Any, tmp_path: Path) -> None:
    with unix_listening(tmp_path / "x"):
        output = invoke("check", "--format", "prometheus", f"unix:{tmp_path}/x").stdout
    assert "probe_success" in output
    assert "probe_ip_protocol" not in output


def test_results_go_to_a_file(invoke: Any, listed: Path, tmp_path: Path) -> None:
    output = tmp_path / "results"
    result = invoke("check", "-f", str(listed), "-o", str(output))
    assert result.stdout == ""
    assert len(output.read_text().splitlines()) == 3


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_a_run_is_taken_up(
    invoke: Any, listed: Path, tmp_path: Path, stage: Any, loop: str
) -> None:
    results = tmp_path / "results"
    results.write_text(
        json.dumps({"address": text(stage.healthy), "outcome": "failed"}) + '\n{"address": "127'
    )
    arguments = ("-f", str(listed), "--resume", str(results), "--loop", loop)
    assert invoke("check", *arguments).exit_code == 1
    lines = [json.loads(each) for each in results.read_text().splitlines()]
    outcomes = sorted(each["outcome"] for each in lines)
    assert outcomes == ["failed", "failed", "invalid"]
    assert invoke("check", *arguments).exit_code == 0  # there was nothing left
    assert len(results.read_text().splitlines()) == 3


SLIP = "socks5h://user:c4n4ry@proxy.example:1080"


@pytest.mark.parametrize("form", ["text", "json", "csv", "prometheus"])
def test_a_proxy_among_addresses_does_not_show_its_login(
    invoke: Any, tmp_path: Path, form: str
) -> None:
    listed, results = tmp_path / "list", tmp_path / "results"
    listed.write_text(f"{SLIP}\n")
    arguments = ("-f", str(listed), "--format", form, "-v")
    said = invoke("check", *arguments)
    assert said.exit_code == 1
    assert "socks5h://***@proxy.example:1080" in said.output
    assert "c4n4ry" not in said.output
    if form == "json":
        assert invoke("check", *arguments, "--resume", str(results)).exit_code == 1
        assert "c4n4ry" not in results.read_text()
        assert invoke("check", *arguments, "--resume", str(results)).exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", SLIP),
        ("check", "--source", SLIP, "a:1"),
        ("check", "--connect-to", SLIP, "a:1"),
        ("check", "--connect-to", f"a={SLIP}", "a:1"),
        ("check", "--resolver", "dns", "--server", SLIP, "a:1"),
        ("wait-for", SLIP),
        ("watch", SLIP),
        ("lookup", SLIP),
        ("lookup", "--service", SLIP, "a"),
    ],
)
def test_nor_where_it_makes_no_sense(invoke: Any, arguments: Any) -> None:
    said = invoke(*arguments)
    assert said.exit_code == 2
    assert "proxy.example" in said.output
    assert "c4n4ry" not in said.output


def test_fail_fast(invoke: Any, stage: Any) -> None:
    silent, refused = text(stage.silent), text(stage.refused)
    arguments = ("--timeout", "inf", "--concurrency", "1", "--fail-fast")
    result = invoke("check", *arguments, refused, silent)
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1


def test_the_deadline_of_all(invoke: Any, stage: Any) -> None:
    result = invoke("check", "--deadline", "0", text(stage.healthy))
    assert result.exit_code == 1
    assert result.stdout == f"not tried  {text(stage.healthy)}\n"


def test_the_sum_of_it_goes_to_standard_error(invoke: Any, listed: Path) -> None:
    with_it = invoke("check", "-f", str(listed), "--summary", "--rate", "100")
    lines = with_it.stderr.splitlines()
    assert lines[0].startswith("3 checked: 1 connected, 1 failed, 1 invalid")
    assert lines[1] == "  ECONNREFUSED: 1"
    assert [line.split()[0] for line in lines[3:]] == ["all", "connect"]
    assert progress.summary(Statistics()) == ["0 checked: nothing"]


def test_a_drawing_of_each(invoke: Any, stage: Any) -> None:
    result = invoke("check", "-v", text(stage.healthy), text(stage.refused))
    assert "━" in result.stdout
    assert "ECONNREFUSED: nothing is listening there" in result.stdout
    assert max(map(len, result.stdout.splitlines())) < 130
    result = invoke("check", "-v", "--deadline", "0", text(stage.healthy))
    assert len(result.stdout.splitlines()) == 1  # of what was not tried there is none


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_tls_fails_in_words(invoke: Any, loop: str) -> None:
    with listening() as listener:
        address = text(listener.getsockname())
        result = invoke("check", "--tls", "--timeout", "0.2", "--loop", loop, address)
    assert result.stdout.startswith(f"timed out  could not connect to {address} ")
    assert "its handshake had not finished" in result.stdout


def test_families_interfaces_and_sources(invoke: Any, stage: Any) -> None:
    healthy = text(stage.healthy)
    assert invoke("check", "-4", "--source", "127.0.0.3", healthy).exit_code == 0
    assert invoke("check", "-6", healthy).exit_code == 1
    assert "EADDRNOTAVAIL" in invoke("check", "--source", "192.0.2.77", healthy).stdout
    assert invoke("check", "--interface", "lo", healthy).exit_code in (0, 1)  # takes privileges


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give addresses or --file"),
        (("-f", "x", "a:1"), "give addresses or --file"),
        (("-f", "/nowhere/x"), "/nowhere/x: No such file or directory"),
        (("-f", "/"), "/: Is a directory"),
        (("-o", "/nowhere/x", "a:1"), "/nowhere/x: No such file or directory"),
        (("-4", "-6", "a:1"), "-4 and -6 exclude each other"),
        (("--rate", "0", "a:1"), "is not a number of starts per second"),
        (("--rate", "x", "a:1"), "is not a number of starts per second"),
        (("--concurrency", "0", "a:1"), "0 is not in the range"),
        (("--source", "nonsense", "a:1"), "nonsense"),
        (("--json", "--format", "csv", "a:1"), "--json writes JSON"),
        (("--resume", "r", "--format", "csv", "a:1"), "--resume writes JSON"),
        (("--resume", "r", "-o", "o", "a:1"), "exclude each other"),
    ],
)
def test_what_makes_no_sense(invoke: Any, arguments: Any, said: str) -> None:
    result = invoke("check", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_a_file_that_is_no_run_of_ours(invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "r").write_text("nonsense\n")
    result = invoke("check", "--resume", str(tmp_path / "r"), "a:1")
    assert result.exit_code == 2
    assert "is no result of aconnect check" in " ".join(result.stderr.split())


def test_a_warning_is_a_line(invoke: Any, stage: Any) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (120, before[1]))
    try:
        result = invoke("check", "--concurrency", "5000", text(stage.healthy))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert result.exit_code == 0
    assert result.stderr.startswith("aconnect: concurrency is reduced from 5000 to ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_signals_end_it_tidily(
    start: Any, stage: Any, loop: str, number: int, status: int
) -> None:
    arguments = ("--timeout", "inf", "--json", "--summary", "--loop", loop, "-f", "-")
    process = start("check", *arguments, stdin=subprocess.PIPE)
    process.stdin.write(f"{text(stage.healthy)}\n{text(stage.silent)}\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["outcome"] == "connected"
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == status
    assert "1 checked: 1 connected" in err
    assert "Traceback" not in err


def test_a_reader_that_goes_away(start: Any, stage: Any) -> None:
    process = start("check", "--json", "-f", "-", stdin=subprocess.PIPE)
    process.stdout.close()
    process.stdin.write(f"{text(stage.healthy)}\n" * 50)
    process.stdin.close()
    assert process.wait() == 1
    assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("how", [("--json",), ("-o", "/dev/full")])
def test_a_disk_that_is_full(start: Any, stage: Any, how: Any) -> None:
    with open("/dev/full", "w") as full:
        process = start("check", *how, text(stage.healthy), stdout=full)
        _, err = process.communicate()
    assert process.returncode == 1
    assert err == "aconnect: No space left on device\n"


def test_text_of_what_could_not_be_resolved() -> None:
    record = AttemptRecord(2, 1, ("192.0.2.1", 1), None, 0, 1, "failed", errno.ECONNREFUSED)
    error = ConnectError(errno.ECONNREFUSED, "refused", attempts=[record])
    result = Result("x:1", 0, "failed", error=error, key=Item(0, None, "x:1"))
    assert as_text(result).plain == "failed     refused"


def test_progress_says_how_far_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    statistics = Statistics()
    with progress.Progress(10, statistics) as shown:
        for outcome in ("connected", "failed", "connected"):
            result = Result("x:1", 0, outcome, seconds=0.1)  # type: ignore[arg-type]
            statistics.add(result)
            shown.add(result)
        line = shown.line(shown._started + 1)
    assert line == "3/10  3/s  2 ok  1 failed  2.33 s left"
    assert "1/10" in terminal.getvalue()
    with progress.NoProgress() as nothing:
        nothing.add(result)
    assert progress.Progress(None, Statistics()).line(9e9).startswith("0  0/s  0 ok")


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_tls_that_is_done(
    invoke: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loop: str
) -> None:
    certificates = Certificates()
    trusting = ssl.create_default_context(cadata=certificates.authority.decode())
    monkeypatch.setattr(tls, "default_context", lambda: trusting)
    with tls_process(certificates.of(), tmp_path) as (host, port):
        arguments = ("--tls", "--loop", loop, "--timeout", "20")
        here = ("--connect-to", f"{NAME}={host}", f"{NAME}:{port}")
        result = invoke("check", *arguments, "--format", "prometheus", *here)
        assert result.exit_code == 0, result.output
        assert 'version="TLSv1.3"' in result.stdout
        assert "probe_ssl_earliest_cert_expiry" in result.stdout
        there = ("--connect-to", f"wrong.example={host}", f"wrong.example:{port}")
        failed = invoke("check", *arguments, *there)
        assert failed.exit_code == 1
        assert "the certificate is for another host, not for wrong.example" in failed.stdout


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_tls_with_what_has_no_name(invoke: Any, tmp_path: Path, loop: str) -> None:
    with unix_listening(tmp_path / "x"):
        result = invoke("check", "--tls", "--loop", loop, f"unix:{tmp_path}/x")
    assert result.exit_code == 1
    assert "there is no host name to check the certificate against" in result.stdout


@pytest.mark.parametrize("loop", ALL_LOOPS)
def test_tls_waits_for_room_as_well(loop: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        handshake = tls.CheckTLS(LOOPS[loop])
        handshake.tls = handshake.tls.replace(server_hostname="x.example")
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(bytes(65536))

        async def drain() -> None:
            """Read what is in the way, and then be gone."""
            while not (await received(theirs)).strip(b"\0"):
                pass
            theirs.shutdown(socket.SHUT_RDWR)

        async def received(sock: socket.socket) -> bytes:
            while True:
                try:
                    return sock.recv(65536)
                except BlockingIOError:
                    await LOOPS[loop].readable(sock)

        async def main() -> None:
            jobs = [drain, shake]
            await LOOPS[loop].together(lambda: jobs.pop()(), 2)

        async def shake() -> None:
            with pytest.raises(ConnectionResetError):
                await handshake(ours)

        LOOPS[loop].run(main)


def test_what_cannot_be_written_leaves_what_there_was(invoke: Any, tmp_path: Path) -> None:
    path = tmp_path / "metrics.prom"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), _output(path, whole=True) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["metrics.prom"]


def test_on_a_terminal_there_is_a_line_of_progress(stage: Any, listed: Path) -> None:
    status, shown = on_a_terminal("check", "-f", str(listed), "--ordered")
    assert status == 1
    assert b"1/3" in shown
    assert b"connected" in shown


@pytest.mark.slow
@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_progress_fits_terminals_of_any_width(stage: Any, tmp_path: Path, width: int) -> None:
    port = stage.healthy[1]
    path = tmp_path / "list"
    path.write_text("".join(f"127.0.0.{1 + number % 250}:{port}\n" for number in range(40)))
    arguments = ("--rate", "60", "--no-progress" if width == 40 else "--progress", "--summary")
    status, shown = on_a_terminal(
        "check", "-f", str(path), *arguments, "-o", "/dev/null", width=width
    )
    assert status == 1
    # What a line of progress is between one command to the terminal and the next.
    drawn = re.findall(r"\x1b\[2K([^\x1b\r\n]*/40  [^\x1b\r\n]*)", shown.decode())
    assert bool(drawn) is (width != 40)
    assert all(len(line) <= width for line in drawn)
    assert "40 checked:" in shown.decode()


@pytest.mark.slow
@pytest.mark.parametrize("width", [20, 60, 200])
def test_a_drawing_fits_terminals_of_60_columns_and_more(stage: Any, width: int) -> None:
    status, shown = on_a_terminal("check", "-v", text(stage.healthy), width=width)
    assert status == 0
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown.decode())
    first, *drawing = plain.splitlines()
    assert first.startswith(f"connected  to {text(stage.healthy)} in ")  # whole, in one line
    assert 40 < max(map(len, drawing)) <= max(width, 62)


@pytest.mark.slow
def test_progress_changes_nothing_of_the_results(stage: Any, listed: Path, tmp_path: Path) -> None:
    def fixed(written: bytes) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in written.splitlines()]
        for line in lines:
            for name in ("seconds", "phases", "time", "message", "attempts"):
                line.pop(name, None)  # another time each time
        return lines

    found = []
    for option in ("--progress", "--no-progress"):
        out = tmp_path / option
        arguments = ("check", "-f", str(listed), "--ordered", "--json", option, "-o", str(out))
        on_a_terminal(*arguments)
        found.append(fixed(out.read_bytes()))
        assert b"\x1b" not in out.read_bytes()
    assert found[0] == found[1]
    assert len(found[0]) == 3


def test_an_order_by_chance(invoke: Any, listed: Path, tmp_path: Path) -> None:
    def indexes(*arguments: str) -> list[int]:
        result = invoke("check", "--json", "--ordered", *arguments)
        return [json.loads(each)["index"] for each in result.stdout.splitlines()]

    whole = indexes("-f", str(listed), "--shuffle", "1")
    assert sorted(whole) == [0, 1, 2] != whole
    assert whole == indexes("-f", str(listed), "--shuffle", "1")
    results = tmp_path / "results"
    for _ in range(2):
        invoke("check", "-f", str(listed), "--shuffle", "1", "--resume", str(results))
        assert len(results.read_text().splitlines()) == 3
    addresses = listed.read_text().split("\n")[1], "127.0.0.1:1", "127.0.0.2:1"
    assert sorted(indexes("--shuffle", "1", *addresses)) == [0, 1, 2]


@pytest.mark.slow
def test_a_stream_cannot_be_shuffled(start: Any) -> None:
    process = start("check", "-f", "-", "--shuffle", "1", stdin=subprocess.PIPE)
    _, error = process.communicate()
    assert process.returncode == 2
    assert "--shuffle needs all addresses at once: - is not a regular file" in error
