"""What connecting raises.

Rules:

* Every failure to connect is a `ConnectError`, which is an OSError.  For errno E it is an
  instance of the class that ``OSError(E, "")`` would be as well, so that
  ``except ConnectionRefusedError`` goes on working.
* A failed handshake is also of the class of its cause, if that is one of Python's own: to who
  catches `ssl.SSLCertVerificationError` it is one.  `ssl` is not imported for that.
* ETIMEDOUT is a `ConnectTimeout`, whether the caller's deadline or the kernel ran out of
  patience; the attempts' records tell which.
* Errors are values: they can be pickled and copied, and they hold no socket.
"""

from __future__ import annotations

import errno as errnos
import socket
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal

from ..explanations.explain import lookup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from ..addresses.text import Address
    from ..addresses.values import SockAddr
    from ..report.attempt import AttemptRecord, Phase
    from ..report.report import Report

__all__ = [
    "AddressNotPermitted",
    "ConnectError",
    "ConnectTimeout",
    "HandshakeError",
    "ProxyError",
    "ResolveError",
]


class ConnectError(OSError):
    """No connection could be made.

    Also an instance of the OSError subclass that belongs to its errno: an ECONNREFUSED is a
    ConnectionRefusedError too.  The call that raised it leaves no socket open, except one that
    the caller passed in.

    ``errno`` and ``strerror`` are the reason, one of the numbers in `errno`, and the sentence for
    people to read.

    Attributes:
        address: what was asked for: an `Address`, the caller's list of getaddrinfo results
            (as a tuple), or the sockaddr that a primitive was given.
        phase: how far it got: "resolve", "connect", "proxy" or "handshake".
        elapsed: seconds since the call.
        family: the address family of the attempt that gave the errno, or None.
        report: what happened and when, as a `Report`; None if nothing had begun, or a primitive
            was not given one.
    """

    address: Address | tuple[Any, ...] | SockAddr | None
    phase: Phase
    elapsed: float
    family: int | None
    report: Report | None

    def __new__(cls, errno: int, message: str, **_: Any) -> Self:
        """Make an instance of the class that goes with the errno."""
        kind: Any = cls
        builtin: Any = type(OSError(errno, ""))
        if errno == errnos.ETIMEDOUT and cls is ConnectError:
            kind = ConnectTimeout
        error: Self = super().__new__(_class_for(kind, builtin), errno, message)
        return error

    def __init__(
        self,
        errno: int,  # noqa: ARG002  # __new__ has taken these two
        message: str,  # noqa: ARG002
        *,
        address: Address | tuple[Any, ...] | SockAddr | None = None,
        phase: Phase = "connect",
        elapsed: float = 0.0,
        attempts: Sequence[AttemptRecord] = (),
        family: int | None = None,
    ) -> None:
        self.address = address
        self.phase = phase
        self.elapsed = elapsed
        self._attempts = tuple(attempts)
        self.family = family
        self.report = None

    def __str__(self) -> str:
        return OSError.__str__(self)  # that of an SSLError leaves the errno out

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """A record for each address tried, in the order of their start."""
        return self._attempts if self.report is None else self.report.attempts

    @property
    def transient(self) -> bool:
        """Whether a later try may succeed; what a retry library wants to know."""
        resolving = isinstance(self, ResolveError)
        return lookup(self.errno or 0, resolving=resolving).transient

    def __reduce__(self) -> tuple[Any, ...]:
        kind, *others = _parts(type(self))
        # By name: a pickle for Python 2 takes every builtin OSError for a plain one.
        names = [(other.__module__, other.__name__) for other in others]
        return _rebuild, (kind, names, self.args), dict(self.__dict__)


class ConnectTimeout(ConnectError, TimeoutError):
    """There was no connection in time; errno is ETIMEDOUT.

    Raised when the caller's deadline has passed, when each attempt has run out of its own time,
    and when the kernel gives up.  In the first two cases there are records in ``attempts`` with
    the outcome "timed out", or the time went into resolving; in the last all are "failed".
    """


class ResolveError(ConnectError, socket.gaierror):
    """The name could not be resolved.

    ``errno`` is a code of getaddrinfo(3), such as `socket.EAI_NONAME`; or an errno, if the
    lookup failed for want of resources.
    """


