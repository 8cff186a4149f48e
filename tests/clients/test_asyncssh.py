"""asyncssh over our connections, against OpenSSH's sshd."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import getpass
import os
import socket
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncssh
import pytest
import trio
from conftest import ASYNCIO_LOOPS
from support.by_proxy import SCHEMES, by_proxy
from support.canaries import Canaries
from support.clients import (
    REFUSED,
    SILENT,
    TURNS,
    dead_addresses_first,
    for_transports,
    full_report,
)
from support.listeners import listening, refusing, silent
from support.loops import ForgetfulLoop
from support.programs import free_port, program, running
from support.scenarios import ASYNCIO_LOOPS as NEW_LOOPS
from support.scenarios import Scenario, cancel_at_every_step, new_runnable
from support.stepping import one_turn

from aconnect import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    Deadline,
    Dialer,
    Report,
    StaticResolver,
)
from aconnect.clients.asyncssh import connect
from aconnect.policy import public_only

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

on_each_loop = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True),
]

NAME = "ssh.test"
LONG = 30  # seconds; what takes as long has failed
HERE = Dialer(resolver=StaticResolver({NAME: ["127.0.0.1"]}))


class Server(NamedTuple):
    port: int
    host_key: str
    login: dict[str, Any]
    """Options for asyncssh: who, with which key, and without anybody's own configuration."""

    def known_as(self, host: str) -> bytes:
        """A known_hosts file that knows the server by this name."""
        return f"[{host}]:{self.port} {self.host_key}\n".encode()

    @property
    def options(self) -> dict[str, Any]:
        return {"port": self.port, "known_hosts": self.known_as("127.0.0.1"), **self.login}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    sshd = program("sshd", "openssh-server")
    here = tmp_path_factory.mktemp("ssh")
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    key = asyncssh.generate_private_key("ssh-ed25519")
    host_key.write_private_key(here / "host_key")
    (here / "host_key").chmod(0o600)
    key.write_public_key(here / "authorized_keys")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where it locks its processes up
    port = free_port()
    write_configuration(
        here / "config",
        ListenAddress=f"127.0.0.1:{port}",
        HostKey=here / "host_key",
        AuthorizedKeysFile=here / "authorized_keys",
        PidFile="none",
        StrictModes="no",
        UsePAM="no",
        PermitRootLogin="yes",
        PasswordAuthentication="no",
        KbdInteractiveAuthentication="no",
        MaxStartups=1000,
        UseDNS="no",
    )
    public = host_key.export_public_key().decode().strip()
    login = {
        "username": getpass.getuser(),
        "client_keys": [key],
        "agent_path": None,
        "config": None,
    }
    command = [sshd, "-e", "-f", str(here / "config")]
    # From 9.8 on it locks an address out from which logins failed, as ours do on purpose.
    forgiving = ["-o", "PerSourcePenalties=no"]
    if subprocess.run([*command, *forgiving, "-t"], capture_output=True).returncode == 0:
        command += forgiving
    command.append("-D")
    with running(command, here / "log", ("127.0.0.1", port)):
        yield Server(port, public, login)


def write_configuration(path: Path, **options: Any) -> None:
    path.write_text("".join(f"{name} {value}\n" for name, value in options.items()))


async def opened(opening: connect) -> Any:
    return await opening


async def echoed(opening: connect) -> Any:
    async with opening as connection:
        return (await connection.run("echo hello")).stdout


