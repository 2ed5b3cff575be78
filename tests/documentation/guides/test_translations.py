"""A Chinese page was looked at since its English one has changed, and has the same code."""

from pathlib import Path

import pytest

from tests.documentation.guides.guide import blocks
from tests.documentation.guides.translations import (
    COMMAND,
    ROOT,
    chinese_pages,
    digest,
    english_of,
    main,
    recorded,
)


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", chinese_pages(), ids=_name)
def test_it_was_looked_at_since_the_english_page_has_changed(page: Path) -> None:
    english = english_of(page)
    assert recorded(page) == (_name(english), digest(english)), (
        f"{_name(english)} has changed: bring {_name(page)} up to date, then run {COMMAND} {_name(page)}"
    )


@pytest.mark.parametrize("page", chinese_pages(), ids=_name)
def test_its_code_is_that_of_the_english_page(page: Path) -> None:
    """So that it need not run twice."""
    chinese, english = (
        [(block.language, block.options, block.text) for block in blocks(path.read_text(encoding="utf-8"))]
        for path in (page, english_of(page))
    )
    assert chinese == english


def test_what_a_newcomer_reads_is_there_in_chinese() -> None:
    english = {
        ROOT / name for name in ("README.md", "docs/tutorial.md", "docs/faq.md", "docs/five-tutorials.md")
    }
    english |= set((ROOT / "docs/how-to").glob("*.md"))
    assert english <= {english_of(page) for page in chinese_pages()}


def test_a_page_says_what_it_translates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.documentation.guides.translations.ROOT", tmp_path)
    page = tmp_path / "docs/zh/a.md"
    page.parent.mkdir(parents=True)
    page.write_text("# 甲\n", encoding="utf-8")
    (tmp_path / "docs/a.md").write_text("# A\n", encoding="utf-8")
    with pytest.raises(ValueError, match="does not say what it translates"):
        recorded(page)
    main([page])
    assert recorded(page) == ("docs/a.md", digest(tmp_path / "docs/a.md"))
    first = page.read_text(encoding="utf-8")
    assert first.startswith("# 甲\n\n<!-- Translates docs/a.md as of ")
    main([page])
    assert page.read_text(encoding="utf-8") == first
