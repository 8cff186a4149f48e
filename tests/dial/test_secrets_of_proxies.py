"""N4: what a failing dial leaves has no login in it, whatever a proxy of HTTP or a chain did."""

from __future__ import annotations

import json
import pickle
import traceback
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from support.fake_proxy import (
    BOUND,
    CLOSE,
    HEAD,
    HOLD,
    LOGIN,
    RESET,
    FakeProxy,
    Forward,
    Secure,
    socks5_request,
)
from support.tls import Certificates

from aconnect import ConnectError, Dialer, Proxy, Report, open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

LONG = 30  # seconds; what takes as long has failed
TARGET = ("db.example", 5432)
CANARY = "c4n4ry-s3cret"
SECRETS = [CANARY, b64encode(f"{CANARY}:{CANARY}".encode()).decode()]
CODES = [101, 302, 400, 403, 404, 405, 407, 429, 500, 501, 502, 503, 504, 599]
ECHO_OF_IT = f"{SECRETS[0]} {SECRETS[1]}".encode()
ENDS: dict[str, list[Any]] = {
    **{str(code): [HEAD, b"HTTP/1.1 %d x\r\n\r\n" % code, CLOSE] for code in CODES},
    "says it again": [HEAD, b"HTTP/1.1 502 %b\r\n\r\n%b" % (ECHO_OF_IT, ECHO_OF_IT), CLOSE],
    "garbage": [HEAD, b"SSH-2.0-x\r\n", CLOSE],
    "no HTTP": [HEAD, b"HTTP/1.1 abc\r\n\r\n", CLOSE],
    "no end": [HEAD, b"HTTP/1.1 200 " + b"x" * 17000, CLOSE],
    "hung up": [HEAD, CLOSE],
    "reset": [HEAD, RESET],
    "half": [HEAD, b"HTTP/1.1", CLOSE],
    "not even asked": [CLOSE],
}
BEHIND: list[Any] = [
    *LOGIN,
    3 + 2 * len(CANARY),
    b"\x01\x00",
    socks5_request("next.example"),
    BOUND,
]
OF_SOCKS: dict[str, list[Any]] = {
    "a login": [3 + 1, b"\x05\xff"],
    "another login": [*LOGIN, 3 + 2 * len(CANARY), b"\x01\x01"],
    "refused": [
        *LOGIN,
        3 + 2 * len(CANARY),
        b"\x01\x00",
        socks5_request(TARGET[0]),
        b"\x05\x05\x00",
    ],
}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(scope="module")
def pem(certificates: Certificates) -> Iterator[str]:
    with trustme.Blob(certificates.of()).tempfile() as path:
        yield path


def secret(value: object) -> bool:
    return any(each in str(value) for each in SECRETS)


async def leaves_nothing(chain: Any, caplog: Any, recwarn: Any) -> None:
    """Dial in vain, and look at all that there is of it."""
    report = Report()
    dialer = Dialer(proxy=chain)
    with pytest.raises(ConnectError) as caught:
        await open_stream(TARGET, dialer=dialer, timeout=LONG, report=report)
    error = caught.value
    cause = error.__cause__
    told = [
        *(repr(error), str(error), repr(error.args), repr(error.attempts), repr(cause)),
        *(str(report), repr(report.events), repr(report.to_dict()), repr(report)),
        *(report.draw(200), repr(dialer), str(chain), caplog.text),
        *(str(each.message) for each in recwarn),
        "".join(traceback.format_exception(error)),
        repr({**vars(error), **vars(cause or error)}),
        *map(repr, (pickle.dumps(report), *map(pickle.dumps, report.events))),
        json.dumps(report.to_dict(), default=str),
    ]
    assert [each for each in told if secret(each)] == []
    assert shown_by(error) == set()


def shown_by(error: BaseException) -> set[str]:
    """The files of frames whose variables show it."""
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    files: set[str] = set()
    left = [whole]
    while left:
        each = left.pop()
        left += [other for other in (each.__cause__, each.__context__) if other is not None]
        files |= {frame.filename for frame in each.stack if secret(frame.locals)}
    return files


