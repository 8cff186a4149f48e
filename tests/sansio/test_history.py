"""What earlier dials have shown: H1 to H6 of the rules, as tables."""

from __future__ import annotations

from socket import AF_INET, AF_INET6

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aconnect.sansio.history import Observed, RoundTrip, by_round_trip

HOME, OFFICE = "home", "office"


def trip(*seconds: float) -> RoundTrip:
    made = RoundTrip()
    for each in seconds:
        made.add(each)
    return made


class TestRoundTrip:
    def test_nothing_is_known_at_first(self) -> None:
        assert (trip().smoothed, trip().delay) == (None, None)

    @pytest.mark.parametrize(
        ("seconds", "smoothed", "delay"),
        [
            ([0.1], 0.1, 0.1 + 4 * 0.05),
            ([0.1, 0.1], 0.1, 0.1 + 4 * 0.0375),
            ([0.1, 0.2], 0.1125, 0.1125 + 4 * 0.0625),
            ([0.01], 0.01, 0.1),  # as politeness has it
            ([0.9], 0.9, 2.0),
        ],
    )
    def test_smoothed_as_tcp_does_it(
        self, seconds: list[float], smoothed: float, delay: float
    ) -> None:
        made = trip(*seconds)
        assert made.smoothed == pytest.approx(smoothed)
        assert made.delay == pytest.approx(delay)


class TestPlaces:
    @pytest.mark.parametrize(
        ("seconds", "places"),
        [
            ([], []),
            ([0.1, 0.1], [0, 0]),
            ([0.150, 0.1], [1, 0]),
            ([0.119, 0.1], [0, 0]),  # less than 20 %
            ([0.009, 0.001], [0, 0]),  # less than 10 ms
            ([0.020, 0.001], [1, 0]),
            ([0.010, 0.019, 0.028], [0, 0, 1]),
            ([None, 0.1], [2, 0]),  # used before unused
            ([None, None], [1, 1]),
        ],
    )
    def test_the_quicker_then_the_used(
        self, seconds: list[float | None], places: list[int]
    ) -> None:
        assert by_round_trip([None if s is None else trip(s) for s in seconds]) == places

    def test_one_whose_round_trip_is_not_known_is_used_all_the_same(self) -> None:
        assert by_round_trip([None, trip(), trip(0.5)]) == [2, 1, 0]

    @settings(deadline=None)
    @given(st.lists(st.floats(0, 0.99)))
    def test_what_differs_by_enough_is_told_apart_and_nothing_is_turned_round(
        self, seconds: list[float]
    ) -> None:
        places = by_round_trip([trip(each) for each in seconds])
        for one, place in zip(seconds, places, strict=True):
            for other, other_place in zip(seconds, places, strict=True):
                if other > one + 0.010 and other > one * 1.2:
                    assert place < other_place
                if place < other_place:
                    assert one < other


def observed(names: int = 8, expires: float = 600.0) -> Observed:
    made = Observed(names, expires)
    assert made.begin(HOME, "a", 0.0)
    return made


class TestAddresses:
    def test_known_until_it_expires_however_often_it_is_used(self) -> None:
        past = observed()
        past.connected(HOME, "x", 0.1, 0.0)
        past.connected(HOME, "x", 0.1, 500.0)
        assert past.known(HOME, "x", 599.0) is not None
        assert past.known(HOME, "x", 600.0) is None

    def test_a_connect_of_a_second_says_nothing_of_the_path(self) -> None:
        past = observed()
        past.connected(HOME, "x", 1.0, 0.0)
        known = past.known(HOME, "x", 1.0)
        assert known is not None
        assert known.smoothed is None
        past.connected(HOME, "x", 0.99, 1.0)
        assert known.smoothed == 0.99

    def test_one_that_failed_is_as_if_it_had_never_been_used(self) -> None:
        past = observed()
        past.connected(HOME, "x", 0.1, 0.0)
        past.failed(HOME, "x")
        past.failed(HOME, "x")
        assert past.known(HOME, "x", 1.0) is None

    def test_there_are_at_most_four_for_each_name(self) -> None:
        past = observed(names=2)
        for each in range(20):
            past.connected(HOME, each, 0.1, 0.0)
        assert sum(past.known(HOME, each, 1.0) is not None for each in range(20)) == 8

    def test_nothing_of_one_network_counts_in_another_and_four_are_kept(self) -> None:
        past = observed()
        for place in (HOME, OFFICE, "train", "telephone"):
            past.begin(place, "a", 0.0)
            past.connected(place, place, 0.1, 0.0)
        assert past.known(HOME, OFFICE, 1.0) is None
        past.begin(HOME, "a", 1.0)
        past.begin("hotel", "a", 1.0)
        assert past.known(HOME, HOME, 1.0) is not None
        assert past.known(OFFICE, OFFICE, 1.0) is None

    def test_clear(self) -> None:
        past = observed()
        past.connected(HOME, "x", 0.1, 0.0)
        past.family_silent(HOME, "a", AF_INET6, 0.0)
        past.clear()
        assert past.known(HOME, "x", 1.0) is None
        assert past.avoided(HOME, "a", 1.0) is None


