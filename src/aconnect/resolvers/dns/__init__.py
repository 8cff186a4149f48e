"""A resolver that asks name servers itself; needs the extra ``dns``."""

from .resolver import DnsCache, DnsResolver

__all__ = ["DnsCache", "DnsResolver"]
