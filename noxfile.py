"""The project's checks: ``nox`` runs them all, ``nox -l`` lists them.

Rules:

* Nothing is needed but Python, pip and venv: a session installs what it uses.
* What is tested, measured and documented is the built wheel, never the checkout.
* The quick sessions come first and the tests last, so the tests' summary ends the output.
* A Python that is missing is skipped, and an error where CI is set.  The newest ones come from
  Debian testing where the machine has none (``.ci/debian``); where that cannot be had, they are
  skipped, and said to be at the end.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import nox
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
OLDEST = PYTHONS[0]
MAIN = "3.13"
"""The one on which is done what is done once: coverage, real networks, figures."""
BETWEEN = ("3.11", "3.12", "3.14")
"""They have the quick part only: what fails there alone and not in their neighbours is rare.
The oldest has the sessions of the lowest versions besides."""
IN_DEBIAN = ("3.14", "3.15")
"""``.ci/debian`` has them."""
EXTRAS_NEED: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
EXTRAS = sorted(EXTRAS_NEED)
PLATFORMS = ("linux", "darwin", "win32")
DIST = Path("dist")
DEBIAN = Path(".ci/debian")
RUN = "tests/run.py"
"""pytest, which tries again alone what failed among others."""
ELSEWHERE = "not lab and not faults and not soak"
QUICK = f"not root and not slow and not server and {ELSEWHERE}"
IN_THE_LAB = "lab and not slow or faults or soak"
WORKS_WITH = "docs/reference/_works-with.txt"
ALONE = ("unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
"""A command on a network of its own: what looks a name up finds nobody to ask."""
HTTPX_TESTS = ["tests/clients/test_httpcore.py", "tests/clients/test_httpx.py"]
HTTPX_TESTS += ["tests/clients/blocking/test_httpx.py"]
LOWEST = {
    "loops": (["anyio", "trio", "uvloop"], ["tests/transports", "tests/drivers"]),
    "httpx": (["httpcore", "httpx"], HTTPX_TESTS),
    "httpx2": (["httpcore2", "httpx2"], HTTPX_TESTS),
    "clients": (
        ["aiohttp", "asyncssh", "proxy", "redis", "requests", "urllib3", "websockets"],
        [
            "tests/clients/test_aiohttp.py",
            "tests/clients/test_asyncssh.py",
            "tests/clients/test_redis.py",
            "tests/clients/test_websockets.py",
            "tests/clients/blocking/test_http_clients.py",
            "tests/clients/blocking/test_redis.py",
            "tests/clients/blocking/test_urllib3.py",
            "tests/dial/test_http_proxies.py",
            "tests/sansio/test_http_connect.py",
        ],
    ),
    "tools": (
        ["cli", "dns", "otel", "prometheus"],
        ["tests/cli", "tests/resolvers/dns", "tests/telemetry"],
    ),
}
"""Extras whose lowest versions go together, and the tests of what they are for.

