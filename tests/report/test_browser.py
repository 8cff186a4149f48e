"""Pictures and pages as a browser shows them, and a notebook that is run: nothing is asked for."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import subprocess
import sys
import zlib
from pathlib import Path
from struct import unpack
from typing import Any

import pytest
from support import dials
from support.browser import browse, needs_chromium
from support.dials import T, inet, report_of

from aconnect.trace import AttemptEnded, AttemptStarted, DialFailed, DialStarted

DOCS = Path(__file__).parents[2] / "docs"

HOSTILE = report_of(
    DialStarted(T, '"><img src=http://evil.example/x><script>document.title="run"</script>:1'),
    AttemptStarted(T, 0, inet()),
    AttemptEnded(T + 1, 0, "failed", 111, note="<img src=http://evil.example/y onerror=alert(1)>"),
    DialFailed(T + 1, "failed", 111, "connect"),
)
ASKS = '<!DOCTYPE html><title>asks</title><img src="http://evil.example/x.png">'


def first_pixel(png: bytes) -> bytes:
    """Red, green and blue of the pixel in the corner, which no filter changes."""
    packed, at = b"", 8
    while at < len(png):
        length, kind = unpack(">I4s", png[at : at + 8])
        packed += png[at + 8 : at + 8 + length] * (kind == b"IDAT")
        at += 12 + length
    return zlib.decompress(packed)[1:4]


@needs_chromium
@pytest.mark.server
@pytest.mark.slow
class TestInABrowser:
    def test_one_that_asks_is_noticed(self, tmp_path: Path) -> None:
        page = tmp_path / "asks.html"
        page.write_text(ASKS)
        _, asked = browse(page, tmp_path, "--dump-dom")
        assert any("evil.example" in each for each in asked)  # or the next would prove nothing

    @pytest.mark.parametrize("dark", [False, True])
    def test_a_page_asks_for_nothing_and_runs_nothing(self, tmp_path: Path, dark: bool) -> None:
        page = tmp_path / "dial.html"
        page.write_text(HOSTILE.to_html())
        shown, asked = browse(page, tmp_path, "--dump-dom", dark=dark)
        assert asked == []
        assert "<title>run</title>" not in shown
        assert "<svg" in shown
        assert "&lt;script&gt;" in shown

    def test_a_picture_is_painted(self, tmp_path: Path) -> None:
        picture, screenshot = tmp_path / "dial.svg", tmp_path / "shot.png"
        picture.write_text(dials.report("the first handshake fails").to_svg())
        options = (f"--screenshot={screenshot}", "--window-size=960,300")
        _, asked = browse(picture, tmp_path, *options)
        assert asked == []
        data = screenshot.read_bytes()
        assert unpack(">II", data[16:24]) == (960, 300)
        blank, white = tmp_path / "blank.svg", tmp_path / "white.png"
        blank.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
        browse(blank, tmp_path, f"--screenshot={white}", "--window-size=960,300")
        assert len(data) > 2 * len(white.read_bytes())

    @pytest.mark.parametrize(
        ("theme", "dark", "colour"),
        [("light", True, b"\xff\xff\xff"), ("dark", False, b"\x0d\x11\x17")],
        ids=["light", "dark"],
    )
    def test_a_picture_in_the_docs_is_as_the_page(
        self, tmp_path: Path, theme: str, dark: bool, colour: bytes
    ) -> None:
        """By the reader's own choice, whichever the system's colours are."""
        style, picture = DOCS / "_static" / "pictures.css", DOCS / "pictures" / "race.svg"
        page, screenshot = tmp_path / "page.html", tmp_path / "shot.png"
        page.write_text(
            f'<!DOCTYPE html><link rel="stylesheet" href="{style.as_uri()}">'
            f'<body data-theme="{theme}"><img style="position:absolute;left:-9px;top:-9px" '
            f'src="{picture.as_uri()}">'
        )
        options = (f"--screenshot={screenshot}", "--window-size=960,300")
        browse(page, tmp_path, *options, dark=dark)
        assert first_pixel(screenshot.read_bytes()) == colour


NOTEBOOK: dict[str, Any] = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": "dial",
            "metadata": {},
            "outputs": [],
            "source": (
                "import socket\n"
                "from aconnect import Report, aconnect\n"
                "report = Report()\n"
                "with socket.create_server(('127.0.0.1', 0)) as listener:\n"
                "    (await aconnect(listener.getsockname(), report=report)).close()\n"
                "report"
            ),
        }
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.mark.slow
@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("nbconvert", "ipykernel")),
    reason="there is no nbconvert, or no ipykernel: install the dependency group notebook",
)
def test_a_notebook_shows_the_picture(tmp_path: Path) -> None:
    file = tmp_path / "dial.ipynb"
    file.write_text(json.dumps(NOTEBOOK))

    def convert(*options: str) -> None:
        command = [sys.executable, "-m", "nbconvert", "--execute", *options, str(file)]
        made = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert made.returncode == 0, made.stderr

    convert("--to", "notebook", "--output", "run.ipynb")
    [cell] = json.loads((tmp_path / "run.ipynb").read_text())["cells"]
    [output] = cell["outputs"]
    assert set(output["data"]) == {"image/svg+xml", "text/plain"}
    svg = "".join(output["data"]["image/svg+xml"])
    assert svg.startswith("<svg")
    assert "connected" in svg
    assert "".join(output["data"]["text/plain"]).startswith("<Report 127.0.0.1:")
    convert("--to", "html", "--output", "page.html")
    page = (tmp_path / "page.html").read_text()
    [image] = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert base64.b64decode(image).startswith(b"<svg")