@pytest.mark.server
class TestAnExchange:
    pytestmark = on_each_loop

    async def test_over_tcp(self, server: Server) -> None:
        assert await echoed(connect("127.0.0.1", **server.options)) == "hello\n"

    async def test_options_of_the_dial(self, server: Server) -> None:
        options = {
            "local_addr": ("127.0.0.9", 0),
            "family": socket.AF_INET,
            "flags": socket.AI_ADDRCONFIG,
            "tunnel": None,
            "sock": None,
        }
        async with connect("127.0.0.1", **server.options, **options) as connection:
            assert connection.get_extra_info("sockname")[0] == "127.0.0.9"

    async def test_awaited(self, server: Server) -> None:
        options = {**server.options, "deadline": Deadline.after(30)}
        connection = await connect("127.0.0.1", **options)
        assert (await connection.run("echo hello")).stdout == "hello\n"
        connection.close()
        await connection.wait_closed()

    async def test_host_keys_go_by_the_name(self, server: Server) -> None:
        options = {**server.options, "dialer": HERE, "known_hosts": server.known_as(NAME)}
        assert await echoed(connect(NAME, **options)) == "hello\n"

    async def test_another_hosts_key_is_not_accepted(self, server: Server) -> None:
        options = {**server.options, "dialer": HERE, "known_hosts": server.known_as("other.test")}
        with Canaries() as canaries:
            with pytest.raises(asyncssh.HostKeyNotVerifiable):
                await connect(NAME, **options)
            await canaries.settle()

    async def test_a_configuration_file_does_not_say_where_to(
        self, server: Server, tmp_path: Path
    ) -> None:
        """Nor does it have anything opened that is not used then."""
        config = tmp_path / "config"
        write_configuration(
            config,
            Hostname="127.0.0.9",
            Port=1,
            ProxyJump="127.0.0.9:1",
            HostKeyAlias="the-server",
        )
        options = {**server.options, "config": str(config)}
        options["known_hosts"] = server.known_as("the-server")
        assert await echoed(connect("127.0.0.1", **options)) == "hello\n"

    async def test_nodelay_is_the_dialers(self, server: Server) -> None:
        nagle: list[Any] = []
        for nodelay in (True, False):
            dialer = Dialer(nodelay=nodelay)
            async with connect("127.0.0.1", **server.options, dialer=dialer) as connection:
                sock = connection.get_extra_info("socket")
                nagle.append(not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        assert nagle == [False, True]


class TestTheDeadline:
    pytestmark = on_each_loop

    async def test_a_listener_that_never_answers(self) -> None:
        with silent() as (host, port), pytest.raises(ConnectTimeout) as caught:
            await connect(host, port, timeout=0.05)
        assert caught.value.phase == "connect"
        assert caught.value.report is not None

    @pytest.mark.parametrize("kind", ["timeout", "deadline"])
    async def test_one_that_accepts_and_says_nothing(self, kind: str) -> None:
        with listening() as listener, Canaries() as canaries:
            host, port = listener.getsockname()
            limit: Any = {"timeout": 0.05} if kind == "timeout" else {}
            limit = limit or {"deadline": Deadline.after(0.05)}
            with pytest.raises(ConnectTimeout, match="SSH handshake had not finished") as caught:
                await connect(host, port, config=None, **limit)
            accepted, _ = listener.accept()
            with accepted:
                while accepted.recv(4096):
                    pass  # what it had sent, and then the end
            await canaries.settle()
        assert caught.value.phase == "handshake"
        assert str(caught.value.address) == f"{host}:{port}"
        assert f"{host}:{port}" in str(caught.value)
        assert caught.value.elapsed > 0

    async def test_asyncssh_has_limits_of_its_own(self) -> None:
        with listening() as listener:
            host, port = listener.getsockname()
            with pytest.raises(TimeoutError) as caught:
                await connect(host, port, config=None, timeout=30, connect_timeout=0.05)
        assert not isinstance(caught.value, ConnectError)


class TestTheDial:
    pytestmark = on_each_loop

    @pytest.mark.server
    async def test_dead_addresses_cost_little(self, server: Server) -> None:
        reports: list[Report] = []
        with dead_addresses_first(NAME, server.port) as resolver:
            dialer = Dialer(resolver=resolver, attempt_delay=0.01, on_report=reports.append)
            options = {**server.options, "dialer": dialer, "known_hosts": server.known_as(NAME)}
            assert await echoed(connect(NAME, **options, timeout=30)) == "hello\n"
        [report] = reports
        text = str(report)
        assert all(host in text for host in (REFUSED, SILENT, f"127.0.0.1:{server.port}"))
        assert "won" in text

    async def test_there_is_a_report_of_a_failure(self) -> None:
        reports: list[Report] = []
        with refusing() as (host, port), pytest.raises(ConnectionRefusedError) as caught:
            await connect(host, port, dialer=Dialer(on_report=reports.append))
        assert isinstance(caught.value, ConnectError)
        assert reports == [caught.value.report]

    async def test_the_policy_and_the_default_port(self) -> None:
        dialer = Dialer(permit=public_only(), resolver=HERE.resolver)
        with pytest.raises(AddressNotPermitted) as caught:
            await connect(NAME, dialer=dialer)
        assert str(caught.value.address) == f"{NAME}:22"

    @pytest.mark.server
    async def test_its_own_report(self, server: Server) -> None:
        report = Report()
        assert await echoed(connect("127.0.0.1", report=report, **server.options)) == "hello\n"
        assert report.outcome == "connected"
        with refusing() as (host, port), pytest.raises(ConnectError) as caught:
            await connect(host, port, report=(report := Report()))
        assert caught.value.report is report


class TestWhatFails:
    pytestmark = on_each_loop

    @pytest.mark.server
    async def test_the_login(self, server: Server) -> None:
        stranger = asyncssh.generate_private_key("ssh-ed25519")
        with Canaries() as canaries:
            with pytest.raises(asyncssh.PermissionDenied):
                await connect("127.0.0.1", **{**server.options, "client_keys": [stranger]})
            await canaries.settle()

    async def test_it_hangs_up(self) -> None:
        with listening() as listener, Canaries() as canaries:
            host, port = listener.getsockname()
            task = asyncio.ensure_future(opened(connect(host, port, config=None, timeout=30)))
            listener.setblocking(False)
            accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
            accepted.close()
            with pytest.raises((asyncssh.ConnectionLost, OSError)):
                await task
            await canaries.settle()

    async def test_before_the_loop_has_taken_the_socket(self) -> None:
        """An option that asyncssh refuses when it has the socket already."""
        with listening() as listener, Canaries() as canaries:
            with pytest.raises(TypeError, match="colour"):
                await connect(*listener.getsockname(), colour="red")
            with pytest.raises(ValueError, match="algorithm"):
                await connect(*listener.getsockname(), config=None, kex_algs=["rot13"])
            await canaries.settle()


class TestNonsense:
    @pytest.mark.parametrize(
        ("arguments", "error", "words"),
        [
            ({"host": 5}, TypeError, "5"),
            ({"host": "a b"}, ValueError, "a b"),
            ({"port": "22"}, TypeError, "22"),
            ({"timeout": -1}, ValueError, "timeout"),
            ({"deadline": 5}, TypeError, "Deadline"),
            ({"report": 5}, TypeError, "must be a Report"),
            ({"report": full_report()}, ValueError, "must be a new Report"),
            ({"dialer": "mine"}, TypeError, "Dialer"),
            ({"sock": 5}, TypeError, "sock"),
            ({"local_addr": ("localhost", 0)}, ValueError, "local_addr"),
            ({"family": 77}, ValueError, "family"),
            ({"flags": "x"}, TypeError, "flags"),
            ({"tunnel": "elsewhere"}, TypeError, "tunnel"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_is_refused_before_anything_is_done(
        self, arguments: Any, error: Any, words: str
    ) -> None:
        with pytest.raises(error, match=words):
            connect(**{"host": "127.0.0.1", **arguments})

    def test_trio(self) -> None:
        async def main() -> None:
            await connect("127.0.0.1", 1)

        with pytest.raises(RuntimeError, match="trio"):
            trio.run(main)

    def test_asyncssh_is_missing(self, monkeypatch: Any) -> None:
        monkeypatch.setitem(sys.modules, "asyncssh", None)
        monkeypatch.delitem(sys.modules, "aconnect.clients.asyncssh")
        with pytest.raises(
            ImportError,
            match=r"is not installed: install it, or aconnect-io\[asyncssh\]",
        ):
            import aconnect.clients.asyncssh  # noqa: F401


@pytest.mark.parametrize("new_loop", NEW_LOOPS[:3])
class TestCancellation:
    @pytest.mark.slow
    @pytest.mark.server
    @pytest.mark.parametrize("kind", ["tcp", "silent", "mute", "denied"])
    def test_at_every_step(
        self, new_loop: Any, kind: str, server: Server, monkeypatch: Any, tmp_path: Any
    ) -> None:
        with contextlib.ExitStack() as stack:
            scene = Scenario(stack, monkeypatch, tmp_path)
            options = {"host": "127.0.0.1", **server.options}
            if kind == "silent":
                host, port = stack.enter_context(silent())
                options.update(host=host, port=port, timeout=0.01)
            if kind == "mute":
                host, port = stack.enter_context(listening(backlog=2000)).getsockname()
                options.update(host=host, port=port, timeout=0.02)
            if kind == "denied":
                options["client_keys"] = None

            async def start() -> Any:
                try:
                    return asyncio.get_running_loop(), await connect(**options)
                except asyncssh.PermissionDenied:
                    assert kind == "denied"

            def close(won: Any) -> None:
                loop, connection = won
                connection.abort()
                loop.run_until_complete(connection.wait_closed())

            scene.start = start
            scene.close = close  # type: ignore[method-assign]
            with Canaries():
                cancel_at_every_step(for_transports(new_loop), scene)

    @pytest.mark.parametrize("turns", range(TURNS))
    def test_the_coroutine_is_closed(self, new_loop: Any, turns: int) -> None:
        """It cannot wait for anything then; the socket is closed all the same."""
        loop, _ = new_runnable(new_loop)
        with listening() as listener, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the loop's transport says of being left behind
            coroutine = opened(connect(*listener.getsockname(), config=None))
            task = loop.create_task(coroutine)
            for _ in range(turns):
                one_turn(loop)
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with contextlib.suppress(RuntimeError):
                coroutine.close()
            del task, coroutine
            loop.close()
            gc.collect()
            if turns:
                accepted, _ = listener.accept()
                with accepted:
                    while accepted.recv(4096):
                        pass


def test_a_loop_that_closes_the_number_and_not_the_socket() -> None:
    with listening() as listener, ForgetfulLoop() as loop:
        host, port = listener.getsockname()
        loop.run_cancelled(lambda: opened(connect(host, port, config=None)))


@pytest.mark.server
class TestByWayOfAProxy:
    pytestmark = on_each_loop

    @pytest.mark.parametrize("nodelay", [True, False])
    @pytest.mark.parametrize("scheme", SCHEMES)
    async def test_an_exchange(self, scheme: str, nodelay: bool, server: Server) -> None:
        options = {**server.options, "known_hosts": server.known_as(NAME)}
        with by_proxy(scheme, ("127.0.0.1", server.port), NAME) as (dialer, proxy):
            opening = connect(
                NAME, dialer=dialer.replace(nodelay=nodelay), timeout=LONG, **options
            )
            assert await echoed(opening) == "hello\n"
            assert proxy.connections == 1

    async def test_one_that_ends_in_the_key_exchange(self) -> None:
        with listening() as nobody:
            with by_proxy("https", nobody.getsockname(), NAME) as (dialer, _):
                with pytest.raises(ConnectTimeout):
                    await connect(NAME, dialer=dialer, timeout=0.5, known_hosts=None, config=None)
