"""Proxies by name: as values, as text, and as the environment has them.

Rules:

* A proxy is checked when it is made; nothing is looked up, and nothing is connected to.
* Who a proxy is told we are is in no repr, no text and no error.
* The environment is read when it is asked for, and by nobody else.
"""

from .environment import from_environment as from_environment
from .text import parse_proxy as parse_proxy

__all__ = ["from_environment", "parse_proxy"]
