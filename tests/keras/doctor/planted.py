"""Small Keras models, healthy ones and those with a fault planted in them, by the code of its rule."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers as L

from normwise.keras import BatchNormalization

RNG = np.random.default_rng


@dataclass(frozen=True)
class Case:
    """A model, and what it is diagnosed with."""

    model: Any
    data: Any = None
    settings: dict[str, Any] = field(default_factory=dict)


def samples(*shape: int, seed: int = 0) -> np.ndarray:
    return (2 * RNG(seed).normal(size=shape) + 1).astype("float32")


def trained(model: Any, x: np.ndarray, momentum: float | None = 0.0, steps: int = 1) -> Any:
    """Move γ a little, as training would, and the statistics to those of the data, by calls of this momentum."""
    if not model.built:
        model.build(x.shape)
    for layer in _norms(model):
        if layer.gamma is not None:
            layer.gamma.assign(RNG(1).uniform(0.8, 1.2, layer.gamma.shape))
    held = [(layer, layer.momentum) for layer in _norms(model)]
    for layer, own in held:
        layer.momentum = own if momentum is None else momentum
    for _ in range(steps):
        model(x, training=True)
    for layer, own in held:
        layer.momentum = own
    return model


def dense(*inner: Any, inputs: int = 4, outputs: int = 3) -> Any:
    """A dense model with layers between the first and the last one."""
    given = L.Dense(8, use_bias=False, name="first")
    return keras.Sequential([keras.Input((inputs,)), given, *inner, L.Dense(outputs, name="last")])


def norm(**settings: Any) -> Any:
    return BatchNormalization(**{"momentum": 0.8, "name": "norm", **settings})


def _norms(model: Any) -> list[Any]:
    return [
        layer for layer in model._flatten_layers() if isinstance(layer, L.BatchNormalization) and layer.built
    ]


def redundant_bias() -> Case:
    x = samples(64, 4)
    model = keras.Sequential([keras.Input((4,)), L.Dense(8, name="first"), norm(), L.ReLU(), L.Dense(3)])
    return Case(trained(model, x), [x])


def norm_on_output() -> Case:
    x = samples(64, 4)
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, use_bias=False), norm(), L.Softmax()])
    return Case(trained(model, x), [x])


def norm_after_norm() -> Case:
    x = samples(64, 4)
    return Case(trained(dense(norm(), norm(name="second"), L.ReLU()), x), [x])


def dropout_before_norm() -> Case:
    x = samples(256, 4)
    first = L.Dense(32, use_bias=False, activation="relu")
    model = keras.Sequential([keras.Input((4,)), first, L.Dropout(0.6), norm(momentum=0.95), L.Dense(3)])
    return Case(trained(model, x), [x])


def shared_norm() -> Case:
    shared, weighted = norm(name="shared"), L.Dense(4, use_bias=False)
    inputs = keras.Input((4,))
    hidden = L.ReLU()(shared(weighted(inputs)))
    model = keras.Model(inputs, L.Dense(3)(L.ReLU()(shared(weighted(hidden)))))
    x = 3 * samples(64, 4) + 3
    return Case(trained(model, x, 0.5, 6), [x])


class Forgetful(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = L.Dense(8, use_bias=False), L.Dense(3)
        self.norm, self.forgotten = norm(), BatchNormalization(name="forgotten")

    def build(self, shape: Any) -> None:
        self.first.build(shape)
        for layer in (self.norm, self.forgotten, self.last):
            layer.build((None, 8))

    def call(self, inputs: Any) -> Any:
        return self.last(self.norm(self.first(inputs)))


def unreached_norm() -> Case:
    x = samples(64, 4)
    return Case(trained(Forgetful(), x), [x])


def channels_last_sequence() -> Case:
    x = samples(64, 6, 4)
    first = L.Dense(6, use_bias=False)
    model = keras.Sequential([keras.Input((6, 4)), first, norm(axis=1), L.ReLU(), L.Flatten(), L.Dense(3)])
    return Case(trained(model, x), [x])


def channels_first_convolution() -> Case:
    convolution = L.Conv2D(8, 3, data_format="channels_first", use_bias=False)
    return Case(keras.Sequential([keras.Input((3, 9, 9)), convolution, norm(), L.ReLU(), L.Flatten()]))


def stale_statistics() -> Case:
    x = 3 * samples(64, 4) + 2
    return Case(trained(dense(norm(momentum=0.99)), x, None), [x])


def never_updated_statistics() -> Case:
    x = samples(64, 4)
    model = trained(dense(norm(), L.ReLU()), x)
    (layer,) = _norms(model)
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
    (layer,) = _norms(model)
    layer.moving_variance.assign(-0.1 * np.ones(8))
    layer.moving_mean.assign(-np.ones(8))
    return Case(model)


def swapped_statistics() -> Case:
    x = samples(64, 4)
    model = trained(dense(norm(), L.ReLU()), x)
    (layer,) = _norms(model)
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
    for sequence, length in zip(x, RNG(0).integers(5, 21, 32), strict=True):
        sequence[length:] = 0
    convolution = L.Conv1D(8, 1, use_bias=False)
    model = keras.Sequential([keras.Input((20, 3)), convolution, norm(), L.ReLU(), L.GlobalMaxPooling1D()])
    return Case(trained(model, x), [x])


class AlwaysTraining(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = L.Dense(8, use_bias=False), norm(), L.Dense(3)

    def build(self, shape: Any) -> None:
        self.first.build(shape)
        self.norm.build((None, 8))
        self.last.build((None, 8))

    def call(self, inputs: Any) -> Any:
        return self.last(self.norm(self.first(inputs), training=True))


def left_in_training() -> Case:
    x = samples(64, 4)
    return Case(trained(AlwaysTraining(), x), [x])


def wired_into_training() -> Case:
    inputs = keras.Input((4,))
    hidden = norm()(L.Dense(8, use_bias=False)(inputs), training=True)
    x = samples(64, 4)
    return Case(trained(keras.Model(inputs, L.Dense(3)(hidden)), x), [x])


class HalfInEvaluation(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.weighted = [L.Dense(8, use_bias=False), L.Dense(8, use_bias=False)]
        self.norms = [norm(name="follows"), norm(name="stays")]
        self.stays = False

    def build(self, shape: Any) -> None:
        for layer in (*self.weighted, *self.norms):
            layer.build(shape if layer is self.weighted[0] else (None, 8))

    def call(self, inputs: Any) -> Any:
        hidden = self.norms[0](self.weighted[0](inputs))
        settings = {"training": False} if self.stays else {}
        return self.norms[1](self.weighted[1](hidden), **settings)


def mixed_modes() -> Case:
    x = samples(64, 4)
    model = trained(HalfInEvaluation(), x)
    model.stays = True
    return Case(model, [x])


def unfrozen_statistics() -> Case:
    x = samples(64, 4)
    model = trained(dense(norm(), L.ReLU()), x)
    (layer,) = _norms(model)
    layer.gamma.trainable = layer.beta.trainable = False
    return Case(model, [x])


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
    (layer,) = _norms(model)
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
    (layer,) = _norms(model)
    layer.gamma.assign(np.array([1.1, 0.9, 1e-7, 1e-6, 1e-9, 1e-8, 1e-7, 1e-8]))
    return Case(model, [x])


def one_value_per_channel() -> Case:
    x, y = samples(33, 4), samples(33, 3)
    model = trained(dense(norm(), L.ReLU()), x)
    batches = [(x[start : start + 16], y[start : start + 16]) for start in (0, 16, 32)]
    return Case(model, batches, {"loss": "mse"})


def tiny_last_batch() -> Case:
    import torch

    x = samples(66, 4)
    model = trained(dense(norm(), L.ReLU()), x)
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.zeros(66, 3))
    return Case(model, torch.utils.data.DataLoader(data, batch_size=16, shuffle=True))


def noisy_statistics() -> Case:
    x, y = samples(16, 4), samples(16, 3)
    model = trained(dense(norm(), L.ReLU()), x)
    batches = [(x[start : start + 2], y[start : start + 2]) for start in range(0, 16, 2)]
    return Case(model, batches, {"loss": "mse"})


FAULTS: dict[str, Callable[[], Case]] = {
    "BN101": redundant_bias,
    "BN102": norm_on_output,
    "BN103": norm_after_norm,
    "BN104": dropout_before_norm,
    "BN105": shared_norm,
    "BN106": unreached_norm,
    "BN107": channels_last_sequence,
    "BN201": stale_statistics,
    "BN202": never_updated_statistics,
    "BN203": broken_statistics,
    "BN204": swapped_statistics,
    "BN205": foreign_settings,
    "BN207": padding_in_statistics,
    "BN301": left_in_training,
    "BN302": mixed_modes,
    "BN303": unfrozen_statistics,
    "BN401": half_precision_statistics,
    "BN403": dominating_eps,
    "BN405": dead_channels,
    "BN406": exploding_channels,
    "BN407": vanishing_scale,
    "BN501": one_value_per_channel,
    "BN502": tiny_last_batch,
    "BN503": noisy_statistics,
}
