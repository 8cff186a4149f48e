"""How figures are taken: in turns, beside a peer that accepts, and by the median.

Rules:

* Only ratios within one run count, and a run has everything that is compared.
* The peer is a process of its own, which accepts and closes.  So are the peers of programs.
* The contenders take turns, a batch each, so that whatever else the machine does hits all of them
  alike; which of them begins changes.  The loops take turns as well, each in processes of its own.
* The median of the batches counts, which is what a program will see.  The best is what the machine
  can do; it is kept beside it.
* A batch is warm when it begins: some calls before it do not count.
* The garbage collector runs between batches only.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import ssl
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from inspect import iscoroutinefunction
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Contender = Callable[[Any], Any]
    Batches = dict[str, list[float]]

BATCH: Final = 100
WARM_UP: Final = 10
"""Calls before each batch that do not count: what ran before is still in the caches, and a peer of
another kind has fallen asleep."""
BACKLOG: Final = 4096
GREETERS: Final = 4
"""Threads of the TLS peer: nobody has to wait until it has noticed that somebody else has gone."""
NAME: Final = "localhost.example"
"""The name in the certificate of the TLS peer."""


async def take_turns(
    contenders: Mapping[str, Contender],
    about: Mapping[str, Any],
    rounds: int,
    pause: Callable[[], Any],
    clock: Callable[[], float] = perf_counter,
) -> Batches:
    """The seconds that each contender has taken for one call, batch by batch.

    Args:
        contenders: a function, or a coroutine function, for each name; it connects and closes.
        about: what it is called with: of its name, or of "".
        rounds: batches of each.
        pause: gives the loop a turn.
        clock: what the time is taken by.
    """
    seconds: Batches = {name: [] for name in contenders}
    names = list(contenders)
    for _ in range(rounds):
        for name in names:
            what = about.get(name, about[""])
            size = getattr(contenders[name], "batch", BATCH)
            gc.collect()
            gc.disable()
            await batch(contenders[name], what, WARM_UP, clock)
            took = await batch(contenders[name], what, size, clock)
            gc.enable()
            seconds[name].append(took / size)
            for _ in range(3):  # transports close when the loop comes round
                await pause()
        names.append(names.pop(0))
    return seconds


async def batch(contender: Contender, about: Any, size: int, clock: Callable[[], float]) -> float:
    """The seconds that so many calls take."""
    with getattr(contender, "around", nullcontext)():
        start = clock()
        if iscoroutinefunction(contender):
            for _ in range(size):
                await contender(about)
        else:
            for _ in range(size):
                contender(about)
        return clock() - start


def batches(**how: Any) -> Callable[[Contender], Contender]:
    """Have a contender make its batches otherwise.

    Args:
        batch: how many calls a batch has.
        around: makes a context manager, in which each batch is.
    """

    def mark(contender: Contender) -> Contender:
        vars(contender).update(how)
        return contender

    return mark


def ask(*arguments: str) -> Any:
    """What another Python prints, run with these arguments; it is JSON."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


# The peers


@contextmanager
def peer(*arguments: str) -> Iterator[int]:
    """The port of a peer in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@contextmanager
def tls_peer() -> Iterator[tuple[int, str]]:
    """The port of a TLS peer, and the file that it takes to trust it."""
    import trustme

    with tempfile.TemporaryDirectory() as directory:
        ca, own = Path(directory, "ca.pem"), Path(directory, "own.pem")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(ca)
        authority.issue_cert(NAME).private_key_and_cert_chain_pem.write_to_path(own)
        with peer(str(own)) as port:
            yield port, str(ca)


def accept_and_close(listener: socket.socket) -> None:
    while True:
        listener.accept()[0].close()


def greet_over_tls(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Say one byte after the handshake, so that a client has a session, and wait for the end."""
    while True:
        sock, _ = listener.accept()
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(sock, server_side=True) as wrapped:
                wrapped.send(b"!")
                wrapped.recv(1)
        except OSError:
            sock.close()


def main(certificate: str | None = None) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        print(listener.getsockname()[1], flush=True)
        if certificate is None:
            accept_and_close(listener)
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            with ThreadPoolExecutor(GREETERS) as greeters:
                for _ in range(GREETERS):
                    greeters.submit(greet_over_tls, listener, context)


def run_on(loop: str, main: Callable[..., Any], *arguments: Any) -> Any:
    """Run a coroutine function; its last argument is what gives the loop a turn."""
    if loop == "trio":
        import trio  # only here: an application on asyncio would not import it

        return trio.run(main, *arguments, trio.lowlevel.checkpoint)
    if loop == "uvloop":
        import uvloop

        return uvloop.run(main(*arguments, lambda: asyncio.sleep(0)))
    found = asyncio.run(main(*arguments, lambda: asyncio.sleep(0)))
    assert "trio" not in sys.modules
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
