"""Messages of name servers, and records that say where a service is.

What is read here is compared with what dnspython reads: the same, or neither reads it; or it is a
departure that is listed.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final

import dns.exception
import dns.name
import dns.rdata
import dns.rdtypes.svcbbase as svcb

from aconnect.resolvers.dns.wire import AAAA, A, Question, Reply, encode, read, require
from aconnect.sansio.finding import HTTPS, SRV, SVCB
from aconnect.sansio.service_records import (
    Malformed,
    ServiceRecord,
    SRVRecord,
    read_svcb,
    usable_addresses,
)

__all__ = ["check_reply", "dns_message", "of_dnspython", "svcb_record", "theirs"]

require()
KEY: Final = svcb.ParamKey
TYPES: Final = (A, AAAA, HTTPS, SVCB, SRV)
DEPARTURES = {
    "parameters in AliasMode": "RFC 9460, section 2.4.2: they are ignored",
    "no-default-alpn present, but alpn missing": "the record is not used; the others are",
    "invalid ECHConfigList": "it is carried as it came, and not used",
}
"""What dnspython refuses, and is not refused here, with the reason."""
UNUSED = 7
"""From this key on, values are nobody's business here: dnspython knows the form of some."""


def theirs(data: bytes) -> Any:
    """What dnspython makes of a record; why it makes nothing of it, as text."""
    try:
        return of_dnspython(dns.rdata.from_wire("IN", "HTTPS", data, 0, len(data)))
    except dns.exception.DNSException as error:
        return str(error)


def of_dnspython(rdata: Any) -> ServiceRecord:
    """The same as a value of ours."""
    target = rdata.target.to_text(omit_final_dot=True).lower()
    target = "" if rdata.target == dns.name.root else target
    if not rdata.priority:
        return ServiceRecord(0, target)

    def of(key: Any, name: str, otherwise: Any) -> Any:
        return getattr(rdata.params[key], name) if rdata.params.get(key) else otherwise

    protocols = (each.decode("latin-1") for each in of(KEY.ALPN, "ids", ()))
    return ServiceRecord(
        rdata.priority,
        target,
        alpn=tuple(each.encode("unicode_escape").decode() for each in protocols),
        no_default_alpn=KEY.NO_DEFAULT_ALPN in rdata.params,
        port=of(KEY.PORT, "port", None),
        ech=of(KEY.ECH, "ech", b""),
        ipv4=usable_addresses(of(KEY.IPV4HINT, "addresses", ())),
        ipv6=usable_addresses(of(KEY.IPV6HINT, "addresses", ())),
        mandatory=frozenset(map(int, of(KEY.MANDATORY, "keys", ()))),
    )


def has_unused(data: bytes) -> bool:
    """Whether a record that is well-formed here has keys whose values are not looked at."""
    at = 2
    while data[at]:
        at += 1 + data[at]
    at += 1
    keys = []
    while at < len(data):
        keys.append(int.from_bytes(data[at : at + 2], "big"))
        at += 4 + int.from_bytes(data[at + 2 : at + 4], "big")
    return any(each >= UNUSED for each in keys)


def svcb_record(data: bytes) -> None:
    """Both read the same, or nothing; or it is a departure."""
    said = theirs(data)
    try:
        ours: Any = read_svcb(data)
    except Malformed:
        assert isinstance(said, str), said
        return
    if isinstance(said, str):
        assert said in DEPARTURES or has_unused(data), said
    else:
        assert ours == said


def dns_message(data: bytes) -> None:
    """Any message, of which the first octet says what was asked: reading it raises nothing, and
    says nothing that makes no sense.  As it is, or behind a header that fits the question."""
    kind, rest = (data[0], data[1:]) if data else (0, b"")
    question = Question("a.test", TYPES[kind % len(TYPES)])
    query = encode(question, 0x1234, edns=True)
    check_reply(read(query[:2] + rest, query, question), question)
    end = query.index(0, 12) + 5
    counts, records = rest[:6].ljust(6, b"\0"), rest[6:]
    message = query[:2] + b"\x81\x80\0\1" + counts + query[12:end] + records
    check_reply(read(message, query, question), question)


def check_reply(reply: Reply | None, question: Question) -> None:
    """See that what was read can be used."""
    if reply is None:
        return
    addresses = [*reply.addresses]
    for (name, type), hosts in (reply.additional or {}).items():
        assert type in (A, AAAA)
        assert printable(name)
        addresses += hosts
    for each in addresses:
        assert ipaddress.ip_address(each)
    assert len(reply.addresses) <= 256
    assert reply.left_out >= 0
    assert 0 <= reply.ttl <= 86400
    assert reply.negative_ttl is None or 0 <= reply.negative_ttl <= 3600
    assert len(reply.leads_to) <= 4 * 255  # each octet may be escaped
    assert printable(reply.leads_to)
    assert printable(reply.owner)
    assert not (reply.problem and (reply.addresses or reply.records))
    for record in reply.records:
        assert isinstance(record, SRVRecord if question.type == SRV else ServiceRecord)
        assert printable(record.target)


def printable(text: str) -> bool:
    return text.isascii() and (text.isprintable() or not text)
