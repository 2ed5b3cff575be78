"""Text of the report of a conversion."""

import json
import math

import pytest

from normwise.records import Change, Conversion, from_plain, to_json

CHANGES = (
    Change("stem.bn", "BatchNorm2d", True, "now torch.nn.GroupNorm(8, 32)"),
    Change("head.bn", "BatchNormAct2d", False, "it is a subclass"),
)
ALTERED = Conversion("group", CHANGES, True, True, 0.8125)


@pytest.mark.parametrize(
    "record", [ALTERED, Conversion("batch", (), False, False, 0.0)], ids=["altered", "kept"]
)
def test_it_is_read_back_as_it_was(record: Conversion) -> None:
    assert from_plain(Conversion, json.loads(to_json(record))) == record


def test_one_that_was_not_measured_is_read_back() -> None:
    record = from_plain(Conversion, json.loads(to_json(Conversion("torch", CHANGES, False, False))))
    assert math.isnan(record.output_error)


@pytest.mark.parametrize(
    ("record", "end"),
    [
        (
            ALTERED,
            [
                "outputs in evaluation change (by 81.2% of the largest on the example)",
                "the weights were trained with another normalisation: retrain the model before it is used",
            ],
        ),
        (
            Conversion("batch", CHANGES, True, False),
            ["outputs in evaluation change (how far was not measured)"],
        ),
        (
            Conversion("batch", CHANGES, False, False, 2.5e-7),
            ["outputs in evaluation stay what they were (measured: 2.5e-07 of the largest)"],
        ),
        (
            Conversion("batch", CHANGES, False, False),
            ["outputs in evaluation stay what they were (not measured without an example)"],
        ),
    ],
    ids=["retrain", "changed", "kept", "not measured"],
)
def test_it_says_what_became_of_the_outputs(record: Conversion, end: list[str]) -> None:
    assert str(record).splitlines() == [
        "stem.bn (BatchNorm2d): now torch.nn.GroupNorm(8, 32)",
        "head.bn (BatchNormAct2d): left as it is, it is a subclass",
        f"1 of 2 converted to {record.to!r}",
        *end,
    ]
