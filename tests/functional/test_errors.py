"""Arguments that can't be computed with are refused before anything has changed, with an error that says the fix."""

import pytest
import torch

from normwise import functional
from normwise.errors import ArgumentError, MaskError, ShapeError

pytestmark = pytest.mark.usefixtures("implementation")

CASES = {
    "no channel axis": (
        {"x": torch.ones(5)},
        ShapeError,
        r"expected an input of shape \(N, C, \*\), got \(5,\); add the missing axes",
    ),
    "integers": (
        {"x": torch.ones(4, 3, dtype=torch.int64)},
        ArgumentError,
        r"expected an input of a floating type, got torch\.int64; convert it with \.float\(\)",
    ),
    "one value per channel": (
        {"x": torch.ones(1, 3, 1)},
        ShapeError,
        r"expected more than 1 value per channel when training, got an input of shape \(1, 3, 1\): .*"
        r"drop_last=True\)\), or normalise with running statistics: \.eval\(\), on a layer that keeps them",
    ),
    "running_mean": (
        {"running_mean": torch.ones(2)},
        ShapeError,
        r"the input has 3 channels .*\(4, 3\).*, but running_mean has the shape \(2,\); expected \(3,\)",
    ),
    "running_var": ({"running_var": torch.ones(2)}, ShapeError, r"running_var has the shape \(2,\)"),
    "weight": ({"weight": torch.ones(2)}, ShapeError, r"weight has the shape \(2,\)"),
    "bias": ({"bias": torch.ones(3, 1)}, ShapeError, r"bias has the shape \(3, 1\); expected \(3,\)"),
    "evaluation without mean": (
        {"training": False, "running_mean": None},
        ArgumentError,
        "evaluation normalises with running_mean and running_var, and one of them is None; pass both, or "
        "training=True",
    ),
    "evaluation without variance": (
        {"training": False, "running_var": None},
        ArgumentError,
        "evaluation normalises with running_mean and running_var",
    ),
    "activation": (
        {"activation": "swash"},
        ArgumentError,
        "unknown activation 'swash'; known are None, 'relu', .*'tanh'. Put any other one behind the layer",
    ),
    "residual's shape": (
        {"residual": torch.ones(4, 1)},
        ShapeError,
        r"the residual has the shape \(4, 1\), expected the input's, \(4, 3\); project it",
    ),
    "residual's device": (
        {"residual": torch.ones(4, 3, device="meta")},
        ArgumentError,
        r"the residual is on meta, the input on cpu; move it with residual\.to\(x\.device\)",
    ),
    "mask's shape": (
        {"mask": torch.ones(4, 3, dtype=torch.bool)},
        MaskError,
        r"expected a mask of shape \(4,\), the input's \(4, 3\) without the channel axis, got \(4, 3\)",
    ),
    "mask's type": (
        {"mask": torch.ones(4)},
        MaskError,
        r"expected a boolean tensor as mask, True where a position is real, got torch\.float32; convert it",
    ),
    "mask's class": ({"mask": [True] * 4}, MaskError, "expected a boolean tensor as mask, .* got list;"),
    "mask's device": (
        {"mask": torch.ones(4, dtype=torch.bool, device="meta")},
        MaskError,
        r"the mask is on meta, the input on cpu; move it with mask\.to\(x\.device\)",
    ),
    "eps of 0 in training": ({"eps": 0.0}, ArgumentError, r"eps must be positive .*, got 0\.0"),
    "eps of 0 under a mask": (
        {"eps": 0.0, "mask": torch.ones(4, dtype=torch.bool)},
        ArgumentError,
        "eps must be positive",
    ),
    "negative eps": ({"eps": -1.0, "training": False}, ArgumentError, r"eps must be positive .*, got -1\.0"),
}


@pytest.mark.parametrize("case", CASES)
def test_message_says_what_was_got_expected_and_how_to_fix_it(case):
    change, kind, message = CASES[case]
    arguments = {
        "x": torch.randn(4, 3),
        "running_mean": torch.zeros(3),
        "running_var": torch.ones(3),
        "training": True,
        **change,
    }
    statistics = [arguments["running_mean"], arguments["running_var"]]
    before = [None if s is None else s.clone() for s in statistics]
    with pytest.raises(kind, match=message) as caught:
        functional.batch_norm(**arguments)
    # What torch.nn raises, and so what its users catch.
    assert isinstance(caught.value, ValueError)
    torch.testing.assert_close(statistics, before, rtol=0, atol=0)
