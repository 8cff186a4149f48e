"""A chain of proxies: what the option ``proxy`` may be, and what is said on its way.

Rules:

* It is checked when a dialer is made, or when somebody who was asked has answered.
* TLS is looked at for each dial: what the authorities of the system are may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from ..addresses.target import Target, target_of
from ..addresses.values import Endpoint, TCPAddress
from ..explanations.extras import not_installed
from ..handshakes.proxies.asking import Asking
from ..handshakes.proxies.heading import Heading
from ..proxies.header import ProxyHeader
from ..proxies.text import parse_proxy
from ..proxies.values import Proxy
from ..sansio.socks import Socks4, Socks5
from .routes import is_taken

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..handshakes.base import Handshake
    from ..handshakes.proxies.wire import Ready
    from ..handshakes.tls import TLS
    from ..sansio.negotiation import Negotiation
    from .ways import Step

__all__ = ["IPV4_ONLY", "Chain", "chain_of", "checked", "is_by_name", "known_step"]

_MOST_HOPS: Final = 8
"""Proxies in a chain at the most: more is a mistake, or a loop."""
IPV4_ONLY: Final = ("socks4", "socks4a")


def checked(given: Any) -> Any:
    """The option ``proxy`` as it is kept: one proxy or header, a tuple of several, or a callable.

    Raises:
        TypeError, ValueError: it is none of these; the message shows no user and no password.
        ImportError: it takes what is not installed.
    """
    if callable(given):
        return given
    if isinstance(given, (str, Proxy, ProxyHeader)):
        return _one(given)
    if not isinstance(given, (list, tuple)):
        raise TypeError(
            "proxy must be a str, a Proxy, a ProxyHeader, a sequence of those, a callable or "
            f"None, not {type(given).__name__}"
        )
    chain = tuple(map(_one, given))
    hops = _hops_of(chain)
    if not chain or len(hops) > _MOST_HOPS:
        raise ValueError(f"proxy must have from 1 to {_MOST_HOPS} proxies, not {len(hops)}")
    for each in hops[1:]:
        where = each.address
        if not isinstance(where, TCPAddress):
            raise ValueError(f"proxy: {each} cannot be reached through another proxy")
        if "%" in where.host or where.flowinfo or where.scope_id:
            raise ValueError(
                f"proxy: {each} has a zone or a flow label, and cannot be reached through another"
            )
    return chain


def _one(given: Any) -> Proxy | ProxyHeader:
    each = parse_proxy(given) if isinstance(given, str) else given
    if not isinstance(each, (Proxy, ProxyHeader)):
        raise TypeError(f"proxy must be a sequence of proxies, not of {type(each).__name__}")
    if isinstance(each, Proxy) and not each.is_socks:
        _http_connect()
        if each.scheme == "https":
            from ..handshakes.proxies import tunnel  # noqa: F401  # a dial has no time for it
    return each


def _hops_of(members: Iterable[Proxy | ProxyHeader]) -> tuple[Proxy, ...]:
    return tuple(each for each in members if isinstance(each, Proxy))


def _http_connect() -> Any:
    """What speaks HTTP.

    Raises:
        ImportError: h11 is not installed.
    """
    try:
        from ..sansio.http_connect import HTTPConnect
    except ImportError as error:
        raise ImportError(not_installed("h11", "proxy")) from error
    return HTTPConnect


class Chain(NamedTuple):
    """Proxies and headers, and what every dial through them needs.

    Attributes:
        members: all of them, the nearest first.
        hops: the proxies.
        via: the same as text, without user and password.
        targets: what each of the proxies is to be looked up as.
        ipv4_only: whether each of them can be asked for IPv4 addresses only.
        over_tls: one to which there is TLS, so that what comes of it is no socket; or None.
        known: what is connected to, and what each but the last is asked for, if that takes no
            lookup; else None.
    """

    members: tuple[Proxy | ProxyHeader, ...]
    hops: tuple[Proxy, ...]
    via: tuple[str, ...]
    targets: tuple[Target, ...]
    ipv4_only: tuple[bool, ...]
    over_tls: Proxy | None
    known: tuple[Step, ...] | None

    def tls(self) -> tuple[TLS | None, ...]:
        """What TLS to each proxy is done with, if there is TLS to it."""
        if self.over_tls is None:
            return (None,) * len(self.hops)
        from ..handshakes.proxies.tunnel import tls_of

        return tuple(
            tls_of(each.ssl, each.server_hostname, getattr(each.address, "host", None))
            if each.scheme == "https"
            else None
            for each in self.hops
        )

    def layers(
        self, steps: Sequence[Step], tls: Sequence[TLS | None], ready: Ready
    ) -> tuple[Handshake[Any], ...]:
        """What has to be said on a way.

        Args:
            steps: what is connected to, and what each proxy is asked for.
            tls: as `tls` has given it.
            ready: waits for a socket.
        """
        layers: list[Handshake[Any]] = []
        hop = 0
        for each in self.members:
            if isinstance(each, ProxyHeader):
                layers.append(Heading(str(each), each.encode, ready))
                continue
            settings = tls[hop]
            if settings is not None:
                from ..handshakes.proxies.tunnel import ToProxy

                layers.append(ToProxy(settings, self.via[hop], ready, hop))
            talk = _talk(each, *_host_and_port(steps[hop + 1]))
            layers.append(Asking(talk, self.via[hop], ready, hop))
            hop += 1
        return tuple(layers)


def chain_of(proxy: Any) -> Chain:
    """What `checked` has given, as a chain."""
    members: tuple[Proxy | ProxyHeader, ...] = proxy if isinstance(proxy, tuple) else (proxy,)
    hops = _hops_of(members)
    targets = tuple(target_of(each.address) for each in hops)
    known = tuple(map(known_step, targets, (None, *hops)))
    return Chain(
        members,
        hops,
        tuple(map(str, hops)),
        targets,
        tuple(each.scheme in IPV4_ONLY for each in hops),
        next((each for each in hops if each.scheme == "https"), None),
        None if None in known else cast("tuple[Step, ...]", known),
    )


def known_step(target: Target, proxy: Proxy | None) -> Step | None:
    """What is to be connected to, or what a proxy is to be asked for, if that takes no lookup."""
    only = target.only
    if only is None:
        return cast("Step", target.address) if proxy and is_by_name(proxy, target) else None
    return only if proxy is None or is_taken(only, proxy.scheme in IPV4_ONLY) else None


def is_by_name(proxy: Proxy, target: Target) -> bool:
    """Whether a proxy looks it up."""
    if not proxy.remote_dns or target.endpoints is not None:
        return False
    # A service takes records, and a zone is this host's.
    return isinstance(target.address, TCPAddress) and ":" not in target.address.host


def _host_and_port(step: Step) -> tuple[str, int]:
    if isinstance(step, Endpoint):
        return str(step.sockaddr[0]), cast("Any", step.sockaddr[1])
    return step.host, step.port


def _talk(proxy: Proxy, host: str, port: int) -> Negotiation:
    if proxy.scheme in IPV4_ONLY:
        return Socks4(host, port, proxy.username or "")
    if proxy.is_socks:
        return Socks5(host, port, proxy.username, proxy.password)
    talk: Negotiation = _http_connect()(host, port, proxy.username, proxy.password, proxy.headers)
    return talk