httpcore of old wants an older h11 than that of the extra ``proxy``.
"""

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "build", "types", "docs", "smoke", "lowest", "lab", "tests"]


@nox.session
def lint(session: nox.Session) -> None:
    """Style and layout (ruff), and who may import whom (import-linter)."""
    install_groups(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-logo", env={"PYTHONPATH": "src"})


@nox.session
def build(session: nox.Session) -> None:
    """Build the sdist and the wheel, and check what is in them."""
    install_groups(session, "build")
    shutil.rmtree(DIST, ignore_errors=True)
    python_build = ("python", "-m", "build", "--no-isolation", "--outdir")
    session.run(*python_build, str(DIST))  # the wheel from the sdist
    direct = Path(session.virtualenv.location, "dist")
    shutil.rmtree(direct, ignore_errors=True)
    session.run(*python_build, str(direct), "--wheel")
    session.run("python", "tests/packaging/contents.py", str(DIST), str(direct))


@nox.session(requires=["build"])
def types(session: nox.Session) -> None:
    """Types for each platform (mypy), and that none is missing (pyright)."""
    install_wheel(session)
    install_groups(session, "types")
    for platform in PLATFORMS:
        session.run("mypy", "--platform", platform)
        if Path("tests/typing").exists():
            session.run("mypy", "--platform", platform, "tests/typing")
    session.run("pyright", "--verifytypes", "aconnect", "--ignoreexternal")


@nox.session(requires=["build"])
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    install_wheel(session)
    install_groups(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "docs", "docs/_build/html")


@nox.session(requires=["build"], reuse_venv=False)
@nox.parametrize("extra", ["none", *EXTRAS], ids=["none", *EXTRAS])
def smoke(session: nox.Session, extra: str) -> None:
    """Install the wheel with one extra, and nothing else, and use it."""
    session.install(built_wheel() if extra == "none" else f"{built_wheel()}[{extra}]")
    session.run("python", "-I", "tests/packaging/smoke.py", extra)
    if extra == "none":
        session.install("trio")
        session.run("python", "-I", "tests/packaging/smoke.py", "trio-alone")


@nox.session(python=OLDEST, requires=["build"], reuse_venv=False)
@nox.parametrize("group", list(LOWEST), ids=list(LOWEST))
def lowest(session: nox.Session, group: str) -> None:
    """Use and test each extra at the lowest versions that it allows."""
    extras, tests = LOWEST[group]
    constraints = Path(session.virtualenv.location, "lowest.txt")
    needed = [requirement for extra in extras for requirement in EXTRAS_NEED[extra]]
    constraints.write_text("\n".join(lowest_versions(needed)))
    lowest = ("--constraint", str(constraints))
    session.install(f"{built_wheel()}[{','.join(extras)}]", *lowest)
    session.run("python", "-I", "tests/packaging/smoke.py", *extras)
    # The tests want every event loop, and some want proxies; what is not of these may be new.
    besides = ["trio", "uvloop", *(["proxy"] if "cli" in extras else [])]
    groups = nox.project.dependency_groups(PROJECT, "test")
    session.install(f"{built_wheel()}[{','.join(extras + besides)}]", *groups, *lowest)
    session.run("python", RUN, "-n6", "-m", f"not slow and {ELSEWHERE}", *tests)


@nox.session(python=MAIN, requires=["build"])
def lab(session: nox.Session) -> None:
    """Real networks, injected faults, a short soak; ``-- -m lab`` for the long forms too."""
    install_groups(session, "test")
    install_wheel(session)
    if session.posargs:
        session.run("pytest", "-n6", *session.posargs)
    else:
        session.run("python", RUN, "-n6", "-m", IN_THE_LAB)


@nox.session(python=False, requires=["build"])
def tests(session: nox.Session) -> None:
    """Run the tests on each Python, in a session for each: tests-3.11 and so on."""
    for version in PYTHONS:
        session.notify(f"tests-{version}")


def tests_here(session: nox.Session) -> None:
    """Run the tests; on one Python all of them must cover all of it, and a notebook is run."""
    if session.python == MAIN:
        install_groups(session, "notebook")
    run_tests(session, session, COVERAGE_FILE=str(Path(session.virtualenv.location, "coverage")))


def tests_in_debian(session: nox.Session) -> None:
    """Run the tests on a Python that this machine has not got."""
    reason = why_no_debian()
    if reason is not None:
        skip(session, f"no Python {session.python} here, and {reason}")
    run_tests(session, InDebian(session, str(session.python)))


def run_tests(session: nox.Session, where: nox.Session | InDebian, **env: str) -> None:
    install_groups(where, "test")
    install_wheel(where)
    if session.posargs:
        where.run("pytest", *session.posargs, env=env)
    else:
        where.run("python", RUN, *tests_of(str(session.python)), env=env)


@nox.session(python=MAIN, default=False, requires=["build"])
def bench(session: nox.Session) -> None:
    """Measure a connect against its peers'; ``-- --check`` fails if a target is missed."""
    install_wheel(session)
    install_groups(session, "bench")
    session.run("python", "benchmarks/speed.py", *session.posargs)
    session.run("python", "benchmarks/race.py", *session.posargs)
    session.run("python", "benchmarks/blocking.py", *session.posargs)
    session.run("python", "benchmarks/observe.py", *session.posargs)
    session.run("python", "benchmarks/names.py", *session.posargs)
    session.run("python", "benchmarks/many.py", *session.posargs)


