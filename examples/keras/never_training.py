"""The mistake of `bn = tf.layers.batch_normalization(fc)`: no `training=`, so nothing is ever normalised.

Run: KERAS_BACKEND=torch python examples/keras/never_training.py (needs pip install 'normwise[keras,study]')

TensorFlow 1's function had `training=False` by default. A network that was built so normalises with the initial
statistics, mean 0 and variance 1, in training and after it: BN is a scale and a shift. The network is the tutorial's,
dense 128, BN, ReLU, on the digits of scikit-learn. Four forms of it train from the same initial weights on the same
batches, in Keras and, where Keras runs on torch, in torch itself:

- without BN
- never: `training=` was not passed
- passed: `training=` was passed, and the moving statistics move
- not updated: `training=` was passed, and the update operations (`tf.GraphKeys.UPDATE_OPS`) were forgotten
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import torch
from torch import nn

import normwise
import normwise.keras
from normwise.data import digits
from normwise.keras import BatchNormalization

FORMS = ("without BN", "never", "passed", "not updated")
BATCH = 64
#: Keras's default momentum keeps 0.99 of the old value; torch's parameter is the share of the new batch.
MOMENTUM = 0.99


@dataclass(frozen=True)
class Setting:
    """Setting of a training of the four forms: largest pixel, hidden layers, and the rate of SGD."""

    brightest: int
    layers: int
    rate: float

    def __str__(self) -> str:
        return f"pixels 0 to {self.brightest:2}, {self.layers} hidden, rate {self.rate:g}"


SETTINGS = (Setting(1, 1, 0.1), Setting(1, 6, 0.01), Setting(16, 1, 1.0))


@cache
def data(brightest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return images (N, 64) and labels to train on, and those to test on."""
    found = digits()
    images = (found.train_images, found.test_images)
    train, test = ((brightest * each.flatten(1)).numpy() for each in images)
    return train, found.train_labels.numpy(), test, found.test_labels.numpy()


def kernels(setting: Setting, seed: int) -> list[np.ndarray]:
    """Return initial kernels as Keras draws them (Glorot), the same for every form and framework."""
    rng = np.random.default_rng(seed)
    sizes = [64, *[128] * setting.layers, 10]
    limits = [(6 / (a + b)) ** 0.5 for a, b in pairwise(sizes)]
    return [
        rng.uniform(-limit, limit, (a, b)).astype("float32")
        for limit, (a, b) in zip(limits, pairwise(sizes), strict=True)
    ]


