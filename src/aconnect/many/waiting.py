"""Waiting until something is up, or down.

Rules:

* Tries go on after what may pass, and after what says that the peer is not there *yet*: a name
  that does not exist, a unix socket that does not.  They end with what no waiting can mend.
* A try that comes after one that failed starts by `Backoff`; one that comes after a success, to
  see whether it lasts, an interval after the start of that.
* The last try starts within the last second: who waits that long gets what there is to be had.
"""

from __future__ import annotations

import errno as errnos
import random
import socket
import sys
import time
from math import inf
from typing import TYPE_CHECKING, Any, Final, overload

from ..addresses.target import target_of
from ..deadline import Deadline, earliest
from ..dial.dialer import DEFAULT, Dialer
from ..drivers.select import running_driver
from ..errors.errors import AddressNotPermitted, ConnectError, ConnectTimeout, HandshakeError
from ..explanations.explain import explain
from ..report.attempt import duration
from ..sansio.backoff import Backoff
from .dialling import How, result_of
from .tasks import AllEnded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Literal

    from ..addresses.target import Target
    from ..addresses.text import AddressLike
    from ..report.report import Report
    from .result import Result
    from .targets import Wanted

    Handshaking = Callable[[socket.socket], Awaitable[Any]]

__all__ = ["retry_on", "wait_until_up"]

_LAST: Final = 1.0
"""Seconds before the deadline at which the last try starts."""
_NAMED: Final = 4
_MAY_COME: Final = frozenset(
    {
        errnos.ENOENT,
        *(
            getattr(socket, name)
            for name in ("EAI_NONAME", "EAI_AGAIN", "EAI_NODATA")
            if hasattr(socket, name)
        ),
    }
)
_PROXY_AUTHENTICATION: Final = 407


def retry_on(error: BaseException) -> bool:
    """Whether an exception is a failure to connect after which another try may succeed.

    A predicate for libraries that retry, as in ``stamina.retry(on=retry_on)``.
    """
    return isinstance(error, ConnectError) and error.transient


def is_hopeless(error: ConnectError) -> bool:
    """Whether waiting cannot help; `wait_until_up` goes by this."""
    if isinstance(error, AddressNotPermitted):
        return True
    if isinstance(error, HandshakeError):
        ssl = sys.modules.get("ssl")  # not imported, not one of its errors
        if ssl is not None and isinstance(error, ssl.SSLCertVerificationError):
            return True
        return any(
            getattr(each, "status", None) == _PROXY_AUTHENTICATION
            for each in (error, error.__cause__)
        )
    return not error.transient and error.errno not in _MAY_COME


@overload
async def wait_until_up(  # type: ignore[overload-overlap]  # no address is a list
    target: list[Any],
    *,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    backoff: Backoff = ...,
    dialer: Dialer = ...,
    handshake: Handshaking | None = None,
    steady: int = 1,
    interval: float = 1.0,
    until: Callable[[ConnectError], bool] | None = None,
    any_of: Literal[False] = False,
    down: bool = False,
    on_result: Callable[[Result], object] | None = None,
) -> list[Report]: ...


@overload
async def wait_until_up(
    target: AddressLike | list[Any],
    *,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    backoff: Backoff = ...,
    dialer: Dialer = ...,
    handshake: Handshaking | None = None,
    steady: int = 1,
    interval: float = 1.0,
    until: Callable[[ConnectError], bool] | None = None,
    any_of: bool = False,
    down: bool = False,
    on_result: Callable[[Result], object] | None = None,
) -> Report: ...


