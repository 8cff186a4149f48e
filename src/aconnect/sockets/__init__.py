"""Sockets: the system calls, and what is set on a socket before it connects."""
