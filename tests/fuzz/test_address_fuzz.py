"""The targets of addresses, driven by hypothesis: any bytes, and changed inputs of the corpus."""

from __future__ import annotations

from fuzz.strategies import changed_inputs
from fuzz.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

PARTS = st.sampled_from(
    [b"\0", b"\xff", b" ", b"127", b"0x7f", b"0177", b"4294967295", b"1", b".", b":", b"::", b"%"]
    + [b"[", b"]", b"fe80", b"ffff", b"lo", b"?flowinfo=", b"unix:", b"tcp://", b"udp://", b"@"]
    + [
        text.encode()
        for text in ("\uff11", "\u3002", "\uff0e", "\u0661", "\u212a", "\xdf", "\xad")
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | changed_inputs("address"))
def test_any_text(data: bytes) -> None:
    TARGETS["address"](data)


@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS, max_size=8).map(b"".join), st.sampled_from([b"", b":80", b"]:80"]))
def test_what_c_libraries_take_for_an_address(host: bytes, port: bytes) -> None:
    TARGETS["address"](host + port)
    TARGETS["address"](b"[" + host + port)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | changed_inputs("results"))
def test_any_results(data: bytes) -> None:
    TARGETS["results"](data)
