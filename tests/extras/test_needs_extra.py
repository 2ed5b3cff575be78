"""The one error of a package that is not installed, and the sources, in which every such import can raise it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import normwise
from normwise.errors import MissingPackageError, NormwiseError
from normwise.extras import needs_extra
from tests.extras.declared import CORE, EXTRAS, PACKAGES

_SOURCES = Path(normwise.__file__).parent
#: Modules that need a package as a whole, and are imported within ``needs_extra`` or by tests and pages alone.
_WHOLE = {
    "studies/cluster/dask_backend.py": {"distributed"},
    "studies/cluster/joblib_backend.py": {"joblib"},
    "studies/cluster/ray_backend.py": {"ray"},
    "doctor/rules/delivery/onnx_in_training_mode.py": {"onnx"},
}


def test_the_error_names_who_needs_what_and_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    expected = (
        r"^the data set digits needs scikit-learn, which is not installed: pip install 'normwise\[study\]'$"
    )
    with (
        pytest.raises(MissingPackageError, match=expected) as caught,
        needs_extra("study", "the data set digits"),
    ):
        import sklearn  # noqa: F401
    assert caught.value.name == "sklearn"
    assert isinstance(caught.value, NormwiseError)
    assert isinstance(caught.value, ImportError)


def test_a_package_that_is_broken_is_not_called_missing() -> None:
    expected = (
        r"^a page needs a package that can't be imported: no such file: libx\.so\. Repair that package$"
    )
    with pytest.raises(MissingPackageError, match=expected), needs_extra("html", "a page"):
        raise ImportError("no such file: libx.so\nand much more")


def test_a_module_of_normwise_that_is_not_there_is_a_mistake_of_normwise() -> None:
    with pytest.raises(ModuleNotFoundError) as caught, needs_extra("html", "a page"):
        import normwise.nowhere  # noqa: F401 # pyright: ignore[reportMissingImports]
    assert not isinstance(caught.value, NormwiseError)


def test_no_extra_installs_what_is_always_there() -> None:
    assert CORE.isdisjoint(PACKAGES)


class _Import(NamedTuple):
    package: str
    extra: str | None


def test_what_an_extra_installs_is_imported_where_the_error_names_it() -> None:
    faults, checked_files = [], 0
    for path in sorted(_SOURCES.rglob("*.py")):
        name = path.relative_to(_SOURCES).as_posix()
        found = list(_imports(ast.parse(path.read_text(encoding="utf-8")), None))
        # What has been imported once in a file is there in the other functions, which are called after it.
        checked = {one.package for one in found if one.extra is not None} | _WHOLE.get(name, set())
        checked_files += bool(found)
        for one in found:
            if one.extra is None and one.package not in checked:
                faults.append(f"{name} imports {one.package} outside of needs_extra")
            elif one.extra and one.package not in EXTRAS[one.extra]:
                faults.append(f"{name} says that the extra {one.extra} installs {one.package}")
    assert not faults
    assert checked_files > len(_WHOLE)


def _imports(node: ast.AST, extra: str | None) -> Iterator[_Import]:
    """Yield imports of packages of extras, but for Keras's, which has an error of its own; "" for any extra."""
    for inner in ast.iter_child_nodes(node):
        within = extra
        if isinstance(inner, ast.If) and ast.unparse(inner.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(inner, ast.With):
            for item in inner.items:
                call = item.context_expr
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "needs_extra":
                    within = str(call.args[0].value) if isinstance(call.args[0], ast.Constant) else ""
        names = [alias.name for alias in inner.names] if isinstance(inner, ast.Import) else []
        if isinstance(inner, ast.ImportFrom):
            names = [inner.module or ""]
        for name in names:
            package = name.partition(".")[0]
            if package in PACKAGES - {"keras"}:
                yield _Import(package, within)
        yield from _imports(inner, within)
