"""Socket options: their checks, what the kernel says was set, and what it says when it was not."""

from __future__ import annotations

import dataclasses
import errno
import os
import pickle
import socket
import struct
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from conftest import open_descriptors
from support.listeners import LOOPBACK, listening
from support.netns import in_new_network, ip, set_port_range

from aconnect.addresses.values import Endpoint, TCPAddress, UDPAddress, UnixAddress, VsockAddress
from aconnect.sockets import local_address, syscalls
from aconnect.sockets import settings as options
from aconnect.sockets.option import Keepalive, SocketOption
from aconnect.sockets.settings import SocketSettings
from aconnect.sockets.syscalls import SystemCalls

if TYPE_CHECKING:
    from collections.abc import Iterator

TCP4 = Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, (LOOPBACK, 1))
TCP6 = Endpoint(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, ("::1", 1, 0, 0))
UDP4 = Endpoint(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP, (LOOPBACK, 1))
UDP6 = Endpoint(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_UDP, ("::1", 1, 0, 0))
UNIX = UnixAddress("/s").endpoint
ALL = [TCP4, TCP6, UDP4, UDP6, UNIX]
NOBODY = 65534
MPTCP = 262


def name_of(endpoint: Endpoint) -> str:
    return f"{socket.AddressFamily(endpoint.family).name} {socket.SocketKind(endpoint.type).name}"


every_kind = pytest.mark.parametrize("endpoint", ALL, ids=name_of)


def mptcp_is_there() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP).close()
    except OSError:
        return False
    return True


needs_mptcp = pytest.mark.skipif(not mptcp_is_there(), reason="the kernel has no Multipath TCP")


