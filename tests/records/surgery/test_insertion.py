"""Text of the report of an insertion."""

import json
import math

import pytest

from normwise.records import Change, Insertion, from_plain, to_json

CHANGES = (
    Change("0", "Conv2d", True, "BatchNorm2d '0_norm' behind it, its bias removed"),
    Change("2", "Linear", False, "its output reaches the model's"),
)
NEW = Insertion(CHANGES, 32, 16, 0, 0.5, 0.75)
FROM_DATA = Insertion(CHANGES, 32, 0, 4096, 2.5e-7)


def test_it_is_read_back_as_it_was() -> None:
    assert from_plain(Insertion, json.loads(to_json(NEW))) == NEW
    assert math.isnan(from_plain(Insertion, json.loads(to_json(FROM_DATA))).training_error)


@pytest.mark.parametrize(
    ("record", "end"),
    [
        (
            NEW,
            [
                "1 of 2 places normalised: 32 parameters more, and 16 of biases fewer",
                "outputs on the example differ by 5.0e-01 of the largest in evaluation, and by 7.5e-01 with the "
                "example's own statistics, as in training",
                "train the model before it is used, or pass data= to keep what it computes",
            ],
        ),
        (
            FROM_DATA,
            [
                "1 of 2 places normalised: 32 parameters more",
                "outputs on the example differ by 2.5e-07 of the largest in evaluation",
                "initialised from 4096 or more values a channel: evaluation stays, but for rounding",
            ],
        ),
    ],
    ids=["new", "from data"],
)
def test_it_says_what_was_done_and_what_outputs_do(record: Insertion, end: list[str]) -> None:
    assert str(record).splitlines() == [
        "0 (Conv2d): BatchNorm2d '0_norm' behind it, its bias removed",
        "2 (Linear): left as it is, its output reaches the model's",
        *end,
    ]
