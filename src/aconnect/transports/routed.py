"""A whole event loop through one dialer: what asks the loop to connect asks the dialer.

Rules:

* What is replaced are methods of one loop object.  Its class, other loops and other threads never
  see it, and what was there comes back.
* A socket that the caller hands in (``sock=``) passes untouched.
* The dialer that was put in place last counts, whoever leaves first.
* It is a seat belt, not a cage: who calls connect(2) without the loop is not stopped.

Source: the methods of the same names in asyncio.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ..dial.dialer import Dialer
from ..drivers.running import in_trio
from . import loop_calls

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

__all__ = ["routed"]

_ON_TRIO: Final = (
    "routed() is for asyncio and uvloop, and trio is running, which has no loop object to route: "
    "trio.socket.set_custom_hostname_resolver() has your resolver look up the names that trio's "
    "sockets and streams are given, and no more; open_trio_stream() dials with a dialer"
)


def routed(
    dialer: Dialer, loop: asyncio.AbstractEventLoop | None = None
) -> AbstractContextManager[None]:
    """In its ``with`` block, ``dialer`` makes every connection that the event loop is asked for.

    For asyncio and uvloop.  It puts `create_connection`, `create_unix_connection` and
    `create_datagram_endpoint` (with a ``remote_addr``) of one loop object through the dialer: its
    resolver, race, options, policy, trace and reports.  `asyncio.open_connection` and every
    library that asks the loop follow, whichever task they run in, other people's included.  When
    the block is left, however it is left, the loop's own methods are back; a dial that is under
    way goes on to its end.

    Args:
        dialer: what to dial with.
        loop: the loop to route, which need not run yet; None for the one that is running.

    Arguments are the loop's own.  ``happy_eyeballs_delay`` is the dialer's ``attempt_delay`` for
    this call, ``interleave`` its ``first_family_count``, ``family`` and ``local_addr`` its options
    of these names.  With ``sock=``, and without a remote address, the loop's own method is called.

    If the dialer has an address policy (``permit``), `sock_connect` and `sock_sendto` ask it as
    well, with the resolved address.  That is a seat belt and not a cage: code that does not ask
    the loop, such as ``sock.connect()`` in a thread, is not stopped.

    They nest: the one that was entered last counts.

    The loop's methods take no report.  ``on_report`` of the dialer is told of every dial, and
    `capture` collects those of a piece of code.

    Raises:
        TypeError: an argument has the wrong type.
        RuntimeError: no loop is running, and none is given; trio is running; or the loop does not
            let its methods be replaced.

        What the loop's methods raise then is what `create_connection` and
        `create_datagram_endpoint` raise, which are OSErrors with an errno; with ``all_errors`` an
        ExceptionGroup of those.

    Enter and leave it in the thread of the loop, or before that runs.

    Source: the methods of the same names in asyncio.
    """
    if not isinstance(dialer, Dialer):
        raise TypeError(f"dialer must be a Dialer, not {dialer!r}")
    if loop is None:
        if in_trio():
            raise RuntimeError(_ON_TRIO)
        loop = asyncio._get_running_loop()
        if loop is None:
            raise RuntimeError(
                "routed() needs an event loop, and none is running here: call it inside "
                "asyncio.run(main()) or uvloop.run(main()), or pass the loop as loop="
            )
    elif not isinstance(loop, asyncio.AbstractEventLoop):
        raise TypeError(f"loop must be an event loop of asyncio or uvloop, not {loop!r}")
    return _routed(dialer, loop)


@contextmanager
def _routed(dialer: Dialer, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    switch, route = _switch_of(loop), _Route(dialer)
    switch.add(route)
    try:
        yield
    finally:
        switch.remove(route)


class _Route:
    """A dialer that is in place; each block has its own, of the same dialer too."""

    def __init__(self, dialer: Dialer) -> None:
        self.dialer: Dialer = dialer


class Switch:
    """What is in the place of a loop's methods, and leads to a route or to the loop's own.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._routes: list[_Route] = []
        self._own: dict[str, Any] = {name: getattr(loop, name) for name in _METHODS}
        self._before: dict[str, Any] = {}

    def add(self, route: _Route) -> None:
        """Put a route in place, in front of all others.

        Raises:
            RuntimeError: the loop does not let its methods be replaced.
        """
        if not self._routes:
            self._install()
        self._routes.append(route)

    def remove(self, route: _Route) -> None:
        """Take it away, wherever it is; with the last one the loop's own methods are back."""
        self._routes.remove(route)
        if not self._routes:
            self._take_back()

    def _install(self) -> None:
        try:
            attributes = vars(self._loop)
            self._before = {name: attributes[name] for name in _METHODS if name in attributes}
            for name in _METHODS:
                setattr(self._loop, name, getattr(self, name))
                if getattr(self._loop, name) != getattr(self, name):
                    raise AttributeError(f"{name} is what it was")
        except (AttributeError, TypeError) as error:
            self._take_back()
            raise RuntimeError(
                f"routed() replaces methods of the loop object, and {self._loop!r} does not let "
                f"it: {error}"
            ) from error

    def _take_back(self) -> None:
        """Put back what was there, unless somebody else has replaced ours since."""
        attributes = getattr(self._loop, "__dict__", {})
        for name in _METHODS:
            if attributes.get(name) != getattr(self, name):
                continue
            if name in self._before:
                setattr(self._loop, name, self._before[name])
            else:
                delattr(self._loop, name)

    @property
    def _route(self) -> _Route | None:
        """The one that counts; None when the last has been left."""
        return self._routes[-1] if self._routes else None

    # The first three give the coroutine of whom they lead to, and are none themselves: a
    # misspelt argument is an error of the call, as of the loop's own, and not of the await.

    def create_connection(self, *args: Any, **named: Any) -> Any:
        route = self._route
        if route is None or named.get("sock") is not None or not _has_peer(*args, **named):
            return self._own["create_connection"](*args, **named)
        return loop_calls.create_connection(self._loop, route.dialer, *args, **named)

    def create_unix_connection(self, *args: Any, **named: Any) -> Any:
        route = self._route
        if route is None or named.get("sock") is not None or not _has_peer(*args, **named):
            return self._own["create_unix_connection"](*args, **named)
        return loop_calls.create_unix_connection(route.dialer, *args, **named)

    def create_datagram_endpoint(self, *args: Any, **named: Any) -> Any:
        route, own = self._route, self._own["create_datagram_endpoint"]
        given = dict(zip(("protocol_factory", "local_addr", "remote_addr"), args, strict=False))
        if (
            route is None
            or named.get("sock") is not None
            or not (given | named).get("remote_addr")
            or named.get("reuse_address")  # which the loop refuses
        ):
            return own(*args, **named)
        named.pop("reuse_address", None)
        return loop_calls.create_datagram_endpoint(self._loop, route.dialer, own, *args, **named)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        address = await self._asked(sock, address)
        await self._own["sock_connect"](sock, address)

    async def sock_sendto(self, sock: socket.socket, data: Any, address: Any) -> int:
        address = await self._asked(sock, address)
        sent: int = await self._own["sock_sendto"](sock, data, address)
        return sent

    async def _asked(self, sock: socket.socket, address: Any) -> Any:
        """The address, resolved and permitted if there is a policy."""
        route = self._route
        if route is None or route.dialer.permit is None:
            return address
        return await loop_calls.permitted(
            self._loop, route.dialer, address, sock.family, sock.type, sock.proto
        )


_METHODS: Final = (
    *("create_connection", "create_unix_connection", "create_datagram_endpoint"),
    *("sock_connect", "sock_sendto"),
)


def _switch_of(loop: asyncio.AbstractEventLoop) -> Switch:
    """The one that is in place, or a new one."""
    there = getattr(getattr(loop, "create_connection", None), "__self__", None)
    return there if isinstance(there, Switch) else Switch(loop)


def _has_peer(_factory: Any = None, *args: Any, **named: Any) -> bool:
    """Whether there is something to connect to; what there is to say otherwise, the loop says."""
    given = (*args, named.get("host"), named.get("port"), named.get("path"))
    return any(each is not None for each in given)
