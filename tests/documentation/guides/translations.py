"""Chinese pages and the English ones that they translate.

Each ends with a comment that names the English page, and its digest when the translation was last looked at.

Run: python -m tests.documentation.guides.translations docs/zh/tutorial.md ...

Writes today's digests into the pages that are named, once somebody has looked at them.
"""

import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
COMMAND = "python -m tests.documentation.guides.translations"
_MARK = re.compile(r"\n<!-- Translates (?P<page>\S+) as of (?P<digest>[0-9a-f]{16})\. -->\n\Z")


def main(pages: list[Path]) -> None:
    """Write the digests of the English pages into Chinese ones."""
    for page in pages:
        text = _MARK.sub("", page.read_text(encoding="utf-8")).rstrip("\n")
        english = english_of(page)
        mark = f"<!-- Translates {english.relative_to(ROOT).as_posix()} as of {digest(english)}. -->"
        page.write_text(f"{text}\n\n{mark}\n", encoding="utf-8")


def chinese_pages() -> list[Path]:
    """Return the paths of all Chinese pages."""
    return [ROOT / "README.zh.md", *sorted((ROOT / "docs/zh").rglob("*.md"))]


def english_of(page: Path) -> Path:
    """Return the path of the page that a Chinese one translates."""
    page = page.resolve()
    if page == ROOT / "README.zh.md":
        return ROOT / "README.md"
    return ROOT / "docs" / page.relative_to(ROOT / "docs/zh")


def digest(page: Path) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a page's text."""
    return hashlib.sha256(page.read_text(encoding="utf-8").encode()).hexdigest()[:16]


def recorded(page: Path) -> tuple[str, str]:
    """Return the path and the digest that a Chinese page names.

    Raises:
        ValueError: it names none.
    """
    found = _MARK.search(page.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{page} does not say what it translates; run {COMMAND} {page}")
    return found["page"], found["digest"]


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