@nox.session(name="bench-3.15", python=False, default=False, requires=["build"])
def bench_newest(session: nox.Session) -> None:
    """Measure a connect on the newest Python; ``-- --json FILE`` keeps the run."""
    reason = why_no_debian()
    if reason is not None:
        skip(session, reason)
    where = InDebian(session, "3.15")
    install_wheel(where)
    install_groups(where, "bench")
    where.run("python", "benchmarks/speed.py", *session.posargs)


@nox.session(python=MAIN, default=False, requires=["build"])
def loops(session: nox.Session) -> None:
    """CPython's and uvloop's own tests, with loops as they are and routed."""
    install_wheel(session)
    # uvloop's tests use them where they are there.
    session.install("aiohttp", "psutil", "pyOpenSSL")
    version = session.run(
        "python", "-c", "import uvloop; print(uvloop.__version__)", silent=True
    ).strip()
    here = Path(session.create_tmp()).absolute()
    sdist = ("--no-deps", "--no-binary", "uvloop", "--dest", str(here))
    session.run("pip", "download", "-q", *sdist, f"uvloop=={version}")
    [archive] = here.glob(f"uvloop-{version}.tar.gz")
    session.run("tar", "-xf", str(archive), "-C", str(here), external=True)
    for suite in (("asyncio",), ("uvloop", str(here / f"uvloop-{version}"))):
        session.run(*ALONE, "python", "tests/loops/run.py", *suite, external=True)


@nox.session(python=MAIN, default=False, requires=["build"])
def load(session: nox.Session) -> None:
    """Ten thousand connects at once, against the peers' and a C program's; needs root and cc."""
    install_wheel(session)
    install_groups(session, "bench")
    session.run("python", "benchmarks/load.py", *session.posargs)


@nox.session(python=MAIN, default=False, requires=["build"])
def works_with(session: nox.Session) -> None:
    """Connect with other people's clients, and compare with what the page of that name says."""
    install_wheel(session)
    install_groups(session, "works-with")
    for loop in ([], ["uvloop"]):
        what = session.posargs or [WORKS_WITH]
        session.run(*ALONE, "python", "tests/interop/works_with.py", *loop, *what, external=True)


@nox.session(python=MAIN, default=False, requires=["build"])
def soak(session: nox.Session) -> None:
    """A million connects with random cancellations, after which nothing may be left; and a hundred
    thousand that look names up."""
    install_wheel(session)
    for what in [session.posargs] if session.posargs else [[], ["--names"]]:
        session.run("python", "benchmarks/soak.py", *what)


@nox.session(python=MAIN, default=False, requires=["build"])
def fuzz(session: nox.Session) -> None:
    """Fuzz the address parser and the race; ``-- address --seconds 600`` for one of them."""
    install_wheel(session)
    install_groups(session, "test", "fuzz")
    session.run("python", "tests/fuzz/run.py", *session.posargs)


@nox.session(python=MAIN, default=False, requires=["build"])
def conformance(session: nox.Session) -> None:
    """Run aconnect and its peers through the corners of connect(2), and print who passes."""
    install_wheel(session)
    install_groups(session, "bench")
    session.run("python", "benchmarks/conformance.py", *session.posargs)


def tests_of(version: str) -> list[str]:
    """Which of the tests a Python has, as arguments of pytest."""
    # More at a time than there are processors: most of them wait most of the time.
    options = ["-n6", "-m", QUICK if version in BETWEEN else ELSEWHERE]
    if version == MAIN:
        options.append("--cov")  # elsewhere it would take half as long again, and tell no more
    return options


