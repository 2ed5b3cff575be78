"""BN2xx: Keras models with a fault in their moving statistics."""

import keras
import numpy as np
from keras import layers as L

from tests.keras.doctor.small_models import Case, dense, norm, norms_of, samples, trained


def stale_statistics() -> Case:
    x = 3 * samples(64, 4) + 2
    return Case(trained(dense(norm(momentum=0.99)), x, None), [x])


def never_updated_statistics() -> Case:
    x = samples(64, 4)
    model = trained(dense(norm(), L.ReLU()), x)
    (layer,) = norms_of(model)
    layer.moving_mean.assign(np.zeros(8))
    layer.moving_variance.assign(np.ones(8))
    return Case(model, [x])


def broken_statistics() -> Case:
    x = samples(64, 4)
    model = trained(dense(norm(), L.ReLU()), x)
    model(x * np.float32("nan"), training=True)
    return Case(model, [x])


def negative_variance() -> Case:
    model = trained(dense(norm(), L.ReLU()), samples(64, 4))
    (layer,) = norms_of(model)
    layer.moving_variance.assign(-0.1 * np.ones(8))
    layer.moving_mean.assign(-np.ones(8))
    return Case(model)


def swapped_statistics() -> Case:
    x = samples(64, 4)
    model = trained(dense(norm(), L.ReLU()), x)
    (layer,) = norms_of(model)
    mean, variance = (keras.ops.copy(each) for each in (layer.moving_mean, layer.moving_variance))
    # Means of both signs, so that a variance is negative.
    layer.moving_mean.assign(variance)
    layer.moving_variance.assign(mean)
    return Case(model, [x])


def foreign_settings() -> Case:
    x = samples(64, 4)
    return Case(trained(dense(norm(momentum=0.1), L.ReLU()), x), [x])


def foreign_epsilon() -> Case:
    norms = [norm(name=f"norm_{number}", epsilon=1e-5 if number == 1 else 1e-3) for number in range(3)]
    between = [layer for each in norms for layer in (each, L.ReLU(), L.Dense(8, use_bias=False))]
    return Case(trained(dense(*between), samples(64, 4)))


def padding_in_statistics() -> Case:
    x = samples(32, 20, 3)
    for sequence, length in zip(x, np.random.default_rng(0).integers(5, 21, 32), strict=True):
        sequence[length:] = 0
    convolution = L.Conv1D(8, 1, use_bias=False)
    model = keras.Sequential([keras.Input((20, 3)), convolution, norm(), L.ReLU(), L.GlobalMaxPooling1D()])
    return Case(trained(model, x), [x])
