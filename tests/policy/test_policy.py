"""Which addresses may be dialled: the disguises of private ones, and the algebra."""

from __future__ import annotations

import ipaddress
import pickle
import socket
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aconnect import Dialer
from aconnect.addresses.text import parse_address
from aconnect.addresses.values import Endpoint, TCPAddress, UnixAddress, VsockAddress
from aconnect.policy import (
    SPECIAL_NETWORKS,
    AddressPolicy,
    Policy,
    allow,
    deny,
    permits,
    public_only,
)

PUBLIC = public_only()


def at(host: str, port: int = 443, scope_id: int = 0) -> Endpoint:
    """The endpoint of a literal address, as getaddrinfo gives it."""
    if ":" in host:
        sockaddr: Any = (host, port, 0, scope_id)
        return Endpoint(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, sockaddr)
    return Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, (host, port))


def hidden_in(prefix: str, v4: str, octet: int) -> str:
    """The IPv6 address that has ``v4`` at ``octet`` of ``prefix``."""
    packed = bytearray(ipaddress.IPv6Address(prefix).packed)
    packed[octet : octet + 4] = ipaddress.IPv4Address(v4).packed
    return str(ipaddress.IPv6Address(bytes(packed)))


def teredo(server: str, client: str) -> str:
    obfuscated = ipaddress.IPv4Address(int(ipaddress.IPv4Address(client)) ^ 0xFFFFFFFF)
    return hidden_in(hidden_in("2001::", server, 4), str(obfuscated), 12)


NOT_PUBLIC_V4 = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.11",
    "192.0.0.170",
    "192.0.0.171",
    "192.0.2.1",
    "192.88.99.1",
    "192.88.99.2",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.255",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.254",
    "255.255.255.255",
]

