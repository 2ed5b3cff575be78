"""The pages about the layer: their code runs on every backend, and what they link to is there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

from tests.support.keras.marks import not_on_jax

_FOLDER = Path(__file__).parents[3] / "docs/keras"
_PAGES = [_FOLDER / "layer.md", _FOLDER / "tensorflow-1.md"]
#: Their code, which chooses a backend, runs with that of all other pages, in processes of its own.
_MORE_PAGES = sorted(set(_FOLDER.glob("*.md")).difference(_PAGES))


def _blocks() -> Iterator[Any]:
    for page in _PAGES:
        for found in re.finditer(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
            line = found.string.count("\n", 0, found.start()) + 1
            marks = [not_on_jax] if page.stem == "tensorflow-1" else []
            yield pytest.param(found[1], id=f"{page.name}:{line}", marks=marks)


@pytest.mark.parametrize("code", list(_blocks()))
def test_it_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "<block>", "exec"), {"__name__": "block"})


@pytest.mark.parametrize("page", [*_PAGES, *_MORE_PAGES], ids=lambda page: page.stem)
def test_what_it_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert links or page in _MORE_PAGES
    assert not missing


def test_every_snippet_of_the_tutorials_has_a_counterpart_in_both_frameworks() -> None:
    page = (_FOLDER / "tensorflow-1.md").read_text(encoding="utf-8")
    rows = [
        line.split("|")[1:-1] for line in page.split("## The snippets")[1].splitlines() if line[:1] == "|"
    ][2:]
    assert len(rows) == 10
    assert all("](" in cell for row in rows for cell in row[2:])


def test_a_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """On every backend, but for the numbers, which depend on how it draws weights."""
    page = (_FOLDER / "operations.md").read_text(encoding="utf-8")
    section = page[page.index("## A model that trained too little") :]
    found = re.search(r"^```python\n(.*?)^```\n\n^```\n(.*?)^```$", section, re.M | re.S)
    assert found
    keras.backend.clear_session()  # so that the layer's name has no number
    exec(compile(found[1], "<block>", "exec"), {})

    def without_numbers(text: str) -> str:
        return re.sub(r"\d+(\.\d+)?", "#", text)

    assert without_numbers(capsys.readouterr().out) == without_numbers(found[2])
