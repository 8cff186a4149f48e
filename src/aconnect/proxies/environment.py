"""The proxy that the environment names, and what it does not count for.

Rules:

* The variable of the scheme comes before ``all_proxy``, and lower case before upper; an empty one
  in lower case says that there is none.  So it is with ``no_proxy``.
* ``HTTP_PROXY`` in upper case may be a header of a request to a CGI program (CVE-2016-1000110):
  it does not count where REQUEST_METHOD is set.
* A value that is no proxy is an error, and never a direct dial.
* NO_PROXY is compared with what is asked for, as text: nothing is looked up.  What is not
  understood matches nothing.
* This host is always dialled directly: elsewhere its names would be the proxy's own host.

Sources: curl's manual, golang.org/x/net/http/httpproxy and urllib.request, which differ; the table
in the documentation has each.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..addresses.redacting import redacted
from ..addresses.service_addresses import SRVAddress
from ..addresses.values import DEVIATIONS, TCPAddress, literal_family
from ..sansio.value import Value, derived, set_derived
from .text import parse_proxy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from ..addresses.text import Address
    from .values import Proxy

__all__ = ["FromEnvironment", "from_environment"]

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_HAS_SCHEME: Final = re.compile(r"[^:@]*(?:://|\+(?:unix|vsock):)", re.IGNORECASE)
_LONGEST_ENTRY: Final = 300  # a name, a port, and what stands around them


def from_environment(scheme: str, environ: Mapping[str, str] = os.environ) -> FromEnvironment:
    """What the environment says of proxies, for ``Dialer(proxy=...)``.

    It is read once, here.

    Args:
        scheme: of what is spoken with the target: "https" reads ``https_proxy``, then
            ``all_proxy``, and ``no_proxy``, each in lower case before upper case.
        environ: the environment.

    Returns:
        A callable that gives the proxy for an address, or None for a direct dial: where no
        variable is set, where NO_PROXY has the address, for this host itself, and for what is no
        TCP address.  Two of the same environment are equal.

    Raises:
        TypeError: ``scheme`` is not a str.
        ValueError: ``scheme`` is none, or a variable's value is no proxy; the message has the
            variable's name, and neither user nor password.

    Entries of NO_PROXY stand between commas or blanks: a name, which covers all below it as well
    (``.x.org`` is the same, ``*.x.org`` only what is below it), an IP address or a network such as
    ``10.0.0.0/8``, each with or without a ``:port``; ``*`` for everything.

    Thread-safe; makes no system call.
    """
    if not isinstance(scheme, str):
        raise TypeError(f"scheme must be a str, not {scheme!r}")
    if not _SCHEME.fullmatch(scheme):
        raise ValueError(f"scheme must be one in lower case, such as 'https', not {scheme!r}")
    proxy = None
    name, value = _variable(scheme, environ)
    if value:
        try:
            proxy = parse_proxy(value if _HAS_SCHEME.match(value) else f"http://{value}")
        except ValueError as error:
            raise ValueError(f"{name} does not name a proxy: {error}") from None  # without secrets
    return FromEnvironment(proxy, environ.get("no_proxy", environ.get("NO_PROXY", "")))


def _variable(scheme: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The variable that counts, and its value; empty if none does."""
    for variable in (f"{scheme}_proxy", "all_proxy"):
        if variable == "http_proxy" and "REQUEST_METHOD" in environ:
            names = [] if sys.platform == "win32" else [variable]  # there, case does not matter
        else:
            names = [variable, variable.upper()]
        for name in names:
            value = environ.get(name)
            if value is not None and (value.strip() or name == variable):
                return name, value.strip()
    return "", ""


class FromEnvironment(Value):
    """What the environment says; see `from_environment`.

    Attributes:
        proxy: the proxy; None if there is none.
        no_proxy: what it does not count for.
    """

    proxy: Proxy | None
    no_proxy: str
    _entries: tuple[_Entry, ...] = derived()

    def __post_init__(self) -> None:
        entries = (_entry(each) for each in re.split(r"[,\s]+", self.no_proxy))
        set_derived(self, "_entries", tuple(entry for entry in entries if entry is not None))

    def __call__(self, address: Address | Any) -> Proxy | None:
        """The proxy for an address; None for a direct dial."""
        if self.proxy is None or not isinstance(address, (TCPAddress, SRVAddress)):
            return None
        host = _host(address.host)
        if host == "localhost" or getattr(host, "is_loopback", False):
            return None
        direct = any(entry.covers(host, address.port) for entry in self._entries)
        return None if direct else self.proxy

    def __repr__(self) -> str:
        return f"<from_environment: {self.proxy}, but not for {redacted(self.no_proxy)!r}>"


class _Entry(NamedTuple):
    """One of NO_PROXY's."""

    name: str = ""
    """In its ASCII form; empty for all hosts."""
    itself: bool = True
    """Whether it covers the name, and not only what is below it."""
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None

    def covers(self, host: str | IPv4Address | IPv6Address, port: int | None) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return not isinstance(host, str) and host in self.network
        if not self.name:
            return True
        if not isinstance(host, str):
            return False
        return (self.itself and host == self.name) or host.endswith(f".{self.name}")


def _entry(text: str) -> _Entry | None:
    """None for what is not understood."""
    if not text or len(text) > _LONGEST_ENTRY:
        return None
    if text == "*":
        return _Entry()
    bare = re.fullmatch(r"\[([^\]]+)\](/[0-9]+)?(?::([0-9]{1,5}))?", text)
    if bare:
        host, prefix, digits = bare.groups()
        if ":" not in host:
            return None
        text = host + (prefix or "")
    elif text.count(":") == 1:
        text, _, digits = text.partition(":")
        if not re.fullmatch(r"[0-9]{1,5}", digits):
            return None
    else:
        digits = None
    port = None if digits is None else int(digits)
    network = _network(text)
    if network is not None:
        return _Entry(network=network, port=port)
    itself = not text.startswith("*.")
    name = _ascii(text.removeprefix("*" if not itself else "").removeprefix("."))
    return None if name is None else _Entry(name, itself, port=port)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    from ipaddress import IPv4Network, IPv6Network, ip_network  # it takes a while

    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _host(host: str) -> str | IPv4Address | IPv6Address:
    """A host as it is compared: an address, IPv4 if it is mapped, or a name in its ASCII form."""
    from ipaddress import IPv6Address, ip_address

    bare = host.partition("%")[0]
    if literal_family(bare) is None:
        return _ascii(host) or host
    address = ip_address(bare)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _ascii(name: str) -> str | None:
    """In lower case, in ASCII, and without the dot of the root; None for no name, and for one that
    may be two."""
    if not DEVIATIONS.isdisjoint(name):
        return None
    try:
        text = name.lower() if name.isascii() else name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    text = text.removesuffix(".")
    return text if text and not re.search(r"[\s:/*\[\]]", text) else None
