"""The table of connect(2), and the state machine that follows it, without any socket."""

from __future__ import annotations

import copy
import errno as errnos
import importlib.util
import socket
import sys
from dataclasses import FrozenInstanceError, fields
from errno import (
    EADDRNOTAVAIL,
    EAGAIN,
    EALREADY,
    EBADF,
    ECONNREFUSED,
    ECONNRESET,
    EINPROGRESS,
    EINTR,
    EINVAL,
    EISCONN,
    ENOENT,
    ENOTCONN,
    ETIMEDOUT,
)
from socket import AF_INET, AF_INET6, AF_UNIX, AF_VSOCK, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aconnect.sansio import attempt as module
from aconnect.sansio.attempt import (
    CONNECT_TABLE,
    MAX_REOPENS,
    RETRY_FIRST,
    RETRY_LONGEST,
    Action,
    Attempt,
    Failed,
    Meaning,
    RetryAt,
    Step,
    WaitWritable,
    classify,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

NOW = 1000.0

# ------------------------------------------------------------------ the table of connect(2)

ANY = (AF_UNIX, AF_INET, AF_INET6, AF_VSOCK)
UNIX = (AF_UNIX,)
INET = (AF_INET, AF_INET6)
NOT_INET = (AF_UNIX, AF_VSOCK)
OURS, CALLERS, BOTH = (True,), (False,), (True, False)

CALLS = [
    ("0", ANY, BOTH, Meaning.CONNECTED),
    ("EINPROGRESS", ANY, BOTH, Meaning.STARTED),
    ("EINTR", ANY, BOTH, Meaning.STARTED),
    ("EALREADY", ANY, OURS, Meaning.STARTED),
    ("EALREADY", ANY, CALLERS, Meaning.FAILED),
    ("EISCONN", ANY, OURS, Meaning.STARTED),
    ("EISCONN", ANY, CALLERS, Meaning.FAILED),
    ("EAGAIN", UNIX, BOTH, Meaning.BACKLOG_FULL),
    ("EAGAIN", INET, OURS, Meaning.NO_LOCAL_PORT),
    ("EAGAIN", INET, CALLERS, Meaning.FAILED),
    ("EAGAIN", (AF_VSOCK,), BOTH, Meaning.FAILED),
    ("EADDRNOTAVAIL", INET, OURS, Meaning.NO_LOCAL_PORT),
    ("EADDRNOTAVAIL", INET, CALLERS, Meaning.FAILED),
    ("EADDRNOTAVAIL", NOT_INET, BOTH, Meaning.FAILED),
]


@pytest.mark.parametrize(("name", "families", "ours", "meaning"), CALLS)
def test_what_connect_means(
    name: str, families: tuple[int, ...], ours: tuple[bool, ...], meaning: Meaning
) -> None:
    errno = 0 if name == "0" else getattr(errnos, name)
    for family in families:
        for owned in ours:
            assert classify(errno, family, owned=owned) is meaning


@pytest.mark.parametrize("owned", BOTH)
@pytest.mark.parametrize("family", ANY)
def test_any_other_errno_means_failed(family: int, owned: bool) -> None:
    in_table = {getattr(errnos, name) for name, *_ in CALLS if name != "0"}
    others = [errno for errno in errnos.errorcode if errno not in in_table]
    assert len(others) > 100
    meanings = {classify(errno, family, owned=owned) for errno in others}
    assert meanings == {Meaning.FAILED}


@pytest.mark.parametrize("owned", BOTH)
@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET", "AF_INET6", "AF_VSOCK"])
def test_the_first_row_of_the_public_table_that_fits_counts(family: str, owned: bool) -> None:
    for name in {row.errno for row in CONNECT_TABLE} - {"WSAEWOULDBLOCK"}:
        fits = [
            row.meaning
            for row in CONNECT_TABLE
            if row.errno == name
            and (row.families is None or family in row.families)
            and row.owned in (None, owned)
        ]
        errno = 0 if name == "0" else getattr(errnos, name)
        meaning = classify(errno, getattr(socket, family), owned=owned)
        assert meaning is [*fits, Meaning.FAILED][0], name


def test_the_limits_are_those_of_the_contract() -> None:
    assert (RETRY_FIRST, RETRY_LONGEST, MAX_REOPENS) == (0.001, 0.050, 2)


@pytest.mark.parametrize(
    "action",
    [WaitWritable(), WaitWritable(NOW), RetryAt(NOW), Failed(EBADF), Failed(ECONNREFUSED, True)],
    ids=repr,
)
def test_an_action_is_a_value(action: Any) -> None:
    same = copy.deepcopy(action)
    assert same == action
    assert len({same, action}) == 1
    assert not hasattr(action, "__dict__")
    with pytest.raises(FrozenInstanceError):
        setattr(action, fields(action)[0].name, None)


# ------------------------------------------------------------------------- kinds of attempt


def test_unless_it_is_said_the_port_is_not_fixed_and_the_socket_not_its_own_peer() -> None:
    machine = Attempt(AF_INET, SOCK_STREAM, owned=True)
    assert machine.watch_for_itself
    assert machine.resume() is Step.PROBE
    assert machine.probed(0) is Step.CONNECTED


def attempt(
    family: int = AF_INET,
    type: int = SOCK_STREAM,
    *,
    owned: bool = True,
    port_fixed: bool = False,
) -> Attempt:
    return Attempt(family, type, owned=owned, port_fixed=port_fixed)


@pytest.mark.parametrize(
    ("family", "type", "immediate", "watch"),
    [
        (AF_INET, SOCK_STREAM, False, True),
        (AF_INET6, SOCK_STREAM, False, True),
        (AF_INET, SOCK_DGRAM, True, False),
        (AF_INET6, SOCK_DGRAM, True, False),
        (AF_INET, SOCK_SEQPACKET, False, False),
        (AF_UNIX, SOCK_STREAM, True, False),
        (AF_UNIX, SOCK_DGRAM, True, False),
        (AF_UNIX, SOCK_SEQPACKET, True, False),
        (AF_VSOCK, SOCK_STREAM, False, False),
    ],
)
def test_what_the_kind_of_socket_decides(
    family: int, type: int, immediate: bool, watch: bool
) -> None:
    assert attempt(family, type).immediate is immediate
    assert attempt(family, type).watch_for_itself is watch
    assert attempt(family, type, owned=False).watch_for_itself is watch
    assert not attempt(family, type, port_fixed=True).watch_for_itself


# ------------------------------------------------------------------------------- scripts
#
# A script is a kind of attempt and rows: what the machine is told, what it asks for next.

Telling = tuple[Any, ...]
Script = list[tuple[Telling, Action]]


def begin() -> Telling:
    return ("begin",)


def resume() -> Telling:
    return ("resume",)


def called(errno: int, now: float = NOW) -> Telling:
    return ("called", errno, now)


def probed(errno: int, to_itself: bool = False) -> Telling:
    return ("probed", errno, to_itself)


def woken(so_error: int, now: float = NOW) -> Telling:
    return ("woken", so_error, now)


def inspected(hung_up: bool, now: float = NOW) -> Telling:
    return ("inspected", hung_up, now)


def tcp(**more: Any) -> Attempt:
    return attempt(AF_INET, **more)


def tcp6(**more: Any) -> Attempt:
    return attempt(AF_INET6, **more)


def udp(**more: Any) -> Attempt:
    return attempt(AF_INET, SOCK_DGRAM, **more)


def unix(type: int = SOCK_STREAM, **more: Any) -> Attempt:
    return attempt(AF_UNIX, type, **more)


CONNECT, PROBE, READ_ERROR, INSPECT = Step.CONNECT, Step.PROBE, Step.READ_ERROR, Step.INSPECT
REOPEN, CONNECTED = Step.REOPEN, Step.CONNECTED
WAIT = WaitWritable()
TO_ITSELF = Failed(ECONNREFUSED, to_itself=True)

AT_ONCE: Script = [(begin(), CONNECT), (called(0), PROBE)]
STARTED: Script = [(begin(), CONNECT), (called(EINPROGRESS), PROBE)]
WAITING: Script = [*STARTED, (probed(ENOTCONN), WAIT)]
RESUMED: Script = [(resume(), PROBE), (probed(ENOTCONN), READ_ERROR)]


SCRIPTS: list[tuple[str, Attempt, Script]] = [
    # The four outcomes of connect(2): connected at once.
    ("udp at once", udp(), [*AT_ONCE, (probed(0), CONNECTED)]),
    ("unix at once", unix(), [*AT_ONCE, (probed(0), CONNECTED)]),
    ("vsock at once", attempt(AF_VSOCK), [*AT_ONCE, (probed(0), CONNECTED)]),
    (
        "tcp at once, and the probe shows that it is not connected to itself",
        tcp(),
        [*AT_ONCE, (probed(0), CONNECTED)],
    ),
    (
        "tcp at once with a fixed port",
        tcp(port_fixed=True),
        [*AT_ONCE, (probed(0), CONNECTED)],
    ),
    # Connected at once, and without a peer.
    ("udp to port 0", udp(), [*AT_ONCE, (probed(ENOTCONN), Failed(ENOTCONN))]),
    (
        "a caller's socket, udp to port 0",
        udp(owned=False),
        [*AT_ONCE, (probed(ENOTCONN), Failed(ENOTCONN))],
    ),
    (
        "tcp fast open: ready to send, and nothing was sent",
        tcp(),
        [*AT_ONCE, (probed(ENOTCONN), READ_ERROR), (woken(0), Failed(ENOTCONN))],
    ),
    (
        "tcp at once, and reset before anybody looked",
        tcp(),
        [*AT_ONCE, (probed(ENOTCONN), READ_ERROR), (woken(ECONNRESET), Failed(ECONNRESET))],
    ),
    # Started.
    ("the probe", tcp(), [*STARTED, (probed(0), CONNECTED)]),
    ("ipv6", tcp6(), [*STARTED, (probed(0), CONNECTED)]),
    (
        "interrupted: the attempt goes on",
        tcp(),
        [(begin(), CONNECT), (called(EINTR), PROBE), (probed(ENOTCONN), WAIT)],
    ),
    (
        "a caller's socket, interrupted",
        tcp(owned=False),
        [(begin(), CONNECT), (called(EINTR), PROBE), (probed(ENOTCONN), WAIT)],
    ),
    (
        "running already, on ours",
        tcp(),
        [(begin(), CONNECT), (called(EALREADY), PROBE), (probed(ENOTCONN), WAIT)],
    ),
    (
        "running already, on a caller's",
        tcp(owned=False),
        [(begin(), CONNECT), (called(EALREADY), Failed(EALREADY))],
    ),
    (
        "connected already, on ours",
        tcp(),
        [(begin(), CONNECT), (called(EISCONN), PROBE), (probed(0), CONNECTED)],
    ),
    (
        "connected already, on a caller's",
        tcp(owned=False),
        [(begin(), CONNECT), (called(EISCONN), Failed(EISCONN))],
    ),
    # Not started: a full backlog.
    (
        "a full backlog, then room",
        unix(),
        [
            (begin(), CONNECT),
            (called(EAGAIN), RetryAt(NOW + 0.001)),
            (called(EAGAIN, NOW + 5), RetryAt(NOW + 5 + 0.002)),
            (called(0), PROBE),
            (probed(0), CONNECTED),
        ],
    ),
    (
        "a full backlog on a caller's socket",
        unix(owned=False),
        [(begin(), CONNECT), (called(EAGAIN), RetryAt(NOW + 0.001)), (called(0), PROBE)],
    ),
    (
        "a full queue of a datagram socket",
        unix(SOCK_DGRAM),
        [(begin(), CONNECT), (called(EAGAIN), RetryAt(NOW + 0.001)), (called(0), PROBE)],
    ),
    (
        "a full backlog, then no listener",
        unix(SOCK_SEQPACKET),
        [
            (begin(), CONNECT),
            (called(EAGAIN), RetryAt(NOW + 0.001)),
            (called(ECONNREFUSED), Failed(ECONNREFUSED)),
        ],
    ),
    # Not started: no local port.
    (
        "no local port, twice",
        udp(),
        [
            (begin(), CONNECT),
            (called(EAGAIN), REOPEN),
            (begin(), CONNECT),
            (called(EAGAIN), REOPEN),
            (begin(), CONNECT),
            (called(0), PROBE),
            (probed(0), CONNECTED),
        ],
    ),
    (
        "no local port, three times",
        tcp(),
        [
            (begin(), CONNECT),
            (called(EADDRNOTAVAIL), REOPEN),
            (begin(), CONNECT),
            (called(EADDRNOTAVAIL), REOPEN),
            (begin(), CONNECT),
            (called(EADDRNOTAVAIL), Failed(EADDRNOTAVAIL)),
        ],
    ),
    (
        "no local port, on a caller's socket",
        udp(owned=False),
        [(begin(), CONNECT), (called(EAGAIN), Failed(EAGAIN))],
    ),
    (
        "no other port is wanted",
        tcp(port_fixed=True),
        [(begin(), CONNECT), (called(EADDRNOTAVAIL), Failed(EADDRNOTAVAIL))],
    ),
    (
        "no other port is wanted of udp",
        udp(port_fixed=True),
        [(begin(), CONNECT), (called(EAGAIN), Failed(EAGAIN))],
    ),
    # Failed at once.
    ("no such path", unix(), [(begin(), CONNECT), (called(ENOENT), Failed(ENOENT))]),
    ("out of patience", tcp(), [(begin(), CONNECT), (called(ETIMEDOUT), Failed(ETIMEDOUT))]),
    ("vsock gives up", attempt(AF_VSOCK), [(begin(), CONNECT), (called(EAGAIN), Failed(EAGAIN))]),
    # Waiting.
    ("woken up", tcp(), [*WAITING, (woken(0), PROBE), (probed(0), CONNECTED)]),
    ("refused", tcp(), [*WAITING, (woken(ECONNREFUSED), Failed(ECONNREFUSED))]),
    ("closed meanwhile", tcp(), [*STARTED, (probed(EBADF), Failed(EBADF))]),
    (
        "closed while it waited",
        tcp(),
        [*WAITING, (woken(0), PROBE), (probed(EBADF), Failed(EBADF))],
    ),
    *(
        (
            f"SO_ERROR says that it goes on ({errnos.errorcode[errno]})",
            tcp(),
            [
                *WAITING,
                (woken(errno), WAIT),
                (woken(errno), WaitWritable(NOW + 0.001)),
                (woken(errno, NOW + 5), WaitWritable(NOW + 5 + 0.002)),
                (woken(0), PROBE),
                (probed(0), CONNECTED),
            ],
        )
        for errno in (EINPROGRESS, EALREADY, EINTR)
    ),
    (
        "woken up for nothing",
        tcp(),
        [
            *WAITING,
            (woken(0), PROBE),
            (probed(ENOTCONN), INSPECT),
            (inspected(False), WAIT),
            (woken(0), PROBE),
            (probed(ENOTCONN), INSPECT),
            (inspected(False, NOW + 5), WaitWritable(NOW + 5 + 0.001)),
            (woken(EINPROGRESS), WaitWritable(NOW + 0.002)),
            (woken(0), PROBE),
            (probed(0), CONNECTED),
        ],
    ),
    (
        "nothing is running any more",
        tcp(),
        [
            *WAITING,
            (woken(0), PROBE),
            (probed(ENOTCONN), INSPECT),
            (inspected(True), Failed(ENOTCONN)),
        ],
    ),
    (
        "connected as the loop does it",
        tcp(),
        [(begin(), CONNECT), (woken(0), PROBE), (probed(0), CONNECTED)],
    ),
    # Connected to itself.
    (
        "to itself, three times",
        tcp(),
        [
            *STARTED,
            (probed(0, True), REOPEN),
            *WAITING,
            (woken(0), PROBE),
            (probed(0, True), REOPEN),
            (begin(), CONNECT),
            (called(0), PROBE),
            (probed(0, True), TO_ITSELF),
        ],
    ),
    (
        "no local port, then to itself, then refused",
        tcp6(),
        [
            (begin(), CONNECT),
            (called(EADDRNOTAVAIL), REOPEN),
            *STARTED,
            (probed(0, True), REOPEN),
            *WAITING,
            (woken(ECONNREFUSED), Failed(ECONNREFUSED)),
        ],
    ),
    (
        "to itself twice, then no local port",
        tcp(),
        [
            *STARTED,
            (probed(0, True), REOPEN),
            *STARTED,
            (probed(0, True), REOPEN),
            (begin(), CONNECT),
            (called(EADDRNOTAVAIL), TO_ITSELF),
        ],
    ),
    (
        "to itself once, then no local port",
        tcp(),
        [
            *STARTED,
            (probed(0, True), REOPEN),
            (begin(), CONNECT),
            (called(EADDRNOTAVAIL), REOPEN),
            (begin(), CONNECT),
            (called(EADDRNOTAVAIL), TO_ITSELF),
        ],
    ),
    (
        "no local port twice, then to itself",
        tcp(),
        [
            (begin(), CONNECT),
            (called(EADDRNOTAVAIL), REOPEN),
            (begin(), CONNECT),
            (called(EADDRNOTAVAIL), REOPEN),
            *STARTED,
            (probed(0, True), TO_ITSELF),
        ],
    ),
    (
        "to itself, on a caller's socket",
        tcp(owned=False),
        [*STARTED, (probed(0, True), TO_ITSELF)],
    ),
    ("to itself, as asked for", tcp(port_fixed=True), [*STARTED, (probed(0, True), CONNECTED)]),
    ("a datagram socket may be its own peer", udp(), [*STARTED, (probed(0, True), CONNECTED)]),
    # Taken up.
    ("taken up, connected", tcp(owned=False), [(resume(), PROBE), (probed(0), CONNECTED)]),
    (
        "taken up, connected to itself",
        tcp(owned=False),
        [(resume(), PROBE), (probed(0, True), TO_ITSELF)],
    ),
    (
        "taken up, running",
        tcp(owned=False),
        [
            *RESUMED,
            (woken(0), PROBE),
            (probed(ENOTCONN), INSPECT),
            (inspected(False), WAIT),
            (woken(0), PROBE),
            (probed(0), CONNECTED),
        ],
    ),
    (
        "taken up, still running by SO_ERROR",
        tcp(owned=False),
        [*RESUMED, (woken(EINPROGRESS), WAIT)],
    ),
    (
        "taken up, refused",
        tcp(owned=False),
        [*RESUMED, (woken(ECONNREFUSED), Failed(ECONNREFUSED))],
    ),
    (
        "taken up, nothing running",
        tcp(owned=False),
        [
            *RESUMED,
            (woken(0), PROBE),
            (probed(ENOTCONN), INSPECT),
            (inspected(True), Failed(ENOTCONN)),
        ],
    ),
    (
        "taken up, a unix socket after a full backlog",
        unix(owned=False),
        [
            *RESUMED,
            (woken(0), PROBE),
            (probed(ENOTCONN), INSPECT),
            (inspected(True), Failed(ENOTCONN)),
        ],
    ),
    (
        "taken up, a datagram socket without a peer",
        udp(owned=False),
        [(resume(), PROBE), (probed(ENOTCONN), Failed(ENOTCONN))],
    ),
    ("taken up, closed", tcp(owned=False), [(resume(), PROBE), (probed(EBADF), Failed(EBADF))]),
]


@pytest.mark.parametrize(
    ("machine", "script"), [row[1:] for row in SCRIPTS], ids=[row[0] for row in SCRIPTS]
)
def test_what_it_is_told_and_what_it_asks_for(machine: Attempt, script: Script) -> None:
    machine = copy.copy(machine)  # a row is a value
    for (method, *answer), action in script:
        assert getattr(machine, method)(*answer) == action, (method, *answer)


MILLISECONDS = [1, 2, 4, 8, 16, 32, 50, 50, 50]


def test_a_full_backlog_is_tried_again_after_1_ms_doubling_to_50_ms() -> None:
    machine = unix()
    machine.begin()
    actions = [machine.called(EAGAIN, NOW) for _ in MILLISECONDS]
    assert actions == [RetryAt(NOW + pause / 1000) for pause in MILLISECONDS]


def test_wake_ups_for_nothing_are_waited_out_for_1_ms_doubling_to_50_ms() -> None:
    machine = tcp()
    machine.begin()
    machine.called(EINPROGRESS, NOW)
    assert machine.probed(ENOTCONN) == WAIT
    actions = []
    for _ in range(1 + len(MILLISECONDS)):
        assert machine.woken(0, NOW) is PROBE
        assert machine.probed(ENOTCONN) is INSPECT
        actions.append(machine.inspected(False, NOW))
    pauses = [WaitWritable(NOW + pause / 1000) for pause in MILLISECONDS]
    assert actions == [WAIT, *pauses]


@pytest.mark.parametrize(
    ("machine", "tellings", "errno"),
    [
        (unix(), [begin()], None),
        (unix(), [begin(), called(EAGAIN)], EAGAIN),
        (unix(), [begin(), called(ENOENT)], ENOENT),
        (tcp(), [begin(), called(EINPROGRESS)], None),
        (tcp(), [begin(), called(EINPROGRESS), probed(ENOTCONN)], None),
        (tcp(), [begin(), called(EADDRNOTAVAIL)], EADDRNOTAVAIL),
        (tcp(), [begin(), called(EADDRNOTAVAIL), begin(), called(EINPROGRESS)], None),
        (tcp(owned=False), [begin(), called(EALREADY)], EALREADY),
        (tcp(owned=False), [resume(), probed(ENOTCONN)], None),
    ],
)
def test_its_errno_says_why_it_has_not_got_further(
    machine: Attempt, tellings: list[Telling], errno: int | None
) -> None:
    machine = copy.copy(machine)  # a row is a value
    for method, *answer in tellings:
        getattr(machine, method)(*answer)
    assert machine.errno == errno


# ------------------------------------------------------------------------ other platforms


@pytest.fixture
def load_as_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Load the module a second time, as on another platform."""

    def load(platform: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(
            f"aconnect.sansio.attempt_on_{platform}", module.__file__
        )
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "platform", platform)
            if platform == "win32":
                patch.setattr(errnos, "WSAEWOULDBLOCK", 10035, raising=False)
                patch.delattr(socket, "AF_UNIX")
            spec.loader.exec_module(loaded)
        return loaded

    return load


def test_macos_may_say_einval_of_a_socket_without_peer(
    load_as_on: Callable[[str], ModuleType],
) -> None:
    for platform, action in [("darwin", "WaitWritable"), ("linux", "Failed")]:
        machine = load_as_on(platform).Attempt(AF_INET, SOCK_STREAM, owned=True)
        machine.begin()
        machine.called(EINPROGRESS, NOW)
        assert type(machine.probed(EINVAL)).__name__ == action


def test_windows_calls_einprogress_wsaewouldblock(
    load_as_on: Callable[[str], ModuleType],
) -> None:
    windows = load_as_on("win32")
    for family in INET:
        meaning = windows.classify(10035, family, owned=True)
        assert meaning is windows.Meaning.STARTED
    assert windows.classify(EINPROGRESS, AF_INET, owned=False) is windows.Meaning.STARTED
    assert not windows.Attempt(AF_INET, SOCK_STREAM, owned=True).immediate
    assert classify(10035, AF_INET, owned=True) is Meaning.FAILED


# -------------------------------------------------------------- whatever the kernel answers

KINDS = st.builds(
    attempt,
    st.sampled_from(ANY),
    st.sampled_from([SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET]),
    owned=st.booleans(),
    port_fixed=st.booleans(),
)
LIKELY = [0, EINPROGRESS, EINTR, EALREADY, EISCONN, EAGAIN, EADDRNOTAVAIL, ENOTCONN, EINVAL]
# What the machine is made to do most: 0 and ENOTCONN keep it going.
ERRNOS = st.one_of(
    st.sampled_from(LIKELY),
    st.sampled_from([0, ENOTCONN]),
    st.sampled_from(list(errnos.errorcode)),
)
ANSWERS = st.lists(st.tuples(ERRNOS, st.booleans(), st.floats(0, 10)), max_size=60)


class Kernel:
    """Answers whatever it likes, and keeps account of what it was asked."""

    def __init__(self, machine: Attempt, answers: list[tuple[int, bool, float]]) -> None:
        self.machine = machine
        self.answers = answers
        self.now = NOW

    def carry_out(self, action: Action) -> Iterator[tuple[Action, int | None]]:
        """Each action, with the errno that was answered to the one before."""
        errno: int | None = None
        for answer, flag, gap in self.answers:
            yield action, errno
            errno = answer
            if isinstance(action, (RetryAt, WaitWritable)):
                self.now += gap
            if isinstance(action, Failed) or action is CONNECTED:
                return
            if isinstance(action, WaitWritable) or action is READ_ERROR:
                action = self.machine.woken(errno, self.now)
            elif isinstance(action, RetryAt):
                action, errno = CONNECT, None
            elif action is CONNECT:
                action = self.machine.called(errno, self.now)
            elif action is PROBE:
                action = self.machine.probed(errno, flag)
            elif action is INSPECT:
                action, errno = self.machine.inspected(flag, self.now), None
            else:
                assert action is REOPEN
                action, errno = self.machine.begin(), None
        yield action, errno


def is_a_pause(seconds: float) -> bool:
    return RETRY_FIRST - 1e-9 < seconds < RETRY_LONGEST + 1e-9  # but for rounding


@settings(max_examples=500, deadline=None)
@given(KINDS, st.booleans(), ANSWERS)
def test_whatever_the_kernel_answers(
    machine: Attempt, resumed: bool, answers: list[tuple[int, bool, float]]
) -> None:
    owned, family = machine._owned, machine._family
    kernel = Kernel(machine, answers)
    trail: list[Action] = []
    unpaused = awake = 0
    for action, errno in kernel.carry_out(machine.resume() if resumed else machine.begin()):
        before = trail[-1] if trail else None
        trail.append(action)
        awake = 0 if isinstance(action, (RetryAt, WaitWritable)) else awake + 1
        assert awake < 12, "it must come to a wait, or to an end"
        if action is CONNECT:
            first = before is None and not resumed
            assert first or before is REOPEN or isinstance(before, RetryAt)
        elif action is REOPEN:
            assert owned
            assert trail.count(REOPEN) <= MAX_REOPENS
        elif isinstance(action, RetryAt):
            assert (before, errno, family) == (CONNECT, EAGAIN, AF_UNIX)
            assert is_a_pause(action.when - kernel.now)
        elif isinstance(action, WaitWritable):
            if action.not_before is None:
                unpaused += 1
                assert unpaused <= 2 + trail.count(REOPEN), "a busy loop"
            else:
                assert is_a_pause(action.not_before - kernel.now)
        elif action is CONNECTED:
            assert before is PROBE, "nobody is taken at his word"
            assert errno == 0
        elif isinstance(action, Failed):
            assert action.errno in (errno, ENOTCONN, ECONNREFUSED)
            assert action.errno != 0
            assert action.to_itself <= (action.errno == ECONNREFUSED and machine.watch_for_itself)
        else:
            assert action in (PROBE, READ_ERROR, INSPECT)
    final = [a for a in trail if a is CONNECTED or isinstance(a, Failed)]
    assert final in ([], trail[-1:])


# ------------------------------------------------------------- sockets that others have had


@pytest.mark.parametrize("family", [AF_INET, AF_UNIX])
@pytest.mark.parametrize("type", [SOCK_STREAM, SOCK_DGRAM])
@pytest.mark.parametrize(("owned", "lent"), [(True, False), (True, True), (False, False)])
@pytest.mark.parametrize("errno", [0, EINPROGRESS, EINTR, EALREADY, EISCONN])
def test_the_peer_is_compared_where_another_may_have_connected_it(
    family: int, type: int, owned: bool, lent: bool, errno: int
) -> None:
    machine = Attempt(family, type, owned=owned, lent=lent)
    machine.begin()
    machine.called(errno, NOW)
    tcp = (family, type) == (AF_INET, SOCK_STREAM)
    theirs = errno in (EALREADY, EISCONN) or (errno == 0 and tcp)
    assert machine.compare_peer is (theirs and (lent or not owned))
    if machine.compare_peer and owned:
        assert machine.probed(EISCONN) == Failed(EISCONN)


@pytest.mark.parametrize("lent", [False, True])
def test_the_peer_is_compared_where_the_loop_has_called_connect(lent: bool) -> None:
    machine = Attempt(AF_INET, SOCK_STREAM, owned=True, lent=lent)
    machine.begin()
    assert machine.woken(0, NOW) is PROBE
    assert machine.compare_peer is lent
