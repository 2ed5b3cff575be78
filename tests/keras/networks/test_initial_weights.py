"""Initial weights: of the seed alone."""

import random
from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import networks


def _weights(name: str, **options: Any) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in networks.build(name, (8, 8, 1), 4, **options).get_weights()]


@pytest.mark.parametrize("name", ["row_lstm", "cnn_32"])
def test_weights_are_those_of_the_seed_and_of_nothing_else(name: str) -> None:
    first = _weights(name, seed=1)
    random.random()
    keras.random.uniform((3,))
    again, other = _weights(name, seed=1), _weights(name, seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_networks_that_differ_in_their_norm_begin_with_the_same_weights() -> None:
    with_norm, without = (networks.build("cnn_64", (12, 12, 1), 4, norm=norm) for norm in ("batch", "none"))
    drawn = [layer for layer in without.layers if not layer.name.endswith("_norm")]
    for layer in drawn:
        for a, b in zip(layer.get_weights(), with_norm.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_random_state_is_left_as_it_was() -> None:
    state = random.getstate()
    networks.build("cnn_32", (8, 8, 1), 4)
    assert random.getstate() == state
