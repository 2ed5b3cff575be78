"""Training steps and predictions of normwise's Keras layer beside those of Keras's own, on each backend.

Run: python benchmarks/layers/keras_layer.py [--backend NAME] [--jit | --no-jit] [--only WORDS] [--rounds N]
     [--cpu-time]

A network of four BN layers with ReLU, and a small network of convolutions, each with Keras's layers and with ours. Both
take their steps in turn (``train_on_batch`` with SGD, ``predict_on_batch``) in one process, a process for each backend
and each value of ``jit_compile``. Times are medians of 25 rounds (or N) after 5 that don't count; a ratio is Keras's
time over ours, above 1 ours is faster, the median of the rounds with the 10th and 90th percentile.

``--cpu-time`` takes the time that all threads of the process spend on the processor, for a machine that does other
things as well. ``--only "32×50×128 predict"`` measures lines that have all the words.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

#: The shape of a batch, and the axis of its channels.
SHAPES = [
    ((128, 32, 32, 32), -1),
    ((32, 64, 64, 16), -1),
    ((128, 16, 32, 32), 1),
    ((256, 100), -1),
    ((32, 50, 128), -1),
]
#: Backends, and the values of ``jit_compile`` that a user may choose there.
BACKENDS = {"tensorflow": (False, True), "jax": (True,), "torch": (False,)}
REPETITIONS, WARMING = 25, 5


def stack(layer: Callable[..., Any], shape: tuple[int, ...], axis: int) -> Any:
    """Return a network of four BN layers, each with ReLU."""
    import keras

    layers = [(layer(axis=axis), keras.layers.ReLU()) for _ in range(4)]
    return keras.Sequential([keras.Input(shape[1:]), *(each for pair in layers for each in pair)])


def convolutions(layer: Callable[..., Any], shape: tuple[int, ...], axis: int) -> Any:
    """Return a small network for images: three convolutions, each with BN and ReLU, and a dense layer."""
    import keras

    layers: list[Any] = []
    for filters, stride in ((16, 1), (32, 2), (32, 2)):
        layers += [
            keras.layers.Conv2D(filters, 3, stride, padding="same", use_bias=False),
            layer(axis=axis),
            keras.layers.ReLU(),
        ]
    return keras.Sequential(
        [keras.Input(shape[1:]), *layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    )


def product(wanted: Any, y: Any) -> Any:
    """Return a loss whose gradient is what is wanted, so that as little as can be is computed beside the layers."""
    from keras import ops

    return ops.mean(wanted * y)


def steps(model: Any, shape: tuple[int, ...], jit: bool) -> dict[str, Callable[[], object]]:
    """Return a step of training, and a prediction."""
    import keras
    import numpy as np

    rng = np.random.default_rng(0)
    model.compile(keras.optimizers.SGD(1e-3), product, jit_compile=jit)
    x = keras.ops.convert_to_tensor(rng.standard_normal(shape).astype("float32"))
    y = keras.ops.convert_to_tensor(
        rng.standard_normal((shape[0], *model.output_shape[1:])).astype("float32")
    )
    return {"train": lambda: model.train_on_batch(x, y), "predict": lambda: model.predict_on_batch(x)}


def measure(jit: bool, only: list[str], rounds: int, clock: Callable[[], float]) -> None:
    """Print a line for each network, shape and task."""
    import keras

    from normwise.keras import BatchNormalization

    cases = [(stack, shape, axis) for shape, axis in SHAPES] + [(convolutions, (128, 32, 32, 3), -1)]
    for network, shape, axis in cases:
        models = [
            steps(network(layer, shape, axis), shape, jit)
            for layer in (keras.layers.BatchNormalization, BatchNormalization)
        ]
        for task in ("train", "predict"):
            name = f"{network.__name__} {'×'.join(map(str, shape))} axis {axis} {task}"
            if not all(word in name.split() for word in only):
                continue
            theirs, ours = in_turn([model[task] for model in models], rounds, clock)
            ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
            tenths = statistics.quantiles(ratios, n=10)
            backend = keras.backend.backend() + (", jit_compile" if jit else "")
            print(
                f"| {backend} | {name} | {statistics.median(theirs):.3g} | {statistics.median(ours):.3g} "
                f"| {statistics.median(ratios):.2f} ({tenths[0]:.2f}–{tenths[-1]:.2f}) |",
                flush=True,
            )


def in_turn(calls: list[Callable[[], object]], rounds: int, clock: Callable[[], float]) -> list[list[float]]:
    """Return the milliseconds of each call, which are made in turn."""
    columns: list[list[float]] = [[] for _ in calls]
    for _ in range(WARMING + rounds):
        for call, column in zip(calls, columns, strict=True):
            begun = clock()
            call()
            column.append(1e3 * (clock() - begun))
    return [column[WARMING:] for column in columns]


def main() -> None:
    """Start a process for each backend and each way to compile."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=BACKENDS)
    parser.add_argument("--jit", action=argparse.BooleanOptionalAction)
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=REPETITIONS)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        clock = time.process_time if arguments.cpu_time else time.perf_counter
        measure(bool(arguments.jit), arguments.only.split(), arguments.rounds, clock)
        return
    print(
        "| backend | network, shape, task | Keras's, ms | ours, ms | ratio |\n|---|---|---|---|---|",
        flush=True,
    )
    for backend in [arguments.backend] if arguments.backend else BACKENDS:
        for jit in BACKENDS[backend] if arguments.jit is None else (arguments.jit,):
            own = ["--child", "--jit" if jit else "--no-jit"]
            environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
            subprocess.run([sys.executable, __file__, *sys.argv[1:], *own], env=environment, check=True)


if __name__ == "__main__":
    main()
