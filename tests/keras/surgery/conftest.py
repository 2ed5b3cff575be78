"""Networks of Keras with batch normalization, whose statistics are not those of any data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def scrambled() -> Callable[[Any], Any]:
    """Return a function that gives all BN layers of a model other weights."""

    def scramble(model: Any) -> Any:
        from normwise.keras.surgery.batch_norms import batch_norms

        rng = np.random.default_rng(1)
        for layer in batch_norms(model).values():
            channels = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(size=channels))
            layer.moving_variance.assign(rng.uniform(0.5, 2, channels))
            for weight, low in ((layer.gamma, 0.5), (layer.beta, -1.0)):
                if weight is not None:
                    weight.assign(rng.uniform(low, 2, channels))
        return model

    return scramble
