"""A layer in float64, of which Keras makes float32 on the torch backend."""

from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import BatchNormalization


@pytest.mark.parametrize("training", [True, False])
def test_inputs_in_float64_are_computed_in_float64(training: bool) -> None:
    if keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 unless it is asked for")
    x = np.random.default_rng(0).standard_normal((50, 3)) + 1e8
    layer: Any = BatchNormalization(dtype="float64", epsilon=1e-3)
    layer.build(x.shape)
    layer.moving_mean.assign(x.mean(0))
    layer.moving_variance.assign(x.var(0))
    y = keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(x), training=training))
    np.testing.assert_allclose(y, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3), atol=1e-6)
