"""The picture of the page about the five tutorials is that of its table, in both languages."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from tests.documentation.tutorial_verdicts import CHINESE, COMMAND, ENGLISH, Page
from website.verdict_bars import tutorials, verdict_bars

_PAGES = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["English", "Chinese"])


@_PAGES
def test_the_picture_is_that_of_the_page(page: Page) -> None:
    drawn = page.picture.read_text(encoding="utf-8")
    assert drawn == verdict_bars(page.path.read_text(encoding="utf-8")), f"{COMMAND} draws it anew"
    assert page.picture.name in page.path.read_text(encoding="utf-8")


@_PAGES
def test_each_count_of_the_table_is_in_the_picture(page: Page) -> None:
    rows = tutorials(page.path.read_text(encoding="utf-8"))
    assert len(rows) == 5
    texts = list(ElementTree.fromstring(page.picture.read_text(encoding="utf-8")).iter())
    shown = [element.text for element in texts if "count" in (element.get("class") or "").split()]
    assert shown == [str(count) for row in rows for count in row.counts if count]
    words = {element.text for element in texts}
    assert set(page.words) <= words
    assert {row.title for row in rows} <= words


def test_bars_are_as_long_as_their_counts() -> None:
    text = ENGLISH.picture.read_text(encoding="utf-8")
    bars = re.findall(r'width="([\d.]+)" height="22"/>\n<text class="count \w+"[^>]*>(\d+)<', text)
    assert len(bars) == 20
    assert len({round((float(width) + 1.5) / int(count), 1) for width, count in bars}) == 1


def test_a_page_without_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="found 0 tutorials; expected a table"):
        verdict_bars("# A page\n")