@contextmanager
def without_privileges() -> Iterator[None]:
    """Without root's capabilities, if this is root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


class Recorder(socket.socket):
    """A socket that keeps what is set on it, and sets nothing."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.set: list[tuple[int, int, Any]] = []

    def setsockopt(self, level: int, name: int, value: Any, *_: Any) -> None:
        self.set.append((level, name, value))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is opened is a `Recorder`."""
    monkeypatch.setattr(options, "open_socket", lambda endpoint, _: Recorder(*endpoint[:3]))


def fails(settings: SocketSettings, endpoint: Endpoint) -> OSError:
    """The error of opening a socket, after which none is open."""
    before = open_descriptors()
    with pytest.raises(OSError) as caught:  # noqa: PT011  # callers look at it
        settings.open(endpoint)
    assert open_descriptors() == before
    assert type(caught.value) is type(OSError(caught.value.errno, ""))
    return caught.value


class TestKeepalive:
    def test_is_set(self) -> None:
        with SocketSettings(keepalive=Keepalive(31, 7, 4)).open(TCP4) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 31
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 7
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 4

    def test_the_limits_are_those_of_the_kernel(self) -> None:
        for keepalive in (Keepalive(1, 1, 1), Keepalive(32767, 32767, 127)):
            SocketSettings(keepalive=keepalive).open(TCP6).close()

    @pytest.mark.parametrize("endpoint", [UDP4, UDP6, UNIX], ids=name_of)
    def test_is_for_tcp(self, endpoint: Endpoint) -> None:
        with SocketSettings(keepalive=Keepalive(31, 7, 4)).open(endpoint) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0

    @pytest.mark.parametrize("field", ["idle", "interval", "count"])
    @pytest.mark.parametrize("value", [0, -1, 32768, 2**40])
    def test_out_of_range(self, field: str, value: int) -> None:
        arguments = {"idle": 1, "interval": 1, "count": 1, field: value}
        with pytest.raises(ValueError, match=rf"{field} must be from 1 to \d+, not {value}"):
            Keepalive(**arguments)

    @pytest.mark.parametrize("field", ["idle", "interval", "count"])
    @pytest.mark.parametrize("value", [1.0, "1", None, True])
    def test_of_another_type(self, field: str, value: Any) -> None:
        arguments = {"idle": 1, "interval": 1, "count": 1, field: value}
        with pytest.raises(TypeError, match=f"{field} must be an int, not {value!r}"):
            Keepalive(**arguments)

    def test_a_value(self) -> None:
        assert Keepalive(1, 2, 3) == Keepalive(1, 2, 3)
        assert len({Keepalive(1, 2, 3), Keepalive(1, 2, 3)}) == 1
        with pytest.raises(dataclasses.FrozenInstanceError):
            Keepalive(1, 2, 3).idle = 2  # type: ignore[misc]


class TestSocketOption:
    def test_an_int_and_bytes(self) -> None:
        linger = struct.pack("ii", 1, 5)
        settings = SocketSettings(
            socket_options=[
                SocketOption(socket.SOL_SOCKET, socket.SO_RCVBUF, 40000),
                SocketOption(socket.SOL_SOCKET, socket.SO_LINGER, linger),
                SocketOption(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno"),
            ]
        )
        with settings.open(TCP4) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 80000  # socket(7)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == linger
            name = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
            assert name.rstrip(b"\0") == b"reno"

    def test_plain_tuples(self) -> None:
        options = [
            (socket.SOL_SOCKET, socket.SO_RCVBUF, 20000),
            (socket.SOL_SOCKET, socket.SO_SNDBUF, bytearray(struct.pack("i", 20000))),
            (socket.SOL_SOCKET, socket.SO_BROADCAST, memoryview(b"\1\0\0\0")),
        ]
        settings = SocketSettings(socket_options=options)
        assert settings.socket_options[0] == SocketOption(*options[0])
        with settings.open(TCP4) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 40000
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 40000

    def test_the_last_one_wins(self) -> None:
        with pytest.raises(ValueError, match="30, TCP_FASTOPEN_CONNECT"):
            SocketOption(socket.IPPROTO_TCP, 30, 1)
        no_delay = SocketOption(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        with SocketSettings(socket_options=(no_delay,)).open(TCP4) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0

    @every_kind
    @pytest.mark.parametrize(
        ("level", "name", "kinds"),
        [
            (socket.SOL_SOCKET, socket.SO_RCVBUF, ALL),
            (socket.IPPROTO_IP, socket.IP_TTL, [TCP4, UDP4]),
            (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, [TCP6, UDP6]),
            (socket.IPPROTO_TCP, socket.TCP_SYNCNT, [TCP4, TCP6]),
            (socket.IPPROTO_UDP, 103, [UDP4, UDP6]),  # UDP_SEGMENT
        ],
    )
    def test_which_sockets_can_have_it(
        self, endpoint: Endpoint, level: int, name: int, kinds: list[Endpoint]
    ) -> None:
        option = SocketOption(level, name, 3)
        settings = SocketSettings(socket_options=[option])
        lenient = SocketSettings(socket_options=[dataclasses.replace(option, best_effort=True)])
        lenient.open(endpoint).close()
        if endpoint in kinds:
            settings.open(endpoint).close()
        else:
            error = fails(settings, endpoint)
            assert error.errno == errno.ENOPROTOOPT
            family = socket.AddressFamily(endpoint.family).name
            assert f"a socket of {family}, " in str(error)
            assert "has no such option" in str(error)

    def test_the_family_and_type_that_it_is_for(self) -> None:
        only = SocketOption(socket.IPPROTO_IP, socket.IP_TTL, 9, family=socket.AF_INET)
        tcp = SocketOption(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 2, type=socket.SOCK_STREAM)
        settings = SocketSettings(socket_options=[only])
        for endpoint in ALL:
            with settings.open(endpoint) as sock:
                if endpoint.family == socket.AF_INET:
                    assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 9
        settings = SocketSettings(socket_options=[tcp])
        for endpoint in (TCP4, TCP6, UDP4, UDP6):
            with settings.open(endpoint) as sock:
                if endpoint.type == socket.SOCK_STREAM:
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT) == 2
        assert "AF_UNIX" in str(fails(settings, UNIX))

    def test_who_gives_the_family_has_decided(self) -> None:
        # The kernel takes IPv4's options on an IPv6 socket, for its IPv4-mapped peers.
        option = SocketOption(socket.IPPROTO_IP, socket.IP_TOS, 32, family=socket.AF_INET6)
        with SocketSettings(socket_options=[option]).open(UDP6) as sock:
            assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 32
        option = SocketOption(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 2, family=socket.AF_INET)
        fails(SocketSettings(socket_options=[option]), UDP4)

    @pytest.mark.parametrize(
        ("option", "code", "words"),
        [
            (
                (socket.SOL_SOCKET, 9999, 1),
                errno.ENOPROTOOPT,
                "socket option 9999 at level 1 to 1",
            ),
            ((12345, 1, 1), errno.ENOPROTOOPT, "socket option 1 at level 12345 to 1"),
            (
                (socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"nonsense"),
                errno.ENOENT,
                "could not set TCP_CONGESTION to b'nonsense': No such file",
            ),
            ((socket.IPPROTO_TCP, socket.TCP_MAXSEG, -1), errno.EINVAL, "TCP_MAXSEG to -1"),
            ((socket.IPPROTO_TCP, socket.TCP_SYNCNT, b""), errno.EINVAL, "TCP_SYNCNT to b''"),
            ((socket.IPPROTO_IP, socket.IP_TTL, 256), errno.EINVAL, "IP_TTL to 256"),
        ],
    )
    def test_what_the_kernel_refuses(self, option: Any, code: int, words: str) -> None:
        error = fails(SocketSettings(socket_options=[SocketOption(*option)]), TCP4)
        assert error.errno == code
        assert words in str(error)
        lenient = SocketOption(*option, best_effort=True)
        SocketSettings(socket_options=[lenient]).open(TCP4).close()

    @pytest.mark.parametrize(
        ("arguments", "error", "words"),
        [
            (("1", 1, 1), TypeError, "level must be an int, not '1'"),
            ((-1, 1, 1), ValueError, "level must be from 0 to 2147483647, not -1"),
            ((1, None, 1), TypeError, "name must be an int, not None"),
            ((1, 2**31, 1), ValueError, "name must be from 0"),
            ((1, 1, None), TypeError, "value must be an int or bytes, not None"),
            ((1, 1, "eth0"), TypeError, "value must be an int or bytes, not 'eth0'"),
            ((1, 1, bytearray(4)), TypeError, "value must be an int or bytes"),
            ((1, 1, 1.5), TypeError, "value must be an int or bytes, not 1.5"),
            ((1, 1, 2**31), ValueError, "value must fit into a C int, not 2147483648"),
            ((1, 1, -(2**31) - 1), ValueError, "value must fit into a C int"),
            ({"family": "inet"}, TypeError, "family must be an int, not 'inet'"),
            ({"family": -2}, ValueError, "family must be from 0"),
            ({"type": 1.0}, TypeError, "type must be an int, not 1.0"),
            ({"type": -2}, ValueError, "type must be from 0"),
            ({"best_effort": 1}, TypeError, "best_effort must be True or False, not 1"),
        ],
    )
    def test_nonsense(self, arguments: Any, error: Any, words: str) -> None:
        positional, keywords = ((1, 1, 1), arguments)
        if isinstance(arguments, tuple):
            positional, keywords = arguments, {}
        with pytest.raises(error, match=words):
            SocketOption(*positional, **keywords)

    def test_a_value(self) -> None:
        option = SocketOption(1, 2, -(2**31), family=2, type=1, best_effort=True)
        assert pickle.loads(pickle.dumps(option)) == option
        assert len({option, dataclasses.replace(option)}) == 1
        assert "best_effort=True" in repr(option)
        with pytest.raises(TypeError):
            SocketOption(1, 2, 3, 4)  # type: ignore[call-arg]


class TestDefaults:
    @every_kind
    def test_the_fast_path(self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(options, "open_socket", lambda given, _: ("opened", given))
        opened: Any = SocketSettings().open(endpoint)
        assert opened == ("opened", endpoint)

    @every_kind
    @pytest.mark.parametrize("settings", [SocketSettings(), SocketSettings(nodelay=False)])
    def test_every_socket(self, settings: SocketSettings, endpoint: Endpoint) -> None:
        with settings.open(endpoint) as sock:
            assert sock.gettimeout() == 0
            assert not os.get_blocking(sock.fileno())
            assert not sock.get_inheritable()
            assert (sock.family, sock.type, sock.proto) == endpoint[:3]
            if endpoint.proto == socket.IPPROTO_TCP:
                nodelay = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert bool(nodelay) is settings.nodelay
        assert not settings.port_fixed(endpoint.family)

    def test_no_system_call_more(self) -> None:
        opened: list[Recorder] = []

        class Counted(Recorder):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                opened.append(self)

        calls = SystemCalls(socket=Counted)
        SocketSettings(system_calls=calls).open(TCP4).close()
        syscalls.open_socket(TCP4, Counted).close()
        ours, theirs = opened
        assert ours.set == theirs.set == [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]

    def test_a_value(self) -> None:
        settings = SocketSettings(
            keepalive=Keepalive(1, 2, 3),
            local_address=[LOOPBACK, "::1"],
            socket_options=[SocketOption(1, 2, 3)],
        )
        assert pickle.loads(pickle.dumps(settings)) == settings
        assert len({settings, dataclasses.replace(settings)}) == 1
        changed = dataclasses.replace(settings, nodelay=False)
        assert changed != settings
        with pytest.raises(dataclasses.FrozenInstanceError):
            settings.nodelay = False  # type: ignore[misc]
        with pytest.raises(TypeError):
            SocketSettings(True)  # type: ignore[call-arg]

    def test_a_protocol_that_is_not_tcp(self, recorded: None) -> None:
        sctp = TCP4._replace(proto=132)
        opened = Recorder(*TCP4[:3])
        with pytest.MonkeyPatch.context() as patch, opened:
            patch.setattr(options, "open_socket", lambda endpoint, _: opened)
            SocketSettings(keepalive=Keepalive(1, 1, 1)).open(sctp)
            assert opened.set == []


class TestSimpleSettings:
    def test_user_timeout(self) -> None:
        for seconds, milliseconds in (
            (1.5, 1500),
            (30, 30000),
            (0.0001, 1),
            (2147483, 2147483000),
        ):
            with SocketSettings(user_timeout=seconds).open(TCP4) as sock:
                timeout = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                assert timeout == milliseconds
        for endpoint in (UDP4, UDP6, UNIX):
            SocketSettings(user_timeout=1).open(endpoint).close()

    @pytest.mark.parametrize("tos", [0, 0xB8, 0xFC])
    def test_tos(self, tos: int) -> None:
        settings = SocketSettings(tos=tos)
        for endpoint in (TCP4, UDP4, TCP6, UDP6):
            with settings.open(endpoint) as sock:
                # On an IPv6 socket it is for IPv4-mapped peers.
                assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == tos
                if endpoint.family == socket.AF_INET6:
                    assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == tos
        settings.open(UNIX).close()

    def test_an_ipv6_socket_without_ipv4s_tos(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(options, "_TOS", None)
        with SocketSettings(tos=8).open(TCP6) as sock:
            assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == 8

    @pytest.mark.root
    @pytest.mark.parametrize("mark", [0, 7, 0x7FFFFFFF, 0xFFFFFFFF])
    def test_mark(self, mark: int) -> None:
        settings = SocketSettings(mark=mark)
        for endpoint in (TCP4, UDP6):
            with settings.open(endpoint) as sock:
                found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK, 4)
                assert struct.unpack("=I", found) == (mark,)
        settings.open(UNIX).close()

    def test_mark_without_permission(self) -> None:
        with without_privileges():
            error = fails(SocketSettings(mark=7), TCP4)
        assert isinstance(error, PermissionError)
        assert error.errno == errno.EPERM
        assert "could not set SO_MARK to 7: Operation not permitted" in str(error)
        assert "it needs CAP_NET_ADMIN" in str(error)

    @pytest.mark.parametrize(
        ("arguments", "constant", "option"),
        [
            ({"keepalive": Keepalive(1, 1, 1)}, "_KEEPIDLE", "TCP_KEEPIDLE"),
            ({"keepalive": Keepalive(1, 1, 1)}, "_KEEPINTVL", "TCP_KEEPINTVL"),
            ({"keepalive": Keepalive(1, 1, 1)}, "_KEEPCNT", "TCP_KEEPCNT"),
            ({"user_timeout": 1}, "_USER_TIMEOUT", "TCP_USER_TIMEOUT"),
            ({"mark": 1}, "_MARK", "SO_MARK"),
            ({"tos": 1}, "_TOS", "IP_TOS"),
        ],
    )
    def test_a_platform_without_it(
        self, arguments: Any, constant: str, option: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(options, constant, None)
        error = fails(SocketSettings(**arguments), TCP4)
        assert error.errno == errno.ENOPROTOOPT
        assert error.strerror == f"{option}: this platform has no such option"

    @pytest.mark.parametrize(
        ("arguments", "error", "words"),
        [
            ({"nodelay": 1}, TypeError, "nodelay must be True or False, not 1"),
            ({"mptcp": None}, TypeError, "mptcp must be True or False, not None"),
            ({"keepalive": 30}, TypeError, "keepalive must be a Keepalive or None, not 30"),
            ({"keepalive": (1, 2, 3)}, TypeError, r"not \(1, 2, 3\)"),
            ({"user_timeout": "1"}, TypeError, "user_timeout must be seconds, not '1'"),
            ({"user_timeout": True}, TypeError, "user_timeout must be seconds, not True"),
            ({"user_timeout": 0}, ValueError, "user_timeout must be more than 0 .* not 0"),
            ({"user_timeout": -1.5}, ValueError, "user_timeout must .*, not -1.5"),
            ({"user_timeout": float("nan")}, ValueError, "user_timeout must .*, not nan"),
            ({"user_timeout": float("inf")}, ValueError, "user_timeout must .*, not inf"),
            ({"user_timeout": 2147484}, ValueError, "at most 2147483 seconds"),
            ({"mark": -1}, ValueError, "mark must be from 0 to 4294967295, not -1"),
            ({"mark": 2**32}, ValueError, "mark must be from 0 to 4294967295"),
            ({"mark": "1"}, TypeError, "mark must be an int, not '1'"),
            ({"tos": 256}, ValueError, "tos must be from 0 to 255, not 256"),
            ({"tos": -1}, ValueError, "tos must be from 0 to 255, not -1"),
            ({"tos": 1.0}, TypeError, "tos must be an int, not 1.0"),
            (
                {"interface": 1},
                TypeError,
                ("interface must be the name of a network interface, not 1"),
            ),
            (
                {"interface": b"lo"},
                TypeError,
                ("interface must be the name of a network interface, not b'lo'"),
            ),
            ({"interface": ""}, ValueError, "interface must be a valid name .* not ''"),
            ({"interface": "x" * 16}, ValueError, "interface must be a valid name"),
            ({"interface": "e" * 14 + "\N{LATIN SMALL LETTER E WITH ACUTE}"}, ValueError, "name"),
            ({"interface": "a b"}, ValueError, "interface must be a valid name .* not 'a b'"),
            ({"interface": "a\0"}, ValueError, "interface must be a valid name"),
            ({"interface": "a/b"}, ValueError, "interface must be a valid name"),
            ({"interface": "eth0:1"}, ValueError, "interface must be a valid name"),
            ({"interface": ".."}, ValueError, "interface must be a valid name"),
            ({"interface": "."}, ValueError, "interface must be a valid name"),
            ({"socket_options": 1}, TypeError, "socket_options must be an iterable .* not 1"),
            ({"socket_options": None}, TypeError, "socket_options must be an iterable"),
            (
                {"socket_options": [(1, 2)]},
                TypeError,
                r"tuples \(level, .*, not \(1, 2",
            ),
            ({"socket_options": (1, 2, 3)}, TypeError, r"must hold .*, not 1$"),
            ({"socket_options": [(1, 2, None, 3)]}, TypeError, r"must hold .*, not \(1, 2, None"),
            ({"socket_options": [(1, 2, 3.0)]}, TypeError, "value must be an int or bytes"),
            ({"socket_options": [(1, -2, 3)]}, ValueError, "name must be from 0"),
        ],
    )
    def test_nonsense(self, arguments: Any, error: Any, words: str) -> None:
        with pytest.raises(error, match=words):
            SocketSettings(**arguments)


class TestInterface:
    def test_is_set(self) -> None:
        settings = SocketSettings(interface="lo")
        for endpoint in (TCP4, TCP6, UDP4):
            with settings.open(endpoint) as sock:
                name = sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
                assert name.rstrip(b"\0") == b"lo"
        settings.open(UNIX).close()

    @pytest.mark.root
    def test_packets_take_it(self) -> None:
        def body() -> None:
            ip("link", "add", "here", "type", "veth", "peer", "name", "there")
            ip("link", "set", "here", "up")
            with listening() as listener:
                endpoint = TCP4._replace(sockaddr=listener.getsockname())
                with SocketSettings(interface="lo").open(endpoint) as sock:
                    sock.settimeout(5)
                    sock.connect(listener.getsockname())
                with SocketSettings(interface="here").open(endpoint) as sock:
                    sock.settimeout(0.05)
                    with pytest.raises(OSError, match=r"timed out|unreachable"):
                        sock.connect(listener.getsockname())

        in_new_network(body)

    def test_there_is_none_of_that_name(self) -> None:
        error = fails(SocketSettings(interface="nosuch0"), TCP4)
        assert error.errno == errno.ENODEV
        assert "could not set SO_BINDTODEVICE to 'nosuch0': No such device" in str(error)

    def test_without_permission(self) -> None:
        # Linux lets everybody choose an interface once (5.7), and nobody change it.
        again = SocketOption(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        with without_privileges():
            error = fails(SocketSettings(interface="lo", socket_options=[again]), TCP4)
        assert isinstance(error, PermissionError)
        assert "could not set SO_BINDTODEVICE" in str(error)
        assert "it needs CAP_NET_RAW" in str(error)

    @pytest.mark.parametrize("endpoint", [TCP4, TCP6], ids=name_of)
    def test_as_macos_has_it(
        self, endpoint: Endpoint, recorded: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(options, "_BINDTODEVICE", None)
        monkeypatch.setattr(options, "_BOUND_IF", 25)
        monkeypatch.setattr(options, "_BOUND_IF6", 125)
        index = socket.if_nametoindex("lo")
        with SocketSettings(interface="lo").open(endpoint) as sock:
            assert isinstance(sock, Recorder)
            expected = {
                socket.AF_INET: (socket.IPPROTO_IP, 25, index),
                socket.AF_INET6: (socket.IPPROTO_IPV6, 125, index),
            }
            assert sock.set == [expected[socket.AddressFamily(endpoint.family)]]
        error = fails(SocketSettings(interface="nosuch0"), endpoint)
        assert error.errno == errno.ENODEV
        assert "no network interface is called 'nosuch0'" in str(error)

    @pytest.mark.parametrize("endpoint", [TCP4, TCP6], ids=name_of)
    def test_a_platform_without_it(
        self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(options, "_BINDTODEVICE", None)
        error = fails(SocketSettings(interface="lo"), endpoint)
        assert error.errno == errno.ENOPROTOOPT
        assert "BOUND_IF: this platform has no such option" in str(error)


class TestLocalAddress:
    @pytest.mark.parametrize(
        ("value", "bound"),
        [
            (LOOPBACK, [LOOPBACK]),
            ("127.0.0.2:0", ["127.0.0.2"]),
            ("::1", ["::1"]),
            ("[::1]", ["::1"]),
            ("[::1]:0", ["::1"]),
            ("[::1%1]", ["::1"]),
            ((LOOPBACK, 0), [LOOPBACK]),
            (("::1", 0), ["::1"]),
            (TCPAddress(LOOPBACK, 0), [LOOPBACK]),
            (UDPAddress("::1", 0), ["::1"]),
            ((LOOPBACK,), [LOOPBACK]),
            ([LOOPBACK], [LOOPBACK]),
            ((LOOPBACK, "::1"), [LOOPBACK, "::1"]),
            (["::1", ("127.0.0.3", 0)], ["127.0.0.3", "::1"]),
            (((LOOPBACK, 0), ("::1", 0)), [LOOPBACK, "::1"]),
            ((LOOPBACK, TCPAddress("::1", 0)), [LOOPBACK, "::1"]),
            pytest.param(iter([LOOPBACK, "[::1]:0"]), [LOOPBACK, "::1"], id="an iterator"),
            pytest.param({LOOPBACK, "::1"}, [LOOPBACK, "::1"], id="a set"),
            ((LOOPBACK, "::1", UnixAddress("@x")), [LOOPBACK, "::1"]),
        ],
        ids=str,
    )
    def test_forms(self, value: Any, bound: list[str]) -> None:
        settings = SocketSettings(local_address=value)
        for endpoint in (TCP4, UDP4, TCP6, UDP6):
            wanted = [host for host in bound if (":" in host) == (endpoint.family == TCP6.family)]
            assert not settings.port_fixed(endpoint.family)
            if wanted:
                with settings.open(endpoint) as sock:
                    assert sock.getsockname()[:2] == (wanted[0], 0)
                    sock.connect_ex(endpoint.sockaddr)
                    assert sock.getsockname()[0] == wanted[0]
                    assert sock.getsockname()[1] > 0

    def test_a_fixed_port(self) -> None:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = probe.getsockname()[1]
        for value in (f"{LOOPBACK}:{port}", (LOOPBACK, port), [TCPAddress(LOOPBACK, port)]):
            settings = SocketSettings(local_address=value)
            assert settings.port_fixed(socket.AF_INET)
            assert not settings.port_fixed(socket.AF_INET6)
            with settings.open(TCP4) as sock:
                assert sock.getsockname() == (LOOPBACK, port)
                error = fails(settings, TCP4)
                assert error.errno == errno.EADDRINUSE
                assert f"could not bind to local_address {LOOPBACK}:{port}: " in str(error)

    def test_a_zone(self) -> None:
        number = socket.if_nametoindex("lo")
        for value in ("::1%lo", f"::1%{number}", f"[::1%{number}]:0", ("::1%lo", 0)):
            with SocketSettings(local_address=value).open(TCP6) as sock:
                assert sock.getsockname()[0] == "::1"
        error = fails(SocketSettings(local_address="fe80::1%nosuch0"), TCP6)
        assert error.errno == errno.ENODEV
        assert "local_address [fe80::1%nosuch0]:0: no network interface is called" in str(error)

    @pytest.mark.root
    def test_a_zone_that_matters(self) -> None:
        def body() -> list[Any]:
            ip("link", "add", "here", "type", "veth", "peer", "name", "there")
            ip("link", "set", "here", "up")
            ip("address", "add", "fe80::1/64", "dev", "here", "nodad")
            number = socket.if_nametoindex("here")
            names = []
            for value in ("fe80::1%here", TCPAddress("fe80::1", 0, scope_id=number)):
                with SocketSettings(local_address=value).open(TCP6) as sock:
                    names.append(sock.getsockname()[3] == number)
            return names

        assert in_new_network(body) == [True, True]

    @pytest.mark.parametrize("address", ["203.0.113.1", "2001:db8::1"])
    def test_an_address_of_another_host(self, address: str) -> None:
        endpoint = TCP6 if ":" in address else TCP4
        error = fails(SocketSettings(local_address=address), endpoint)
        assert error.errno == errno.EADDRNOTAVAIL
        assert "could not bind to local_address " in str(error)
        assert address in str(error)

    @pytest.mark.root
    def test_a_port_that_needs_permission(self) -> None:
        def body() -> OSError:
            with without_privileges():
                return fails(SocketSettings(local_address=(LOOPBACK, 80)), TCP4)

        error = in_new_network(body)
        assert isinstance(error, PermissionError)
        assert "it needs CAP_NET_BIND_SERVICE" in str(error)

    @pytest.mark.parametrize(
        ("value", "endpoint"),
        [
            (LOOPBACK, TCP6),
            ("::1", TCP4),
            ("::1", UNIX),
            ([LOOPBACK, "::1"], VsockAddress(2, 1).endpoint),
            (UnixAddress("@x"), TCP4),
        ],
    )
    def test_none_of_the_endpoints_family(self, value: Any, endpoint: Endpoint) -> None:
        settings = SocketSettings(local_address=value)
        error = fails(settings, endpoint)
        assert error.errno == errno.EAFNOSUPPORT
        assert "no local_address can reach" in str(error)
        assert "of another family" in str(error)

    def test_unix(self, tmp_path: Any) -> None:
        path = tmp_path / "client"
        for local in (UnixAddress(path), UnixAddress("@aconnect-test-options")):
            settings = SocketSettings(local_address=local)
            assert settings.port_fixed(socket.AF_UNIX)
            with settings.open(UNIX) as sock:
                assert sock.getsockname() == local.endpoint.sockaddr
                error = fails(settings, UNIX)
                assert error.errno == errno.EADDRINUSE
                assert f"could not bind to local_address {local}" in str(error)
        assert path.exists()

    def test_a_unix_path_that_is_too_long(self, tmp_path: Any) -> None:
        error = fails(SocketSettings(local_address=UnixAddress(tmp_path / ("x" * 200))), UNIX)
        assert error.errno == errno.ENAMETOOLONG
        assert "too long" in str(error)

    def test_a_unix_path_without_permission(self, tmp_path: Any) -> None:
        tmp_path.chmod(0o700)
        with without_privileges():
            if os.access(tmp_path, os.W_OK, effective_ids=True):
                tmp_path.chmod(0o500)
            error = fails(SocketSettings(local_address=UnixAddress(tmp_path / "s")), UNIX)
        tmp_path.chmod(0o700)
        assert isinstance(error, PermissionError)
        assert "CAP_" not in str(error)

    @pytest.mark.parametrize(
        ("value", "error", "words"),
        [
            ("", ValueError, "local_address: host must not be empty"),
            ([LOOPBACK, 0], TypeError, "must be a tuple for a host and a port, .*, not \\["),
            ("localhost", ValueError, "must be an IP address, not a name: 'localhost'"),
            ("localhost:80", ValueError, "must be an IP address, not a name: 'localhost:80'"),
            (("localhost", 80), ValueError, "must be an IP address, not a name"),
            (TCPAddress("localhost", 80), ValueError, "must be an IP address, not a name"),
            ("127.1", ValueError, "must be an IP address, not a name: '127.1'"),
            ("127.0.0.1:htpp", ValueError, "local_address: .* port must be a number"),
            ("127.0.0.1:65536", ValueError, "local_address: .* port must be a number"),
            ("127.0.0.1%lo", ValueError, "local_address: host is neither"),
            ("[127.0.0.1]:0", ValueError, "local_address: .*brackets are for"),
            ("[::1]:", ValueError, "local_address: .* port must be a number"),
            ("::1%", ValueError, "local_address: host has an invalid zone"),
            ("udp://127.0.0.1:0", ValueError, "must be host:port or a UnixAddress, not 'udp:"),
            ("unix:/s", ValueError, "must be host:port or a UnixAddress, not 'unix:/s'"),
            ("vsock:1:2", ValueError, "must be host:port or a UnixAddress"),
            ((LOOPBACK, -1), ValueError, "local_address: port must be from 0 to 65535, not -1"),
            ((LOOPBACK, None), TypeError, "local_address: port must be an int, not None"),
            ((LOOPBACK, True), TypeError, "local_address: port must be an int, not True"),
            ((None, 80), TypeError, "local_address: host must be a str, not None"),
            ([(LOOPBACK, 1, 2)], ValueError, r"must be \(host, port\), not \('127.0.0.1', 1, 2\)"),
            ((), ValueError, "local_address must not be empty"),
            ([], ValueError, "local_address must not be empty"),
            pytest.param(
                iter(()), ValueError, "local_address must not be empty", id="an empty iterator"
            ),
            (5, TypeError, "local_address must be an address or an iterable of addresses, not 5"),
            (VsockAddress(1, 2), TypeError, "local_address must be an address or an iterable"),
            ([5], TypeError, r"local_address must be a host or \(host, port\), not 5"),
            (b"127.0.0.1", TypeError, "local_address must be a host or"),
            ([None], TypeError, "local_address must be a host or .*, not None"),
            (
                (LOOPBACK, "127.0.0.2"),
                ValueError,
                (
                    "local_address must have one address of each family at most, "
                    "not 127.0.0.1:0 and 127.0.0.2:0"
                ),
            ),
            ([UnixAddress("@a"), UnixAddress("@b")], ValueError, "one address of each family"),
        ],
        ids=repr,
    )
    def test_nonsense(self, value: Any, error: Any, words: str) -> None:
        with pytest.raises(error, match=words):
            SocketSettings(local_address=value)


class TestBindAddressNoPort:
    @pytest.mark.parametrize("endpoint", [TCP4, UDP4, TCP6, UDP6], ids=name_of)
    def test_is_set_if_the_port_is_the_kernels_choice(self, endpoint: Endpoint) -> None:
        host = str(endpoint.sockaddr[0])
        with SocketSettings(local_address=host).open(endpoint) as sock:
            assert sock.getsockopt(socket.IPPROTO_IP, 24) == 1
            port = 0
            with socket.socket(endpoint.family, endpoint.type) as free:
                free.bind((host, 0))
                port = free.getsockname()[1]
        with SocketSettings(local_address=(host, port)).open(endpoint) as sock:
            assert sock.getsockopt(socket.IPPROTO_IP, 24) == 0

    @pytest.mark.parametrize("number", [None, 0x7FFF])
    def test_where_there_is_none(
        self, number: int | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local_address, "_BIND_ADDRESS_NO_PORT", number)
        with SocketSettings(local_address=LOOPBACK).open(TCP4) as sock:
            assert sock.getsockname()[1] > 0

    @pytest.mark.root
    @pytest.mark.parametrize(("number", "shared"), [(24, True), (None, False)])
    def test_two_peers_share_the_local_ports_only_with_it(
        self, number: int | None, shared: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local_address, "_BIND_ADDRESS_NO_PORT", number)
        settings = SocketSettings(local_address="127.0.0.9")
        ports = 4

        def body() -> list[int]:
            with ExitStack() as stack:
                peers = [stack.enter_context(listening(f"127.0.0.{n}")) for n in (1, 2)]
                set_port_range(50000, 50000 + ports - 1)
                used: list[int] = []
                for peer in peers:
                    address = peer.getsockname()
                    for _ in range(ports):
                        try:
                            sock = settings.open(TCP4._replace(sockaddr=address))
                        except OSError as error:
                            assert error.errno == errno.EADDRINUSE  # noqa: PT017
                            return used
                        stack.enter_context(sock)
                        sock.setblocking(True)
                        sock.connect(address)
                        used.append(sock.getsockname()[1])
                return used

        used = in_new_network(body)
        assert set(used) == set(range(50000, 50000 + ports))
        assert len(used) == (2 * ports if shared else ports)


class Answers:
    """A socket of Multipath TCP on another kernel."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = MPTCP

    def __init__(self, *answers: int) -> None:
        self._answers = list(answers)

    def getsockopt(self, *_: int) -> int:
        answer = self._answers.pop(0)
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return answer


