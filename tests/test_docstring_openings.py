"""Docstrings open with a verb or a noun, which ruff's D401 checks in part, and not with a question."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_QUESTION = re.compile(r"(What|Where|How|Whether|Which|Who|Whoever|Whose|When|Why)\b")


def _docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring, also of those after an attribute or a constant."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value.strip()


def _questions(source: str) -> list[int]:
    return [line for line, text in _docstrings(source) if _QUESTION.match(text)]


@pytest.mark.parametrize("folder", ["src", "tests", "website", "benchmarks", "examples"])
def test_no_docstring_opens_with_a_question(folder: str) -> None:
    found = {
        f"{path.relative_to(_ROOT)}:{line}"
        for path in sorted((_ROOT / folder).rglob("*.py"))
        for line in _questions(path.read_text(encoding="utf-8"))
    }
    assert not found


def test_a_question_is_found_in_a_module_a_class_a_function_and_after_an_attribute() -> None:
    source = '"""What."""\nclass A:\n    """Where."""\n    a = 1\n    """How."""\ndef f():\n    """Why."""\n'
    assert _questions(source) == [1, 3, 5, 7]
    assert _questions('"""Whatever is done."""\ndef f():\n    """Return what is asked."""\n') == []