def test_what_is_looked_for_is_found() -> None:
    def connect(password: str) -> None:
        raise ConnectError(5, password[:0])

    with pytest.raises(ConnectError) as caught:
        connect(CANARY)
    assert shown_by(caught.value) == {__file__}


def proxy_to(scheme: str, address: Any, certificates: Certificates) -> Proxy:
    return Proxy(
        scheme,
        address,
        username=CANARY,
        password=CANARY,
        ssl=certificates.client() if scheme == "https" else None,
        server_hostname="127.0.0.1" if scheme == "https" else None,
    )


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_n4_of_a_proxy(
    scheme: str, end: str, certificates: Certificates, pem: str, caplog: Any, recwarn: Any
) -> None:
    script = [*([Secure(pem)] if scheme == "https" else []), *ENDS[end]]
    with FakeProxy(script) as proxy:
        await leaves_nothing(proxy_to(scheme, proxy.address, certificates), caplog, recwarn)


@pytest.mark.slow
@pytest.mark.parametrize("end", [*ENDS, *OF_SOCKS])
async def test_n4_of_a_chain(
    end: str, certificates: Certificates, caplog: Any, recwarn: Any
) -> None:
    scheme = "http" if end in ENDS else "socks5h"
    with FakeProxy([*BEHIND, *(ENDS | OF_SOCKS)[end]]) as proxy:
        first = proxy_to("socks5h", proxy.address, certificates)
        chain = (first, proxy_to(scheme, "next.example:1", certificates))
        await leaves_nothing(chain, caplog, recwarn)


OVER_TLS = [
    *((first, "https", end) for first in ("socks5h", "https") for end in ENDS),
    *(("https", "http", end) for end in ENDS),
    *(("https", "socks5h", end) for end in OF_SOCKS),
]


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second", "end"), OVER_TLS)
async def test_n4_of_a_chain_over_tls(
    first: str,
    second: str,
    end: str,
    certificates: Certificates,
    pem: str,
    caplog: Any,
    recwarn: Any,
) -> None:
    of_second = [*([Secure(pem)] if second == "https" else []), *(ENDS | OF_SOCKS)[end]]
    of_first = BEHIND if first == "socks5h" else [Secure(pem), HEAD, b"HTTP/1.1 200 OK\r\n\r\n"]
    with FakeProxy(of_second) as other:
        with FakeProxy([*of_first, Forward(other.address)]) as proxy:
            chain = (
                proxy_to(first, proxy.address, certificates),
                proxy_to(second, "next.example:1", certificates),
            )
            await leaves_nothing(chain, caplog, recwarn)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["expired", "no TLS", "hung up"])
async def test_n4_of_a_second_proxy_whose_tls_is_no_good(
    kind: str, certificates: Certificates, pem: str, tmp_path: Path, caplog: Any, recwarn: Any
) -> None:
    script: list[Any] = [b"HTTP/1.1 400 Bad\r\n\r\n", HOLD] if kind == "no TLS" else [1, CLOSE]
    if kind == "expired":
        path = tmp_path / "expired.pem"
        path.write_bytes(certificates.of("expired"))
        script = [Secure(str(path))]
    of_first = [Secure(pem), HEAD, b"HTTP/1.1 200 OK\r\n\r\n"]
    with FakeProxy(script) as other, FakeProxy([*of_first, Forward(other.address)]) as proxy:
        chain = (
            proxy_to("https", proxy.address, certificates),
            proxy_to("https", "next.example:1", certificates),
        )
        await leaves_nothing(chain, caplog, recwarn)


async def test_n4_of_a_certificate_that_is_no_good(
    certificates: Certificates, caplog: Any, recwarn: Any
) -> None:
    with trustme.Blob(certificates.of("expired")).tempfile() as path:
        with FakeProxy([Secure(path)]) as proxy:
            chain = proxy_to("https", proxy.address, certificates)
            await leaves_nothing(chain, caplog, recwarn)
