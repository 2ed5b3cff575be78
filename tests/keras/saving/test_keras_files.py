"""Models saved as `.keras` and as weights: in another process, by Keras's own layer and back."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops


@keras.saving.register_keras_serializable(package="tests")
def twice(x: Any) -> Any:
    return 2 * x


def _model(layer: Any) -> Any:
    """Return a model with statistics that a few batches moved, without `fit`, which would compile."""
    inputs: Any = keras.Input((6, 4))
    hidden = keras.layers.Conv1D(3, 2, padding="same", use_bias=False, name="conv")(inputs)
    hidden = layer(hidden, residual=inputs[..., :3])
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(hidden))
    for seed in (0, 1):
        model(_x(seed), training=True)
    return model


def _x(seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((5, 6, 4)).astype("float32") + 1


_SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "fused": {"activation": "relu", "virtual_batch_size": 2, "axis": -1, "scale": False},
    "average": {"momentum": None, "unbiased_moving_variance": True, "activation": twice},
    "renorm": {"renorm": True, "renorm_clipping": {"rmax": 2.0, "rmax_steps": 10, "dmax_steps": 9, "warmup_steps": 0}},
    "half": {"dtype": "mixed_float16", "gamma_regularizer": "l2", "beta_constraint": "non_neg"},
}  # fmt: skip

_OTHER_PROCESS = """
import sys
import numpy as np
import keras
try:
    keras.saving.load_model(sys.argv[1])
except Exception as error:
    print("BatchNormalization" in str(error))
import normwise.keras
model = keras.saving.load_model(sys.argv[1])
x = np.load(sys.argv[2])
np.save(sys.argv[3], keras.ops.convert_to_numpy(model(x)))
"""


@pytest.mark.parametrize("name", _SETTINGS)
def test_a_file_brings_the_model_and_its_state_back(name: str, tmp_path: Path) -> None:
    model = _model(BatchNormalization(**_SETTINGS[name]))
    model.save(tmp_path / "model.keras")
    loaded: Any = keras.saving.load_model(tmp_path / "model.keras")
    (layer,) = (layer for layer in model.layers if isinstance(layer, BatchNormalization))
    (again,) = (layer for layer in loaded.layers if isinstance(layer, BatchNormalization))
    assert again.get_config() == layer.get_config()
    for x, training in ((_x(), False), (_x(), True), (_x(), False)):
        got, wanted = loaded(x, training=training), model(x, training=training)
        np.testing.assert_array_equal(ops.convert_to_numpy(got), ops.convert_to_numpy(wanted))
    for was, now in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_another_process_is_told_the_missing_class_until_it_imports_normwise_keras(tmp_path: Path) -> None:
    model = _model(BatchNormalization(activation="silu", momentum=None))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", _x())
    files = (str(tmp_path / name) for name in ("model.keras", "x.npy", "y.npy"))
    done = subprocess.run(
        [sys.executable, "-c", _OTHER_PROCESS, *files],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), ops.convert_to_numpy(model(_x())), atol=1e-6)


def test_custom_objects_may_name_the_class(tmp_path: Path) -> None:
    model = _model(BatchNormalization())
    model.save(tmp_path / "model.keras")
    named = {"BatchNormalization": BatchNormalization}
    loaded: Any = keras.saving.load_model(tmp_path / "model.keras", custom_objects=named)
    for was, now in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("ours_first", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_weight_files_move_between_keras_layer_and_ours(
    tmp_path: Path, scale: bool, ours_first: bool
) -> None:
    def made(kind: Any, seed: int) -> Any:
        model = keras.Sequential(
            [keras.Input((6, 4)), keras.layers.Conv1D(3, 2), kind(scale=scale), keras.layers.Dense(2)]
        )
        random = np.random.default_rng(seed)
        model.set_weights([random.random(weight.shape) for weight in model.get_weights()])
        return model

    kinds = [BatchNormalization, keras.layers.BatchNormalization]
    first, second = (made(kind, seed) for seed, kind in enumerate(kinds if ours_first else kinds[::-1]))
    first.save_weights(tmp_path / "a.weights.h5")
    second.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_allclose(
        ops.convert_to_numpy(second(_x())), ops.convert_to_numpy(first(_x())), atol=1e-5
    )


@pytest.mark.parametrize("name", _SETTINGS)
def test_clones_have_the_settings_and_weights_of_their_own(name: str) -> None:
    model = _model(BatchNormalization(**_SETTINGS[name]))
    clone: Any = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(ops.convert_to_numpy(clone(_x())), ops.convert_to_numpy(model(_x())))
    before = model.get_weights()
    clone(_x(), training=True)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