class InDebian:
    """What the tests need of a session, in the root that ``.ci/debian`` makes."""

    def __init__(self, session: nox.Session, python: str) -> None:
        self._session = session
        self._venv = f"/venvs/{python}"
        self._run(120, f"python{python}", "-m", "venv", self._venv)

    def install(self, *arguments: str) -> None:
        self._run(600, f"{self._venv}/bin/pip", "install", *arguments, silent=True)

    def run(self, program: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self._run(1200, f"{self._venv}/bin/{program}", *arguments, env=env or {})

    def _run(self, seconds: int, *command: str, **options: Any) -> None:
        """Run it there; at that time at the latest it has failed."""
        self._session.run(str(DEBIAN), "run", str(seconds), *command, external=True, **options)


@cache
def why_no_debian() -> str | None:
    """Make the root of Debian testing, unless it is there; the reason if there is none."""
    made = subprocess.run([DEBIAN, "make"], stderr=subprocess.PIPE, text=True, check=False)
    if made.returncode == 0:
        return None
    print(made.stderr, end="", flush=True)
    return made.stderr.strip().rpartition("\n")[2] or f"{DEBIAN} make failed"


def skip(session: nox.Session, reason: str) -> NoReturn:
    """Skip the session; ``.ci/run`` says why once more at its end."""
    file = os.environ.get("SKIPPED_SESSIONS")
    if file:
        with open(file, "a") as skipped:
            print(f"{session.name}: {reason}", file=skipped)
    session.skip(reason)


def lowest_versions(requirements: Iterable[str]) -> list[str]:
    """Constraints for pip: of each requirement the version that it has after ``>=``."""
    constraints = []
    for requirement in map(Requirement, requirements):
        [lowest] = [each.version for each in requirement.specifier if each.operator == ">="]
        constraints.append(f"{requirement.name}=={lowest}")
    return constraints


def install_groups(where: nox.Session | InDebian, *groups: str) -> None:
    where.install(*nox.project.dependency_groups(PROJECT, *groups))


def install_wheel(where: nox.Session | InDebian) -> None:
    """Install the wheel with all extras, in place of one that is there already."""
    where.install(f"{built_wheel()}[all]")
    where.install("--force-reinstall", "--no-deps", built_wheel())


def built_wheel() -> str:
    """The wheel that the session ``build`` has built."""
    [wheel] = DIST.glob("*.whl")
    return str(wheel)


def with_interpreters(path: str, versions: Iterable[str], pyenv_roots: Iterable[Path]) -> str:
    """``path``, with a directory in front for each Python that it does not lead to.

    pyenv puts a command for each version it has on PATH, and most of them only say that
    the version is not the active one.  The interpreters themselves work.

    Args:
        path: as in the environment variable PATH.
        versions: such as "3.12".
        pyenv_roots: directories in which pyenv may keep its versions.
    """
    roots = list(pyenv_roots)
    for version in versions:
        command = f"python{version}"
        if runs(shutil.which(command, path=path), version):
            continue
        kept = [found for root in roots for found in root.glob(f"versions/{version}.*/bin")]
        for directory in sorted(kept, key=patch_release, reverse=True):
            if runs(shutil.which(command, path=str(directory)), version):
                path = os.pathsep.join([str(directory), path])
                break
    return path


def runs(command: str | None, version: str) -> bool:
    """Whether ``command`` is a Python of that version, and one that works."""
    if command is None:
        return False
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([command, "-I", "-c", ask], capture_output=True, check=False)
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.decode().strip() == version


def patch_release(directory: Path) -> int:
    """12 of ``versions/3.11.12/bin``; what is no release comes last."""
    release = re.fullmatch(r"\d+\.\d+\.(\d+)", directory.parent.name)
    return int(release[1]) if release else -1


def pyenv_roots() -> list[Path]:
    """Where pyenv may keep its versions."""
    named = os.environ.get("PYENV_ROOT")
    return [*([Path(named)] if named else []), Path.home() / ".pyenv"]


def is_borrowed(version: str, path: str) -> bool:
    """Whether this Python must come from Debian, as none on ``path`` is one."""
    return version in IN_DEBIAN and not runs(shutil.which(f"python{version}", path=path), version)


# Without bytecode, each process of each session would compile all of the tests anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ["PATH"] = with_interpreters(os.environ.get("PATH", ""), PYTHONS, pyenv_roots())

for _version in PYTHONS:
    _borrowed = is_borrowed(_version, os.environ["PATH"])
    nox.session(
        tests_in_debian if _borrowed else tests_here,
        name=f"tests-{_version}",
        python=_version,
        venv_backend="none" if _borrowed else None,
        requires=["build"],
    )
