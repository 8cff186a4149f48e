"""Where a service is: answers in every order, and what the race makes of them, without a clock."""

from __future__ import annotations

from random import Random
from socket import AF_INET, AF_INET6
from typing import Any, NamedTuple

import pytest

from aconnect.sansio.finding import (
    AAAA,
    HTTPS,
    MOST_ALIASES,
    MOST_RECORDS,
    MOST_TARGETS,
    SRV,
    A,
    Offers,
    Said,
    Targets,
)
from aconnect.sansio.order import sort_by_rfc6724
from aconnect.sansio.race import Race, Rules, Start
from aconnect.sansio.service_records import ServiceRecord, SRVRecord

HOST, SVC, ALT = "a.test", "svc.test", "alt.test"
V6, V4 = "2001:db8::1", "192.0.2.1"  # of the host
S6, S4 = "2001:db8::51", "192.0.2.51"  # of svc.test
T6, T4 = "2001:db8::a1", "192.0.2.161"  # of alt.test

ServiceRecords = list[ServiceRecord]


def offers(**options: Any) -> Offers:
    options = {
        "query": (HOST, HTTPS),
        "alpn": (),
        "default": ("http/1.1",),
        "prefer": (),
        "refuse_port": lambda _: "",
        "random": Random(1),
        **options,
    }
    preferred, port = options.pop("preferred", AAAA), options.pop("port", 443)
    return Offers(HOST, port, [AAAA, A], preferred, **options)


def targets(port: int | None = None) -> Targets:
    query = "_x._tcp.a.test"
    return Targets(HOST, port, [AAAA, A], AAAA, query=query, random=Random(1))


def answer(finding: Any, name: str, **addresses: Any) -> None:
    """Answers about a name: ``v6=[...]`` and ``v4=[...]``; None for a failure."""
    for key, hosts in addresses.items():
        finding.addresses_answered(name, {"v6": AAAA, "v4": A}[key], hosts)


def said(finding: Any) -> list[tuple[Any, ...]]:
    """What is said: rank and address, with a minus if it is withdrawn."""
    told: list[tuple[Any, ...]] = []
    for each in finding.say():
        told += [("-", host, port) for host, port in each.withdrawn]
        told += [(each.rank, host, port) for host, port in each.addresses]
    return told


def service(finding: Any, *records: ServiceRecord, owner: str = HOST, **more: Any) -> None:
    finding.records_answered(owner, list(records), more.get("additional", {}))


# ------------------------------------------------------------------------ what is asked


def test_d1_the_service_is_asked_first_then_ipv6_then_ipv4() -> None:
    finding = offers()
    assert finding.to_ask() == [(HOST, HTTPS), (HOST, AAAA), (HOST, A)]
    assert finding.to_ask() == []


def test_s4_each_target_is_asked_at_once_rank_by_rank() -> None:
    finding = offers()
    finding.to_ask()
    service(finding, ServiceRecord(2, ALT), ServiceRecord(1, SVC), ServiceRecord(3))
    assert finding.to_ask() == [(SVC, AAAA), (SVC, A), (ALT, AAAA), (ALT, A)]


def test_s4_no_target_is_the_records_owner() -> None:
    finding = offers()
    finding.to_ask()
    service(finding, ServiceRecord(1), owner="owner.test")
    assert finding.to_ask() == [("owner.test", AAAA), ("owner.test", A)]


def test_s9_what_came_with_the_answer_is_not_asked() -> None:
    finding = offers()
    finding.to_ask()
    additional = {(SVC, AAAA): (S6,), ("other.test", A): ("192.0.2.66",)}
    service(finding, ServiceRecord(1, SVC), additional=additional)
    assert finding.to_ask() == [(SVC, A)]
    assert said(finding) == [(0, S6, 443)]


def test_d12_no_more_than_there_may_be() -> None:
    finding = offers()
    finding.to_ask()
    records = [ServiceRecord(1 + n, f"t{n}.test") for n in range(MOST_RECORDS + 1)]
    Random(2).shuffle(records)
    service(finding, *records)
    asked = finding.to_ask()
    assert {name for name, _ in asked} == {f"t{n}.test" for n in range(MOST_TARGETS)}
    assert len(asked) == 2 * MOST_TARGETS
    refused = {each.place.host: each.refused for each in finding.offers() if each.refused}
    assert len(refused) == 1 + MOST_RECORDS - MOST_TARGETS
    assert [host for host, why in refused.items() if "records" in why] == [f"t{MOST_RECORDS}.test"]


