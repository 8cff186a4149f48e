"""TLS as a handshake: what it is done with, what it came to, and why it failed.

Rules:

* The default is verification of the certificate and of the name in it.
* A context is never changed.  What is particular to one connection (the name, a session to
  resume) is handed to the context when the connection is wrapped.
* Each event loop does the handshake with its own TLS; what the loops raise is brought to one form
  here, so that the same failure is the same error everywhere.

Source: RFC 8446 for TLS, RFC 6066 section 3 for the name, verify(1ssl) for the codes.
"""

from __future__ import annotations

import errno as errnos
import gc
import os
import socket
import ssl
from copy import copy
from functools import lru_cache
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from ..addresses.redacting import shown
from ..addresses.values import TCPAddress
from ..errors.foreign import words
from ..sansio.value import Value, plain
from .base import BoundedHandshake
from .contexts import default_context
from .layered import Wrapper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..addresses.target import Target

__all__ = ["TLS", "TLSHandshake", "agreed", "failure", "reason", "settings", "settings_of"]

T = TypeVar("T")

_NAMES: Final = 256  # a program connects to a few names again and again
_DOTS: Final = ".\u3002\uff0e\uff61"  # RFC 3490 section 3.1


class TLS(Value):
    """What a TLS connection is made with.

    Attributes:
        context: whom to trust, which versions, which protocols (ALPN).
        server_hostname: the name that the server has to prove, and that it is told (SNI); None for
            no name.  Of an IP address the server is told nothing.  It has neither the dot of the
            root nor the zone of a link, which are not part of the name.
        session: what to resume; None for a full handshake.
        each_host: whether, of several hosts that are dialled, each has to prove its own name.
    """

    context: ssl.SSLContext
    server_hostname: str | None
    session: ssl.SSLSession | None = None
    each_host: bool = False

    @property
    def wrapper(self) -> ssl.SSLContext:
        """What an event loop has to wrap its buffers with, in place of the context."""
        context, session = self.context, self.session
        if session is None:
            return context
        # No event loop takes a session itself.
        wrapper: Any = Wrapper(
            context,
            lambda incoming, outgoing, name, given: context.wrap_bio(
                incoming, outgoing, False, name, given or session
            ),
        )
        return cast("ssl.SSLContext", wrapper)


def settings(
    context: ssl.SSLContext | bool | None,
    server_hostname: str | bytes | None,
    session: ssl.SSLSession | None,
    host: str | None,
) -> TLS | None:
    """What the arguments of a call ask for; None if that is no TLS.

    Args:
        context: True for `default_context`; None or False for no TLS.
        server_hostname: the name; None for ``host``, empty for none, as in asyncio.
        session: a session to resume.
        host: the host of the address, if it has one.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: no name to check is known; or a name or a session without TLS.
    """
    if server_hostname is not None and not isinstance(server_hostname, (str, bytes)):
        raise TypeError(
            f"server_hostname must be a string or None, or bytes, not {shown(server_hostname)}"
        )
    server_hostname = plain(server_hostname)
    if session is not None and not isinstance(session, ssl.SSLSession):
        raise TypeError(f"ssl_session must be an ssl.SSLSession or None, not {session!r}")
    if context is None or context is False:
        for name, value in (("server_hostname", server_hostname), ("ssl_session", session)):
            if value is not None:
                raise ValueError(f"{name} {value!r} is for TLS only: pass ssl=True with it")
        return None
    if context is True:
        context = default_context()
    elif not isinstance(context, SSLContext):  # the module may have got another since
        raise TypeError(f"ssl must be an ssl.SSLContext, True or None, not {context!r}")
    elif context.protocol == ssl.PROTOCOL_TLS_SERVER:
        raise ValueError(f"ssl must be a context for clients, not for servers: {context!r}")
    given = host if server_hostname is None else server_hostname or None
    proven = None if given is None else _name(given)
    if proven is None and context.check_hostname:
        if server_hostname is None:
            raise ValueError(
                "server_hostname is needed for TLS to this address: the name to check the "
                "server's certificate against"
            )
        raise ValueError(
            "server_hostname must be a host name or an IP address for a context that checks it "
            f"(check_hostname), not {shown(server_hostname)}"
        )
    tls = TLS(context, proven, session)
    if session is not None and context not in gc.get_referents(session):
        # Only to be asked if the interpreter does not tell: each time takes a copy, and 100 µs.
        try:
            tls.wrapper.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), False, proven)
        except ValueError as error:
            raise ValueError(f"ssl_session {session!r} cannot be used here: {error}") from None
    return tls


@lru_cache(_NAMES)
def _name(given: str | bytes) -> str:
    """What is told and proved of a name that was given."""
    try:
        text = given if isinstance(given, str) else given.decode("ascii")
        TCPAddress(text, 0)
    except ValueError:
        raise ValueError(
            f"server_hostname must be a host name or an IP address, not {shown(given)}"
        ) from None
    return text.partition("%")[0].rstrip(_DOTS)


