"""TensorFlow's SavedModel: what a model exports computes the same without Keras."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import BatchNormalization

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a format of TensorFlow")


@pytest.mark.parametrize(
    "settings", [{"activation": "relu"}, {"virtual_batch_size": 2, "renorm": False}, {"renorm": True}]
)
def test_an_exported_model_computes_the_same(settings: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    model: Any = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3),
            BatchNormalization(**settings),
            keras.layers.Flatten(),
        ]
    )
    x = np.random.default_rng(0).standard_normal((6, 8, 8, 3)).astype("float32")
    model(x, training=True)
    model.export(tmp_path / "model", verbose=False)
    # The functions of a loaded model don't keep its variables alive, the model does.
    loaded: Any = tf.saved_model.load(str(tmp_path / "model"))
    for samples in (6, 1):
        np.testing.assert_allclose(loaded.serve(x[:samples]), model(x[:samples]), atol=1e-5)


def test_a_layer_in_a_module_of_tensorflow_is_saved_with_its_training(tmp_path: Path) -> None:
    import tensorflow as tf

    layer: Any = BatchNormalization(momentum=0.5)
    layer.build((None, 3))

    class Step(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kept = [weight.value for weight in layer.weights]

        @tf.function(input_signature=[tf.TensorSpec((None, 3))])
        def __call__(self, x: Any) -> Any:
            return layer(x, training=True)

    tf.saved_model.save(Step(), str(tmp_path / "step"))
    loaded: Any = tf.saved_model.load(str(tmp_path / "step"))
    x = np.random.default_rng(0).standard_normal((6, 3)).astype("float32") + 2
    np.testing.assert_allclose(loaded(x), layer(x, training=True), atol=1e-6)
    for was, now in zip(layer.weights, loaded.kept, strict=True):
        np.testing.assert_allclose(now, was.value, rtol=1e-6)
