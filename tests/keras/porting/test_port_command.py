"""``normwise port``: files of Keras to state dicts of torch, and back."""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from normwise.cli import main
from normwise.records import Porting, from_plain

L = keras.layers

_NET = """
import numpy
from torch import nn

def make(eps=1e-3, momentum=0.01):
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, eps=eps, momentum=momentum), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)
    )

def other_eps():
    return make(eps=1e-5)

def other_momentum():
    return make(momentum=0.1)

def example():
    return numpy.random.default_rng(0).normal(size=(2, 5, 6, 2))

def other_shape():
    return nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(60, 3))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder, in which the test is, with networks of torch and a Keras model."""
    (tmp_path / "net.py").write_text(_NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "net", raising=False)
    model = _model()
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in model.weights])
    model.save(tmp_path / "model.keras")
    return tmp_path


def _model() -> Any:
    layers = [
        L.Conv2D(4, 3, name="conv"),
        L.BatchNormalization(name="norm"),
        L.ReLU(),
        L.Flatten(),
        L.Dense(3, name="out"),
    ]
    return keras.Sequential([keras.Input((5, 6, 2)), *layers])


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["normwise", "port", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def _loaded(path: str) -> Any:
    return keras.saving.load_model(path)


def _values(path: str) -> list[np.ndarray]:
    return _loaded(path).get_weights()


def _equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_keras_becomes_a_state_dict_with_its_own_names_and_comes_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "model.keras", "state.safetensors") == 0
    state = load_file("state.safetensors")
    assert set(state) == {
        "conv.weight", "conv.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var",
        "norm.num_batches_tracked", "out.weight", "out.bias",
    }  # fmt: skip
    assert state["conv.weight"].shape == (4, 2, 3, 3)
    said = capsys.readouterr()
    assert "not proven" in said.out
    assert "norm -> norm (batch_norm): moved; ε 0.001, momentum 0.01" in said.out
    assert "--values-per-channel or --batch-size converts it" in said.out
    assert said.err.startswith("warning: a state dict does not hold ε: in torch pass eps=0.001 for norm")
    _model().save("like.keras")
    assert not _equal(_values("like.keras"), _values("model.keras"))
    assert _run(monkeypatch, "state.safetensors", "back.keras", "--like", "like.keras") == 0
    assert _equal(_values("back.keras"), _values("model.keras"))


def test_with_a_network_of_torch_the_move_is_proven_both_ways(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "model.keras", "state.pt", "--model", "net.py:make", "--json") == 0
    report = from_plain(Porting, json.loads(capsys.readouterr().out))
    assert report.output_error < 1e-5
    network: Any = __import__("net").make().eval()
    network.load_state_dict(torch.load("state.pt", weights_only=True))
    x = torch.randn(2, 2, 5, 6)
    expected = keras.ops.convert_to_numpy(_loaded("model.keras")(x.movedim(1, -1).numpy()))
    np.testing.assert_allclose(network(x).detach().numpy(), np.array(expected), rtol=1e-4, atol=1e-5)
    _model().save("like.keras")
    assert _run(monkeypatch, "state.pt", "back.keras", "--like", "like.keras", "--model", "net.py:make") == 0
    assert _equal(_values("back.keras"), _values("model.keras"))


def test_variances_are_converted_on_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, "model.keras", "state.safetensors", "--values-per-channel", "5") == 0
    assert _run(monkeypatch, "model.keras", "same.safetensors", "--batch-size", "1") == 0
    torch.testing.assert_close(
        load_file("same.safetensors")["norm.running_var"],
        load_file("state.safetensors")["norm.running_var"] * 12 / 11 * 4 / 5,
    )
    expected = _loaded("model.keras").get_layer("norm").get_weights()[3] * 5 / 4
    np.testing.assert_allclose(
        load_file("state.safetensors")["norm.running_var"].numpy(), expected, rtol=1e-6
    )


def test_a_safetensors_file_keeps_epsilon_and_of_another_somebody_must_say_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    like: Any = _model()
    like.get_layer("norm").epsilon = 0.5
    like.save("like.keras")
    for name in ("state.safetensors", "state.pt"):
        assert _run(monkeypatch, "model.keras", name) == 0
    back = ("back.keras", "--like", "like.keras", "--force")
    assert _run(monkeypatch, "state.safetensors", *back) == 0
    assert _loaded("back.keras").get_layer("norm").epsilon == 1e-3
    capsys.readouterr()
    assert _run(monkeypatch, "state.pt", *back) == 2
    assert (
        "the outputs of 'norm' would differ: pass --eps 1e-05 if the layers in torch"
        in capsys.readouterr().err
    )
    assert _run(monkeypatch, "state.pt", *back, "--eps", "0.25") == 0
    assert _loaded("back.keras").get_layer("norm").epsilon == 0.25
    capsys.readouterr()
    assert _run(monkeypatch, "state.safetensors", *back, "--eps", "0.25") == 2
    assert "--eps 0.25 is not what state.safetensors was saved with, 0.001" in capsys.readouterr().err


