"""psycopg, given the address that a dialer has found, as docs/how-to/blocking.md has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.servers import postgresql as running_postgresql
from support.tls import NAME, Certificates

from aconnect import AddressNotPermitted, Dialer, StaticResolver, blocking
from aconnect.policy import public_only

if TYPE_CHECKING:
    from collections.abc import Iterator

psycopg: Any = pytest.importorskip("psycopg", reason="needs psycopg, which has no wheel here")

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def postgresql() -> Iterator[int]:
    with running_postgresql(Certificates()) as port:
        yield port


def connect(host: str, port: int, dialer: Dialer) -> Any:
    with blocking.connect(host, port, timeout=5, dialer=dialer) as sock:
        address = sock.getpeername()[0]
    return psycopg.connect(host=host, hostaddr=address, port=port, user="app", dbname="postgres")


def test_the_first_address_is_dead(postgresql: int) -> None:
    resolver = StaticResolver({NAME: ["127.0.0.9", "127.0.0.1"]})
    with connect(NAME, postgresql, Dialer(resolver=resolver)) as connection:
        assert connection.info.host == NAME
        assert connection.info.hostaddr == "127.0.0.1"
        assert connection.execute("select 6 * 7").fetchone() == (42,)


def test_a_policy(postgresql: int) -> None:
    careful = Dialer(permit=public_only(), resolver=StaticResolver({NAME: ["127.0.0.1"]}))
    with pytest.raises(AddressNotPermitted):
        connect(NAME, postgresql, careful)
