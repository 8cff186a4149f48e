"""What is fuzzed: functions from bytes to nothing, by their names.

Rules:

* A target takes any bytes.  It returns if all is well, and raises if aconnect has broken a
  promise.  It knows no fuzzer, so pytest, hypothesis and atheris all drive the same ones.
* No target makes traffic, looks a name up, reads a clock or keeps a state.
* Each has a corpus, a directory of its name.  What ever made a target fail stays there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from fuzz.address_target import address, results
from fuzz.attempt_target import attempt
from fuzz.names_target import dns_message, svcb_record
from fuzz.proxy_target import http_connect, proxy_header, proxy_url, socks
from fuzz.race_target import race

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CORPUS", "TARGETS", "corpus"]

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "address": address,
    "results": results,
    "race": race,
    "attempt": attempt,
    "socks": socks,
    "http_connect": http_connect,
    "proxy_url": proxy_url,
    "proxy_header": proxy_header,
    "dns_message": dns_message,
    "svcb_record": svcb_record,
}

CORPUS: Final = Path(__file__).parent / "corpus"


def corpus(target: str) -> list[Path]:
    """The files of a target's corpus."""
    return sorted((CORPUS / target).iterdir())