def settings_of(
    context: ssl.SSLContext | bool | None,
    server_hostname: str | bytes | None,
    session: ssl.SSLSession | None,
    target: Target,
) -> TLS | None:
    """`settings` for whatever is dialled: of several hosts, each has to prove its own name, unless
    one is given for all."""
    if context is None and server_hostname is None and session is None:
        return None
    first, *others = [part.host for part in target.parts]
    tls = settings(context, server_hostname, session, first)
    if tls is None or server_hostname is not None or not others:
        return tls
    for host in others:
        settings(tls.context, None, session, host)  # or it is refused
    return tls.replace(each_host=True)


class TLSHandshake(BoundedHandshake[T]):
    """What the TLS handshakes of all event loops have in common.

    It is done on a connected socket; where there is TLS to a proxy, on a `Tunnel`.

    Args:
        tls: what it is done with.
    """

    tunnels: bool = True

    def __init__(self, tls: TLS) -> None:
        self.name = "TLS"
        self.tls: TLS = tls

    async def __call__(self, sock: socket.socket) -> T:
        try:
            return await self.shake(sock)
        except Exception as error:
            found = failure(error)
        try:
            # asyncio's frames hold the future that holds the error.
            raise found.with_traceback(None)
        finally:
            del found  # its traceback leads to this frame

    def towards(self, host: str | None) -> TLSHandshake[T]:
        if not self.tls.each_host:
            return self
        other = copy(self)
        other.tls = self.tls.replace(server_hostname=None if host is None else _name(host))
        return other

    async def shake(self, sock: socket.socket) -> T:
        """Do the handshake, and raise whatever the event loop's TLS raises."""
        raise NotImplementedError

    def over(self, given: Any) -> tuple[socket.socket, ssl.SSLContext]:
        """The socket of what it is done on, and what to wrap buffers with for it."""
        if isinstance(given, socket.socket):
            return given, self.tls.wrapper
        return given.sock, given.wrapper(self.tls)

    def ssl_object(self, result: T) -> Any:
        """The `ssl.SSLObject` of a result, or what has its methods."""
        raise NotImplementedError

    def details(self, result: T) -> Mapping[str, Any]:
        """The version, the cipher, the protocol of ALPN if any, and whether a session was
        resumed."""
        return agreed(self.ssl_object(result))

    def reason(self, error: Exception) -> str:
        """What is wrong, and what to do about it."""
        return reason(error, self.tls.server_hostname)


def agreed(ssl_object: Any) -> dict[str, Any]:
    """What the two ends of a connection have agreed upon."""
    cipher = ssl_object.cipher()
    found = {
        "version": ssl_object.version(),
        "cipher": cipher and cipher[0],
        "ALPN": ssl_object.selected_alpn_protocol(),
        "session": "resumed" if ssl_object.session_reused else None,
    }
    return {key: value for key, value in found.items() if value}


def failure(error: Exception) -> Exception:
    """What a handshake's error comes down to, whichever event loop has raised it.

    Returns:
        The SSLError, or the OSError with an errno, that is in it or that it is; else, if the
        connection is gone, a ConnectionResetError with its errno; else the error itself.
    """
    at: BaseException | None = error
    while isinstance(at, Exception):
        if isinstance(at, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            break
        if isinstance(at, ssl.SSLError) or (isinstance(at, OSError) and at.errno):
            at.__context__ = at.__cause__ = None
            return at
        at = at.__cause__ or at.__context__
    if not isinstance(error, (OSError, EOFError)) and type(error).__name__ not in _GONE:
        return error
    return ConnectionResetError(errnos.ECONNRESET, os.strerror(errnos.ECONNRESET))


_GONE: Final = {"BrokenResourceError", "ClosedResourceError", "EndOfStream"}
"""What anyio and trio call it; neither need be installed."""


def reason(error: Exception, name: str | None) -> str:
    """Why a TLS handshake failed, in words, and what to do.

    Args:
        error: what `failure` has given.
        name: the name that the server had to prove.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        what = _CERTIFICATE.get(error.verify_code)
        if what is None:
            return f"the certificate is not accepted: {error.verify_message}"
        return what.format(name=name)
    if isinstance(error, ssl.SSLError):
        said: str | None = getattr(error, "reason", None)  # which OpenSSL alone sets
        if not said:
            return words(error)
        text = said.replace("_", " ").lower()
        if said in _NOT_TLS:
            return f"the peer does not speak TLS here ({text}): is it the right port?"
        if " alert " in text:
            return f"the peer refused it: {text}"
        return text
    if isinstance(error, ConnectionResetError):
        return "the peer closed the connection in the middle of it"
    return words(error)


_CERTIFICATE: Final[Mapping[int, str]] = {
    # The codes are X509_V_ERR_* of OpenSSL.
    9: "the certificate is not valid yet: check this machine's clock",
    10: "the certificate has expired",
    18: "the certificate is self-signed: to trust it, load it into the context",
    19: "the certificate's issuer is self-signed and not trusted here: to trust it, load the "
    "issuer's certificate into the context",
    20: "the certificate's issuer is not known here: load the issuer's certificate into the "
    "context, or have the server send its intermediate certificates",
    21: "the certificate's issuer is not known here, and the server sent no intermediate "
    "certificate",
    23: "the certificate has been revoked",
    62: "the certificate is for another host, not for {name}",
    64: "the certificate is for another host, not for {name}",
}

_NOT_TLS: Final = {
    *("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "PACKET_LENGTH_TOO_LONG"),
    *("RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "UNSUPPORTED_PROTOCOL_VERSION_NUMBER"),
}
