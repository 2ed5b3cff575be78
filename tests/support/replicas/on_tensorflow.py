"""A step of training by two replicas of a MirroredStrategy, on two logical devices of one CPU."""

import pickle
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from normwise.keras import BatchNormalization
from tests.support.replicas.cases import CASES, EQUAL, FEW, UNEQUAL, Batch, Step, batch, started


def _step(layer: Any, given: Batch, strategy: Any, parts: list[Batch]) -> Step:
    def of_replica(x: Any, weights: Any, mask: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True, mask=mask)
            loss = tf.reduce_sum(weights * tf.square(y))
        return y, tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])

    def value(index: int) -> Any:
        def of(context: Any) -> Any:
            found = parts[context.replica_id_in_sync_group][index]
            return None if found is None else tf.constant(found)

        return strategy.experimental_distribute_values_from_function(of)

    @tf.function
    def run(x: Any, weights: Any, mask: Any) -> Any:
        return strategy.run(of_replica, (x, weights, mask))

    y, (of_x, *of_affine) = run(value(0), value(1), None if given.mask is None else value(2))

    def local(value: Any) -> list[Any]:
        return [v.numpy() for v in strategy.experimental_local_results(value)]

    return Step(
        tf.concat(local(y), 0).numpy(),
        [tf.concat(local(of_x), 0).numpy(), *(np.sum(local(value), 0) for value in of_affine)],
        [list(values) for values in zip(*(local(w.value) for w in layer.non_trainable_weights), strict=True)],
    )


def _fitted(strategy: Any, given: Batch, **arguments: Any) -> Step:
    """Return predictions after one batch of ``fit``, and the weights then, each as all replicas have it."""
    with strategy.scope():
        model: Any = keras.Sequential([keras.Input(given.x.shape[1:]), BatchNormalization(**arguments)])
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.fit(given.x, given.weights, batch_size=len(given.x), epochs=1, shuffle=False, verbose=0)
    moved = [[v.numpy() for v in strategy.experimental_local_results(w.value)] for w in model.weights]
    return Step(model.predict(given.x, verbose=0), [], [list(values) for values in zip(*moved, strict=True)])


def steps() -> dict[str, dict[str, Step]]:
    """Return the step of each case, by replicas and by one process."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two, one = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), tf.distribute.get_strategy()
    found = {}
    cases = {
        name: (arguments, batch(masked, UNEQUAL), UNEQUAL) for name, (arguments, masked) in CASES.items()
    }
    cases |= {name: ({}, batch(None, sizes, 1), sizes) for name, sizes in FEW.items()}
    for name, (arguments, given, sizes) in cases.items():
        whole = started(BatchNormalization(**arguments))
        with two.scope():
            layer = started(BatchNormalization(**arguments, synchronized=True))
        found[name] = {
            "replicas": _step(layer, given, two, given.parts(sizes)),
            "whole": _step(whole, given, one, [given]),
        }
    given = batch(None, EQUAL)
    found["fit"] = {"replicas": _fitted(two, given, synchronized=True), "whole": _fitted(one, given)}
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(pickle.dumps(steps()))
