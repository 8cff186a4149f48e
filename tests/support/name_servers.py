"""Name servers of one's own: nsd and BIND, each with one zone, on loopback.

Each is skipped where its program is missing.  For networks that have nothing but loopback.
"""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.programs import program, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["bind", "nsd", "wait_for_answers"]

_PATIENCE = 20.0


@contextmanager
def nsd(where: Path, port: int, zone: str, text: str) -> Iterator[None]:
    """nsd, which has a zone and asks nobody.

    Args:
        where: a directory for its files.
        zone: its name.
        text: as a zone file.
    """
    (where / "zone").write_text(text)
    (where / "nsd.conf").write_text(f"""
server:
    ip-address: 127.0.0.1@{port}
    do-ip6: no
    username: ""
    chroot: ""
    zonesdir: "{where}"
    pidfile: "{where}/nsd.pid"
    xfrdfile: ""
    zonelistfile: "{where}/nsd.zones"
    xfrdir: "{where}"
    database: ""
    server-count: 1
remote-control:
    control-enable: no
zone:
    name: "{zone}"
    zonefile: "zone"
""")
    command = [program("nsd", "nsd"), "-d", "-c", str(where / "nsd.conf")]
    with running(command, where / "nsd.log", ("127.0.0.1", port)):
        wait_for_answers(where / "nsd.log", zone, "127.0.0.1", port)
        yield


@contextmanager
def bind(where: Path, port: int, zone: str, text: str) -> Iterator[None]:
    """BIND's named, which has a zone, recurses for nobody and is not told by anybody.

    Args:
        where, zone, text: as for `nsd`.
    """
    (where / "zone").write_text(text)
    (where / "named.conf").write_text(f"""
options {{
    directory "{where}";
    pid-file none;
    session-keyfile none;
    managed-keys-directory "{where}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no;
    empty-zones-enable no;
    notify no;
    dnssec-validation no;
    check-integrity no;
    minimal-responses no;
}};
controls {{ }};
zone "{zone}" {{ type primary; file "{where}/zone"; check-names ignore; }};
""")
    command = [program("named", "bind9"), "-g", "-n", "1", "-c", str(where / "named.conf")]
    with running(command, where / "named.log", ("127.0.0.1", port)):
        wait_for_answers(where / "named.log", zone, "127.0.0.1", port)
        yield


def wait_for_answers(log: Path, name: str, host: str, port: int = 53) -> None:
    """Wait until a name server has the SOA record of a zone, and not only takes connections.

    Args:
        log: what to show if it never has.
        name: the zone, without a dot at the end; empty for the root.
    """
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split(".") if each)
    query = b"\0\1\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\6\0\1"
    deadline = time.monotonic() + _PATIENCE
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        sock.connect((host, port))
        while time.monotonic() < deadline:
            try:
                sock.send(query)
                said = sock.recv(65535)
            except OSError:
                said = b""
            if said and said[3] & 0xF == 0 and said[6:8] != b"\0\0":
                return
            time.sleep(0.02)
    raise AssertionError(f"it does not answer:\n{log.read_text()}")
