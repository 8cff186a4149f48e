"""`aconnect lookup`, and `aconnect check` with a name server of one's own."""

from __future__ import annotations

import errno
import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("dns", reason="needs dnspython: install the extra 'dns'")

import dns.message
from support.liar import Liar, answer

from aconnect.cli import lookup
from aconnect.cli.loops import LOOPS
from aconnect.resolvers.dns import resolver as resolver_module
from aconnect.resolvers.dns import surroundings as module

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
        (("lookup", "a.test", "127.0.0.1"), "'127.0.0.1' is an address: there is no name in it"),
        (("lookup", "::1"), "'::1' is an address"),
        (("lookup", "fe80::1%lo"), "'fe80::1%lo' is an address"),
        (("lookup", "https://[::1]"), "'https://[::1]' is an address"),
        (("lookup", "--service", "https", "::1"), "'::1' is an address"),
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

    monkeypatch.setattr(resolver_module, "require", refuse)
    result = invoke("lookup", "a.test")
    assert result.exit_code == 2
    assert "dnspython is not installed" in result.output


ZONE = {
    ("s.test", "HTTPS"): [
        "s.test 60 HTTPS 1 t.test. port=8443 alpn=h2 ipv4hint=192.0.2.9 ech=AARhYmNk"
    ],
    ("s.test", "A"): ["s.test 60 A 192.0.2.1"],
    ("t.test", "A"): ["t.test 60 A 192.0.2.2"],
    ("u.test", "HTTPS"): ["u.test 60 HTTPS 1 t.test. alpn=h3 no-default-alpn"],
    ("u.test", "A"): ["u.test 60 A 192.0.2.1"],
    ("_x._tcp.s.test", "SRV"): ["_x._tcp.s.test 60 SRV 1 0 501 t.test."],
}


@pytest.fixture
def services(tmp_path: Path, monkeypatch: Any) -> Iterator[str]:
    for name in ("RESOLV_CONF", "NSSWITCH_CONF", "HOSTS"):
        monkeypatch.setattr(module, name, str(tmp_path / name))
    (tmp_path / "HOSTS").write_text("192.0.2.77 hosts.test\n")

    def say(query: bytes, kind: str, way: str) -> Any:
        name = str(dns.message.from_wire(query).question[0].name).rstrip(".")
        return [answer(query, *ZONE.get((name, kind), []))]

    with Liar(say) as liar:
        yield liar.address


def lines(result: Any) -> set[str]:
    """The lines without the time that they took."""
    return {re.sub(r", in [0-9.]+ m?s", "", line) for line in result.output.splitlines()}


@pytest.mark.parametrize("arguments", [("--service", "https", "s.test"), ("https://s.test",)])
def test_a_service(invoke: Any, services: str, arguments: Any) -> None:
    result = invoke("lookup", "--server", services, *arguments)
    assert result.exit_code == 0
    name, of = arguments[-1], f"TTL 60 s, from {services} by udp"
    found = lines(result)
    assert f"s.test  HTTPS  1 record, {of}" in found
    assert f"{name}  service t.test:8443  priority 1, alpn h2, ech" in found
    assert f"{name}  rank 0  192.0.2.9:8443 of t.test:8443, a hint" in found
    assert f"t.test  A  1 record, {of}" in found
    assert f"{name}  rank 0  192.0.2.2:8443 of t.test:8443" in found
    assert f"{name}  rank 1  192.0.2.1:443" in found


def test_a_service_of_a_domain(invoke: Any, services: str) -> None:
    result = invoke("lookup", "--server", services, "--service", "_x._tcp", "s.test")
    assert "s.test  rank 0  192.0.2.2:501 of t.test:501" in lines(result)
    same = invoke("lookup", "--server", services, "srv:_x._tcp.s.test")
    assert "srv:_x._tcp.s.test  rank 0  192.0.2.2:501 of t.test:501" in lines(same)


def test_a_record_that_is_not_used(invoke: Any, services: str) -> None:
    found = lines(invoke("lookup", "--server", services, "https://u.test"))
    assert (
        "https://u.test  service t.test:443  priority 1, alpn h3, "
        "not used: it offers nothing over TCP"
    ) in found


def test_where_an_answer_is_from(invoke: Any, services: str) -> None:
    assert lines(invoke("lookup", "--server", services, "t.test", "hosts.test")) == {
        f"t.test  IPv6  no address, from {services} by udp",
        f"t.test  IPv4  192.0.2.2, TTL 60 s, from {services} by udp",
        "hosts.test  any family  192.0.2.77, from hosts",
    }


def test_a_service_in_json(invoke: Any, services: str) -> None:
    result = invoke("lookup", "--json", "--server", services, "https://s.test", "t.test")
    said = [json.loads(line) for line in result.output.splitlines()]
    (https,) = [each for each in said if each.get("type") == "HTTPS"]
    assert (https["server"], https["ttl"], https["records"]) == (services, 60, 1)
    found = [each for each in said if "rank" in each and each["addresses"]]
    assert found[0]["service"]["target"] == "t.test"
    assert found[0]["service"]["ech"] == 6
    (plain,) = [each for each in said if each["addresses"] == ["192.0.2.2"]]
    assert (plain["type"], plain["source"]) == ("A", "network")


@pytest.mark.parametrize(
    ("service", "words"),
    [("foo", "neither https nor"), ("_x", "is not a service"), ("a b", "is not a service")],
)
def test_what_is_no_service(invoke: Any, service: str, words: str) -> None:
    result = invoke("lookup", "--service", service, "a.test")
    assert result.exit_code == 2
    assert words in result.output


def test_check_goes_where_the_records_lead(invoke: Any, services: str, stage: Stage) -> None:
    ZONE["_y._tcp.s.test", "SRV"] = [f"_y._tcp.s.test 60 SRV 1 0 {stage.healthy[1]} v.test."]
    ZONE["v.test", "A"] = ["v.test 60 A 127.0.0.1"]
    result = invoke("check", "-v", "--server", services, "srv:_y._tcp.s.test")
    assert result.exit_code == 0
    assert "SRV _y._tcp.s.test" in result.output
