"""BN3xx: Keras models with layers in a mode of their own."""

from typing import Any

import keras
from keras import layers as L

from tests.keras.doctor.small_models import Case, dense, norm, norms_of, samples, trained


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
    (layer,) = norms_of(model)
    layer.gamma.trainable = layer.beta.trainable = False
    return Case(model, [x])