def test_d12_no_more_aliases_than_there_may_be() -> None:
    finding = offers()
    asked = finding.to_ask()
    for number in range(MOST_ALIASES + 1):
        assert not finding.offers()
        service(finding, ServiceRecord(0, f"alias{number}.test"))
        asked += finding.to_ask()
    assert len(asked) == len(set(asked))
    assert [query for query in asked if query[1] == HTTPS][-1][
        0
    ] == f"alias{MOST_ALIASES - 1}.test"
    [offer] = finding.offers()
    assert (offer.place.host, offer.rank) == (f"alias{MOST_ALIASES}.test", 0)
    assert offer.refused == "its aliases lead in a circle, or are more than 8"


# ------------------------------------------------------------------------- what is said


def test_s8_the_host_comes_last() -> None:
    finding = offers()
    answer(finding, HOST, v6=[V6], v4=[V4])
    assert said(finding) == [(0, V6, 443), (0, V4, 443)]
    service(finding, ServiceRecord(1, SVC, port=8443), ServiceRecord(2, ALT))
    answer(finding, SVC, v6=[S6])
    assert said(finding) == [(0, S6, 8443), (2, V6, 443), (2, V4, 443)]
    answer(finding, ALT, v4=[T4])
    assert said(finding) == [(1, T4, 443)]
    assert said(finding) == []


@pytest.mark.parametrize("record", [[], [ServiceRecord(1, SVC, mandatory=frozenset({9}))]])
def test_s5_s8_without_services_the_host_is_all(record: ServiceRecords) -> None:
    finding = offers()
    service(finding, *record)
    answer(finding, HOST, v6=[V6])
    assert said(finding) == [(0, V6, 443)]
    assert finding.to_ask() == [(HOST, HTTPS), (HOST, A)]


def test_s4_the_hosts_own_record_has_its_addresses() -> None:
    finding = offers()
    service(finding, ServiceRecord(1, SVC), ServiceRecord(2))
    answer(finding, SVC, v6=[S6])
    answer(finding, HOST, v6=[V6])
    assert said(finding) == [(0, S6, 443), (1, V6, 443)]


def test_the_hosts_own_record_with_another_port_leaves_the_asked_one_for_last() -> None:
    finding = offers()
    service(finding, ServiceRecord(1, port=8443))
    answer(finding, HOST, v6=[V6])
    assert said(finding) == [(0, V6, 8443), (1, V6, 443)]


def test_s9_hints_count_until_their_target_has_answered() -> None:
    finding = offers()
    service(finding, ServiceRecord(1, SVC, ipv6=(S6, "2001:db8::66"), ipv4=(S4,)))
    assert said(finding) == [(0, S6, 443), (0, "2001:db8::66", 443), (0, S4, 443)]
    answer(finding, SVC, v6=[S6])
    assert said(finding) == [("-", "2001:db8::66", 443)]
    answer(finding, SVC, v4=[])  # a negative answer ends them as well
    assert said(finding) == [("-", S4, 443)]


def test_s9_a_failed_lookup_leaves_the_hints() -> None:
    finding = offers()
    service(finding, ServiceRecord(1, SVC, ipv6=(S6,)))
    answer(finding, SVC, v6=None)
    assert finding.say() == [
        Said(0, finding.offers()[0].place, True, ((S6, 443),)),
    ]
    assert finding.found


def test_s9_addresses_that_are_there_make_hints_unread() -> None:
    finding = offers()
    answer(finding, SVC, v6=[S6])
    service(finding, ServiceRecord(1, SVC, ipv6=("2001:db8::66",)))
    assert said(finding) == [(0, S6, 443)]


def test_an_address_is_of_the_first_rank_that_has_it() -> None:
    finding = offers()
    service(finding, ServiceRecord(2, ALT), ServiceRecord(1, SVC))
    answer(finding, ALT, v4=[S4])
    assert said(finding) == [(1, S4, 443)]
    answer(finding, SVC, v4=[S4])
    assert said(finding) == [(0, S4, 443)]


