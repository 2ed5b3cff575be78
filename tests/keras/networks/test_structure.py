"""Networks of the tutorials in Keras against their torch counterparts: sizes, order of layers, errors."""

from typing import Any

import keras
import numpy as np
import pytest
import torch

from normwise import models
from normwise.errors import ModelError
from normwise.keras import networks
from normwise.keras.untyped import ops

_IMAGES: dict[str, tuple[int, int, int]] = {
    "dense_bn": (6, 5, 1),
    "conv_pair": (6, 5, 3),
    "mnist_cnn": (12, 9, 1),
    "cnn_32": (8, 9, 3),
    "cnn_64": (12, 11, 3),
    "row_lstm": (4, 3, 2),
}


def _count_of_torch(model: torch.nn.Module) -> int:
    """Count its parameters, but for the second bias that torch's LSTM has, and which adds up with the first."""
    return sum(p.numel() for name, p in model.named_parameters() if ".bias_hh_" not in name)


def _count(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def _cases() -> list[Any]:
    cases: list[Any] = []
    for name in _IMAGES:
        # The norms are the same parts in all of them.
        norms = ("batch", "ghost", "renorm", "none", "layer") if name == "cnn_32" else ("batch",)
        cases += [(name, norm, {}) for norm in norms]
    for name in ("dense_bn", "conv_pair"):
        cases.append((name, "batch", {"bias": False}))
    cases += [("cnn_32", "batch", {"hidden": 128}), ("mnist_cnn", "batch", {"placement": "before"})]
    cases.append(("row_lstm", "recurrent_layer", {}))
    for name in ("speech_lstm", "sentiment_bilstm"):
        cases += [(name, norm, {}) for norm in ("batch", "layer", "recurrent_layer")]
    return cases


@pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="sizes are the same on every backend, and JAX compiles for each size a minute long in all",
)
@pytest.mark.parametrize(("name", "norm", "options"), _cases())
def test_it_has_as_many_parameters_as_in_torch(name: str, norm: str, options: dict[str, Any]) -> None:
    if name in _IMAGES:
        height, width, channels = shape = _IMAGES[name]
        torch_shape: tuple[int, ...] = (channels, height, width)
    else:
        shape = torch_shape = (40,) if name == "speech_lstm" else (23,)
    classes = 2 if name == "sentiment_bilstm" else 10
    ours = networks.build(name, shape, classes, norm=norm, **options)
    theirs = models.build(name, torch_shape, classes, norm=norm, **options)
    assert _count(ours) == _count_of_torch(theirs)


@pytest.mark.parametrize(
    ("name", "placement"), [("mnist_cnn", "after"), ("cnn_32", "before"), ("cnn_64", "after")]
)
def test_the_norm_stands_where_the_tutorial_has_it(name: str, placement: str) -> None:
    layers = [layer.name for layer in networks.build(name, _IMAGES[name], 10).layers]
    norms = [path for path in layers if path.endswith("_norm")]
    assert norms
    for norm in norms:
        activation = norm.replace("_norm", "_activation")
        first, second = (norm, activation) if placement == "before" else (activation, norm)
        assert layers.index(first) < layers.index(second)


@pytest.mark.parametrize(("name", "activation"), [("mnist_cnn", "softmax"), ("sentiment_bilstm", "sigmoid")])
def test_outputs_are_probabilities_unless_logits_are_asked_for(name: str, activation: str) -> None:
    shape = _IMAGES.get(name, (3,))
    for logits, expected in ((False, activation), (True, "linear")):
        model = networks.build(name, shape, 10 if name == "mnist_cnn" else 2, logits=logits)
        assert model.get_layer("output").activation.__name__ == expected


def test_a_model_is_saved_and_loaded(tmp_path: Any) -> None:
    model = networks.build("row_lstm", (4, 3, 2), 5)
    x = np.random.default_rng(0).random((3, 4, 3, 2)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded: Any = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(x)), ops.convert_to_numpy(model(x)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "resnet"}, "unknown model 'resnet' in Keras; known are mnist_cnn"),
        ({"shape": (40,)}, r"can't be built for inputs of shape \(40,\); expected \(H, W, C\)"),
        ({"shape": (3, 9, 1)}, "needs images of at least 4×4 pixels, got 3×9"),
        ({"norm": "instance"}, "unknown norm 'instance'; networks in Keras can have batch, ghost"),
        ({"norm": "ghost:0"}, "unknown norm 'ghost:0'"),
        ({"placement": "beside"}, "unknown placement 'beside'"),
        ({"placement": 3}, "takes a value like 'after', of type str; got 3"),
        ({"depth": 3}, "has no option 'depth'; it has placement, momentum"),
        ({"momentum": 1.0}, "at least 0 and below 1; got 1.0"),
        ({"name": "speech_lstm", "shape": (40,), "norm": "recurrent_batch"}, "unknown norm 'recurrent_batch'"),
        ({"name": "speech_lstm", "shape": (40,), "dropout": 1.0}, "dropout must be at least 0 and below 1"),
    ],
)  # fmt: skip
def test_what_can_not_be_built_is_an_error_that_says_so(given: dict[str, Any], said: str) -> None:
    given = {"name": "mnist_cnn", "shape": (12, 9, 1)} | given
    with pytest.raises(ModelError, match=said):
        networks.build(given.pop("name"), given.pop("shape"), 10, **given)


def test_a_sequence_network_says_which_norms_it_can_have() -> None:
    with pytest.raises(
        ModelError, match="speech_lstm can't have the norm 'instance'; in Keras it can have batch"
    ):
        networks.speech_lstm((40,), 10, norm="instance")


def test_momentum_is_that_of_all_norms() -> None:
    model = networks.build("cnn_64", (12, 12, 3), 10, momentum=0.9)
    assert [layer.momentum for layer in model.layers if layer.name.endswith("_norm")] == [0.9] * 3
