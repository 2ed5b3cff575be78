"""Calls of TensorFlow 1 as old tutorials have them, run once, and what they gave.

    pip install --no-deps --target build/tf-keras tf-keras
    TF_USE_LEGACY_KERAS=1 PYTHONPATH=build/tf-keras python -m tests.support.keras.tensorflow_1

writes ``tensorflow_1.json`` beside this file. TensorFlow 2 has ``tf.layers`` and ``BasicLSTMCell`` with the package
tf-keras only, which needs the package ``tensorflow`` and so is not among those that tests install; ``tf.contrib`` is
gone.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_FILE = Path(__file__).with_suffix(".json")
#: Steps of training that each call is recorded for.
STEPS = 3


@cache
def recorded() -> dict[str, dict[str, np.ndarray]]:
    """Return inputs, variables and outputs of each call."""
    content = json.loads(_FILE.read_text(encoding="utf-8"))
    return {
        call: {name: np.array(value, "float32") for name, value in values.items()}
        for call, values in content.items()
    }


def _run(build: Any, inputs: np.ndarray, *, updates: bool) -> dict[str, np.ndarray]:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(0)
        x = v1.placeholder(tf.float32, [None, *inputs.shape[1:]])
        is_training = v1.placeholder_with_default(False, [])
        output = build(v1, x, is_training)
        session.run(v1.global_variables_initializer())
        found: dict[str, np.ndarray] = {"inputs": inputs}
        found |= {f"before {v.name}": session.run(v) for v in v1.global_variables()}
        run = [output, *(v1.get_collection(v1.GraphKeys.UPDATE_OPS) if updates else [])]
        for step in range(STEPS):
            found[f"training {step}"] = session.run(run, {x: inputs + step, is_training: True})[0]
        found["inference"] = session.run(output, {x: inputs})
        found |= {f"after {v.name}": session.run(v) for v in v1.global_variables()}
    return found


def _dense(v1: Any, inputs: Any, is_training: Any) -> Any:
    fc = v1.layers.dense(inputs, units=4)
    bn = v1.layers.batch_normalization(fc)
    return v1.nn.relu(bn)


def _dense_in_training(v1: Any, inputs: Any, is_training: Any) -> Any:
    fc = v1.layers.dense(inputs, units=4)
    bn = v1.layers.batch_normalization(fc, training=is_training)
    return v1.nn.relu(bn)


def _conv2d(v1: Any, inputs: Any, is_training: Any) -> Any:
    conv1 = v1.layers.conv2d(inputs, filters=3, kernel_size=[3, 3])
    bn1 = v1.layers.batch_normalization(conv1, training=is_training)
    activation1 = v1.nn.relu(bn1)
    conv2 = v1.layers.conv2d(activation1, filters=3, kernel_size=[3, 3])
    bn2 = v1.layers.batch_normalization(conv2, training=is_training)
    return v1.nn.relu(bn2)


def _basic_lstm(v1: Any, inputs: Any, is_training: Any) -> Any:
    import tensorflow as tf

    cell = v1.nn.rnn_cell.BasicLSTMCell(num_units=4)
    output, _ = v1.nn.dynamic_rnn(cell, inputs, dtype=tf.float32)
    return output


def _record() -> None:
    rng = np.random.default_rng(0)
    rows = (2 + 3 * rng.standard_normal((8, 5))).astype("float32")
    images = (1 + rng.standard_normal((2, 7, 7, 2))).astype("float32")
    sequences = rng.standard_normal((3, 5, 6)).astype("float32")
    calls = {
        "dense": _run(_dense, rows, updates=True),
        "dense in training": _run(_dense_in_training, rows, updates=True),
        "conv2d": _run(_conv2d, images, updates=True),
        "conv2d without updates": _run(_conv2d, images, updates=False),
        "basic_lstm": _run(_basic_lstm, sequences, updates=True),
    }
    lines = {
        call: {
            name: [] if value.size == 0 else json.loads(json.dumps(np.round(value.astype(float), 7).tolist()))
            for name, value in values.items()
        }
        for call, values in calls.items()
    }
    _FILE.write_text(_compact(lines), encoding="utf-8")


def _compact(calls: dict[str, dict[str, Any]]) -> str:
    """Return JSON with a line for each array."""
    parts = [
        f'  "{call}": {{\n'
        + ",\n".join(
            f"    {json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}"
            for name, value in values.items()
        )
        + "\n  }"
        for call, values in calls.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    _record()
