"""What can stand on the command line: click callbacks that turn text into values.

Rules:

* Everything is checked before anything is done.  What makes no sense is a bad command line,
  exit status 2, and the message says what would make sense.
* What was typed is kept beside what it stands for: the output names things as the user did.
"""

from __future__ import annotations

import errno
import math
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from aconnect import (
    Dialer,
    DnsResolver,
    Proxy,
    ProxyHeader,
    ServiceAddress,
    SystemResolver,
    TCPAddress,
    explain,
    parse_address,
)
from aconnect.addresses.redacting import shown
from aconnect.addresses.service_addresses import HTTPS_PORT
from aconnect.proxies import parse_proxy

from .lookup import Name
from .loops import LOOPS, advice, missing

if TYPE_CHECKING:
    from aconnect import Address, Resolver

    from .loops import EventLoop

__all__ = [
    "Target",
    "complete_errors",
    "dialer_of",
    "dns_resolver",
    "parse_connect_to",
    "parse_errors",
    "parse_loop",
    "parse_names",
    "parse_proxies",
    "parse_rate",
    "parse_seconds",
    "parse_service",
    "parse_targets",
]


class Target(NamedTuple):
    """An address, as it was typed and as a value."""

    text: str
    address: Address


def parse_targets(
    _ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]
) -> tuple[Target, ...]:
    """Addresses."""
    try:
        return tuple(Target(text, parse_address(text)) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def parse_connect_to(
    _ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str]:
    """What `aconnect.Dialer` takes as ``connect_to``."""
    mapping: dict[str, str] = {}
    for text in texts:
        asked, equals, instead = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{shown(text)} is not of the form FROM=TO")
        mapping[asked] = instead
    try:
        Dialer(connect_to=mapping)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return mapping


def parse_proxies(
    _ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]
) -> tuple[Proxy, ...]:
    """Proxies, the nearest first."""
    try:
        return tuple(map(parse_proxy, texts))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def dns_resolver(servers: tuple[str, ...]) -> Resolver:
    """What asks these name servers, or those of this machine; it remembers nothing."""
    try:
        return DnsResolver(servers or None, cache=None)
    except (ImportError, ValueError) as error:
        raise click.UsageError(str(error)) from None


_SERVICE: Final = "aconnect.service"


def parse_names(
    ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]
) -> tuple[Name, ...]:
    """Names to look up, or addresses of services."""
    try:
        names = tuple(Name(text, _named(text, ctx.meta.get(_SERVICE))) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    for each in names:
        if each.address.endpoint is not None or ":" in each.address.host:
            raise click.BadParameter(f"{shown(each.text)} is an address: there is no name in it")
    return names


def parse_service(ctx: click.Context, _param: click.Parameter, service: str | None) -> None:
    """A service, for `parse_names`: "https", or two labels of an SRV record."""
    if service is None:
        return
    srv = service.startswith("_")
    try:
        parse_address(f"srv:{service}.a.test" if srv else f"svcb://a.test:1?scheme={service}")
    except ValueError as error:
        raise click.BadParameter(f"{shown(service)} is not a service: {error}") from None
    if not srv and service.lower() != "https":
        raise click.BadParameter(
            f"{shown(service)} is neither https nor of the form _service._tcp"
        )
    ctx.meta[_SERVICE] = service


def _named(text: str, service: str | None) -> Any:
    if "://" in text or text.startswith("srv:"):
        return parse_address(text)
    if service is None:
        return TCPAddress(text, 0)
    if service.startswith("_"):
        return parse_address(f"srv:{service}.{text}")
    return ServiceAddress(text, HTTPS_PORT, scheme=service)


def dialer_of(
    connect_to: dict[str, str],
    proxies: tuple[Proxy, ...],
    header: str | None,
    family: int = socket.AF_UNSPEC,
    interface: str | None = None,
    source: str | None = None,
    resolver: str | None = None,
    servers: tuple[str, ...] = (),
) -> Dialer:
    """What dials as the options say."""
    chain: list[Proxy | ProxyHeader] = [*proxies]
    if header is not None:
        chain.append(ProxyHeader(int(header)))
    if servers and resolver == "system":
        raise click.UsageError("--server needs --resolver dns")
    asks = resolver == "dns" or bool(servers)
    names: Resolver = dns_resolver(servers) if asks else SystemResolver()
    try:
        return Dialer(
            connect_to=connect_to or None,
            proxy=chain or None,
            family=family,
            interface=interface,
            local_address=source,
            resolver=names,
        )
    except (ImportError, OSError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def parse_seconds(_ctx: click.Context, _param: click.Parameter, text: str) -> float:
    """A number of seconds, `math.inf` included."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:  # also true of NaN
        raise click.BadParameter(f"{text!r} is not a number of seconds, 0 or more")
    return seconds


def parse_rate(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """A number of starts in a second."""
    if text is None:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise click.BadParameter(f"{text!r} is not a number of starts per second above 0")
    return rate


def parse_loop(_ctx: click.Context, _param: click.Parameter, name: str) -> EventLoop:
    """An event loop that is installed."""
    loop = LOOPS[name]
    if missing(loop):
        raise click.BadParameter(advice(loop))
    return loop


def parse_errors(
    _ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]
) -> tuple[int | str, ...]:
    """Names and numbers of errors, as what `aconnect.explain` takes."""
    return tuple(map(_parse_error, texts))


def complete_errors(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """The names of errors that begin so."""
    codes = (name for name in dir(socket) if name.startswith("EAI_"))
    names = {*errno.errorcode.values(), *codes}
    return sorted(name for name in names if name.startswith(begun.upper()))


def _parse_error(text: str) -> int | str:
    if text.removeprefix("-").isdecimal():
        if text not in _NUMBERS:
            raise click.BadParameter(f"{text} is not the number of an error on this system")
        return _NUMBERS[text]
    try:
        explain(text)
    except ValueError as error:
        raise click.BadParameter(str(error).removeprefix("errno_or_error ")) from None
    return text


_CODES: Final[list[int]] = [
    getattr(socket, name) for name in dir(socket) if name.startswith("EAI_")
]
_NUMBERS: Final = {
    str(number): number
    for number in (*errno.errorcode, *_CODES)
    if not explain(number).startswith("errno ")
}
