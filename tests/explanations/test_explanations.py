"""Every errno of connect(2), in words; and whether a later try may succeed."""

from __future__ import annotations

import errno as errnos
import os
import re
import socket
from dataclasses import replace
from typing import Any

import pytest

from aconnect import (
    AddressNotPermitted,
    AttemptRecord,
    ConnectError,
    ConnectTimeout,
    HandshakeError,
    ProxyError,
    ResolveError,
    TCPAddress,
    explain,
)
from aconnect.explanations.explain import BY_CODE, BY_ERRNO, Explanation, lookup

UNIX, INET, INET6 = socket.AF_UNIX, socket.AF_INET, socket.AF_INET6

# The errno, whether it passes, and words that its explanation must have: those of a unix
# socket, those of an internet socket.
CONNECT_ERRNOS = [
    ("EACCES", False, "no write permission on the socket", "firewall rule"),
    ("EPERM", False, "local firewall rule", "SO_BROADCAST is not set"),
    ("EADDRINUSE", True, "the local address is in use", "the local address is in use"),
    ("EADDRNOTAVAIL", True, "not on this host", "no ephemeral port is left"),
    ("EAFNOSUPPORT", False, "not this socket's", "not this socket's"),
    ("EAGAIN", True, "the listener's backlog is full", "no local port was free"),
    ("EALREADY", False, "still running", "still running"),
    ("EBADF", False, "the socket is closed", "the socket is closed"),
    ("ECONNREFUSED", True, "the socket file is there", "nothing is listening there"),
    ("ECONNRESET", True, "the peer reset the connection", "the peer reset"),
    (
        "ECONNABORTED",
        True,
        "this machine's network stack aborted",
        "this machine's network stack aborted",
    ),
    ("EFAULT", False, "outside the process's memory", "outside the process's memory"),
    ("EHOSTDOWN", True, "the host is down", "the host is down"),
    ("EHOSTUNREACH", True, "no route leads to that host", "did not answer ARP"),
    ("EINVAL", False, "the address is malformed", "a missing or wrong scope"),
    ("EIO", False, "an input/output error", "an input/output error"),
    ("ENOSR", True, "STREAMS", "STREAMS"),
    ("EPROTOTYPE", False, "is of another type", "is of another type"),
    ("ENOBUFS", True, "no buffer space left", "no buffer space left"),
    ("ENOMEM", True, "no memory left", "no memory left"),
    ("EISCONN", False, "already connected", "already connected"),
    ("ELOOP", False, "too many symbolic links", "too many symbolic links"),
    ("ENAMETOOLONG", False, "is too long", "is too long"),
    (
        "ENOENT",
        True,
        "there is no socket file at that path",
        "there is no socket file at that path",
    ),
    ("ENOTDIR", False, "not a directory", "not a directory"),
    ("EMFILE", True, "the process is out of file descriptors", "the process is out of"),
    ("ENFILE", True, "the system is out of file descriptors", "the system is out of"),
    ("ENETDOWN", True, "the network interface is down", "the network interface is down"),
    ("ENETUNREACH", True, "no route leads to that network", "no route leads to that network"),
    ("ENOTSOCK", False, "not a socket", "not a socket"),
    ("EOPNOTSUPP", False, "a listening socket cannot connect", "a listening socket cannot"),
    ("ETIMEDOUT", True, "no answer came in time", "no answer came in time"),
]
# Those that other calls on the way to a connection can add.
OTHER_ERRNOS = [
    ("EPFNOSUPPORT", False, "does not support this protocol family", "protocol family"),
    ("EPROTO", False, "a handshake with the peer failed", "a handshake with the peer failed"),
    ("EPROTONOSUPPORT", False, "does not support this protocol", "for this type of socket"),
    ("ENOPROTOOPT", False, "refuses the protocol or the option", "refuses the protocol"),
    ("ENOTCONN", False, "the socket is not connected", "no attempt is running on it"),
    ("ENODEV", False, "no such device", "no such device"),
]
# The codes of getaddrinfo(3).
LOOKUP_CODES = [
    ("EAI_NONAME", False, "no such name is known"),
    ("EAI_NODATA", False, "the name is known but has no address"),
    ("EAI_AGAIN", True, "no name server gave a usable answer this time"),
    ("EAI_FAIL", False, "the name server failed, and asking again will not help"),
    ("EAI_MEMORY", True, "there was no memory, or no thread, for the lookup"),
    ("EAI_ADDRFAMILY", False, "the name has no address of that family"),
    ("EAI_SYSTEM", False, "the system failed while looking the name up"),
    ("EAI_SERVICE", False, "this type of socket cannot have that port"),
    ("EAI_FAMILY", False, "the system does not support the address family"),
    ("EAI_SOCKTYPE", False, "the system does not support this type of socket"),
    ("EAI_BADFLAGS", False, "the system does not know one of the lookup's flags"),
    ("EAI_OVERFLOW", False, "the answer was too long"),
]
SENTENCES = r"{name}: [^\n]*\w[^\n]*\. Check [^\n]*\w[^\n]*\."


