"""A small model to watch, data for it, and a check of a record against sums in NumPy's float64."""

from typing import Any

import keras
import numpy as np
from keras import layers

import normwise.keras as nk
from normwise.keras.surgery.arrays import double
from normwise.records import LayerPoint, OverChannels, Recording
from tests.support.keras.xla import FASTER

RANDOM = np.random.default_rng(0)
X = (RANDOM.standard_normal((96, 6)) * 2 + 3).astype("float32")
Y = X[:, :1]
KINDS = {"ours": nk.BatchNormalization, "Keras's": layers.BatchNormalization}


def watched_model(kind: Any = nk.BatchNormalization, dropout: float = 0.0, **settings: Any) -> Any:
    keras.utils.set_random_seed(1)
    model: Any = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(4, name="features"),
            kind(name="first", **settings),
            layers.Dropout(dropout),
            layers.Dense(5),
            kind(name="second", **settings),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=FASTER)
    return model


def fit(model: Any, *callbacks: Any, epochs: int = 2, **settings: Any) -> Any:
    return model.fit(
        X, Y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks), **settings
    )


def recording_of(watch: nk.WatchCallback) -> Recording:
    assert watch.recording is not None
    return watch.recording


def check(found: OverChannels | None, wanted: Any) -> None:
    assert found is not None
    wanted = np.asarray(wanted, np.float64)
    ordered = np.sort(wanted)
    want = (ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1], np.sqrt((wanted**2).mean()))
    got = (found.least, found.median, found.greatest, found.rms)
    np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)


def check_point(point: LayerPoint, values: Any, state: dict[str, Any], eps: float) -> None:
    """Compare a record with the input of the layer, ``(N, C)`` in float64, and with its weights at that moment."""
    samples = len(values)
    mean, var = values.mean(0), values.var(0)
    excess = ((values - mean) ** 2 - var) / samples
    correction = samples / (samples - 1)
    assert (point.samples, point.values) == (samples, samples)
    check(point.batch_mean, mean)
    check(point.batch_var, var)
    check(point.noise_mean, np.sqrt(correction * var / samples / (var + eps)))
    check(point.noise_var, np.sqrt(correction * (excess**2).sum(0)) / (var + eps))
    check(point.running_mean, state["moving_mean"])
    check(point.running_var, state["moving_variance"])
    check(point.shift, (mean - state["moving_mean"]) / np.sqrt(state["moving_variance"] + eps))
    check(point.log_ratio, np.log((var + eps) / (state["moving_variance"] + eps)))
    check(point.weight, state["gamma"])
    check(point.bias, state["beta"])
    for unit in point.units:
        channel = values[:, unit.channel]
        out = (channel - mean[unit.channel]) / np.sqrt(var[unit.channel] + eps)
        out = out * state["gamma"][unit.channel] + state["beta"][unit.channel]
        np.testing.assert_allclose(unit.input, np.percentile(channel, (15, 50, 85)), rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(unit.output, np.percentile(out, (15, 50, 85)), rtol=2e-4, atol=2e-4)


class WeightsAtSteps(keras.callbacks.Callback):
    """Weights before each step, in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[dict[str, dict[str, Any]]] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        model: Any = self.model
        self.at.append(
            {
                name: {weight.name: double(weight).copy() for weight in model.get_layer(name).weights}
                for name in ("features", "first", "second")
            }
        )
