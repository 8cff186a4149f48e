"""Default contexts of TLS: kept for as long as they would be made the same.

Rules:

* Making one takes some 15 ms, which is the time to read the authorities of the system.
* What one is made from is looked at whenever it is asked for: the function and the class of `ssl`,
  in whose place programs and tests put others, and the files as they are.  If anything of it has
  changed, another is made.
* Looking takes 10 us, of which stat(2) is most.  It is done in the event loop, and waits for no
  thread: the kernel has these files at hand.
* One that could not read the authorities, as when no descriptor is left, is not kept.  OpenSSL
  does not complain of that.
* They are shared, and nobody changes them.

Source: `ssl.create_default_context`, SSL_CTX_set_default_verify_paths(3ssl).
"""

from __future__ import annotations

import os
import ssl
import sys
from functools import lru_cache
from os import stat
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["default_context"]

_PATHS: Final = ssl.get_default_verify_paths()  # what OpenSSL was built with; the rest is asked
_KEPT: Final = 4  # with and without ALPN, and what a test or a program has put in place of them


def default_context(*alpn: str) -> ssl.SSLContext:
    """The standard library's default context for clients, as it would be made now.

    Args:
        alpn: the protocols to offer (ALPN), if any.
    """
    if sys.platform == "win32":  # where the authorities are no files
        _made.cache_clear()
    try:
        return _made(
            ssl.create_default_context,
            alpn,
            ssl.SSLContext,
            os.environ.get("SSLKEYLOGFILE"),
            _authorities(),
        )
    except _NotRead as made:
        return made.context


class _NotRead(Exception):
    """There is a file of authorities, and the context has none of them."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context)
        self.context = context


@lru_cache(_KEPT)
def _made(
    make: Callable[[], ssl.SSLContext],
    alpn: tuple[str, ...],
    *looked_at: Any,  # by ``make``; the authorities are the last
) -> ssl.SSLContext:
    context = make()
    if alpn:
        context.set_alpn_protocols(list(alpn))
    (_, file), *_ = looked_at[-1]
    if file is not None and not context.cert_store_stats()["x509_ca"]:
        raise _NotRead(context)
    return context


def _authorities() -> tuple[Any, ...]:
    """The file and the directories of authorities that OpenSSL reads, as they are now."""
    file = os.environ.get(_PATHS.openssl_cafile_env, _PATHS.openssl_cafile)
    directories = os.environ.get(_PATHS.openssl_capath_env, _PATHS.openssl_capath)
    return tuple((path, _state(path)) for path in (file, *directories.split(os.pathsep)))


def _state(path: str) -> tuple[int, ...] | None:
    try:
        found = stat(path)
    except OSError:
        return None  # which is a state as well
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
