"""A proxy, as a value.

Rules:

* It is checked when it is made.  Nonsense is a ValueError or a TypeError that names the argument,
  and shows no user, no password and no header.
* Where it is, an `Address` says; nothing is looked up here.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from ..addresses.redacting import has_login, redacted, shown
from ..addresses.service_addresses import ServiceAddress
from ..addresses.text import AddressLike, parse_address
from ..addresses.values import TCPAddress, UnixAddress, VsockAddress
from ..sansio.value import Value, plain

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Iterable

__all__ = ["DEFAULT_PORTS", "DNS", "Proxy", "Scheme"]

Scheme: TypeAlias = Literal["socks4", "socks4a", "socks5", "socks5h", "http", "https"]
DNS: TypeAlias = Literal["local", "remote"]

DEFAULT_PORTS: Final[dict[str, int]] = {
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
    "http": 80,
    "https": 443,
}
"""Each scheme, and its port.  1080 is what IANA has for SOCKS; curl takes it for HTTP as well."""

_DNS: Final[dict[str, DNS]] = {
    "socks4": "local",
    "socks4a": "remote",
    "socks5": "local",
    "socks5h": "remote",
    "http": "remote",
    "https": "remote",
}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding"})


class Proxy(Value):
    """A proxy that connections are made through.

    Frozen, hashable, and compared by its fields.  Its ``repr()`` and its ``str()``, which is such
    as ``socks5h://***@proxy:1080``, have neither user nor password, nor the values of headers; a
    pickle has them.

    Args:
        scheme: "socks4", "socks4a", "socks5", "socks5h", "http" or "https".
        address: where it is, as for `parse_address`: of TCP, unix (a stream) or VSOCK.
        username: who it is told we are; of SOCKS5 1 to 255 bytes in UTF-8, of HTTP without a
            colon.  None for no login.
        password: the password, of at most 255 bytes for SOCKS5; SOCKS4 has none.
        ssl: of "https", a context for TLS to it; None for the default one, which verifies its
            certificate and its name.
        server_hostname: of "https", the name in its certificate; None for its host.
        dns: who looks names up: "local" for this host, with the dialer's resolver, "remote" for
            the proxy.  None for what the scheme says: "local" for socks4 and socks5, "remote" for
            all others.
        headers: of HTTP, further headers of the request, as pairs.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value, or is not for this scheme.
    """

    scheme: Scheme
    address: TCPAddress | UnixAddress | VsockAddress
    username: str | None
    password: str | None
    ssl: ssl_module.SSLContext | None
    server_hostname: str | None
    dns: DNS | None
    headers: tuple[tuple[str, str], ...]

    def __init__(
        self,
        scheme: Scheme | str,
        address: AddressLike,
        *,
        username: str | None = None,
        password: str | None = None,
        ssl: ssl_module.SSLContext | None = None,
        server_hostname: str | None = None,
        dns: DNS | str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        if not isinstance(scheme, str) or scheme not in DEFAULT_PORTS:
            given = redacted(scheme) if isinstance(scheme, str) else type(scheme)
            raise ValueError(f"scheme must be one of {', '.join(DEFAULT_PORTS)}, not {given!r}")
        where = _where(address)
        if dns not in (None, "local", "remote"):
            raise ValueError(f'dns must be "local", "remote" or None, not {dns!r}')
        if dns == "remote" and scheme == "socks4":
            raise ValueError(
                "dns must not be 'remote' for socks4, which takes no names: use socks4a"
            )
        _check_login(scheme, username, password)
        _check_tls(scheme, where, ssl, server_hostname)
        super().__init__(
            cast("Scheme", plain(scheme)),
            where,
            plain(username),
            plain(password),
            ssl,
            plain(server_hostname),
            cast("Any", plain(dns)),
            _check_headers(scheme, headers, username),
        )

    @property
    def remote_dns(self) -> bool:
        """Whether the proxy looks names up."""
        return (self.dns or _DNS[self.scheme]) == "remote"

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, and not HTTP."""
        return self.scheme.startswith("socks")

    def __str__(self) -> str:
        hidden = "***@" if self.username is not None else ""
        if isinstance(self.address, TCPAddress):
            return f"{self.scheme}://{hidden}{str(self.address).removeprefix('tcp://')}"
        return f"{self.scheme}+{self.address}"

    def __repr__(self) -> str:
        shown = [repr(self.scheme), repr(str(self.address))]
        shown += [f"{name}='***'" for name in ("username", "password") if getattr(self, name)]
        for name in ("ssl", "server_hostname", "dns"):
            if getattr(self, name) is not None:
                shown.append(f"{name}={getattr(self, name)!r}")
        if self.headers:
            shown.append(f"headers={tuple((name, '***') for name, _ in self.headers)!r}")
        return f"Proxy({', '.join(shown)})"