def test_a_network_of_another_epsilon_than_the_file_s_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        _run(
            monkeypatch,
            "model.keras",
            "state.safetensors",
            "--model",
            "net.py:make",
            "--example",
            "net.py:example",
        )
        == 0
    )
    arguments = ("state.safetensors", "back.keras", "--like", "model.keras", "--model", "net.py:other_eps")
    assert _run(monkeypatch, *arguments) == 2
    assert (
        "net.py:other_eps: '1' has ε 1e-05, and state.safetensors was saved with 0.001"
        in capsys.readouterr().err
    )


def test_layers_of_other_names_are_said_by_pairs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, "model.keras", "state.safetensors", "--model", "net.py:make") == 0
    pairs = ("--pair", "0=conv", "--pair", "1=norm", "--pair", "4=out")
    assert _run(monkeypatch, "state.safetensors", "back.keras", "--like", "model.keras", *pairs) == 0
    assert _equal(_values("back.keras"), _values("model.keras"))


def test_a_model_compiled_with_a_loss_of_its_own_is_taken_without_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def own_loss(truth: Any, output: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(truth - output))

    model = _loaded("model.keras")
    model.compile("adam", own_loss)
    model.save("compiled.keras")
    assert _run(monkeypatch, "compiled.keras", "state.safetensors") == 0
    assert "compiled.keras was compiled with a custom loss, metric or optimizer" in capsys.readouterr().err


def test_another_momentum_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "model.keras", "state.pt", "--model", "net.py:other_momentum") == 0
    assert "a file of weights can't hold momentum=0.01 of 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("model.keras", "out.pt", "--model", "net.py:other_eps"),
            "net.py:other_eps: '1' (BatchNorm2d) has ε 1e-05, and",
        ),
        (
            ("model.keras", "out.pt", "--model", "net.py:other_shape"),
            "'conv' (Conv2D) and '0' (Conv2d): weight has",
        ),
        (
            ("model.keras", "out.keras"),
            "can't write out.keras: expected a name that ends in .safetensors, .pt or .pth",
        ),
        (("model.keras", "model.pt", "--like", "model.keras"), "--like is for weights of torch"),
        (("state.safetensors", "out.keras"), "state.safetensors has no architecture: name by --like"),
        (("state.safetensors", "model.keras", "--like", "model.keras"), "model.keras exists already"),
        (("state.safetensors", "out.keras", "--like", "no.keras"), "there is no file no.keras"),
        (
            ("state.safetensors", "out.keras", "--like", "net.keras"),
            "net.keras can't be read as a Keras model: ",
        ),
        (
            ("state.safetensors", "out.keras", "--like", "model.keras", "--by", "order"),
            "does not keep the order",
        ),
        (
            ("state.safetensors", "out.keras", "--like", "model.keras"),
            "rename layers, or pass --by order, or --pair SOURCE=TARGET, to say which belong together",
        ),
        (
            ("state.safetensors", "out.keras", "--like", "model.keras", "--pair", "0=conv"),
            "--pair SOURCE=TARGET leaves out 'norm' (BatchNormalization)",
        ),
        (("model.keras", "out.pt", "--pair", "conv"), "--pair conv: expected SOURCE=TARGET"),
        (
            ("model.keras", "out.pt", "--by", "name", "--pair", "conv=0"),
            "--by and --pair contradict each other",
        ),
        (
            ("model.keras", "out.pt", "--batch-size", "2", "--values-per-channel", "2"),
            "--values-per-channel and --batch-size say",
        ),
        (("model.keras", "out.pt", "--eps", "1e-5"), "--eps is for weights of torch"),
        (
            ("m.weights.h5", "out.pt"),
            "m.weights.h5 has the weights of a Keras model without its layers. In Python",
        ),
        (("m.h5", "out.pt"), "m.h5 has a format of older releases of Keras; expected .keras"),
        (("state.safetensors", "out.keras", "--like", "saved"), "saved is a SavedModel"),
    ],
)
def test_what_can_t_be_done_is_one_line_and_nothing_is_written(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    (folder / "net.keras").write_bytes(b"no model")
    (folder / "saved").mkdir()
    (folder / "saved/saved_model.pb").touch()
    save_file({"0.weight": torch.zeros(4, 2, 3, 3)}, "state.safetensors")
    before = (folder / "model.keras").read_bytes()
    assert _run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(folder.glob("out.*"))
    assert (folder / "model.keras").read_bytes() == before
