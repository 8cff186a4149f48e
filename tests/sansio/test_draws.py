"""Chance that is asked for only where there is a choice."""

from __future__ import annotations

from random import Random

from aconnect.sansio.draws import Draws


def never() -> int:
    raise AssertionError("there was nothing to draw")


def test_what_leaves_nothing_to_chance_needs_no_seed() -> None:
    draws = Draws(never)
    alone = ["only"]
    draws.shuffle(alone)
    draws.shuffle([])
    assert draws.choice(alone) == "only"
    assert draws.randint(3, 3) == 3


def test_it_draws_what_a_generator_with_the_seed_draws() -> None:
    seeds = iter([7])
    draws, random = Draws(lambda: next(seeds)), Random(7)
    ours, theirs = list(range(20)), list(range(20))
    for _ in range(3):
        draws.shuffle(ours)
        random.shuffle(theirs)
        assert ours == theirs
        assert draws.choice(ours) == random.choice(theirs)
        assert draws.randint(0, 1000) == random.randint(0, 1000)


def test_it_begins_again_with_another_seed() -> None:
    draws = Draws(lambda: 1)
    first = [draws.randint(0, 10**9) for _ in range(3)]
    draws.restart(lambda: 2)
    other = [draws.randint(0, 10**9) for _ in range(3)]
    draws.restart(lambda: 1)
    assert [draws.randint(0, 10**9) for _ in range(3)] == first != other
