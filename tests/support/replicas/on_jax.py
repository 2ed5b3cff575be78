"""A step of training by two devices of JAX on one CPU: mapped by shard_map and pmap, and sharded by Keras."""

import os
import pickle
import sys
from functools import partial
from pathlib import Path
from typing import Any

# Besides those that the tests choose.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"

import jax
import jax.numpy as jnp
import keras
import numpy as np

from normwise.keras import BatchNormalization
from tests.support.replicas.cases import CASES, EQUAL, Batch, Step, batch, started

_Weights = list[Any]
_P = jax.sharding.PartitionSpec


def _of_device(layer: Any, trained: _Weights, kept: _Weights, x: Any, weights: Any, mask: Any) -> Any:
    """Return outputs, gradients of the input, and of γ and β, and the weights that moved; of one device."""

    def loss(trained: _Weights, x: Any) -> Any:
        y, moved = layer.stateless_call(trained, kept, x, training=True, mask=mask)
        return (weights * y**2).sum(), (y, moved)

    (_, (y, moved)), (of_affine, of_x) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(trained, x)
    return y, of_x, of_affine, moved


def _weights(layer: Any) -> tuple[_Weights, _Weights]:
    return [v.value for v in layer.trainable_variables], [v.value for v in layer.non_trainable_variables]


def _whole(layer: Any, given: Batch) -> Step:
    y, of_x, of_affine, moved = jax.jit(partial(_of_device, layer))(*_weights(layer), *given)
    return Step(np.asarray(y), [np.asarray(g) for g in (of_x, *of_affine)], [[np.asarray(v) for v in moved]])


def _by_shard_map(layer: Any, given: Batch, *, checked: bool) -> Step:
    def step(trained: _Weights, kept: _Weights, *given: Any) -> Any:
        y, of_x, of_affine, moved = _of_device(layer, trained, kept, *given)
        if not checked:
            of_affine = [jax.lax.psum(g, "devices") for g in of_affine]
        return y, of_x, of_affine, [v[None] for v in moved]

    step = jax.shard_map(
        step,
        mesh=jax.sharding.Mesh(np.array(jax.devices()), ("devices",)),
        in_specs=(_P(), _P(), _P("devices"), _P("devices"), _P("devices")),
        # Gradients of what all devices share are added up by shard_map itself.
        out_specs=(_P("devices"), _P("devices"), _P(), _P("devices")),
        check_vma=checked,
    )
    y, of_x, of_affine, moved = jax.jit(step)(*_weights(layer), *given)
    return _step(y, of_x, of_affine, moved)


def _by_pmap(layer: Any, given: Batch) -> Step:
    parts = jax.tree.map(lambda *part: jnp.stack(part), *given.parts(EQUAL))
    y, of_x, of_affine, moved = jax.pmap(partial(_of_device, layer), in_axes=(None, None, 0, 0, 0))(
        *_weights(layer), *parts
    )
    return _step(y.reshape(given.x.shape), of_x.reshape(given.x.shape), [g.sum(0) for g in of_affine], moved)


def _step(y: Any, of_x: Any, of_affine: list[Any], moved: list[Any]) -> Step:
    of_devices = [[np.asarray(v[device]) for v in moved] for device in range(2)]
    return Step(np.asarray(y), [np.asarray(g) for g in (of_x, *of_affine)], of_devices)


def _fitted(given: Batch, sharded: bool, **arguments: Any) -> Step:
    """Return predictions after one batch of ``fit``, and the weights then, each as all devices have it."""
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=keras.distribution.list_devices()) if sharded else None
    )
    layer = BatchNormalization(**arguments)
    model: Any = keras.Sequential([keras.Input(given.x.shape[1:]), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(given.x, given.weights, batch_size=len(given.x), epochs=1, verbose=0)
    moved = [
        [np.asarray(part.data) for part in weight.value.addressable_shards][: 2 if sharded else 1]
        for weight in layer.weights
    ]
    return Step(model.predict(given.x, verbose=0), [], [list(values) for values in zip(*moved, strict=True)])


def steps() -> dict[str, dict[str, Step]]:
    """Return the step of each case, by each way to divide it among devices, and by one."""
    found: dict[str, dict[str, Step]] = {}
    for name, (arguments, masked) in CASES.items():
        given = batch(masked, EQUAL)

        def layer(arguments: Any = arguments, **others: Any) -> Any:
            return started(BatchNormalization(**arguments, **others))

        found[name] = {
            "whole": _whole(layer(), given),
            "shard_map": _by_shard_map(layer(synchronized=True), given, checked=True),
        }
        if masked == "some":
            found[name] |= {
                "shard_map, unchecked": _by_shard_map(layer(synchronized=True), given, checked=False),
                "pmap": _by_pmap(layer(synchronized=True), given),
            }
    given = batch(None, EQUAL)
    found["fit"] = {"whole": _fitted(given, sharded=False)} | {
        f"DataParallel, synchronized={flag}": _fitted(given, sharded=True, synchronized=flag)
        for flag in (True, False)
    }
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(pickle.dumps(steps()))