class HandshakeError(ConnectError):
    """A peer was reached, but the handshake with it failed.

    What the handshake raised is the ``__cause__``; ``errno`` is its errno if it had one, else
    EPROTO.  It is an instance of its cause's class too, if that is an OSError of Python's own such
    as `ssl.SSLCertVerificationError` or `ConnectionAbortedError`, and of an SSLError it has the
    ``library``, ``reason``, ``verify_code`` and ``verify_message``.  Of several attempts, the
    cause is that of the one that gave the errno; the ``__cause__`` is a group of all.
    """

    def __new__(
        cls, errno: int, message: str, *, cause: BaseException | None = None, **more: Any
    ) -> Self:
        """Make an instance of the classes that go with the errno and with the cause."""
        kind: Any = cls
        error: Self = super().__new__(
            _class_for(kind, _pythons_own(cause)), errno, message, **more
        )
        return error

    def __init__(
        self, errno: int, message: str, *, cause: BaseException | None = None, **more: Any
    ) -> None:
        super().__init__(errno, message, **more)
        self.__cause__ = cause
        if _pythons_own(cause).__module__ == "ssl":
            vars(self).update((name, getattr(cause, name, None)) for name in _OF_SSL_ERRORS)


class ProxyError(HandshakeError):
    """A proxy was reached, but did not do what it was asked.

    It is a `ConnectTimeout` as well if the time that ran out was the proxy's own.

    Attributes:
        proxy: which one it is, as text without user and password.
        layer: which of the handshakes of the attempt it was that failed, from 0.
        reply: the code of its answer; None if there was none.
        about: what is wrong: "proxy" if that is the proxy, or what it thinks of who asks;
            "target" if it is what was asked for, which cannot be reached through it.
    """

    proxy: str
    layer: int
    reply: int | None
    about: Literal["proxy", "target"]

    def __new__(
        cls, errno: int, message: str, *, cause: BaseException | None = None, **more: Any
    ) -> Self:
        """Make an instance of the classes that go with the errno and with the cause."""
        kind: Any = cls
        if errno == errnos.ETIMEDOUT:
            kind = _class_for(kind, ConnectTimeout)
        made: Self = super().__new__(kind, errno, message, cause=cause, **more)
        return made

    def __init__(
        self,
        errno: int,
        message: str,
        *,
        proxy: str = "",
        layer: int = 0,
        reply: int | None = None,
        about: Literal["proxy", "target"] = "proxy",
        **more: Any,
    ) -> None:
        super().__init__(errno, message, **more)
        self.proxy = proxy
        self.layer = layer
        self.reply = reply
        self.about = about


_OF_SSL_ERRORS: Final = ("library", "reason", "verify_code", "verify_message")


class AddressNotPermitted(ConnectError, PermissionError):
    """The address policy permits none of the addresses; errno is EPERM.

    None of them was connected to.
    """


# Tracebacks and the documentation name the classes by where users import them from.
for _public in (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    HandshakeError,
    ProxyError,
    ResolveError,
):
    _public.__module__ = "aconnect"


def _rebuild(kind: Any, others: list[tuple[str, str]], args: tuple[Any, ...]) -> ConnectError:
    # Without __init__: what a subclass asks for there is in the state.
    for module, name in others:
        kind = _class_for(kind, getattr(import_module(module), name))
    error: ConnectError = OSError.__new__(kind, *args)
    return error


@cache
def _class_for(kind: Any, other: Any) -> Any:
    """``kind`` that is an ``other`` as well, under the name of ``kind``."""
    if issubclass(kind, other):
        return kind
    parts = (*_parts(kind), other)
    members = {"__module__": kind.__module__, "__doc__": kind.__doc__, "_parts": parts}
    return type(kind.__name__, (kind, other), members)


def _parts(kind: Any) -> tuple[Any, ...]:
    """What `_class_for` has made it of: a class that can be imported, and others."""
    parts: tuple[Any, ...] = kind.__dict__.get("_parts", (kind,))
    return parts


def _pythons_own(error: BaseException | None) -> Any:
    """The class of ``error`` if it is an OSError of Python's own, or the nearest that is."""
    for kind in type(error).__mro__:
        if issubclass(kind, OSError) and kind.__module__ in ("builtins", "ssl"):
            return kind
    return OSError