class TestMptcp:
    @needs_mptcp
    @pytest.mark.parametrize("endpoint", [TCP4, TCP6], ids=name_of)
    def test_is_opened(self, endpoint: Endpoint) -> None:
        with SocketSettings(mptcp=True).open(endpoint) as sock:
            assert sock.proto == MPTCP
            assert sock.gettimeout() == 0
            assert not sock.get_inheritable()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        with SocketSettings(mptcp=True, nodelay=False).open(endpoint) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0

    @needs_mptcp
    def test_with_other_settings(self) -> None:
        settings = SocketSettings(
            mptcp=True, keepalive=Keepalive(9, 9, 9), local_address=LOOPBACK, interface="lo"
        )
        with settings.open(TCP4) as sock:
            assert sock.proto == MPTCP
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 9
            assert sock.getsockname() == (LOOPBACK, 0)

    @pytest.mark.parametrize("endpoint", [UDP4, UDP6, UNIX], ids=name_of)
    def test_is_for_tcp(self, endpoint: Endpoint) -> None:
        with SocketSettings(mptcp=True).open(endpoint) as sock:
            assert sock.proto == endpoint.proto
            assert SocketSettings.mptcp_in_use(sock) is False

    @needs_mptcp
    @pytest.mark.parametrize(("listens", "expected"), [(MPTCP, True), (0, False)])
    def test_in_use(self, listens: int, expected: bool) -> None:
        settings = SocketSettings(mptcp=True)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, listens) as listener:
            listener.bind((LOOPBACK, 0))
            listener.listen()
            with settings.open(TCP4) as sock:
                sock.settimeout(10)
                sock.connect(listener.getsockname())
                assert settings.mptcp_in_use(sock) is expected
            with socket.create_connection(listener.getsockname()) as plain:
                assert settings.mptcp_in_use(plain) is False

    @pytest.mark.root
    @needs_mptcp
    def test_switched_off(self) -> None:
        def body() -> Any:
            with open("/proc/sys/net/mptcp/enabled", "w") as switch:
                switch.write("0")
            with SocketSettings(mptcp=True).open(TCP4) as sock:
                return sock.proto, sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

        assert in_new_network(body) == (socket.IPPROTO_TCP, 1)

    @pytest.mark.parametrize("code", [errno.EPROTONOSUPPORT, errno.EINVAL, errno.ENOPROTOOPT])
    def test_a_kernel_without(self, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
        def open_socket(family: int, type: int, proto: int) -> socket.socket:
            if proto == MPTCP:
                raise OSError(code, os.strerror(code))
            return socket.socket(family, type, proto)

        calls = SystemCalls(socket=open_socket)
        with SocketSettings(mptcp=True, system_calls=calls).open(TCP4) as sock:
            assert sock.proto == socket.IPPROTO_TCP

    def test_a_platform_without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(options, "_MPTCP", None)
        with SocketSettings(mptcp=True).open(TCP4) as sock:
            assert sock.proto == socket.IPPROTO_TCP
            assert SocketSettings.mptcp_in_use(sock) is False

    def test_an_option_that_only_tcp_has(self) -> None:
        option = SocketOption(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
        with SocketSettings(mptcp=True, socket_options=[option]).open(TCP4) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000

    def test_what_is_wrong_with_tcp_as_well(self) -> None:
        error = fails(SocketSettings(mptcp=True, local_address="203.0.113.1"), TCP4)
        assert error.errno == errno.EADDRNOTAVAIL

    @pytest.mark.parametrize(
        ("answers", "release", "expected"),
        [
            ((1,), "", True),
            ((0,), "", False),
            ((-errno.ENOPROTOOPT, 0), "6.1.0-13-amd64", True),
            ((-errno.EOPNOTSUPP, 0), "5.16", True),
            ((-errno.ENOPROTOOPT, -errno.EOPNOTSUPP), "6.1.0-13-amd64", False),
            ((-errno.ENOPROTOOPT, -errno.ENOPROTOOPT), "5.16.1", False),
            ((-errno.ENOPROTOOPT, -errno.EOPNOTSUPP), "5.15.0-91-generic", None),
            ((-errno.ENOPROTOOPT, -errno.EOPNOTSUPP), "unknown", None),
        ],
    )
    def test_what_older_kernels_say(
        self,
        answers: tuple[int, ...],
        release: str,
        expected: bool | None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("os.uname", lambda: SimpleNamespace(release=release))
        sock: Any = Answers(*answers)
        assert SocketSettings.mptcp_in_use(sock) is expected

    @pytest.mark.parametrize("answers", [(-errno.EBADF,), (-errno.ENOPROTOOPT, -errno.EBADF)])
    def test_a_closed_socket(self, answers: tuple[int, ...]) -> None:
        sock: Any = Answers(*answers)
        with pytest.raises(OSError, match="Bad file descriptor"):
            SocketSettings.mptcp_in_use(sock)


NOTE = "Multipath TCP was asked for, and this is plain TCP"


class TestNote:
    """What is said of a connected socket."""

    @needs_mptcp
    @pytest.mark.parametrize(("listens", "note"), [(MPTCP, ""), (0, NOTE)])
    def test_whether_the_peer_has_multipath_tcp(self, listens: int, note: str) -> None:
        settings = SocketSettings(mptcp=True)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, listens) as listener:
            listener.bind((LOOPBACK, 0))
            listener.listen()
            with settings.open(TCP4) as sock:
                sock.settimeout(10)
                sock.connect(listener.getsockname())
                assert settings.note(sock) == note

    @pytest.mark.parametrize("endpoint", [TCP4, TCP6], ids=name_of)
    def test_a_kernel_without(self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(options, "_MPTCP", None)
        with SocketSettings(mptcp=True).open(endpoint) as sock:
            assert SocketSettings(mptcp=True).note(sock) == NOTE

    @every_kind
    def test_nobody_has_asked(self, endpoint: Endpoint) -> None:
        with SocketSettings().open(endpoint) as sock:
            assert SocketSettings().note(sock) == ""

    @pytest.mark.parametrize("endpoint", [UDP4, UDP6, UNIX], ids=name_of)
    def test_what_is_not_tcp(self, endpoint: Endpoint) -> None:
        settings = SocketSettings(mptcp=True)
        with settings.open(endpoint) as sock:
            assert settings.note(sock) == ""

    def test_a_kernel_that_cannot_tell(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is said that is not known."""
        monkeypatch.setattr("os.uname", lambda: SimpleNamespace(release="5.15.0"))
        sock: Any = Answers(-errno.ENOPROTOOPT, -errno.EOPNOTSUPP)
        assert SocketSettings(mptcp=True).note(sock) == ""

    @needs_mptcp
    def test_one_that_cannot_be_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Silent(socket.socket):
            def getsockopt(self, *_: Any) -> Any:
                raise OSError(errno.ENOBUFS, "scripted")

        with Silent(socket.AF_INET, socket.SOCK_STREAM, MPTCP) as sock:
            assert SocketSettings(mptcp=True).note(sock) == ""


class TestSocketFactory:
    def test_the_options_are_set_on_its_sockets(self) -> None:
        asked = []

        def factory(endpoint: Endpoint) -> socket.socket:
            asked.append(endpoint)
            return socket.socket(*endpoint[:3])

        settings = SocketSettings(
            socket_factory=factory, local_address=LOOPBACK, keepalive=Keepalive(7, 8, 9)
        )
        with settings.open(TCP4) as sock:
            assert sock.gettimeout() == 0
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
            assert sock.getsockname()[0] == LOOPBACK
        assert asked == [TCP4]

    def test_a_default_is_set_too(self) -> None:
        settings = SocketSettings(socket_factory=lambda endpoint: socket.socket(*endpoint[:3]))
        with settings.open(TCP4) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        with settings.open(UNIX) as sock:
            assert sock.gettimeout() == 0

    @pytest.mark.parametrize(
        ("raised", "number", "said"),
        [
            (OSError(errno.EMFILE, "too many"), errno.EMFILE, "too many"),
            (LookupError("none left"), errno.EINVAL, "socket_factory failed: LookupError: none"),
        ],
    )
    def test_one_that_fails(self, raised: Exception, number: int, said: str) -> None:
        def factory(_: Endpoint) -> socket.socket:
            raise raised

        error = fails(SocketSettings(socket_factory=factory), TCP4)
        assert error.errno == number
        assert said in str(error)
        assert error is raised or error.__cause__ is raised

    def test_one_that_gives_no_socket(self) -> None:
        error = fails(SocketSettings(socket_factory=lambda _: "socket"), TCP4)  # type: ignore[arg-type,return-value]
        assert error.errno == errno.EINVAL
        assert "must return a socket.socket, not 'socket'" in str(error)

    def test_one_whose_socket_is_closed(self) -> None:
        def factory(endpoint: Endpoint) -> socket.socket:
            sock = socket.socket(*endpoint[:3])
            sock.close()
            return sock

        error = fails(SocketSettings(socket_factory=factory), TCP4)
        assert error.errno == errno.EBADF

    def test_nonsense(self) -> None:
        with pytest.raises(TypeError, match="system_calls must be SystemCalls, not 5"):
            SocketSettings(system_calls=5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="socket_factory must be callable or None, not 5"):
            SocketSettings(socket_factory=5)  # type: ignore[arg-type]


class TestFailures:
    def test_a_family_that_no_platform_has(self) -> None:
        error = fails(SocketSettings(tos=1), Endpoint(0xFFFF, socket.SOCK_STREAM, 0, ""))
        assert error.errno == errno.EAFNOSUPPORT

    def test_whatever_is_raised_frees_the_socket(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(options, "bind", interrupted)
        before = open_descriptors()
        with pytest.raises(KeyboardInterrupt):
            SocketSettings(local_address=LOOPBACK).open(TCP4)
        assert open_descriptors() == before
