"""Names of arguments: those that a call has, and which one was meant by another.

Rules:

* A call that takes many arguments has their names in its signature, for `help` and for completion,
  though it takes them by ``**options``.
* A call that is given an argument which it has not says so itself, by its own name, and says which
  one it has.  What other libraries call it comes before what is merely spelled alike.
"""

from __future__ import annotations

from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

__all__ = ["NoOptions", "check_names", "spelled_out", "unexpected"]

CallT = TypeVar("CallT", bound="Callable[..., Any]")

_ALIKE: Final = 0.7
"""How much alike two names must be, from 0 to 1.  At 0.6, `difflib`'s own, "port" is "proto"."""

_HERE: Final = {
    "happy_eyeballs_delay": "attempt_delay",  # asyncio, trio
    "interleave": "first_family_count",  # asyncio
    "local_addr": "local_address",  # asyncio
    "local_host": "local_address",  # anyio
    "source_address": "local_address",  # socket.create_connection
    "host": "address",
    "remote_host": "address",  # anyio
    "remote_addr": "address",
    "connect_timeout": "timeout",
    "ssl_context": "ssl",  # trio
    "tls": "ssl",  # anyio
    "tls_hostname": "server_hostname",  # anyio
}
"""What others call it, and what it is called here."""


class NoOptions(TypedDict):
    """What the ``**unknown`` of a call is that has all its arguments in its signature.

    It is there for the error that `check_names` raises.
    """


def spelled_out(
    options: Any = NoOptions, defaults: Mapping[str, Any] | None = None
) -> Callable[[CallT], CallT]:
    """Have the signature of a function name what its ``**options`` may be.

    Args:
        options: the TypedDict of them.
        defaults: what they are when they are not given; None for those that are not in it.
    """

    def mark(call: CallT) -> CallT:
        written = signature(call)
        shown = [
            each for each in written.parameters.values() if each.kind != Parameter.VAR_KEYWORD
        ]
        for name, kind in options.__annotations__.items():
            default = (defaults or {}).get(name)
            annotation = getattr(kind, "__forward_arg__", kind)
            shown.append(
                Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            )
        call.__signature__ = written.replace(parameters=shown)  # type: ignore[attr-defined]
        return call

    return mark


def check_names(
    call: Callable[..., Any], given: Collection[str], options: Iterable[str] = ()
) -> None:
    """See that a function has the arguments that it was given by name.

    Args:
        call: the function, which is `spelled_out`.
        given: the names.
        options: those that a `Dialer` has, if the call has none of them.

    Raises:
        TypeError: it has not.
    """
    known = signature(call).parameters
    for name in given:
        if name not in known:
            raise unexpected(call.__qualname__, name, known, options)


def unexpected(
    call: str, name: str, known: Iterable[str], options: Iterable[str] = ()
) -> TypeError:
    """The error for an argument that a call does not have; see `check_names`."""
    meant, dialers = _meant(name, [*known]), _meant(name, [*options])
    if meant is not None:
        advice = f": did you mean {meant!r}?"
    elif dialers is not None:
        advice = f": it is for a Dialer, as in Dialer({dialers}=...).connect(...)"
    else:
        advice = ""
    return TypeError(f"{call}() got an unexpected keyword argument {name!r}{advice}")


def _meant(name: str, known: list[str]) -> str | None:
    if name in known:
        return name
    if _HERE.get(name) in known:
        return _HERE[name]
    from difflib import get_close_matches  # for this error alone

    return next(iter(get_close_matches(name, known, 1, _ALIKE)), None)