@pytest.mark.parametrize(
    ("name", "transient", "unix", "inet"),
    [*CONNECT_ERRNOS, *OTHER_ERRNOS],
    ids=[name for name, *_ in [*CONNECT_ERRNOS, *OTHER_ERRNOS]],
)
def test_every_errno_of_connect_is_explained(
    name: str, transient: bool, unix: str, inet: str
) -> None:
    errno = getattr(errnos, name)
    row = lookup(errno)
    assert row.name == name
    assert row.transient is transient
    assert ConnectError(errno, "").transient is transient
    assert unix in row.words(UNIX)
    assert inet in row.words(INET)
    assert inet in row.words(INET6)
    assert unix in row.words(None)
    assert inet in row.words(None)
    assert re.fullmatch(SENTENCES.format(name=name), explain(errno))
    assert explain(errno).endswith(f" Check {row.advice(None)}.")
    assert explain(name) == explain(name.lower()) == explain(errno)


def test_no_errno_is_explained_but_these() -> None:
    names = [name for name, *_ in [*CONNECT_ERRNOS, *OTHER_ERRNOS]]
    assert sorted(row.name for row in BY_ERRNO.values()) == sorted(names)
    assert {row.name for row in BY_CODE.values()} == {name for name, *_ in LOOKUP_CODES}


@pytest.mark.parametrize(("name", "transient", "words"), LOOKUP_CODES)
def test_every_code_of_getaddrinfo_is_explained(name: str, transient: bool, words: str) -> None:
    code = getattr(socket, name)
    row = lookup(code, resolving=True)
    assert (row.name, row.transient, row.what) == (name, transient, words)
    assert ResolveError(code, "").transient is transient
    assert explain(code) == f"{name}: {words}. Check {row.check}."
    assert explain(socket.gaierror(code, "")) == explain(name) == explain(code)


@pytest.mark.parametrize(
    ("row", "family", "words"),
    [
        (("any", "unix", "inet"), UNIX, "unix"),
        (("any", "unix", "inet"), INET, "inet"),
        (("any", "unix", "inet"), None, "any; unix: unix; inet: inet"),
        (("any", "", ""), UNIX, "any"),
        (("any", "", ""), INET, "any"),
        (("any", "", ""), None, "any"),
        (("", "unix", ""), INET, "unix"),
        (("", "unix", ""), None, "unix: unix"),
        (("", "", "inet"), UNIX, "inet"),
        (("", "", "inet"), None, "inet: inet"),
        (("any", "unix", "inet"), socket.AF_VSOCK, "inet"),
    ],
)
def test_only_the_words_for_the_family_are_said(
    row: tuple[str, str, str], family: int | None, words: str
) -> None:
    what, unix, inet = row
    assert Explanation("E", what, "", False, unix, inet).words(family) == words
    assert Explanation("E", "", what, False, "", "", unix, inet).advice(family) == words


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (ConnectError(errnos.EAGAIN, "", family=UNIX), "EAGAIN: the listener's backlog is full. "),
        (ConnectError(errnos.EAGAIN, "", family=INET), "EAGAIN: no local port was free, or "),
        (ConnectError(errnos.EAGAIN, ""), "EAGAIN: unix: the listener's backlog is full; inet: "),
        (
            ConnectError(errnos.EAGAIN, "", address=TCPAddress("a.example", 80)),
            "EAGAIN: no local port was free, or ",
        ),
        (ConnectTimeout(errnos.ETIMEDOUT, ""), "ETIMEDOUT: no answer came in time. "),
        (ResolveError(socket.EAI_AGAIN, ""), "EAI_AGAIN: no name server gave a usable answer "),
        (ResolveError(socket.EAI_FAIL, "", phase="resolve"), "EAI_FAIL: the name server failed, "),
        (ResolveError(errnos.EMFILE, ""), "EMFILE: the process is out of file descriptors. "),
        (OSError(errnos.ENOENT, "x"), "ENOENT: there is no socket file at that path. "),
        (
            FileNotFoundError(errnos.ENOENT, "x", "y"),
            "ENOENT: there is no socket file at that path. ",
        ),
        (
            socket.gaierror(socket.EAI_FAIL, "x"),
            "EAI_FAIL: the name server failed, and asking again will not help. ",
        ),
        # A number means what its exception says: -2 is EAI_NONAME only for getaddrinfo(3).
        (OSError(socket.EAI_NONAME, "x"), "errno -2: Unknown error -2. "),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_an_error_is_explained_for_its_family_and_phase(error: OSError, start: str) -> None:
    assert explain(error).startswith(f"{start}Check " if start.endswith(". ") else start)


