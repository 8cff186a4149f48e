"""What a resolver knows without being waited for, and what it learns from a dial.

Rules:

* A resolver may have a method ``known``, which answers from memory, at once.  What it gives is
  dialled as a literal address is: without a task, and by the quick way.
* It may have a method ``forget``, which is told of a name none of whose addresses could be
  connected to, so that it looks it up anew the next time.
* Both are anybody's.  What they raise, or give that makes no sense, counts as nothing: `resolve`
  is asked then, as of a resolver that has neither.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ..resolvers.answers import check_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..addresses.target import Target
    from ..addresses.values import Endpoint
    from ..report.attempt import AttemptRecord
    from .plan import Plan

__all__ = ["forget", "recall", "wanted"]


def recall(plan: Plan, target: Target) -> tuple[Endpoint, ...] | None:
    """The endpoints of a name that the resolver knows, of the plan's family; None if it has to be
    waited for, or has none of that family.

    They are in the order of `wanted`.
    """
    if plan.known is None or not target.is_name or target.refused:
        return None
    try:
        known = plan.known(target.name)
        found = None if known is None else tuple(map(check_endpoint, known))
    except Exception:
        return None
    return wanted(plan, found or ())


def wanted(plan: Plan, found: tuple[Endpoint, ...]) -> tuple[Endpoint, ...] | None:
    """Those of the plan's family, the first of which is the one that a race begins with; None if
    there are none."""
    if plan.family != socket.AF_UNSPEC:
        found = tuple([each for each in found if each.family == plan.family])
    prefer = plan.rules.prefer
    if prefer is not None and len(found) > 1 and found[0].family != prefer:
        found = tuple(sorted(found, key=lambda each: each.family != prefer))
    return found or None


def forget(plan: Plan, parts: Iterable[Target], records: Iterable[AttemptRecord]) -> None:
    """Tell the resolver that a dial has tried all addresses of these parts in vain.

    What the policy did not permit was not tried.
    """
    if plan.forget is None or all(each.outcome == "not permitted" for each in records):
        return
    for part in parts:
        if part.is_name:
            try:
                plan.forget(part.name)
            except Exception:  # it is told for its own good
                pass
