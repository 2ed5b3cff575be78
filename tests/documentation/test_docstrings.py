"""The examples in docstrings run and print what they say, of every module."""

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import normwise

_PACKAGE = Path(normwise.__file__).parent
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _module_name(path: Path) -> str:
    parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


#: Without those of Keras, whose backend would come into this process: tests/keras/test_house.py runs theirs.
_MODULES = {
    name: path
    for path in sorted(_PACKAGE.rglob("*.py"))
    if not (name := _module_name(path)).startswith("normwise.keras")
    and ">>>" in path.read_text(encoding="utf-8")
}


def _docstrings(path: Path) -> Iterator[tuple[str, str, int]]:
    """Yield the name, docstring and first line of everything that has examples.

    They are read from the source: what `doctest` finds by itself leaves out decorated functions.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, _DOCUMENTED) and ">>>" in (text := ast.get_docstring(node, clean=False) or ""):
            yield getattr(node, "name", path.stem), text, node.body[0].lineno - 1


@pytest.mark.parametrize("name", _MODULES)
def test_examples_print_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path, module = _MODULES[name], importlib.import_module(name)
    runner = doctest.DocTestRunner()
    for object_name, text, line in _docstrings(path):
        test = doctest.DocTestParser().get_doctest(text, dict(vars(module)), object_name, str(path), line)
        torch.manual_seed(0)
        runner.run(test)
    assert runner.tries > 0
    assert runner.failures == 0, capsys.readouterr().out


def test_there_are_examples() -> None:
    assert len(_MODULES) >= 20