UNIX_ONLY = ("unix", "socket file", "path", "directory", "backlog")


@pytest.mark.parametrize("row", BY_ERRNO.values(), ids=lambda row: row.name)
def test_only_the_family_of_the_error_is_spoken_of(row: Explanation) -> None:
    error = ConnectError(getattr(errnos, row.name), "", family=INET)
    if row.unix or row.check_unix:
        assert not any(word in explain(error) for word in UNIX_ONLY)
    assert "inet" not in explain(error)


def shaken(errno: int, note: str) -> HandshakeError:
    record = AttemptRecord(
        *(INET, socket.SOCK_STREAM, ("127.0.0.1", 443), None, 0, 1),
        *("failed", errno, note, "handshake"),
    )
    return HandshakeError(errno, "", phase="handshake", attempts=[record], family=INET)


CHECK = "Check what the error says about it, the server's log, and that it is the right port."


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            shaken(errnos.EPROTO, "the TLS handshake failed: the certificate has expired"),
            f"EPROTO: the TLS handshake failed: the certificate has expired. {CHECK}",
        ),
        (
            shaken(errnos.EPROTO, "the peer does not speak TLS here: is it the right port?"),
            f"EPROTO: the peer does not speak TLS here: is it the right port? {CHECK}",
        ),
        (
            shaken(errnos.EPROTO, "the handshake failed: cut off..."),
            f"EPROTO: the handshake failed: cut off... {CHECK}",
        ),
        (
            shaken(errnos.ECONNRESET, "the TLS handshake failed: the peer closed the connection"),
            f"ECONNRESET: the TLS handshake failed: the peer closed the connection. {CHECK}",
        ),
        (
            HandshakeError(errnos.ECONNRESET, "", phase="handshake"),
            f"ECONNRESET: a handshake with the peer failed. {CHECK}",
        ),
        (
            ConnectTimeout(errnos.ETIMEDOUT, "", phase="handshake"),
            f"ETIMEDOUT: connected, but the handshake did not finish in time. {CHECK}",
        ),
        (
            ConnectTimeout(
                errnos.ETIMEDOUT,
                "",
                phase="handshake",
                attempts=[replace(shaken(1, "").attempts[0], outcome="timed out", errno=None)],
            ),
            f"ETIMEDOUT: connected, but the handshake did not finish in time. {CHECK}",
        ),
    ],
)
def test_a_handshake_is_explained_by_what_it_says(error: OSError, words: str) -> None:
    assert explain(error) == words


@pytest.mark.parametrize(
    ("errno", "about", "note", "check"),
    [
        (errnos.EACCES, "proxy", "the proxy says 407 No", "the user and the password that the "),
        (errnos.EPROTO, "proxy", "it is no HTTP proxy", "the scheme and the port of the proxy: "),
        (errnos.EACCES, "target", "the proxy says 403 No", "the address that the proxy was asked"),
        (errnos.EHOSTUNREACH, "target", "the proxy says 502 No", "the address that the proxy "),
    ],
)
def test_a_proxys_refusal_is_explained_by_what_it_is_about(
    errno: int, about: Any, note: str, check: str
) -> None:
    record = replace(shaken(errno, note).attempts[0], phase="proxy")
    error = ProxyError(errno, "", about=about, phase="proxy", attempts=[record], family=INET)
    name = errnos.errorcode[errno]
    assert explain(error).startswith(f"{name}: {note}. Check {check}")


def test_a_proxy_that_is_silent_is_explained() -> None:
    error = ConnectTimeout(errnos.ETIMEDOUT, "", phase="proxy", family=INET)
    assert explain(error).startswith(
        "ETIMEDOUT: connected to the proxy, but it did not answer in time. Check the scheme "
    )


