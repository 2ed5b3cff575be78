"""Text of the report of removed biases."""

import json
import math

import pytest

from normwise.records import BiasRemoval, Change, from_plain, to_json

CHANGES = (
    Change("1", "BatchNorm2d", True, "the bias of Conv2d '0' is part of its running mean"),
    Change("3", "BatchNorm2d", False, "Conv2d '2' has no bias"),
)
REMOVED = BiasRemoval(CHANGES, 16, 2.5e-7, 0.125, 0.25)
LINES = [
    "1 (BatchNorm2d): the bias of Conv2d '0' is part of its running mean",
    "3 (BatchNorm2d): left as it is, Conv2d '2' has no bias",
]
TOTAL = "1 bias removed, 16 parameters; largest relative difference: outputs 2.5e-07, gradients 1.2e-01"


def test_it_is_read_back_as_it_was() -> None:
    assert from_plain(BiasRemoval, json.loads(to_json(REMOVED))) == REMOVED
    assert math.isnan(from_plain(BiasRemoval, json.loads(to_json(BiasRemoval(CHANGES, 0)))).output_error)


@pytest.mark.parametrize(
    ("record", "lines"),
    [
        (BiasRemoval((), 0), ["no batch normalization found"]),
        (BiasRemoval(CHANGES[1:], 0), [LINES[1], "no redundant bias found"]),
        (BiasRemoval(CHANGES, 16, 2.5e-7, 0.125), [*LINES, TOTAL]),
    ],
    ids=["no norm", "none", "one"],
)
def test_it_says_what_was_removed(record: BiasRemoval, lines: list[str]) -> None:
    assert str(record).splitlines() == lines


def test_where_gradients_differ_it_says_how_sensitive_they_are() -> None:
    assert "moves the old model's own gradients by 2.5e-01" in str(REMOVED)