async def wait_until_up(
    target: AddressLike | list[Any],
    *,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    backoff: Backoff = Backoff(),  # noqa: B008  # immutable
    dialer: Dialer = DEFAULT,
    handshake: Handshaking | None = None,
    steady: int = 1,
    interval: float = 1.0,
    until: Callable[[ConnectError], bool] | None = None,
    any_of: bool = False,
    down: bool = False,
    on_result: Callable[[Result], object] | None = None,
) -> Report | list[Report]:
    """Connect again and again until it works, then close the connection.

    Args:
        target: an address as for `aconnect`; or a list of several, which all have to be up.
        timeout: seconds from now for all of it; None to wait for ever.
        deadline: the same limit as a `Deadline`.  The earlier of the two counts.
        backoff: how long after the start of a try that failed the next one starts, and how long
            a try may take: its ``least_timeout``, or what is left until the deadline.
            `Backoff.quick` suits what is about to start; the default, what may be gone for long.
        dialer: how connections are made.
        handshake: as for `Dialer.connect`; it is up when that succeeds.
        steady: how many tries in a row have to succeed.
        interval: seconds from the start of one of them to the next.
        until: called with each `ConnectError`; true to give up and raise it.  None to give up on
            what waiting cannot fix: no permission, an address family that is not there, a policy,
            a certificate, a proxy that wants a password.  A name or a unix path that does not
            exist may yet come.
        any_of: of several, the first that is up is enough.
        down: wait until it cannot be connected to.
        on_result: is called with the `Result` of each try.

    Returns:
        The `Report` of the try that showed it; of several that all had to be up, a list of them,
        in the order of the targets.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing was tried.
        ConnectTimeout: the deadline has passed.  The ``__cause__`` is the last error; of several
            targets, a group of each one's.
        ConnectError: what ``until`` has said to give up at; with ``any_of``, that of the last
            target that was left.

    When cancelled, or when it raises, no connection is open and nothing is left.

    Source: gRPC's connection backoff protocol.
    """
    whole = earliest(timeout, deadline)
    _check(backoff, dialer, handshake, steady, interval)
    addresses: list[Any] = target if isinstance(target, list) else [target]
    if not addresses:
        raise ValueError("target must not be an empty list: there is nothing to wait for")
    waits = [
        _Wait(
            (index, address, address, target_of(address)),
            whole,
            backoff,
            dialer,
            handshake,
            steady,
            interval,
            until or is_hopeless,
            down,
            on_result,
        )
        for index, address in enumerate(addresses)
    ]
    if not isinstance(target, list):
        return await waits[0].run()
    found: list[Report] | Report = await _together(waits, any_of)
    return found


def _check(
    backoff: Backoff, dialer: Dialer, handshake: object, steady: int, interval: float
) -> None:
    for name, value, kind in (("backoff", backoff, Backoff), ("dialer", dialer, Dialer)):
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be a {kind.__name__}, not {value!r}")
    if handshake is not None and not callable(handshake):
        raise TypeError(f"handshake must be callable or None, not {handshake!r}")
    if isinstance(steady, bool) or not isinstance(steady, int):
        raise TypeError(f"steady must be a whole number, not {steady!r}")
    if steady < 1:
        raise ValueError(f"steady must be 1 or more, not {steady!r}")
    check_interval(interval)


def check_interval(interval: float) -> None:
    """See that it is an interval between tries.

    Raises:
        TypeError, ValueError: it is not.
    """
    if isinstance(interval, bool) or not isinstance(interval, (int, float)):
        raise TypeError(f"interval must be a number of seconds, not {interval!r}")
    if not 0.01 <= interval < inf:
        raise ValueError(f"interval must be 0.01 or more seconds, and finite, not {interval!r}")