def test_s6_a_port_may_be_refused_but_not_the_one_that_was_asked_for() -> None:
    refused: list[int] = []
    finding = offers(port=25, refuse_port=lambda port: refused.append(port) or "no")  # type: ignore[func-returns-value]
    service(finding, ServiceRecord(1, SVC, port=22), ServiceRecord(2, ALT, port=25))
    assert [(each.place.host, each.refused) for each in finding.offers()] == [
        (SVC, "no"),
        (ALT, ""),
    ]
    assert refused == [22]


# ----------------------------------------------------------------------------- aliases


def test_s3_an_alias_is_followed_and_comes_before_the_host() -> None:
    finding = offers()
    finding.to_ask()
    service(finding, ServiceRecord(0, ALT), ServiceRecord(1, SVC))
    assert finding.to_ask() == [(ALT, HTTPS), (ALT, AAAA), (ALT, A)]
    assert finding.awaiting() == {AAAA, "service"}
    answer(finding, HOST, v4=[V4])
    answer(finding, ALT, v4=[T4])
    assert said(finding) == [(0, T4, 443), (1, V4, 443)]
    service(finding, ServiceRecord(1, SVC, port=8443), owner=ALT)
    answer(finding, SVC, v4=[S4])
    assert said(finding) == [(0, S4, 8443), (1, T4, 443), (2, V4, 443)]


def test_s3_where_the_alias_leads_is_dialled_without_services() -> None:
    finding = offers(port=8443, query=("_8443._https.a.test", HTTPS))
    service(finding, ServiceRecord(0, ALT))
    service(finding, owner=ALT)
    answer(finding, ALT, v6=[T6])
    assert said(finding) == [(0, T6, 8443)]
    assert finding.awaiting() == set()


def test_s3_one_of_several_at_random() -> None:
    aliases = [ServiceRecord(0, name) for name in ("x.test", "y.test", "z.test")]
    followed = set()
    for seed in range(40):
        finding = offers(random=Random(seed))
        service(finding, *aliases)
        followed.add(finding.query[0])
    assert followed == {"x.test", "y.test", "z.test"}


def test_s3_an_alias_to_nowhere_is_ignored() -> None:
    finding = offers()
    service(finding, ServiceRecord(0))
    answer(finding, HOST, v6=[V6])
    assert said(finding) == [(0, V6, 443)]
    assert finding.awaiting() == set()
    finding = offers()
    service(finding, ServiceRecord(0), ServiceRecord(0, ALT))
    assert finding.query == (ALT, HTTPS)


@pytest.mark.parametrize("names", [[HOST], [ALT, HOST], [ALT, SVC, ALT]])
def test_s3_no_name_twice(names: list[str]) -> None:
    finding = offers()
    for name in names:
        service(finding, ServiceRecord(0, name))
    answer(finding, HOST, v6=[V6])
    answer(finding, ALT, v6=[T6])
    assert said(finding) == [(0, V6, 443)]  # as if there were no record


def test_s3_the_host_itself_may_be_where_an_alias_of_another_name_leads() -> None:
    finding = offers(query=("_8443._https.a.test", HTTPS), port=8443)
    service(finding, ServiceRecord(0, HOST), owner="_8443._https.a.test")
    assert finding.query == (HOST, HTTPS)
    service(finding, ServiceRecord(1, SVC, port=9443))
    answer(finding, SVC, v6=[S6])
    answer(finding, HOST, v6=[V6])
    assert said(finding) == [(0, S6, 9443), (1, V6, 8443)]
    assert not finding.offers()[0].refused


def test_s3_eight_are_followed_and_no_more() -> None:
    finding = offers()
    for number in range(MOST_ALIASES):
        service(finding, ServiceRecord(0, f"alias{number}.test"))
        assert "service" in finding.awaiting()
    service(finding, ServiceRecord(0, "alias9.test"))
    answer(finding, HOST, v6=[V6])
    answer(finding, "alias7.test", v6=[T6])
    assert said(finding) == [(0, V6, 443)]
    assert finding.awaiting() == set()


# ----------------------------------------------------------------- what is worth waiting for


