"""Each public name stands in the reference, and each name there exists."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import normwise
from tests.documentation.reference.documented_names import FOLDER, documented_names

_PAGES = {
    "normwise": "normwise",
    "normwise.distributed": "nn",
    "normwise.doctor": "doctor",
    "normwise.errors": "errors",
    "normwise.functional": "functional",
    "normwise.keras": "keras",
    "normwise.nn": "nn",
    "normwise.porting": "surgery",
    "normwise.records": "records",
    "normwise.reference": "functional",
    "normwise.statistics": "statistics",
    "normwise.studies": "studies",
    "normwise.surgery": "surgery",
    "normwise.testing": "doctor",
}
#: Modules that are shown as a whole, since all that is public in them is documented there.
_WHOLE = ("normwise.errors", "normwise.reference")


def _public(package: str) -> list[str]:
    """Return the public names of a package; it is not imported, since that of Keras would choose a backend."""
    path = Path(normwise.__file__).parent.joinpath(*package.split(".")[1:])
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


def _page(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


_ALL = documented_names()


@pytest.mark.parametrize("package", _PAGES)
def test_all_that_is_public_is_there(package: str) -> None:
    page = _page(_PAGES[package])
    if package in _WHOLE:
        assert f"::: {package}\n" in page
        return
    missing = [
        name
        for name in _public(package)
        if not re.search(rf"(?<![\w.]){re.escape(f'{package}.{name}')}\b|`{name}`", page)
    ]
    assert not missing


@pytest.mark.parametrize("package", [package for package in _PAGES if package != "normwise.keras"])
def test_what_can_be_called_has_its_docstring_there(package: str) -> None:
    module = import_module(package)
    # What is elsewhere, such as a callback of a library that may be missing, is no name of these packages.
    owners = [name.rpartition(".") for name in _ALL]
    shown = {
        id(getattr(import_module(owner), name))
        for owner, _, name in owners
        if owner in _PAGES and owner != "normwise.keras"
    }
    missing = [
        name
        for name in _public(package)
        if package not in _WHOLE
        and (inspect.isfunction(value := getattr(module, name)) or inspect.isclass(value))
        and id(value) not in shown
    ]
    assert not missing


def test_nothing_is_there_twice() -> None:
    assert len(_ALL) == len(set(_ALL))


def test_the_index_names_all_pages() -> None:
    linked = set(re.findall(r"\]\((\w[\w-]*\.md)\)", _page("README")))
    assert linked == {page.name for page in FOLDER.glob("*.md")} - {"README.md"}
