"""Random small networks: the same outputs in Keras, and the same bytes when they come back."""

from typing import Any, NamedTuple

import keras
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import normwise as nw
from normwise.keras import BatchNormalization
from tests.keras.porting.port_cases import NOT_ON_JAX

L = keras.layers
pytestmark = NOT_ON_JAX


class Drawn(NamedTuple):
    """One layer of a network, with more numbers than its kind needs."""

    kind: str
    channels: int
    size: int
    flag: bool
    eps: float
    momentum: float


_LAYERS = st.builds(
    Drawn,
    st.sampled_from(["conv", "depthwise", "norm", "our_norm", "relu", "pool"]),
    st.integers(1, 5),
    st.sampled_from([1, 3]),
    st.booleans(),
    st.floats(1e-6, 0.1),
    st.sampled_from([0.01, 0.1, 0.3]),
)


def _built(shape: tuple[int, int, int], layers: list[Drawn], units: int) -> tuple[nn.Module, Any]:
    """Return a network of torch, and one of Keras with other weights and settings."""
    height, width, channels = shape
    ours: list[nn.Module] = []
    theirs: list[Any] = []
    for one in layers:
        if one.kind == "conv":
            ours.append(nn.Conv2d(channels, one.channels, one.size, padding=one.size // 2, bias=one.flag))
            theirs.append(L.Conv2D(one.channels, one.size, padding="same", use_bias=one.flag))
            channels = one.channels
        elif one.kind == "depthwise":
            ours.append(nn.Conv2d(channels, (1 + one.flag) * channels, 3, groups=channels, padding=1))
            theirs.append(L.DepthwiseConv2D(3, depth_multiplier=1 + one.flag, padding="same"))
            channels *= 1 + one.flag
        elif one.kind == "norm":
            ours.append(nn.BatchNorm2d(channels, one.eps, one.momentum))
            theirs.append(L.BatchNormalization())
        elif one.kind == "our_norm":
            ours.append(nw.nn.BatchNorm2d(channels, one.eps, one.momentum))
            theirs.append(BatchNormalization(unbiased_moving_variance=one.flag))
        elif one.kind == "relu":
            ours.append(nn.ReLU())
            theirs.append(L.ReLU())
        elif min(height, width) > 3:
            ours.append(nn.MaxPool2d(2))
            theirs.append(L.MaxPooling2D())
            height, width = height // 2, width // 2
    ours += [nn.Flatten(), nn.Linear(height * width * channels, units), nn.BatchNorm1d(units)]
    theirs += [L.Flatten(), L.Dense(units), L.BatchNormalization()]
    return nn.Sequential(*ours), keras.Sequential([keras.Input(shape), *theirs])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(6, 9), st.integers(6, 9), st.integers(1, 5)),
    st.lists(_LAYERS, max_size=5),
    st.integers(1, 5),
    st.integers(0, 2**31 - 1),
)
def test_outputs_are_the_same_and_bytes_come_back(
    shape: tuple[int, int, int], layers: list[Drawn], units: int, seed: int
) -> None:
    source, through = _built(shape, layers, units)
    generator = torch.Generator().manual_seed(seed)
    for name, value in source.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator).abs() + 0.1 * ("var" in name))
    x = torch.randn(2, shape[2], *shape[:2], generator=generator)
    expected = {name: value.clone() for name, value in source.state_dict().items()}
    nw.port(source, through, example=x)
    with torch.no_grad():
        outputs = source.eval()(x).numpy()
    got = np.array(keras.ops.convert_to_numpy(through(x.movedim(1, -1).numpy(), training=False)))
    np.testing.assert_allclose(got, outputs, rtol=1e-3, atol=1e-4 * float(np.abs(outputs).max()))

    before = _settings(source)
    for value in source.state_dict().values():
        value.zero_()
    nw.port(through, source, example=x.movedim(1, -1))
    for name, value in source.state_dict().items():
        assert "num_batches" in name or torch.equal(value, expected[name]), name
    assert _settings(source) == before


def _settings(model: nn.Module) -> list[tuple[float, Any]]:
    return [(m.eps, m.momentum) for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
