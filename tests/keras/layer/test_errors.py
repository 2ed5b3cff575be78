"""Arguments, inputs, masks and residuals that do not fit: each is one error that says where and what."""

from typing import Any

import numpy as np
import pytest

from normwise.keras import BatchNormalization


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"momentum": 1.5}, "expected a momentum between 0 and 1, the weight of what was, got 1.5"),
        ({"renorm_momentum": -0.1}, "expected a renorm_momentum between 0 and 1"),
        ({"epsilon": -1e-3}, "expected an epsilon of 0 or more, got -0.001"),
        ({"epsilon": float("nan")}, "expected an epsilon of 0 or more, got nan"),
        ({"epsilon": float("inf")}, "expected an epsilon of 0 or more, got inf"),
        ({"epsilon": "x"}, "expected an epsilon of 0 or more, got 'x'"),
        ({"momentum": True}, "expected a momentum between 0 and 1, the weight of what was, got True"),
        (
            {"virtual_batch_size": 0},
            "virtual_batch_size must be a whole number of samples, 1 or more, or None, got 0",
        ),
        ({"virtual_batch_size": 2.0}, "virtual_batch_size must be a whole number"),
        (
            {"virtual_batch_size": 2, "renorm": True},
            "virtual_batch_size and renorm=True contradict one another",
        ),
        (
            {"virtual_batch_size": 2, "synchronized": True},
            "virtual_batch_size and synchronized=True contradict",
        ),
        ({"activation": "no such"}, "no such"),
        ({"no_such": 1}, "no_such"),
    ],
)
def test_arguments(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        BatchNormalization(**settings)


@pytest.mark.parametrize(
    ("settings", "shape", "text"),
    [
        (
            {},
            (3,),
            r"bn: expected inputs with two axes or more, and axis -1 among them, got the shape \(3,\)",
        ),
        ({"axis": 2}, (4, 3), r"bn: .* and axis 2 among them, got the shape \(4, 3\)"),
        ({"axis": -3}, (4, 3), r"bn: .* and axis -3 among them"),
        ({}, (4, None), r"bn: the number of channels, axis -1 of the shape \(4, None\), must be known"),
        ({"axis": 0, "virtual_batch_size": 2}, (4, 3), "bn: virtual_batch_size cuts the first axis"),
    ],
)
def test_shapes_of_inputs(settings: dict[str, Any], shape: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        BatchNormalization(name="bn", **settings).build(shape)


@pytest.mark.parametrize("shape", [(4, 5), (4, 3, 3)])
def test_inputs_that_are_not_of_the_shape_that_built_the_layer(shape: tuple[int, ...]) -> None:
    layer = BatchNormalization()
    layer.build((None, 3))
    with pytest.raises(ValueError, match="incompatible with the layer"):
        layer(np.zeros(shape, "float32"))


@pytest.mark.parametrize("size", [(3,), (4, 4), (5, 4, 1), (4, 5, 2), (4, 5, 3, 1)])
def test_masks(size: tuple[int, ...]) -> None:
    layer = BatchNormalization(name="bn")
    with pytest.raises(
        ValueError, match=r"bn: the mask has the shape .*, expected that of the inputs, \(4, 5, 3\)"
    ):
        layer(np.zeros((4, 5, 3), "float32"), training=True, mask=np.ones(size, bool))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(4, 5), (4, 5, 1), (1, 5, 3)])
def test_residuals(size: tuple[int, ...], training: bool) -> None:
    layer = BatchNormalization(name="bn")
    with pytest.raises(
        ValueError, match=r"bn: the residual has the shape .*, expected that of the inputs, \(4, 5, 3\)"
    ):
        layer(np.zeros((4, 5, 3), "float32"), training=training, residual=np.zeros(size, "float32"))


def test_a_call_that_fails_moves_nothing() -> None:
    layer = BatchNormalization()
    layer.build((4, 3))
    with pytest.raises(ValueError, match="residual"):
        layer(np.ones((4, 3), "float32"), training=True, residual=np.ones((4, 2), "float32"))
    assert [weight.tolist() for weight in layer.get_weights()] == [[1.0] * 3, [0.0] * 3, [0.0] * 3, [1.0] * 3]
