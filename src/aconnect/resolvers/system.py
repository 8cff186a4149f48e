"""The system's own resolver, getaddrinfo(3), off the event loop.

Rules:

* It runs in daemon threads that nobody else uses, so a busy default executor does not hold
  up a connect, and a dead name server does not hold up anybody else.
* AI_ADDRCONFIG is not set: on a host without a global IPv6 address it hides even ``::1``.
* The answer is in RFC 6724 order already.  It is not sorted again.
* A family that is asked for apart fails apart: there is no answer when neither has one.
* Who asks for a name that is being looked up waits for that lookup, whatever the port: no name is
  looked up twice at a time, in the whole process.
"""

from __future__ import annotations

import socket
from collections import deque
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakMethod

from ..addresses.values import Endpoint
from ..drivers.select import running_driver
from ..drivers.threads import SharedCall
from ..sansio.value import Value, plain, set_derived
from .answers import refuse_srv
from .base import Batch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ..addresses.values import TCPAddress, UDPAddress
    from ..drivers.base import DialDriver
    from ..drivers.threads import Job

__all__ = ["NO_ADDRESS", "SystemResolver", "look_up"]

_FAMILIES: Final = (socket.AF_INET6, socket.AF_INET)
"""In the order in which they are asked for: AAAA before A, as RFC 8305, section 3, has it."""

_LARGEST_INT: Final = 2**31 - 1

NO_ADDRESS: Final = [
    getattr(socket, name)
    for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY")
    if hasattr(socket, name)
]
"""What says that there is nothing to be found, where others say that nothing could be."""


class SystemResolver(Value, kw_only=True):
    """Resolves names with getaddrinfo(3), in a thread.

    Args:
        by_family: ask for IPv6 addresses and for IPv4 addresses apart, at the same time, each
            in a thread of its own.  A name server that is slow with one family does not hold up
            the other then.  But which family is tried first is up to the race: the order of
            RFC 6724, and so what gai.conf(5) says of it, holds within each family only.
        flags: AI_ADDRCONFIG and the like, which getaddrinfo(3) is given; as a rule none.

    Raises:
        TypeError: ``by_family`` is not a bool, or ``flags`` not an int.
        ValueError: ``flags`` does not fit into a C int.

    Immutable, and usable from several loops and threads at once.
    """

    by_family: bool = False
    flags: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.by_family, bool):
            raise TypeError(f"by_family must be a bool, not {self.by_family!r}")
        if isinstance(self.flags, bool) or not isinstance(self.flags, int):
            raise TypeError(f"flags must be an int, not {self.flags!r}")
        if not 0 <= self.flags <= _LARGEST_INT:
            raise ValueError(f"flags must be from 0 to {_LARGEST_INT}, not {self.flags!r}")
        set_derived(self, "flags", plain(self.flags))

    def resolve(self, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
        """One batch, with everything that getaddrinfo(3) found.

        With `by_family`, one for each family as soon as its answer is there.  IPv6 is asked for
        first, and IPv4 right after it.  A family whose lookup fails has an empty batch, unless
        the other fails as well.

        A name is looked up once for all who ask for it at the same time, on whatever loop or
        thread, and to whatever port, if the ports are all of TCP or all of UDP.

        Raises:
            socket.gaierror: the name has no address, or no name server answered.
            OSError: the lookup failed for want of resources.

        Of two lookups that fail, the error is that of the first that does not merely say that
        there is no address; if both say that, of the first.

        When cancelled, this ends at once, for who is cancelled.  The threads cannot be stopped; a
        late result is dropped if nobody else waits for it.

        Source: getaddrinfo(3); RFC 8305, section 3.
        """
        ask = partial(_question, address, self.flags)
        return _apart(ask, address.port) if self.by_family else _together(ask, address.port)


async def look_up(
    resolver: SystemResolver, address: TCPAddress | UDPAddress, driver: DialDriver, until: float
) -> Batch | None:
    """What `SystemResolver.resolve` yields, for a dial that waits for it; the families are asked
    for together.

    Args:
        driver: of the dial.
        until: when it has waited long enough.

    Returns:
        The one batch; None if that moment came first.

    Raises:
        OSError: as `SystemResolver.resolve`.
    """
    try:
        answer = await driver.run_blocking(_question(address, resolver.flags), until)
    except (RuntimeError, UnicodeError) as error:
        raise _gaierror(error) from error
    return None if answer is None else _batch(answer, address.port)


def _question(
    address: TCPAddress | UDPAddress, flags: int, family: int = socket.AF_UNSPEC
) -> SharedCall:
    """What is asked of getaddrinfo(3) for an address."""
    refuse_srv(address)
    type, proto = address.type, address.proto
    options: Any = {"family": family} if family else {}

    def ask() -> tuple[int, Any]:
        asked = (address.host, address.port)
        return address.port, socket.getaddrinfo(
            *asked, type=type, proto=proto, flags=flags, **options
        )

    return SharedCall((address.host, type, family, flags), ask)


async def _together(ask: Callable[..., SharedCall], port: int) -> AsyncIterator[Batch]:
    """One answer, with the addresses of both families."""
    try:
        results = await running_driver().run_blocking(ask(), inf)
    except (RuntimeError, UnicodeError) as error:
        raise _gaierror(error) from error
    yield _batch(results, port)


async def _apart(ask: Callable[..., SharedCall], port: int) -> AsyncIterator[Batch]:
    """The answer for each family, as it comes.

    It has threads and no tasks: what tasks live in would be open across a yield.
    """
    driver = running_driver()
    watch = driver.watch()
    notify = WeakMethod(watch.notify)  # the threads may outlive the loop
    batches: deque[Batch] = deque()
    errors: list[BaseException] = []
    jobs: list[Job] = []

    def deliver(family: int, results: Any, error: BaseException | None) -> None:
        if error is not None:
            errors.append(_gaierror(error))
        batches.append(_batch(results, port, family))
        if (tell := notify()) is not None:
            tell()

    try:
        for family in _FAMILIES:
            try:
                jobs.append(driver.start_blocking(ask(family=family), partial(deliver, family)))
            except RuntimeError as error:
                deliver(family, None, error)
        for _ in _FAMILIES:
            while not batches:
                await watch.wait(inf)
            if len(errors) == len(_FAMILIES):
                raise min(errors, key=_says_no_address)
            yield batches.popleft()
    finally:
        for job in reversed(jobs):  # or the place of the first would go to the second
            job.abandon()
        errors.clear()  # their tracebacks lead to this frame


def _batch(answer: Any, port: int, answered: int | None = None) -> Batch:
    """What getaddrinfo(3) returned, if anything; it may have been asked for another port."""
    asked, results = answer or (port, ())
    endpoints = [
        Endpoint(family, type, proto, sockaddr)
        for family, type, proto, _, sockaddr in results or ()
    ]
    if asked != port:
        endpoints = [
            each._replace(sockaddr=(each.sockaddr[0], port, *each.sockaddr[2:]))
            for each in endpoints
        ]
    return Batch(endpoints, answered, sorted=True)


def _gaierror(error: BaseException) -> BaseException:
    """What went wrong around getaddrinfo(3), as an error of its own; others as they are."""
    if isinstance(error, RuntimeError):  # no thread could be started
        code = socket.EAI_MEMORY
    elif isinstance(error, UnicodeError):  # an international name that the codec refuses after all
        code = socket.EAI_NONAME
    else:
        return error
    translated = socket.gaierror(code, str(error))
    translated.__cause__ = error
    return translated


def _says_no_address(error: BaseException) -> bool:
    return isinstance(error, socket.gaierror) and error.errno in NO_ADDRESS
