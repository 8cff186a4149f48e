"""The race, rule by rule, on a virtual clock; and whatever happens in whatever order."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from math import inf, nan
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.virtual_race import VirtualRace, family_of, timeline

from aconnect.addresses.values import Endpoint
from aconnect.sansio.order import interleave
from aconnect.sansio.race import (
    LONGEST_DELAY,
    MAKES_ROOM_AFTER,
    SHORTEST_DELAY,
    BeginHandshake,
    Cancel,
    Command,
    Failed,
    Race,
    Rules,
    Start,
    Won,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class Scenario(NamedTuple):
    name: str
    rows: str
    expected: str
    rules: dict[str, Any] = {}  # noqa: RUF012 # of a named tuple, which nobody changes
    until: float = inf
    resolved: list[tuple[float, str]] | None = None
    ranks: int = 1
    delays: dict[str, float] | None = None

    def race(self, origin: float = 0.0) -> VirtualRace:
        return VirtualRace(
            [row for row in self.rows.split("; ") if row],
            Rules(**self.rules),
            until=self.until,
            resolved=self.resolved,
            origin=origin,
            ranks=self.ranks,
            delays=self.delays,
        )


S = Scenario
ONE_BY_ONE = {"attempt_delay": None}
TLS = {"handshake": True}
SILENT = "v6a silent; v4a silent; v6b silent; v4b silent"

SCENARIOS = [
    # ------------------------------------------------------------------------- resolution
    S(
        "R2 the first address is tried, whatever else may come",
        "v6a 30 ok",
        "0 start v6a; 30 won v6a",
        resolved=[(0, "add v6a"), (500, "add v4a")],
    ),
    S(
        "R3 IPv6 first: at once",
        "v6a silent; v4a 10 ok",
        "0 start v6a; 250 start v4a; 260 cancel v6a; 260 won v4a",
        resolved=[(0, "add v6a"), (30, "add v4a"), (30, "finished")],
    ),
    S(
        "R4 IPv4 first, IPv6 within the delay: IPv6 goes first",
        "v6a silent; v4a 10 ok",
        "30 start v6a; 280 start v4a; 290 cancel v6a; 290 won v4a",
        resolved=[(0, "add v4a"), (30, "add v6a"), (30, "finished")],
    ),
    S(
        "R4 IPv6 comes with more of IPv4",
        "v6a silent; v4a silent; v4b 10 ok",
        "30 start v6a; 280 start v4a; 530 start v4b; 540 cancel v6a; 540 cancel v4a; 540 won v4b",
        resolved=[(0, "add v4a"), (30, "add v4b v6a"), (30, "finished")],
    ),
    S(
        "R4 IPv6 comes when the delay ends",
        "v6a 10 ok; v4a silent",
        "50 start v6a; 60 won v6a",
        resolved=[(0, "add v4a"), (50, "add v6a"), (50, "finished")],
    ),
    S(
        "R4 no IPv6 within the delay: IPv4 starts, IPv6 comes after it",
        "v6a 10 ok; v4a silent; v4b silent",
        "50 start v4a; 300 start v6a; 310 cancel v4a; 310 won v6a",
        resolved=[(0, "add v4a v4b"), (60, "add v6a"), (60, "finished")],
    ),
    S(
        "R4 the delay counts from the first IPv4 address",
        "v4a 10 ok",
        "50 start v4a; 60 won v4a",
        resolved=[(0, "add v4a"), (40, "add v4b")],
    ),
    S(
        "R4 counts from the first answer, not from the start of the race",
        "v4a 10 ok",
        "80 start v4a; 90 won v4a",
        resolved=[(30, "add v4a")],
    ),
    S(
        "R4 nothing is no first answer",
        "v4a 10 ok",
        "80 start v4a; 90 won v4a",
        resolved=[(0, "add"), (30, "add v4a")],
    ),
    S(
        "R4 holds back the first start only",
        "v4a 10 refused; v4b 10 ok",
        "50 start v4a; 60 failed v4a; 60 start v4b; 70 won v4b",
        resolved=[(0, "add v4a v4b")],
    ),
    S(
        "R4 a deadline within the delay: nothing to be gained by waiting",
        "v4a 10 ok",
        "0 start v4a; 10 won v4a",
        until=30,
        resolved=[(0, "add v4a")],
    ),
    S(
        "R4 another delay",
        "v4a 10 ok",
        "200 start v4a; 210 won v4a",
        {"resolution_delay": 0.2},
        resolved=[(0, "add v4a")],
    ),
    S(
        "R4 no delay",
        "v4a 10 ok",
        "0 start v4a; 10 won v4a",
        {"resolution_delay": 0},
        resolved=[(0, "add v4a")],
    ),
    S(
        "R4 one by one, too",
        "v6a 10 refused; v4a 10 ok",
        "30 start v6a; 40 failed v6a; 40 start v4a; 50 won v4a",
        ONE_BY_ONE,
        resolved=[(0, "add v4a"), (30, "add v6a")],
    ),
    S(
        "R4 is about IPv4 alone",
        "xa 10 ok",
        "0 start xa; 10 won xa",
        resolved=[(0, "add xa")],
    ),
    S(
        "R4 another family need not wait, and then IPv4 need not",
        "v4a 10 refused; xa 10 ok",
        "20 start v4a; 30 failed v4a; 30 start xa; 40 won xa",
        resolved=[(0, "add v4a"), (20, "add xa")],
    ),
    S(
        "R4 what was held back is withdrawn: who comes first is first",
        "v6a silent; v4a silent; v4b 300 ok",
        "100 start v4b; 350 start v6a; 400 cancel v6a; 400 won v4b",
        resolved=[(0, "add v4a"), (20, "withdraw v4a"), (100, "add v4b v6a")],
    ),
    S(
        "R4 of what was held back one is withdrawn",
        "v6a silent; v4b 10 ok",
        "30 start v6a; 280 start v4b; 290 cancel v6a; 290 won v4b",
        resolved=[(0, "add v4a v4b"), (20, "withdraw v4a"), (30, "add v4c v6a")],
    ),
    S(
        "R5 IPv6 has no answer: IPv4 at once",
        "v4a 10 ok",
        "20 start v4a; 30 won v4a",
        resolved=[(0, "add v4a"), (20, "answered v6")],
    ),
    S(
        "R5 IPv6 has had no answer: IPv4 at once",
        "v4a 10 ok",
        "20 start v4a; 30 won v4a",
        resolved=[(0, "answered v6"), (20, "add v4a")],
    ),
    S(
        "R5 both have answered, IPv6 first",
        "v4a 10 ok",
        "20 start v4a; 30 won v4a",
        resolved=[(0, "answered v6"), (10, "answered v4"), (20, "add v4a")],
    ),
    S(
        "R5 that IPv4 has answered ends no waiting for IPv6",
        "v4a 10 ok",
        "50 start v4a; 60 won v4a",
        resolved=[(0, "add v4a"), (20, "answered v4")],
    ),
    S(
        "R5 nothing more will come: IPv4 at once",
        "v4a 10 ok",
        "20 start v4a; 30 won v4a",
        resolved=[(0, "add v4a"), (20, "finished")],
    ),
    S(
        "R6 one family's lookup fails",
        "v6a 10 ok",
        "20 start v6a; 30 won v6a",
        resolved=[(10, "answered v4"), (20, "add v6a"), (20, "answered v6"), (20, "finished")],
    ),
    S(
        "R6 all lookups fail",
        "",
        "20 lost",
        resolved=[(10, "answered v6"), (20, "answered v4"), (20, "finished")],
    ),
    # --------------------------------------------------- lookups that say what they await
    S(
        "R7 what is awaited holds back the first start, whatever there is",
        "v6a 10 ok",
        "50 start v6a; 60 won v6a",
        resolved=[(0, "await v6 service"), (0, "add v6a & await service")],
    ),
    S(
        "R7 once there is nothing in it, it starts",
        "v6a 10 ok",
        "20 start v6a; 30 won v6a",
        resolved=[(0, "await v6 service"), (0, "add v6a & await service"), (20, "await")],
    ),
    S(
        "R7 from the first address of any kind, once for everything",
        "v4a 10 ok; xa silent",
        "150 start v4a; 160 won v4a",
        resolved=[(0, "await v6 service"), (100, "add v4a"), (140, "add xa & await service")],
    ),
    S(
        "R7 IPv4 may be what is awaited, and nobody waits for IPv6 then",
        "v4a 10 ok",
        "0 start v4a; 10 won v4a",
        resolved=[(0, "await v4"), (0, "add v4a & await")],
    ),
    S(
        "R7 IPv4 is awaited",
        "v6a 10 refused; v4a 10 ok",
        "30 start v6a; 40 failed v6a; 40 start v4a; 50 won v4a",
        resolved=[(0, "await v4"), (0, "add v6a"), (30, "add v4a & await"), (30, "finished")],
    ),
    S(
        "R7 a family that has answered is not awaited",
        "v4a 10 ok",
        "20 start v4a; 30 won v4a",
        resolved=[(0, "await v6"), (0, "add v4a"), (20, "answered v6")],
    ),
    S(
        "R7 nothing more will come: at once",
        "v4a 10 ok",
        "20 start v4a; 30 won v4a",
        resolved=[(0, "await v6 service"), (0, "add v4a"), (20, "finished")],
    ),
    S(
        "R7 a deadline within the delay: nothing to be gained by waiting",
        "v4a 10 ok",
        "0 start v4a; 10 won v4a",
        until=30,
        resolved=[(0, "await v6 service"), (0, "add v4a")],
    ),
    S(
        "R7 holds back the first start only",
        "v4a 10 refused; v4b 10 ok",
        "50 start v4a; 60 failed v4a; 60 start v4b; 70 won v4b",
        resolved=[(0, "await v6 service"), (0, "add v4a v4b")],
    ),
    S(
        "R7 what comes meanwhile goes by its rank",
        "v4a silent; v6x 10 ok",
        "30 start v6x; 40 won v6x",
        resolved=[(0, "await v6 service"), (0, "add:0.1 v4a"), (30, "add v6x & await")],
    ),
    S(
        "R7 who prefers a family waits for that one",
        "v6a silent; v4a 10 ok",
        "30 start v4a; 40 won v4a",
        {"prefer": AF_INET},
        resolved=[(0, "await v6 service"), (0, "add v6a & await"), (30, "add v4a")],
    ),
    S(
        "R7 and for the service",
        "v4a 10 ok",
        "50 start v4a; 60 won v4a",
        {"prefer": AF_INET},
        resolved=[(0, "await v6 service"), (0, "add v4a")],
    ),
    S(
        "R7 but for no other family",
        "v4a 10 ok",
        "20 start v4a; 30 won v4a",
        {"prefer": AF_INET},
        resolved=[(0, "await v6 service"), (0, "add v4a"), (20, "await v6")],
    ),
    S(
        "R7 of several lookups each says for itself",
        "v4a silent; v6x 10 ok",
        "0 start v4a; 250 start v6x; 260 cancel v4a; 260 won v6x",
        resolved=[(0, "await:1 v6"), (0, "await"), (0, "add v4a"), (250, "add:1 v6x")],
        ranks=2,
    ),
    # ------------------------------------------------------------------------------ order
    S(
        "O2 the families take turns",
        "v6a silent; v6b silent; v6c 5 ok; v4a silent",
        "0 start v6a; 10 start v4a; 20 start v6b; 30 start v6c; "
        "35 cancel v6a; 35 cancel v4a; 35 cancel v6b; 35 won v6c",
        {"attempt_delay": 0.01},
    ),
    S(
        "O2 beginning with the family of the first address",
        "v4a silent; v4b silent; v6a silent; v6b 5 ok",
        "0 start v4a; 10 start v6a; 20 start v4b; 30 start v6b; "
        "35 cancel v4a; 35 cancel v6a; 35 cancel v4b; 35 won v6b",
        {"attempt_delay": 0.01},
    ),
    S(
        "O2 two of the first family first",
        "v6a silent; v6b silent; v6c 5 ok; v4a silent",
        "0 start v6a; 10 start v6b; 20 start v4a; 30 start v6c; "
        "35 cancel v6a; 35 cancel v6b; 35 cancel v4a; 35 won v6c",
        {"attempt_delay": 0.01, "first_family_count": 2},
    ),
    S(
        "O2 three families",
        "v6a silent; v6b 5 ok; xa silent; v4a silent",
        "0 start v6a; 10 start xa; 20 start v4a; 30 start v6b; "
        "35 cancel v6a; 35 cancel xa; 35 cancel v4a; 35 won v6b",
        {"attempt_delay": 0.01},
    ),
    S(
        "O3 duplicates are dropped",
        "v6a 20 refused; v4a 20 refused; v6b 20 refused",
        "0 start v6a; 20 failed v6a; 20 start v4a; 40 failed v4a; 40 start v6b; "
        "60 failed v6b; 60 lost",
        resolved=[
            (0, "add v6a v6a v4a"),
            (0, "add v4a v6a v6b"),
            (50, "add v6a"),
            (50, "finished"),
        ],
    ),
    # --------------------------------------------------------------------------- attempts
    S(
        "A1 starts are 250 ms apart",
        "v6a silent; v4a silent; v6b 100 ok",
        "0 start v6a; 250 start v4a; 500 start v6b; 600 cancel v6a; 600 cancel v4a; 600 won v6b",
    ),
    S("A1 the first connects before", "v6a 249 ok; v4a 1 ok", "0 start v6a; 249 won v6a"),
    S("A1 the first connects just then", "v6a 250 ok; v4a 1 ok", "0 start v6a; 250 won v6a"),
    S(
        "A1 another delay",
        "v6a silent; v4a silent; v6b 10 ok",
        "0 start v6a; 100 start v4a; 200 start v6b; 210 cancel v6a; 210 cancel v4a; 210 won v6b",
        {"attempt_delay": 0.1},
    ),
    S(
        "A2 a delay is at least 10 ms",
        "v6a silent; v4a silent; v6b 5 ok",
        "0 start v6a; 10 start v4a; 20 start v6b; 25 cancel v6a; 25 cancel v4a; 25 won v6b",
        {"attempt_delay": 0},
    ),
    S(
        "A2 a delay is at most 2 s",
        "v6a silent; v4a 5 ok",
        "0 start v6a; 2000 start v4a; 2005 cancel v6a; 2005 won v4a",
        {"attempt_delay": 60},
    ),
    S(
        "A2 one by one",
        "v6a 700 refused; v4a 700 refused; v6b 10 ok",
        "0 start v6a; 700 failed v6a; 700 start v4a; 1400 failed v4a; 1400 start v6b; "
        "1410 won v6b",
        ONE_BY_ONE,
    ),
    S(
        "A2 one by one, the first is silent",
        "v6a silent; v4a 1 ok",
        "0 start v6a; 0 stuck",
        ONE_BY_ONE,
    ),
    S(
        "A3 a failure starts the next",
        "v6a 30 refused; v4a 10 ok",
        "0 start v6a; 30 failed v6a; 30 start v4a; 40 won v4a",
    ),
    S(
        "A3 however soon it was",
        "v6a 3 refused; v4a 10 ok",
        "0 start v6a; 3 failed v6a; 3 start v4a; 13 won v4a",
    ),
    S(
        "A3 all fail at once",
        "v6a 0 refused; v4a 0 refused; v6b 0 refused",
        "0 start v6a; 0 failed v6a; 0 start v4a; 0 failed v4a; 0 start v6b; 0 failed v6b; 0 lost",
    ),
    S(
        "A3 one by one, too",
        "v6a 0 refused; v4a 0 refused; v6b 0 ok",
        "0 start v6a; 0 failed v6a; 0 start v4a; 0 failed v4a; 0 start v6b; 0 won v6b",
        ONE_BY_ONE,
    ),
    S(
        "A3 the start after counts from that",
        "v6a 100 refused; v4a silent; v6b 1 ok",
        "0 start v6a; 100 failed v6a; 100 start v4a; 350 start v6b; 351 cancel v4a; 351 won v6b",
    ),
    S(
        "A3 an older attempt fails",
        "v6a 300 refused; v4a silent; v6b 1 ok",
        "0 start v6a; 250 start v4a; 300 failed v6a; 300 start v6b; 301 cancel v4a; 301 won v6b",
    ),
    S(
        "A3 an older attempt fails right after a start",
        "v6a 255 refused; v4a silent; v6b 1 ok",
        "0 start v6a; 250 start v4a; 255 failed v6a; 255 start v6b; 256 cancel v4a; 256 won v6b",
    ),
    S(
        "A3 two failures at once start two",
        "v6a 300 refused; v4a 50 refused; v6b silent; v4b 1 ok",
        "0 start v6a; 250 start v4a; 300 failed v6a; 300 start v6b; 300 failed v4a; "
        "300 start v4b; 301 cancel v6b; 301 won v4b",
    ),
    S(
        "A3 a failure when there is nothing else to try",
        "v6a 30 refused; v4a 100 ok",
        "0 start v6a; 30 failed v6a; 30 start v4a; 130 won v4a",
    ),
    S(
        "A4 a new attempt ends no other",
        "v6a 260 ok; v4a silent",
        "0 start v6a; 250 start v4a; 260 cancel v4a; 260 won v6a",
    ),
    S(
        "A4 at the bound a start waits",
        "v6a 600 refused; v4a silent; v6b 1 ok",
        "0 start v6a; 250 start v4a; 600 failed v6a; 600 start v6b; 601 cancel v4a; 601 won v6b",
        {"max_in_flight": 2},
    ),
    S(
        "A4 at the bound a start waits, and then not again",
        "v6a 600 refused; v4a 650 refused; v6b silent; v4b 1 ok",
        "0 start v6a; 250 start v4a; 600 failed v6a; 600 start v6b; 900 failed v4a; "
        "900 start v4b; 901 cancel v6b; 901 won v4b",
        {"max_in_flight": 2},
    ),
    S(
        "A4 room for one",
        "v6a 600 refused; v4a 600 ok",
        "0 start v6a; 600 failed v6a; 600 start v4a; 1200 won v4a",
        {"max_in_flight": 1},
    ),
    S(
        "A4 the bound is six",
        "v6a 2000 refused; v6b silent; v6c silent; v6d silent; v6e silent; v6f silent; v6g 5 ok",
        "0 start v6a; 250 start v6b; 500 start v6c; 750 start v6d; 1000 start v6e; "
        "1250 start v6f; 2000 failed v6a; 2000 start v6g; 2005 cancel v6b; 2005 cancel v6c; "
        "2005 cancel v6d; 2005 cancel v6e; 2005 cancel v6f; 2005 won v6g",
    ),
    S(
        "A4 who waits for a handshake, or is in one, is in flight",
        "v6a 10 ok silent; v4a 10 ok 1500 ok; v6b 10 ok",
        "0 start v6a; 10 handshake v6a; 500 start v4a; 510 handshake v4a; 2010 cancel v6a; "
        "2010 won v4a",
        TLS | {"max_in_flight": 2},
    ),
    S(
        "A4b a full field makes room: eight are silent, and the ninth is good",
        "; ".join(f"v6{each} silent" for each in "abcdefgh") + "; v6i 50 ok",
        "0 start v6a; 250 start v6b; 500 start v6c; 750 start v6d; 1000 start v6e; "
        "1250 start v6f; 2000 room v6a; 2000 start v6g; 2250 room v6b; 2250 start v6h; "
        "2500 room v6c; 2500 start v6i; 2550 cancel v6d; 2550 cancel v6e; 2550 cancel v6f; "
        "2550 cancel v6g; 2550 cancel v6h; 2550 won v6i",
    ),
    S(
        "A4b the one that has been connecting the longest",
        "v6a 3000 refused; v4a 2300 ok; v6b 5 ok",
        "0 start v6a; 250 start v4a; 2000 room v6a; 2000 start v6b; 2005 cancel v4a; 2005 won v6b",
        {"max_in_flight": 2},
    ),
    S(
        "A4b not before it has had two seconds",
        "v6a silent; v4a silent; v6b 5 ok",
        "0 start v6a; 10 start v4a; 2000 room v6a; 2000 start v6b; 2005 cancel v4a; 2005 won v6b",
        {"max_in_flight": 2, "attempt_delay": 0.01},
    ),
    S(
        "A4b for an address that is due, and for no other",
        "v6a silent; v4a 2400 ok; v6b 5 ok",
        "0 start v6a; 2000 start v4a; 4000 room v6a; 4000 start v6b; 4005 cancel v4a; "
        "4005 won v6b",
        {"max_in_flight": 2, "attempt_delay": 2},
    ),
    S(
        "A4b not for one that is not there",
        "v6a 5000 ok; v4a silent",
        "0 start v6a; 250 start v4a; 5000 cancel v4a; 5000 won v6a",
        {"max_in_flight": 2},
    ),
    S(
        "A4b for one that comes late, at once",
        "v6a silent; v4a silent; v6b 5 ok",
        "0 start v6a; 250 start v4a; 3000 room v6a; 3000 start v6b; 3005 cancel v4a; 3005 won v6b",
        {"max_in_flight": 2},
        resolved=[(0, "add v6a v4a"), (3000, "add v6b")],
    ),
    S(
        "A4b neither one that has connected nor one in its handshake",
        "v6a 10 ok silent; v4a 20 ok silent; v6b 10 ok 10 ok",
        "0 start v6a; 10 handshake v6a; 500 start v4a; 520 handshake v4a; 9000 cancel v6a; "
        "9000 cancel v4a; 9000 expired",
        TLS | {"max_in_flight": 2},
        until=9000,
    ),
    S(
        "A4b one by one, nobody makes room",
        "v6a silent; v4a 10 ok",
        "0 start v6a; 0 stuck",
        ONE_BY_ONE,
    ),
    S(
        "A5 what has not been tried is left alone",
        "v6a 10 ok; v4a 10 ok; v6b 10 ok",
        "0 start v6a; 10 won v6a",
    ),
    S(
        "A5 the others are cancelled",
        "v6a silent; v4a silent; v6b silent; v4b 10 ok",
        "0 start v6a; 250 start v4a; 500 start v6b; 750 start v4b; "
        "760 cancel v6a; 760 cancel v4a; 760 cancel v6b; 760 won v4b",
    ),
    S("A5 connected at once", "v6a 0 ok; v4a 0 ok", "0 start v6a; 0 won v6a"),
    S(
        "A6 the handshake makes the winner",
        "v6a 10 ok 20 ok; v4a silent",
        "0 start v6a; 10 handshake v6a; 30 won v6a",
        TLS,
    ),
    S(
        "A6 a handshake fails: the next address is tried at once",
        "v6a 10 ok 100 refused; v4a 10 ok 10 ok",
        "0 start v6a; 10 handshake v6a; 110 broken v6a; 110 start v4a; 120 handshake v4a; "
        "130 won v4a",
        TLS,
    ),
    S(
        "A6 a handshake fails, however soon",
        "v6a 2 ok 3 refused; v4a 1 ok 1 ok",
        "0 start v6a; 2 handshake v6a; 5 broken v6a; 5 start v4a; 6 handshake v4a; 7 won v4a",
        TLS,
    ),
    S(
        "A6 a peer that accepts and is silent costs a delay",
        "v6a 10 ok silent; v4a 10 ok 20 ok",
        "0 start v6a; 10 handshake v6a; 500 start v4a; 510 handshake v4a; 530 cancel v6a; "
        "530 won v4a",
        TLS,
    ),
    S(
        "A6 handshakes overlap, and the first to finish wins",
        "v6a 300 ok 400 ok; v4a 100 ok 100 ok",
        "0 start v6a; 250 start v4a; 300 handshake v6a; 550 handshake v4a; 650 cancel v6a; "
        "650 won v4a",
        TLS,
    ),
    S(
        "A6 handshakes are a delay apart",
        "v6a 300 ok silent; v4a 60 ok silent; v6b 10 ok silent",
        "0 start v6a; 250 start v4a; 300 handshake v6a; 550 handshake v4a; 1000 start v6b; "
        "1010 handshake v6b; 1200 cancel v6a; 1200 cancel v4a; 1200 cancel v6b; 1200 expired",
        TLS,
        until=1200,
    ),
    S(
        "A6 one that fails lets the next go on, whichever it is",
        "v6a 300 ok 270 refused; v4a 60 ok silent; v6b 700 ok 10 ok",
        "0 start v6a; 250 start v4a; 300 handshake v6a; 550 handshake v4a; 570 broken v6a; "
        "570 start v6b; 1270 handshake v6b; 1280 cancel v4a; 1280 won v6b",
        TLS,
    ),
    S(
        "A6 who connects meanwhile waits",
        "v6a 300 ok 10 ok; v4a 20 ok 100 ok",
        "0 start v6a; 250 start v4a; 270 handshake v4a; 370 cancel v6a; 370 won v4a",
        TLS,
    ),
    S(
        "A6 of those that wait the first started is next",
        "v6a 600 ok 10 ok; v4a 330 ok 10 ok; v6b 20 ok 200 refused",
        "0 start v6a; 250 start v4a; 500 start v6b; 520 handshake v6b; 720 broken v6b; "
        "720 handshake v6a; 730 cancel v4a; 730 won v6a",
        TLS,
    ),
    S(
        "A6 the next start moves out by one delay",
        "v6a 100 ok silent; v4a 10 refused; v6b silent",
        "0 start v6a; 100 handshake v6a; 500 start v4a; 510 failed v4a; 510 start v6b; "
        "1000 cancel v6a; 1000 cancel v6b; 1000 expired",
        TLS,
        until=1000,
    ),
    S(
        "A6 a start that is overdue moves out from now",
        "v6a 400 ok silent; v6b silent",
        "0 start v6a; 400 handshake v6a; 650 start v6b; 1000 cancel v6a; 1000 cancel v6b; "
        "1000 expired",
        TLS,
        until=1000,
        resolved=[(0, "add v6a"), (450, "add v6b")],
    ),
    S(
        "A6 each handshake moves it out",
        "v6a 300 ok 100 refused; v4a 100 ok silent; v6b silent",
        "0 start v6a; 250 start v4a; 300 handshake v6a; 400 broken v6a; 400 handshake v4a; "
        "650 start v6b; 1000 cancel v4a; 1000 cancel v6b; 1000 expired",
        TLS,
        until=1000,
    ),
    S(
        "A6 the others go on, and their failures count",
        "v6a 300 ok silent; v4a 100 refused; v6b silent",
        "0 start v6a; 250 start v4a; 300 handshake v6a; 350 failed v4a; 350 start v6b; "
        "500 cancel v6a; 500 cancel v6b; 500 expired",
        TLS,
        until=500,
    ),
    S(
        "A6 two connect at once",
        "v6a 300 ok 10 refused; v4a 50 ok 10 ok",
        "0 start v6a; 250 start v4a; 300 handshake v6a; 310 broken v6a; 310 handshake v4a; "
        "320 won v4a",
        TLS,
    ),
    S(
        "A6 one connects just when a handshake fails",
        "v6a 300 ok 50 refused; v4a 100 ok 10 ok",
        "0 start v6a; 250 start v4a; 300 handshake v6a; 350 broken v6a; 350 handshake v4a; "
        "360 won v4a",
        TLS,
    ),
    S(
        "A6 one connects just when a handshake is done",
        "v6a 300 ok 50 ok; v4a 100 ok 10 ok",
        "0 start v6a; 250 start v4a; 300 handshake v6a; 350 cancel v4a; 350 won v6a",
        TLS,
    ),
    S(
        "A6 one by one",
        "v6a 10 ok 20 refused; v4a 10 ok 300 ok; v6b silent",
        "0 start v6a; 10 handshake v6a; 30 broken v6a; 30 start v4a; 40 handshake v4a; "
        "340 won v4a",
        TLS | ONE_BY_ONE,
    ),
    S(
        "A6 all handshakes fail",
        "v6a 10 ok 20 refused; v4a 10 ok 20 refused",
        "0 start v6a; 10 handshake v6a; 30 broken v6a; 30 start v4a; 40 handshake v4a; "
        "60 broken v4a; 60 lost",
        TLS,
    ),
    S(
        "A6 a failure that is final ends the race",
        "v6a 300 ok 100 final; v4a 60 ok silent; v6b 1 ok 1 ok",
        "0 start v6a; 250 start v4a; 300 handshake v6a; 400 broken v6a; 400 cancel v4a; 400 lost",
        TLS,
    ),
    S(
        "A6 a failure that is final waits for no resolver",
        "v6a 10 ok 20 final",
        "0 start v6a; 10 handshake v6a; 30 broken v6a; 30 lost",
        TLS,
        resolved=[(0, "add v6a")],
    ),
    S(
        "A6 the timeout runs anew",
        "v6a 90 ok 90 ok",
        "0 start v6a; 90 handshake v6a; 180 won v6a",
        TLS | {"attempt_timeout": 0.1},
    ),
    S(
        "A6 a handshake times out",
        "v6a 90 ok silent; v4a 10 ok 10 ok",
        "0 start v6a; 90 handshake v6a; 190 timeout v6a; 190 start v4a; 200 handshake v4a; "
        "210 won v4a",
        TLS | {"attempt_timeout": 0.1},
    ),
    S(
        "A6 a handshake is done when its time is up",
        "v6a 90 ok 100 ok",
        "0 start v6a; 90 handshake v6a; 190 won v6a",
        TLS | {"attempt_timeout": 0.1},
    ),
    S(
        "A6 the timeout does not run while one waits for its handshake",
        "v6a 390 ok silent; v4a 150 ok 290 ok",
        "0 start v6a; 250 start v4a; 390 handshake v6a; 640 handshake v4a; 790 timeout v6a; "
        "930 won v4a",
        TLS | {"attempt_timeout": 0.4},
    ),
    S(
        "A6 a handshake and an attempt time out together",
        "v6a 10 ok silent; v4a silent; v6b 10 ok silent",
        "0 start v6a; 10 handshake v6a; 20 start v4a; 30 start v6b; 40 handshake v6b; "
        "310 timeout v6a; 320 timeout v4a; 340 timeout v6b; 340 lost",
        TLS | {"attempt_timeout": 0.3, "attempt_delay": 0.01},
    ),
    S(
        "A7 a withdrawn address is not tried",
        "v6a silent; v6b 10 ok; v4a 10 ok",
        "0 start v6a; 250 start v6b; 260 cancel v6a; 260 won v6b",
        resolved=[(0, "add v6a v4a v6b"), (100, "withdraw v4a"), (100, "finished")],
    ),
    S(
        "A7 an attempt on a withdrawn address goes on",
        "v6a 100 ok; v4a 10 ok",
        "0 start v6a; 100 won v6a",
        resolved=[(0, "add v6a v4a"), (50, "withdraw v6a"), (60, "finished")],
    ),
    S(
        "A7 what is not known is not withdrawn",
        "v6a 100 ok",
        "0 start v6a; 100 won v6a",
        resolved=[(0, "add v6a"), (50, "withdraw v6b v4a")],
    ),
    S(
        "A7 all are withdrawn",
        "",
        "30 lost",
        resolved=[(0, "add v4a"), (20, "withdraw v4a"), (30, "finished")],
    ),
    S(
        "A7 the last that was left is withdrawn",
        "v6a 30 refused; v4a 10 ok",
        "0 start v6a; 30 failed v6a; 30 lost",
        resolved=[(0, "add v6a v4a"), (0, "finished"), (5, "withdraw v4a")],
    ),
    S(
        "A7 withdrawn and added again, an address is tried",
        "v6a silent; v4a 10 ok",
        "0 start v6a; 250 start v4a; 260 cancel v6a; 260 won v4a",
        resolved=[(0, "add v6a v4a"), (10, "withdraw v4a"), (20, "add v4a")],
    ),
    S(
        "A7 tried, withdrawn and added again, it is not",
        "v6a 5 refused",
        "0 start v6a; 5 failed v6a; 30 lost",
        resolved=[(0, "add v6a"), (10, "withdraw v6a"), (20, "add v6a"), (30, "finished")],
    ),
    S(
        "A7 late addresses have the turns that they have missed",
        "v4a silent; v4b silent; v4c 10 ok; v6a silent; v6b silent",
        "50 start v4a; 300 start v4b; 550 start v6a; 800 start v6b; 1050 start v4c; "
        "1060 cancel v4a; 1060 cancel v4b; 1060 cancel v6a; 1060 cancel v6b; 1060 won v4c",
        resolved=[(0, "add v4a v4b v4c"), (310, "add v6a v6b")],
    ),
    S(
        "A7 late addresses of a family that was to begin with two",
        "v6a silent; v4a silent; v6b 10 ok",
        "0 start v6a; 250 start v6b; 260 cancel v6a; 260 won v6b",
        {"first_family_count": 2},
        resolved=[(0, "add v6a"), (100, "add v4a"), (200, "add v6b")],
    ),
    S(
        "A7 the first family is the first, even when its others are withdrawn",
        "v6a silent; v4a silent; v6c 10 ok",
        "0 start v6a; 250 start v6c; 260 cancel v6a; 260 won v6c",
        {"first_family_count": 2},
        resolved=[(0, "add v6a v6b v4a"), (100, "withdraw v6b"), (200, "add v6c")],
    ),
    S(
        "A7 late, and a start is overdue",
        "v6a silent; v4a 10 ok",
        "0 start v6a; 400 start v4a; 410 cancel v6a; 410 won v4a",
        resolved=[(0, "add v6a"), (400, "add v4a")],
    ),
    S(
        "A7 late, but not so late as the next start",
        "v6a silent; v4a 10 ok",
        "0 start v6a; 250 start v4a; 260 cancel v6a; 260 won v4a",
        resolved=[(0, "add v6a"), (100, "add v4a")],
    ),
    S(
        "A7 late, and the others have failed",
        "v6a 50 refused; v4a 10 ok",
        "0 start v6a; 50 failed v6a; 100 start v4a; 110 won v4a",
        resolved=[(0, "add v6a"), (100, "add v4a")],
    ),
    S(
        "A7 late, and the others have just failed",
        "v6a 2 refused; v4a 10 ok",
        "0 start v6a; 2 failed v6a; 5 start v4a; 15 won v4a",
        resolved=[(0, "add v6a"), (5, "add v4a")],
    ),
    S(
        "A8 with nothing left to start, nothing is waited for but the attempts",
        "v6a silent; v4a silent",
        "0 start v6a; 250 start v4a; 250 stuck",
    ),
    S(
        "A8 a timeout ends one attempt alone",
        "v6a silent; v4a 200 ok",
        "0 start v6a; 250 start v4a; 300 timeout v6a; 450 won v4a",
        {"attempt_timeout": 0.3},
    ),
    S(
        "A8 a timeout is a failure: the next starts at once",
        "v6a silent; v4a 10 ok",
        "0 start v6a; 100 timeout v6a; 100 start v4a; 110 won v4a",
        {"attempt_timeout": 0.1},
    ),
    S(
        "A8 connected when the time is up",
        "v6a 100 ok",
        "0 start v6a; 100 won v6a",
        {"attempt_timeout": 0.1},
    ),
    S(
        "A8 failed when the time is up",
        "v6a 100 refused",
        "0 start v6a; 100 failed v6a; 100 lost",
        {"attempt_timeout": 0.1},
    ),
    S(
        "A8 all time out",
        "v6a silent; v4a silent",
        "0 start v6a; 5 timeout v6a; 5 start v4a; 10 timeout v4a; 10 lost",
        {"attempt_timeout": 0.005},
    ),
    S(
        "A8 a timeout makes room",
        "v6a silent; v4a silent; v6b 10 ok",
        "0 start v6a; 250 start v4a; 600 timeout v6a; 600 start v6b; 610 cancel v4a; 610 won v6b",
        {"attempt_timeout": 0.6, "max_in_flight": 2},
    ),
    S(
        "A9 each has its share",
        "v6a silent; v4a silent; v6b silent",
        "0 start v6a; 10000 timeout v6a; 10000 start v4a; 20000 timeout v4a; 20000 start v6b; "
        "30000 cancel v6b; 30000 expired",
        ONE_BY_ONE,
        until=30_000,
    ),
    S(
        "A9 at least two seconds",
        "v6a silent; v4a silent; v6b silent",
        "0 start v6a; 2000 timeout v6a; 2000 start v4a; 3000 cancel v4a; 3000 expired",
        ONE_BY_ONE,
        until=3000,
    ),
    S(
        "A9 what one leaves is for those after it",
        "v6a 1000 refused; v4a silent; v6b 10 ok",
        "0 start v6a; 1000 failed v6a; 1000 start v4a; 15500 timeout v4a; 15500 start v6b; "
        "15510 won v6b",
        ONE_BY_ONE,
        until=30_000,
    ),
    S(
        "A9 the timeout of an attempt is shorter",
        "v6a silent; v4a 10 ok",
        "0 start v6a; 5000 timeout v6a; 5000 start v4a; 5010 won v4a",
        ONE_BY_ONE | {"attempt_timeout": 5},
        until=30_000,
    ),
    S(
        "A9 the share is for the handshake, too",
        "v6a 1000 ok silent; v4a 1000 ok 4000 ok",
        "0 start v6a; 1000 handshake v6a; 5000 timeout v6a; 5000 start v4a; 6000 handshake v4a; "
        "10000 won v4a",
        TLS | ONE_BY_ONE,
        until=10_000,
    ),
    S(
        "A9 a share ends no sooner for more addresses",
        "v6a silent; v4a silent; v6b 10 ok",
        "0 start v6a; 15000 timeout v6a; 15000 start v4a; 22500 timeout v4a; 22500 start v6b; "
        "22510 won v6b",
        ONE_BY_ONE,
        until=30_000,
        resolved=[(0, "add v6a v4a"), (100, "add v6b")],
    ),
    S(
        "A9 side by side there are no shares",
        "v6a silent; v4a silent",
        "0 start v6a; 250 start v4a; 10000 cancel v6a; 10000 cancel v4a; 10000 expired",
        until=10_000,
    ),
    S(
        "A9 side by side with room for one, there are no shares",
        "v6a silent; v4a silent",
        "0 start v6a; 2000 room v6a; 2000 start v4a; 10000 cancel v4a; 10000 expired",
        {"max_in_flight": 1},
        until=10_000,
    ),
    S(
        "A10 an address with a delay of its own",
        "v6a silent; v4a silent; v6b 10 ok",
        "0 start v6a; 120 start v4a; 370 start v6b; 380 cancel v6a; 380 cancel v4a; 380 won v6b",
        delays={"v6a": 0.12},
    ),
    S(
        "A10 within 100 ms and 2 s",
        "v6a silent; v4a silent; v6b 10 ok",
        "0 start v6a; 100 start v4a; 2100 start v6b; 2110 cancel v6a; 2110 cancel v4a; "
        "2110 won v6b",
        delays={"v6a": 0.001, "v4a": 60},
    ),
    S(
        "A10 not one by one",
        "v6a silent; v4a 10 ok",
        "0 start v6a; 0 stuck",
        ONE_BY_ONE,
        delays={"v6a": 0.12},
    ),
    S(
        "A11 what is refused before anything was sent costs no time",
        "v6a 0 refused; v6b 0 refused; v6c 0 refused; v6d 0 refused; v6e 10 ok",
        "0 start v6a; 0 failed v6a; 0 start v6b; 0 failed v6b; 0 start v6c; 0 failed v6c; "
        "0 start v6d; 0 failed v6d; 0 start v6e; 10 won v6e",
    ),
    # ------------------------------------------------------------------------------- ranks
    S(
        "O4 what waits is ordered anew",
        "v6a silent; v6b silent; v6c silent; v4a 10 ok",
        "0 start v6a; 250 start v4a; 260 cancel v6a; 260 won v4a",
        resolved=[(0, "add v6a v6b v4a"), (10, "order v6c v4a v6b"), (20, "finished")],
    ),
    S(
        "O4 in the order that is given, the unknown and the tried left out",
        "v6a silent; v6b silent; v6c 10 ok",
        "0 start v6a; 250 start v6c; 260 cancel v6a; 260 won v6c",
        resolved=[(0, "add v6a v6b v6c"), (10, "order v6a v6c v6x v6b")],
    ),
    S(
        "O4 the first in order says which family begins",
        "v6a silent; v4a silent; v6b 10 ok",
        "50 start v4a; 300 start v6a; 550 start v6b; 560 cancel v4a; 560 cancel v6a; 560 won v6b",
        resolved=[(0, "await service"), (0, "add v6a v6b v4a"), (10, "order v4a v6a v6b")],
    ),
    S(
        "O4 which has no say any more when one has been started",
        "v6a 20 refused; v4a 10 ok",
        "0 start v6a; 20 failed v6a; 20 start v4a; 30 won v4a",
        resolved=[(0, "add v6a v6b v4a"), (10, "order v4a v6b"), (20, "finished")],
    ),
    S(
        "R8 added again, an address has its last place",
        "v6a silent; v6c silent; v6b 10 ok",
        "0 start v6a; 250 start v6c; 500 start v6b; 510 cancel v6a; 510 cancel v6c; 510 won v6b",
        resolved=[(0, "add v6a v6b v6c"), (10, "add v6b"), (20, "finished")],
    ),
    S(
        "R9 all of a group are started before any of the next, and of the next rank",
        "v6a silent; v6b silent; v4x silent; v6y 10 ok",
        "0 start v6a; 250 start v6b; 500 start v4x; 750 start v6y; 760 cancel v6a; "
        "760 cancel v6b; 760 cancel v4x; 760 won v6y",
        resolved=[
            (0, "await service"),
            (0, "add:0.2 v4x"),
            (0, "add:1 v6y"),
            (0, "add v6a"),
            (0, "add:0.1 v6b & await"),
            (0, "finished"),
        ],
        ranks=2,
    ),
    S(
        "R9 the failure of the last of a group starts the next at once",
        "v6a 30 refused; v4x 10 ok",
        "0 start v6a; 30 failed v6a; 30 start v4x; 40 won v4x",
        resolved=[(0, "add v6a"), (0, "add:0.7 v4x"), (0, "finished")],
    ),
    S(
        "R9 attempts go on across groups",
        "v6a 300 ok; v4x silent",
        "0 start v6a; 250 start v4x; 300 cancel v4x; 300 won v6a",
        resolved=[(0, "add v6a"), (0, "add:0.1 v4x"), (0, "finished")],
    ),
    S(
        "R8 added to another group, an address is of that one",
        "v6a silent; v6c 10 ok",
        "0 start v6a; 250 start v6c; 260 cancel v6a; 260 won v6c",
        resolved=[(0, "add v6a v6b v6c"), (10, "add:0.1 v6b"), (20, "finished")],
    ),
    S(
        "O5 all of a rank are started before any of the next",
        "v6a silent; v6b silent; v4x silent; v6x 10 ok",
        "0 start v6a; 250 start v6b; 500 start v4x; 750 start v6x; 760 cancel v6a; "
        "760 cancel v6b; 760 cancel v4x; 760 won v6x",
        resolved=[(0, "add:1 v4x v6x"), (0, "add v6a v6b"), (0, "finished")],
    ),
    S(
        "O5 the failure of the last of a rank starts the next at once",
        "v6a 30 refused; v4x 10 ok",
        "0 start v6a; 30 failed v6a; 30 start v4x; 40 won v4x",
        resolved=[(0, "add v6a"), (0, "add:1 v4x"), (0, "finished")],
    ),
    S(
        "O5 attempts go on across ranks",
        "v6a 300 ok; v4x silent",
        "0 start v6a; 250 start v4x; 300 cancel v4x; 300 won v6a",
        resolved=[(0, "add v6a"), (0, "add:1 v4x"), (0, "finished")],
    ),
    S(
        "O5 added again, an address has its last rank",
        "v6a silent; v6b silent; v6c 10 ok",
        "0 start v6a; 250 start v6c; 260 cancel v6a; 260 won v6c",
        resolved=[(0, "add v6a v6b v6c"), (10, "add:1 v6b"), (20, "finished")],
    ),
    S(
        "O5 unless it was tried",
        "v6a 30 refused; v6b 10 refused",
        "0 start v6a; 30 failed v6a; 30 start v6b; 40 failed v6b; 40 lost",
        resolved=[(0, "add v6a"), (10, "add:1 v6a v6b"), (20, "finished")],
    ),
    S(
        "O5 the families take turns in each rank",
        "v6a silent; v4a silent; v4x silent; v6x 10 ok",
        "0 start v6a; 250 start v4a; 500 start v4x; 750 start v6x; 760 cancel v6a; "
        "760 cancel v4a; 760 cancel v4x; 760 won v6x",
        resolved=[(0, "add v6a v4a"), (0, "add:1 v4x v6x"), (0, "finished")],
    ),
    S(
        "O5 a rank that comes late goes before those after it",
        "v6x silent; v6y silent; v6a 10 ok",
        "50 start v6x; 300 start v6a; 310 cancel v6x; 310 won v6a",
        resolved=[(0, "add:1 v6x v6y"), (100, "add v6a"), (100, "finished")],
        ranks=2,
    ),
    S(
        "O5 the first start waits a moment for the ranks before",
        "v6x silent; v6a 10 ok",
        "30 start v6a; 40 won v6a",
        resolved=[(0, "add:1 v6x"), (30, "add v6a")],
        ranks=2,
    ),
    S(
        "O5 and not when they have answered",
        "v6x 10 ok",
        "20 start v6x; 30 won v6x",
        resolved=[(0, "add:1 v6x"), (20, "finished:0")],
        ranks=2,
    ),
    S(
        "O5 that one rank is at its end is not the end",
        "v6a 10 refused; v6x 10 ok",
        "0 start v6a; 10 failed v6a; 100 start v6x; 110 won v6x",
        resolved=[(0, "add v6a"), (0, "finished:0"), (100, "add:1 v6x"), (100, "finished:1")],
        ranks=2,
    ),
    S(
        "O5 that all are is the end",
        "v6a 10 refused",
        "0 start v6a; 10 failed v6a; 50 lost",
        resolved=[(0, "add v6a"), (20, "finished:0"), (50, "finished:1")],
        ranks=2,
    ),
    S(
        "R4 in each rank: IPv6 has no answer in this one",
        "v4a 10 ok",
        "20 start v4a; 30 won v4a",
        resolved=[(0, "add v4a"), (10, "answered:1 v6"), (20, "answered v6")],
        ranks=2,
    ),
    S(
        "O6 IPv4 is preferred, and comes first",
        "v6a silent; v6b silent; v4a silent; v4b 10 ok",
        "0 start v4a; 250 start v6a; 500 start v4b; 510 cancel v4a; 510 cancel v6a; 510 won v4b",
        {"prefer": AF_INET},
    ),
    S(
        "O6 IPv4 alone need not wait for IPv6 then",
        "v4a 10 ok",
        "0 start v4a; 10 won v4a",
        {"prefer": AF_INET},
        resolved=[(0, "add v4a")],
    ),
    S(
        "O6 IPv6 waits for IPv4",
        "v6a silent; v4a 10 ok",
        "30 start v4a; 40 won v4a",
        {"prefer": AF_INET},
        resolved=[(0, "add v6a"), (30, "add v4a")],
    ),
    S(
        "O6 no longer than the resolution delay, and excludes none",
        "v6a 10 ok",
        "50 start v6a; 60 won v6a",
        {"prefer": AF_INET},
        resolved=[(0, "add v6a")],
    ),
    S(
        "O6 IPv6 is preferred",
        "v4a silent; v6a 10 ok",
        "0 start v6a; 10 won v6a",
        {"prefer": AF_INET6},
    ),
    # ------------------------------------------------------------------------------ always
    S(
        "I2 two connect at once: the first started wins",
        "v6a 300 ok; v4a 50 ok",
        "0 start v6a; 250 start v4a; 300 cancel v4a; 300 won v6a",
    ),
    S(
        "I2 three connect at once",
        "v6a silent; v4a 350 ok; v6b 100 ok; v4b silent",
        "0 start v6a; 250 start v4a; 500 start v6b; 600 cancel v6a; 600 cancel v6b; 600 won v4a",
    ),
    S(
        "I2 one fails and one connects",
        "v6a 300 refused; v4a 50 ok; v6b 1 ok",
        "0 start v6a; 250 start v4a; 300 failed v6a; 300 start v6b; 300 cancel v6b; 300 won v4a",
    ),
    S(
        "I1 the end of the time ends all",
        SILENT,
        "0 start v6a; 250 start v4a; 500 cancel v6a; 500 cancel v4a; 500 expired",
        until=500,
    ),
    S("I1 no time at all", SILENT, "0 expired", until=0),
    S("I1 the time ends while resolving", "", "500 expired", until=500, resolved=[]),
    S("I1 connected when the time is up", "v6a 500 ok", "0 start v6a; 500 won v6a", until=500),
    S(
        "I1 failed when the time is up, and nothing else to try",
        "v6a 200 refused",
        "0 start v6a; 200 failed v6a; 200 lost",
        until=200,
    ),
    S(
        "I1 failed when the time is up",
        "v6a 200 refused; v4a 10 ok",
        "0 start v6a; 200 failed v6a; 200 expired",
        until=200,
    ),
    S(
        "I1 an attempt's time and all time are up",
        "v6a silent",
        "0 start v6a; 200 cancel v6a; 200 expired",
        {"attempt_timeout": 0.2},
        until=200,
    ),
    S(
        "I1 connected when the time is up, and no handshake done",
        "v6a 200 ok 10 ok",
        "0 start v6a; 200 cancel v6a; 200 expired",
        TLS,
        until=200,
    ),
    S("I1 nothing to try", "", "5 lost", resolved=[(5, "finished")]),
    S("I1 nothing to try, and nothing said", "", "0 stuck", resolved=[]),
    S(
        "I1 all have failed, and more may come",
        "v6a 10 refused",
        "0 start v6a; 10 failed v6a; 90 lost",
        resolved=[(0, "add v6a"), (90, "finished")],
    ),
]

ENDS = {"won", "failed", "broken", "timeout", "room", "cancel"}
EVERY_SCENARIO = pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS]
)


@EVERY_SCENARIO
@pytest.mark.parametrize("origin", [0.0, 98_765.4321], ids=["from zero", "from an odd moment"])
def test_timeline(scenario: Scenario, origin: float) -> None:
    assert scenario.race(origin).run() == timeline(scenario.expected)


@EVERY_SCENARIO
def test_every_attempt_ends_once(scenario: Scenario) -> None:
    race = scenario.race()
    entries = race.run()
    started = [address for _, what, address in entries if what == "start"]
    ended = [address for _, what, address in entries if what in ENDS]
    assert len(set(started)) == len(started)
    if race.race.over:
        assert sorted(ended) == sorted(started)
        assert race.live == set()
    assert race.race.in_flight == len(race.live)


@EVERY_SCENARIO
def test_a_race_can_be_left_after_every_step(scenario: Scenario) -> None:
    expected = timeline(scenario.expected)
    steps = sum(1 for _ in scenario.race().steps())
    for last in range(steps):
        race = scenario.race()
        for step, _ in enumerate(race.steps()):
            if step == last:
                break
        assert race.timeline == expected[: len(race.timeline)]
        started = [address for _, what, address in race.timeline if what == "start"]
        ended = {address for _, what, address in race.timeline if what in ENDS}
        assert {race.addresses[attempt] for attempt in race.live} == set(started) - ended
        assert race.race.in_flight == len(race.live)


def test_the_rules_are_all_here() -> None:
    tested = {scenario.name.split(" ")[0] for scenario in SCENARIOS}
    assert tested == {
        *(f"R{number}" for number in range(2, 10)),
        *("O2", "O3", "O4", "O5", "O6"),
        *(f"A{number}" for number in range(1, 12)),
        *("A4b", "I1", "I2"),
    }
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS) > 60


# ------------------------------------------------------------------- what the tables leave out

ADDRESSES = st.lists(
    st.builds("{}{}".format, st.sampled_from(["v4", "v6", "x"]), st.sampled_from("abcdefgh")),
    min_size=1,
)


@given(ADDRESSES, st.integers(1, 4))
def test_the_race_tries_addresses_in_the_order_of_interleave(
    addresses: list[str], first_family_count: int
) -> None:
    rules = Rules(attempt_delay=0.01, first_family_count=first_family_count, max_in_flight=99)
    race = VirtualRace([f"{address} silent" for address in addresses], rules)
    race.run()
    assert race.addresses == interleave(addresses, family_of, first_family_count)


@given(st.lists(ADDRESSES, min_size=1), st.integers(1, 4))
def test_late_addresses_are_placed_as_interleave_would_have_placed_them(
    batches: list[list[str]], first_family_count: int
) -> None:
    """Of all addresses known, whatever has been tried, the first in order is the next."""
    rules = Rules(attempt_delay=0.01, first_family_count=first_family_count, max_in_flight=99)
    race: Race[str] = Race(rules, family_of=family_of)
    race.family_answered(0, AF_INET6)
    known: list[str] = []
    tried: list[str] = []
    for turn in range(40):
        batch = batches.pop(0) if batches else []
        batch = [each for each in batch if each not in known]  # or it would move
        known += batch
        commands = race.addresses_added(turn, batch)
        left = [a for a in interleave(known, family_of, first_family_count) if a not in tried]
        assert race.untried == max(0, len(left) - 1)
        assert commands == [Start(len(tried), address) for address in left[:1]]
        tried += left[:1]


def test_an_endpoint_knows_its_family() -> None:
    v6 = Endpoint(AF_INET6, 1, 6, ("::1", 80, 0, 0))
    v4 = Endpoint(AF_INET, 1, 6, ("127.0.0.1", 80))
    race: Race[Endpoint] = Race(Rules())
    assert race.addresses_added(0, [v4]) == []
    assert race.addresses_added(0.01, [v6]) == [Start(0, v6)]
    assert race.time_passed(0.26) == [Start(1, v4)]


def test_a9_the_last_has_all_that_is_left_to_the_moment() -> None:
    now, until = 7.4, 27.3
    assert now + (until - now) < until, "as numbers are rounded"
    race: Race[str] = Race(Rules(attempt_delay=None), family_of=family_of, until=until)
    race.addresses_added(now, ["v6a"])
    race.resolution_finished(now)
    assert race.wake_at == until
    assert race.time_passed(until) == [Cancel(0), Failed(timed_out=True)]


def test_when_to_wake_up() -> None:
    race: Race[str] = Race(Rules(attempt_timeout=0.4), family_of=family_of, until=0.5)
    assert race.wake_at == 0.5  # the end
    race.addresses_added(0, ["v4a", "v4b", "v6a"])
    assert race.wake_at == 0.25  # the next start
    race.addresses_withdrawn(0, ["v4b"])
    race.time_passed(0.25)
    assert race.wake_at == 0.4  # the first attempt's time
    race.attempt_failed(0.3, 0)
    assert race.wake_at == 0.5
    assert race.in_flight == 1
    assert race.attempts_connected(0.3, [1]) == [Won(1)]
    assert race.wake_at is None
    assert (race.in_flight, race.untried) == (0, 0)


def test_no_moment_to_wake_up_at() -> None:
    race: Race[str] = Race(Rules(), family_of=family_of)
    assert race.wake_at is None
    race.addresses_added(0, ["v4a"])
    assert race.wake_at == 0.05
    race.time_passed(0.05)
    assert race.wake_at is None


def test_told_too_soon_nothing_happens() -> None:
    race: Race[str] = Race(Rules(attempt_timeout=0.1), family_of=family_of, until=1)
    race.addresses_added(0, ["v6a", "v4a"])
    assert race.time_passed(0.099) == []
    assert race.wake_at == 0.1


def test_told_too_late_all_that_is_due_happens_once() -> None:
    race: Race[str] = Race(Rules(attempt_timeout=0.3), family_of=family_of)
    race.addresses_added(0, ["v6a", "v4a", "v6b", "v4b"])
    assert race.time_passed(0.25) == [Start(1, "v4a")]
    assert race.time_passed(9) == [Cancel(0, "timed out"), Cancel(1, "timed out"), Start(2, "v6b")]
    assert race.wake_at == 9.25


def test_a_start_that_is_made_late_moves_what_counts_from_it() -> None:
    rules = Rules(attempt_delay=0.1, attempt_timeout=0.3)
    race: Race[str] = Race(rules, family_of=family_of)
    race.addresses_added(0, ["v6a", "v4a", "v6b"])
    race.attempt_started(0.02)
    assert race.time_passed(0.1) == []
    assert race.wake_at == 0.02 + 0.1, "A1"
    assert race.time_passed(0.125) == [Start(1, "v4a")]
    race.attempt_started(0.15)
    assert race.attempt_failed(0.155, 1) == [Start(2, "v6b")]
    assert race.wake_at == 0.02 + 0.3, "A8"


def test_a_start_that_comes_too_late_moves_nothing() -> None:
    race: Race[str] = Race(Rules(attempt_timeout=0.3), family_of=family_of, until=1)
    race.attempt_started(0)  # nothing has been
    race.addresses_added(0, ["v6a"])
    assert race.time_passed(0.3) == [Cancel(0, "timed out")]
    race.attempt_started(0.4)
    assert (race.in_flight, race.wake_at) == (0, 1)
    assert race.time_passed(1) == [Failed(timed_out=True)]
    race.attempt_started(2)
    assert race.wake_at is None


def test_an_event_brings_what_is_due_with_it() -> None:
    race: Race[str] = Race(Rules(handshake=True, attempt_timeout=0.3), family_of=family_of)
    race.addresses_added(0, ["v6a", "v4a", "v6b", "v4b"])
    race.time_passed(0.25)
    assert race.attempts_connected(0.3, [1, 0]) == [BeginHandshake(0)]
    assert race.family_answered(0.75, AF_INET) == [
        Cancel(0, "timed out"),
        BeginHandshake(1),
    ]
    assert race.wake_at == 1.0
    assert race.addresses_withdrawn(1.0, []) == [Start(2, "v6b")]


def a_race(*events: tuple[Any, ...], handshake: bool = False) -> Race[str]:
    """A race with two attempts running, after more events."""
    race: Race[str] = Race(Rules(handshake=handshake, attempt_timeout=1), family_of=family_of)
    race.addresses_added(0, ["v6a", "v4a", "v6b"])
    race.time_passed(0.25)
    for name, *arguments in events:
        getattr(race, name)(*arguments)
    return race


CONNECTED = ("attempts_connected", 0.3, [0, 1])
TIMED_OUT = ("time_passed", 1.0)


@pytest.mark.parametrize(
    ("handshake", "events", "impossible", "error", "message"),
    [
        (False, [], ("attempt_failed", 0.3, 2), ValueError, "there is no attempt 2"),
        (False, [], ("attempts_connected", 0.3, [-1]), ValueError, "there is no attempt -1"),
        (False, [], ("handshake_done", 0.3, 7), ValueError, "there is no attempt 7"),
        (False, [], ("handshake_failed", 0.3, 7), ValueError, "there is no attempt 7"),
        (False, [], ("attempts_connected", 0.3, [0, 2]), ValueError, "there is no attempt 2"),
        (
            False,
            [],
            ("attempts_connected", 0.3, [0, 0]),
            RuntimeError,
            "an attempt cannot have connected twice: [0, 0]",
        ),
        (
            True,
            [CONNECTED],
            ("attempts_connected", 0.3, [1]),
            RuntimeError,
            "attempt 1 cannot have connected: it has connected already",
        ),
        (
            True,
            [CONNECTED],
            ("attempts_connected", 0.3, [0]),
            RuntimeError,
            "attempt 0 cannot have connected: it is in its handshake",
        ),
        (
            True,
            [CONNECTED],
            ("attempt_failed", 0.3, 0),
            RuntimeError,
            "attempt 0 cannot have failed to connect: it is in its handshake",
        ),
        (
            True,
            [CONNECTED],
            ("handshake_done", 0.3, 1),
            RuntimeError,
            "attempt 1 cannot have done its handshake: it has connected already",
        ),
        (
            True,
            [],
            ("handshake_failed", 0.3, 1),
            RuntimeError,
            "attempt 1 cannot have failed in its handshake: it is running",
        ),
        (
            False,
            [("attempt_failed", 0.3, 0)],
            ("attempt_failed", 0.3, 0),
            RuntimeError,
            "attempt 0 cannot have failed to connect: it has failed already",
        ),
        (
            False,
            [("resolution_finished", 0.3)],
            ("addresses_added", 0.3, ["v4z"]),
            RuntimeError,
            "addresses were added after resolution had finished",
        ),
        (False, [], ("time_passed", 0.2), ValueError, "now must not go back: 0.2 after 0.25"),
        (False, [], ("attempt_started", 0.2), ValueError, "now must not go back: 0.2 after 0.25"),
        (False, [], ("time_passed", nan), ValueError, "now must not go back: nan after 0.25"),
    ],
)
def test_what_cannot_be_is_an_error_and_changes_nothing(
    handshake: bool,
    events: list[tuple[Any, ...]],
    impossible: tuple[Any, ...],
    error: type[Exception],
    message: str,
) -> None:
    race = a_race(*events, handshake=handshake)
    before = (race.over, race.in_flight, race.untried, race.wake_at)
    name, *arguments = impossible
    with pytest.raises(error) as caught:
        getattr(race, name)(*arguments)
    assert str(caught.value) == message
    assert (race.over, race.in_flight, race.untried, race.wake_at) == before


@pytest.mark.parametrize("name", ["attempt_failed", "handshake_done", "handshake_failed"])
def test_late_events_of_cancelled_attempts_are_ignored(name: str) -> None:
    timed_out = a_race(TIMED_OUT)
    wake_at = timed_out.wake_at
    assert getattr(timed_out, name)(1.0, 0) == []
    assert timed_out.attempts_connected(1.0, [0]) == []
    assert (timed_out.in_flight, timed_out.wake_at) == (2, wake_at)
    assert timed_out.attempts_connected(1.0, [0, 2, 1]) == [Cancel(2), Won(1)]
    assert getattr(timed_out, name)(1.0, 2) == []
    assert timed_out.attempts_connected(1.0, [2, 0]) == []


def test_after_the_end_nothing_is_asked_for() -> None:
    race = a_race(CONNECTED)
    assert race.over
    assert race.untried == 1
    assert race.addresses_added(0.3, ["v6z"]) == []
    assert race.addresses_withdrawn(0.3, ["v6b"]) == []
    assert race.family_answered(0.3, AF_INET) == []
    assert race.resolution_finished(0.3) == []
    assert race.addresses_added(0.3, ["v6y"]) == []
    assert race.attempts_connected(0.4, []) == []
    assert race.time_passed(inf) == []
    assert race.wake_at is None


# ------------------------------------------------------------------------------------- Rules


def test_the_rules_unless_told_otherwise() -> None:
    rules = Rules()
    assert rules == Rules(0.25, 0.05, 1, 6, None, False)
    assert not rules.one_by_one
    assert Rules(attempt_delay=None).one_by_one
    assert (SHORTEST_DELAY, LONGEST_DELAY) == (0.010, 2.0)
    with pytest.raises(FrozenInstanceError):
        rules.handshake = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "kept"), [(0, 0.010), (0.009, 0.010), (0.010, 0.010), (1, 1), (2, 2), (2.1, 2.0)]
)
def test_a2_a_delay_is_moved_into_its_range(given: float, kept: float) -> None:
    assert Rules(attempt_delay=given).attempt_delay == kept


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        *(
            ({name: value}, ValueError, f"{name} must be finite and not negative, not {value!r}")
            for name in ("attempt_delay", "resolution_delay", "attempt_timeout")
            for value in (-0.1, nan, inf)
        ),
        *(
            ({name: value}, TypeError, f"{name} must be a number of seconds, not {value!r}")
            for name in ("attempt_delay", "resolution_delay", "attempt_timeout")
            for value in (True, "1")
        ),
        (
            {"resolution_delay": None},
            TypeError,
            "resolution_delay must be a number of seconds, not None",
        ),
        (
            {"attempt_timeout": 0},
            ValueError,
            "attempt_timeout must be more than 0, or None for no limit",
        ),
        *(
            ({name: value}, TypeError, f"{name} must be an int, not {value!r}")
            for name in ("first_family_count", "max_in_flight")
            for value in (True, 1.0, "1", None)
        ),
        *(
            ({name: value}, ValueError, f"{name} must be at least 1, not {value!r}")
            for name in ("first_family_count", "max_in_flight")
            for value in (0, -1)
        ),
        ({"handshake": 1}, TypeError, "handshake must be a bool, not 1"),
    ],
    ids=repr,
)
def test_rules_that_cannot_be(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        Rules(**arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [0, 0.5, 1], ids=repr)
def test_rules_that_can_be(value: float) -> None:
    assert Rules(resolution_delay=value, attempt_timeout=value or None).resolution_delay == value


def test_a_race_until_no_moment() -> None:
    with pytest.raises(ValueError, match=r"^until must be a moment or infinity, not nan$"):
        Race(Rules(), until=nan)


# ------------------------------------------------------------------- whatever happens, and when

POOL = [family + letter for family in ("v4", "v6", "x") for letter in "abcdef"]
SOME = st.lists(st.sampled_from(POOL), max_size=6)
UNTIL = st.sampled_from([inf, inf, inf, 5, 30])
LATENESS = st.sampled_from([None, None, 0, 0.003, 0.3])  # of each start; None if it is not told
RULES = st.builds(
    Rules,
    attempt_delay=st.sampled_from([None, 0, 0.02, 0.25]),
    resolution_delay=st.sampled_from([0, 0.05]),
    first_family_count=st.integers(1, 2),
    max_in_flight=st.sampled_from([1, 2, 6]),
    attempt_timeout=st.sampled_from([None, None, 0.005, 0.1, 1]),
    handshake=st.booleans(),
    prefer=st.sampled_from([None, None, AF_INET, AF_INET6]),
)


class AnyRace(RuleBasedStateMachine):
    """Whatever happens: the model knows what was told and what was asked for, no more."""

    @initialize(rules=RULES, until=UNTIL, addresses=SOME, lateness=LATENESS)
    def begin(
        self, rules: Rules, until: float, addresses: list[str], lateness: float | None
    ) -> None:
        self.rules = rules
        self.lateness = lateness
        self.until = until
        self.room = 1 if rules.one_by_one else rules.max_in_flight
        self.race: Race[str] = Race(rules, family_of=family_of, until=until)
        self.now = 0.0
        self.resolved = False
        self.end: Won | Failed | None = None
        self.state: dict[int, str] = {}
        self.starts: list[float] = []
        self.failed_since_start = self.failed_since_handshake = False
        self.final = False
        self.handshake_at = -inf
        self.waiting: dict[str, tuple[int, int]] = {}  # and its rank, and its group
        self.tried: set[str] = set()
        self.awaited: set[object] = set()
        self.first_address_at = inf
        self.add(addresses)

    @precondition(lambda self: self.end is not None)
    @rule(rules=RULES, until=UNTIL, addresses=SOME, lateness=LATENESS)
    def begin_another(
        self, rules: Rules, until: float, addresses: list[str], lateness: float | None
    ) -> None:
        self.begin(rules, until, addresses, lateness)

    def tell(self, name: str, *arguments: Any, **more: Any) -> None:
        over = self.race.over
        commands: Sequence[Command[str]] = getattr(self.race, name)(self.now, *arguments, **more)
        assert not (over and commands)
        assert sum(isinstance(command, Start) for command in commands) <= 1
        for command in commands:
            assert self.end is None, "nothing comes after the end"
            self.obey(command)
        assert self.race.over is (self.end is not None)
        if commands and isinstance(commands[-1], Start) and self.lateness is not None:
            self.now += self.lateness
            self.race.attempt_started(self.now)
            self.starts[-1] = self.now
            self.tell("time_passed")

    def obey(self, command: Command[str]) -> None:
        if isinstance(command, Start):
            assert command.attempt == len(self.state)
            assert len(self.of("running", "connected", "handshake")) < self.room
            if self.starts and not self.failed_since_start:
                assert self.now >= self.starts[-1] + SHORTEST_DELAY
            assert self.now < self.until
            assert self.waiting[command.address] == min(self.waiting.values()), "O5, R9"
            assert self.starts or not (self.awaited and not self.held_long_enough()), "R7"
            del self.waiting[command.address]
            self.failed_since_start = False
            self.tried.add(command.address)
            self.starts.append(self.now)
            self.state[command.attempt] = "running"
        elif isinstance(command, Cancel):
            assert self.state[command.attempt] in ("running", "connected", "handshake")
            state = self.state[command.attempt]
            if command.why == "timed out":
                assert state != "connected"
                self.failed_since_start = True
                self.failed_since_handshake |= state == "handshake"
            elif command.why == "made room":
                assert command.attempt == self.of("running")[0], "A4b"
                assert self.now >= self.starts[command.attempt] + MAKES_ROOM_AFTER
                assert len(self.of("running", "connected", "handshake")) == self.room
                assert self.waiting
                assert not self.rules.one_by_one
            self.state[command.attempt] = "cancelled"
        elif isinstance(command, BeginHandshake):
            if self.of("handshake") and not self.failed_since_handshake:
                assert self.rules.attempt_delay is not None, "A6 one at a time"
                assert self.now >= self.handshake_at + self.rules.attempt_delay
            self.handshake_at, self.failed_since_handshake = self.now, False
            assert command.attempt == min(self.of("connected"))
            self.state[command.attempt] = "handshake"
        elif isinstance(command, Won):
            assert self.state[command.attempt] == ("done" if self.rules.handshake else "connected")
            self.state[command.attempt] = "won"
            self.end = command
        else:
            over = self.resolved and not self.waiting
            assert command.timed_out or over or self.final
            assert not command.timed_out or self.now >= self.until
            self.end = command
        if self.end:
            assert set(self.state.values()) <= {"won", "failed", "cancelled"}

    def of(self, *states: str) -> list[int]:
        return [attempt for attempt, state in self.state.items() if state in states]

    def held_long_enough(self) -> bool:
        """Whether no first start needs to wait any more."""
        held_until = self.first_address_at + self.rules.resolution_delay
        return self.resolved or self.now >= held_until or held_until >= self.until

    @rule(
        addresses=SOME,
        rank=st.sampled_from([0, 0, 1]),
        group=st.sampled_from([0, 0, 0, 1, 2]),
        awaiting=st.sampled_from([None, None, None, set(), {"service"}, {AF_INET6, "service"}]),
    )
    def add(
        self,
        addresses: list[str],
        rank: int = 0,
        group: int = 0,
        awaiting: set[object] | None = None,
    ) -> None:
        if self.resolved and self.end is None:
            with pytest.raises(RuntimeError):
                self.race.addresses_added(self.now, addresses, rank)
            return
        if self.end is None:
            self.waiting.update(dict.fromkeys(set(addresses) - self.tried, (rank, group)))
            if addresses:
                self.first_address_at = min(self.first_address_at, self.now)
            if awaiting is not None and rank == 0:
                # A family that is preferred is awaited in place of others.
                families = {AF_INET, AF_INET6} if self.rules.prefer else set()
                self.awaited = {*awaiting} - families
        self.tell("addresses_added", addresses, rank, group=group, awaiting=awaiting)

    @rule(addresses=SOME)
    def order(self, addresses: list[str]) -> None:
        if not self.resolved or self.end is not None:
            self.tell("addresses_added", [], order=addresses)

    @rule(addresses=SOME)
    def withdraw(self, addresses: list[str]) -> None:
        for address in addresses:
            self.waiting.pop(address, None)
        self.tell("addresses_withdrawn", addresses)

    @precondition(lambda self: self.end is None)
    @rule(family=st.sampled_from([AF_INET, AF_INET6]))
    def answered(self, family: int) -> None:
        self.awaited.discard(family)
        self.tell("family_answered", family)

    @rule(really=st.sampled_from([False, False, False, True]))
    def finished(self, really: bool) -> None:
        if really:
            self.resolved = True
            self.awaited.clear()
            self.tell("resolution_finished")

    @precondition(lambda self: self.of("running"))
    @rule(data=st.data())
    def connected(self, data: st.DataObject) -> None:
        running = self.of("running")
        if not self.rules.handshake and data.draw(st.integers(0, 4)) != 0:
            return  # or most races would be over at once
        attempts = data.draw(st.lists(st.sampled_from(running), unique=True, min_size=1))
        late = data.draw(st.lists(st.sampled_from(self.of("cancelled") or [None])))
        for attempt in attempts:
            self.state[attempt] = "connected"
        self.tell("attempts_connected", [*attempts, *{a for a in late if a is not None}])
        if not self.rules.handshake:
            assert self.end == Won(min(attempts)), "I2"

    @precondition(lambda self: self.of("running"))
    @rule(data=st.data())
    def failed(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(self.of("running")))
        self.state[attempt] = "failed"
        self.failed_since_start = True
        self.tell("attempt_failed", attempt)

    @precondition(lambda self: self.of("handshake"))
    @rule(well=st.sampled_from([False, False, False, True]), which=st.integers(0, 5))
    def shaken(self, well: bool, which: int = 0) -> None:
        shaking = self.of("handshake")
        attempt = shaking[which % len(shaking)]
        self.failed_since_start |= not well
        self.failed_since_handshake |= not well
        self.state[attempt] = "done" if well else "failed"
        self.tell("handshake_done" if well else "handshake_failed", attempt)
        assert not well or self.end == Won(attempt)

    @precondition(lambda self: self.of("handshake"))
    @rule(really=st.sampled_from([False, False, False, True]))
    def failed_for_good(self, really: bool) -> None:
        if really:
            attempt = self.of("handshake")[0]
            self.state[attempt] = "failed"
            self.final = True
            self.tell("handshake_failed", attempt, final=True)
            assert self.end == Failed(False)

    @precondition(lambda self: self.of("cancelled"))
    @rule(
        data=st.data(),
        name=st.sampled_from(["attempt_failed", "handshake_done", "handshake_failed"]),
    )
    def late(self, data: st.DataObject, name: str) -> None:
        attempt = data.draw(st.sampled_from(self.of("cancelled")))
        self.tell(name, attempt)
        assert self.state[attempt] == "cancelled"

    @precondition(lambda self: self.of("failed", "won"))
    @rule(data=st.data())
    def impossible(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(self.of("failed", "won")))
        if self.end is not None:
            assert self.race.attempt_failed(self.now, attempt) == []
            return
        with pytest.raises(RuntimeError):
            self.race.attempt_failed(self.now, attempt)

    @precondition(lambda self: self.end is None)
    @rule(seconds=st.sampled_from([0, 0.001, 0.01, 0.04, 0.2]))
    def wait(self, seconds: float) -> None:
        """As long as that, but not beyond the moment to wake up at."""
        wake_at = self.race.wake_at
        self.now = self.now + seconds if wake_at is None else min(self.now + seconds, wake_at)
        self.tell("time_passed")

    @precondition(lambda self: self.end is None)
    @rule()
    def wake(self) -> None:
        self.now = self.now if self.race.wake_at is None else self.race.wake_at
        self.tell("time_passed")

    @precondition(lambda self: self.end is None)
    @rule(seconds=st.sampled_from([0.001, 0.5]))
    def oversleep(self, seconds: float) -> None:
        self.now += seconds
        self.tell("time_passed")

    @invariant()
    def what_is_in_flight_is_known(self) -> None:
        in_flight = self.of("running", "connected", "handshake")
        assert self.race.in_flight == len(in_flight) <= self.room
        if self.end is None:
            assert self.race.untried == len(self.waiting)
            assert bool(self.of("handshake")) or not self.of("connected")
        else:
            assert in_flight == []

    @invariant()
    def the_time_has_been_told(self) -> None:
        wake_at = self.race.wake_at
        if self.end is not None:
            assert wake_at is None
        else:
            assert wake_at is None or self.now < wake_at < inf

    @invariant()
    def nothing_is_stuck(self) -> None:
        if self.end is None and not self.of("running", "connected", "handshake"):
            if self.waiting:
                assert self.race.wake_at is not None
                assert not self.starts, "any but the first starts at once"
                assert self.race.wake_at <= self.now + self.rules.resolution_delay
            else:
                assert not self.resolved

    def teardown(self) -> None:
        """Left to itself, a race with a deadline ends, and so does one whose attempts do."""
        if not hasattr(self, "race"):
            return  # it was not even begun
        while self.end is None:
            if self.race.wake_at is not None:
                self.now = self.race.wake_at
                self.tell("time_passed")
            elif self.of("running"):
                attempt = self.of("running")[0]
                self.state[attempt] = "failed"
                self.failed_since_start = True
                self.tell("attempt_failed", attempt)
            elif self.of("handshake"):
                self.shaken(False)
            else:
                assert not self.resolved
                self.resolved = True
                self.tell("resolution_finished")
        assert set(self.state.values()) <= {"won", "failed", "cancelled"}, "I1"


AnyRace.TestCase.settings = settings(max_examples=350, stateful_step_count=50, deadline=None)
TestAnyRace = pytest.mark.slow(AnyRace.TestCase)


@pytest.mark.parametrize("now", [0.5, 1.0])
@pytest.mark.parametrize("in_handshake", [False, True])
def test_what_a_failure_takes_back_is_not_tried_and_the_failed_is_not_cancelled(
    in_handshake: bool, now: float
) -> None:
    rules = Rules(attempt_delay=None, handshake=True)
    race: Race[str] = Race(rules, family_of=family_of, until=1.0)
    assert race.addresses_added(0, ["v6a", "v6b", "v6c"]) == [Start(0, "v6a")]
    race.resolution_finished(0)
    if in_handshake:
        assert race.attempts_connected(0, [0]) == [BeginHandshake(0)]
        commands = race.handshake_failed(now, 0, withdrawn=["v6b"])
    else:
        commands = race.attempt_failed(now, 0, withdrawn=["v6b"])
    assert commands == ([Start(1, "v6c")] if now < 1 else [Failed(True)])
    assert race.untried == (0 if now < 1 else 1)
