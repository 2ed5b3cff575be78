"""Healthy models of all kinds: the doctor finds nothing."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from normwise.keras import BatchNormalization, diagnose
from tests.keras.doctor.planted.modes import HalfInEvaluation
from tests.keras.doctor.small_models import Case, dense, norm, samples, trained
from tests.support.keras.xla import FASTER


def _convolutional() -> Case:
    x = samples(32, 8, 8, 3)
    model = keras.Sequential([
        keras.Input((8, 8, 3)),
        *(L.Conv2D(8, 3, use_bias=False, activation="relu"), norm(name="one"), L.MaxPooling2D()),
        *(L.Conv2D(8, 2, use_bias=False), L.BatchNormalization(name="two"), L.ReLU()),
        *(L.GlobalAveragePooling2D(), L.Dropout(0.5), L.Dense(3)),
    ])  # fmt: skip
    return Case(trained(model, x), [x])


def _nested() -> Case:
    inner = dense(norm(), L.ReLU(), outputs=8)
    inputs = keras.Input((4,))
    hidden = inner(inputs)
    joined = L.Add()([hidden, norm(name="branch")(L.Dense(8, use_bias=False)(hidden))])
    x = samples(64, 4)
    return Case(trained(keras.Model(inputs, L.Dense(3)(joined)), x), (x, samples(64, 3)), {"loss": "mse"})


def _subclassed() -> Case:
    x = samples(64, 4)
    return Case(trained(HalfInEvaluation(), x), [x])


def _masked_sequences() -> Case:
    tokens = np.random.default_rng(0).integers(1, 20, (32, 12))
    for sequence, length in zip(tokens, np.random.default_rng(0).integers(3, 13, 32), strict=True):
        sequence[length:] = 0
    values: Any = keras.initializers.RandomUniform(-1, 1)
    embedding = L.Embedding(20, 6, values, mask_zero=True)
    model = keras.Sequential(
        [keras.Input((12,), dtype="int32"), embedding, norm(), L.GlobalAveragePooling1D(), L.Dense(3)]
    )
    return Case(trained(model, tokens), [tokens])


def _frozen_base() -> Case:
    base = keras.Sequential([keras.Input((4,)), L.Dense(8, use_bias=False), norm(), L.ReLU()], name="base")
    x = samples(64, 4)
    trained(base, x)
    base.trainable = False
    inputs = keras.Input((4,))
    model = keras.Model(inputs, L.Dense(3)(base(inputs, training=False)))
    model.compile("sgd", "mse")
    return Case(model, (x, samples(64, 3)))


def _mixed_precision() -> Case:
    policy = keras.mixed_precision.DTypePolicy("mixed_bfloat16")
    layers = (
        L.Dense(8, use_bias=False, dtype=policy),
        BatchNormalization(dtype=policy),
        L.ReLU(dtype=policy),
    )
    model = keras.Sequential([keras.Input((4,)), *layers, L.Dense(3)])
    x = samples(64, 4)
    return Case(trained(model, x), [x])


def _several_processed_steps() -> Case:
    x = samples(32, 6, 4)
    model = keras.Sequential([
        keras.Input((6, 4)),
        *(L.LSTM(8, return_sequences=True), norm(name="one"), L.LSTM(8), L.BatchNormalization(name="two")),
        L.Dense(10, activation="softmax"),
    ])  # fmt: skip
    return Case(trained(model, x), [x])


def _features() -> Case:
    x = samples(64, 4)
    return Case(trained(keras.Sequential([keras.Input((4,)), L.Dense(8, use_bias=False), norm()]), x), [x])


def _without_affine() -> Case:
    x = samples(64, 4)
    return Case(trained(dense(norm(center=False, scale=False), L.ReLU()), x), [x])


def _inverted_residual() -> Case:
    inputs = keras.Input((8, 8, 3))
    hidden = L.ReLU(6.0)(norm(name="wide")(L.Conv2D(12, 1, use_bias=False)(inputs)))
    depthwise = L.DepthwiseConv2D(3, padding="same", use_bias=False)(hidden)
    hidden = L.Activation("swish")(norm(name="deep")(depthwise))
    gate = L.Conv2D(12, 1, activation="sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(hidden))
    narrow = norm(name="narrow")(L.Conv2D(3, 1, use_bias=False)(L.Multiply()([hidden, gate])))
    x = samples(32, 8, 8, 3)
    outputs = L.Dense(3)(L.Flatten()(L.Add()([inputs, narrow])))
    return Case(trained(keras.Model(inputs, outputs), x), [x])


def _encoder_and_decoder() -> Case:
    inputs = keras.Input((8, 8, 3))
    first = L.ReLU()(norm(name="first")(L.Conv2D(4, 3, padding="same", use_bias=False)(inputs)))
    second = L.ReLU()(
        norm(name="second")(L.SeparableConv2D(8, 3, strides=2, padding="same", use_bias=False)(first))
    )
    up = L.ReLU()(norm(name="up")(L.Conv2DTranspose(4, 2, strides=2, use_bias=False)(second)))
    outputs = L.Conv2D(1, 1, activation="sigmoid")(L.Concatenate()([up, first]))
    x = samples(32, 8, 8, 3)
    return Case(trained(keras.Model(inputs, outputs), x), (x, x[..., :1]))


def _two_views_of_one_encoder() -> Case:
    encoder = keras.Sequential([keras.Input((4,)), L.Dense(8, use_bias=False), norm(), L.ReLU()])
    views = [keras.Input((4,)), keras.Input((4,))]
    model = keras.Model(views, L.Dense(1)(L.Subtract()([encoder(view) for view in views])))
    x = [samples(128, 4), samples(128, 4, seed=1)]
    for view in x:
        trained(encoder, view, 0.5, 3)
    return Case(model, x)


_HEALTHY = (
    _convolutional, _nested, _subclassed, _masked_sequences, _frozen_base, _mixed_precision,
    _several_processed_steps, _features, _without_affine, _inverted_residual,
    _encoder_and_decoder, _two_views_of_one_encoder,
)  # fmt: skip


@pytest.mark.parametrize("build", _HEALTHY, ids=lambda build: build.__name__.strip("_"))
def test_a_healthy_model_has_no_finding(build: Callable[[], Case]) -> None:
    case = build()
    diagnosis = diagnose(case.model, case.data, **case.settings)
    assert not diagnosis.findings, str(diagnosis)
    assert all(layer.values for layer in diagnosis.examination.layers)


def test_a_new_model_gets_notes_alone() -> None:
    model, x = dense(L.BatchNormalization(), L.ReLU()), 3 * samples(64, 4) + 2
    assert diagnose(model).is_healthy
    diagnosis = diagnose(model, x)
    assert diagnosis.is_healthy
    assert [finding.code for finding in diagnosis.findings] == ["BN202"]


@pytest.mark.parametrize("layer", [L.BatchNormalization, BatchNormalization])
def test_a_model_that_fit_has_trained_is_healthy(layer: Any) -> None:
    x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32") * 3 + 2
    y = (x[:, 0] > 2).astype("int32")
    inner = [L.Dense(16, use_bias=False), layer(momentum=0.9), L.ReLU()]
    model: Any = keras.Sequential([keras.Input((8,)), *inner, L.Dense(2, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy", jit_compile=FASTER)
    model.fit(x, y, epochs=5, verbose=0)
    diagnosis = diagnose(model, (x, y))
    assert not diagnosis.findings, str(diagnosis)
    assert diagnosis.examination.running.accuracy > 0.6
