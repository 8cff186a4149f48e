"""One question, put to name servers until one of them has answered it.

Rules:

* Each try has a socket of its own, connected, on a port of the kernel's choice, and an id of 16
  random bits (RFC 5452): the kernel drops what comes from anywhere else.
* What is no answer to the question is counted and passed over.  After `MOST_IGNORED` of them the
  question goes to TCP, where nobody can join in; and after as many there, to the next server.
* An answer that is cut short is asked for again by TCP; nothing of it is used.
* A server that does not take EDNS is asked once more without, and remembered for that.
* Nothing here waits: `reads` and `writes` have what is to be waited for, `wake_at` until when.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Final

from ...addresses.literal import zoned_endpoint
from ...addresses.text import format_sockaddr
from ...addresses.values import TCPAddress, UDPAddress
from ...sansio.asking import Asking
from ...sansio.finding import HTTPS, SVCB
from ...sockets.datagrams import source_address
from ...sockets.syscalls import open_socket
from .names import business_of, words_of
from .outcome import Outcome, Troubles
from .wire import CIRCLE, LONGEST_TTL, Question, Reply, encode, read

if TYPE_CHECKING:
    from ...addresses.values import Endpoint
    from ...sansio.asking import Servers
    from .settings import Settings

__all__ = ["MOST_IGNORED", "Exchange"]

MOST_IGNORED: Final = 16
_MOST_LINKS: Final = 16
_LARGEST: Final = 65535
_NOERROR, _FORMERR, _SERVFAIL, _NXDOMAIN, _NOTIMP, _BADVERS = 0, 1, 2, 3, 4, 16
_OURS: Final = (
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS),
    *(errno.EADDRNOTAVAIL, errno.EAGAIN),
)
"""What is wrong with this machine, and would be with the next server."""
_SERVICES: Final = (SVCB, HTTPS)
_PENDING: Final = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


class _Try:
    __slots__ = (
        "asked",
        "edns",
        "ignored",
        "number",
        "received",
        "server",
        "sock",
        "start",
        "tcp",
        "truncated",
    )

    def __init__(self, number: int, server: int, start: float, edns: bool) -> None:
        self.number = number
        self.server = server
        self.start = start
        self.edns = edns
        self.tcp = False
        self.truncated = False
        self.ignored = 0
        self.asked = b""
        self.received = bytearray()
        self.sock: socket.socket | None = None


class Exchange:
    """One question.

    Args:
        question: what is asked.
        settings: which servers there are, and how they are asked.
        servers: what is known of them.
        now: the moment.
        first: the server to begin with.

    Attributes:
        question: what is asked, the name being that to which aliases have led so far.
        outcome: what came of it; None as long as it is under way.
        reads, writes: the sockets to wait for.
    """

    def __init__(
        self, question: Question, settings: Settings, servers: Servers, now: float, first: int = 0
    ) -> None:
        self.question: Question = question
        self.outcome: Outcome | None = None
        self.reads: dict[socket.socket, _Try] = {}
        self.writes: dict[socket.socket, _Try] = {}
        self._settings = settings
        self._servers = servers
        self._first = first
        self._links = 0
        self._ttl = LONGEST_TTL  # of the aliases so far
        # That a server has no sense for records of services is not to cost each dial a wait.
        self._troubles = Troubles(kept=question.type in _SERVICES)
        self._why_nobody = ""
        self._started = now
        self._ignored = 0
        self._due = 0  # how many servers are to be asked now
        self._begin(now)

    @property
    def wake_at(self) -> float:
        """When `time_passed` is due."""
        return inf if self.outcome is not None else self._asking.wake_at

    def close(self) -> None:
        """Ask nobody any more."""
        for sock in (*self.reads, *self.writes):
            sock.close()
        self.reads.clear()
        self.writes.clear()

    def ready(self, sock: socket.socket, now: float) -> None:
        """A socket of `reads` or `writes` is ready."""
        if sock in self.writes:
            self._connected(self.writes.pop(sock), now)
        elif sock in self.reads:
            each = self.reads[sock]
            try:
                (self._receive_stream if each.tcp else self._receive)(each, now)
            except BlockingIOError:
                pass
            except OSError as error:
                self._broken(each, error, now)

    def time_passed(self, now: float) -> None:
        """The moment `wake_at` has come."""
        late, due = self._asking.time_passed(now)
        for each in [*self.reads.values(), *self.writes.values()]:
            if each.number in late:
                self._drop(each)
                words = f"timed out after {self._settings.timeout:g} s"
                self._troubles.add(self._name(each.server), words, again=True)
                self._servers.failed(each.server, now)
        if due:
            self._servers.failed(self._asking.tries[-1], now)  # it is slower than it was
            self._next(now)
        self._look()

    # Tries.

    def _begin(self, now: float) -> None:
        settings = self._settings
        order = self._servers.order(now, self._first)
        self._asking = Asking(order, settings.attempts, settings.timeout, self._servers)
        self._next(now)

    def _next(self, now: float) -> None:
        """Ask the next server; and the one after that, as long as they cannot be asked."""
        self._due += 1
        if self._due > 1:
            return  # this has been called by what it calls, as that one could not be asked
        while self._due and (server := self._asking.next(now)) is not None:
            number = len(self._asking.tries) - 1
            edns = self._servers.knows_edns(server, now)
            self._open(_Try(number, server, now, edns), now, tcp=self._settings.use_tcp)
            self._due -= 1
        self._due = 0
        self._look()

    def _look(self) -> None:
        """See whether it is over."""
        if self.outcome is None and self._asking.over:
            self._fail(self._troubles.code, self._troubles.words)

    def _open(self, each: _Try, now: float, tcp: bool) -> None:
        """Put the question to a server."""
        each.tcp, each.ignored = tcp, 0
        identity = int.from_bytes(os.urandom(2), "big")
        authentic = self._settings.trust_ad
        each.asked = encode(self.question, identity, edns=each.edns, authentic=authentic)
        try:
            endpoint = _endpoint(*self._settings.servers[each.server], tcp)
            each.sock = open_socket(endpoint, socket.socket)
            answer = each.sock.connect_ex(endpoint.sockaddr)
            if answer == errno.EADDRNOTAVAIL and source_address(endpoint) is None:
                answer = errno.ENETUNREACH  # ports there are: IPv6 is switched off
            if answer not in _PENDING:
                raise OSError(answer, os.strerror(answer))
            if tcp:
                self.writes[each.sock] = each
            else:
                each.sock.send(each.asked)
                self.reads[each.sock] = each
        except OSError as error:
            self._broken(each, error, now)

    def _connected(self, each: _Try, now: float) -> None:
        """A connection by TCP is there, or has failed."""
        assert each.sock is not None
        self.reads[each.sock] = each
        try:
            code = each.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            # A send buffer that is empty takes it whole.
            each.sock.send(len(each.asked).to_bytes(2, "big") + each.asked)
        except OSError as error:
            self._broken(each, error, now)

    def _receive(self, each: _Try, now: float) -> None:
        assert each.sock is not None
        while each.sock in self.reads and not each.tcp:
            self._take(each, each.sock.recv(_LARGEST), now)

    def _receive_stream(self, each: _Try, now: float) -> None:
        assert each.sock is not None
        data = each.sock.recv(_LARGEST)
        each.received += data
        while each.sock in self.reads and len(each.received) > 2:
            length = int.from_bytes(each.received[:2], "big") + 2
            if len(each.received) < length:
                break
            message = bytes(each.received[2:length])
            del each.received[:length]
            self._take(each, message, now)
        if not data and each.sock in self.reads:
            self._drop(each)
            self._servers.failed(each.server, now)
            words = "closed the connection without an answer"
            self._refused(each, words, now, again=True, kept=False)

    def _take(self, each: _Try, data: bytes, now: float) -> None:
        """A message has come."""
        reply = read(data, each.asked, self.question)
        self._troubles.heard |= reply is not None
        if reply is None:
            each.ignored += 1
            self._ignored += 1
            if each.ignored <= MOST_IGNORED:
                return
            if each.tcp:
                self._servers.failed(each.server, now)
                words = "sent nothing but answers to other questions"
                self._refused(each, words, now, again=True)
            else:
                self._drop(each)
                self._open(each, now, tcp=True)
        elif reply.truncated and not each.tcp:
            self._drop(each)
            each.truncated = True
            self._open(each, now, tcp=True)
        elif reply.truncated or reply.problem:
            words = reply.problem or "sent a truncated answer over TCP"
            self._refused(each, words, now, kept=False)
        elif each.edns and reply.rcode in (_FORMERR, _NOTIMP, _BADVERS):
            self._servers.has_no_edns(each.server, now)
            self._drop(each)
            each.edns = False
            self._open(each, now, tcp=each.tcp)
        elif reply.rcode == _SERVFAIL:
            self._refused(each, "answered SERVFAIL", now, again=True)
        elif reply.rcode not in (_NOERROR, _NXDOMAIN):
            self._servers.failed(each.server, now)
            self._refused(each, f"answered {reply.rcode_name}", now)
        elif reply.lame:
            self._servers.failed(each.server, now)
            words = "does not serve the name, nor ask anybody else"
            self._refused(each, words, now, kept=False)
        else:
            self._answered(each, reply, now)

    def _answered(self, each: _Try, reply: Reply, now: float) -> None:
        self._servers.answered(each.server, now - each.start)
        self._ttl = min(self._ttl, reply.ttl)
        self._links += reply.links
        if self._links > _MOST_LINKS:
            self._refused(each, CIRCLE, now, kept=False)
            return
        if reply.leads_to and (business := business_of(reply.leads_to)):
            self._why_nobody = f"it is an alias of {reply.leads_to}: {words_of(business)}"
            reply = reply._replace(rcode=_NXDOMAIN, leads_to="")
        if not reply.leads_to:
            self._end_with(each, self._as_good_as_aliases(reply), now)
            return
        self.close()
        self.question = self.question._replace(name=reply.leads_to)
        self._begin(now)

    def _as_good_as_aliases(self, reply: Reply) -> Reply:
        """What is known, for no longer than the aliases are good that led to it."""
        negative = reply.negative_ttl
        negative = None if negative is None else min(negative, self._ttl)
        return reply._replace(ttl=self._ttl, negative_ttl=negative)

    def _refused(
        self, each: _Try, words: str, now: float, again: bool = False, kept: bool = True
    ) -> None:
        """A server has answered, and it is of no use: ``again`` and ``kept`` as in `Troubles`."""
        self._drop(each)
        self._troubles.add(self._name(each.server), words, again=again, kept=kept)
        if self._asking.ended(each.number, answered=True):
            self._next(now)
        self._look()

    def _broken(self, each: _Try, error: OSError, now: float) -> None:
        """A socket has failed."""
        self._drop(each)
        words = error.strerror or str(error)
        if error.errno in _OURS:
            self._fail(error.errno or 0, words)
            return
        self._servers.failed(each.server, now)
        way = " over TCP" if each.tcp else ""
        words = f"could not be asked{way} ({words})"
        self._refused(each, words, now, again=True, kept=not each.truncated)

    def _drop(self, each: _Try) -> None:
        if each.sock is not None:
            self.reads.pop(each.sock, None)
            self.writes.pop(each.sock, None)
            each.sock.close()
            each.sock = None
        each.received.clear()

    def _name(self, server: int) -> str:
        host, port = self._settings.servers[server]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return format_sockaddr(family, (host, port))

    def _end_with(self, each: _Try, reply: Reply, now: float) -> None:
        if reply.malformed:  # which another server would hardly say otherwise
            server = self._name(each.server)
            words = f"name server {server} sent a malformed record: {reply.malformed}"
            self._fail(socket.EAI_FAIL, words)
            return
        how = self._name(each.server), "tcp" if each.tcp else "udp", now - self._started
        self._end(Outcome(reply, 0, self._why_nobody, *how, self._ignored))

    def _fail(self, code: int, words: str) -> None:
        seconds = time.monotonic() - self._started
        kept = self._troubles.kept
        self._end(Outcome(None, code, words, "", "", seconds, self._ignored, kept))

    def _end(self, outcome: Outcome) -> None:
        self.close()
        self.outcome = outcome


def _endpoint(host: str, port: int, tcp: bool) -> Endpoint:
    """Where a server is; the number of a zone that has a name is looked up each time.

    Raises:
        OSError: no network interface has the name of the zone.
    """
    return _plain_endpoint(host, port, tcp) or zoned_endpoint(_kind(tcp)(host, port))


@lru_cache(64)
def _plain_endpoint(host: str, port: int, tcp: bool) -> Endpoint | None:
    return _kind(tcp)(host, port).endpoint


def _kind(tcp: bool) -> type[TCPAddress | UDPAddress]:
    return TCPAddress if tcp else UDPAddress
