"""The tutorials' networks: torch's give in Keras what they give in torch, and come back."""

from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import nn

import normwise as nw
from normwise.keras import networks
from normwise.models import build as build_torch
from tests.keras.porting.port_cases import NOT_ON_JAX

_IMAGES = {
    "mnist_cnn": ((8, 9, 1), {}),
    "dense_bn": ((4, 5, 1), {}),
    "conv_pair": ((9, 8, 1), {}),
    "cnn_32": ((8, 6, 3), {"hidden": 4}),
    "cnn_64": ((10, 11, 3), {}),
    "row_lstm": ((4, 5, 1), {"norm": "recurrent_layer"}),
}
_MARKED = [name if name == "mnist_cnn" else pytest.param(name, marks=NOT_ON_JAX) for name in _IMAGES]


def _trained(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> nn.Module:
    """Return torch's network with statistics of random numbers."""
    channels_first = (shape[-1], *shape[:-1])
    model = build_torch(name, channels_first, 3, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if "running" in key:  # means around 0, so that ReLU lets something through
                value.copy_(torch.rand(value.shape, generator=generator) + (0.5 if "var" in key else -0.5))
            if "bias_hh" in key:
                value.zero_()  # in Keras, both biases of an LSTM are one
    return model.eval()


@pytest.mark.parametrize("name", _MARKED)
def test_an_image_network_gives_the_same_in_keras_and_comes_back(name: str) -> None:
    shape, options = _IMAGES[name]
    source = _trained(name, shape, options)
    target = networks.build(name, shape, 3, logits=True, **options)
    x = torch.randn(3, shape[-1], *shape[:-1])
    report = nw.port(source, target, example=x)
    assert report.output_error < 1e-5
    with torch.no_grad():
        expected = source(x).numpy()
    got = np.array(keras.ops.convert_to_numpy(target(x.movedim(1, -1).numpy(), training=False)))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)

    back = build_torch(name, (shape[-1], *shape[:-1]), 3, seed=1, **options)
    nw.port(target, back, example=x.movedim(1, -1))
    for key, value in source.state_dict().items():
        assert torch.equal(back.state_dict()[key], value), key


@NOT_ON_JAX
@pytest.mark.parametrize(("name", "shape"), [("speech_lstm", (5,)), ("sentiment_bilstm", (11,))])
@pytest.mark.parametrize("norm", ["batch", "recurrent_layer"])
def test_a_network_for_sequences_gives_the_same_in_keras(name: str, shape: tuple[int], norm: str) -> None:
    options: dict[str, Any] = {"width": 6} if name == "sentiment_bilstm" else {}
    source = build_torch(name, shape, 3, norm=norm, **options)
    target = networks.build(name, shape, 3, norm=norm, logits=True, **options)
    lengths = torch.tensor([6, 2, 4])
    x = torch.randint(1, 11, (3, 6)) if options else torch.randn(3, 6, 5)
    x[torch.arange(6) >= lengths[:, None]] = 0
    report = nw.port(source, target, example=(x, lengths), target_example=x)
    assert report.output_error < 1e-5
    assert max(layer.output_error for layer in report.layers) < 1e-5
