"""Padding of sequences: neither outputs nor moving statistics see it."""

from typing import Any

import numpy as np
import pytest

from normwise.keras import networks
from normwise.keras.untyped import ops
from tests.support.keras.calls import call


def _batch(name: str, padding: int) -> np.ndarray:
    """Return sequences of 5 and of 3 steps, padded by zeros to 5 and more."""
    draw = np.random.default_rng(0)
    if name == "speech_lstm":
        x = draw.standard_normal((2, 5, 4)).astype("float32")
    else:
        x = draw.integers(1, 9, (2, 5)).astype("int32")
    x[1, 3:] = 0
    return np.concatenate([x, np.zeros((2, padding, *x.shape[2:]), x.dtype)], axis=1)


@pytest.mark.parametrize(
    ("name", "norm"),
    [("speech_lstm", "batch"), ("speech_lstm", "recurrent_layer"), ("sentiment_bilstm", "ghost:1")],
)
def test_more_padding_changes_nothing(name: str, norm: str) -> None:
    shape = (4,) if name == "speech_lstm" else (9,)
    options: dict[str, Any] = {"dropout": 0.0} | ({} if name == "speech_lstm" else {"width": 4})
    model = networks.build(name, shape, 2, norm=norm, logits=True, momentum=0.5, **options)
    initial = model.get_weights()
    found = []
    for padding in (0, 6):
        model.set_weights(initial)
        output = call(model, _batch(name, padding), True)
        moved = [ops.convert_to_numpy(weight) for weight in model.non_trainable_weights]
        assert norm == "recurrent_layer" or len(moved) == 4
        found.append([output, *moved])
    for short, long in zip(*found, strict=True):
        np.testing.assert_allclose(short, long, atol=2e-5)
