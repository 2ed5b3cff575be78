"""Laws that hold for any batch, searched by hypothesis for a batch that breaks them."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from normwise.keras import BatchNormalization
from tests.support.keras.calls import compiled

# Few examples of one shape, and the same layer for all: on JAX every new one is compiled.
_SEARCH = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
_BATCHES = st.integers(0, 10**6).map(lambda seed: np.random.default_rng(seed).standard_normal((8, 4, 3)))


@cache
def _layer(most: int | None = None) -> tuple[Any, Callable[..., np.ndarray]]:
    layer = BatchNormalization(momentum=0.5, epsilon=1e-9, virtual_batch_size=most)
    layer.build((None, 4, 3))
    return layer, compiled(layer, True)


def _trained(x: np.ndarray, **arguments: Any) -> np.ndarray:
    return _layer()[1](x.astype("float32"), **arguments)


@_SEARCH
@given(x=_BATCHES, scale=st.floats(0.25, 64), shift=st.floats(-64, 64))
def test_scale_and_shift_of_the_input_change_nothing(x: np.ndarray, scale: float, shift: float) -> None:
    np.testing.assert_allclose(_trained(x * scale + shift), _trained(x), atol=1e-3)


@_SEARCH
@given(x=_BATCHES, order=st.permutations(range(8)))
def test_the_order_of_samples_is_that_of_the_output(x: np.ndarray, order: list[int]) -> None:
    np.testing.assert_allclose(_trained(x[order]), _trained(x)[order], atol=1e-4)


@_SEARCH
@given(x=_BATCHES, seed=st.integers(0, 10**6))
def test_what_is_masked_has_no_part_in_the_others(x: np.ndarray, seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random((8, 4)) > 0.3
    mask[0, :2] = True
    other = np.where(mask[..., None], x, random.standard_normal(x.shape) * 100)
    first, second = (_trained(each, mask=mask) for each in (x, other))
    np.testing.assert_allclose(first[mask], second[mask], atol=1e-4)


@pytest.mark.parametrize("most", [4, 8])
@_SEARCH
@given(x=_BATCHES)
def test_parts_move_the_statistics_as_the_whole_batch_does(most: int, x: np.ndarray) -> None:
    moved = []
    for layer, train in (_layer(), _layer(most)):
        layer.set_weights(np.repeat([[1.0], [0.0], [0.0], [1.0]], 3, axis=1))
        train(x.astype("float32"))
        moved.append(layer.get_weights())
    for other, mine in zip(*moved, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
