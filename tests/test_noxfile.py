"""How noxfile.py finds the Pythons that the tests run on, and the lowest versions of extras."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

nox = pytest.importorskip("nox")

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def noxfile() -> Any:
    spec = importlib.util.spec_from_file_location("noxfile", PROJECT / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        patch.setenv("PATH", os.environ["PATH"])  # which loading it may change
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def command(tmp_path: Path) -> Callable[[str, str], Path]:
    """Make an executable shell script; the directory that it is in."""

    def make(name: str, script: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path.parent

    return make


SHIM = "echo 'pyenv: python3.12: command not found' >&2; exit 127"


def test_a_python_that_works_is_left_alone(noxfile: Any, command: Any, tmp_path: Path) -> None:
    path = command("bin/python3.12", "echo 3.12")
    command("pyenv/versions/3.12.1/bin/python3.12", "echo 3.12")
    assert noxfile.with_interpreters(str(path), ["3.12"], [tmp_path / "pyenv"]) == str(path)


def test_a_shim_that_fails_is_passed_by(noxfile: Any, command: Any, tmp_path: Path) -> None:
    shims = command("shims/python3.12", SHIM)
    kept = command("pyenv/versions/3.12.1/bin/python3.12", "echo 3.12")
    found = noxfile.with_interpreters(str(shims), ["3.12"], [tmp_path / "pyenv"])
    assert found == f"{kept}{os.pathsep}{shims}"


def test_a_python_that_is_not_on_path_is_found(noxfile: Any, command: Any, tmp_path: Path) -> None:
    kept = command("pyenv/versions/3.12.1/bin/python3.12", "echo 3.12")
    found = noxfile.with_interpreters("/nowhere", ["3.12"], [tmp_path / "pyenv"])
    assert found == f"{kept}{os.pathsep}/nowhere"


def test_each_version_gets_its_own(noxfile: Any, command: Any, tmp_path: Path) -> None:
    path = command("bin/python3.11", "echo 3.11")
    of_312 = command("pyenv/versions/3.12.1/bin/python3.12", "echo 3.12")
    of_313 = command("pyenv/versions/3.13.0/bin/python3.13", "echo 3.13")
    found = noxfile.with_interpreters(
        str(path), ["3.11", "3.12", "3.13"], [tmp_path / "none", tmp_path / "pyenv"]
    )
    assert found.split(os.pathsep) == [str(of_313), str(of_312), str(path)]


def test_the_newest_patch_release_is_taken(noxfile: Any, command: Any, tmp_path: Path) -> None:
    for release in ("3.12.9", "3.12.10", "3.12.2", "3.12.0-debug"):
        command(f"versions/{release}/bin/python3.12", "echo 3.12")
    found = noxfile.with_interpreters("/nowhere", ["3.12"], [tmp_path])
    assert found.startswith(str(tmp_path / "versions/3.12.10/bin"))


def test_one_that_does_not_work_is_not_taken(noxfile: Any, command: Any, tmp_path: Path) -> None:
    command("versions/3.12.10/bin/python3.12", "exit 1")
    kept = command("versions/3.12.9/bin/python3.12", "echo 3.12")
    found = noxfile.with_interpreters("/nowhere", ["3.12"], [tmp_path])
    assert found == f"{kept}{os.pathsep}/nowhere"


def test_where_there_is_none_nothing_changes(noxfile: Any, tmp_path: Path) -> None:
    assert noxfile.with_interpreters("/nowhere", ["3.12"], [tmp_path]) == "/nowhere"


@pytest.mark.parametrize(
    ("script", "works"),
    [
        pytest.param("echo 3.12", True, id="right version"),
        pytest.param("echo 3.11", False, id="another version"),
        pytest.param("echo 3.12; exit 1", False, id="failure"),
        pytest.param(SHIM, False, id="shim"),
    ],
)
def test_runs(noxfile: Any, command: Any, script: str, works: bool) -> None:
    path = command("bin/python3.12", script)
    assert noxfile.runs(str(path / "python3.12"), "3.12") is works


def test_what_cannot_be_executed_does_not_run(noxfile: Any, tmp_path: Path) -> None:
    (tmp_path / "python3.12").write_bytes(b"\0")
    assert not noxfile.runs(str(tmp_path / "python3.12"), "3.12")
    assert not noxfile.runs(None, "3.12")


def test_pyenv_may_be_anywhere(
    noxfile: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    assert noxfile.pyenv_roots() == [tmp_path / ".pyenv"]
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "elsewhere"))
    assert noxfile.pyenv_roots() == [tmp_path / "elsewhere", tmp_path / ".pyenv"]


def test_what_is_at_hand_is_not_borrowed(noxfile: Any, command: Any) -> None:
    path = str(command("bin/python3.15", "echo 3.15"))
    assert not noxfile.is_borrowed("3.15", path)


def test_what_is_missing_is_borrowed_if_debian_has_it(noxfile: Any, command: Any) -> None:
    path = str(command("bin/python3.15", SHIM))
    assert noxfile.is_borrowed("3.15", path)
    assert not noxfile.is_borrowed("3.11", path)


def test_each_python_has_a_session_and_all_have_one(noxfile: Any) -> None:
    names = {f"tests-{version}" for version in noxfile.PYTHONS}
    assert {name for name in nox.registry.get() if name.startswith("tests")} == {"tests", *names}
    session = Session("tests")
    noxfile.tests(session)
    assert set(session.notified) == names


def test_the_pythons_are_those_of_the_project(noxfile: Any) -> None:
    assert {noxfile.MAIN, *noxfile.BETWEEN, *noxfile.IN_DEBIAN} <= set(noxfile.PYTHONS)
    assert f">={noxfile.OLDEST}" == noxfile.PROJECT["project"]["requires-python"]
    for version in noxfile.IN_DEBIAN:
        assert version in (PROJECT / ".ci" / "debian").read_text()


def test_what_a_python_tests(noxfile: Any) -> None:
    whole = ["-n6", "-m", "not lab and not faults and not soak"]
    assert noxfile.tests_of("3.15") == whole
    assert noxfile.tests_of("3.13") == [*whole, "--cov"]
    for version in ("3.11", "3.12", "3.14"):
        assert noxfile.tests_of(version) == ["-n6", "-m", noxfile.QUICK]
    assert f'-m "{noxfile.QUICK}"' in (PROJECT / "CONTRIBUTING.md").read_text()


class Session:
    """As much of a session of nox's as the noxfile's functions use; it runs nothing."""

    def __init__(self, name: str, python: str = "3.15", posargs: tuple[str, ...] = ()) -> None:
        self.name = name
        self.python = python
        self.posargs = posargs
        self.ran: list[tuple[str, ...]] = []
        self.notified: list[str] = []

    def run(self, *command: str, **options: Any) -> None:
        self.ran.append(command)

    def notify(self, name: str) -> None:
        self.notified.append(name)

    def skip(self, reason: str) -> None:
        raise Skipped(reason)


class Skipped(Exception):
    pass


@pytest.fixture
def debian(noxfile: Any, command: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Have a script of the test's for ``.ci/debian``."""

    def make(script: str) -> None:
        monkeypatch.setattr(noxfile, "DEBIAN", command(".ci/debian", script) / "debian")

    noxfile.why_no_debian.cache_clear()
    yield make
    noxfile.why_no_debian.cache_clear()