def test_s10_a_hint_answers_for_its_family() -> None:
    finding = offers()
    assert finding.awaiting() == {AAAA, "service"}
    service(finding, ServiceRecord(1, SVC, ipv4=(S4,)))
    assert finding.awaiting() == {AAAA}
    finding = offers()
    service(finding, ServiceRecord(1, SVC, ipv4=(S4,), ipv6=(S6,)))
    assert finding.awaiting() == set()


@pytest.mark.parametrize("v6", [[S6], [], None])
def test_s10_an_answer_from_the_first_rank_is_what_is_awaited(v6: Any) -> None:
    finding = offers()
    answer(finding, HOST, v6=[V6])
    service(finding, ServiceRecord(1, SVC))
    assert finding.awaiting() == {AAAA}
    answer(finding, SVC, v4=[S4])
    assert finding.awaiting() == {AAAA}
    answer(finding, SVC, v6=v6)
    assert finding.awaiting() == set()


def test_of_several_first_targets_one_that_has_it_is_enough() -> None:
    finding = offers()
    service(finding, ServiceRecord(1, SVC), ServiceRecord(1, ALT))
    answer(finding, SVC, v6=[])
    assert finding.awaiting() == {AAAA}
    answer(finding, ALT, v6=[T6])
    assert finding.awaiting() == set()


# ------------------------------------------------------------------------------------ SRV


def test_v1_each_target_is_a_rank_of_its_own() -> None:
    finding = targets()
    assert finding.to_ask() == [("_x._tcp.a.test", SRV)]
    assert finding.awaiting() == {AAAA, "service"}
    records = [SRVRecord(2, 0, 502, ALT), SRVRecord(1, 0, 501, SVC)]
    assert finding.records_answered(records, {(ALT, A): (T4,)})
    assert finding.to_ask() == [(SVC, AAAA), (SVC, A), (ALT, AAAA)]
    assert finding.awaiting() == {AAAA}
    answer(finding, SVC, v6=[S6])
    assert finding.awaiting() == set()
    assert said(finding) == [(0, S6, 501), (1, T4, 502)]
    assert [(each.place.host, each.rank) for each in finding.offers()] == [(SVC, 0), (ALT, 1)]


def test_v2_not_offered() -> None:
    finding = targets(port=5)
    assert not finding.records_answered([SRVRecord(0, 0, 0, "")], {})
    finding = targets()
    assert not finding.records_answered([], {})
    assert finding.awaiting() == set()


def test_v2_without_records_the_host_itself() -> None:
    finding = targets(port=5)
    finding.to_ask()
    assert finding.records_answered([], {})
    assert finding.to_ask() == [(HOST, AAAA), (HOST, A)]
    answer(finding, HOST, v4=[V4])
    assert said(finding) == [(0, V4, 5)]
    assert finding.has_addresses(HOST)


def test_v2_port_0_is_left_out() -> None:
    finding = targets()
    assert not finding.records_answered([SRVRecord(0, 0, 0, SVC)], {})
    assert [each.refused for each in finding.offers()] == ["it has port 0"]
    assert targets().records_answered([SRVRecord(0, 0, 0, SVC), SRVRecord(1, 0, 25, ALT)], {})


def test_d12_srv_records() -> None:
    finding = targets()
    records = [SRVRecord(n, 0, 1, f"t{n}.test") for n in range(MOST_RECORDS + 2)]
    Random(2).shuffle(records)
    assert finding.records_answered(records, {})
    used = {each.place.host: each.rank for each in finding.offers() if not each.refused}
    assert used == {f"t{n}.test": n for n in range(MOST_TARGETS)}


def test_d12_what_is_left_out_of_srv_records_is_said() -> None:
    finding = targets()
    finding.records_answered(
        [SRVRecord(n, 0, 1, f"t{n}.test") for n in range(MOST_RECORDS + 2)], {}
    )
    refused = [each for each in finding.offers() if each.refused]
    assert len(refused) == 2 + MOST_RECORDS - MOST_TARGETS


# ------------------------------------------- the race, with answers in one order or another


class Sequence(NamedTuple):
    """Answers by the millisecond at which they come, and the first starts."""

    name: str
    answers: list[tuple[int, str, Any]]
    starts: list[tuple[int, str]]
    preferred: int = AAAA


