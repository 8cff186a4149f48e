"""What a resolver is.

Rules:

* A resolver answers in batches, as they come.  The race begins with the first that is of use.
* A batch says which family it answers for good, if it does, and whether it is sorted.
* A resolver is given a name and a port; literal addresses never reach it.
* It may also have what is not in `Resolver`, as nobody needs it: ``known(address)``, which gives
  the endpoints from memory, in their order, or None; it is called before each `resolve`, in the
  middle of a dial, and must not wait.  And ``forget(address)``, which is told that none of the
  addresses could be connected to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ..addresses.values import Endpoint, TCPAddress, UDPAddress

__all__ = ["Batch", "Resolver"]


class Batch(NamedTuple):
    """Some of the endpoints of a name.

    Attributes:
        endpoints: in order of preference; may be empty.
        answered: the address family for which nothing more will come; None for no such promise.
            An empty batch with it is a negative answer.
        sorted: whether the order is that of RFC 6724 already; if not, it is sorted.
        withdrawn: endpoints of earlier batches that are not to be tried after all.
    """

    endpoints: Sequence[Endpoint]
    answered: int | None = None
    sorted: bool = False
    withdrawn: Sequence[Endpoint] = ()


class Resolver(Protocol):
    """Anything that turns a name into endpoints."""

    def resolve(self, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
        """The endpoints of ``address``, in batches as they come; an asynchronous generator.

        It runs in a task of its own, which is cancelled when its answer is not needed any more.
        To say that there is no answer it raises `socket.gaierror`, or another OSError, or ends
        without having yielded an endpoint.

        A resolver that has answers in memory may also have a method ``known(address)``, which
        gives the list of endpoints at once, best first, or None to have `resolve` called; and a
        method ``forget(address)``, which is called when a dial has tried all addresses of a name
        in vain.  Both are called in the middle of a dial, and must not wait.
        """