def test_debian_is_made_once(noxfile: Any, debian: Any, tmp_path: Path) -> None:
    debian(f'echo "$*" >>{tmp_path}/calls; echo "making it" >&2')
    assert noxfile.why_no_debian() is None
    assert noxfile.why_no_debian() is None
    assert (tmp_path / "calls").read_text() == "make\n"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(
            "echo log >&2; echo 'no mirror' >&2; exit 1", "no mirror", id="with a reason"
        ),
        pytest.param("exit 1", "debian make failed", id="without"),
    ],
)
def test_without_debian_the_session_is_skipped(
    noxfile: Any,
    debian: Any,
    script: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    debian(script)
    monkeypatch.setenv("SKIPPED_SESSIONS", str(tmp_path / "skipped"))
    for name in ("tests-3.14", "tests-3.15"):
        session = Session(name, python=name.removeprefix("tests-"))
        with pytest.raises(Skipped, match=f"no Python {session.python} here, .*{reason}$"):
            noxfile.tests_in_debian(session)
        assert not session.ran
    first, second = (tmp_path / "skipped").read_text().splitlines()
    assert first.startswith("tests-3.14: no Python 3.14 here, and ")
    assert second.endswith(reason)


def test_nobody_need_ask_for_what_is_skipped(
    noxfile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SKIPPED_SESSIONS", raising=False)
    with pytest.raises(Skipped, match="a reason"):
        noxfile.skip(Session("tests-3.15"), "a reason")


def test_in_debian_everything_has_a_time_limit(
    noxfile: Any, debian: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian("exit 0")
    monkeypatch.setattr(noxfile, "built_wheel", lambda: "dist/the.whl")
    session = Session("tests-3.15", posargs=("-k", "timeout"))
    noxfile.tests_in_debian(session)
    for script, run, seconds, _program, *_ in session.ran:
        assert script == str(noxfile.DEBIAN)
        assert run == "run"
        assert 0 < int(seconds) <= 1200
    programs = [command[3] for command in session.ran]
    pip = "/venvs/3.15/bin/pip"
    assert programs == ["python3.15", pip, pip, pip, "/venvs/3.15/bin/pytest"]
    assert session.ran[-1][4:] == ("-k", "timeout")


def make_debian(tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``.ci/debian make`` in a checkout that has nothing else."""
    script = tmp_path / "checkout" / ".ci" / "debian"
    script.parent.mkdir(parents=True)
    shutil.copy(PROJECT / ".ci" / "debian", script)
    return subprocess.run(
        [script, "make"], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="for others than root")
def test_debian_is_for_root(tmp_path: Path) -> None:
    made = make_debian(tmp_path)
    assert made.returncode == 1
    assert made.stderr.endswith("can be made and used by root only\n")


@pytest.mark.root
@pytest.mark.parametrize("script", ["echo 'E: no such mirror'; exit 1", "mkdir -p .nox/debian"])
def test_a_debian_that_is_not_whole_is_none(command: Any, tmp_path: Path, script: str) -> None:
    fake = command("bin/debootstrap", script)
    made = make_debian(tmp_path, PATH=f"{fake}{os.pathsep}{os.environ['PATH']}")
    assert made.returncode == 1
    *_, reason = made.stderr.splitlines()
    assert reason.startswith("no root of Debian forky: ")
    assert ("debootstrap failed: E: no such mirror" in reason) == ("mirror" in script)
    assert not (tmp_path / "checkout" / ".nox" / "debian-forky" / "whole").exists()


@pytest.mark.parametrize(
    ("requirements", "constraints"),
    [
        pytest.param(["httpx>=0.28", "anyio>=4"], ["httpx==0.28", "anyio==4"], id="several"),
        pytest.param(["anyio[trio]>=4.16"], ["anyio==4.16"], id="extra"),
        pytest.param(["redis!=6.0,<9,>=5.2"], ["redis==5.2"], id="other bounds"),
        pytest.param(["uvloop>=0.23; os_name != 'nt'"], ["uvloop==0.23"], id="marker"),
    ],
)
def test_lowest_versions(noxfile: Any, requirements: list[str], constraints: list[str]) -> None:
    assert noxfile.lowest_versions(requirements) == constraints


def test_what_has_no_lowest_version_is_an_error(noxfile: Any) -> None:
    with pytest.raises(ValueError, match="unpack"):
        noxfile.lowest_versions(["rich"])


def test_each_extra_has_tests_at_its_lowest_versions(noxfile: Any) -> None:
    extras = [extra for group, _ in noxfile.LOWEST.values() for extra in group]
    assert sorted(extras) == sorted(set(noxfile.EXTRAS) - {"all"})
    for group, paths in noxfile.LOWEST.values():
        for extra in group:
            assert noxfile.lowest_versions(noxfile.EXTRAS_NEED[extra])
        assert all((PROJECT / path).exists() for path in paths)
