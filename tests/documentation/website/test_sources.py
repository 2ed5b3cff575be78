"""The sources of the site: each link leads to something that the site has, in both languages."""

import re
from pathlib import Path

import pytest

from website.sources import write_sources


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_sources(folder)
    return folder


def _links(text: str) -> list[str]:
    found = re.finditer(r"^```.*?^```$|`[^`\n]+`|\]\(([^)\s#]+)(?:#[^)]*)?\)", text, flags=re.M | re.S)
    return [link[1] for link in found if link[1]]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_links_stay_in_the_site(folder: Path, language: str) -> None:
    missing = [
        f"{page.relative_to(folder)}: {link}"
        for page in (folder / language).rglob("*.md")
        for link in _links(page.read_text(encoding="utf-8"))
        if "://" not in link and not link.startswith("mailto:") and not (page.parent / link).exists()
    ]
    assert not missing


def test_a_chinese_page_leads_to_english_ones_that_it_has_no_twin_of(folder: Path) -> None:
    home = (folder / "zh/index.md").read_text(encoding="utf-8")
    addresses = re.findall(r'<a href="([^"#]+\.html)', home)
    assert addresses
    for address in addresses:
        assert address.startswith("../")
        assert (folder / "en" / address.removeprefix("../").replace(".html", ".md")).exists()


def test_each_claim_has_a_page_and_a_chinese_summary(folder: Path) -> None:
    overview = (folder / "en/evidence.md").read_text(encoding="utf-8")
    names = re.findall(r"\]\(claims/(\w+)\.md\)", overview)
    pages = {page.stem for page in (folder / "en/claims").glob("*.md")}
    assert len(pages) >= 49
    assert pages == set(names)
    summaries = (folder / "zh/evidence.md").read_text(encoding="utf-8")
    assert set(re.findall(r"claims/(\w+)\.html", summaries)) == pages
    sections = summaries.split("\n## ")[1:]
    assert all(
        re.search(r"\*\*[✓✗~?] [^*]+\*\*", section) and "**怎么做。**" in section for section in sections
    )


def test_links_to_a_claim_lead_to_its_page(folder: Path) -> None:
    pages = [page.read_text(encoding="utf-8") for page in (folder / "en").rglob("*.md")]
    assert not any(re.search(r"\]\([^)]*evidence\.md#", page) for page in pages)


def test_a_file_that_a_page_writes_is_named(folder: Path) -> None:
    tutorial = (folder / "en/tutorial.md").read_text(encoding="utf-8")
    assert re.search(r"```\{code-block\} python\n:caption: \w+\.py\n\n", tutorial)