BOTH_HINTS = [ServiceRecord(1, SVC, ipv6=(S6,), ipv4=(S4,))]
NO_HINTS = [ServiceRecord(1, SVC)]
SEQUENCES = [
    Sequence(
        "the service with hints of both families: at once",
        [(10, "service", BOTH_HINTS)],
        [(10, S6), (260, S4)],
    ),
    Sequence(
        "the service with a hint of IPv4 alone: it waits for IPv6's answer",
        [(10, "service", [ServiceRecord(1, SVC, ipv4=(S4,))]), (40, "s6", [S6])],
        [(40, S6), (290, S4)],
    ),
    Sequence(
        "the service, and then its target's addresses",
        [(10, "service", NO_HINTS), (20, "s4", [S4]), (30, "s6", [S6])],
        [(30, S6), (280, S4)],
    ),
    Sequence(
        "IPv6, and no service: when that is known",
        [(10, "v6", [V6]), (30, "service", []), (35, "v4", [V4])],
        [(30, V6), (280, V4)],
    ),
    Sequence(
        "IPv6 and IPv4, and of the service nothing: after the resolution delay",
        [(10, "v6", [V6]), (20, "v4", [V4])],
        [(60, V6), (310, V4)],
    ),
    Sequence(
        "IPv4, and of IPv6 nothing: after the resolution delay, once for everything",
        [(10, "v4", [V4]), (30, "service", []), (100, "v6", [V6])],
        [(60, V4), (310, V6)],
    ),
    Sequence(
        "no IPv6 and no service: IPv4 at once",
        [(10, "v4", [V4]), (15, "v6", []), (20, "service", None)],
        [(20, V4)],
    ),
    Sequence(
        "the host's addresses, and a service that comes too late goes before what is left of them",
        [(10, "v6", [V6]), (10, "v4", [V4]), (100, "service", NO_HINTS), (110, "s6", [S6])],
        [(60, V6), (310, S6), (560, V4)],
    ),
    Sequence(
        "no IPv6 of the target, and then its IPv4: before the host's, which is there",
        [
            (10, "v4", [V4]),
            (10, "v6", []),
            (20, "service", NO_HINTS),
            (25, "s6", []),
            (30, "s4", [S4]),
        ],
        [(30, S4), (280, V4)],
    ),
    Sequence(
        "no IPv6 of the target, and of its IPv4 nothing: after the resolution delay",
        [(10, "v4", [V4]), (20, "service", NO_HINTS), (25, "s6", [])],
        [(60, V4)],
    ),
    Sequence(
        "the first target is not there, the next one has IPv4 alone",
        [
            (10, "v4", [V4]),
            (20, "service", [ServiceRecord(1, SVC), ServiceRecord(2, ALT)]),
            (22, "t6", []),
            (25, "s6", []),
            (25, "s4", []),
            (30, "t4", [T4]),
        ],
        [(30, T4), (280, V4)],
    ),
    Sequence(
        "no target is there: the host at once",
        [
            (10, "v6", []),
            (10, "v4", [V4]),
            (20, "service", NO_HINTS),
            (25, "s6", []),
            (30, "s4", None),
        ],
        [(30, V4)],
    ),
    Sequence(
        "an alias does not answer for the service",
        [
            (10, "service", [ServiceRecord(0, ALT)]),
            (15, "v6", [V6]),
            (20, "t6", [T6]),
            (30, "service", NO_HINTS),
            (40, "s6", [S6]),
        ],
        [(40, S6), (290, T6), (540, V6)],
    ),
    Sequence(
        "hints that were not started are withdrawn",
        [(10, "service", BOTH_HINTS), (20, "s4", ["192.0.2.99"]), (20, "s6", ["2001:db8::99"])],
        [(10, S6), (260, "192.0.2.99"), (510, "2001:db8::99")],
    ),
]

