"""Which resolved addresses may be dialled at all: protection against forged requests.

A policy is any callable that takes an `Endpoint` and answers True (it may be dialled) or
False.  It is asked with each resolved endpoint just before its socket is opened, so what is
dialled is what was checked: neither the spelling of a host nor a second answer of a name
server gets around it.  Those made here can be combined with ``&``, ``|`` and ``~``.

Rules:

* What is not understood is refused: a host that is no literal address, an unknown family,
  a unix or a VSOCK address.  Every policy made here answers False to those, and so does its
  complement: ``~`` is the complement among internet addresses.
* An address is allowed in its own form only, and denied in every form in which it can be
  recognised.  An IPv4-mapped IPv6 address *is* the IPv4 address: IPv4 is what the kernel
  sends.
* What is public is looked up in `SPECIAL_NETWORKS`, never in the standard library's tables,
  which differ from one Python to the next (3.11.7, 3.12.1 and 3.13 do).  The most specific
  row decides; "not applicable" in a registry counts as no.

IPv4 addresses hidden in IPv6, and what `public_only` makes of them:

* IPv4-mapped, ::ffff:0:0/96 (RFC 4291): judged by the IPv4 address, which is what is dialled.
* NAT64, 64:ff9b::/96 (RFC 6052): judged by it.  On a network with IPv6 alone this is how
  every public IPv4 host looks.
* ISATAP, interface identifiers ::0:5efe:a.b.c.d and ::200:5efe:a.b.c.d (RFC 5214): judged by
  the IPv4 address and by the prefix, for the prefix may be anybody's.
* Local-use NAT64, 64:ff9b:1::/48 (RFC 8215): refused; it is not globally reachable, and where
  in it the IPv4 address stands is the operator's choice.
* 6to4, 2002::/16 (RFC 3056) and Teredo, 2001::/32 (RFC 4380): refused; the packet goes to
  whoever relays it, to a second address that the first one names, and nobody serves the
  public there.
* IPv4-compatible, ::/96 (RFC 4291), and SIIT, ::ffff:0:0:0/96 (RFC 2765): refused; both were
  withdrawn, and neither was ever routed.

What no table can know: this host's own public addresses, the translation prefixes that an
operator chose for itself (RFC 6052 section 2.2, RFC 5969), and what a public host does with
what it is sent.  Add ``& deny(...)`` for the first two.

Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190; as of
October 2025), the IANA IPv6 Address Space registry (RFC 4291 section 2.4), RFC 5771.
"""

from .names import NamePolicy, allow_names
from .policies import AddressPolicy, Policy, allow, deny, permits, public_only
from .special_networks import SPECIAL_NETWORKS, SpecialNetwork

__all__ = [
    "SPECIAL_NETWORKS",
    "AddressPolicy",
    "NamePolicy",
    "Policy",
    "SpecialNetwork",
    "allow",
    "allow_names",
    "deny",
    "permits",
    "public_only",
]
