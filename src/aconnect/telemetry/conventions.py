"""What became of a dial, in the terms of OpenTelemetry's semantic conventions.

Rules:

* Kinds of errors are a closed set (`ERROR_TYPES`): it is made from the tables of errnos and of
  codes of lookups, with the names that .NET has for them.  What is not in it is `OTHER`.
* Nothing that a peer said is in any of these terms.

Sources: the semantic conventions for general attributes, TLS and DNS; .NET's names for socket
errors in ``error.type``.
"""

from __future__ import annotations

import re
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..explanations.errnos import ERRNOS
from ..explanations.explain import lookup
from ..explanations.resolving import RESOLVE_CODES

if TYPE_CHECKING:
    from ..report.attempt import AttemptRecord, HandshakeSummary
    from ..report.report import ResolutionSummary
    from ..report.story import Story

__all__ = [
    "ERROR_TYPES",
    "OTHER",
    "attempt_error",
    "connect_error",
    "dial_error",
    "handshake_error",
    "lookup_error",
    "network_type",
    "outcome",
    "server_of",
    "transport",
]

OTHER: Final = "_OTHER"
"""What the conventions have for what is not to be named."""

_NAMED: Final = {
    "EACCES": "access_denied",
    "EPERM": "access_denied",
    "EADDRINUSE": "address_already_in_use",
    "EADDRNOTAVAIL": "address_not_available",
    "EAFNOSUPPORT": "address_family_not_supported",
    "EPFNOSUPPORT": "protocol_family_not_supported",
    "EAGAIN": "try_again",
    "EALREADY": "already_in_progress",
    "EBADF": "operation_aborted",
    "ECONNREFUSED": "connection_refused",
    "ECONNRESET": "connection_reset",
    "ECONNABORTED": "connection_aborted",
    "EFAULT": "fault",
    "EHOSTDOWN": "host_down",
    "EHOSTUNREACH": "host_unreachable",
    "EINVAL": "invalid_argument",
    "ENOSR": "no_buffer_space_available",
    "EPROTOTYPE": "protocol_type",
    "EPROTONOSUPPORT": "protocol_not_supported",
    "ENOPROTOOPT": "protocol_option",
    "ENOBUFS": "no_buffer_space_available",
    "ENOMEM": "no_buffer_space_available",
    "EISCONN": "is_connected",
    "ENOTCONN": "not_connected",
    "EMFILE": "too_many_open_sockets",
    "ENFILE": "too_many_open_sockets",
    "ENETDOWN": "network_down",
    "ENETUNREACH": "network_unreachable",
    "ENOTSOCK": "not_socket",
    "EOPNOTSUPP": "operation_not_supported",
    "ETIMEDOUT": "timed_out",
    "EAI_NONAME": "host_not_found",
    "EAI_NODATA": "host_not_found",
    "EAI_AGAIN": "try_again",
    "EAI_FAIL": "no_recovery",
    "EAI_FAMILY": "address_family_not_supported",
    "EAI_ADDRFAMILY": "address_family_not_supported",
}
ERROR_TYPES: Final[dict[str, str]] = {
    name: _NAMED.get(name, name.lower()) for name, *_ in (*ERRNOS, *RESOLVE_CODES)
}
"""By the name of the errno, or of the code of getaddrinfo(3); in lower case if .NET has none."""

_TIMED_OUT: Final = "timed_out"
_NOT_PERMITTED: Final = "not_permitted"

# Words of ours begin like this; what a peer says may follow, and never precedes.
_CERTIFICATE: Final = "the certificate"
_LOGIN: Final = (
    "the proxy says 407",
    "the proxy does not accept this user and password",
    "the proxy wants a login",
    "the proxy takes neither a login",
)

_TRANSPORTS: Final = {"AF_UNIX": "unix", "AF_VSOCK": "vsock"}


def outcome(words: str) -> str:
    """An outcome of a report's as a value of an attribute: "timed_out"."""
    return words.replace(" ", "_")


def lookup_error(search: ResolutionSummary) -> str | None:
    """Of a lookup that failed or timed out; else None."""
    if search.outcome == "failed":
        return _by_code(search.errno)
    return _TIMED_OUT if search.outcome == "timed out" else None