class TestFamilies:
    def test_one_that_was_silent_is_avoided_for_the_name(self) -> None:
        past = observed()
        past.family_silent(HOME, "a", AF_INET6, 0.0)
        assert past.avoided(HOME, "a", 1.0) == AF_INET6
        assert past.avoided(HOME, "b", 1.0) is None
        assert past.avoided(OFFICE, "a", 1.0) is None
        assert past.avoided(HOME, "a", 600.0) is None

    def test_the_other_one_takes_its_place(self) -> None:
        past = observed()
        past.family_silent(HOME, "a", AF_INET6, 0.0)
        past.family_silent(HOME, "a", AF_INET, 0.0)
        assert past.avoided(HOME, "a", 1.0) == AF_INET

    def test_after_three_names_for_the_network(self) -> None:
        past = observed()
        for count, name in enumerate(["a", "b", "b", "c"]):
            assert past.avoided(HOME, "d", 1.0) is None
            past.family_silent(HOME, name, AF_INET6, count * 100.0)
        assert past.avoided(HOME, "d", 400.0) == AF_INET6
        assert past.avoided(OFFICE, "d", 400.0) is None
        assert past.avoided(HOME, "d", 600.0) is None  # two of them are left

    def test_a_success_clears_both(self) -> None:
        past = observed()
        for name in "abc":
            past.family_silent(HOME, name, AF_INET6, 0.0)
        past.family_works(HOME, "a", AF_INET, 1.0)
        assert past.avoided(HOME, "a", 1.0) == past.avoided(HOME, "d", 1.0) == AF_INET6
        past.family_works(HOME, "a", AF_INET6, 1.0)
        assert past.avoided(HOME, "a", 1.0) is past.avoided(HOME, "d", 1.0) is None
        assert past.avoided(HOME, "b", 1.0) == AF_INET6

    def test_where_neither_works_neither_is_avoided(self) -> None:
        past = observed()
        for name in "abc":
            past.family_silent(HOME, name + "6", AF_INET6, 0.0)
            past.family_silent(HOME, name + "4", AF_INET, 0.0)
        assert past.avoided(HOME, "d", 1.0) is None

    def test_names_by_the_dozen_take_no_room(self) -> None:
        past = observed(names=4)
        for each in range(100):
            past.family_silent(HOME, str(each), AF_INET6, float(each))
        assert past.avoided(HOME, "new", 100.0) == AF_INET6


class TestIgnored:
    def test_once_in_the_time_that_it_lasts(self) -> None:
        past = Observed(8, 600.0)
        moments = [0.0, 1.0, 599.0, 600.0, 601.0, 1199.0, 1200.0, 9000.0, 9001.0]
        assert [past.begin(HOME, "a", moment) for moment in moments] == [
            *(True, True, True, False, True, True, False, False, True)
        ]

    def test_each_name_by_itself(self) -> None:
        past = Observed(8, 600.0)
        assert past.begin(HOME, "a", 0.0)
        assert past.begin(HOME, "b", 300.0)
        assert not past.begin(HOME, "a", 700.0)
        assert past.begin(HOME, "b", 700.0)
        assert past.begin(OFFICE, "a", 700.0)
