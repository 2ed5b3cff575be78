"""Modules that become something else, and one file in which they do."""

import ast
from pathlib import Path

import torch
from torch import nn

import normwise
from normwise.nn.mixins.change_class import become, change_class


def test_only_one_file_assigns_classes_or_replaces_attributes_of_modules() -> None:
    source = Path(normwise.__file__).parent
    found = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _assigns_class(node) or _clears_attributes(node)
    }
    assert found == {"nn/mixins/change_class.py"}


def _assigns_class(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in ("__class__", "__dict__")
        and isinstance(node.ctx, (ast.Store, ast.Del))
    )


def _clears_attributes(node: ast.AST) -> bool:
    """Return whether it is ``vars(module).clear()`` or ``module.__dict__.clear()``."""
    if not isinstance(node, ast.Attribute) or node.attr != "clear":
        return False
    cleared = ast.unparse(node.value)
    return cleared.startswith("vars(") or cleared.endswith(".__dict__")


def test_a_module_of_another_class_keeps_all_that_it_has() -> None:
    layer = nn.BatchNorm2d(3)
    before = dict(vars(layer))
    change_class(layer, normwise.nn.BatchNorm2d)
    assert type(layer) is normwise.nn.BatchNorm2d
    assert vars(layer) == before


def test_a_module_that_becomes_another_stays_the_same_object() -> None:
    layer, other = nn.ReLU(), nn.Linear(2, 3)
    model = nn.Sequential(layer)
    become(layer, other)
    assert model[0] is layer
    assert layer.weight is other.weight
    x = torch.randn(4, 2)
    assert torch.equal(model(x), other(x))
    become(layer, layer)
    assert torch.equal(model(x), other(x))
