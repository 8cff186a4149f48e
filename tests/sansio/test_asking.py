"""Which name server is asked, and when the next one is."""

from __future__ import annotations

from math import inf

from aconnect.sansio.asking import Asking, Servers


def test_servers_are_asked_in_their_order_and_round_after_round() -> None:
    asking = Asking([0, 1], 2, 5.0, Servers(2))
    assert [asking.next(0.0) for _ in range(5)] == [0, 1, 0, 1, None]
    assert asking.tries == [0, 1, 0, 1]


def test_the_next_is_asked_as_well_when_one_is_silent_for_a_second() -> None:
    asking = Asking([0, 1], 1, 5.0, Servers(2))
    asking.next(10.0)
    assert asking.wake_at == 11.0
    assert asking.time_passed(10.9) == ([], False)
    assert asking.time_passed(11.0) == ([], True)
    asking.next(11.0)
    assert asking.wake_at == 15.0  # nobody is left to be asked
    assert asking.time_passed(15.0) == ([0], False)
    assert not asking.over
    assert asking.time_passed(16.0) == ([1], False)
    assert asking.over
    assert asking.wake_at == inf


def test_the_next_is_asked_at_once_when_the_last_has_failed() -> None:
    asking = Asking([0, 1, 2], 1, 5.0, Servers(3))
    asking.next(0.0)
    assert asking.ended(0, answered=True)
    asking.next(0.0)
    asking.next(1.0)
    assert not asking.ended(1, answered=True)  # the one that was asked after it may yet answer
    assert asking.ended(2, answered=False)
    assert not asking.ended(2, answered=False)
    assert asking.over


def test_who_has_answered_is_not_asked_again() -> None:
    asking = Asking([0, 1], 2, 5.0, Servers(2))
    asking.next(0.0)
    asking.ended(0, answered=True)
    assert [asking.next(0.0) for _ in range(3)] == [1, 1, None]


def test_patience_is_that_of_the_last_answers() -> None:
    servers = Servers(2)
    assert servers.patience(0, 5.0) == 1.0
    assert servers.patience(0, 0.5) == 0.5
    servers.answered(0, 0.1)
    assert servers.patience(0, 5.0) == 0.5
    for _ in range(8):
        servers.answered(0, 0.001)
    assert servers.patience(0, 5.0) == 0.25
    servers.answered(0, 100.0)
    assert servers.patience(0, 5.0) == 5.0
    assert servers.patience(1, 5.0) == 1.0


def test_who_let_a_question_pass_comes_last_for_half_a_minute() -> None:
    servers = Servers(3)
    servers.failed(0, 100.0)
    assert servers.order(129.9) == [1, 2, 0]
    assert servers.order(130.0) == [0, 1, 2]
    servers.failed(1, 130.0)
    servers.answered(1, 0.1)
    assert servers.order(131.0) == [0, 1, 2]


def test_a_step_further_each_time() -> None:
    """And who comes last does so wherever it begins."""
    servers = Servers(3)
    orders = [servers.order(0.0, servers.turn()) for _ in range(4)]
    assert orders == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]
    servers.failed(1, 0.0)
    assert servers.order(1.0, servers.turn()) == [2, 0, 1]


def test_who_does_not_take_edns_is_remembered_for_ten_minutes() -> None:
    servers = Servers(2)
    servers.has_no_edns(1, 0.0)
    assert [servers.knows_edns(each, 599.0) for each in (0, 1)] == [True, False]
    assert servers.knows_edns(1, 600.0)
