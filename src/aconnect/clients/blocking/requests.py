"""requests over connections of a dialer's.

Rules:

* An adapter is mounted for a prefix of URLs, and redirects look for one anew: it takes one for
  ``http://`` and one for ``https://`` to have all of a session.
* urllib3 is what connects, and is told how by `aconnect.clients.blocking.urllib3`.
* What does not go through a dialer is refused, for a dialer may have a policy.

Source: `requests.adapters.HTTPAdapter`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...addresses.redacting import redacted
from ...explanations.extras import not_installed
from ..generic.pooled import POOLED, pooled

try:
    from requests import Session
    from requests.adapters import HTTPAdapter
    from requests.exceptions import InvalidProxyURL

    from .urllib3 import pool_classes
except ImportError as _error:
    raise ImportError(not_installed("requests", "requests")) from _error

if TYPE_CHECKING:
    import os

    from ...dial.dialer import Dialer
    from ...sockets.option import Keepalive

__all__ = ["AConnectAdapter", "session"]


class AConnectAdapter(HTTPAdapter):
    """Makes the connections of a `requests.Session`: ``session.mount("https://", ...)``.

    Args:
        dialer: what to dial with; by default a `Dialer` without options.
        keepalive: TCP's keepalive; by default that of the dialer, or else after 60 seconds of
            silence, each 60 seconds, five times.  None for the system's default, which is none.
        uds: the path of a unix socket to connect to, whatever the host of a URL.
        options: all others of requests' own: ``pool_connections``, ``pool_maxsize``,
            ``max_retries``, ``pool_block``.

    Raises:
        TypeError, ValueError: an argument is invalid.

    The first of two seconds of a request's ``timeout`` is for the name and all addresses, and
    again for TLS.

    What a request raises when there is no connection is requests' own:

    * `requests.ConnectTimeout` for a `ConnectTimeout`,
    * `requests.ConnectionError` for any other.

    The `ConnectError` is ``error.args[0].reason.__cause__``.

    With a proxy, it is the proxy that is dialled, and that a policy is asked about.  A proxy that
    speaks SOCKS is a `requests.exceptions.InvalidProxyURL`: it would not be dialled.
    """

    # What is pickled.
    __attrs__: list[str] = [*HTTPAdapter.__attrs__, "_dialer", "_uds"]  # noqa: RUF012

    def __init__(
        self,
        *,
        dialer: Dialer | None = None,
        keepalive: Keepalive | None = POOLED,
        uds: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        self._dialer = pooled(dialer, keepalive)
        self._uds = uds
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._classes(self._uds)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        if proxy.lower().startswith("socks"):
            raise InvalidProxyURL(
                f"requests would connect to {redacted(proxy)!r} itself, without the dialer: use "
                "Dialer(proxy=...)"
            )
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._classes(None)
        return manager

    def _classes(self, uds: str | os.PathLike[str] | None) -> Any:
        return pool_classes(self._dialer, self._dialer.keepalive, uds)


def session(
    *, dialer: Dialer | None = None, keepalive: Keepalive | None = POOLED, **options: Any
) -> Session:
    """A `requests.Session` whose connections a `Dialer` makes, those of redirects included.

    It ignores the environment: no proxy, with which a policy would be asked about the proxy
    alone, no ``REQUESTS_CA_BUNDLE`` and no ``.netrc``.  Set ``verify`` and ``auth`` yourself.

    Args:
        dialer, keepalive, options: as for `AConnectAdapter`.
    """
    made = Session()
    made.trust_env = False
    for scheme in ("https://", "http://"):
        made.mount(scheme, AConnectAdapter(dialer=dialer, keepalive=keepalive, **options))
    return made
