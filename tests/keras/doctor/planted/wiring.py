"""BN1xx: Keras models with a fault in their wiring."""

from typing import Any

import keras
from keras import layers as L

from normwise.keras import BatchNormalization
from tests.keras.doctor.small_models import Case, dense, norm, samples, trained


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
