"""The sources of the site: the pages of docs/ as Sphinx wants them.

English pages are those of docs/, with the README as the home page, the changelog, and a page for each claim, which
docs/evidence.md has as sections. Chinese pages are those of docs/zh/, with README.zh.md as the home page, and one page
of what the study found.
"""

import posixpath
import re
import shutil
from pathlib import Path

from website.evidence import claim_pages, overview, summaries
from website.navigation import toctrees

ROOT = Path(__file__).parents[1]
#: A link or a picture; or code, in which nothing is a link.
_LINK = re.compile(
    r"^```.*?^```$|`[^`\n]+`|(?P<picture>!?)\[(?P<label>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)",
    re.M | re.S,
)


def write_sources(folder: Path) -> dict[str, list[str]]:
    """Write the sources into ``folder/en`` and ``folder/zh``, and return the names of the pages of each."""
    pages = {"en": _english(), "zh": _chinese()}
    for language, of_language in pages.items():
        to = folder / language
        for name, text in of_language.items():
            path = to / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = _with_links(text, name, of_language, language)
            path.write_text(_for_sphinx(text) + toctrees(name, list(of_language), language), encoding="utf-8")
        shutil.copytree(ROOT / "docs/pictures", to / "pictures", dirs_exist_ok=True)
    return {
        language: sorted(name.removesuffix(".md") for name in of_language)
        for language, of_language in pages.items()
    }


def _english() -> dict[str, str]:
    docs = ROOT / "docs"
    pages = {
        path.relative_to(docs).as_posix(): _read(path)
        for path in sorted(docs.rglob("*.md"))
        if "zh" not in path.relative_to(docs).parts[:1]
    }
    evidence = pages["evidence.md"]
    return {
        "index.md": _from_root(_read(ROOT / "README.md"), "docs"),
        "changelog.md": _from_root(_read(ROOT / "CHANGELOG.md"), "docs"),
        **pages,
        "evidence.md": overview(evidence),
        **claim_pages(evidence),
    }


def _chinese() -> dict[str, str]:
    docs = ROOT / "docs/zh"
    return {
        "index.md": _from_root(_read(ROOT / "README.zh.md"), "docs/zh"),
        **{path.relative_to(docs).as_posix(): _read(path) for path in sorted(docs.rglob("*.md"))},
        "evidence.md": summaries(_read(ROOT / "docs/evidence.md")),
    }


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _from_root(text: str, folder: str) -> str:
    """Return a page of the root as one of a folder, without the link to the other language, which each page has."""
    text = re.sub(r" ?\[(?:中文|English)\]\(README[\w.]*\)", "", text)
    return re.sub(
        r"\]\((?!\w+:)([^)\s#]+)",
        lambda link: f"]({posixpath.relpath(link[1], folder)}",
        text,
    )


def _for_sphinx(text: str) -> str:
    """Return a page with its anchors as Sphinx's, and with the names of the files that its blocks are as captions."""
    text = re.sub(r'^<a id="([\w-]+)"></a>$', r"(\1)=", text, flags=re.M)
    return re.sub(r'^```python title="([^"]+)"$', r"```{code-block} python\n:caption: \1\n", text, flags=re.M)


def _with_links(text: str, name: str, pages: dict[str, str], language: str) -> str:
    """Return a page whose links lead to what the site has.

    A link to a claim leads to its page, and one from a Chinese page to an English one to that of the English site. A
    link to a file of the repository, such as an example, becomes its text: the site has no copy of it.
    """
    here = posixpath.dirname(name)
    folder = "docs/zh" if language == "zh" else "docs"

    def leading(link: re.Match[str]) -> str:
        picture, label, target = link["picture"], link["label"], link["target"]
        if target is None:
            return link[0]
        path, _, anchor = target.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return link[0]
        in_repository = posixpath.normpath(posixpath.join(folder, here, path))
        if in_repository == "docs/evidence.md" and anchor:
            in_repository, anchor = f"docs/claims/{anchor}.md", ""
        local = posixpath.relpath(in_repository, folder)
        if language == "zh" and not anchor and in_repository.removeprefix("docs/") in pages:
            local = in_repository.removeprefix("docs/")
        if local in pages or local.startswith("pictures/"):
            address = posixpath.relpath(local, here or ".")
            return f"{picture}[{label}]({address}{'#' + anchor if anchor else ''})"
        if language == "zh" and in_repository.startswith("docs/pictures/"):
            return (
                f"{picture}[{label}]({posixpath.relpath(in_repository.removeprefix('docs/'), here or '.')})"
            )
        if not (ROOT / in_repository).exists() and not in_repository.startswith("docs/claims/"):
            return link[0]  # Sphinx warns of it
        if language == "zh" and in_repository.startswith("docs/"):
            address = posixpath.relpath(in_repository.removeprefix("docs/"), posixpath.join("zh", here))
            page = re.sub(r"\.md$", ".html", address) + (f"#{anchor}" if anchor else "")
            return f'<a href="{page}">{_html(label)}</a>'
        return label

    return _LINK.sub(leading, text)


def _html(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
