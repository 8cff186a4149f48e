"""What comes before a dial: whether its names are permitted, and where it goes instead.

Rules:

* The policy for names is asked about what the caller wrote, once for each host of each dial,
  before anything is looked up, and before ``connect_to`` leads elsewhere.
* It is asked about literal addresses too, as text: who keeps to some domains does not mean that an
  address will do.  What has no host (unix and VSOCK addresses, lists of getaddrinfo() results) is
  for the policy for addresses alone.
* What raises, and what answers neither True nor False, does not permit it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..addresses.redirects import canonical
from ..addresses.target import Target
from ..errors.foreign import words

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..addresses.redirects import Redirects

__all__ = ["Entrance"]


class Entrance:
    """The entrance of a dialer that has ``permit_name`` or ``connect_to``.

    Args:
        permit_name: is asked about each host; None permits all.
        redirects: where to connect instead; None for nowhere.
    """

    def __init__(
        self, permit_name: Callable[[str], bool] | None, redirects: Redirects | None
    ) -> None:
        self._permit_name = permit_name
        self._redirects = redirects

    def admit(self, target: Target) -> Target:
        """What is to be dialled; parts that are not permitted say why."""
        refusals: dict[int, str] = {}
        if self._permit_name is not None:
            for rank, part in enumerate(target.parts):
                refused = self._refusal(self._permit_name, part)
                if refused:
                    refusals[rank] = refused
        if self._redirects is not None:
            target = self._redirects.of(target)
        if not refusals:
            return target
        parts = [
            part.refused_for(refusals[rank]) if rank in refusals else part
            for rank, part in enumerate(target.parts)
        ]
        if len(parts) == 1:
            return parts[0]
        return Target(target.address, None, target.text, tuple(parts))

    def _refusal(self, permit: Callable[[str], bool], part: Target) -> str:
        """Why a part is not permitted; empty if it is."""
        if part.host is None:
            return ""
        name = canonical(part.host)
        try:
            answer = permit(name)
        except Exception as error:
            return f"permit_name failed: {type(error).__name__}: {words(error)}"
        if answer is True:
            return ""
        if answer is False:
            return f"permit_name does not permit {name}"
        return f"permit_name must answer True or False, not {answer!r}"
