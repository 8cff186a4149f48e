"""`aconnect lookup`, and `aconnect check` with a name server of one's own."""

from __future__ import annotations

import errno
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("dns", reason="needs dnspython: install the extra 'dns'")

from support.liar import Liar, answer

from aconnect.cli import lookup
from aconnect.cli.loops import LOOPS
from aconnect.resolvers.dns import resolver as module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aconnect.cli.stage import Stage

RECORDS = {"A": "a.test 60 A 127.0.0.1", "AAAA": ""}


def say(query: bytes, kind: str, way: str) -> Any:
    if b"\1a\4test" not in query:
        return [answer(query, rcode="NXDOMAIN")]
    return [answer(query, *filter(None, [RECORDS[kind]]))]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: Any) -> Iterator[str]:
    for name in ("RESOLV_CONF", "NSSWITCH_CONF", "HOSTS"):
        monkeypatch.setattr(module, name, str(tmp_path / name))
    with Liar(say) as liar:
        yield liar.address


@pytest.mark.parametrize("loop", list(LOOPS))
def test_a_line_for_each_batch(invoke: Any, server: str, loop: str) -> None:
    result = invoke("lookup", "--server", server, "--loop", loop, "a.test")
    assert result.exit_code == 0
    lines = sorted(line.rpartition(", in ")[0] for line in result.output.splitlines())
    assert lines == ["a.test  IPv4  127.0.0.1", "a.test  IPv6  no address"]


def test_names_that_do_not_exist(invoke: Any, server: str) -> None:
    result = invoke("lookup", "--server", server, "--json", "a.test", "b.test")
    assert result.exit_code == 1
    said = [json.loads(line) for line in result.output.splitlines()]
    addresses = {each["family"]: each["addresses"] for each in said if each["name"] == "a.test"}
    assert addresses == {"AF_INET": ["127.0.0.1"], "AF_INET6": []}
    assert said[-1]["errno_name"] == "EAI_NONAME"
    assert said[-1]["message"] == "there is no such name"
    assert said[-1]["addresses"] == []
    text = invoke("lookup", "--server", server, "b.test").output.splitlines()[-1]
    assert text.startswith("b.test  EAI_NONAME: there is no such name, in ")


def test_one_that_needs_no_server(invoke: Any, server: str) -> None:
    result = invoke("lookup", "--server", server, "localhost")
    assert result.output.startswith("localhost  any family  ::1, 127.0.0.1, in ")


def test_what_is_wrong_with_this_machine_is_said() -> None:
    heard = lookup.Heard("a.test", None, (), 0.001, errno.EMFILE, "Too many open files")
    assert str(lookup.as_text(heard)) == "a.test  EMFILE: Too many open files, in 1.0 ms"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lookup", "--server", "ns.example", "a.test"), "servers must be IP addresses"),
        (("lookup", "a..test"), "a..test"),
        (("check", "--server", "nowhere", "a.test:1"), "servers must be IP addresses"),
        (("check", "--resolver", "system", "--server", "::1", "a:1"), "--server needs"),
    ],
)
def test_bad_command_lines(invoke: Any, arguments: Any, words: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize("options", [[], ["--resolver", "dns"]])
def test_check_asks_the_server(invoke: Any, server: str, stage: Stage, options: Any) -> None:
    port = stage.healthy[1]
    result = invoke("check", *options, "--server", server, f"a.test:{port}")
    assert result.exit_code == 0
    assert f"to a.test:{port} (127.0.0.1:{port})" in result.output
    result = invoke("check", *options, "--server", server, f"b.test:{port}")
    assert result.exit_code == 1
    assert "EAI_NONAME: there is no such name" in result.output


def test_check_with_the_systems_resolver(invoke: Any, stage: Stage, monkeypatch: Any) -> None:
    port = stage.healthy[1]
    ask = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, *args, **kw: ask("127.0.0.1", *args, **kw)
    )
    assert invoke("check", "--resolver", "system", f"a.test:{port}").exit_code == 0


def test_without_dnspython(invoke: Any, monkeypatch: Any) -> None:
    def refuse() -> None:
        raise ImportError("dnspython is not installed")

    monkeypatch.setattr(module, "require", refuse)
    result = invoke("lookup", "a.test")
    assert result.exit_code == 2
    assert "dnspython is not installed" in result.output
