"""Where a routed loop differs from the loop itself in others' tests, and why.

The reasons are those of "A whole event loop" in docs/reference/streams.md, in short.
"""

from __future__ import annotations

from typing import Final

__all__ = ["EXPLAINED"]

_EVENTS: Final = "test.test_asyncio.test_events.*EventLoopTests"
_BASE: Final = "test.test_asyncio.test_base_events.BaseEventLoopWithSelectorTests"

EXPLAINED: Final[dict[str, list[str]]] = {
    "errors have other words": [
        f"{_EVENTS}.test_create_connection_local_addr_in_use",
        f"{_EVENTS}.test_create_server_ssl_match_failed",
        f"{_EVENTS}.test_create_server_ssl_verify_failed",
        f"{_EVENTS}.test_create_unix_server_ssl_verify_failed",
        "test.test_asyncio.*.test_create_connection_ssl_slow_handshake",
        "tests.test_tcp.Test_UV_TCPSSL.test_create_connection_ssl_slow_handshake",
    ],
    "the test has put sockets, lookups or methods of its own in the loop's place": [
        f"{_BASE}.test_create_connection_connect_err",
        f"{_BASE}.test_create_connection_connect_non_os_err_close_err",  # 3.14
        f"{_BASE}.test_create_connection_happy_eyeballs_empty_exceptions",  # 3.14
        f"{_BASE}.test_create_connection_ip_addr",
        f"{_BASE}.test_create_connection_ipv6_scope",
        f"{_BASE}.test_create_connection_multiple",
        f"{_BASE}.test_create_connection_multiple_errors",
        f"{_BASE}.test_create_connection_multiple_errors_local_addr",
        f"{_BASE}.test_create_connection_no_inet_pton",
        f"{_BASE}.test_create_connection_service_name",
        f"{_BASE}.test_create_connection_ssl_server_hostname_default",
        f"{_BASE}.test_create_connection_timeout",
        f"{_BASE}.test_create_connection_transport_error_closes_sock",  # 3.14
    ],
    "what connection_made raises goes to the caller": [
        "tests.test_tcp.Test_UV_TCP.test_tcp_handle_exception_in_connection_made",
    ],
    "on uvloop, sendto() of a datagram endpoint with a peer takes no address": [
        "tests.test_udp.Test_UV_UDP.test_create_datagram_endpoint_addrs_*",
    ],
}
"""For each reason, patterns of the names of tests."""
