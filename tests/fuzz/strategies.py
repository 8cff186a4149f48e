"""Strategies of hypothesis that begin where the corpus has got to."""

from __future__ import annotations

from typing import Any

from fuzz.targets import corpus
from hypothesis import strategies as st

__all__ = ["changed_inputs"]


def changed_inputs(target: str) -> st.SearchStrategy[bytes]:
    """Inputs of the corpus, with a part changed, and one after the other."""
    kept = st.sampled_from([path.read_bytes() for path in corpus(target)])

    @st.composite
    def changed(draw: Any) -> bytes:
        data: bytes = draw(kept)
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, len(data)))
        part: bytes = draw(st.binary(max_size=8) | kept)
        return data[:start] + part + data[end:]

    return changed()
