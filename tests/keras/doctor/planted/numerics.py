"""BN4xx: Keras models with a fault in their numbers."""

import keras
import numpy as np
from keras import layers as L

from tests.keras.doctor.small_models import Case, dense, norm, norms_of, samples, trained


def half_precision_statistics() -> Case:
    x = samples(64, 4)
    model = keras.Sequential([keras.Input((4,)), norm(dtype="bfloat16"), L.Dense(3)])
    return Case(trained(model, x), [x])


def dominating_eps() -> Case:
    x = 1e-3 * samples(64, 8)
    model = keras.Sequential([keras.Input((8,)), norm(), L.Dense(8, use_bias=False), L.ReLU(), L.Dense(3)])
    return Case(trained(model, x), [x])


def dead_channels() -> Case:
    x = samples(128, 4)
    model = trained(dense(norm(), L.ReLU()), x)
    (layer,) = norms_of(model)
    layer.beta.assign(np.array([-10.0] * 6 + [0.0] * 2))
    return Case(model, [x])


def exploding_channels() -> Case:
    x = samples(64, 4)
    model = trained(dense(norm(), L.ReLU()), x)
    x = x.copy()
    x[0, 0] = np.inf
    return Case(model, [x])


def vanishing_scale() -> Case:
    x = samples(64, 4)
    model = trained(dense(norm(), L.ReLU()), x)
    (layer,) = norms_of(model)
    layer.gamma.assign(np.array([1.1, 0.9, 1e-7, 1e-6, 1e-9, 1e-8, 1e-7, 1e-8]))
    return Case(model, [x])
