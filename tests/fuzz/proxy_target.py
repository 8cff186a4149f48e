"""Targets: what proxies say, and what stands for them.

Rules:

* However an answer is cut, it comes to the same.
* What is taken is never more than is wanted, and nothing is taken behind the last answer.
* No user and no password is in what is raised or shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fuzz.reader import Reader

from aconnect.addresses.values import TCPAddress
from aconnect.proxies import from_environment, parse_proxy
from aconnect.sansio.http_connect import HTTPConnect
from aconnect.sansio.negotiation import Refusal
from aconnect.sansio.proxy_header import encode_v1, encode_v2
from aconnect.sansio.socks import Socks4, Socks5

if TYPE_CHECKING:
    from collections.abc import Callable

    from aconnect import Proxy

__all__ = ["http_connect", "proxy_header", "proxy_url", "socks"]

CANARY = "c4n4ry"


def outcome(talk: Any, data: bytes, step: int) -> tuple[object, ...]:
    """What comes of an answer that can be looked at in pieces."""
    sent = talk.to_send()
    assert isinstance(sent, bytes)
    assert sent
    said = [sent]
    at = 0
    refusal: Refusal | None = None
    while talk.wanted and at < len(data):
        piece = data[at : at + min(step, talk.wanted)]
        try:
            taken = talk.receive(piece)
        except Refusal as caught:
            refusal = caught
            break
        assert 0 <= taken <= len(piece)
        assert talk.looks_ahead or taken == len(piece)
        assert taken or not talk.wanted
        at += taken
        more = talk.to_send()
        if more:
            said.append(more)
    if refusal is not None:
        assert CANARY not in f"{refusal} {refusal!r}"
        assert refusal.errno
        assert str(refusal).isprintable()
        return "refused", refusal.errno, refusal.about, refusal.reply, tuple(said)
    if not talk.wanted:
        return "done", data[at:], tuple(said)
    gone = talk.hung_up()
    assert CANARY not in str(gone)
    return "more", gone.about, tuple(said)


def socks(data: bytes) -> None:
    """Any talk with a SOCKS proxy."""
    choices = Reader(data)
    makers: list[Callable[[], Any]] = [
        lambda: Socks5("db.example", 1),
        lambda: Socks5("2001:db8::1", 1, CANARY, CANARY),
        lambda: Socks4("192.0.2.1", 1, CANARY),
        lambda: Socks4("db.example", 1),
    ]
    make = choices.choice(makers)
    step = choices.byte() % 9 + 1
    answer = choices.taken(len(data))
    assert outcome(make(), answer, 10**6) == outcome(make(), answer, step)


def http_connect(data: bytes) -> None:
    """Any answer to CONNECT."""
    choices = Reader(data)
    step = choices.byte() % 40 + 1
    answer = choices.taken(len(data))

    def talk() -> Any:
        return HTTPConnect("db.example", 1, CANARY, CANARY)

    whole, cut = outcome(talk(), answer, 10**6), outcome(talk(), answer, step)
    if whole != cut:  # what is no HTTP is known as soon as can be, and that depends on the pieces
        assert whole[0] == cut[0] == "refused"
        assert whole[3] is cut[3] is None


def parsed(text: str) -> tuple[Proxy | None, str]:
    """The proxy of a text, or what is wrong with it."""
    try:
        return parse_proxy(text), ""
    except ValueError as error:
        return None, str(error)


def proxy_url(data: bytes) -> None:
    """Any text for a proxy, and for NO_PROXY."""
    text = data.decode("utf-8", "surrogateescape")
    proxy, said = parsed(text)
    if proxy is None:
        assert "@" not in text or "***" in said
    else:
        shown = parse_proxy(str(proxy).replace("***@", ""))
        assert (shown.scheme, shown.address) == (proxy.scheme, proxy.address)
    assert CANARY not in parsed(f"socks5h://u:{CANARY}@{text}@h:1/x")[1]
    chooses = from_environment("https", {"https_proxy": "http://p:1", "no_proxy": text})
    for address in (TCPAddress("x.org", 1), TCPAddress("10.1.2.3", 1), TCPAddress("::2", 1)):
        assert chooses(address) in (None, chooses.proxy)
    assert chooses(TCPAddress("localhost", 1)) is None


def proxy_header(data: bytes) -> None:
    """Any header of the PROXY protocol, read back."""
    choices = Reader(data)
    hosts = ["192.0.2.1", "::1", "2001:DB8:0:0::1", "fe80::1%eth0", "x.org", "", "\n"]
    ends: Any = tuple((choices.choice(hosts), choices.byte() * 257) for _ in range(2))
    kind = choices.byte() % 4
    if kind == 0:
        ends = None
    elif kind == 1:
        ends = choices.taken(choices.byte()), choices.taken(choices.byte())
    tlvs = [(choices.byte(), choices.taken(choices.byte())) for _ in range(choices.byte() % 4)]
    try:
        line = encode_v1(ends)
    except ValueError:
        pass
    else:
        assert line.startswith(b"PROXY ")
        assert line.endswith(b"\r\n")
        assert line.count(b"\n") == 1
        assert len(line) <= 107
    try:
        header = encode_v2(ends, tlvs=tlvs)
    except ValueError:
        return
    assert header[:12] == b"\r\n\r\n\x00\r\nQUIT\n"
    assert len(header) == 16 + int.from_bytes(header[14:16], "big")
    rest = header[16 + {0x00: 0, 0x11: 12, 0x21: 36, 0x31: 216}[header[13]] :]
    found = []
    while rest:
        length = int.from_bytes(rest[1:3], "big")
        found.append((rest[0], rest[3 : 3 + length]))
        rest = rest[3 + length :]
    assert found == tlvs
