"""The examples train in a short form, on data that come with normwise."""

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import networks

_EXAMPLES = Path(__file__).parents[3] / "examples" / "keras"
#: Names of the examples, and what ``networks.build`` takes for the same network.
_NETWORKS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "dense_bn": ((8, 8, 1), {}),
    "conv_pair": ((8, 8, 1), {}),
    "mnist_cnn": ((8, 8, 1), {}),
    "cnn_32": ((32, 32, 3), {"hidden": 128}),
    "cnn_64": ((64, 64, 3), {}),
    "row_lstm": ((8, 8, 1), {"norm": "recurrent_layer"}),
    "speech_lstm": ((40,), {}),
    "sentiment_bilstm": ((90,), {}),
}


@pytest.fixture(autouse=True)
def _beside_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(_EXAMPLES))


def _example(name: str) -> Any:
    spec: Any = importlib.util.spec_from_file_location(f"example_{name}", _EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", _NETWORKS)
def test_it_trains(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    samples = 64 if name in ("cnn_32", "cnn_64", "speech_lstm", "sentiment_bilstm") else 128
    monkeypatch.setattr(sys, "argv", [name, "--epochs", "2", "--samples", f"{samples}", "--built-in"])
    history = _example(name).main()
    assert history["loss"][1] < history["loss"][0]
    assert re.search(r"test accuracy \d+\.\d\d%", capsys.readouterr().out)


@pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="sizes are the same on every backend, and JAX compiles for each of them",
)
@pytest.mark.parametrize("name", _NETWORKS)
def test_its_network_is_the_one_that_the_package_has(name: str) -> None:
    shape, options = _NETWORKS[name]
    given = shape[0] if len(shape) == 1 else shape
    expected = networks.build(name, shape, 2 if name == "sentiment_bilstm" else 10, **options)
    found = _example(name).network(given)
    assert [tuple(weight.shape) for weight in found.weights] == [
        tuple(weight.shape) for weight in expected.weights
    ]


def test_there_are_no_others() -> None:
    assert {path.stem for path in _EXAMPLES.glob("*.py")} == {*_NETWORKS, "tutorial_data", "never_training"}


@pytest.mark.parametrize("size", [32, 64])
def test_images_are_enlarged_and_coloured(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["example", "--samples", "3", "--built-in"])
    data = _example("tutorial_data")
    asked = data.arguments("")
    (grey, labels), _ = data.images(asked)
    (coloured, same_labels), _ = data.coloured_images(asked, size)
    assert coloured.shape == (3, size, size, 3)
    assert labels.tolist() == same_labels.tolist()
    # Digits are brighter than what is behind them, in every colour.
    small = coloured[:, :: size // 8, :: size // 8]
    for channel in range(3):
        for image, original in zip(small[..., channel], grey[..., 0], strict=True):
            assert np.corrcoef(image.ravel(), original.ravel())[0, 1] > 0.99
