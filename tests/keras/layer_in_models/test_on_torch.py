"""Models with the layer on the torch backend: compiled, exported, moved to other devices and types, transformed."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import BatchNormalization

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="what torch does with a model")


def _x() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((8, 4, 3)).astype("float32")


def _model() -> Any:
    keras.utils.set_random_seed(0)
    layers = [BatchNormalization(momentum=0.5, activation="relu"), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((4, 3)), *layers])


# Dynamo asks for gradients of tensors that Keras holds, and torch warns of it.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_compiled_step_is_that_of_an_eager_one_and_moves_the_statistics_once() -> None:
    found = []
    for compiled in (False, True):
        model = _model()
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=compiled)
        for _ in range(2):
            model.train_on_batch(_x(), np.ones((8, 4, 2), "float32"))
        found.append(model.get_weights())
    for eager, compiled in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, eager, atol=1e-6)
    expected = 0.75 * _x().mean((0, 1))
    np.testing.assert_allclose(found[1][2], expected, atol=1e-6)


def test_an_exported_model_computes_the_same_without_normwise(tmp_path: Path) -> None:
    import torch

    model, x = _model(), _x()[:1]  # Keras exports a batch of one
    model(_x(), training=True)
    model.export(tmp_path / "model.pt2", format="torch", verbose=False)
    exported = torch.export.load(tmp_path / "model.pt2")
    names = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert not [name for name in names if not name.startswith("aten.")]
    y = exported.module()(torch.tensor(x))
    np.testing.assert_allclose(y.detach(), model(x).detach(), atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"renorm": True}, {"synchronized": True}])
@pytest.mark.parametrize("training", [False, True])
def test_a_layer_on_the_meta_device_has_shapes(settings: Any, training: bool) -> None:
    import torch

    layer: Any = BatchNormalization(**settings)
    layer.build((8, 4, 3))
    layer.to("meta")
    with keras.device("meta"):  # else Keras's operations bring tensors to the default device
        y = layer(torch.empty(8, 4, 3, device="meta"), training=training)
    assert (y.shape, y.device.type) == ((8, 4, 3), "meta")


def test_a_model_whose_weights_were_moved_to_float64_still_trains() -> None:
    import torch

    model = _model()
    model.to(torch.float64)
    layer = model.layers[0]
    assert layer.moving_variance.value.dtype == torch.float64
    layer(torch.tensor(_x(), dtype=torch.float64), training=True)
    expected = 0.5 + 0.5 * _x().astype("float64").var((0, 1))
    np.testing.assert_allclose(layer.moving_variance.numpy(), expected, rtol=1e-6)


def test_samples_one_by_one_under_vmap_are_those_of_a_batch() -> None:
    import torch

    layer: Any = BatchNormalization(momentum=0.5)
    layer(_x(), training=True)
    x = torch.tensor(_x())
    one_by_one = torch.func.vmap(lambda sample: layer(sample[None])[0])(x)
    np.testing.assert_allclose(one_by_one.detach(), layer(x).detach(), atol=1e-6)


def test_a_functional_gradient_is_that_of_autograd_and_moves_nothing_by_itself() -> None:
    import torch

    layer: Any = BatchNormalization(momentum=0.5)
    layer.build((8, 4, 3))
    x = torch.tensor(_x())
    trained, kept = (
        [v.value for v in group] for group in (layer.trainable_variables, layer.non_trainable_variables)
    )

    def loss(trained: Any) -> Any:
        y, after = layer.stateless_call(trained, kept, x, training=True)
        return (y**3).mean(), after

    found, after = torch.func.grad(loss, has_aux=True)([value.detach() for value in trained])
    np.testing.assert_array_equal(layer.moving_mean.numpy(), 0)
    (layer(x, training=True) ** 3).mean().backward()
    for mine, variable in zip(found, layer.trainable_variables, strict=True):
        np.testing.assert_allclose(mine, variable.value.grad, atol=1e-6)
    for mine, variable in zip(after, layer.non_trainable_variables, strict=True):
        np.testing.assert_allclose(mine, variable.numpy(), atol=1e-6)
