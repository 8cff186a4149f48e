"""What is remembered, for how long, and what goes when there is no room."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aconnect.sansio.memory import Memory, Recent


def test_fresh_then_stale_then_gone() -> None:
    memory: Memory[str, int] = Memory(4)
    memory.put("a", 1, now=10.0, fresh_for=5.0, stale_for=2.0)
    entry = memory.get("a", 16.5)
    assert entry == (1, 15.0, 17.0)
    assert memory.get("a", 17.0) is None
    assert not len(memory)
    assert memory.get("b", 10.0) is None


def test_what_is_put_takes_the_place_of_what_was_there() -> None:
    memory: Memory[str, int] = Memory(1)
    for value in range(3):
        memory.put("a", value, now=value, fresh_for=5.0)
    entry = memory.get("a", 6.9)
    assert entry is not None
    assert entry.value == 2
    assert len(memory) == 1


def test_forget_and_clear() -> None:
    memory: Memory[str, int] = Memory(4)
    for key in "abc":
        memory.put(key, 1, now=0.0, fresh_for=5.0)
    memory.forget("a")
    memory.forget("a")
    assert [memory.get(key, 1.0) is None for key in "abc"] == [True, False, False]
    memory.clear()
    assert not len(memory)


def test_what_is_gone_makes_room_first_then_what_was_not_used_for_longest() -> None:
    memory: Memory[str, int] = Memory(3)
    memory.put("short", 1, now=0.0, fresh_for=1.0)
    memory.put("a", 1, now=0.0, fresh_for=9.0)
    memory.put("b", 1, now=0.0, fresh_for=9.0)
    memory.get("a", 0.5)
    memory.get("short", 0.5)  # used last, and gone all the same
    memory.put("c", 1, now=2.0, fresh_for=9.0)
    assert [memory.get(key, 2.0) is not None for key in ("short", "a", "b", "c")] == [
        *(False, True, True, True)
    ]
    memory.get("a", 2.0)
    memory.put("d", 1, now=2.0, fresh_for=9.0)
    assert [memory.get(key, 2.0) is not None for key in "abcd"] == [True, False, True, True]


def test_what_was_put_again_does_not_go_when_its_first_end_comes() -> None:
    memory: Memory[str, int] = Memory(2)
    memory.put("a", 1, now=0.0, fresh_for=1.0)
    memory.put("a", 2, now=0.0, fresh_for=9.0)
    memory.put("b", 1, now=0.0, fresh_for=9.0)
    memory.get("a", 2.0)
    memory.put("c", 1, now=2.0, fresh_for=9.0)
    assert memory.get("a", 2.0) is not None
    assert memory.get("b", 2.0) is None


def test_it_does_not_grow() -> None:
    memory: Memory[int, int] = Memory(8)
    for number in range(2000):
        memory.put(number % 11, number, now=0.0, fresh_for=number % 7)
    assert len(memory) <= 8
    assert len(memory._ends) <= 2 * 8 + 64


@pytest.mark.parametrize("entries", [0, -1])
def test_there_is_room_for_one_at_least(entries: int) -> None:
    with pytest.raises(ValueError, match=f"entries must be at least 1, not {entries}"):
        Memory(entries)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "forget"]),
        st.integers(0, 6),
        st.integers(0, 4),  # fresh for
        st.integers(0, 4),  # and stale for
        st.integers(0, 2),  # seconds that pass
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 5))
def test_as_a_simple_one_would(steps: list[Any], most: int) -> None:
    """Beside a list of (key, value, fresh until, stale until), in the order of use."""
    memory: Memory[int, int] = Memory(most)
    simple: list[Any] = []
    now = 0
    for number, (what, key, fresh, stale, passes) in enumerate(steps):
        now += passes
        kept = [each for each in simple if each[0] != key]
        (found,) = [each for each in simple if each[0] == key] or [None]
        if what == "put":
            if found is None and len(simple) >= most:
                kept = [each for each in kept if each[3] > now]
                kept = kept[len(kept) >= most :]
            simple = [*kept, (key, number, now + fresh, now + fresh + stale)]
            memory.put(key, number, now, fresh, stale)
        elif what == "forget":
            simple = kept
            memory.forget(key)
        else:
            alive = found is not None and found[3] > now
            simple = [*kept, found] if alive else kept
            assert memory.get(key, now) == (found[1:] if alive else None)
        assert len(memory) == len(simple) <= most


def test_forget_all_that_belong_together() -> None:
    memory: Memory[str, int] = Memory(4)
    for key in ("a1", "a2", "b1"):
        memory.put(key, 1, now=0.0, fresh_for=5.0)
    memory.forget_all(lambda key: key[0] == "a")
    assert [memory.get(key, 1.0) is None for key in ("a1", "a2", "b1")] == [True, True, False]


def test_the_networks_that_have_been_seen_last() -> None:
    recent = Recent(2)
    assert [[*recent.see(each)] for each in "abacb"] == [[], [], [], ["b"], ["a"]]