Proxy.__module__ = "aconnect"  # where users import it from


def _where(address: Any) -> TCPAddress | UnixAddress | VsockAddress:
    host = address[0] if isinstance(address, tuple) and address else address
    if isinstance(host, str) and has_login(host):
        raise ValueError(
            f"address must not have a user and a password, unlike {redacted(host)!r}: they "
            "have arguments of their own, and parse_proxy() takes the text of a whole proxy"
        )
    where = parse_address(address)
    if isinstance(where, ServiceAddress):
        raise ValueError(
            f"address must have a host and a port, unlike {shown(address)}: parse_proxy() takes "
            "the text of a whole proxy"
        )
    if isinstance(where, (TCPAddress, VsockAddress)):
        return where
    if isinstance(where, UnixAddress) and where.type == socket.SOCK_STREAM:
        return where
    raise ValueError(f"address must be that of a stream socket, not {address!r}")


def _check_login(scheme: str, username: Any, password: Any) -> None:
    for name, value in (("username", username), ("password", password)):
        if value is None:
            continue
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a str or None, not {type(value).__name__}")
        if _CONTROL.search(value):
            raise ValueError(f"{name} must not contain control characters")
        if _SURROGATE.search(value):
            raise ValueError(f"{name} cannot be encoded in UTF-8")
    if password is not None and username is None:
        raise ValueError("password must not be given without a username")
    if username is None:
        return
    if scheme in ("socks4", "socks4a"):
        if password is not None:
            raise ValueError(f"password must be None for {scheme}, which has no passwords")
    elif scheme in ("socks5", "socks5h"):
        if not 1 <= len(username.encode()) <= 255:
            raise ValueError("username must have from 1 to 255 bytes for SOCKS5")
        if password is not None and len(password.encode()) > 255:
            raise ValueError("password must have at most 255 bytes for SOCKS5")
    elif ":" in username:
        raise ValueError("username must not contain a colon for HTTP")


def _check_tls(scheme: str, where: Any, ssl: Any, server_hostname: Any) -> None:
    if scheme != "https":
        for name, value in (("ssl", ssl), ("server_hostname", server_hostname)):
            if value is not None:
                raise ValueError(f"{name} is for https only, not for {scheme}")
        return
    if isinstance(ssl, bool):
        raise TypeError(f"ssl must be an ssl.SSLContext or None, not {ssl!r}")
    from ..handshakes.tls import settings  # ssl is imported for https alone

    settings(True if ssl is None else ssl, server_hostname, None, getattr(where, "host", None))


def _check_headers(scheme: str, headers: Any, username: str | None) -> Any:
    kept = pairs_of(headers, "headers", "a name and a value, both str")
    if kept and scheme not in ("http", "https"):
        raise ValueError(f"headers are for http and https only, not for {scheme}")
    for number, (name, value) in enumerate(kept):
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError("headers must be pairs of a name and a value, both str")
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"headers[{number}] must have a name that is valid in HTTP")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"headers[{number}] must have an ASCII value that is valid in HTTP")
        given = name.lower()
        if given in _OURS or (given == "proxy-authorization" and username is not None):
            raise ValueError(f"headers must not have {name}, which is sent anyway")
    return kept


def pairs_of(given: Any, name: str, what: str) -> tuple[tuple[Any, Any], ...]:
    """An argument that consists of pairs, which are tuples or lists.

    Raises:
        TypeError: it does not; the message shows none of it.
    """
    each = tuple(given) if hasattr(given, "__iter__") else None
    if each is None or not all(isinstance(one, (tuple, list)) and len(one) == 2 for one in each):
        raise TypeError(f"{name} must be pairs of {what}")
    return tuple((one[0], one[1]) for one in each)