def connect_error(attempt: AttemptRecord) -> str | None:
    """Of an attempt as far as it is connect(2); None if that succeeded, or was given up."""
    return None if attempt.connected is not None else attempt_error(attempt)


def attempt_error(attempt: AttemptRecord) -> str | None:
    """Of an attempt that failed, timed out or was not permitted; else None."""
    if attempt.outcome == "failed":
        shake = attempt.handshake
        return _by_errno(attempt.errno) if shake is None else _shake(shake, attempt.errno)
    if attempt.outcome == "timed out":
        return _TIMED_OUT
    return _NOT_PERMITTED if attempt.outcome == "not permitted" else None


def handshake_error(shake: HandshakeSummary, attempt: AttemptRecord) -> str | None:
    """Of a handshake of an attempt, if it failed or timed out; else None."""
    if shake.outcome == "failed":
        return _shake(shake, attempt.errno)
    return _TIMED_OUT if shake.outcome == "timed out" else None


def dial_error(story: Story) -> str | None:
    """Of a dial that failed or timed out; else None."""
    if story.outcome == "timed out":
        return _TIMED_OUT
    if story.outcome != "failed":
        return None
    if story.phase == "resolve":
        return _by_code(story.errno)
    furthest = (
        each
        for each in story.attempts.values()
        if each.phase == story.phase and each.errno == story.errno
    )
    first = next(furthest, None)
    return (attempt_error(first) if first else None) or _by_errno(story.errno)


def _by_errno(errno: int | None) -> str:
    return ERROR_TYPES.get(lookup(errno or 0).name, OTHER)


def _by_code(errno: int | None) -> str:
    return ERROR_TYPES.get(lookup(errno or 0, resolving=True).name, OTHER)


def _shake(shake: HandshakeSummary, errno: int | None) -> str:
    """Why a handshake failed."""
    words, name = shake.error or "", ERROR_TYPES.get(lookup(errno or 0).name, OTHER)
    if name == "connection_reset":
        return name
    if shake.name == "TLS":
        if words.startswith(_CERTIFICATE):
            return "certificate_error"
        return "tls_error" if name in ("eproto", OTHER) else name
    if shake.phase == "proxy":
        return "proxy_auth" if words.startswith(_LOGIN) else "proxy_refused"
    return name


def network_type(family: int) -> str | None:
    """The value of ``network.type``; None for what is not an internet socket."""
    if family == socket.AF_INET:
        return "ipv4"
    return "ipv6" if family == socket.AF_INET6 else None


def transport(family: int, type: int) -> str | None:
    """The value of ``network.transport``; None for TCP, which is what goes without saying."""
    for name, value in _TRANSPORTS.items():
        if family == getattr(socket, name, None):
            return value
    return "udp" if type == socket.SOCK_DGRAM else None


_SERVER: Final = re.compile(
    r"(?:[a-z0-9]+://(?:[^@]*@)?)?(?:\[(?P<v6>[^\]]*)\]|(?P<host>.*)):(?P<port>\d+)", re.DOTALL
)
_PATH: Final = re.compile(r"unix(?:gram|packet)?:(?P<path>.*)", re.DOTALL)
_SERVICE: Final = re.compile(
    r"(?:(?P<https>https)://|svcb://|srv:_[^.]*\._[^.]*\.)(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^:?]*))"
    r"(?::(?P<port>\d+))?(?:\?.*)?"
)
_HTTPS_PORT: Final = 443
_MORE: Final = re.compile(r" and \d+ more\Z")


@lru_cache(maxsize=256)
def server_of(text: str) -> tuple[str, int | None]:
    """The address and the port in the text of an address; of several, those of the first.

    Returns:
        The host and its port; or the path of a unix socket, or whatever it is, and None.
    """
    text = _MORE.sub("", text)
    if path := _PATH.fullmatch(text):
        return path["path"], None
    if service := _SERVICE.fullmatch(text):
        default = _HTTPS_PORT if service["https"] else None
        port = int(service["port"]) if service["port"] else default
        return service["v6"] or service["host"], port
    if server := _SERVER.fullmatch(text):
        return server["v6"] or server["host"], int(server["port"])
    return text, None
