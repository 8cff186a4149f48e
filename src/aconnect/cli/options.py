"""Options that several commands have, and what they come to."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from .loops import LOOPS
from .parameters import (
    dialer_of,
    parse_connect_to,
    parse_loop,
    parse_proxies,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aconnect import Dialer

__all__ = ["SETTINGS", "dialer_from", "dialing", "on_loop"]

F = TypeVar("F", bound="Callable[..., Any]")

SETTINGS: Final = {"help_option_names": ["-h", "--help"]}


def on_loop(function: F) -> F:
    """``--loop``."""
    return click.option(
        "--loop",
        type=click.Choice(list(LOOPS)),
        callback=parse_loop,
        default="asyncio",
        show_default=True,
        help="The event loop to do it on.",
    )(function)


_DIALING: Final = (
    click.option("--tls", is_flag=True, help="Do a TLS handshake, and verify the certificate."),
    click.option("-4", "ipv4", is_flag=True, help="Addresses of IPv4 only."),
    click.option("-6", "ipv6", is_flag=True, help="Addresses of IPv6 only."),
    click.option("--interface", metavar="NAME", help="Connect by way of this network interface."),
    click.option("--source", metavar="ADDRESS", help="Connect from this IP address."),
    click.option(
        "--connect-to",
        metavar="FROM=TO",
        multiple=True,
        callback=parse_connect_to,
        help="Connect to TO (host:port, or either) in place of FROM (the same, or *.domain). "
        "May be given several times.",
    ),
    click.option(
        "--proxy",
        "proxies",
        metavar="URL",
        multiple=True,
        callback=parse_proxies,
        help="Go through a proxy, such as socks5h://host:1080; several are a chain, "
        "nearest first.",
    ),
    click.option(
        "--proxy-header",
        "header",
        type=click.Choice(["1", "2"]),
        help="Tell the target who connects, by the PROXY protocol of this version.",
    ),
    click.option(
        "--resolver",
        type=click.Choice(["system", "dns"]),
        help="Who looks names up: the system, or name servers that are asked from here.",
    ),
    click.option(
        "--server",
        "servers",
        metavar="ADDRESS",
        multiple=True,
        help="A name server to ask, with its port unless that is 53; several in their order.",
    ),
)


def dialing(function: F) -> F:
    """How connections are made."""
    for option in reversed(_DIALING):
        function = option(function)
    return function


def dialer_from(options: dict[str, Any]) -> Dialer:
    """The dialer that the options of `dialing` ask for; they are taken out, but for ``tls``."""
    ipv4, ipv6 = options.pop("ipv4"), options.pop("ipv6")
    if ipv4 and ipv6:
        raise click.UsageError("-4 and -6 exclude each other")
    family = socket.AF_INET if ipv4 else socket.AF_INET6 if ipv6 else socket.AF_UNSPEC
    names = (*("connect_to", "proxies", "header", "interface", "source", "resolver", "servers"),)
    return dialer_of(**{name: options.pop(name) for name in names}, family=family)
