"""Records of ``fit``, against sums in NumPy's float64."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import normwise.keras as nk
from normwise.keras.surgery.arrays import double
from tests.keras.watch.watched_model import (
    KINDS,
    RANDOM,
    WeightsAtSteps,
    X,
    check,
    check_point,
    fit,
    recording_of,
    watched_model,
)
from tests.support.keras.marks import not_on_jax
from tests.support.keras.xla import FASTER


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_record_has_the_statistics_of_its_batch_and_of_that_moment(kind: Any) -> None:
    model, weights = watched_model(kind), WeightsAtSteps()
    # A list of batches comes in its order, and again from the beginning.
    batches = [X[16 * number : 16 * number + 16] for number in range(3)]
    watch = nk.WatchCallback(batches, every=3, units=2)
    fit(model, weights, watch)
    points = recording_of(watch).points
    assert [point.step for point in points] == [0, 3, 6, 9]
    for number, point in enumerate(points):
        assert list(point.layers) == ["first", "second"]
        state = weights.at[point.step]
        x = batches[number % 3].astype("float64")
        x = x @ state["features"]["kernel"] + state["features"]["bias"]
        assert point.layers["first"].by_batch
        assert len(point.layers["first"].units) == 2
        check_point(point.layers["first"], x, state["first"], model.get_layer("first").epsilon)


@not_on_jax
def test_only_real_positions_count_and_frozen_layers_normalise_by_moving_statistics() -> None:
    tokens = RANDOM.integers(0, 9, (40, 7))
    model: Any = keras.Sequential(
        [
            keras.Input((7,), dtype="int32"),
            layers.Embedding(9, 3, mask_zero=True, name="embedding"),
            layers.BatchNormalization(name="norm"),
            layers.GlobalAveragePooling1D(),
            layers.BatchNormalization(name="frozen", trainable=False),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse", jit_compile=FASTER)
    watch = nk.WatchCallback([tokens])
    table = double(model.get_layer("embedding").embeddings).copy()
    model.fit(tokens, np.zeros((40, 1)), verbose=0, callbacks=[watch])
    (point,) = recording_of(watch).points
    norm, frozen = point.layers["norm"], point.layers["frozen"]
    assert (norm.by_batch, frozen.by_batch) == (True, False)
    assert (norm.samples, norm.values) == (np.any(tokens > 0, 1).sum(), (tokens > 0).sum())
    check(norm.batch_mean, table[tokens[tokens > 0]].mean(0))
    check(norm.batch_var, table[tokens[tokens > 0]].var(0))
    # By sample, whose positions depend on each other.
    mean = table[tokens[tokens > 0]].mean(0)
    sums = np.stack([(table[row[row > 0]] - mean).sum(0) for row in tokens if (row > 0).any()])
    error = np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum(0)) / norm.values
    check(norm.noise_mean, error / np.sqrt(table[tokens[tokens > 0]].var(0) + 1e-3))


@not_on_jax
def test_images_of_either_layout_have_the_moments_of_their_channels() -> None:
    x = (RANDOM.standard_normal((12, 5, 4, 3)) * 3 + 100).astype("float32")
    for axis in (-1, 1):
        model: Any = keras.Sequential(
            [
                keras.Input(x.shape[1:]),
                nk.BatchNormalization(axis=axis, unbiased_moving_variance=True, name="norm"),
                layers.Flatten(),
                layers.Dense(1),
            ]
        )
        model.compile("sgd", "mse", jit_compile=FASTER)
        watch = nk.WatchCallback([x])
        model.fit(x, x[:, 0, 0, :1], verbose=0, callbacks=[watch])
        norm = recording_of(watch).points[0].layers["norm"]
        values = np.moveaxis(x.astype("float64"), axis, 1).swapaxes(0, 1).reshape(x.shape[axis], -1)
        assert (norm.samples, norm.values) == (12, values.shape[1])
        check(norm.batch_mean, values.mean(1))
        check(norm.batch_var, values.var(1, ddof=1))  # of the kind that the layer keeps


@not_on_jax
def test_arrays_are_shuffled_and_cut_into_full_batches() -> None:
    x = np.repeat(np.arange(50.0), 2).reshape(50, 2).astype("float32")  # sorted
    model: Any = keras.Sequential(
        [keras.Input((2,)), layers.BatchNormalization(name="norm"), layers.Dense(1)]
    )
    model.compile("sgd", "mse", jit_compile=FASTER)
    watch = nk.WatchCallback((x, x[:, :1]), every=1, batch_size=20)
    model.fit(x, x[:, :1], batch_size=10, verbose=0, callbacks=[watch])
    norms = [point.layers["norm"] for point in recording_of(watch).points]
    assert [norm.samples for norm in norms] == [20] * 5
    # Not the means of sorted batches, 9.5 and 29.5; and no batch twice.
    means = [norm.batch_mean.least for norm in norms]
    assert len(set(means)) == 5
    assert all(15 < mean < 34 for mean in means)


@not_on_jax
def test_a_layer_that_is_called_twice_is_recorded_by_its_first_call_and_others_are_left_with_a_warning() -> (
    None
):
    class Own(layers.BatchNormalization):
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            return super().call(inputs * 2, training=training)

    inputs = keras.Input((6,))
    twice, own = layers.BatchNormalization(name="twice"), Own(name="own")
    model: Any = keras.Model(inputs, layers.Dense(1)(own(twice(twice(inputs)) + 1)))
    model.compile("sgd", "mse", jit_compile=FASTER)
    watch = nk.WatchCallback([X], every=1)
    with pytest.warns(
        UserWarning, match="WatchCallback can't record 'own': Own has a call of its own"
    ) as told:
        fit(model, watch, epochs=1)
    assert len([one for one in told if "WatchCallback" in str(one.message)]) == 1
    for point in recording_of(watch).points:
        assert list(point.layers) == ["twice"]
        assert point.layers["twice"].calls == 2
        check(point.layers["twice"].batch_mean, X.astype("float64").mean(0))
