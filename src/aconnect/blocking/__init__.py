"""Connecting without an event loop: calls that block, over the same dialer, race and errors."""

from .calls import connect as connect
from .calls import create_connection as create_connection
from .calls import open_tls as open_tls

__all__ = ["connect", "create_connection", "open_tls"]
