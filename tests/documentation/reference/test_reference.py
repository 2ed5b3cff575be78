"""Each public name stands in the reference, and what has a docstring has it there."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import normwise

_FOLDER = Path(__file__).parents[3] / "docs/reference"
#: Of each package the page that has its names.
_PAGES = {
    "normwise": "normwise",
    "normwise.distributed": "nn",
    "normwise.doctor": "doctor",
    "normwise.errors": "normwise",
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
#: Modules that are shown as a whole.
_WHOLE = ("normwise.errors", "normwise.reference")
_SHOWN = re.compile(r"^\.\. auto(?:class|function|module):: (\S+)$", re.M)


def _public(package: str) -> list[str]:
    """Return the public names of a package; it is not imported, since that of Keras would choose a backend."""
    path = Path(normwise.__file__).parent.joinpath(*package.split(".")[1:])
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    raise ValueError(f"{source} has no __all__")


def _page(name: str) -> str:
    return (_FOLDER / f"{name}.md").read_text(encoding="utf-8")


_ALL = [name for page in sorted(_FOLDER.glob("*.md")) for name in _SHOWN.findall(_page(page.stem))]


@pytest.mark.parametrize("package", [package for package in _PAGES if package not in _WHOLE])
def test_all_that_is_public_is_named(package: str) -> None:
    page = _page(_PAGES[package])
    missing = [
        name
        for name in _public(package)
        if not re.search(rf"(?<![\w.]){re.escape(f'{package}.{name}')}\b|`{name}`", page)
    ]
    assert not missing


@pytest.mark.parametrize("package", _WHOLE)
def test_a_module_is_shown_as_a_whole(package: str) -> None:
    assert package in _SHOWN.findall(_page(_PAGES[package]))


@pytest.mark.parametrize("package", sorted(_PAGES.keys() - {*_WHOLE, "normwise.keras"}))
def test_classes_and_functions_are_shown_with_their_docstrings(package: str) -> None:
    module = import_module(package)
    owners = [name.rpartition(".") for name in _ALL if name not in _WHOLE]
    shown = {
        id(getattr(import_module(owner), name)) for owner, _, name in owners if owner != "normwise.keras"
    }
    missing = [
        name
        for name in _public(package)
        if (inspect.isfunction(value := getattr(module, name)) or inspect.isclass(value))
        and id(value) not in shown
    ]
    assert not missing


def test_nothing_is_shown_twice() -> None:
    assert len(_ALL) == len(set(_ALL))


def test_the_index_names_all_pages() -> None:
    linked = set(re.findall(r"\]\((\w[\w-]*\.md)\)", _page("README")))
    assert linked == {page.name for page in _FOLDER.glob("*.md")} - {"README.md"}