def test_an_attempt_that_has_something_to_say_is_heard() -> None:
    refused = AttemptRecord(
        *(INET, socket.SOCK_STREAM, ("10.0.0.1", 80), None, 0, 1, "not permitted"),
        *(errnos.EPERM, "the address policy does not permit it"),
    )
    silent = replace(refused, outcome="failed", errno=errnos.ECONNREFUSED, note="")
    error = AddressNotPermitted(errnos.EPERM, "", attempts=[silent, refused], family=INET)
    assert explain(error) == (
        "EPERM: the address policy does not permit it. "
        "Check the policy (permit), and which addresses the name has."
    )
    by_proxy = replace(silent, via=("http://proxy:1", "http://second:1"))
    error = ConnectError(errnos.ECONNREFUSED, "", attempts=[by_proxy], family=INET)
    assert explain(error).startswith(
        "ECONNREFUSED: the proxy http://proxy:1 could not be reached: nothing is listening there."
    )
    bound = replace(silent, errno=errnos.EADDRINUSE, note="could not bind to local_address x")
    error = ConnectError(errnos.EADDRINUSE, "", attempts=[silent, bound], family=INET)
    assert explain(error).startswith(
        "EADDRINUSE: could not bind to local_address x. Check what else "
    )


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("ECONREFUSED", "; did you mean ECONNREFUSED"),
        ("econnrefusd", "; did you mean ECONNREFUSED"),
        ("EAI_NONAM", "; did you mean EAI_NONAME"),
        ("EAI_MAX", ""),
        ("errorcode", ""),
        ("", ""),
        ("111", ""),
    ],
)
def test_a_name_that_no_error_has(name: str, suggestion: str) -> None:
    message = f"errno_or_error {name!r} is not the name of a known error{suggestion}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        explain(name)


def test_an_errno_that_is_no_number_is_none() -> None:
    with pytest.raises(ValueError, match="carries no errno"):
        explain(OSError("no", "such thing"))


def test_a_timeout_is_explained_by_what_was_waited_for() -> None:
    resolving = ConnectTimeout(errnos.ETIMEDOUT, "", phase="resolve")
    assert explain(resolving).startswith("ETIMEDOUT: no name server answered in time. Check ")
    full = AttemptRecord(UNIX, socket.SOCK_STREAM, "/s", None, 0, 1, "timed out", errnos.EAGAIN)
    backlog = ConnectTimeout(errnos.ETIMEDOUT, "", attempts=[full], family=UNIX)
    assert explain(backlog).startswith(
        "ETIMEDOUT: time ran out on EAGAIN, the listener's backlog is full. Check that the "
    )
    silent = replace(full, errno=None)
    unanswered = ConnectTimeout(errnos.ETIMEDOUT, "", attempts=[full, silent], family=UNIX)
    assert explain(unanswered).startswith("ETIMEDOUT: no answer came in time. ")
    kernel = replace(full, outcome="failed", errno=errnos.ETIMEDOUT)
    gave_up = ConnectTimeout(errnos.ETIMEDOUT, "", attempts=[kernel], family=UNIX)
    assert explain(gave_up).startswith("ETIMEDOUT: no answer came in time. ")


@pytest.mark.parametrize("errno", [errnos.EXDEV, errnos.ECHILD, errnos.ENOTUNIQ])
def test_any_other_errno_gets_the_words_of_the_system(errno: int) -> None:
    name = errnos.errorcode[errno]
    assert lookup(errno).name == name
    assert not lookup(errno).transient
    assert explain(errno) == f"{name}: {os.strerror(errno)}. Check the manual page connect(2)."


@pytest.mark.parametrize("errno", [0, 9999, -9999])
def test_a_number_that_is_no_errno_is_called_a_number(errno: int) -> None:
    assert explain(errno) == (
        f"errno {errno}: {os.strerror(errno)}. Check the manual page connect(2)."
    )


def test_a_code_of_getaddrinfo_is_no_errno_unless_it_is_said() -> None:
    assert lookup(socket.EAI_NONAME).name == f"errno {socket.EAI_NONAME}"
    assert lookup(errnos.ENOENT, resolving=True).name == "ENOENT"


def test_eagain_has_its_own_name_whatever_else_has_its_number() -> None:
    assert errnos.EWOULDBLOCK == errnos.EAGAIN
    assert lookup(errnos.EWOULDBLOCK).name == "EAGAIN"
    assert errnos.errorcode[errnos.EOPNOTSUPP] != lookup(errnos.EOPNOTSUPP).name == "EOPNOTSUPP"


@pytest.mark.parametrize("thing", [True, None, b"EIO", 111.0, ValueError(5)], ids=repr)
def test_what_is_neither_errno_nor_error_is_a_type_error_that_shows_it(thing: Any) -> None:
    message = f"errno_or_error must be an errno, the name of one or an OSError, not {thing!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        explain(thing)


@pytest.mark.parametrize("error", [OSError(), OSError("connection lost"), socket.gaierror()])
def test_an_error_without_errno_is_a_value_error_that_shows_it(error: OSError) -> None:
    message = f"errno_or_error carries no errno: {error!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        explain(error)


@pytest.mark.parametrize("errno", [2**31, -(2**31) - 1, 10**30])
def test_a_number_beyond_the_range_of_errno_is_called_a_number(errno: int) -> None:
    assert explain(errno).startswith(f"errno {errno}: ")


@pytest.mark.parametrize("name", ["NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"])
def test_what_name_servers_say_is_explained(name: str) -> None:
    said = explain(name.lower())
    assert said.startswith(f"{name}: a name server ")
    assert " Check " in said
