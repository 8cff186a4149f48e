"""What programs that use aconnect are tested with; aconnect itself is.

Needs nothing but the standard library, except where it says so.
"""

from __future__ import annotations

__all__: list[str] = []
