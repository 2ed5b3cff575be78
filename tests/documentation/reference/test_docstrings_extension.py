"""Docstrings with Sphinx's roles and directives become Markdown, and names mean what they mean in Python."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import normwise
from tests.documentation.reference.documented_names import documented_names

griffe: Any = pytest.importorskip("griffe")

docstrings: Any = import_module("website.docstrings")


def _shown(text: str) -> str:
    return docstrings.to_markdown(text, lambda name: f"found.{name}")


def test_a_role_becomes_a_link_to_what_the_name_means() -> None:
    assert _shown("See :func:`fold`.") == ('See <autoref identifier="found.fold" optional>`fold`</autoref>.')
    assert ">`BatchNorm1d`<" in _shown(":class:`~normwise.nn.BatchNorm1d`")


def test_equations_become_dollars() -> None:
    assert _shown("With :math:`m = |R|`.\n\n.. math::\n\n    y = x\n    + b\n\nwhere") == (
        "With $m = |R|$.\n\n$$\ny = x\n+ b\n$$\n\nwhere"
    )


def test_a_table_keeps_its_cells() -> None:
    table = '====  =====\nto    class\n====  =====\n"a"   A, B\n====  =====\n'
    assert _shown(table).splitlines() == ["| to | class |", "| --- | --- |", '| "a" | A, B |']


def test_a_literal_block_is_fenced() -> None:
    assert _shown("::\n\n    A\n    └── B\n\nEnd.") == "```text\nA\n└── B\n```\n\nEnd."


def test_arguments_that_share_a_description_get_it_each() -> None:
    assert _shown("Args:\n    mean, var: Updated\n        in place.\n    x: Input.").splitlines() == [
        "Args:", "    mean: Updated", "        in place.", "    var: Updated", "        in place.", "    x: Input.",
    ]  # fmt: skip


def test_examples_and_addresses_are_known_as_such() -> None:
    assert _shown("Example:\n    >>> 1\n    1").startswith("Examples:\n")
    assert _shown("Ioffe 2017, https://arxiv.org/abs/1702.03275, section 3.").endswith(
        "<https://arxiv.org/abs/1702.03275>, section 3."
    )


def test_a_function_is_not_taken_for_the_file_that_has_its_name() -> None:
    package = Path(normwise.__file__).parent
    loader = griffe.GriffeLoader(
        extensions=griffe.load_extensions(docstrings.NormwiseDocstrings), search_paths=[package.parent]
    )
    loader.load("normwise")
    loader.resolve_aliases()
    found = {name: loader.modules_collection[name] for name in documented_names()}
    assert {name for name, shown in found.items() if shown.is_module} == {
        "normwise.errors",
        "normwise.reference",
    }
    assert "<autoref" in found["normwise.fold"].parent["calibrate"].docstring.value