NOT_PUBLIC_V6 = [
    "::",
    "::1",
    "::2",
    "100::1",  # discard only
    "100:0:0:1::1",  # dummy
    "200::1",  # reserved
    "1fff:ffff::1",
    "2001::1",
    "2001:1::4",
    "2001:1ff:ffff::1",
    "2001:2::1",  # benchmarking
    "2001:2:0:1::1",
    "2001:4:113::1",
    "2001:10::1",  # ORCHID, withdrawn
    "2001:1f:ffff::1",
    "2001:40::1",
    "2001:db8::1",
    "2001:db8:ffff:ffff::1",
    "2002::1",
    "3fff::1",
    "3fff:fff:ffff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",  # where a cloud has its metadata
    "fdff:ffff::1",
    "fe00::1",
    "fe80::1",
    "fe80::200:5efe:8.8.8.8",
    "febf::1",
    "fec0::1",  # site-local
    "feff::1",
    "ff02::1",
    "ff0e::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]

DISGUISED = [
    # IPv4-mapped, in several spellings
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "0:0:0:0:0:ffff:127.0.0.1",
    "::FFFF:10.0.0.1",
    "::ffff:0:0",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::ffff:192.168.0.1",
    "::ffff:100.64.0.1",
    "::ffff:255.255.255.255",
    # IPv4-compatible: refused whatever is in it
    "::127.0.0.1",
    "::7f00:1",
    "::10.0.0.1",
    "::a9fe:a9fe",
    "::8.8.8.8",
    # SIIT: likewise
    "::ffff:0:127.0.0.1",
    "::ffff:0:10.0.0.1",
    "::ffff:0:169.254.169.254",
    "::ffff:0:8.8.8.8",
    # 6to4: likewise
    "2002:7f00:1::",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    "2002:c0a8:1::1",
    "2002:808:808::1",
    # Teredo: likewise
    teredo("127.0.0.1", "8.8.8.8"),
    teredo("8.8.8.8", "127.0.0.1"),
    teredo("8.8.8.8", "10.0.0.1"),
    teredo("10.0.0.1", "10.0.0.1"),
    teredo("8.8.8.8", "8.8.4.4"),
    # NAT64: judged by the IPv4 address
    "64:ff9b::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::192.168.1.1",
    "64:ff9b::100.64.0.1",
    "64:ff9b::224.0.0.1",
    "64:ff9b::",
    # and beside the prefix
    "64:ff9b::1:8.8.8.8",
    "64:ff9b:0:0:1::",
    # local-use NAT64: refused whatever is in it
    "64:ff9b:1::127.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "64:ff9b:1:7f00::1",
    "64:ff9b:1:ffff:ffff:ffff:808:808",
    "64:ff9b:2::8.8.8.8",
    # ISATAP: judged by the IPv4 address, and by the prefix
    "2606:4700::5efe:127.0.0.1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
    "2606:4700::200:5efe:169.254.169.254",
    "2606:4700::5efe:a9fe:a9fe",
    "2606:4700:1:2:0:5efe:c0a8:1",
    "fe80::5efe:8.8.8.8",
    "2001:db8::5efe:8.8.8.8",
    "2002:808:808::5efe:8.8.8.8",
    # ISATAP within NAT64's neighbours and 6to4
    "2002:808:808::5efe:10.0.0.1",
]

PUBLIC_ADDRESSES = [
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.0.9",
    "192.0.0.10",
    "192.0.1.1",
    "192.0.3.1",
    "192.31.196.1",  # AS112
    "192.52.193.1",
    "192.88.98.1",
    "192.167.255.255",
    "192.169.0.0",
    "192.175.48.1",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::1",
    "2001:1::1",
    "2001:1::2",
    "2001:1::3",
    "2001:3::1",
    "2001:4:112::1",
    "2001:20::1",
    "2001:2f:ffff::1",
    "2001:30::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2003::1",
    "2606:4700:4700::1111",
    "2620:4f:8000::1",  # AS112
    "2a00:1450:4001:82f::200e",
    "3ffe:ffff::1",
    "3fff:1000::1",
    "::ffff:8.8.8.8",
    "::ffff:808:808",
    "64:ff9b::8.8.8.8",
    "64:ff9b::192.0.0.9",
    "2606:4700::5efe:8.8.8.8",
    "2606:4700::200:5efe:8.8.8.8",
    "2606:4700::100:5efe:10.0.0.1",  # not ISATAP
    "2606:4700::5eff:10.0.0.1",
]


class TestPublicOnly:
    @pytest.mark.parametrize("host", NOT_PUBLIC_V4 + NOT_PUBLIC_V6 + DISGUISED)
    def test_refuses(self, host: str) -> None:
        assert PUBLIC(at(host)) is False

    @pytest.mark.parametrize("host", PUBLIC_ADDRESSES)
    def test_lets_through(self, host: str) -> None:
        assert PUBLIC(at(host)) is True
        assert PUBLIC(at(host, 0)) is True

    @pytest.mark.parametrize("v4", NOT_PUBLIC_V4)
    @pytest.mark.parametrize(
        ("prefix", "octet"),
        [
            ("::ffff:0:0", 12),
            ("::", 12),
            ("::ffff:0:0:0", 12),
            ("64:ff9b::", 12),
            ("64:ff9b:1::", 12),
            ("2002::", 2),
            ("2001::", 4),
            ("2606:4700::5efe:0:0", 12),
            ("2606:4700::200:5efe:0:0", 12),
        ],
    )
    def test_refuses_each_private_address_in_each_disguise(
        self, v4: str, prefix: str, octet: int
    ) -> None:
        assert not PUBLIC(at(hidden_in(prefix, v4, octet)))

    @pytest.mark.parametrize(
        "spelling",
        [
            "127.1",
            "127.0.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "0177.0.0.1",
            "0",
            "0x0",
            "10.1",
            "0xa.0.0.1",
            "3232235521",
            "0xa9fea9fe",
            "2852039166",
            "169.254.43518",
            "0251.0376.0251.0376",
            "::ffff:127.0.0.1",
            "::ffff:0x7f.1",
            "::",
            "::1",
            "0:0:0:0:0:0:0:1",
            "::1%1",
            "::1%lo",
            "fe80::1%lo",
            "localhost",
        ],
    )
    def test_spellings_that_the_resolver_takes(self, spelling: str) -> None:
        try:
            results = socket.getaddrinfo(spelling, 80, type=socket.SOCK_STREAM)
        except socket.gaierror:
            return  # then nobody can dial it either
        assert results
        for family, type, proto, _, sockaddr in results:
            assert not PUBLIC(Endpoint(family, type, proto, sockaddr))

    def test_the_spellings_are_understood_here(self) -> None:
        # Or the test above would prove nothing.
        for spelling in ("127.1", "0x7f.1", "2130706433", "0177.0.0.1"):
            assert socket.gethostbyname(spelling) == "127.0.0.1"

    @pytest.mark.parametrize("text", ["[::]:80", "0.0.0.0:80", "[::1]:80", "[::ffff:10.0.0.1]:80"])
    def test_addresses_that_need_no_resolver(self, text: str) -> None:
        endpoint = parse_address(text).endpoint
        assert endpoint is not None
        assert not PUBLIC(endpoint)

    def test_a_zone(self) -> None:
        assert PUBLIC(at("2606:4700::1"))
        assert not PUBLIC(at("2606:4700::1", scope_id=2))
        assert not PUBLIC(at("2606:4700::1%eth0"))
        assert not PUBLIC(at("::ffff:8.8.8.8", scope_id=1))

    def test_a_short_ipv6_address(self) -> None:
        # The socket module takes these too.
        public = at("2606:4700::1")
        assert PUBLIC(public._replace(sockaddr=("2606:4700::1", 80)))
        assert PUBLIC(public._replace(sockaddr=("2606:4700::1", 80, 7)))
        assert not PUBLIC(public._replace(sockaddr=("::1", 80)))

    def test_what_the_kernel_is_given_is_what_was_read(self) -> None:
        # A host that policy takes goes to the kernel as it is, through inet_pton(3).
        for host in PUBLIC_ADDRESSES:
            endpoint = at(host)
            with socket.socket(endpoint.family, socket.SOCK_DGRAM) as sock:
                assert isinstance(endpoint.sockaddr, tuple)
                if sock.connect_ex(endpoint.sockaddr) == 0:
                    peer = ipaddress.ip_address(sock.getpeername()[0])
                    assert peer == ipaddress.ip_address(host)


class TestTables:
    def test_no_row_repeats_what_is_around_it(self) -> None:
        rows = [(ipaddress.ip_network(row.network), row) for row in SPECIAL_NETWORKS]
        for network, row in rows:
            around = [
                (other, row_around)
                for other, row_around in rows
                if other.version == network.version
                and other.prefixlen < network.prefixlen
                and network.subnet_of(other)  # type: ignore[arg-type]
            ]
            if around:
                _, nearest = max(around, key=lambda each: each[0].prefixlen)
                assert nearest.reachable != row.reachable, row
            assert row.name
            assert row.source.startswith("RFC ")

    @pytest.mark.parametrize(
        "network",
        [
            # The registries' rows that are not reachable, and have no row here of their own.
            *("::/128", "::1/128", "100::/64", "100:0:0:1::/64", "5f00::/16", "fc00::/7"),
            *("fe80::/10", "fec0::/10", "ff00::/8", "64:ff9b:1::/48", "2001::/32"),
            *("2001:2::/48", "2001:10::/28", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.170/31"),
            *("192.88.99.2/32", "255.255.255.255/32", "0.0.0.0/32"),
        ],
    )
    def test_networks_that_a_wider_row_takes_care_of(self, network: str) -> None:
        first, last = ipaddress.ip_network(network)[0], ipaddress.ip_network(network)[-1]
        assert not PUBLIC(at(str(first)))
        assert not PUBLIC(at(str(last)))


OTHER_FAMILIES = [
    UnixAddress("/run/docker.sock").endpoint,
    UnixAddress("@abstract").endpoint,
    VsockAddress(2, 1024).endpoint,
]

NONSENSE = [
    Endpoint(socket.AF_INET, 1, 6, ("localhost", 80)),
    Endpoint(socket.AF_INET, 1, 6, ("", 80)),  # the socket module's 0.0.0.0
    Endpoint(socket.AF_INET, 1, 6, ("<broadcast>", 80)),
    Endpoint(socket.AF_INET, 1, 6, ("127.1", 80)),
    Endpoint(socket.AF_INET, 1, 6, ("8.8.8.8%1", 80)),
    Endpoint(socket.AF_INET, 1, 6, ("8.8.8.8 ", 80)),
    Endpoint(socket.AF_INET, 1, 6, ("8.8.8.8\0", 80)),
    Endpoint(socket.AF_INET, 1, 6, ("8.8.8.08", 80)),
    Endpoint(socket.AF_INET, 1, 6, ("8.8.8.8\N{FULLWIDTH FULL STOP}8", 80)),
    Endpoint(socket.AF_INET, 1, 6, ("2606:4700::1", 80)),
    Endpoint(socket.AF_INET, 1, 6, (b"8.8.8.8", 80)),
    Endpoint(socket.AF_INET, 1, 6, (0x08080808, 80)),
    Endpoint(socket.AF_INET, 1, 6, ("8.8.8.8", "80")),
    Endpoint(socket.AF_INET, 1, 6, ("8.8.8.8", True)),
    Endpoint(socket.AF_INET, 1, 6, ("8.8.8.8", -1)),
    Endpoint(socket.AF_INET, 1, 6, ("8.8.8.8", 65536)),
    Endpoint(socket.AF_INET, 1, 6, ("8.8.8.8", None)),
    Endpoint(socket.AF_INET, 1, 6, ("8.8.8.8",)),
    Endpoint(socket.AF_INET, 1, 6, ("8.8.8.8", 80, 0, 0)),
    Endpoint(socket.AF_INET, 1, 6, ()),
    Endpoint(socket.AF_INET, 1, 6, "8.8.8.8"),
    Endpoint(socket.AF_INET, 1, 6, b"8.8.8.8"),
    Endpoint(socket.AF_INET6, 1, 6, ("8.8.8.8", 80, 0, 0)),
    Endpoint(socket.AF_INET6, 1, 6, ("[2606:4700::1]", 80, 0, 0)),
    Endpoint(socket.AF_INET6, 1, 6, ("2606:4700::1", 80, 0, "eth0")),
    Endpoint(socket.AF_INET6, 1, 6, ("2606:4700::1", 80, None, 0)),
    Endpoint(socket.AF_INET6, 1, 6, ("2606:4700::1", 80, 0, 2**32)),
    Endpoint(socket.AF_INET6, 1, 6, ("2606:4700::1", 80, 0, 0, 0)),
    Endpoint(0, 1, 6, ("8.8.8.8", 80)),
    Endpoint(0xFFFF, 1, 6, ("8.8.8.8", 80)),
]


class TestWhatIsRefusedByAll:
    @pytest.mark.parametrize("endpoint", OTHER_FAMILIES + NONSENSE)
    @pytest.mark.parametrize(
        "policy",
        [
            PUBLIC,
            ~PUBLIC,
            allow("0.0.0.0/0", "::/0"),
            ~allow("10.0.0.0/8"),
            deny("10.0.0.0/8"),
            ~deny("0.0.0.0/0", "::/0"),
            ~~PUBLIC,
            PUBLIC | ~PUBLIC,
            ~(PUBLIC & ~PUBLIC),
        ],
        ids=repr,
    )
    def test_by(self, policy: AddressPolicy, endpoint: Endpoint) -> None:
        assert policy(endpoint) is False

    @pytest.mark.parametrize(
        "policy", [PUBLIC, ~PUBLIC, allow("::/0"), deny("::/0"), PUBLIC | deny("::/0")]
    )
    @pytest.mark.parametrize("value", [None, "8.8.8.8:80", ("8.8.8.8", 80), 80])
    def test_what_is_no_endpoint_is_an_error(self, policy: Any, value: Any) -> None:
        with pytest.raises(TypeError, match=r"endpoint must be an Endpoint, not"):
            policy(value)

    def test_a_callable_may_add_them(self) -> None:
        def is_unix(endpoint: Endpoint) -> bool:
            return endpoint.family == socket.AF_UNIX

        policy = PUBLIC | is_unix
        assert policy(OTHER_FAMILIES[0]) is True
        assert policy(OTHER_FAMILIES[2]) is False


class TestNetworks:
    @pytest.mark.parametrize(
        "network",
        [
            "10.0.0.0/8",
            "10.0.0.0/255.0.0.0",
            "::ffff:10.0.0.0/104",
            ipaddress.ip_network("10.0.0.0/8"),
            ipaddress.ip_network("::ffff:a00:0/104"),
        ],
    )
    def test_an_ipv4_network(self, network: Any) -> None:
        inside = ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "::ffff:a01:203"]
        outside = ["9.255.255.255", "11.0.0.0", "::ffff:11.0.0.0", "::1", "a00::1"]
        for host in inside:
            assert allow(network)(at(host)) is True
            assert deny(network)(at(host)) is False
        for host in outside:
            assert allow(network)(at(host)) is False
            assert deny(network)(at(host)) is True

    @pytest.mark.parametrize(
        "network",
        [
            "10.0.0.1",
            "10.0.0.1/32",
            "::ffff:10.0.0.1",
            ipaddress.ip_address("10.0.0.1"),
            ipaddress.ip_interface("10.0.0.1/32"),
        ],
    )
    def test_one_address(self, network: Any) -> None:
        assert allow(network)(at("10.0.0.1"))
        assert not allow(network)(at("10.0.0.2"))
        assert not deny(network)(at("::ffff:10.0.0.1"))

    def test_an_ipv6_network(self) -> None:
        policy = allow("2001:db8::/32", "fe80::/10")
        assert policy(at("2001:db8::1"))
        assert policy(at("fe80::1", scope_id=3))
        assert policy(at("fe80::1%eth0", scope_id=3))
        assert not policy(at("2001:db9::1"))

    def test_an_ipv6_network_around_the_mapped_addresses_is_not_about_them(self) -> None:
        for network in ("::/0", "::/80"):
            assert not allow(network)(at("::ffff:10.0.0.1"))
            assert deny(network)(at("::ffff:10.0.0.1"))
            assert allow(network)(at("::1"))
            assert not deny(network)(at("::1"))

    def test_the_most_specific_network_is_no_exception_to_another(self) -> None:
        policy = allow("10.0.0.0/8", "10.1.0.0/16", "192.168.0.0/16")
        for host in ("10.1.2.3", "10.2.3.4", "192.168.1.1"):
            assert policy(at(host))

    @pytest.mark.parametrize(
        "host",
        [
            "10.0.0.1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::10.0.0.1",
            "64:ff9b:1:a00:0:100::",  # RFC 6052 section 2.2, a prefix of 48 bits
            "64:ff9b:1:ff0a:0:1::",  # of 56
            "64:ff9b:1:ffff:a:0:100::",  # of 64
            "2002:a00:1::1",
            teredo("10.0.0.1", "8.8.8.8"),
            teredo("8.8.8.8", "10.0.0.1"),
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:10.0.0.1",
            "2002:808:808::5efe:10.0.0.1",
        ],
    )
    def test_denied_in_every_disguise_and_allowed_in_none(self, host: str) -> None:
        assert deny("10.0.0.1")(at(host)) is False
        assert deny("10.0.0.2")(at(host)) is True
        own = host in ("10.0.0.1", "::ffff:10.0.0.1")
        assert allow("10.0.0.1")(at(host)) is own

    @pytest.mark.parametrize("make", [allow, deny])
    @pytest.mark.parametrize(
        ("networks", "error", "words"),
        [
            ((), ValueError, "networks must not be empty"),
            (("",), ValueError, "networks: '' is not a network"),
            (("10.0.0.1/8",), ValueError, r"networks: '10.0.0.1/8' .* host bits"),
            (("10.0.0.0/33",), ValueError, "networks: '10.0.0.0/33'"),
            (("10.0.0/8",), ValueError, "networks: '10.0.0/8'"),
            (("010.0.0.0/8",), ValueError, "networks: '010.0.0.0/8'"),
            (("example.com",), ValueError, "networks: 'example.com'"),
            (("10.0.0.0/8", "nonsense"), ValueError, "networks: 'nonsense'"),
            (("10.0.0.0/8, 11.0.0.0/8",), ValueError, "networks: '10.0.0.0/8, 11.0.0.0/8'"),
            (("fe80::1%eth0",), ValueError, "networks must have no zone, but 'fe80::1%eth0'"),
            ((ipaddress.ip_address("fe80::1%2"),), ValueError, "no zone"),
            ((ipaddress.ip_interface("10.0.0.1/8"),), ValueError, "host bits"),
            ((b"10.0.0.0/8",), TypeError, r"networks must be .*, not b'10.0.0.0/8'"),
            ((167772160,), TypeError, "networks must be .*, not 167772160"),
            ((None,), TypeError, "networks must be .*, not None"),
            ((["10.0.0.0/8"],), TypeError, r"networks must be .*, not \['10.0.0.0/8'\]"),
        ],
    )
    def test_nonsense(self, make: Any, networks: Any, error: Any, words: str) -> None:
        with pytest.raises(error, match=words):
            make(*networks)


class TestPorts:
    @pytest.mark.parametrize(
        ("ports", "inside", "outside"),
        [
            (None, [0, 1, 443, 65535], []),
            (443, [443], [0, 442, 444]),
            (0, [0], [1]),
            (range(8000, 8003), [8000, 8002], [7999, 8003]),
            (range(8000, 8010, 4), [8000, 8004, 8008], [8001, 8009, 8010]),
            (range(3, 0, -1), [1, 2, 3], [0, 4]),
            ((80, 443), [80, 443], [81, 442]),
            ({80, 443}, [80, 443], [81]),
            ([443, 80, 80], [443, 80], [81]),
            (iter([80, range(90, 92)]), [80, 90, 91], [81, 92]),
            ([range(0), 80], [80], [0]),
            (range(65536), [0, 65535], []),
        ],
    )
    def test_ports(self, ports: Any, inside: list[int], outside: list[int]) -> None:
        policy = allow("10.0.0.0/8", ports=ports)
        for port in inside:
            assert policy(at("10.0.0.1", port))
            assert not policy(at("11.0.0.1", port))
        for port in outside:
            assert not policy(at("10.0.0.1", port))

    def test_deny_is_about_the_networks_on_those_ports_only(self) -> None:
        policy = deny("10.0.0.0/8", ports=[25, range(6000, 6010)])
        assert not policy(at("10.0.0.1", 25))
        assert not policy(at("64:ff9b::10.0.0.1", 6009))
        assert policy(at("10.0.0.1", 80))
        assert policy(at("11.0.0.1", 25))

    @pytest.mark.parametrize(
        ("ports", "error", "words"),
        [
            (-1, ValueError, "ports must be from 0 to 65535, not -1"),
            (65536, ValueError, "ports must be from 0 to 65535, not 65536"),
            (range(65530, 65537), ValueError, r"not range\(65530, 65537\)"),
            (range(-1, 5), ValueError, r"not range\(-1, 5\)"),
            (range(10**12), ValueError, "ports must be from 0 to 65535"),
            ((), ValueError, "ports must not be empty"),
            (range(0), ValueError, "ports must not be empty"),
            ([range(5, 5)], ValueError, "ports must not be empty"),
            (True, TypeError, "ports must be ints or ranges, not True"),
            ("443", TypeError, "ports must be an int, .*, not '443'"),
            (b"443", TypeError, "ports must be an int, .*, not b'443'"),
            (443.0, TypeError, "ports must be an int, .*, not 443.0"),
            (["443"], TypeError, "ports must be ints or ranges, not '443'"),
            ([None], TypeError, "ports must be ints or ranges, not None"),
            ([[443]], TypeError, r"ports must be ints or ranges, not \[443\]"),
        ],
    )
    @pytest.mark.parametrize("make", [allow, deny])
    def test_nonsense(self, make: Any, ports: Any, error: Any, words: str) -> None:
        with pytest.raises(error, match=words):
            make("10.0.0.0/8", ports=ports)


INTERESTING = st.sampled_from(
    [at(host, port) for host in NOT_PUBLIC_V4 + DISGUISED + PUBLIC_ADDRESSES for port in (80, 443)]
    + OTHER_FAMILIES
    + NONSENSE
)
ANY_V4 = st.ip_addresses(v=4).map(lambda each: at(str(each)))
ANY_V6 = st.ip_addresses(v=6).map(lambda each: at(str(each)))
ENDPOINTS = INTERESTING | ANY_V4 | ANY_V6
NETWORKS = st.sampled_from(
    ["0.0.0.0/0", "10.0.0.0/8", "127.0.0.0/8", "::/0", "2000::/3", "8.8.8.8", "::ffff:0:0/96"]
)
PORTS = st.sampled_from([None, 443, range(80, 81)])
LISTS = st.builds(
    lambda make, networks, ports: make(*networks, ports=ports),
    st.sampled_from([allow, deny]),
    st.lists(NETWORKS, min_size=1, max_size=3),
    PORTS,
)
POLICIES = st.recursive(
    LISTS | st.just(PUBLIC),
    lambda inner: (
        st.builds(lambda a, b: a & b, inner, inner)
        | st.builds(lambda a, b: a | b, inner, inner)
        | st.builds(lambda a: ~a, inner)
    ),
    max_leaves=6,
)


class TestAlgebra:
    @given(POLICIES, POLICIES, ENDPOINTS)
    def test_meaning(self, a: AddressPolicy, b: AddressPolicy, endpoint: Endpoint) -> None:
        assert (a & b)(endpoint) is (a(endpoint) and b(endpoint))
        assert (a | b)(endpoint) is (a(endpoint) or b(endpoint))
        understood = allow("0.0.0.0/0", "::/0")(endpoint)
        assert (~a)(endpoint) is (understood and not a(endpoint))

    @given(POLICIES, POLICIES, POLICIES, ENDPOINTS)
    def test_laws(
        self, a: AddressPolicy, b: AddressPolicy, c: AddressPolicy, endpoint: Endpoint
    ) -> None:
        for left, right in [
            (~(a & b), ~a | ~b),
            (~(a | b), ~a & ~b),
            (~~a, a),
            (a & b, b & a),
            (a | b, b | a),
            (a & (b & c), (a & b) & c),
            (a | (b | c), (a | b) | c),
            (a & (b | c), (a & b) | (a & c)),
            (a | (b & c), (a | b) & (a | c)),
            (a & a, a),
            (a | (a & b), a),
        ]:
            assert left(endpoint) is right(endpoint)
        assert not (a & ~a)(endpoint)

    @given(POLICIES, ENDPOINTS)
    def test_values(self, a: AddressPolicy, endpoint: Endpoint) -> None:
        copy = pickle.loads(pickle.dumps(a))
        assert copy == a
        assert hash(copy) == hash(a)
        assert copy(endpoint) is a(endpoint)
        again = eval(repr(a), {"allow": allow, "deny": deny, "public_only": public_only})
        assert again(endpoint) is a(endpoint)

    @given(ANY_V4 | ANY_V6)
    @example(at("192.0.0.9"))
    def test_public_is_never_more_than_what_python_calls_global(self, endpoint: Endpoint) -> None:
        # As far as the Pythons agree: a second opinion on the tables.
        address = ipaddress.ip_address(endpoint.sockaddr[0])
        if PUBLIC(endpoint) and "192.0.0." not in str(address):
            assert not address.is_loopback
            assert not address.is_link_local
            assert not address.is_multicast
            assert not address.is_unspecified

    @given(st.ip_addresses(v=4))
    def test_the_mapped_form_is_the_ipv4_address(self, address: ipaddress.IPv4Address) -> None:
        for policy in (PUBLIC, allow("128.0.0.0/1"), deny("64.0.0.0/2")):
            assert policy(at(str(address))) is policy(at(f"::ffff:{address}"))

    def test_reprs(self) -> None:
        a, b, c = PUBLIC, allow("10.0.0.0/8", ports=443), deny("::1", ports=[1, range(5, 8)])
        assert repr(a) == "public_only()"
        assert repr(b) == "allow('10.0.0.0/8', ports=443)"
        assert repr(c) == "deny('::1/128', ports=(1, range(5, 8)))"
        assert repr(a & b & c) == f"{a} & {b} & {c}"
        assert repr(a & (b & c)) == f"{a} & {b} & {c}"
        assert repr((a & b) | c) == f"({a} & {b}) | {c}"
        assert repr(a | b | c) == f"{a} | {b} | {c}"
        assert repr(~(a & b)) == f"~({a} & {b})"
        assert repr(~~a & ~b) == f"~~{a} & ~{b}"

    def test_equality(self) -> None:
        assert public_only() is public_only()
        assert allow("10.0.0.0/8", ports=[1, 2]) == allow("10.0.0.0/8", ports=range(1, 3))
        assert allow("10.0.0.0/8") != deny("10.0.0.0/8")
        assert allow("10.0.0.0/8") != allow("10.0.0.0/8", ports=1)
        assert len({PUBLIC & allow("::1"), public_only() & allow("::1")}) == 1

    def test_immutable(self) -> None:
        for policy in (PUBLIC, allow("::1"), PUBLIC & allow("::1"), ~PUBLIC):
            with pytest.raises((AttributeError, TypeError)):
                policy.networks = ()  # type: ignore[attr-defined]

    def test_the_second_is_not_asked_in_vain(self) -> None:
        def never(endpoint: Endpoint) -> bool:
            raise AssertionError(endpoint)

        assert (PUBLIC & never)(at("10.0.0.1")) is False
        assert (PUBLIC | never)(at("8.8.8.8")) is True


def only_443(endpoint: Endpoint) -> bool:
    return endpoint.sockaddr[1] == 443


class TestCallables:
    def test_on_either_side(self) -> None:
        plain: Policy = only_443
        for policy in (PUBLIC & plain, plain & PUBLIC):
            assert policy(at("8.8.8.8", 443))
            assert not policy(at("8.8.8.8", 80))
            assert not policy(at("10.0.0.1", 443))
        for policy in (PUBLIC | plain, plain | PUBLIC):
            assert policy(at("8.8.8.8", 80))
            assert policy(at("10.0.0.1", 443))
            assert not policy(at("10.0.0.1", 80))
        assert repr(only_443 & PUBLIC) == "only_443 & public_only()"

    def test_a_class_of_ones_own(self) -> None:
        class Nothing(AddressPolicy):
            def __call__(self, endpoint: Endpoint) -> bool:
                return False

        assert (~Nothing())(at("127.0.0.1"))
        assert not (Nothing() | Nothing())(at("127.0.0.1"))
        with pytest.raises(NotImplementedError):
            AddressPolicy()(at("127.0.0.1"))

    @pytest.mark.parametrize("value", [None, True, "10.0.0.0/8", 5])
    def test_what_cannot_be_called_cannot_be_combined(self, value: Any) -> None:
        for combine in (
            lambda: PUBLIC & value,
            lambda: value & PUBLIC,
            lambda: PUBLIC | value,
            lambda: value | PUBLIC,
        ):
            with pytest.raises(TypeError, match="unsupported operand"):
                combine()  # type: ignore[no-untyped-call]

    @pytest.mark.parametrize("answer", [None, 0, 1, "yes", object()])
    def test_an_answer_must_be_true_or_false(self, answer: Any) -> None:
        def odd(endpoint: Endpoint) -> Any:
            return answer

        for policy in (odd & PUBLIC, odd | PUBLIC, ~(odd | PUBLIC)):
            with pytest.raises(TypeError, match=r"policy .*odd must answer True or False, not"):
                policy(at("8.8.8.8"))
        with pytest.raises(TypeError, match="odd must answer True or False"):
            permits(odd, at("8.8.8.8"))

    def test_permits(self) -> None:
        assert permits(PUBLIC, at("8.8.8.8")) is True
        assert permits(only_443, at("8.8.8.8", 80)) is False

    def test_an_address_value_can_be_asked_about(self) -> None:
        endpoint = TCPAddress("8.8.8.8", 80).endpoint
        assert endpoint is not None
        assert PUBLIC(endpoint)


@pytest.mark.parametrize("function", [public_only, allow, deny])
def test_a_function_that_was_not_called_is_no_policy(function: Any) -> None:
    for make in (
        lambda: Dialer(permit=function),
        lambda: function & public_only(),
        lambda: public_only() | function,
    ):
        with pytest.raises(TypeError, match=rf"must be a policy, such as {function.__name__}\("):
            make()
