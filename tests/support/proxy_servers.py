"""Real proxies on loopback: programs of Debian's, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs import free_port, program, running

if TYPE_CHECKING:
    from collections.abc import Iterator

USER, PASSWORD = "alice", "s3cret"


@contextmanager
def danted(path: Path, blocked: int = 9) -> Iterator[int]:
    """SOCKS 4 and 5 without a login; port ``blocked`` is forbidden."""
    port = free_port()
    config = path / "danted.conf"
    config.write_text(
        "logoutput: stderr\n"
        f"internal: 127.0.0.1 port = {port}\n"
        "external: lo\nclientmethod: none\nsocksmethod: none\n"
        "user.privileged: root\nuser.unprivileged: nobody\n"
        "client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }\n"
        f"socks block {{ from: 127.0.0.0/8 to: 127.0.0.0/8 port = {blocked} }}\n"
        "socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }\n"
    )
    command = [program("danted", "dante-server"), "-f", str(config)]
    with running(command, path / "danted.log", ("127.0.0.1", port)):
        yield port


@contextmanager
def microsocks(path: Path) -> Iterator[int]:
    """SOCKS5 with a login."""
    port = free_port()
    found = program("microsocks", "microsocks")
    command = [found, "-i", "127.0.0.1", "-p", str(port), "-u", USER, "-P", PASSWORD]
    with running(command, path / "microsocks.log", ("127.0.0.1", port)):
        yield port


@contextmanager
def ssh_dynamic(path: Path) -> Iterator[int]:
    """SOCKS 4, 4a and 5 by ``ssh -D``, which says nothing when it refuses."""
    sshd, ssh = program("sshd", "openssh-server"), program("ssh", "openssh-client")
    for name in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path / name)]
        subprocess.run(make, check=True)
    (path / "authorized").write_text((path / "user.pub").read_text())
    server, port = free_port(), free_port()
    config = path / "sshd.conf"
    config.write_text(
        f"Port {server}\nListenAddress 127.0.0.1\nHostKey {path / 'host'}\n"
        f"AuthorizedKeysFile {path / 'authorized'}\n"
        "StrictModes no\nPidFile none\nUsePAM no\nPermitRootLogin yes\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes"]
    client = [ssh, "-N", "-D", f"127.0.0.1:{port}", "-p", str(server), "-i", str(path / "user")]
    client += [part for option in options for part in ("-o", option)]
    with running([sshd, "-D", "-e", "-f", str(config)], path / "sshd.log", ("127.0.0.1", server)):
        with running([*client, "127.0.0.1"], path / "ssh.log", ("127.0.0.1", port)):
            yield port


@contextmanager
def tinyproxy(path: Path, allowed: int) -> Iterator[int]:
    """HTTP/1.0 with a login; CONNECT to the port ``allowed`` alone."""
    port = free_port()
    config = path / "tinyproxy.conf"
    config.write_text(
        f"Port {port}\nListen 127.0.0.1\nTimeout 30\nMaxClients 50\nAllow 127.0.0.1\n"
        f"LogLevel Error\nBasicAuth {USER} {PASSWORD}\nConnectPort {allowed}\n"
    )
    command = [program("tinyproxy", "tinyproxy"), "-d", "-c", str(config)]
    with running(command, path / "tinyproxy.log", ("127.0.0.1", port)):
        yield port


@contextmanager
def squid() -> Iterator[int]:
    """HTTP with a login; port 9 is forbidden.

    Its folder is its own: another user, whom it becomes, has to get there.
    """
    found = program("squid", "squid")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="squid-") as folder:
        path = Path(folder)
        path.chmod(0o777)
        hashed = subprocess.run(
            ["openssl", "passwd", "-apr1", PASSWORD], check=True, capture_output=True, text=True
        ).stdout
        (path / "users").write_text(f"{USER}:{hashed}")
        config = path / "squid.conf"
        config.write_text(
            f"http_port 127.0.0.1:{port}\npid_filename {path}/squid.pid\naccess_log none\n"
            f"cache_log {path}/cache.log\ncache deny all\ncache_store_log none\n"
            f"coredump_dir {path}\nshutdown_lifetime 0 seconds\nvisible_hostname localhost\n"
            "netdb_filename none\npinger_enable off\n"
            f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {path}/users\n"
            "acl users proxy_auth REQUIRED\nacl blocked port 9\n"
            "http_access deny blocked\nhttp_access allow users\nhttp_access deny all\n"
        )
        command = [found, "-N", "-f", str(config)]
        with running(command, path / "squid.log", ("127.0.0.1", port)):
            yield port


@contextmanager
def privoxy(path: Path, socks5: int) -> Iterator[int]:
    """HTTP that goes on by way of SOCKS5."""
    port = free_port()
    config = path / "privoxy.conf"
    config.write_text(
        f"listen-address 127.0.0.1:{port}\nforward-socks5 / 127.0.0.1:{socks5} .\n"
        "logfile /dev/null\nconfdir /etc/privoxy\n"
    )
    command = [program("privoxy", "privoxy"), "--no-daemon", str(config)]
    with running(command, path / "privoxy.log", ("127.0.0.1", port)):
        yield port


@contextmanager
def haproxy(path: Path) -> Iterator[int]:
    """A web server that reads PROXY headers, and answers with what they say."""
    port = free_port()
    config = path / "haproxy.cfg"
    config.write_text(
        "defaults\n  timeout client 20s\n  timeout connect 5s\n  timeout server 20s\n"
        f"frontend headers\n  bind 127.0.0.1:{port} accept-proxy\n  mode http\n"
        '  http-request return status 200 content-type text/plain lf-string "'
        "%[src]:%[src_port] %[dst]:%[dst_port] auth=%[fc_pp_authority] id=%[fc_pp_unique_id]"
        '\\n"\n'
    )
    command = [program("haproxy", "haproxy"), "-db", "-f", str(config)]
    with running(command, path / "haproxy.log", ("127.0.0.1", port)):
        yield port


@contextmanager
def haproxy_with_tls(path: Path, certificate: bytes, behind: int) -> Iterator[int]:
    """TLS, in front of the proxy at the port ``behind``."""
    port = free_port()
    pem, config = path / "both.pem", path / "haproxy-tls.cfg"
    pem.write_bytes(certificate)
    config.write_text(
        "defaults\n  timeout client 20s\n  timeout connect 5s\n  timeout server 20s\n"
        f"frontend secure\n  mode tcp\n  bind 127.0.0.1:{port} ssl crt {pem}\n"
        "  default_backend proxy\n"
        f"backend proxy\n  mode tcp\n  server s 127.0.0.1:{behind}\n"
    )
    command = [program("haproxy", "haproxy"), "-db", "-f", str(config)]
    with running(command, path / "haproxy-tls.log", ("127.0.0.1", port)):
        yield port
