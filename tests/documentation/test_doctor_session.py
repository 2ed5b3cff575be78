"""The page about the doctor shows what it prints, and what its report looks like."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.documentation.doctor_session import chromium, session, shown_session, take_screenshot

_ROOT = Path(__file__).parents[2]
_DOCUMENT = _ROOT / "docs/doctor/command-line.md"
_SCREENSHOT = _ROOT / "docs/pictures/doctor.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("session")


@pytest.fixture(scope="module")
def said(folder: Path) -> str:
    return session(folder)


def _without_numbers(text: str) -> str:
    return " ".join(re.sub(r"\d[\d.,]*(e[-+]?\d+)?", "#", text).split())


def test_the_page_shows_what_the_doctor_prints(said: str) -> None:
    # Other versions of torch, and other processors, train to other numbers.
    assert _without_numbers(said) == _without_numbers(shown_session(_DOCUMENT)), (
        "make doctor-pages makes it again"
    )


@pytest.mark.parametrize("text", ["said", "shown"])
def test_the_fix_gains_much(text: str, said: str) -> None:
    found = re.search(
        r"accuracy in evaluation ([\d.]+)%\s+before,\s+([\d.]+)%\s+after",
        said if text == "said" else shown_session(_DOCUMENT),
    )
    assert found
    before, after = map(float, found.groups())
    assert before < 80 < 95 < after


@pytest.mark.skipif(chromium() is None, reason="no Chromium or Chrome on PATH")
def test_the_screenshot_is_of_the_page(said: str, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="playwright is not installed")
    # In a thread of its own: tests of reports keep a browser, and Playwright allows one a thread.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(take_screenshot, folder / "page.html", tmp_path / "page.png").result()
    taken, shown = (path.read_bytes() for path in (tmp_path / "page.png", _SCREENSHOT))
    assert taken[:24] == shown[:24]  # the signature, and the size of the picture
    assert 0.5 < len(taken) / len(shown) < 2


def test_the_page_shows_the_screenshot() -> None:
    assert "](../pictures/doctor.png)" in _DOCUMENT.read_text(encoding="utf-8")
    assert _SCREENSHOT.is_file()
