"""What the distributions must hold: ``python contents.py DIST OTHER``.

DIST has the sdist and the wheel that was built from it, OTHER the wheel that was built from
the checkout.

Rules:

* The wheel has the package, whole, with py.typed, and nothing else but its metadata.
* The sdist has what it takes to test, document and build the package.
* Both wheels are the same, file by file.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "src" / "aconnect"
IN_THE_SDIST = ("LICENSE", "README.md", "noxfile.py", "pyproject.toml", "tests/conftest.py")


def wheel_files(directory: Path) -> dict[str, bytes]:
    [wheel] = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sdist_names(directory: Path) -> set[str]:
    [sdist] = directory.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def package_names() -> set[str]:
    paths = (path for path in PACKAGE.rglob("*") if path.is_file())
    return {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in paths
        if "__pycache__" not in path.parts
    }


def check(dist: Path, other: Path) -> None:
    wheel = wheel_files(dist)
    package = {name for name in wheel if ".dist-info/" not in name}
    assert "aconnect/py.typed" in package
    assert package == package_names(), package ^ package_names()

    sdist = sdist_names(dist)
    needed = {*IN_THE_SDIST, *(f"src/{name}" for name in package)}
    assert needed <= sdist, needed - sdist
    unwanted = {
        name for name in sdist if "__pycache__" in name or name.startswith((".nox", "dist"))
    }
    assert not unwanted, unwanted

    direct = wheel_files(other)
    assert direct.keys() == wheel.keys(), direct.keys() ^ wheel.keys()
    differing = [name for name in wheel if wheel[name] != direct[name]]
    assert not differing, differing


if __name__ == "__main__":
    check(*map(Path, sys.argv[1:]))
    print("The distributions hold what they must.")