def order(count: int, epochs: int, seed: int) -> np.ndarray:
    """Return the indices of the images in the order of training: whole batches, shuffled anew in each epoch."""
    rng = np.random.default_rng(seed + 1_000)
    return np.concatenate([rng.permutation(count)[: count // BATCH * BATCH] for _ in range(epochs)])


class NeverInTraining(BatchNormalization):
    """BN as TensorFlow 1 had it without ``training=``.

    A functional model does not keep ``layer(x, training=False)``: ``fit`` puts ``training=True`` in its place.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None, residual: Any = None) -> Any:
        """Normalise by the moving statistics."""
        return super().call(inputs, training=False, mask=mask, residual=residual)


@cache
def in_keras(form: str, setting: Setting) -> Any:
    """Return one form of the network in Keras."""
    x = inputs = keras.Input((64,))
    for _ in range(setting.layers):
        x = keras.layers.Dense(128)(x)
        if form == "never":
            x = NeverInTraining(momentum=MOMENTUM)(x)
        elif form == "passed":
            x = BatchNormalization(momentum=MOMENTUM)(x)  # fit passes training=True
        elif form == "not updated":
            x = BatchNormalization(momentum=1.0)(x)  # the old value keeps all of its weight
        x = keras.layers.ReLU()(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(setting.rate), loss, metrics=["accuracy"], jit_compile=False)
    return model


@cache
def _initial(form: str, setting: Setting) -> list[np.ndarray]:
    return in_keras(form, setting).get_weights()


def accuracy_in_keras(form: str, setting: Setting, seed: int, epochs: int = 10) -> float:
    """Train one form in Keras, and return its accuracy on the test images in percent."""
    model = in_keras(form, setting)
    # Of the weights only kernels have two axes; the others begin as ever.
    drawn = iter(kernels(setting, seed))
    model.set_weights([next(drawn) if w.ndim == 2 else w for w in _initial(form, setting)])
    images, labels = data(setting.brightest)[:2]
    chosen = order(len(images), epochs, seed)
    model.fit(images[chosen], labels[chosen], BATCH, shuffle=False, verbose=0)
    return test_accuracy(model, setting)


def test_accuracy(model: Any, setting: Setting) -> float:
    """Return the accuracy of a network in Keras on the test images in percent."""
    return 100 * model.evaluate(*data(setting.brightest)[2:], batch_size=500, verbose=0)[1]


def in_torch(form: str, setting: Setting, seed: int) -> nn.Sequential:
    """Return one form of the network in torch, with its initial weights."""
    layers: list[nn.Module] = []
    for number, kernel in enumerate(kernels(setting, seed)):
        linear = nn.Linear(*kernel.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(kernel.T))
            linear.bias.zero_()
        layers.append(linear)
        if number == setting.layers:
            break
        if form != "without BN":
            momentum = 0.0 if form == "not updated" else 1 - MOMENTUM
            layers.append(normwise.nn.BatchNorm1d(128, eps=1e-3, momentum=momentum))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def accuracy_in_torch(form: str, setting: Setting, seed: int, epochs: int = 10) -> float:
    """Train one form in torch, and return its accuracy on the test images in percent."""
    model = in_torch(form, setting, seed)
    images, labels, test_images, test_labels = map(torch.from_numpy, data(setting.brightest))
    optimizer = torch.optim.SGD(model.parameters(), setting.rate)
    model.train()
    if form == "never":
        for layer in model:
            if isinstance(layer, normwise.nn.BatchNorm1d):
                layer.eval()
    for batch in torch.from_numpy(order(len(images), epochs, seed)).split(BATCH):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        hits = model.eval()(test_images).argmax(1) == test_labels
    return 100 * hits.double().mean().item()


def gradient(form: str, enlarged: float) -> float:
    """Return the norm of the gradient by the first kernel, which begins ``enlarged`` times as large.

    A step of SGD takes it from the kernel, times its rate.
    """
    setting = SETTINGS[0]
    model = in_keras(form, setting)
    first, last = kernels(setting, 0)
    drawn = iter([enlarged * first, last])
    begin = [next(drawn) if w.ndim == 2 else w for w in _initial(form, setting)]
    model.set_weights(begin)
    images, labels = data(setting.brightest)[:2]
    model.fit(images[:BATCH], labels[:BATCH], BATCH, shuffle=False, verbose=0)
    return float(np.linalg.norm(model.get_weights()[0] - begin[0])) / setting.rate


def row(measure: Callable[..., float], setting: Setting, seeds: int, epochs: int) -> list[float]:
    """Return the mean accuracy of each form over some seeds."""
    return [float(np.mean([measure(form, setting, seed, epochs) for seed in range(seeds)])) for form in FORMS]


def main(settings: tuple[Setting, ...] = SETTINGS, seeds: int = 3, epochs: int = 10) -> None:
    """Print test accuracies of the four forms, the size of gradients, and moving statistics afterwards."""
    torch.set_num_threads(1)  # the networks are tiny
    print(f"{'':38}" + "".join(f"{form:>13}" for form in FORMS))
    frameworks = {f"Keras on {keras.backend.backend()}": accuracy_in_keras}
    # Of TensorFlow and Triton, which torch's optimisers import where it is installed, each brings its own LLVM; a
    # process that loads both may end there.
    if keras.backend.backend() == "torch":
        frameworks["torch"] = accuracy_in_torch
    for name, measure in frameworks.items():
        print(f"test accuracy in %, {name}")
        for setting in settings:
            means = row(measure, setting, seeds, epochs)
            print(f"  {setting!s:36}" + "".join(f"{mean:13.1f}" for mean in means))
    print("gradient of the first kernel at the start")
    for enlarged in (1, 10, 100):
        norms = "".join(f"{gradient(form, enlarged):13.4f}" for form in FORMS)
        print(f"  {f'initial kernel times {enlarged}':36}{norms}")
    print("after training, seed 0 of the first setting")
    for form in FORMS[1:]:
        accuracy = accuracy_in_keras(form, settings[0], 0, epochs)
        layer = in_keras(form, settings[0]).layers[2]
        mean, variance = (keras.ops.convert_to_numpy(w) for w in (layer.moving_mean, layer.moving_variance))
        print(
            f"  {form + ':':13}moving mean {mean.min():.3g} to {mean.max():.3g}, variance {variance.min():.3g} to "
            f"{variance.max():.3g}; accuracy {accuracy:.1f} %"
        )
    model = in_keras("not updated", settings[0])
    normwise.keras.calibrate(model, data(settings[0].brightest)[0])
    print(f"  not updated, then normwise.keras.calibrate: accuracy {test_accuracy(model, settings[0]):.1f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train with BN that is never in training.")
    parser.add_argument(
        "--seeds", type=int, default=3, help="initial weights and orders of batches to average over"
    )
    parser.add_argument("--epochs", type=int, default=10)
    chosen = parser.parse_args()
    main(seeds=chosen.seeds, epochs=chosen.epochs)
