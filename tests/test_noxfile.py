"""How noxfile.py finds the Pythons that the tests run on."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("nox")

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
