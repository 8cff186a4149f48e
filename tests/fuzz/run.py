"""Fuzz for a time: ``python tests/fuzz/run.py [address results race attempt] --seconds 60``.

Rules:

* atheris is used where it can be imported: it sees which lines an input reaches, and goes on from
  there.  Elsewhere the corpus is mutated at random, which finds less.
* Each target runs in a process of its own, as atheris ends the process it runs in.
* What makes a target fail is written into its corpus, and so fails a test until it is mended.
  Give it a name that says what it is, then.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Target = Callable[[bytes], None]

NAMES = (
    *("address", "results", "race", "attempt"),
    *("socks", "http_connect", "proxy_url", "proxy_header"),
    *("dns_message", "svcb_record"),
)
LONGEST = 400  # bytes; a race of a hundred events
HUNG = 20  # seconds for one input


def by_coverage(name: str, seconds: int, grown: str) -> None:
    """Fuzz with atheris.  Does not return: the process ends, with 0 if nothing was found.

    Args:
        grown: a directory for the inputs that reach something new.
    """
    import atheris

    with atheris.instrument_imports(include=["aconnect", "fuzz"]):
        from fuzz.targets import CORPUS, TARGETS
    known = CORPUS / name
    options = {
        "max_total_time": max(1, seconds),  # 0 would be for ever
        "max_len": LONGEST,
        "timeout": HUNG,
        "artifact_prefix": f"{known}/",
        "print_final_stats": 1,
        "verbosity": 0,
    }
    flags = [f"-{option}={value}" for option, value in options.items()]
    # New inputs go to the first directory, so the corpus stays as it is.
    atheris.Setup([sys.argv[0], *flags, grown, str(known)], TARGETS[name])
    atheris.Fuzz()


def by_chance(target: Target, seeds: Sequence[bytes], seconds: float, seed: int) -> bytes | None:
    """Mutate ``seeds`` at random, and print how many inputs that came to.

    Returns:
        The input that made the target fail, after its traceback was printed; None if none has.
    """
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        data = mutated(chance, seeds)
        count += 1
        try:
            target(data)
        except Exception:
            traceback.print_exc()
            return data
    print(f"{count} inputs in {seconds:g} s, seed {seed}")
    return None


def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with some parts changed, taken out, or put in from another."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 8)):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.choice((0, 0, 1, 1, 2, 8)))
        other = chance.choice(seeds)
        cut = chance.randint(0, len(other))
        parts = (b"", chance.randbytes(1), bytes([chance.randrange(20)]), other[cut : cut + 16])
        data[start:end] = chance.choice(parts)
    return bytes(data[:LONGEST])


def kept(found: bytes, directory: Path) -> Path:
    """The file in which the input that was found is kept."""
    path = directory / f"crash-{hashlib.sha256(found).hexdigest()[:16]}"
    path.write_bytes(found)
    return path


def fuzz_one(name: str, seconds: int, seed: int, grown: str) -> int:
    if grown:
        by_coverage(name, seconds, grown)
    from fuzz.targets import CORPUS, TARGETS, corpus

    seeds = [path.read_bytes() for path in corpus(name)]
    found = by_chance(TARGETS[name], seeds, seconds, seed)
    if found is None:
        return 0
    print(f"kept as {kept(found, CORPUS / name)}")
    return 1


def in_a_process(name: str, arguments: argparse.Namespace) -> bool:
    """Fuzz one target, and return whether nothing was found."""
    print(f"{name}: {arguments.seconds} s, by {arguments.fuzzer}", flush=True)
    options = ["--seconds", str(arguments.seconds), "--seed", str(arguments.seed), "--alone"]
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as grown:
        if arguments.fuzzer == "atheris":
            options += ["--grown", grown]
        command = [sys.executable, __file__, name, *options]
        return subprocess.run(command, check=False).returncode == 0


def main() -> int:
    best = "atheris" if importlib.util.find_spec("atheris") else "chance"
    parser = argparse.ArgumentParser(description="Fuzz aconnect for a time.")
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="for each target; default 60")
    parser.add_argument("--fuzzer", choices=("atheris", "chance"), default=best)
    parser.add_argument("--seed", type=int, default=0, help="of chance; default 0")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--grown", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - set(NAMES)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if arguments.alone:
        [name] = arguments.targets
        return fuzz_one(name, arguments.seconds, arguments.seed, arguments.grown)
    names = arguments.targets or NAMES
    failed = [name for name in names if not in_a_process(name, arguments)]
    print(f"failed: {', '.join(failed)}" if failed else "nothing was found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
