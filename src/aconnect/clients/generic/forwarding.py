"""A proxy that requests for ``http://`` are sent to, in place of a tunnel to the host.

Rules:

* The package does it; what is here says which proxy it is, and how that is dialled.
* The proxy connects to whatever host it is asked for, which no policy of ours is asked about: a
  dialer with one is refused.
* The proxy itself is dialled directly, and is what ``permit_proxy`` is asked about.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from ...addresses.values import TCPAddress
from ...proxies.text import parse_proxy
from ...proxies.values import Proxy

if TYPE_CHECKING:
    from ...dial.dialer import Dialer

__all__ = ["forwarder", "to_forwarder"]


def forwarder(core: Any, given: Any) -> Any:
    """The proxy, as the package has it.

    Args:
        core: the package.
        given: a `Proxy`, or its text.

    Raises:
        TypeError, ValueError: it is none, or none that forwards.
    """
    proxy = parse_proxy(given) if isinstance(given, str) else given
    if not isinstance(proxy, Proxy):
        raise TypeError(f"forward must be a str or a Proxy, not {type(given).__name__}")
    if proxy.is_socks:
        raise ValueError(f"forward must be an http:// or https:// proxy, not {proxy}")
    address = proxy.address
    if not isinstance(address, TCPAddress) or proxy.server_hostname is not None:
        raise ValueError(
            f"forward must be a proxy at a TCP address, without a server_hostname, not {proxy!r}"
        )
    login = None if proxy.username is None else (_bytes(proxy.username), _bytes(proxy.password))
    context = None
    if proxy.scheme == "https":
        context = proxy.ssl or ssl.create_default_context()  # the package sets its ALPN
    host = f"[{address.host}]" if ":" in address.host else address.host
    url = core.URL(
        scheme=proxy.scheme.encode(), host=host.encode("ascii"), port=address.port, target=b"/"
    )
    return core.Proxy(url, auth=login, headers=list(proxy.headers), ssl_context=context)


def to_forwarder(dialer: Dialer) -> Dialer:
    """What it is dialled with.

    Raises:
        ValueError: there is a policy for what it would connect to.
    """
    for name in ("permit", "permit_name"):
        if getattr(dialer, name) is not None:
            raise ValueError(
                f"forward cannot be combined with a dialer that has {name}, which cannot judge "
                "what the proxy connects to: leave forward out, and tunnel with Dialer(proxy=...)"
            )
    return dialer.replace(proxy=None, permit=dialer.permit_proxy, permit_proxy=None)


def _bytes(text: str | None) -> bytes:
    return (text or "").encode()