V6B, V4B = "2001:db8::2", "192.0.2.2"
OWN = [ServiceRecord(1, "")]
DRAFT = [
    Sequence(
        "1: IPv6 slightly before IPv4",
        [(30, "service", OWN), (30, "v6", [V6, V6B]), (32, "v4", [V4, V4B])],
        [(30, V6), (280, V4), (530, V6B), (780, V4B)],
    ),
    Sequence(
        "2: IPv4 slightly before IPv6",
        [(30, "service", OWN), (30, "v4", [V4, V4B]), (40, "v6", [V6, V6B])],
        [(40, V6), (290, V4), (540, V6B), (790, V4B)],
    ),
    Sequence(
        "3: IPv4 long before IPv6",
        [(30, "service", OWN), (30, "v4", [V4, V4B]), (180, "v6", [V6, V6B])],
        [(80, V4), (330, V6), (580, V4B), (830, V6B)],
    ),
    Sequence(
        "4: the service slightly late",
        [(30, "v6", [V6, V6B]), (30, "v4", [V4, V4B]), (40, "service", OWN)],
        [(40, V6), (290, V4), (540, V6B), (790, V4B)],
    ),
    Sequence(
        "5: the service very late, or never",
        [(30, "v6", [V6, V6B]), (30, "v4", [V4, V4B])],
        [(80, V6), (330, V4), (580, V6B), (830, V4B)],
    ),
    Sequence(
        "6: hints, and IPv6 late",
        [(30, "service", [ServiceRecord(1, "", ipv6=(V6,), ipv4=(V4,))])],
        [(30, V6), (280, V4)],
    ),
    Sequence(
        "7: the host itself, and then another name, which is asked about meanwhile",
        [
            (30, "service", [*OWN, ServiceRecord(2, ALT)]),
            (30, "v6", [V6, V6B]),
            (30, "v4", [V4, V4B]),
            (60, "t6", [T6]),
            (60, "t4", [T4]),
        ],
        [(30, V6), (280, V4), (530, V6B), (780, V4B), (1030, T6), (1280, T4)],
    ),
    Sequence(
        "8: IPv4 alone, and the service slightly late",
        [(30, "v4", [V4, V4B]), (40, "service", OWN)],
        [(40, V4), (290, V4B)],
        preferred=A,
    ),
]
"""Section 4.2.2 of draft-ietf-happy-happyeyeballs-v3, in its order."""

_NAMES = {"v": HOST, "s": SVC, "t": ALT}
_END = 2000


@pytest.mark.parametrize(
    "sequence", [*SEQUENCES, *DRAFT], ids=[each.name for each in [*SEQUENCES, *DRAFT]]
)
def test_answers_in_one_order_or_another(sequence: Sequence) -> None:
    finding = offers(preferred=sequence.preferred)
    race: Race[Any] = Race(Rules(), family_of=lambda each: AF_INET6 if ":" in each[0] else AF_INET)
    starts: list[tuple[int, str]] = []
    unsorted: dict[int, list[Any]] = {}

    def obey(now: float, commands: Any) -> None:
        starts.extend(
            (round(now * 1000), each.address[0]) for each in commands if type(each) is Start
        )

    def awaited() -> set[Any]:
        return {{AAAA: AF_INET6, A: AF_INET}.get(each, each) for each in finding.awaiting()}

    obey(0, race.addresses_added(0, (), awaiting=awaited()))
    events = [*sequence.answers, (_END, "", None)]
    for moment, what, found in events:
        now = moment / 1000
        while (wake := race.wake_at) is not None and wake < now:
            obey(wake, race.time_passed(wake))
        if what == "service":
            finding.records_answered(finding.query[0], found, {})
        elif what:
            answer(finding, _NAMES[what[0]], **{f"v{what[1]}": found})
        for each in finding.say():
            obey(now, race.addresses_withdrawn(now, each.withdrawn))
            others = [one for one in unsorted.get(each.rank, []) if one not in each.addresses]
            order = sort_by_rfc6724(
                [*others, *each.addresses], source_of, host_of=lambda one: one[0]
            )
            unsorted[each.rank] = order
            some = sorted(each.addresses, key=order.index)
            obey(now, race.addresses_added(now, some, order=order, group=each.rank))
        obey(now, race.addresses_added(now, (), awaiting=awaited()))
    assert starts == sequence.starts


def source_of(address: Any) -> str:
    return "2001:db8::5" if ":" in address[0] else "192.0.2.5"
