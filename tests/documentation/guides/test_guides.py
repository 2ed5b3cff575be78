"""The pages that a reader follows do what they say, from the first block to the last."""

from pathlib import Path

import pytest
import torch

from tests.documentation.guides.guide import blocks, follow

_ROOT = Path(__file__).parents[3]
_FOLDERS = ("docs/how-to", "docs/explanation")
_PAGES = [
    *(_ROOT / name for name in ("README.md", "docs/tutorial.md", "docs/faq.md") if (_ROOT / name).exists()),
    *(page for folder in _FOLDERS for page in sorted((_ROOT / folder).glob("*.md"))),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_a_reader_can_follow(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Modules that a page writes are imported from its folder, and are another page's by the same name.
    monkeypatch.syspath_prepend(str(tmp_path))
    # Keras has one backend a process.
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    torch.manual_seed(0)
    follow(page, tmp_path)


def test_what_a_page_shows_must_be_what_is_printed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nprint('accuracy', 0.9)\n```\n\n```text\naccuracy 0.8\n```\n", encoding="utf-8"
    )
    follow(page, tmp_path)  # numbers may differ
    page.write_text("```python\nprint('accuracy')\n```\n\n```text\nloss\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"page.md:1 prints\naccuracy"):
        follow(page, tmp_path)


def test_commands_run_one_after_the_other(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '```python title="hello.py"\nprint("hello")\nprint("you")\n```\n\n'
        "```console\n$ cp hello.py \\\n    bye.py\n$ python bye.py\nhello\n…\n```\n",
        encoding="utf-8",
    )
    follow(page, tmp_path)
    page.write_text("```console\n$ exit 2\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"exit 2 ended with 2"):
        follow(page, tmp_path)


def test_a_block_that_is_printed_belongs_to_the_one_before_it() -> None:
    page = '```python needs="keras"\nx\n```\n\n```text\n1\n```\n\n```console\n$ ls\n```\n'
    python, text, console = blocks(page)
    assert (python.line, python.options, python.shown) == (1, {"needs": "keras"}, "1\n")
    assert (text.language, text.shown, console.language) == ("text", None, "console")


def test_a_page_may_have_no_blocks() -> None:
    assert not list(blocks("# A page\n\nWords alone.\n"))