class _Wait:
    """The wait for one target."""

    def __init__(
        self,
        dial: Wanted,
        until: float,
        backoff: Backoff,
        dialer: Dialer,
        handshake: Handshaking | None,
        steady: int,
        interval: float,
        gives_up_at: Callable[[ConnectError], bool],
        down: bool,
        on_result: Callable[[Result], object] | None,
    ) -> None:
        self.target: Target = dial[-1]
        self._dial = dial
        self._until = until
        self._backoff = backoff
        self._dialer = dialer
        self._steady = steady
        self._interval = interval
        self._gives_up_at = gives_up_at
        self._down = down
        self._on_result = on_result
        self._how = How(backoff.least_timeout, Deadline(until), handshake, reports=True)
        self.timed_out = False
        self._tries = 0
        self._last: Result | None = None

    async def run(self) -> Report:
        """Wait.

        Raises:
            ConnectError: in vain.
        """
        driver = running_driver()
        begun = time.monotonic()
        delays = self._backoff.delays(random)
        in_a_row = 0
        last_try = False
        while True:
            start = time.monotonic()
            result = await self._try()
            if result.connected is not self._down:
                in_a_row += 1
                if in_a_row == self._steady:
                    assert result.report is not None
                    return result.report
                when = start + self._interval
            else:
                in_a_row = 0
                when = start + next(delays)
            now = time.monotonic()
            if when >= self._until:
                if last_try or now >= self._until:
                    raise self._out_of_time(now - begun)
                last_try = True
                when = max(now, self._until - _LAST)
            del result
            await driver.sleep_until(when)

    async def _try(self) -> Result:
        self._tries += 1
        self._last = result = await result_of(self._dialer, self._dial, self._how)
        if self._on_result is not None:
            self._on_result(result)
        if result.error is not None and (
            not isinstance(result.error, ConnectError) or self._gives_up_at(result.error)
        ):
            error, self._last = result.error, None
            del result
            try:
                raise error
            finally:
                del error  # its traceback leads to this frame
        return result

    def _out_of_time(self, elapsed: float) -> ConnectTimeout:
        last = self._last
        assert last is not None
        self.timed_out = True
        error = last.error
        said = explain(error) if isinstance(error, ConnectError) else last.outcome
        tries = f"{self._tries} {'try' if self._tries == 1 else 'tries'}"
        state = "still up after" if self._down else "not up within"
        timeout = ConnectTimeout(
            errnos.ETIMEDOUT,
            f"{self.target.text} was {state} {duration(elapsed)}: {tries}, last: {said}",
            address=self.target.address,
            phase=getattr(error, "phase", "connect"),
            elapsed=elapsed,
            attempts=getattr(error, "attempts", ()),
            family=getattr(error, "family", None),
        )
        timeout.report = last.report
        timeout.__cause__ = error
        return timeout


async def _together(waits: list[_Wait], any_of: bool) -> Any:
    """Wait for several."""
    reports: dict[int, Report] = {}
    errors: dict[int, ConnectError] = {}
    begun = time.monotonic()
    try:
        async with AllEnded(running_driver().watch()) as watch:

            async def work(number: int) -> None:
                try:
                    reports[number] = await waits[number].run()
                except ConnectError as error:
                    errors[number] = error
                watch.notify()

            for number in range(len(waits)):
                watch.spawn(work, number)
            while len(reports) + len(errors) < len(waits):
                hopeless = any(not waits[number].timed_out for number in errors)
                if reports if any_of else hopeless:
                    break
                await watch.wait(inf)
        if any_of and reports:
            return reports[min(reports)]
        if not errors:
            return [reports[number] for number in range(len(waits))]
        hopeless = any(not waits[number].timed_out for number in errors)
        if hopeless and not any_of:
            raise next(errors[number] for number in errors if not waits[number].timed_out)
        if len(errors) == 1:
            raise errors.popitem()[1]
        raise _of_several(waits, errors, time.monotonic() - begun)
    finally:
        errors.clear()  # their tracebacks lead to this frame


def _of_several(
    waits: list[_Wait], errors: dict[int, ConnectError], elapsed: float
) -> ConnectError:
    numbers = sorted(errors)
    said = "; ".join(f"{errors[number].strerror}" for number in numbers[:_NAMED])
    if len(numbers) > _NAMED:
        said += f"; and {len(numbers) - _NAMED} more"
    timed_out = any(isinstance(error, ConnectTimeout) for error in errors.values())
    first = errors[numbers[0]]
    error = ConnectError(
        errnos.ETIMEDOUT if timed_out else first.errno or 0,
        f"{len(numbers)} of {len(waits)} targets did not come up: {said}",
        address=tuple(wait.target.address for wait in waits),
        phase=first.phase,
        elapsed=elapsed,
    )
    error.__cause__ = ExceptionGroup("each target", [errors[number] for number in numbers])
    return error
