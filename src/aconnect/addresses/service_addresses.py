"""Addresses that name a service, whose hosts and ports are for records of DNS to say.

Rules:

* A `ServiceAddress` is a TCP address, and to who knows of no records nothing else.  One that is
  written ``https://host`` is for HTTP over TLS, and has its host in SNI and in the certificate.
* An `SRVAddress` has no port of its own, but one to fall back on where there are no records.
* The host is who the service is of, and who a certificate has to name; records lead to others.

Sources: RFC 9460 section 2.3 (SVCB), section 9 (HTTPS); RFC 2782 (SRV); RFC 6335 section 5.1
(names of services).
"""

from __future__ import annotations

from typing import ClassVar, Final

from ..sansio.value import Value, plain, set_derived
from .redacting import shown
from .values import MAX_PORT, TCPAddress, UDPAddress, check_int, literal_family

__all__ = ["HTTPS_PROTOCOLS", "SRVAddress", "ServiceAddress"]

HTTPS_PORT: Final = 443
HTTPS_PROTOCOLS: Final = ("h2", "http/1.1")
"""What who writes ``https://`` is taken to speak; over TCP there is no HTTP/3."""

_DEFAULT_PORTS: Final = {"https": HTTPS_PORT, "dns": 53}
"""By scheme: RFC 9460 section 9, RFC 9461."""

_LONGEST_SERVICE: Final = 15
_LONGEST_ALPN: Final = 255
_NOT_IN_ALPN: Final = frozenset("&,=%?#")  # which delimit them in the text of an address


class ServiceAddress(TCPAddress):
    """A host and a port, and what is spoken there.

    A resolver that asks for HTTPS and SVCB records finds other hosts, ports and addresses for it;
    to any other it is a `TCPAddress`.  Frozen and hashable; ``str()`` gives ``https://host``, or
    ``svcb://host:port?scheme=...`` for what is not that.

    Args:
        host, port, flowinfo, scope_id: as for `TCPAddress`.
        scheme: the name of the service, as a URL has it.
        alpn: the protocols that the caller speaks, as ALPN has them; what offers none of them is
            not used.  None for any.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: an argument has an invalid value.
    """

    scheme: str = "https"
    alpn: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        set_derived(self, "scheme", _service_name(self.scheme, "scheme", self.scheme).lower())
        if isinstance(self.alpn, str):
            raise TypeError(f"alpn must be an iterable of protocols, not the str {self.alpn!r}")
        alpn = tuple(self.alpn)
        for each in alpn:
            if not isinstance(each, str):
                raise TypeError(f"alpn must have protocols as str, not {each!r}")
            if not (0 < len(each) <= _LONGEST_ALPN and each.isascii() and each.isprintable()) or (
                not _NOT_IN_ALPN.isdisjoint(each)
            ):
                raise ValueError(f"alpn has what is no name of a protocol: {each!r}")
        set_derived(self, "alpn", tuple(map(plain, alpn)))

    @property
    def default_port(self) -> int | None:
        """The port that need not be written; None if every one has to be."""
        return _DEFAULT_PORTS.get(self.scheme)

    @property
    def is_https(self) -> bool:
        """Whether it can be written ``https://host``."""
        return self.scheme == "https" and self.alpn == HTTPS_PROTOCOLS and not self.flowinfo

    def __str__(self) -> str:
        host = self.host
        if ":" in host:
            host = f"[{host}%{self.scope_id}]" if self.scope_id else f"[{host}]"
        if self.is_https:
            return f"https://{host}" + (f":{self.port}" if self.port != HTTPS_PORT else "")
        more = [f"scheme={self.scheme}"]
        more += [f"alpn={','.join(self.alpn)}"] * bool(self.alpn)
        more += [f"flowinfo={self.flowinfo}"] * bool(self.flowinfo)
        return f"svcb://{host}:{self.port}?{'&'.join(more)}"


class SRVAddress(Value):
    """A service of a domain, whose hosts SRV records name.

    It needs a resolver that asks for SRV records.  Frozen and hashable; ``str()`` gives
    ``srv:_service._proto.domain``.

    Args:
        service: its name, with the underscore that it has in DNS.
        host: the domain, which a certificate has to be for.
        proto: "tcp" or "udp".
        port: that of the domain itself, which is dialled if there are no records; None for not at
            all.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: an argument has an invalid value.
    """

    service: str
    host: str
    proto: str = "tcp"
    port: int | None = None

    endpoint: ClassVar[None] = None
    """It stands for nothing without a lookup."""

    def __post_init__(self) -> None:
        service, proto = self.service, self.proto
        if not isinstance(service, str):
            raise TypeError(f"service must be a str, not {shown(service)}")
        if not service.startswith("_"):
            raise ValueError(f"service must begin with an underscore, not {shown(service)}")
        name = _service_name(service[1:], "service", service)
        if not isinstance(proto, str):
            raise TypeError(f"proto must be a str, not {shown(proto)}")
        if proto.lower() not in _KINDS:
            raise ValueError(f"proto must be 'tcp' or 'udp', not {shown(proto)}")
        set_derived(self, "service", f"_{name.lower()}")
        set_derived(self, "proto", plain(proto).lower())
        if self.port is not None:
            set_derived(self, "port", check_int(self.port, "port", MAX_PORT))
        host = TCPAddress(self.host, 0).host
        if literal_family(host.partition("%")[0]) is not None:
            raise ValueError(f"host must be a domain, which has SRV records, not {shown(host)}")
        set_derived(self, "host", host)

    @property
    def type(self) -> int:
        """The type of socket that it takes."""
        return _KINDS[self.proto]._kind[0]

    def at(self, host: str, port: int) -> TCPAddress | UDPAddress:
        """The address of a target.

        Raises:
            ValueError: it is none.
        """
        return _KINDS[self.proto](host, port)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"srv:{self.service}._{self.proto}.{self.host}{port}"


_KINDS: Final[dict[str, type[TCPAddress | UDPAddress]]] = {"tcp": TCPAddress, "udp": UDPAddress}


def _service_name(text: str, argument: str, given: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{argument} must be a str, not {shown(given)}")
    labels = text.split("-")
    well_formed = all(each.isascii() and each.isalnum() for each in labels)
    if not (well_formed and len(text) <= _LONGEST_SERVICE and any(map(str.isalpha, text))):
        raise ValueError(
            f"{argument} must be a name of a service (15 letters, digits and hyphens at the "
            f"most, RFC 6335), not {shown(given)}"
        )
    return plain(text)
