"""The pictures of the documentation are those of dials, and their figures are those measured."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

PROJECT = Path(__file__).parents[1]
PICTURES = PROJECT / "docs" / "pictures"
SVGS = sorted(path.stem for path in PICTURES.glob("*.svg"))

spec: Any = importlib.util.spec_from_file_location("draw", PICTURES / "draw.py")
draw: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(draw)


@pytest.mark.parametrize("name", draw.PICTURES)
def test_a_picture_is_that_of_a_dial_made_now(name: str) -> None:
    assert (PICTURES / f"{name}.svg").read_text() == draw.drawn(name)


@pytest.mark.parametrize("name", draw.CHARTS)
def test_bars_are_of_the_figures_that_are_kept(name: str) -> None:
    assert (PICTURES / f"{name}.svg").read_text() == draw.CHARTS[name]()


@pytest.mark.parametrize("name", SVGS)
def test_a_picture_asks_for_nothing_and_is_light_and_dark(name: str) -> None:
    text = (PICTURES / f"{name}.svg").read_text()
    ElementTree.fromstring(text)
    text = text.replace("https://www.example:", "")  # what is dialled, in words
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "<script" not in text
    assert "prefers-color-scheme:dark" in text


@pytest.mark.parametrize("name", SVGS)
def test_a_picture_is_shown_and_described(name: str) -> None:
    pages = [page.read_text() for page in (PROJECT / "docs").rglob("*.md")]
    described = re.findall(rf"!\[([^]]+)\]\([./]*pictures/{name}\.svg\)", "".join(pages))
    assert described


@pytest.mark.parametrize("page", ["README.md", *sorted(map(str, PROJECT.glob("docs/**/*.md")))])
def test_what_a_picture_shows_is_told_on_one_line(page: str) -> None:
    """Lines of it are put together without a space between."""
    assert not re.search(r"!\[[^]\n]*\n", (PROJECT / page).read_text())


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_figures_of_a_dead_address_are_those_measured(page: str) -> None:
    measured = json.loads((PICTURES / "dead-ipv6.json").read_text())["seconds"]
    text = " ".join((PROJECT / page).read_text().split())
    ours, theirs = re.findall(r"took (\S+) seconds", text)[:2]
    assert ours == f"{measured['aconnect']:.2f}"
    assert theirs == f"{measured['asyncio']:.0f}"
    # The drawing is of the dial that was measured, which had to wait for an attempt delay.
    svg = (PICTURES / "dead-ipv6.svg").read_text()
    [took] = re.findall(r"www\.example:443: connected after (\S+) ms<", svg)
    assert abs(float(took) / 1000 - measured["aconnect"]) < 0.01
    assert measured["aconnect"] > 0.25


@pytest.mark.parametrize("name", ["picture", "beside"])
def test_the_readme_has_the_pictures_of_the_first_page(name: str) -> None:
    [linked] = re.findall(
        rf"^\[{name}\]: https://raw\.githubusercontent\.com/aconnect-io/aconnect/main/(\S+)$",
        (PROJECT / "README.md").read_text(),
        re.MULTILINE,
    )
    assert (PROJECT / linked).is_file()
    assert linked.removeprefix("docs/") in (PROJECT / "docs" / "index.md").read_text()
